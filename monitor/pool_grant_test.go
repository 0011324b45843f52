package monitor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// A pool stops while a refresh is under way that takes longer than the stop may.
// The next keeper waits for its end.
func TestStopInTheMidstOfARefresh(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(holder("first"))
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Second)
		q := o.pool(holder("second"))
		q.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.tenant.mu.Lock()
		o.tenant.latency = 25 * time.Second
		o.tenant.mu.Unlock()
		require.NoError(o, p.Retry(o.Context(), named(1)))
		time.Sleep(26 * time.Second)
		before := time.Now()
		o.stop(p)
		assert.LessOrEqual(o, time.Since(before), 10*time.Second, "nobody waits for it")
		time.Sleep(10 * time.Minute)
		assert.Equal(o, "second", q.state(o.T, 1).Keeper)
		o.peaceful()
	})
}

// What arrives late does not take the place of what is newer.
func TestLateTokenDoesNotReplaceANewerOne(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Minute)
		id := monitorID(named(1))
		stored := func() string { return p.record(id).secrets.RefreshToken.Reveal() }
		tokens := &grantTokens{p.keepers[id], p.record(id).GrantID}
		newest := stored()
		require.NoError(o, tokens.Rotated(o.Context(), presence.NewSecret("one before"), presence.NewSecret("late")))
		assert.Equal(o, newest, stored(), "another process has rotated since")
		former := &grantTokens{p.keepers[id], "another sign-in"}
		require.NoError(o, former.Rotated(o.Context(), presence.NewSecret(newest), presence.NewSecret("late")))
		assert.Equal(o, newest, stored(), "somebody has signed in since")
		_, err := former.Current(o.Context())
		require.ErrorIs(o, err, ErrNotKeeper)
		require.NoError(o, tokens.Rotated(o.Context(), presence.NewSecret(newest), presence.NewSecret("next")))
		assert.Equal(o, "next", stored())
	})
}

// Of two sessions of one account the second waits until the first has used the
// refresh token, and uses what came of that.
func TestSessionsTakeTurns(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Minute)
		id := monitorID(named(1))
		first := &grantTokens{p.keepers[id], p.record(id).GrantID}
		second := &grantTokens{p.keepers[id], p.record(id).GrantID}
		ctx, cancel := context.WithTimeout(o.Context(), 30*time.Second)
		used, err := first.Current(ctx)
		require.NoError(o, err)
		go func() {
			time.Sleep(7 * time.Second)
			assert.NoError(o, first.Rotated(ctx, used, presence.NewSecret("rotated")))
			cancel()
		}()
		before := time.Now()
		other, done := context.WithTimeout(o.Context(), 30*time.Second)
		defer done()
		token, err := second.Current(other)
		require.NoError(o, err)
		assert.Equal(o, 7*time.Second, time.Since(before))
		assert.Equal(o, "rotated", token.Reveal())
		hasty, end := context.WithTimeout(o.Context(), time.Second)
		defer end()
		_, err = first.Current(hasty)
		require.ErrorIs(o, err, context.DeadlineExceeded)
	})
}

// A token is given out only to who holds the lease.
func TestTokensNeedTheLease(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Minute)
		r := p.record(monitorID(named(1)))
		k := p.keeperOf(r.id)
		ctx, cancel := context.WithTimeout(o.Context(), time.Second)
		defer cancel()
		_, err := (&grantTokens{k, r.GrantID}).Current(ctx)
		require.ErrorIs(o, err, ErrNotKeeper)
		require.ErrorIs(o, (&subscriptionMemory{k}).Remember(ctx, Remembered{SubscriptionID: "mine"}), ErrNotKeeper)
	})
}

// What Entra said of a former grant is not held against the present one.
func TestRefusalOfAFormerGrant(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		time.Sleep(time.Minute)
		id := monitorID(named(1))
		former := p.record(id).identity()
		o.authorize(p, named(1))
		p.keepers[id].heard(former, Event{Kind: EventFailed, Err: errTenantSignIn})
		time.Sleep(time.Minute)
		assert.Nil(o, p.record(id).GrantRefusal)
		assert.Equal(o, StateAuthorized, p.state(o.T, 1).State)
		p.keepers[id].heard(p.record(id).identity(), Event{Kind: EventFailed, Err: errTenantSignIn})
		time.Sleep(time.Minute)
		assert.Equal(o, StateNotAuthorized, p.state(o.T, 1).State)
	})
}

// Nothing is left of monitors that have gone.
func TestDeletedMonitorsLeaveNothing(t *testing.T) {
	inOffice(t, func(o *office) {
		p, q := o.pool(nil), o.pool(nil)
		p.SetUsers(people(10))
		for n := range 5 {
			o.hire(p, n)
			require.NoError(o, p.Delete(o.Context(), named(n)))
		}
		time.Sleep(2 * time.Minute)
		entries, err := o.store.List(o.Context(), "")
		require.NoError(o, err)
		for _, e := range entries {
			assert.Contains(o, []string{keyApplication, keyCheck}, e.Key)
		}
		for _, r := range []*runningPool{p, q} {
			r.mu.Lock()
			assert.Empty(o, r.records)
			assert.Empty(o, r.assignments)
			assert.Empty(o, r.keepers)
			assert.Empty(o, r.published)
			assert.Empty(o, r.refreshing)
			assert.Empty(o, r.order.at)
			r.mu.Unlock()
		}
	})
}
