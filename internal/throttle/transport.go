package throttle

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Charge is what one request costs a budget.
type Charge struct {
	Budget *Budget
	Cost   int
}

// Options are the settings of a [Transport]; the zero value of each field is its default.
type Options struct {
	// Base sends the requests. Default: [http.DefaultTransport].
	Base http.RoundTripper
	// Charges names the budgets that a request spends from. Default: none.
	Charges func(*http.Request) []Charge
	// ReadRetries is how often a read that failed for a passing reason is
	// repeated. Default: 3.
	ReadRetries int
	// MaxWait is the longest that a read waits before one repetition; a service
	// that asks for more gets its wish, but the caller gets the answer at once.
	// So it does when the wait would outlast its context's deadline.
	// Default: 15 seconds.
	MaxWait time.Duration
	// Throttled, if set, is called when a service asks for fewer requests.
	Throttled func(req *http.Request, status int, wait time.Duration)
}

// Transport is an [http.RoundTripper] that spends from budgets and repeats reads.
//
// Only reads are repeated here: GET and HEAD requests, and those whose context
// was marked by [MarkRead]. A write is returned to its caller whatever became of
// it, because by then the caller may want something else to be written.
type Transport struct{ opts Options }

// NewTransport returns a Transport.
func NewTransport(opts Options) *Transport {
	if opts.Base == nil {
		opts.Base = http.DefaultTransport
	}
	if opts.ReadRetries == 0 {
		opts.ReadRetries = 3
	}
	if opts.MaxWait == 0 {
		opts.MaxWait = 15 * time.Second
	}
	return &Transport{opts: opts}
}

type readKey struct{}

// MarkRead marks the requests made under the context as reads, for those that
// a service wants to be sent as POST.
func MarkRead(ctx context.Context) context.Context {
	return context.WithValue(ctx, readKey{}, true)
}

func isRead(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Context().Value(readKey{}) != nil
}

// passing reports whether a status says that the same request may succeed later.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// RoundTrip sends req once all its budgets allow it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	var charges []Charge
	if t.opts.Charges != nil {
		charges = t.opts.Charges(req)
	}
	tries := 1
	if isRead(req) && (req.Body == nil || req.Body == http.NoBody || req.GetBody != nil) {
		tries += t.opts.ReadRetries
	}
	// The number of tries is the bound, not their time, which the budgets' queues
	// may use up.
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMaxElapsedTime(0))
	for try := 1; ; try++ {
		for _, c := range charges {
			if err := c.Budget.Wait(ctx, c.Cost); err != nil {
				closeBody(req)
				return nil, err
			}
		}
		attempt := req
		if try > 1 {
			attempt = req.Clone(ctx)
			if req.GetBody != nil {
				body, err := req.GetBody()
				if err != nil {
					return nil, err
				}
				attempt.Body = body
			}
		}
		resp, err := t.opts.Base.RoundTrip(attempt)
		wait := min(pauses.NextBackOff(), t.opts.MaxWait)
		switch {
		case err != nil:
			if try >= tries || ctx.Err() != nil || endsWithin(ctx, wait) || errors.Is(err, context.Canceled) {
				return nil, err
			}
		case !passing(resp.StatusCode):
			return resp, nil
		default:
			asked, ok := RetryAfter(resp.Header, time.Now())
			if ok {
				wait = asked
			}
			if ok || resp.StatusCode == http.StatusTooManyRequests {
				for _, c := range charges {
					c.Budget.Pause(time.Now().Add(wait))
				}
				if t.opts.Throttled != nil {
					t.opts.Throttled(req, resp.StatusCode, wait)
				}
			}
			if try >= tries || wait > t.opts.MaxWait || endsWithin(ctx, wait) {
				return resp, nil
			}
			// A small rest is read so that the connection can be used again.
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
			_ = resp.Body.Close()
		}
		if err := Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
