package verify

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkSystemCheck makes all checks, of a bridge with one monitor and of one with
// as many as a hundred thousand users need. Nothing takes time but the checks.
func BenchmarkSystemCheck(b *testing.B) {
	for _, monitors := range []int{1, 154} {
		b.Run(fmt.Sprintf("monitors=%d", monitors), func(b *testing.B) {
			p := newPlant()
			one := p.pool.Monitors[0]
			p.pool.Monitors = nil
			for i := range monitors {
				one.PrincipalName = fmt.Sprintf("monitor%d@example.com", i+1)
				p.pool.Monitors = append(p.pool.Monitors, one)
			}
			c, err := NewSystemCheck(p.sources(), p.settings(), &SystemOptions{
				Resolver: p, Dial: p.answer, HTTPClient: &http.Client{Transport: transport(validated)},
			})
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				report, err := c.Run(b.Context(), nil)
				require.NoError(b, err)
				require.Zero(b, report.Count(Failed), report.Troubles())
			}
		})
	}
}

// validated answers as the notification handler does.
func validated(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(r.URL.Query().Get("validationToken"))),
	}, nil
}
