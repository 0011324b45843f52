package cloudlink

import (
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

const defaultAttemptTimeout = 40 * time.Second

// newHTTPClient returns a client on the transport of base, and with its timeout
// for a whole call. Each attempt is bounded by attempt, if that is not 0.
func newHTTPClient(base *http.Client, attempt time.Duration, opts throttle.Options) *http.Client {
	if attempt == 0 {
		attempt = defaultAttemptTimeout
	}
	if base != nil {
		opts.Base = base.Transport
	}
	client := throttle.NewClient(attempt, opts)
	if base != nil {
		client.Timeout = base.Timeout
	}
	return client
}
