package double_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/internal/double"
	"github.com/presencebridge/presencebridge/internal/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a double on a network in memory, which echoes and counts its work.
type world struct {
	*testing.T
	*double.Server
	worked int
}

// inBubble runs test with a double in a synctest bubble.
func inBubble(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		s, err := double.Start(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.worked++
			if _, err := io.Copy(rw, r.Body); err != nil {
				t.Error(err)
			}
		}), double.Options{Network: memnet.New(), Host: "double.example"})
		require.NoError(t, err)
		defer s.Close()
		w.Server = s
		assert.Equal(t, "http://double.example", s.URL)
		test(w)
	})
}

// get returns the status and body of the answer, or the error without its URL.
func (w *world) get(path string) (int, string, error) {
	w.T.Helper()
	resp, err := w.Client().Get(w.URL + path)
	if err != nil {
		return 0, "", errors.Unwrap(err)
	}
	defer func() { require.NoError(w, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	return resp.StatusCode, string(body), nil
}

func (w *world) status(path string) int {
	w.T.Helper()
	status, _, err := w.get(path)
	require.NoError(w, err)
	return status
}

func answer(status int) double.Reply { return double.Reply{Status: status} }

func TestControlsAreAskedInTheirOrder(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Control(2, double.Match("GET", "/a", answer(401)))
		remove := w.Control(0, double.Match("", "/*", answer(402)))
		w.Control(1, double.Match("", "/b", answer(403)))
		for _, want := range []int{401, 401, 402, 402} {
			assert.Equal(w, want, w.status("/a"))
		}
		assert.Equal(w, 200, w.status("/b/c"), "what no control wants is the double's")
		remove()
		remove()
		assert.Equal(w, 200, w.status("/a"))
		assert.Equal(w, 403, w.status("/b"), "a request that another control answered does not count")
		assert.Equal(w, 200, w.status("/b"))

		w.Control(0, double.Match("", "**", answer(404)))
		w.ClearControls()
		assert.Equal(w, 200, w.status("/a"))
		assert.Equal(w, 4, w.worked)
	})
}

func TestControlsCanReadAndReact(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 2 {
			w.Control(0, func(r *http.Request) *double.Reply {
				body, err := io.ReadAll(r.Body)
				assert.NoError(w, err)
				assert.Equal(w, "text", string(body), "each control reads the whole body")
				w.Control(1, double.Match("", "/next", answer(503)))
				return nil
			})
		}
		resp, err := w.Client().Post(w.URL+"/first", "text/plain", strings.NewReader("text"))
		require.NoError(w, err)
		echo, err := io.ReadAll(resp.Body)
		require.NoError(w, err)
		require.NoError(w, resp.Body.Close())
		assert.Equal(w, "text", string(echo), "and so does the double")
	})
}

func TestReplies(t *testing.T) {
	const delay = time.Hour
	for _, c := range []struct {
		name   string
		reply  double.Reply
		status int // 0: no answer
		worked int
	}{
		{"nothing", double.Reply{}, 200, 1},
		{"delay", double.Reply{Delay: delay}, 200, 1},
		{"status", double.Reply{Status: 429, Header: http.Header{"Retry-After": {"7"}}, Body: []byte(`{"error":{}}`)}, 429, 0},
		{"late status", double.Reply{Delay: delay, Status: 503}, 503, 0},
		{"drop", double.Reply{Drop: true}, 0, 0},
		{"late drop", double.Reply{Delay: delay, Drop: true}, 0, 0},
		{"work and drop", double.Reply{Drop: true, After: true}, 0, 1},
		{"work and status", double.Reply{Status: 500, After: true}, 500, 1},
		{"after nothing", double.Reply{After: true}, 200, 1},
	} {
		inBubble(t, func(w *world) {
			w.Control(1, double.Match("", "/", c.reply))
			start := time.Now()
			// A POST, because a client repeats a dropped GET by itself.
			resp, err := w.Client().Post(w.URL+"/", "text/plain", strings.NewReader("echo"))
			assert.Equal(w, c.reply.Delay, time.Since(start), c.name)
			if c.status == 0 {
				require.ErrorIs(w, err, io.EOF, c.name)
			} else {
				require.NoError(w, err, c.name)
				body, err := io.ReadAll(resp.Body)
				require.NoError(w, err)
				require.NoError(w, resp.Body.Close())
				assert.Equal(w, c.status, resp.StatusCode, c.name)
				want := string(c.reply.Body)
				if c.status == http.StatusOK {
					want = "echo"
				}
				assert.Equal(w, want, string(body), c.name)
				assert.Equal(w, c.reply.Header.Get("Retry-After"), resp.Header.Get("Retry-After"), c.name)
				if len(c.reply.Body) > 0 {
					assert.Equal(w, "application/json", resp.Header.Get("Content-Type"), c.name)
				}
			}
			assert.Equal(w, c.worked, w.worked, c.name)
			requests := w.Requests()
			if assert.Len(w, requests, 1, c.name) {
				assert.Equal(w, c.status, requests[0].Status, "%s: the recorded status", c.name)
				assert.Equal(w, start, requests[0].Time, c.name)
			}
		})
	}
}

func TestDelayEndsWithTheClient(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Control(1, double.Match("", "/", double.Reply{Delay: time.Hour}))
		w.Client().Timeout = time.Minute
		start := time.Now()
		_, _, err := w.get("/")
		require.Error(w, err)
		synctest.Wait()
		assert.Equal(w, time.Minute, time.Since(start))
		requests := w.Requests()
		require.Len(w, requests, 1)
		assert.Zero(w, requests[0].Status)
		assert.Zero(w, w.worked)

		w.Control(1, double.Match("", "/", double.Reply{Delay: time.Hour}))
		gone, cancel := context.WithCancel(w.Context())
		cancel()
		assert.PanicsWithValue(w, http.ErrAbortHandler, func() {
			w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodGet, "/", nil))
		}, "no answer rather than an empty 200")
	})
}

func TestAnswersAreDated(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Control(0, double.Match("", "/refused", answer(503)))
		w.Control(0, double.Match("", "/own", double.Reply{Status: 200, Header: http.Header{"Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}}}))
		w.Control(0, double.Match("", "/late", double.Reply{Delay: time.Minute}))
		date := func(path, body string) time.Time {
			resp, err := w.Client().Post(w.URL+path, "text/plain", strings.NewReader(body))
			require.NoError(w, err)
			require.NoError(w, resp.Body.Close())
			require.Len(w, resp.Header["Date"], 1)
			at, err := http.ParseTime(resp.Header.Get("Date"))
			require.NoError(w, err)
			return at
		}
		now := func() time.Time { return time.Now().UTC().Truncate(time.Second) }
		for _, skew := range []time.Duration{0, 7 * time.Minute, -time.Hour, 0} {
			time.Sleep(24*time.Hour + 300*time.Millisecond)
			w.SetClockSkew(skew)
			// One with a body, one without, one of a control, one after a delay.
			for _, path := range []string{"/echo", "/refused", "/late"} {
				for _, body := range []string{"text", ""} {
					at := date(path, body)
					assert.Equal(w, now().Add(skew), at, "%s, %s", path, skew)
				}
			}
			assert.Equal(w, int64(0), date("/own", "").Unix(), "a control's own date stays")
			recorder := httptest.NewRecorder()
			w.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/echo", nil))
			assert.Equal(w, now().Add(skew).Format(http.TimeFormat), recorder.Header().Get("Date"), "behind another server too")
		}
	})
}

func TestRequestsAreRecorded(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, body := range []string{"", "text", strings.Repeat("x", 4<<20+1)} {
			req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, w.URL+"/a%2Fb?q=1", strings.NewReader(body))
			require.NoError(w, err)
			req.Header.Set("If-Match", "tag")
			resp, err := w.Client().Do(req)
			require.NoError(w, err)
			require.NoError(w, resp.Body.Close())
		}
		// The server lingers on a connection whose request it did not read to its end.
		time.Sleep(time.Second)
		assert.Equal(w, 2, w.worked, "a body that is too large is not worked on")
		requests := w.Requests()
		require.Len(w, requests, 3)
		for i, want := range []double.Request{{Status: 200, Body: []byte{}}, {Status: 200, Body: []byte("text")}, {Status: 413}} {
			assert.Equal(w, want.Status, requests[i].Status)
			assert.Equal(w, want.Body, requests[i].Body)
			assert.Equal(w, "PUT", requests[i].Method)
			assert.Equal(w, "/a%2Fb?q=1", requests[i].Path)
			assert.Equal(w, "tag", requests[i].Header.Get("If-Match"))
		}
		w.ClearRequests()
		assert.Empty(w, w.Requests())
	})
}

func TestRequestsAreBounded(t *testing.T) {
	s, err := double.Start(http.NotFoundHandler(), double.Options{URL: "https://front.example/double/"})
	require.NoError(t, err)
	defer s.Close()
	assert.Equal(t, "https://front.example/double", s.URL)
	for range 10_000 {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/old", nil))
	}
	require.Len(t, s.Requests(), 10_000)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/new", nil))
	assert.Equal(t, http.StatusNotFound, w.Code)
	requests := s.Requests()
	assert.LessOrEqual(t, len(requests), 10_000)
	assert.GreaterOrEqual(t, len(requests), 9000, "only the oldest go")
	assert.Equal(t, "/new", requests[len(requests)-1].Path)
}

func TestTLS(t *testing.T) {
	s, err := double.Start(http.NotFoundHandler(), double.Options{TLS: true})
	require.NoError(t, err)
	defer s.Close()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.CertificateAuthority()))
	own := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	require.True(t, strings.HasPrefix(s.URL, "https://127.0.0.1:"), s.URL)
	for _, client := range []*http.Client{s.Client(), own} {
		for _, url := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} {
			resp, err := client.Get(url)
			require.NoError(t, err, "the certificate of the authority is enough")
			require.NoError(t, resp.Body.Close())
		}
	}
	stranger := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err = stranger.Get(s.URL)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

func TestStartAndClose(t *testing.T) {
	s, err := double.Start(http.NotFoundHandler(), double.Options{})
	require.NoError(t, err)
	assert.Nil(t, s.CertificateAuthority())
	resp, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, err = double.Start(http.NotFoundHandler(), double.Options{Address: strings.TrimPrefix(s.URL, "http://")})
	require.Error(t, err, "the address is in use")
	s.Close()
	s.Close()
	_, err = s.Client().Get(s.URL)
	require.Error(t, err)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		method, pattern, request string
		want                     bool
	}{
		{"GET", "/users/*", "GET /users/1?q", true},
		{"get", "/users/*", "GET /users/1", true},
		{"GET", "/users/*", "POST /users/1", false},
		{"*", "/users/*", "POST /users/1", true},
		{"", "/users/*", "GET /users/1/presence", false},
		{"", "/users/*", "GET /users", false},
		{"", "/users", "GET /v1.0/users", false},
		{"", "users", "GET /v1.0/users", true},
		{"", "users/*/presence", "GET /v1.0/users/1/presence", true},
		{"", "/v1.0/**", "GET /v1.0", true},
		{"", "/v1.0/**", "GET /v1.0/a/b", true},
		{"", "/**/b/**/d", "GET /a/b/c/b/d", true},
		{"", "/**/b/**/d", "GET /a/b/c/d/e", false},
		{"", "/user?", "GET /users", true},
		{"", "/[", "GET /[", false},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		got := double.Match(c.method, c.pattern, answer(500))(httptest.NewRequest(method, path, bytes.NewReader(nil)))
		assert.Equal(t, c.want, got != nil, "%q %q, %s", c.method, c.pattern, c.request)
	}
}
