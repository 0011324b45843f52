package cloudlink

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Region is where a CloudLink account lives: the part of every host name
// between the service and "api.mitel.io". Mitel Administration shows it on the
// account page as the cloud location.
//
// The constants are the regions that Mitel's pages name; any other label, such
// as the full AWS region "us-west-2.us", works too.
type Region string

// The regions that Mitel's documentation names.
const (
	// RegionGlobal routes to the account's own region.
	RegionGlobal       Region = ""
	RegionUnitedStates Region = "us"
	RegionEurope       Region = "eu"
	RegionAsiaPacific  Region = "ap"
	// RegionSandbox is Mitel's development platform.
	RegionSandbox             Region = "dev"
	RegionSandboxUnitedStates Region = "us.dev"
)

// The services of the CloudLink platform that this package talks to, by the
// first label of their host names.
const (
	ServiceAuthentication = "authentication"
	ServiceAdmin          = "admin"
	ServiceMedia          = "media"
	ServiceNotifications  = "notifications"
	// ServicePresence is assumed: Mitel documents the presence topic and its
	// subjects, but no page names the host.
	ServicePresence = "presence"
)

// apiVersion is the version in the path of every service that this package
// talks to (the "date version" of Mitel's API guides).
const apiVersion = "2017-09-01"

var regionPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// Platform tells where the services are. The zero Platform is the global one.
type Platform struct {
	// Region is the account's region. Default: [RegionGlobal].
	Region Region
	// BaseURL, if set, returns the base URL of a service in place of the
	// region's, with the version and without a slash at its end, such as
	// "http://127.0.0.1:9401/media/2017-09-01". Default: URL's pattern.
	BaseURL func(service string) string
}

// URL returns the base URL of a service:
// https://{service}[.{region}].api.mitel.io/2017-09-01 (Mitel's developer
// guides), or what BaseURL returns for it.
func (p Platform) URL(service string) string {
	if p.BaseURL != nil {
		return strings.TrimSuffix(p.BaseURL(service), "/")
	}
	host := service
	if p.Region != RegionGlobal {
		host += "." + string(p.Region)
	}
	return "https://" + host + ".api.mitel.io/" + apiVersion
}

// base returns the parsed base URL of a service.
func (p Platform) base(service string) (*url.URL, error) {
	if p.BaseURL == nil && p.Region != RegionGlobal && !regionPattern.MatchString(string(p.Region)) {
		return nil, fmt.Errorf("cloudlink: region %q is not a host name label: use \"us\", \"eu\", \"ap\" or leave it empty", p.Region)
	}
	u, err := url.Parse(p.URL(service))
	// The URL itself is not repeated: an embedder may have put credentials in it.
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("cloudlink: the base URL of service %q must be http(s)://host[:port]/path without user, query and fragment", service)
	}
	return u, nil
}

// bases returns the base URLs of the named services and all faults at once.
func (p Platform) bases(services ...string) (map[string]*url.URL, error) {
	urls := make(map[string]*url.URL, len(services))
	var faults []error
	for _, s := range services {
		u, err := p.base(s)
		if err != nil {
			faults = append(faults, err)
			if p.BaseURL == nil {
				break // every service would say the same
			}
			continue
		}
		urls[s] = u
	}
	return urls, errors.Join(faults...)
}
