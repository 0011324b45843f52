package presence

import (
	"errors"
	"time"
)

// The conditions that callers act on, whichever service reported them. The
// errors of the wire packages match them with [errors.Is], and so must those of
// an implementation that an embedder brings.
var (
	// ErrNotFound: the user, session, subscription or endpoint does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the thing to be created exists already.
	ErrConflict = errors.New("already exists")
	// ErrThrottled: the service asks for fewer requests. [RetryAfter] tells how
	// long to wait.
	ErrThrottled = errors.New("throttled")
	// ErrUnauthorized: the credentials or the token are not accepted.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the credentials are accepted but lack a permission.
	ErrForbidden = errors.New("forbidden")
	// ErrInvalid: the service refuses the request as it is; repeating it will
	// not help.
	ErrInvalid = errors.New("invalid request")
	// ErrUnavailable: the service cannot answer now; repeating may help.
	ErrUnavailable = errors.New("service unavailable")
	// ErrUnreadable: one entry of a listing cannot be read. It speaks of that
	// entry alone, and the listing goes on.
	ErrUnreadable = errors.New("unreadable entry")
	// ErrUnsupported: this cloud, PBX or server cannot do what was asked.
	ErrUnsupported = errors.New("not supported")
)

// Why Microsoft Entra refuses an application or an account, for those refusals
// that somebody has to act on. An error of package graph that matches one of
// them also matches [ErrUnauthorized] or [ErrForbidden].
var (
	// ErrInvalidSecret: the client secret is not one of the application's.
	ErrInvalidSecret = errors.New("invalid client secret")
	// ErrSecretExpired: the client secret has ended.
	ErrSecretExpired = errors.New("client secret expired")
	// ErrAppNotFound: the tenant has no such application.
	ErrAppNotFound = errors.New("application not found")
	// ErrAppDisabled: the application is disabled in the tenant.
	ErrAppDisabled = errors.New("application disabled")
	// ErrTenantNotFound: there is no such tenant.
	ErrTenantNotFound = errors.New("tenant not found")
	// ErrConsentMissing: a permission has not been consented to, or consent was
	// declined.
	ErrConsentMissing = errors.New("consent missing")
	// ErrSignInRequired: the account must sign in again, interactively. Every
	// refusal of an account's grant matches it, those below included.
	ErrSignInRequired = errors.New("sign-in required")
	// ErrMFARequired: the sign-in needs a second factor.
	ErrMFARequired = errors.New("multi-factor authentication required")
	// ErrAccountBlocked: the account cannot sign in: unknown, locked, disabled,
	// not assigned, or its password is wrong or has expired.
	ErrAccountBlocked = errors.New("account blocked")
	// ErrConditionalAccess: a policy of the tenant forbids the sign-in.
	ErrConditionalAccess = errors.New("blocked by conditional access")
)

// RetryAfter returns how long the service that caused err asked to wait. It
// looks for an error in err's tree with a method RetryAfter() time.Duration
// that returns more than zero.
func RetryAfter(err error) (time.Duration, bool) {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		if d := r.RetryAfter(); d > 0 {
			return d, true
		}
	}
	return 0, false
}
