package graph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestErrorsMatchWhatTheStatusMeans(t *testing.T) {
	conflict := graphError("ExtensionError", "Operation: Create; Exception: [Status Code: Conflict; Reason: A subscripton already exists. It must be deleted before a another can be made.]")
	set := func(ctx context.Context, c *Client) error { return c.ClearPresence(ctx, ann) }
	subscribe := func(ctx context.Context, c *Client) error {
		_, err := c.CreateSubscription(ctx, presence.SubscriptionRequest{UserIDs: []string{ann}, NotificationURL: "https://bridge.test", ExpiresAt: time.Now().Add(time.Hour)})
		return err
	}
	for name, tt := range map[string]struct {
		call   func(context.Context, *Client) error
		status int
		body   string
		is     []error
		not    []error
	}{
		"400":                       {set, 400, graphError("BadRequest", "x"), []error{presence.ErrInvalid}, []error{presence.ErrUnavailable}},
		"401":                       {set, 401, "", []error{presence.ErrUnauthorized}, nil},
		"403":                       {set, 403, graphError("Forbidden", "x"), []error{presence.ErrForbidden}, []error{presence.ErrUnauthorized}},
		"404":                       {set, 404, graphError("NotFound", "x"), []error{presence.ErrNotFound}, nil},
		"410":                       {set, 410, "", []error{presence.ErrNotFound}, nil},
		"409":                       {set, 409, "", []error{presence.ErrConflict}, nil},
		"422":                       {set, 422, "", []error{presence.ErrInvalid}, nil},
		"429":                       {set, 429, "", []error{presence.ErrThrottled}, []error{presence.ErrInvalid}},
		"500":                       {set, 500, "", []error{presence.ErrUnavailable}, nil},
		"502 with a page":           {set, 502, "<html>", []error{presence.ErrUnavailable}, []error{ErrMalformed}},
		"redirect":                  {set, 302, "", []error{ErrMalformed, presence.ErrUnavailable}, nil},
		"second, misspelled":        {subscribe, 409, conflict, []error{presence.ErrConflict}, nil},
		"second, with 400":          {subscribe, 400, conflict, []error{presence.ErrConflict}, []error{presence.ErrInvalid}},
		"second, documented":        {subscribe, 409, graphError("Conflict", "Subscription Id <> already exists for the requested combination"), []error{presence.ErrConflict}, nil},
		"validation timed out":      {subscribe, 400, graphError("InvalidRequest", "Subscription validation request timed out."), []error{ErrEndpointValidation, presence.ErrInvalid}, nil},
		"wording of another matter": {set, 400, graphError("BadRequest", "Subscription already exists"), []error{presence.ErrInvalid}, []error{presence.ErrConflict}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestClient(t, answer(tt.status, tt.body), nil)
			err := tt.call(t.Context(), c)
			for _, target := range tt.is {
				assert.ErrorIs(t, err, target)
			}
			for _, target := range tt.not {
				assert.NotErrorIs(t, err, target)
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, tt.status, e.StatusCode)
			assert.NotEmpty(t, e.CorrelationID)
		})
	}
}

func TestErrorNamesWhatASupportCaseNeedsAndWhatToDo(t *testing.T) {
	c, _ := newTestClient(t, answer(403, graphError("Forbidden", "x")), nil)
	err := c.ClearPresence(t.Context(), ann)
	assert.Regexp(t, `^graph: clear presence: the request is not permitted \(status 403, code Forbidden, request 7f1a1e6c-0000-0000-0000-000000000001, correlation [0-9a-f-]{36}\): add the permission Presence.ReadWrite.All`, err.Error())
}

func TestAnswerThatIsNoneIsAnError(t *testing.T) {
	reads := map[string]func(context.Context, *Client) error{
		"presence":      func(ctx context.Context, c *Client) error { _, err := c.Presence(ctx, ann); return err },
		"presences":     func(ctx context.Context, c *Client) error { _, err := c.Presences(ctx, []string{ann}); return err },
		"user":          func(ctx context.Context, c *Client) error { _, err := c.User(ctx, ann); return err },
		"user by mail":  func(ctx context.Context, c *Client) error { _, err := c.UserByMail(ctx, "a@b.test"); return err },
		"subscriptions": func(ctx context.Context, c *Client) error { _, err := c.Subscriptions(ctx); return err },
		"renewal": func(ctx context.Context, c *Client) error {
			_, err := c.RenewSubscription(ctx, "s", presence.SubscriptionRenewal{ExpiresAt: time.Now()})
			return err
		},
	}
	bodies := map[string]string{
		"page": "<!DOCTYPE html><title>Sign in</title>", "nothing": "", "null": "null", "list": "[]", "empty object": "{}",
		"cut off": `{"value":[{"id":"` + ann + `"`, "value is no list": `{"value":"secret"}`, "endless": `{"value":[` + strings.Repeat(" ", maxPage+1), "other key": `{"error":null}`,
	}
	for read, call := range reads {
		for name, body := range bodies {
			t.Run(read+"/"+name, func(t *testing.T) {
				c, _ := newTestClient(t, answer(200, body), nil)
				err := call(t.Context(), c)
				require.ErrorIs(t, err, presence.ErrUnavailable)
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, 200, e.StatusCode)
			})
		}
	}
}

func TestBrokenConnectionIsUnavailable(t *testing.T) {
	c, err := New(tenant, application, &counted{}, &Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"value":[`), broken{}))}, nil
	})}})
	require.NoError(t, err)
	_, err = c.Subscriptions(t.Context())
	require.ErrorIs(t, err, presence.ErrUnavailable)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.NotErrorIs(t, err, ErrMalformed)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestNothingThatTheServiceSaysEscapes: a service that repeats the request in
// every place it can.
func TestNothingThatTheServiceSaysEscapes(t *testing.T) {
	const canary = "s3cr3t value"
	body := fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innerError":{"request-id":%q}},"error_description":%q,"error_codes":%q}`, canary, canary, canary, canary, canary)
	for _, status := range []int{200, 302, 400, 401, 403, 409, 500} {
		var logged strings.Builder
		c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("request-id", canary)
			w.Header().Set("Location", "https://elsewhere.test/"+url.PathEscape(canary))
			answer(status, body)(w, r)
		}, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(&logged, nil)) })
		_, err := c.CreateSubscription(t.Context(), presence.SubscriptionRequest{
			UserIDs: []string{ann}, NotificationURL: "https://bridge.test", ClientState: presence.NewSecret(canary), ExpiresAt: time.Now(),
		})
		require.Error(t, err)
		slog.New(slog.NewJSONHandler(&logged, nil)).Error("x", "err", err)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", err, err, errors.Unwrap(err), logged.String()), "s3cr3t")
	}
}

func TestFailureToSendDoesNotTellTheAddress(t *testing.T) {
	c, err := New(tenant, application, &counted{}, &Options{Cloud: testCloud(), ReadRetries: -1, HTTPClient: &http.Client{
		Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.EOF }),
	}})
	require.NoError(t, err)
	_, err = c.UserByMail(t.Context(), "ann@contoso.test")
	for ; err != nil; err = errors.Unwrap(err) {
		assert.NotContains(t, err.Error(), "ann")
	}
}
