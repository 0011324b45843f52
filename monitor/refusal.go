package monitor

import (
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// refusal is why Entra does not accept an account or a client secret, in a form
// that can be kept.
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
	refusedSignIn        refusalReason = "sign-in required"
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
	case is(presence.ErrSignInRequired), is(presence.ErrMFARequired), is(presence.ErrConditionalAccess):
		return refusedSignIn
	default:
		return ""
	}
}

// newRefusal returns the refusal that an error is, or nil.
func newRefusal(err error, now time.Time) *refusal {
	reason := reasonOf(err)
	if reason == "" {
		return nil
	}
	return &refusal{Reason: reason, Text: err.Error(), At: wall(now)}
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

// sameRefusal reports whether two refusals need the same action; their times differ.
func sameRefusal(a, b *refusal) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Reason == b.Reason
}
