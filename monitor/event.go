package monitor

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// The reasons of a gap, and of what becomes of a subscription.
const (
	// ReasonStarted: the first subscription, or the first after there was
	// nobody to watch.
	ReasonStarted = "started"
	// ReasonUsersChanged: another set of users is watched.
	ReasonUsersChanged = "users changed"
	// ReasonNoUsers: there is nobody left to watch.
	ReasonNoUsers = "no users"
	// ReasonNotFound: Microsoft Graph did not know the subscription any more.
	ReasonNotFound = "subscription not found"
	// ReasonExpired: the subscription ended while it could not be renewed.
	ReasonExpired = "subscription expired"
	// ReasonRemoved: a lifecycle notification said that it was removed.
	ReasonRemoved = "subscription removed"
	// ReasonSilent: the subscription was alive and delivered nothing.
	ReasonSilent = "subscription silent"
	// ReasonMissed: a lifecycle notification said that some were missed.
	ReasonMissed = "notifications missed"
	// ReasonConflict: another subscription of the account was in the way.
	ReasonConflict = "subscription exists already"
	// ReasonSettingsChanged: the remembered subscription was created for another
	// notification URL, or with encryption where there is none now, or the other
	// way round.
	ReasonSettingsChanged = "settings changed"
	// ReasonStopped: Run's context ended.
	ReasonStopped = "stopped"
)

// EventKind says what happened.
type EventKind string

// What happens to a subscription.
const (
	// EventCreated: the first subscription, or the first after there was
	// nobody to watch.
	EventCreated EventKind = "created"
	// EventRecreated: a subscription in place of one that is gone; Reason says why.
	EventRecreated EventKind = "re-created"
	// EventAdopted: a subscription that an earlier run left is used on.
	EventAdopted EventKind = "adopted"
	// EventReplaced: a subscription that existed was deleted to make room. Seen
	// again and again it means that two monitors use one account.
	EventReplaced EventKind = "replaced"
	// EventRenewed: the subscription lives on.
	EventRenewed EventKind = "renewed"
	// EventReauthorized: renewed, because Microsoft Graph asked for
	// re-authorization.
	EventReauthorized EventKind = "re-authorized"
	// EventDeleted: the subscription was deleted; Reason says why.
	EventDeleted EventKind = "deleted"
	// EventLost: the subscription is gone without our doing; Reason says why.
	EventLost EventKind = "lost"
	// EventSilent: the subscription is alive and delivers nothing.
	EventSilent EventKind = "silent"
	// EventFailed: a step failed with Err; it is tried again at NextAt.
	EventFailed EventKind = "failed"
	// EventUnsupported: this cloud has no presence notifications. The monitor
	// stays idle; bulk reads are what is left.
	EventUnsupported EventKind = "unsupported"
)

// What happens to the monitors of a [Pool].
const (
	// EventAdded: a monitor was added.
	EventAdded EventKind = "added"
	// EventAuthorized: somebody has signed in as the monitor.
	EventAuthorized EventKind = "authorized"
	// EventSignInFailed: a sign-in was not accepted, because of Err.
	EventSignInFailed EventKind = "sign-in failed"
	// EventSecretRenewed: the monitor has a new client secret.
	EventSecretRenewed EventKind = "secret renewed"
	// EventSecretExpiring: the client secret has come to one of the
	// [PoolOptions.SecretWarnings] before its end at ExpiresAt. Without a monitor
	// it is the bridge's own.
	EventSecretExpiring EventKind = "secret expiring"
	// EventStateChanged: the monitor is in another State; it was in Was.
	EventStateChanged EventKind = "state changed"
	// EventKept: this process keeps the monitor from now on.
	EventKept EventKind = "kept"
	// EventRemoved: the monitor was deleted.
	EventRemoved EventKind = "removed"
	// EventPlanned: users were assigned anew, to that many Monitors; Moved of
	// the Users had another one before.
	EventPlanned EventKind = "planned"
	// EventApplicationChanged: the monitors belong to another tenant or
	// application.
	EventApplicationChanged EventKind = "application changed"
)

// Event is something that happened to a monitor or its subscription.
type Event struct {
	// Kind says what has happened.
	Kind EventKind
	// Monitor is the monitor's name.
	Monitor string
	// Time is when it happened.
	Time time.Time
	// SubscriptionID is the subscription it happened to; empty where there is
	// none, as when creating it failed.
	SubscriptionID string
	// Users is how many users the subscription watches, or would.
	Users int
	// Reason is one of the Reason constants, or empty.
	Reason string
	// Action is what failed: "recall" or "remember" (the memory), "adopt",
	// "create", "renew" or "delete".
	Action string
	// Err is the cause of a failure.
	Err error
	// ExpiresAt is the end of the subscription that was created, adopted or renewed.
	ExpiresAt time.Time
	// NextAt is when the next step is due: the next attempt after a failure,
	// the renewal after a success. Zero where nothing is planned.
	NextAt time.Time

	// State is what the monitor is in, and Was what it was in before.
	State, Was State
	// Sentence says what is the matter and what to do, for an administrator.
	Sentence string
	// Monitors and Moved are of a plan.
	Monitors, Moved int
}

// Condition is what a subscription is at, in one word.
type Condition string

// The conditions of a subscription.
const (
	// ConditionStopped: Run is not running.
	ConditionStopped Condition = "stopped"
	// ConditionNoUsers: there is nobody to watch, so there is no subscription.
	ConditionNoUsers Condition = "no users"
	// ConditionCreating: the subscription is about to be created, adopted, or
	// replaced because other users are to be watched.
	ConditionCreating Condition = "creating"
	// ConditionSubscribed: all is well.
	ConditionSubscribed Condition = "subscribed"
	// ConditionFailing: a step fails and is repeated. While the snapshot shows a
	// subscription, notifications may still arrive.
	ConditionFailing Condition = "failing"
	// ConditionLost: the subscription is gone without our doing, and is being
	// created again.
	ConditionLost Condition = "lost"
	// ConditionUnsupported: this cloud has no presence notifications.
	ConditionUnsupported Condition = "unsupported"
)

// SubscriptionSnapshot is a monitor's subscription at one moment.
type SubscriptionSnapshot struct {
	// Name is the monitor's, Condition what the subscription is at.
	Name      string
	Condition Condition
	// SubscriptionID is empty while there is no subscription.
	SubscriptionID string
	// Users is how many users are to be watched; Subscribed is how many the
	// subscription watches.
	Users, Subscribed int
	// Overflow are the users beyond the capacity.
	Overflow []string
	// Uncovered are the users who are to be watched and whom the subscription
	// does not watch, sorted: all of them while there is none, and those who have
	// joined until it is replaced; empty if it covers everybody.
	Uncovered []string
	// CreatedAt, RenewedAt and ExpiresAt are of the present subscription; zero
	// while there is none. A creation counts as a renewal; an adopted one has no
	// RenewedAt until it has been renewed here.
	CreatedAt, RenewedAt, ExpiresAt time.Time
	// WithoutSince is since when there are users to be watched and no subscription, in
	// this process; zero while there is one, or nobody to watch.
	WithoutSince time.Time
	// ListeningSince is since when notifications of the present subscription arrive
	// here; zero while there is none.
	ListeningSince time.Time
	// SeenAt is when Microsoft Graph last confirmed that the present subscription
	// exists: by creating it, by renewing it, or when [Pool.Resync] asked. Zero for
	// one that was adopted, until then.
	SeenAt time.Time
	// LostAt is when a subscription was last found gone without our doing, and
	// LostReason the Reason constant that says how; zero and empty if none ever
	// was. The present one is in its place.
	LostAt     time.Time
	LostReason string
	// HeardAt is when the last notification arrived; zero if none ever did.
	HeardAt time.Time
	// EncryptionID is the id of the certificate with which the notifications are
	// encrypted; empty where they carry no presence.
	EncryptionID string
	// Misses is how many bulk reads since then found what no notification brought.
	Misses int
	// Failures is how often the present step has failed in a row.
	Failures int
	// Err is the last of these failures, FailedAt its time and FailingSince that
	// of the first; nil and zero when the last step succeeded.
	Err                    error
	FailedAt, FailingSince time.Time
	// NextAction is what comes next, "recall", "adopt", "create", "renew", "delete"
	// or "lose" (the subscription expires before the next attempt), and NextAt is
	// when. Empty while nothing is planned.
	NextAction string
	NextAt     time.Time
}

// Snapshot returns what the monitor is at.
func (m *Monitor) Snapshot() SubscriptionSnapshot {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	snapshot := SubscriptionSnapshot{
		Name:      m.name,
		Condition: s.condition(m.running),
		Users:     len(s.users),
		Overflow:  slices.Clone(m.overflow),
		HeardAt:   s.heardAt,
		Misses:    s.misses,
		Failures:  s.failures,
		Err:       s.err,
		FailedAt:  s.failedAt, FailingSince: s.failingSince,
		Subscribed: len(s.subscription.UserIDs),
		LostAt:     s.lostAt, LostReason: s.lostCause, WithoutSince: s.withoutSince,
	}
	if s.subscription.ID != "" {
		snapshot.SubscriptionID, snapshot.ExpiresAt = s.subscription.ID, s.subscription.ExpiresAt
		snapshot.CreatedAt, snapshot.RenewedAt = s.remembered.CreatedAt, s.renewedAt
		snapshot.EncryptionID = s.remembered.EncryptionID
		snapshot.ListeningSince, snapshot.SeenAt = s.heardFrom, s.seenAt
	}
	if !sameUsers(s.users, s.subscription.UserIDs) {
		snapshot.Uncovered = without(s.users, s.subscription.UserIDs)
	}
	if m.running {
		planned := next(now, s)
		snapshot.NextAction, snapshot.NextAt = string(planned.do), planned.at
		if planned.due(now) {
			snapshot.NextAt = now
		}
	}
	return snapshot
}

// failing reports whether the present step has failed.
func (m *Monitor) failing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.failures > 0
}

// condition names what the subscription is at.
func (s *state) condition(running bool) Condition {
	exists := s.subscription.ID != ""
	switch {
	case !running:
		return ConditionStopped
	case s.unsupported:
		return ConditionUnsupported
	case !exists && len(s.users) > 0 && lostBy(s.cause):
		return ConditionLost
	case s.failures > 0:
		return ConditionFailing
	case exists:
		return ConditionSubscribed
	case len(s.users) == 0:
		return ConditionNoUsers
	default:
		return ConditionCreating
	}
}

// lostBy reports whether the cause is one that was not our doing.
func lostBy(cause string) bool {
	return cause == ReasonNotFound || cause == ReasonExpired || cause == ReasonRemoved
}

// emit logs an event and tells it. The embedder's function cannot stop the upkeep.
func (m *Monitor) emit(ctx context.Context, e Event) {
	e.Monitor, e.Time = m.name, time.Now()
	level := e.level()
	if m.log.Enabled(ctx, level) {
		m.log.LogAttrs(ctx, level, "monitor: "+e.message(), e.attrs()...) //nolint:sloglint // one message for each kind of event
	}
	if m.opts.OnEvent != nil {
		m.contain(ctx, "Options.OnEvent", func() { m.opts.OnEvent(e) })
	}
}

// level says how loudly an event is logged.
func (e *Event) level() slog.Level {
	switch e.Kind {
	case EventFailed, EventSignInFailed:
		if errors.Is(e.Err, presence.ErrUnauthorized) || errors.Is(e.Err, presence.ErrForbidden) {
			return slog.LevelError
		}
		return slog.LevelWarn
	case EventStateChanged:
		switch {
		case e.State.Usable() && e.State != StateSecretExpiring:
			return slog.LevelInfo
		case e.State == StateSecretExpiring, e.Was == "":
			return slog.LevelWarn // known before, or just begun
		default:
			return slog.LevelError
		}
	case EventLost, EventSilent, EventReplaced, EventUnsupported, EventSecretExpiring, EventApplicationChanged:
		return slog.LevelWarn
	case EventRenewed:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

func (e *Event) message() string {
	switch e.Kind {
	case EventFailed:
		return e.Action + " subscription failed"
	case EventStateChanged:
		return "monitor is " + string(e.State)
	case EventAdded, EventAuthorized, EventKept, EventRemoved:
		return "monitor " + string(e.Kind)
	case EventSignInFailed, EventSecretRenewed, EventSecretExpiring, EventApplicationChanged:
		return string(e.Kind)
	case EventPlanned:
		return "users assigned"
	default:
		return "subscription " + string(e.Kind)
	}
}

func (e *Event) attrs() []slog.Attr {
	var attrs []slog.Attr
	if e.SubscriptionID != "" {
		attrs = append(attrs, slog.String("subscription_id", e.SubscriptionID))
	}
	if e.Users > 0 {
		attrs = append(attrs, slog.Int("users", e.Users))
	}
	if e.Kind == EventPlanned {
		attrs = append(attrs, slog.Int("monitors", e.Monitors), slog.Int("moved", e.Moved))
	}
	if e.Sentence != "" {
		attrs = append(attrs, slog.String("sentence", e.Sentence))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	if !e.ExpiresAt.IsZero() {
		attrs = append(attrs, slog.Time("expires_at", e.ExpiresAt))
	}
	if !e.NextAt.IsZero() {
		attrs = append(attrs, slog.Time("next_at", e.NextAt))
	}
	return attrs
}

// contain calls a function of the embedder's; a panic in it is logged.
func (m *Monitor) contain(ctx context.Context, what string, f func()) {
	contain(ctx, m.log, what, f)
}

func contain(ctx context.Context, log *slog.Logger, what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "monitor: a call panicked", "call", what, "panic", secret.PanicText(p), "stack", string(debug.Stack()))
		}
	}()
	f()
}
