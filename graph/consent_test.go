package graph

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdminConsentURLNeedsNoSecret(t *testing.T) {
	const callback = "https://bridge.test/callback?a=b"
	raw, err := AdminConsentURL(testCloud(), tenant, application, callback, "s t")
	require.NoError(t, err)
	u, err := url.Parse(raw)
	require.NoError(t, err)
	assert.Equal(t, "http://login.test/"+tenant+"/v2.0/adminconsent", "http://"+u.Host+u.Path)
	assert.Equal(t, url.Values{
		"client_id": {application}, "scope": {"http://graph.test/.default"}, "redirect_uri": {callback}, "state": {"s t"},
	}, u.Query())

	a, err := NewAuthorizer(tenant, application, clientSecret, callback, &AuthorizerOptions{Cloud: testCloud()})
	require.NoError(t, err)
	assert.Equal(t, raw, a.AdminConsentURL("s t"), "it is the same URL")

	raw, err = AdminConsentURL(Cloud{}, "contoso.example", application, callback, "")
	require.NoError(t, err)
	assert.Contains(t, raw, "https://login.microsoftonline.com/contoso.example/v2.0/adminconsent?")
	assert.Contains(t, raw, url.QueryEscape("https://graph.microsoft.com/.default"))
	assert.NotContains(t, raw, "state")

	_, err = AdminConsentURL(Cloud{LoginURL: "ftp://x", GraphURL: "https://y.example"}, "../x", "a b", "/callback", "s")
	for _, part := range []string{"LoginURL", "tenant id", "client id", "redirect URL"} {
		assert.ErrorContains(t, err, part)
	}
}
