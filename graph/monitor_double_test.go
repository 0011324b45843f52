package graph_test

import (
	"context"
	"net/http"
	"sync"
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
		listener, err := network.Listen("bridge.test")
		require.NoError(t, err)
		endpoint := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = endpoint.Serve(listener) }()
		t.Cleanup(func() { _ = endpoint.Close() })

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
