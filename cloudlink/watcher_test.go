package cloudlink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

const hookURL = "https://bridge.example/cloudlink"

// hub is a notifications service with its faults.
type hub struct {
	mu     sync.Mutex
	subs   map[string]map[string]string // by id
	n      int
	log    []string // "POST topic", "DELETE id", "GET", "whoami"
	fail   func(method string) (status int, header string)
	hidden bool                     // the listing shows nothing
	odd    bool                     // the listing has an unreadable item
	before func(id string)          // runs before a creation is answered
	lose   bool                     // the answer to a creation is lost
	slow   map[string]time.Duration // by method
}

func newHub() *hub { return &hub{subs: make(map[string]map[string]string)} }

func (h *hub) note(s string) { h.log = append(h.log, s) }

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(h.slow[r.Method])
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		if status, retryAfter := h.fail(r.Method); status != 0 {
			h.note("failed " + r.Method)
			answer(status, `{"name":"Fault"}`, "Retry-After", retryAfter)(w, r)
			return
		}
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/token"):
		h.note("whoami")
		_, _ = fmt.Fprintf(w, `{"accountId":%q}`, testAccount)
	case r.Method == http.MethodPost:
		sub := map[string]string{}
		_ = json.NewDecoder(r.Body).Decode(&sub)
		h.n++
		id := fmt.Sprintf("sub-%d", h.n)
		sub["subscriptionId"] = id
		h.subs[id] = sub
		h.note("POST " + sub["topic"])
		if h.before != nil {
			h.before(id)
		}
		if h.lose {
			h.lose = false
			w.WriteHeader(504)
			return
		}
		_, _ = fmt.Fprintf(w, `{"subscriptionId":%q}`, id)
	case r.Method == http.MethodDelete:
		id := path.Base(r.URL.Path)
		h.note("DELETE " + id)
		if h.subs[id] == nil {
			w.WriteHeader(404)
			return
		}
		delete(h.subs, id)
		w.WriteHeader(204)
	default:
		h.note("GET")
		var items []json.RawMessage
		if h.odd {
			items = append(items, json.RawMessage(`17`))
		}
		for _, id := range h.ids() {
			if !h.hidden {
				b, _ := json.Marshal(h.subs[id])
				items = append(items, b)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"count": len(items), "_embedded": map[string]any{"items": items}})
	}
}

func (h *hub) ids() []string {
	var ids []string
	for id := range h.subs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// do runs f under the hub's lock.
func (h *hub) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// count returns how many entries of the log begin with prefix.
func (h *hub) count(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.log {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// notes is a sink.
type notes struct {
	mu   sync.Mutex
	all  []string
	gaps int
	last string // the last gap's reason
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, s)
}
func (n *notes) PhoneChanged(endpointID, principalID string) {
	n.add("phone " + endpointID + " " + principalID)
}
func (n *notes) StatusChanged(principalID string) { n.add("status " + principalID) }
func (n *notes) CloudLinkGap(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps++
	n.last = reason
}

type bench struct {
	*hub
	*notes
	watcher *Watcher
	handler *WebhookHandler
	events  []WatchEventKind
	stop    func()
}

// startWatcher runs a watcher in the test's bubble until stop.
func startWatcher(t *testing.T, h *hub, account string, change ...func(*WatcherOptions)) *bench {
	t.Helper()
	c, err := New(account, &fixedToken{value: testToken}, &Options{HTTPClient: &http.Client{Transport: inProcess{h}}, RequestsPerSecond: 1e6, ReadRetries: -1})
	require.NoError(t, err)
	b := &bench{hub: h, notes: &notes{}, handler: NewWebhookHandler(nil)}
	opts := &WatcherOptions{OnEvent: func(e WatchEvent) { b.events = append(b.events, e.Kind) }}
	for _, f := range change {
		f(opts)
	}
	b.watcher, err = NewWatcher(c, b.handler, hookURL, b.notes, opts)
	require.NoError(t, err)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- b.watcher.Run(ctx) }()
	b.stop = func() {
		cancel()
		require.NoError(t, <-done)
	}
	synctest.Wait()
	return b
}

// pause lets d pass and everything that happens by then be over.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestWatcherSubscribesAndCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount)
		assert.Equal(t, []string{"POST platform-api-media", "POST platform-api-presence", "GET"}, b.log)
		assert.Equal(t, "/2017-09-01/endpoints/", b.subs["sub-1"]["subjectFilter"])
		assert.Equal(t, "/presentities/[^/]+$", b.subs["sub-2"]["subjectFilter"])
		assert.Equal(t, "PUT", b.subs["sub-2"]["methodFilter"])
		assert.Equal(t, hookURL, b.subs["sub-1"]["deviceId"])
		assert.NotEqual(t, b.subs["sub-1"]["applicationId"], b.subs["sub-2"]["applicationId"])
		assert.Equal(t, 1, b.gaps)
		assert.NotContains(t, b.last, "lost")
		s := b.watcher.Snapshot()
		assert.Equal(t, WatcherSubscribed, s.State)
		require.Len(t, s.Subscriptions, 2)
		assert.True(t, s.Subscriptions[0].Confirmed)
		assert.Equal(t, "sub-1", s.Subscriptions[0].ID)
		require.Error(t, b.watcher.Run(t.Context()), "one Run at a time")

		assert.Equal(t, 202, post(b.handler, callPublication))
		assert.Equal(t, 202, post(b.handler, strings.Replace(publication(TopicPresence, "/presentities/p-7", `{}`), "sub-1", "sub-2", 1)))
		assert.Equal(t, []string{"phone 2001 p-1", "status p-7"}, b.all)
		assert.False(t, b.watcher.Snapshot().Subscriptions[1].LastEvent.IsZero())

		pause(24 * time.Hour)
		checks := b.count("GET")
		assert.InDelta(t, 24*12, checks, 40)
		assert.Equal(t, 2, b.count("POST"))
		b.stop()
		assert.Empty(t, b.subs)
		assert.Equal(t, WatcherStopped, b.watcher.Snapshot().State)
		assert.Equal(t, []WatchEventKind{WatchSubscribed, WatchSubscribed, WatchUnsubscribed, WatchUnsubscribed}, b.events)
		assert.Equal(t, 404, post(b.handler, callPublication))
	})
}

func TestWatcherMakesALostSubscriptionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount)
		b.do(func() { delete(b.subs, "sub-1") })
		pause(6 * time.Minute)
		assert.Equal(t, []string{"sub-2", "sub-3"}, b.ids())
		assert.Equal(t, TopicMedia, b.subs["sub-3"]["topic"])
		assert.Equal(t, 2, b.gaps)
		assert.Contains(t, b.last, "lost")
		assert.Contains(t, b.events, WatchLost)
		assert.Equal(t, 404, post(b.handler, callPublication))
		assert.Equal(t, 202, post(b.handler, strings.Replace(callPublication, "sub-1", "sub-3", 1)))
		b.stop()
		assert.Empty(t, b.subs)
	})
}

func TestWatcherTakesANotificationThatComesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		var b *bench
		codes := map[string]int{}
		h.before = func(id string) {
			if h.subs[id]["topic"] == TopicMedia && b != nil {
				codes[id] = post(b.handler, strings.Replace(callPublication, "sub-1", id, 1), "x-mitel-application-id", h.subs[id]["applicationId"])
			}
		}
		b = startWatcher(t, h, testAccount)
		b.do(func() { delete(b.subs, "sub-1") })
		pause(6 * time.Minute)
		assert.Equal(t, map[string]int{"sub-3": 202}, codes, "also where a subscription is replaced")
		b.stop()
	})
}

func TestWatcherDeletesWhatAnEarlierProcessLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.subs["old-1"] = map[string]string{"subscriptionId": "old-1", "deviceId": hookURL, "topic": TopicMedia, "transport": "webhook"}
		h.subs["old-2"] = map[string]string{"subscriptionId": "old-2", "deviceId": "https://other.example/", "topic": TopicMedia}
		h.subs["old-3"] = map[string]string{"subscriptionId": "old-3", "deviceId": hookURL, "topic": "platform-api-conversations"}
		b := startWatcher(t, h, testAccount)
		assert.Equal(t, []string{"old-2", "old-3", "sub-1", "sub-2"}, b.ids())
		assert.Contains(t, b.events, WatchLeftoverDeleted)
		b.stop()
		assert.Equal(t, []string{"old-2", "old-3"}, b.ids())
	})
}

func TestWatcherDeletesASubscriptionWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.lose = true
		b := startWatcher(t, h, testAccount)
		pause(time.Minute)
		assert.Equal(t, []string{"sub-2", "sub-3"}, b.ids(), "not one too many")
		assert.Equal(t, WatcherSubscribed, b.watcher.Snapshot().State)
		b.stop()
		assert.Empty(t, b.subs)
	})
}

func TestWatcherThatStopsInTheMiddleOfACreationLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.slow = map[string]time.Duration{http.MethodPost: 5 * time.Second}
		b := startWatcher(t, h, testAccount)
		pause(7 * time.Second) // the second creation is under way
		b.stop()
		assert.Equal(t, 2, b.count("POST"))
		assert.Empty(t, b.subs)
	})
}

func TestListingThatShowsNothingDoesNotFillTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.hidden = true
		b := startWatcher(t, h, testAccount)
		pause(7 * 24 * time.Hour)
		assert.Len(t, b.subs, 2)
		assert.Less(t, b.count("POST"), 24, "in a week")
		b.stop()
		assert.Empty(t, b.subs)
	})
}

func TestSubscriptionThatSpeaksIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.hidden = true
		b := startWatcher(t, h, testAccount, func(o *WatcherOptions) { o.PhonesOnly = true })
		pause(time.Second)
		require.Equal(t, 202, post(b.handler, callPublication))
		pause(24 * time.Hour)
		assert.Equal(t, 1, b.count("POST"))
		b.stop()
	})
}

func TestUnreadableListingLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount)
		b.do(func() { b.odd, b.hidden = true, true })
		pause(time.Hour)
		assert.Equal(t, 2, b.count("POST"))
		assert.Equal(t, WatcherSubscribed, b.watcher.Snapshot().State)
		b.stop()
	})
}

func TestWatcherOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount)
		b.do(func() {
			b.subs = make(map[string]map[string]string)
			b.fail = func(string) (int, string) { return 503, "" }
		})
		pause(time.Hour)
		s := b.watcher.Snapshot()
		assert.Equal(t, WatcherFailing, s.State)
		require.ErrorIs(t, s.LastError, presence.ErrUnavailable)
		assert.Positive(t, s.Failures)
		assert.True(t, s.NextAction.After(time.Now()))
		assert.Less(t, b.count("failed"), 40)
		gaps := b.gaps
		b.do(func() { b.fail = nil })
		pause(10 * time.Minute)
		assert.Len(t, b.subs, 2)
		assert.Greater(t, b.gaps, gaps)
		assert.Contains(t, b.events, WatchRecovered)
		s = b.watcher.Snapshot()
		assert.Equal(t, WatcherSubscribed, s.State)
		assert.NoError(t, s.LastError)
		b.stop()
	})
}

func TestOutageThatLostNoSubscriptionIsAGapAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount)
		for outage := 1; outage <= 2; outage++ {
			pause(10 * time.Minute)
			b.do(func() { b.fail = func(string) (int, string) { return 503, "" } })
			pause(time.Hour)
			b.do(func() { b.fail = nil })
			pause(10 * time.Minute)
			assert.Equal(t, 1+outage, b.gaps)
			assert.Equal(t, 2, b.count("POST"))
		}
		// The first repetition comes soon again.
		before := b.count("failed")
		b.do(func() { b.fail = func(string) (int, string) { return 503, "" } })
		for b.count("failed") == before {
			pause(time.Second)
		}
		pause(3 * time.Second)
		assert.Greater(t, b.count("failed"), before+1)
		b.stop()
	})
}

func TestOneTopicThatFailsDoesNotStopTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		posts := 0
		h.fail = func(method string) (int, string) {
			if method == http.MethodPost {
				if posts++; posts%2 == 1 {
					return 403, ""
				}
			}
			return 0, ""
		}
		b := startWatcher(t, h, testAccount)
		assert.Len(t, b.subs, 1)
		assert.Equal(t, 1, b.gaps)
		assert.ErrorContains(t, b.watcher.Snapshot().LastError, TopicMedia)
		b.stop()
	})
}

func TestWatcherObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.fail = func(string) (int, string) { return 429, "1200" }
		b := startWatcher(t, h, testAccount, func(o *WatcherOptions) { o.PhonesOnly = true })
		n := b.count("failed")
		assert.Equal(t, 20*time.Minute, time.Until(b.watcher.Snapshot().NextAction))
		pause(19 * time.Minute)
		assert.Equal(t, n, b.count("failed"))
		b.do(func() { b.fail = nil })
		pause(22 * time.Minute)
		assert.Len(t, b.subs, 1)
		b.stop()
	})
}

func TestWatcherLearnsTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), "123456")
		assert.Equal(t, "whoami", b.log[0])
		assert.Equal(t, 202, post(b.handler, callPublication))
		pause(time.Hour)
		assert.Equal(t, 1, b.count("whoami"))
		b.stop()

		b = startWatcher(t, newHub(), "123456", func(o *WatcherOptions) { o.AccountID = "elsewhere" })
		assert.Zero(t, b.count("whoami"))
		assert.Equal(t, 403, post(b.handler, callPublication))
		b.stop()
	})
}

func TestWatcherMayKeepItsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWatcher(t, newHub(), testAccount, func(o *WatcherOptions) { o.KeepOnStop = true })
		b.stop()
		assert.Len(t, b.subs, 2)
	})
}

func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		c, err := New(testAccount, &fixedToken{value: testToken}, &Options{RequestsPerSecond: 1e6, ReadRetries: -1,
			HTTPClient: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodDelete {
					<-req.Context().Done()
					return nil, req.Context().Err()
				}
				return inProcess{h}.RoundTrip(req)
			})}})
		require.NoError(t, err)
		w, err := NewWatcher(c, NewWebhookHandler(nil), hookURL, &notes{}, &WatcherOptions{StopTimeout: 3 * time.Second})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		start := time.Now()
		cancel()
		require.NoError(t, <-done)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestNewWatcherReportsAllFaultsAtOnce(t *testing.T) {
	_, err := NewWatcher(nil, nil, "bridge", nil, &WatcherOptions{CheckInterval: -1})
	for _, part := range []string{"client", "webhook handler", "sink", "webhook URL", "CheckInterval"} {
		assert.ErrorContains(t, err, part)
	}
}
