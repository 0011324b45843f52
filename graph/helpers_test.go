package graph

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

const (
	tenant      = "11111111-1111-1111-1111-111111111111"
	application = "22222222-2222-2222-2222-222222222222"
	ann         = "aaaaaaaa-0000-0000-0000-000000000001"
	bob         = "bbbbbbbb-0000-0000-0000-000000000002"
)

func testCloud() Cloud {
	return Cloud{Name: "test", LoginURL: "http://login.test", GraphURL: "http://graph.test", Notifications: true}
}

// received is one request that a wire got.
type received struct {
	Method, Path, Query, Body string
	Header                    http.Header
	Length                    int64
	At                        time.Time
}

// wire is a transport that a handler answers, without a goroutine of its own, so
// that it works inside a synctest bubble.
type wire struct {
	handler http.HandlerFunc

	mu       sync.Mutex
	requests []received
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body string
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		body = string(b)
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(strings.NewReader(body))
	}
	w.mu.Lock()
	w.requests = append(w.requests, received{req.Method, req.URL.Path, req.URL.RawQuery, body, req.Header, req.ContentLength, time.Now()})
	w.mu.Unlock()
	recorder := httptest.NewRecorder()
	w.handler(recorder, req)
	return recorder.Result(), nil
}

func (w *wire) all() []received {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]received(nil), w.requests...)
}

func (w *wire) only(t *testing.T) received {
	t.Helper()
	require.Len(t, w.all(), 1)
	return w.all()[0]
}

func newTestClient(t testing.TB, handler http.HandlerFunc, tweak func(*Options)) (*Client, *wire) {
	t.Helper()
	w := &wire{handler: handler}
	opts := Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}}
	if tweak != nil {
		tweak(&opts)
	}
	c, err := New(tenant, application, &counted{}, &opts)
	require.NoError(t, err)
	return c, w
}

// counted gives tokens named token-1, token-2, … and the next one after each
// Invalidate.
type counted struct {
	mu          sync.Mutex
	invalidated int
}

func (s *counted) Token(context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &oauth2.Token{AccessToken: "token-" + strconv.Itoa(s.invalidated+1)}, nil
}

func (s *counted) Invalidate(accessToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if accessToken == "token-"+strconv.Itoa(s.invalidated+1) {
		s.invalidated++
	}
}

// answer replies with a status and a JSON body.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// inTurn replies with each handler once, and then with the last.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
	var (
		mu sync.Mutex
		n  int
	)
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(n, len(handlers)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}

// graphError is an error body as Microsoft Graph writes it.
func graphError(code, message string) string {
	return `{"error":{"code":"` + code + `","message":"` + message + `","innerError":{"date":"2026-03-21T10:00:00","request-id":"7f1a1e6c-0000-0000-0000-000000000001","client-request-id":"x"}}}`
}
