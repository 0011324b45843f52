package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// State is what a monitor is in, in one word: what an administrator has to know,
// and what there is to do.
type State string

// The states of a monitor. Where several hold, it is the first of this list.
const (
	// StateNotSetUp: there is no client secret that could be read.
	StateNotSetUp State = "not set up"
	// StateUpdateNeeded: tenant or client id have changed since it was set up.
	StateUpdateNeeded State = "update needed"
	// StateSecretExpired: Entra does not accept the client secret any more.
	StateSecretExpired State = "secret expired"
	// StateConsentMissing: a permission has not been consented to.
	StateConsentMissing State = "consent missing"
	// StateAccountBlocked: the account cannot be a monitor as it is.
	StateAccountBlocked State = "account blocked"
	// StateNotAuthorized: nobody has signed in as it, or the grant has ended.
	StateNotAuthorized State = "not authorized"
	// StateFailing: something fails that may pass by itself.
	StateFailing State = "failing"
	// StateSecretExpiring: all is well, but the client secret ends soon.
	StateSecretExpiring State = "secret expiring"
	// StateSubscribed: it watches users.
	StateSubscribed State = "subscribed"
	// StateAuthorized: it could watch users, and has none.
	StateAuthorized State = "authorized"
)

// States returns all states, in the order in which they take precedence.
func States() []State {
	return []State{
		StateNotSetUp, StateUpdateNeeded, StateSecretExpired, StateConsentMissing, StateAccountBlocked,
		StateNotAuthorized, StateFailing, StateSecretExpiring, StateSubscribed, StateAuthorized,
	}
}

// Action is something that an administrator can do about a monitor.
type Action string

// The actions on offer.
const (
	// ActionAuthorize: open [Pool.AuthorizationURL] and sign in as the monitor.
	ActionAuthorize Action = "authorize"
	// ActionCopyURL: give that URL to somebody who can sign in.
	ActionCopyURL Action = "copy URL"
	// ActionRetry: try at once what failed: [Pool.Retry].
	ActionRetry Action = "retry"
	// ActionRenew: give it a new client secret: [Pool.Renew].
	ActionRenew Action = "renew"
	// ActionDelete: take it out of the pool: [Pool.Delete].
	ActionDelete Action = "delete"
)

// Actions returns what can be done about a monitor in this state, the most
// helpful first.
func (s State) Actions() []Action {
	switch s {
	case StateNotSetUp, StateUpdateNeeded:
		return []Action{ActionRenew, ActionDelete}
	case StateSecretExpired:
		return []Action{ActionRenew, ActionRetry, ActionDelete}
	case StateConsentMissing, StateNotAuthorized:
		return []Action{ActionAuthorize, ActionCopyURL, ActionRetry, ActionRenew, ActionDelete}
	case StateAccountBlocked:
		return []Action{ActionRetry, ActionAuthorize, ActionCopyURL, ActionDelete}
	case StateFailing:
		return []Action{ActionRetry, ActionRenew, ActionDelete}
	case StateSecretExpiring:
		return []Action{ActionRenew, ActionDelete}
	case StateSubscribed, StateAuthorized:
		return []Action{ActionRetry, ActionRenew, ActionDelete}
	default:
		return nil
	}
}

// Usable reports whether a monitor in this state can watch users.
func (s State) Usable() bool {
	return s == StateSubscribed || s == StateAuthorized || s == StateSecretExpiring
}

// facts are all that a state is derived from.
type facts struct {
	record      *record
	application Application // the pool's
	warnings    []time.Duration
	// live is the subscription as its keeper in this process sees it; the zero
	// value elsewhere.
	live SubscriptionSnapshot
	// failure is what keeps the monitor from being kept at all.
	failure failure
	// here: it is kept in this process. assigned is how many users it is given.
	here     bool
	assigned int
}

// derive returns the state, a sentence about it, and when it may change although
// nothing happens; zero if it does not. It is pure.
func derive(now time.Time, f *facts) (state State, sentence string, next time.Time) {
	troubles, next := f.troubles(now)
	if len(troubles) > 0 {
		return troubles[0].State, troubles[0].Sentence, time.Time{}
	}
	state, sentence, change := f.healthy(now)
	return state, sentence, sooner(next, change)
}

// healthy tells which of the good states it is, and when the secret's end comes
// into sight.
func (f *facts) healthy(now time.Time) (state State, sentence string, next time.Time) {
	r := f.record
	watches, users := f.subscribed(now)
	doing := "It has nobody to watch."
	switch {
	case watches && users > 0:
		doing = fmt.Sprintf("It watches %d users.", users)
	case watches:
		doing = "It watches its users."
	case f.live.Condition == ConditionUnsupported:
		doing = "This cloud has no presence notifications; everybody is read in bulk."
	case f.live.Users > 0 || f.assigned > 0:
		doing = "Its subscription is being created."
	}
	warning := warningAt(r.SecretExpiresAt, now, f.warnings)
	if warning.Due && warning.Reached > 0 {
		return StateSecretExpiring, fmt.Sprintf("The client secret ends on %s, in %s. Create a new one in Entra and renew the monitor with it. %s",
			r.SecretExpiresAt.UTC().Format(time.DateOnly), days(r.SecretExpiresAt.Sub(now)), doing), warning.Next
	}
	if watches {
		return StateSubscribed, doing, warning.Next
	}
	return StateAuthorized, doing, warning.Next
}

// subscribed reports whether a subscription is alive. Another process's is known
// by what it has kept.
func (f *facts) subscribed(now time.Time) (watches bool, users int) {
	switch {
	case f.live.SubscriptionID != "":
		return true, f.live.Subscribed
	case f.failure.err != nil:
		return false, 0 // nobody can tell who hears its notifications
	}
	return !f.here && f.record.Subscription != nil && f.record.Subscription.ExpiresAt.After(now), 0
}

// days writes a duration in days, rounded down: "1 day left" must not be two.
func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// RefreshTokenLifetime is how long a refresh token lives that is not used
// (learn.microsoft.com/entra/identity-platform/refresh-tokens).
const RefreshTokenLifetime = 90 * 24 * time.Hour

// MonitorStatus is one monitor of a pool at one moment.
type MonitorStatus struct { //nolint:revive // a Status could be a subscription's or the pool's as well
	// PrincipalName is the account. Where the record cannot be read, it may be
	// the monitor's key in the store.
	PrincipalName string
	// State is the debounced state, Since when it holds as far as this process
	// has seen: zero before Run has.
	State State
	Since time.Time
	// Sentence says what is the matter and what to do, for an administrator.
	Sentence string
	// Troubles are all that keep it from watching users, what takes precedence
	// first; empty where nothing does. They are those of this moment: State and
	// Sentence, which are those of the first, follow once it has lasted
	// ([PoolOptions.StateSettle]). A failure that may pass by itself is among them
	// after a minute; until then Subscription shows it. A client secret that ends
	// soon is none, but a SecretWarning.
	Troubles []Trouble
	// Actions are what can be done now.
	Actions []Action
	// Leaving: the monitor is being deleted.
	Leaving bool
	// Keeper is the process that keeps the monitor, as far as it is known here:
	// a [PoolOptions.Holder]; empty if nobody does. Here: it is this one.
	Keeper string
	Here   bool
	// Users is how many users are assigned to it, Subscribed how many its
	// subscription watches.
	Users, Subscribed int
	// Uncovered are the users assigned to it of whom it is not known here that a
	// living subscription of its own watches them, sorted; empty if it covers
	// everybody.
	Uncovered []string
	// Subscription is its upkeep, where it is kept here.
	Subscription SubscriptionSnapshot
	// SubscriptionID is the subscription that the store has, whoever keeps the
	// monitor: it may have ended. It is empty, and its times are zero, where there
	// is none.
	SubscriptionID                               string
	SubscriptionCreatedAt, SubscriptionExpiresAt time.Time
	// NotificationURL is where that subscription reports to, EncryptionID the id
	// of the certificate with which it encrypts; empty where it does not.
	NotificationURL, EncryptionID string

	// Application is that of its client secret and its grant.
	Application           Application
	AddedAt, AuthorizedAt time.Time
	// RefreshedAt is when the refresh token was last used, the sign-in included,
	// and RefreshTokenExpiresAt when the grant ends if it is not used before.
	RefreshedAt, RefreshTokenExpiresAt time.Time
	// SecretExpiresAt is the end of the client secret. Where it is zero,
	// SecretUnknown says why.
	SecretExpiresAt time.Time
	SecretUnknown   string
	// SecretAcceptedAt is when Entra last accepted it; zero if it never did here.
	SecretAcceptedAt time.Time
	// SecretWarning is the warning that was reached last: 60 days, say; 0 if none.
	SecretWarning time.Duration
	// Scopes are the granted permissions, Unneeded those that were asked for,
	// were not granted and can be done without. Missing are such that it needs
	// and that were taken away since the sign-in.
	Scopes, Unneeded, Missing []string
	// SignInExpiresAt is when the newest authorization URL ends; zero if there is none.
	SignInExpiresAt time.Time
	// SignInFailure is why the last sign-in was not accepted, SignInFailedAt when;
	// empty and zero if it was.
	SignInFailure  string
	SignInFailedAt time.Time
	// CheckedAt is when the directory was last asked about the account.
	// AccountUnknown is why it does not tell whether the account is enabled and
	// has a mail address; empty where it does.
	CheckedAt      time.Time
	AccountUnknown string
	// CheckFailure is why it did not answer when somebody waited for it last
	// ([Pool.Resync], [Pool.Retry]); empty if it did.
	CheckFailure string
	// AccountID is the account's Entra object id; empty where it is not known.
	AccountID string
	// AccountEnabled says whether the account is enabled, AccountMail whether it
	// has a mail address, as the directory told last, and GlobalAdministrator
	// whether it is a global administrator's, as the newest token does. Nil is
	// unknown.
	AccountEnabled, AccountMail, GlobalAdministrator *bool
}

// status returns all of it but for what the pool knows besides.
func (f *facts) status(now time.Time) MonitorStatus {
	r := f.record
	s := MonitorStatus{
		PrincipalName: r.PrincipalName, Leaving: r.Leaving,
		Application: r.Application, AddedAt: r.AddedAt, AuthorizedAt: r.AuthorizedAt, RefreshedAt: r.RefreshedAt,
		SecretExpiresAt: r.SecretExpiresAt, SecretUnknown: r.SecretUnknown, SecretAcceptedAt: r.SecretAcceptedAt,
		Scopes: slices.Clone(r.Scopes), Unneeded: slices.Clone(r.Unneeded), Missing: slices.Clone(r.Missing),
		Subscription: f.live, CheckedAt: r.CheckedAt, AccountUnknown: r.AccountUnknown, CheckFailure: r.CheckFailure,
		GlobalAdministrator: copied(r.GlobalAdministrator),
	}
	s.Troubles, _ = f.troubles(now)
	if a := r.Account; a != nil && !a.Missing {
		s.AccountID, s.AccountEnabled, s.AccountMail = a.ID, copied(&a.Enabled), copied(&a.Mail)
	}
	if kept := r.Subscription; kept != nil {
		s.SubscriptionID, s.SubscriptionCreatedAt, s.SubscriptionExpiresAt = kept.ID, kept.CreatedAt, kept.ExpiresAt
		s.NotificationURL, s.EncryptionID = kept.NotificationURL, kept.EncryptionID
	}
	s.SecretWarning = warningAt(r.SecretExpiresAt, now, f.warnings).Reached
	if !r.RefreshedAt.IsZero() {
		s.RefreshTokenExpiresAt = r.RefreshedAt.Add(RefreshTokenLifetime)
	}
	if r.SignInFailure != nil {
		s.SignInFailure, s.SignInFailedAt = r.SignInFailure.Text, r.SignInFailure.At
	}
	for _, attempt := range r.SignIns {
		if !attempt.Used && attempt.ExpiresAt.After(now) {
			s.SignInExpiresAt = latest(s.SignInExpiresAt, attempt.ExpiresAt)
		}
	}
	return s
}

// copied returns a pointer of its own to what p points to; nil stays nil.
func copied(p *bool) *bool {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// accountOf returns the facts that an inspection brought.
func accountOf(i *Inspection) *accountFacts {
	u := i.Account
	return &accountFacts{ID: u.ID, Enabled: u.Enabled, Mail: u.Mail != ""}
}

// checkAccount returns what keeps an account from being a monitor.
func checkAccount(u presence.TeamsUser) error {
	switch {
	case !u.Enabled:
		return ErrAccountDisabled
	case u.Mail == "":
		return ErrNoMail
	default:
		return nil
	}
}
