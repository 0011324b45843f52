package graph

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

var clientSecret = presence.NewSecret("client~secret")

const tokenAnswer = `{"token_type":"Bearer","expires_in":3599,"access_token":"access-1"}`

func credentialOptions(w *wire) *CredentialOptions {
	return &CredentialOptions{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}}
}

func form(t *testing.T, r received) url.Values {
	t.Helper()
	values, err := url.ParseQuery(r.Body)
	require.NoError(t, err)
	return values
}

func TestSecretCredentialAsksForTheApplicationsPermissions(t *testing.T) {
	w := &wire{handler: answer(200, tokenAnswer)}
	c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
	require.NoError(t, err)
	token, err := c.Token(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "access-1", token.AccessToken)
	got := w.only(t)
	assert.Equal(t, "/"+tenant+"/oauth2/v2.0/token", got.Path)
	assert.Equal(t, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {application}, "client_secret": {"client~secret"}, "scope": {"http://graph.test/.default"},
	}, form(t, got))
}

func TestTokenIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: answer(200, tokenAnswer)}
		c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
		require.NoError(t, err)
		for range 120 {
			token, err := c.Token(t.Context())
			require.NoError(t, err)
			require.Greater(t, time.Until(token.Expiry), 5*time.Minute)
			time.Sleep(time.Minute)
		}
		assert.Len(t, w.all(), 3)
		c.Invalidate("access-1")
		_, err = c.Token(t.Context())
		require.NoError(t, err)
		assert.Len(t, w.all(), 4)
	})
}

func TestAllWhoWaitForATokenWaitForOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			answer(200, tokenAnswer)(w, r)
		}}
		c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
		require.NoError(t, err)
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				_, err := c.Token(t.Context())
				assert.NoError(t, err)
			})
		}
		group.Wait()
		assert.Len(t, w.all(), 1)
	})
}

func TestTokenRequestIsRepeatedWhenEntraAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: inTurn(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1.5")
			answer(429, `{"error":"temporarily_unavailable"}`)(w, r)
		}, answer(200, tokenAnswer))}
		c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
		require.NoError(t, err)
		started := time.Now()
		_, err = c.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1500*time.Millisecond, time.Since(started))
		assert.Equal(t, w.all()[0].Body, w.all()[1].Body)
	})
}

func newCertificate(t *testing.T, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

// hardware is a key that signs but cannot be looked at.
type hardware struct{ crypto.Signer }

func TestCertificateCredentialSignsAnAssertionForEachToken(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	certificate := newCertificate(t, key)
	w := &wire{handler: answer(200, `{"expires_in":1,"access_token":"a"}`)}
	c, err := NewCertificateCredential(tenant, application, certificate, hardware{key}, credentialOptions(w))
	require.NoError(t, err)
	ids := map[string]bool{}
	for range 2 {
		_, err = c.Token(t.Context())
		require.NoError(t, err)
	}
	for _, r := range w.all() {
		values := form(t, r)
		assert.NotContains(t, values, "client_secret")
		assert.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", values.Get("client_assertion_type"))
		var claims jwt.RegisteredClaims
		token, err := jwt.ParseWithClaims(values.Get("client_assertion"), &claims, func(*jwt.Token) (any, error) { return certificate.PublicKey, nil },
			jwt.WithValidMethods([]string{"PS256"}), jwt.WithAudience("http://login.test/"+tenant+"/oauth2/v2.0/token"), jwt.WithIssuer(application), jwt.WithSubject(application), jwt.WithExpirationRequired())
		require.NoError(t, err)
		thumbprint := sha256.Sum256(certificate.Raw)
		assert.Equal(t, base64.RawURLEncoding.EncodeToString(thumbprint[:]), token.Header["x5t#S256"])
		ids[claims.ID] = true
	}
	assert.Len(t, ids, 2)
}

func TestCertificateMustFitItsKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = NewCertificateCredential(tenant, application, newCertificate(t, key), other, nil)
	assert.ErrorContains(t, err, "does not belong")
	_, err = NewCertificateCredential(tenant, application, newCertificate(t, curve), curve, nil)
	assert.ErrorContains(t, err, "RSA")
	_, err = NewCertificateCredential(tenant, application, nil, nil, nil)
	assert.ErrorContains(t, err, "required")
}

// rotating answers like Entra: a new refresh token at every use.
func rotating() http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		n++
		answer(200, fmt.Sprintf(`{"expires_in":3599,"access_token":"access-%d","refresh_token":"refresh-%d"}`, n, n))(w, r)
	}
}

func TestDelegatedCredentialStoresEachRefreshTokenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: rotating()}
		var stored []string
		c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.NewSecret("refresh-0"), &DelegatedOptions{
			Cloud: testCloud(), HTTPClient: &http.Client{Transport: w},
			Rotated: func(_ context.Context, used, next presence.Secret) error {
				stored = append(stored, used.Reveal()+" to "+next.Reveal())
				return nil
			},
		})
		require.NoError(t, err)
		for i := range 3 {
			token, err := c.Token(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "access-"+strconv.Itoa(i+1), token.AccessToken)
			assert.Empty(t, token.RefreshToken)
			time.Sleep(time.Hour)
		}
		assert.Equal(t, []string{"refresh-0 to refresh-1", "refresh-1 to refresh-2", "refresh-2 to refresh-3"}, stored)
		for i, r := range w.all() {
			assert.Equal(t, url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {"refresh-" + strconv.Itoa(i)}, "client_id": {application}, "client_secret": {"client~secret"},
			}, form(t, r))
		}
	})
}

func TestRefreshTokenThatCannotBeStoredHoldsTheAccessTokenBack(t *testing.T) {
	w := &wire{handler: rotating()}
	full := errors.New("disk full")
	fail := full
	var stored []string
	c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.NewSecret("refresh-0"), &DelegatedOptions{
		Cloud: testCloud(), HTTPClient: &http.Client{Transport: w},
		Rotated: func(_ context.Context, used, next presence.Secret) error {
			if fail == nil {
				stored = append(stored, used.Reveal()+" to "+next.Reveal())
			}
			return fail
		},
	})
	require.NoError(t, err)
	_, err = c.Token(t.Context())
	require.ErrorIs(t, err, full)
	assert.ErrorContains(t, err, "store the new refresh token: disk full")
	fail = nil
	_, err = c.Token(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"refresh-0 to refresh-2"}, stored, "the one that the store holds is told")
	assert.Equal(t, "refresh-1", form(t, w.all()[1]).Get("refresh_token"), "the newest refresh token is used even if it was not stored")
}

func TestRefreshTokenThatIsNotReplacedStays(t *testing.T) {
	w := &wire{handler: answer(200, `{"expires_in":1,"access_token":"a"}`)}
	c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.NewSecret("refresh-0"), &DelegatedOptions{
		Cloud: testCloud(), HTTPClient: &http.Client{Transport: w},
		Rotated: func(context.Context, presence.Secret, presence.Secret) error { return errors.New("not to be called") },
	})
	require.NoError(t, err)
	for range 2 {
		_, err := c.Token(t.Context())
		require.NoError(t, err)
	}
	assert.Equal(t, "refresh-0", form(t, w.all()[1]).Get("refresh_token"))
}

// entraError is an error body as Entra writes it.
func entraError(oauth string, code int) string {
	body, _ := json.Marshal(map[string]any{
		"error": oauth, "error_description": fmt.Sprintf("AADSTS%d: client~secret refresh-0 rejected. Trace ID: t Correlation ID: c", code), "error_codes": []int{code},
		"timestamp": "2026-03-21 10:00:00Z", "trace_id": "0f6f0e3c-0000-0000-0000-000000000001", "correlation_id": "0f6f0e3c-0000-0000-0000-000000000002", "error_uri": "https://login.test/error?code=1",
	})
	return string(body)
}

func TestEntrasErrorsMatchWhatTheyMean(t *testing.T) {
	for _, tt := range []struct {
		code   int
		oauth  string
		status int
		is     []error
		not    []error
	}{
		{7000215, "invalid_client", 401, []error{presence.ErrInvalidSecret, presence.ErrUnauthorized}, []error{presence.ErrSecretExpired, presence.ErrSignInRequired}},
		{7000222, "invalid_client", 401, []error{presence.ErrSecretExpired, presence.ErrUnauthorized}, []error{presence.ErrInvalidSecret}},
		{7000218, "invalid_client", 401, []error{ErrSecretMissing}, nil},
		{7000112, "unauthorized_client", 400, []error{presence.ErrAppDisabled}, nil},
		{700016, "unauthorized_client", 400, []error{presence.ErrAppNotFound, presence.ErrUnauthorized}, []error{presence.ErrInvalid}},
		{90002, "invalid_request", 400, []error{presence.ErrTenantNotFound}, []error{presence.ErrInvalid}},
		{700005, "invalid_grant", 400, []error{ErrWrongTenant}, nil},
		{50020, "invalid_grant", 400, []error{ErrWrongTenant}, nil},
		{50194, "invalid_request", 400, []error{ErrWrongTenant}, nil},
		{900382, "invalid_request", 400, []error{ErrWrongCloud}, nil},
		{900023, "invalid_request", 400, []error{presence.ErrTenantNotFound, presence.ErrUnauthorized}, []error{presence.ErrInvalid}},
		{7000229, "invalid_client", 401, []error{presence.ErrAppNotFound, presence.ErrUnauthorized}, []error{presence.ErrInvalidSecret}},
		{90038, "invalid_request", 400, []error{ErrWrongCloud}, nil},
		{65001, "invalid_grant", 400, []error{presence.ErrConsentMissing, presence.ErrForbidden}, []error{presence.ErrInvalid, presence.ErrUnauthorized}},
		{65004, "access_denied", 400, []error{presence.ErrConsentMissing}, nil},
		{90094, "access_denied", 400, []error{presence.ErrConsentMissing}, nil},
		{50173, "invalid_grant", 400, []error{ErrGrantRevoked, presence.ErrSignInRequired, presence.ErrUnauthorized}, []error{ErrGrantExpired}},
		{70000, "invalid_grant", 400, []error{ErrGrantRevoked, presence.ErrSignInRequired}, nil},
		{700082, "invalid_grant", 400, []error{ErrGrantExpired, presence.ErrSignInRequired}, []error{ErrGrantRevoked}},
		{70008, "invalid_grant", 400, []error{ErrGrantExpired, presence.ErrSignInRequired}, nil},
		{70043, "invalid_grant", 400, []error{ErrGrantExpired, presence.ErrSignInRequired}, nil},
		{54005, "invalid_grant", 400, []error{ErrCodeUsed, presence.ErrSignInRequired}, nil},
		{501481, "invalid_grant", 400, []error{ErrVerifierMismatch}, nil},
		{50011, "invalid_request", 400, []error{ErrRedirectURIMismatch, presence.ErrInvalid}, nil},
		{9002327, "invalid_request", 400, []error{ErrRedirectURIMismatch, presence.ErrInvalid}, nil},
		{700025, "invalid_client", 401, []error{ErrRedirectURIMismatch, presence.ErrInvalid}, []error{presence.ErrUnauthorized}},
		{70011, "invalid_scope", 400, []error{ErrInvalidScope, presence.ErrInvalid}, nil},
		{50076, "interaction_required", 400, []error{presence.ErrMFARequired, presence.ErrSignInRequired}, nil},
		{50079, "invalid_grant", 400, []error{presence.ErrMFARequired}, nil},
		{50074, "invalid_grant", 400, []error{presence.ErrMFARequired}, nil},
		{50034, "invalid_grant", 400, []error{presence.ErrAccountBlocked}, nil},
		{50053, "invalid_grant", 400, []error{presence.ErrAccountBlocked}, nil},
		{50055, "invalid_grant", 400, []error{presence.ErrAccountBlocked}, nil},
		{50057, "invalid_grant", 400, []error{presence.ErrAccountBlocked, presence.ErrSignInRequired}, nil},
		{50105, "invalid_grant", 400, []error{presence.ErrAccountBlocked}, nil},
		{50126, "invalid_grant", 400, []error{presence.ErrAccountBlocked}, nil},
		{53000, "interaction_required", 400, []error{presence.ErrConditionalAccess}, nil},
		{53003, "invalid_grant", 400, []error{presence.ErrConditionalAccess, presence.ErrSignInRequired}, nil},
		{530032, "invalid_grant", 400, []error{presence.ErrConditionalAccess}, nil},
		{50196, "invalid_grant", 400, []error{ErrRequestLoop, presence.ErrThrottled}, nil},
		{999999, "invalid_grant", 400, []error{presence.ErrSignInRequired, presence.ErrUnauthorized}, []error{presence.ErrInvalid}},
		{999999, "invalid_client", 401, []error{presence.ErrUnauthorized}, []error{presence.ErrSignInRequired}},
		{999999, "consent_required", 400, []error{presence.ErrConsentMissing}, nil},
		{999999, "server_error", 500, []error{presence.ErrUnavailable}, nil},
		{999999, "new_error", 400, []error{presence.ErrInvalid}, nil},
	} {
		t.Run(fmt.Sprint(tt.code, tt.oauth), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{handler: answer(tt.status, entraError(tt.oauth, tt.code))}
				c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.NewSecret("refresh-0"), &DelegatedOptions{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}})
				require.NoError(t, err)
				_, err = c.Token(t.Context())
				for _, target := range tt.is {
					assert.ErrorIs(t, err, target)
				}
				for _, target := range tt.not {
					assert.NotErrorIs(t, err, target)
				}
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, []int{tt.code}, e.AADSTS)
				assert.Equal(t, tt.oauth, e.Code)
				assert.Equal(t, "0f6f0e3c-0000-0000-0000-000000000001", e.RequestID)
				if tt.code != 999999 {
					assert.NotEmpty(t, e.Remedy())
					assert.ErrorContains(t, err, e.Remedy())
				}
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "client~secret")
				assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), "refresh-0")
			})
		})
	}
}

func TestErrorOfTheTokenPassesThroughTheCall(t *testing.T) {
	tokens := &wire{handler: answer(401, entraError("invalid_client", 7000222))}
	credential, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(tokens))
	require.NoError(t, err)
	requests := &wire{handler: answer(200, "")}
	c, err := New(tenant, application, credential, &Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: requests}})
	require.NoError(t, err)
	require.ErrorIs(t, c.ClearPresence(t.Context(), ann), presence.ErrSecretExpired)
	_, err = c.Presences(t.Context(), []string{ann})
	require.ErrorIs(t, err, presence.ErrSecretExpired)
	assert.Empty(t, requests.all())
}

func TestTokenAnswerThatIsNoneIsAnError(t *testing.T) {
	for _, body := range []string{"", "<html>client~secret</html>", "null", "{}", `{"access_token":""}`, `{"access_token":{}}`, "[]"} {
		w := &wire{handler: answer(200, body)}
		c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
		require.NoError(t, err)
		_, err = c.Token(t.Context())
		require.ErrorIs(t, err, ErrMalformed, body)
		require.ErrorIs(t, err, presence.ErrUnavailable)
		assert.NotContains(t, err.Error(), "client~secret")
	}
}

func TestCredentialsNameAllFaults(t *testing.T) {
	_, err := NewDelegatedCredential("", "a b", presence.Secret{}, presence.Secret{}, &DelegatedOptions{Cloud: Cloud{LoginURL: "http://login", GraphURL: "http://10.0.0.1"}})
	for _, want := range []string{"tenant id", "client id", "client secret", "refresh token", "LoginURL", "GraphURL"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	w := &wire{handler: answer(200, tokenAnswer)}
	c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
	require.NoError(t, err)
	_, err = c.Token(t.Context())
	require.NoError(t, err)
	a, err := NewAuthorizer(tenant, application, clientSecret, "https://bridge.test/callback", nil)
	require.NoError(t, err)
	request, err := a.Begin("state", nil)
	require.NoError(t, err)
	grant := Grant{AccessToken: presence.NewSecret("access-1"), RefreshToken: presence.NewSecret("access-1")}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "grant", grant, "request", request, "authorizer", a, "credential", c)
	printed := fmt.Sprintf("%v %+v %#v %v %+v %+v %+v %s", c, c, c, a, a, grant, request, logged.String())
	assert.NotContains(t, printed, "client~secret")
	assert.NotContains(t, printed, "access-1")
	assert.NotContains(t, printed, request.Verifier.Reveal())
}

func TestOwnSourcesServeAsTokenSource(t *testing.T) {
	token, err := FromOAuth2(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "own"})).Token(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "own", token.AccessToken)

	azure := &azureCredential{}
	source := FromAzure(azure, USGovernment())
	for range 2 {
		token, err = source.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "azure", token.AccessToken)
	}
	assert.Equal(t, [][]string{{"https://graph.microsoft.us/.default"}}, azure.asked)
}

func TestFailureOfAnOwnSourceIsTypedAndQuotesNothing(t *testing.T) {
	for name, source := range map[string]TokenSource{
		"retrieve":    FromOAuth2(failing{&oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, Body: []byte(entraError("invalid_grant", 50173))}}),
		"azure":       FromAzure(&azureCredential{err: errors.New("POST client~secret AADSTS50173: revoked")}, Cloud{}),
		"oauth2 text": FromOAuth2(failing{errors.New("client~secret AADSTS50173")}),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tenant, application, source, &Options{Cloud: testCloud()})
			require.NoError(t, err)
			err = c.ClearPresence(t.Context(), ann)
			require.ErrorIs(t, err, ErrGrantRevoked)
			assert.NotContains(t, err.Error(), "client~secret")
		})
	}
	for name, source := range map[string]TokenSource{"oauth2": FromOAuth2(nil), "azure": FromAzure(nil, Cloud{}), "cloud": FromAzure(&azureCredential{}, Cloud{Name: "x"})} {
		t.Run("no "+name, func(t *testing.T) {
			c, err := New(tenant, application, source, nil)
			require.NoError(t, err)
			var e *Error
			require.ErrorAs(t, c.ClearPresence(t.Context(), ann), &e)
			assert.Regexp(t, "nil|LoginURL", e.Error())
		})
	}
}

type failing struct{ err error }

func (f failing) Token() (*oauth2.Token, error) { return nil, f.err }

type azureCredential struct {
	asked [][]string
	err   error
}

func (c *azureCredential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.asked = append(c.asked, o.Scopes)
	return azcore.AccessToken{Token: "azure", ExpiresOn: time.Now().Add(time.Hour)}, c.err
}

func TestNetworkFailureOfTheTokenEndpointIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder("POST", "http://login.test/"+tenant+"/oauth2/v2.0/token", httpmock.NewErrorResponder(io.ErrUnexpectedEOF))
		c, err := NewSecretCredential(tenant, application, clientSecret, &CredentialOptions{Cloud: testCloud(), HTTPClient: &http.Client{Transport: mock}})
		require.NoError(t, err)
		_, err = c.Token(t.Context())
		require.ErrorIs(t, err, presence.ErrUnavailable)
		assert.ErrorContains(t, err, "connection was closed")
		assert.Equal(t, 4, mock.GetTotalCallCount())
	})
}
