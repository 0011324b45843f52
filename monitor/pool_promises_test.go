package monitor

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

var otherApplication = Application{TenantID: "other-tenant", ClientID: "other-client"}

// given returns the users that the plan has for a monitor.
func (r *runningPool) given(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.assignments[monitorID(named(n))].users
}

// count reads one of the tenant's counters.
func (t *tenant) count(counter *int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *counter
}

// lateEntra hands on what a pool asks only after a while, which can be changed
// while something is under way.
type lateEntra struct {
	Entra
	late atomic.Int64
}

func (e *lateEntra) Redeem(ctx context.Context, c Credentials, callback url.Values, verifier presence.Secret) (Grant, error) {
	time.Sleep(time.Duration(e.late.Load()))
	return e.Entra.Redeem(ctx, c, callback, verifier)
}

func (e *lateEntra) Inspect(ctx context.Context, c Credentials) (Inspection, error) {
	time.Sleep(time.Duration(e.late.Load()))
	return e.Entra.Inspect(ctx, c)
}

// latePool runs a pool whose Entra can be made late.
func (o *office) latePool() (*runningPool, *lateEntra) {
	o.Helper()
	p, entra := o.newPool(nil), &lateEntra{Entra: o.tenant}
	p.entra = entra
	return o.start(p), entra
}

// A state that ends before it has settled is told to nobody; one that lasts is.
func TestAStateThatPassesIsNotPublished(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		told := len(p.events.of(EventStateChanged, ""))
		refuse := func(err error) {
			o.tenant.account(named(1), func(a *tenantAccount) { a.refused = err })
			require.NoError(o, p.Retry(o.Context(), named(1)))
			time.Sleep(5 * time.Second)
			require.Equal(o, err != nil, p.record(monitorID(named(1))).GrantRefusal != nil)
		}
		refuse(errTenantSignIn)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
		refuse(nil)
		time.Sleep(time.Minute)
		assert.Len(o, p.events.of(EventStateChanged, ""), told)

		refuse(errTenantSignIn)
		time.Sleep(6 * time.Second)
		assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
		assert.Len(o, p.events.of(EventStateChanged, ""), told+1)
	})
}

func TestDeleteOnStopDeletes(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.DeleteOnStop = true })
		o.hire(p, 1, 2)
		p.SetUsers(people(1000))
		time.Sleep(time.Minute)
		require.Equal(o, people(1000), o.watchedUsers())
		o.stop(p)
		assert.Empty(o, o.watchedUsers())
		assert.Equal(o, 2, o.tenant.count(&o.tenant.deletes))
	})
}

// A pool whose lease went to another just as it is stopped leaves the
// subscription to that one: DeleteOnStop speaks of its own only.
func TestDeleteOnStopSparesWhatIsAnothers(t *testing.T) {
	inOffice(t, func(o *office) {
		store, stopping := &moodyStore{}, &stopAtWarning{text: "the lease is lost"}
		p := o.poolOn(store, func(opts *PoolOptions) {
			opts.DeleteOnStop, opts.Logger = true, slog.New(stopping)
		})
		stopping.set(p.cancel)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		store.set(func(_ context.Context, call string) error {
			if call == "Acquire" {
				return &HeldError{Lease{Holder: "next"}}
			}
			return nil
		})
		require.NoError(o, <-p.done, "it stops at the moment when the lease is lost")
		p.cancel = nil
		assert.Zero(o, o.tenant.count(&o.tenant.deletes))
		assert.Equal(o, people(10), o.watchedUsers())

		next := o.pool(nil)
		next.SetUsers(people(10))
		time.Sleep(time.Minute)
		assert.Len(o, next.events.of(EventAdopted, named(1)), 1)
		assert.Equal(o, 1, o.tenant.count(&o.tenant.creates))
	})
}

// stopAtWarning calls stop when a message with the text is logged.
type stopAtWarning struct {
	text string
	mu   sync.Mutex
	stop func()
}

func (h *stopAtWarning) set(stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop = stop
}

func (h *stopAtWarning) Enabled(context.Context, slog.Level) bool { return true }
func (h *stopAtWarning) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *stopAtWarning) WithGroup(string) slog.Handler            { return h }
func (h *stopAtWarning) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil && strings.Contains(r.Message, h.text) {
		h.stop()
	}
	return nil
}

// A failing monitor keeps its users for as long as its subscription lives: they
// are watched, and moving them would disturb others for nothing.
func TestAFailingMonitorKeepsWhomItWatches(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(700))
		time.Sleep(time.Minute)
		before := o.tenant.watching()
		stuck := 1
		for len(p.given(stuck)) == 0 {
			stuck++
		}
		o.tenant.account(named(stuck), func(a *tenantAccount) { a.stuck = errTenantDown })
		left := p.given(stuck)[0]
		p.SetUsers(slices.DeleteFunc(people(700), func(id string) bool { return id == left }))
		time.Sleep(30 * time.Minute)
		s := p.state(o.T, stuck)
		require.Equal(o, StateFailing, s.State, s.Sentence)
		require.Greater(o, time.Since(s.Since), 2*p.opts.FailoverAfter)
		assert.Equal(o, before[named(stuck)][1:], p.given(stuck))
		assert.Equal(o, before, o.tenant.watching())
	})
}

// An inspection that began before the monitor was renewed speaks of what was
// replaced.
func TestAnInspectionOfBeforeARenewalIsDropped(t *testing.T) {
	for name, to := range map[string]Application{"another secret": testApplication, "another application": otherApplication} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p, entra := o.latePool()
				monitor, old := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
				require.NoError(o, p.Add(o.Context(), monitor, old))
				fresh := old
				if to == testApplication {
					o.authorize(p, monitor)
					fresh = o.tenant.secret("new~secret", to, time.Now().AddDate(3, 0, 0))
				}
				time.Sleep(time.Minute)
				entra.late.Store(int64(5 * time.Second))
				require.NoError(o, p.Retry(o.Context(), monitor))
				time.Sleep(time.Second)
				entra.late.Store(0)
				if to == testApplication {
					o.tenant.refuse(old, errTenantSecret)
				} else {
					// Nothing but the application tells the two apart.
					o.tenant.secret(old.Reveal(), to, time.Now().AddDate(3, 0, 0))
					_, err := p.SetApplication(o.Context(), to)
					require.NoError(o, err)
				}
				require.NoError(o, p.Renew(o.Context(), monitor, fresh))
				time.Sleep(3 * time.Second)
				inspects := o.tenant.count(&o.tenant.inspects)
				time.Sleep(3 * time.Second)
				require.Greater(o, o.tenant.count(&o.tenant.inspects), inspects, "the old one has ended since")
				r := p.record(monitorID(monitor))
				assert.Nil(o, r.SecretRefusal)
				assert.Nil(o, r.GrantRefusal)
				assert.Equal(o, to, r.Application)
				assert.NotEqual(o, StateSecretExpired, p.state(o.T, 1).State)
			})
		})
	}
}

// A grant of one application is none of another's.
func TestASignInDoesNotOutliveItsApplication(t *testing.T) {
	// begin returns a sign-in as it comes to the redirect URI, and what makes the
	// monitor another application's.
	begin := func(o *office) (p *runningPool, entra *lateEntra, callback url.Values, change func()) {
		p, entra = o.latePool()
		monitor, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
		require.NoError(o, p.Add(o.Context(), monitor, value))
		address, err := p.AuthorizationURL(o.Context(), monitor)
		require.NoError(o, err)
		return p, entra, o.tenant.signIn(address, monitor), func() {
			_, err := p.SetApplication(o.Context(), otherApplication)
			require.NoError(o, err)
			other := o.tenant.secret("other~secret", otherApplication, time.Now().AddDate(2, 0, 0))
			require.NoError(o, p.Renew(o.Context(), monitor, other))
			again, err := p.AuthorizationURL(o.Context(), monitor)
			require.NoError(o, err)
			assert.NotEqual(o, address, again)
		}
	}
	t.Run("begun", func(t *testing.T) {
		inOffice(t, func(o *office) {
			p, _, callback, change := begin(o)
			change()
			_, err := p.CompleteSignIn(o.Context(), callback)
			require.ErrorIs(o, err, ErrStateUnknown)
			assert.Zero(o, o.tenant.count(&o.tenant.redeemed))
			assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
		})
	})
	t.Run("being redeemed", func(t *testing.T) {
		inOffice(t, func(o *office) {
			p, entra, callback, change := begin(o)
			entra.late.Store(int64(5 * time.Second))
			done := make(chan error, 1)
			go func() {
				_, err := p.CompleteSignIn(o.Context(), callback)
				done <- err
			}()
			time.Sleep(time.Second)
			entra.late.Store(0)
			change()
			require.ErrorIs(o, <-done, ErrUpdateNeeded)
			assert.Equal(o, 1, o.tenant.count(&o.tenant.redeemed))
			r := p.record(monitorID(named(1)))
			assert.Empty(o, r.GrantID)
			assert.True(o, r.secrets.RefreshToken.IsZero())
			assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
			o.authorize(p, named(1))
			assert.Equal(o, StateAuthorized, p.state(o.T, 1).State)
		})
	})
}

// Whoever takes over when the lease has ended must not meet the one before.
func TestAStopEndsBeforeTheLease(t *testing.T) {
	for name, test := range map[string]struct{ wish, most time.Duration }{
		"longer than the lease allows": {10 * time.Minute, 4 * time.Second},
		"shorter":                      {2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(func(opts *PoolOptions) {
					opts.LeaseTime, opts.Monitor.StopTimeout, opts.DeleteOnStop = 12*time.Second, test.wish, true
				})
				o.hire(p, 1)
				p.SetUsers(people(10))
				time.Sleep(time.Minute)
				require.Len(o, o.watchedUsers(), 10)
				o.tenant.mu.Lock()
				o.tenant.latency = time.Hour
				o.tenant.mu.Unlock()
				began := time.Now()
				o.stop(p)
				assert.Equal(o, test.most, time.Since(began))
			})
		})
	}
}

// Whoever is planned for a monitor that does not watch him yet is watched all the
// same while the former one's subscription lives.
func TestWhoIsOnTheWayIsNotUnwatched(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.hire(p, 2)
		time.Sleep(time.Minute)
		told := p.sink.times()
		o.tenant.account(named(1), func(a *tenantAccount) { a.refused, a.stuck = errTenantSignIn, errTenantDown })
		o.tenant.account(named(2), func(a *tenantAccount) { a.failing = errTenantDown })
		require.NoError(o, p.Retry(o.Context(), named(1)))
		time.Sleep(45 * time.Second)
		require.Equal(o, people(10), p.given(2))
		require.Equal(o, people(10), o.tenant.watching()[named(1)])
		require.NotContains(o, o.tenant.watching(), named(2))
		assert.Empty(o, p.sink.left())
		assert.Equal(o, told, p.sink.times())
		assert.Empty(o, p.Snapshot().Unwatched)
	})
}

// Another process may read the store between any two writes of a plan: nobody is
// given to two monitors at any moment.
func TestNobodyIsGivenTwice(t *testing.T) {
	inOffice(t, func(o *office) {
		store := &planStore{Store: o.store, given: map[string][]string{}}
		o.store = store
		p := o.pool(func(opts *PoolOptions) { opts.Spares = 1 })
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(900))
		time.Sleep(time.Minute)
		for n := 1; n <= 3; n++ {
			users := p.given(n)
			o.tenant.account(named(n), func(a *tenantAccount) { a.refused = errTenantSignIn })
			require.NoError(o, p.Retry(o.Context(), named(n)))
			time.Sleep(time.Minute)
			require.Empty(o, p.given(n), "%d users have moved", len(users))
			require.Equal(o, people(900), o.watchedUsers())
			o.tenant.account(named(n), func(a *tenantAccount) { a.refused = nil })
			o.authorize(p, named(n))
			time.Sleep(time.Minute)
		}
		require.NoError(o, p.Delete(o.Context(), named(2)))
		time.Sleep(time.Minute)
		require.Equal(o, people(900), o.watchedUsers())
		store.mu.Lock()
		defer store.mu.Unlock()
		assert.Empty(o, store.twice)
		assert.Greater(o, store.writes, 6)
	})
}

// planStore notes who is given to two monitors after any write.
type planStore struct {
	Store
	mu     sync.Mutex
	given  map[string][]string // by key
	writes int
	twice  []string
}

func (s *planStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.Store.Put(ctx, key, value, revision)
	if err != nil || !strings.HasPrefix(key, prefixUsers) {
		return next, err
	}
	a, err := decodeUsers(Entry{Key: key, Value: value, Revision: next})
	if err != nil {
		return 0, err
	}
	s.given[key] = a.users
	s.writes++
	seen := map[string]bool{}
	for _, users := range s.given {
		for _, id := range users {
			if seen[id] {
				s.twice = append(s.twice, id)
			}
			seen[id] = true
		}
	}
	return next, nil
}

func (s *planStore) Delete(ctx context.Context, key string, revision uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.Store.Delete(ctx, key, revision)
	if err == nil {
		delete(s.given, key)
	}
	return err
}
