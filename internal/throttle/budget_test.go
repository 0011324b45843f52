package throttle_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// spending is what was spent, and when.
type spending struct {
	mu    sync.Mutex
	spent []spent
}

type spent struct {
	at   time.Time
	cost int
}

func (s *spending) add(cost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent = append(s.spent, spent{time.Now(), cost})
}

// worst returns the most that was spent in any window. The limiter rounds turns
// to the nanosecond, either way, which no service can see.
func (s *spending) worst(window time.Duration) int {
	most := 0
	for i, first := range s.spent {
		sum := 0
		for _, one := range s.spent[i:] {
			if one.at.Sub(first.at) < window-time.Microsecond {
				sum += one.cost
			}
		}
		most = max(most, sum)
	}
	return most
}

// A burst is a number of requests made at once, some time after the last burst.
type burst struct {
	gap, patience, pause time.Duration
	requests, cost       int
}

func TestBudgetIsKeptInEveryWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		units := rapid.IntRange(1, 60).Draw(rt, "units")
		window := time.Duration(rapid.IntRange(1, 60_000).Draw(rt, "window")) * time.Millisecond
		within := func(name string, windows int) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(window)*int64(windows)).Draw(rt, name))
		}
		bursts := make([]burst, rapid.IntRange(1, 8).Draw(rt, "bursts"))
		for i := range bursts {
			bursts[i] = burst{gap: within("gap", 2), requests: rapid.IntRange(0, 40).Draw(rt, "requests"), cost: rapid.IntRange(0, max(1, units/10)).Draw(rt, "cost")}
			if rapid.Bool().Draw(rt, "impatient") {
				bursts[i].patience = within("patience", 3) + 1
			}
			if rapid.Bool().Draw(rt, "paused") {
				bursts[i].pause = within("pause", 4)
			}
		}
		var got spending
		synctest.Test(t, func(t *testing.T) {
			b := throttle.NewBudget("test", units, window)
			var wg sync.WaitGroup
			for _, one := range bursts {
				time.Sleep(one.gap)
				for range one.requests {
					wg.Go(func() {
						ctx := t.Context()
						if one.patience > 0 {
							// Not a deadline: only who is canceled halfway gives back a turn.
							var cancel context.CancelFunc
							ctx, cancel = context.WithCancel(ctx)
							defer time.AfterFunc(one.patience, cancel).Stop()
							defer cancel()
						}
						if b.Wait(ctx, one.cost) == nil {
							got.add(max(1, one.cost))
						}
					})
				}
				synctest.Wait()
				b.Pause(time.Now().Add(one.pause))
			}
			wg.Wait()
		})
		slices.SortStableFunc(got.spent, func(a, b spent) int { return a.at.Compare(b.at) })
		if worst := got.worst(window); worst > units {
			rt.Fatalf("%d units in one window, %d allowed", worst, units)
		}
	})
}

// A budget that lets too little through is no less wrong.
func TestBudgetIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 100, time.Minute)
		assert.Equal(t, "test", b.Name())
		start := time.Now()
		for range 10 {
			require.NoError(t, b.Wait(t.Context(), 1))
		}
		assert.Equal(t, start, time.Now(), "a tenth goes at once")
		for range 90 {
			require.NoError(t, b.Wait(t.Context(), 1))
		}
		assert.Equal(t, time.Minute, time.Since(start).Round(time.Millisecond), "the rest within the window")
		start = time.Now()
		require.NoError(t, b.Wait(t.Context(), 9))
		assert.Equal(t, 6*time.Second, time.Since(start).Round(time.Millisecond), "nine units take as long as nine requests")
		require.NoError(t, b.Wait(t.Context(), 1000), "a cost above the burst is that of the burst")
	})
}

func TestBudgetPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 1000, time.Second)
		start := time.Now()
		b.Pause(start.Add(time.Minute))
		b.Pause(start.Add(time.Second))
		assert.Equal(t, start.Add(time.Minute), b.PausedUntil(), "a shorter pause does not end a longer one")
		time.AfterFunc(30*time.Second, func() { b.Pause(start.Add(2 * time.Minute)) })
		require.NoError(t, b.Wait(t.Context(), 1))
		assert.Equal(t, 2*time.Minute, time.Since(start), "a pause can be prolonged while requests wait")

		b = throttle.NewBudget("test", 1, time.Minute)
		require.NoError(t, b.Wait(t.Context(), 1))
		start = time.Now()
		time.AfterFunc(30*time.Second, func() { b.Pause(start.Add(5 * time.Minute)) })
		require.NoError(t, b.Wait(t.Context(), 1))
		assert.Equal(t, 5*time.Minute, time.Since(start), "a pause can begin while a request waits for its turn")
	})
}

func TestBudgetGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 1, time.Hour)
		require.NoError(t, b.Wait(t.Context(), 1))
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		noTurn := func(why string) {
			err := b.Wait(short, 1)
			require.ErrorIs(t, err, throttle.ErrNoTurn, why)
			require.ErrorIs(t, err, context.DeadlineExceeded, why)
			assert.Contains(t, err.Error(), "test")
			assert.Equal(t, start, time.Now(), why)
		}
		noTurn("the turn is after the deadline")
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		assert.Equal(t, context.Canceled, b.Wait(canceled, 1))
		assert.Equal(t, context.Canceled, b.Wait(canceled, 1), "it had ended before")

		b = throttle.NewBudget("test", 100, time.Hour)
		start = time.Now()
		b.Pause(start.Add(2 * time.Minute))
		noTurn("the pause ends after the deadline")
		canceled, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		assert.Equal(t, context.Canceled, b.Wait(canceled, 1))
		assert.Equal(t, time.Second, time.Since(start))
	})
}
