package service

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// A request for a token goes on when nobody waits for it any more, within a bound of
// its own, so that a refresh token that it uses up is not lost.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/presencebridge/presencebridge/internal/tokens.(*Source).run"))
}

// soon is how long anything may take to become true, and tick how often it is asked.
const soon, tick = 20 * time.Second, 10 * time.Millisecond

// simulate starts a simulator of so many people, and returns the settings of a
// bridge for them, with the first two of its presence monitors.
func simulate(t *testing.T, people int) (*simulator.Simulator, *Settings) {
	t.Helper()
	sim, err := simulator.Start(simulator.Options{People: simulator.Colleagues(people)})
	require.NoError(t, err)
	t.Cleanup(sim.Close)
	info := sim.Info()
	notifications, status := listenAnywhere(t), listenAnywhere(t)
	pool := &PoolSettings{StoreKey: monitor.GenerateKey(), Options: monitor.PoolOptions{
		Monitor: monitor.Options{Settle: 20 * time.Millisecond}, StateSettle: -1, DeleteOnStop: true,
	}}
	for _, m := range info.Teams.Monitors[:2] {
		pool.Monitors = append(pool.Monitors, MonitorSettings{PrincipalName: m.PrincipalName, ClientSecret: presence.NewSecret(m.ClientSecret)})
	}
	return sim, &Settings{
		Listener: notifications, StatusListener: status, PublicURL: "http://" + notifications.Addr().String(),
		Teams: TeamsSettings{
			Cloud:    graph.Cloud{Name: "simulator", LoginURL: info.Teams.LoginURL, GraphURL: info.Teams.GraphURL, Notifications: true},
			TenantID: info.Teams.TenantID, ClientID: info.Teams.ClientID, Secret: presence.NewSecret(info.Teams.ClientSecret),
			Pool: pool,
		},
		CloudLink: CloudLinkSettings{
			BaseURL: sim.CloudLink().URL, AccountID: info.CloudLink.AccountID, ClientID: info.CloudLink.ClientID,
			Secret: presence.NewSecret(info.CloudLink.ClientSecret), RequestsPerSecond: 10_000, PBX: presence.MiVoiceBusiness,
		},
		MiCollab: &MiCollabSettings{Server: micollab.Server{
			Address: "micollab.example.test", Version: micollab.Minimum(), TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
		}},
		Bridge: presencebridge.Options{Name: "test", Direction: presencebridge.Bidirectional, EchoWindow: 300 * time.Millisecond},
	}
}

// listenAnywhere returns a listener, closed at the end unless it was before.
func listenAnywhere(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func assembled(t *testing.T, settings *Settings, extras *Extras) *Service {
	t.Helper()
	s, err := Assemble(settings, extras)
	require.NoError(t, err)
	return s
}

// start runs a service until the test ends, or stop is called.
func start(t *testing.T, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = s.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
		require.NoError(t, err)
	}
	t.Cleanup(stop)
	return stop
}

// begun waits until both sides have been read and the monitors entered: a request for
// a token would outlive the service, and the test, if the simulator ended before it
// answered.
func begun(s *Service) {
	<-s.Entered()
	<-s.Bridge.Loaded()
}

// visit opens a URL and returns what is answered.
func visit(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// newCertificate writes a certificate and its key, and returns their files.
func newCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
		return path
	}
	return write("application.pem", "CERTIFICATE", raw), write("application.key", "PRIVATE KEY", encoded)
}
