package entra_test

import (
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
)

func TestLifeOfAnAccount(t *testing.T) {
	inTenant(t, func(w *tenant) {
		begun, err := w.entra.BeginSignIn(w.credentials(), "state-1")
		require.NoError(w, err)
		u, err := url.Parse(begun.URL)
		require.NoError(w, err)
		assert.Equal(w, w.account.PrincipalName, u.Query().Get("login_hint"))
		assert.Equal(w, "S256", u.Query().Get("code_challenge_method"))
		assert.Equal(w, "state-1", u.Query().Get("state"))
		assert.NotContains(w, begun.URL, begun.Verifier.Reveal())

		grant, err := w.entra.Redeem(w.Context(), w.credentials(), w.callback(begun.URL, w.account.ID), begun.Verifier)
		require.NoError(w, err)
		assert.Equal(w, w.account.ID, grant.ObjectID)
		assert.Equal(w, w.TenantID(), grant.TenantID)
		assert.Equal(w, w.account.PrincipalName, grant.PrincipalName)
		assert.Contains(w, grant.Scopes, "Presence.Read.All")
		assert.Empty(w, grant.Missing)
		assert.Empty(w, grant.Unneeded)
		require.NotNil(w, grant.GlobalAdministrator)
		assert.False(w, *grant.GlobalAdministrator)

		v := &vault{token: grant.RefreshToken}
		account := w.open(v)
		before := w.transit.tokenRequests()
		sub, err := account.CreateSubscription(w.Context(), presence.SubscriptionRequest{
			UserIDs: []string{w.ann.ID}, NotificationURL: w.receive(), ClientState: presence.NewSecret("client state"), ExpiresAt: time.Now().Add(time.Hour),
		})
		require.NoError(w, err)
		assert.Equal(w, before+1, w.transit.tokenRequests())
		assert.Equal(w, 1, v.rotations, "the new refresh token is kept")
		listed, err := account.Subscriptions(w.Context())
		require.NoError(w, err)
		require.Len(w, listed, 1)
		assert.Equal(w, sub.ID, listed[0].ID)
		reader, ok := account.(monitor.SubscriptionReader)
		require.True(w, ok, "a pool can look a subscription up")
		read, err := reader.Subscription(w.Context(), sub.ID)
		require.NoError(w, err)
		assert.Equal(w, sub, read)

		time.Sleep(40 * time.Minute)
		_, err = account.RenewSubscription(w.Context(), sub.ID, presence.SubscriptionRenewal{ExpiresAt: time.Now().Add(time.Hour)})
		require.NoError(w, err)
		require.NoError(w, account.DeleteSubscription(w.Context(), sub.ID))
		_, err = reader.Subscription(w.Context(), sub.ID)
		require.ErrorIs(w, err, presence.ErrNotFound)

		// A refresh token dies after 90 days without use; each use starts them anew.
		for range 4 {
			time.Sleep(85 * 24 * time.Hour)
			kept, err := account.Refresh(w.Context())
			require.NoError(w, err)
			assert.True(w, kept.RefreshToken.IsZero(), "it is in the vault")
			assert.Equal(w, w.account.ID, kept.ObjectID)
			assert.Empty(w, kept.Missing)
			assert.Empty(w, kept.Unneeded)
		}
		assert.False(w, v.stale)

		// Another process goes on where this one stops.
		successor := w.open(&vault{token: v.token})
		_, err = successor.Subscriptions(w.Context())
		require.NoError(w, err)
	})
}

func TestRefreshTokenUnusedForNinetyDaysAsksForASignIn(t *testing.T) {
	inTenant(t, func(w *tenant) {
		v := &vault{token: w.signIn().RefreshToken}
		time.Sleep(91 * 24 * time.Hour)
		_, err := w.open(v).Refresh(w.Context())
		require.ErrorIs(w, err, presence.ErrSignInRequired)
		require.ErrorIs(w, err, graph.ErrGrantExpired)
		w.harmless(err, v.token.Reveal())
	})
}

func TestRefreshTellsWhatIsStillGranted(t *testing.T) {
	inTenant(t, func(w *tenant) {
		v := &vault{token: w.signIn().RefreshToken}
		account := w.open(v)
		w.changeApplication(func(a *graphtest.Application) {
			a.DelegatedPermissions = []string{"openid", "profile", "offline_access", "User.Read"}
		})
		grant, err := account.Refresh(w.Context())
		require.NoError(w, err)
		assert.Equal(w, []string{"Presence.Read.All"}, grant.Missing)
		assert.Equal(w, []string{"User.Read.All", "Subscription.Read.All", "Presence.Read", "Presence.ReadWrite"}, grant.Unneeded)

		w.changeAccount(func(u *graphtest.User) { u.GlobalAdministrator = true })
		grant, err = account.Refresh(w.Context())
		require.NoError(w, err)
		require.NotNil(w, grant.GlobalAdministrator)
		assert.True(w, *grant.GlobalAdministrator, "who has become an administrator is found out")
	})
}

// TestNothingIsSentWithoutTheRightToUseTheAccount: another process keeps the
// account, so its refresh token must not be used here.
func TestNothingIsSentWithoutTheRightToUseTheAccount(t *testing.T) {
	inTenant(t, func(w *tenant) {
		v := &vault{token: w.signIn().RefreshToken, refusal: &monitor.HeldError{Lease: monitor.Lease{Name: "monitors/1", Holder: "the other process"}}}
		account := w.open(v)
		before := w.transit.tokenRequests()
		_, refreshErr := account.Refresh(w.Context())
		_, listErr := account.Subscriptions(w.Context())
		for _, err := range []error{refreshErr, listErr, account.DeleteSubscription(w.Context(), "1")} {
			var held *monitor.HeldError
			require.ErrorAs(w, err, &held)
			require.ErrorIs(w, err, v.refusal)
			require.NotErrorIs(w, err, presence.ErrSignInRequired)
			assert.ErrorContains(w, err, "the other process")
			w.harmless(err, v.token.Reveal())
		}
		assert.Equal(w, before, w.transit.tokenRequests())

		v.refusal = nil
		_, err := account.Subscriptions(w.Context())
		require.NoError(w, err)
	})
}

func TestAccountWithoutARefreshTokenMustSignIn(t *testing.T) {
	inTenant(t, func(w *tenant) {
		_, err := w.open(&vault{}).Refresh(w.Context())
		require.ErrorIs(w, err, presence.ErrSignInRequired)
		w.harmless(err)
		assert.Zero(w, w.transit.tokenRequests())
	})
}

func TestRefreshTokenThatCannotBeKeptIsAnErrorOfTheRequest(t *testing.T) {
	inTenant(t, func(w *tenant) {
		v := &vault{token: w.signIn().RefreshToken, full: errors.New("disk full")}
		account := w.open(v)
		_, err := account.Subscriptions(w.Context())
		require.ErrorIs(w, err, v.full)
		w.harmless(err, v.token.Reveal())
		v.full = nil
		_, err = account.Refresh(w.Context())
		require.NoError(w, err, "what the vault holds is still good")
	})
}

// TestRequestsForTokensOfAnAccountNeverOverlap: access tokens last a minute until
// they are replaced, so refreshes and requests want new ones all the time.
func TestRequestsForTokensOfAnAccountNeverOverlap(t *testing.T) {
	inTenantThat(t, graphtest.Assumptions{AccessTokenLifetime: 6 * time.Minute}, func(w *tenant) {
		v := &vault{token: w.signIn().RefreshToken}
		account := w.open(v)
		w.transit.latency = 25 * time.Second
		before := w.transit.tokenRequests()
		var group sync.WaitGroup
		for i := range 180 {
			group.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Second)
				var err error
				if i%7 == 0 {
					_, err = account.Refresh(w.Context())
				} else {
					_, err = account.Subscriptions(w.Context())
				}
				assert.NoError(w, err)
			})
		}
		group.Wait()
		assert.False(w, w.transit.overlap)
		assert.False(w, v.overlap)
		assert.False(w, v.stale, "each use begins with the newest")
		sent := w.transit.tokenRequests() - before
		assert.Greater(w, sent, 10)
		assert.Less(w, sent, 90, "whoever waits takes what another has obtained")
		assert.Equal(w, sent, v.rotations)
	})
}

func TestRefusalsOfEntraReachWhoActs(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *tenant)
		is     []error
	}{
		"second factor":      {func(w *tenant) { w.changeAccount(func(u *graphtest.User) { u.SignInRefusal = 50076 }) }, []error{presence.ErrMFARequired, presence.ErrSignInRequired}},
		"conditional access": {func(w *tenant) { w.changeAccount(func(u *graphtest.User) { u.SignInRefusal = 53003 }) }, []error{presence.ErrConditionalAccess, presence.ErrSignInRequired}},
		"disabled account":   {func(w *tenant) { w.changeAccount(func(u *graphtest.User) { u.Disabled = true }) }, []error{presence.ErrAccountBlocked}},
		"removed account":    {func(w *tenant) { w.RemoveUser(w.account.ID) }, []error{presence.ErrAccountBlocked}},
		"revoked grant":      {func(w *tenant) { w.RevokeRefreshTokens(w.account.ID) }, []error{graph.ErrGrantRevoked, presence.ErrSignInRequired}},
		"withdrawn consent":  {func(w *tenant) { _ = w.SetConsent(w.app.ClientID, false) }, []error{presence.ErrConsentMissing}},
		"expired secret": {func(w *tenant) { _ = w.ExpireSecret(w.app.ClientID, presence.NewSecret("monitor-secret")) },
			[]error{presence.ErrSecretExpired, presence.ErrUnauthorized}},
		"disabled application": {func(w *tenant) { w.changeApplication(func(a *graphtest.Application) { a.Disabled = true }) }, []error{presence.ErrAppDisabled}},
		"no answer":            {func(w *tenant) { w.transit.down = errors.New("no route") }, []error{presence.ErrUnavailable}},
	} {
		t.Run(name, func(t *testing.T) {
			inTenant(t, func(w *tenant) {
				v := &vault{token: w.signIn().RefreshToken}
				account := w.open(v)
				tt.change(w)
				_, refreshErr := account.Refresh(w.Context())
				_, listErr := account.Subscriptions(w.Context())
				for _, err := range []error{refreshErr, listErr} {
					for _, target := range tt.is {
						require.ErrorIs(w, err, target)
					}
					w.harmless(err, v.token.Reveal())
				}
				assert.Zero(w, v.rotations)
			})
		})
	}
}

func TestFaultsOfTheArgumentsComeAllAtOnce(t *testing.T) {
	_, err := entra.New("/callback", &entra.Options{
		Cloud: graph.Cloud{LoginURL: "http://10.0.0.1", GraphURL: "graph"},
	})
	for _, want := range []string{"redirect URL", "LoginURL", "GraphURL"} {
		require.ErrorContains(t, err, want)
	}
	_, err = entra.New(callbackURL, &entra.Options{Prompt: "please", ResponseMode: "fragment"})
	require.ErrorContains(t, err, "please")
	require.ErrorContains(t, err, "fragment")
	_, err = entra.New("https://bridge.test/callback", &entra.Options{Prompt: "none"})
	require.ErrorContains(t, err, "never shows a sign-in page")

	e, err := entra.New("https://bridge.test/callback", nil)
	require.NoError(t, err)
	_, begin := e.BeginSignIn(monitor.Credentials{}, "state")
	_, inspect := e.Inspect(t.Context(), monitor.Credentials{})
	_, open := e.Open(monitor.Credentials{}, &vault{})
	_, redeem := e.Redeem(t.Context(), monitor.Credentials{}, url.Values{"code": {"code"}}, presence.Secret{})
	for _, err := range []error{begin, inspect, open, redeem} {
		for _, want := range []string{"tenant id", "client id", "client secret", "user principal name"} {
			require.ErrorContains(t, err, want)
		}
	}
	_, err = e.Open(monitor.Credentials{}, nil)
	require.ErrorContains(t, err, "refresh tokens")
}
