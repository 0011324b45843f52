package monitor

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Whoever does not hold the lease any more asks for nothing, whatever token is
// still good.
func TestAnAccountActsOnlyUnderTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entra := newTenant()
		name, value := entra.add(1, time.Now().AddDate(1, 0, 0))
		account, err := entra.Open(Credentials{PrincipalName: name, ClientSecret: value}, nil)
		require.NoError(t, err)
		session, ok := account.(*tenantSession)
		require.True(t, ok)
		session.until.Store(time.Now().Add(24 * time.Hour).UnixNano()) // an access token of before
		k := &keeper{lease: Lease{Expires: time.Now().Add(time.Minute)}}
		a := &leased{account, k}
		requests := map[string]func() error{
			"create": func() error {
				_, err := a.CreateSubscription(t.Context(), presence.SubscriptionRequest{ExpiresAt: time.Now().Add(time.Hour)})
				return err
			},
			"list": func() error { _, err := a.Subscriptions(t.Context()); return err },
			"renew": func() error {
				_, err := a.RenewSubscription(t.Context(), "id", presence.SubscriptionRenewal{})
				return err
			},
			"delete": func() error { return a.DeleteSubscription(t.Context(), "id") },
		}
		for name, request := range requests {
			assert.NotErrorIs(t, request(), ErrNotKeeper, name)
		}
		time.Sleep(time.Minute)
		requests["refresh"] = func() error { _, err := a.Refresh(t.Context()); return err }
		sent := func() []int { return []int{entra.creates, entra.renews, entra.lists, entra.deletes} }
		before := sent()
		for name, request := range requests {
			assert.ErrorIs(t, request(), ErrNotKeeper, name)
		}
		assert.Equal(t, before, sent())
	})
}
