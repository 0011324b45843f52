package graph

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Microsoft Graph puts notifications of several subscriptions and tenants that
// share a URL into one body.
func TestNotificationsOfSeveralBridgesComeInOneBody(t *testing.T) {
	const otherTenant, otherSub, otherState = "cccccccc-0000-0000-0000-000000000002", "sub-other", "state-other"
	h := NewNotificationHandler(nil)
	register := func(tenant, sub, state string) *notificationInbox {
		in := new(notificationInbox)
		bind, _, err := h.Tenant(tenant).Register(presence.NewSecret(state), in.receiver())
		require.NoError(t, err)
		bind(sub)
		return in
	}
	one, two := register(notifyTenant, notifySub, notifyState), register(otherTenant, otherSub, otherState)

	body := batchOf(
		basicItem(notifySub, notifyState, notifyTenant, "ada"),
		basicItem(otherSub, otherState, otherTenant, "bob"),
		basicItem(notifySub, otherState, notifyTenant, "eve"),    // another bridge's client state
		basicItem(otherSub, otherState, notifyTenant, "mallory"), // another bridge's tenant
		basicItem(notifySub, notifyState, notifyTenant, "cyd"),
	)
	require.Equal(t, http.StatusAccepted, postNotification(h, body).Code)
	assert.Equal(t, []string{"ada", "cyd"}, one.users())
	assert.Equal(t, []string{"bob"}, two.users())
	stats := h.Stats()
	assert.EqualValues(t, 3, stats.Delivered)
	assert.EqualValues(t, 1, stats.Refused[RefusedClientState])
	assert.EqualValues(t, 1, stats.Refused[RefusedTenant])
}
