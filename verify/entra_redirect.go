package verify

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/cloudlink"
)

// checkRedirectURI looks for the redirect URI on any platform; which one is for
// another check.
func checkRedirectURI(_ context.Context, f *facts, _ string) finding {
	uri := f.settings.RedirectURI
	if uri == "" {
		return warned("Whether the redirect URI is registered is not known: nobody has told which one the sign-ins of the monitors lead back to.",
			"Enter the redirect URI in the configuration, as it stands under Authentication of the application in Entra.").by(Operator)
	}
	r, err := f.registration()
	if err != nil {
		return unreadRegistration(err)
	}
	all := slices.Concat(r.WebRedirectURIs, r.SPARedirectURIs, r.PublicClientRedirectURIs)
	evidence := []Evidence{{"redirect URI", uri}, {"registered", cmp.Or(names(all), "none")}}
	if registered(all, uri) {
		return passed(evidence...)
	}
	sentence := "The redirect URI " + uri + " is not registered with the application"
	if i := slices.IndexFunc(all, func(other string) bool { return almost(other, uri) }); i >= 0 {
		sentence += ": " + all[i] + " is, which is not the same to the letter"
	} else if region, ok := mitelRegion(uri); ok {
		var others []string
		for _, other := range all {
			if its, ok := mitelRegion(other); ok && its != region {
				others = append(others, string(its))
			}
		}
		if len(others) > 0 {
			sentence += fmt.Sprintf(": it is of the region %s, and those of %s are", region, names(others))
		}
	}
	return failed(sentence+".", "Add "+uri+" under Authentication of the application in Entra, platform Web, to the letter.", evidence...)
}

// registered compares redirect URIs as Entra does: to the letter, but for the port
// of a loopback address (learn.microsoft.com/entra/identity-platform/reply-url).
func registered(all []string, uri string) bool {
	return slices.ContainsFunc(all, func(other string) bool {
		return other == uri || loopback(other) != "" && loopback(other) == loopback(uri)
	})
}

// loopback returns a redirect URI of a loopback address without its port; empty
// for any other.
func loopback(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
		return ""
	}
	u.Host = u.Hostname()
	return u.String()
}

// almost reports whether two redirect URIs differ only in what people overlook.
func almost(a, b string) bool {
	bare := func(uri string) string {
		_, rest, _ := strings.Cut(strings.ToLower(uri), "://")
		return strings.TrimRight(rest, "/ ")
	}
	return bare(a) == bare(b)
}

// mitelHost is the host of Mitel's own redirect URIs, of which there is one for
// each region of CloudLink.
var mitelHost = regexp.MustCompile(`^workflow\.([a-z0-9-]+(?:\.[a-z0-9-]+)*)\.api\.mitel\.io$`)

// mitelRegion returns the region of a redirect URI of Mitel's; false where it is
// another one's.
func mitelRegion(uri string) (cloudlink.Region, bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", false
	}
	found := mitelHost.FindStringSubmatch(strings.ToLower(u.Hostname()))
	if found == nil {
		return "", false
	}
	return cloudlink.Region(found[1]), true
}

func checkRedirectURIPlatform(_ context.Context, f *facts, _ string) finding {
	r, err := f.registration()
	if err != nil {
		return unreadRegistration(err)
	}
	uri := f.settings.RedirectURI
	evidence := Evidence{"redirect URI", uri}
	move := func(platform string) string {
		return "Remove " + uri + " from the platform " + platform + " and add it to the platform Web, under Authentication of the application in Entra."
	}
	switch {
	case registered(r.WebRedirectURIs, uri):
		return passed(evidence, Evidence{"platform", "Web"})
	case registered(r.SPARedirectURIs, uri):
		return failed("The redirect URI "+uri+" is registered for the platform Single-page application, whose sign-ins the bridge cannot complete.",
			move("Single-page application"), evidence)
	case registered(r.PublicClientRedirectURIs, uri):
		return failed("The redirect URI "+uri+" is registered for the platform Mobile and desktop applications, which has no client secret.",
			move("Mobile and desktop applications"), evidence)
	default:
		return warned("The platform of the redirect URI is not known: it is not registered.", "")
	}
}

func checkRedirectURIRegion(_ context.Context, f *facts, _ string) finding {
	uri := f.settings.RedirectURI
	region, ok := mitelRegion(uri)
	if !ok {
		return notApplicable("The redirect URI is not one of Mitel's, and has no region.", Evidence{"redirect URI", uri})
	}
	basis := basisWhoAmI
	account, known := f.accountRegion()
	if !known {
		account, basis = f.settings.Region, basisSettings
	}
	evidence := []Evidence{{"redirect URI", uri}, {"its region", string(region)}, {"the account's region", string(account)}}
	switch {
	case account == cloudlink.RegionGlobal:
		return warned(fmt.Sprintf("Whether the redirect URI is of the account's region is not known: it is of %s, and neither CloudLink nor the configuration tells the account's.", region),
			"Look at the cloud location on the account page of Mitel Administration, and enter it in the configuration.", evidence...)
	case strings.EqualFold(string(account), string(region)):
		return passed(evidence...).on(basis)
	default:
		right := strings.Replace(uri, "workflow."+string(region)+".", "workflow."+strings.ToLower(string(account))+".", 1)
		return failed(fmt.Sprintf("The redirect URI is of the region %s, and the CloudLink account is of %s.", region, account),
			fmt.Sprintf("Use %s in the configuration, and let the Azure administrator add it under Authentication of the application in Entra, platform Web.", right), evidence...).on(basis)
	}
}

// accountRegion returns the region that CloudLink tells of the account.
func (f *facts) accountRegion() (cloudlink.Region, bool) {
	identity, err := f.whoAmI()
	if err != nil {
		return "", false
	}
	return identity.Region()
}
