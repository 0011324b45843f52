package graph

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/presence"
)

// FuzzNotification sends any body: the handler never panics, answers one of
// three ways, delivers only what carries the client state, and accounts for
// every item.
func FuzzNotification(f *testing.F) {
	f.Add(batchOf(goodItem()))
	f.Add(batchOf(goodItem(), "null", `{"subscriptionId":"`+notifySub+`","clientState":"`+notifyState+`","lifecycleEvent":"missed","subscriptionExpirationDateTime":"2024-04-19T23:58:00.4569264"}`))
	f.Add(`{"value":[{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","resource":"communications/presences?$filter=id+in+(%27%zz%27)"}]}`)
	f.Add(`{"value":[],"value":[5],"validationTokens":null}`)
	f.Add(`{"value":`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		h, delivered := NewNotificationHandler(&NotificationHandlerOptions{MaxBody: 1 << 16}), 0
		bind, _, err := h.Register(presence.NewSecret(notifyState), presence.Receiver{
			Notify: func(n presence.Notification) {
				delivered++
				if n.UserID == "" || n.SubscriptionID != notifySub {
					t.Errorf("delivered %+v", n)
				}
			},
			Lifecycle: func(l presence.Lifecycle) {
				delivered++
				if l.Event == "" || l.SubscriptionID != notifySub {
					t.Errorf("delivered %+v", l)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		bind(notifySub)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		s := h.Stats()
		switch w.Code {
		case http.StatusAccepted:
			var refused uint64
			for _, n := range s.Refused {
				refused += n
			}
			if s.Received != s.Delivered+s.Lifecycle+refused || s.Delivered+s.Lifecycle != uint64(delivered) {
				t.Errorf("%d delivered, but counted %+v", delivered, s)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if delivered != 0 {
				t.Errorf("%d items of a refused body were delivered", delivered)
			}
		default:
			t.Errorf("answered %d", w.Code)
		}
		if delivered > 0 && !strings.Contains(body, notifySub[:4]) && !strings.Contains(body, `\u`) {
			t.Error("delivered without the subscription id")
		}
	})
}

// FuzzNotificationUserID reads any path: never more than one id, and an id that
// is in the path.
func FuzzNotificationUserID(f *testing.F) {
	for _, s := range []string{
		"users/u/presence", "/users('u')/presence", "communications/presences/u", "communications/presences('u')",
		"https://graph.microsoft.com/v1.0/communications/presences?$filter=id+in+(%27u%27)", "users(", "?'", "%", "presences",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id := userIDOfPath(s)
		if strings.Contains(id, "/") && !strings.Contains(s, "?") {
			t.Errorf("%q gives %q", s, id)
		}
		if unescaped, err := url.QueryUnescape(s); err == nil && !strings.Contains(unescaped, id) && !strings.Contains(s, id) {
			if path, err := url.PathUnescape(s); err != nil || !strings.Contains(path, id) {
				t.Errorf("%q gives %q", s, id)
			}
		}
	})
}

func TestNotificationUserID(t *testing.T) {
	for path, want := range map[string]string{
		"users/u-1/presence":                                  "u-1",
		"/users/u-1/presence":                                 "u-1",
		"Users('u-1')/presence":                               "u-1",
		"communications/presences/u-1":                        "u-1",
		"communications/presences('u-1')":                     "u-1",
		"communications/presences(%27u-1%27)":                 "u-1",
		"https://graph.microsoft.com/v1.0/users/u-1/presence": "u-1",
		"communications/presences?$filter=id+in+(%27u-1%27)":  "u-1",
		"communications/presences?$filter=id in ('u-1')":      "u-1",
		"communications/presences?$filter=id in ('a','b')":    "",
		"communications/presences?$filter=id in ('a":          "",
		"communications/presences?$filter=id in ()":           "",
		"communications/presences":                            "",
		"me/presence":                                         "",
		"":                                                    "",
		"%zz/users/u-1":                                       "u-1",
	} {
		if got := userIDOfPath(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}
