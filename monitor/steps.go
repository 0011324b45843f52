package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/presencebridge/presencebridge/presence"
)

// create makes a subscription for the users that are wanted now.
func (m *Monitor) create(ctx context.Context) {
	m.mu.Lock()
	users := m.state.users // never changed in place
	m.mu.Unlock()
	req := presence.SubscriptionRequest{
		UserIDs:         slices.Clone(users),
		NotificationURL: m.url,
		LifecycleURL:    m.opts.LifecycleURL,
		ClientState:     presence.NewSecret(rand.Text()),
		Encryption:      m.encryption(),
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
		var adopted bool
		sub, adopted, err = m.makeRoom(ctx, &req, err)
		if adopted {
			return
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
	// Those that were asked for, in our order.
	sub.UserIDs = users
	now := time.Now()
	remembered := Remembered{
		SubscriptionID: sub.ID, ClientState: req.ClientState, NotificationURL: m.url, Users: UsersDigest(users),
		CreatedAt: wall(now), ExpiresAt: sub.ExpiresAt,
	}
	if req.Encryption != nil {
		remembered.EncryptionID = req.Encryption.ID
	}
	renewAt := renewalTime(now, sub.ExpiresAt, m.rand.Float64())
	m.use(ctx, r, EventCreated, func(s *state) { s.created(now, sub, renewAt, remembered) })
	m.remember(ctx)
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

// makeRoom deals with a subscription that is in the way: an earlier run left it,
// or created it and did not live to hear of it. It is adopted if it is remembered
// and fits. Otherwise it is deleted, because without the client state its
// notifications could not be told from forged ones, and another is created.
//
// Only here are subscriptions listed, because all monitors of an application
// together may list no more than 25 times in 20 seconds
// (learn.microsoft.com/graph/throttling-limits).
func (m *Monitor) makeRoom(ctx context.Context, req *presence.SubscriptionRequest, conflict error) (sub presence.Subscription, adopted bool, err error) {
	var existing []presence.Subscription
	err = m.request(ctx, func(ctx context.Context) (err error) {
		existing, err = m.subs.Subscriptions(ctx)
		return err
	})
	if err != nil {
		return sub, false, err
	}
	for _, existing := range existing {
		if m.adoptable(existing) {
			err := m.adopt(ctx, existing.ExpiresAt)
			return sub, err == nil, err
		}
	}
	var refusals []error
	for _, existing := range existing {
		err := m.request(ctx, func(ctx context.Context) error { return m.subs.DeleteSubscription(ctx, existing.ID) })
		switch {
		case errors.Is(err, presence.ErrForbidden):
			// What is really in the way may be another.
			refusals = append(refusals, fmt.Errorf("monitor: subscription %s is in the way and may not be deleted: %w", existing.ID, err))
		case err != nil && !errors.Is(err, presence.ErrNotFound):
			return sub, false, errors.Join(append(refusals, err)...)
		default:
			m.emit(ctx, Event{Kind: EventReplaced, SubscriptionID: existing.ID, Users: len(existing.UserIDs), Reason: ReasonConflict})
		}
	}
	if len(refusals) == len(existing) {
		refusals = append(refusals, fmt.Errorf("monitor: create subscription: one exists already, but none is listed that may be deleted: %w", conflict))
		return sub, false, errors.Join(refusals...)
	}
	if sub, err = m.post(ctx, req); err != nil {
		err = errors.Join(append(refusals, err)...)
	}
	return sub, false, err
}

// adoptable reports whether a subscription that is listed is the one that is
// remembered and wanted.
func (m *Monitor) adoptable(sub presence.Subscription) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	return sub.ID == s.remembered.SubscriptionID && s.unfit == "" && sub.NotificationURL == m.url && s.watchedByRemembered()
}

// use makes a subscription the present one, by take, and has its users read:
// what changed before it existed nobody has told.
func (m *Monitor) use(ctx context.Context, r *route, kind EventKind, take func(*state)) {
	m.mu.Lock()
	reason := m.state.cause
	take(&m.state)
	m.state.succeeded()
	m.route = r
	sub, renewAt := m.state.subscription, m.state.renewAt
	m.mu.Unlock()
	r.bind(sub.ID)
	m.backoff.Reset()

	switch {
	case reason == "" || reason == ReasonNoUsers:
		reason = ReasonStarted
	case kind == EventCreated:
		kind = EventRecreated
	}
	m.contain(ctx, "Sink.TeamsGap", func() { m.sink.TeamsGap(reason, slices.Clone(sub.UserIDs)...) })
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

	renewal := presence.SubscriptionRenewal{ExpiresAt: time.Now().Add(m.opts.Lifetime), Encryption: m.rotation()}
	answer, err := m.patch(ctx, sub.ID, renewal)
	var refused error
	if errors.Is(err, presence.ErrInvalid) && renewal.Encryption != nil {
		// What is wrong with a certificate must not end the subscription.
		refused = fmt.Errorf("monitor: renew subscription: the encryption certificate %q is refused and the former one stays: %w", renewal.Encryption.ID, err)
		renewal.Encryption = nil
		answer, err = m.patch(ctx, sub.ID, renewal)
	}
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
	now, expiresAt := time.Now(), m.end(answer.ExpiresAt, renewal.ExpiresAt)
	renewAt := renewalTime(now, expiresAt, m.rand.Float64())
	m.mu.Lock()
	m.state.renewed(now, expiresAt, renewAt)
	if renewal.Encryption != nil {
		m.state.remembered.EncryptionID = renewal.Encryption.ID
	}
	m.state.succeeded()
	m.mu.Unlock()
	m.backoff.Reset()
	kind := EventRenewed
	if reauthorize {
		kind = EventReauthorized
	}
	m.emit(ctx, Event{Kind: kind, SubscriptionID: sub.ID, Users: len(sub.UserIDs), ExpiresAt: expiresAt, NextAt: renewAt})
	if refused != nil {
		m.emit(ctx, Event{Kind: EventFailed, Action: string(actionRenew), Err: refused, SubscriptionID: sub.ID, Users: len(sub.UserIDs), NextAt: renewAt})
	}
	m.remember(ctx)
}

// patch sends one renewal.
func (m *Monitor) patch(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (answer presence.Subscription, err error) {
	err = m.request(ctx, func(ctx context.Context) (err error) {
		answer, err = m.subs.RenewSubscription(ctx, id, renewal)
		return err
	})
	return answer, err
}

// rotation returns the certificate that the next renewal has to bring; nil where
// the subscription has it already, or carries no presence. One that was adopted
// gets it in any case: the same id may stand for another key by now.
func (m *Monitor) rotation() *presence.EncryptionCertificate {
	wanted := m.encryption()
	m.mu.Lock()
	defer m.mu.Unlock()
	has, adopted := m.state.remembered.EncryptionID, m.state.renewedAt.IsZero()
	if wanted == nil || has == "" || (has == wanted.ID && !adopted) {
		return nil
	}
	return wanted
}

// delete ends the subscription, or the one that an earlier run left; if users are
// wanted, the plan creates another.
func (m *Monitor) delete(ctx context.Context, reason string) {
	m.mu.Lock()
	// While one exists it is the one that is remembered.
	id, users := m.state.remembered.SubscriptionID, len(m.state.subscription.UserIDs)
	m.mu.Unlock()
	if reason == ReasonSilent {
		m.emit(ctx, Event{Kind: EventSilent, SubscriptionID: id, Users: users, Reason: reason})
	}
	err := m.request(ctx, func(ctx context.Context) error { return m.subs.DeleteSubscription(ctx, id) })
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
	m.emit(ctx, Event{Kind: EventDeleted, SubscriptionID: id, Users: users, Reason: reason})
	m.remember(ctx)
}

// lose admits that the subscription is gone. Failures are not forgotten: what
// kept it from being renewed may keep it from being created.
func (m *Monitor) lose(ctx context.Context, reason string) {
	m.mu.Lock()
	sub := m.state.subscription
	m.state.lost(time.Now(), reason)
	retired := m.forget(reason)
	retryAt := m.state.retryAt
	m.mu.Unlock()
	retired.retire()
	m.emit(ctx, Event{Kind: EventLost, SubscriptionID: sub.ID, Users: len(sub.UserIDs), Reason: reason, NextAt: retryAt})
	m.remember(ctx)
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
	if do == actionAdopt || do == actionDelete {
		e.SubscriptionID = m.state.remembered.SubscriptionID
	}
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
