package graphtest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	presenceWriteRole = "83cded22-8297-4ff6-a7fa-e97e9545a259"
	userReadRole      = "df021288-bdef-4463-88db-98f22de89214"
	presenceReadScope = "9c7a330d-35b3-4aa1-963d-cb2b9f927841"
)

// edit changes the world's application.
func (w *world) edit(change func(*graphtest.Application)) {
	w.Helper()
	require.NoError(w, w.UpdateApplication(w.app.ClientID, change))
}

// registration reads the application with a token.
func (w *world) registration(token string) map[string]any {
	w.Helper()
	status, body := w.do(token, "GET", "applications(appId='"+w.app.ClientID+"')", nil)
	require.Equal(w, http.StatusOK, status, body)
	return body
}

// declared returns the ids of the permissions that the registration asks for.
func (w *world) declared(token string) []any {
	w.Helper()
	resource := w.registration(token)["requiredResourceAccess"].([]any)[0].(map[string]any)
	var ids []any
	for _, access := range resource["resourceAccess"].([]any) {
		ids = append(ids, access.(map[string]any)["id"])
	}
	return ids
}

// granted returns the ids of the app roles that are granted.
func (w *world) granted(token string) []any {
	w.Helper()
	status, body := w.do(token, "GET", "servicePrincipals(appId='"+w.app.ClientID+"')/appRoleAssignments", nil)
	require.Equal(w, http.StatusOK, status, body)
	var ids []any
	for _, v := range body["value"].([]any) {
		ids = append(ids, v.(map[string]any)["appRoleId"])
	}
	return ids
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

func TestPermissionsDeclaredAndNotGranted(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.edit(func(a *graphtest.Application) {
			a.DeclaredApplicationPermissions, a.DeclaredDelegatedPermissions = a.ApplicationPermissions, a.DelegatedPermissions
			a.ApplicationPermissions = without(a.ApplicationPermissions, "Presence.ReadWrite.All")
			a.DelegatedPermissions = without(a.DelegatedPermissions, "Presence.Read.All")
		})
		token := w.appToken()
		assert.Subset(w, w.declared(token), []any{presenceWriteRole, presenceReadScope})
		assert.NotContains(w, w.granted(token), presenceWriteRole)
		assert.NotContains(w, claimsOf(w, token)["roles"], "Presence.ReadWrite.All")
		assert.NotContains(w, claimsOf(w, w.userToken(monID))["scp"], "Presence.Read.All")
		status, _ := w.do(token, "POST", "users/"+annID+"/presence/setPresence", w.setBody("Busy", "InACall", ""))
		assert.Equal(w, http.StatusForbidden, status)

		require.NoError(w, w.SetConsent(w.app.ClientID, true))
		assert.Contains(w, w.granted(token), presenceWriteRole, "consent grants what is declared")
		assert.Contains(w, claimsOf(w, w.appToken())["roles"], "Presence.ReadWrite.All")
		assert.Contains(w, claimsOf(w, w.userToken(monID))["scp"], "Presence.Read.All")
	})
}

func TestPermissionsGrantedAndNotDeclared(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.edit(func(a *graphtest.Application) {
			a.DeclaredApplicationPermissions = []string{"Application.Read.All"}
			a.DeclaredDelegatedPermissions = []string{}
		})
		token := w.appToken()
		assert.Equal(w, []any{"9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30"}, w.declared(token))
		assert.Contains(w, w.granted(token), presenceWriteRole)
		assert.Contains(w, claimsOf(w, token)["roles"], "Presence.ReadWrite.All")
		require.NoError(w, w.SetConsent(w.app.ClientID, true))
		assert.Contains(w, w.granted(token), presenceWriteRole, "consent takes nothing away")
	})
}

func TestRolesOfTokensLag(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.edit(func(a *graphtest.Application) { a.ApplicationPermissions = []string{"Application.Read.All"} })
		before := w.appToken()
		w.edit(func(a *graphtest.Application) {
			a.TokenRoles = a.ApplicationPermissions
			a.ApplicationPermissions = append(a.ApplicationPermissions, "User.Read.All")
		})
		for _, token := range []string{before, w.appToken()} {
			assert.Contains(w, w.granted(token), userReadRole)
			assert.Equal(w, []any{"Application.Read.All"}, claimsOf(w, token)["roles"])
			status, _ := w.do(token, "GET", "users", nil)
			assert.Equal(w, http.StatusForbidden, status)
		}
		w.edit(func(a *graphtest.Application) { a.TokenRoles = nil })
		status, _ := w.do(before, "GET", "users", nil)
		assert.Equal(w, http.StatusForbidden, status, "a token keeps what it was issued with")
		status, _ = w.do(w.appToken(), "GET", "users", nil)
		assert.Equal(w, http.StatusOK, status)
		w.edit(func(a *graphtest.Application) { a.TokenRoles = []string{} })
		assert.NotContains(w, claimsOf(w, w.appToken()), "roles")
	})
}

func TestScopesOfOneUserAreWithdrawn(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		before := w.userToken(monID)
		require.NoError(w, w.WithdrawScopes(w.app.ClientID, strings.ToUpper(monID), "Presence.Read.All", "Presence.ReadWrite"))
		token := w.userToken(monID)
		assert.NotContains(w, claimsOf(w, token)["scp"], "Presence.Read.All")
		assert.Contains(w, claimsOf(w, token)["scp"], "User.Read.All")
		status, _ := w.do(token, "POST", "subscriptions", w.subscriptionBody(annID))
		assert.Equal(w, http.StatusForbidden, status)
		assert.Contains(w, claimsOf(w, w.userToken(bobID))["scp"], "Presence.Read.All", "others keep it")
		assert.Contains(w, claimsOf(w, before)["scp"], "Presence.Read.All", "and so do tokens that were issued")
		w.subscribe(before, w.subscriptionBody(annID))

		require.NoError(w, w.WithdrawScopes(w.app.ClientID, monID, "Presence.ReadWrite"))
		assert.Contains(w, claimsOf(w, w.userToken(monID))["scp"], "Presence.Read.All")
		require.NoError(w, w.SetConsent(w.app.ClientID, true))
		assert.Contains(w, claimsOf(w, w.userToken(monID))["scp"], "Presence.ReadWrite ", "consent gives them back")

		assert.ErrorContains(w, w.WithdrawScopes(w.app.ClientID, monID, "Presence.ReadWrite.All"), "no delegated permission")
		assert.ErrorContains(w, w.WithdrawScopes(w.app.ClientID, w.app.ClientID, "User.Read"), "AddUser")
		assert.ErrorContains(w, w.WithdrawScopes(monID, monID, "User.Read"), "AddApplication")
	})
}

func TestRedirectURIsOfThePlatforms(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		move := func(web, spa, public []string) {
			w.edit(func(a *graphtest.Application) {
				a.RedirectURIs, a.SPARedirectURIs, a.PublicClientRedirectURIs = web, spa, public
			})
		}
		none, here := []string{}, []string{"http://localhost/callback"}
		redeem := func() (int, map[string]any) { return w.form(w.codeForm(w.signIn(nil).Get("code"), "verifier")) }

		move(none, here, none)
		app := w.registration(token)
		assert.Equal(w, map[string]any{"redirectUris": []any{}}, app["web"])
		assert.Equal(w, map[string]any{"redirectUris": []any{here[0]}}, app["spa"])
		status, body := redeem()
		w.assertRefused(status, body, 400, "invalid_request", 9002327)

		move(none, none, here)
		assert.Equal(w, map[string]any{"redirectUris": []any{here[0]}}, w.registration(token)["publicClient"])
		status, body = redeem()
		w.assertRefused(status, body, 401, "invalid_client", 700025)

		move(none, none, none)
		_, err := w.SignIn(w.authorizationURL(nil), monID)
		assert.ErrorContains(w, err, "AADSTS50011")

		move(here, here, none)
		status, body = redeem()
		assert.Equal(w, http.StatusOK, status, body)
	})
}

func TestApplicationIsChanged(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		before := w.Applications()[0]
		end := time.Now().Add(72 * time.Hour)
		w.edit(func(a *graphtest.Application) {
			a.ClientID, a.Name = annID, "renamed"
			a.Secrets[0].End = end
			a.Secrets = append(a.Secrets, graphtest.Secret{Value: presence.NewSecret("another")})
		})
		assert.NotEqual(w, end, before.Secrets[0].End, "lists that were returned stay as they were")
		app := w.registration(token)
		assert.Equal(w, "renamed", app["displayName"])
		assert.Equal(w, w.app.ClientID, app["appId"], "the client id cannot be changed")
		secrets := app["passwordCredentials"].([]any)
		require.Len(w, secrets, 2)
		assert.Equal(w, end.UTC().Format(time.RFC3339), secrets[0].(map[string]any)["endDateTime"])
		assert.NotEmpty(w, secrets[1].(map[string]any)["keyId"], "a secret gets its defaults")
		time.Sleep(72 * time.Hour)
		request := url.Values{"grant_type": {"client_credentials"}, "scope": {w.GraphURL() + "/.default"}}
		status, body := w.form(w.credentials(request))
		w.assertRefused(status, body, 401, "invalid_client", 7000222)

		w.edit(func(a *graphtest.Application) { a.Secrets = nil })
		status, body = w.form(w.credentials(request))
		w.assertRefused(status, body, 401, "invalid_client", 7000215)
		w.edit(func(a *graphtest.Application) { a.Disabled = true })
		status, body = w.form(w.credentials(request))
		w.assertRefused(status, body, 400, "unauthorized_client", 7000112)
		assert.ErrorContains(w, w.UpdateApplication(annID, func(*graphtest.Application) {}), "AddApplication")
	})
}

func TestUserIsChanged(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.call(annID)
		token, refresh := w.appToken(), w.userToken(annID)
		assert.NotContains(w, claimsOf(w, refresh)["wids"], "62e90394-69f5-4237-9190-012177145e10")
		require.NoError(w, w.UpdateUser(strings.ToUpper(annID), func(u *graphtest.User) {
			assert.Equal(w, "ann@example.test", u.Mail)
			u.ID, u.Mail, u.GlobalAdministrator = bobID, "", true
		}))
		read := func(path string) map[string]any {
			status, body := w.do(token, "GET", path+"?$select=id,mail,accountEnabled,displayName", nil)
			require.Equal(w, http.StatusOK, status, body)
			return body
		}
		ann := read("users/" + annID)
		assert.Nil(w, ann["mail"])
		assert.Equal(w, "Ann", ann["displayName"], "the rest stays")
		assert.Equal(w, "Bob", read("users/" + bobID)["displayName"], "the id cannot be changed")
		assert.Contains(w, claimsOf(w, w.userToken(annID))["wids"], "62e90394-69f5-4237-9190-012177145e10")
		w.assertShows("Busy/InACall", annID)

		require.NoError(w, w.UpdateUser(annID, func(u *graphtest.User) { u.PrincipalName, u.Disabled = "ann.new@example.test", true }))
		assert.Equal(w, false, read("users/ann.new@example.test")["accountEnabled"])
		status, _ := w.do(token, "GET", "users/ann@example.test", nil)
		assert.Equal(w, http.StatusNotFound, status)
		_, err := w.GrantRefreshToken(w.app.ClientID, annID)
		assert.ErrorContains(w, err, "AADSTS50057")
		assert.Len(w, w.Users(), 3)
		assert.ErrorContains(w, w.UpdateUser(w.app.ClientID, func(*graphtest.User) {}), "AddUser")
	})
}
