package graph_test

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestPermissionsDeclaredGrantedAndHeldAreToldApart(t *testing.T) {
	c := newCompany(t, nil)
	credential, err := graph.NewSecretCredential(c.TenantID(), c.app.ClientID, c.app.Secrets[0].Value, &graph.CredentialOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
	require.NoError(t, err)
	client := c.client(t, credential)
	state := func() (declared, granted, held bool) {
		t.Helper()
		const name = "User.Read.All"
		app, err := client.Application(t.Context())
		require.NoError(t, err)
		roles, err := client.GrantedRoles(t.Context())
		require.NoError(t, err)
		grant, err := credential.Refresh(t.Context())
		require.NoError(t, err)
		for _, p := range graph.ApplicationPermissions() {
			if p.Name == name {
				declared = slices.Contains(app.RequiredPermissions, graph.RequiredPermission{ResourceID: graph.ResourceID, ID: p.ID, Type: p.Type})
				granted = slices.ContainsFunc(roles, func(r graph.AppRole) bool { return r.ID == p.ID })
				held = !slices.ContainsFunc(graph.MissingPermissions(graph.ApplicationPermissions(), grant.Roles), func(m graph.Permission) bool { return m == p })
			}
		}
		return declared, granted, held
	}
	for _, tt := range []struct {
		name                    string
		fault                   func(*graphtest.Application)
		declared, granted, held bool
	}{
		{"healthy", func(*graphtest.Application) {}, true, true, true},
		{"not declared", func(a *graphtest.Application) {
			a.DeclaredApplicationPermissions = []string{"Presence.ReadWrite.All", "Application.Read.All"}
		}, false, true, true},
		{"not granted", func(a *graphtest.Application) {
			a.DeclaredApplicationPermissions = a.ApplicationPermissions
			a.ApplicationPermissions = []string{"Presence.ReadWrite.All", "Application.Read.All"}
		}, true, false, false},
		{"not held", func(a *graphtest.Application) {
			a.TokenRoles = []string{"Presence.ReadWrite.All", "Application.Read.All"}
		}, true, true, false},
	} {
		require.NoError(t, c.UpdateApplication(c.app.ClientID, func(a *graphtest.Application) {
			a.ApplicationPermissions, a.DeclaredApplicationPermissions, a.TokenRoles = nil, nil, nil
		}))
		require.NoError(t, c.UpdateApplication(c.app.ClientID, tt.fault))
		declared, granted, held := state()
		assert.Equal(t, []bool{tt.declared, tt.granted, tt.held}, []bool{declared, granted, held}, tt.name)
	}
	require.NoError(t, c.UpdateApplication(c.app.ClientID, func(a *graphtest.Application) { a.Secrets[0].End = time.Now() }))
	_, err = credential.Token(t.Context())
	require.NoError(t, err, "the token lasts longer than the secret")
	_, err = credential.Refresh(t.Context())
	require.ErrorIs(t, err, presence.ErrSecretExpired, "but a refresh proves the secret now")
}

func TestRedirectURIOfTheWrongPlatformIsNamed(t *testing.T) {
	const callback = "http://localhost/callback"
	for _, fault := range []func(*graphtest.Application){
		func(a *graphtest.Application) { a.RedirectURIs, a.SPARedirectURIs = []string{}, []string{callback} },
		func(a *graphtest.Application) {
			a.RedirectURIs, a.PublicClientRedirectURIs = []string{}, []string{callback}
		},
	} {
		c := newCompany(t, nil)
		require.NoError(t, c.UpdateApplication(c.app.ClientID, fault))
		a, err := graph.NewAuthorizer(c.TenantID(), c.app.ClientID, c.app.Secrets[0].Value, callback, &graph.AuthorizerOptions{Cloud: c.cloud(), HTTPClient: c.Client()})
		require.NoError(t, err)
		request, err := a.Begin("state", nil)
		require.NoError(t, err)
		back, err := c.SignIn(request.URL, c.monitor.ID)
		require.NoError(t, err, "the sign-in itself succeeds")
		u, err := url.Parse(back)
		require.NoError(t, err)
		_, err = a.Exchange(t.Context(), u.Query().Get("code"), request.Verifier)
		require.ErrorIs(t, err, graph.ErrRedirectURIMismatch)
		var e *graph.Error
		require.ErrorAs(t, err, &e)
		assert.Contains(t, e.Remedy(), "Web")
	}
}

func TestAdministratorConsentsAtTheURL(t *testing.T) {
	c := newCompany(t, nil)
	admin := c.AddUser(graphtest.User{GlobalAdministrator: true})
	require.NoError(t, c.SetConsent(c.app.ClientID, false))
	address, err := graph.AdminConsentURL(c.cloud(), c.TenantID(), c.app.ClientID, "http://localhost/callback", "s")
	require.NoError(t, err)
	back, err := c.ConsentAs(address, admin.ID)
	require.NoError(t, err)
	u, err := url.Parse(back)
	require.NoError(t, err)
	outcome, err := graph.ParseCallback(u.Query())
	require.NoError(t, err)
	assert.True(t, outcome.AdminConsent)
	assert.False(t, c.Applications()[0].ConsentPending)
}
