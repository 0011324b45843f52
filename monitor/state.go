package monitor

import (
	"fmt"
	"slices"
	"strings"
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

// failingGrace is for how long a failure that may pass by itself is none: an
// hour's worth of upkeep survives worse.
const failingGrace = time.Minute

// facts are all that a state is derived from.
type facts struct {
	record      *record
	application Application // the pool's
	warnings    []time.Duration
	// live is the subscription as its keeper in this process sees it; the zero
	// value elsewhere.
	live SubscriptionSnapshot
	// failure is what keeps the monitor from being kept at all.
	failure trouble
	// here: it is kept in this process. assigned is how many users it is given.
	here     bool
	assigned int
}

// derive returns the state, a sentence about it, and when it may change although
// nothing happens; zero if it does not. It is pure.
func derive(now time.Time, f *facts) (state State, sentence string, next time.Time) {
	r := f.record
	until := func(s State, text string) (State, string, time.Time) { return s, text, time.Time{} }
	switch {
	case r.broken != nil:
		return until(StateNotSetUp, "What the store has of the monitor cannot be read: "+r.broken.Error()+". Open the store with the right key, or renew the monitor with a client secret.")
	case r.secrets.ClientSecret.IsZero():
		return until(StateNotSetUp, "The client secret is not there. Renew the monitor with one.")
	case r.Application != f.application:
		return until(StateUpdateNeeded, "The tenant or client id has changed. Renew the monitor with a client secret of the new application, then authorize it.")
	}
	if text := r.secretTrouble(now); text != "" {
		return until(StateSecretExpired, text)
	}
	if text := r.consentTrouble(); text != "" {
		return until(StateConsentMissing, text)
	}
	if text := r.accountTrouble(); text != "" {
		return until(StateAccountBlocked, text)
	}
	switch {
	case r.GrantRefusal.of(refusedSignIn):
		return until(StateNotAuthorized, "Entra asks for a new sign-in: "+r.GrantRefusal.Text+".")
	case r.GrantID == "" && r.SignInFailure != nil:
		return until(StateNotAuthorized, "The last sign-in was not accepted: "+r.SignInFailure.Text+".")
	case r.GrantID == "":
		return until(StateNotAuthorized, "Nobody has signed in as the monitor yet. Authorize it, or send its URL to somebody who knows the account's password.")
	}
	failing, text, next := f.failing(now)
	if failing {
		return StateFailing, text, next
	}
	state, text, change := f.healthy(now)
	return state, text, sooner(next, change)
}

// failing tells of what may pass by itself, once it has lasted, and when to look
// again.
func (f *facts) failing(now time.Time) (failing bool, sentence string, next time.Time) {
	r := f.record
	if refused := r.refused(refusedApplication); refused != nil {
		return true, "Entra does not know the application or has it disabled: " + refused.Text + ".", time.Time{}
	}
	if refused := r.refused(refusedOtherwise); refused != nil {
		return true, "Entra does not let the application sign in: " + refused.Text + ".", time.Time{}
	}
	text := func(since time.Time, why string) string {
		return fmt.Sprintf("It fails since %s and is tried again: %s.", since.UTC().Format(time.RFC3339), why)
	}
	here := f.trouble()
	switch {
	case here.err != nil && now.Before(here.since.Add(failingGrace)):
		return false, "", here.since.Add(failingGrace)
	case here.err != nil:
		return true, text(here.since, here.err.Error()), time.Time{}
	case !f.here && r.Failing != nil:
		return true, text(r.Failing.Since, r.Failing.Text), time.Time{}
	default:
		return false, "", time.Time{}
	}
}

// trouble returns what fails in this process; the zero value if nothing does.
func (f *facts) trouble() trouble {
	if f.failure.err == nil && f.live.Failures > 0 {
		return trouble{f.live.Err, f.live.FailingSince}
	}
	return f.failure
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

// secretTrouble says why the client secret does not work; empty if it does.
func (r *record) secretTrouble(now time.Time) string {
	const renew = " Create a client secret in Entra and renew the monitor with its value."
	switch {
	case r.refused(refusedSecretExpired) != nil:
		return "The client secret has expired." + renew
	case r.refused(refusedSecret) != nil:
		return "Entra does not accept the client secret: it was deleted, or its Secret ID was given in place of its value." + renew
	case r.SecretUnknown == "" && !r.SecretExpiresAt.IsZero() && !now.Before(r.SecretExpiresAt) && !r.SecretAcceptedAt.After(r.SecretExpiresAt):
		return "The client secret ended on " + r.SecretExpiresAt.UTC().Format(time.DateOnly) + "." + renew
	default:
		return ""
	}
}

func (r *record) consentTrouble() string {
	switch {
	case r.GrantRefusal.of(refusedConsent):
		return "A permission has not been consented to: " + r.GrantRefusal.Text + ". Let an administrator of the tenant grant consent, then authorize the monitor again."
	case len(r.Missing) > 0:
		return "Permissions that the monitor needs were taken away: " + strings.Join(r.Missing, ", ") + ". Let an administrator of the tenant grant consent to them, then authorize the monitor again."
	default:
		return ""
	}
}

// accountTrouble says why the account cannot be a monitor.
func (r *record) accountTrouble() string {
	switch a := r.Account; {
	case a != nil && a.Missing:
		return "The tenant has no account with this user principal name. Create it, or delete the monitor."
	case a != nil && !a.Enabled:
		return "The account is disabled. Enable it in Entra."
	case a != nil && !a.Mail:
		return "The account has no mail address. Give it one in Entra."
	case r.GlobalAdministrator != nil && *r.GlobalAdministrator:
		return "The account is a global administrator's, which a monitor must not be. Take the role from it, or use another account."
	case r.GrantRefusal.of(refusedAccount):
		return "Entra does not let the account sign in: " + r.GrantRefusal.Text + "."
	default:
		return ""
	}
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
	// Subscription is its upkeep, where it is kept here.
	Subscription SubscriptionSnapshot

	AddedAt, AuthorizedAt time.Time
	// RefreshTokenExpiresAt is when the grant ends if it is not used before.
	RefreshTokenExpiresAt time.Time
	// SecretExpiresAt is the end of the client secret. Where it is zero,
	// SecretUnknown says why.
	SecretExpiresAt time.Time
	SecretUnknown   string
	// SecretWarning is the warning that was reached last: 60 days, say; 0 if none.
	SecretWarning time.Duration
	// Scopes are the granted permissions, Unneeded those that were asked for,
	// were not granted and can be done without.
	Scopes, Unneeded []string
	// SignInExpiresAt is when the newest authorization URL ends; zero if there is none.
	SignInExpiresAt time.Time
	// SignInFailure is why the last sign-in was not accepted; empty if it was.
	SignInFailure string
	// CheckedAt is when the directory was last asked about the account.
	// AccountUnknown is why it does not tell whether the account is enabled and
	// has a mail address; empty where it does.
	CheckedAt      time.Time
	AccountUnknown string
}

// status returns all of it but for what the pool knows besides.
func (f *facts) status(now time.Time) MonitorStatus {
	r := f.record
	s := MonitorStatus{
		PrincipalName: r.PrincipalName, Leaving: r.Leaving,
		AddedAt: r.AddedAt, AuthorizedAt: r.AuthorizedAt,
		SecretExpiresAt: r.SecretExpiresAt, SecretUnknown: r.SecretUnknown,
		Scopes: slices.Clone(r.Scopes), Unneeded: slices.Clone(r.Unneeded),
		Subscription: f.live, CheckedAt: r.CheckedAt, AccountUnknown: r.AccountUnknown,
	}
	s.SecretWarning = warningAt(r.SecretExpiresAt, now, f.warnings).Reached
	if !r.RefreshedAt.IsZero() {
		s.RefreshTokenExpiresAt = r.RefreshedAt.Add(RefreshTokenLifetime)
	}
	if r.SignInFailure != nil {
		s.SignInFailure = r.SignInFailure.Text
	}
	for _, attempt := range r.SignIns {
		if !attempt.Used && attempt.ExpiresAt.After(now) {
			s.SignInExpiresAt = latest(s.SignInExpiresAt, attempt.ExpiresAt)
		}
	}
	return s
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
