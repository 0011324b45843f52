package monitor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

var testApplication = Application{TenantID: "tenant", ClientID: "client"}

// office is a tenant, a store, and pools on it, in one bubble.
type office struct {
	*testing.T
	tenant *tenant
	store  Store
	sealer *Sealer
	pools  []*runningPool
}

type runningPool struct {
	*Pool
	sink   *poolSink
	events *eventLog
	cancel context.CancelFunc
	done   chan error
}

// poolSink notes whom it was told of.
type poolSink struct {
	mu        sync.Mutex
	gaps      map[string]int
	unwatched []string
	told      int
}

func (s *poolSink) TeamsChanged(...string) {}
func (s *poolSink) TeamsGap(_ string, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.gaps[id]++
	}
}
func (s *poolSink) TeamsUnwatched(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwatched = ids
	s.told++
}

func (s *poolSink) left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unwatched
}

// times returns how often it was told who is not watched.
func (s *poolSink) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

type eventLog struct {
	mu  sync.Mutex
	all []Event
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *eventLog) of(kind EventKind, monitor string) (found []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		if e.Kind == kind && (monitor == "" || e.Monitor == monitor) {
			found = append(found, e)
		}
	}
	return found
}

// inOffice runs a test in a bubble, at whose end every pool has stopped.
func inOffice(t *testing.T, test func(*office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sealer, err := NewSealer(GenerateKey(), nil)
		require.NoError(t, err)
		o := &office{T: t, tenant: newTenant(), store: NewMemoryStore(), sealer: sealer}
		defer o.stopAll()
		test(o)
	})
}

// newPool makes a pool on the store; change may be nil.
func (o *office) newPool(change func(*PoolOptions)) *runningPool {
	o.Helper()
	r := &runningPool{sink: &poolSink{gaps: map[string]int{}}, events: &eventLog{}}
	opts := &PoolOptions{Monitor: Options{Settle: time.Second}, OnEvent: r.events.add}
	if change != nil {
		change(opts)
	}
	var err error
	r.Pool, err = NewPool(testApplication, "https://bridge.test/notifications", Dependencies{
		Store: o.store, Sealer: o.sealer, Entra: o.tenant, Routes: newPoolRoutes(), Sink: r.sink,
	}, opts)
	require.NoError(o, err)
	return r
}

// start runs it.
func (o *office) start(r *runningPool) *runningPool {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- r.Run(ctx) }()
	o.pools = append(o.pools, r)
	return r
}

func (o *office) pool(change func(*PoolOptions)) *runningPool { return o.start(o.newPool(change)) }

func (o *office) stop(r *runningPool) {
	o.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	assert.NoError(o, <-r.done)
	r.cancel = nil
}

func (o *office) stopAll() {
	for _, r := range o.pools {
		o.stop(r)
	}
}

// hire adds monitors and signs them in.
func (o *office) hire(r *runningPool, numbers ...int) {
	o.Helper()
	for _, n := range numbers {
		name, value := o.tenant.add(n, time.Now().AddDate(2, 0, 0))
		require.NoError(o, r.Add(o.Context(), name, value))
		o.authorize(r, name)
	}
}

func (o *office) authorize(r *runningPool, name string) {
	o.Helper()
	address, err := r.AuthorizationURL(o.Context(), name)
	require.NoError(o, err)
	who, err := r.CompleteSignIn(o.Context(), o.tenant.signIn(address, name))
	require.NoError(o, err)
	require.Equal(o, name, who)
}

// poolRoutes accepts every registration.
type poolRoutes struct{}

func newPoolRoutes() poolRoutes { return poolRoutes{} }

func (poolRoutes) Register(presence.Secret, presence.Receiver) (func(string), func(), error) {
	return func(string) {}, func() {}, nil
}

func people(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%06d", i)
	}
	return ids
}

func named(n int) string { return fmt.Sprintf("monitor%d@example.test", n) }

// watchedUsers returns everybody who is watched, sorted, with repetitions.
func (o *office) watchedUsers() (all []string) {
	for _, users := range o.tenant.watching() {
		all = append(all, users...)
	}
	slices.Sort(all)
	return all
}

func (r *runningPool) state(t *testing.T, n int) MonitorStatus {
	t.Helper()
	s, ok := r.Snapshot().Monitor(named(n))
	require.True(t, ok)
	return s
}

func TestPoolWatchesEverybody(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		unwatched := p.SetUsers(people(1500))
		assert.Len(o, unwatched, 1500, "there is no monitor yet")
		o.hire(p, 1, 2, 3)
		time.Sleep(time.Minute)
		assert.Equal(o, people(1500), o.watchedUsers())
		for name, users := range o.tenant.watching() {
			assert.LessOrEqual(o, len(users), presence.MaxSubscriptionUsers, name)
		}
		s := p.Snapshot()
		assert.Equal(o, 1500, s.Users)
		assert.Equal(o, 1500, s.Subscribed)
		assert.Equal(o, 3*650, s.Capacity)
		assert.Equal(o, 3, s.Needed)
		assert.Zero(o, s.Missing)
		assert.Empty(o, s.Unwatched)
		assert.Empty(o, p.sink.left())
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
	})
}

func TestPoolNamesWhoIsLeftOut(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Second)
		unwatched := p.SetUsers(people(700))
		assert.Len(o, unwatched, 50)
		time.Sleep(time.Minute)
		assert.Len(o, o.watchedUsers(), 650)
		s := p.Snapshot()
		assert.Equal(o, unwatched, s.Overflow)
		assert.Equal(o, unwatched, s.Unwatched)
		assert.Equal(o, unwatched, p.sink.left())
		assert.Equal(o, 1, s.Missing)
		before := o.tenant.watching()[named(1)]
		o.hire(p, 2)
		time.Sleep(time.Minute)
		assert.Equal(o, people(700), o.watchedUsers())
		assert.Equal(o, before, o.tenant.watching()[named(1)], "nobody moves because another comes")
		assert.Empty(o, p.sink.left())
	})
}

func TestRestartAdoptsWhatLives(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(1000))
		time.Sleep(time.Minute)
		o.stop(p)
		o.tenant.mu.Lock()
		creates := o.tenant.creates
		o.tenant.mu.Unlock()
		assert.Len(o, o.watchedUsers(), 1000, "the subscriptions are left in place")

		q := o.pool(nil)
		q.SetUsers(people(1000))
		time.Sleep(time.Minute)
		assert.Equal(o, people(1000), o.watchedUsers())
		o.tenant.mu.Lock()
		defer o.tenant.mu.Unlock()
		assert.Equal(o, creates, o.tenant.creates, "nothing is created anew")
		assert.Zero(o, o.tenant.lists)
		assert.Len(o, q.events.of(EventAdopted, ""), 2)
		for _, id := range people(1000) {
			assert.Equal(o, 1, q.sink.gaps[id], "what happened in between is read")
		}
	})
}

func TestTwoPoolsShareTheMonitors(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.Holder = "first" })
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(1500))
		time.Sleep(time.Minute)
		q := o.pool(func(opts *PoolOptions) { opts.Holder = "second" })
		q.SetUsers(people(1500))
		time.Sleep(3 * time.Hour)
		assert.Equal(o, people(1500), o.watchedUsers())
		assert.Equal(o, "first", q.state(o.T, 1).Keeper)
		assert.False(o, q.state(o.T, 1).Here)
		assert.Equal(o, StateSubscribed, q.state(o.T, 1).State, "what the other keeps is known here")
		o.stop(p)
		time.Sleep(time.Minute)
		assert.Equal(o, people(1500), o.watchedUsers())
		assert.Equal(o, "second", q.state(o.T, 1).Keeper)
		o.tenant.mu.Lock()
		defer o.tenant.mu.Unlock()
		assert.Equal(o, 3, o.tenant.creates, "the second adopted all")
		assert.Zero(o, o.tenant.overlaps, "no refresh ever raced with another")
	})
}

func TestSpareTakesOver(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.Spares = 1 })
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(1000))
		time.Sleep(time.Minute)
		watching := o.tenant.watching()
		require.Len(o, watching, 2, "one is held in reserve")
		var failed string
		for name := range watching {
			failed = name
		}
		o.tenant.account(failed, func(a *tenantAccount) { a.refused = errTenantSignIn })
		time.Sleep(2 * time.Hour)
		now := o.tenant.watching()
		assert.NotContains(o, now, failed)
		assert.Equal(o, people(1000), o.watchedUsers())
		for name, users := range watching {
			if name != failed {
				assert.Equal(o, users, now[name], "the other is not disturbed")
			}
		}
	})
}

func TestOutageMovesNobody(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(1000))
		time.Sleep(time.Minute)
		before := o.tenant.watching()
		o.tenant.mu.Lock()
		o.tenant.breakdown = errTenantDown
		o.tenant.mu.Unlock()
		time.Sleep(3 * time.Hour)
		assert.Len(o, p.sink.left(), 1000, "everybody is named and read in bulk")
		assert.Equal(o, StateFailing, p.state(o.T, 1).State)
		o.tenant.mu.Lock()
		o.tenant.breakdown = nil
		o.tenant.mu.Unlock()
		time.Sleep(10 * time.Minute)
		assert.Equal(o, before, o.tenant.watching())
		assert.Empty(o, p.sink.left())
	})
}

func TestDeleteMovesItsUsersOnly(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(1200))
		time.Sleep(time.Minute)
		before := o.tenant.watching()
		require.NoError(o, p.Delete(o.Context(), named(2)))
		time.Sleep(time.Minute)
		now := o.tenant.watching()
		assert.NotContains(o, now, named(2), "its subscription is deleted")
		assert.Equal(o, people(1200), o.watchedUsers())
		for _, n := range []int{1, 3} {
			for _, id := range before[named(n)] {
				assert.Contains(o, now[named(n)], id, "nobody else moves")
			}
		}
		_, ok := p.Snapshot().Monitor(named(2))
		assert.False(o, ok)
		require.ErrorIs(o, p.Delete(o.Context(), named(2)), ErrUnknownMonitor)
	})
}
