package cloudlink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testAccount = "5f1c2b7e-6f0a-4b7a-9d0c-1a2b3c4d5e6f"
	testToken   = "eyJhbGciOiJIUzI1NiJ9.canary-access-token.sig"
)

// inProcess answers requests by calling the handler: no socket and no goroutine,
// so that it can live in a synctest bubble.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	served := req.Clone(req.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, served)
	if err := req.Context().Err(); err != nil {
		return nil, err // the answer came too late
	}
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

// fixedToken is a token source whose Invalidate counts.
type fixedToken struct {
	value string

	mu          sync.Mutex
	invalidated []string
}

func (f *fixedToken) Token(context.Context) (*oauth2.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &oauth2.Token{AccessToken: fmt.Sprintf("%s%d", f.value, len(f.invalidated))}, nil
}

func (f *fixedToken) Invalidate(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invalidated = append(f.invalidated, token)
}

// testClient returns a client whose requests handler answers, without
// repetitions and in practice without a budget.
func testClient(t testing.TB, handler http.Handler, change ...func(*Options)) *Client {
	t.Helper()
	opts := &Options{HTTPClient: &http.Client{Transport: inProcess{handler}}, RequestsPerSecond: 1e6, ReadRetries: -1}
	for _, c := range change {
		c(opts)
	}
	c, err := New(testAccount, &fixedToken{value: testToken}, opts)
	require.NoError(t, err)
	return c
}

// answer is a handler that answers everything alike.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// recorder notes the requests before a handler answers them.
type recorder struct {
	next     http.Handler
	requests []*http.Request
	bodies   []string
	times    []time.Time
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	r.requests, r.bodies, r.times = append(r.requests, req), append(r.bodies, string(body)), append(r.times, time.Now())
	r.next.ServeHTTP(w, req)
}

// sequence answers with one handler after the other, the last one for ever.
func sequence(handlers ...http.HandlerFunc) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		h := handlers[min(n, len(handlers)-1)]
		n++
		h(w, r)
	}
}

var testUser = presence.User{TeamsID: "t-1", PrincipalID: "p-1", Endpoints: []string{"2001", "2002", "2003"}}
