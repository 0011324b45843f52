package storetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/storetest"
)

// write creates, changes and deletes an entry, three writes, until one fails.
func write(t *testing.T, s monitor.Store) error {
	t.Helper()
	first, err := s.Put(t.Context(), "a", []byte("1"), 0)
	if err != nil {
		return err
	}
	second, err := s.Put(t.Context(), "a", []byte("2"), first)
	if err != nil {
		return err
	}
	return s.Delete(t.Context(), "a", second)
}

func value(t *testing.T, s monitor.Store) string {
	t.Helper()
	entries, err := s.List(t.Context(), "")
	require.NoError(t, err)
	text := ""
	for _, e := range entries {
		text += e.Key + "=" + string(e.Value) + ";"
	}
	return text
}

func TestCrashComesAtTheChosenWrite(t *testing.T) {
	for moment, want := range map[storetest.Moment][]string{
		storetest.BeforeWrite: {"", "a=1;", "a=2;", ""},
		storetest.AfterWrite:  {"a=1;", "a=2;", "", ""},
	} {
		for writes, left := range want {
			behind := monitor.NewMemoryStore()
			store := storetest.Crashing(behind, writes, moment)
			err := write(t, store)
			assert.Equal(t, left, value(t, behind), "%s %d", moment, writes)
			if writes == 3 {
				assert.NoError(t, err)
				assert.NotPanics(t, func() { assert.Empty(t, value(t, store)) })
				continue
			}
			require.ErrorIs(t, err, storetest.ErrCrashed)
			select {
			case <-store.Crashed():
			default:
				t.Error("it has crashed and does not say so")
			}
		}
	}
}

func TestNothingWorksAfterTheCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		behind := monitor.NewMemoryStore()
		store := storetest.Crashing(behind, 0, storetest.BeforeWrite)
		_, err := store.Acquire(ctx, "lease", "ann", time.Hour)
		require.NoError(t, err, "reading and leases work until then")
		watch := make(chan error, 1)
		told := 0
		go func() { watch <- store.Watch(ctx, "", func(string) { told++ }) }()
		synctest.Wait()
		assert.Equal(t, 1, told)

		_, err = store.Put(ctx, "a", nil, 0)
		require.ErrorIs(t, err, storetest.ErrCrashed)
		require.ErrorIs(t, <-watch, storetest.ErrCrashed)
		_, err = store.List(ctx, "")
		require.ErrorIs(t, err, storetest.ErrCrashed)
		require.ErrorIs(t, store.Delete(ctx, "a", 1), storetest.ErrCrashed)
		require.ErrorIs(t, store.Watch(ctx, "", func(string) { told++ }), storetest.ErrCrashed)
		_, err = store.Acquire(ctx, "other", "ann", time.Hour)
		require.ErrorIs(t, err, storetest.ErrCrashed)
		require.ErrorIs(t, store.Release(ctx, "lease", "ann"), storetest.ErrCrashed)

		_, err = behind.Acquire(ctx, "lease", "bob", time.Hour)
		var held *monitor.HeldError
		require.ErrorAs(t, err, &held, "nobody has released the lease")
		_, err = behind.Put(ctx, "a", nil, 0)
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, 1, told, "the dead are told nothing")
	})
}

// blocking is a store whose functions wait before they answer.
type blocking struct {
	monitor.Store
	proceed chan struct{}
}

func (b blocking) List(ctx context.Context, prefix string) ([]monitor.Entry, error) {
	<-b.proceed
	return b.Store.List(ctx, prefix)
}

func TestCallThatHasBegunIsNotAnsweredAfterTheCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		behind := blocking{monitor.NewMemoryStore(), make(chan struct{})}
		store := storetest.Crashing(behind, 0, storetest.AfterWrite)
		listed := make(chan error, 1)
		go func() {
			_, err := store.List(t.Context(), "")
			listed <- err
		}()
		synctest.Wait()
		_, err := store.Put(t.Context(), "a", nil, 0)
		require.ErrorIs(t, err, storetest.ErrCrashed)
		close(behind.proceed)
		assert.ErrorIs(t, <-listed, storetest.ErrCrashed)
	})
}

// A store that does not crash within the suite must pass it.
func TestCrashingStoreConformsUntilItCrashes(t *testing.T) {
	storetest.TestStore(t, storetest.Harness{
		InBubble: true,
		Open: func(*testing.T) monitor.Store {
			return storetest.Crashing(monitor.NewMemoryStore(), 1_000_000, storetest.AfterWrite)
		},
	})
}
