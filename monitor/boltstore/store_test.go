package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/storetest"
)

// open opens a store that the test closes.
func open(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStoreConforms(t *testing.T) {
	paths := map[monitor.Store]string{}
	openAt := func(t *testing.T, path string) monitor.Store {
		s := open(t, path)
		paths[s] = path
		return s
	}
	harness := storetest.Harness{
		Open: func(t *testing.T) monitor.Store { return openAt(t, filepath.Join(t.TempDir(), "store")) },
		Reopen: func(t *testing.T, s monitor.Store) monitor.Store {
			require.NoError(t, s.(*boltstore.Store).Close())
			return openAt(t, paths[s])
		},
		OneProcess: true,
		InBubble:   true,
	}
	storetest.TestStore(t, harness)
}

func put(t *testing.T, s monitor.Store, key, value string, revision uint64) uint64 {
	t.Helper()
	next, err := s.Put(t.Context(), key, []byte(value), revision)
	require.NoError(t, err)
	return next
}

func TestRevisionsAreOneCountForTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var last uint64
	for range 3 {
		s := open(t, path)
		for _, key := range []string{"a", "b"} {
			revision := put(t, s, key, "1", 0)
			assert.Greater(t, revision, last)
			last = revision
			require.NoError(t, s.Delete(t.Context(), key, revision))
		}
		require.NoError(t, s.Close())
	}
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	open(t, filepath.Join(dir, "store"))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "what was made on the way is gone")
	info, err := files[0].Info()
	require.NoError(t, err)
	assert.Equal(t, "store", info.Name())
	assert.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestClosedStoreSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "store"))
		watch := make(chan error, 1)
		go func() { watch <- s.Watch(context.WithoutCancel(t.Context()), "", func(string) {}) }()
		synctest.Wait()
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "closing twice does nothing")

		ctx := t.Context()
		_, listErr := s.List(ctx, "")
		_, putErr := s.Put(ctx, "a", nil, 0)
		_, acquireErr := s.Acquire(ctx, "lease", "ann", time.Hour)
		for name, err := range map[string]error{
			"List": listErr, "Put": putErr, "Delete": s.Delete(ctx, "a", 1), "Delete without a revision": s.Delete(ctx, "a", 0),
			"Watch": s.Watch(ctx, "", func(string) {}), "Watch before": <-watch,
			"Acquire": acquireErr, "Release": s.Release(ctx, "lease", "ann"),
		} {
			assert.ErrorIs(t, err, monitor.ErrStoreClosed, name)
		}
	})
}

func TestWriterThatWaitsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "store"))
		release := boltstore.HoldWriter(s)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := s.Put(ctx, "a", nil, 0)
			result <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
		release()
		put(t, s, "a", "1", 0)
	})
}

// BenchmarkStorePut compares writing a value as it is with sealing it before.
// Both wait for the disk.
func BenchmarkStorePut(b *testing.B) {
	sealer, err := monitor.NewSealer(monitor.GenerateKey(), nil)
	require.NoError(b, err)
	for _, size := range []int{2 << 10, 64 << 10} { // a refresh token; a list of 650 users
		value := bytes.Repeat([]byte{'v'}, size)
		for name, prepare := range map[string]func() []byte{
			"plain":  func() []byte { return value },
			"sealed": func() []byte { return sealer.Seal(value, "monitors/1") },
		} {
			b.Run(strconv.Itoa(size)+"/"+name, func(b *testing.B) {
				s, err := boltstore.Open(filepath.Join(b.TempDir(), "store"), nil)
				require.NoError(b, err)
				defer func() { require.NoError(b, s.Close()) }()
				var revision uint64
				b.ReportAllocs()
				for b.Loop() {
					if revision, err = s.Put(context.Background(), "monitors/1", prepare(), revision); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A service opens its store at the start and closes it at the end.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "monitors.db")

	store, err := boltstore.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	_, err = store.Put(ctx, "monitors/1", []byte("sealed"), 0)
	fmt.Println(err)

	_, err = boltstore.Open(path, &boltstore.Options{LockTimeout: time.Millisecond})
	fmt.Println("a second one:", errors.Is(err, monitor.ErrStoreInUse))

	fmt.Println(store.Close())
	store, err = boltstore.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	entries, err := store.List(ctx, "")
	fmt.Println(entries[0].Key, err)
	// Output:
	// <nil>
	// a second one: true
	// <nil>
	// monitors/1 <nil>
}
