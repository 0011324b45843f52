package monitor

import (
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// refusal is why Entra does not accept an account or a client secret, in a form
// that can be kept. At is when it was first answered.
type refusal struct {
	Reason refusalReason `json:"reason"`
	Text   string        `json:"text"`
	At     time.Time     `json:"at"`
}

type refusalReason string

const (
	refusedSecretExpired refusalReason = "client secret expired"
	refusedSecret        refusalReason = "client secret not valid"
	refusedApplication   refusalReason = "application not usable"
	refusedConsent       refusalReason = "consent missing"
	refusedAccount       refusalReason = "account blocked"
	refusedSecondFactor  refusalReason = "second factor required"
	refusedPolicy        refusalReason = "conditional access"
	refusedSignIn        refusalReason = "sign-in required"
	// refusedOtherwise is said of a client secret alone: Entra does not let the
	// application in, for a reason that is not its secret.
	refusedOtherwise refusalReason = "application refused"
)

// reasonOf returns what an error of Entra means for a monitor; empty for one that
// may pass by itself.
func reasonOf(err error) refusalReason {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(presence.ErrSecretExpired):
		return refusedSecretExpired
	case is(presence.ErrInvalidSecret):
		return refusedSecret
	case is(presence.ErrAppNotFound), is(presence.ErrAppDisabled), is(presence.ErrTenantNotFound):
		return refusedApplication
	case is(presence.ErrConsentMissing):
		return refusedConsent
	case is(presence.ErrAccountBlocked):
		return refusedAccount
	case is(presence.ErrMFARequired):
		return refusedSecondFactor
	case is(presence.ErrConditionalAccess):
		return refusedPolicy
	case is(presence.ErrSignInRequired):
		return refusedSignIn
	case is(presence.ErrForbidden):
		// The token is good and lacks something.
		return refusedConsent
	default:
		return ""
	}
}

// secretReasonOf returns what an error of a sign-in as the application itself
// means. That one proves nothing but the client secret.
func secretReasonOf(err error) refusalReason {
	switch reason := reasonOf(err); reason {
	case "":
		if errors.Is(err, presence.ErrUnauthorized) {
			return refusedSecret // invalid_client, whatever else Entra says of it
		}
		return ""
	case refusedConsent, refusedAccount, refusedSecondFactor, refusedPolicy, refusedSignIn:
		return refusedOtherwise
	default:
		return reason
	}
}

// newRefusal returns the refusal for a reason, or nil where it is none.
func newRefusal(reason refusalReason, err error, now time.Time) *refusal {
	if reason == "" {
		return nil
	}
	return &refusal{Reason: reason, Text: err.Error(), At: wall(now)}
}

// after returns the refusal as one that follows another: what was refused before
// for the same reason is refused since then.
func (r *refusal) after(before *refusal) *refusal {
	if r != nil && before.of(r.Reason) {
		r.At = before.At
	}
	return r
}

// of reports whether the refusal has one of the reasons.
func (r *refusal) of(reasons ...refusalReason) bool {
	if r == nil {
		return false
	}
	for _, reason := range reasons {
		if r.Reason == reason {
			return true
		}
	}
	return false
}

// refused returns the refusal that has one of the reasons, of the client secret
// or of the grant.
func (r *record) refused(reasons ...refusalReason) *refusal {
	for _, refusal := range []*refusal{r.SecretRefusal, r.GrantRefusal} {
		if refusal.of(reasons...) {
			return refusal
		}
	}
	return nil
}

// sameRefusal reports whether two refusals need the same action; their times differ.
func sameRefusal(a, b *refusal) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Reason == b.Reason
}
