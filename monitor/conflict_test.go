package monitor

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestSubscriptionInTheWayIsReplaced(t *testing.T) {
	for name, left := range map[string]func(*world){
		"it reports elsewhere": func(w *world) {
			w.kept.ExpiresAt, w.live["old"].NotificationURL = time.Now(), "https://elsewhere.example.com/"
		},
		"nothing is remembered": func(w *world) { w.kept = Remembered{} },
		"another is remembered": func(w *world) { w.kept.SubscriptionID, w.kept.ExpiresAt = "older", time.Now() },
		"for other users":       func(w *world) { w.kept.Users, w.kept.ExpiresAt = UsersDigest([]string{"bob"}), time.Now() },
		"for another URL": func(w *world) {
			w.kept.NotificationURL, w.kept.ExpiresAt = "https://elsewhere.example.com/", time.Now()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				leave(w, []string{"anna"}, testURL)
				left(w)
				m := w.monitor(t, &Options{Memory: w})
				m.SetUsers([]string{"anna"})
				stop := start(t, m)
				sleep(time.Minute)
				assert.Equal(t, []string{"recall", "create 1", "list", "delete old", "create 1", "remember s1"}, w.drain())
				assert.Equal(t, []string{"replaced: subscription exists already", "created: started"}, w.happened())
				assert.Equal(t, "s1", m.Snapshot().SubscriptionID)
				assert.Equal(t, 1, w.registered())
				stop()
				assert.Zero(t, w.registered())
			})
		})
	}
}

func TestSubscriptionInTheWayIsReplacedWithoutAMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"create 1", "list", "delete old", "create 1"}, w.drain())
	})
}

// crowded is a world whose list shows subscriptions that are not in the way.
type crowded struct {
	*world
	more []string
}

func (c crowded) Subscriptions(ctx context.Context) ([]presence.Subscription, error) {
	all, err := c.world.Subscriptions(ctx)
	var more []presence.Subscription
	for _, id := range c.more {
		more = append(more, presence.Subscription{ID: id})
	}
	return append(more, all...), err
}

func TestWhatMayNotBeDeletedDoesNotKeepTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		w.setFault(failing("delete foreign", presence.ErrForbidden))
		m := w.monitor(t, nil)
		m.subs = crowded{w, []string{"foreign1", "gone", "foreign2"}}
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"create 1", "list", "delete foreign1", "delete gone", "delete foreign2", "delete old", "create 1"}, w.drain())
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
	})
}

func TestWhatMayNotBeDeletedIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		w.setFault(failing("delete", presence.ErrForbidden))
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(2 * time.Second)
		assert.Equal(t, []string{"create 1", "list", "delete old"}, w.drain(), "creating again is of no use")
		err := m.Snapshot().Err
		require.ErrorIs(t, err, presence.ErrForbidden)
		require.ErrorIs(t, err, presence.ErrConflict)
		assert.ErrorContains(t, err, "subscription old is in the way")
		w.setFault(nil)
		sleep(5 * time.Second)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
	})
}

func TestMakingRoomStopsWhereTheServiceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		w.setFault(failing("delete", throttled{time.Hour}))
		m := w.monitor(t, nil)
		m.subs = crowded{w, []string{"a", "b"}}
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(59 * time.Minute)
		assert.Equal(t, []string{"create 1", "list", "delete a"}, w.drain())
	})
}

// A conflict that never ends is listed as seldom as anything that fails: all
// monitors of an application share 25 listings in 20 seconds.
func TestConflictThatCannotBeSeenIsAFailure(t *testing.T) {
	for name, left := range map[string]bool{"nothing is listed": false, "deleting does not help": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.setFault(failing("create", presence.ErrConflict))
				m := w.monitor(t, nil)
				if left {
					m.subs = crowded{w, []string{"ghost"}}
				}
				m.SetUsers([]string{"anna"})
				defer start(t, m)()
				sleep(24 * time.Hour)
				lists := slices.DeleteFunc(w.drain(), func(call string) bool { return call != "list" })
				assert.Greater(t, len(lists), 24*60/5, "it is never given up")
				assert.Less(t, len(lists), 24*60/4+20)
				assert.ErrorIs(t, m.Snapshot().Err, presence.ErrConflict)
				assert.Equal(t, ConditionFailing, m.Snapshot().Condition)
				w.setFault(nil)
				sleep(5 * time.Minute)
				assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
			})
		})
	}
}
