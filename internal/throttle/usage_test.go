package throttle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

func TestUsageIsThatOfTheLastWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 1500, 30*time.Second)
		want := presence.BudgetUsage{Name: "test", Units: 1500, Window: 30 * time.Second}
		assert.Equal(t, want, b.Usage(), "nothing is spent at first")
		for range 12 {
			require.NoError(t, b.Wait(t.Context(), 1))
		}
		want.Used = 12
		assert.Equal(t, want, b.Usage())
		time.Sleep(20 * time.Second)
		require.NoError(t, b.Wait(t.Context(), 3))
		want.Used = 15
		assert.Equal(t, want, b.Usage(), "units, not requests")
		time.Sleep(9 * time.Second)
		assert.Equal(t, want, b.Usage(), "all of it is within the window")
		time.Sleep(2 * time.Second)
		want.Used = 3
		assert.Equal(t, want, b.Usage(), "the first twelve are out of it")
		time.Sleep(time.Hour)
		want.Used = 0
		assert.Equal(t, want, b.Usage())
	})
}

func TestUsageTellsOfAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 10, time.Second)
		until := time.Now().Add(time.Minute)
		b.Pause(until)
		assert.Equal(t, until, b.Usage().PausedUntil)
		time.Sleep(time.Minute)
		assert.Zero(t, b.Usage().PausedUntil, "a pause that is over is none")
	})
}

func TestUsageCountsNoTurnThatWasNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 1, time.Minute)
		require.NoError(t, b.Wait(t.Context(), 1))
		time.Sleep(31 * time.Second)
		// The turn comes in the pause and is lost; the next is half a minute after it.
		time.AfterFunc(10*time.Second, func() { b.Pause(time.Now().Add(2 * time.Minute)) })
		go func() { assert.NoError(t, b.Wait(t.Context(), 1)) }()
		time.Sleep(119 * time.Second)
		assert.Zero(t, b.Usage().Used, "the first is out of the window, the second waits")
		time.Sleep(time.Minute)
		assert.Equal(t, 1, b.Usage().Used)
	})
}

func TestUsageIsExactToAThirtieth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		units := rapid.IntRange(1, 200).Draw(rt, "units")
		window := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(rt, "window"))
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(window)*2), 1, 60).Draw(rt, "gaps")
		synctest.Test(t, func(t *testing.T) {
			b := throttle.NewBudget("test", units, window)
			var got spending
			for _, gap := range gaps {
				time.Sleep(time.Duration(gap))
				require.NoError(t, b.Wait(t.Context(), 1))
				got.add(1)
				least, most := 0, 0
				for _, one := range got.spent {
					// The limiter rounds to the nanosecond, either way.
					if age := time.Since(one.at); age < window-time.Microsecond {
						least++
						most++
					} else if age <= window+window/30+time.Microsecond {
						most++
					}
				}
				used := b.Usage().Used
				if used < least || used > min(most, units) {
					rt.Fatalf("%d used, of between %d and %d (%d units)", used, least, most, units)
				}
			}
		})
	})
}
