package verify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/internal/memnet"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{certificate, key}
}

// issue signs a certificate for the names, valid for these times from now.
func (a *authority) issue(t *testing.T, from, to time.Duration, names ...string) tls.Certificate {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a server"}, NotBefore: now.Add(from), NotAfter: now.Add(to),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: names,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

const day = 24 * time.Hour

// outside is the network in which the notification URL is served.
type outside struct {
	*memnet.Network
	trusted *authority
	client  *http.Client
}

// newOutside returns a network whose client trusts one authority.
func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{Network: memnet.New(), trusted: newAuthority(t, "the trusted authority")}
	roots := x509.NewCertPool()
	roots.AddCert(o.trusted.certificate)
	o.client = &http.Client{Transport: &http.Transport{DialContext: o.dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(o.client.CloseIdleConnections)
	return o
}

// dial connects as a network does that holds what was written until it is read. A
// pipe does not, and a TLS handshake that fails would wait for ever on both ends,
// each for the other to read.
func (o *outside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := o.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b := &buffered{Conn: conn, queue: make(chan []byte, 64), closed: make(chan struct{})}
	go b.pump()
	return b, nil
}

type buffered struct {
	net.Conn
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case b.queue <- bytes.Clone(p):
		return len(p), nil
	case <-b.closed:
		return 0, net.ErrClosed
	}
}

func (b *buffered) pump() {
	for {
		select {
		case p := <-b.queue:
			_, _ = b.Conn.Write(p)
		case <-b.closed:
			return
		}
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

// serve answers for a host, by TLS if there is a certificate.
func (o *outside) serve(t *testing.T, host string, certificate *tls.Certificate, handler http.Handler) {
	t.Helper()
	listener, err := o.Listen(host)
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	if certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
}
