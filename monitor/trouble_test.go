package monitor

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// fault is one thing that is wrong with a monitor. Of two with the same place
// the later one takes the place of the other.
type fault struct {
	name, place string
	apply       func(*facts)
	want        Trouble
}

func faults(now time.Time) []fault {
	yes, earlier := true, now.Add(-time.Hour)
	refused := func(reason refusalReason) *refusal {
		return &refusal{Reason: reason, Text: "as Entra says", At: earlier}
	}
	grant := func(reason refusalReason) func(*facts) {
		return func(f *facts) { f.record.GrantRefusal = refused(reason) }
	}
	secret := func(reason refusalReason) func(*facts) {
		return func(f *facts) { f.record.SecretRefusal = refused(reason) }
	}
	account := func(change func(*accountFacts)) func(*facts) {
		return func(f *facts) { change(f.record.Account) }
	}
	const renew = " Create a client secret in Entra and renew the monitor with its value."
	return []fault{
		{"unreadable", "record", func(f *facts) { f.record.broken = ErrUnreadableRecord },
			Trouble{"record-unreadable", StateNotSetUp, "What the store has of the monitor cannot be read: the monitor's record cannot be read. Open the store with the right key, or renew the monitor with a client secret.", time.Time{}}},
		{"no secret", "value", func(f *facts) { f.record.secrets.ClientSecret = presence.Secret{} },
			Trouble{"secret-missing", StateNotSetUp, "The client secret is not there. Renew the monitor with one.", time.Time{}}},
		{"other application", "application", func(f *facts) { f.application.ClientID = "other" },
			Trouble{"application-changed", StateUpdateNeeded, "The tenant or client id has changed. Renew the monitor with a client secret of the new application, then authorize it.", time.Time{}}},
		{"secret expired", "secret", secret(refusedSecretExpired),
			Trouble{"secret-expired", StateSecretExpired, "The client secret has expired." + renew, earlier}},
		{"secret ended", "secret", func(f *facts) { f.record.SecretExpiresAt = earlier },
			Trouble{"secret-expired", StateSecretExpired, "The client secret ended on 2026-05-01." + renew, earlier}},
		{"secret refused", "secret", secret(refusedSecret),
			Trouble{"secret-refused", StateSecretExpired, "Entra does not accept the client secret: it was deleted, or its Secret ID was given in place of its value." + renew, earlier}},
		{"secret refused to the account", "secret", grant(refusedSecret),
			Trouble{"secret-refused", StateSecretExpired, "Entra does not accept the client secret: it was deleted, or its Secret ID was given in place of its value." + renew, earlier}},
		{"consent", "grant", grant(refusedConsent),
			Trouble{"consent-missing", StateConsentMissing, "A permission has not been consented to: as Entra says. Let an administrator of the tenant grant consent, then authorize the monitor again.", earlier}},
		{"permissions", "scopes", func(f *facts) { f.record.Missing = []string{"Presence.Read.All", "User.Read"} },
			Trouble{"permissions-missing", StateConsentMissing, "Permissions that the monitor needs were taken away: Presence.Read.All, User.Read. Let an administrator of the tenant grant consent to them, then authorize the monitor again.", time.Time{}}},
		{"account gone", "account", account(func(a *accountFacts) { *a = accountFacts{Missing: true} }),
			Trouble{"account-missing", StateAccountBlocked, "The tenant has no account with this user principal name. Create it, or delete the monitor.", time.Time{}}},
		{"disabled", "enabled", account(func(a *accountFacts) { a.Enabled = false }),
			Trouble{"account-disabled", StateAccountBlocked, "The account is disabled. Enable it in Entra.", time.Time{}}},
		{"no mail", "mail", account(func(a *accountFacts) { a.Mail = false }),
			Trouble{"mail-missing", StateAccountBlocked, "The account has no mail address. Give it one in Entra.", time.Time{}}},
		{"administrator", "role", func(f *facts) { f.record.GlobalAdministrator = &yes },
			Trouble{"global-administrator", StateAccountBlocked, "The account is a global administrator's, which a monitor must not be. Take the role from it, or use another account.", time.Time{}}},
		{"locked", "grant", grant(refusedAccount),
			Trouble{"sign-in-refused", StateAccountBlocked, "Entra does not let the account sign in: as Entra says.", earlier}},
		{"second factor", "grant", grant(refusedSecondFactor),
			Trouble{"second-factor-required", StateNotAuthorized, "Entra asks for a new sign-in: as Entra says.", earlier}},
		{"policy", "grant", grant(refusedPolicy),
			Trouble{"conditional-access", StateNotAuthorized, "Entra asks for a new sign-in: as Entra says.", earlier}},
		{"grant ended", "grant", grant(refusedSignIn),
			Trouble{"grant-ended", StateNotAuthorized, "Entra asks for a new sign-in: as Entra says.", earlier}},
		{"sign-in failed", "grant", func(f *facts) {
			f.record.GrantID, f.record.SignInFailure = "", &signInFailure{Text: "another account", At: earlier}
		}, Trouble{"sign-in-failed", StateNotAuthorized, "The last sign-in was not accepted: another account.", earlier}},
		{"no sign-in", "grant", func(f *facts) { f.record.GrantID = "" },
			Trouble{"never-authorized", StateNotAuthorized, "Nobody has signed in as the monitor yet. Authorize it, or send its URL to somebody who knows the account's password.", time.Time{}}},
		{"application gone", "secret", secret(refusedApplication),
			Trouble{"application-refused", StateFailing, "Entra does not know the application or has it disabled: as Entra says.", earlier}},
		{"application let in by nobody", "secret", secret(refusedOtherwise),
			Trouble{"refused-otherwise", StateFailing, "Entra does not let the application sign in: as Entra says.", earlier}},
		{"upkeep fails", "failure", func(f *facts) {
			f.live.Failures, f.live.Err, f.live.FailingSince = 3, errMoody, now.Add(-failingGrace)
		}, Trouble{"failing", StateFailing, "It fails since 2026-05-01T11:59:00Z and is tried again: " + errMoody.Error() + ".", now.Add(-failingGrace)}},
		{"not kept", "failure", func(f *facts) { f.failure = failure{errMoody, earlier} },
			Trouble{"failing", StateFailing, "It fails since 2026-05-01T11:00:00Z and is tried again: " + errMoody.Error() + ".", earlier}},
		{"fails elsewhere", "failure", func(f *facts) { f.record.Failing, f.here = &lastingFailure{Text: "it is down", Since: earlier}, false },
			Trouble{"failing", StateFailing, "It fails since 2026-05-01T11:00:00Z and is tried again: it is down.", earlier}},
	}
}

// wellFacts are those of a monitor for which all is well.
func wellFacts(now time.Time) *facts {
	return &facts{
		application: testApplication, warnings: secretWarnings(), here: true,
		record: &record{
			PrincipalName: "m@example.test", Application: testApplication, GrantID: "grant", RefreshedAt: now.Add(-time.Hour),
			Account: &accountFacts{ID: "id", Enabled: true, Mail: true}, SecretExpiresAt: now.AddDate(1, 0, 0),
			secrets: secrets{ClientSecret: presence.NewSecret("s"), RefreshToken: presence.NewSecret("r")},
		},
		live: SubscriptionSnapshot{Condition: ConditionNoUsers},
	}
}

func TestEachFaultIsOneTrouble(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	seen := map[TroubleKind]bool{}
	troubles, next := wellFacts(now).troubles(now)
	assert.Empty(t, troubles)
	assert.Zero(t, next)
	for _, fault := range faults(now) {
		f := wellFacts(now)
		fault.apply(f)
		troubles, _ := f.troubles(now)
		assert.Equal(t, []Trouble{fault.want}, troubles, fault.name)
		state, sentence, next := derive(now, f)
		assert.Equal(t, fault.want.State, state, fault.name)
		assert.Equal(t, fault.want.Sentence, sentence, fault.name)
		assert.Zero(t, next, fault.name)
		seen[fault.want.Kind] = true
	}
	for _, kind := range TroubleKinds() {
		assert.True(t, seen[kind], "%s is not among the faults", kind)
		assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, string(kind))
	}
	assert.Len(t, seen, len(TroubleKinds()))
}

// Whatever is wrong together is listed together, in the order of precedence, and
// the state is that of the first: any two, and any number.
func TestAllFaultsAreListed(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	all := faults(now)
	for i := range all {
		for j := range all {
			assertListed(t, now, all[i], all[j])
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		var together []fault
		for _, i := range rapid.SliceOf(rapid.IntRange(2, len(all)-1)).Draw(rt, "faults") {
			together = append(together, all[i])
		}
		assertListed(rt, now, together...)
	})
}

// assertListed applies the faults, as far as they can hold together.
func assertListed(t require.TestingT, now time.Time, together ...fault) {
	f := wellFacts(now)
	var want []TroubleKind
	places := map[string]bool{}
	for _, fault := range together {
		// The refusal of a grant may be about the secret, and an account that is
		// gone is not disabled as well.
		if places[fault.place] || fault.name == "secret refused to the account" ||
			fault.place == "account" && (places["enabled"] || places["mail"]) ||
			(fault.place == "enabled" || fault.place == "mail") && places["account"] {
			continue
		}
		places[fault.place] = true
		fault.apply(f)
		want = append(want, fault.want.Kind)
	}
	switch {
	case places["record"]:
		want = []TroubleKind{TroubleRecordUnreadable}
	case places["application"]:
		want = slices.DeleteFunc(want, func(k TroubleKind) bool { return k != TroubleApplicationChanged && k != TroubleSecretMissing })
	}
	slices.SortFunc(want, func(a, b TroubleKind) int {
		return slices.Index(TroubleKinds(), a) - slices.Index(TroubleKinds(), b)
	})
	troubles, _ := f.troubles(now)
	require.Equal(t, want, kindsOf(troubles, now))
	states := make([]int, len(troubles))
	for i, trouble := range troubles {
		states[i] = slices.Index(States(), trouble.State)
	}
	assert.True(t, slices.IsSorted(states), "a state of more weight comes first: %v", troubles)
	state, sentence, _ := derive(now, f)
	if len(troubles) == 0 {
		assert.True(t, state.Usable(), state)
		return
	}
	assert.Equal(t, troubles[0].State, state)
	assert.Equal(t, troubles[0].Sentence, sentence)
}

// What fails for less than a minute is no trouble yet, and says when it will be.
func TestFailureOfAMomentIsNoTrouble(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f := wellFacts(now)
	f.failure = failure{errMoody, now.Add(-failingGrace + time.Second)}
	f.record.Account.Mail = false
	troubles, next := f.troubles(now)
	require.Len(t, troubles, 1)
	assert.Equal(t, TroubleMailMissing, troubles[0].Kind)
	assert.Equal(t, now.Add(time.Second), next)
	troubles, next = f.troubles(next)
	require.Len(t, troubles, 2)
	assert.Equal(t, TroubleFailing, troubles[1].Kind)
	assert.Zero(t, next)
}

// A step that is refused fails as well, which is one trouble: here, and seen from
// another process. Before the refusal is known for certain it is a failure.
func TestRefusedStepIsNoSecondTrouble(t *testing.T) {
	now, yes := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), true
	for where, apply := range map[string]func(*facts, error){
		"here": func(f *facts, err error) { f.failure = failure{err, now.Add(-time.Hour)} },
		"elsewhere": func(f *facts, err error) {
			lasting := failure{err, now.Add(-time.Hour)}.lasting()
			f.record.Failing, f.here = &lasting, false
		},
	} {
		f := wellFacts(now)
		apply(f, errTenantSignIn)
		assert.Equal(t, []TroubleKind{TroubleFailing}, kindsOf(f.troubles(now)), where)
		f.record.GlobalAdministrator = &yes
		assert.Equal(t, []TroubleKind{TroubleGlobalAdministrator, TroubleFailing}, kindsOf(f.troubles(now)), where)
		f.record.GrantRefusal = newRefusal(reasonOf(errTenantSignIn), errTenantSignIn, now)
		assert.Equal(t, []TroubleKind{TroubleGlobalAdministrator, TroubleGrantEnded}, kindsOf(f.troubles(now)), where)
		f.record.GrantRefusal.Reason, f.record.GlobalAdministrator = "one of a newer version", nil
		assert.Equal(t, []TroubleKind{TroubleFailing}, kindsOf(f.troubles(now)), "%s: what cannot be named fails", where)
		f.record.GrantRefusal.Reason, f.record.GlobalAdministrator = refusedSignIn, &yes
		apply(f, errMoody)
		assert.Equal(t, []TroubleKind{TroubleGlobalAdministrator, TroubleGrantEnded, TroubleFailing}, kindsOf(f.troubles(now)), where)
	}
}

func kindsOf(troubles []Trouble, _ time.Time) []TroubleKind {
	return MonitorStatus{Troubles: troubles}.kinds()
}

func (s MonitorStatus) kinds() (kinds []TroubleKind) {
	for _, trouble := range s.Troubles {
		kinds = append(kinds, trouble.Kind)
	}
	return kinds
}
