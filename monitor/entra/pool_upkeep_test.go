package entra_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// inService runs f with a pool of one monitor that watches Ann.
func inService(t *testing.T, f func(s *service, p *process, account graphtest.User)) {
	t.Helper()
	inTenant(t, func(w *tenant) {
		s := newService(w)
		p := s.start(nil, nil)
		defer func() { p.stop() }()
		account := p.hire("watcher")
		assert.Empty(w, p.SetUsers([]string{w.ann.ID}))
		require.Equal(w, monitor.StateSubscribed, p.status(account).State)
		p.mustHear(w.ann.ID)
		f(s, p, account)
	})
}

// TestExpiredClientSecret: the token endpoint tells of it, long before the
// directory is asked again. Nobody has to sign in again.
func TestExpiredClientSecret(t *testing.T) {
	inService(t, func(s *service, p *process, account graphtest.User) {
		used := s.secretOf("watcher")
		require.NoError(s, s.ExpireSecret(s.app.ClientID, used))
		time.Sleep(40 * time.Minute)
		status := p.status(account)
		assert.Equal(s, monitor.StateSecretExpired, status.State)
		assert.Contains(s, status.Sentence, "renew the monitor")
		assert.Contains(s, status.Actions, monitor.ActionRenew)
		time.Sleep(time.Hour)
		assert.Empty(s, s.Subscriptions(), "it could not be renewed")
		assert.Equal(s, []string{s.ann.ID}, p.sink.unwatched())

		err := p.Renew(s.Context(), account.PrincipalName, used)
		require.ErrorIs(s, err, presence.ErrSecretExpired)
		assert.Equal(s, monitor.StateSecretExpired, p.status(account).State, "what is refused changes nothing")

		before := p.sink.gap(s.ann.ID)
		require.NoError(s, p.Renew(s.Context(), account.PrincipalName, s.newSecret("another", time.Time{})))
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State)
		assert.Empty(s, p.sink.unwatched())
		assert.Equal(s, before+1, p.sink.gap(s.ann.ID), "what happened meanwhile is read")
		p.mustHear(s.ann.ID)
		assert.Equal(s, 1, s.traffic.sent()[tokenOfCode])
	})
}

// secretOf returns the client secret with a description.
func (s *service) secretOf(description string) presence.Secret {
	s.Helper()
	for _, app := range s.Applications() {
		for _, secret := range app.Secrets {
			if secret.Description == description {
				return secret.Value
			}
		}
	}
	require.Fail(s, "no such secret")
	return presence.Secret{}
}

func TestRevokedGrantNeedsASignIn(t *testing.T) {
	inService(t, func(s *service, p *process, account graphtest.User) {
		s.RevokeRefreshTokens(account.ID)
		time.Sleep(40 * time.Minute)
		status := p.status(account)
		assert.Equal(s, monitor.StateNotAuthorized, status.State)
		assert.Contains(s, status.Sentence, "new sign-in")
		assert.Contains(s, status.Actions, monitor.ActionAuthorize)

		// Its subscription still lives, and is used on.
		id := s.only().ID
		require.NoError(s, p.authorize(account))
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State)
		assert.Equal(s, id, s.only().ID)
		time.Sleep(2 * time.Hour)
		assert.Equal(s, id, s.only().ID)
		p.mustHear(s.ann.ID)
	})
}

func TestSubscriptionThatIsGoneIsCreatedAgain(t *testing.T) {
	inService(t, func(s *service, p *process, account graphtest.User) {
		id, before := s.only().ID, p.sink.gap(s.ann.ID)
		require.NoError(s, s.KillSubscription(id, false))
		time.Sleep(40 * time.Minute)
		assert.NotEqual(s, id, s.only().ID)
		assert.Equal(s, before+1, p.sink.gap(s.ann.ID))
		lost := p.events.of(monitor.EventLost)
		require.Len(s, lost, 1)
		assert.Equal(s, monitor.ReasonNotFound, lost[0].Reason)
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State)
		p.mustHear(s.ann.ID)
	})
}

func TestSilentSubscriptionIsReplaced(t *testing.T) {
	inService(t, func(s *service, p *process, account graphtest.User) {
		id := s.only().ID
		require.NoError(s, s.KillSubscription(id, true))
		for range 3 {
			s.shows(s.ann.ID, true)
			time.Sleep(5 * time.Minute)
			s.shows(s.ann.ID, false)
			// A bulk read has found what nobody told.
			p.Missed(s.ann.ID)
		}
		time.Sleep(time.Minute)
		assert.NotEqual(s, id, s.only().ID)
		assert.Equal(s, 1, p.events.count(monitor.EventSilent))
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State)
		p.mustHear(s.ann.ID)
	})
}

func TestReauthorizationIsARenewal(t *testing.T) {
	inService(t, func(s *service, p *process, _ graphtest.User) {
		created := s.only()
		require.NoError(s, s.RequestReauthorization(created.ID))
		time.Sleep(time.Minute)
		assert.Zero(s, s.only().RenewedAt, "not within ten minutes of its creation")
		time.Sleep(10 * time.Minute)
		renewed := s.only()
		assert.Equal(s, created.ID, renewed.ID)
		assert.WithinDuration(s, created.CreatedAt.Add(10*time.Minute), renewed.RenewedAt, time.Second)
		assert.Equal(s, 1, p.events.count(monitor.EventReauthorized))

		time.Sleep(12 * time.Minute)
		require.NoError(s, s.RequestReauthorization(created.ID))
		time.Sleep(time.Second)
		assert.WithinDuration(s, time.Now(), s.only().RenewedAt, 2*time.Second, "at once")
		assert.Equal(s, 2, s.traffic.sent()[renewSubscription], "each does both")
	})
}

// TestSubscriptionOfAStranger: another process has subscribed with the monitor's
// account, and Microsoft Graph allows one.
func TestSubscriptionOfAStranger(t *testing.T) {
	inTenant(t, func(w *tenant) {
		s := newService(w)
		p := s.start(nil, nil)
		defer p.stop()
		account, secret := s.newcomer("watcher")
		token, err := s.GrantRefreshToken(w.app.ClientID, account.ID)
		require.NoError(w, err)
		credentials := w.credentials()
		credentials.PrincipalName, credentials.ClientSecret = account.PrincipalName, secret
		stranger, err := w.entra.Open(credentials, &vault{token: token})
		require.NoError(w, err)
		foreign, err := stranger.CreateSubscription(w.Context(), presence.SubscriptionRequest{
			UserIDs: []string{account.ID}, NotificationURL: "http://bridge.test/graph", ClientState: presence.NewSecret("foreign"), ExpiresAt: time.Now().Add(time.Hour),
		})
		require.NoError(w, err)

		require.NoError(w, p.Add(w.Context(), account.PrincipalName, secret))
		require.NoError(w, p.authorize(account))
		p.SetUsers([]string{w.ann.ID})
		assert.Equal(w, monitor.StateSubscribed, p.status(account).State)
		assert.NotEqual(w, foreign.ID, s.only().ID)
		replaced := p.events.of(monitor.EventReplaced)
		require.Len(w, replaced, 1)
		assert.Equal(w, foreign.ID, replaced[0].SubscriptionID)
		assert.Equal(w, 1, s.traffic.sent()[listSubscriptions])
		p.mustHear(w.ann.ID)
	})
}

// TestAnotherApplication: the subscriptions of the former application are deleted
// by its own credentials, and each monitor comes back with a client secret of the
// other and a sign-in.
func TestAnotherApplication(t *testing.T) {
	inService(t, func(s *service, p *process, account graphtest.User) {
		other := s.AddApplication(graphtest.Application{Name: "successor", Secrets: []graphtest.Secret{{Description: "watcher"}}})
		to := monitor.Application{TenantID: s.TenantID(), ClientID: other.ClientID}
		preview, err := p.PreviewApplication(s.Context(), to)
		require.NoError(s, err)
		assert.Equal(s, []string{account.PrincipalName}, preview.Monitors)
		assert.Equal(s, 1, preview.Users)
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State, "asking changes nothing")

		changed, err := p.SetApplication(s.Context(), to)
		require.NoError(s, err)
		assert.Equal(s, preview, changed)
		assert.Equal(s, monitor.StateUpdateNeeded, p.status(account).State)
		assert.Empty(s, s.Subscriptions())
		assert.Equal(s, 1, s.traffic.sent()[deleteSubscription])
		assert.Equal(s, []string{s.ann.ID}, p.sink.unwatched())
		_, err = p.AuthorizationURL(s.Context(), account.PrincipalName)
		require.ErrorIs(s, err, monitor.ErrUpdateNeeded)
		assert.Contains(s, s.advice(err), "renew")

		require.NoError(s, p.Renew(s.Context(), account.PrincipalName, other.Secrets[0].Value))
		assert.Equal(s, monitor.StateNotAuthorized, p.status(account).State)
		require.NoError(s, p.authorize(account))
		assert.Equal(s, monitor.StateSubscribed, p.status(account).State)
		assert.Equal(s, other.ClientID, s.only().ApplicationID)
		assert.Empty(s, p.sink.unwatched())
		p.mustHear(s.ann.ID)
	})
}

// TestCertificateRotatesWithTheRenewals: for three days notifications carry the
// presence, encrypted for a certificate that is a day old at most, and the
// subscription is the same all the time.
func TestCertificateRotatesWithTheRenewals(t *testing.T) {
	inTenant(t, func(w *tenant) {
		s := newService(w)
		ring, err := graph.NewKeyRing(&graph.KeyRingOptions{RotateAfter: 24 * time.Hour})
		require.NoError(w, err)
		decryption, err := graph.NewDecryption(ring, []string{w.app.ClientID}, &graph.DecryptionOptions{
			Cloud: graph.Cloud{Name: "double", LoginURL: w.LoginURL(), GraphURL: w.GraphURL(), Notifications: true}, HTTPClient: w.Client(),
		})
		require.NoError(w, err)
		p := s.start(func(o *monitor.PoolOptions) { o.Monitor.Encryption = ring.Current }, &graph.NotificationHandlerOptions{Decryption: decryption})
		defer p.stop()
		account := p.hire("watcher")
		p.SetUsers([]string{w.ann.ID})
		require.Equal(w, monitor.StateSubscribed, p.status(account).State)
		id, certificates := s.only().ID, make(map[string]bool)
		const days = 3
		for range 24 * days {
			p.mustHear(w.ann.ID)
			certificates[p.status(account).Subscription.EncryptionID] = true
			time.Sleep(time.Hour)
		}
		// The next certificate is taken with the next renewal, up to an hour late.
		assert.GreaterOrEqual(w, len(certificates), days)
		assert.Equal(w, id, s.only().ID)
		assert.True(w, s.only().WithResourceData)
		stats := p.handler.Stats()
		assert.EqualValues(w, 2*24*days, stats.Decrypted)
		assert.Empty(w, stats.Hints)
		assert.Empty(w, stats.Refused)
		assert.Zero(w, p.events.count(monitor.EventFailed))
	})
}

// TestEndsOfClientSecretsAreAnnounced: months before they come, from what the
// directory says of the application.
func TestEndsOfClientSecretsAreAnnounced(t *testing.T) {
	const day = 24 * time.Hour
	inTenant(t, func(w *tenant) {
		s := newService(w)
		end := time.Now().Add(70 * day)
		address := "watcher@example.test"
		account := s.AddUser(graphtest.User{PrincipalName: address, Mail: address})
		secret := s.newSecret("integration watcher", end)
		feature := s.newSecret("integration feature", end.Add(-20*day))
		p := s.start(func(o *monitor.PoolOptions) {
			quiet(o)
			o.FeatureSecret = feature
		}, nil)
		defer p.stop()
		require.NoError(w, p.Add(w.Context(), address, secret))
		require.NoError(w, p.authorize(account))
		status := p.status(account)
		assert.Equal(w, monitor.StateAuthorized, status.State)
		assert.WithinDuration(w, end, status.SecretExpiresAt, 0)
		assert.WithinDuration(w, end.Add(-20*day), p.Snapshot().FeatureSecretExpiresAt, 0)

		for _, warning := range []time.Duration{60 * day, 30 * day, 7 * day, day} {
			time.Sleep(time.Until(end.Add(-warning)))
			status = p.status(account)
			assert.Equal(w, monitor.StateSecretExpiring, status.State)
			assert.Equal(w, warning, status.SecretWarning)
			assert.Contains(w, status.Actions, monitor.ActionRenew)
		}
		time.Sleep(time.Until(end))
		assert.Equal(w, monitor.StateSecretExpired, p.status(account).State)

		var own, bridge []time.Duration
		for _, e := range p.events.of(monitor.EventSecretExpiring) {
			left := e.ExpiresAt.Sub(e.Time).Round(time.Minute)
			if e.Monitor == "" {
				bridge = append(bridge, left)
			} else {
				own = append(own, left)
			}
		}
		assert.Equal(w, []time.Duration{60 * day, 30 * day, 7 * day, day}, own)
		assert.Equal(w, []time.Duration{50 * day, 30 * day, 7 * day, day, 0}, bridge, "the first has begun already")

		require.NoError(w, p.Renew(w.Context(), address, s.newSecret("integration watcher", time.Time{})))
		assert.Equal(w, monitor.StateAuthorized, p.status(account).State)
	})
}
