package presencebridge

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// sweep reads everybody anew at an interval, so that what no notification
// brought is found.
type sweep struct {
	bridge *Bridge
	kind   int
	// interval is only touched by run.
	interval time.Duration
}

func (b *Bridge) sweeps() []*sweep {
	all := make([]*sweep, 0, readings)
	for kind := range b.reading {
		all = append(all, &sweep{bridge: b, kind: kind, interval: b.opts.ReconcileInterval})
	}
	return all
}

func (s *sweep) run(ctx context.Context) {
	b, l := s.bridge, s.bridge.reading[s.kind]
	throttles := 0
	for {
		// A tenth of jitter keeps the sweeps of several bridges apart. It only
		// shortens: the interval is a promise.
		if throttle.Sleep(ctx, s.interval-rand.N(s.interval/10+1)) != nil {
			return
		}
		// A client that waits by itself when it is throttled shows it by not
		// having finished the last sweep.
		if n := l.throttled(); n > throttles || l.unfinished() {
			throttles = n
			s.interval = min(2*s.interval, b.opts.MaxReconcileInterval)
		} else {
			s.interval = max(s.interval/2, b.opts.ReconcileInterval)
		}
		// Those who wait since the last sweep are not queued twice.
		b.markAll(s.kind)
	}
}

// markAll asks for a reading of everybody, after those who are asked for by name.
func (b *Bridge) markAll(kind int) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.people {
		if !p.removed {
			b.markLocked(p, kind, Cause{Trigger: TriggerReconcile, ReceivedAt: now}, false)
		}
	}
}
