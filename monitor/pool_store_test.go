package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// moodyStore is a store as one process sees it, that fails or hangs at will.
type moodyStore struct {
	Store
	mu    sync.Mutex
	mood  func(ctx context.Context, call string) error
	calls map[string]int
}

var errMoody = errors.New("the disk is on fire")

func failed(context.Context, string) error { return errMoody }

func hanging(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func failingWrites(_ context.Context, call string) error {
	if call == "Put" || call == "Delete" {
		return errMoody
	}
	return nil
}

func panicking(context.Context, string) error { panic("a bug of the embedder's") }

func (s *moodyStore) set(mood func(context.Context, string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = mood
}

func (s *moodyStore) before(ctx context.Context, call string) error {
	s.mu.Lock()
	mood := s.mood
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[call]++
	s.mu.Unlock()
	if mood == nil {
		return nil
	}
	return mood(ctx, call)
}

func (s *moodyStore) List(ctx context.Context, prefix string) ([]Entry, error) {
	if err := s.before(ctx, "List"); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix)
}

func (s *moodyStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := s.before(ctx, "Put"); err != nil {
		return 0, err
	}
	return s.Store.Put(ctx, key, value, revision)
}

func (s *moodyStore) Delete(ctx context.Context, key string, revision uint64) error {
	if err := s.before(ctx, "Delete"); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, revision)
}

func (s *moodyStore) Watch(ctx context.Context, prefix string, changed func(string)) error {
	if err := s.before(ctx, "Watch"); err != nil {
		return err
	}
	return s.Store.Watch(ctx, prefix, changed)
}

func (s *moodyStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error) {
	if err := s.before(ctx, "Acquire"); err != nil {
		return Lease{}, err
	}
	return s.Store.Acquire(ctx, name, holder, lasts)
}

func (s *moodyStore) Release(ctx context.Context, name, holder string) error {
	if err := s.before(ctx, "Release"); err != nil {
		return err
	}
	return s.Store.Release(ctx, name, holder)
}

// poolOn makes and runs a pool that sees the store through a moody one.
func (o *office) poolOn(s *moodyStore, change func(*PoolOptions)) *runningPool {
	o.Helper()
	behind := o.store
	s.Store = behind
	o.store = s
	p := o.pool(change)
	o.store = behind
	return p
}

func TestStoreThatFailsForAnHour(t *testing.T) {
	for name, mood := range map[string]func(context.Context, string) error{
		"fails": failed, "hangs": hanging, "panics": panicking, "fails writes": failingWrites,
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				store := &moodyStore{}
				p := o.poolOn(store, nil)
				o.hire(p, 1, 2)
				p.SetUsers(people(1000))
				time.Sleep(time.Minute)
				require.Empty(o, p.sink.left())
				store.set(mood)
				store.mu.Lock()
				store.calls = nil
				store.mu.Unlock()
				time.Sleep(70 * time.Minute)
				assert.Equal(o, StateFailing, p.state(o.T, 1).State)
				assert.NotEmpty(o, p.state(o.T, 1).Sentence)
				require.Error(o, p.Snapshot().Err)
				assert.Len(o, p.sink.left(), 1000, "everybody is named and read in bulk")
				total := 0
				store.mu.Lock()
				for _, n := range store.calls {
					total += n
				}
				store.mu.Unlock()
				assert.Less(o, total, 70*60*2, "the store is not run down")
				store.set(nil)
				time.Sleep(6 * time.Minute)
				assert.Equal(o, people(1000), o.watchedUsers())
				assert.Empty(o, p.sink.left())
				assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
				require.NoError(o, p.Snapshot().Err)
				assert.Zero(o, o.tenant.overlaps)
			})
		})
	}
}

// A process that can no longer reach the store cannot know who watches: what its
// subscriptions bring it does not hear any more, and so it says so in time.
func TestLostLeaseNamesWhoIsUnwatched(t *testing.T) {
	inOffice(t, func(o *office) {
		store := &moodyStore{}
		p := o.poolOn(store, nil)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		store.set(hanging)
		time.Sleep(time.Minute)
		assert.Len(o, p.sink.left(), 10)
		assert.NotEmpty(o, o.tenant.watching(), "though the subscription lives")
		store.set(nil)
		time.Sleep(time.Minute)
		assert.Empty(o, p.sink.left())
		assert.Equal(o, 2, p.sink.gaps[people(1)[0]], "they were read when it was adopted")
	})
}

func TestRunNeedsAStoreThatCanBeRead(t *testing.T) {
	for name, mood := range map[string]func(context.Context, string) error{"fails": failed, "hangs": hanging, "panics": panicking} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				store := &moodyStore{Store: o.store, mood: mood}
				o.store = store
				p := o.newPool(nil)
				err := p.Run(o.Context())
				var fault *Error
				require.ErrorAs(o, err, &fault)
				assert.Equal(o, "run", fault.Operation)
				assert.False(o, p.Snapshot().Running)
				require.Error(o, p.Load(o.Context()))
				store.set(nil)
				o.start(p)
				time.Sleep(time.Second)
				assert.True(o, p.Snapshot().Running)
			})
		})
	}
}

func TestWrongKeyIsAClearError(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Second)
		o.stop(p)
		before, err := o.store.List(o.Context(), "")
		require.NoError(o, err)

		right := o.sealer
		other := GenerateKey()
		o.sealer, err = NewSealer(other, nil)
		require.NoError(o, err)
		q := o.newPool(nil)
		require.ErrorIs(o, q.Run(o.Context()), ErrWrongKey)
		require.ErrorIs(o, q.Load(o.Context()), ErrWrongKey)
		require.ErrorIs(o, q.Add(o.Context(), named(2), presence.NewSecret("x")), ErrWrongKey)
		_, err = q.CompleteSignIn(o.Context(), nil)
		require.ErrorIs(o, err, ErrWrongKey)
		after, err := o.store.List(o.Context(), "")
		require.NoError(o, err)
		assert.Equal(o, before, after, "nothing was overwritten")
		o.sealer = right
	})
}

// The key is changed by making it a former one; when everything has been written
// since, it goes.
func TestKeyChange(t *testing.T) {
	inOffice(t, func(o *office) {
		first, second := GenerateKey(), GenerateKey()
		o.sealer, _ = NewSealer(first, nil)
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		o.stop(p)
		var err error
		o.sealer, err = NewSealer(second, &SealerOptions{Former: []presence.Secret{first}})
		require.NoError(o, err)
		p = o.pool(nil)
		p.SetUsers(people(3))
		time.Sleep(2 * time.Hour)
		o.stop(p)
		o.sealer, err = NewSealer(second, nil)
		require.NoError(o, err)
		p = o.pool(nil)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
	})
}

func TestUnreadableRecordHarmsNobodyElse(t *testing.T) {
	for name, spoil := range map[string]func(*office, Entry) []byte{
		"not JSON": func(*office, Entry) []byte { return []byte("{{{") },
		"another key": func(o *office, e Entry) []byte {
			other, err := NewSealer(GenerateKey(), nil)
			require.NoError(o, err)
			r := decodeRecord(e, o.sealer)
			value, err := r.encode(other)
			require.NoError(o, err)
			return value
		},
		"newer version": func(o *office, e Entry) []byte {
			var fields map[string]any
			require.NoError(o, json.Unmarshal(e.Value, &fields))
			fields["version"] = recordVersion + 1
			value, err := json.Marshal(fields)
			require.NoError(o, err)
			return value
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(nil)
				o.hire(p, 1, 2)
				p.SetUsers(people(700))
				time.Sleep(time.Minute)
				key := prefixMonitors + monitorID(named(1))
				entries, err := o.store.List(o.Context(), key)
				require.NoError(o, err)
				spoilt := spoil(o, entries[0])
				_, err = o.store.Put(o.Context(), key, spoilt, entries[0].Revision)
				require.NoError(o, err)
				time.Sleep(time.Minute)
				status := func() MonitorStatus {
					for _, m := range p.Snapshot().Monitors {
						if m.PrincipalName != named(2) {
							return m
						}
					}
					return MonitorStatus{}
				}
				assert.Equal(o, StateNotSetUp, status().State)
				assert.Equal(o, []Action{ActionRenew, ActionDelete}, status().Actions)
				assert.Equal(o, StateSubscribed, p.state(o.T, 2).State, "the other goes on")
				assert.Len(o, p.sink.left(), 50)

				require.ErrorIs(o, p.Retry(o.Context(), named(1)), ErrUnreadableRecord)
				_, err = p.Resync(o.Context(), named(1))
				require.ErrorIs(o, err, ErrUnreadableRecord)
				_, err = p.AuthorizationURL(o.Context(), named(1))
				require.ErrorIs(o, err, ErrUnreadableRecord)
				now, err := o.store.List(o.Context(), key)
				require.NoError(o, err)
				assert.Equal(o, spoilt, now[0].Value, "the right key would still open it")

				require.NoError(o, p.Renew(o.Context(), named(1), presence.NewSecret("001~secret-1")))
				assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
				o.authorize(p, named(1))
				time.Sleep(time.Minute)
				assert.Len(o, o.watchedUsers(), 700)
				assert.Empty(o, p.sink.left())
			})
		})
	}
}

func TestUnreadableEntriesOfThePoolAreWrittenAnew(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		for _, key := range []string{keyApplication, prefixUsers + monitorID(named(1))} {
			entries, err := o.store.List(o.Context(), key)
			require.NoError(o, err)
			require.Len(o, entries, 1)
			_, err = o.store.Put(o.Context(), key, []byte("?"), entries[0].Revision)
			require.NoError(o, err)
		}
		time.Sleep(time.Minute)
		assert.Equal(o, people(3), o.watchedUsers())
		o.stop(p)
		q := o.pool(nil)
		q.SetUsers(people(3))
		time.Sleep(time.Minute)
		assert.Equal(o, people(3), o.watchedUsers())
		assert.Equal(o, testApplication, q.Application())
	})
}

// A reading that began before another must not undo it, and neither must one
// that began before a write.
func TestOlderReadingDoesNotUndoANewerOne(t *testing.T) {
	o := order{at: map[string]uint64{}}
	first := o.begin()
	second := o.begin()
	assert.True(t, o.read("a", second))
	assert.False(t, o.read("a", first), "the second knows better")
	assert.True(t, o.read("b", first))
	write := o.begin()
	third := o.begin()
	assert.True(t, o.read("a", third))
	assert.True(t, o.wrote("a", write), "what was read meanwhile may be newer, or older")
	assert.False(t, o.read("a", third))
	fourth := o.begin()
	assert.True(t, o.read("a", fourth))
	for range 5 {
		o.end()
	}
	assert.Empty(t, o.at, "nothing is remembered for ever")
}
