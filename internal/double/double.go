// Package double is what the test doubles of the wire services share: a server
// on a loopback or an in-memory listener, controls that intercept requests, and
// a list of the requests received.
package double

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/memnet"
	"github.com/presencebridge/presencebridge/internal/throttle"
)

// maxBody bounds what a double reads of one request.
const maxBody = 4 << 20

// maxRequests bounds the list of received requests; the oldest go first.
const maxRequests = 10_000

// Options say where a double listens; the zero value of each field is its default.
type Options struct {
	// Address is a loopback address to listen on. Default: 127.0.0.1:0.
	Address string
	// Network, if set, is listened on in place of a socket, as Host.
	Network *memnet.Network
	// Host is the double's name on Network.
	Host string
	// TLS makes a double on a socket speak HTTPS, with a certificate for
	// loopback addresses from an authority of its own. Default: HTTP.
	TLS bool
	// URL, if set, is the base URL under which another server offers this one,
	// which is an [http.Handler]; then the double listens nowhere itself.
	URL string
}

// Request is one request that a double received.
type Request struct {
	Time   time.Time
	Method string
	// Path is the path with its query.
	Path   string
	Header http.Header
	// Body is nil where it was too large.
	Body []byte
	// Status is what was answered; 0 where the connection was dropped.
	Status int
}

// Reply is what a control makes of a request. The zero Reply passes the request
// on unchanged.
type Reply struct {
	// Delay comes before everything else.
	Delay time.Duration
	// Drop closes the connection without an answer.
	Drop bool
	// Status, if not 0, is answered in place of the double, with Header and Body.
	Status int
	Header http.Header
	Body   []byte
	// After lets the double do its work before the control has its way: a write
	// that took effect and whose answer was lost.
	After bool
}

// Control looks at a request, whose body it may read, and returns what to make
// of it, or nil to leave it to the next control and at last to the double.
type Control func(*http.Request) *Reply

// Server serves a double. Make one with Start.
type Server struct {
	// URL is the base URL, without a slash at its end.
	URL string

	handler   http.Handler
	server    *http.Server // nil: it listens nowhere
	listener  net.Listener
	authority []byte
	client    *http.Client
	done      chan struct{}

	mu       sync.Mutex
	controls []*entry
	requests []Request
	skew     time.Duration // of the header Date
}

type entry struct {
	control Control
	left    int // -1: without end
}

// Start listens and serves handler until Close.
func Start(handler http.Handler, opts Options) (*Server, error) {
	s := &Server{handler: handler, done: make(chan struct{})}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	scheme := "http"
	if opts.URL != "" {
		s.URL, s.client = strings.TrimRight(opts.URL, "/"), &http.Client{Transport: transport}
		close(s.done)
		return s, nil
	}
	if opts.Network != nil {
		l, err := opts.Network.Listen(opts.Host)
		if err != nil {
			return nil, err
		}
		s.listener, s.URL = l, "http://"+opts.Host
		transport.DialContext = opts.Network.DialContext
	} else {
		address := opts.Address
		if address == "" {
			address = "127.0.0.1:0"
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		if opts.TLS {
			certificate, authority, err := newCertificate()
			if err != nil {
				_ = l.Close()
				return nil, err
			}
			s.authority = authority
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
			transport.TLSClientConfig = &tls.Config{RootCAs: pool(authority), MinVersion: tls.VersionTLS12}
			scheme = "https"
		}
		s.listener, s.URL = l, scheme+"://"+l.Addr().String()
	}
	s.client = &http.Client{Transport: transport}
	s.server = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 30 * time.Second,
		// A client that goes away in the middle of a handshake is no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(s.listener)
	}()
	return s, nil
}

// Client returns a client that reaches the double (and on a Network all its
// hosts), trusting its certificate. Its idle connections are closed by Close.
func (s *Server) Client() *http.Client { return s.client }

// CertificateAuthority returns the certificate of the double's own authority in
// PEM, nil unless TLS was asked for.
func (s *Server) CertificateAuthority() []byte { return s.authority }

// Close stops the server and ends its connections.
func (s *Server) Close() {
	if s.server != nil {
		_ = s.server.Close()
	}
	s.client.CloseIdleConnections()
	<-s.done
}

// ServeHTTP answers a request as if it had come over the double's own listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r) }

// Control adds a control for times requests that it answers with a Reply; 0
// means until it is removed. The returned function removes it.
func (s *Server) Control(times int, c Control) (remove func()) {
	e := &entry{control: c, left: times}
	if times == 0 {
		e.left = -1
	}
	s.mu.Lock()
	s.controls = append(s.controls, e)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.left = 0
		s.sweep()
	}
}

// ClearControls removes all controls.
func (s *Server) ClearControls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.controls = nil
}

// SetClockSkew makes the header Date of every answer from now on differ from the
// time by d: positive is ahead. Nothing else of the double changes.
func (s *Server) SetClockSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// date returns what the double takes for the time, as a header has it.
func (s *Server) date() string {
	s.mu.Lock()
	skew := s.skew
	s.mu.Unlock()
	return time.Now().Add(skew).UTC().Format(http.TimeFormat)
}

func (s *Server) sweep() {
	kept := s.controls[:0:0]
	for _, e := range s.controls {
		if e.left != 0 {
			kept = append(kept, e)
		}
	}
	s.controls = kept
}

// Requests returns the requests received, in the order in which they were
// answered, at most the last 10,000.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ClearRequests empties the list of requests.
func (s *Server) ClearRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// decide asks the controls in the order in which they were added. They run
// outside the lock, so that a control may add or remove controls.
func (s *Server) decide(r *http.Request, body []byte) *Reply {
	s.mu.Lock()
	entries := append([]*entry(nil), s.controls...)
	s.mu.Unlock()
	for _, e := range entries {
		r.Body = io.NopCloser(bytes.NewReader(body))
		reply := e.control(r)
		if reply == nil {
			continue
		}
		s.mu.Lock()
		live := e.left != 0
		if e.left > 0 {
			e.left--
			s.sweep()
		}
		s.mu.Unlock()
		if live {
			return reply
		}
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	record := Request{Time: time.Now(), Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone()}
	sw := &statusWriter{ResponseWriter: w, date: s.date}
	defer func() {
		record.Status = sw.status
		s.record(record)
	}()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(sw, "request body too large or broken", http.StatusRequestEntityTooLarge)
		return
	}
	record.Body = body
	reply := s.decide(r, body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if reply == nil {
		s.pass(sw, r)
		return
	}
	if reply.Delay > 0 {
		if err := throttle.Sleep(r.Context(), reply.Delay); err != nil {
			panic(http.ErrAbortHandler) // returning would answer 200
		}
	}
	if reply.After && (reply.Drop || reply.Status != 0) {
		s.handler.ServeHTTP(discard{header: make(http.Header)}, r)
	}
	switch {
	case reply.Drop:
		panic(http.ErrAbortHandler)
	case reply.Status != 0:
		for k, v := range reply.Header {
			sw.Header()[k] = v
		}
		if len(reply.Body) > 0 && sw.Header().Get("Content-Type") == "" && strings.HasPrefix(string(reply.Body), "{") {
			sw.Header().Set("Content-Type", "application/json")
		}
		sw.WriteHeader(reply.Status)
		_, _ = sw.Write(reply.Body)
	default:
		s.pass(sw, r)
	}
}

// pass lets the double answer. A handler that says nothing has answered 200.
func (s *Server) pass(w *statusWriter, r *http.Request) {
	s.handler.ServeHTTP(w, r)
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= maxRequests {
		s.requests = append(s.requests[:0:0], s.requests[maxRequests/10:]...)
	}
	s.requests = append(s.requests, r)
}

// statusWriter notes the status, and dates the answer unless it has a Date: that
// of package http would be the right time, and there is none without a listener.
type statusWriter struct {
	http.ResponseWriter
	status int
	date   func() string
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.Header()["Date"] == nil {
			w.Header().Set("Date", w.date())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
