package graphtest

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/double"
	"github.com/presencebridge/presencebridge/internal/memnet"
)

// Network is a network in memory, for servers and clients that live in one
// testing/synctest bubble. Give one Network to all of them; its Client reaches
// every host on it.
type Network = memnet.Network

// NewNetwork returns a network without hosts.
func NewNetwork() *Network { return memnet.New() }

// Control looks at a request before the double does, and returns what to make
// of it, or nil to leave it alone. It may read the body.
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

// Match returns a control that gives reply to the requests of a method (empty:
// any) whose path fits a pattern such as "/graph/v1.0/users/*/presence". Each
// segment is compared as in [path.Match], the segment "**" stands for any
// number of segments, and a pattern without a slash at its beginning may begin
// at any segment: "setPresence", or "users/*/presence".
func Match(method, pattern string, reply Reply) Control { return double.Match(method, pattern, reply) }

// defaultTenantID is the tenant of a server whose options name none.
const defaultTenantID = "8f4c2a16-5d3b-4e7a-9c81-2b6d0e9f1a57"

// maxPosts bounds the notification POSTs under way at once.
const maxPosts = 64

// Options are the settings of a [Server]; the zero value of each field is its default.
type Options struct {
	// Address is the loopback address to listen on. Default: 127.0.0.1 with a
	// free port.
	Address string
	// Network, if set, is listened on in place of a socket, so that the server
	// can live in a testing/synctest bubble. Default: none.
	Network *Network
	// Host is the server's name on Network. Default: "graph.test".
	Host string
	// TLS makes a server on a socket speak HTTPS with a certificate from an
	// authority of its own, as sign-in libraries insist on. Default: HTTP.
	TLS bool
	// URL is the scheme and host under which a server of the embedder's own
	// offers the double, which is an [http.Handler]; the double listens nowhere
	// then, and its Client trusts no certificate of its own. For several doubles
	// behind one address. Default: the double listens itself.
	URL string
	// TenantID is the Entra tenant, a GUID. Default: a fixed one.
	TenantID string
	// Domain is the tenant's verified domain, which names it in URLs as well,
	// and ends the principal names that [Server.AddUser] makes up. Default:
	// "example.test".
	Domain string
	// DeliveryClient posts notifications and the validation of their
	// endpoints. Default: a client that reaches loopback addresses only, or
	// the hosts of Network.
	DeliveryClient *http.Client
	// SessionTimeScale makes presence sessions age this many times faster: an
	// Available session fades after 5 minutes divided by it, and a session of
	// an hour lapses after an hour divided by it. For demonstrations that play
	// a day in minutes. Default: 1.
	SessionTimeScale float64
	// Assumptions are the behaviours that Microsoft does not document.
	// Default: those of the zero value.
	Assumptions *Assumptions
	// Limits are the throttling budgets. Default: the documented ones.
	Limits Limits
	// EnforceEndpoints treats notification endpoints that answer too slowly as
	// Microsoft does: their notifications come 10 minutes late, or never.
	// Default: false.
	EnforceEndpoints bool
	// Enforce answers 429 once a budget is used up. Counting never stops: see
	// [Server.Usage]. Default: false.
	Enforce bool
}

// Server is a running double of Microsoft Entra and Microsoft Graph. It is safe
// for concurrent use.
type Server struct {
	tenantID    string
	domain      string
	assume      Assumptions
	timeScale   float64
	double      *double.Server
	ready       chan struct{} // closed once the URLs below are set
	login       string
	graph       string
	deliver     *http.Client
	ownDelivery bool
	signers     signers
	routes      []route
	meter       *meter
	timers      timers
	slots       chan struct{} // bounds the POSTs under way

	enforceEndpoints bool

	ctx    context.Context
	cancel context.CancelFunc

	mu           sync.Mutex
	people       map[string]*person // by object id in lower case
	names        map[string]*person // by principal name in lower case
	roster       []*person          // in the order in which they were added
	ordinal      uint64
	applications map[string]*application
	codes        map[string]*authorizationCode
	refresh      map[string]*refreshToken

	sequence    uint64 // of the last presence version
	order       uint64 // of the last session write
	changes     []Change
	pending     []Change // for the functions of OnChange
	dispatching bool
	onChange    []func(Change)

	subscriptions map[string]*subscription
	watchers      map[string]map[string]*subscription // by user id in lower case, then subscription id
	boxes         map[boxKey]*box
	fault         func(Delivery) Fault
	richFault     RichFault
	endpoints     map[string]*endpoint // by host
}

// NewServer starts a double with an empty directory. Close it at the end.
//
// It fails when the options contradict each other, which it reports all at
// once, or when the address cannot be listened on.
func NewServer(opts *Options) (*Server, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	key, err := signingKey()
	if err != nil {
		return nil, fmt.Errorf("graphtest: make a signing key: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		tenantID:      strings.ToLower(o.TenantID),
		domain:        o.Domain,
		assume:        o.Assumptions.withDefaults(),
		timeScale:     o.SessionTimeScale,
		ready:         make(chan struct{}),
		signers:       signers{keys: []*rsa.PrivateKey{key}},
		meter:         newMeter(o.Limits, o.Enforce),
		slots:         make(chan struct{}, maxPosts),
		ctx:           ctx,
		cancel:        cancel,
		people:        make(map[string]*person),
		names:         make(map[string]*person),
		applications:  make(map[string]*application),
		codes:         make(map[string]*authorizationCode),
		refresh:       make(map[string]*refreshToken),
		subscriptions: make(map[string]*subscription),
		watchers:      make(map[string]map[string]*subscription),
		boxes:         make(map[boxKey]*box),
		endpoints:     make(map[string]*endpoint),

		enforceEndpoints: o.EnforceEndpoints,
		// A server that takes the place of another one must not number its
		// versions lower than that did, or clients would take them for old.
		sequence: uint64(time.Now().UnixMilli()),
	}
	s.routes = s.newRoutes()
	s.deliver = noRedirects(o.DeliveryClient)
	if s.deliver == nil {
		s.ownDelivery = true
		if o.Network != nil {
			s.deliver = noRedirects(o.Network.Client())
		} else {
			s.deliver = noRedirects(&http.Client{Transport: &http.Transport{DialContext: dialLoopback, MaxIdleConnsPerHost: 16}})
		}
	}
	s.double, err = double.Start(http.HandlerFunc(s.serve), double.Options{Address: o.Address, Network: o.Network, Host: o.Host, TLS: o.TLS, URL: o.URL})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("graphtest: listen: %w", err)
	}
	s.login, s.graph = s.double.URL+"/login", s.double.URL+"/graph"
	close(s.ready)
	return s, nil
}

// validate reports every fault of o, and fills in the defaults.
func (o *Options) validate() error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf("graphtest: "+format, args...)) }
	if o.TenantID == "" {
		o.TenantID = defaultTenantID
	}
	if !isGUID(o.TenantID) {
		fail("TenantID %q is not a GUID", o.TenantID)
	}
	if o.Domain == "" {
		o.Domain = "example.test"
	}
	if o.Network != nil && o.Address != "" {
		fail("give either Address or Network, not both")
	}
	if o.Network != nil && o.TLS {
		fail("TLS needs a socket: leave Network out")
	}
	if o.URL != "" && (o.Address != "" || o.Network != nil || o.TLS) {
		fail("URL is for a double behind a server of your own: leave Address, Network and TLS out")
	}
	if o.Host == "" {
		o.Host = "graph.test"
	}
	if o.SessionTimeScale == 0 {
		o.SessionTimeScale = 1
	}
	if o.SessionTimeScale < 0 {
		fail("SessionTimeScale %g is below 0", o.SessionTimeScale)
	}
	return errors.Join(faults...)
}

// noRedirects returns a copy of c that takes a redirect for the answer, as the
// real service does when it posts notifications.
func noRedirects(c *http.Client) *http.Client {
	if c == nil {
		return nil
	}
	d := *c
	d.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &d
}

// dialLoopback connects to loopback addresses only: a double must never post to
// a notification URL of the real world that strayed into a test.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host)
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		ip = net.IPv4(127, 0, 0, 1)
	}
	if ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("graphtest: %s is not a loopback address: set Options.DeliveryClient to post there", host)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
}

// Close ends all timers, deliveries and connections. Presence no longer changes
// afterwards; what the server recorded can still be read.
func (s *Server) Close() {
	s.cancel()
	s.timers.close()
	s.double.Close()
	if s.ownDelivery {
		s.deliver.CloseIdleConnections()
	}
}

// ServeHTTP answers a request as if it had come over the double's own listener:
// see [Options.URL].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.double.ServeHTTP(w, r) }

// URL returns the base URL of the listener, without a slash at its end.
func (s *Server) URL() string { return s.double.URL }

// LoginURL returns the base URL of Entra, in place of
// https://login.microsoftonline.com: the token endpoint is
// {LoginURL}/{tenant}/oauth2/v2.0/token.
func (s *Server) LoginURL() string { return s.login }

// GraphURL returns the base URL of Graph, in place of
// https://graph.microsoft.com: without the version.
func (s *Server) GraphURL() string { return s.graph }

// TenantID returns the Entra tenant's id.
func (s *Server) TenantID() string { return s.tenantID }

// Client returns an HTTP client that reaches the server and trusts its
// certificate; on a Network it reaches every host. Close ends its idle connections.
func (s *Server) Client() *http.Client { return s.double.Client() }

// CertificateAuthority returns the PEM certificate of the authority behind the
// server's own certificate; nil without TLS.
func (s *Server) CertificateAuthority() []byte { return s.double.CertificateAuthority() }

// Control intercepts requests: c is asked about each until it has replied to as
// many as times says; 0 means until remove is called. Several controls are
// asked in the order in which they were added.
func (s *Server) Control(times int, c Control) (remove func()) { return s.double.Control(times, c) }

// SetClockSkew makes the clock that the server's answers show wrong: the header
// Date of each differs from the time by d, positive being ahead. Nothing else
// changes: tokens, times in bodies and Retry-After stay right.
func (s *Server) SetClockSkew(d time.Duration) { s.double.SetClockSkew(d) }

// ClearControls removes all controls.
func (s *Server) ClearControls() { s.double.ClearControls() }

// Requests returns the requests received, oldest first, at most the last
// 10,000. Those inside a $batch are not listed one by one.
func (s *Server) Requests() []Request { return s.double.Requests() }

// ClearRequests empties the list of requests.
func (s *Server) ClearRequests() { s.double.ClearRequests() }

// serve divides the requests between Entra and Graph. Sign-in libraries take
// the first segment of an authority for the tenant, so both services answer
// without their prefix as well.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	<-s.ready
	path := r.URL.EscapedPath()
	if rest, ok := cutPrefixFold(path, "/graph/"); ok {
		s.serveGraph(w, r, "/"+rest)
		return
	}
	if rest, ok := cutPrefixFold(path, "/login/"); ok {
		s.serveEntra(w, r, "/"+rest)
		return
	}
	if _, ok := cutPrefixFold(path, "/v1.0/"); ok {
		s.serveGraph(w, r, path)
		return
	}
	s.serveEntra(w, r, path)
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
