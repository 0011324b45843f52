package throttle

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a service may ask for: a longer wait is more likely
// a fault than a wish, and must not silence a connection for days.
const maxRetryAfter = time.Hour

// RetryAfter reads the Retry-After header in each form that is seen: whole
// seconds (RFC 9110), seconds with a fraction (Microsoft Graph sends 2.128), and
// an HTTP date (CloudLink). Fractions are rounded up to the next millisecond,
// so that a request is never early. A missing or unreadable header, and a time
// that has passed, give false.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	// A number that is out of range is read as infinite, and so as the longest wait.
	if seconds, err := strconv.ParseFloat(value, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		if math.IsNaN(seconds) || seconds <= 0 {
			return 0, false
		}
		if seconds >= maxRetryAfter.Seconds() {
			return maxRetryAfter, true
		}
		return time.Duration(math.Ceil(seconds*1000)) * time.Millisecond, true
	}
	at, err := http.ParseTime(value)
	if err != nil || !at.After(now) {
		return 0, false
	}
	return min(at.Sub(now), maxRetryAfter), true
}
