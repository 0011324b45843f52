package monitor

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// route is the receiver of one subscription's notifications.
type route struct {
	bind       func(subscriptionID string)
	unregister func()
}

// register makes a route before its subscription exists.
func (m *Monitor) register(clientState presence.Secret) (*route, error) {
	r := new(route)
	bind, unregister, err := m.routes.Register(clientState, presence.Receiver{
		Notify:    func(n presence.Notification) { m.notified(r, n) },
		Lifecycle: func(l presence.Lifecycle) { m.lifecycle(r, l) },
	})
	if err != nil {
		return nil, err
	}
	r.bind, r.unregister = bind, unregister
	return r, nil
}

// retire ends the route; nil is none.
func (r *route) retire() {
	if r != nil {
		r.unregister()
	}
}

// forget notes that the present subscription is gone and moves its route to the
// place of the previous one, which it returns, to be retired. Called with mu
// held.
func (m *Monitor) forget(cause string) (retired *route) {
	m.state.gone(time.Now(), cause)
	retired, m.previous, m.route = m.previous, m.route, nil
	return retired
}

// notified passes a notification on. One of the previous subscription is as
// good a hint as any, but no proof that the present one delivers.
func (m *Monitor) notified(r *route, n presence.Notification) {
	m.mu.Lock()
	if r != m.previous {
		m.state.heard(time.Now())
	}
	m.mu.Unlock()
	m.sink.TeamsChanged(n.UserID)
}

// lifecycle notes what the service says of the present subscription. Of a former
// one it does not matter any more, and one that is still being created has
// nothing to ask for that would not be asked again.
func (m *Monitor) lifecycle(r *route, l presence.Lifecycle) {
	m.mu.Lock()
	if r != m.route {
		m.mu.Unlock()
		return
	}
	var gap []string
	switch l.Event {
	case presence.ReauthorizationRequired:
		m.state.reauthorize = true
	case presence.SubscriptionRemoved:
		m.state.removed = true
	case presence.NotificationsMissed:
		gap = slices.Clone(m.state.subscription.UserIDs)
	}
	m.poke()
	m.mu.Unlock()
	m.log.LogAttrs(context.Background(), slog.LevelDebug, "monitor: lifecycle notification",
		slog.String("subscription_id", l.SubscriptionID), slog.String("event", string(l.Event)))
	if len(gap) > 0 {
		m.sink.TeamsGap(ReasonMissed, gap...)
	}
}
