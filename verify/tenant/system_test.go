package tenant_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

const (
	bridgeHost    = "bridge.example.com"
	miCollabHost  = "micollab.example.com"
	miCollabIP    = "10.1.2.3"
	graphPath     = "/notifications/graph"
	cloudLinkPath = "/notifications/cloudlink"
	signInURL     = "https://workflow.eu.api.mitel.io/2017-09-01/integrations/microsoft/sso"
	// siteHead is the site of everybody's telephone.
	siteHead = "head-office"
	// watchedByOne is how many users one monitor may watch here, so that each of the
	// two has users, and neither can take over those of the other.
	watchedByOne = 2
)

// configuration is what somebody has entered for the bridge.
type configuration struct {
	tenantID, clientID string
	secret             presence.Secret
	secretDescription  string
	redirectURI        string
	notificationURL    string
	accountID          string
	cloudClient        string
	cloudSecret        presence.Secret
	region             cloudlink.Region
	direction          presencebridge.Direction
	pbx                presence.PBX
	gateway            verify.GatewayFacts
	miCollab           verify.MiCollabFacts
	watcher            cloudlink.WatcherOptions
	pool               monitor.PoolOptions
	bridge             presencebridge.Options
	options            verify.SystemOptions
	// withoutMonitors is a service that has no pool, withoutWatch one that has forgotten
	// to give the pool to the bridge, and withoutFacts one to which nobody has told
	// anything of the gateway and of MiCollab.
	withoutMonitors, withoutWatch, withoutFacts bool
}

// person is somebody on both sides.
type person struct {
	teams graphtest.User
	phone cloudlinktest.User
}

// system is everything outside of the bridge: the doubles of Microsoft and Mitel, the
// network between them, and what somebody has entered; and the service that runs the
// bridge.
type system struct {
	*testing.T
	graph     *graphtest.Server
	mitel     *cloudlinktest.Server
	network   *graphtest.Network
	authority *authority
	front     *front
	miCollab  *answerer
	names     *names
	recorder  *recorder
	// outside is the HTTP client of the checks; with hairpin set, the network that the
	// checks are in does not lead to its own public address.
	outside  *http.Client
	hairpin  atomic.Bool
	app      graphtest.Application
	people   map[string]person
	monitors []graphtest.User
	// store outlives the service.
	store  *unreliableStore
	sealer *monitor.Sealer

	// healthy is what is right, and config what is entered now; service and check are
	// made of the latter.
	healthy, config configuration
	service         *service
	check           *verify.SystemCheck
	known           map[string]string // what secrets are, by value, beside those that requests carry
}

// inSystem runs f in a bubble with a bridge that has everybody in step. change, if
// set, changes what was entered before the bridge starts for the first time.
func inSystem(t *testing.T, change func(*configuration), f func(s *system)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		defer s.close()
		if change != nil {
			change(&s.healthy)
		}
		s.config = s.healthy
		s.start()
		s.hire()
		s.settle()
		f(s)
	})
}

func newSystem(t *testing.T) *system {
	t.Helper()
	network := graphtest.NewNetwork()
	s := &system{
		T: t, network: network, authority: newAuthority(t), people: make(map[string]person), known: make(map[string]string),
		names: &names{addresses: map[string]netip.Addr{bridgeHost: netip.MustParseAddr("203.0.113.7"), miCollabHost: netip.MustParseAddr(miCollabIP)}},
		store: &unreliableStore{Store: monitor.NewMemoryStore()},
	}
	s.outside = newClient(network, s.authority)
	s.outside.Transport.(*http.Transport).DialContext = func(ctx context.Context, kind, address string) (net.Conn, error) {
		if s.hairpin.Load() && strings.HasPrefix(address, bridgeHost) {
			return nil, &net.OpError{Op: "dial", Net: kind, Err: errors.New("no route to host")}
		}
		return network.DialContext(ctx, kind, address)
	}
	s.recorder = newRecorder(newClient(network, s.authority).Transport)
	s.front = newFront(t, network, bridgeHost, s.authority.issue(t, bridgeHost, 60*24*time.Hour))
	s.miCollab = newAnswerer(t, network, miCollabIP)
	var err error
	s.sealer, err = monitor.NewSealer(monitor.GenerateKey(), nil)
	require.NoError(t, err)
	s.graph, err = graphtest.NewServer(&graphtest.Options{Network: network, DeliveryClient: newClient(network, s.authority)})
	require.NoError(t, err)
	s.mitel, err = cloudlinktest.NewServer(&cloudlinktest.Options{
		Network: network, DeliveryClient: newClient(network, s.authority), Assumptions: &cloudlinktest.Assumptions{SharedEmails: true},
	})
	require.NoError(t, err)
	s.mitel.SetDomain(s.mitel.AccountID() + ".eu.api.mitel.io")
	s.moveIn()
	s.configure()
	return s
}

// newClient reaches the network and trusts the authority.
func newClient(network *graphtest.Network, a *authority) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: network.DialContext, TLSClientConfig: tlsTrusting(a), MaxIdleConnsPerHost: 16}}
}

// moveIn gives both sides their people, and the tenant the application.
func (s *system) moveIn() {
	s.Helper()
	for i, name := range []string{"ada", "bob", "cy", "tess"} {
		address := name + "@example.com"
		sip := "sip-password-of-" + name
		s.known[sip] = "SIP password"
		s.people[name] = person{
			teams: s.graph.AddUser(graphtest.User{ID: "00000000-0000-4000-8000-00000000000" + string(rune('1'+i)), PrincipalName: address, Mail: address, Name: name}),
			phone: s.mitel.AddUser(cloudlinktest.User{Name: name, Email: address, Extension: "200" + string(rune('1'+i)), SiteID: siteHead, SIPPassword: sip}),
		}
		require.NoError(s, s.graph.SetClient(s.people[name].teams.ID, "desktop", presence.Available, presence.ActivityAvailable))
	}
	s.app = s.graph.AddApplication(graphtest.Application{Name: "acme bridge", Secrets: []graphtest.Secret{
		{Value: presence.NewSecret("feature~secret-of-the-bridge"), Description: "acme"},
	}})
	s.mitel.AddClient("bridge", "cloudlink~secret-of-the-bridge", cloudlinktest.RoleAccountAdmin)
	for _, name := range []string{"monitor1", "monitor2"} {
		address := name + "@example.com"
		s.monitors = append(s.monitors, s.graph.AddUser(graphtest.User{PrincipalName: address, Mail: address, Name: name}))
	}
}

func (s *system) configure() {
	s.healthy = configuration{
		tenantID: s.graph.TenantID(), clientID: s.app.ClientID, secret: s.app.Secrets[0].Value, secretDescription: "acme",
		redirectURI: signInURL, notificationURL: "https://" + bridgeHost + graphPath,
		accountID: s.mitel.AccountID(), cloudClient: "bridge", cloudSecret: presence.NewSecret("cloudlink~secret-of-the-bridge"),
		region: cloudlink.RegionEurope, direction: presencebridge.Bidirectional, pbx: presence.MiVoiceBusiness,
		gateway: verify.GatewayFacts{Integration: true, PBX: []presence.PBX{presence.MiVoiceBusiness}, Source: "the file bridge.yaml"},
		miCollab: verify.MiCollabFacts{Server: micollab.Server{
			Address: miCollabHost, Version: micollab.Minimum(), TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
		}, Source: "the file bridge.yaml"},
		pool: monitor.PoolOptions{SecretDescription: "acme", Holder: "this process", Monitor: monitor.Options{Capacity: watchedByOne}},
		options: verify.SystemOptions{
			HTTPClient: s.outside, Resolver: s.names, Dial: s.network.DialContext, ProbeUser: s.people["tess"].teams.ID,
		},
	}
	for _, secret := range []presence.Secret{s.healthy.secret, s.healthy.cloudSecret} {
		s.known[secret.Reveal()] = "client secret"
	}
}

func (s *system) close() {
	s.stop()
	s.front.close()
	s.miCollab.close()
	s.graph.Close()
	s.mitel.Close()
	s.outside.CloseIdleConnections()
	if base, ok := s.recorder.base.(*http.Transport); ok {
		base.CloseIdleConnections()
	}
}

// hire makes the accounts of the monitors monitors, and signs them in.
func (s *system) hire() {
	s.Helper()
	if s.config.withoutMonitors {
		return
	}
	for _, account := range s.monitors {
		secret := s.newSecret("acme " + account.Name)
		require.NoError(s, s.service.pool.Add(s.Context(), account.PrincipalName, secret))
		require.NoError(s, s.authorize(account))
	}
}

// newSecret gives the application another client secret.
func (s *system) newSecret(description string) presence.Secret {
	s.Helper()
	secret, err := s.graph.AddSecret(s.app.ClientID, graphtest.Secret{Description: description})
	require.NoError(s, err)
	s.known[secret.Value.Reveal()] = "client secret of a monitor"
	return secret.Value
}

// authorize signs in as a monitor.
func (s *system) authorize(account graphtest.User) error {
	s.Helper()
	address, err := s.service.pool.AuthorizationURL(s.Context(), account.PrincipalName)
	require.NoError(s, err)
	redirect, err := s.graph.SignIn(address, account.ID)
	require.NoError(s, err)
	u, err := url.Parse(redirect)
	require.NoError(s, err)
	_, err = s.service.pool.CompleteSignIn(s.Context(), u.Query())
	return err
}

// directoryInterval is how often the bridge reads both directories.
const directoryInterval = 15 * time.Minute

// inStep is how long after a start everybody is in step: no session of an earlier
// run can be left then.
const inStep = 11 * time.Minute

// settle waits until everybody is in step, and both sides have notified.
func (s *system) settle() {
	s.Helper()
	time.Sleep(inStep)
	s.stir()
}

// stir changes the presence of some on each side and back, so that the subscriptions
// bring something; of nobody means of all but the test user.
func (s *system) stir(who ...string) {
	s.Helper()
	if len(who) == 0 {
		who = []string{"ada", "bob", "cy"}
	}
	for _, busy := range []bool{true, false} {
		shown, line := presence.Available, presence.LineIdle
		if busy {
			shown, line = presence.Busy, presence.LineConnected
		}
		for _, name := range who {
			require.NoError(s, s.graph.SetClient(s.people[name].teams.ID, "desktop", shown, ""))
		}
		time.Sleep(30 * time.Second)
		s.mitel.SetLine(s.people[who[0]].phone.Extension, line)
		time.Sleep(30 * time.Second)
	}
	time.Sleep(time.Minute)
}

// run makes the checks of the codes, or all, and returns what was found. What was
// found must not hold a secret.
func (s *system) run(only ...verify.Code) *verify.Report {
	s.Helper()
	report, err := s.check.Run(s.Context(), &verify.RunOptions{Only: only})
	require.NoError(s, err)
	s.harmless(report)
	return report
}

// harmless fails if a report shows a secret, in either form.
func (s *system) harmless(report *verify.Report) {
	s.Helper()
	var texts [][]byte
	document, err := json.Marshal(report)
	require.NoError(s, err)
	texts = append(texts, document)
	for _, verbose := range []bool{false, true} {
		var text bytes.Buffer
		require.NoError(s, report.WriteText(&text, &verify.TextOptions{Verbose: verbose, Width: -1}))
		texts = append(texts, text.Bytes())
	}
	secrets := s.recorder.secrets()
	for value, what := range s.known {
		secrets[value] = what
	}
	for _, subscription := range s.graph.Subscriptions() {
		secrets[subscription.ClientState.Reveal()] = "client state"
	}
	for _, subscription := range s.mitel.Subscriptions() {
		secrets[subscription.ApplicationID] = "application id of a subscription"
	}
	for _, application := range s.graph.Applications() {
		for _, secret := range application.Secrets {
			delete(secrets, secret.KeyID) // somebody may have taken it for the secret
		}
	}
	require.Greater(s, len(secrets), 10, "the secrets of the system were not collected")
	for value, what := range secrets {
		for _, text := range texts {
			if bytes.Contains(text, []byte(value)) {
				assert.Failf(s, "a secret is in the report", "%s: %s", what, value)
			}
		}
	}
}

// troubles returns the names of what did not pass, with what became of each.
func troubles(r *verify.Report) []string {
	var found []string
	for _, result := range r.Troubles() {
		found = append(found, result.Name()+" "+string(result.Status))
	}
	slices.Sort(found)
	return found
}

// aside returns the names of what does not apply.
func aside(r *verify.Report) []string {
	var found []string
	for _, result := range r.Results {
		// A bidirectional bridge has nothing to be upgraded to.
		if upgraded := result.Code == verify.CodeUpgrade && r.Direction == presencebridge.Bidirectional; result.Status == verify.NotApplicable && !upgraded {
			found = append(found, result.Name())
		}
	}
	return found
}

// unreliableStore is a store whose values can neither be read nor written while err is
// set; its leases go on.
type unreliableStore struct {
	monitor.Store
	err atomic.Pointer[error]
}

func (u *unreliableStore) fault() error {
	if err := u.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (u *unreliableStore) List(ctx context.Context, prefix string) ([]monitor.Entry, error) {
	if err := u.fault(); err != nil {
		return nil, err
	}
	return u.Store.List(ctx, prefix)
}

func (u *unreliableStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := u.fault(); err != nil {
		return 0, err
	}
	return u.Store.Put(ctx, key, value, revision)
}
