package entra_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

func TestInspectionShowsTheAccountAndTheClientSecrets(t *testing.T) {
	inTenant(t, func(w *tenant) {
		got, err := w.entra.Inspect(w.Context(), w.credentials())
		require.NoError(w, err)
		require.NoError(w, got.AccountErr)
		require.NoError(w, got.ClientSecretsErr)
		assert.Equal(w, presence.TeamsUser{
			ID: w.account.ID, PrincipalName: "monitor1@example.test", Mail: "monitor1@example.test", Name: "Monitor 1", Enabled: true,
		}, got.Account)
		require.Len(w, got.ClientSecrets, 2)
		own := got.ClientSecrets[1]
		assert.Equal(w, "bridge monitor 1", own.Description)
		assert.Equal(w, "mon", own.Hint)
		assert.Equal(w, w.app.Secrets[1].KeyID, own.KeyID)
		assert.WithinDuration(w, time.Now().AddDate(2, 0, 0), own.ExpiresAt, 0)
		assert.WithinDuration(w, time.Now(), own.StartsAt, 0)

		w.changeAccount(func(u *graphtest.User) { u.Disabled, u.Mail = true, "" })
		got, err = w.entra.Inspect(w.Context(), w.credentials())
		require.NoError(w, err)
		require.NoError(w, got.AccountErr)
		assert.False(w, got.Account.Enabled)
		assert.Empty(w, got.Account.Mail)
	})
}

func TestInspectionFailsWithTheClientSecret(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *tenant, c *monitor.Credentials)
		is     []error
		says   string
	}{
		"secret id in place of its value": {func(w *tenant, c *monitor.Credentials) { c.ClientSecret = presence.NewSecret(w.app.Secrets[1].KeyID) },
			[]error{presence.ErrInvalidSecret, presence.ErrUnauthorized}, "not its Secret ID"},
		"expired secret": {func(w *tenant, _ *monitor.Credentials) {
			require.NoError(w, w.ExpireSecret(w.app.ClientID, presence.NewSecret("monitor-secret")))
		}, []error{presence.ErrSecretExpired, presence.ErrUnauthorized}, "has expired"},
		"unknown application": {func(w *tenant, c *monitor.Credentials) { c.Application.ClientID = w.ann.ID }, []error{presence.ErrAppNotFound}, "check the client id"},
		"disabled application": {func(w *tenant, _ *monitor.Credentials) {
			w.changeApplication(func(a *graphtest.Application) { a.Disabled = true })
		}, []error{presence.ErrAppDisabled}, "enable the application"},
		"unknown tenant": {func(_ *tenant, c *monitor.Credentials) { c.Application.TenantID = "elsewhere.test" }, []error{presence.ErrTenantNotFound}, "check the tenant id"},
		"no answer":      {func(w *tenant, _ *monitor.Credentials) { w.transit.down = errors.New("no route") }, []error{presence.ErrUnavailable}, "check the network"},
	} {
		t.Run(name, func(t *testing.T) {
			inTenant(t, func(w *tenant) {
				c := w.credentials()
				tt.change(w, &c)
				got, err := w.entra.Inspect(w.Context(), c)
				assert.Zero(w, got)
				for _, target := range tt.is {
					require.ErrorIs(w, err, target)
				}
				assert.ErrorContains(w, err, tt.says)
				w.harmless(err, c.ClientSecret.Reveal())
			})
		})
	}
}

// TestWhatCannotBeReadDoesNotHideTheRest: each part has its own error.
func TestWhatCannotBeReadDoesNotHideTheRest(t *testing.T) {
	inTenant(t, func(w *tenant) {
		unknown := w.credentials()
		unknown.PrincipalName = "nobody@example.test"
		got, err := w.entra.Inspect(w.Context(), unknown)
		require.NoError(w, err)
		require.ErrorIs(w, got.AccountErr, presence.ErrNotFound)
		assert.Zero(w, got.Account)
		require.NoError(w, got.ClientSecretsErr)
		assert.Len(w, got.ClientSecrets, 2)

		w.changeApplication(func(a *graphtest.Application) { a.ApplicationPermissions = []string{"User.Read.All"} })
		got, err = w.entra.Inspect(w.Context(), w.credentials())
		require.NoError(w, err)
		require.NoError(w, got.AccountErr)
		require.ErrorIs(w, got.ClientSecretsErr, presence.ErrForbidden)
		assert.ErrorContains(w, got.ClientSecretsErr, "Application.Read.All")
		assert.Empty(w, got.ClientSecrets)
		w.harmless(got.ClientSecretsErr)

		w.changeApplication(func(a *graphtest.Application) { a.ApplicationPermissions = []string{} })
		got, err = w.entra.Inspect(w.Context(), w.credentials())
		require.NoError(w, err, "the secret itself is good")
		require.ErrorIs(w, got.AccountErr, presence.ErrForbidden)
		assert.ErrorContains(w, got.AccountErr, "User.Read.All")
		require.ErrorIs(w, got.ClientSecretsErr, presence.ErrForbidden)
		w.harmless(got.AccountErr)
	})
}
