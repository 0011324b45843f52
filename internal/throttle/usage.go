package throttle

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// slots is into how many parts a window is divided for counting.
const slots = 30

// spending is what was spent, by parts of the window: the newest part, which is
// not over, and as many before it as make a whole window.
type spending struct {
	began  time.Time
	length time.Duration // of one part
	newest int64         // the number of the newest part, counted from began
	spent  [slots + 1]int
}

func newSpending(window time.Duration) spending {
	// Rounded up, so that the parts never make less than a window.
	return spending{began: time.Now(), length: max(1, (window+slots-1)/slots)}
}

// forget empties the parts that are out of the window.
func (s *spending) forget(now time.Time) {
	part := int64(now.Sub(s.began) / s.length)
	if part-s.newest > slots {
		s.newest = part - slots - 1
	}
	for s.newest < part {
		s.newest++
		s.spent[s.newest%(slots+1)] = 0
	}
}

func (s *spending) add(now time.Time, cost int) {
	s.forget(now)
	s.spent[s.newest%(slots+1)] += cost
}

func (s *spending) total(now time.Time) int {
	s.forget(now)
	sum := 0
	for _, n := range s.spent {
		sum += n
	}
	return sum
}

// Usage returns what was spent within the last window, and the pause if there is
// one. It waits for nothing.
func (b *Budget) Usage() presence.BudgetUsage {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	// The limiter keeps every window within the units, so what is above them was
	// spent before the window began.
	u := presence.BudgetUsage{Name: b.name, Used: min(b.spending.total(now), b.units), Units: b.units, Window: b.window}
	if b.until.After(now) {
		u.PausedUntil = b.until
	}
	return u
}
