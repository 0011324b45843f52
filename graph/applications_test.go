package graph

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

const applicationAnswer = `{
	"@odata.context": "http://graph.test/v1.0/$metadata#applications/$entity",
	"id": "99999999-0000-4000-8000-000000000001", "appId": "` + application + `", "displayName": "bridge", "signInAudience": "AzureADMyOrg",
	"passwordCredentials": [
		{"customKeyIdentifier": null, "displayName": "monitor 1", "endDateTime": "2027-03-21T10:00:00Z", "hint": "abc", "keyId": "k1", "secretText": null, "startDateTime": "2026-03-21T10:00:00.1234567Z"},
		7,
		{},
		{"displayName": null, "endDateTime": "soon", "hint": null, "keyId": "k2", "startDateTime": null}
	],
	"web": {"redirectUris": ["https://bridge.test/callback"], "homePageUrl": null},
	"spa": {"redirectUris": ["https://bridge.test/spa"]},
	"publicClient": {"redirectUris": null},
	"requiredResourceAccess": [{"resourceAppId": "` + ResourceID + `", "resourceAccess": [{"id": "83cded22-8297-4ff6-a7fa-e97e9545a259", "type": "Role"}]}]
}`

func TestApplicationIsReadByItsClientID(t *testing.T) {
	c, w := newTestClient(t, answer(200, applicationAnswer), nil)
	got, err := c.Application(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Application{
		ID: "99999999-0000-4000-8000-000000000001", ClientID: application, Name: "bridge", SignInAudience: "AzureADMyOrg",
		ClientSecrets: []ClientSecret{
			{KeyID: "k1", Description: "monitor 1", Hint: "abc", StartsAt: time.Date(2026, 3, 21, 10, 0, 0, 123456700, time.UTC), ExpiresAt: time.Date(2027, 3, 21, 10, 0, 0, 0, time.UTC)},
			{KeyID: "k2"},
		},
		WebRedirectURIs: []string{"https://bridge.test/callback"}, SPARedirectURIs: []string{"https://bridge.test/spa"},
		RequiredPermissions: []RequiredPermission{{ResourceID, "83cded22-8297-4ff6-a7fa-e97e9545a259", ApplicationPermission}},
	}, got)
	sent := w.only(t)
	assert.Equal(t, "/v1.0/applications(appId='"+application+"')", sent.Path)
	assert.Equal(t, "%24select=id,appId,displayName,signInAudience,passwordCredentials,web,spa,publicClient,requiredResourceAccess", sent.Query)
	// The pool of monitors has the same secrets in a type of its own.
	assert.Equal(t, "abc", monitor.ClientSecret(got.ClientSecrets[0]).Hint)
}

func TestApplicationThatIsNoneIsMalformed(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `[]`, `<html>`, `{"appId":7}`, `{"value":[]}`} {
		c, _ := newTestClient(t, answer(200, body), func(o *Options) { o.ReadRetries = -1 })
		_, err := c.Application(t.Context())
		require.ErrorIs(t, err, ErrMalformed, body)
	}
}

func TestWithoutItsPermissionTheApplicationIsForbidden(t *testing.T) {
	c, _ := newTestClient(t, answer(403, graphError("Authorization_RequestDenied", "Insufficient privileges to complete the operation.")), nil)
	_, err := c.Application(t.Context())
	require.ErrorIs(t, err, presence.ErrForbidden)
	assert.ErrorContains(t, err, "add the permission Application.Read.All")
	_, err = c.GrantedRoles(t.Context())
	require.ErrorIs(t, err, presence.ErrForbidden)
	assert.ErrorContains(t, err, "add the permission Application.Read.All")
}

func TestGrantedRolesComeFromAllPages(t *testing.T) {
	c, w := newTestClient(t, inTurn(
		answer(200, `{"value":[{"appRoleId":"83CDED22-8297-4ff6-a7fa-e97e9545a259"},{"appRoleId":null},{"appRoleId":"a70e0c2d-e793-494c-94c4-118fa0a67f42"}],"@odata.nextLink":"http://graph.test/v1.0/servicePrincipals/1/appRoleAssignments?$skiptoken=a%2Bb"}`),
		answer(200, `{"value":[{"appRoleId":"00000000-0000-4000-8000-000000000000"}]}`),
	), nil)
	got, err := c.GrantedRoles(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []AppRole{
		{ID: "83CDED22-8297-4ff6-a7fa-e97e9545a259", Name: "Presence.ReadWrite.All"},
		{ID: "a70e0c2d-e793-494c-94c4-118fa0a67f42", Name: "Presence.Read.All"},
		{ID: "00000000-0000-4000-8000-000000000000"},
	}, got)
	all := w.all()
	require.Len(t, all, 2)
	assert.Equal(t, "/v1.0/servicePrincipals(appId='"+application+"')/appRoleAssignments", all[0].Path)
	assert.Equal(t, "%24select=appRoleId", all[0].Query)
	assert.Equal(t, "$skiptoken=a%2Bb", all[1].Query, "a link is followed to the letter")
	for _, r := range all {
		assert.Equal(t, http.MethodGet, r.Method)
		assert.Equal(t, "Bearer token-1", r.Header.Get("Authorization"))
	}
}

func TestGrantedRolesDoNotFollowALinkElsewhere(t *testing.T) {
	c, w := newTestClient(t, answer(200, `{"value":[],"@odata.nextLink":"http://elsewhere.test/v1.0/servicePrincipals"}`), nil)
	_, err := c.GrantedRoles(t.Context())
	require.ErrorIs(t, err, ErrMalformed)
	w.only(t)
}

func FuzzApplication(f *testing.F) {
	f.Add(applicationAnswer)
	f.Add(`{"appId":"1","passwordCredentials":[null,[],{"keyId":"k","endDateTime":{}},{"endDateTime":"9999-99-99T00:00:00Z"}],"web":null}`)
	f.Add(`{"appId":"1","requiredResourceAccess":[{"resourceAccess":[{}]}]}`)
	f.Add(`<html>`)
	f.Fuzz(func(t *testing.T, body string) {
		a, skipped, err := decodeApplication(strings.NewReader(body))
		require.GreaterOrEqual(t, skipped, 0)
		if err != nil {
			require.Zero(t, a)
			return
		}
		require.NotEmpty(t, a.ClientID)
		for _, s := range a.ClientSecrets {
			require.NotZero(t, s, "a secret of which nothing is known is none")
		}
	})
}
