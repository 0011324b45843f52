package monitor

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime/debug"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
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

// tend does what is to be done now, and returns for how long there is nothing.
func (k *keeper) tend(ctx context.Context) (wait time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			k.pool.log.ErrorContext(ctx, "monitor: looking after a monitor panicked", "monitor_id", k.id, "panic", secret.PanicText(v), "stack", string(debug.Stack()))
			wait = retryAfterFailure
		}
	}()
	p := k.pool
	r := p.record(k.id)
	switch {
	case r == nil:
		k.end(true)
		return maxSleep
	case r.Leaving:
		return k.leave(ctx, r)
	case r.broken != nil:
		k.end(true)
		return maxSleep
	case r.Application != p.Application():
		k.dismiss(ctx, r)
		return maxSleep
	}
	if !k.record(ctx, r) {
		return retryAfterFailure
	}
	if r = p.record(k.id); r == nil {
		return 0
	}
	if r.ready() {
		k.ensure(ctx, r)
	} else {
		k.end(true)
	}
	return k.check(ctx, r)
}

// retryAfterFailure is when a failed look at the store or the directory is repeated.
const retryAfterFailure = time.Minute

// ensure makes the upkeep run with the present grant and secret, for the present
// users.
func (k *keeper) ensure(ctx context.Context, r *record) {
	p := k.pool
	k.mu.Lock()
	running := k.running
	k.mu.Unlock()
	if running != nil && running.identity != r.identity() {
		k.end(true)
		running = nil
	}
	if running == nil {
		var err error
		if running, err = k.begin(ctx, r); err != nil {
			k.fail(err)
			return
		}
	}
	p.mu.Lock()
	a, planned := p.assignments[k.id]
	p.mu.Unlock()
	if planned {
		running.monitor.SetUsers(a.users)
	}
}

// fail notes why the monitor cannot be kept.
func (k *keeper) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure == nil {
		k.since = wall(time.Now())
	}
	k.failure = err
	k.pool.poke()
}

// begin starts the upkeep of the subscription.
func (k *keeper) begin(ctx context.Context, r *record) (*upkeep, error) {
	p := k.pool
	account, err := p.entra.Open(r.credentials(), &grantTokens{k, r.GrantID})
	if err != nil {
		return nil, err
	}
	opts := p.opts.Monitor
	opts.Logger, opts.Memory, opts.KeepOnStop = p.opts.Logger, &subscriptionMemory{k, r.GrantID}, true
	opts.OnEvent = func(e Event) { k.heard(e) }
	m, err := New(r.PrincipalName, account, p.routes, p.url, p.sink, &opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u := &upkeep{monitor: m, account: account, identity: r.identity(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		_ = m.Run(ctx) // it has no error but that of a second Run
	}()
	k.mu.Lock()
	k.running, k.failure = u, nil
	k.mu.Unlock()
	return u, nil
}

// end stops the upkeep, with or without its subscription, and waits for it.
func (k *keeper) end(keep bool) {
	k.mu.Lock()
	u := k.running
	k.mu.Unlock()
	if u == nil {
		return
	}
	u.monitor.SetKeepOnStop(keep)
	u.cancel()
	<-u.done
	k.mu.Lock()
	k.running = nil
	k.mu.Unlock()
}

// snapshot returns the subscription as it is, the zero value where it is not
// kept here, and why the monitor is not kept.
func (k *keeper) snapshot() (live SubscriptionSnapshot, holder string, failure error, since time.Time) {
	k.mu.Lock()
	u := k.running
	holder, failure, since = k.holder, k.failure, k.since
	k.mu.Unlock()
	if u != nil {
		live = u.monitor.Snapshot()
	}
	return live, holder, failure, since
}

// heard takes the events of the upkeep: those that speak of Entra become facts.
func (k *keeper) heard(e Event) {
	p := k.pool
	now := time.Now()
	k.mu.Lock()
	switch e.Kind {
	case EventFailed:
		if refused := newRefusal(e.Err, now); refused != nil {
			k.refusal, k.cleared = refused, false
			k.poke()
		}
	case EventCreated, EventRecreated, EventAdopted, EventRenewed, EventReauthorized:
		k.refusal, k.cleared = nil, true
		k.poke()
	}
	k.mu.Unlock()
	p.announce(context.Background(), e)
}

// record writes what the upkeep has seen, if it is news. It reports whether
// nothing is left to be written.
func (k *keeper) record(ctx context.Context, r *record) bool {
	k.mu.Lock()
	refused, cleared := k.refusal, k.cleared
	k.mu.Unlock()
	news := refused != nil && !sameRefusal(refused, r.GrantRefusal) || cleared && r.GrantRefusal != nil
	if news {
		_, err := k.pool.update(ctx, k.id, func(r *record) error {
			r.GrantRefusal = refused
			return nil
		})
		if err != nil {
			k.fail(err)
			return false
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refusal == refused {
		k.refusal = nil
	}
	if refused == nil {
		k.cleared = false
	}
	return true
}

// check asks the directory, and uses the refresh token, when it is time, and
// returns how long it is until then.
func (k *keeper) check(ctx context.Context, r *record) time.Duration {
	p := k.pool
	now := time.Now()
	requested := r.RequestedAt.After(r.CheckedAt) && !r.RequestedAt.Equal(k.served)
	if k.checkAt.IsZero() {
		k.checkAt = now
		if !r.CheckedAt.IsZero() {
			k.checkAt = r.CheckedAt.Add(k.jittered(p.opts.CheckInterval))
		}
	}
	refreshAt := time.Time{}
	if k.account() != nil && r.GrantRefusal == nil {
		refreshAt = r.RefreshedAt.Add(k.jittered(p.opts.RefreshInterval))
	}
	refresh := !refreshAt.IsZero() && !now.Before(refreshAt)
	if !requested && now.Before(k.checkAt) && !refresh {
		until := k.checkAt
		if !refreshAt.IsZero() {
			until = earliest(until, refreshAt)
		}
		return min(time.Until(until), maxSleep)
	}
	if requested {
		k.retry()
	}
	if err := k.inspect(ctx, r, requested || refresh); err != nil {
		if requested {
			k.served = r.RequestedAt
		}
		k.checkAt = now.Add(retryAfterFailure * 5)
		return retryAfterFailure
	}
	k.served = r.RequestedAt
	k.checkAt = now.Add(k.jittered(p.opts.CheckInterval))
	return 0
}

// jittered spreads the checks of many monitors: by up to a tenth, always the same
// for one monitor.
func (k *keeper) jittered(d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(k.id))
	return d - time.Duration(float64(d)*0.1*float64(h.Sum32()%1000)/1000)
}

func (k *keeper) account() Account {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running == nil {
		return nil
	}
	return k.running.account
}

// retry has the upkeep repeat at once what waits.
func (k *keeper) retry() {
	k.mu.Lock()
	u := k.running
	k.mu.Unlock()
	if u != nil {
		u.monitor.Retry()
	}
}

// inspect asks the directory and, if wished, uses the refresh token, and writes
// what it learns. An error is one that may pass.
func (k *keeper) inspect(ctx context.Context, r *record, refresh bool) error {
	p := k.pool
	bounded, cancel := context.WithTimeout(ctx, p.inspectTimeout())
	defer cancel()
	found, err := p.inspect(bounded, r.credentials())
	account := k.account()
	var grant Grant
	var grantErr error
	if refresh = refresh && account != nil; refresh {
		grant, grantErr = account.Refresh(bounded)
	}
	now := wall(time.Now())
	_, writeErr := p.update(ctx, k.id, func(fresh *record) error {
		if fresh.identity() != r.identity() || fresh.Application != r.Application {
			return errUnchanged // it speaks of what was replaced meanwhile
		}
		switch {
		case err == nil:
			fresh.SecretRefusal = nil
			p.takeInspection(fresh, &found, now)
		case newRefusal(err, now) != nil:
			fresh.SecretRefusal = newRefusal(err, now)
			fresh.CheckedAt = now
		}
		switch {
		case !refresh:
		case grantErr == nil:
			fresh.GrantRefusal, fresh.RefreshedAt = nil, now
			fresh.Scopes, fresh.Unneeded = grant.Scopes, grant.Unneeded
			if grant.GlobalAdministrator != nil {
				fresh.GlobalAdministrator = grant.GlobalAdministrator
			}
		case newRefusal(grantErr, now) != nil:
			fresh.GrantRefusal = newRefusal(grantErr, now)
		}
		// Who waits for the outcome shall see it, whatever it is.
		fresh.CheckedAt = latest(fresh.CheckedAt, r.RequestedAt)
		return nil
	})
	passing := func(err error) error {
		if err == nil || reasonOf(err) != "" {
			return nil
		}
		return err
	}
	err = errors.Join(passing(err), passing(grantErr), writeErr)
	if err != nil && ctx.Err() == nil {
		p.log.WarnContext(ctx, "monitor: asking about the account failed and is repeated", "monitor", r.PrincipalName, "error", err)
	}
	return err
}

// leave ends what the monitor has and makes the store forget it.
func (k *keeper) leave(ctx context.Context, r *record) time.Duration {
	p := k.pool
	k.dismiss(ctx, r)
	if r = p.record(k.id); r == nil {
		return maxSleep
	}
	if err := p.forget(ctx, r); err != nil {
		k.fail(err)
		return time.Second
	}
	p.emit(ctx, Event{Kind: EventRemoved, Monitor: r.PrincipalName})
	return maxSleep
}

// dismiss deletes the subscription: by the upkeep that runs, or by the
// credentials that are still there. It is tried once: what cannot be deleted
// lapses within the hour.
func (k *keeper) dismiss(ctx context.Context, r *record) {
	p := k.pool
	k.end(false)
	if r = p.record(k.id); r == nil || r.Subscription == nil {
		return
	}
	if r.ready() && r.Subscription.ExpiresAt.After(time.Now()) {
		e := Event{Kind: EventDeleted, Monitor: r.PrincipalName, SubscriptionID: r.Subscription.ID, Reason: ReasonStopped}
		if err := k.deleteRemembered(ctx, r); err != nil && !errors.Is(err, presence.ErrNotFound) {
			e.Kind, e.Action, e.Err, e.ExpiresAt = EventFailed, string(actionDelete), err, r.Subscription.ExpiresAt
		}
		p.announce(ctx, e)
	}
	_, err := p.update(ctx, k.id, func(r *record) error {
		r.remember(Remembered{})
		return nil
	})
	if err != nil && !errors.Is(err, ErrUnknownMonitor) {
		k.fail(err)
	}
}

func (k *keeper) deleteRemembered(ctx context.Context, r *record) error {
	account, err := k.pool.entra.Open(r.credentials(), &grantTokens{k, r.GrantID})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.pool.inspectTimeout())
	defer cancel()
	return account.DeleteSubscription(ctx, r.Subscription.ID)
}

// grantTokens are the refresh tokens that descend from one sign-in. They are
// used only while the lease is held, and after reading the store again.
type grantTokens struct {
	keeper  *keeper
	grantID string
}

func (t *grantTokens) Current(ctx context.Context) (presence.Secret, error) {
	k := t.keeper
	if !k.held().After(time.Now()) {
		return presence.Secret{}, ErrNotKeeper
	}
	if err := k.pool.load(ctx, prefixMonitors+k.id); err != nil {
		return presence.Secret{}, err
	}
	r := k.pool.record(k.id)
	if r == nil || r.broken != nil || r.GrantID != t.grantID {
		return presence.Secret{}, fmt.Errorf("%w: somebody has signed in again", ErrNotKeeper)
	}
	return r.secrets.RefreshToken, nil
}

func (t *grantTokens) Rotated(ctx context.Context, _, next presence.Secret) error {
	_, err := t.keeper.pool.update(ctx, t.keeper.id, func(r *record) error {
		if r.GrantID != t.grantID {
			return errUnchanged // a newer sign-in has replaced it
		}
		r.secrets.RefreshToken, r.RefreshedAt = next, wall(time.Now())
		return nil
	})
	if errors.Is(err, ErrUnknownMonitor) {
		return nil
	}
	return err
}

// subscriptionMemory keeps the subscription in the monitor's record.
type subscriptionMemory struct {
	keeper  *keeper
	grantID string
}

func (m *subscriptionMemory) Remember(ctx context.Context, remembered Remembered) error {
	_, err := m.keeper.pool.update(ctx, m.keeper.id, func(r *record) error {
		r.remember(remembered)
		return nil
	})
	return err
}

func (m *subscriptionMemory) Recall(ctx context.Context) (Remembered, error) {
	p := m.keeper.pool
	if err := p.load(ctx, prefixMonitors+m.keeper.id); err != nil {
		return Remembered{}, err
	}
	if r := p.record(m.keeper.id); r != nil {
		return r.remembered(), nil
	}
	return Remembered{}, nil
}
