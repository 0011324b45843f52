package monitor

import (
	"context"
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

		for range 10 {
			w.lifecycle(t, "s1", presence.ReauthorizationRequired)
			sleep(time.Second)
		}
		assert.Empty(t, w.drain(), "repeated requests are not as many renewals")
		sleep(time.Minute)
		assert.Equal(t, []string{"renew s1"}, w.drain())
		assert.Empty(t, w.drainGaps())
	})
}

func TestFailedReauthorizationIsNotForgotten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(2 * time.Minute)
		w.setFault(failing("renew", presence.ErrUnavailable))
		w.lifecycle(t, "s1", presence.ReauthorizationRequired)
		synctest.Wait()
		w.setFault(nil)
		sleep(2 * time.Second)
		assert.Equal(t, []string{"renew s1", "renew s1"}, w.drain())
		assert.Equal(t, []string{"failed", "re-authorized"}, w.happened())
	})
}

func TestSubscriptionInTheWayIsReplaced(t *testing.T) {
	for name, opts := range map[string]Options{
		"nothing is remembered":          {},
		"its client state is not known":  {ClientStates: newWorld()},
		"remembering it is out of order": {ClientStates: brokenStates{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				leave(w, []string{"anna"}, testURL)
				m := w.monitor(t, &opts)
				m.SetUsers([]string{"anna"})
				stop := start(t, m)
				sleep(time.Minute)
				assert.Equal(t, []string{"create 1", "list", "delete old", "create 1"}, w.drain())
				assert.Equal(t, []string{"replaced: subscription exists already", "created: started"}, w.happened())
				assert.Equal(t, "s1", m.Snapshot().SubscriptionID)
				assert.Equal(t, 1, w.registered())
				stop()
				assert.Zero(t, w.registered())
			})
		})
	}
}

type brokenStates struct{}

func (brokenStates) SaveClientState(context.Context, string, presence.Secret) error {
	return presence.ErrUnavailable
}

func (brokenStates) ClientState(context.Context, string) (presence.Secret, error) {
	return presence.Secret{}, presence.ErrUnavailable
}

// leave puts a subscription "old" in the way that another process has left.
func leave(w *world, users []string, url string) {
	w.live["old"] = &fakeSubscription{Subscription: presence.Subscription{
		ID: "old", UserIDs: users, NotificationURL: url, ExpiresAt: time.Now().Add(30 * time.Minute),
	}}
}

func TestSubscriptionInTheWayIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"BOB", "anna"}, testURL)
		w.states["old"] = presence.NewSecret("remembered")
		m := w.monitor(t, &Options{ClientStates: w})
		m.SetUsers([]string{"anna", "bob"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"create 2", "list", "renew old"}, w.drain(), "the renewal proves that it lives")
		assert.Equal(t, []string{"adopted: started", "renewed"}, w.happened())
		assert.Equal(t, []string{"started: anna bob"}, w.drainGaps())
		assert.Equal(t, 1, w.registered())
		w.notify(t, "old", "anna")
		assert.Equal(t, []string{"anna"}, w.looked)
		for _, r := range w.routes {
			if !r.gone {
				assert.Equal(t, "remembered", r.clientState)
			}
		}
	})
}

func TestWhatIsNotOursIsNotAdopted(t *testing.T) {
	for name, left := range map[string]func(*world){
		"other users":   func(w *world) { leave(w, []string{"anna", "carl"}, testURL) },
		"another URL":   func(w *world) { leave(w, []string{"anna"}, "https://elsewhere.example.com/") },
		"more users":    func(w *world) { leave(w, []string{"anna", "bob"}, testURL) },
		"nobody at all": func(w *world) { leave(w, nil, testURL) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				left(w)
				w.states["old"] = presence.NewSecret("remembered")
				m := w.monitor(t, &Options{ClientStates: w})
				m.SetUsers([]string{"anna"})
				defer start(t, m)()
				sleep(time.Minute)
				assert.Equal(t, []string{"create 1", "list", "delete old", "create 1"}, w.drain())
			})
		})
	}
}

func TestKeptSubscriptionIsAdoptedByTheNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for run, want := range [][]string{{"create 1"}, {"create 1", "list", "renew s1"}} {
			m := w.monitor(t, &Options{ClientStates: w, KeepOnStop: true})
			m.SetUsers([]string{"anna"})
			stop := start(t, m)
			sleep(time.Minute)
			stop()
			assert.Equal(t, want, w.drain(), "run %d", run)
			assert.Zero(t, w.registered())
		}
	})
}

func TestConflictThatCannotBeSeenIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(failing("create", presence.ErrConflict))
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(2 * time.Second)
		assert.Equal(t, []string{"create 1", "list"}, w.drain())
		assert.ErrorIs(t, m.Snapshot().Err, presence.ErrConflict)
		assert.Equal(t, ConditionFailing, m.Snapshot().Condition)
		w.setFault(nil)
		sleep(5 * time.Second)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
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
