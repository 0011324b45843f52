package tenant

import (
	"errors"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// explained adds to an error of a sign-in what package verify tells apart and
// package presence has no word for.
func explained(err error) error {
	var answer *graph.Error
	switch {
	case errors.Is(err, graph.ErrWrongCloud), errors.Is(err, graph.ErrWrongTenant):
		return &refusal{err, verify.ErrTenantRefused}
	case errors.Is(err, graph.ErrSecretMissing):
		return &refusal{err, verify.ErrCredentialRefused}
	case errors.As(err, &answer) && answer.Code == "invalid_client" && !hasOwnName(err):
		// RFC 6749, section 5.2: the client is unknown, or has not proved who it is.
		// For an unknown one Entra has codes of its own.
		return &refusal{err, verify.ErrCredentialRefused}
	default:
		return err
	}
}

// hasOwnName reports whether package presence has a word for a refusal.
func hasOwnName(err error) bool {
	for _, known := range []error{
		presence.ErrInvalidSecret, presence.ErrSecretExpired, presence.ErrAppNotFound, presence.ErrAppDisabled, presence.ErrTenantNotFound,
		presence.ErrConditionalAccess, presence.ErrConsentMissing, presence.ErrThrottled, presence.ErrUnavailable,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// refusal is an error of package graph with one more meaning.
type refusal struct{ err, meaning error }

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{r.err, r.meaning} }
