package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// certificateWarning is how long before its end a certificate is warned of. What
// renews certificates does so with a third of their lifetime left, which is about
// two weeks for the 47 days that the CA/Browser Forum allows from 2029: one
// with less left is not being renewed. For those that live shorter, it is a third.
const certificateWarning = 14 * 24 * time.Hour

func checkNotificationCertificate(_ context.Context, f *facts, _ string) finding {
	if u, err := url.Parse(f.settings.NotificationURL); err == nil && u.Scheme == "http" {
		return notApplicable("The notification URL is plain HTTP, which has no certificate.")
	}
	v, err := f.validation()
	switch {
	case v.tls != nil:
		return presented(v.tls)
	case err != nil:
		return unverified(err)
	default:
		return warned("The HTTP client does not tell the certificate.", "Give SystemOptions.HTTPClient a transport that keeps http.Response.TLS.")
	}
}

// presented judges a certificate that the HTTP client has accepted.
func presented(state *tls.ConnectionState) finding {
	if len(state.PeerCertificates) == 0 {
		return warned("The HTTP client does not tell the certificate.", "Give SystemOptions.HTTPClient a transport that keeps http.Response.TLS.")
	}
	leaf := state.PeerCertificates[0]
	evidence := describe(leaf)
	left := time.Until(leaf.NotAfter)
	switch {
	case len(state.VerifiedChains) == 0:
		return warned("The HTTP client accepts any certificate, so that nothing can be said of this one.", "Give SystemOptions.HTTPClient a transport that verifies certificates.", evidence...)
	case left < min(certificateWarning, leaf.NotAfter.Sub(leaf.NotBefore)/3):
		return warned(fmt.Sprintf("The certificate of the notification URL ends on %s; Microsoft Graph delivers nothing from then on.", minute(leaf.NotAfter)),
			"Renew the certificate, and find out why it was not renewed by itself.", evidence...)
	}
	return passed(evidence...)
}

// describe returns what an administrator knows a certificate by.
func describe(c *x509.Certificate) []Evidence {
	return []Evidence{
		{"names", names(certificateNames(c))}, {"issuer", c.Issuer.String()}, {"expires", minute(c.NotAfter)},
		{"in", fmt.Sprintf("%d days", int(time.Until(c.NotAfter).Hours()/24))},
	}
}

func certificateNames(c *x509.Certificate) []string {
	list := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}

// unverified is the outcome of a connection that failed. Where it failed before a
// certificate came into play, the handshake's check says so, and not this one.
func unverified(err error) finding {
	var evidence []Evidence
	var chain []*x509.Certificate
	if refused := (*tls.CertificateVerificationError)(nil); errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 {
		chain = refused.UnverifiedCertificates
		evidence = describe(chain[0])
	}
	var (
		invalid   x509.CertificateInvalidError
		wrongName x509.HostnameError
		unknown   x509.UnknownAuthorityError
		network   *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		whose := "The certificate"
		if len(chain) > 0 && !invalid.Cert.Equal(chain[0]) {
			whose = fmt.Sprintf("The certificate of the authority %q", invalid.Cert.Subject)
		}
		if time.Now().Before(invalid.Cert.NotBefore) {
			return failed(fmt.Sprintf("%s is valid only from %s.", whose, minute(invalid.Cert.NotBefore)), "Set the clock of this machine by NTP if it is slow; otherwise use a certificate that is valid now.", evidence...)
		}
		return failed(fmt.Sprintf("%s has expired: it ended on %s.", whose, minute(invalid.Cert.NotAfter)), "", evidence...)
	case errors.As(err, &wrongName):
		valid := "no name at all"
		if list := certificateNames(wrongName.Certificate); len(list) > 0 {
			valid = names(list)
		}
		return failed(fmt.Sprintf("The certificate is of another name: the notification URL has %s, and the certificate is valid for %s.", wrongName.Host, valid),
			"Use a certificate for the name of the notification URL, or enter the name of the certificate in the URL.", evidence...)
	case errors.As(err, &unknown):
		if len(chain) == 1 && chain[0].Issuer.String() == chain[0].Subject.String() {
			return failed("The certificate is signed by itself, and Microsoft Graph does not trust it.", "Use a certificate of a public authority.", evidence...)
		}
		sentence := "The certificate is of an authority that is not trusted here"
		if unknown.Cert != nil {
			sentence += fmt.Sprintf(": %s", unknown.Cert.Issuer)
		}
		return failed(sentence+".", "Use a certificate of a public authority, and let the server send the intermediate certificates with it.", evidence...)
	case len(chain) > 0 || errors.As(err, &invalid):
		return failed(fmt.Sprintf("The certificate is not accepted: %v.", err), "", evidence...)
	case errors.Is(err, http.ErrSchemeMismatch):
		return failed("What answers at the notification URL speaks plain HTTP and no TLS.", "Let the service, or a proxy in front of it, speak TLS at the port of the notification URL.")
	case errors.As(err, &network) && network.Op == "remote error": // an alert, in package tls
		return failed(fmt.Sprintf("What answers at the notification URL refuses the TLS handshake: %v.", network.Err), "Let the service, or the proxy in front of it, speak TLS 1.2 or later for the name of the notification URL.")
	}
	return notApplicable("No connection came about, so there is no certificate to look at: the check of the handshake says why.")
}
