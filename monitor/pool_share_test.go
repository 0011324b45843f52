package monitor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func holder(name string) func(*PoolOptions) {
	return func(opts *PoolOptions) { opts.Holder = name }
}

// slowly is for months: everything that happens every few seconds is rarer.
func slowly(opts *PoolOptions) {
	opts.LeaseTime, opts.PollInterval, opts.StateSettle = time.Hour, 6*time.Hour, time.Minute
}

// peaceful asserts that no two sessions ever used one account at a time.
func (o *office) peaceful() {
	o.Helper()
	o.tenant.mu.Lock()
	defer o.tenant.mu.Unlock()
	assert.Zero(o, o.tenant.overlaps, "no refresh ever raced with another")
	assert.Zero(o, o.tenant.rivals, "no two keepers ever acted at a time")
}

// A process dies, as its store sees it, while all its requests are slow. Another
// takes over within the lease's time, and never before the first has ended.
func TestTakeoverWhenAProcessDies(t *testing.T) {
	for name, mood := range map[string]func(context.Context, string) error{"fails": failed, "hangs": hanging} {
		// The death comes at any time of a lease, and in the midst of requests.
		for _, after := range []time.Duration{0, 3 * time.Second, 9 * time.Second, 10 * time.Second, 11 * time.Second, 17 * time.Second} {
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				inOffice(t, func(o *office) {
					store := &moodyStore{}
					p := o.poolOn(store, holder("first"))
					o.hire(p, 1, 2)
					time.Sleep(time.Second)
					q := o.pool(holder("second"))
					p.SetUsers(people(1000))
					q.SetUsers(people(1000))
					time.Sleep(time.Minute)
					require.Equal(o, "first", q.state(o.T, 1).Keeper)
					o.tenant.mu.Lock()
					o.tenant.latency = 8 * time.Second
					o.tenant.mu.Unlock()
					// Both monitors use their refresh tokens just now.
					require.NoError(o, p.Retry(o.Context(), named(1)))
					require.NoError(o, p.Retry(o.Context(), named(2)))
					time.Sleep(after)
					store.set(mood)
					time.Sleep(30*time.Second + time.Second)
					for _, n := range []int{1, 2} {
						assert.Equal(o, "second", q.state(o.T, n).Keeper, "within the lease's time")
					}
					time.Sleep(2 * time.Minute)
					assert.Equal(o, people(1000), o.watchedUsers())
					assert.Empty(o, q.sink.left())
					assert.NotEmpty(o, q.events.of(EventAdopted, named(1)))
					store.set(nil)
					time.Sleep(10 * time.Minute)
					assert.Equal(o, "second", p.state(o.T, 1).Keeper, "the first does not take it back")
					o.peaceful()
				})
			})
		}
	}
}

func TestTakeoverWhenAProcessStops(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(holder("first"))
		q := o.pool(holder("second"))
		o.hire(p, 1, 2)
		p.SetUsers(people(1000))
		q.SetUsers(people(1000))
		for range 5 {
			time.Sleep(47 * time.Minute)
			o.stop(p)
			time.Sleep(11 * time.Second)
			assert.Equal(o, "second", q.state(o.T, 1).Keeper)
			p = o.start(o.newPool(holder("first")))
			p.SetUsers(people(1000))
			time.Sleep(time.Minute)
			o.stop(q)
			time.Sleep(11 * time.Second)
			assert.Equal(o, "first", p.state(o.T, 1).Keeper)
			assert.True(o, p.state(o.T, 1).Here)
			q = o.start(o.newPool(holder("second")))
			q.SetUsers(people(1000))
		}
		time.Sleep(time.Minute)
		assert.Equal(o, people(1000), o.watchedUsers())
		o.tenant.mu.Lock()
		assert.Equal(o, 2, o.tenant.creates, "all were adopted")
		o.tenant.mu.Unlock()
		o.peaceful()
	})
}

// Two processes that were given one name by mistake still take turns.
func TestPoolsWithOneName(t *testing.T) {
	inOffice(t, func(o *office) {
		p, q := o.pool(holder("bridge")), o.pool(holder("bridge"))
		o.hire(p, 1, 2)
		p.SetUsers(people(800))
		q.SetUsers(people(800))
		time.Sleep(3 * time.Hour)
		assert.NotEqual(o, p.state(o.T, 1).Here, q.state(o.T, 1).Here)
		assert.Equal(o, "bridge", p.state(o.T, 1).Keeper)
		assert.Equal(o, people(800), o.watchedUsers())
		o.peaceful()
	})
}

// What an administrator does at a process that does not keep the monitor reaches
// the one that does.
func TestAdministratorAtTheOtherProcess(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(holder("first"))
		names := []string{}
		for n := 1; n <= 2; n++ {
			name, value := o.tenant.add(n, time.Now().AddDate(2, 0, 0))
			require.NoError(o, p.Add(o.Context(), name, value))
			names = append(names, name)
			time.Sleep(time.Second)
		}
		q := o.pool(holder("second"))
		p.SetUsers(people(1000))
		q.SetUsers(people(1000))
		time.Sleep(time.Minute)
		for _, name := range names {
			address, err := p.AuthorizationURL(o.Context(), name)
			require.NoError(o, err)
			again, err := q.AuthorizationURL(o.Context(), name)
			require.NoError(o, err)
			assert.Equal(o, address, again, "it is the same wherever it is asked for")
			_, err = q.CompleteSignIn(o.Context(), o.tenant.signIn(address, name))
			require.NoError(o, err)
			_, err = p.CompleteSignIn(o.Context(), o.tenant.signIn(address, name))
			require.ErrorIs(o, err, ErrStateUsed)
		}
		time.Sleep(time.Minute)
		require.Equal(o, people(1000), o.watchedUsers())
		require.Equal(o, "first", q.state(o.T, 1).Keeper)

		refreshes := func(name string) (n int) {
			o.tenant.account(name, func(a *tenantAccount) { n = a.refreshes })
			return n
		}
		before := refreshes(names[0])
		s, err := q.Resync(o.Context(), names[0])
		require.NoError(o, err)
		assert.Equal(o, StateSubscribed, s.State)
		assert.Equal(o, before+1, refreshes(names[0]), "the keeper has used the token")

		o.tenant.account(names[0], func(a *tenantAccount) { a.user.Enabled = false })
		s, err = q.Resync(o.Context(), names[0])
		require.NoError(o, err)
		assert.Equal(o, StateAccountBlocked, s.State)
		o.tenant.account(names[0], func(a *tenantAccount) { a.user.Enabled = true })
		require.NoError(o, q.Retry(o.Context(), names[0]))
		time.Sleep(time.Minute)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)

		renewed := o.tenant.secret("new-secret-1", testApplication, time.Now().AddDate(1, 0, 0))
		o.tenant.refuse(presence.NewSecret("001~secret-1"), errTenantSecret)
		require.NoError(o, q.Renew(o.Context(), names[0], renewed))
		time.Sleep(time.Hour)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)

		require.NoError(o, q.Delete(o.Context(), names[1]))
		time.Sleep(time.Minute)
		for _, r := range []*runningPool{p, q} {
			_, ok := r.Snapshot().Monitor(names[1])
			assert.False(o, ok)
			assert.Len(o, r.sink.left(), 350)
		}
		assert.Len(o, o.watchedUsers(), 650)
		o.peaceful()
	})
}

// A program that only manages the monitors need not run the pool.
func TestPoolThatDoesNotRun(t *testing.T) {
	for _, served := range []bool{false, true} {
		name := "nobody runs"
		if served {
			name = "another runs"
		}
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(holder("service"))
				o.hire(p, 1, 2)
				p.SetUsers(people(1000))
				time.Sleep(time.Minute)
				if !served {
					o.stop(p)
				}
				cli := o.newPool(holder("terminal"))
				require.NoError(o, cli.Load(o.Context()))
				assert.Equal(o, StateSubscribed, cli.state(o.T, 1).State)

				ctx, cancel := context.WithTimeout(o.Context(), 10*time.Second)
				defer cancel()
				s, err := cli.Resync(ctx, named(1))
				require.NoError(o, err)
				assert.Equal(o, StateSubscribed, s.State)
				o.tenant.account(named(2), func(a *tenantAccount) { a.refused = errTenantBlocked })
				s, err = cli.Resync(ctx, named(2))
				require.NoError(o, err)
				assert.Equal(o, StateAccountBlocked, s.State)
				o.tenant.account(named(2), func(a *tenantAccount) { a.refused = nil })
				_, err = cli.Resync(ctx, named(2))
				require.NoError(o, err)

				require.NoError(o, cli.Delete(ctx, named(2)))
				assert.NotContains(o, o.tenant.watching(), named(2), "its subscription is deleted")
				require.NoError(o, cli.Load(o.Context()))
				assert.Len(o, cli.Snapshot().Monitors, 1)
				require.NotEmpty(o, o.tenant.watching(), "the other is left alone")

				name, value := o.tenant.add(3, time.Now().AddDate(1, 0, 0))
				require.NoError(o, cli.Add(ctx, name, value))
				o.authorize(cli, name)
				if !served {
					o.start(p)
				}
				time.Sleep(2 * time.Minute)
				assert.Equal(o, people(1000), o.watchedUsers())
				o.tenant.mu.Lock()
				creates := o.tenant.creates
				o.tenant.mu.Unlock()
				if !served {
					assert.Equal(o, 3, creates, "the first was adopted")
				}
				o.peaceful()
			})
		})
	}
}

// A pool that was given another tenant by mistake, and only looks, stops nobody.
func TestLookingAtAStoreChangesNothing(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		cli, err := NewPool(Application{"mistyped", "client"}, "https://bridge.test/notifications", Dependencies{
			Store: o.store, Sealer: o.sealer, Entra: o.tenant, Routes: newPoolRoutes(), Sink: p.sink,
		}, nil)
		require.NoError(o, err)
		require.NoError(o, cli.Load(o.Context()))
		assert.Equal(o, testApplication, cli.Application())
		_, err = cli.PreviewApplication(o.Context(), Application{"mistyped", "client"})
		require.NoError(o, err)
		_, err = cli.Resync(o.Context(), named(1))
		require.NoError(o, err)
		time.Sleep(time.Minute)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
		assert.Equal(o, testApplication, p.Application())
	})
}

// A running pool that nobody has told whom to watch leaves the planning to others.
func TestPoolWithoutUsersDoesNotPlan(t *testing.T) {
	inOffice(t, func(o *office) {
		idle := o.pool(holder("idle"))
		time.Sleep(time.Minute)
		p := o.pool(holder("bridge"))
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		assert.Equal(o, people(10), o.watchedUsers())
		assert.True(o, p.Snapshot().Planner)
		assert.False(o, idle.Snapshot().Planner)
		o.stop(p)
		idle.SetUsers(people(20))
		time.Sleep(time.Minute)
		assert.True(o, idle.Snapshot().Planner)
		assert.Equal(o, people(20), o.watchedUsers())
	})
}

// The clock of another process is wrong by an hour either way.
func TestOtherClocks(t *testing.T) {
	for _, wrong := range []time.Duration{-2 * time.Hour, 2 * time.Hour, 200 * 24 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(slowly)
				o.hire(p, 1)
				time.Sleep(time.Minute)
				_, err := p.update(o.Context(), monitorID(named(1)), func(r *record) error {
					r.CheckedAt = time.Now().Add(wrong)
					return nil
				})
				require.NoError(o, err)
				o.stop(p)
				p = o.pool(slowly)
				time.Sleep(time.Minute)
				o.tenant.account(named(1), func(a *tenantAccount) { a.user.Enabled = false })
				s, err := p.Resync(o.Context(), named(1))
				require.NoError(o, err)
				assert.Equal(o, StateAccountBlocked, s.State, "the outcome is not an old one")
				_, err = p.update(o.Context(), monitorID(named(1)), func(r *record) error {
					r.RefreshedAt = time.Now().Add(wrong)
					return nil
				})
				require.NoError(o, err)
				var before, after int
				o.tenant.account(named(1), func(a *tenantAccount) { before = a.refreshes })
				time.Sleep(5 * 24 * time.Hour)
				o.tenant.account(named(1), func(a *tenantAccount) { after = a.refreshes })
				assert.GreaterOrEqual(o, after-before, 4, "the token is used daily nevertheless")
				assert.LessOrEqual(o, after-before, 7)
			})
		})
	}
}

// A refresh of a token goes on when its keeper has lost the lease. The next
// keeper waits for it, though leases are shorter than requests.
func TestRefreshOutlivesALease(t *testing.T) {
	inOffice(t, func(o *office) {
		short := func(name string) func(*PoolOptions) {
			return func(opts *PoolOptions) { opts.Holder, opts.LeaseTime = name, 6*time.Second }
		}
		store := &moodyStore{}
		p := o.poolOn(store, short("first"))
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Second)
		q := o.pool(short("second"))
		q.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.tenant.mu.Lock()
		o.tenant.latency = 12 * time.Second
		o.tenant.mu.Unlock()
		require.NoError(o, p.Retry(o.Context(), named(1)))
		time.Sleep(13 * time.Second) // the directory has answered, the refresh has begun
		store.set(failed)
		time.Sleep(10 * time.Minute)
		assert.Equal(o, "second", q.state(o.T, 1).Keeper)
		o.peaceful()
	})
}
