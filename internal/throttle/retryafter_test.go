package throttle_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func retryAfter(value string) (time.Duration, bool) {
	return throttle.RetryAfter(http.Header{"Retry-After": {value}}, noon)
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"10":                             10 * time.Second,
		" 10 ":                           10 * time.Second,
		"2.128":                          2128 * time.Millisecond,
		"0.0001":                         time.Millisecond,
		"2.1281":                         2129 * time.Millisecond,
		"3600":                           time.Hour,
		"86400":                          time.Hour,
		"9223372036854775808":            time.Hour,
		strings.Repeat("9", 400):         time.Hour,
		"Sun, 01 Mar 2026 12:00:07 GMT":  7 * time.Second,
		"Sunday, 01-Mar-26 12:00:07 GMT": 7 * time.Second,
		"Sun Mar  1 12:00:07 2026":       7 * time.Second,
		"Mon, 02 Mar 2026 12:00:00 GMT":  time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Hour,
	} {
		got, ok := retryAfter(value)
		assert.True(t, ok, value)
		assert.Equal(t, want, got, value)
	}
	for _, value := range []string{
		"", "  ", "0", "0.0", "-0", "-1", "-" + strings.Repeat("9", 400), "NaN", "-Inf", "soon", "10s", "1,5",
		"Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 11:59:59 GMT", "Sun, 01 Mar 2026", "2026-03-01T12:00:07Z",
	} {
		got, ok := retryAfter(value)
		assert.False(t, ok, "%q", value)
		assert.Zero(t, got, "%q", value)
	}
	_, ok := throttle.RetryAfter(nil, noon)
	assert.False(t, ok)
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"10", "2.128", "1e309", "-1", "NaN", "Inf", "0x1p-2", "Sun, 01 Mar 2026 12:00:07 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait, ok := retryAfter(value)
		if ok != (wait > 0) || wait < 0 || wait > time.Hour || wait%time.Millisecond != 0 {
			t.Fatalf("%q gives %v, %v", value, wait, ok)
		}
	})
}
