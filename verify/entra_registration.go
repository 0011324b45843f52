package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/monitor"
)

// checkEntraSecretExpiry looks for the configured client secret among those of
// the application. It comes after Entra has accepted it, so one that has ended is
// another one as long as there is any that has not.
func checkEntraSecretExpiry(_ context.Context, f *facts, _ string) Outcome {
	s := &f.settings
	if s.Secret.IsZero() {
		return notApplicable("The bridge signs in by a certificate, and uses no client secret.")
	}
	r, err := f.registration()
	if err != nil {
		return unreadRegistration(err)
	}
	alive := slices.DeleteFunc(slices.Clone(r.ClientSecrets), func(c monitor.ClientSecret) bool {
		return !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(f.startedAt)
	})
	found, err := monitor.FindClientSecret(alive, s.SecretDescription, s.Secret)
	if errors.Is(err, monitor.ErrSecretNotFound) {
		found, err = monitor.FindClientSecret(r.ClientSecrets, s.SecretDescription, s.Secret)
	}
	evidence := []Evidence{
		{"description", found.Description}, {"Secret ID", found.KeyID}, {"expires", day(found.ExpiresAt)}, {"in", f.daysUntil(found.ExpiresAt)},
	}
	called := fmt.Sprintf("The client secret of the feature (description %q)", found.Description)
	left := found.ExpiresAt.Sub(f.startedAt)
	var doubt *monitor.SecretError
	switch {
	case errors.Is(err, monitor.ErrSecretNotFound):
		return failed("When the client secret of the feature ends is not known: none of the application's has its beginning, or the description "+fmt.Sprintf("%q", s.SecretDescription)+".",
			"Create a new client secret of the application in Entra, with the name of the integration as its description, and enter its Value and its description in the configuration.",
			Evidence{"client secrets", fmt.Sprint(len(r.ClientSecrets))})
	case errors.As(err, &doubt):
		return failed(fmt.Sprintf("Which client secret of the application is that of the feature cannot be told: %s may be; the first of them ends on %s.", names(doubt.Possible), cmp.Or(day(found.ExpiresAt), "a day that Entra does not tell")),
			"Delete those client secrets that nobody uses from the application in Entra, or create one with a description of its own, and enter its Value and its description in the configuration.",
			evidence...)
	case err != nil:
		return failed("When the client secret of the feature ends is not known: "+reason(err)+".", instruction(err))
	case found.ExpiresAt.IsZero():
		return failed(called+" has an end that Entra does not tell.", "Look at its end under Certificates & secrets of the application in Entra.", evidence...)
	case left <= 0:
		return failed(called+" ended on "+date(found.ExpiresAt)+"; that Entra still accepts it will not last.", "", evidence...)
	case left <= f.opts.SecretWarning:
		return failed(fmt.Sprintf("%s ends on %s, in %s.", called, date(found.ExpiresAt), f.daysUntil(found.ExpiresAt)), "", evidence...)
	default:
		return passed(evidence...)
	}
}

// day returns the day of a time; empty for the zero time.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return date(t)
}

// daysUntil says how many whole days are left; empty for the zero time.
func (f *facts) daysUntil(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch days := int(math.Floor(t.Sub(f.startedAt).Hours() / 24)); {
	case days < 0:
		return "the past"
	case days == 0:
		return "less than a day"
	case days == 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", days)
	}
}

// checkRedirectURI looks for the redirect URI on any platform; which one is for
// another check.
func checkRedirectURI(_ context.Context, f *facts, _ string) Outcome {
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
			if r, ok := mitelRegion(other); ok && r != region {
				others = append(others, string(r))
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

func checkRedirectURIPlatform(_ context.Context, f *facts, _ string) Outcome {
	r, err := f.registration()
	if err != nil {
		return unreadRegistration(err)
	}
	uri := f.settings.RedirectURI
	evidence := Evidence{"redirect URI", uri}
	move := "Remove " + uri + " from the platform %s and add it to the platform Web, under Authentication of the application in Entra."
	switch {
	case registered(r.WebRedirectURIs, uri):
		return passed(evidence, Evidence{"platform", "Web"})
	case registered(r.SPARedirectURIs, uri):
		return failed("The redirect URI "+uri+" is registered for the platform Single-page application, whose sign-ins the bridge cannot complete.",
			fmt.Sprintf(move, "Single-page application"), evidence)
	case registered(r.PublicClientRedirectURIs, uri):
		return failed("The redirect URI "+uri+" is registered for the platform Mobile and desktop applications, which has no client secret.",
			fmt.Sprintf(move, "Mobile and desktop applications"), evidence)
	default:
		return warned("The platform of the redirect URI is not known: it is not registered.", "")
	}
}

func checkRedirectURIRegion(_ context.Context, f *facts, _ string) Outcome {
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
