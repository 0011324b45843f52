package graph_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// noted is a sink that remembers whom it was told to look at.
type noted struct {
	mu      sync.Mutex
	changed map[string]int
	gaps    []string
}

func (n *noted) TeamsChanged(userIDs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range userIDs {
		n.changed[id]++
	}
}

func (n *noted) TeamsGap(reason string, _ ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps = append(n.gaps, reason)
}

func (n *noted) count(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed[id]
}

// serve makes the handler reachable as bridge.test.
func serve(t *testing.T, network *graphtest.Network, handler http.Handler) {
	t.Helper()
	listener, err := network.Listen("bridge.test")
	require.NoError(t, err)
	endpoint := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = endpoint.Serve(listener) }()
	t.Cleanup(func() { _ = endpoint.Close() })
}

// memory remembers one subscription.
type memory struct{ kept monitor.Remembered }

func (m *memory) Remember(_ context.Context, r monitor.Remembered) error {
	m.kept = r
	return nil
}

func (m *memory) Recall(context.Context) (monitor.Remembered, error) { return m.kept, nil }

// A process that is restarted uses the subscription on: it is the only one that
// there ever was, and its notifications reach the new process.
func TestMonitorAdoptsTheSubscriptionOfItsPredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := graphtest.NewNetwork()
		c := newCompany(t, &graphtest.Options{Network: network})
		var present atomic.Pointer[graph.NotificationHandler]
		serve(t, network, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { present.Load().ServeHTTP(w, r) }))
		remembered := new(memory)
		var ids []string
		for range 3 {
			present.Store(graph.NewNotificationHandler(nil))
			sink := &noted{changed: make(map[string]int)}
			m, err := monitor.New("monitor1", c.signIn(t), present.Load().Tenant(c.TenantID()), "http://bridge.test/graph", sink,
				&monitor.Options{Memory: remembered, KeepOnStop: true})
			require.NoError(t, err)
			assert.Empty(t, m.SetUsers([]string{c.ann.ID, c.bob.ID}))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- m.Run(ctx) }()
			time.Sleep(time.Minute)
			require.Equal(t, monitor.ConditionSubscribed, m.Snapshot().Condition)
			require.NoError(t, c.SetClient(c.ann.ID, "desktop", presence.Busy, presence.ActivityInACall))
			time.Sleep(time.Minute)
			require.NoError(t, c.SetClient(c.ann.ID, "desktop", presence.Available, presence.ActivityAvailable))
			time.Sleep(2 * time.Hour)
			assert.GreaterOrEqual(t, sink.count(c.ann.ID), 2)
			assert.Empty(t, present.Load().Stats().Refused)
			assert.Equal(t, []string{monitor.ReasonStarted}, sink.gaps)
			ids = append(ids, m.Snapshot().SubscriptionID)
			cancel()
			require.NoError(t, <-done)
			time.Sleep(5 * time.Minute)
		}
		assert.Len(t, slices.Compact(ids), 1)
		subscriptions := c.Subscriptions()
		require.Len(t, subscriptions, 1)
		assert.Equal(t, ids[0], subscriptions[0].ID)
		time.Sleep(time.Second)
	})
}

// TestMonitorHearsEveryChangeForADay joins the monitor, the client and the
// handler over the double. Access tokens end every hour, and Graph holds
// notifications back once the token behind a subscription has ended, though the
// subscription was renewed with it: so every renewal must bring a fresh one.
func TestMonitorHearsEveryChangeForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := graphtest.NewNetwork()
		c := newCompany(t, &graphtest.Options{Network: network})
		// Lifecycle notifications, which would ask for a fresh token, are all lost.
		c.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault { return graphtest.Fault{Drop: len(d.UserIDs) == 0} })
		handler := graph.NewNotificationHandler(nil)
		serve(t, network, handler)

		sink := &noted{changed: make(map[string]int)}
		m, err := monitor.New("monitor1", c.signIn(t), handler.Tenant(c.TenantID()), "http://bridge.test/graph", sink, nil)
		require.NoError(t, err)
		assert.Empty(t, m.SetUsers([]string{c.ann.ID, c.bob.ID}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(time.Minute)

		busy := false
		for minute := 1; minute <= 24*60; minute += 7 {
			busy = !busy
			state := presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}
			if busy {
				state = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
			}
			before := sink.count(c.ann.ID)
			require.NoError(t, c.SetClient(c.ann.ID, "desktop", state.Availability, state.Activity))
			time.Sleep(7 * time.Minute)
			require.Greater(t, sink.count(c.ann.ID), before, "the change after %d minutes was not heard", minute)
		}
		assert.Equal(t, []string{monitor.ReasonStarted}, sink.gaps, "a day without a gap")
		assert.Zero(t, sink.count(c.bob.ID))
		stats := handler.Stats()
		assert.Empty(t, stats.Refused)

		cancel()
		require.NoError(t, <-done)
		assert.Empty(t, c.Subscriptions(), "nothing is left behind")
		time.Sleep(time.Second)
	})
}
