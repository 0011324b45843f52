package tenant_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

type user = graphtest.User

// first is the monitor that is broken; the other one stays as it is.
const first = "monitor1@example.com"

// account changes an account in the directory, by the name of a person or of a
// monitor.
func (s *system) account(name string, edit func(*user)) {
	s.Helper()
	id := s.people[name].teams.ID
	for _, m := range s.monitors {
		if m.Name == name {
			id = m.ID
		}
	}
	require.NoError(s, s.graph.UpdateUser(id, edit))
}

// status is what the pool knows of the first monitor.
func (s *system) status() monitor.MonitorStatus {
	s.Helper()
	status, found := s.service.pool.Snapshot().Monitor(first)
	require.True(s, found)
	return status
}

// becomes waits, for an hour at most, until the first monitor is as it should be.
func (s *system) becomes(what string, so func(monitor.MonitorStatus) bool) {
	s.Helper()
	for range 3600 {
		if so(s.status()) {
			return
		}
		time.Sleep(time.Second)
	}
	require.Fail(s, "the monitor did not become "+what)
}

// secretOf returns the client secret of the first monitor as Entra has it.
func (s *system) secretOf(a *graphtest.Application) *graphtest.Secret {
	s.Helper()
	i := slices.IndexFunc(a.Secrets, func(secret graphtest.Secret) bool { return secret.Description == "acme monitor1" })
	require.GreaterOrEqual(s, i, 0)
	return &a.Secrets[i]
}

// signInAgain signs the first monitor in, once what was in the way is gone.
func (s *system) signInAgain() {
	s.Helper()
	require.NoError(s, s.authorize(s.monitors[0]))
	s.settle()
}

// accounts breaks the account of the first monitor in the directory. A sign-in sets
// it right afterwards, which only some of what can be wrong makes necessary.
func accounts(edit, back func(*user)) (broken, mended func(*system)) {
	return func(s *system) { s.account("monitor1", edit) }, func(s *system) {
		s.account("monitor1", back)
		s.signInAgain()
	}
}

// other is another application of the tenant that is as good as the first one.
func (s *system) other() graphtest.Application {
	s.Helper()
	value := presence.NewSecret("other~secret-of-the-bridge")
	s.known[value.Reveal()] = "client secret"
	return s.graph.AddApplication(graphtest.Application{Name: "other bridge", Secrets: []graphtest.Secret{{Value: value, Description: "acme"}}})
}

func poolFaults() []fault {
	diskFull := errors.New("no space left on device")
	return []fault{
		fault{name: "the disk is full", found: []string{"monitors-store failed"}, sentence: "could not be read or written"}.with(
			func(s *system) {
				s.store.err.Store(&diskFull)
				time.Sleep(6 * time.Minute)
			},
			func(s *system) {
				s.store.err.Store(nil)
				s.settle()
			}),
		fault{name: "it has ended", found: []string{"monitors-running failed"}, sentence: "does not run"}.with(
			func(s *system) { s.stopPool() },
			func(s *system) {
				s.runPool()
				s.settle()
			}),
		fault{name: "those of another", found: []string{"monitors-application failed"}, sentence: "the configuration names"}.with(
			func(s *system) {
				other := s.other()
				s.reconfigure(func(c *configuration) { c.clientID, c.secret = other.ClientID, other.Secrets[0].Value })
				time.Sleep(inStep)
			},
			func(s *system) {
				s.reconfigure(nil)
				s.settle()
			}),
		fault{
			name: "it was not given to the bridge", found: []string{"monitors-sufficient warning"}, sentence: "Nobody has told the pool whom to watch",
			aside: []string{"users-watched", "probe-notification"},
		}.with(configured(func(c *configuration) { c.withoutWatch = true })),
		fault{name: "one user too many", found: []string{"monitors-sufficient failed"}, sentence: "5 users need 3 monitors, and there are 2"}.with(
			func(s *system) {
				s.graph.AddUser(user{ID: otherGUID, PrincipalName: "dan@example.com", Mail: "dan@example.com"})
				s.mitel.AddUser(cloudlinktest.User{ID: "dan", Name: "Dan", Email: "dan@example.com", Extension: "2010", SiteID: siteHead})
				time.Sleep(2 * directoryInterval)
			},
			func(s *system) {
				s.mitel.RemoveUser("dan")
				s.graph.RemoveUser(otherGUID)
				time.Sleep(2 * directoryInterval)
				s.settle()
			}),
	}
}

// nobodyToHearOf are the checks that do not apply where no monitor watches anybody.
var nobodyToHearOf = []string{"monitor-heard[monitor1@example.com]", "monitor-heard[monitor2@example.com]"}

// damage writes something else to the store for what is sealed in the record of the
// first monitor.
func (s *system) damage() {
	s.Helper()
	entries, err := s.store.List(s.Context(), "")
	require.NoError(s, err)
	for _, entry := range entries {
		if !bytes.Contains(entry.Value, []byte(first)) {
			continue
		}
		damaged := bytes.Replace(entry.Value, []byte(`"sealed":"`), []byte(`"sealed":"AAAA`), 1)
		require.NotEqual(s, entry.Value, damaged)
		_, err := s.store.Put(s.Context(), entry.Key, damaged, entry.Revision)
		require.NoError(s, err)
		return
	}
	require.Fail(s, "there is no record of the monitor")
}

func monitorFaults() []fault {
	renew := func(s *system) {
		require.NoError(s, s.service.pool.Renew(s.Context(), first, s.newSecret("acme monitor1 anew")))
		s.settle()
	}
	withdraw := func(names ...string) (broken, mended func(*system)) {
		return func(s *system) {
				require.NoError(s, s.graph.WithdrawScopes(s.app.ClientID, s.monitors[0].ID, names...))
			}, func(s *system) {
				require.NoError(s, s.graph.WithdrawScopes(s.app.ClientID, s.monitors[0].ID))
				s.signInAgain()
			}
	}
	return []fault{
		fault{name: "its record is damaged", found: []string{"monitor-set-up[monitor1@example.com] failed"}, sentence: "cannot be read"}.with(
			func(s *system) {
				s.damage()
				time.Sleep(time.Minute)
			},
			func(s *system) {
				renew(s)
				s.signInAgain()
			}),
		fault{name: "it was forgotten", found: []string{"monitor-application[monitor1@example.com] failed"}, sentence: "The tenant or client id has changed"}.with(
			func(s *system) {
				other := s.other()
				s.healthy.clientID, s.healthy.secret, s.healthy.pool.AcceptApplication = other.ClientID, other.Secrets[0].Value, true
				s.app = other
				s.reconfigure(nil)
				require.NoError(s, s.service.pool.Renew(s.Context(), s.monitors[1].PrincipalName, s.newSecret("acme monitor2")))
				require.NoError(s, s.authorize(s.monitors[1]))
				time.Sleep(inStep)
			},
			func(s *system) {
				require.NoError(s, s.service.pool.Renew(s.Context(), first, s.newSecret("acme monitor1")))
				s.signInAgain()
			}),
		fault{name: "expired", found: []string{"monitor-secret[monitor1@example.com] failed"}, sentence: "has expired"}.with(
			func(s *system) {
				s.change(func(a *graphtest.Application) { s.secretOf(a).End = time.Now().Add(-time.Minute) })
			}, renew),
		fault{name: "deleted", found: []string{"monitor-secret[monitor1@example.com] failed"}, sentence: "it was deleted"}.with(
			func(s *system) {
				s.change(func(a *graphtest.Application) {
					gone := s.secretOf(a).KeyID
					a.Secrets = slices.DeleteFunc(a.Secrets, func(secret graphtest.Secret) bool { return secret.KeyID == gone })
				})
			}, renew),
		fault{name: "it ends soon", found: []string{"monitor-secret-expiry[monitor1@example.com] warning"}, sentence: "ends on 2000-01-11"}.with(
			func(s *system) {
				s.change(func(a *graphtest.Application) { s.secretOf(a).End = time.Now().Add(10 * 24 * time.Hour) })
			}, renew),
		fault{name: "deleted", found: []string{"monitor-account[monitor1@example.com] failed"}, sentence: "no account with the user principal name " + first}.with(
			func(s *system) { s.graph.RemoveUser(s.monitors[0].ID) },
			func(s *system) {
				s.graph.AddUser(s.monitors[0])
				s.signInAgain()
			}),
		fault{name: "disabled", found: []string{"monitor-enabled[monitor1@example.com] failed"}, sentence: "is disabled"}.with(
			accounts(func(u *user) { u.Disabled = true }, func(u *user) { u.Disabled = false })),
		fault{name: "none", found: []string{"monitor-mail[monitor1@example.com] failed"}, sentence: "has no mail address"}.with(
			accounts(func(u *user) { u.Mail = "" }, func(u *user) { u.Mail = first })),
		fault{name: "a global administrator", found: []string{"monitor-not-administrator[monitor1@example.com] failed"}, sentence: "global administrator's"}.with(
			accounts(func(u *user) { u.GlobalAdministrator = true }, func(u *user) { u.GlobalAdministrator = false })),
		fault{name: "a second factor", found: []string{"monitor-sign-in[monitor1@example.com] failed"}, sentence: "second factor"}.with(
			accounts(func(u *user) { u.SignInRefusal = 50076 }, func(u *user) { u.SignInRefusal = 0 })),
		fault{name: "a policy", found: []string{"monitor-sign-in[monitor1@example.com] failed"}, sentence: "onditional access"}.with(
			accounts(func(u *user) { u.SignInRefusal = 53003 }, func(u *user) { u.SignInRefusal = 0 })),
		fault{name: "its own consent is missing", found: []string{"monitor-consent[monitor1@example.com] failed"}, sentence: "consented"}.with(
			accounts(func(u *user) { u.SignInRefusal = 65001 }, func(u *user) { u.SignInRefusal = 0 })),
		fault{name: "its sessions were revoked", found: []string{"monitor-authorized[monitor1@example.com] failed"}}.with(
			func(s *system) { s.graph.RevokeRefreshTokens(s.monitors[0].ID) }, (*system).signInAgain),
		// The bridge was off for a week, and since it runs again, Entra neither lets this
		// account use its refresh token nor refuses it. So the monitor does not work,
		// which is urgent; that its grant is about to end, nothing else tells.
		fault{
			name:  "unused for a week, and Entra fails",
			found: []string{"monitor-refresh-token[monitor1@example.com] warning", "monitor-working[monitor1@example.com] failed"},
		}.with(
			func(s *system) {
				s.graph.Control(0, s.failsToRefresh())
				s.stop()
				time.Sleep(8 * 24 * time.Hour)
				s.start()
				s.settle()
			},
			func(s *system) {
				s.graph.ClearControls()
				s.settle()
			}),
		fault{name: "one is taken away", found: []string{"monitor-permissions[monitor1@example.com] failed"}, sentence: "Presence.Read.All"}.with(withdraw("Presence.Read.All")),
		fault{name: "one is taken away", found: []string{"monitor-permissions-recommended[monitor1@example.com] warning"}, sentence: "lacks the recommended Subscription.Read.All"}.with(
			withdraw("Subscription.Read.All")),
	}
}

// failsToRefresh answers the first monitor's use of its refresh token as a service
// does that is out of order.
func (s *system) failsToRefresh() graphtest.Control {
	secret := ""
	s.change(func(a *graphtest.Application) { secret = s.secretOf(a).Value.Reveal() })
	return func(r *http.Request) *graphtest.Reply {
		if strings.HasSuffix(r.URL.Path, "/token") && r.ParseForm() == nil && r.PostForm.Get("grant_type") == "refresh_token" && r.PostForm.Get("client_secret") == secret {
			return &graphtest.Reply{Status: http.StatusServiceUnavailable}
		}
		return nil
	}
}

func subscriptionFaults() []fault {
	// path is that of the first monitor's subscription at Microsoft Graph.
	path := func(s *system) string { return "/graph/v1.0/subscriptions/" + s.status().SubscriptionID }
	settled := func(s *system) {
		s.graph.ClearControls()
		require.NoError(s, s.service.pool.Retry(s.Context(), first))
		s.settle()
	}
	return []fault{
		fault{name: "it cannot be renewed", found: []string{"monitor-working[monitor1@example.com] failed"}}.with(
			func(s *system) {
				s.graph.Control(0, graphtest.Match(http.MethodPatch, path(s), graphtest.Reply{Status: http.StatusServiceUnavailable}))
				s.becomes("failing", func(m monitor.MonitorStatus) bool { return m.State == monitor.StateFailing })
			}, settled),
		fault{name: "it has vanished", found: []string{"monitor-subscription[monitor1@example.com] warning"}, sentence: "was gone when it was looked up"}.with(
			func(s *system) { require.NoError(s, s.graph.KillSubscription(s.status().SubscriptionID, false)) },
			(*system).settle),
		fault{name: "it cannot be replaced", found: []string{"monitor-subscription-users[monitor1@example.com] failed"}, sentence: "does not cover 1 of its 2 users: dan@example.com"}.with(
			func(s *system) {
				s.graph.Control(0, graphtest.Match(http.MethodDelete, path(s), graphtest.Reply{Status: http.StatusServiceUnavailable}))
				s.graph.AddUser(user{ID: otherGUID, PrincipalName: "dan@example.com", Mail: "dan@example.com"})
				assert.True(s, s.mitel.UpdateUser(s.people[s.watchedByFirst()].phone.ID, func(u *cloudlinktest.User) { u.Email = "dan@example.com" }))
				s.becomes("unable to replace it", func(m monitor.MonitorStatus) bool { return len(m.Uncovered) == 1 && m.Subscription.Failures > 0 })
			},
			func(s *system) {
				for name, p := range s.people {
					assert.True(s, s.mitel.UpdateUser(p.phone.ID, func(u *cloudlinktest.User) { u.Email = name + "@example.com" }))
				}
				s.graph.RemoveUser(otherGUID)
				s.graph.ClearControls()
				time.Sleep(2 * directoryInterval)
				s.settle()
			}),
		fault{
			name: "it is silent", found: []string{"monitor-heard[monitor1@example.com] warning"}, sentence: "has brought no notification since",
			from: func(c *configuration) { c.options.HeardWithin = time.Hour },
		}.with(
			func(s *system) {
				require.NoError(s, s.graph.KillSubscription(s.status().SubscriptionID, true))
				time.Sleep(time.Hour)
				quiet := s.watchedIDs()
				for name, p := range s.people {
					if !slices.Contains(quiet, p.teams.ID) {
						s.stir(name)
					}
				}
			},
			func(s *system) {
				require.NoError(s, s.graph.KillSubscription(s.status().SubscriptionID, false))
				_, err := s.service.pool.Resync(s.Context(), first)
				require.NoError(s, err)
				s.settle()
			}),
	}
}

// watchedIDs returns whom the subscription of the first monitor watches.
func (s *system) watchedIDs() []string {
	s.Helper()
	id := s.status().SubscriptionID
	for _, subscription := range s.graph.Subscriptions() {
		if subscription.ID == id {
			return subscription.UserIDs
		}
	}
	require.Fail(s, "the monitor has no subscription")
	return nil
}

// watchedByFirst returns the name of one of them who is not the test user.
func (s *system) watchedByFirst() string {
	s.Helper()
	ids := s.watchedIDs()
	for name, p := range s.people {
		if name != "tess" && slices.Contains(ids, p.teams.ID) {
			return name
		}
	}
	require.Fail(s, "the first monitor watches nobody but the test user")
	return ""
}
