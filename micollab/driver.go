package micollab

import (
	"context"

	"github.com/presencebridge/presencebridge/presence"
)

// Driver reads and writes the status of one MiCollab user at a time. An
// implementation takes from the user whichever identity its server knows
// (principal id, e-mail address), and speaks the server's own status names.
//
// Its methods are called concurrently, for the same user too, and return soon
// after ctx ends. Errors match, with [errors.Is]:
//
//   - [presence.ErrNotFound] where the server has no such user;
//   - [presence.ErrThrottled] where it asks for fewer requests, with a method
//     RetryAfter() time.Duration where it says how long to wait;
//   - [presence.ErrUnauthorized] or [presence.ErrForbidden] where the
//     credentials do not suffice;
//   - [presence.ErrInvalid] where it refuses the status, and repeating is no use;
//   - [presence.ErrUnavailable] where it cannot answer now.
//
// They carry nothing secret. Package micollabtest has a suite that proves this
// contract.
type Driver interface {
	// Status returns the status that the server holds for the user; the zero
	// Status where it holds none.
	Status(ctx context.Context, user presence.User) (presence.Status, error)

	// SetStatus makes status the user's status; a Status that begins after
	// SetStatus has returned without an error reads it. Setting the status that
	// the user has already is no error. After an error the write may have
	// happened or not.
	SetStatus(ctx context.Context, user presence.User, status presence.Status) error
}

// BulkReader is implemented by a [Driver] that can read many users at once.
type BulkReader interface {
	// StatusesOf returns the statuses of those users that could be read, by
	// [presence.User.TeamsID]. A user that the server does not have is absent and
	// causes no error. Where some could not be read, it returns the others
	// together with an error.
	StatusesOf(ctx context.Context, users []presence.User) (map[string]presence.Status, error)
}
