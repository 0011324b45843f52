package cloudlinktest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
)

// claimsOf reads a token as a client would that wants to know its end.
func claimsOf(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	require.NoError(t, err)
	assert.Equal(t, "HS256", parsed.Method.Alg())
	return claims
}

func TestPasswordGrant(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for _, account := range []string{f.AccountID(), f.AccountNumber()} {
			r := f.form("/token", "grant_type", "password", "username", "ANN@example.com", "password", "ann-password", "account_id", account)
			require.Equal(f.t, http.StatusOK, r.status)
			assert.Equal(f.t, "bearer", r.text("token_type"))
			assert.Equal(f.t, "read write", r.text("scope"))
			assert.InEpsilon(f.t, 3747, r.json["expires_in"], 0)

			claims := claimsOf(f.t, r.text("access_token"))
			for name, want := range (object{
				"uniqueUserId": f.ann.UniqueID, "principalId": "ann-id", "accountId": f.AccountID(), "partnerId": f.PartnerID(),
				"email": "ann@example.com", "emailVerified": true, "extensionVerified": true, "mobileVerified": false,
				"phoneVerified": false, "name": "Ann", "role": "USER", "userId": "ann-id", "languageCode": "en",
			}) {
				assert.Equal(f.t, want, claims[name], name)
			}
			for _, name := range []string{"domain", "sipAddress", "iss", "iat"} {
				assert.NotEmpty(f.t, claims[name], name)
			}
			end, err := claims.GetExpirationTime()
			require.NoError(f.t, err)
			assert.Equal(f.t, 3747*time.Second, time.Until(end.Time))

			refresh := claimsOf(f.t, r.text("refresh_token"))
			end, err = refresh.GetExpirationTime()
			require.NoError(f.t, err)
			assert.Equal(f.t, 1296000*time.Second, time.Until(end.Time))
			assert.Equal(f.t, "user", refresh["type"])
			assert.Equal(f.t, "ann-id", refresh["id"])
			assert.Equal(f.t, "cloudlink", refresh["authProvider"])
		}
	})
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		form []string
		want int
	}{
		"wrong password":    {[]string{"grant_type", "password", "username", "ann@example.com", "password", "x", "account_id", "100001"}, 401},
		"no password set":   {[]string{"grant_type", "password", "username", "bob@example.com", "password", "", "account_id", "100001"}, 401},
		"unknown user":      {[]string{"grant_type", "password", "username", "eve@example.com", "password", "x", "account_id", "100001"}, 401},
		"other account":     {[]string{"grant_type", "password", "username", "ann@example.com", "password", "ann-password", "account_id", "2"}, 401},
		"wrong secret":      {[]string{"grant_type", "client_credentials", "client_id", "bridge", "client_secret", "x", "account_id", "100001"}, 401},
		"unknown client":    {[]string{"grant_type", "client_credentials", "client_id", "x", "client_secret", "", "account_id", "100001"}, 401},
		"no account":        {[]string{"grant_type", "client_credentials", "client_id", "bridge", "client_secret", "client-secret"}, 401},
		"unknown refresh":   {[]string{"grant_type", "refresh_token", "refresh_token", "x"}, 401},
		"unknown code":      {[]string{"grant_type", "authorization_code", "code", "x", "client_id", "bridge"}, 401},
		"no grant":          {nil, 400},
		"unknown grant":     {[]string{"grant_type", "device_code"}, 400},
		"a form that isn't": {[]string{"grant_type", "%zz"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
				r := f.form("/token", c.form...)
				assert.Equal(f.t, c.want, r.status)
				assert.NotEmpty(f.t, r.text("name"))
				assert.NotEmpty(f.t, r.text("message"))
				assert.Empty(f.t, r.text("access_token"))
			})
		})
	}
}

func TestTokenRequestAsJSON(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		r := f.callAs("", "POST", "authentication", "/token", object{
			"grant_type": "client_credentials", "client_id": "bridge", "client_secret": "client-secret", "account_id": f.AccountID(),
		})
		require.Equal(f.t, http.StatusOK, r.status)
		assert.NotContains(f.t, r.json, "refresh_token")
		r = f.send("POST", f.URL("authentication")+"/token", "", "application/json", []byte("{"))
		assert.Equal(f.t, http.StatusBadRequest, r.status)
	})
}

func TestRefreshToken(t *testing.T) {
	grant := func(f *fixture) string {
		return f.form("/token", "grant_type", "password", "username", "ann@example.com", "password", "ann-password", "account_id", "100001").
			text("refresh_token")
	}
	inBubble(t, cloudlinktest.Options{RefreshLifetime: time.Hour}, func(f *fixture) {
		first := grant(f)
		for _, field := range []string{"refresh_token", "token"} {
			r := f.form("/token", "grant_type", "refresh_token", field, first)
			require.Equal(f.t, http.StatusOK, r.status, field)
			assert.Equal(f.t, http.StatusOK, f.callAs(r.text("access_token"), "GET", "authentication", "/token", nil).status)
			assert.NotEqual(f.t, first, r.text("refresh_token"))
		}
		time.Sleep(time.Hour)
		assert.Equal(f.t, http.StatusUnauthorized, f.form("/token", "grant_type", "refresh_token", "refresh_token", first).status)

		second := grant(f)
		f.RevokeRefreshTokens()
		assert.Equal(f.t, http.StatusUnauthorized, f.form("/token", "grant_type", "refresh_token", "refresh_token", second).status)
	})
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{RotateRefreshTokens: true}}, func(f *fixture) {
		first := grant(f)
		require.Equal(f.t, http.StatusOK, f.form("/token", "grant_type", "refresh_token", "refresh_token", first).status)
		assert.Equal(f.t, http.StatusUnauthorized, f.form("/token", "grant_type", "refresh_token", "refresh_token", first).status)
	})
}

func TestAuthorizationCode(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		authorize := func(clientID string) reply {
			return f.form("/authorize", "response_type", "code", "username", "ann@example.com", "password", "ann-password",
				"account_id", f.AccountID(), "client_id", clientID)
		}
		exchange := func(code, clientID string) reply {
			return f.form("/token", "grant_type", "authorization_code", "code", code, "client_id", clientID)
		}
		code := authorize("bridge").text("code")
		require.NotEmpty(f.t, code)
		r := exchange(code, "bridge")
		require.Equal(f.t, http.StatusOK, r.status)
		assert.NotEmpty(f.t, r.text("refresh_token"))
		assert.Equal(f.t, http.StatusUnauthorized, exchange(code, "bridge").status, "a code is for one use")

		assert.Equal(f.t, http.StatusUnauthorized, exchange(authorize("bridge").text("code"), "other").status)
		late := authorize("bridge").text("code")
		time.Sleep(10 * time.Minute)
		assert.Equal(f.t, http.StatusUnauthorized, exchange(late, "bridge").status)

		assert.Equal(f.t, http.StatusBadRequest, authorize("unregistered").status)
		assert.Equal(f.t, http.StatusBadRequest, f.form("/authorize", "response_type", "token").status)
		assert.Equal(f.t, http.StatusUnauthorized, f.form("/authorize", "response_type", "code", "client_id", "bridge",
			"username", "ann@example.com", "password", "x", "account_id", f.AccountID()).status)
	})
}

func TestWhoamiHasStringsForBooleansAndTimes(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		r := f.callAs(f.annToken, "GET", "authentication", "/token", nil)
		require.Equal(f.t, http.StatusOK, r.status)
		for name, want := range (object{
			"emailVerified": "true", "extensionVerified": "true", "mobileVerified": "false", "phoneVerified": "false",
			"aud": "https://mitel.io/auth/teamwork", "userId": "ann-id", "principalId": "ann-id", "loginId": "ann@example.com",
			"accountId": f.AccountID(), "partnerId": f.PartnerID(), "extension": "2001", "siteId": "site-1", "role": "USER", "name": "Ann",
			"uniqueUserId": f.ann.UniqueID, "languageCode": "en", "integrationLatency": float64(0),
		}) {
			assert.Equal(f.t, want, r.json[name], name)
		}
		for _, name := range []string{"exp", "iat"} {
			assert.IsType(f.t, "", r.json[name], name)
		}
		for _, name := range []string{"profileHeaderUrl", "photoUrl", "mobile", "phone"} {
			assert.Contains(f.t, r.json, name)
		}
		assert.Equal(f.t, "bridge", f.call("GET", "authentication", "/token", nil).text("principalId"))
	})
}

func TestTokensAreDemandedAndEnd(t *testing.T) {
	inBubble(t, cloudlinktest.Options{TokenLifetime: time.Minute}, func(f *fixture) {
		whoami := func(token string) int { return f.callAs(token, "GET", "authentication", "/token", nil).status }
		assert.Equal(f.t, http.StatusUnauthorized, whoami(""))
		assert.Equal(f.t, http.StatusUnauthorized, whoami("nonsense"))
		assert.Equal(f.t, http.StatusOK, whoami(f.token))
		f.ExpireTokens()
		assert.Equal(f.t, http.StatusUnauthorized, whoami(f.token))
		token := f.clientToken("bridge", "client-secret")
		assert.NotEqual(f.t, f.token, token, "a token that was ended never comes back")
		time.Sleep(time.Minute - 1)
		assert.Equal(f.t, http.StatusOK, whoami(token))
		time.Sleep(time.Nanosecond)
		assert.Equal(f.t, http.StatusUnauthorized, whoami(token))
	})
}

func TestBareTokenIsTaken(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		request, err := http.NewRequestWithContext(f.t.Context(), "GET", f.URL("authentication")+"/token", nil)
		require.NoError(f.t, err)
		request.Header.Set("Authorization", f.token)
		response, err := f.Client().Do(request)
		require.NoError(f.t, err)
		_ = response.Body.Close()
		assert.Equal(f.t, http.StatusOK, response.StatusCode)
	})
}
