package presencebridge

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Trigger names what made the bridge look at a person.
type Trigger string

// The triggers.
const (
	TriggerStart        Trigger = "start"               // the first reading after the start, or of a new user
	TriggerNotification Trigger = "notification"        // a notification of the service
	TriggerReconcile    Trigger = "reconcile"           // the regular reading of everybody
	TriggerGap          Trigger = "gap"                 // notifications may have been lost
	TriggerAfterClear   Trigger = "after-clear"         // the bridge closed its session, or it lapsed
	TriggerRenewal      Trigger = "renewal"             // the bridge's session is to live on
	TriggerRestore      Trigger = "restore"             // MiCollab showed something else than was written
	TriggerSync         Trigger = "sync"                // SyncAll
	TriggerRequest      Trigger = "request"             // Refresh, or a change of direction
	TriggerRetry        Trigger = "retry"               // a reading failed before
	TriggerReset        Trigger = "reset"               // ResetPhone
	TriggerStop         Trigger = "stop"                // the bridge stops
	TriggerRemoved      Trigger = "removed-from-roster" // the user is not kept in step any more
)

// Cause is why something was written: what was observed, and what led to the
// observation.
type Cause struct {
	// Trigger is what led to the observation.
	Trigger Trigger `json:"trigger"`
	// Line is the telephone's state, for a write to Teams.
	Line presence.Line `json:"line,omitzero"`
	// Presence is the Teams presence, for a write to MiCollab.
	Presence presence.Presence `json:"presence,omitzero"`
	// ReceivedAt is when the trigger reached the bridge.
	ReceivedAt time.Time `json:"receivedAt,omitzero"`
	// ObservedAt is when the reading of the state began.
	ObservedAt time.Time `json:"observedAt,omitzero"`
}

// Destination is a place that the bridge writes to.
type Destination string

// The destinations.
const (
	DestinationTeams    Destination = "teams"
	DestinationMiCollab Destination = "micollab"
)

// Write is one request that changed, or in a dry run would have changed,
// something. Together the writes are an audit trail: each comes with its cause.
type Write struct {
	// Time is when the request began.
	Time time.Time `json:"time"`
	// User is for whom it was.
	User presence.User `json:"user"`
	// Destination is where it went.
	Destination Destination `json:"destination"`
	// Operation is "set", "renew" or "clear" for Teams and "set" for MiCollab.
	Operation string `json:"operation"`
	// Session is what was set or renewed in Teams, or which session was cleared.
	Session presence.Session `json:"session,omitzero"`
	// Status is what was written to MiCollab, and Previous what was shown before.
	Status   presence.Status `json:"status,omitempty"`
	Previous presence.Status `json:"previous,omitempty"`
	// NotFound: a session was to be cleared, and Teams held none.
	NotFound bool `json:"notFound,omitempty"`
	// Rule is the row of the mapping table that was applied; empty for a renewal.
	Rule string `json:"rule,omitempty"`
	// Cause is why it was made.
	Cause Cause `json:"cause"`
	// Duration is how long the request took.
	Duration time.Duration `json:"duration"`
	// DryRun: nothing was sent.
	DryRun bool `json:"dryRun,omitempty"`
	// Err is nil if the write was carried out. A failed write is tried again if
	// it is still wanted then.
	Err error `json:"-"`
	// Error is Err as text.
	Error string `json:"error,omitempty"`
}

// Observation is a reading of one side that showed something new.
type Observation struct {
	// Time is when the reading ended.
	Time time.Time
	// User is whose state it is.
	User presence.User
	// Side is "phone", "teams" or "micollab"; the field that fits it is set.
	Side     string
	Line     presence.Line
	Presence presence.Presence
	Status   presence.Status
	// Own: the Teams presence is, as far as can be told, the bridge's own doing.
	Own bool
	// Trigger is what led to the reading.
	Trigger Trigger
}

// RosterChange tells that the roster was read and differs from the one before.
type RosterChange struct {
	// Time is when the roster was read.
	Time time.Time
	// Added and Removed are Entra object ids.
	Added, Removed []string
	// Roster is the whole new roster, with everybody left out and why.
	Roster presence.Roster
	// Overflow is what [Bridge.Overflow] returns now. A watcher that finds a place
	// for new users may need a moment for it; [Hooks].UnwatchedChanged tells.
	Overflow []string
}

// UnwatchedChange tells that other users than before are watched by no
// subscription; see [Bridge.Overflow].
type UnwatchedChange struct {
	// Time is when the bridge noticed.
	Time time.Time
	// Users are all whom nobody watches now, by Entra object id, sorted.
	Users []string
	// Added and Removed are the difference from the change before, sorted.
	Added, Removed []string
}

// Hooks are functions that the bridge calls on what happens. Each may be nil.
// They are called from the goroutine that does the work, without a lock held,
// concurrently for different users and in order for one user and destination;
// one that blocks delays that work, and one that panics is logged.
type Hooks struct {
	// Wrote is called after every request that changes something.
	Wrote func(Write)
	// Observed is called when a reading shows something new.
	Observed func(Observation)
	// RosterChanged is called when the roster has changed.
	RosterChanged func(RosterChange)
	// UnwatchedChanged is called when other users than before are watched by no
	// subscription. Changes within 10 seconds are told as one, because users who
	// move from one monitor to another are unwatched in between.
	UnwatchedChanged func(UnwatchedChange)
	// HealthChanged is called when the health of a connection has changed.
	HealthChanged func(Health)
}

// Block says why a destination is not written. The zero Block is BlockNone.
type Block string

// The blocks.
const (
	// BlockNone: it shows what it should, or is being written.
	BlockNone Block = ""
	// BlockOff: the direction is Off, for the account or the user.
	BlockOff Block = "direction-off"
	// BlockOneWay: Teams presence is not brought to MiCollab, for the account or the user.
	BlockOneWay Block = "one-way"
	// BlockUnsupportedPBX: the user's telephone system does not support the direction.
	BlockUnsupportedPBX Block = "pbx-unsupported"
	// BlockNoEndpoint: the user has no telephone.
	BlockNoEndpoint Block = "no-endpoint"
	// BlockLineUnread: a telephone of the user has not been read yet, or not for
	// the lifetime of a session.
	BlockLineUnread Block = "line-unread"
	// BlockLineUnknown: the telephone's state is unknown or out of service.
	BlockLineUnknown Block = "line-unknown"
	// BlockTeamsUnread: the Teams presence has not been read yet.
	BlockTeamsUnread Block = "teams-unread"
	// BlockTeamsUnknown: Teams reports a state that the library does not know.
	BlockTeamsUnknown Block = "teams-unknown"
	// BlockStatusUnread: MiCollab's status has not been read yet.
	BlockStatusUnread Block = "status-unread"
	// BlockOwnSession: Teams shows the bridge's own session.
	BlockOwnSession Block = "own-session"
	// BlockEchoWindow: Teams still shows a session that the bridge just closed.
	BlockEchoWindow Block = "echo-window"
	// BlockEarlierSession: Teams may show a session of an earlier run.
	BlockEarlierSession Block = "earlier-session"
	// BlockMapping: the mapping table leaves the destination as it is.
	BlockMapping Block = "mapping-leaves"
	// BlockDamping: the value keeps changing and has not settled.
	BlockDamping Block = "damping"
	// BlockContested: somebody else keeps changing the status back.
	BlockContested Block = "contested"
	// BlockBackoff: the last attempt failed, and the next one waits.
	BlockBackoff Block = "backoff"
	// BlockDryRun: a dry run has reported the write.
	BlockDryRun Block = "dry-run"
)

// Sentence explains the block to a person; empty for BlockNone.
func (b Block) Sentence() string {
	switch b {
	case BlockNone:
		return ""
	case BlockOff:
		return "The direction is off for the account or this user: switch it on to keep the user in step."
	case BlockOneWay:
		return "Teams presence is not brought to MiCollab for the account or this user: switch on the bidirectional direction."
	case BlockUnsupportedPBX:
		return "The user's telephone system does not support this direction."
	case BlockNoEndpoint:
		return "CloudLink knows no telephone of the user: give the user an extension."
	case BlockLineUnread:
		return "A telephone of the user has not been read lately: whether a call is under way is not known, and an open session is left to lapse."
	case BlockLineUnknown:
		return "The telephone is out of service or its state is unknown: nothing is written, and an open session is left to lapse."
	case BlockTeamsUnread:
		return "The user's Teams presence has not been read yet."
	case BlockTeamsUnknown:
		return "Teams reports a state that is unknown: an unknown state never changes a known one."
	case BlockStatusUnread:
		return "The user's MiCollab status has not been read yet."
	case BlockOwnSession:
		return "Teams shows the call or do-not-disturb that the bridge itself put there; MiCollab keeps what the person showed before."
	case BlockEchoWindow:
		return "Teams still shows a session that the bridge closed a moment ago; it is read again shortly."
	case BlockEarlierSession:
		return "Teams may show a session that an earlier run of the bridge left behind; it is cleared or lapses."
	case BlockMapping:
		return "The mapping table leaves the destination as it is in this state."
	case BlockDamping:
		return "The state keeps changing; it is written once it has settled."
	case BlockContested:
		return "Somebody else keeps changing the status back; the bridge insists, but less and less often."
	case BlockBackoff:
		return "The last attempt failed; the next one follows after a pause."
	case BlockDryRun:
		return "This is a dry run: the write was reported and not made."
	default:
		return string(b)
	}
}
