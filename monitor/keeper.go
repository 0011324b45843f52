package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// keeper looks after one monitor: it holds the monitor's lease and, while it
// does, runs its subscription's upkeep, uses its account, and asks the directory
// about it. Nobody else does any of that.
type keeper struct {
	pool *Pool
	id   string
	wake chan struct{} // holds one
	stop context.CancelFunc
	done chan struct{}

	// Used by the keeper's goroutine alone.
	served time.Time // the newest request that was carried out
	// checkAt is when the directory is asked next although nobody asks for it.
	checkAt time.Time

	mu      sync.Mutex
	lease   Lease // zero: not held
	holder  string
	running *upkeep
	refusal *refusal // seen by the upkeep, not written yet
	cleared bool     // the upkeep succeeded since
	// failure is why the monitor is not kept, and since when.
	failure error
	since   time.Time
}

// upkeep is a Monitor that runs.
type upkeep struct {
	monitor  *Monitor
	account  Account
	identity string
	cancel   context.CancelFunc
	done     chan struct{}
}

func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the monitor for as long as it gets the lease.
func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	for ctx.Err() == nil {
		lease, err := k.acquire(ctx)
		k.note(lease, err)
		if err == nil {
			k.hold(ctx)
			continue
		}
		k.sleep(ctx, k.pool.opts.LeaseTime/3)
	}
}

func (k *keeper) acquire(ctx context.Context) (Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, k.pool.opts.LeaseTime/3)
	defer cancel()
	return k.pool.store.Acquire(ctx, leaseKeeper+k.id, k.pool.opts.Holder, k.pool.opts.LeaseTime)
}

// note remembers who keeps the monitor, or why nobody can tell.
func (k *keeper) note(lease Lease, err error) {
	var held *HeldError
	k.mu.Lock()
	before := k.holder
	switch {
	case err == nil:
		k.lease, k.holder, k.failure = lease, lease.Holder, nil
	case errors.As(err, &held):
		k.holder, k.failure = held.Holder, nil
	default:
		if k.failure == nil {
			k.since = wall(time.Now())
		}
		k.failure = fmt.Errorf("the store does not give the monitor's lease: %w", err)
	}
	changed := before != k.holder
	k.mu.Unlock()
	if changed || err != nil && held == nil {
		k.pool.poke()
	}
}

// sleep waits, unless there is something to do.
func (k *keeper) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.wake:
	case <-ctx.Done():
	}
}

// hold looks after the monitor until the lease is lost or ctx ends.
func (k *keeper) hold(ctx context.Context) {
	p := k.pool
	p.emitFor(ctx, k.id, Event{Kind: EventKept})
	held, lost := context.WithCancel(ctx)
	var prolonging sync.WaitGroup
	prolonging.Go(func() { k.prolong(held, lost) })
	for held.Err() == nil {
		if wait := k.tend(held); wait > 0 {
			k.sleep(held, wait)
		}
	}
	// Only an orderly stop deletes, and only while the lease is ours.
	k.end(ctx.Err() == nil || !p.opts.DeleteOnStop)
	lost()
	prolonging.Wait()
	k.release(ctx)
}

// prolong acquires the lease again and again. If that fails until a third of the
// lease is left, the monitor is given up: what is under way needs that time.
func (k *keeper) prolong(ctx context.Context, lost context.CancelFunc) {
	p := k.pool
	pause := p.opts.LeaseTime / 3
	for {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		lease, err := k.acquire(ctx)
		if ctx.Err() != nil {
			return
		}
		k.note(lease, err)
		var held *HeldError
		pause = p.opts.LeaseTime / 3
		switch left := time.Until(k.held()); {
		case err == nil:
		case errors.As(err, &held), left <= p.opts.LeaseTime/3:
			p.log.WarnContext(ctx, "monitor: the lease is lost; the subscription is left to the next keeper", "monitor_id", k.id, "error", err)
			lost()
			return
		default:
			pause = p.opts.LeaseTime / 10
		}
	}
}

// held returns until when the lease is this process's.
func (k *keeper) held() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.Expires
}

func (k *keeper) release(ctx context.Context) {
	p := k.pool
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.LeaseTime/3)
	defer cancel()
	k.mu.Lock()
	k.lease = Lease{}
	if k.holder == p.opts.Holder {
		k.holder = ""
	}
	k.mu.Unlock()
	if err := p.store.Release(ctx, leaseKeeper+k.id, p.opts.Holder); err != nil {
		p.log.WarnContext(ctx, "monitor: the lease could not be released; it ends by itself", "monitor_id", k.id, "error", err)
	}
}
