package simulator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/internal/double"
)

// Where on the one address things are.
const (
	cloudLinkPrefix = "/cloudlink"
	controlPrefix   = "/control"
)

// Options are the settings of a [Simulator]; the zero value of each field is
// its default.
type Options struct {
	// Address is the address to listen on. Default: 127.0.0.1 with a free port.
	Address string
	// TLS serves HTTPS with a certificate for loopback addresses from an
	// authority of its own. Default: HTTP.
	TLS bool
	// CertificateFile is where the authority's certificate is written, as PEM,
	// when TLS is on. Default: a new file in the folder for temporary files,
	// which Close removes.
	CertificateFile string
	// AllowRemote permits an Address that other machines reach, and
	// notifications to URLs on them. Default: loopback only.
	AllowRemote bool
	// URL is the base URL under which clients reach the simulator, if that is
	// not Address. It has a scheme and a host, and no path. Default: from Address.
	URL string
	// People are the company. Default: [Company].
	People []Person
	// RedirectURIs are registered in addition to /callback on http://localhost
	// and http://127.0.0.1 and to Mitel's own. Default: none.
	RedirectURIs []string
	// SessionTimeScale makes Teams presence sessions age this many times
	// faster. Default: 1.
	SessionTimeScale float64
	// Throttle answers 429 once a documented budget of Microsoft Graph is used
	// up. Default: false.
	Throttle bool
}

// Simulator is a running simulator. It is safe for concurrent use.
type Simulator struct {
	front   *double.Server
	graph   *graphtest.Server
	cloud   *cloudlinktest.Server
	client  *http.Client // posts notifications
	info    Info
	secrets secrets
	faults  deliveryFaults
	ready   chan struct{} // closed once everything above is set

	temporaryFile string // to be removed by Close
}

// Start serves the doubles, with the people in them, until [Simulator.Close]. It
// reports all faults of the options at once, and fails where it cannot listen or
// cannot write the certificate.
func Start(opts Options) (*Simulator, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Simulator{ready: make(chan struct{}), client: webhookClient(opts.AllowRemote)}
	front, err := double.Start(http.HandlerFunc(s.serve), double.Options{Address: opts.Address, TLS: opts.TLS})
	if err != nil {
		return nil, fmt.Errorf("simulator: cannot listen on %s: %w: stop what listens there, or choose another address", opts.Address, err)
	}
	s.front = front
	base := strings.TrimRight(opts.URL, "/")
	if base == "" {
		base = front.URL
	}
	if err := s.build(base, opts); err != nil {
		s.Close()
		return nil, err
	}
	close(s.ready)
	return s, nil
}

func (o Options) validate() error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf("simulator: "+format, args...)) }
	address := o.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(address)
	local := err == nil && isLoopback(host)
	switch {
	case err != nil:
		fail("the address %q is not host:port: use one such as 127.0.0.1:9400", o.Address)
	case !local && !o.AllowRemote:
		fail("the address %q can be reached from other machines, and the simulator hands its credentials to everybody who asks: use a loopback address such as 127.0.0.1:9400, or, if that is meant, permit it with -allow-remote (AllowRemote)", o.Address)
	case !local && o.TLS:
		fail("the certificate is for loopback addresses and would not be valid for %q: serve HTTP there, or use a loopback address", o.Address)
	case !local && o.URL == "" && isUnspecified(host):
		fail("the address %q stands for every interface: say by URL under which one clients reach the simulator", o.Address)
	}
	if o.URL != "" {
		if u, err := url.Parse(o.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			fail("the URL %q is not a scheme and a host: use one such as http://simulator.local:9400", o.URL)
		}
	}
	if o.CertificateFile != "" && !o.TLS {
		fail("there is no certificate to write to %q without TLS: switch TLS on, or leave the file out", o.CertificateFile)
	}
	faults = append(faults, checkPeople(o.People))
	return errors.Join(faults...)
}

// isLoopback reports whether nobody but this machine reaches a host.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// build makes the doubles and puts the company into them.
func (s *Simulator) build(base string, opts Options) error {
	var err error
	s.graph, err = graphtest.NewServer(&graphtest.Options{
		URL: base, DeliveryClient: s.client, SessionTimeScale: opts.SessionTimeScale, Enforce: opts.Throttle,
	})
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	s.cloud, err = cloudlinktest.NewServer(&cloudlinktest.Options{URL: base + cloudLinkPrefix, DeliveryClient: s.client})
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	s.info = Info{URL: base, Control: base + controlPrefix}
	people := opts.People
	if people == nil {
		people = Company()
	}
	if err := s.seed(people, opts.RedirectURIs); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	s.watchDeliveries()
	if opts.TLS {
		return s.writeCertificate(opts.CertificateFile)
	}
	return nil
}

func (s *Simulator) writeCertificate(name string) error {
	certificate := s.front.CertificateAuthority()
	var err error
	if name == "" {
		var file *os.File
		if file, err = os.CreateTemp("", "presencebridge-simulator-*.pem"); err == nil {
			name = file.Name()
			s.temporaryFile = name
			_, err = file.Write(certificate)
			err = errors.Join(err, file.Close())
		}
	} else {
		err = os.WriteFile(name, certificate, 0o644)
	}
	if err != nil {
		return fmt.Errorf("simulator: cannot write the authority's certificate: %w", err)
	}
	s.info.CertificateFile = name
	return nil
}

// serve divides the requests among the services. It waits for the doubles: on a
// fixed address a client may be quicker than Start. It is no [http.ServeMux],
// which redirects what is not a clean path, as the services do not.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ready:
	case <-r.Context().Done():
		return
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, cloudLinkPrefix+"/"):
		http.StripPrefix(cloudLinkPrefix, s.cloud).ServeHTTP(w, r)
	case path == controlPrefix || strings.HasPrefix(path, controlPrefix+"/"):
		s.serveControl(w, r)
	default:
		s.graph.ServeHTTP(w, r)
	}
}

// Close stops the simulator, its deliveries and its connections.
func (s *Simulator) Close() {
	s.front.Close()
	if s.graph != nil {
		s.graph.Close()
	}
	if s.cloud != nil {
		s.cloud.Close()
	}
	s.client.CloseIdleConnections()
	if s.temporaryFile != "" {
		_ = os.Remove(s.temporaryFile)
	}
}

// Graph returns the double of Microsoft Entra and Microsoft Graph.
func (s *Simulator) Graph() *graphtest.Server { return s.graph }

// CloudLink returns the double of CloudLink.
func (s *Simulator) CloudLink() *cloudlinktest.Server { return s.cloud }

// Client returns a client that trusts the simulator's certificate. It adds no
// token. Close ends its idle connections.
func (s *Simulator) Client() *http.Client { return s.front.Client() }

// secrets are what the control endpoint can let expire.
type secrets struct {
	application graphtest.Secret
	monitors    []graphtest.Secret
}

func newSecret() string { return rand.Text() }
