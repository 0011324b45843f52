package graphtest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// authorizationURL is what a client sends a browser to.
func (w *world) authorizationURL(change func(url.Values)) string {
	v := url.Values{
		"client_id": {w.app.ClientID}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {"s t"}, "nonce": {"n"},
		"scope":          {"openid profile email offline_access " + w.GraphURL() + "/Presence.Read.All"},
		"code_challenge": {challengeOf("verifier")}, "code_challenge_method": {"S256"}, "login_hint": {"monitor@example.test"},
	}
	if change != nil {
		change(v)
	}
	return w.LoginURL() + "/" + w.TenantID() + "/oauth2/v2.0/authorize?" + v.Encode()
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// signIn returns what the redirect URI gets.
func (w *world) signIn(change func(url.Values)) url.Values {
	w.Helper()
	redirect, err := w.SignIn(w.authorizationURL(change), monID)
	require.NoError(w, err)
	u, err := url.Parse(redirect)
	require.NoError(w, err)
	require.True(w, strings.HasPrefix(redirect, callback+"?"), redirect)
	return u.Query()
}

func TestAuthorizationCode(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		q := w.signIn(nil)
		assert.Equal(w, "s t", q.Get("state"))
		status, body := w.form(w.codeForm(q.Get("code"), "verifier"))
		require.Equal(w, http.StatusOK, status, body)
		assert.NotEmpty(w, body["refresh_token"])
		assert.Contains(w, body["scope"], "Presence.Read.All")
		assert.NotContains(w, body["scope"], "offline_access")

		access := claimsOf(w, body["access_token"].(string))
		assert.Contains(w, access["scp"], "Presence.Read.All")
		assert.Equal(w, monID, access["oid"])
		assert.NotContains(w, access, "roles")
		id := claimsOf(w, body["id_token"].(string))
		assert.Equal(w, "monitor@example.test", id["preferred_username"])
		assert.Equal(w, "Monitor", id["name"])
		assert.Equal(w, w.app.ClientID, id["aud"])
		assert.Equal(w, "n", id["nonce"])
		assert.Equal(w, w.LoginURL()+"/"+w.TenantID()+"/v2.0", id["iss"])

		status, body = w.form(w.codeForm(q.Get("code"), "verifier"))
		w.assertRefused(status, body, 400, "invalid_grant", 54005)
	})
}

func TestAuthorizationCodeRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(w *world, v url.Values)
		status int
		oauth  string
		code   int
	}{
		{"wrong verifier", func(_ *world, v url.Values) { v.Set("code_verifier", "other") }, 400, "invalid_grant", 501481},
		{"no verifier", func(_ *world, v url.Values) { v.Del("code_verifier") }, 400, "invalid_grant", 501481},
		{"other redirect URI", func(_ *world, v url.Values) { v.Set("redirect_uri", "http://localhost/callback") }, 401, "invalid_client", 500112},
		{"too late", func(*world, url.Values) { time.Sleep(10 * time.Minute) }, 400, "invalid_grant", 70008},
		{"disabled since", func(w *world, _ url.Values) { w.AddUser(graphtest.User{ID: monID, Disabled: true}) }, 400, "invalid_grant", 50057},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				form := w.codeForm(w.signIn(nil).Get("code"), "verifier")
				tc.change(w, form)
				status, body := w.form(form)
				w.assertRefused(status, body, tc.status, tc.oauth, tc.code)
			})
		})
	}
}

func TestAuthorizationErrorsGoToTheRedirectURI(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(v url.Values)
		oauth  string
		code   string
	}{
		{"response type", func(v url.Values) { v.Set("response_type", "token") }, "unsupported_response_type", "AADSTS700054"},
		{"response mode", func(v url.Values) { v.Set("response_mode", "fragment") }, "invalid_request", "AADSTS70007"},
		{"no scope", func(v url.Values) { v.Del("scope") }, "invalid_scope", "AADSTS70011"},
		{"without a page", func(v url.Values) { v.Set("prompt", "none") }, "login_required", "AADSTS50058"},
		{"needs an administrator", func(v url.Values) { v.Set("scope", "Directory.Read.All") }, "access_denied", "AADSTS90094"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				q := w.signIn(tc.change)
				assert.Equal(w, tc.oauth, q.Get("error"))
				assert.Contains(w, q.Get("error_description"), tc.code)
				assert.Equal(w, "s t", q.Get("state"))
				assert.Empty(w, q.Get("code"))
			})
		})
	}
	t.Run("consent missing", func(t *testing.T) {
		inBubble(t, nil, func(w *world) {
			require.NoError(w, w.SetConsent(w.app.ClientID, false))
			q := w.signIn(nil)
			assert.Equal(w, "consent_required", q.Get("error"))
			assert.Contains(w, q.Get("error_description"), "AADSTS65001")
		})
	})
}

func TestAuthorizationErrorsOnAPage(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		set := func(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }
		for _, tc := range []struct {
			code   string
			change func(url.Values)
		}{
			{"AADSTS50011", set("redirect_uri", "http://evil.invalid/")},
			{"AADSTS50011", set("redirect_uri", "http://localhost:1/other")},
			// The port is not compared for loopback addresses only.
			{"AADSTS50011", set("redirect_uri", "https://workflow.eu.api.mitel.io:444/2017-09-01/integrations/microsoft/sso")},
			{"AADSTS700016", set("client_id", annID)},
		} {
			address := w.authorizationURL(tc.change)
			resp, err := w.client.Get(address)
			require.NoError(w, err)
			page, err := io.ReadAll(resp.Body)
			require.NoError(w, err)
			_ = resp.Body.Close()
			assert.Equal(w, http.StatusBadRequest, resp.StatusCode)
			assert.Contains(w, string(page), tc.code)
			_, err = w.SignIn(address, monID)
			assert.ErrorContains(w, err, tc.code)
		}
		_, err := w.SignIn("http://elsewhere.invalid/authorize", monID)
		assert.Error(w, err)
	})
}

func (w *world) postPage(address string, v url.Values) reply {
	w.Helper()
	client := *w.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPost, address, strings.NewReader(v.Encode()))
	require.NoError(w, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.exchange(&client, req)
}

func TestSignInPage(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.AddUser(graphtest.User{ID: monID, PrincipalName: "monitor@example.test", Password: presence.NewSecret("right")})
		address := w.authorizationURL(nil)
		resp, err := w.client.Get(address)
		require.NoError(w, err)
		page, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		assert.Contains(w, string(page), `value="monitor@example.test"`)
		assert.Contains(w, string(page), "ann@example.test")

		text := w.postPage(address, url.Values{"login": {"monitor@example.test"}, "password": {"wrong"}}).text
		assert.Contains(w, text, "AADSTS50126")
		text = w.postPage(address, url.Values{"login": {"nobody@example.test"}}).text
		assert.Contains(w, text, "AADSTS50034")
		w.AddUser(graphtest.User{ID: bobID, PrincipalName: "bob@example.test", Disabled: true})
		text = w.postPage(address, url.Values{"login": {"bob@example.test"}}).text
		assert.Contains(w, text, "AADSTS50057")

		redirect := w.postPage(address, url.Values{"cancel": {"1"}})
		assert.Contains(w, redirect.header.Get("Location"), "error=access_denied")
		assert.Contains(w, redirect.header.Get("Location"), "AADSTS65004")

		redirect = w.postPage(address, url.Values{"login": {"Monitor@example.test"}, "password": {"right"}})
		require.Equal(w, http.StatusFound, redirect.status)
		u, err := url.Parse(redirect.header.Get("Location"))
		require.NoError(w, err)
		status, body := w.form(w.codeForm(u.Query().Get("code"), "verifier"))
		assert.Equal(w, http.StatusOK, status, body)

		text = w.postPage(w.authorizationURL(func(v url.Values) { v.Set("response_mode", "form_post") }), url.Values{"login": {"ann@example.test"}}).text
		assert.Contains(w, text, `action="`+callback+`"`)
		assert.Contains(w, text, `name="code"`)
		assert.Contains(w, text, `name="state" value="s t"`)
	})
}

func TestAdminConsent(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		admin := w.AddUser(graphtest.User{PrincipalName: "admin@example.test", GlobalAdministrator: true})
		require.NoError(w, w.SetConsent(w.app.ClientID, false))
		scope := w.GraphURL() + "/.default"
		q := url.Values{"client_id": {w.app.ClientID}, "redirect_uri": {callback}, "state": {"x"}, "scope": {scope}}
		address := w.LoginURL() + "/" + w.TenantID() + "/v2.0/adminconsent?" + q.Encode()

		_, err := w.ConsentAs(address, annID)
		assert.Error(w, err, "only an administrator consents")
		page := w.postPage(address, url.Values{"login": {"ann@example.test"}}).text
		assert.Contains(w, page, "AADSTS90094")
		declined := w.postPage(address, url.Values{"cancel": {"1"}})
		assert.Contains(w, declined.header.Get("Location"), "error=access_denied")
		assert.NotContains(w, claimsOf(w, w.appToken()), "roles")

		redirect, err := w.ConsentAs(address, admin.ID)
		require.NoError(w, err)
		u, err := url.Parse(redirect)
		require.NoError(w, err)
		assert.Equal(w, url.Values{"admin_consent": {"True"}, "tenant": {w.TenantID()}, "scope": {scope}, "state": {"x"}}, u.Query())
		assert.Contains(w, claimsOf(w, w.appToken()), "roles")

		require.NoError(w, w.SetConsent(w.app.ClientID, false))
		resp := w.postPage(strings.Replace(address, "/v2.0/", "/", 1), url.Values{"login": {"admin@example.test"}})
		assert.Contains(w, resp.header.Get("Location"), "admin_consent=True")
		assert.Contains(w, claimsOf(w, w.appToken()), "roles")
	})
}
