package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/presencebridge/presencebridge/presence"
)

// create makes a subscription for the users that are wanted now.
func (m *Monitor) create(ctx context.Context) {
	m.mu.Lock()
	users := slices.Clone(m.state.users)
	m.mu.Unlock()
	req := presence.SubscriptionRequest{
		UserIDs:         users,
		NotificationURL: m.url,
		LifecycleURL:    m.opts.LifecycleURL,
		ClientState:     presence.NewSecret(rand.Text()),
	}
	r, err := m.register(req.ClientState)
	if err != nil {
		m.fail(ctx, actionCreate, err)
		return
	}
	inUse := false
	defer func() {
		if !inUse {
			r.retire()
		}
	}()

	sub, err := m.post(ctx, &req)
	if errors.Is(err, presence.ErrConflict) {
		var adopted *presence.Subscription
		adopted, err = m.makeRoom(ctx, users, err)
		if adopted != nil {
			return
		}
		if err == nil {
			sub, err = m.post(ctx, &req)
		}
	}
	switch {
	case errors.Is(err, presence.ErrUnsupported):
		m.giveUp(ctx, err)
		return
	case err != nil:
		m.fail(ctx, actionCreate, err)
		return
	}
	inUse = true
	m.use(ctx, r, sub, EventCreated)
	if m.opts.ClientStates != nil {
		err := m.request(ctx, func(ctx context.Context) error {
			return m.opts.ClientStates.SaveClientState(ctx, sub.ID, req.ClientState)
		})
		if err != nil {
			m.log.WarnContext(ctx, "monitor: the client state was not saved; another process will replace the subscription", "subscription_id", sub.ID, "error", err)
		}
	}
}

// post creates a subscription; what its answer leaves out is filled in.
func (m *Monitor) post(ctx context.Context, req *presence.SubscriptionRequest) (presence.Subscription, error) {
	req.ExpiresAt = time.Now().Add(m.opts.Lifetime)
	var sub presence.Subscription
	err := m.request(ctx, func(ctx context.Context) (err error) {
		sub, err = m.subs.CreateSubscription(ctx, *req)
		return err
	})
	if err == nil && sub.ID == "" {
		err = errors.New("monitor: create subscription: the answer has no subscription id")
	}
	// The users are those that were asked for, in our order.
	sub.UserIDs = req.UserIDs
	sub.ExpiresAt = m.end(sub.ExpiresAt, req.ExpiresAt)
	return sub, err
}

// end returns when a subscription ends: as the service tells it, unless it tells
// nothing or, by this machine's clock, a time that has passed already. Then the
// clocks disagree, and what was asked for is the better guess.
func (m *Monitor) end(told, asked time.Time) time.Time {
	if told.After(time.Now()) {
		return wall(told)
	}
	return wall(asked)
}

// makeRoom deals with a subscription that is in the way: another process of
// ours left it behind, or created it and did not live to hear of it. It is
// adopted if it is what we want and its client state was saved. Otherwise it is
// deleted: without the client state its notifications could not be told from
// forged ones.
func (m *Monitor) makeRoom(ctx context.Context, users []string, conflict error) (*presence.Subscription, error) {
	var existing []presence.Subscription
	err := m.request(ctx, func(ctx context.Context) (err error) {
		existing, err = m.subs.Subscriptions(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(existing) == 0 {
		return nil, fmt.Errorf("monitor: create subscription: one exists already, but none is listed: %w", conflict)
	}
	for _, sub := range existing {
		if m.adopt(ctx, sub, users) {
			return &sub, nil
		}
	}
	for _, sub := range existing {
		err := m.request(ctx, func(ctx context.Context) error { return m.subs.DeleteSubscription(ctx, sub.ID) })
		if err != nil && !errors.Is(err, presence.ErrNotFound) {
			return nil, err
		}
		m.emit(ctx, Event{Kind: EventReplaced, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: ReasonConflict})
	}
	return nil, nil
}

// adopt takes over an existing subscription if it watches these users, reports
// to our URL and its client state is known.
func (m *Monitor) adopt(ctx context.Context, sub presence.Subscription, users []string) bool {
	if m.opts.ClientStates == nil || sub.NotificationURL != m.url || !sameUsers(sub.UserIDs, users) || !sub.ExpiresAt.After(time.Now()) {
		return false
	}
	var clientState presence.Secret
	err := m.request(ctx, func(ctx context.Context) (err error) {
		clientState, err = m.opts.ClientStates.ClientState(ctx, sub.ID)
		return err
	})
	if err != nil {
		m.log.WarnContext(ctx, "monitor: the client state of an existing subscription could not be read; it is replaced", "subscription_id", sub.ID, "error", err)
	}
	if err != nil || clientState.IsZero() {
		return false
	}
	r, err := m.register(clientState)
	if err != nil {
		m.log.WarnContext(ctx, "monitor: an existing subscription could not be adopted; it is replaced", "subscription_id", sub.ID, "error", err)
		return false
	}
	sub.UserIDs, sub.ExpiresAt = users, wall(sub.ExpiresAt)
	m.use(ctx, r, sub, EventAdopted)
	return true
}

// sameUsers compares an answer's users with a sorted set, without regard to the
// case of the GUIDs.
func sameUsers(answer, users []string) bool {
	normal := func(ids []string) []string {
		out := make([]string, len(ids))
		for i, id := range ids {
			out[i] = strings.ToLower(id)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(normal(answer), normal(users))
}

// use makes sub the present subscription, and has its users read: what changed
// before it existed nobody has told.
func (m *Monitor) use(ctx context.Context, r *route, sub presence.Subscription, kind EventKind) {
	r.bind(sub.ID)
	now := time.Now()
	renewAt := renewalTime(now, sub.ExpiresAt, m.rand.Float64())
	if kind == EventAdopted {
		// How long it was left alone is not known; renewing at once also
		// proves that it exists.
		renewAt = wall(now)
	}
	m.mu.Lock()
	reason := m.state.cause
	m.state.created(now, sub, renewAt)
	m.state.succeeded()
	m.route = r
	m.mu.Unlock()
	m.backoff.Reset()

	switch {
	case reason == "" || reason == ReasonNoUsers:
		reason = ReasonStarted
	case kind == EventCreated:
		kind = EventRecreated
	}
	m.contain(ctx, "Sink.TeamsGap", func() { m.sink.TeamsGap(reason, sub.UserIDs...) })
	m.emit(ctx, Event{Kind: kind, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: reason, ExpiresAt: sub.ExpiresAt, NextAt: renewAt})
}

// renew moves the end of the subscription, which re-authorizes it as well:
// Microsoft asks not to send both within ten minutes, and one renewal does both
// (learn.microsoft.com/graph/change-notifications-lifecycle-events).
func (m *Monitor) renew(ctx context.Context) {
	m.mu.Lock()
	sub, reauthorize := m.state.subscription, m.state.reauthorize
	// Cleared before the request, because what arrives during it asks for another.
	m.state.reauthorize = false
	m.mu.Unlock()
	settled := false
	defer func() {
		if !settled && reauthorize {
			m.mu.Lock()
			m.state.reauthorize = true
			m.mu.Unlock()
		}
	}()

	asked := time.Now().Add(m.opts.Lifetime)
	var answer presence.Subscription
	err := m.request(ctx, func(ctx context.Context) (err error) {
		answer, err = m.subs.RenewSubscription(ctx, sub.ID, presence.SubscriptionRenewal{ExpiresAt: asked})
		return err
	})
	if errors.Is(err, presence.ErrNotFound) {
		settled = true
		m.lose(ctx, ReasonNotFound)
		return
	}
	if err != nil {
		m.fail(ctx, actionRenew, err)
		return
	}
	settled = true
	now, expiresAt := time.Now(), m.end(answer.ExpiresAt, asked)
	renewAt := renewalTime(now, expiresAt, m.rand.Float64())
	m.mu.Lock()
	m.state.renewed(now, expiresAt, renewAt)
	m.state.succeeded()
	m.mu.Unlock()
	m.backoff.Reset()
	kind := EventRenewed
	if reauthorize {
		kind = EventReauthorized
	}
	m.emit(ctx, Event{Kind: kind, SubscriptionID: sub.ID, Users: len(sub.UserIDs), ExpiresAt: expiresAt, NextAt: renewAt})
}

// delete ends the subscription; if users are wanted, the plan creates another.
func (m *Monitor) delete(ctx context.Context, reason string) {
	m.mu.Lock()
	sub := m.state.subscription
	m.mu.Unlock()
	if reason == ReasonSilent {
		m.emit(ctx, Event{Kind: EventSilent, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: reason})
	}
	err := m.request(ctx, func(ctx context.Context) error { return m.subs.DeleteSubscription(ctx, sub.ID) })
	if err != nil && !errors.Is(err, presence.ErrNotFound) {
		m.fail(ctx, actionDelete, err)
		return
	}
	m.mu.Lock()
	m.state.succeeded()
	retired := m.forget(reason)
	m.mu.Unlock()
	retired.retire()
	m.backoff.Reset()
	m.emit(ctx, Event{Kind: EventDeleted, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: reason})
}

// lose admits that the subscription is gone. Failures are not forgotten: what
// kept it from being renewed may keep it from being created.
func (m *Monitor) lose(ctx context.Context, reason string) {
	m.mu.Lock()
	sub := m.state.subscription
	retired := m.forget(reason)
	retryAt := m.state.retryAt
	m.mu.Unlock()
	retired.retire()
	m.emit(ctx, Event{Kind: EventLost, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: reason, NextAt: retryAt})
}

// giveUp notes that there are no notifications to be had.
func (m *Monitor) giveUp(ctx context.Context, err error) {
	m.mu.Lock()
	m.state.unsupported = true
	m.state.err, m.state.failedAt = err, wall(time.Now())
	users := len(m.state.users)
	m.mu.Unlock()
	m.emit(ctx, Event{Kind: EventUnsupported, Users: users, Err: err})
}

// fail notes a failed step and when it is tried again: after a pause that grows
// with each failure, or later if the service asks for it.
func (m *Monitor) fail(ctx context.Context, do action, err error) {
	pause := m.backoff.NextBackOff()
	// Spread downwards, so that MaxBackoff stays the most.
	pause -= time.Duration(m.rand.Float64() * 0.2 * float64(pause))
	if asked, ok := presence.RetryAfter(err); ok {
		pause = max(pause, asked)
	}
	m.mu.Lock()
	m.state.failed(time.Now(), err, pause)
	e := Event{Kind: EventFailed, Action: string(do), Err: err, NextAt: m.state.retryAt,
		SubscriptionID: m.state.subscription.ID, Users: len(m.state.users)}
	m.mu.Unlock()
	m.emit(ctx, e)
}

func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	const initial = 2 * time.Second
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(initial, most)),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxInterval(most),
		backoff.WithMaxElapsedTime(0),
	)
}
