package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

func TestRequestsAreThoseThatMicrosoftDocuments(t *testing.T) {
	session := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	until := time.Date(2026, 3, 21, 11, 0, 0, 0, time.FixedZone("CET", 3600))
	subscription := `{"id":"s1","resource":"communications/presences?$filter=id in ('` + ann + `')","expirationDateTime":"2026-03-21T10:00:00.0000000Z"}`
	const fields = "id,userPrincipalName,mail,displayName,accountEnabled"
	for name, tt := range map[string]struct {
		call   func(context.Context, *Client) error
		answer http.HandlerFunc
		method string
		path   string
		query  url.Values
		body   string
	}{
		"read presence": {
			call:   func(ctx context.Context, c *Client) error { _, err := c.Presence(ctx, ann); return err },
			answer: answer(200, `{"id":"x","availability":"Away","activity":"Away"}`),
			method: "GET", path: "/v1.0/users/" + ann + "/presence",
		},
		"read presences": {
			call:   func(ctx context.Context, c *Client) error { _, err := c.Presences(ctx, []string{ann, bob}); return err },
			answer: answer(200, `{"value":[]}`),
			method: "POST", path: "/v1.0/communications/getPresencesByUserId", body: `{"ids":["` + ann + `","` + bob + `"]}`,
		},
		"set presence": {
			call:   func(ctx context.Context, c *Client) error { return c.SetPresence(ctx, ann, session, 65*time.Minute) },
			answer: answer(200, ""),
			method: "POST", path: "/v1.0/users/" + ann + "/presence/setPresence",
			body: `{"sessionId":"` + application + `","availability":"Busy","activity":"InACall","expirationDuration":"PT1H5M"}`,
		},
		"clear presence": {
			call:   func(ctx context.Context, c *Client) error { return c.ClearPresence(ctx, ann) },
			answer: answer(200, ""),
			method: "POST", path: "/v1.0/users/" + ann + "/presence/clearPresence", body: `{"sessionId":"` + application + `"}`,
		},
		"set preferred presence": {
			call: func(ctx context.Context, c *Client) error {
				return c.SetPreferredPresence(ctx, ann, presence.Offline, presence.ActivityOffWork, 0)
			},
			answer: answer(200, ""),
			method: "POST", path: "/v1.0/users/" + ann + "/presence/setUserPreferredPresence", body: `{"availability":"Offline","activity":"OffWork"}`,
		},
		"set preferred presence for a while": {
			call: func(ctx context.Context, c *Client) error {
				return c.SetPreferredPresence(ctx, ann, presence.Busy, presence.ActivityBusy, 170*time.Hour+1500*time.Millisecond)
			},
			answer: answer(200, ""),
			method: "POST", path: "/v1.0/users/" + ann + "/presence/setUserPreferredPresence", body: `{"availability":"Busy","activity":"Busy","expirationDuration":"PT170H0M1S"}`,
		},
		"clear preferred presence": {
			call:   func(ctx context.Context, c *Client) error { return c.ClearPreferredPresence(ctx, ann) },
			answer: answer(200, ""),
			method: "POST", path: "/v1.0/users/" + ann + "/presence/clearUserPreferredPresence", body: `{}`,
		},
		"read user": {
			call:   func(ctx context.Context, c *Client) error { _, err := c.User(ctx, "ann#ext@contoso.test"); return err },
			answer: answer(200, `{"id":"x"}`),
			method: "GET", path: "/v1.0/users/ann#ext@contoso.test", query: url.Values{"$select": {fields}},
		},
		"find user": {
			call: func(ctx context.Context, c *Client) error {
				_, err := c.UserByMail(ctx, " o'hara@contoso.test")
				return err
			},
			answer: answer(200, `{"value":[{"id":"x"}]}`),
			method: "GET", path: "/v1.0/users", query: url.Values{"$select": {fields}, "$top": {"2"}, "$filter": {"mail eq 'o''hara@contoso.test'"}},
		},
		"list users": {
			call: func(ctx context.Context, c *Client) error {
				for _, err := range c.Users(ctx) {
					return err
				}
				return nil
			},
			answer: answer(200, `{"value":[]}`),
			method: "GET", path: "/v1.0/users", query: url.Values{"$select": {fields}, "$top": {"999"}},
		},
		"create subscription": {
			call: func(ctx context.Context, c *Client) error {
				_, err := c.CreateSubscription(ctx, presence.SubscriptionRequest{
					UserIDs: []string{ann, bob, ann}, NotificationURL: "https://bridge.test/n", LifecycleURL: "https://bridge.test/l",
					ClientState: presence.NewSecret("state"), ExpiresAt: until,
				})
				return err
			},
			answer: answer(201, subscription),
			method: "POST", path: "/v1.0/subscriptions",
			body: `{"changeType":"updated","notificationUrl":"https://bridge.test/n","lifecycleNotificationUrl":"https://bridge.test/l","clientState":"state",
				"resource":"/communications/presences?$filter=id in ('` + ann + `','` + bob + `')","expirationDateTime":"2026-03-21T10:00:00Z"}`,
		},
		"renew subscription": {
			call: func(ctx context.Context, c *Client) error {
				_, err := c.RenewSubscription(ctx, "s1", presence.SubscriptionRenewal{ExpiresAt: until})
				return err
			},
			answer: answer(200, subscription),
			method: "PATCH", path: "/v1.0/subscriptions/s1", body: `{"expirationDateTime":"2026-03-21T10:00:00Z"}`,
		},
		"delete subscription": {
			call:   func(ctx context.Context, c *Client) error { return c.DeleteSubscription(ctx, "s1") },
			answer: answer(204, ""),
			method: "DELETE", path: "/v1.0/subscriptions/s1",
		},
		"re-authorize subscription": {
			call:   func(ctx context.Context, c *Client) error { return c.ReauthorizeSubscription(ctx, "s1") },
			answer: answer(204, ""),
			method: "POST", path: "/v1.0/subscriptions/s1/reauthorize",
		},
		"read subscription": {
			call:   func(ctx context.Context, c *Client) error { _, err := c.Subscription(ctx, "s1"); return err },
			answer: answer(200, subscription),
			method: "GET", path: "/v1.0/subscriptions/s1",
		},
		"list subscriptions": {
			call:   func(ctx context.Context, c *Client) error { _, err := c.Subscriptions(ctx); return err },
			answer: answer(200, `{"value":[]}`),
			method: "GET", path: "/v1.0/subscriptions",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := newTestClient(t, tt.answer, nil)
			require.NoError(t, tt.call(t.Context(), c))
			got := w.only(t)
			assert.Equal(t, tt.method, got.Method)
			assert.Equal(t, tt.path, got.Path)
			query, err := url.ParseQuery(got.Query)
			require.NoError(t, err)
			if tt.query == nil {
				tt.query = url.Values{}
			}
			assert.Equal(t, tt.query, query)
			if tt.body == "" {
				assert.Empty(t, got.Body)
			} else {
				assert.JSONEq(t, tt.body, got.Body)
				assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
				assert.EqualValues(t, len(got.Body), got.Length, "the length is known, so the body is not sent in chunks")
			}
			assert.Equal(t, "Bearer token-1", got.Header.Get("Authorization"))
			assert.NotEmpty(t, got.Header.Get("client-request-id"))
			assert.Empty(t, got.Header.Get("Content-Encoding"))
		})
	}
}

func TestReadIsRepeatedAfterTheTimeThatTheServiceAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "2.128")
			answer(429, graphError("TooManyRequests", "x"))(w, r)
		}
		c, w := newTestClient(t, inTurn(slow, answer(200, `{"value":[{"id":"`+ann+`","availability":"Busy","activity":"Busy"}]}`)), nil)
		got, err := c.Presences(t.Context(), []string{ann})
		require.NoError(t, err)
		assert.Len(t, got, 1)
		requests := w.all()
		require.Len(t, requests, 2)
		assert.Equal(t, 2128*time.Millisecond, requests[1].At.Sub(requests[0].At))
		assert.Equal(t, requests[0].Body, requests[1].Body)
	})
}

func TestWriteIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			answer(503, "")(w, r)
		}, nil)
		err := c.ClearPresence(t.Context(), ann)
		require.ErrorIs(t, err, presence.ErrUnavailable)
		wait, ok := presence.RetryAfter(err)
		assert.True(t, ok)
		assert.Equal(t, 7*time.Second, wait)
		assert.Len(t, w.all(), 1)
	})
}

func TestThrottledBudgetHoldsEveryClientBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budgets := NewBudgets(nil)
		share := func(o *Options) { o.Budgets = budgets; o.ReadRetries = -1 }
		first, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "10")
			answer(429, "")(w, r)
		}, share)
		second, _ := newTestClient(t, answer(200, ""), share)
		started := time.Now()
		require.ErrorIs(t, first.ClearPresence(t.Context(), ann), presence.ErrThrottled)
		require.NoError(t, second.ClearPresence(t.Context(), ann))
		assert.Equal(t, 10*time.Second, time.Since(started))
	})
}

func TestRequestsStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newTestClient(t, answer(200, `{"value":[]}`), nil)
		for range 120 {
			_, err := c.Subscriptions(t.Context())
			require.NoError(t, err)
		}
		requests := w.all()
		for i := range requests {
			n := 0
			for _, r := range requests[i:] {
				if r.At.Sub(requests[i].At) < 20*time.Second {
					n++
				}
			}
			require.LessOrEqual(t, n, 25, "lists in the 20 s from request %d", i)
		}
	})
}

func TestUsageOfTheBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budgets := NewBudgets(&Limits{Presence: Limit{Requests: 90, Window: time.Minute}})
		c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/subscriptions") {
				w.Header().Set("Retry-After", "7")
				answer(429, "")(w, r)
				return
			}
			answer(200, "")(w, r)
		}, func(o *Options) { o.Budgets = budgets; o.ReadRetries = -1 })
		for range 3 {
			require.NoError(t, c.ClearPresence(t.Context(), ann))
		}
		_, err := c.Subscription(t.Context(), "s1")
		require.Error(t, err)
		_, err = c.Subscriptions(t.Context())
		require.ErrorIs(t, err, presence.ErrThrottled)
		until := time.Now().Add(7 * time.Second)
		assert.Equal(t, []presence.BudgetUsage{
			{Name: "presence", Used: 3, Units: 90, Window: time.Minute},
			{Name: "subscription writes", Units: 500, Window: 20 * time.Second},
			{Name: "subscription reads", Used: 1, Units: 500, Window: 20 * time.Second},
			{Name: "subscription lists", Used: 1, Units: 25, Window: 20 * time.Second, PausedUntil: until},
			{Name: "reauthorizations", Units: 1000, Window: 20 * time.Second},
			{Name: "directory", Units: 3500, Window: 10 * time.Second},
			{Name: "total", Used: 5, Units: 130_000, Window: 10 * time.Second, PausedUntil: until},
		}, budgets.Usage())
		assert.Equal(t, budgets.Usage(), c.Usage())
	})
}

func TestNoTurnBeforeTheDeadlineIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newTestClient(t, answer(200, `{"value":[]}`), func(o *Options) {
			o.Budgets = NewBudgets(&Limits{SubscriptionLists: Limit{1, time.Hour}})
		})
		_, err := c.Subscriptions(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Subscriptions(ctx)
		require.ErrorIs(t, err, presence.ErrThrottled)
		assert.ErrorContains(t, err, "budget")
	})
}

func TestAttemptWithoutAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(tenant, application, &counted{}, &Options{Cloud: testCloud(), HTTPClient: &http.Client{
			Timeout: 3 * time.Second,
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		}})
		require.NoError(t, err)
		started := time.Now()
		err = c.ClearPresence(t.Context(), ann)
		require.ErrorIs(t, err, presence.ErrUnavailable)
		assert.ErrorContains(t, err, "no answer in time")
		assert.Equal(t, 3*time.Second, time.Since(started))
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCanceledCallIsNotTheServicesFault(t *testing.T) {
	c, w := newTestClient(t, answer(200, ""), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.ClearPresence(ctx, ann)
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, presence.ErrUnavailable)
	_, err = c.Presences(ctx, []string{ann})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, w.all())
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	refuseFirst := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			answer(401, graphError("InvalidAuthenticationToken", "x"))(w, r)
			return
		}
		answer(200, `{"value":[]}`)(w, r)
	}
	t.Run("write", func(t *testing.T) {
		c, w := newTestClient(t, refuseFirst, nil)
		require.NoError(t, c.ClearPresence(t.Context(), ann))
		requests := w.all()
		require.Len(t, requests, 2)
		assert.Equal(t, "Bearer token-2", requests[1].Header.Get("Authorization"))
		assert.Equal(t, requests[0].Body, requests[1].Body)
	})
	t.Run("read", func(t *testing.T) {
		c, w := newTestClient(t, refuseFirst, nil)
		_, err := c.Presences(t.Context(), []string{ann})
		require.NoError(t, err)
		assert.Len(t, w.all(), 2)
	})
	t.Run("a source without another token", func(t *testing.T) {
		w := &wire{handler: refuseFirst}
		source := FromOAuth2(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token-1"}))
		c, err := New(tenant, application, source, &Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}})
		require.NoError(t, err)
		require.ErrorIs(t, c.ClearPresence(t.Context(), ann), presence.ErrUnauthorized)
		assert.Len(t, w.all(), 1)
	})
	t.Run("a service that refuses every token costs one a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			source := &counted{}
			w := &wire{handler: answer(401, graphError("Unauthorized", "Cannot set the presence of another user"))}
			c, err := New(tenant, application, source, &Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}})
			require.NoError(t, err)
			for range 12 {
				require.ErrorIs(t, c.ClearPresence(t.Context(), ann), presence.ErrUnauthorized)
				time.Sleep(10 * time.Second)
			}
			assert.Equal(t, 2, source.invalidated)
			assert.Len(t, w.all(), 12+2, "a request is sent again with another token only")
		})
	})
}

func TestMetricsCountRequestsByOperationAndStatus(t *testing.T) {
	reader := metric.NewManualReader()
	c, _ := newTestClient(t, inTurn(answer(200, ""), answer(404, "")), func(o *Options) {
		o.MeterProvider = metric.NewMeterProvider(metric.WithReader(reader))
	})
	require.NoError(t, c.ClearPresence(t.Context(), ann))
	require.Error(t, c.ClearPresence(t.Context(), ann))
	var got metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &got))
	counts := map[string]int64{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, point := range sum.DataPoints {
				encoded, err := json.Marshal(point.Attributes.ToSlice())
				require.NoError(t, err)
				counts[m.Name+string(encoded)] = point.Value
			}
		}
	}
	require.Len(t, counts, 2)
	for key, n := range counts {
		assert.Contains(t, key, "clear presence")
		assert.EqualValues(t, 1, n)
	}
}

func TestNewNamesAllFaults(t *testing.T) {
	_, err := New("no tenant", "", nil, &Options{
		Cloud: Cloud{LoginURL: "http://login.example.com", GraphURL: "graph"}, MaxInFlight: -1,
	})
	for _, want := range []string{"tenant id", "client id", "token source", "LoginURL", "GraphURL", "MaxInFlight"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestTokenNeverLeavesForAnotherHost(t *testing.T) {
	for _, link := range []string{
		"https://elsewhere.test/v1.0/users?$skiptoken=x", "//elsewhere.test/v1.0/users", "http://graph.test.elsewhere.test/v1.0/users",
		"https://graph.test/v1.0/users", "http://graph.test/beta/users", "http://u@graph.test/v1.0/users", "/v1.0/users", ":",
	} {
		c, w := newTestClient(t, answer(200, `{"value":[{"id":"x"}],"@odata.nextLink":"`+link+`"}`), nil)
		var last error
		for _, err := range c.Users(t.Context()) {
			last = err
		}
		require.ErrorIs(t, last, ErrMalformed, link)
		assert.Len(t, w.all(), 1)
	}
}

func TestRequestToAnotherHostGetsNoToken(t *testing.T) {
	c, w := newTestClient(t, answer(200, ""), nil)
	info, err := c.subscriptions().WithUrl("http://elsewhere.test/v1.0/subscriptions").ToGetRequestInformation(t.Context(), nil)
	require.NoError(t, err)
	require.Error(t, c.do(t.Context(), opListSubscriptions, info, maxAnswer, nil))
	assert.Empty(t, info.Headers.Get("Authorization"))
	assert.Empty(t, w.all())
}

func TestRedirectIsNotFollowed(t *testing.T) {
	c, w := newTestClient(t, inTurn(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://graph.test/v1.0/elsewhere", http.StatusTemporaryRedirect)
	}, answer(200, "{}")), nil)
	require.ErrorIs(t, c.ClearPresence(t.Context(), ann), ErrMalformed)
	assert.Len(t, w.all(), 1)
}
