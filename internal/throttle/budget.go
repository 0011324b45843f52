// Package throttle keeps the requests of a client within the budgets that a
// service publishes, and obeys the service when it asks for fewer.
package throttle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Budget is a number of requests, or of a service's own units, per time. Every
// client that spends from the same budget must share the Budget.
type Budget struct {
	name    string
	units   int
	window  time.Duration
	limiter *rate.Limiter

	mu       sync.Mutex
	until    time.Time // no request before
	spending spending
}

// NewBudget returns a budget of units per window.
//
// A token bucket with a burst lets rate×window+burst through in the worst
// window. So a tenth of the units is the burst, and the rate is what remains:
// the published number is never exceeded, wherever the window is laid.
func NewBudget(name string, units int, window time.Duration) *Budget {
	burst := max(1, units/10)
	perSecond := float64(max(1, units-burst)) / window.Seconds()
	return &Budget{
		name: name, units: units, window: window, limiter: rate.NewLimiter(rate.Limit(perSecond), burst), spending: newSpending(window),
	}
}

// Name returns the budget's name, for metrics.
func (b *Budget) Name() string { return b.name }

// Pause lets nothing through before until. A shorter pause does not end a longer one.
func (b *Budget) Pause(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.until) {
		b.until = until
	}
}

// PausedUntil returns the end of the pause; in the past, or zero, when there is none.
func (b *Budget) PausedUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until
}

// ErrNoTurn is the error of a request whose turn would come after the end of its
// context. It matches [context.DeadlineExceeded], before the deadline.
var ErrNoTurn = fmt.Errorf("no turn before the %w", context.DeadlineExceeded)

// Wait blocks until cost units may be spent, or ctx ends. It returns [ErrNoTurn]
// at once when the budget, or a pause of it, leaves no room before ctx's
// deadline. A cost above the burst, a tenth of the budget, counts as that tenth.
func (b *Budget) Wait(ctx context.Context, cost int) error {
	cost = min(max(1, cost), b.limiter.Burst())
	for {
		if err := b.waitPause(ctx); err != nil {
			return err
		}
		if err := b.limiter.WaitN(ctx, cost); err != nil {
			if ctx.Err() == nil {
				return b.noTurn()
			}
			return err
		}
		// A turn that comes in a pause which began meanwhile is lost: were the
		// turns kept, all those of a long pause would be taken at once at its end.
		if b.spend(cost) {
			return nil
		}
	}
}

// spend counts cost units, unless a pause has begun.
func (b *Budget) spend(cost int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.until.After(now) {
		return false
	}
	b.spending.add(now, cost)
	return true
}

// waitPause blocks until no pause is left, or ctx ends.
func (b *Budget) waitPause(ctx context.Context) error {
	for {
		wait := time.Until(b.PausedUntil())
		if wait <= 0 {
			return nil
		}
		if endsWithin(ctx, wait) {
			return b.noTurn()
		}
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (b *Budget) noTurn() error { return fmt.Errorf("throttle: budget %s: %w", b.name, ErrNoTurn) }

// endsWithin reports whether ctx is alive, but its deadline is no later than d from now.
func endsWithin(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && ctx.Err() == nil && time.Until(deadline) <= d
}

// Sleep waits for d or until ctx ends, and returns ctx's error in the latter case.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
