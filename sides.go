package presencebridge

import (
	"context"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Directory tells who is to be kept in step. [NewDirectory] makes one from the
// users of both sides.
type Directory interface {
	// Roster returns everybody who exists on both sides, and names everybody
	// who is left out, with the reason. It may block for as long as reading both
	// directories takes. On an error the bridge keeps the roster that it has.
	Roster(ctx context.Context) (presence.Roster, error)
}

// Teams is what the bridge needs of Microsoft Graph. A client of package graph
// is one. Its methods are called concurrently.
//
// Errors match the sentinels of package presence: ErrNotFound, ErrThrottled
// with [presence.RetryAfter], ErrUnauthorized and so on. Reads may be repeated by
// the implementation; writes must not be, because by then the bridge may want
// to write something else.
type Teams interface {
	// Presences reads the presence of any number of users. It returns what it
	// could read even with an error, which then speaks of the others. A user that
	// the service does not know is left out without an error.
	Presences(ctx context.Context, userIDs []string) ([]presence.Presence, error)
	// SetPresence opens the bridge's own presence session for the user, or
	// replaces what it shows, and lets it lapse after lifetime.
	SetPresence(ctx context.Context, userID string, session presence.Session, lifetime time.Duration) error
	// ClearPresence ends the bridge's own session. Where there is none it returns
	// an error that matches presence.ErrNotFound.
	ClearPresence(ctx context.Context, userID string) error
}

// SessionBounder is implemented by a [Teams] that limits the lifetime of a
// session. [New] refuses a lifetime outside its bounds.
type SessionBounder interface {
	// SessionBounds returns the shortest and the longest lifetime that SetPresence
	// takes.
	SessionBounds() (shortest, longest time.Duration)
}

// Phones is what the bridge needs of CloudLink's line states. A client of
// package cloudlink is one. Its method is called concurrently.
type Phones interface {
	// Lines reads the line state of each of the user's endpoints. It returns
	// what it could read even with an error, which then speaks of the others. An
	// endpoint that does not exist is returned as unknown besides, because one that
	// is missing keeps the bridge from concluding that no call is under way.
	Lines(ctx context.Context, user presence.User) ([]presence.Line, error)
}

// Statuses is what the bridge needs of MiCollab. A client of package micollab
// is one. Its methods are called concurrently.
type Statuses interface {
	// Status reads what MiCollab shows for the user.
	Status(ctx context.Context, user presence.User) (presence.Status, error)
	// SetStatus makes MiCollab show status. Setting the status that is shown
	// already is not an error. It is never repeated by the implementation.
	SetStatus(ctx context.Context, user presence.User, status presence.Status) error
}

// Sides are the systems that a bridge joins.
type Sides struct {
	// Directory tells who exists on both. Required.
	Directory Directory
	// Teams is Microsoft Graph. Required.
	Teams Teams
	// Phones is CloudLink's line state. Required.
	Phones Phones
	// Statuses is MiCollab. Nil makes the bridge one-way for good: asking for
	// Bidirectional is then an error.
	Statuses Statuses
}

// Watcher watches the Teams presence of users through notifications, as a
// monitor of package monitor does. See [Bridge.Watch]. One that loses and finds
// subscriptions by itself also calls [Bridge.TeamsUnwatched].
type Watcher interface {
	// SetUsers replaces the Entra object ids to be watched, sorted and each once,
	// and returns those for which it has no room. It is called by one goroutine at
	// a time and must not block. Of the bridge it may call TeamsChanged, TeamsGap
	// and TeamsUnwatched, but nothing that changes a direction.
	SetUsers(userIDs []string) (overflow []string)
	// Missed tells that a read found changes for which no notification had come.
	// It must not block.
	Missed(userIDs ...string)
}
