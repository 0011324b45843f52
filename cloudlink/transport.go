package cloudlink

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

const defaultAttemptTimeout = 40 * time.Second

// newHTTPClient returns a client that sends through base's transport with the
// budgets and repetitions of opts. It follows no redirect: a bearer token must
// not travel to where an answer points.
func newHTTPClient(base *http.Client, attempt time.Duration, opts throttle.Options) *http.Client {
	if base == nil {
		base = &http.Client{}
	}
	transport := base.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	if attempt == 0 {
		attempt = defaultAttemptTimeout
	}
	opts.Base = attemptTransport{base: transport, timeout: attempt}
	return &http.Client{
		Transport:     throttle.NewTransport(opts),
		Timeout:       base.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attemptTransport bounds each attempt by itself: http.Client.Timeout would
// count the waits for the budget and between repetitions too.
type attemptTransport struct {
	base    http.RoundTripper
	timeout time.Duration
}

func (t attemptTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelingBody{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}

type cancelingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
