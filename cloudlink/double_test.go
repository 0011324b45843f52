package cloudlink_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

// site is a double with two people, and a service that watches it, all on one
// network in memory.
type site struct {
	server  *cloudlinktest.Server
	client  *cloudlink.Client
	handler *cloudlink.WebhookHandler
	watcher *cloudlink.Watcher
	seen    *seen
}

// seen is a sink.
type seen struct {
	mu               sync.Mutex
	phones, statuses map[string]int
	gaps             int
}

func (s *seen) PhoneChanged(endpointID, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phones[endpointID]++
}

func (s *seen) StatusChanged(principalID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses[principalID]++
}

func (s *seen) CloudLinkGap(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
}

func (s *seen) counts(endpointID, principalID string) (phone, status, gaps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phones[endpointID], s.statuses[principalID], s.gaps
}

func newSite(t *testing.T, options cloudlinktest.Options) *site {
	t.Helper()
	network := cloudlinktest.NewNetwork()
	options.Network = network
	server, err := cloudlinktest.NewServer(&options)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	server.AddUser(cloudlinktest.User{ID: "ann", Name: "Ann", Email: "ann@example.com", Password: "ann's", Extension: "2001"})
	server.AddUser(cloudlinktest.User{ID: "bob", Name: "Bob", Email: "bob@example.com", Password: "bob's", Extension: "2002"})
	server.AddClient("bridge", "bridge's", cloudlinktest.RoleAccountAdmin)

	credential, err := cloudlink.NewClientCredential(server.AccountID(), "bridge", presence.NewSecret("bridge's"),
		&cloudlink.CredentialOptions{BaseURL: server.URL, HTTPClient: server.Client()})
	require.NoError(t, err)
	s := &site{server: server, seen: &seen{phones: map[string]int{}, statuses: map[string]int{}}}
	s.client, err = cloudlink.New(server.AccountID(), credential, &cloudlink.Options{BaseURL: server.URL, HTTPClient: server.Client()})
	require.NoError(t, err)
	s.handler = cloudlink.NewWebhookHandler(&cloudlink.WebhookHandlerOptions{RequireApplicationID: true})
	s.watcher, err = cloudlink.NewWatcher(s.client, s.handler, "http://bridge.test/cloudlink", s.seen, nil)
	require.NoError(t, err)

	listener, err := network.Listen("bridge.test")
	require.NoError(t, err)
	webhook := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- webhook.Serve(listener) }()
	t.Cleanup(func() {
		_ = webhook.Close()
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return s
}

// watch runs the watcher until the test ends or stop is called.
func (s *site) watch(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.watcher.Run(ctx) }()
	time.Sleep(time.Minute)
	require.Equal(t, cloudlink.WatcherSubscribed, s.watcher.Snapshot().State)
	return sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
}

func TestDoubleEndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, cloudlinktest.Options{})
		ctx := t.Context()
		identity, err := s.client.WhoAmI(ctx)
		require.NoError(t, err)
		assert.Equal(t, s.server.AccountID(), identity.AccountID)
		assert.Equal(t, cloudlinktest.RoleAccountAdmin, identity.Role)
		region, ok := identity.Region()
		assert.True(t, ok)
		assert.Equal(t, cloudlink.RegionSandboxUnitedStates, region)
		assert.True(t, identity.ExpiresAt.After(time.Now()))
		account, err := s.client.Account(ctx)
		require.NoError(t, err)
		assert.Equal(t, s.server.AccountID(), account.ID)

		var people []presence.Principal
		for p, err := range s.client.Principals(ctx) {
			require.NoError(t, err)
			people = append(people, p)
		}
		require.Len(t, people, 2)
		assert.Equal(t, []string{"2001"}, people[0].Endpoints)
		ann := presence.User{PrincipalID: people[0].ID, Endpoints: people[0].Endpoints}

		stop := s.watch(t)
		require.Len(t, s.server.Subscriptions(), 2)
		s.server.SetLine("2001", presence.LineConnected)
		time.Sleep(time.Second)
		phone, _, _ := s.seen.counts("2001", ann.PrincipalID)
		assert.Equal(t, 2, phone, "the call's event and the endpoint's")
		lines, err := s.client.Lines(ctx, ann)
		require.NoError(t, err)
		assert.Equal(t, []presence.Line{{Endpoint: "2001", State: presence.LineConnected}}, lines)
		calls, err := s.client.Calls(ctx, "2001")
		require.NoError(t, err)
		assert.Len(t, calls, 1)
		require.NoError(t, s.client.SetDoNotDisturb(ctx, "2001", true))
		assert.True(t, s.server.Line("2001").DoNotDisturb)

		driver := cloudlink.NewStatusDriver(s.client)
		require.NoError(t, driver.SetStatus(ctx, ann, presence.StatusInACall))
		assert.Equal(t, presence.StatusInACall, s.server.Status(ann.PrincipalID))
		status, err := driver.Status(ctx, ann)
		require.NoError(t, err)
		assert.Equal(t, presence.StatusInACall, status)
		time.Sleep(time.Second)
		_, changes, _ := s.seen.counts("2001", ann.PrincipalID)
		assert.Equal(t, 1, changes)

		stop()
		assert.Empty(t, s.server.Subscriptions())
		stats := s.handler.Stats()
		assert.Equal(t, stats.Received, stats.Delivered)
	})
}

func TestDoubleWrongPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, cloudlinktest.Options{})
		wrong, err := cloudlink.New(s.server.AccountID(), tokenOf(t, s), &cloudlink.Options{HTTPClient: s.server.Client(),
			BaseURL: func(service string) string { return s.server.URL(service) + "/beta" }})
		require.NoError(t, err)
		_, err = wrong.Line(t.Context(), "2001")
		require.ErrorIs(t, err, cloudlink.ErrNoSuchRoute)
		token, err := tokenOf(t, s).Token(t.Context())
		require.NoError(t, err)
		assert.NotContains(t, err2string(wrong.SetDoNotDisturb(t.Context(), "2001", true)), token.AccessToken)
	})
}

func tokenOf(t *testing.T, s *site) *cloudlink.Credential {
	t.Helper()
	c, err := cloudlink.NewPasswordCredential(s.server.AccountID(), "ann@example.com", presence.NewSecret("ann's"),
		&cloudlink.CredentialOptions{BaseURL: s.server.URL, HTTPClient: s.server.Client()})
	require.NoError(t, err)
	return c
}

func err2string(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDoubleCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{RotateRefreshTokens: true}})
		var stored presence.Secret
		options := &cloudlink.CredentialOptions{BaseURL: s.server.URL, HTTPClient: s.server.Client(),
			Rotated: func(_ context.Context, r presence.Secret) error { stored = r; return nil }}
		byPassword, err := cloudlink.NewPasswordCredential(s.server.AccountID(), "ann@example.com", presence.NewSecret("ann's"), options)
		require.NoError(t, err)
		for range 5 {
			_, err = byPassword.Token(t.Context())
			require.NoError(t, err)
			time.Sleep(2 * time.Hour)
		}
		byRefresh, err := cloudlink.NewRefreshCredential(stored, options)
		require.NoError(t, err)
		_, err = byRefresh.Token(t.Context())
		require.NoError(t, err)
		s.server.RevokeRefreshTokens()
		time.Sleep(2 * time.Hour)
		_, err = byRefresh.Token(t.Context())
		require.ErrorIs(t, err, cloudlink.ErrGrantRefused)
		_, err = byPassword.Token(t.Context())
		require.NoError(t, err, "the password again")

		wrong, err := cloudlink.NewClientCredential(s.server.AccountID(), "bridge", presence.NewSecret("guess"), options)
		require.NoError(t, err)
		_, err = wrong.Token(t.Context())
		require.ErrorIs(t, err, presence.ErrUnauthorized)
		assert.NotContains(t, err.Error(), "guess")
	})
}

func TestDoubleTokensExpireInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, cloudlinktest.Options{})
		_, err := s.client.Line(t.Context(), "2001")
		require.NoError(t, err)
		s.server.ExpireTokens()
		_, err = s.client.Line(t.Context(), "2001")
		require.NoError(t, err)
	})
}

func TestDoubleKillsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, cloudlinktest.Options{})
		defer s.watch(t)()
		for range 3 {
			// Two looks, of which the second has shown what the first made again: what
			// no look has ever shown is not taken for lost at once.
			time.Sleep(12 * time.Minute)
			for _, sub := range s.server.Subscriptions() {
				s.server.KillSubscription(sub.ID, false)
			}
			time.Sleep(12 * time.Minute)
			require.Len(t, s.server.Subscriptions(), 2)
		}
		_, _, gaps := s.seen.counts("", "")
		assert.Equal(t, 4, gaps)
		s.server.SetLine("2002", presence.LineRinging)
		time.Sleep(time.Second)
		phone, _, _ := s.seen.counts("2002", "")
		assert.Positive(t, phone)
	})
}

func TestDoubleThrottles(t *testing.T) {
	for _, seconds := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, cloudlinktest.Options{RequestsPerSecond: 2, Assumptions: &cloudlinktest.Assumptions{RetryAfterSeconds: seconds}})
			for range 20 {
				_, err := s.client.Line(t.Context(), "2001")
				if err != nil {
					require.ErrorIs(t, err, presence.ErrThrottled)
					var e *cloudlink.Error
					require.ErrorAs(t, err, &e)
					assert.Positive(t, e.RetryAfter())
				}
			}
			refused := 0
			for _, r := range s.server.Requests() {
				if r.Status == http.StatusTooManyRequests {
					refused++
				}
			}
			assert.Positive(t, refused)
		})
	}
}
