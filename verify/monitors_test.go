package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// monitorCodes returns the codes of all checks of the pool and of its monitors.
func monitorCodes() []Code {
	var codes []Code
	for _, list := range [][]Check{poolChecks(), monitorChecks(), subscriptionChecks()} {
		for _, check := range list {
			codes = append(codes, check.Code)
		}
	}
	return codes
}

// notInOrder returns the results of the monitors' checks that have not passed.
func notInOrder(t *testing.T, p *plant, opts *SystemOptions) []Result {
	t.Helper()
	var bad []Result
	for _, r := range p.only(t, opts, monitorCodes()...) {
		if r.Status != Passed && r.Status != NotApplicable {
			bad = append(bad, r)
		}
	}
	return bad
}

func resultNames(results []Result) (all []string) {
	for _, r := range results {
		all = append(all, r.Name())
	}
	return all
}

func TestMonitorsInOrderPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		results := p.only(t, nil, monitorCodes()...)
		require.Len(t, results, len(poolChecks())+2*len(monitorChecks())+2*len(subscriptionChecks()))
		for _, r := range results {
			if r.Name() == "monitor-heard[monitor2@example.com]" {
				assert.Equal(t, NotApplicable, r.Status)
				assert.Contains(t, r.Sentence, "reserve")
				continue
			}
			assert.Equal(t, Passed, r.Status, "%s: %s", r.Name(), r.Sentence)
		}
		for _, m := range p.pool.Monitors {
			assert.Equal(t, 1, p.asked["resync "+m.PrincipalName], "Entra is asked once for all checks")
		}
	})
}

// A cause that no check knows would be found by none: each is the business of
// just one check, which names it and says what to do.
func TestEveryTroubleOfAMonitorFailsOneCheck(t *testing.T) {
	kinds := monitor.TroubleKinds()
	require.Len(t, monitorTroubles(), len(kinds))
	for _, kind := range append(kinds, "of a later version") {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want, known := monitorTroubles()[kind]
				if !known {
					require.NotContains(t, kinds, kind)
					want.code = CodeMonitorWorking
				}
				p := newPlant()
				since := time.Now().Add(-time.Hour)
				p.pool.Monitors[0].Troubles = []monitor.Trouble{{Kind: kind, Sentence: "Entra says: AADSTS1. A second sentence. Let an administrator do it.", Since: since}}
				bad := notInOrder(t, p, nil)
				require.Equal(t, []string{name(want.code, "monitor1@example.com")}, resultNames(bad))
				assert.Equal(t, Failed, bad[0].Status)
				assert.NotEmpty(t, bad[0].Remedy)
				assert.NotEmpty(t, bad[0].Administrator)
				assert.Contains(t, bad[0].Evidence, Evidence{"trouble", string(kind)})
				assert.Contains(t, bad[0].Evidence, Evidence{"since", moment(since)})
				if want.sentence != "" {
					assert.Contains(t, bad[0].Sentence, "monitor1@example.com")
				} else {
					assert.Contains(t, bad[0].Sentence, "AADSTS1")
				}
			})
		})
	}
}

// What only a sign-in tells has not passed while nobody has signed in, and is no
// second failure either.
func TestMonitorThatNobodyHasAuthorized(t *testing.T) {
	p := newPlant()
	m := &p.pool.Monitors[0]
	m.AuthorizedAt, m.RefreshedAt, m.RefreshTokenExpiresAt, m.Scopes, m.GlobalAdministrator = time.Time{}, time.Time{}, time.Time{}, nil, nil
	m.Troubles = []monitor.Trouble{{Kind: monitor.TroubleNeverAuthorized}}
	c, err := NewSystemCheck(p.sources(), p.settings(), &SystemOptions{Resolver: p})
	require.NoError(t, err)
	report, err := c.Run(t.Context(), &RunOptions{Only: []Code{CodeMonitorRecommended, CodeMonitorRefreshToken, CodeMonitorNotAdministrator, CodeMonitorMail}})
	require.NoError(t, err)
	require.Equal(t, []string{name(CodeMonitorAuthorized, m.PrincipalName)}, resultNames(report.Troubles()))
	for code, status := range map[Code]Status{
		CodeMonitorMail: Passed, CodeMonitorNotAdministrator: NotApplicable, CodeMonitorSignIn: NotApplicable, CodeMonitorConsent: NotApplicable,
		CodeMonitorRefreshToken: Skipped, CodeMonitorPermissions: Skipped, CodeMonitorRecommended: Skipped,
	} {
		r, ok := report.Result(code, m.PrincipalName)
		require.True(t, ok)
		assert.Equal(t, status, r.Status, code)
	}
}

// A sign-in that was refused is told, whether an earlier one holds or none does.
func TestRefusedSignInIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		m := &p.pool.Monitors[0]
		m.SignInFailedAt, m.SignInFailure = time.Now().Add(-time.Minute), "somebody else has signed in"
		said := func(name string) {
			r := p.only(t, nil, CodeMonitorAuthorized)[0]
			assert.Equal(t, "1999-12-31T23:59:00Z", evidenceOf(r, name))
			assert.Equal(t, "somebody else has signed in", evidenceOf(r, "because"))
		}
		said("a later sign-in refused")
		m.Troubles = []monitor.Trouble{{Kind: monitor.TroubleNeverAuthorized}}
		said("last sign-in refused")
	})
}

// Of several causes each fails its own check, and what Entra says is not mixed
// with what there is to do.
func TestSeveralTroublesOfAMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.pool.Monitors[0].Troubles = []monitor.Trouble{
			{Kind: monitor.TroubleSecretExpired, Sentence: "The client secret has expired."},
			{Kind: monitor.TroubleConsentMissing, Sentence: "A permission has not been consented to: AADSTS65001. Let an administrator of the tenant grant consent, then authorize the monitor again."},
			{Kind: monitor.TroubleSecondFactor, Sentence: "Entra asks for a new sign-in: AADSTS50076."},
			{Kind: monitor.TroubleConditionalAccess, Sentence: "Entra asks for a new sign-in: AADSTS53003."},
		}
		bad := notInOrder(t, p, nil)
		require.Equal(t, []string{
			"monitor-secret[monitor1@example.com]", "monitor-sign-in[monitor1@example.com]", "monitor-consent[monitor1@example.com]",
		}, resultNames(bad))
		assert.Equal(t, "The client secret of the monitor monitor1@example.com has expired.", bad[0].Sentence)
		assert.Equal(t, "Entra asks for a new sign-in: AADSTS50076.", bad[1].Sentence, "the first")
		assert.Contains(t, bad[1].Remedy, "second factor")
		assert.Equal(t, "A permission has not been consented to: AADSTS65001.", bad[2].Sentence)
		assert.Contains(t, bad[2].Remedy, "Grant admin consent")
	})
}

// monitorCase breaks one thing and names what the checks say of it.
type monitorCase struct {
	name  string
	fault func(*plant, *monitor.MonitorStatus)
	opts  *SystemOptions
	// codes are the checks that say so, the first of which is looked at.
	codes    []Code
	status   Status
	sentence string
	remedy   string
	by       Administrator
	evidence string
}

func runMonitorCases(t *testing.T, cases []monitorCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant()
				c.fault(p, &p.pool.Monitors[0])
				bad := notInOrder(t, p, c.opts)
				var codes []Code
				for _, r := range bad {
					codes = append(codes, r.Code)
				}
				require.Equal(t, c.codes, codes)
				if len(bad) == 0 {
					return
				}
				r := bad[0]
				assert.Equal(t, c.status, r.Status)
				assert.Contains(t, r.Sentence, c.sentence)
				assert.Contains(t, r.Remedy, c.remedy)
				assert.Equal(t, c.by, r.Administrator)
				assert.Contains(t, fmt.Sprint(r.Evidence), c.evidence)
				assert.Equal(t, 1, strings.Count(strings.TrimSuffix(r.Sentence, "."), ". ")+1, "one sentence: %s", r.Sentence)
			})
		})
	}
}

func TestPoolChecks(t *testing.T) {
	crowd := func(p *plant, users, needed int, left ...string) {
		p.pool.Users, p.pool.Needed, p.pool.Overflow, p.pool.Unwatched = users, needed, left, left
	}
	runMonitorCases(t, []monitorCase{
		{"store", func(p *plant, _ *monitor.MonitorStatus) { p.pool.Err = fmt.Errorf("disk full") }, nil,
			[]Code{CodeMonitorsStore}, Failed, "could not be read or written", "disk, rights, network", Operator, "disk full"},
		{"store says what to do", func(p *plant, _ *monitor.MonitorStatus) {
			p.pool.Err = &monitor.Error{Operation: "load", Err: monitor.ErrWrongKey}
		}, nil,
			[]Code{CodeMonitorsStore}, Failed, "could not be read", "Open the store with the key that it was written with", Operator, ""},
		{"stopped", func(p *plant, m *monitor.MonitorStatus) { p.pool.Running, m.Here, m.Keeper = false, true, "test" }, nil,
			[]Code{CodeMonitorsRunning}, Failed, "does not run in this process", "Start the bridge", Operator, "{process test}"},
		{"other tenant", func(p *plant, _ *monitor.MonitorStatus) { p.pool.Application.TenantID = "other-tenant" }, nil,
			[]Code{CodeMonitorsApplication}, Failed, "belong to the tenant other-tenant, and the configuration names " + testTenant + ".", "Correct the tenant", Operator, ""},
		{"other client", func(p *plant, _ *monitor.MonitorStatus) { p.pool.Application = monitor.Application{} }, nil,
			[]Code{CodeMonitorsApplication}, Failed, "(none), and the configuration names " + testTenant + ", and to the client id (none)", "Correct", Operator, ""},
		{"ids in capitals", func(p *plant, _ *monitor.MonitorStatus) {
			p.pool.Application.TenantID = strings.ToUpper(p.pool.Application.TenantID)
		}, nil, nil, "", "", "", "", ""},
		{"too few", func(p *plant, _ *monitor.MonitorStatus) { crowd(p, 1951, 4, "id-bob", "ID-ADA", "stranger") }, nil,
			[]Code{CodeMonitorsSufficient}, Failed, "1951 users need 4 monitors, and there are 2: there is no place for 3 users: ada@example.com, bob@example.com, stranger.",
			"Create 2 further presence monitors", AzureAdministrator, "{monitors needed 4}"},
		{"too few without a plan", func(p *plant, _ *monitor.MonitorStatus) { crowd(p, 1301, 3) }, nil,
			[]Code{CodeMonitorsSufficient}, Failed, "1301 users need 3 monitors, and there are 2.", "Create 1 further presence monitor in", AzureAdministrator, ""},
		{"one leaves", func(p *plant, m *monitor.MonitorStatus) {
			crowd(p, 700, 2)
			p.pool.Monitors[1].Leaving = true
		}, nil, []Code{CodeMonitorsSufficient}, Failed, "700 users need 2 monitors, and there is 1.", "Create 1", AzureAdministrator, "{monitors 1}"},
		{"reserve missing", func(p *plant, _ *monitor.MonitorStatus) {
			crowd(p, 1300, 4)
			p.pool.Spares = 2
		}, nil, []Code{CodeMonitorsSufficient}, Warned, "of 2 monitors in reserve 2 are missing", "Create 2", AzureAdministrator, "{of them spares 2}"},
		{"enough that do not work", func(p *plant, _ *monitor.MonitorStatus) {
			crowd(p, 1300, 2, "id-ada")
			p.pool.Capacity, p.pool.Missing = 0, 2
		}, nil, nil, "", "", "", "", ""},
		{"nobody told", func(p *plant, _ *monitor.MonitorStatus) { crowd(p, 0, 0) }, nil,
			[]Code{CodeMonitorsSufficient}, Warned, "Nobody has told the pool whom to watch, though 3 users are matched.", "Bridge.Watch", Operator, ""},
		{"nobody to watch one-way", func(p *plant, _ *monitor.MonitorStatus) {
			crowd(p, 0, 0)
			p.direction = presencebridge.OneWay
		}, nil, nil, "", "", "", "", ""},
	})
}

func TestMonitorsMissingAltogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.pool.Monitors = nil
		bad := notInOrder(t, p, nil)
		require.Equal(t, []string{string(CodeMonitorsSufficient)}, resultNames(bad))
		assert.Equal(t, "3 users need 1 monitor, and there is none.", bad[0].Sentence)
	})
}

func TestMonitorAccountChecks(t *testing.T) {
	const day = 24 * time.Hour
	set := func(change func(*monitor.MonitorStatus)) func(*plant, *monitor.MonitorStatus) {
		return func(_ *plant, m *monitor.MonitorStatus) { change(m) }
	}
	runMonitorCases(t, []monitorCase{
		{"secret never accepted", set(func(m *monitor.MonitorStatus) { m.SecretAcceptedAt = time.Time{} }), nil,
			[]Code{CodeMonitorSecret}, Warned, "not known whether Entra accepts the client secret of the monitor monitor1@example.com", "Run the check again", Operator, ""},
		{"secret ends", set(func(m *monitor.MonitorStatus) { m.SecretExpiresAt = time.Now().Add(29*day + time.Hour) }), nil,
			[]Code{CodeMonitorSecretExpiry}, Warned, "ends on 2000-01-30, in 29 days.", "renew the monitor with its Value", AzureAdministrator, "{ends 2000-01-30}"},
		{"secret ends today", set(func(m *monitor.MonitorStatus) { m.SecretExpiresAt = time.Now().Add(time.Hour) }), nil,
			[]Code{CodeMonitorSecretExpiry}, Warned, "in less than a day.", "", AzureAdministrator, ""},
		{"secret ends later", set(func(m *monitor.MonitorStatus) { m.SecretExpiresAt = time.Now().Add(29 * day) }), &SystemOptions{SecretWarning: 28 * day},
			nil, "", "", "", "", ""},
		{"secret's end unknown", set(func(m *monitor.MonitorStatus) { m.SecretExpiresAt, m.SecretUnknown = time.Time{}, "none has the value" }), nil,
			[]Code{CodeMonitorSecretExpiry}, Warned, "not known when the client secret of the monitor", "Set right", AzureAdministrator, "{why none has the value}"},
		{"account unknown", set(func(m *monitor.MonitorStatus) {
			m.AccountUnknown, m.AccountEnabled, m.AccountMail = "the account could not be read: 403", nil, nil
		}), nil, []Code{CodeMonitorAccount}, Warned, "not known now whether the account monitor1@example.com exists", "User.Read.All", AzureAdministrator, "403"},
		{"account never read", set(func(m *monitor.MonitorStatus) { m.AccountEnabled, m.AccountMail = nil, nil }), nil,
			[]Code{CodeMonitorAccount}, Warned, "has not answered yet", "Run the check again", Operator, ""},
		{"administrator unknown", set(func(m *monitor.MonitorStatus) { m.GlobalAdministrator = nil }), nil,
			[]Code{CodeMonitorNotAdministrator}, Warned, "The token does not tell", "Look at the roles", AzureAdministrator, ""},
		{"token unused", set(func(m *monitor.MonitorStatus) {
			m.RefreshedAt, m.RefreshTokenExpiresAt = time.Now().Add(-8*day), time.Now().Add(82*day)
		}), nil, []Code{CodeMonitorRefreshToken}, Warned, "last used on 1999-12-24", "Keep the bridge running", Operator, "{ends if it is not used 2000-03-23}"},
		{"token ended", set(func(m *monitor.MonitorStatus) {
			m.RefreshedAt, m.RefreshTokenExpiresAt = time.Now().Add(-91*day), time.Now().Add(-day)
		}), nil, []Code{CodeMonitorRefreshToken}, Warned, "ended on 1999-12-31", "Authorize the monitor again", Operator, ""},
		{"token unknown", set(func(m *monitor.MonitorStatus) { m.RefreshedAt = time.Time{} }), nil,
			[]Code{CodeMonitorRefreshToken}, Warned, "It is not known when the refresh token", "Retry the monitor", Operator, ""},
		{"required permission", set(func(m *monitor.MonitorStatus) { m.Scopes = []string{"subscription.read.all"} }), nil,
			[]Code{CodeMonitorPermissions}, Failed, "lacks the required Presence.Read.All (subscribe to presence).", "grant admin consent", AzureAdministrator, "{granted subscription.read.all}"},
		{"recommended permission", set(func(m *monitor.MonitorStatus) { m.Scopes = []string{"Presence.Read.All"} }), nil,
			[]Code{CodeMonitorRecommended}, Warned, "lacks the recommended Subscription.Read.All (see subscriptions).", "leave it as it is", AzureAdministrator, ""},
		{"no refresh token", set(func(m *monitor.MonitorStatus) { m.RefreshedAt, m.RefreshTokenExpiresAt = time.Time{}, time.Time{} }), nil,
			[]Code{CodeMonitorRefreshToken, CodeMonitorPermissions}, Warned, "", "", Operator, ""},
		{"scopes unknown", set(func(m *monitor.MonitorStatus) { m.Scopes = nil }), nil,
			[]Code{CodeMonitorPermissions}, Warned, "It is not known which permissions", "Authorize", AzureAdministrator, ""},
		{"profile taken away", func(p *plant, m *monitor.MonitorStatus) {
			p.permissions = append(p.permissions, Permission{Name: "profile", Purpose: "learn who it is", Delegated: true, Required: true}, Permission{Name: "email", Purpose: "learn the address", Delegated: true})
			m.Scopes, m.Missing, m.Unneeded = []string{"Presence.Read.All", "Subscription.Read.All"}, []string{"profile"}, []string{"email"}
		}, nil, []Code{CodeMonitorPermissions, CodeMonitorRecommended}, Failed, "profile (learn who it is)", "", AzureAdministrator, ""},
		{"profile not repeated", func(p *plant, m *monitor.MonitorStatus) {
			p.permissions = append(p.permissions, Permission{Name: "profile", Delegated: true, Required: true})
			m.Scopes = []string{"Presence.Read.All", "Subscription.Read.All"}
		}, nil, nil, "", "", "", "", ""},
	})
}

func TestMonitorSubscriptionChecks(t *testing.T) {
	live := func(change func(*monitor.SubscriptionSnapshot)) func(*plant, *monitor.MonitorStatus) {
		return func(_ *plant, m *monitor.MonitorStatus) { change(&m.Subscription) }
	}
	none := func(s *monitor.SubscriptionSnapshot) {
		*s = monitor.SubscriptionSnapshot{Condition: monitor.ConditionCreating, Users: s.Users, NextAction: "create", NextAt: time.Now().Add(time.Second), WithoutSince: time.Now().Add(-2*time.Minute + time.Second)}
	}
	elsewhere := func(m *monitor.MonitorStatus) {
		m.Here, m.Keeper, m.Subscription = false, "other", monitor.SubscriptionSnapshot{}
	}
	runMonitorCases(t, []monitorCase{
		{"no keeper", func(_ *plant, m *monitor.MonitorStatus) { m.Keeper = "" }, nil,
			[]Code{CodeMonitorWorking}, Warned, "No process keeps the monitor monitor1@example.com", "lease", Operator, ""},
		{"expired", live(func(s *monitor.SubscriptionSnapshot) { s.ExpiresAt = time.Now().Add(-time.Second) }), nil,
			[]Code{CodeMonitorSubscription}, Failed, "ended on 1999-12-31T23:59:59Z and was not renewed", "creates it again by itself", Operator, ""},
		{"delivers elsewhere", func(_ *plant, m *monitor.MonitorStatus) { m.NotificationURL = "https://former.example.com/graph" }, nil,
			[]Code{CodeMonitorSubscription}, Warned, "delivers to https://former.example.com/graph, and the configured notification URL is " + testURL, "same notification URL", Operator,
			"{delivers to https://former.example.com/graph}"},
		{"delivers elsewhere, kept by another process", func(_ *plant, m *monitor.MonitorStatus) {
			elsewhere(m)
			m.NotificationURL, m.EncryptionID = "https://former.example.com/graph", "cert-7"
		}, nil, []Code{CodeMonitorSubscription}, Warned, "delivers to https://former.example.com/graph", "same notification URL", Operator, "{encrypts for the certificate cert-7}"},
		{"what the store has is an older one", func(_ *plant, m *monitor.MonitorStatus) {
			m.SubscriptionID, m.NotificationURL = "subscription-0", "https://former.example.com/graph"
		}, nil, nil, "", "", "", "", ""},
		{"creating", live(none), nil, nil, "", "", "", "", ""},
		{"creating for too long, and nothing fails", live(func(s *monitor.SubscriptionSnapshot) {
			none(s)
			s.WithoutSince = time.Now().Add(-2 * time.Minute)
		}), nil, []Code{CodeMonitorSubscription}, Failed, "has had no subscription since 1999-12-31T23:58:00Z", "creates it again by itself", Operator, "{next create}"},
		{"creating has not begun", live(func(s *monitor.SubscriptionSnapshot) { *s = monitor.SubscriptionSnapshot{} }), nil,
			[]Code{CodeMonitorSubscription}, Warned, "has no subscription for its 3 users, and has not begun to create one", "look at the log", Operator, ""},
		{"creating fails since just now", live(func(s *monitor.SubscriptionSnapshot) {
			none(s)
			s.Failures, s.Err, s.FailingSince = 2, errors.New("boom"), time.Now().Add(-time.Minute)
		}), nil, nil, "", "", "", "", ""},
		{"creating fails", live(func(s *monitor.SubscriptionSnapshot) {
			none(s)
			s.Failures, s.Err, s.FailingSince = 9, errors.New("boom"), time.Now().Add(-time.Hour)
		}), nil, []Code{CodeMonitorSubscription}, Failed, "has no subscription, and creating one fails since 1999-12-31T23:00:00Z", "", Operator, "{error boom}"},
		{"lost when looked up", live(func(s *monitor.SubscriptionSnapshot) { s.LostAt, s.LostReason = time.Now(), monitor.ReasonNotFound }), nil,
			[]Code{CodeMonitorSubscription}, Warned, "was gone when it was looked up", "nobody deletes it", Operator, "{because subscription not found}"},
		{"lost long ago", live(func(s *monitor.SubscriptionSnapshot) {
			s.LostAt, s.LostReason = time.Now().Add(-time.Hour), monitor.ReasonNotFound
		}), nil, nil, "", "", "", "", ""},
		{"unsupported", func(p *plant, m *monitor.MonitorStatus) {
			m.Subscription = monitor.SubscriptionSnapshot{Condition: monitor.ConditionUnsupported}
			m.Uncovered = []string{"id-ada", "id-bob", "id-cy"}
		}, nil, nil, "", "", "", "", ""},
		{"user not covered", func(_ *plant, m *monitor.MonitorStatus) {
			m.Uncovered = []string{"id-bob"}
			m.Subscription.NextAction, m.Subscription.NextAt = "renew", time.Now().Add(time.Minute)
		}, nil, []Code{CodeMonitorSubscriptionUsers}, Failed, "does not cover 1 of its 3 users: bob@example.com.", "in a minute", Operator, "{not covered 1}"},
		{"user not covered because it fails", func(_ *plant, m *monitor.MonitorStatus) {
			m.Uncovered = []string{"id-bob"}
			m.Subscription.NextAction, m.Subscription.NextAt, m.Subscription.Failures, m.Subscription.Err = "delete", time.Now(), 1, errors.New("boom")
		}, nil, []Code{CodeMonitorSubscriptionUsers}, Failed, "does not cover", "", Operator, ""},
		{"user joins", func(_ *plant, m *monitor.MonitorStatus) {
			m.Uncovered = []string{"id-bob", "id-cy"}
			m.Subscription.NextAction, m.Subscription.NextAt = "delete", time.Now().Add(time.Second)
		}, nil, []Code{CodeMonitorSubscriptionUsers}, Warned, "just being replaced, because 2 users joined: bob@example.com, cy@example.com.", "Run the check again", Operator, ""},
		{"misses", live(func(s *monitor.SubscriptionSnapshot) { s.Misses = 2 }), nil,
			[]Code{CodeMonitorHeard}, Warned, "no notification since 1999-12-31T23:59:00Z, though 2 regular readings found changes.", "let Microsoft Graph reach", Operator, ""},
		{"silent", live(func(s *monitor.SubscriptionSnapshot) {
			s.ListeningSince, s.HeardAt = time.Now().AddDate(0, 0, -20), time.Now().AddDate(0, 0, -8)
		}), nil, []Code{CodeMonitorHeard}, Warned, "no notification since 1999-12-24T00:00:00Z (8 days ago)", "Change the presence", Operator, ""},
		{"never heard", live(func(s *monitor.SubscriptionSnapshot) {
			s.ListeningSince, s.HeardAt = time.Now().AddDate(0, 0, -8), time.Time{}
		}), nil, []Code{CodeMonitorHeard}, Warned, "when it began to listen (8 days ago)", "", Operator, ""},
		{"never heard, but young", live(func(s *monitor.SubscriptionSnapshot) { s.HeardAt = time.Time{} }), nil, nil, "", "", "", "", ""},
		{"heard by the former one", live(func(s *monitor.SubscriptionSnapshot) { s.HeardAt = time.Now().AddDate(0, 0, -8) }), nil, nil, "", "", "", "", ""},
		{"elsewhere", func(_ *plant, m *monitor.MonitorStatus) { elsewhere(m) }, nil, nil, "", "", "", "", ""},
		{"elsewhere without subscription", func(_ *plant, m *monitor.MonitorStatus) {
			elsewhere(m)
			m.SubscriptionID, m.SubscriptionExpiresAt = "", time.Time{}
		}, nil, []Code{CodeMonitorSubscription}, Warned, "The process other keeps the monitor", "in that process", Operator, ""},
		{"elsewhere ended", func(_ *plant, m *monitor.MonitorStatus) {
			elsewhere(m)
			m.SubscriptionExpiresAt = time.Now().Add(-time.Minute)
		}, nil, []Code{CodeMonitorSubscription}, Failed, "as far as the process other", "is alive", Operator, "{kept by other}"},
		{"elsewhere not covered", func(_ *plant, m *monitor.MonitorStatus) {
			elsewhere(m)
			m.Uncovered = []string{"id-ada"}
		}, nil, []Code{CodeMonitorSubscriptionUsers}, Warned, "not known here whether its subscription covers 1 of its users: ada@example.com.", "in that process", Operator, ""},
	})
}

func TestSubscriptionThatWasLookedUpRestsOnThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		assert.Equal(t, basisMonitorRead, p.only(t, nil, CodeMonitorSubscription)[0].Basis)
		p.pool.Monitors[0].Subscription.SeenAt = time.Now()
		assert.Contains(t, p.only(t, nil, CodeMonitorSubscription)[0].Basis, "asked for the subscription now")
	})
}

// What Entra could not be asked is told as what it is: of before.
func TestMonitorWithoutAnAnswerOfEntra(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.pool.Monitors = p.pool.Monitors[:1]
		p.resyncErr = fmt.Errorf("%w: the network is down", presence.ErrUnavailable)
		asked := time.Now().Add(-3 * time.Hour)
		p.pool.Monitors[0].CheckedAt = asked
		results := p.only(t, nil, CodeMonitorEnabled, CodeMonitorWorking)
		require.Len(t, results, 2)
		assert.Equal(t, Passed, results[0].Status)
		assert.Contains(t, results[0].Basis, "what was known before")
		assert.Contains(t, results[0].Evidence, Evidence{"last asked", moment(asked)})
		assert.Contains(t, fmt.Sprint(results[0].Evidence), "the network is down")
		assert.Equal(t, Warned, results[1].Status)
		assert.Contains(t, results[1].Sentence, "Entra could not be asked about the monitor monitor1@example.com now.")

		p.pool.Monitors[0].CheckFailure, p.pool.Monitors[0].SecretAcceptedAt = "it was down before", asked.Add(-time.Hour)
		results = p.only(t, nil, CodeMonitorEnabled)
		assert.Contains(t, results[0].Evidence, Evidence{"last asked", moment(asked.Add(-time.Hour))}, "a question without an answer is none")

		p.pool.Monitors[0].Here, p.pool.Monitors[0].Keeper = false, "other"
		results = p.only(t, nil, CodeMonitorWorking)
		assert.Contains(t, results[0].Sentence, "The process other keeps the monitor monitor1@example.com and has not asked")

		for _, known := range []error{monitor.ErrUnreadableRecord, monitor.ErrUpdateNeeded} {
			p.resyncErr = &monitor.Error{Operation: "resync", Err: known}
			results = p.only(t, nil, CodeMonitorWorking)
			assert.Equal(t, Passed, results[0].Status, "there is nothing to ask")
		}
	})
}

func TestMonitorThatIsDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.resync = func(context.Context, string) (monitor.MonitorStatus, error) {
			return monitor.MonitorStatus{}, &monitor.Error{Operation: "resync", Err: monitor.ErrUnknownMonitor}
		}
		for _, r := range p.only(t, nil, CodeMonitorAccount, CodeMonitorHeard) {
			assert.Equal(t, NotApplicable, r.Status)
			assert.Contains(t, r.Sentence, "deleted")
		}
	})
}

// As many monitors as 100,000 users need must not take their time one after the
// other when there is no answer.
func TestManyMonitorsWithoutAnAnswerAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		first := p.pool.Monitors[0]
		p.pool.Monitors = nil
		for n := range 154 {
			m := first
			m.PrincipalName = fmt.Sprintf("monitor%d@example.com", n)
			p.pool.Monitors = append(p.pool.Monitors, m)
		}
		p.resync = func(ctx context.Context, _ string) (monitor.MonitorStatus, error) {
			<-ctx.Done()
			return monitor.MonitorStatus{}, ctx.Err()
		}
		began := time.Now()
		results := p.only(t, &SystemOptions{Timeout: 10 * time.Second}, CodeMonitorEnabled, CodeMonitorWorking)
		assert.Less(t, time.Since(began), time.Minute)
		require.Len(t, results, 2*154)
		for _, r := range results {
			if r.Code == CodeMonitorWorking {
				assert.Equal(t, Warned, r.Status, r.Subject)
				assert.Regexp(t, "there was no answer within 10s|no answer in time", fmt.Sprint(r.Evidence))
			} else {
				assert.Equal(t, Passed, r.Status, "%s: %s", r.Subject, r.Sentence)
			}
		}
		asked := 0
		for _, times := range p.asked {
			asked += times
		}
		assert.LessOrEqual(t, asked, 8)
	})
}
