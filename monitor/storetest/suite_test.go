package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge/monitor"
)

func TestMemoryStoreConforms(t *testing.T) {
	TestStore(t, Harness{InBubble: true, Open: func(*testing.T) monitor.Store { return monitor.NewMemoryStore() }})
}

func TestMemoryStoreConformsInRealTime(t *testing.T) {
	TestStore(t, Harness{Open: func(*testing.T) monitor.Store { return monitor.NewMemoryStore() }, ShortLease: 20 * time.Millisecond})
}

// recorder notes failures in place of a test.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Context() context.Context { return r.ctx }

// failing runs the whole suite, restarts included, and returns the names of the
// checks that failed.
func failing(t *testing.T, open func() monitor.Store, reopen func(monitor.Store) monitor.Store) []string {
	var names []string
	for _, c := range checks() {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r := &recorder{ctx: ctx}
			done := make(chan struct{})
			go func() { // Fatalf ends the goroutine
				defer close(done)
				store := open()
				c.run(r, &subject{Store: store, short: time.Second, restart: func() monitor.Store {
					store = reopen(store)
					return store
				}})
			}()
			<-done
			cancel()
			if len(r.failures) > 0 {
				names = append(names, c.name)
			}
		})
	}
	return names
}

func asItIs(s monitor.Store) monitor.Store { return s }

func TestSuiteIsSilentAboutAGoodStore(t *testing.T) {
	assert.Empty(t, failing(t, func() monitor.Store { return monitor.NewMemoryStore() }, asItIs))
}

func TestSuiteFindsStoresThatBreakTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		wrong func(good monitor.Store, w *wrong)
		finds string
	}{
		"it begins with an entry": {func(good monitor.Store, _ *wrong) {
			_, _ = good.Put(context.Background(), "a/format", nil, 0)
		}, "an empty store lists nothing"},
		"values are cut at a zero byte": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				value, _, _ = bytes.Cut(value, []byte{0})
				return good.Put(ctx, key, value, revision)
			}
		}, "what is put is listed"},
		"creating overwrites": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				if revision == 0 {
					revision = find(good, key).Revision
				}
				return good.Put(ctx, key, value, revision)
			}
		}, "an entry is created once"},
		"writing ignores revisions": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				if revision != 0 {
					revision = find(good, key).Revision
				}
				return good.Put(ctx, key, value, revision)
			}
		}, "an old revision writes nothing"},
		"deleting ignores revisions": {func(good monitor.Store, w *wrong) {
			w.del = func(ctx context.Context, key string, _ uint64) error {
				return good.Delete(ctx, key, find(good, key).Revision)
			}
		}, "an old revision writes nothing"},
		"deleting what does not exist is no error": {func(good monitor.Store, w *wrong) {
			w.del = func(ctx context.Context, key string, revision uint64) error {
				if find(good, key).Revision == 0 {
					return nil
				}
				return good.Delete(ctx, key, revision)
			}
		}, "what is deleted is gone and can be created again"},
		"revisions are counted for each life of a key": {func(good monitor.Store, w *wrong) {
			// The value's first byte is its revision.
			current := func(key string, revision uint64) uint64 {
				if e := find(good, key); e.Revision != 0 && uint64(e.Value[0]) == revision {
					return e.Revision
				}
				return revision + 1_000_000
			}
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				known := uint64(0)
				if revision != 0 {
					known = current(key, revision)
				}
				_, err := good.Put(ctx, key, append([]byte{byte(revision + 1)}, value...), known)
				return revision + 1, err
			}
			w.del = func(ctx context.Context, key string, revision uint64) error {
				return good.Delete(ctx, key, current(key, revision))
			}
		}, "a revision never comes again"},
		"lists are in the order of a map": {func(good monitor.Store, w *wrong) {
			w.list = func(ctx context.Context, prefix string) ([]monitor.Entry, error) {
				entries, err := good.List(ctx, prefix)
				slices.Reverse(entries)
				return entries, err
			}
		}, "a prefix lists its keys in order"},
		"a prefix is a folder": {func(good monitor.Store, w *wrong) {
			w.list = func(ctx context.Context, prefix string) ([]monitor.Entry, error) {
				entries, err := good.List(ctx, prefix)
				return slices.DeleteFunc(entries, func(e monitor.Entry) bool {
					rest := strings.TrimPrefix(e.Key, prefix)
					return prefix != "" && rest != "" && rest[0] != '/' && !strings.HasSuffix(prefix, "/")
				}), err
			}
		}, "a prefix lists its keys in order"},
		"listed values are the store's": {func(good monitor.Store, w *wrong) {
			var mu sync.Mutex
			shared := map[uint64][]byte{}
			w.list = func(ctx context.Context, prefix string) ([]monitor.Entry, error) {
				mu.Lock()
				defer mu.Unlock()
				entries, err := good.List(ctx, prefix)
				for i, e := range entries {
					if shared[e.Revision] == nil {
						shared[e.Revision] = e.Value
					}
					entries[i].Value = shared[e.Revision]
				}
				return entries, err
			}
		}, "values belong to the caller"},
		"bad keys are written": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				return good.Put(ctx, strings.ToLower(key), value, revision)
			}
		}, "keys have limits"},
		"deleting a bad key seems to be late": {func(good monitor.Store, w *wrong) {
			w.del = func(ctx context.Context, key string, revision uint64) error {
				if monitor.CheckKey(key) != nil {
					return monitor.ErrRevision
				}
				return good.Delete(ctx, key, revision)
			}
		}, "keys have limits"},
		"long values are cut": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				return good.Put(ctx, key, value[:min(len(value), monitor.MaxValueLength)], revision)
			}
		}, "values have limits"},
		"comparing and writing are two steps": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				if find(good, key).Revision != revision {
					return 0, monitor.ErrRevision
				}
				pause(ctx, time.Millisecond)
				for {
					next, err := good.Put(ctx, key, value, find(good, key).Revision)
					if !errors.Is(err, monitor.ErrRevision) {
						return next, err
					}
				}
			}
		}, "concurrent increments lose nothing"},
		"the last of many creations is done": {func(good monitor.Store, w *wrong) {
			w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
				exists := find(good, key).Revision
				pause(ctx, time.Millisecond)
				if revision == 0 && exists == 0 {
					revision = find(good, key).Revision
				}
				return good.Put(ctx, key, value, revision)
			}
		}, "one of many creations is done"},
		"contexts are ignored": {func(good monitor.Store, w *wrong) {
			w.put = func(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
				return good.Put(context.Background(), key, value, revision)
			}
		}, "a context that has ended ends the call"},
		"a watch does not say to list": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				return good.Watch(ctx, prefix, func(key string) {
					if key != "" {
						changed(key)
					}
				})
			}
		}, "a watch first says to list"},
		"a watch does not tell of what is deleted": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				return good.Watch(ctx, prefix, func(key string) {
					if key == "" || find(good, key).Revision != 0 {
						changed(key)
					}
				})
			}
		}, "a watch tells every change with its prefix"},
		"a watch tells of other keys": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, _ string, changed func(string)) error {
				return good.Watch(ctx, "", changed)
			}
		}, "a watch tells every change with its prefix"},
		"a watch tells each key once": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				told := map[string]bool{}
				return good.Watch(ctx, prefix, func(key string) {
					if !told[key] {
						changed(key)
					}
					told[key] = true
				})
			}
		}, "a watch tells every change with its prefix"},
		"a watch drops what comes quickly": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				n := 0
				return good.Watch(ctx, prefix, func(key string) {
					if n++; n%4 != 0 {
						changed(key)
					}
				})
			}
		}, "a watch leaves out nothing of concurrent writers"},
		"a watch ends without an error": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				_ = good.Watch(ctx, prefix, changed)
				return nil
			}
		}, "a watch ends with its context"},
		"a watch tells after its end": {func(good monitor.Store, w *wrong) {
			w.watch = func(ctx context.Context, prefix string, changed func(string)) error {
				err := good.Watch(ctx, prefix, changed)
				w.put = func(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
					changed(key)
					return good.Put(ctx, key, value, revision)
				}
				return err
			}
		}, "a watch ends with its context"},
		"everybody gets a lease": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, "everybody", lasts)
				lease.Holder = holder
				return lease, err
			}
		}, "a lease has one holder"},
		"a lease is held by nobody in particular": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, holder, lasts)
				var h *monitor.HeldError
				if errors.As(err, &h) {
					h.Holder = ""
				}
				return lease, err
			}
		}, "a lease has one holder"},
		"a lease is not prolonged": {func(good monitor.Store, w *wrong) {
			var mu sync.Mutex
			first := map[string]monitor.Lease{}
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				mu.Lock()
				defer mu.Unlock()
				if lease, ok := first[name]; ok && lease.Holder == holder && time.Now().Before(lease.Expires) {
					return lease, nil
				}
				lease, err := good.Acquire(ctx, name, holder, lasts)
				first[name] = lease
				return lease, err
			}
		}, "a holder prolongs its lease"},
		"a lease is given away early": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, holder, max(lasts-lasts/10, 1))
				if err == nil {
					lease.Expires = lease.Expires.Add(lasts / 10)
				}
				return lease, err
			}
		}, "a lease ends when it said and not before"},
		"a lease never ends": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, holder, 1000*lasts)
				if err == nil {
					lease.Expires = lease.Expires.Add(-999 * lasts)
				}
				return lease, err
			}
		}, "a lease ends when it said and not before"},
		"everybody releases": {func(good monitor.Store, w *wrong) {
			var last atomic.Value
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, holder, lasts)
				if err == nil {
					last.Store(holder)
				}
				return lease, err
			}
			w.release = func(ctx context.Context, name, _ string) error {
				holder, _ := last.Load().(string)
				return good.Release(ctx, name, holder)
			}
		}, "only its holder releases a lease"},
		"nobody releases": {func(_ monitor.Store, w *wrong) {
			w.release = func(context.Context, string, string) error { return nil }
		}, "only its holder releases a lease"},
		"leases are entries": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				_, _ = good.Put(ctx, name, []byte(holder), 0)
				return good.Acquire(ctx, name, holder, lasts)
			}
		}, "leases are independent"},
		"there is one lease": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, "one", holder, lasts)
				lease.Name = name
				return lease, err
			}
			w.release = func(ctx context.Context, _, holder string) error { return good.Release(ctx, "one", holder) }
		}, "leases are independent"},
		"nobody is a holder": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				if holder == "" {
					return monitor.Lease{Name: name, Expires: time.Now().Add(lasts)}, nil
				}
				return good.Acquire(ctx, name, holder, lasts)
			}
		}, "leases have limits"},
		"looking and taking are two steps": {func(good monitor.Store, w *wrong) {
			w.acquire = func(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
				lease, err := good.Acquire(ctx, name, holder, lasts)
				var h *monitor.HeldError
				if errors.As(err, &h) && strings.HasPrefix(holder, "holder 1") {
					return monitor.Lease{Name: name, Holder: holder, Expires: time.Now().Add(lasts)}, nil
				}
				return lease, err
			}
		}, "one of many holders acts at a time"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Contains(t, failing(t, func() monitor.Store {
				good := monitor.NewMemoryStore()
				w := &wrong{Store: good}
				c.wrong(good, w)
				return w
			}, asItIs), c.finds)
		})
	}
}

func TestSuiteFindsStoresThatForget(t *testing.T) {
	open := func() monitor.Store { return monitor.NewMemoryStore() }
	found := failing(t, open, func(monitor.Store) monitor.Store { return monitor.NewMemoryStore() })
	assert.Equal(t, []string{"what was done outlives a restart", "a lease outlives a restart"}, found)
}

func TestSuiteSkipsWhatTheHarnessCannotShow(t *testing.T) {
	for _, c := range checks() {
		reopen := Harness{Reopen: func(*testing.T, monitor.Store) monitor.Store { return nil }}
		assert.Equal(t, c.needs != nothing, c.skip(Harness{}) != "", c.name)
		assert.Empty(t, c.skip(reopen), c.name)
		reopen.OneProcess = true
		assert.Equal(t, c.needs == lastingLeases, c.skip(reopen) != "", c.name)
	}
}
