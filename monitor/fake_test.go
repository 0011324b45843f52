package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testURL = "https://bridge.example.com/graph/notifications"

// world is all that a monitor deals with: a Graph that allows one subscription
// and ends it when its time is over, the routes of its notifications, a sink,
// and a diary of everything.
type world struct {
	mu     sync.Mutex
	live   map[string]*fakeSubscription
	ids    int
	fault  func(call string) error // asked before each request
	calls  []string                // "create 2", "renew s1", …
	routes []*fakeRoute
	events []Event
	gaps   []string // "reason: users"
	looked []string
	kept   Remembered // as Memory
	ends   func(wished time.Time) time.Time
}

type fakeSubscription struct {
	presence.Subscription
	clientState string
	encryption  string // id of the certificate
}

type fakeRoute struct {
	clientState string
	receiver    presence.Receiver
	ids         []string
	gone        bool
}

func newWorld() *world {
	return &world{live: make(map[string]*fakeSubscription)}
}

var errNotFound = fmt.Errorf("fake: %w", presence.ErrNotFound)

// called notes a request and lets the fault answer it.
func (w *world) called(ctx context.Context, format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	w.mu.Lock()
	w.calls = append(w.calls, call)
	fault := w.fault
	for id, s := range w.live {
		if !s.ExpiresAt.After(time.Now()) {
			delete(w.live, id)
		}
	}
	w.mu.Unlock()
	if fault != nil {
		if err := fault(call); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (w *world) CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (presence.Subscription, error) {
	if err := w.called(ctx, "create %d%s", len(req.UserIDs), with(req.Encryption)); err != nil {
		return presence.Subscription{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(req.UserIDs) == 0 || len(req.UserIDs) > presence.MaxSubscriptionUsers || req.ExpiresAt.After(time.Now().Add(time.Hour)) || req.LifecycleURL == "" {
		return presence.Subscription{}, presence.ErrInvalid
	}
	if len(w.live) > 0 {
		return presence.Subscription{}, fmt.Errorf("fake: %w", presence.ErrConflict)
	}
	w.ids++
	s := &fakeSubscription{clientState: req.ClientState.Reveal(), Subscription: presence.Subscription{
		ID: fmt.Sprintf("s%d", w.ids), UserIDs: slices.Clone(req.UserIDs), NotificationURL: req.NotificationURL, ExpiresAt: req.ExpiresAt,
	}}
	if req.Encryption != nil {
		s.encryption = req.Encryption.ID
	}
	w.live[s.ID] = s
	answer := s.Subscription
	if w.ends != nil {
		answer.ExpiresAt = w.ends(req.ExpiresAt)
	}
	return answer, nil
}

func (w *world) RenewSubscription(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error) {
	if err := w.called(ctx, "renew %s%s", id, with(renewal.Encryption)); err != nil {
		return presence.Subscription{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.live[id]
	if s == nil {
		return presence.Subscription{}, errNotFound
	}
	if renewal.Encryption != nil {
		if s.encryption == "" {
			return presence.Subscription{}, presence.ErrInvalid
		}
		s.encryption = renewal.Encryption.ID
	}
	s.ExpiresAt = renewal.ExpiresAt
	return s.Subscription, nil
}

func (w *world) DeleteSubscription(ctx context.Context, id string) error {
	if err := w.called(ctx, "delete %s", id); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live[id] == nil {
		return errNotFound
	}
	delete(w.live, id)
	return nil
}

func (w *world) Subscriptions(ctx context.Context) ([]presence.Subscription, error) {
	if err := w.called(ctx, "list"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []presence.Subscription
	for _, s := range w.live {
		all = append(all, s.Subscription)
	}
	slices.SortFunc(all, func(a, b presence.Subscription) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (w *world) Subscription(ctx context.Context, id string) (presence.Subscription, error) {
	if err := w.called(ctx, "read %s", id); err != nil {
		return presence.Subscription{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.live[id]; s != nil {
		return s.Subscription, nil
	}
	return presence.Subscription{}, errNotFound
}

// with names the certificate of a request.
func with(c *presence.EncryptionCertificate) string {
	if c == nil {
		return ""
	}
	return " with " + c.ID
}

func (w *world) Remember(ctx context.Context, r Remembered) error {
	if err := w.called(ctx, "remember %s", cmp.Or(r.SubscriptionID, "nothing")); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = r
	return nil
}

func (w *world) Recall(ctx context.Context) (Remembered, error) {
	if err := w.called(ctx, "recall"); err != nil {
		return Remembered{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept, nil
}

func (w *world) Register(clientState presence.Secret, r presence.Receiver) (func(string), func(), error) {
	if clientState.IsZero() || r.Notify == nil {
		return nil, nil, errors.New("fake: nothing to register")
	}
	route := &fakeRoute{clientState: clientState.Reveal(), receiver: r}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.routes, func(r *fakeRoute) bool { return !r.gone && r.clientState == route.clientState }) {
		return nil, nil, errors.New("fake: client state is in use")
	}
	w.routes = append(w.routes, route)
	bind := func(id string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		route.ids = append(route.ids, id)
	}
	unregister := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		route.gone = true
	}
	return bind, unregister, nil
}

// registered counts the routes that still are.
func (w *world) registered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.routes {
		if !r.gone {
			n++
		}
	}
	return n
}

// route returns the receiver that is bound to the subscription.
func (w *world) route(t *testing.T, id string) presence.Receiver {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.routes {
		if !r.gone && slices.Contains(r.ids, id) {
			return r.receiver
		}
	}
	require.Failf(t, "no route", "subscription %s", id)
	return presence.Receiver{}
}

func (w *world) notify(t *testing.T, id, user string) {
	t.Helper()
	w.route(t, id).Notify(presence.Notification{SubscriptionID: id, UserID: user})
}

func (w *world) lifecycle(t *testing.T, id string, e presence.LifecycleEvent) {
	t.Helper()
	w.route(t, id).Lifecycle(presence.Lifecycle{SubscriptionID: id, Event: e})
}

func (w *world) TeamsChanged(ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = append(w.looked, ids...)
}

func (w *world) TeamsGap(reason string, ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gaps = append(w.gaps, reason+": "+strings.Join(ids, " "))
}

func (w *world) event(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// setFault makes f answer requests; nil lets all succeed.
func (w *world) setFault(f func(call string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// failing makes the requests that begin so fail.
func failing(prefix string, err error) func(string) error {
	return func(call string) error {
		if strings.HasPrefix(call, prefix) {
			return err
		}
		return nil
	}
}

// drain returns the requests made since the last drain.
func (w *world) drain() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// happened returns the kinds of the events since the last time, with reasons.
func (w *world) happened() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, e := range w.events {
		text := string(e.Kind)
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		all = append(all, text)
	}
	w.events = nil
	return all
}

func (w *world) drainGaps() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	gaps := w.gaps
	w.gaps = nil
	return gaps
}

func (w *world) monitor(t testing.TB, opts *Options) *Monitor {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.OnEvent == nil {
		o.OnEvent = w.event
	}
	m, err := New("monitor1@example.com", w, w, testURL, w, &o)
	require.NoError(t, err)
	return m
}

// inBubble runs a monitor over two users in a synctest bubble, up to and
// including its first subscription s1, hands over, and stops it.
func inBubble(t *testing.T, opts *Options, body func(t *testing.T, w *world, m *Monitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, opts)
		require.Empty(t, m.SetUsers([]string{"anna", "bob"}))
		stop := start(t, m)
		defer func() {
			stop()
			assert.Zero(t, w.registered(), "no route is left behind")
			assert.Empty(t, w.live, "no subscription is left behind")
		}()
		sleep(3 * time.Second)
		require.Equal(t, []string{"create 2"}, w.drain())
		require.Equal(t, []string{"created: started"}, w.happened())
		require.Equal(t, []string{"started: anna bob"}, w.drainGaps())
		require.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
		body(t, w, m)
	})
}

// start runs m until the returned function is called.
func start(t *testing.T, m *Monitor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		cancel()
		assert.NoError(t, <-done)
	}
}

// sleep lets time pass, and everything that comes with it happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
