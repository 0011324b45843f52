package monitor

import (
	"fmt"
	"strings"
	"time"
)

// Trouble is one thing that keeps a monitor from watching users.
type Trouble struct {
	// Kind is the cause, in a word that does not change between versions.
	Kind TroubleKind
	// State is what the monitor is in because of it, if nothing comes first.
	State State
	// Sentence says what is the matter and what to do, for an administrator.
	Sentence string
	// Since is since when it is known here or in the store: for a refusal, when
	// Entra first answered so. Zero where nothing tells.
	Since time.Time
}

// TroubleKind is the cause of a [Trouble].
type TroubleKind string

// The causes, in the order in which they take precedence.
const (
	// TroubleRecordUnreadable: what the store has of the monitor cannot be read.
	TroubleRecordUnreadable TroubleKind = "record-unreadable"
	// TroubleSecretMissing: the record has no client secret.
	TroubleSecretMissing TroubleKind = "secret-missing"
	// TroubleApplicationChanged: the monitor belongs to another tenant or
	// application than the pool.
	TroubleApplicationChanged TroubleKind = "application-changed"
	// TroubleSecretExpired: the client secret has ended, as Entra answers or by
	// the date in the directory.
	TroubleSecretExpired TroubleKind = "secret-expired"
	// TroubleSecretRefused: Entra does not accept the client secret, for another
	// reason than its end.
	TroubleSecretRefused TroubleKind = "secret-refused"
	// TroubleConsentMissing: Entra or Microsoft Graph refuses what the monitor
	// asks for, because it was not consented to.
	TroubleConsentMissing TroubleKind = "consent-missing"
	// TroublePermissionsMissing: the grant has lost permissions that a monitor
	// needs: [MonitorStatus.Missing] names them.
	TroublePermissionsMissing TroubleKind = "permissions-missing"
	// TroubleAccountMissing: the directory has no such account.
	TroubleAccountMissing TroubleKind = "account-missing"
	// TroubleAccountDisabled: the account is disabled in the directory.
	TroubleAccountDisabled TroubleKind = "account-disabled"
	// TroubleMailMissing: the account has no mail address.
	TroubleMailMissing TroubleKind = "mail-missing"
	// TroubleGlobalAdministrator: the account is a global administrator's.
	TroubleGlobalAdministrator TroubleKind = "global-administrator"
	// TroubleSignInRefused: Entra does not let the account sign in: it is locked,
	// disabled, not assigned to the application, or its password has expired.
	TroubleSignInRefused TroubleKind = "sign-in-refused"
	// TroubleSecondFactor: Entra asks the account for a second factor.
	TroubleSecondFactor TroubleKind = "second-factor-required"
	// TroubleConditionalAccess: a policy of the tenant forbids the sign-in.
	TroubleConditionalAccess TroubleKind = "conditional-access"
	// TroubleGrantEnded: the grant was revoked or has expired.
	TroubleGrantEnded TroubleKind = "grant-ended"
	// TroubleSignInFailed: nobody is signed in, and the last attempt was not
	// accepted.
	TroubleSignInFailed TroubleKind = "sign-in-failed"
	// TroubleNeverAuthorized: nobody is signed in, and nobody has tried.
	TroubleNeverAuthorized TroubleKind = "never-authorized"
	// TroubleApplicationUnusable: Entra does not know the application or the
	// tenant, or the application is disabled.
	TroubleApplicationUnusable TroubleKind = "application-refused"
	// TroubleRefusedOtherwise: Entra does not let the application in, for another
	// reason than its secret.
	TroubleRefusedOtherwise TroubleKind = "refused-otherwise"
	// TroubleFailing: something has failed for a minute that may pass by itself. A
	// step that fails because Entra refuses is no second trouble.
	TroubleFailing TroubleKind = "failing"
)

// TroubleKinds returns all causes, in the order in which they take precedence.
func TroubleKinds() []TroubleKind {
	return []TroubleKind{
		TroubleRecordUnreadable, TroubleSecretMissing, TroubleApplicationChanged, TroubleSecretExpired, TroubleSecretRefused,
		TroubleConsentMissing, TroublePermissionsMissing,
		TroubleAccountMissing, TroubleAccountDisabled, TroubleMailMissing, TroubleGlobalAdministrator, TroubleSignInRefused,
		TroubleSecondFactor, TroubleConditionalAccess, TroubleGrantEnded, TroubleSignInFailed, TroubleNeverAuthorized,
		TroubleApplicationUnusable, TroubleRefusedOtherwise, TroubleFailing,
	}
}

// failingGrace is for how long a failure that may pass by itself is none: an
// hour's worth of upkeep survives worse.
const failingGrace = time.Minute

// troubles returns all that is the matter, what takes precedence first, and when
// there may be more although nothing happens; zero if that is never. It is pure.
//
// Of a record that cannot be read nothing else is known. What is known of a
// monitor of another application was said to that one.
func (f *facts) troubles(now time.Time) (all []Trouble, next time.Time) {
	r := f.record
	if r.broken != nil {
		return []Trouble{{TroubleRecordUnreadable, StateNotSetUp, "What the store has of the monitor cannot be read: " + r.broken.Error() +
			". Open the store with the right key, or renew the monitor with a client secret.", time.Time{}}}, time.Time{}
	}
	if r.secrets.ClientSecret.IsZero() {
		all = append(all, Trouble{TroubleSecretMissing, StateNotSetUp, "The client secret is not there. Renew the monitor with one.", time.Time{}})
	}
	if r.Application != f.application {
		return append(all, Trouble{TroubleApplicationChanged, StateUpdateNeeded,
			"The tenant or client id has changed. Renew the monitor with a client secret of the new application, then authorize it.", time.Time{}}), time.Time{}
	}
	all = r.secretTrouble(all, now)
	all = r.consentTroubles(all)
	all = r.accountTroubles(all)
	all = r.grantTrouble(all)
	return f.failures(all, now)
}

// secretTrouble appends why the client secret does not work. It has one fate:
// what Entra answers counts for more than a date.
func (r *record) secretTrouble(all []Trouble, now time.Time) []Trouble {
	const renew = " Create a client secret in Entra and renew the monitor with its value."
	if refused := r.refused(refusedSecretExpired); refused != nil {
		return append(all, Trouble{TroubleSecretExpired, StateSecretExpired, "The client secret has expired." + renew, refused.At})
	}
	if refused := r.refused(refusedSecret); refused != nil {
		return append(all, Trouble{TroubleSecretRefused, StateSecretExpired,
			"Entra does not accept the client secret: it was deleted, or its Secret ID was given in place of its value." + renew, refused.At})
	}
	if r.SecretUnknown == "" && !r.SecretExpiresAt.IsZero() && !now.Before(r.SecretExpiresAt) && !r.SecretAcceptedAt.After(r.SecretExpiresAt) {
		return append(all, Trouble{TroubleSecretExpired, StateSecretExpired,
			"The client secret ended on " + r.SecretExpiresAt.UTC().Format(time.DateOnly) + "." + renew, r.SecretExpiresAt})
	}
	return all
}

// consentTroubles appends what the account may not do.
func (r *record) consentTroubles(all []Trouble) []Trouble {
	if refused := r.GrantRefusal; refused.of(refusedConsent) {
		all = append(all, Trouble{TroubleConsentMissing, StateConsentMissing, "A permission has not been consented to: " + refused.Text +
			". Let an administrator of the tenant grant consent, then authorize the monitor again.", refused.At})
	}
	if len(r.Missing) > 0 {
		all = append(all, Trouble{TroublePermissionsMissing, StateConsentMissing, "Permissions that the monitor needs were taken away: " + strings.Join(r.Missing, ", ") +
			". Let an administrator of the tenant grant consent to them, then authorize the monitor again.", time.Time{}})
	}
	return all
}

// accountTroubles appends why the account cannot be a monitor.
func (r *record) accountTroubles(all []Trouble) []Trouble {
	blocked := func(kind TroubleKind, sentence string, since time.Time) {
		all = append(all, Trouble{kind, StateAccountBlocked, sentence, since})
	}
	switch a := r.Account; {
	case a == nil:
	case a.Missing:
		blocked(TroubleAccountMissing, "The tenant has no account with this user principal name. Create it, or delete the monitor.", time.Time{})
	default:
		if !a.Enabled {
			blocked(TroubleAccountDisabled, "The account is disabled. Enable it in Entra.", time.Time{})
		}
		if !a.Mail {
			blocked(TroubleMailMissing, "The account has no mail address. Give it one in Entra.", time.Time{})
		}
	}
	if r.GlobalAdministrator != nil && *r.GlobalAdministrator {
		blocked(TroubleGlobalAdministrator, "The account is a global administrator's, which a monitor must not be. Take the role from it, or use another account.", time.Time{})
	}
	if refused := r.GrantRefusal; refused.of(refusedAccount) {
		blocked(TroubleSignInRefused, "Entra does not let the account sign in: "+refused.Text+".", refused.At)
	}
	return all
}

// grantTrouble appends why somebody has to sign in.
func (r *record) grantTrouble(all []Trouble) []Trouble {
	authorize := func(kind TroubleKind, sentence string, since time.Time) []Trouble {
		return append(all, Trouble{kind, StateNotAuthorized, sentence, since})
	}
	if refused := r.GrantRefusal; refused.of(refusedSecondFactor, refusedPolicy, refusedSignIn) {
		kind := TroubleGrantEnded
		switch refused.Reason {
		case refusedSecondFactor:
			kind = TroubleSecondFactor
		case refusedPolicy:
			kind = TroubleConditionalAccess
		}
		return authorize(kind, "Entra asks for a new sign-in: "+refused.Text+".", refused.At)
	}
	switch {
	case r.GrantID != "":
		return all
	case r.SignInFailure != nil:
		return authorize(TroubleSignInFailed, "The last sign-in was not accepted: "+r.SignInFailure.Text+".", r.SignInFailure.At)
	default:
		return authorize(TroubleNeverAuthorized, "Nobody has signed in as the monitor yet. Authorize it, or send its URL to somebody who knows the account's password.", time.Time{})
	}
}

// failures appends what may pass by itself, once it has lasted, and returns when
// to look again.
func (f *facts) failures(all []Trouble, now time.Time) (troubles []Trouble, next time.Time) {
	r := f.record
	if refused := r.refused(refusedApplication); refused != nil {
		all = append(all, Trouble{TroubleApplicationUnusable, StateFailing, "Entra does not know the application or has it disabled: " + refused.Text + ".", refused.At})
	}
	if refused := r.refused(refusedOtherwise); refused != nil {
		all = append(all, Trouble{TroubleRefusedOtherwise, StateFailing, "Entra does not let the application sign in: " + refused.Text + ".", refused.At})
	}
	var fails lastingFailure
	here := f.failsHere()
	switch {
	case here.err != nil:
		fails = here.lasting()
	case !f.here && r.Failing != nil:
		fails = *r.Failing
	default:
		return all, time.Time{}
	}
	if fails.Reason != "" && len(all) > 0 && (r.GrantRefusal != nil || r.SecretRefusal != nil) {
		return all, time.Time{} // it is the refusal that is among them
	}
	if due := fails.Since.Add(failingGrace); here.err != nil && now.Before(due) {
		return all, due
	}
	sentence := fmt.Sprintf("It fails since %s and is tried again: %s.", fails.Since.UTC().Format(time.RFC3339), fails.Text)
	return append(all, Trouble{TroubleFailing, StateFailing, sentence, fails.Since}), time.Time{}
}

// failsHere returns what fails in this process; the zero value if nothing does.
func (f *facts) failsHere() failure {
	if f.failure.err == nil && f.live.Failures > 0 {
		return failure{f.live.Err, f.live.FailingSince}
	}
	return f.failure
}
