package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// mortalStore is a store as a process sees it that dies at one of its writes:
// before it is done, or after it, so that only the answer is lost.
type mortalStore struct {
	Store
	after bool
	died  chan struct{}

	mu     sync.Mutex
	writes int // until it dies
}

var errProcessDied = errors.New("the process has died")

// write does one write, which may be the last.
func (s *mortalStore) write(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.writes--; {
	case s.writes > 0:
		return do()
	case s.writes < 0:
		return errProcessDied
	}
	if s.after {
		_ = do()
	}
	close(s.died)
	return errProcessDied
}

func (s *mortalStore) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes <= 0
}

func (s *mortalStore) List(ctx context.Context, prefix string) ([]Entry, error) {
	if s.dead() {
		return nil, errProcessDied
	}
	return s.Store.List(ctx, prefix)
}

func (s *mortalStore) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	err = s.write(func() (err error) {
		next, err = s.Store.Put(ctx, key, value, revision)
		return err
	})
	return next, err
}

func (s *mortalStore) Delete(ctx context.Context, key string, revision uint64) error {
	return s.write(func() error { return s.Store.Delete(ctx, key, revision) })
}

func (s *mortalStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error) {
	if s.dead() {
		return Lease{}, errProcessDied
	}
	return s.Store.Acquire(ctx, name, holder, lasts)
}

func (s *mortalStore) Release(ctx context.Context, name, holder string) error {
	if s.dead() {
		return errProcessDied
	}
	return s.Store.Release(ctx, name, holder)
}

// story is what an administrator does, and what was confirmed to him.
type story struct {
	*office
	*runningPool
	ctx   context.Context // ends with the process
	store *mortalStore
	steps []string
	// added and authorized are the monitors of which that was confirmed; doubtful
	// are those of which something was begun and not confirmed since.
	added, authorized, doubtful map[string]bool
	app                         Application
	appDoubtful                 bool
}

// do does one thing to a monitor, and reports whether it was confirmed.
func (s *story) do(what, name string, f func() error) bool {
	if s.store.dead() {
		return false
	}
	s.steps = append(s.steps, what+" "+name)
	s.doubtful[name] = true
	err := f()
	if err != nil {
		return false
	}
	delete(s.doubtful, name)
	return true
}

// live lets time pass, for as long as the process does.
func (s *story) live(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.store.died:
	}
}

func (s *story) hireOne(n int) {
	name, value := s.tenant.add(n, time.Now().AddDate(2, 0, 0))
	if s.do("add", name, func() error { return s.Add(s.ctx, name, value) }) {
		s.added[name] = true
		s.signIn(name)
	}
}

func (s *story) signIn(name string) {
	if s.do("authorize", name, func() error {
		address, err := s.AuthorizationURL(s.ctx, name)
		if err == nil {
			_, err = s.CompleteSignIn(s.ctx, s.tenant.signIn(address, name))
		}
		return err
	}) {
		s.authorized[name] = true
	}
}

// tell lives through everything that writes.
func (s *story) tell() {
	other := Application{"tenant", "other"}
	s.hireOne(1)
	s.hireOne(2)
	s.SetUsers(people(6))
	s.live(time.Minute)
	s.SetUsers(people(7))
	s.live(50 * time.Minute) // renewals, and tokens rotate
	if _, err := s.Resync(s.ctx, named(1)); err == nil {
		s.steps = append(s.steps, "resync")
	}
	fresh := s.tenant.secret("fresh-1", testApplication, time.Now().AddDate(1, 0, 0))
	s.do("renew", named(1), func() error { return s.Renew(s.ctx, named(1), fresh) })
	s.live(time.Minute)
	s.hireOne(3)
	s.live(time.Minute)
	if s.do("delete", named(2), func() error { return s.Delete(s.ctx, named(2)) }) {
		delete(s.added, named(2))
		delete(s.authorized, named(2))
	}
	s.live(time.Minute)
	if s.store.dead() {
		return
	}
	s.appDoubtful = true
	if _, err := s.SetApplication(s.ctx, other); err == nil {
		s.app, s.appDoubtful = other, false
		s.authorized = map[string]bool{}
	}
	s.live(time.Minute)
	moved := s.tenant.secret("moved-1", other, time.Now().AddDate(1, 0, 0))
	if s.do("renew", named(1), func() error { return s.Renew(s.ctx, named(1), moved) }) {
		s.signIn(named(1))
	}
	s.live(time.Minute)
}

// A process dies at each of its writes in turn, before it and after it, while
// monitors are added, authorized, renewed, deleted and moved to another
// application, users come, subscriptions are renewed and tokens rotate. The next
// start loses nothing that was confirmed, and watches everybody again.
func TestCrashBetweenAnyTwoWrites(t *testing.T) {
	for _, after := range []bool{false, true} {
		for deathAt := 1; ; deathAt++ {
			ended := false
			inOffice(t, func(o *office) {
				ended = o.crashAt(deathAt, after)
			})
			if ended || t.Failed() {
				break
			}
			require.Less(t, deathAt, 400)
		}
	}
}

func (o *office) crashAt(deathAt int, after bool) (ended bool) {
	store := &mortalStore{Store: o.store, after: after, writes: deathAt, died: make(chan struct{})}
	behind := o.store
	o.store = store
	few := func(opts *PoolOptions) { opts.Monitor.Capacity, opts.LeaseTime = 5, 2*time.Minute }
	s := &story{
		office: o, runningPool: o.newPool(few), store: store, app: testApplication,
		added: map[string]bool{}, authorized: map[string]bool{}, doubtful: map[string]bool{},
	}
	ctx, cancel := context.WithCancel(o.Context())
	s.ctx = ctx
	go func() {
		select {
		case <-store.died:
			cancel()
		case <-ctx.Done():
		}
	}()
	finished := make(chan error, 1)
	go func() { finished <- s.Pool.Run(ctx) }()
	s.tell()
	ended = !store.dead()
	cancel()
	<-finished
	o.store = behind
	if ended {
		return true
	}
	title := fmt.Sprintf("death at write %d, after it: %t, during %v", deathAt, after, s.steps)

	// Before the next process has done anything, the store has it all.
	app := s.app
	if s.appDoubtful {
		entries, err := o.store.List(o.Context(), keyApplication)
		require.NoError(o, err)
		if d := o.newPool(nil).decode(entries); d.application != (Application{}) {
			app = d.application
		}
	}
	next, err := NewPool(app, "https://bridge.test/notifications", Dependencies{
		Store: o.store, Sealer: o.sealer, Entra: o.tenant, Routes: newPoolRoutes(), Sink: s.sink,
	}, &PoolOptions{LeaseTime: 2 * time.Minute, Monitor: Options{Settle: time.Second, Capacity: 5}})
	require.NoError(o, err, title)
	q := o.start(&runningPool{Pool: next, sink: s.sink, events: s.events})
	q.SetUsers(people(7))
	time.Sleep(4 * time.Minute)
	room := 0
	for _, m := range q.Snapshot().Monitors {
		assert.True(o, s.added[m.PrincipalName] || s.doubtful[m.PrincipalName], "%s: nobody has added %s", title, m.PrincipalName)
		assert.NotEqual(o, StateNotSetUp, m.State, "%s: %s", title, m.Sentence)
		if m.State.Usable() {
			room += 5
		}
	}
	for name := range s.added {
		m, exists := q.Snapshot().Monitor(name)
		switch {
		case !exists:
			assert.True(o, s.doubtful[name] && name == named(2), "%s: %s is lost", title, name)
		case s.authorized[name] && app == s.app && !s.doubtful[name]:
			assert.True(o, m.State.Usable(), "%s: %s is %s: %s", title, name, m.State, m.Sentence)
			m, err := q.Resync(o.Context(), name)
			require.NoError(o, err, title)
			assert.True(o, m.State.Usable(), "%s: the token of %s: %s", title, name, m.Sentence)
		}
	}
	watched := o.watchedUsers()
	assert.Len(o, watched, min(room, 7), title)
	assert.Empty(o, q.Snapshot().Unwatched[min(max(7-room, 0), len(q.Snapshot().Unwatched)):], title)

	// The administrator repeats what was not confirmed, and all is well.
	for n := 1; n <= 3; n++ {
		name := named(n)
		value := presence.NewSecret(fmt.Sprintf("%03d~secret-%d", n, n))
		if _, exists := o.tenant.accounts[name]; !exists {
			o.tenant.add(n, time.Now().AddDate(2, 0, 0))
		}
		if app != testApplication {
			value = o.tenant.secret(fmt.Sprintf("later-%d", n), app, time.Now().AddDate(2, 0, 0))
		}
		if err := q.Add(o.Context(), name, value); err != nil {
			require.ErrorIs(o, err, ErrMonitorExists, title)
			require.NoError(o, q.Renew(o.Context(), name, value), title)
		}
		if m, _ := q.Snapshot().Monitor(name); !m.State.Usable() {
			o.authorize(q, name)
		}
	}
	time.Sleep(time.Minute)
	assert.Equal(o, people(7), o.watchedUsers(), title)
	assert.Zero(o, o.tenant.overlaps, title)
	return false
}
