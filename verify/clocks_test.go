package verify

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClocks(t *testing.T) {
	// date answers with a clock that is so far ahead of ours.
	date := func(ahead time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		}
	}
	none := func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }
	for _, test := range []struct {
		name     string
		handler  http.HandlerFunc
		status   Status
		sentence string
		evidence string
	}{
		{"right", date(0), Passed, "", "right (give or take 1s)"},
		{"within the tolerance", date(time.Minute), Passed, "", "1m0s behind (give or take 1s)"},
		{"within the tolerance and the measurement", date(-61 * time.Second), Passed, "", "1m1s ahead (give or take 1s)"},
		{"slow", date(2 * time.Minute), Warned, "Our clock differs from that of the service: it is 2m0s behind (give or take 1s).", ""},
		{"fast", date(-2 * time.Minute), Warned, "it is 2m0s ahead", ""},
		{"almost too slow", date(301 * time.Second), Warned, "5m1s behind", ""},
		{"much too slow", date(302 * time.Second), Failed, "5m2s behind", ""},
		{"much too fast", date(-time.Hour), Failed, "1h0m0s ahead", ""},
		{"ages ago", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "Mon, 01 Jan 0001 00:00:00 GMT") }, Failed, "ahead", ""},
		{"no date", none, Warned, "The clock of the service could not be read: its answer has no date.", ""},
		{"a date that is none", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "yesterday") }, Warned, "its answer has no date", ""},
		{"refuses HEAD", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				none(w, r)
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			date(2*time.Minute)(w, r)
		}, Warned, "2m0s behind", ""},
		{"from a cache", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Age", "600")
			date(-10*time.Minute)(w, r)
		}, Passed, "", "right (give or take 1s)"},
		{"a long way", func(w http.ResponseWriter, r *http.Request) {
			<-time.After(5 * time.Second)
			date(0)(w, r)
			w.(http.Flusher).Flush()
		}, Passed, "", "2.5s behind (give or take 3.5s)"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			date(0)(w, r)
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
		}, Passed, "", "right (give or take 1s)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				o.serve(t, "graph.example.com", nil, test.handler)
				r := newPlant().oneOf(t, CodeClockMicrosoft, SystemOptions{HTTPClient: o.client}, func(s *SystemSources, _ *SystemSettings) {
					s.MicrosoftServices = []Service{{"the service", "http://graph.example.com/v1.0/"}}
				})
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				if test.evidence != "" {
					assert.Equal(t, test.evidence, evidenceOf(r, "the service"))
				}
				if r.Status == Failed {
					assert.Contains(t, r.Remedy, "NTP")
				}
			})
		})
	}
}

// One service that does not answer hides nothing of the others.
func TestClocksOfSeveralServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		o.serve(t, "right.example.com", nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		o.serve(t, "hangs.example.com", nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		o.serve(t, "wrong.example.com", nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}))
		services := []Service{{"A", "http://right.example.com"}, {"B", "http://hangs.example.com"}, {"C", "http://nowhere.example.com"}}
		with := func(list []Service) func(*SystemSources, *SystemSettings) {
			return func(s *SystemSources, _ *SystemSettings) { s.MitelServices = list }
		}
		r := newPlant().oneOf(t, CodeClockMitel, SystemOptions{HTTPClient: o.client}, with(services))
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, "The clock of B could not be read: context deadline exceeded. The clock of C could not be read: dial memory")
		assert.Equal(t, "right (give or take 1s)", evidenceOf(r, "A"))

		r = newPlant().oneOf(t, CodeClockMitel, SystemOptions{HTTPClient: o.client}, with(append(services, Service{"D", "http://wrong.example.com"})))
		assert.Equal(t, Failed, r.Status)
		assert.Contains(t, r.Sentence, "Our clock differs from that of D")

		assert.Equal(t, NotApplicable, newPlant().oneOf(t, CodeClockMitel, SystemOptions{HTTPClient: o.client}, with(nil)).Status)
		r = newPlant().oneOf(t, CodeClockMitel, SystemOptions{HTTPClient: o.client}, with([]Service{{"E", "://"}}))
		assert.Equal(t, Warned, r.Status)
		require.Contains(t, r.Sentence, "missing protocol scheme")
	})
}

func FuzzDateOf(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT", "")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT", "600")
	f.Add("Sun Nov  6 08:49:37 1994", "99999999999999999999")
	f.Add("yesterday", "-1")
	f.Fuzz(func(t *testing.T, date, age string) {
		shown, ok := dateOf(http.Header{"Date": {date}, "Age": {age}})
		plain, err := http.ParseTime(date)
		if ok != (err == nil) {
			t.Fatalf("the date %q counts otherwise than package http has it", date)
		}
		if ok && (shown.Before(plain) || shown.Sub(plain) >= 1<<31*time.Second) {
			t.Fatalf("the age %q made %v of %v", age, shown, plain)
		}
	})
}
