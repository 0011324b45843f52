package graph

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Cloud is one of Microsoft's clouds: where to sign in and where its Graph is
// (learn.microsoft.com/graph/deployments).
//
// A Cloud of one's own serves tests: its URLs may be http for loopback addresses
// and for the names that RFC 2606 and RFC 6761 reserve (.test, .example,
// .invalid, .localhost); everything else must be https.
type Cloud struct {
	// Name is for people to read.
	Name string
	// LoginURL is the base of the Entra endpoints, such as
	// https://login.microsoftonline.com.
	LoginURL string
	// GraphURL is the base of Microsoft Graph without a version, such as
	// https://graph.microsoft.com.
	GraphURL string
	// Notifications reports whether the cloud has change notifications for
	// presence.
	Notifications bool
}

// Global returns the worldwide cloud, which GCC tenants use too.
func Global() Cloud {
	return Cloud{
		Name:          "Global",
		LoginURL:      "https://login.microsoftonline.com",
		GraphURL:      "https://graph.microsoft.com",
		Notifications: true,
	}
}

// USGovernment returns the cloud of GCC High (L4). It has no presence
// notifications.
func USGovernment() Cloud {
	return Cloud{
		Name:     "US Government (GCC High)",
		LoginURL: "https://login.microsoftonline.us",
		GraphURL: "https://graph.microsoft.us",
	}
}

// USGovernmentDoD returns the cloud of the US Department of Defense (L5). It has
// no presence notifications.
func USGovernmentDoD() Cloud {
	return Cloud{
		Name:     "US Government (DoD)",
		LoginURL: "https://login.microsoftonline.us",
		GraphURL: "https://dod-graph.microsoft.us",
	}
}

// normalize returns the cloud without slashes at the end of its URLs, Global for
// the zero Cloud, and every fault it finds.
func (c Cloud) normalize() (Cloud, error) {
	if c == (Cloud{}) {
		return Global(), nil
	}
	c.LoginURL = strings.TrimRight(c.LoginURL, "/")
	c.GraphURL = strings.TrimRight(c.GraphURL, "/")
	return c, errors.Join(checkBaseURL("LoginURL", c.LoginURL), checkBaseURL("GraphURL", c.GraphURL))
}

func checkBaseURL(field, raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		// Not quoted: it may hold a password.
		return fmt.Errorf("graph: Cloud.%s is not an absolute URL without user, query and fragment: use one such as https://graph.microsoft.com", field)
	case u.Scheme == "https", u.Scheme == "http" && isTestHost(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("graph: Cloud.%s %q is not https: tokens would travel in the clear; http is for loopback addresses and reserved names such as graph.test", field, raw)
	}
}

func isTestHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	host = strings.ToLower(host)
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "test", "example", "invalid":
		return true
	default:
		return false
	}
}

// defaultScope asks for all application permissions that were granted.
func (c Cloud) defaultScope() string { return c.GraphURL + "/.default" }

// scope returns a delegated permission the way the authorize endpoint takes it.
//
// Assumed: a scope without a resource means the Graph of the global cloud, so in
// the US clouds the resource is put before it. The scopes of OpenID Connect have
// no resource.
func (c Cloud) scope(name string) string {
	switch name {
	case "openid", "profile", "email", "offline_access":
		return name
	}
	if strings.HasSuffix(c.GraphURL, ".microsoft.us") {
		return c.GraphURL + "/" + name
	}
	return name
}

// endpoint returns a URL below the tenant at the login service.
func (c Cloud) endpoint(tenantID, path string) string {
	return c.LoginURL + "/" + url.PathEscape(tenantID) + path
}

// checkTenant accepts a tenant id and, because Entra does, one of the tenant's
// domain names. What it refuses cannot be part of a path.
func checkTenant(tenantID string) error {
	if isIdentifier(tenantID) {
		return nil
	}
	return errors.New("graph: the tenant id must be a GUID or a domain name of the tenant: copy the directory (tenant) ID from the application's overview in Entra")
}

func checkClientID(clientID string) error {
	if isIdentifier(clientID) {
		return nil
	}
	return errors.New("graph: the client id must be a GUID: copy the application (client) ID from the application's overview in Entra")
}

// isIdentifier accepts letters, digits, '-', '.' and '_': everything that GUIDs
// and domain names hold, nothing that a path, a filter or a log could trip over.
func isIdentifier(s string) bool {
	if len(s) == 0 || len(s) > 253 || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}
