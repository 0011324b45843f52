package graphtest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
)

const callback = "http://localhost:8123/callback"

// claimsOf reads a token without checking its signature.
func claimsOf(t require.TestingT, token string) map[string]any {
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var c map[string]any
	require.NoError(t, json.Unmarshal(raw, &c))
	return c
}

// assertRefused checks an error body of the token endpoint to the letter.
func (w *world) assertRefused(status int, body map[string]any, wantStatus int, wantError string, wantCode int) {
	w.Helper()
	assert.Equal(w, wantStatus, status, body)
	assert.Equal(w, wantError, body["error"])
	assert.Equal(w, []any{float64(wantCode)}, body["error_codes"])
	description, _ := body["error_description"].(string)
	assert.True(w, strings.HasPrefix(description, fmt.Sprintf("AADSTS%d: ", wantCode)), description)
	assert.Contains(w, description, "Trace ID: "+body["trace_id"].(string))
	assert.Contains(w, description, "Correlation ID: "+body["correlation_id"].(string))
	assert.Equal(w, fmt.Sprintf("%s/error?code=%d", w.LoginURL(), wantCode), body["error_uri"])
	_, err := time.Parse("2006-01-02 15:04:05Z", body["timestamp"].(string))
	assert.NoError(w, err)
}

func (w *world) appForm(change func(url.Values)) url.Values {
	v := w.credentials(url.Values{"grant_type": {"client_credentials"}, "scope": {w.GraphURL() + "/.default"}})
	if change != nil {
		change(v)
	}
	return v
}

func TestAppOnlyToken(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		status, body := w.form(w.appForm(nil))
		require.Equal(w, http.StatusOK, status)
		assert.Equal(w, "Bearer", body["token_type"])
		assert.EqualValues(w, 3599, body["expires_in"])
		assert.NotContains(w, body, "refresh_token")
		c := claimsOf(w, body["access_token"].(string))
		assert.Equal(w, []any{"Presence.ReadWrite.All", "User.Read.All", "Application.Read.All"}, c["roles"])
		assert.Equal(w, w.app.ClientID, c["appid"])
		assert.Equal(w, w.TenantID(), c["tid"])
		assert.Equal(w, w.GraphURL(), c["aud"])
		assert.NotContains(w, c, "scp")
		assert.EqualValues(w, time.Now().Add(time.Hour).Unix(), c["exp"])
	})
}

func TestAppOnlyTokenIsIssuedWithoutRoles(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		require.NoError(w, w.SetConsent(w.app.ClientID, false))
		token := w.appToken()
		assert.NotContains(w, claimsOf(w, token), "roles")
		status, body := w.do(token, "GET", "users/"+annID+"/presence", nil)
		assert.Equal(w, http.StatusForbidden, status)
		assert.Equal(w, "Forbidden", code(body))
		_, body = w.do(token, "GET", "users", nil)
		assert.Equal(w, "Authorization_RequestDenied", code(body))
	})
}

func TestTokenRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tenant string
		form   func(w *world) url.Values
		status int
		oauth  string
		code   int
	}{
		{"wrong secret", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Set("client_secret", "wrong") })
		}, 401, "invalid_client", 7000215},
		{"expired secret", "", func(w *world) url.Values {
			require.NoError(w, w.ExpireSecret(w.app.ClientID, w.app.Secrets[0].Value))
			return w.appForm(nil)
		}, 401, "invalid_client", 7000222},
		{"secret that begins later", "", func(w *world) url.Values {
			later, err := w.AddSecret(w.app.ClientID, graphtest.Secret{Start: time.Now().Add(time.Hour)})
			require.NoError(w, err)
			return w.appForm(func(v url.Values) { v.Set("client_secret", later.Value.Reveal()) })
		}, 401, "invalid_client", 7000215},
		{"no secret", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Del("client_secret") })
		}, 401, "invalid_client", 7000218},
		{"unknown application", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Set("client_id", annID) })
		}, 400, "unauthorized_client", 700016},
		{"disabled application", "", func(w *world) url.Values {
			w.app.Disabled = true
			w.AddApplication(w.app)
			return w.appForm(nil)
		}, 400, "unauthorized_client", 7000112},
		{"unknown tenant", "contoso.invalid", func(w *world) url.Values { return w.appForm(nil) }, 400, "invalid_request", 90002},
		{"common tenant", "common", func(w *world) url.Values { return w.appForm(nil) }, 400, "invalid_request", 50194},
		{"scope without default", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Set("scope", w.GraphURL()+"/Presence.Read.All") })
		}, 400, "invalid_scope", 70011},
		{"scope of another resource", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Set("scope", "https://other.invalid/.default") })
		}, 400, "invalid_scope", 70011},
		{"no grant type", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Del("grant_type") })
		}, 400, "invalid_request", 900144},
		{"unknown grant type", "", func(w *world) url.Values {
			return w.appForm(func(v url.Values) { v.Set("grant_type", "password") })
		}, 400, "unsupported_grant_type", 70003},
		{"unknown refresh token", "", func(w *world) url.Values { return w.refreshForm("nonsense") }, 400, "invalid_grant", 70000},
		{"revoked refresh token", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			w.RevokeRefreshTokens(annID)
			return w.refreshForm(token)
		}, 400, "invalid_grant", 50173},
		{"refresh token unused for 90 days", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			time.Sleep(90 * 24 * time.Hour)
			return w.refreshForm(token)
		}, 400, "invalid_grant", 700082},
		{"disabled user", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			w.AddUser(graphtest.User{ID: annID, PrincipalName: "ann@example.test", Disabled: true})
			return w.refreshForm(token)
		}, 400, "invalid_grant", 50057},
		{"user without the second factor", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			w.AddUser(graphtest.User{ID: annID, PrincipalName: "ann@example.test", SignInRefusal: 50076})
			return w.refreshForm(token)
		}, 400, "invalid_grant", 50076},
		{"removed user", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			w.RemoveUser(annID)
			return w.refreshForm(token)
		}, 400, "invalid_grant", 50034},
		{"refresh token of another application", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			w.app = w.AddApplication(graphtest.Application{})
			return w.refreshForm(token)
		}, 400, "invalid_grant", 70000},
		{"consent withdrawn", "", func(w *world) url.Values {
			token := w.refreshToken(annID)
			require.NoError(w, w.SetConsent(w.app.ClientID, false))
			return w.refreshForm(token)
		}, 400, "invalid_grant", 65001},
		{"scope beyond the consent", "", func(w *world) url.Values {
			v := w.refreshForm(w.refreshToken(annID))
			v.Set("scope", "Directory.Read.All")
			return v
		}, 400, "invalid_grant", 65001},
		{"unknown code", "", func(w *world) url.Values { return w.codeForm("nonsense", "") }, 400, "invalid_grant", 70000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				form, tenant := tc.form(w), tc.tenant
				if tenant == "" {
					tenant = w.TenantID()
				}
				status, body := w.formTo(tenant, form)
				w.assertRefused(status, body, tc.status, tc.oauth, tc.code)
			})
		})
	}
}

func (w *world) refreshToken(userID string) string {
	w.Helper()
	token, err := w.GrantRefreshToken(w.app.ClientID, userID)
	require.NoError(w, err)
	return token.Reveal()
}

func (w *world) refreshForm(token string) url.Values {
	return w.credentials(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (w *world) codeForm(code, verifier string) url.Values {
	return w.credentials(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
}

func TestTokenEndpointTakesPostOnly(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		status, body := w.do("", "GET", w.LoginURL()+"/"+w.TenantID()+"/oauth2/v2.0/token", nil)
		w.assertRefused(status, body, 400, "invalid_request", 900561)
	})
}

func TestGlobalAdministratorIsInTheToken(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		admin := w.AddUser(graphtest.User{GlobalAdministrator: true})
		assert.Equal(w, []any{"62e90394-69f5-4237-9190-012177145e10"}, claimsOf(w, w.userToken(admin.ID))["wids"])
		assert.Equal(w, []any{"b79fbf4d-3ef9-4689-8143-76b194e85509"}, claimsOf(w, w.userToken(annID))["wids"])
	})
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{OmitDirectoryRoles: true}}, func(w *world) {
		admin := w.AddUser(graphtest.User{GlobalAdministrator: true})
		assert.Contains(w, claimsOf(w, w.userToken(admin.ID)), "wids")
		assert.NotContains(w, claimsOf(w, w.userToken(annID)), "wids")
	})
}

func TestClientSecretInTheHeader(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		v := url.Values{"grant_type": {"client_credentials"}, "scope": {"https://graph.microsoft.com/.default"}}
		req, err := http.NewRequest(http.MethodPost, w.LoginURL()+"/EXAMPLE.test/oauth2/v2.0/token", strings.NewReader(v.Encode()))
		require.NoError(w, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(url.QueryEscape(w.app.ClientID), url.QueryEscape(w.app.Secrets[0].Value.Reveal()))
		status, body := w.exchange(w.client, req).json(w)
		assert.Equal(w, http.StatusOK, status, body)
	})
}

func certificateFor(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate, key
}

func TestCertificateAssertion(t *testing.T) {
	certificate, key := certificateFor(t)
	_, stranger := certificateFor(t)
	sum := sha256.Sum256(certificate.Raw)
	inBubble(t, nil, func(w *world) {
		w.app = w.AddApplication(graphtest.Application{Certificates: []*x509.Certificate{certificate}})
		require.Empty(w, w.app.Secrets)
		request := func(method jwt.SigningMethod, key crypto.PrivateKey, subject, audience string) (int, map[string]any) {
			token := jwt.NewWithClaims(method, jwt.RegisteredClaims{
				Issuer: w.app.ClientID, Subject: subject, Audience: jwt.ClaimStrings{audience}, ID: "1",
				ExpiresAt: jwt.NewNumericDate(time.Now().Add(10 * time.Minute)),
			})
			token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
			assertion, err := token.SignedString(key)
			require.NoError(w, err)
			return w.form(url.Values{
				"grant_type": {"client_credentials"}, "client_id": {w.app.ClientID}, "scope": {w.GraphURL() + "/.default"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
			})
		}
		audience := w.LoginURL() + "/" + w.TenantID() + "/oauth2/v2.0/token"
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256} {
			status, body := request(method, key, w.app.ClientID, audience)
			assert.Equal(w, http.StatusOK, status, body)
		}
		status, body := request(jwt.SigningMethodPS256, stranger, w.app.ClientID, audience)
		w.assertRefused(status, body, 401, "invalid_client", 700027)
		status, body = request(jwt.SigningMethodPS256, key, w.app.ClientID, "https://elsewhere.invalid")
		w.assertRefused(status, body, 401, "invalid_client", 700027)
		status, body = request(jwt.SigningMethodPS256, key, annID, audience)
		w.assertRefused(status, body, 401, "invalid_client", 700027)
	})
}

func TestRefreshTokenRotatesAndTheOldOneStaysValid(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		first := w.refreshToken(monID)
		time.Sleep(89 * 24 * time.Hour)
		_, body := w.form(w.refreshForm(first))
		second := body["refresh_token"].(string)
		require.NotEqual(w, first, second)
		status, _ := w.form(w.refreshForm(first))
		assert.Equal(w, http.StatusOK, status)
		time.Sleep(2 * 24 * time.Hour)
		status, _ = w.form(w.refreshForm(first))
		assert.Equal(w, http.StatusBadRequest, status)
		status, _ = w.form(w.refreshForm(second))
		assert.Equal(w, http.StatusOK, status)
	})
}

func TestLimitedGrantStaysLimited(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		refresh, err := w.GrantRefreshToken(w.app.ClientID, monID, "User.Read")
		require.NoError(w, err)
		_, body := w.form(w.refreshForm(refresh.Reveal()))
		assert.Equal(w, "User.Read", body["scope"])
		_, body = w.form(w.refreshForm(body["refresh_token"].(string)))
		assert.Equal(w, "User.Read", claimsOf(w, body["access_token"].(string))["scp"])
		_, err = w.GrantRefreshToken(w.app.ClientID, monID, "No.Such.Permission")
		assert.Error(w, err)
		_, err = w.GrantRefreshToken(annID, monID)
		assert.Error(w, err)
		_, err = w.GrantRefreshToken(w.app.ClientID, w.app.ClientID)
		assert.Error(w, err)
	})
}

func TestOpenIDConfigurationLeadsToTheKeys(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		for tenant, issuer := range map[string]string{
			w.TenantID():   w.LoginURL() + "/" + w.TenantID() + "/v2.0",
			"example.test": w.LoginURL() + "/" + w.TenantID() + "/v2.0",
			"common":       w.LoginURL() + "/{tenantid}/v2.0",
		} {
			status, c := w.do("", "GET", w.LoginURL()+"/"+tenant+"/v2.0/.well-known/openid-configuration", nil)
			require.Equal(w, http.StatusOK, status)
			assert.Equal(w, issuer, c["issuer"])
			_, keys := w.do("", "GET", c["jwks_uri"].(string), nil)
			key := keys["keys"].([]any)[0].(map[string]any)
			n, err := base64.RawURLEncoding.DecodeString(key["n"].(string))
			require.NoError(w, err)
			e, err := base64.RawURLEncoding.DecodeString(key["e"].(string))
			require.NoError(w, err)
			public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
			token, err := jwt.Parse(w.appToken(), func(token *jwt.Token) (any, error) {
				assert.Equal(w, key["kid"], token.Header["kid"])
				return public, nil
			})
			require.NoError(w, err)
			assert.True(w, token.Valid)
		}
		status, body := w.do("", "GET", w.LoginURL()+"/nowhere.invalid/v2.0/.well-known/openid-configuration", nil)
		assert.Equal(w, http.StatusBadRequest, status)
		assert.Equal(w, "invalid_tenant", body["error"])
		status, body = w.do("", "GET", w.LoginURL()+"/common/discovery/instance?api-version=1.1", nil)
		assert.Equal(w, http.StatusOK, status)
		assert.NotEmpty(w, body["tenant_discovery_endpoint"])
	})
}
