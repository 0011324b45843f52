package tenant_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
)

// authority signs the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{certificate, key}
}

// issue returns a certificate for the name that ends after lifetime.
func (a *authority) issue(t *testing.T, name string, lifetime time.Duration) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(lifetime).AddDate(0, 0, -90), NotAfter: time.Now().Add(lifetime), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// front is the server in front of the service that the internet reaches: it speaks
// TLS, and passes on to whoever runs.
type front struct {
	certificate atomic.Pointer[tls.Certificate]
	handler     atomic.Pointer[http.Handler]
	listener    net.Listener
	server      *http.Server
	// instead, if set, answers in place of the service.
	instead atomic.Pointer[http.Handler]
	served  sync.WaitGroup
}

func newFront(t *testing.T, network *graphtest.Network, host string, certificate *tls.Certificate) *front {
	t.Helper()
	f := &front{}
	f.certificate.Store(certificate)
	plain, err := network.Listen(host)
	require.NoError(t, err)
	f.listener = tls.NewListener(bufferedListener{plain}, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.certificate.Load(), nil },
	})
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute, ErrorLog: discarded()}
	f.served.Go(func() { _ = f.server.Serve(f.listener) })
	return f
}

// bufferedListener accepts connections whose writes do not wait for the reader. The
// pipes of the network have no buffer, and a client that does not like a certificate
// says so while the server is still sending.
type bufferedListener struct{ net.Listener }

func (l bufferedListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	b := &bufferedConn{Conn: connection, queue: make(chan []byte, 1024), closed: make(chan struct{})}
	go b.pump()
	return b, nil
}

type bufferedConn struct {
	net.Conn
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func (b *bufferedConn) Write(p []byte) (int, error) {
	select {
	case b.queue <- bytes.Clone(p):
		return len(p), nil
	case <-b.closed:
		return 0, net.ErrClosed
	}
}

// pump sends what was written, and ends when the connection is closed.
func (b *bufferedConn) pump() {
	for {
		select {
		case p := <-b.queue:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
		case <-b.closed:
			return
		}
	}
}

// Close gives what was written a moment to arrive, as a socket does.
func (b *bufferedConn) Close() error {
	b.once.Do(func() {
		for range 10 {
			if len(b.queue) == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		close(b.closed)
	})
	return b.Conn.Close()
}

func (f *front) close() {
	_ = f.server.Close()
	f.served.Wait()
}

// answer has a function answer in place of the service; nil, the service.
func (f *front) answer(instead http.HandlerFunc) {
	if instead == nil {
		f.instead.Store(nil)
		return
	}
	var handler http.Handler = instead
	f.instead.Store(&handler)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, handler := range []*http.Handler{f.instead.Load(), f.handler.Load()} {
		if handler != nil {
			(*handler).ServeHTTP(w, r)
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// answerer is a host that takes connections and says nothing.
type answerer struct {
	listener net.Listener
	served   sync.WaitGroup
}

func newAnswerer(t *testing.T, network *graphtest.Network, host string) *answerer {
	t.Helper()
	listener, err := network.Listen(host)
	require.NoError(t, err)
	a := &answerer{listener: listener}
	a.served.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	})
	return a
}

func (a *answerer) close() {
	_ = a.listener.Close()
	a.served.Wait()
}

// names resolve to addresses; it is a [verify.Resolver].
type names struct {
	mu        sync.Mutex
	addresses map[string]netip.Addr
}

func (n *names) set(host, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address == "" {
		delete(n.addresses, host)
		return
	}
	n.addresses[host] = netip.MustParseAddr(address)
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address, ok := n.addresses[host]; ok {
		return []netip.Addr{address}, nil
	}
	return nil, &net.DNSError{Err: fmt.Sprintf("no such host %s", host), Name: host, IsNotFound: true}
}
