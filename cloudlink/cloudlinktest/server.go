package cloudlinktest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/presencebridge/presencebridge/internal/double"
	"github.com/presencebridge/presencebridge/internal/memnet"
	"github.com/presencebridge/presencebridge/presence"
)

// version is the date version in the path of every service of the double.
const version = "2017-09-01"

// Network is a network in memory, shared by the doubles and the clients of one test.
type Network = memnet.Network

// NewNetwork returns a network without hosts.
func NewNetwork() *Network { return memnet.New() }

// Control looks at a request, whose body it may read, and returns what to make
// of it, or nil to leave it to the next control and at last to the double.
type Control = double.Control

// Reply is what a [Control] makes of a request. The zero Reply passes the
// request on unchanged. Its fields: Delay (a duration) comes before everything
// else; Drop closes the connection without an answer; Status, if not 0, is
// answered in place of the double, with Header and Body; After lets the double do
// its work first, so that a write takes effect and its answer is lost.
type Reply = double.Reply

// Request is one request that the double received: its Time, Method, Path (with
// the query), Header, Body, and the Status that was answered, 0 where the
// connection was dropped.
type Request = double.Request

// Options are the settings of a [Server]; the zero value of each field is its default.
type Options struct {
	// Address is a loopback address to listen on. Default: 127.0.0.1:0.
	Address string
	// Network, if set, is listened on in place of a socket, as Host.
	Network *Network
	// Host is the double's name on Network. Default: "cloudlink.test".
	Host string
	// TLS makes a double on a socket speak HTTPS, with a certificate for
	// loopback addresses; see [Server.CertificateAuthority]. Default: HTTP.
	TLS bool
	// URL is the base URL under which a server of the embedder's own offers the
	// double, which is an [http.Handler]; the double listens nowhere then, and
	// its Client trusts no certificate of its own. For several doubles behind
	// one address. Default: the double listens itself.
	URL string
	// AccountID is the id of the one account. Default: a fixed GUID.
	AccountID string
	// AccountNumber is the account's short number, which the password grant
	// takes as well. Default: "100001".
	AccountNumber string
	// AccountName is the account's name. Default: "Example Company".
	AccountName string
	// PartnerID is the id of the account's partner. Default: a fixed GUID.
	PartnerID string
	// DeliveryClient posts to webhooks. Default: one that reaches Network, or
	// loopback where there is none.
	DeliveryClient *http.Client
	// TokenLifetime is how long an access token is valid. Default: 3747 s, as in
	// Mitel's sample.
	TokenLifetime time.Duration
	// RefreshLifetime is how long a refresh token is valid. Default: 15 days, as
	// in Mitel's sample.
	RefreshLifetime time.Duration
	// RequestsPerSecond is how many requests of the whole account are answered;
	// those beyond get 429. Default: no limit, as in Mitel's sandbox.
	RequestsPerSecond float64
	// Assumptions are what Mitel does not publish. Default: the defaults of its fields.
	Assumptions *Assumptions
}

// Server is the double. Its methods are safe for concurrent use.
type Server struct {
	opts    Options
	assumed Assumptions
	double  *double.Server
	mux     *http.ServeMux
	limiter *rate.Limiter // nil: no limit
	key     []byte        // signs tokens
	ready   chan struct{} // closed once double is set

	accountID atomic.Pointer[string]
	domain    atomic.Pointer[string] // nil: the one at first

	// What deliveries need. slots bounds how many are under way at once.
	ctx        context.Context
	cancel     context.CancelFunc
	work       sync.WaitGroup
	deliveries *http.Client
	slots      chan struct{}

	mu            sync.Mutex
	closed        bool
	clients       map[string]*client
	users         map[string]*User  // by user id
	emails        map[string]string // normalized address → user id
	userIDs       []string          // in the order in which they were added
	endpoints     map[string]*endpoint
	presentities  map[string]*presentity // by principal id
	accessTokens  map[string]session
	refreshTokens map[string]session
	codes         map[string]code
	subscriptions map[string]*subscription
	subscribed    []string // subscription ids, the oldest first
	fault         func(Delivery) Fault
	lastCall      int
	lastEvent     int
	observers     []func(Change)
	history       []Change
	unseen        []Change // of history, not shown to the observers yet
	showing       bool
}

// NewServer starts a double with one account and nobody in it. Close it after
// use. It fails on faulty options and where it cannot listen.
func NewServer(opts *Options) (*Server, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Server{
		opts:          *opts,
		key:           []byte(rand.Text()),
		slots:         make(chan struct{}, 32),
		ready:         make(chan struct{}),
		clients:       make(map[string]*client),
		users:         make(map[string]*User),
		emails:        make(map[string]string),
		endpoints:     make(map[string]*endpoint),
		presentities:  make(map[string]*presentity),
		accessTokens:  make(map[string]session),
		refreshTokens: make(map[string]session),
		codes:         make(map[string]code),
		subscriptions: make(map[string]*subscription),
		lastCall:      33656065,
	}
	orDefault(&s.opts.Host, "cloudlink.test")
	orDefault(&s.opts.AccountID, "7b0c2d1e-54f6-4c3b-9a8d-0e1f2a3b4c5d")
	s.SetAccountID(s.opts.AccountID)
	orDefault(&s.opts.AccountNumber, "100001")
	orDefault(&s.opts.AccountName, "Example Company")
	orDefault(&s.opts.PartnerID, "1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9")
	orDefault(&s.opts.TokenLifetime, 3747*time.Second)
	orDefault(&s.opts.RefreshLifetime, 15*24*time.Hour)
	if opts.Assumptions != nil {
		s.assumed = *opts.Assumptions
	}
	s.assumed = s.assumed.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	if r := s.opts.RequestsPerSecond; r > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(r), max(1, int(r)))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.routes()

	d, err := double.Start(http.HandlerFunc(s.serve), double.Options{
		Address: s.opts.Address, Network: s.opts.Network, Host: s.opts.Host, TLS: s.opts.TLS, URL: s.opts.URL,
	})
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("cloudlinktest: %w", err)
	}
	s.double = d
	switch {
	case s.opts.DeliveryClient != nil:
		s.deliveries = s.opts.DeliveryClient
	case s.opts.Network != nil:
		s.deliveries = s.opts.Network.Client()
	default:
		s.deliveries = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: cap(s.slots)}}
	}
	close(s.ready)
	return s, nil
}

func (s *Server) validate() error {
	var faults []error
	if s.opts.TLS && s.opts.Network != nil {
		faults = append(faults, errors.New("cloudlinktest: TLS needs a socket: leave Network nil"))
	}
	if s.opts.URL != "" && (s.opts.Address != "" || s.opts.Network != nil || s.opts.TLS) {
		faults = append(faults, errors.New("cloudlinktest: URL is for a double behind a server of your own: leave Address, Network and TLS out"))
	}
	for name, d := range map[string]time.Duration{
		"TokenLifetime": s.opts.TokenLifetime, "RefreshLifetime": s.opts.RefreshLifetime,
		"Assumptions.DeliveryBackoff": s.assumed.DeliveryBackoff, "Assumptions.DeliveryTimeout": s.assumed.DeliveryTimeout,
		"Assumptions.CodeLifetime": s.assumed.CodeLifetime,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("cloudlinktest: %s is %v: give a positive duration, or 0 for the default", name, d))
		}
	}
	for name, n := range map[string]float64{
		"RequestsPerSecond": s.opts.RequestsPerSecond, "Assumptions.DeliveryAttempts": float64(s.assumed.DeliveryAttempts),
		"Assumptions.PageSize": float64(s.assumed.PageSize), "Assumptions.MaxPageSize": float64(s.assumed.MaxPageSize),
		"Assumptions.AcknowledgeAfter": float64(s.assumed.AcknowledgeAfter),
	} {
		if n < 0 || math.IsNaN(n) {
			faults = append(faults, fmt.Errorf("cloudlinktest: %s is %v: give a positive number, or 0 for the default", name, n))
		}
	}
	return errors.Join(faults...)
}

// Close stops the server and its deliveries, and waits for both. Deliveries
// that have not arrived are lost.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.double.Close()
	s.work.Wait()
	if s.opts.DeliveryClient == nil {
		s.deliveries.CloseIdleConnections()
	}
}

// ServeHTTP answers a request as if it had come over the double's own listener:
// see [Options.URL].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.double.ServeHTTP(w, r) }

// URL returns the base URL of a service with its version, without a slash at
// its end, such as "http://127.0.0.1:9401/media/2017-09-01". All services are on
// one listener: authentication, admin, media, notifications and presence.
func (s *Server) URL(service string) string { return s.double.URL + "/" + service + "/" + version }

// Client returns a client that reaches the double, trusting its certificate. It
// adds no token. Close closes its idle connections.
func (s *Server) Client() *http.Client { return s.double.Client() }

// CertificateAuthority returns the certificate of the double's own authority in
// PEM, nil unless TLS was asked for.
func (s *Server) CertificateAuthority() []byte { return s.double.CertificateAuthority() }

// AccountNumber returns the short number of the account.
func (s *Server) AccountNumber() string { return s.opts.AccountNumber }

// PartnerID returns the id of the account's partner.
func (s *Server) PartnerID() string { return s.opts.PartnerID }

// Control adds a control for times requests that it answers with a [Reply]; 0
// means until it is removed. The returned function removes it. A reply in the
// double's place carries a correlation id, as every answer does.
func (s *Server) Control(times int, c Control) (remove func()) {
	return s.double.Control(times, func(r *http.Request) *Reply {
		reply := c(r)
		if reply == nil || reply.Status == 0 {
			return reply
		}
		marked := *reply
		marked.Header = reply.Header.Clone()
		if marked.Header == nil {
			marked.Header = make(http.Header)
		}
		if marked.Header.Get(correlationHeader) == "" {
			marked.Header.Set(correlationHeader, newGUID())
		}
		return &marked
	})
}

// SetClockSkew makes the clock that the server's answers show wrong: the header
// Date of each differs from the time by d, positive being ahead. Nothing else
// changes: tokens, times in bodies and Retry-After stay right.
func (s *Server) SetClockSkew(d time.Duration) { s.double.SetClockSkew(d) }

// ClearControls removes all controls.
func (s *Server) ClearControls() { s.double.ClearControls() }

// Requests returns the requests received, oldest first, at most the last 10,000.
func (s *Server) Requests() []Request { return s.double.Requests() }

// ClearRequests empties the list of requests.
func (s *Server) ClearRequests() { s.double.ClearRequests() }

// Match returns a control that makes reply of the requests with the given
// method, empty for any, whose path without query matches the regular expression
// pathPattern. It panics if the expression is faulty, as [regexp.MustCompile] does.
func Match(method, pathPattern string, reply Reply) Control {
	pattern := regexp.MustCompile(pathPattern)
	return func(r *http.Request) *Reply {
		if (method != "" && r.Method != method) || !pattern.MatchString(r.URL.Path) {
			return nil
		}
		return &reply
	}
}

// Kind says what changed.
type Kind string

// The kinds of change.
const (
	KindLine         Kind = "line"
	KindDoNotDisturb Kind = "doNotDisturb"
	KindStatus       Kind = "status"
)

// Cause says who changed it.
type Cause string

// The causes of a change: a request to the API, the telephone, or the person at
// a CloudLink or MiCollab client.
const (
	CauseAPI   Cause = "api"
	CausePhone Cause = "phone"
	CauseUser  Cause = "user"
)

// Change is one change of what the double holds: the truth that a test compares
// with. A write of what is there already is no change.
type Change struct {
	Time time.Time
	Kind Kind
	// EndpointID is the endpoint, empty for [KindStatus].
	EndpointID string
	// PrincipalID is the person; empty for an endpoint without one.
	PrincipalID string
	// Line is the endpoint after the change, zero for [KindStatus].
	Line presence.Line
	// Status and Reason are the presence after the change, empty for the other kinds.
	Status presence.Status
	Reason string
	Cause  Cause
	// ClientID is the client, or else the user, whose token wrote; empty unless
	// Cause is [CauseAPI].
	ClientID string
}

// maxHistory bounds the list of changes; the oldest go first.
const maxHistory = 100_000

// History returns the changes, oldest first, at most the last 100,000.
func (s *Server) History() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Change(nil), s.history...)
}

// OnChange adds a function that is called for every change, in their order and
// one at a time, with no lock held: it may use the server, but must not wait for
// another change. There is no way to remove it.
func (s *Server) OnChange(f func(Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observers = append(s.observers, f)
}

// changed notes a change. The caller holds the lock and calls show after it has
// released it.
func (s *Server) changed(c Change) {
	c.Time = time.Now()
	if len(s.history) >= maxHistory {
		s.history = append(s.history[:0:0], s.history[maxHistory/10:]...)
	}
	s.history = append(s.history, c)
	s.unseen = append(s.unseen, c)
}

// show calls the observers. Whoever comes while another shows leaves its changes
// to that one: so they keep their order without a lock across the calls.
func (s *Server) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.showing {
		return
	}
	s.showing = true
	defer func() { s.showing = false }()
	for len(s.unseen) > 0 {
		c := s.unseen[0]
		s.unseen = s.unseen[1:]
		observers := append([]func(Change){}, s.observers...)
		func() {
			s.mu.Unlock()
			defer s.mu.Lock()
			for _, f := range observers {
				f(c)
			}
		}()
	}
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// stamp writes a time as CloudLink does: UTC, with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
