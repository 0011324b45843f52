package graphtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestSubscriptionIsCreated(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		body := w.subscriptionBody(annID, bobID)
		body["lifecycleNotificationUrl"] = body["notificationUrl"]
		status, answer := w.do(w.userToken(monID), "POST", "subscriptions", body)
		require.Equal(w, http.StatusCreated, status, answer)
		assert.Equal(w, body["resource"], answer["resource"])
		assert.Equal(w, w.app.ClientID, answer["applicationId"])
		assert.Equal(w, monID, answer["creatorId"])
		assert.Equal(w, "state-of-mind", answer["clientState"])
		assert.Equal(w, time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.0000000Z"), answer["expirationDateTime"])

		list := w.Subscriptions()
		require.Len(w, list, 1)
		assert.Equal(w, answer["id"], list[0].ID)
		assert.Equal(w, []string{annID, bobID}, list[0].UserIDs)

		_, read := w.do(w.userToken(monID), "GET", "subscriptions/"+list[0].ID, nil)
		assert.Equal(w, answer["id"], read["id"])
		assert.Nil(w, read["clientState"])
	})
}

func TestSubscriptionResourceForms(t *testing.T) {
	for resource, want := range map[string]int{
		"communications/presences/" + annID:                                                 1,
		"/communications/presences/" + annID:                                                1,
		"communications/presences('" + annID + "')":                                         1,
		"communications/presences?$filter=id in ('" + annID + "')":                          1,
		filterOf(annID, bobID):                                                              2,
		filterOf(annID, strings.ToUpper(annID), annID):                                      1,
		"/communications/presences?$filter=id+in+(%27" + annID + "%27,%27" + bobID + "%27)": 2,
		"communications/presences?$filter=id in (" + annID + ")":                            0,
		"communications/presences?$filter=id eq '" + annID + "'":                            0,
		"communications/presences":                                                          0,
		"communications/presences/ann@example.test":                                         0,
		"communications/presences?$filter=id in ()":                                         0,
		"communications/presences?$filter=id in ('" + annID + "') or true":                  0,
		"users/" + annID + "/presence":                                                      0,
		"":                                                                                  0,
	} {
		t.Run(resource, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				body := w.subscriptionBody()
				body["resource"] = resource
				status, answer := w.do(w.userToken(monID), "POST", "subscriptions", body)
				if want == 0 {
					assert.Equal(w, http.StatusBadRequest, status, answer)
					assert.Empty(w, w.Subscriptions())
					return
				}
				require.Equal(w, http.StatusCreated, status, answer)
				assert.Len(w, w.Subscriptions()[0].UserIDs, want)
			})
		})
	}
}

func TestSubscriptionUserLimit(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		ids := make([]string, 651)
		for i := range ids {
			ids[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		}
		status, _ := w.do(w.userToken(monID), "POST", "subscriptions", w.subscriptionBody(ids...))
		assert.Equal(w, http.StatusBadRequest, status)
		w.subscribe(w.userToken(monID), w.subscriptionBody(append(ids[:650], ids[0])...))
	})
}

func TestSubscriptionRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		token  func(w *world) string
		change func(w *world, body map[string]any)
		status int
		text   string
	}{
		{"application", (*world).appToken, nil, 403, "The request is not authorized for this user or application."},
		{"user without Presence.Read.All", func(w *world) string { return w.userToken(monID, "Presence.Read") }, nil, 403, "The request is not authorized"},
		{"other change type", nil, func(_ *world, b map[string]any) { b["changeType"] = "created,updated" }, 400, "updated"},
		{"no notification URL", nil, func(_ *world, b map[string]any) { delete(b, "notificationUrl") }, 400, "notificationUrl"},
		{"relative notification URL", nil, func(_ *world, b map[string]any) { b["notificationUrl"] = "/hook" }, 400, "absolute"},
		{"no expiration", nil, func(_ *world, b map[string]any) { delete(b, "expirationDateTime") }, 400, "expirationDateTime"},
		{"unreadable expiration", nil, func(_ *world, b map[string]any) { b["expirationDateTime"] = "soon" }, 400, "expirationDateTime"},
		{"past expiration", nil, func(_ *world, b map[string]any) { b["expirationDateTime"] = "1999-01-01T00:00:00Z" }, 400, "future"},
		{"beyond 60 minutes", nil, func(_ *world, b map[string]any) {
			b["expirationDateTime"] = time.Now().Add(time.Hour + time.Second).UTC().Format(time.RFC3339)
		}, 400, "60 minutes"},
		{"long client state", nil, func(_ *world, b map[string]any) { b["clientState"] = strings.Repeat("x", 129) }, 400, "clientState"},
		{"web push", nil, func(_ *world, b map[string]any) { b["vapidPublicKey"] = nil }, 400, "vapidPublicKey"},
		{"resource data without certificate", nil, func(_ *world, b map[string]any) { b["includeResourceData"] = true }, 400, "encryptionCertificate"},
		{"endpoint away", nil, func(_ *world, b map[string]any) { b["notificationUrl"] = "http://nowhere.test/" }, 400, "Subscription validation request timed out"},
		{"lifecycle endpoint away", nil, func(_ *world, b map[string]any) { b["lifecycleNotificationUrl"] = "http://nowhere.test/" }, 400, "Subscription validation request timed out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				body := w.subscriptionBody(annID)
				if tc.change != nil {
					tc.change(w, body)
				}
				if tc.token == nil {
					tc.token = func(w *world) string { return w.userToken(monID) }
				}
				status, answer := w.do(tc.token(w), "POST", "subscriptions", body)
				assert.Equal(w, tc.status, status)
				assert.Contains(w, message(answer), tc.text)
				assert.Empty(w, w.Subscriptions())
			})
		})
	}
}

func TestValidationHandshake(t *testing.T) {
	for name, tc := range map[string]struct {
		echo func(w http.ResponseWriter, r *http.Request)
		ok   bool
		text string
	}{
		"echo": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
		}, true, ""},
		"not decoded": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, strings.TrimPrefix(r.URL.RawQuery, "m=1&validationToken="))
		}, false, "exactly match"},
		"wrong type": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
		}, false, "exactly match"},
		"wrong status": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
		}, false, "HTTP status code is 'Accepted'"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, false, "HTTP status code is 'TemporaryRedirect'"},
		"in the last moment": {func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10*time.Second - time.Millisecond)
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, r.URL.Query().Get("validationToken"))
		}, true, ""},
		"too late": {func(http.ResponseWriter, *http.Request) { time.Sleep(11 * time.Second) }, false, "timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				var queries []string
				w.received.echo = func(rw http.ResponseWriter, r *http.Request) {
					assert.Equal(w, http.MethodPost, r.Method)
					assert.Equal(w, "text/plain; charset=utf-8", r.Header.Get("Content-Type"))
					queries = append(queries, r.URL.RawQuery)
					tc.echo(rw, r)
				}
				body := w.subscriptionBody(annID)
				body["lifecycleNotificationUrl"] = body["notificationUrl"]
				status, answer := w.do(w.userToken(monID), "POST", "subscriptions", body)
				if !tc.ok {
					assert.Equal(w, http.StatusBadRequest, status)
					assert.Equal(w, "InvalidRequest", code(answer))
					assert.Contains(w, message(answer), tc.text)
					time.Sleep(2 * time.Second) // the endpoint that came too late ends
					return
				}
				assert.Equal(w, http.StatusCreated, status, answer)
				require.Len(w, queries, 2, "both URLs are validated, even when they are the same")
				assert.True(w, strings.HasPrefix(queries[0], "m=1&validationToken="), "the query is preserved: %s", queries[0])
				assert.NotEqual(w, queries[0], queries[1])
			})
		})
	}
}

func TestOneSubscriptionForEachUserAndApplication(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		status, body := w.do(token, "POST", "subscriptions", w.subscriptionBody(bobID))
		assert.Equal(w, http.StatusConflict, status)
		assert.Equal(w, "ExtensionError", code(body))
		assert.Contains(w, message(body), "[Status Code: Conflict; Reason: A subscripton already exists. It must be deleted before a another can be made.]")

		w.subscribe(w.userToken(bobID), w.subscriptionBody(annID)) // another user
		first := w.app
		w.app = w.AddApplication(graphtest.Application{})
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID)) // another application
		w.app = first

		status, _ = w.do(token, "DELETE", "subscriptions/"+id, nil)
		assert.Equal(w, http.StatusNoContent, status)
		status, _ = w.do(token, "DELETE", "subscriptions/"+id, nil)
		assert.Equal(w, http.StatusNotFound, status)
		w.subscribe(token, w.subscriptionBody(annID))
		assert.Len(w, w.Subscriptions(), 3)
	})
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{ConflictNamesSubscription: true}}, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		status, body := w.do(token, "POST", "subscriptions", w.subscriptionBody(annID))
		assert.Equal(w, http.StatusConflict, status)
		assert.Equal(w, "Subscription Id "+id+" already exists for the requested combination", message(body))
	})
}

// Two requests that overlap during the handshake make one subscription.
func TestConcurrentCreation(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		w.received.echo = func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // both are past the first check by then
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(rw, r.URL.Query().Get("validationToken"))
		}
		statuses := make(chan int)
		for range 2 {
			go func() {
				status, _ := w.do(token, "POST", "subscriptions", w.subscriptionBody(annID))
				statuses <- status
			}()
		}
		assert.ElementsMatch(w, []int{http.StatusCreated, http.StatusConflict}, []int{<-statuses, <-statuses})
		assert.Len(w, w.Subscriptions(), 1)
	})
}

func TestSubscriptionQuota(t *testing.T) {
	inBubble(t, &graphtest.Options{Limits: graphtest.Limits{Subscriptions: 1}}, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		status, _ := w.do(w.userToken(bobID), "POST", "subscriptions", w.subscriptionBody(annID))
		assert.Equal(w, http.StatusForbidden, status)
	})
}

func TestSubscriptionLifetime(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		body := w.subscriptionBody(annID)
		body["expirationDateTime"] = time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		id := w.subscribe(token, body)
		assert.Equal(w, time.Now().Add(45*time.Minute).UTC(), w.Subscriptions()[0].ExpiresAt, "bumped to 45 minutes")

		time.Sleep(45*time.Minute - time.Second)
		status, answer := w.do(token, "PATCH", "subscriptions/"+id, map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		require.Equal(w, http.StatusOK, status, answer)
		assert.Equal(w, time.Now(), w.Subscriptions()[0].RenewedAt)

		time.Sleep(time.Hour - time.Second)
		assert.Len(w, w.Subscriptions(), 1)
		time.Sleep(time.Second)
		assert.Empty(w, w.Subscriptions())
		token = w.userToken(monID)
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			status, answer = w.do(token, method, "subscriptions/"+id, map[string]any{})
			assert.Equal(w, http.StatusNotFound, status, method)
			assert.Equal(w, "ResourceNotFound", code(answer), method)
		}
	})
}

func TestSubscriptionUpdate(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		patch := func(body map[string]any) int {
			status, _ := w.do(token, "PATCH", "subscriptions/"+id, body)
			return status
		}
		for _, property := range []string{"resource", "changeType", "clientState", "lifecycleNotificationUrl", "includeResourceData"} {
			assert.Equal(w, 400, patch(map[string]any{property: "x"}), property)
		}
		assert.Equal(w, 400, patch(map[string]any{"expirationDateTime": time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)}))
		assert.Equal(w, 400, patch(map[string]any{"notificationUrl": "http://nowhere.test/"}), "a new URL is validated")
		assert.Equal(w, 400, patch(map[string]any{"encryptionCertificate": "x", "encryptionCertificateId": "y"}))
		assert.Equal(w, 200, patch(map[string]any{"notificationUrl": "http://" + hooks + "/other"}))
		w.call(annID)
		settle()
		assert.Len(w, w.received.items(), 1)

		status, _ := w.do(w.userToken(bobID), "PATCH", "subscriptions/"+id, map[string]any{})
		assert.Equal(w, http.StatusNotFound, status, "not the creator")
		status, _ = w.do(w.appToken(), "PATCH", "subscriptions/"+id, map[string]any{})
		assert.Equal(w, http.StatusForbidden, status)
	})
}

func TestSubscriptionList(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{SubscriptionPageSize: 2, ClientStateInReads: true}}, func(w *world) {
		first := w.app
		var own string
		for i := range 5 {
			if i > 0 {
				w.app = w.AddApplication(graphtest.Application{})
			}
			id := w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
			if i == 0 {
				own = id
			}
		}
		w.subscribe(w.userToken(bobID), w.subscriptionBody(annID))
		w.app = first
		list := func(token string) (ids []any) {
			next := "subscriptions"
			for next != "" {
				status, body := w.do(token, "GET", next, nil)
				require.Equal(w, http.StatusOK, status)
				values := body["value"].([]any)
				assert.LessOrEqual(w, len(values), 2)
				for _, v := range values {
					ids = append(ids, v.(map[string]any)["id"])
					assert.Equal(w, "state-of-mind", v.(map[string]any)["clientState"])
				}
				next, _ = body["@odata.nextLink"].(string)
			}
			return ids
		}
		assert.Equal(w, []any{own}, list(w.userToken(monID, "Presence.Read.All")), "the application's own")
		assert.Len(w, list(w.userToken(monID)), 5, "with Subscription.Read.All those of the user's other applications")
		assert.Empty(w, list(w.appToken()))
	})
}

func TestKilledSubscription(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		require.NoError(w, w.KillSubscription(id, true))
		w.call(annID)
		settle()
		assert.Empty(w, w.received.items())
		renew := map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
		status, _ := w.do(token, "PATCH", "subscriptions/"+id, renew)
		assert.Equal(w, http.StatusOK, status, "it can still be renewed")
		assert.True(w, w.Subscriptions()[0].Silent)

		require.NoError(w, w.KillSubscription(id, false))
		status, _ = w.do(token, "PATCH", "subscriptions/"+id, renew)
		assert.Equal(w, http.StatusNotFound, status)
		assert.Error(w, w.KillSubscription(id, false))
		assert.Error(w, w.RequestReauthorization(id))
	})
}

func TestRemovedUserLosesItsSubscriptions(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		w.RemoveUser(monID)
		assert.Empty(w, w.Subscriptions())
		w.teams(annID, presence.Busy, "")
		settle()
		assert.Empty(w, w.received.items())
	})
}

func TestReauthorizationIsAskedFor(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		body := w.subscriptionBody(annID)
		body["lifecycleNotificationUrl"] = "http://" + hooks + "/life"
		id := w.subscribe(w.userToken(monID), body)
		require.NoError(w, w.RequestReauthorization(id))
		settle()
		items := w.received.items()
		require.Len(w, items, 1)
		assert.Equal(w, map[string]any{
			"subscriptionId": id, "clientState": "state-of-mind", "lifecycleEvent": "reauthorizationRequired", "tenantId": w.TenantID(),
			"subscriptionExpirationDateTime": w.Subscriptions()[0].ExpiresAt.Format("2006-01-02T15:04:05.0000000"),
		}, items[0])

		time.Sleep(45*time.Minute - 2*time.Second)
		assert.Empty(w, w.received.items())
		time.Sleep(2 * time.Second)
		require.Len(w, w.received.items(), 1, "15 minutes before the end")
		status, _ := w.do(w.userToken(monID), "POST", "subscriptions/"+id+"/reauthorize", nil)
		assert.Equal(w, http.StatusNoContent, status)
		info := w.Subscriptions()[0]
		assert.WithinDuration(w, time.Now().Add(time.Hour), info.TokenExpiresAt, time.Second)
		assert.Equal(w, time.Now(), info.ReauthorizedAt)
	})
}

// Users renew with the token they have; when it ends, what happens waits until
// a newer one is behind the subscription.
func TestNotificationsWaitForANewToken(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		id := w.subscribe(token, w.subscriptionBody(annID))
		time.Sleep(50 * time.Minute)
		renew := func(token string) {
			status, body := w.do(token, "PATCH", "subscriptions/"+id, map[string]any{"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
			require.Equal(w, http.StatusOK, status, body)
		}
		renew(token) // the same token
		time.Sleep(20 * time.Minute)
		w.teams(annID, presence.Busy, "")
		settle()
		assert.Empty(w, w.received.items())
		assert.Equal(w, 1, w.Subscriptions()[0].Held)
		renew(w.userToken(monID))
		settle()
		assert.Len(w, w.received.items(), 1)
		assert.Zero(w, w.Subscriptions()[0].Held)
	})
}
