package graph

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestSubscriptionTellsTheEndThatTheServiceGave(t *testing.T) {
	asked := time.Date(2026, 3, 21, 10, 5, 0, 0, time.UTC)
	for stamp, want := range map[string]time.Time{
		`"2026-03-21T10:45:00.0000000Z"`:      time.Date(2026, 3, 21, 10, 45, 0, 0, time.UTC),
		`"2026-03-21T10:45:00Z"`:              time.Date(2026, 3, 21, 10, 45, 0, 0, time.UTC),
		`"2026-03-21T11:45:00.5+01:00"`:       time.Date(2026, 3, 21, 10, 45, 0, 5e8, time.UTC),
		`"2026-03-21T10:45:00.4569264"`:       time.Date(2026, 3, 21, 10, 45, 0, 456926400, time.UTC),
		`null`:                                asked,
		`"soon"`:                              asked,
		`"2026-03-21T10:45:00.0000000+00:00"`: time.Date(2026, 3, 21, 10, 45, 0, 0, time.UTC),
	} {
		c, _ := newTestClient(t, answer(201, `{"id":"s1","expirationDateTime":`+stamp+`}`), nil)
		got, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{
			UserIDs: []string{ann, ann}, NotificationURL: "https://bridge.test", ExpiresAt: asked,
		})
		require.NoError(t, err)
		assert.Equal(t, presence.Subscription{ID: "s1", UserIDs: []string{ann}, NotificationURL: "https://bridge.test", ExpiresAt: want}, got, stamp)
		got, err = c.RenewSubscription(t.Context(), "s1", presence.SubscriptionRenewal{ExpiresAt: asked})
		require.NoError(t, err)
		assert.Equal(t, want, got.ExpiresAt)
	}
}

func TestSubscriptionsAreThoseOfPresenceAndOfThisApplication(t *testing.T) {
	c, w := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("$skiptoken") != "" {
			_, _ = io.WriteString(w, `{"value":[{"id":"3","applicationId":"`+application+`","resource":"communications/presences/`+bob+`","expirationDateTime":"2026-03-21T10:45:00.123Z"}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"value":[
			{"id":"1","resource":"/communications/presences?$filter=id in ('`+ann+`', '`+bob+`')","notificationUrl":"https://bridge.test","expirationDateTime":"2026-03-21T10:45:00Z","clientState":"secret"},
			{"id":"2","resource":"users/x/messages"},{"resource":"communications/presences/x"},
			{"id":"4","applicationId":"5d6c7b8a-0000-4000-8000-000000000009","resource":"communications/presences/`+bob+`"}
		],"@odata.nextLink":"http://graph.test/v1.0/subscriptions?$skiptoken=2"}`)
	}, nil)
	got, err := c.Subscriptions(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []presence.Subscription{
		{ID: "1", UserIDs: []string{ann, bob}, NotificationURL: "https://bridge.test", ExpiresAt: time.Date(2026, 3, 21, 10, 45, 0, 0, time.UTC)},
		{ID: "3", UserIDs: []string{bob}, ExpiresAt: time.Date(2026, 3, 21, 10, 45, 0, 123e6, time.UTC)},
	}, got)
	assert.Len(t, w.all(), 2)
}

func TestWatchedUsersReadsEachFormOfTheResource(t *testing.T) {
	for resource, want := range map[string][]string{
		"communications/presences/" + ann:                                                      {ann},
		"/communications/presences/" + ann:                                                     {ann},
		"Communications/Presences('" + ann + "')":                                              {ann},
		"/communications/presences?$filter=id in ('" + ann + "','" + bob + "')":                {ann, bob},
		"communications/presences?$filter=id in ('" + ann + "', '" + bob + "')":                {ann, bob},
		"communications/presences?$filter=id+in+(%27" + ann + "%27)":                           {ann},
		"communications/presences?%24filter=id%20in%20(%27" + ann + "%27%2C%27" + bob + "%27)": {ann, bob},
		"communications/presences?$filter=id eq '" + ann + "'":                                 {ann},
		"communications/presences?$filter=startswith(id,'a')":                                  nil,
		"communications/presences":                                                             nil,
		"communications/presences?$filter=id in ('../x')":                                      nil,
	} {
		got, ok := watchedUsers(resource)
		assert.True(t, ok, resource)
		assert.Equal(t, want, got, resource)
	}
	for _, resource := range []string{"", "users/x/presence", "communications/calls", "xcommunications/presences/" + ann, "%zz"} {
		_, ok := watchedUsers(resource)
		assert.False(t, ok, resource)
	}
}

func TestSubscriptionThatCannotBeRightNamesAllFaults(t *testing.T) {
	c, w := newTestClient(t, answer(201, ""), nil)
	_, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{
		UserIDs:         append(manyIDs(651), "ann@contoso.test"),
		NotificationURL: "bridge.test", LifecycleURL: "ftp://bridge.test",
		ClientState: presence.NewSecret(strings.Repeat("s", 129)),
	})
	require.ErrorIs(t, err, presence.ErrInvalid)
	for _, want := range []string{"652 users", "ann@contoso.test", "notification URL", "lifecycle URL", "client state", "end of the subscription"} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "sss")
	_, err = c.CreateSubscription(t.Context(), presence.SubscriptionRequest{NotificationURL: "https://bridge.test", ExpiresAt: time.Now()})
	assert.ErrorContains(t, err, "no users")
	assert.Empty(t, w.all())
}

func TestCloudWithoutNotificationsSaysSo(t *testing.T) {
	for _, cloud := range []Cloud{USGovernment(), USGovernmentDoD()} {
		c, w := newTestClient(t, answer(201, ""), func(o *Options) { o.Cloud = cloud })
		_, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{UserIDs: []string{ann}})
		require.ErrorIs(t, err, presence.ErrUnsupported)
		assert.ErrorContains(t, err, cloud.Name)
		assert.Empty(t, w.all())
	}
}

func TestSubscriptionCarriesItsCertificate(t *testing.T) {
	asked := time.Date(2026, 3, 21, 10, 45, 0, 0, time.UTC)
	key := encryptionKey(t, "one", testKeyOne())
	certificate := &presence.EncryptionCertificate{ID: "one", Certificate: key.Certificate.Raw}
	c, w := newTestClient(t, answer(201, `{"id":"s1"}`), nil)
	sent := func() map[string]any {
		var body map[string]any
		all := w.all()
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1].Body), &body))
		return body
	}
	_, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{UserIDs: []string{ann}, NotificationURL: "https://bridge.test", ExpiresAt: asked, Encryption: certificate})
	require.NoError(t, err)
	body := sent()
	assert.Equal(t, true, body["includeResourceData"])
	assert.Equal(t, "one", body["encryptionCertificateId"])
	assert.Equal(t, base64.StdEncoding.EncodeToString(key.Certificate.Raw), body["encryptionCertificate"])

	_, err = c.RenewSubscription(t.Context(), "s1", presence.SubscriptionRenewal{ExpiresAt: asked, Encryption: certificate})
	require.NoError(t, err)
	body = sent()
	assert.Equal(t, "one", body["encryptionCertificateId"])
	assert.Equal(t, base64.StdEncoding.EncodeToString(key.Certificate.Raw), body["encryptionCertificate"])
	assert.NotContains(t, body, "includeResourceData", "a renewal may not change it")

	_, err = c.RenewSubscription(t.Context(), "s1", presence.SubscriptionRenewal{ExpiresAt: asked})
	require.NoError(t, err)
	assert.NotContains(t, sent(), "encryptionCertificate")
	_, err = c.CreateSubscription(t.Context(), presence.SubscriptionRequest{UserIDs: []string{ann}, NotificationURL: "https://bridge.test", ExpiresAt: asked})
	require.NoError(t, err)
	assert.NotContains(t, sent(), "includeResourceData")
}

func TestCertificateThatCannotBeRightIsNotSent(t *testing.T) {
	c, w := newTestClient(t, answer(201, `{"id":"s1"}`), nil)
	bad := &presence.EncryptionCertificate{Certificate: []byte("-----BEGIN CERTIFICATE-----")}
	_, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{Encryption: bad})
	require.ErrorIs(t, err, presence.ErrInvalid)
	for _, want := range []string{"no users", "has no id", "in DER"} {
		assert.ErrorContains(t, err, want)
	}
	_, err = c.RenewSubscription(t.Context(), "../s1", presence.SubscriptionRenewal{Encryption: bad})
	require.ErrorIs(t, err, presence.ErrInvalid)
	for _, want := range []string{"id of a subscription", "end of the subscription", "has no id", "in DER"} {
		assert.ErrorContains(t, err, want)
	}
	_, err = c.RenewSubscription(t.Context(), "s1", presence.SubscriptionRenewal{ExpiresAt: time.Now(), Encryption: &presence.EncryptionCertificate{
		ID: strings.Repeat("i", 129), Certificate: encryptionKey(t, "one", testKeyOne()).Certificate.Raw,
	}})
	require.ErrorContains(t, err, "129 characters")
	assert.Empty(t, w.all())
}
