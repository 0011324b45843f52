package entra_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// service is what outlives the processes of an embedding service: its store, the
// key to it, and its public address. The tenant counts what reaches it.
type service struct {
	*tenant
	store   *monitor.MemoryStore
	sealer  *monitor.Sealer
	present atomic.Pointer[graph.NotificationHandler] // nil: no process runs
	traffic *traffic
}

func newService(w *tenant) *service {
	w.Helper()
	sealer, err := monitor.NewSealer(monitor.GenerateKey(), nil)
	require.NoError(w, err)
	s := &service{tenant: w, store: monitor.NewMemoryStore(), sealer: sealer, traffic: newTraffic()}
	w.Control(0, s.traffic.see)
	listener, err := w.network.Listen("bridge.test")
	require.NoError(w, err)
	endpoint := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if handler := s.present.Load(); handler != nil {
			handler.ServeHTTP(rw, r)
			return
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
	})}
	go func() { _ = endpoint.Serve(listener) }()
	w.Cleanup(func() { _ = endpoint.Close() })
	return s
}

// process is one run of the pool.
type process struct {
	*monitor.Pool
	service *service
	handler *graph.NotificationHandler
	sink    *sink
	events  *events
	cancel  context.CancelFunc
	done    chan error
}

// start runs a pool over the store; change and handled may be nil.
func (s *service) start(change func(*monitor.PoolOptions), handled *graph.NotificationHandlerOptions) *process {
	s.Helper()
	p := &process{
		service: s, handler: graph.NewNotificationHandler(handled), done: make(chan error, 1),
		sink: &sink{changed: make(map[string]int), gaps: make(map[string]int)}, events: &events{counts: make(map[monitor.EventKind]int)},
	}
	opts := monitor.PoolOptions{OnEvent: p.events.add}
	if change != nil {
		change(&opts)
	}
	var err error
	p.Pool, err = monitor.NewPool(s.credentials().Application, "http://bridge.test/graph", monitor.Dependencies{
		Store: s.store, Sealer: s.sealer, Entra: s.newEntra(nil), Routes: p.handler.Tenant(s.TenantID()), Sink: p.sink,
	}, &opts)
	require.NoError(s, err)
	s.present.Store(p.handler)
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	s.Cleanup(p.cancel) // where the test fails before it stops the process
	go func() { p.done <- p.Run(ctx) }()
	return p
}

// stop ends the process.
func (p *process) stop() {
	p.service.Helper()
	p.cancel()
	require.NoError(p.service, <-p.done)
	p.service.present.Store(nil)
}

// hire adds an account and its client secret to the tenant, makes it a monitor,
// and signs it in.
func (p *process) hire(name string) graphtest.User {
	s := p.service
	s.Helper()
	account, secret := s.newcomer(name)
	require.NoError(s, p.Add(s.Context(), account.PrincipalName, secret))
	require.NoError(s, p.authorize(account))
	return account
}

// newcomer adds an account to the tenant, and a client secret for it to the
// application.
func (s *service) newcomer(name string) (graphtest.User, presence.Secret) {
	s.Helper()
	address := name + "@example.test"
	account := s.AddUser(graphtest.User{PrincipalName: address, Mail: address, Name: name})
	return account, s.newSecret(name, time.Time{})
}

// newSecret gives the application another client secret; the zero end is two
// years from now.
func (s *service) newSecret(description string, end time.Time) presence.Secret {
	s.Helper()
	secret, err := s.AddSecret(s.app.ClientID, graphtest.Secret{Description: description, End: end})
	require.NoError(s, err)
	return secret.Value
}

// authorize signs an account in at its monitor's authorization URL.
func (p *process) authorize(account graphtest.User) error {
	s := p.service
	s.Helper()
	address, err := p.AuthorizationURL(s.Context(), account.PrincipalName)
	require.NoError(s, err)
	_, err = p.CompleteSignIn(s.Context(), s.callback(address, account.ID))
	return err
}

// people adds users to the tenant and returns their ids.
func (s *service) people(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = s.AddUser(graphtest.User{PrincipalName: fmt.Sprintf("user%d@example.test", i)}).ID
	}
	slices.Sort(ids)
	return ids
}

// shows makes a user busy or not.
func (s *service) shows(id string, busy bool) {
	s.Helper()
	state := presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}
	if busy {
		state = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	}
	require.NoError(s, s.SetClient(id, "desktop", state.Availability, state.Activity))
}

// mustHear fails unless a change of a user's presence reaches the process.
func (p *process) mustHear(id string) {
	p.service.Helper()
	before := p.sink.heard(id)
	p.service.shows(id, true)
	time.Sleep(time.Second)
	assert.Greater(p.service, p.sink.heard(id), before, "the change was not heard")
	p.service.shows(id, false)
	time.Sleep(time.Second)
}

// status returns what the pool says of a monitor once it has settled.
func (p *process) status(account graphtest.User) monitor.MonitorStatus {
	p.service.Helper()
	time.Sleep(2 * time.Minute)
	status, found := p.Snapshot().Monitor(account.PrincipalName)
	require.True(p.service, found)
	return status
}

// only returns the one subscription that there is.
func (s *service) only() graphtest.SubscriptionInfo {
	s.Helper()
	all := s.Subscriptions()
	require.Len(s, all, 1)
	return all[0]
}

// sink notes whom it was told of.
type sink struct {
	mu      sync.Mutex
	changed map[string]int
	gaps    map[string]int
	left    []string
}

func (n *sink) TeamsChanged(userIDs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range userIDs {
		n.changed[id]++
	}
}

func (n *sink) TeamsGap(_ string, userIDs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range userIDs {
		n.gaps[id]++
	}
}

func (n *sink) TeamsUnwatched(userIDs []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = userIDs
}

func (n *sink) heard(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed[id]
}

func (n *sink) gap(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gaps[id]
}

func (n *sink) unwatched() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.left
}

// events counts what has happened, and keeps what is not routine.
type events struct {
	mu     sync.Mutex
	counts map[monitor.EventKind]int
	kept   []monitor.Event
}

func (l *events) add(e monitor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[e.Kind]++
	if e.Kind != monitor.EventRenewed {
		l.kept = append(l.kept, e)
	}
}

func (l *events) count(kind monitor.EventKind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[kind]
}

// of returns the events of a kind.
func (l *events) of(kind monitor.EventKind) (found []monitor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.kept {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// The kinds of requests.
const (
	tokenOfApplication  = "token by client_credentials"
	tokenOfCode         = "token by authorization_code"
	tokenOfRefreshToken = "token by refresh_token"
	createSubscription  = "create subscription"
	renewSubscription   = "renew subscription"
	deleteSubscription  = "delete subscription"
	listSubscriptions   = "list subscriptions"
	readAccount         = "read account"
	readApplication     = "read application"
)

// traffic counts requests by kind, and how often each refresh token was used.
type traffic struct {
	mu      sync.Mutex
	counts  map[string]int
	refresh map[string]int
}

func newTraffic() *traffic {
	return &traffic{counts: make(map[string]int), refresh: make(map[string]int)}
}

// see looks at a request and leaves it alone.
func (c *traffic) see(r *http.Request) *graphtest.Reply {
	kind, refresh := r.Method+" "+r.URL.Path, ""
	path := strings.TrimPrefix(r.URL.Path, "/graph/v1.0/")
	switch {
	case strings.HasSuffix(path, "/token"):
		kind = "token that cannot be read"
		if r.ParseForm() == nil {
			kind, refresh = "token by "+r.PostForm.Get("grant_type"), r.PostForm.Get("refresh_token")
		}
	case path == "subscriptions" && r.Method == http.MethodPost:
		kind = createSubscription
	case path == "subscriptions" && r.Method == http.MethodGet:
		kind = listSubscriptions
	case strings.HasPrefix(path, "subscriptions/") && r.Method == http.MethodPatch:
		kind = renewSubscription
	case strings.HasPrefix(path, "subscriptions/") && r.Method == http.MethodDelete:
		kind = deleteSubscription
	case strings.HasPrefix(path, "users/"):
		kind = readAccount
	case strings.HasPrefix(path, "applications"):
		kind = readApplication
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[kind]++
	if refresh != "" {
		c.refresh[refresh]++
	}
	return nil
}

// sent returns how many requests of each kind there were.
func (c *traffic) sent() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := make(map[string]int, len(c.counts))
	for kind, n := range c.counts {
		sent[kind] = n
	}
	return sent
}

// usedTwice returns how many refresh tokens were used more than once: each use
// brings the next, so that is whoever did not keep it, or raced.
func (c *traffic) usedTwice() (tokens int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uses := range c.refresh {
		if uses > 1 {
			tokens++
		}
	}
	return tokens
}

// reregister changes an application as it is registered now.
func (s *service) reregister(change func(*graphtest.Application)) {
	s.Helper()
	for _, app := range s.Applications() {
		if app.ClientID == s.app.ClientID {
			change(&app)
			s.AddApplication(app)
		}
	}
}

// stateOf returns the state in an authorization URL.
func (s *service) stateOf(address string) string {
	s.Helper()
	u, err := url.Parse(address)
	require.NoError(s, err)
	return u.Query().Get("state")
}
