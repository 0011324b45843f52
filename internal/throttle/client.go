package throttle

import (
	"context"
	"io"
	"net/http"
	"time"
)

// NewClient returns a client that waits for budgets and repeats reads as opts
// says, and bounds each attempt, its answer's body included, by attempt: a timeout
// of the client itself would count the waiting. It follows no redirect, because a
// token must not travel to where an answer points.
func NewClient(attempt time.Duration, opts Options) *http.Client {
	if opts.Base == nil {
		opts.Base = http.DefaultTransport
	}
	opts.Base = &bounded{opts.Base, attempt}
	return &http.Client{
		Transport:     NewTransport(opts),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bounded struct {
	base    http.RoundTripper
	timeout time.Duration
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), b.timeout)
	resp, err := b.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
