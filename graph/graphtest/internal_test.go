package graphtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"PT5M": 5 * time.Minute, "PT4H": 4 * time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, "P7D": 168 * time.Hour, "PT0S": 0,
	} {
		got, err := parseDuration(s)
		assert.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "P", "PT", "5M", "PT5", "PT5M4H", "P1Y", "P1M", "PT-5M", "PT5.5M", "PT.5S", "PT5.S", "PT1.2.3S", "P1DT", "P99999999D", " PT5M", "pt5m"} {
		_, err := parseDuration(s)
		assert.Error(t, err, s)
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"PT5M", "P1DT2H3M4.5S", "P7D", "PT", "P99999999D", "PT1e9S"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err == nil && (d < 0 || !strings.HasPrefix(s, "P")) {
			t.Fatalf("%q is %s", s, d)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"mail eq 'x'", "id in ('a','b')", "not(mail eq null) and accountEnabled eq true", "startsWith(mail,'a''b') or (id ne 'x')", "((((", "mail in (", "'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if match, err := parseFilter(s); err == nil {
			match(User{ID: "a", Mail: "x"})
			match(User{})
		}
		_, _ = parseIDs(s)
	})
}

func FuzzResource(f *testing.F) {
	for _, s := range []string{
		"communications/presences/x", "/communications/presences?$filter=id in ('a','b')", "communications/presences?$filter=id+in+(%27a%27)",
		"communications/presences('a')", "communications/presences?$filter=%",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ids, single, err := parseResource(s)
		if err == nil && (len(ids) == 0 || single && len(ids) != 1) {
			t.Fatalf("%q gives %q", s, ids)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"users/a/presence", "applications(appId='x')", "users('a''b')", "%2F/%", "a(=)"} {
		f.Add(s)
	}
	s := &Server{}
	s.routes = s.newRoutes()
	f.Fuzz(func(t *testing.T, path string) {
		if parts, err := segments(path); err == nil {
			s.findRoute("GET", parts)
		}
	})
}

func TestDialLoopback(t *testing.T) {
	for _, address := range []string{"192.0.2.1:80", "example.com:443", "[2001:db8::1]:80", "localhost.example.com:80"} {
		_, err := dialLoopback(t.Context(), "tcp", address)
		assert.ErrorContains(t, err, "not a loopback address", address)
	}
}

func TestNestedFilterIsBounded(t *testing.T) {
	_, err := parseFilter(strings.Repeat("(", 10_000))
	assert.Error(t, err)
	_, err = parseFilter(strings.Repeat("not ", 10_000) + "mail eq 'x'")
	assert.Error(t, err)
	_, err = parseFilter("mail eq '" + strings.Repeat("x", maxFilterLength) + "'")
	assert.Error(t, err)
}
