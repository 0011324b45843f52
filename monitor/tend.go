package monitor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// tend does what is to be done now, and returns for how long there is nothing.
func (k *keeper) tend(ctx context.Context) (wait time.Duration) {
	p := k.pool
	k.failed = false
	defer func() {
		if v := recover(); v != nil {
			p.log.ErrorContext(ctx, "monitor: looking after a monitor panicked", "monitor_id", k.id, "panic", secret.PanicText(v), "stack", string(debug.Stack()))
			k.fail(fmt.Errorf("looking after it panicked with %s", secret.PanicText(v)))
			wait = retryAfterFailure
		}
		if !k.failed {
			k.mu.Lock()
			k.noWork.note(nil)
			k.mu.Unlock()
		}
	}()
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
	}
	if !p.sealer.Current(r.Sealed) {
		// One day the former key will not be given any more.
		if _, err := p.update(ctx, k.id, func(*record) error { return nil }); err != nil {
			k.fail(err)
			return retryAfterFailure
		}
	}
	if r.Application != p.Application() {
		k.dismiss(ctx)
		return maxSleep
	}
	if !k.record(ctx, r) || !k.recordFailing(ctx, r) {
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
	running := k.present()
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
	if planned && running.given != a.revision {
		running.monitor.SetUsers(a.users)
		running.given = a.revision
	}
}

// begin starts the upkeep of the subscription.
func (k *keeper) begin(ctx context.Context, r *record) (*upkeep, error) {
	p := k.pool
	account, err := k.open(r)
	if err != nil {
		return nil, err
	}
	opts := p.opts.Monitor
	opts.Logger, opts.Memory, opts.KeepOnStop = p.opts.Logger, &subscriptionMemory{k}, true
	identity := r.identity()
	opts.OnEvent = func(e Event) { k.heard(identity, e) }
	m, err := New(r.PrincipalName, account, p.routes, p.url, p.sink, &opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u := &upkeep{monitor: m, account: account, identity: identity, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		_ = m.Run(ctx) // it has no error but that of a second Run
	}()
	k.mu.Lock()
	k.running = u
	k.mu.Unlock()
	return u, nil
}

// open returns the account as it acts by the present grant.
func (k *keeper) open(r *record) (*leased, error) {
	account, err := k.pool.entra.Open(r.credentials(), &grantTokens{k, r.GrantID})
	if err != nil {
		return nil, err
	}
	return &leased{account, k}, nil
}

// present returns the upkeep that runs, nil if none does.
func (k *keeper) present() *upkeep {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running
}

// end stops the upkeep, with or without its subscription, and waits for it.
func (k *keeper) end(keep bool) {
	u := k.present()
	if u == nil {
		return
	}
	u.monitor.SetKeepOnStop(keep)
	u.cancel()
	<-u.done
	u.account.settle(k.pool.opts.Monitor.StopTimeout)
	k.mu.Lock()
	k.running = nil
	k.mu.Unlock()
}

// heard takes the events of the upkeep: those that speak of Entra become facts.
func (k *keeper) heard(identity string, e Event) {
	refused := newRefusal(reasonOf(e.Err), e.Err, time.Now())
	switch e.Kind {
	case EventCreated, EventRecreated:
		refused = nil // consent is there
	default:
		if refused == nil {
			identity = "" // it says nothing about Entra
		}
	}
	if identity != "" {
		k.mu.Lock()
		k.seen = sight{identity, refused}
		k.mu.Unlock()
	}
	k.poke()
	k.pool.announce(context.Background(), e)
}

// record writes what the upkeep has seen, if it is news. It reports whether
// nothing is left to be written.
func (k *keeper) record(ctx context.Context, r *record) bool {
	k.mu.Lock()
	seen := k.seen
	k.mu.Unlock()
	// What was seen of a grant or a secret that has been replaced since says
	// nothing about the new one.
	if seen.identity == r.identity() && !sameRefusal(seen.refusal, r.GrantRefusal) {
		_, err := k.pool.update(ctx, k.id, func(r *record) error {
			if seen.identity != r.identity() {
				return errUnchanged
			}
			if seen.refusal == nil && !r.GrantRefusal.of(refusedConsent) {
				// It may have been done with an access token of before: only a
				// new one proves the grant.
				return errUnchanged
			}
			r.GrantRefusal = seen.refusal
			return nil
		})
		if err != nil && !errors.Is(err, ErrUnknownMonitor) {
			k.fail(err)
			return false
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == seen {
		k.seen = sight{}
	}
	return true
}

// recordFailing writes what has failed for a while, and when it has ended, for
// the planner and those who look from other processes. It reports whether nothing
// is left to be written.
func (k *keeper) recordFailing(ctx context.Context, r *record) bool {
	live, _, unkept := k.snapshot()
	here := (&facts{live: live, failure: unkept}).failsHere()
	var lasting *lastingFailure
	if here.err != nil && time.Since(here.since) >= failingGrace {
		now := here.lasting()
		lasting = &now
	}
	if was := r.Failing; lasting == nil && was == nil || lasting != nil && was != nil && lasting.Reason == was.Reason {
		return true
	}
	_, err := k.pool.update(ctx, k.id, func(r *record) error {
		r.Failing = lasting
		return nil
	})
	return err == nil || errors.Is(err, ErrUnknownMonitor)
}

// leave ends what the monitor has and makes the store forget it.
func (k *keeper) leave(ctx context.Context, r *record) time.Duration {
	p := k.pool
	k.dismiss(ctx)
	if err := p.forget(ctx, k.id); err != nil {
		k.fail(err)
		return p.opts.LeaseTime / 10
	}
	p.emit(ctx, Event{Kind: EventRemoved, Monitor: r.PrincipalName})
	return maxSleep
}

// dismiss deletes the subscription: by the upkeep that runs, or by the
// credentials that are still there. It is tried once: what cannot be deleted
// lapses within the hour.
func (k *keeper) dismiss(ctx context.Context) {
	p := k.pool
	k.end(false)
	r := p.record(k.id)
	if r == nil || r.Subscription == nil {
		return
	}
	if r.ready() && r.Subscription.ExpiresAt.After(time.Now()) && r.Subscription.ID != k.dismissed {
		k.dismissed = r.Subscription.ID
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
	account, err := k.open(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.pool.inspectTimeout())
	defer cancel()
	return account.DeleteSubscription(ctx, r.Subscription.ID)
}
