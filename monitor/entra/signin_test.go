package entra_test

import (
	"net/http"
	"net/url"
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

// refused is what Entra sends to the redirect URI when it refuses.
func refused(oauth, description string) url.Values {
	return url.Values{"error": {oauth}, "error_description": {description}, "state": {"state"}}
}

func TestSignInsThatEndWithoutAGrant(t *testing.T) {
	for name, tt := range map[string]struct {
		// outcome changes the world, or replaces what came to the redirect URI.
		outcome func(w *tenant, callback url.Values) url.Values
		is      []error
		remedy  string
	}{
		"declined consent": {func(*tenant, url.Values) url.Values {
			return refused("access_denied", "AADSTS65004: User declined to consent to access the app.")
		}, []error{presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden}, "administrator"},
		"administrator's consent needed": {func(*tenant, url.Values) url.Values {
			return refused("access_denied", "AADSTS90094: An administrator must grant consent.")
		}, []error{presence.ErrConsentMissing}, "administrator"},
		"second factor": {func(*tenant, url.Values) url.Values {
			return refused("interaction_required", "AADSTS50076: monitor-secret")
		}, []error{presence.ErrMFARequired, presence.ErrSignInRequired}, "second factor"},
		"conditional access": {func(*tenant, url.Values) url.Values {
			return refused("access_denied", "AADSTS53003: Access has been blocked by Conditional Access policies.")
		}, []error{presence.ErrConditionalAccess, presence.ErrSignInRequired}, "conditional access"},
		"refusal of no known code": {func(*tenant, url.Values) url.Values { return refused("access_denied", "no") }, []error{presence.ErrSignInRequired}, "administrator"},
		"nothing":                  {func(*tenant, url.Values) url.Values { return url.Values{} }, []error{graph.ErrMalformed}, "proxy"},
		"administrator's consent in place of a sign-in": {func(w *tenant, _ url.Values) url.Values {
			return url.Values{"admin_consent": {"True"}, "tenant": {w.TenantID()}, "state": {"state"}}
		}, []error{presence.ErrInvalid}, "monitor's own sign-in"},
		"code of somebody's guess": {func(*tenant, url.Values) url.Values {
			return url.Values{"code": {"monitor-secret"}, "state": {"state"}}
		}, []error{presence.ErrSignInRequired}, "sign the account in again"},
		"code that was used": {func(w *tenant, callback url.Values) url.Values {
			_, _ = w.entra.Redeem(w.Context(), w.credentials(), callback, presence.NewSecret("another verifier"))
			return callback
		}, []error{graph.ErrCodeUsed, presence.ErrSignInRequired}, "begin the sign-in anew"},
		"code that is too old": {func(_ *tenant, callback url.Values) url.Values {
			time.Sleep(11 * time.Minute)
			return callback
		}, []error{presence.ErrSignInRequired}, "sign the account in again"},
		"account disabled meanwhile": {func(w *tenant, callback url.Values) url.Values {
			w.changeAccount(func(u *graphtest.User) { u.Disabled = true })
			return callback
		}, []error{presence.ErrAccountBlocked, presence.ErrSignInRequired}, "enable the account"},
		"second factor demanded meanwhile": {func(w *tenant, callback url.Values) url.Values {
			w.changeAccount(func(u *graphtest.User) { u.SignInRefusal = 50079 })
			return callback
		}, []error{presence.ErrMFARequired}, "second factor"},
		"secret expired": {func(w *tenant, callback url.Values) url.Values {
			require.NoError(w, w.ExpireSecret(w.app.ClientID, presence.NewSecret("monitor-secret")))
			return callback
		}, []error{presence.ErrSecretExpired, presence.ErrUnauthorized}, "create a client secret"},
		"consent withdrawn": {func(w *tenant, callback url.Values) url.Values {
			require.NoError(w, w.SetConsent(w.app.ClientID, false))
			return callback
		}, []error{presence.ErrConsentMissing}, "administrator"},
		"offline_access not granted": {func(w *tenant, callback url.Values) url.Values {
			w.changeApplication(func(a *graphtest.Application) {
				a.DelegatedPermissions = []string{"openid", "profile", "Presence.Read.All"}
			})
			return callback
		}, []error{presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden}, "offline_access"},
	} {
		t.Run(name, func(t *testing.T) {
			inTenant(t, func(w *tenant) {
				begun, err := w.entra.BeginSignIn(w.credentials(), "state")
				require.NoError(w, err)
				callback := tt.outcome(w, w.callback(begun.URL, w.account.ID))
				grant, err := w.entra.Redeem(w.Context(), w.credentials(), callback, begun.Verifier)
				for _, target := range tt.is {
					require.ErrorIs(w, err, target)
				}
				assert.Zero(w, grant)
				w.harmless(err, callback.Get("code"), begun.Verifier.Reveal())
				var advice interface{ Remedy() string }
				require.ErrorAs(w, err, &advice)
				assert.Contains(w, advice.Remedy(), tt.remedy)
			})
		})
	}
}

func TestVerifierOfAnotherSignInIsRefused(t *testing.T) {
	inTenant(t, func(w *tenant) {
		first, err := w.entra.BeginSignIn(w.credentials(), "state-1")
		require.NoError(w, err)
		second, err := w.entra.BeginSignIn(w.credentials(), "state-2")
		require.NoError(w, err)
		_, err = w.entra.Redeem(w.Context(), w.credentials(), w.callback(first.URL, w.account.ID), second.Verifier)
		require.ErrorIs(w, err, graph.ErrVerifierMismatch)
		w.harmless(err, first.Verifier.Reveal(), second.Verifier.Reveal())
	})
}

// TestSignInTellsWhoItWas: whether that is the monitor is for the pool to judge.
func TestSignInTellsWhoItWas(t *testing.T) {
	inTenant(t, func(w *tenant) {
		admin := w.AddUser(graphtest.User{PrincipalName: "admin@example.test", GlobalAdministrator: true})
		begun, err := w.entra.BeginSignIn(w.credentials(), "state")
		require.NoError(w, err)
		grant, err := w.entra.Redeem(w.Context(), w.credentials(), w.callback(begun.URL, admin.ID), begun.Verifier)
		require.NoError(w, err)
		assert.Equal(w, admin.ID, grant.ObjectID)
		assert.Equal(w, "admin@example.test", grant.PrincipalName)
		require.NotNil(w, grant.GlobalAdministrator)
		assert.True(w, *grant.GlobalAdministrator)

		silent := w.newEntra(func(o *entra.Options) { o.GlobalAdministrator = func(presence.Secret) *bool { return nil } })
		grant, err = silent.Redeem(w.Context(), w.credentials(), w.callback(begun.URL, admin.ID), begun.Verifier)
		require.NoError(w, err)
		assert.Nil(w, grant.GlobalAdministrator)
	})
}

func TestScopesThatWereNotGrantedAreNamed(t *testing.T) {
	inTenant(t, func(w *tenant) {
		grantOf := func(answer string) monitor.Grant {
			w.Helper()
			remove := w.Control(1, graphtest.Match(http.MethodPost, "token", graphtest.Reply{
				Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(answer),
			}))
			defer remove()
			grant, err := w.entra.Redeem(w.Context(), w.credentials(), url.Values{"code": {"code"}}, presence.NewSecret("verifier"))
			require.NoError(w, err)
			return grant
		}
		grant := grantOf(`{"access_token":"opaque","refresh_token":"r","expires_in":3599,"scope":"openid profile email presence.read.all"}`)
		assert.Empty(w, grant.Missing)
		assert.Equal(w, []string{"User.Read", "User.Read.All", "Subscription.Read.All", "Presence.Read", "Presence.ReadWrite"}, grant.Unneeded)

		grant = grantOf(`{"access_token":"opaque","refresh_token":"r","expires_in":3599,"scope":"User.Read"}`)
		assert.Equal(w, []string{"openid", "profile", "Presence.Read.All"}, grant.Missing)
	})
}

func TestOpenIDScopesShowInWhatTheSignInBrought(t *testing.T) {
	inTenant(t, func(w *tenant) {
		w.entra = w.newEntra(func(o *entra.Options) {
			o.Scopes = []string{"openid", "profile", "offline_access", "Presence.Read.All", "User.Read"}
		})
		w.changeApplication(func(a *graphtest.Application) {
			a.DelegatedPermissions = []string{"openid", "profile", "offline_access", "Presence.Read.All", "User.Read"}
		})
		grant := w.signIn()
		assert.Empty(w, grant.Missing)
		assert.Empty(w, grant.Unneeded, "email was not asked for")
	})
}
