package monitor

import (
	"context"
	"errors"
	"hash/fnv"
	"runtime/debug"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

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
