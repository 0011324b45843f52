package monitor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// Each fact, added to those of a monitor for which all is well, makes the state
// that belongs to it; and of two facts the state counts that comes first.
func TestStateIsDerivedFromFacts(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	yes := true
	well := func() *facts {
		return &facts{
			application: testApplication, warnings: secretWarnings(),
			record: &record{
				PrincipalName: "m@example.test", Application: testApplication, GrantID: "grant", RefreshedAt: now.Add(-time.Hour),
				Account: &accountFacts{Enabled: true, Mail: true}, SecretExpiresAt: now.AddDate(1, 0, 0),
				secrets: secrets{ClientSecret: presence.NewSecret("s"), RefreshToken: presence.NewSecret("r")},
			},
			live: SubscriptionSnapshot{Condition: ConditionNoUsers},
		}
	}
	refused := func(reason refusalReason) *refusal { return &refusal{Reason: reason, Text: "as Entra says", At: now} }
	table := []struct {
		name  string
		apply func(*facts)
		want  State
	}{
		{"broken", func(f *facts) { f.record.broken = ErrUnreadableRecord }, StateNotSetUp},
		{"no secret", func(f *facts) { f.record.secrets.ClientSecret = presence.Secret{} }, StateNotSetUp},
		{"other application", func(f *facts) { f.application.ClientID = "other" }, StateUpdateNeeded},
		{"secret refused as expired", func(f *facts) { f.record.SecretRefusal = refused(refusedSecretExpired) }, StateSecretExpired},
		{"secret refused", func(f *facts) { f.record.SecretRefusal = refused(refusedSecret) }, StateSecretExpired},
		{"secret refused at the grant", func(f *facts) { f.record.GrantRefusal = refused(refusedSecretExpired) }, StateSecretExpired},
		{"secret ended", func(f *facts) { f.record.SecretExpiresAt = now }, StateSecretExpired},
		{"consent", func(f *facts) { f.record.GrantRefusal = refused(refusedConsent) }, StateConsentMissing},
		{"scopes taken away", func(f *facts) { f.record.Missing = []string{"Presence.Read.All"} }, StateConsentMissing},
		{"account gone", func(f *facts) { f.record.Account = &accountFacts{Missing: true} }, StateAccountBlocked},
		{"disabled", func(f *facts) { f.record.Account = &accountFacts{Mail: true} }, StateAccountBlocked},
		{"no mail", func(f *facts) { f.record.Account = &accountFacts{Enabled: true} }, StateAccountBlocked},
		{"administrator", func(f *facts) { f.record.GlobalAdministrator = &yes }, StateAccountBlocked},
		{"blocked", func(f *facts) { f.record.GrantRefusal = refused(refusedAccount) }, StateAccountBlocked},
		{"sign-in required", func(f *facts) { f.record.GrantRefusal = refused(refusedSignIn) }, StateNotAuthorized},
		{"sign-in failed", func(f *facts) { f.record.dropGrant(); f.record.SignInFailure = &signInFailure{Text: "x"} }, StateNotAuthorized},
		{"no sign-in", func(f *facts) { f.record.dropGrant() }, StateNotAuthorized},
		{"application gone", func(f *facts) { f.record.SecretRefusal = refused(refusedApplication) }, StateFailing},
		{"application let in by nobody", func(f *facts) { f.record.SecretRefusal = refused(refusedOtherwise) }, StateFailing},
		{"upkeep fails", func(f *facts) {
			f.live.Failures, f.live.Err, f.live.FailingSince = 3, errMoody, now.Add(-failingGrace)
		}, StateFailing},
		{"not kept", func(f *facts) { f.failure = failure{errMoody, now.Add(-failingGrace)} }, StateFailing},
		{"secret ends soon", func(f *facts) { f.record.SecretExpiresAt = now.AddDate(0, 0, 20) }, StateSecretExpiring},
		{"subscribed", func(f *facts) { f.live.SubscriptionID, f.live.Subscribed = "id", 3 }, StateSubscribed},
		{"kept elsewhere", func(f *facts) {
			f.live = SubscriptionSnapshot{}
			f.record.Subscription = &subscription{ID: "id", ExpiresAt: now.Add(time.Minute)}
		}, StateSubscribed},
		{"well", func(*facts) {}, StateAuthorized},
		{"fails for a moment", func(f *facts) { f.failure = failure{errMoody, now.Add(-failingGrace + 1)} }, StateAuthorized},
		{"end of the secret unknown", func(f *facts) { f.record.SecretExpiresAt = time.Time{} }, StateAuthorized},
		{"secret worked after its end", func(f *facts) {
			f.record.SecretExpiresAt, f.record.SecretAcceptedAt = now.Add(-2*time.Hour), now.Add(-time.Hour)
		}, StateAuthorized},
	}
	seen := map[State]bool{}
	for _, c := range table {
		f := well()
		c.apply(f)
		state, sentence, next := derive(now, f)
		assert.Equal(t, c.want, state, c.name)
		assert.True(t, strings.HasSuffix(sentence, "."), "%s: %q is a sentence", c.name, sentence)
		assert.False(t, strings.HasSuffix(sentence, ".."), "%s: %q", c.name, sentence)
		assert.True(t, next.IsZero() || next.After(now), c.name)
		assert.NotEmpty(t, state.Actions(), c.name)
		assert.Contains(t, state.Actions(), ActionDelete)
		seen[state] = true
	}
	for _, state := range States() {
		assert.True(t, seen[state], "%s is not in the table", state)
	}
	order := func(s State) int { return slices.Index(States(), s) }
	for i, first := range table {
		for _, second := range table[i+1:] {
			if order(first.want) >= order(second.want) || second.want == StateAuthorized {
				continue
			}
			f := well()
			second.apply(f)
			first.apply(f)
			state, _, _ := derive(now, f)
			assert.LessOrEqual(t, order(state), order(first.want), "%s and %s", first.name, second.name)
		}
	}
}

func TestStateIsDebouncedAndToldOnce(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		told := func() (states []State) {
			for _, e := range p.events.of(EventStateChanged, "") {
				if e.Was != "" && e.State == StateFailing || e.Was == StateFailing {
					states = append(states, e.State)
				}
			}
			return states
		}
		// Fails for less than the grace and the settling time together.
		p.Missed()
		var name string
		for who := range o.tenant.watching() {
			name = who
		}
		p.mu.Lock()
		k := p.keepers[monitorID(name)]
		p.mu.Unlock()
		k.fail(errMoody)
		time.Sleep(50 * time.Second)
		k.mu.Lock()
		k.noWork.note(nil)
		k.mu.Unlock()
		time.Sleep(time.Minute)
		assert.Empty(o, told(), "a moment is nobody's business")

		o.tenant.account(name, func(a *tenantAccount) { a.failing = errTenantDown })
		time.Sleep(40 * time.Minute) // until a renewal fails, and a while
		assert.Equal(o, []State{StateFailing}, told(), "once")
		o.tenant.account(name, func(a *tenantAccount) { a.failing = nil })
		time.Sleep(10 * time.Minute)
		assert.Len(o, told(), 2, "and once that it is over")
	})
}

// The end of a client secret, through its months: state, event and metric.
func TestSecretEnds(t *testing.T) {
	inOffice(t, func(o *office) {
		const day = 24 * time.Hour
		reader := metric.NewManualReader()
		provider := metric.NewMeterProvider(metric.WithReader(reader))
		ends := time.Now().Add(70 * day)
		feature := o.tenant.secret("fea-feature", testApplication, ends)
		p := o.pool(func(opts *PoolOptions) {
			slowly(opts)
			opts.MeterProvider, opts.FeatureSecret = provider, feature
		})
		assert.NotEmpty(o, p.Snapshot().FeatureSecretUnknown)
		name, value := o.tenant.add(1, ends)
		require.NoError(o, p.Add(o.Context(), name, value))
		o.authorize(p, name)
		time.Sleep(time.Hour)
		remaining := func(monitor string) time.Duration {
			var all metricdata.ResourceMetrics
			require.NoError(o, reader.Collect(o.Context(), &all))
			for _, m := range all.ScopeMetrics[0].Metrics {
				if gauge, ok := m.Data.(metricdata.Gauge[float64]); ok {
					for _, point := range gauge.DataPoints {
						if v, _ := point.Attributes.Value("monitor"); v.AsString() == monitor {
							return time.Duration(point.Value * float64(time.Second))
						}
					}
				}
			}
			return -1
		}
		for _, left := range []time.Duration{60 * day, 30 * day, 7 * day, day} {
			time.Sleep(time.Until(ends.Add(-left)) - time.Hour)
			before := len(p.events.of(EventSecretExpiring, name))
			beforeFeature := len(p.events.of(EventSecretExpiring, "")) - before
			time.Sleep(3 * time.Hour)
			s := p.state(o.T, 1)
			assert.Equal(o, StateSecretExpiring, s.State, left)
			assert.Equal(o, left, s.SecretWarning)
			assert.Contains(o, s.Sentence, ends.UTC().Format(time.DateOnly))
			assert.Equal(o, ActionRenew, s.Actions[0])
			events := p.events.of(EventSecretExpiring, name)
			require.Len(o, events, before+1, "once at each threshold")
			assert.Equal(o, ends.Unix(), events[before].ExpiresAt.Unix())
			assert.Len(o, p.events.of(EventSecretExpiring, ""), before+1+beforeFeature+1, "and of the bridge's own")
			assert.InDelta(o, (left - 2*time.Hour).Hours(), remaining(name).Hours(), 0.1)
			assert.InDelta(o, (left - 2*time.Hour).Hours(), remaining("").Hours(), 0.1)
		}
		p.SetUsers(people(2))
		time.Sleep(time.Until(ends) + 3*time.Hour)
		s := p.state(o.T, 1)
		assert.Equal(o, StateSecretExpired, s.State)
		assert.Equal(o, ActionRenew, s.Actions[0])
		assert.Len(o, p.sink.left(), 2)
		assert.Negative(o, remaining(name))
		require.NoError(o, p.Renew(o.Context(), name, o.tenant.secret("new-1", testApplication, time.Now().AddDate(1, 0, 0))))
		time.Sleep(10 * time.Minute)
		s = p.state(o.T, 1)
		assert.Equal(o, StateSubscribed, s.State, s.Sentence)
		assert.Zero(o, s.SecretWarning)
		assert.Equal(o, people(2), o.watchedUsers(), "without signing in again")
		assert.Len(o, p.events.of(EventSecretRenewed, name), 1)
	})
}

// A secret that is replaced, or ends before its date, is known by what the token
// endpoint says.
func TestSecretIsRefused(t *testing.T) {
	for _, refusal := range []error{errTenantSecret, errTenantSecretExpired} {
		inOffice(t, func(o *office) {
			p := o.pool(nil)
			o.hire(p, 1, 2)
			p.SetUsers(people(1000))
			time.Sleep(time.Minute)
			o.tenant.refuse(presence.NewSecret("001~secret-1"), refusal)
			time.Sleep(2 * time.Hour)
			s := p.state(o.T, 1)
			assert.Equal(o, StateSecretExpired, s.State)
			assert.Equal(o, ActionRenew, s.Actions[0])
			assert.Len(o, p.sink.left(), 350)
			assert.Len(o, o.tenant.watching()[named(2)], 650, "the other takes as many as it can")
			require.ErrorIs(o, p.Renew(o.Context(), named(1), presence.NewSecret("the id")), presence.ErrInvalidSecret)
			require.NoError(o, p.Renew(o.Context(), named(1), o.tenant.secret("new-1", testApplication, time.Now().AddDate(1, 0, 0))))
			time.Sleep(6 * time.Minute)
			assert.Equal(o, people(1000), o.watchedUsers())
			assert.Empty(o, p.sink.left())
		})
	}
}

func TestApplicationChange(t *testing.T) {
	inOffice(t, func(o *office) {
		other := Application{"tenant", "other"}
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(1000))
		time.Sleep(time.Minute)
		expected := ApplicationChange{From: testApplication, To: other, Monitors: []string{named(1), named(2)}, Users: 1000}
		preview, err := p.PreviewApplication(o.Context(), other)
		require.NoError(o, err)
		assert.Equal(o, expected, preview)
		_, err = p.PreviewApplication(o.Context(), Application{})
		require.ErrorContains(o, err, "tenant id is empty")
		_, err = p.SetApplication(o.Context(), Application{TenantID: "tenant"})
		require.ErrorContains(o, err, "client id is empty")
		time.Sleep(time.Minute)
		require.Equal(o, people(1000), o.watchedUsers(), "asking changes nothing")

		change, err := p.SetApplication(o.Context(), other)
		require.NoError(o, err)
		assert.Equal(o, expected, change)
		time.Sleep(time.Minute)
		assert.Empty(o, o.tenant.watching(), "the subscriptions are deleted by the old credentials")
		assert.Len(o, p.sink.left(), 1000)
		assert.Len(o, p.events.of(EventApplicationChanged, ""), 1)
		for _, n := range []int{1, 2} {
			s := p.state(o.T, n)
			assert.Equal(o, StateUpdateNeeded, s.State)
			assert.Equal(o, []Action{ActionRenew, ActionDelete}, s.Actions)
			_, err = p.AuthorizationURL(o.Context(), named(n))
			require.ErrorIs(o, err, ErrUpdateNeeded)
			_, err = p.Resync(o.Context(), named(n))
			require.ErrorIs(o, err, ErrUpdateNeeded, "it ends")
		}
		require.Error(o, p.Renew(o.Context(), named(1), presence.NewSecret("001~secret-1")), "a secret of the old application")

		require.NoError(o, p.Renew(o.Context(), named(1), o.tenant.secret("ot1-1", other, time.Now().AddDate(1, 0, 0))))
		assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
		o.authorize(p, named(1))
		time.Sleep(time.Minute)
		assert.Len(o, o.tenant.watching()[named(1)], 650, "one by one they come back")
		assert.Equal(o, StateUpdateNeeded, p.state(o.T, 2).State)

		// Back: the second has its grant still, the first needs renewing.
		preview, err = p.PreviewApplication(o.Context(), testApplication)
		require.NoError(o, err)
		assert.Equal(o, []string{named(1)}, preview.Monitors)
		assert.Equal(o, []string{named(2)}, preview.Returning)
		_, err = p.SetApplication(o.Context(), testApplication)
		require.NoError(o, err)
		time.Sleep(time.Minute)
		assert.Len(o, o.tenant.watching()[named(2)], 650)
		assert.NotContains(o, o.tenant.watching(), named(1))
		assert.Equal(o, StateUpdateNeeded, p.state(o.T, 1).State)
		o.peaceful()
	})
}

// People and monitors come and go, fail and recover, in any order. Once it has
// settled, everybody for whom there is room is watched by one monitor, and the
// others are named: to whoever asks, and to the sink.
func TestAnythingSettles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inOffice(t, func(o *office) {
			p := o.pool(func(opts *PoolOptions) {
				opts.Monitor.Capacity, opts.LeaseTime = 5, 3*time.Minute
				opts.Spares = rapid.IntRange(0, 1).Draw(rt, "spares")
			})
			hired, refused := map[int]bool{}, map[int]bool{}
			wanted := []string{}
			p.SetUsers(wanted)
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				n := rapid.IntRange(1, 4).Draw(rt, "monitor")
				switch rapid.SampledFrom([]string{"users", "add", "delete", "refuse", "accept", "restart", "wait"}).Draw(rt, "step") {
				case "users":
					all := people(22)
					from := rapid.IntRange(0, 22).Draw(rt, "from")
					wanted = all[from:rapid.IntRange(from, 22).Draw(rt, "to")]
					p.SetUsers(wanted)
				case "add":
					if !hired[n] {
						o.hire(p, n)
						hired[n], refused[n] = true, false
					}
				case "delete":
					if hired[n] {
						require.NoError(o, p.Delete(o.Context(), named(n)))
						hired[n] = false
					}
				case "refuse":
					if hired[n] {
						o.tenant.account(named(n), func(a *tenantAccount) { a.refused = errTenantBlocked })
						refused[n] = true
					}
				case "accept":
					if hired[n] && refused[n] {
						o.tenant.account(named(n), func(a *tenantAccount) { a.refused = nil })
						refused[n] = false
						require.NoError(o, p.Retry(o.Context(), named(n)))
					}
				case "restart":
					o.stop(p)
					again := o.newPool(func(opts *PoolOptions) { opts.Monitor.Capacity, opts.LeaseTime = 5, 3*time.Minute })
					p = o.start(again)
					time.Sleep(time.Second)
					p.SetUsers(wanted)
				}
				time.Sleep(time.Duration(rapid.IntRange(0, 90).Draw(rt, "pause")) * time.Second)
			}
			for n, is := range refused {
				if is && hired[n] {
					_, err := p.Resync(o.Context(), named(n))
					require.NoError(o, err)
				}
			}
			time.Sleep(70 * time.Minute)
			room := 0
			for n, is := range hired {
				if is && !refused[n] {
					room += 5
				}
			}
			watched := o.watchedUsers()
			assert.Equal(o, slices.Compact(slices.Clone(watched)), watched, "nobody twice")
			assert.Len(o, watched, min(room, len(wanted)))
			rest := []string{}
			for _, id := range wanted {
				if !slices.Contains(watched, id) {
					rest = append(rest, id)
				}
			}
			assert.ElementsMatch(o, rest, p.sink.left())
			assert.ElementsMatch(o, rest, p.Snapshot().Unwatched)
			assert.ElementsMatch(o, rest, p.SetUsers(wanted))
			o.peaceful()
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// No client secret, token, verifier or client state appears in a log line, an
// event, an error, a snapshot, or in the store as it is.
func TestNoSecretEscapes(t *testing.T) {
	inOffice(t, func(o *office) {
		var log bytes.Buffer
		p := o.pool(func(opts *PoolOptions) {
			opts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		p.SetUsers(people(3))
		var errs []error
		note := func(err error) { errs = append(errs, err) }
		name, value := o.tenant.add(1, time.Now().AddDate(0, 0, 20))
		note(p.Add(o.Context(), name, presence.NewSecret("canary-wrong-secret")))
		require.NoError(o, p.Add(o.Context(), name, value))
		address, err := p.AuthorizationURL(o.Context(), name)
		require.NoError(o, err)
		callback := o.tenant.signIn(address, name)
		declined := o.tenant.signIn(address, name)
		declined.Set("error", "consent")
		_, err = p.CompleteSignIn(o.Context(), declined)
		note(err)
		_, err = p.CompleteSignIn(o.Context(), callback)
		note(err)
		o.authorize(p, name)
		time.Sleep(2 * time.Hour)
		o.tenant.account(name, func(a *tenantAccount) { a.refused = errTenantBlocked })
		_, err = p.Resync(o.Context(), name)
		note(err)
		o.tenant.fail(errTenantDown)
		_, err = p.Resync(o.Context(), name)
		note(err)
		require.ErrorIs(o, err, presence.ErrUnavailable)
		o.tenant.fail(nil)
		r := p.record(monitorID(name))
		note(p.Renew(o.Context(), name, presence.NewSecret("canary-wrong-secret")))
		time.Sleep(time.Hour)

		entries, err := o.store.List(context.Background(), "")
		require.NoError(o, err)
		var said strings.Builder
		for _, e := range entries {
			said.WriteString(e.Key + " ")
			said.Write(e.Value)
		}
		p.events.mu.Lock()
		fmt.Fprintf(&said, "%v %+v %+v %#v", errs, p.events.all, p.Snapshot(), p.Snapshot())
		p.events.mu.Unlock()
		o.stop(p)
		said.Write(log.Bytes())
		forbidden := []string{value.Reveal(), "canary-wrong-secret", r.secrets.RefreshToken.Reveal(), callback.Get("state")}
		o.tenant.mu.Lock()
		for state, verifier := range o.tenant.signIns {
			forbidden = append(forbidden, state, verifier)
		}
		for token := range o.tenant.tokens {
			forbidden = append(forbidden, token)
		}
		o.tenant.mu.Unlock()
		if !r.secrets.ClientState.IsZero() {
			forbidden = append(forbidden, r.secrets.ClientState.Reveal())
		}
		require.Greater(o, len(forbidden), 8)
		for _, secret := range forbidden {
			require.NotEmpty(o, secret)
			assert.NotContains(o, said.String(), secret)
		}
		assert.Contains(o, said.String(), name, "the canary is looked for where something is said")
	})
}
