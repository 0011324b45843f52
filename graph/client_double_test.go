package graph_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// company is a double of Microsoft with two users, a monitor and an application.
type company struct {
	*graphtest.Server
	app               graphtest.Application
	ann, bob, monitor graphtest.User
}

func newCompany(t *testing.T, opts *graphtest.Options) *company {
	t.Helper()
	s, err := graphtest.NewServer(opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return &company{
		Server:  s,
		app:     s.AddApplication(graphtest.Application{}),
		ann:     s.AddUser(graphtest.User{PrincipalName: "ann@example.test", Mail: "Ann.O'Hara@example.test", Name: "Ann"}),
		bob:     s.AddUser(graphtest.User{PrincipalName: "bob@example.test", Mail: "bob@example.test", Name: "Bob"}),
		monitor: s.AddUser(graphtest.User{PrincipalName: "monitor1@example.test", Mail: "monitor1@example.test", Name: "Monitor 1"}),
	}
}

func (c *company) cloud() graph.Cloud {
	return graph.Cloud{Name: "double", LoginURL: c.LoginURL(), GraphURL: c.GraphURL(), Notifications: true}
}

func (c *company) client(t *testing.T, source graph.TokenSource) *graph.Client {
	t.Helper()
	client, err := graph.New(c.TenantID(), c.app.ClientID, source, &graph.Options{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	return client
}

func (c *company) application(t *testing.T) *graph.Client {
	t.Helper()
	credential, err := graph.NewSecretCredential(c.TenantID(), c.app.ClientID, c.app.Secrets[0].Value, &graph.CredentialOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	return c.client(t, credential)
}

// signIn signs the monitor in and returns its client.
func (c *company) signIn(t *testing.T) *graph.Client {
	t.Helper()
	const callback = "http://localhost/callback"
	secret := c.app.Secrets[0].Value
	authorizer, err := graph.NewAuthorizer(c.TenantID(), c.app.ClientID, secret, callback, &graph.AuthorizerOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	request, err := authorizer.Begin("state", &graph.AuthorizationOptions{LoginHint: c.monitor.PrincipalName})
	require.NoError(t, err)
	redirect, err := c.SignIn(request.URL, c.monitor.ID)
	require.NoError(t, err)
	u, err := url.Parse(redirect)
	require.NoError(t, err)
	outcome, err := graph.ParseCallback(u.Query())
	require.NoError(t, err)
	require.Equal(t, "state", outcome.State)
	grant, err := authorizer.Exchange(t.Context(), outcome.Code.Reveal(), request.Verifier)
	require.NoError(t, err)
	assert.Equal(t, c.monitor.ID, grant.IDTokenClaims.ObjectID)
	assert.Equal(t, c.TenantID(), grant.IDTokenClaims.TenantID)
	assert.Empty(t, graph.MissingPermissions(graph.DelegatedScopes(), grant.Scopes))

	_, err = authorizer.Exchange(t.Context(), outcome.Code.Reveal(), request.Verifier)
	require.ErrorIs(t, err, graph.ErrCodeUsed)

	credential, err := graph.NewDelegatedCredential(c.TenantID(), c.app.ClientID, secret, grant.RefreshToken, &graph.DelegatedOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	return c.client(t, credential)
}

func TestApplicationReadsAndWritesPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCompany(t, &graphtest.Options{Network: graphtest.NewNetwork()})
		client := c.application(t)
		defer c.Client().CloseIdleConnections()
		ctx := t.Context()

		require.NoError(t, c.SetClient(c.ann.ID, "desktop", presence.Available, presence.ActivityAvailable))
		got, err := client.Presences(ctx, []string{c.ann.ID, c.bob.ID})
		require.NoError(t, err)
		require.Len(t, got, 2)

		require.ErrorIs(t, client.ClearPresence(ctx, c.ann.ID), presence.ErrNotFound)
		call := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
		require.NoError(t, client.SetPresence(ctx, c.ann.ID, call, 10*time.Minute))
		time.Sleep(time.Minute)
		now, err := client.Presence(ctx, c.ann.ID)
		require.NoError(t, err)
		assert.Equal(t, presence.Busy, now.Availability)
		assert.NotEmpty(t, now.SequenceNumber)

		time.Sleep(10 * time.Minute)
		now, err = client.Presence(ctx, c.ann.ID)
		require.NoError(t, err)
		assert.Equal(t, presence.Available, now.Availability, "the session has lapsed")

		require.NoError(t, client.SetPreferredPresence(ctx, c.ann.ID, presence.BeRightBack, presence.ActivityBeRightBack, 8*24*time.Hour))
		time.Sleep(time.Minute)
		now, err = client.Presence(ctx, c.ann.ID)
		require.NoError(t, err)
		assert.Equal(t, presence.BeRightBack, now.Availability)
		require.NoError(t, client.ClearPreferredPresence(ctx, c.ann.ID))

		_, err = client.Presence(ctx, "00000000-0000-0000-0000-00000000dead")
		require.ErrorIs(t, err, presence.ErrNotFound)
	})
}

func TestDirectoryIsReadByIDNameAndMail(t *testing.T) {
	c := newCompany(t, nil)
	client := c.application(t)
	want := presence.TeamsUser{ID: c.ann.ID, PrincipalName: "ann@example.test", Mail: "Ann.O'Hara@example.test", Name: "Ann", Enabled: true}
	for _, find := range []func() (presence.TeamsUser, error){
		func() (presence.TeamsUser, error) { return client.User(t.Context(), c.ann.ID) },
		func() (presence.TeamsUser, error) { return client.User(t.Context(), "ann@example.test") },
		func() (presence.TeamsUser, error) { return client.UserByMail(t.Context(), "ann.o'hara@example.test") },
	} {
		got, err := find()
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for range 1000 {
		c.AddUser(graphtest.User{Mail: "same@example.test"})
	}
	n := 0
	for _, err := range client.Users(t.Context()) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 1003, n)
	_, err := client.UserByMail(t.Context(), "same@example.test")
	require.ErrorIs(t, err, presence.ErrConflict)
	_, err = client.User(t.Context(), "nobody@example.test")
	require.ErrorIs(t, err, presence.ErrNotFound)
}

func TestMonitorHoldsOneSubscription(t *testing.T) {
	c := newCompany(t, nil)
	handler := graph.NewNotificationHandler(nil)
	endpoint := httptest.NewServer(handler)
	t.Cleanup(endpoint.Close)
	state := presence.NewSecret("a random text")
	arrived := make(chan presence.Notification, 16)
	bind, unregister, err := handler.Register(state, presence.Receiver{Notify: func(n presence.Notification) {
		select {
		case arrived <- n:
		default:
		}
	}})
	require.NoError(t, err)
	defer unregister()

	monitor := c.signIn(t)
	ctx := t.Context()
	request := presence.SubscriptionRequest{
		UserIDs: []string{c.ann.ID, c.bob.ID}, NotificationURL: endpoint.URL, LifecycleURL: endpoint.URL, ClientState: state, ExpiresAt: time.Now().Add(55 * time.Minute),
	}
	subscription, err := monitor.CreateSubscription(ctx, request)
	require.NoError(t, err)
	bind(subscription.ID)
	assert.WithinDuration(t, request.ExpiresAt, subscription.ExpiresAt, time.Second)

	_, err = monitor.CreateSubscription(ctx, request)
	require.ErrorIs(t, err, presence.ErrConflict)
	all, err := monitor.Subscriptions(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, subscription, all[0])
	read, err := monitor.Subscription(ctx, subscription.ID)
	require.NoError(t, err)
	assert.Equal(t, subscription, read)

	require.NoError(t, c.SetClient(c.ann.ID, "desktop", presence.Busy, presence.ActivityInACall))
	notification := <-arrived
	assert.Equal(t, c.ann.ID, notification.UserID)
	assert.Equal(t, subscription.ID, notification.SubscriptionID)

	later := time.Now().Add(59 * time.Minute)
	renewed, err := monitor.RenewSubscription(ctx, subscription.ID, presence.SubscriptionRenewal{ExpiresAt: later})
	require.NoError(t, err)
	assert.WithinDuration(t, later, renewed.ExpiresAt, time.Second)
	require.NoError(t, monitor.ReauthorizeSubscription(ctx, subscription.ID))
	require.NoError(t, monitor.DeleteSubscription(ctx, subscription.ID))
	require.ErrorIs(t, monitor.DeleteSubscription(ctx, subscription.ID), presence.ErrNotFound)
	_, err = monitor.Subscription(ctx, subscription.ID)
	require.ErrorIs(t, err, presence.ErrNotFound)
	_, err = monitor.RenewSubscription(ctx, subscription.ID, presence.SubscriptionRenewal{ExpiresAt: later})
	require.ErrorIs(t, err, presence.ErrNotFound)
}

func TestSubscriptionNeedsAMonitorAndAnEndpointThatAnswers(t *testing.T) {
	c := newCompany(t, nil)
	silent := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(silent.Close)
	request := presence.SubscriptionRequest{UserIDs: []string{c.ann.ID}, NotificationURL: silent.URL, ExpiresAt: time.Now().Add(time.Hour - time.Minute)}
	_, err := c.application(t).CreateSubscription(t.Context(), request)
	require.ErrorIs(t, err, presence.ErrForbidden)
	assert.ErrorContains(t, err, "delegated token")
	_, err = c.signIn(t).CreateSubscription(t.Context(), request)
	require.ErrorIs(t, err, graph.ErrEndpointValidation)
}

func TestMonitorsTokenIsForItsOwnPresenceOnly(t *testing.T) {
	c := newCompany(t, nil)
	err := c.signIn(t).SetPresence(t.Context(), c.ann.ID, presence.Sessions()[1], time.Hour)
	require.ErrorIs(t, err, presence.ErrUnauthorized)
}

func TestEndOfASecretOrAGrantIsNamed(t *testing.T) {
	c := newCompany(t, nil)
	refreshToken, err := c.GrantRefreshToken(c.app.ClientID, c.monitor.ID)
	require.NoError(t, err)
	secret := c.app.Secrets[0].Value
	credential := func(secret presence.Secret) *graph.Credential {
		t.Helper()
		credential, err := graph.NewDelegatedCredential(c.TenantID(), c.app.ClientID, secret, refreshToken, &graph.DelegatedOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
		require.NoError(t, err)
		return credential
	}
	_, err = credential(secret).Token(t.Context())
	require.NoError(t, err)
	_, err = credential(presence.NewSecret("wrong")).Token(t.Context())
	require.ErrorIs(t, err, presence.ErrInvalidSecret)
	c.RevokeRefreshTokens(c.monitor.ID)
	_, err = credential(secret).Token(t.Context())
	require.ErrorIs(t, err, graph.ErrGrantRevoked)
	require.ErrorIs(t, err, presence.ErrSignInRequired)
	require.NoError(t, c.ExpireSecret(c.app.ClientID, secret))
	_, err = credential(secret).Token(t.Context())
	require.ErrorIs(t, err, presence.ErrSecretExpired)
}

func TestApplicationLooksAtItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCompany(t, &graphtest.Options{Network: graphtest.NewNetwork()})
		defer c.Client().CloseIdleConnections()
		client := c.application(t)
		app, err := client.Application(t.Context())
		require.NoError(t, err)
		assert.Equal(t, c.app.ClientID, app.ClientID)
		require.Len(t, app.ClientSecrets, 1)
		assert.Equal(t, c.app.Secrets[0].KeyID, app.ClientSecrets[0].KeyID)
		assert.WithinDuration(t, c.app.Secrets[0].End, app.ClientSecrets[0].ExpiresAt, 0)
		assert.Contains(t, app.WebRedirectURIs, "http://localhost/callback")
		var asked []string
		for _, p := range app.RequiredPermissions {
			assert.Equal(t, graph.ResourceID, p.ResourceID)
			asked = append(asked, p.ID)
		}
		for _, p := range append(graph.ApplicationPermissions(), graph.DelegatedScopes()...) {
			assert.Contains(t, asked, p.ID, p.Name)
		}

		granted := func() (names []string) {
			roles, err := client.GrantedRoles(t.Context())
			require.NoError(t, err)
			for _, r := range roles {
				names = append(names, r.Name)
			}
			return names
		}
		assert.Empty(t, graph.MissingPermissions(graph.ApplicationPermissions(), granted()))
		require.NoError(t, c.SetConsent(c.app.ClientID, false))
		assert.Len(t, graph.MissingPermissions(graph.ApplicationPermissions(), granted()), 3)

		// Every such request costs the one resource unit that the budget counts.
		before := directoryUnits(t, c)
		_, err = client.Application(t.Context())
		require.NoError(t, err)
		granted()
		assert.Equal(t, 2, directoryUnits(t, c)-before)
	})
}

// directoryUnits returns the resource units that the double has counted in the
// window that is running.
func directoryUnits(t *testing.T, c *company) int {
	t.Helper()
	for _, u := range c.Usage() {
		if u.Name == graphtest.BudgetDirectory {
			return u.WorstWindow
		}
	}
	require.Fail(t, "no directory budget")
	return 0
}

func TestCertificateServesInPlaceOfASecret(t *testing.T) {
	c := newCompany(t, nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	c.app = c.AddApplication(graphtest.Application{Certificates: []*x509.Certificate{certificate}})
	credential, err := graph.NewCertificateCredential(c.TenantID(), c.app.ClientID, certificate, key, &graph.CredentialOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	_, err = c.client(t, credential).Presences(t.Context(), []string{c.ann.ID})
	require.NoError(t, err)
}

// TestNoWindowHoldsMoreThanThePublishedLimit: as many requests as fit, over
// minutes, counted by the service in the manner of its own limits.
func TestNoWindowHoldsMoreThanThePublishedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCompany(t, &graphtest.Options{Network: graphtest.NewNetwork(), Enforce: true})
		defer c.Client().CloseIdleConnections()
		client := c.application(t)
		for range 4000 {
			_, err := client.Presence(t.Context(), c.ann.ID)
			require.NoError(t, err)
		}
		for _, u := range c.Usage() {
			assert.LessOrEqual(t, u.WorstWindow, u.Limit, u.Name)
		}
	})
}
