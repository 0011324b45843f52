package throttle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

var errBroken = errors.New("broken connection")

// service is a base transport: it gives the answers of a script, the last one
// for ever, and keeps what it was sent. An answer is a status and, behind a
// space, a Retry-After; "-" is a broken connection.
type service struct {
	script []string
	bodies []string
	times  []time.Time
	open   int // bodies of answers not closed
}

func (s *service) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	answer := s.script[min(len(s.bodies), len(s.script)-1)]
	s.bodies, s.times = append(s.bodies, req.Method+" "+string(body)), append(s.times, time.Now())
	if answer == "-" {
		return nil, errBroken
	}
	status, after, _ := strings.Cut(answer, " ")
	resp := &http.Response{StatusCode: map[string]int{"200": 200, "400": 400, "429": 429, "500": 500, "502": 502, "503": 503, "504": 504}[status], Header: http.Header{}, Request: req}
	if after != "" {
		resp.Header.Set("Retry-After", after)
	}
	s.open++
	resp.Body = &closing{strings.NewReader(answer), &s.open}
	return resp, nil
}

type closing struct {
	io.Reader
	open *int
}

func (c *closing) Close() error { *c.open--; return nil }

// send sends one request, and returns the status of the answer, 0 for none.
func send(ctx context.Context, t *testing.T, s *service, opts throttle.Options, method, body string) (int, error) {
	t.Helper()
	opts.Base = s
	req, err := http.NewRequestWithContext(ctx, method, "http://service.example/", strings.NewReader(body))
	require.NoError(t, err)
	resp, err := throttle.NewTransport(opts).RoundTrip(req)
	if err != nil {
		assert.Zero(t, s.open)
		return 0, err
	}
	assert.Equal(t, 1, s.open, "only the body that is returned is left open")
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotEmpty(t, text, "the returned body is unread")
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, nil
}

func TestTransportRepeatsReadsOnly(t *testing.T) {
	background := context.Background()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		method string
		script string
		sent   int
		status int // 0: errBroken
	}{
		{"success", background, "GET", "200", 1, 200},
		{"passing", background, "GET", "429,502,503,200", 4, 200},
		{"gateway timeout", background, "HEAD", "504,200", 2, 200},
		{"to no end", background, "GET", "503", 4, 503},
		{"broken", background, "GET", "-,-,200", 3, 200},
		{"broken for good", background, "GET", "-", 4, 0},
		{"refused", background, "GET", "400", 1, 400},
		{"internal error", background, "GET", "500", 1, 500},
		{"write", background, "POST", "503,200", 1, 503},
		{"throttled write", background, "PUT", "429 1,200", 1, 429},
		{"broken write", background, "PATCH", "-,200", 1, 0},
		{"deletion", background, "DELETE", "502,200", 1, 502},
		{"read by POST", throttle.MarkRead(background), "POST", "503,-,200", 3, 200},
		{"wish above the bound", background, "GET", "429 16,200", 1, 429},
		{"wish at the bound", background, "GET", "429 15,200", 2, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, start := &service{script: strings.Split(c.script, ",")}, time.Now()
			status, err := send(c.ctx, t, s, throttle.Options{}, c.method, "body")
			if c.status == 0 {
				require.ErrorIs(t, err, errBroken, c.name)
			} else {
				require.NoError(t, err, c.name)
			}
			assert.Equal(t, c.status, status, c.name)
			if assert.Len(t, s.bodies, c.sent, c.name) {
				for _, body := range s.bodies {
					assert.Equal(t, c.method+" body", body, "%s: each request has the whole body", c.name)
				}
			}
			if c.sent == 1 {
				assert.Equal(t, start, time.Now(), "%s: the answer comes at once", c.name)
			} else {
				assert.Greater(t, time.Since(start), 200*time.Millisecond, "%s: a repetition is not hasty", c.name)
			}
		})
	}
}

func TestTransportNeedsABodyItCanRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{script: []string{"503", "200"}}
		req, err := http.NewRequestWithContext(throttle.MarkRead(t.Context()), http.MethodPost, "http://service.example/", io.MultiReader(strings.NewReader("once")))
		require.NoError(t, err)
		resp, err := throttle.NewTransport(throttle.Options{Base: s}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		assert.Equal(t, []string{"POST once"}, s.bodies)

		req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://service.example/", nil)
		require.NoError(t, err)
		s = &service{script: []string{"503", "200"}}
		resp, err = throttle.NewTransport(throttle.Options{Base: s, ReadRetries: -1}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "no repetitions were wanted")
	})
}

func TestTransportWaitsAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := &service{script: []string{"429 2.128", "503 " + time.Now().Add(10*time.Second).UTC().Format(http.TimeFormat), "200"}}, time.Now()
		status, err := send(t.Context(), t, s, throttle.Options{}, "GET", "")
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, []time.Time{start, start.Add(2128 * time.Millisecond), start.Add(10 * time.Second)}, s.times)

		// The waits of its own choice keep the bound too.
		s, start = &service{script: []string{"-", "503", "-", "200"}}, time.Now()
		_, err = send(t.Context(), t, s, throttle.Options{MaxWait: 10 * time.Millisecond}, "GET", "")
		require.NoError(t, err)
		assert.Equal(t, 30*time.Millisecond, time.Since(start))
	})
}

func TestTransportObeysTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []string{"503 10", "-"} {
			s := &service{script: []string{answer}}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			start := time.Now()
			_, err := send(ctx, t, s, throttle.Options{}, "GET", "")
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 100*time.Millisecond, time.Since(start), "the wait ends with the context")

			// What is known before the deadline tells more than the deadline.
			s = &service{script: []string{answer}}
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			start = time.Now()
			status, err := send(ctx, t, s, throttle.Options{}, "GET", "")
			cancel()
			assert.Equal(t, start, time.Now())
			if answer == "-" {
				require.ErrorIs(t, err, errBroken)
			} else {
				require.NoError(t, err)
				assert.Equal(t, http.StatusServiceUnavailable, status)
			}
			assert.Len(t, s.bodies, 1)
		}
	})
}

func TestTransportPausesTheBudgetsForAll(t *testing.T) {
	for answer, want := range map[string]time.Duration{"429 60": time.Minute, "503 60": time.Minute, "503": 0, "-": 0, "500 60": 0} {
		synctest.Test(t, func(t *testing.T) {
			shared, other := throttle.NewBudget("shared", 1000, time.Second), throttle.NewBudget("other", 1000, time.Second)
			var told []time.Duration
			opts := throttle.Options{
				Charges: func(*http.Request) []throttle.Charge { return []throttle.Charge{{Budget: shared, Cost: 1}} },
				Throttled: func(req *http.Request, status int, wait time.Duration) {
					assert.Equal(t, "POST", req.Method)
					told = append(told, wait)
				},
			}
			start := time.Now()
			_, _ = send(t.Context(), t, &service{script: []string{answer}}, opts, "POST", "") // a write, which is not repeated
			_, err := send(t.Context(), t, &service{script: []string{"200"}}, opts, "GET", "")
			require.NoError(t, err)
			assert.Equal(t, want, time.Since(start), answer)
			assert.Zero(t, other.PausedUntil())
			if want > 0 {
				assert.Equal(t, []time.Duration{want}, told, answer)
			} else {
				assert.Empty(t, told, answer)
			}
		})
	}
}

func TestTransportSpendsForEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget("test", 1, 30*time.Minute)
		opts := throttle.Options{Charges: func(*http.Request) []throttle.Charge { return []throttle.Charge{{Budget: b, Cost: 1}} }}
		s, start := &service{script: []string{"503", "429", "200"}}, time.Now()
		status, err := send(t.Context(), t, s, opts, "GET", "body")
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, time.Hour, time.Since(start).Round(time.Second), "repetitions spend too, and wait after the longest queue")
		assert.True(t, b.PausedUntil().After(s.times[1]), "429 without Retry-After pauses the budget, however late it comes")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		body := &closed{Reader: strings.NewReader("body")}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service.example/", body)
		require.NoError(t, err)
		opts.Base = s
		_, err = throttle.NewTransport(opts).RoundTrip(req)
		require.ErrorIs(t, err, throttle.ErrNoTurn)
		assert.True(t, body.closed, "the body is closed even if nothing is sent")
		assert.Len(t, s.bodies, 3)
	})
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }
