package verify

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge/presence"
)

func TestRedactorKeepsWhatPeopleNeed(t *testing.T) {
	r := newRedactor([]presence.Secret{presence.NewSecret(testSecret), presence.NewSecret("short")})
	for _, s := range []string{
		"",
		"Entra refuses the client secret of acme: it ended on 2026-01-02T03:04:05Z, 3 days ago.",
		"The subscription 7f105c7d-2dc5-4530-97cd-4e7ae6534c07 of monitor1@example.com is gone.",
		"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '22222222-2222-4222-8222-222222222222'.",
		"Trace ID: 3f2504e0-4f89-11d3-9a0c-0305e82c3301 Timestamp: 2026-01-02 03:04:05Z",
		"graph: GET https://graph.microsoft.com/v1.0/communications/getPresencesByUserId: 403 Forbidden (Authorization_RequestDenied)",
		"dial tcp: lookup micollab-server-01.branch-office.example.com: no such host",
		"https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/oauth2/v2.0/token",
		"https://workflow.eu.api.mitel.io/2017-09-01/integrations/microsoft/sso",
		"https://graph.microsoft.com/v1.0/users?$select=id,mail&$top=999",
		"https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0/adminconsent?client_id=22222222-2222-4222-8222-222222222222&redirect_uri=https%3A%2F%2Fworkflow.eu.api.mitel.io%2F2017-09-01%2Fintegrations%2Fmicrosoft%2Fsso&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
		"https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0/adminconsent?redirect_uri=https%3A%2F%2FPresenceBridge.Example-Company.com%2Fmonitors%2Fcallback",
		"Presence.ReadWrite.All, Application.Read.All, CallRecord-PstnCalls.Read.All and Subscription.Read.All",
		`{"error":{"code":"InvalidAuthenticationToken","message":"Access token has expired."}}`,
		"oauth2: cannot fetch token: 401 Unauthorized",
		"cloudlink: who am I: no token: cloudlink: get token: 401 Unauthorized",
		"token_type: Bearer, secretExpiresAt: 2026-01-02",
		"Bearer authentication is needed, not Basic authentication.",
		"MICOLLAB01.Branch-Office.Example.COM and Firstname.Lastname1985@Example.com",
		"keeper bridge-7d9f8b6c5d-x2k4q, version 9.8.1.104-01, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"Größe 你好 naïve",
		"The password is missing.", "short",
	} {
		assert.Equal(t, s, r.text(s))
	}
}

func TestRedactorRemovesSecrets(t *testing.T) {
	r := newRedactor([]presence.Secret{presence.NewSecret(testSecret), presence.NewSecret("pass/word&1"), presence.NewSecret("pass/word&1+more"), {}})
	for in, want := range map[string]string{
		"with " + testSecret + ".":                                              "with [removed].",
		"both pass/word&1+more.":                                                "both [removed].",
		"q=pass%2Fword%261, pass%2fword%261":                                    "q=[removed], [removed]",
		`"pass/word\u00261" "pass\/word&1"`:                                     `"[removed]" "[removed]"`,
		"YWJjfmZlYXR1cmUtc2VjcmV0LXZhbHVl":                                      "[removed]",
		"eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln expired":     "[removed] expired",
		"Authorization: Bearer abc.def-123":                                     "Authorization: [removed]",
		`map["Authorization":["Basic dXNlcjpwdw=="]]`:                           `map["Authorization":["[removed]"]]`,
		"the header bearer Abc123xyz was refused":                               "the header bearer [removed] was refused",
		`{"client_secret":"with \"quotes\" and blanks","x":1}`:                  `{"client_secret":"[removed]","x":1}`,
		`{\"refresh_token\":\"abc\",\"token_type\":\"Bearer\"}`:                 `{\"refresh_token\":\"[removed]\",\"token_type\":\"Bearer\"}`,
		"client_id=x&client_secret=hunter2&code=abc":                            "client_id=x&client_secret=[removed]&code=[removed]",
		"password: hunter2, sipPassword='two words'":                            "password: [removed], sipPassword='[removed]'",
		"X-Mitel-Shared-Secret: abc":                                            "X-Mitel-Shared-Secret: [removed]",
		`"clientState": "9a0c"`:                                                 `"clientState": "[removed]"`,
		"token: 0.AXkAbcdE1234":                                                 "token: [removed]",
		"https://ada:pw@example.com/a":                                          "https://[removed]@example.com/a",
		"https://x.example.com/cb?state=s1&code=0.A&prompt=login#id_token=e":    "https://x.example.com/cb?state=[removed]&code=[removed]&prompt=login#id_token=[removed]",
		"the value abC8Q~defGhIjKlMnOpQrStUvWxYz0123456789a.":                   "the value [removed]",
		"got 0.AXkAq1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9 back":                 "got [removed] back",
		"hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": "hash [removed]",
		"key q1W2e3R4/t5Y6u7I8o9P0a1S2d3F4+g5H6j7K8l9A0==":                      "key [removed]",
		"-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY----- end": "[removed] end",
		"one\ntwo\t\x1b[31mred\u202e\x00 \xff.":                                 "one two [31mred .",
		"Cookie: a=b; c=d":                                                      "Cookie: [removed]",
	} {
		got := r.text(in)
		assert.Equal(t, want, got, in)
		assert.Equal(t, got, r.text(got), in)
	}
}

func TestRedactorBoundsTexts(t *testing.T) {
	r := newRedactor([]presence.Secret{presence.NewSecret(strings.Repeat("s3cret ", 1000) + "end")})
	long := r.text(strings.Repeat("naïve ", 100_000))
	assert.LessOrEqual(t, len(long), maxText)
	assert.True(t, utf8.ValidString(long))
	assert.True(t, strings.HasSuffix(long, "…"))
	for _, before := range []int{0, maxForeign - 5000, maxForeign - 10} {
		text := r.text(strings.Repeat("x ", before/2) + strings.Repeat(strings.Repeat("s3cret ", 1000)+"end ", 10))
		assert.NotContains(t, text, "s3cret", "a part of a secret is none of its forms")
	}
}

// encodings are those that the redactor promises to see through.
var encodings = map[string]func(string) string{
	"plain": func(s string) string { return s },
	"query": url.QueryEscape,
	"path":  url.PathEscape,
	"JSON": func(s string) string {
		data, _ := json.Marshal(s)
		return string(data)
	},
	"%q":      func(s string) string { return fmt.Sprintf("%q", s) },
	"base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"web":     func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"hex":     func(s string) string { return hex.EncodeToString([]byte(s)) },
	"percent": func(s string) string { return strings.ToLower(url.QueryEscape(s)) },
}

func FuzzRedactor(f *testing.F) {
	for _, secret := range []string{testSecret, "pass/word&1", "a b\tc\"d\\e", "é\u202eü\x00ß\xff", "moved]", "[removed]x", "…abcdef", "      ", "secret=", "00000000"} {
		f.Add(secret, "password=", "&more")
		f.Add(secret, "https://x.example.com/?q=", " and text")
		f.Add(secret, secret, secret[:3])
		f.Add(secret, strings.Repeat("x", maxText-3), "")
	}
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		r := newRedactor([]presence.Secret{presence.NewSecret(secret)})
		for name, encode := range encodings {
			text := encode(secret)
			out := r.text(before + text + after)
			assert.LessOrEqual(t, len(out), maxText)
			assert.True(t, utf8.ValidString(out))
			assert.Equal(t, out, r.text(out), "what was redacted stays as it is")
			if name == "percent" {
				text = url.QueryEscape(secret) // letter case of other letters is not the secret's
			}
			for _, form := range []string{secret, strings.Trim(text, `"`)} {
				if len(form) >= shortestSecret && len(secret) >= shortestSecret && !strings.Contains(removed, form) {
					assert.NotContains(t, out, form, name)
				}
			}
		}
	})
}
