package monitor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/storetest"
)

func TestMemoryStoreConforms(t *testing.T) {
	storetest.TestStore(t, storetest.Harness{
		InBubble: true,
		Open:     func(*testing.T) monitor.Store { return monitor.NewMemoryStore() },
	})
}

func TestLeaseEndsAtTheInstantItNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := monitor.NewMemoryStore()
		ann, err := s.Acquire(t.Context(), "lease", "ann", time.Minute)
		require.NoError(t, err)
		assert.Equal(t, time.Minute, time.Until(ann.Expires))

		time.Sleep(time.Minute - time.Nanosecond)
		_, err = s.Acquire(t.Context(), "lease", "bob", time.Minute)
		var held *monitor.HeldError
		require.ErrorAs(t, err, &held)
		assert.Equal(t, ann, held.Lease)
		assert.EqualError(t, err, "monitor: the lease lease is held by ann")

		time.Sleep(time.Nanosecond)
		_, err = s.Acquire(t.Context(), "lease", "bob", time.Minute)
		require.NoError(t, err)
	})
}

func TestKeysAndValuesHaveLimits(t *testing.T) {
	assert.EqualError(t, monitor.CheckKey(""), "monitor: a key has 1 to 128 characters, not 0")
	assert.EqualError(t, monitor.CheckKey("Ann"), `monitor: the key "Ann" has other characters than lower-case letters, digits, '-' and '/'`)
	assert.EqualError(t, monitor.CheckKey("a/"), `monitor: the key "a/" begins or ends with '/'`)
	assert.EqualError(t, monitor.CheckValue(make([]byte, monitor.MaxValueLength+1)), "monitor: a value has up to 1048576 bytes, not 1048577")
	assert.ErrorContains(t, monitor.CheckLease("A", "ann", time.Hour), "name of a lease")
	assert.EqualError(t, monitor.CheckLease("a", "", time.Hour), "monitor: the lease a needs a holder")
	assert.EqualError(t, monitor.CheckLease("a", "ann", 0), "monitor: the lease a is to last for 0s: it must last for more than 0")
	assert.NoError(t, monitor.CheckLease("a", "ann", 1))
}
