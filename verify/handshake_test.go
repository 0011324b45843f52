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
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// validating answers the handshake as it should be.
func validating(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("validationToken")
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || token == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, token)
}

// at makes a check against a server for the notification URL, within a bubble.
func (o *outside) at(t *testing.T, p *plant, code Code, certificate tls.Certificate, handler http.HandlerFunc) Result {
	t.Helper()
	o.serve(t, "bridge.example.com", &certificate, handler)
	return p.oneOf(t, code, SystemOptions{HTTPClient: o.client}, nil)
}

func TestNotificationHandshake(t *testing.T) {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	token := func(change func(string) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, change(r.URL.Query().Get("validationToken")))
		}
	}
	slow := func(by time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(by):
				validating(w, r)
			case <-r.Context().Done():
			}
		}
	}
	for _, test := range []struct {
		name     string
		handler  http.HandlerFunc
		status   Status
		sentence string
		remedy   string
	}{
		{"right", validating, Passed, "", ""},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example.com/sign-in?back=very-confidential", http.StatusFound)
		}, Failed, "redirects to login.example.com (302 Found)", "without a login page"},
		{"a redirect within", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusMovedPermanently)
		}, Failed, "redirects to another path (301 Moved Permanently)", ""},
		{"a sign-in", answer(401, "text/html", "<html>"), Failed, "lets nobody in without a sign-in (401 Unauthorized)", "Exempt the path"},
		{"a firewall", answer(403, "text/html", "<html>"), Failed, "(403 Forbidden)", "Exempt the path"},
		{"another path", answer(404, "text/html", "<html>"), Failed, "does not lead to the bridge's notification handler (404 Not Found)", "Lead the path"},
		{"a proxy without a service", answer(502, "text/html", "<html>"), Failed, "answers with an error (502 Bad Gateway)", "which may not reach the service"},
		{"another success", answer(202, "text/plain", ""), Failed, "answers 202 Accepted, and Microsoft Graph wants 200", ""},
		{"a page", answer(200, "text/html; charset=utf-8", "<html>very-confidential"), Failed, `the content type "text/html; charset=utf-8", and Microsoft Graph wants text/plain`, ""},
		{"nothing", token(func(string) string { return "" }), Failed, "it returns nothing", ""},
		{"not decoded", token(url.QueryEscape), Failed, "it returns it URL-encoded", ""},
		{"decoded twice", token(func(s string) string { s, _ = url.QueryUnescape(s); return s }), Failed, "it returns something else", ""},
		{"a line end", token(func(s string) string { return s + "\n" }), Failed, "it returns it with white space around it", ""},
		{"quoted", token(func(s string) string { return `"` + s + `"` }), Failed, "it returns it in quotation marks", ""},
		{"endless", token(func(s string) string { return s + strings.Repeat("x", 1<<20) }), Failed, "it returns something else", ""},
		{"slow", slow(4 * time.Second), Warned, "took 4s to answer", "what is slow"},
		{"just in time", slow(3 * time.Second), Passed, "", ""},
		{"too slow", slow(11 * time.Second), Failed, "gave no answer within 10s", "waits no longer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				r := o.at(t, newPlant().unproved(), CodeNotificationHandshake, o.trusted.issue(t, -day, 90*day, "bridge.example.com"), test.handler)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Contains(t, r.Remedy, test.remedy)
				assert.Equal(t, "not within the last day", evidenceOf(r, "seen from outside"))
				assert.NotContains(t, fmt.Sprint(r), "confidential")
				assert.NotContains(t, fmt.Sprint(r), "System check of presencebridge", "the token of the handshake is nobody's business")
			})
		})
	}
}

// The parameters of the notification URL come along, as they do with Microsoft Graph.
func TestNotificationHandshakeKeepsTheQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
		var query url.Values
		o.serve(t, "bridge.example.com", &certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query = r.URL.Query()
			validating(w, r)
		}))
		r := newPlant().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, func(_ *SystemSources, s *SystemSettings) { s.NotificationURL += "?tenant=a&key=b" })
		assert.Equal(t, Passed, r.Status, r.Sentence)
		assert.Contains(t, evidenceOf(r, "seen from outside"), "Microsoft Graph notified monitor1@example.com")
		assert.Equal(t, "a", query.Get("tenant"))
		assert.Equal(t, "b", query.Get("key"))
	})
}

// A network may not lead to its own public address, and a firewall may let in
// nobody but Microsoft: what came from outside is worth more then.
func TestNotificationHandshakeThatOnlyMicrosoftCanMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		r := newPlant().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, `cannot be reached from here`)
		assert.Contains(t, r.Sentence, "; but Microsoft Graph notified monitor1@example.com")
		r = newPlant().unproved().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Failed, r.Status)
		assert.Contains(t, r.Remedy, "listens there")

		r = o.at(t, newPlant(), CodeNotificationHandshake, o.trusted.issue(t, -day, 90*day, "bridge.example.com"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Remedy, "only the addresses of Microsoft")
	})
}

// The checks of the certificate and of the handshake send one request together.
func TestNotificationURLIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
		requests := 0
		o.serve(t, "bridge.example.com", &certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			validating(w, r)
		}))
		p := newPlant()
		for _, r := range p.only(t, &SystemOptions{HTTPClient: o.client}, CodeNotificationCertificate, CodeNotificationHandshake) {
			assert.Equal(t, Passed, r.Status, r.Sentence)
		}
		assert.Equal(t, 1, requests)
	})
}

func TestNotificationCertificate(t *testing.T) {
	for _, test := range []struct {
		name     string
		make     func(*testing.T, *outside) tls.Certificate
		status   Status
		sentence string
		remedy   string
	}{
		{"valid", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -day, 90*day, "bridge.example.com")
		}, Passed, "", ""},
		{"short-lived", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -day, 5*day, "bridge.example.com")
		}, Passed, "", ""},
		{"short-lived and old", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -5*day, day, "bridge.example.com")
		}, Warned, "ends on 2000-01-02", "not renewed by itself"},
		{"two weeks left", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -76*day, 14*day+time.Hour, "bridge.example.com")
		}, Passed, "", ""},
		{"less than two weeks left", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -76*day, 14*day-time.Hour, "bridge.example.com")
		}, Warned, "ends on 2000-01-14", "Renew the certificate"},
		{"expired", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -90*day, -day, "bridge.example.com")
		}, Failed, "The certificate has expired: it ended on 1999-12-31", "Renew the certificate"},
		{"not yet valid", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, day, 90*day, "bridge.example.com")
		}, Failed, "The certificate is valid only from 2000-01-02", "NTP"},
		{"of another name", func(t *testing.T, o *outside) tls.Certificate {
			return o.trusted.issue(t, -day, 90*day, "www.example.com")
		}, Failed, "the notification URL has bridge.example.com, and the certificate is valid for www.example.com", "for the name"},
		{"of no name", func(t *testing.T, o *outside) tls.Certificate { return o.trusted.issue(t, -day, 90*day) }, Failed, "valid for no name at all", ""},
		{"of an unknown authority", func(t *testing.T, _ *outside) tls.Certificate {
			return newAuthority(t, "a private authority").issue(t, -day, 90*day, "bridge.example.com")
		}, Failed, "an authority that is not trusted here: CN=a private authority", "intermediate certificates"},
		{"signed by itself", func(t *testing.T, _ *outside) tls.Certificate {
			a := newAuthority(t, "itself")
			a.certificate.DNSNames, a.certificate.IsCA = []string{"bridge.example.com"}, false
			der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, a.key.Public(), a.key)
			require.NoError(t, err)
			return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
		}, Failed, "signed by itself", "public authority"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				// Not even a proof from outside helps: the next validation will fail.
				r := o.at(t, newPlant(), CodeNotificationCertificate, test.make(t, o), validating)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Contains(t, r.Remedy, test.remedy)
				assert.NotEmpty(t, evidenceOf(r, "expires"))
				assert.NotEmpty(t, evidenceOf(r, "issuer"))
				if r.Status == Failed {
					assert.Equal(t, Operator, r.Administrator)
				}
			})
		})
	}
}

// What is wrong beside the certificate is left to the handshake's check, except
// that nobody speaks TLS.
func TestNotificationCertificateWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		r := newPlant().oneOf(t, CodeNotificationCertificate, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, NotApplicable, r.Status)
		assert.Contains(t, r.Sentence, "the check of the handshake says why")

		o.serve(t, "bridge.example.com", nil, http.HandlerFunc(validating))
		r = newPlant().oneOf(t, CodeNotificationCertificate, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Failed, r.Status)
		assert.Contains(t, r.Sentence, "speaks plain HTTP and no TLS")

		plain := func(_ *SystemSources, s *SystemSettings) { s.NotificationURL = "http://bridge.example.com/n" }
		r = newPlant().oneOf(t, CodeNotificationCertificate, SystemOptions{HTTPClient: o.client, LocalDoubles: true}, plain)
		assert.Equal(t, NotApplicable, r.Status)
		r = newPlant().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client, LocalDoubles: true}, plain)
		assert.Equal(t, Passed, r.Status, r.Sentence)
	})
}

// A server that has no certificate for the name refuses by an alert.
func TestNotificationCertificateRefusedByTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		listener, err := o.Listen("bridge.example.com")
		require.NoError(t, err)
		server := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
		go func() {
			_ = server.Serve(tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, fmt.Errorf("no certificate")
			}}))
		}()
		defer server.Close()
		r := newPlant().oneOf(t, CodeNotificationCertificate, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Failed, r.Status)
		assert.Contains(t, r.Sentence, "refuses the TLS handshake")
	})
}

// An HTTP client that verifies nothing proves nothing.
func TestNotificationCertificateThatNobodyVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		o.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
		r := o.at(t, newPlant(), CodeNotificationCertificate, newAuthority(t, "a private authority").issue(t, -day, 90*day, "bridge.example.com"), validating)
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, "accepts any certificate")
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		r := p.oneOf(t, CodeNotificationCertificate, SystemOptions{HTTPClient: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
		})}}, nil)
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, "does not tell the certificate")
	})
}

// transport is a transport in one function.
type transport func(*http.Request) (*http.Response, error)

func (a transport) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// A real connection on this machine, with a resolver and a network of its own.
func TestNotificationChecksOverLoopback(t *testing.T) {
	o := newOutside(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(validating), ReadHeaderTimeout: time.Minute}
	certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
	go func() {
		_ = server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
	}()
	defer server.Close()
	o.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
	}
	for _, r := range newPlant().only(t, &SystemOptions{HTTPClient: o.client}, CodeNotificationURL, CodeNotificationAddress, CodeNotificationCertificate, CodeNotificationHandshake) {
		assert.Equal(t, Passed, r.Status, r.Name()+": "+r.Sentence)
	}
}
