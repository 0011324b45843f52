package cloudlink

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

const idleEndpoint = `{"endpointId":"2001","state":"idle","dnd":false}`

func TestRequestCarriesTokenAndApplication(t *testing.T) {
	r := &recorder{next: answer(200, idleEndpoint)}
	c := testClient(t, r, func(o *Options) { o.Region, o.Application, o.ApplicationVersion = "eu", "acme", "2.1" })
	_, err := c.Line(t.Context(), "2001")
	require.NoError(t, err)
	req := r.requests[0]
	assert.Equal(t, "https://media.eu.api.mitel.io/2017-09-01/endpoints/2001", req.URL.String())
	assert.Equal(t, "Bearer "+testToken+"0", req.Header.Get("Authorization"))
	assert.Regexp(t, `^app=acme/2\.1;platform=[a-z0-9]+/[a-z0-9]+;session=[0-9a-f-]{36};$`, req.Header.Get("x-mitel-app"))
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	for _, write := range []bool{false, true} {
		r := &recorder{next: sequence(answer(401, `{}`), answer(200, idleEndpoint))}
		c := testClient(t, r)
		var err error
		if write {
			err = c.SetDoNotDisturb(t.Context(), "2001", true)
		} else {
			_, err = c.Line(t.Context(), "2001")
		}
		require.NoError(t, err)
		require.Len(t, r.requests, 2)
		assert.Equal(t, "Bearer "+testToken+"1", r.requests[1].Header.Get("Authorization"))
		assert.Equal(t, r.bodies[0], r.bodies[1])
	}
	r := &recorder{next: answer(401, `{}`)}
	c := testClient(t, r)
	_, err := c.Line(t.Context(), "2001")
	require.ErrorIs(t, err, presence.ErrUnauthorized)
	assert.Len(t, r.requests, 2)
	assert.Len(t, c.tokens.(*fixedToken).invalidated, 2)
}

func TestReadsAreRepeatedAndWritesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, status := range []int{429, 502, 503, 504} {
			r := &recorder{next: answer(status, `{}`)}
			c := testClient(t, r, func(o *Options) { o.ReadRetries = 0 })
			_, err := c.Line(t.Context(), "2001")
			require.Error(t, err)
			assert.Len(t, r.requests, 4, "a read and three repetitions")

			r.requests = nil
			require.Error(t, c.SetDoNotDisturb(t.Context(), "2001", true))
			assert.Len(t, r.requests, 1)
			require.Error(t, NewStatusDriver(c).SetStatus(t.Context(), testUser, presence.StatusBusy))
			assert.Len(t, r.requests, 2)
		}
	})
}

func TestRetryAfterDateIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		later := func(d time.Duration) http.HandlerFunc {
			return answer(429, `{}`, "Retry-After", time.Now().Add(d).UTC().Format(http.TimeFormat))
		}
		r := &recorder{next: sequence(later(10*time.Second), answer(200, idleEndpoint), later(time.Minute), answer(200, idleEndpoint))} //nolint:gocritic // the same answer comes twice
		c := testClient(t, r, func(o *Options) { o.ReadRetries = 0 })
		_, err := c.Line(t.Context(), "2001")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(start), 10*time.Second)

		_, err = c.Line(t.Context(), "2001")
		require.ErrorIs(t, err, presence.ErrThrottled, "nobody is made to wait for so long")
		_, err = c.Line(t.Context(), "2001")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(start), time.Minute, "but the next request waits")
	})
}

func TestBudgetHoldsInEverySecond(t *testing.T) {
	for _, perSecond := range []float64{0, 4, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: answer(200, idleEndpoint)}
			c := testClient(t, r, func(o *Options) { o.RequestsPerSecond = perSecond })
			for range 60 {
				_, err := c.Line(t.Context(), "2001")
				require.NoError(t, err)
			}
			most, window := int(perSecond), time.Second
			switch perSecond {
			case 0:
				most = 10
			case 0.5:
				most, window = 1, 2*time.Second
			}
			for i := range r.times {
				n := 0
				for _, at := range r.times[i:] {
					// The limiter counts in floating point: a nanosecond is nothing.
					if at.Sub(r.times[i]) < window-time.Microsecond {
						n++
					}
				}
				require.LessOrEqual(t, n, most)
			}
		})
	}
}

func TestUsageOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testClient(t, sequence(answer(200, idleEndpoint), answer(429, ``, "Retry-After", "5")), func(o *Options) { o.RequestsPerSecond = 0 })
		_, err := c.Line(t.Context(), "2001")
		require.NoError(t, err)
		assert.Equal(t, presence.BudgetUsage{Name: "cloudlink", Used: 1, Units: 10, Window: time.Second}, c.Usage())
		_, err = c.Line(t.Context(), "2001")
		require.ErrorIs(t, err, presence.ErrThrottled)
		assert.Equal(t, time.Now().Add(5*time.Second), c.Usage().PausedUntil)
		time.Sleep(2 * time.Second)
		assert.Zero(t, c.Usage().Used)
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	r := &recorder{next: answer(307, ``, "Location", "https://elsewhere.example/")}
	_, err := testClient(t, r).Line(t.Context(), "2001")
	require.ErrorIs(t, err, ErrUnexpectedAnswer)
	assert.Len(t, r.requests, 1)
}

func TestAnswerIsBounded(t *testing.T) {
	endless := httpmock.NewMockTransport()
	endless.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), spaces{})), Request: req}, nil
	})
	c := testClient(t, nil, func(o *Options) { o.HTTPClient = &http.Client{Transport: endless} })
	_, err := c.Line(t.Context(), "2001")
	require.ErrorIs(t, err, ErrUnexpectedAnswer)
	assert.ErrorContains(t, err, "longer than")
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAttemptTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := httpmock.NewMockTransport()
		transport.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		c := testClient(t, nil, func(o *Options) { o.HTTPClient = &http.Client{Transport: transport} })
		start := time.Now()
		_, err := c.Line(t.Context(), "2001")
		require.ErrorIs(t, err, presence.ErrUnavailable)
		assert.ErrorContains(t, err, "timed out")
		assert.Equal(t, defaultAttemptTimeout, time.Since(start))
	})
}

func TestIDsCannotChangeThePath(t *testing.T) {
	r := &recorder{next: answer(200, idleEndpoint)}
	c := testClient(t, r)
	for _, id := range []string{"", ".", "..", "a/b", `a\b`, "a\nb", strings.Repeat("1", 257)} {
		_, err := c.Line(t.Context(), id)
		require.ErrorIs(t, err, presence.ErrInvalid, "%q", id)
		require.NotErrorIs(t, err, presence.ErrUnavailable)
		require.ErrorIs(t, c.Unsubscribe(t.Context(), id), presence.ErrInvalid)
		_, err = c.User(t.Context(), id)
		require.ErrorIs(t, err, presence.ErrInvalid)
		_, err = c.Presentity(t.Context(), id)
		require.ErrorIs(t, err, presence.ErrInvalid)
		require.ErrorIs(t, c.SetPresentity(t.Context(), id, Presentity{Status: "Busy"}), presence.ErrInvalid)
	}
	assert.Empty(t, r.requests)
	_, err := c.Line(t.Context(), "20 01?x=#*1")
	require.NoError(t, err)
	assert.Equal(t, "/2017-09-01/endpoints/20%2001%3Fx=%23%2A1", strings.ReplaceAll(r.requests[0].URL.EscapedPath(), "*", "%2A"))
}
