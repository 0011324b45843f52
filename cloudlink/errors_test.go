package cloudlink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

func TestErrorMatchesByStatus(t *testing.T) {
	sentinels := []error{
		presence.ErrNotFound, presence.ErrConflict, presence.ErrThrottled, presence.ErrUnauthorized, presence.ErrForbidden,
		presence.ErrInvalid, presence.ErrUnavailable, presence.ErrUnsupported, ErrNoSuchRoute, ErrGrantRefused, ErrUnexpectedAnswer,
	}
	for _, tt := range []struct {
		status int
		body   string
		want   []error
	}{
		{400, `{"name":"BadRequest","message":"m"}`, []error{presence.ErrInvalid}},
		{401, `{"name":"Unauthorized","message":"m"}`, []error{presence.ErrUnauthorized}},
		{403, `{"name":"Forbidden","message":"m"}`, []error{presence.ErrForbidden}},
		{403, `{"message":"'` + testToken + `' not a valid key=value pair (missing equal-sign) in Authorization header"}`, []error{ErrNoSuchRoute, presence.ErrNotFound, presence.ErrInvalid}},
		{404, `{"message":"Not Found"}`, []error{presence.ErrNotFound}},
		{409, `{}`, []error{presence.ErrConflict}},
		{410, `{}`, []error{presence.ErrNotFound}},
		{422, `{}`, []error{presence.ErrInvalid}},
		{429, `{}`, []error{presence.ErrThrottled}},
		{500, `oops`, []error{presence.ErrUnavailable}},
		{503, `<html>`, []error{presence.ErrUnavailable}},
		{504, `{}`, []error{presence.ErrUnavailable}},
		{302, ``, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
		{200, `<html>sign in</html>`, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
		{200, `[]`, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
		{200, `null`, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
		{200, ``, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
		{200, `{"other":1}`, []error{ErrUnexpectedAnswer, presence.ErrUnavailable}},
	} {
		t.Run(fmt.Sprintf("%d %.20s", tt.status, tt.body), func(t *testing.T) {
			_, err := testClient(t, answer(tt.status, tt.body, "x-mitel-correlation-id", "c-17")).Line(t.Context(), "2001")
			require.Error(t, err)
			for _, s := range sentinels {
				assert.Equal(t, slices.Contains(tt.want, s), errors.Is(err, s), "%v", s)
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, tt.status, e.StatusCode)
			assert.Equal(t, "c-17", e.CorrelationID)
			assert.Contains(t, err.Error(), "c-17")
			assert.NotEmpty(t, e.Remedy())
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestErrorKeepsThePlainName(t *testing.T) {
	for name, want := range map[string]string{
		"Forbidden": "Forbidden", "no_such-user": "no_such-user",
		"two words": "", testToken: "", "eyJhbGciOiJIUzI1NiJ9": "", strings.Repeat("a", 49): "", "": "", "line\nbreak": "",
	} {
		_, err := testClient(t, answer(403, fmt.Sprintf(`{"name":%q}`, name))).Line(t.Context(), "2001")
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, want, e.Name)
	}
}

func TestErrorRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		header string
		least  time.Duration
		most   time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{"1.5", 1500 * time.Millisecond, 1500 * time.Millisecond},
		{time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 30 * time.Second, time.Minute},
		{"", 0, 0},
		{"soon", 0, 0},
		{"-1", 0, 0},
	} {
		_, err := testClient(t, answer(429, `{}`, "Retry-After", tt.header)).Line(t.Context(), "2001")
		wait, ok := presence.RetryAfter(fmt.Errorf("wrapped: %w", err))
		assert.Equal(t, tt.most > 0, ok, tt.header)
		assert.GreaterOrEqual(t, wait, tt.least, tt.header)
		assert.LessOrEqual(t, wait, tt.most, tt.header)
	}
}

func TestErrorOfNoAnswerTellsTheKindOfCause(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  string
		is    bool // presence.ErrUnavailable
	}{
		{context.Canceled, "canceled", false},
		{context.DeadlineExceeded, "timed out", true},
		{&net.DNSError{Err: "no such host", Name: "canary"}, "does not resolve", true},
		{&net.OpError{Op: "dial", Err: errors.New("canary")}, "connection failed (dial)", true},
		{io.ErrUnexpectedEOF, "ended early", true},
		{errors.New(`malformed HTTP status code "canary"`), "no answer", true},
	} {
		transport := httpmock.NewMockTransport()
		transport.RegisterNoResponder(httpmock.NewErrorResponder(tt.cause))
		c := testClient(t, nil, func(o *Options) { o.HTTPClient = &http.Client{Transport: transport} })
		_, err := c.Line(t.Context(), "2001")
		assert.ErrorContains(t, err, tt.want)
		assert.NotContains(t, err.Error(), "canary")
		assert.Equal(t, tt.is, errors.Is(err, presence.ErrUnavailable))
		assert.ErrorIs(t, err, tt.cause)
	}
}

// The secrets of TestNoSecretEscapes.
const (
	canaryPassword = "canary-password"
	canarySecret   = "canary-client-secret"
	canaryRefresh  = "canary-refresh-token"
	canaryCode     = "canary-code"
	canaryAppID    = "canary-application-id"
	canarySIP      = "canary-sip-password"
)

func TestNoSecretEscapes(t *testing.T) { synctest.Test(t, testNoSecretEscapes) }

func testNoSecretEscapes(t *testing.T) {
	all := strings.Join([]string{testToken, canaryPassword, canarySecret, canaryRefresh, canaryCode, canaryAppID, canarySIP}, " ")
	words := strings.Fields(all)
	bodies := []string{
		all, "<html>" + all + "</html>", `{"name":"` + all + `","message":"` + all + `"}`, `{"sipPassword":"` + canarySIP + `"`,
		`{"message":"'` + testToken + `' not a valid key=value pair (missing equal-sign) in Authorization header"}`,
		`{"_embedded":{"items":["` + canarySIP + `",{"sipPassword":"` + canarySIP + `"}]}}`,
		`{"_links":{"next":{"href":"https://elsewhere.example/` + testToken + `"}},"_embedded":{"items":[]}}`,
		`{"_links":{"next":{"href":"::` + testToken + `"}},"_embedded":{"items":[]}}`,
	}
	// OWN is replaced by the secret of the request itself.
	bodies = append(bodies, `{"name":"OWN"}`, `{"name":"xOWNx"}`, `{"access_token":"a OWN"}`, `{"status":["OWN"]}`)
	var statuses []int
	for s := 200; s < 600; s++ {
		if http.StatusText(s) != "" {
			statuses = append(statuses, s)
		}
	}
	for _, body := range bodies {
		for _, status := range statuses {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				own := ownSecret(r)
				answer(status, strings.ReplaceAll(body, "OWN", own), "x-mitel-correlation-id", own,
					"Location", "https://elsewhere.example/"+own, "Retry-After", "1")(w, r)
			})
			c := testClient(t, handler, func(o *Options) { o.Logger = logger })
			ctx := t.Context()
			credentialOptions := &CredentialOptions{HTTPClient: &http.Client{Transport: inProcess{handler}}, Logger: logger}
			byPassword, err := NewPasswordCredential(testAccount, "user", presence.NewSecret(canaryPassword), credentialOptions)
			require.NoError(t, err)
			bySecret, err := NewClientCredential(testAccount, "client", presence.NewSecret(canarySecret), credentialOptions)
			require.NoError(t, err)
			byCode, err := NewAuthorizationCodeCredential("client", presence.NewSecret(canaryCode), credentialOptions)
			require.NoError(t, err)
			byRefresh, err := NewRefreshCredential(presence.NewSecret(canaryRefresh), credentialOptions)
			require.NoError(t, err)
			var faults []error
			note := func(err error) { faults = append(faults, err) }
			for _, credential := range []*Credential{byPassword, bySecret, byCode, byRefresh} {
				_, err := credential.Token(ctx)
				note(err)
			}
			_, err = c.WhoAmI(ctx)
			note(err)
			_, err = c.Account(ctx)
			note(err)
			_, err = c.User(ctx, "u-1")
			note(err)
			for _, err := range c.Principals(ctx) {
				note(err)
			}
			_, err = c.Lines(ctx, testUser)
			note(err)
			_, err = c.Calls(ctx, "2001")
			note(err)
			note(c.SetDoNotDisturb(ctx, "2001", true))
			driver := NewStatusDriver(c)
			_, err = driver.Status(ctx, testUser)
			note(err)
			note(driver.SetStatus(ctx, testUser, presence.StatusBusy))
			_, err = c.Subscribe(ctx, SubscriptionRequest{ApplicationID: presence.NewSecret(canaryAppID), Topic: TopicMedia, SubjectFilter: "x", WebhookURL: "https://h.example/"})
			note(err)
			_, err = c.Subscriptions(ctx)
			note(err)
			note(c.Unsubscribe(ctx, "s-1"))
			for _, err := range faults {
				if err != nil {
					logger.Error("failed", "error", err)
					fmt.Fprintf(&log, "%v %+v %s %q\n", err, err, err, err)
				}
			}
			for _, w := range words {
				require.NotContains(t, log.String(), w, "status %d body %s", status, body)
			}
		}
	}
}

// ownSecret returns the secret that a request carries.
func ownSecret(r *http.Request) string {
	for _, field := range []string{"password", "client_secret", "refresh_token", "code"} {
		if v := r.FormValue(field); v != "" {
			return v
		}
	}
	var body struct{ ApplicationID string }
	if json.NewDecoder(r.Body).Decode(&body) == nil && body.ApplicationID != "" {
		return body.ApplicationID
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func TestForeignTokenSourceIsNotQuoted(t *testing.T) {
	leaky := &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, Body: []byte("canary")}
	c := testClient(t, answer(200, `{}`))
	c.tokens = failingSource{&url.Error{Op: "Post", URL: "https://host/?secret=canary", Err: leaky}}
	_, err := c.Line(t.Context(), "2001")
	require.ErrorIs(t, err, leaky)
	assert.NotContains(t, err.Error(), "canary")
	assert.ErrorContains(t, err, "token source failed")

	c.tokens = failingSource{&Error{Operation: "get token", StatusCode: 429, wait: time.Minute}}
	_, err = c.Line(t.Context(), "2001")
	require.ErrorIs(t, err, presence.ErrThrottled)
	wait, _ := presence.RetryAfter(err)
	assert.Equal(t, time.Minute, wait)
	assert.ErrorContains(t, err, "get token: 429")
}

type failingSource struct{ err error }

func (f failingSource) Token(context.Context) (*oauth2.Token, error) { return nil, f.err }

func FuzzErrorBody(f *testing.F) {
	f.Add(403, []byte(`{"name":"Forbidden","message":"no"}`))
	f.Add(403, []byte(`{"message":"'`+testToken+`' not a valid key=value pair"}`))
	f.Add(502, []byte(`<html>`))
	f.Add(429, []byte(`{"name":{"a":1},"message":[]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		resp := &http.Response{StatusCode: status, Header: http.Header{}}
		e := answerError("test", resp, body, []string{testToken})
		if strings.Contains(e.Error(), testToken) || !namePattern.MatchString("a"+e.Name) {
			t.Fatalf("unsafe: %q", e.Error())
		}
	})
}
