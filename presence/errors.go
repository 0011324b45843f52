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
