package graphtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestNotificationOnTheWire(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		id := w.subscribe(w.userToken(monID), w.subscriptionBody(annID, bobID))
		w.call(annID)
		settle()
		items := w.received.items()
		require.Len(w, items, 1)
		assert.Equal(w, map[string]any{
			"subscriptionId": id, "clientState": "state-of-mind", "changeType": "updated",
			"resource":                       "communications/presences?$filter=id+in+(%27" + annID + "%27)",
			"subscriptionExpirationDateTime": w.Subscriptions()[0].ExpiresAt.Format("2006-01-02T15:04:05.0000000"),
			"resourceData":                   map[string]any{"@odata.type": "#Microsoft.Graph.presence", "@odata.id": "users/" + annID + "/presence", "id": annID},
			"tenantId":                       w.TenantID(),
		}, items[0])
		assert.Equal(w, 1, w.Subscriptions()[0].Delivered)
	})
}

func TestNotificationOfASingleUserSubscription(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		body := w.subscriptionBody()
		body["resource"] = "communications/presences/" + annID
		delete(body, "clientState")
		w.subscribe(w.userToken(monID), body)
		w.call(annID)
		settle()
		items := w.received.items()
		require.Len(w, items, 1)
		assert.Equal(w, "communications/presences/"+annID, items[0]["resource"])
		assert.Nil(w, items[0]["clientState"])
	})
}

func TestOnlyAvailabilityAndActivityNotify(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.teams(annID, presence.Busy, presence.ActivityInACall)
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		require.NoError(w, w.SetOutOfOffice(annID, true))
		require.NoError(w, w.SetClient(annID, "mobile", presence.Away, ""))
		w.teams(bobID, presence.Busy, "")
		settle()
		assert.Empty(w, w.received.items())
		assert.Equal(w, graphtest.CauseOutOfOffice, w.PresenceChanges(annID)[1].Cause)
	})
}

// A lapse is notified although nobody reads.
func TestFadesAndLapsesNotify(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		status, _ := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setPresence", w.setBody("Available", "Available", "PT20M"))
		require.Equal(w, http.StatusOK, status)
		settle()
		require.Len(w, w.received.items(), 1)
		for _, wait := range []time.Duration{5 * time.Minute, 5 * time.Minute, 10 * time.Minute} {
			time.Sleep(wait)
			assert.Len(w, w.received.items(), 1)
		}
	})
}

func TestNotificationsShareAPost(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{NotificationsPerRequest: 3}}, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID, bobID))
		w.subscribe(w.userToken(bobID), w.subscriptionBody(annID, bobID))
		w.teams(annID, presence.Busy, "")
		w.teams(bobID, presence.Busy, "")
		settle()
		posts := w.received.posts()
		require.Len(w, posts, 2, "four notifications, at most three in one")
		assert.Equal(w, 4, len(posts[0]["value"].([]any))+len(posts[1]["value"].([]any)))
	})
}

func TestDeliveryIsRetriedForFourHours(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{AccessTokenLifetime: 24 * time.Hour}}, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		var up atomic.Bool
		w.received.set(func(*http.Request) int {
			if up.Load() {
				return http.StatusAccepted
			}
			return http.StatusServiceUnavailable
		})
		renewFor := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Minute) {
				status, _ := w.do(token, "PATCH", "subscriptions/"+id, map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
				require.Equal(w, http.StatusOK, status)
			}
		}
		w.teams(annID, presence.Busy, "")
		renewFor(90 * time.Minute)
		var gaps []time.Duration
		w.received.mu.Lock()
		for i := 1; i < len(w.received.times); i++ {
			gaps = append(gaps, w.received.times[i].Sub(w.received.times[i-1]).Truncate(time.Second))
		}
		w.received.mu.Unlock()
		require.Greater(w, len(gaps), 8)
		assert.Equal(w, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 600 * time.Second, 600 * time.Second}, gaps[:9])
		up.Store(true)
		renewFor(30 * time.Minute)
		w.received.posts()

		up.Store(false)
		w.teams(annID, presence.Away, "")
		start := time.Now()
		renewFor(5 * time.Hour)
		w.received.mu.Lock()
		last := w.received.times[len(w.received.times)-1]
		w.received.mu.Unlock()
		assert.LessOrEqual(w, last.Sub(start), 4*time.Hour)
		assert.Greater(w, last.Sub(start), 3*time.Hour+30*time.Minute)
		up.Store(true)
		w.received.posts()
		renewFor(time.Hour)
		assert.Empty(w, w.received.posts(), "given up")
	})
}

// The first attempt waits 3 seconds for an answer, the others 10.
func TestSlowEndpointGetsItTwice(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		w.received.set(func(*http.Request) int { time.Sleep(4 * time.Second); return http.StatusAccepted })
		w.teams(annID, presence.Busy, "")
		time.Sleep(time.Minute)
		assert.Len(w, w.received.items(), 2)
		assert.Equal(w, 1, w.Subscriptions()[0].Delivered)
	})
}

func TestSlowEndpointIsPenalized(t *testing.T) {
	inBubble(t, &graphtest.Options{EnforceEndpoints: true}, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID, bobID))
		w.received.set(func(*http.Request) int { time.Sleep(4 * time.Second); return http.StatusAccepted })
		w.teams(annID, presence.Busy, "")
		time.Sleep(30 * time.Second)
		w.received.set(nil)
		w.received.posts()
		w.teams(bobID, presence.Busy, "")
		time.Sleep(10*time.Minute - time.Second)
		assert.Empty(w, w.received.items(), "ten minutes late")
		time.Sleep(2 * time.Second)
		assert.Len(w, w.received.items(), 1)
		w.teams(bobID, presence.Away, "")
		settle()
		assert.Len(w, w.received.items(), 1, "and then at once again")
	})
}

func TestDeadEndpointIsDropped(t *testing.T) {
	inBubble(t, &graphtest.Options{EnforceEndpoints: true}, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID, bobID))
		w.received.set(func(*http.Request) int { time.Sleep(15 * time.Second); return http.StatusAccepted })
		w.teams(annID, presence.Busy, "")
		time.Sleep(20 * time.Second) // the first attempt gave up after 3 seconds, the second after 10
		w.received.set(nil)
		w.teams(bobID, presence.Busy, "")
		time.Sleep(12 * time.Minute)
		for _, item := range w.received.items() {
			assert.Equal(w, annID, userOf(item), "what came while the endpoint was dropped is lost")
		}
		w.teams(bobID, presence.Away, "")
		settle()
		assert.Len(w, w.received.items(), 1)
	})
}

func TestDeliveryFaults(t *testing.T) {
	about := func(id string, f graphtest.Fault) func(graphtest.Delivery) graphtest.Fault {
		return func(d graphtest.Delivery) graphtest.Fault {
			if len(d.UserIDs) == 1 && d.UserIDs[0] == id {
				return f
			}
			return graphtest.Fault{}
		}
	}
	run := func(t *testing.T, fault graphtest.Fault, f func(w *world)) {
		inBubble(t, nil, func(w *world) {
			w.subscribe(w.userToken(monID), w.subscriptionBody(annID, bobID))
			w.SetDeliveryFault(about(annID, fault))
			f(w)
		})
	}
	order := func(w *world) (ids []string) {
		for _, item := range w.received.items() {
			ids = append(ids, userOf(item))
		}
		return ids
	}
	t.Run("drop", func(t *testing.T) {
		run(t, graphtest.Fault{Drop: true}, func(w *world) {
			w.teams(annID, presence.Busy, "")
			w.teams(bobID, presence.Busy, "")
			time.Sleep(5 * time.Minute)
			assert.Equal(w, []string{bobID}, order(w))
			w.SetDeliveryFault(nil)
			w.teams(annID, presence.Away, "")
			settle()
			assert.Equal(w, []string{annID}, order(w))
		})
	})
	t.Run("duplicate", func(t *testing.T) {
		run(t, graphtest.Fault{Duplicate: true}, func(w *world) {
			w.teams(annID, presence.Busy, "")
			settle()
			posts := w.received.posts()
			require.Len(w, posts, 2)
			assert.Equal(w, posts[0], posts[1])
		})
	})
	t.Run("delay", func(t *testing.T) {
		run(t, graphtest.Fault{Delay: time.Minute}, func(w *world) {
			w.teams(annID, presence.Busy, "")
			w.teams(bobID, presence.Busy, "")
			settle()
			assert.Equal(w, []string{bobID}, order(w))
			time.Sleep(time.Minute)
			assert.Equal(w, []string{annID}, order(w))
		})
	})
	t.Run("hold", func(t *testing.T) {
		run(t, graphtest.Fault{Hold: true}, func(w *world) {
			w.teams(annID, presence.Busy, "")
			time.Sleep(5 * time.Minute)
			assert.Empty(w, order(w))
			w.teams(bobID, presence.Busy, "")
			settle()
			assert.Equal(w, []string{bobID, annID}, order(w), "the two changed places")
			w.teams(annID, presence.Away, "")
			settle()
			assert.Empty(w, order(w))
			w.SetDeliveryFault(nil)
			settle()
			assert.Equal(w, []string{annID}, order(w))
		})
	})
}

func TestDeliveryFaultSeesEveryAttempt(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		id := w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		var attempts []int
		w.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault {
			attempts = append(attempts, d.Attempt)
			assert.Equal(w, id, d.SubscriptionID)
			assert.Equal(w, "http://"+hooks+"/hook?m=1", d.URL)
			var item map[string]any
			assert.NoError(w, json.Unmarshal(d.Body, &item))
			assert.Equal(w, annID, userOf(item))
			return graphtest.Fault{}
		})
		w.received.set(func(*http.Request) int { return http.StatusBadGateway })
		w.teams(annID, presence.Busy, "")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		assert.Equal(w, []int{1, 2, 3}, attempts)
	})
}

func TestNothingIsSentForADeletedSubscription(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{NotificationLatency: time.Second}}, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		w.teams(annID, presence.Busy, "")
		status, _ := w.do(token, "DELETE", "subscriptions/"+id, nil)
		require.Equal(w, http.StatusNoContent, status)
		time.Sleep(time.Minute)
		assert.Empty(w, w.received.items())
	})
}

func TestTenThousandUsers(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		ids := make([]string, 10_000)
		for i := range ids {
			ids[i] = w.AddUser(graphtest.User{}).ID
		}
		for from := 0; from < len(ids); from += presence.MaxSubscriptionUsers {
			m := w.AddUser(graphtest.User{PrincipalName: fmt.Sprintf("m%d@example.test", from)})
			w.subscribe(w.userToken(m.ID), w.subscriptionBody(ids[from:min(from+presence.MaxSubscriptionUsers, len(ids))]...))
		}
		for _, id := range ids {
			w.teams(id, presence.Busy, "")
		}
		settle()
		seen := make(map[string]bool)
		for _, item := range w.received.items() {
			seen[userOf(item)] = true
		}
		assert.Len(w, seen, len(ids))
	})
}
