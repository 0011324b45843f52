package graph

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// accessToken returns a token with these claims, signed by nobody.
func accessToken(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","nonce":"x"}`)) + "." + encode([]byte(claims)) + ".c2lnbmF0dXJl"
}

func TestGlobalAdministratorIsToldByTheClaim(t *testing.T) {
	yes, no := true, false
	for token, want := range map[string]*bool{
		accessToken(`{"wids":["b79fbf4d-3ef9-4689-8143-76b194e85509","` + strings.ToUpper(GlobalAdministratorRole) + `"]}`): &yes,
		accessToken(`{"wids":["b79fbf4d-3ef9-4689-8143-76b194e85509"]}`):                                                    &no,
		accessToken(`{"wids":[]}`):                                &no,
		accessToken(`{"wids":null}`):                              nil,
		accessToken(`{"oid":"1"}`):                                nil,
		accessToken(`{"wids":"` + GlobalAdministratorRole + `"}`): nil,
		accessToken(`{"wids":[7]}`):                               nil,
		accessToken(`null`):                                       nil,
		accessToken(`<html>`):                                     nil,
		"EwBgA8l6BAAU.opaque":                                     nil,
		"a.b.c":                                                   nil,
		"":                                                        nil,
		strings.Replace(accessToken(`{"wids":[]}`), ".", "==.", 1): &no,
	} {
		assert.Equal(t, want, GlobalAdministrator(presence.NewSecret(token)), token)
	}
}

func TestExchangeTellsOfAGlobalAdministrator(t *testing.T) {
	token := accessToken(`{"wids":["` + GlobalAdministratorRole + `"]}`)
	a, _ := newTestAuthorizer(t, answer(200, `{"access_token":"`+token+`"}`))
	grant, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.NoError(t, err)
	require.NotNil(t, grant.GlobalAdministrator)
	assert.True(t, *grant.GlobalAdministrator)

	a, _ = newTestAuthorizer(t, answer(200, `{"access_token":"opaque"}`))
	grant, err = a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.NoError(t, err)
	assert.Nil(t, grant.GlobalAdministrator, "what cannot be read tells nothing, and is no error")
}

func TestReadingOfTheAccessTokenCanBeReplaced(t *testing.T) {
	never := func(presence.Secret) *bool { return nil }
	token := accessToken(`{"wids":["` + GlobalAdministratorRole + `"]}`)
	w := &wire{handler: answer(200, `{"expires_in":3599,"access_token":"`+token+`"}`)}
	o := credentialOptions(w)
	a, err := NewAuthorizer(tenant, application, clientSecret, "https://bridge.test/callback", &AuthorizerOptions{Cloud: o.Cloud, HTTPClient: o.HTTPClient, GlobalAdministrator: never})
	require.NoError(t, err)
	grant, err := a.Exchange(t.Context(), "code-1", presence.NewSecret("verifier-1"))
	require.NoError(t, err)
	assert.Nil(t, grant.GlobalAdministrator)

	c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.NewSecret("refresh-0"), &DelegatedOptions{Cloud: o.Cloud, HTTPClient: o.HTTPClient, GlobalAdministrator: never})
	require.NoError(t, err)
	grant, err = c.Refresh(t.Context())
	require.NoError(t, err)
	assert.Nil(t, grant.GlobalAdministrator)
}
