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
	// name is the keeper as the holder of its lease. No other has it, not even
	// where two processes were given one name by mistake.
	name string
	wake chan struct{} // holds one
	stop context.CancelFunc
	done chan struct{}

	// Used by the keeper's goroutine alone.
	agenda agenda
	// dismissed is the subscription whose deletion was tried.
	dismissed string
	failed    bool // something, since this look began

	mu      sync.Mutex
	lease   Lease // zero: not held
	holder  string
	running *upkeep
	seen    sight
	// noLease is why the store does not tell whose the lease is, and noWork why
	// the monitor is not kept although it is.
	noLease, noWork failure
}

// upkeep is a Monitor that runs.
type upkeep struct {
	monitor  *Monitor
	account  *leased
	identity string
	given    uint64 // the revision of the users that it was given; 0: none
	cancel   context.CancelFunc
	done     chan struct{}
}

// sight is what the upkeep has seen of Entra and is not written yet.
type sight struct {
	identity string   // of the grant and the secret that were used
	refusal  *refusal // nil: they were accepted
}

// failure is why something fails, and since when.
type failure struct {
	err   error
	since time.Time
}

// note keeps the time of the first of several failures; nil is the end of them.
func (f *failure) note(err error) {
	switch {
	case err == nil:
		*f = failure{}
	case f.err == nil:
		*f = failure{err, wall(time.Now())}
	default:
		f.err = err
	}
}

// lasting returns the failure in the form that can be kept.
func (f failure) lasting() lastingFailure {
	return lastingFailure{Text: f.err.Error(), Since: f.since, Reason: reasonOf(f.err)}
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
		if err == nil && k.unreadable() {
			// It was only asked for to learn whether somebody else has it.
			k.note(lease, nil)
			k.release(ctx)
			k.sleep(ctx, k.pool.opts.LeaseTime/3)
			continue
		}
		if ctx.Err() != nil && err != nil {
			return
		}
		k.note(lease, err)
		if err == nil {
			k.hold(ctx)
			continue
		}
		k.sleep(ctx, k.patience(err))
	}
}

// unreadable reports whether the record cannot be read here. Another process may
// have the key, or the version, for it: the lease is left to that one.
func (k *keeper) unreadable() bool {
	r := k.pool.record(k.id)
	return r != nil && r.broken != nil && !r.Leaving
}

// keptElsewhere reports whether another process keeps the monitor.
func (k *keeper) keptElsewhere() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holder != "" && k.holder != k.name
}

// patience is how long to wait for a lease: until it ends, but another may
// release it before, and the clocks may differ.
func (k *keeper) patience(err error) time.Duration {
	var held *HeldError
	pause := k.pool.opts.LeaseTime / 3
	if errors.As(err, &held) {
		pause = min(pause, max(time.Until(held.Expires), k.pool.opts.LeaseTime/30))
	}
	return pause
}

// acquire takes or prolongs the lease. While the account's refresh token is in
// use, it must not end before that.
func (k *keeper) acquire(ctx context.Context) (Lease, error) {
	p := k.pool
	lasts := max(p.opts.LeaseTime, time.Until(p.refreshesUntil(k.id)))
	return p.store.Acquire(ctx, leaseKeeper+k.id, k.name, lasts)
}

// note remembers who keeps the monitor, or why nobody can tell.
func (k *keeper) note(lease Lease, err error) {
	var held *HeldError
	k.mu.Lock()
	before := k.holder
	switch {
	case err == nil:
		k.lease, k.holder = lease, lease.Holder
		k.noLease.note(nil)
	case errors.As(err, &held):
		k.holder = held.Holder
		k.noLease.note(nil)
	default:
		k.noLease.note(fmt.Errorf("the store does not give the monitor's lease: %w", err))
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
	held, giveUp := context.WithCancel(ctx)
	lost := false
	var prolonging sync.WaitGroup
	prolonging.Go(func() {
		lost = k.prolong(held)
		giveUp()
	})
	for held.Err() == nil && !k.unreadable() {
		if wait := k.tend(held); wait > 0 {
			k.sleep(held, wait)
		}
	}
	giveUp()
	prolonging.Wait()
	// Only an orderly stop deletes, and only while the lease is ours.
	k.end(lost || ctx.Err() == nil || !p.opts.DeleteOnStop)
	k.release(ctx)
}

// prolong acquires the lease again and again until ctx ends, or the lease is
// lost, which it reports. If the store does not give it until a third of it is
// left, the monitor is given up: what is under way needs that time to end.
func (k *keeper) prolong(ctx context.Context) (lost bool) {
	p := k.pool
	last := p.opts.LeaseTime / 3
	pause := last
	for {
		timer := time.NewTimer(min(pause, max(k.left()-last, 0)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		// A store that hangs must not hold this up beyond that third.
		asking, cancel := context.WithTimeout(ctx, k.left()-last)
		lease, err := k.acquire(asking)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		k.note(lease, err)
		var held *HeldError
		switch {
		case err == nil:
			pause = p.opts.LeaseTime / 3
		case errors.As(err, &held), k.left() <= last:
			p.log.WarnContext(ctx, "monitor: the lease is lost; the subscription is left to the next keeper", "monitor_id", k.id, "error", err)
			return true
		default:
			pause = p.opts.LeaseTime / 10
		}
	}
}

// left returns for how long the lease is this process's. Of two clocks the one
// counts that has gone further: one stands still while a machine is suspended,
// the other may be set back.
func (k *keeper) left() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return leaseLeft(k.lease.Expires, time.Now())
}

func leaseLeft(expires, now time.Time) time.Duration {
	return min(expires.Sub(now), wall(expires).Sub(wall(now)))
}

func (k *keeper) release(ctx context.Context) {
	p := k.pool
	k.mu.Lock()
	k.lease = Lease{}
	if k.holder == k.name {
		k.holder = ""
	}
	k.mu.Unlock()
	if p.refreshesUntil(k.id).After(time.Now()) {
		return // the next keeper must not use the refresh token yet: it ends by itself
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.LeaseTime/3)
	defer cancel()
	if err := p.store.Release(ctx, leaseKeeper+k.id, k.name); err != nil {
		p.log.WarnContext(ctx, "monitor: the lease could not be released; it ends by itself", "monitor_id", k.id, "error", err)
	}
}

// fail notes why the monitor is not kept as it should be.
func (k *keeper) fail(err error) {
	k.failed = true
	k.mu.Lock()
	k.noWork.note(err)
	k.mu.Unlock()
	k.pool.poke()
}

// failing reports whether the present step fails, or the monitor is not kept.
func (k *keeper) failing() bool {
	k.mu.Lock()
	u, failing := k.running, k.noLease.err != nil || k.noWork.err != nil
	k.mu.Unlock()
	return failing || u != nil && u.monitor.failing()
}

// snapshot returns the subscription as it is, the zero value where it is not
// kept here, who keeps the monitor, and why it is not kept.
func (k *keeper) snapshot() (live SubscriptionSnapshot, holder string, unkept failure) {
	k.mu.Lock()
	u := k.running
	holder, unkept = k.holder, k.noLease
	if unkept.err == nil {
		unkept = k.noWork
	}
	k.mu.Unlock()
	if u != nil {
		live = u.monitor.Snapshot()
	}
	return live, holder, unkept
}
