package monitor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// vanish ends a subscription at the service, which tells nobody.
func (w *world) vanish(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, id)
}

func TestALookFindsWhetherTheSubscriptionExists(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		began := m.Snapshot()
		assert.Equal(t, began.CreatedAt, began.SeenAt, "it was created then")
		assert.Equal(t, began.CreatedAt, began.ListeningSince)

		require.NoError(t, m.look(t.Context(), w))
		assert.Empty(t, w.drain(), "not all servers need to know one so young")

		sleep(5 * time.Minute)
		require.NoError(t, m.look(t.Context(), w))
		assert.Equal(t, []string{"read s1"}, w.drain())
		assert.Equal(t, wall(time.Now()), m.Snapshot().SeenAt)

		w.setFault(failing("read", errMoody))
		sleep(time.Minute)
		before := m.Snapshot()
		require.ErrorIs(t, m.look(t.Context(), w), errMoody)
		assert.Equal(t, before, m.Snapshot(), "what was not told changes nothing")
		w.setFault(nil)
		w.drain()

		w.vanish("s1")
		found := wall(time.Now())
		require.NoError(t, m.look(t.Context(), w))
		assert.Equal(t, found, m.Snapshot().LostAt, "known at once")
		sleep(time.Minute)
		now := m.Snapshot()
		assert.Equal(t, "s2", now.SubscriptionID)
		assert.Equal(t, found, now.LostAt)
		assert.Equal(t, ReasonNotFound, now.LostReason)
		assert.Equal(t, []string{"lost: subscription not found", "re-created: subscription not found"}, w.happened())
		assert.Equal(t, []string{"subscription not found: anna bob"}, w.drainGaps())
	})
}

// What is under creation for long must show, though nothing fails.
func TestSinceWhenUsersHaveNoSubscription(t *testing.T) {
	now, users := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), []string{"anna"}
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	s := &state{}
	s.setUsers(at(0), nil, 0)
	assert.Zero(t, s.withoutSince, "nobody is to be watched")
	s.setUsers(at(1), users, 0)
	s.setUsers(at(2), []string{"anna", "bob"}, 0)
	assert.Equal(t, at(1), s.withoutSince, "since the first of them")
	s.created(at(3), presence.Subscription{ID: "s1", ExpiresAt: at(60)}, at(40), Remembered{})
	assert.Zero(t, s.withoutSince)
	s.gone(at(4), ReasonExpired)
	assert.Equal(t, at(4), s.withoutSince)
	s.adopted(at(5), presence.Subscription{ID: "s2", ExpiresAt: at(60)}, Remembered{})
	assert.Zero(t, s.withoutSince)
	s.gone(at(6), ReasonExpired)
	s.setUsers(at(7), nil, 0)
	assert.Zero(t, s.withoutSince)

	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		assert.Zero(t, m.Snapshot().WithoutSince)
		w.setFault(failing("create", errMoody))
		w.vanish("s1")
		sleep(time.Minute)
		lost := wall(time.Now())
		require.NoError(t, m.look(t.Context(), w))
		sleep(time.Minute)
		assert.Equal(t, lost, m.Snapshot().WithoutSince)
		w.setFault(nil)
	})
}

// A renewal that is due must not be sent for what is known to be gone, and an
// answer that comes late says nothing about the subscription of now.
func TestAnAnswerAboutAFormerSubscriptionChangesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		m.mu.Lock()
		m.state.looked(time.Now(), "s0", false)
		m.mu.Unlock()
		m.poke()
		sleep(time.Minute)
		assert.Equal(t, "s1", m.Snapshot().SubscriptionID)
		assert.Zero(t, m.Snapshot().LostAt)
		assert.Empty(t, w.drain())
	})
	s := state{subscription: presence.Subscription{ID: "s1", ExpiresAt: time.Now().Add(time.Hour)}, renewAt: time.Now().Add(-time.Minute), vanished: true}
	assert.Equal(t, step{do: actionLose, reason: ReasonNotFound}, next(time.Now(), &s))
}

func TestWhatIsLostOtherwiseIsNotedToo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		w.vanish("s1")
		w.lifecycle(t, "s1", presence.SubscriptionRemoved)
		sleep(time.Minute)
		now := m.Snapshot()
		assert.Equal(t, "s2", now.SubscriptionID)
		assert.Equal(t, ReasonRemoved, now.LostReason)
		assert.Equal(t, now.CreatedAt, now.LostAt)

		m.SetUsers([]string{"anna"})
		sleep(time.Minute)
		assert.Equal(t, "s3", m.Snapshot().SubscriptionID)
		assert.Equal(t, now.LostAt, m.Snapshot().LostAt, "a replacement of our own is no loss")
	})
}

// Whoever resyncs a monitor, in whatever process, heals its subscription.
func TestResyncFindsASubscriptionThatHasVanished(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		name := named(1)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		q := o.newPool(nil)
		for _, asker := range []*runningPool{p, q} {
			before, _ := p.Snapshot().Monitor(name)
			require.NotEmpty(o, before.Subscription.SubscriptionID)
			o.tenant.account(name, func(a *tenantAccount) { clear(a.subscriptions) })
			asked := time.Now()
			_, err := asker.Resync(o.Context(), name)
			require.NoError(o, err)
			now, _ := p.Snapshot().Monitor(name)
			assert.False(o, now.Subscription.LostAt.Before(asked.Round(0)), "it is known when Resync returns")
			time.Sleep(time.Minute)
			now, _ = p.Snapshot().Monitor(name)
			assert.NotEqual(o, before.Subscription.SubscriptionID, now.Subscription.SubscriptionID)
			assert.Len(o, o.tenant.watching()[name], 3)
		}
		require.Len(o, p.events.of(EventLost, name), 2)
		seen := time.Now()
		now, err := p.Resync(o.Context(), name)
		require.NoError(o, err)
		assert.False(o, now.Subscription.SeenAt.Before(seen.Round(0)))
	})
}

// An account without the power is resynced as before.
func TestResyncDoesWithoutAReader(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		name := named(1)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		p.mu.Lock()
		k := p.keepers[monitorID(name)]
		p.mu.Unlock()
		u := k.present()
		u.account.Account = struct{ Account }{u.account.Account}
		before, _ := p.Snapshot().Monitor(name)
		now, err := p.Resync(o.Context(), name)
		require.NoError(o, err)
		assert.Equal(o, before.Subscription.SeenAt, now.Subscription.SeenAt)
		assert.Empty(o, now.Troubles)
	})
}
