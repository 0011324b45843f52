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

// maxSleep is the longest time between two looks at the plan. Timers stand
// still while a machine is suspended; the times of the plan do not.
const maxSleep = time.Minute

// Run keeps the subscription until ctx ends, and then deletes it, unless
// [Options.KeepOnStop] or [Monitor.SetKeepOnStop] says otherwise. It blocks, and
// returns nil when ctx has ended and [ErrRunning] when the monitor runs already;
// nothing else ends it. After it returned it may be called again.
//
// With an [Options.Memory] it first asks what an earlier run has left. As soon as
// the users have settled, that subscription is adopted if it watches just them,
// and otherwise deleted. Run with a context that has ended deletes it and does
// nothing else.
//
// After ctx has ended, Run takes at most [Options.StopTimeout]. A subscription
// that could not be deleted in that time is reported as an [EventFailed] and
// expires by itself.
//
// Where the cloud has no presence notifications ([presence.ErrUnsupported]) the
// condition is [ConditionUnsupported] and Run blocks without doing anything: presence is
// then kept in step by bulk reads alone.
func (m *Monitor) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.running {
		m.mu.Unlock()
		return ErrRunning
	}
	m.running = true
	m.state.recall = m.opts.Memory != nil
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.running = false
		m.mu.Unlock()
	}()

	// Requests outlive ctx a little: one that is cancelled half-way leaves a
	// subscription whose id nobody knows.
	requests, release := linger(ctx, m.opts.StopTimeout)
	defer release()
	m.backoff.Reset()
	for ctx.Err() == nil {
		now := time.Now()
		m.mu.Lock()
		planned := next(now, &m.state)
		m.state.rest(planned)
		m.mu.Unlock()
		if planned.due(now) {
			m.do(requests, planned)
			continue
		}
		m.wait(ctx, now, planned)
	}
	m.stop(requests)
	return nil
}

// wait returns when the planned step is due, the state has changed, ctx has
// ended, or maxSleep is over.
func (m *Monitor) wait(ctx context.Context, now time.Time, planned step) {
	sleep := maxSleep
	if planned.do != actionWait {
		sleep = min(sleep, planned.at.Sub(now))
	}
	timer := time.NewTimer(sleep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.wake:
	case <-ctx.Done():
	}
}

// linger returns a context that ends d after ctx has, and a function that ends
// it at once and waits for its goroutine.
func linger(ctx context.Context, d time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
		case <-longer.Done():
			return
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	}()
	return longer, func() {
		cancel()
		<-done
	}
}

// do takes one step. Whatever comes of it, the state afterwards asks for another
// step, or for this one at a later time.
func (m *Monitor) do(ctx context.Context, planned step) {
	defer func() {
		if p := recover(); p != nil {
			m.log.ErrorContext(ctx, "monitor: a step panicked", "step", string(planned.do), "panic", secret.PanicText(p), "stack", string(debug.Stack()))
			m.fail(ctx, planned.do, fmt.Errorf("monitor: %s subscription: panic: %s", planned.do, secret.PanicText(p)))
		}
	}()
	switch planned.do {
	case actionRecall:
		if err := m.recall(ctx); err != nil {
			m.fail(ctx, actionRecall, err)
		}
	case actionAdopt:
		if err := m.adopt(ctx, time.Time{}); err != nil {
			m.fail(ctx, actionAdopt, err)
		}
	case actionCreate:
		m.create(ctx)
	case actionRenew:
		m.renew(ctx)
	case actionDelete:
		m.delete(ctx, planned.reason)
	case actionLose:
		m.lose(ctx, planned.reason)
	}
}

// stop ends what is left when Run ends. What fails here has no next attempt.
func (m *Monitor) stop(ctx context.Context) {
	m.mu.Lock()
	keep, unread := m.keepOnStop, m.state.recall
	m.mu.Unlock()
	if !keep {
		if unread {
			m.recallToStop(ctx)
		}
		m.deleteToStop(ctx)
	}
	m.mu.Lock()
	m.state.gone(time.Now(), "")
	m.state.unsupported = false
	m.state.succeeded()
	present, previous := m.route, m.previous
	m.route, m.previous = nil, nil
	m.mu.Unlock()
	present.retire()
	previous.retire()
}

// recallToStop reads the memory, whose subscription is to be deleted too.
func (m *Monitor) recallToStop(ctx context.Context) {
	m.contain(ctx, "Memory.Recall", func() {
		if err := m.recall(ctx); err != nil {
			m.emit(ctx, Event{Kind: EventFailed, Reason: ReasonStopped, Action: string(actionRecall), Err: err})
		}
	})
}

// deleteToStop deletes the present subscription or what an earlier run left.
func (m *Monitor) deleteToStop(ctx context.Context) {
	m.mu.Lock()
	id, users, expiresAt := m.state.remembered.SubscriptionID, len(m.state.subscription.UserIDs), m.state.remembered.ExpiresAt
	lives := m.state.subscription.ID != "" || m.state.left(time.Now())
	m.mu.Unlock()
	if !lives {
		return
	}
	m.contain(ctx, "Subscriptions.DeleteSubscription", func() {
		e := Event{Kind: EventDeleted, SubscriptionID: id, Users: users, Reason: ReasonStopped}
		err := m.request(ctx, func(ctx context.Context) error { return m.subs.DeleteSubscription(ctx, id) })
		if err != nil && !errors.Is(err, presence.ErrNotFound) {
			e.Kind, e.Action, e.Err, e.ExpiresAt = EventFailed, string(actionDelete), err, expiresAt
			m.emit(ctx, e)
			return
		}
		m.mu.Lock()
		m.state.gone(time.Now(), "")
		m.mu.Unlock()
		m.remember(ctx)
		m.emit(ctx, e)
	})
}

// request calls f with a bounded context, without holding a lock.
func (m *Monitor) request(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.RequestTimeout)
	defer cancel()
	return f(ctx)
}
