package presencebridge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestReadingOfWhomNobodyWatchesBacksOffWhileThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 24 * time.Hour})
		sweeps := func(d time.Duration) int {
			before := w.count("presences")
			time.Sleep(d)
			return w.count("presences") - before
		}
		assert.InDelta(t, 63, sweeps(time.Hour), 6, "once a minute")
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "presences" {
				return throttled{time.Second}
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		w.setFault(nil)
		assert.LessOrEqual(t, sweeps(7*time.Minute), 3, "backed off")
		time.Sleep(time.Hour)
		assert.InDelta(t, 63, sweeps(time.Hour), 6, "and back to once a minute")

		w.bridge.Watch(&pool{room: 1})
		assert.Zero(t, sweeps(time.Hour), "everybody is watched")
		require.NoError(t, stop())
	})
}

// A client that waits by itself when it is throttled is only slow.
func TestReadingOfWhomNobodyWatchesBacksOffWhileItIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One more than two requests, which are all that are made at a time, can name.
		names := make([]string, 2*presence.MaxSubscriptionUsers+1)
		for i := range names {
			names[i] = fmt.Sprintf("user-%04d", i)
		}
		w := newWorld(t, names...)
		stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 24 * time.Hour})
		requests := func(d time.Duration) int {
			before := w.count("presences")
			time.Sleep(d)
			return w.count("presences") - before
		}
		assert.GreaterOrEqual(t, requests(10*time.Minute), 27, "three at least, once a minute")
		end := time.Now().Add(time.Hour)
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "presences" {
				time.Sleep(time.Until(end))
			}
			return nil
		})
		// After 1, 2, 4, 8, 16 and 32 minutes, less up to a tenth, somebody still
		// waits, unless the last look comes after the end; the next one is at
		// least 14 minutes away.
		time.Sleep(time.Hour + 4*time.Minute)
		assert.Zero(t, requests(10*time.Minute), "backed off")
		time.Sleep(2 * time.Hour)
		assert.GreaterOrEqual(t, requests(10*time.Minute), 27, "and back to once a minute")
		require.NoError(t, stop())
	})
}

// One sweep must not take for its own unfinished work what the other has just
// asked for.
func TestLaneIsUnfinishedWhereSomebodyWaitsSinceThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("test", 1, 1, time.Minute)
		start := time.Now()
		l.add(true, "ada")
		assert.False(t, l.unfinished(start), "the urgent come first anyway")
		time.Sleep(time.Second)
		l.add(false, "bob")
		assert.False(t, l.unfinished(start))
		assert.True(t, l.unfinished(time.Now()))
		time.Sleep(time.Second)
		l.add(false, "bob", "cyd")
		assert.True(t, l.unfinished(start.Add(time.Second)), "bob has waited since the first time")
		for range 2 {
			users, _ := l.take(time.Now())
			l.done(users)
		}
		assert.False(t, l.unfinished(start.Add(time.Second)))
		assert.True(t, l.unfinished(time.Now()), "cyd still waits")
	})
}
