package monitor

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestADayOfRenewalsHasNoGap(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		for range 24 * 60 {
			sleep(time.Minute)
			s := m.Snapshot()
			require.Equal(t, ConditionSubscribed, s.Condition)
			require.Equal(t, "s1", s.SubscriptionID)
			require.Greater(t, time.Until(s.ExpiresAt), 10*time.Minute, "a renewal has time to fail")
		}
		renewals := w.drain()
		// Every 55 × ⅔ minutes, give or take a twentieth.
		assert.InDelta(t, 24*60/36.7, len(renewals), 3)
		assert.Equal(t, []string{"renew s1"}, slices.Compact(renewals))
		assert.Empty(t, w.drainGaps())
		assert.Equal(t, []string{"renewed"}, slices.Compact(w.happened()))
	})
}

func TestNotificationsReachTheSink(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(time.Hour)
		w.notify(t, "s1", "anna")
		assert.Equal(t, []string{"anna"}, w.looked)
		assert.Equal(t, time.Now().Round(0), m.Snapshot().HeardAt)
		w.lifecycle(t, "s1", presence.NotificationsMissed)
		assert.Equal(t, []string{"notifications missed: anna bob"}, w.drainGaps())
	})
}

// Microsoft Graph may notify before it has answered the request that creates
// the subscription.
func TestNotificationDuringCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(func(call string) error {
			if call == "create 1" {
				w.mu.Lock()
				r := w.routes[0].receiver
				w.mu.Unlock()
				r.Notify(presence.Notification{SubscriptionID: "s1", UserID: "anna"})
			}
			return nil
		})
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"anna"}, w.looked)
	})
}

func TestLostSubscriptionIsCreatedAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		w.mu.Lock()
		clear(w.live)
		w.mu.Unlock()
		sleep(time.Hour)
		assert.Equal(t, []string{"renew s1", "create 2"}, w.drain()[:2])
		assert.Equal(t, []string{"lost: subscription not found", "re-created: subscription not found"}, w.happened()[:2])
		assert.Equal(t, []string{"subscription not found: anna bob"}, w.drainGaps())
		w.notify(t, "s2", "anna")
		w.notify(t, "s1", "bob")
		assert.Equal(t, []string{"anna", "bob"}, w.looked, "a late notification of the former one is a hint too")
	})
}

func TestRemovedSubscriptionIsCreatedAgainAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		w.mu.Lock()
		clear(w.live)
		w.mu.Unlock()
		w.lifecycle(t, "s1", presence.SubscriptionRemoved)
		synctest.Wait()
		assert.Equal(t, []string{"create 2"}, w.drain())
		assert.Equal(t, []string{"subscription removed: anna bob"}, w.drainGaps())
		w.lifecycle(t, "s1", presence.SubscriptionRemoved)
		synctest.Wait()
		assert.Empty(t, w.drain(), "the former subscription does not concern the present one")
	})
}

func TestReauthorizationIsARenewalAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(10 * time.Minute)
		before := m.Snapshot().ExpiresAt
		w.lifecycle(t, "s1", presence.ReauthorizationRequired)
		synctest.Wait()
		assert.Equal(t, []string{"renew s1"}, w.drain())
		assert.Equal(t, []string{"re-authorized"}, w.happened())
		assert.True(t, m.Snapshot().ExpiresAt.After(before))

		for range 9 {
			w.lifecycle(t, "s1", presence.ReauthorizationRequired)
			sleep(time.Minute)
		}
		assert.Empty(t, w.drain(), "never twice within ten minutes")
		sleep(time.Minute)
		assert.Equal(t, []string{"renew s1"}, w.drain())
		assert.Empty(t, w.drainGaps())
	})
}

// Microsoft asks not to re-authorize and renew within ten minutes, however often
// it asks for the former itself.
func TestRenewalsAreTenMinutesApart(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		before, renewals := m.Snapshot().RenewedAt, 0
		for range 24 * 60 {
			w.lifecycle(t, "s1", presence.ReauthorizationRequired)
			sleep(time.Minute)
			if at := m.Snapshot().RenewedAt; !at.Equal(before) {
				assert.GreaterOrEqual(t, at.Sub(before), 10*time.Minute)
				before = at
				renewals++
			}
		}
		assert.Equal(t, 24*6, renewals)
		assert.Empty(t, w.drainGaps())
	})
}

func TestFailedReauthorizationIsNotForgotten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(12 * time.Minute)
		w.setFault(failing("renew", presence.ErrUnavailable))
		w.lifecycle(t, "s1", presence.ReauthorizationRequired)
		synctest.Wait()
		w.setFault(nil)
		sleep(2 * time.Second)
		assert.Equal(t, []string{"renew s1", "renew s1"}, w.drain())
		assert.Equal(t, []string{"failed", "re-authorized"}, w.happened())
	})
}

func TestOtherUsersReplaceTheSubscription(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(5 * time.Minute)
		for _, users := range [][]string{{"anna"}, {"anna", "carl"}, {"carl", "anna", "dora"}} {
			m.SetUsers(users)
			sleep(time.Second)
		}
		assert.Empty(t, w.drain(), "the burst has not settled")
		sleep(time.Second)
		assert.Equal(t, []string{"delete s1", "create 3"}, w.drain())
		assert.Equal(t, []string{"deleted: users changed", "re-created: users changed"}, w.happened())
		assert.Equal(t, []string{"users changed: anna carl dora"}, w.drainGaps())

		m.SetUsers([]string{"dora", "carl", "anna", "anna", ""})
		sleep(time.Minute)
		assert.Empty(t, w.drain(), "the same set in another order")

		m.SetUsers([]string{"anna"})
		sleep(time.Second)
		m.SetUsers([]string{"anna", "carl", "dora"})
		sleep(time.Minute)
		assert.Empty(t, w.drain(), "changed back in time")
	})
}

func TestEverChangingUsersAreSubscribedTo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		for i := range 60 {
			m.SetUsers([]string{"anna", fmt.Sprint(i)})
			sleep(time.Second)
		}
		replaced := len(w.drain()) / 2
		assert.GreaterOrEqual(t, replaced, 1)
		assert.LessOrEqual(t, replaced, 4)
		assert.Equal(t, 2, w.registered(), "only the present route and the one before it")
	})
}

func TestUsersComeAndGo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		m.SetUsers(nil)
		sleep(time.Minute)
		assert.Equal(t, []string{"delete s1"}, w.drain())
		assert.Equal(t, []string{"deleted: no users"}, w.happened())
		assert.Equal(t, ConditionNoUsers, m.Snapshot().Condition)
		sleep(24 * time.Hour)
		assert.Empty(t, w.drain())
		m.SetUsers([]string{"anna"})
		sleep(time.Minute)
		assert.Equal(t, []string{"created: started"}, w.happened())
		assert.Equal(t, []string{"started: anna"}, w.drainGaps())
	})
}

// While deleting fails, the subscription that exists must not expire.
func TestSubscriptionThatCannotBeDeletedIsRenewed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		w.setFault(failing("delete", presence.ErrUnavailable))
		m.SetUsers([]string{"anna"})
		sleep(5 * time.Hour)
		assert.Equal(t, "s1", m.Snapshot().SubscriptionID)
		assert.NotContains(t, w.happened(), "lost: subscription expired")
		w.setFault(nil)
		sleep(5 * time.Minute)
		assert.Equal(t, "s2", m.Snapshot().SubscriptionID)
		assert.Equal(t, 1, m.Snapshot().Subscribed)
	})
}

func TestClientStatesAreFreshAndSecret(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		m.SetUsers([]string{"anna"})
		sleep(time.Minute)
		seen := map[string]bool{}
		for _, r := range w.routes {
			assert.GreaterOrEqual(t, len(r.clientState), 26, "130 bits in base32")
			assert.LessOrEqual(t, len(r.clientState), 128)
			seen[r.clientState] = true
		}
		assert.Len(t, seen, 2)
	})
}

func TestNewReportsAllFaults(t *testing.T) {
	_, err := New("", nil, nil, "bridge/notifications", nil, &Options{Capacity: 651, Lifetime: 2 * time.Hour, MaxBackoff: -1, RequestTimeout: -1, StopTimeout: -1})
	require.Error(t, err)
	for _, part := range []string{"name is empty", "subscriptions are nil", "routes are nil", "sink is nil", "not absolute", "Capacity is 651", "Lifetime is 2h", "MaxBackoff", "RequestTimeout", "StopTimeout"} {
		assert.ErrorContains(t, err, part)
	}
}
