package presencebridge

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// sweep asks for readings at an interval, so that what no notification brought is
// found.
type sweep struct {
	lane *lane
	// mark asks for the readings, after those that are asked for by name.
	mark func(now time.Time)
	// every is the interval, and most what it grows to while the lane's service
	// throttles.
	every, most time.Duration
}

// sweeps are one for each kind of reading, over everybody, and one over those whom
// nobody watches in Teams.
func (b *Bridge) sweeps() []*sweep {
	all := make([]*sweep, 0, readings+1)
	for kind, l := range b.reading {
		all = append(all, &sweep{l, func(now time.Time) { b.markAll(kind, now) }, b.opts.ReconcileInterval, b.opts.MaxReconcileInterval})
	}
	return append(all, &sweep{b.teamsRead, b.markUnwatched, b.opts.UnwatchedInterval, b.opts.MaxReconcileInterval})
}

func (s *sweep) run(ctx context.Context) {
	interval, throttles, marked := s.every, 0, time.Time{}
	for {
		// A tenth of jitter keeps the sweeps of several bridges apart. It only
		// shortens: the interval is a promise.
		if throttle.Sleep(ctx, interval-rand.N(interval/10+1)) != nil {
			return
		}
		// A client that waits by itself when it is throttled shows it by not
		// having finished the last sweep. Whom another sweep asked for since then
		// does not count.
		if n := s.lane.throttled(); n > throttles || s.lane.unfinished(marked) {
			throttles = n
			interval = min(2*interval, s.most)
		} else {
			interval = max(interval/2, s.every)
		}
		// Those who wait since the last sweep are not queued twice.
		s.mark(time.Now())
		marked = time.Now()
	}
}

// markAll asks for a reading of everybody.
func (b *Bridge) markAll(kind int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.people {
		if !p.removed {
			b.markLocked(p, kind, Cause{Trigger: TriggerReconcile, ReceivedAt: now}, false)
		}
	}
}

// markUnwatched asks for a reading of the Teams presence of those whom nobody watches.
func (b *Bridge) markUnwatched(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eachUnwatchedLocked(func(p *person) {
		b.markLocked(p, ofTeams, Cause{Trigger: TriggerReconcile, ReceivedAt: now}, false)
	})
}
