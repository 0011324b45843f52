package graph

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func newTestAuthorizer(t *testing.T, handler http.HandlerFunc) (*Authorizer, *wire) {
	t.Helper()
	w := &wire{handler: handler}
	a, err := NewAuthorizer(tenant, application, clientSecret, "https://bridge.test/callback", &AuthorizerOptions{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}})
	require.NoError(t, err)
	return a, w
}

func TestBeginMakesTheURLThatEntraDocuments(t *testing.T) {
	a, _ := newTestAuthorizer(t, nil)
	first, err := a.Begin("state-1", &AuthorizationOptions{LoginHint: "monitor@contoso.test", DomainHint: "contoso.test", Prompt: "login", ResponseMode: ResponseFormPost})
	require.NoError(t, err)
	u, err := url.Parse(first.URL)
	require.NoError(t, err)
	assert.Equal(t, "http://login.test/"+tenant+"/oauth2/v2.0/authorize", u.Scheme+"://"+u.Host+u.Path)
	challenge := sha256.Sum256([]byte(first.Verifier.Reveal()))
	assert.Equal(t, url.Values{
		"client_id": {application}, "response_type": {"code"}, "redirect_uri": {"https://bridge.test/callback"}, "response_mode": {"form_post"}, "state": {"state-1"},
		"scope":      {"openid profile email offline_access User.Read User.Read.All Subscription.Read.All Presence.Read Presence.ReadWrite Presence.Read.All"},
		"login_hint": {"monitor@contoso.test"}, "domain_hint": {"contoso.test"}, "prompt": {"login"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}, u.Query())

	second, err := a.Begin("state-2", nil)
	require.NoError(t, err)
	assert.False(t, first.Verifier.Equal(second.Verifier))
	assert.NotContains(t, second.URL, "prompt")
	assert.Contains(t, second.URL, "response_mode=query")
}

func TestBeginNamesAllFaults(t *testing.T) {
	a, _ := newTestAuthorizer(t, nil)
	_, err := a.Begin("", &AuthorizationOptions{Prompt: "please", ResponseMode: "fragment"})
	for _, want := range []string{"state", "please", "fragment"} {
		assert.ErrorContains(t, err, want)
	}
	_, err = NewAuthorizer("", "", presence.Secret{}, "/callback", nil)
	for _, want := range []string{"tenant id", "client id", "client secret", "redirect URL"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestScopesNameTheResourceInTheUSClouds(t *testing.T) {
	a, err := NewAuthorizer(tenant, application, clientSecret, "https://bridge.test/callback", &AuthorizerOptions{Cloud: USGovernment(), Scopes: []string{"openid", "Presence.Read.All"}})
	require.NoError(t, err)
	request, err := a.Begin("state", nil)
	require.NoError(t, err)
	u, err := url.Parse(request.URL)
	require.NoError(t, err)
	assert.Equal(t, "openid https://graph.microsoft.us/Presence.Read.All", u.Query().Get("scope"))
}

func idToken(t *testing.T, audience string) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": audience, "oid": ann, "tid": tenant, "preferred_username": "monitor@contoso.test", "name": "Monitor 1",
	}).SignedString([]byte("any"))
	require.NoError(t, err)
	return token
}

func TestExchangeReturnsWhoSignedInAndWhatWasGranted(t *testing.T) {
	a, w := newTestAuthorizer(t, answer(200, `{"expires_in":3600,"access_token":"a","refresh_token":"r","scope":"http://graph.test/Presence.Read.All User.Read","id_token":"`+idToken(t, application)+`"}`))
	grant, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.NoError(t, err)
	assert.Equal(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {"code-1"}, "code_verifier": {"verifier-1"}, "redirect_uri": {"https://bridge.test/callback"},
		"client_id": {application}, "client_secret": {"client~secret"},
	}, form(t, w.only(t)))
	assert.Equal(t, []string{"Presence.Read.All", "User.Read"}, grant.Scopes)
	assert.Equal(t, IDTokenClaims{ObjectID: ann, TenantID: tenant, PreferredUsername: "monitor@contoso.test", Name: "Monitor 1"}, grant.IDTokenClaims)
	assert.Equal(t, "a", grant.AccessToken.Reveal())
	assert.Equal(t, "r", grant.RefreshToken.Reveal())
	assert.False(t, grant.Expiry.IsZero())
}

func TestExchangeIsNotRepeated(t *testing.T) {
	a, w := newTestAuthorizer(t, answer(503, ""))
	_, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.ErrorIs(t, err, presence.ErrUnavailable)
	assert.Len(t, w.all(), 1)
}

func TestIDTokenOfAnotherApplicationIsRefused(t *testing.T) {
	for _, token := range []string{idToken(t, ann), "x.y.z", "x"} {
		a, _ := newTestAuthorizer(t, answer(200, `{"access_token":"a","id_token":"`+token+`"}`))
		_, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestIDTokenOfTheApplicationIsKnownWhateverTheCaseOfItsID(t *testing.T) {
	const registered = "ab000000-0000-4000-8000-00000000cdef"
	w := &wire{handler: answer(200, `{"access_token":"a","id_token":"`+idToken(t, registered)+`"}`)}
	a, err := NewAuthorizer(tenant, strings.ToUpper(registered), clientSecret, "https://bridge.test/callback", &AuthorizerOptions{
		Cloud: testCloud(), HTTPClient: &http.Client{Transport: w},
	})
	require.NoError(t, err)
	grant, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.NoError(t, err)
	assert.Equal(t, ann, grant.IDTokenClaims.ObjectID)
}

func TestCallbackTellsTheOutcome(t *testing.T) {
	values := func(s string) url.Values {
		v, err := url.ParseQuery(s)
		require.NoError(t, err)
		return v
	}
	cb, err := ParseCallback(values("code=c&state=s"))
	require.NoError(t, err)
	assert.Equal(t, Callback{State: "s", Code: presence.NewSecret("c")}, cb)

	cb, err = ParseCallback(values("admin_consent=True&tenant=" + tenant + "&state=s"))
	require.NoError(t, err)
	assert.Equal(t, Callback{State: "s", AdminConsent: true, TenantID: tenant}, cb)

	cb, err = ParseCallback(values("error=access_denied&error_description=AADSTS65004%3A+User+declined&state=s&code=c&admin_consent=True"))
	require.ErrorIs(t, err, presence.ErrConsentMissing)
	assert.Equal(t, Callback{State: "s"}, cb)

	_, err = ParseCallback(values("state=s"))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestRedirectURIsAreThoseOfTheRegions(t *testing.T) {
	for _, region := range []string{"us", "eu", "ap", "EU"} {
		got, err := RedirectURI(region)
		require.NoError(t, err)
		assert.Equal(t, "https://workflow."+strings.ToLower(region)+".api.mitel.io/2017-09-01/integrations/microsoft/sso", got)
	}
	_, err := RedirectURI("mars")
	assert.ErrorContains(t, err, "us, eu or ap")
}

func TestPermissionsAreThoseOfTheGuide(t *testing.T) {
	names := func(all []Permission) (names []string) {
		for _, p := range all {
			assert.Len(t, p.ID, 36, p.Name)
			assert.NotEmpty(t, p.Purpose, p.Name)
			names = append(names, p.Name)
		}
		return names
	}
	assert.ElementsMatch(t, []string{"Presence.ReadWrite.All", "User.Read.All", "Application.Read.All"}, names(ApplicationPermissions()))
	assert.ElementsMatch(t, []string{"email", "offline_access", "openid", "profile", "User.Read", "User.Read.All", "Subscription.Read.All", "Presence.Read", "Presence.ReadWrite", "Presence.Read.All"}, names(DelegatedScopes()))
	assert.Equal(t, []string{"Application.Read.All"}, names(MissingPermissions(ApplicationPermissions(), []string{"User.Read.All", "Presence.ReadWrite.All"})))
	assert.NotContains(t, names(MissingPermissions(DelegatedScopes(), nil)), "offline_access")
}

func TestCloudMustBeHTTPSButForTests(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://graph.microsoft.com": true, "https://graph.microsoft.com/": true, "http://127.0.0.1:9400/graph": true, "http://[::1]:9400": true, "http://localhost:1": true, "http://graph.test": true,
		"http://graph.microsoft.com": false, "http://10.0.0.1": false, "ftp://graph.test": false, "": false, "graph.test": false, "https://u:p@graph.test": false, "https://graph.test?x": false,
	} {
		got, err := Cloud{Name: "x", LoginURL: base, GraphURL: base}.normalize()
		assert.Equal(t, ok, err == nil, "%q: %v", base, err)
		if ok {
			assert.Equal(t, strings.TrimRight(base, "/"), got.GraphURL)
		}
	}
	zero, err := Cloud{}.normalize()
	require.NoError(t, err)
	assert.Equal(t, Global(), zero)
}
