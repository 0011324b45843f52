package graph

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestTokenRolesAreToldByTheClaim(t *testing.T) {
	for token, want := range map[string][]string{
		accessToken(`{"roles":["User.Read.All","Presence.ReadWrite.All"],"idtyp":"app"}`): {"User.Read.All", "Presence.ReadWrite.All"},
		accessToken(`{"roles":["User.Read.All"]}`):                                        {"User.Read.All"},
		accessToken(`{"idtyp":"app"}`):                                                    {},
		accessToken(`{"roles":[],"idtyp":"app"}`):                                         {},
		accessToken(`{"oid":"1"}`):                                                        nil,
		accessToken(`{"roles":["x"],"idtyp":"user"}`):                                     nil,
		accessToken(`{"roles":["x"],"scp":"User.Read"}`):                                  nil,
		accessToken(`{"roles":"User.Read.All","idtyp":"app"}`):                            nil,
		accessToken(`{"roles":[7],"idtyp":"app"}`):                                        nil,
		accessToken(`{"idtyp":7}`):                                                        nil,
		accessToken(`null`):                                                               nil,
		accessToken(`<html>`):                                                             nil,
		"EwBgA8l6BAAU.opaque":                                                             nil,
		"a.b.c":                                                                           nil,
		"":                                                                                nil,
	} {
		assert.Equal(t, want, TokenRoles(presence.NewSecret(token)), token)
	}
}

func TestRefreshOfAnApplicationTellsItsRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := accessToken(`{"roles":["User.Read.All"],"idtyp":"app"}`)
		w := &wire{handler: answer(200, `{"expires_in":3599,"access_token":"`+token+`"}`)}
		c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
		require.NoError(t, err)
		_, err = c.Token(t.Context())
		require.NoError(t, err)
		grant, err := c.Refresh(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"User.Read.All"}, grant.Roles)
		assert.Empty(t, grant.Scopes)
		missing := MissingPermissions(ApplicationPermissions(), grant.Roles)
		require.Len(t, missing, 2)
		assert.Equal(t, "Presence.ReadWrite.All", missing[0].Name)
		assert.Len(t, w.all(), 2, "Entra is asked though the first token is good")

		// The secret ends; the token it got would last for an hour.
		w.handler = answer(http.StatusUnauthorized, entraError("invalid_client", 7000222))
		_, err = c.Token(t.Context())
		require.NoError(t, err)
		_, err = c.Refresh(t.Context())
		require.ErrorIs(t, err, presence.ErrSecretExpired)
	})
}

func TestReadingOfTheRolesCanBeReplaced(t *testing.T) {
	o := credentialOptions(&wire{handler: answer(200, `{"expires_in":3599,"access_token":"opaque"}`)})
	o.TokenRoles = func(token presence.Secret) []string { return []string{"of " + token.Reveal()} }
	bySecret, err := NewSecretCredential(tenant, application, clientSecret, o)
	require.NoError(t, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	byCertificate, err := NewCertificateCredential(tenant, application, newCertificate(t, key), key, o)
	require.NoError(t, err)
	for _, c := range []*Credential{bySecret, byCertificate} {
		grant, err := c.Refresh(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"of opaque"}, grant.Roles)
	}
}

func FuzzAccessToken(f *testing.F) {
	f.Add(accessToken(`{"wids":["` + GlobalAdministratorRole + `"]}`))
	f.Add(accessToken(`{"roles":["User.Read.All"],"idtyp":"app"}`))
	f.Add(accessToken(`{"roles":["User.Read.All"],"scp":"User.Read"}`))
	f.Add("a.eyJ3aWRzIjpbXX0.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		administrator, roles := GlobalAdministrator(presence.NewSecret(token)), TokenRoles(presence.NewSecret(token))
		if administrator != nil || roles != nil {
			require.Equal(t, 2, strings.Count(token, "."), "only a readable token tells anything")
		}
		require.Equal(t, roles, TokenRoles(presence.NewSecret(token+"=")), "what follows the claims is not looked at")
	})
}
