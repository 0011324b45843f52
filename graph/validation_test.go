package graph

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newValidator(l *login) *tokenValidator {
	v := &tokenValidator{loginURL: "http://login.test", keys: newSigningKeys(l), audiences: map[string]struct{}{}}
	v.addAudience(application)
	return v
}

func TestValidationTokensOfBothVersionsAreTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValidator(newLogin())
		for name, changes := range map[string]jwt.MapClaims{
			"version 2.0":                      nil,
			"version 1.0":                      {"ver": "1.0", "azp": nil, "appid": changeTrackingID, "iss": "https://sts.windows.net/" + notifyTenant + "/"},
			"version 2.0, issuer of 1.0":       {"iss": "https://sts.windows.net/" + notifyTenant + "/"},
			"in capital letters":               {"aud": strings.ToUpper(application), "azp": strings.ToUpper(changeTrackingID), "tid": strings.ToUpper(notifyTenant)},
			"several audiences":                {"aud": []string{"other", application}},
			"ended less than the leeway ago":   {"exp": time.Now().Add(-4 * time.Minute).Unix()},
			"begins in less than the leeway":   {"nbf": time.Now().Add(4 * time.Minute).Unix()},
			"no beginning":                     {"nbf": nil, "iat": nil},
			"a claim that nobody knows beside": {"uti": "x"},
		} {
			tenantID, err := v.validate(t.Context(), signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256, with(goodClaims(), changes)))
			require.NoError(t, err, name)
			assert.Equal(t, notifyTenant, tenantID, name)
		}
	})
}

func TestFalseValidationTokens(t *testing.T) {
	const other = "cccccccc-0000-0000-0000-000000000003"
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		good := goodClaims()
		sign := func(changes jwt.MapClaims) string {
			return signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256, with(good, changes))
		}
		public, err := json.Marshal(testLoginKey().PublicKey)
		require.NoError(t, err)
		unsigned := signToken(t, "key-1", jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, good)
		tests := map[string]struct{ token, tenant, detail string }{
			"another key under the same id":   {signToken(t, "key-1", testStranger(), jwt.SigningMethodRS256, good), notifyTenant, "signature is wrong"},
			"a key that nobody has":           {signToken(t, "key-9", testStranger(), jwt.SigningMethodRS256, good), notifyTenant, "does not have its signing key"},
			"no key id":                       {signToken(t, "", testLoginKey(), jwt.SigningMethodRS256, good), notifyTenant, "names no signing key"},
			"no signature":                    {unsigned, notifyTenant, "signature is wrong"},
			"signed with the public key":      {signToken(t, "key-1", public, jwt.SigningMethodHS256, good), notifyTenant, "signature is wrong"},
			"another algorithm":               {signToken(t, "key-1", testLoginKey(), jwt.SigningMethodPS256, good), notifyTenant, "signature is wrong"},
			"a longer RS":                     {signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS512, good), notifyTenant, "signature is wrong"},
			"changed after signing":           {sign(nil)[:len(sign(nil))-8] + "AAAAAAAA", notifyTenant, "signature is wrong"},
			"another audience":                {sign(jwt.MapClaims{"aud": other}), notifyTenant, "for another application"},
			"no audience":                     {sign(jwt.MapClaims{"aud": nil}), notifyTenant, "for another application"},
			"another caller":                  {sign(jwt.MapClaims{"azp": other}), notifyTenant, "Change Tracking"},
			"no caller":                       {sign(jwt.MapClaims{"azp": nil}), notifyTenant, "Change Tracking"},
			"the caller of the other version": {sign(jwt.MapClaims{"azp": nil, "appid": changeTrackingID}), notifyTenant, "Change Tracking"},
			"1.0, another caller":             {sign(jwt.MapClaims{"ver": "1.0", "appid": other}), notifyTenant, "Change Tracking"},
			"no version":                      {sign(jwt.MapClaims{"ver": nil}), notifyTenant, "Change Tracking"},
			"another issuer":                  {sign(jwt.MapClaims{"iss": "https://evil.test/" + notifyTenant + "/v2.0"}), notifyTenant, "issuer"},
			"the issuer of another tenant":    {sign(jwt.MapClaims{"iss": "http://login.test/" + other + "/v2.0"}), notifyTenant, "issuer"},
			"the 1.0 issuer of another":       {sign(jwt.MapClaims{"iss": "https://sts.windows.net/" + other + "/"}), notifyTenant, "issuer"},
			"no issuer":                       {sign(jwt.MapClaims{"iss": nil}), notifyTenant, "issuer"},
			"the tenant of another issuer":    {sign(jwt.MapClaims{"tid": other}), other, "issuer"},
			"no tenant":                       {sign(jwt.MapClaims{"tid": nil, "iss": "http://login.test//v2.0"}), "", "no tenant"},
			"a tenant that is no id":          {sign(jwt.MapClaims{"tid": "../x", "iss": "http://login.test/../x/v2.0"}), "", "no tenant"},
			"expired":                         {sign(jwt.MapClaims{"exp": now.Add(-5 * time.Minute).Unix()}), notifyTenant, "expired"},
			"no expiry":                       {sign(jwt.MapClaims{"exp": nil}), notifyTenant, "no expiry"},
			"not valid yet":                   {sign(jwt.MapClaims{"nbf": now.Add(6 * time.Minute).Unix()}), notifyTenant, "not valid yet"},
			"claims of other types":           {sign(jwt.MapClaims{"tid": 7}), "", "not a token"},
			"no token":                        {"a.b.c", "", "not a token"},
			"nothing":                         {"", "", "not a token"},
		}
		for name, test := range tests {
			v := newValidator(newLogin())
			tenantID, err := v.validate(t.Context(), test.token)
			require.ErrorIs(t, err, errFalseToken, name)
			assert.Equal(t, test.tenant, tenantID, name)
			assert.ErrorContains(t, err, test.detail, name)
		}
	})
}

// What is wrong without its signature does not make the login service work.
func TestFalseClaimsCauseNoRequest(t *testing.T) {
	l := newLogin()
	v := newValidator(l)
	_, err := v.validate(t.Context(), signToken(t, "key-1", testStranger(), jwt.SigningMethodRS256, with(goodClaims(), jwt.MapClaims{"aud": "other"})))
	require.ErrorIs(t, err, errFalseToken)
	assert.Empty(t, l.wire.all())
}

func TestValidationTokensInABody(t *testing.T) {
	for text, want := range map[string]validationTokens{
		`null`:        {},
		`[]`:          {},
		`["a","b"]`:   {tokens: []string{"a", "b"}},
		`"a"`:         {malformed: true},
		`7`:           {malformed: true},
		`{"a":"b"}`:   {malformed: true},
		`["a",null]`:  {tokens: []string{"a"}, malformed: true},
		`["a",["b"]]`: {tokens: []string{"a"}, malformed: true},
		`[""]`:        {malformed: true},
		`["` + strings.Repeat("a", maxTokenLength+1) + `"]`: {malformed: true},
	} {
		var got validationTokens
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		assert.Equal(t, want, got, "%.40s", text)
	}
	var many validationTokens
	require.NoError(t, json.Unmarshal([]byte(`["a"`+strings.Repeat(`,"a"`, maxBatchTokens)+`]`), &many))
	assert.Len(t, many.tokens, maxBatchTokens)
	assert.True(t, many.malformed)
}

// FuzzValidationToken judges any token: it never panics, trusts none, and what it
// says repeats nothing of it.
func FuzzValidationToken(f *testing.F) {
	v := newValidator(newLogin())
	good := goodToken(f)
	f.Add(good[:len(good)-4])
	f.Add(signToken(f, "key-1", testStranger(), jwt.SigningMethodRS256, goodClaims()))
	f.Add(signToken(f, "key-1", jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, goodClaims()))
	f.Add("..")
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		tenantID, err := v.validate(t.Context(), token)
		if err == nil {
			t.Fatalf("%q is trusted", token)
		}
		if !errors.Is(err, errFalseToken) && !errors.Is(err, errSigningKeys) {
			t.Errorf("the error is %v", err)
		}
		if tenantID != "" && !isGUID(tenantID) {
			t.Errorf("the tenant is %q", tenantID)
		}
		if len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
			t.Errorf("the error repeats the token: %v", err)
		}
	})
}
