package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// certificateEnd judges the end of the certificate with which the bridge signs in. It
// comes after Entra has accepted it.
func certificateEnd(f *facts) finding {
	const basis = "the certificate of the configuration"
	ends := f.settings.CertificateExpiresAt
	evidence := []Evidence{{"expires", date(ends)}, {"in", f.daysUntil(ends)}}
	const remedy = "Upload a new certificate under Certificates & secrets of the application in Entra, configure it with its key, and remove the old one."
	switch left := ends.Sub(f.startedAt); {
	case ends.IsZero():
		return notApplicable("The bridge signs in by a certificate, and uses no client secret. When the certificate ends was not told.")
	case left <= 0:
		return failed("The certificate with which the bridge signs in ended on "+date(ends)+"; that Entra still accepts it will not last.", remedy, evidence...).on(basis)
	case left <= f.opts.SecretWarning:
		return warned(fmt.Sprintf("The certificate with which the bridge signs in ends on %s, in %s.", date(ends), f.daysUntil(ends)), remedy, evidence...).on(basis)
	default:
		return passed(evidence...).on(basis)
	}
}

// checkEntraSecretExpiry looks for the configured client secret among those of
// the application. It comes after Entra has accepted it, so one that has ended is
// another one as long as there is any that has not.
func checkEntraSecretExpiry(_ context.Context, f *facts, _ string) finding {
	s := &f.settings
	if s.Secret.IsZero() {
		return certificateEnd(f)
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
		{"description", found.Description}, {"Secret ID", found.KeyID}, {"expires", date(found.ExpiresAt)}, {"in", f.daysUntil(found.ExpiresAt)},
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
		return failed(fmt.Sprintf("Which client secret of the application is that of the feature cannot be told: %s may be; the first of them ends on %s.", names(doubt.Possible), cmp.Or(date(found.ExpiresAt), "a day that Entra does not tell")),
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
