package entra_test

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
)

// sampling is how often the subscriptions are looked at. It is less than the time
// between two renewals, so none goes unseen.
const sampling = 15 * time.Minute

// coverage proves that each user is in exactly one subscription that lives and
// delivers, at every moment since it was made, although it looks only now and
// then: a subscription that has ended never comes back under its id, and its
// users cannot be changed. So those that were there at the start and are there now
// were there in between. And a subscription whose token has ended holds its
// notifications back until it is renewed, so each renewal must have come before
// the end that was known to the look before.
type coverage struct {
	service *service
	ids     []string
	last    map[string]graphtest.SubscriptionInfo
	changes int
}

func newCoverage(s *service, ids []string) *coverage {
	s.Helper()
	c := &coverage{service: s, ids: ids, last: make(map[string]graphtest.SubscriptionInfo)}
	watchers := make(map[string]int, len(ids))
	for _, sub := range s.Subscriptions() {
		c.last[sub.ID] = sub
		for _, id := range sub.UserIDs {
			watchers[id]++
		}
	}
	for _, id := range ids {
		if watchers[id] != 1 {
			require.Equal(s, 1, watchers[id], "subscriptions that watch user %s", id)
		}
	}
	require.Len(s, watchers, len(ids), "somebody is watched whom nobody wants")
	return c
}

// check looks at the subscriptions again.
func (c *coverage) check() {
	s := c.service
	s.Helper()
	now := time.Now()
	present := s.Subscriptions()
	require.Len(s, present, len(c.last))
	for _, sub := range present {
		before, known := c.last[sub.ID]
		require.True(s, known, "another subscription than at the start")
		delivers := before.TokenExpiresAt
		if before.ExpiresAt.Before(delivers) {
			delivers = before.ExpiresAt
		}
		if until := now; delivers.Before(until) || !sub.RenewedAt.Equal(before.RenewedAt) {
			if !sub.RenewedAt.Equal(before.RenewedAt) {
				until = sub.RenewedAt
			}
			require.True(s, until.Before(delivers), "held back from %s to %s", delivers, until)
		}
		require.False(s, sub.Silent)
		require.Zero(s, sub.Held)
		c.last[sub.ID] = sub
	}
}

// pass lets time go by. Now and then a user is busy, and the process hears of it.
func (c *coverage) pass(p *process, d time.Duration) {
	s := c.service
	s.Helper()
	// A change during a restart may arrive before its subscription is adopted.
	refused := p.handler.Stats().Refused
	for end := time.Now().Add(d); time.Now().Before(end); {
		// A large step through the users, so that every monitor's turn comes.
		c.changes++
		id := c.ids[c.changes*7919%len(c.ids)]
		before := p.sink.heard(id)
		s.shows(id, c.changes%2 == 0)
		time.Sleep(min(sampling, time.Until(end)))
		require.Greater(s, p.sink.heard(id), before, "a change was not heard")
		c.check()
	}
	assert.Equal(s, refused, p.handler.Stats().Refused)
}
