package verify

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
		defer func() { assert.NoError(t, server.Close()) }()
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
