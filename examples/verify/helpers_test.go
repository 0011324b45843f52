package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

// buffer is written and read by several at a time. What is written is shown to wrote,
// if there is one.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote func(text string)
}

func (b *buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote != nil {
		b.wrote(string(data))
	}
	return b.b.Write(data)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// call is one call of the program.
type call struct {
	code           int
	stdout, stderr string
}

// verify calls the program in this process.
func verifying(ctx context.Context, wrote func(string), args ...string) call {
	out, errs := &buffer{}, &buffer{wrote: wrote}
	p := &program{stdout: out, stderr: errs, pause: 10 * time.Millisecond, patience: 20 * time.Second}
	code := p.run(ctx, args)
	return call{code, out.String(), errs.String()}
}

// decode reads the one JSON document of the output.
func (c call) decode(t *testing.T, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(c.stdout))
	require.NoError(t, d.Decode(into), c.stdout)
	require.False(t, d.More(), "one document")
}

// plant is a simulated system with a configuration file for its bridge.
type plant struct {
	*testing.T
	sim  *simulator.Simulator
	info simulator.Info
	file string
}

// newPlant writes the configuration, changed by the pairs of old and new text.
func newPlant(t *testing.T, changes ...string) *plant {
	t.Helper()
	sim, err := simulator.Start(simulator.Options{People: healthy()})
	require.NoError(t, err)
	t.Cleanup(sim.Close)
	p := &plant{T: t, sim: sim, info: sim.Info()}
	for _, u := range sim.CloudLink().Users() {
		if u.Email == p.info.CloudLink.Username {
			sim.CloudLink().RemoveUser(u.ID)
		}
	}
	base, err := url.Parse(p.info.URL)
	require.NoError(t, err)
	listen, teams, cloud := freeAddress(t), p.info.Teams, p.info.CloudLink
	text := fmt.Sprintf(`name: acme
direction: bidirectional
public_url: http://%[1]s
listen: %[1]s
status: %[2]s
teams:
  login_url: %[3]s
  graph_url: %[4]s
  tenant_id: %[5]s
  client_id: %[6]s
  secret: {env: VERIFY_TEAMS_SECRET}
  monitors: [{principal_name: %[7]s, client_secret: {env: VERIFY_MONITOR_SECRET}}]
  store: monitors.db
  store_key: {env: VERIFY_STORE_KEY}
cloudlink:
  base_url: %[8]s
  account_id: %[9]s
  credential: {client_id: %[10]s, secret: {env: VERIFY_CLOUDLINK_SECRET}}
  requests_per_second: 500
micollab:
  address: %[11]s
  version: 9.8 SP1
  teams_integration: true
  cloudlink_integration: true
  password_set: true
options: {echo_window: 300ms}
verify:
  gateway_integration: true
  micollab_port: %[12]s
`, listen, freeAddress(t), teams.LoginURL, teams.GraphURL, teams.TenantID, teams.ClientID, teams.Monitor.PrincipalName,
		cloud.BaseURL, cloud.AccountID, cloud.ClientID, base.Hostname(), base.Port())
	for i := 0; i+1 < len(changes); i += 2 {
		require.Contains(t, text, changes[i])
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	t.Setenv("VERIFY_TEAMS_SECRET", teams.ClientSecret)
	t.Setenv("VERIFY_MONITOR_SECRET", teams.Monitor.ClientSecret)
	t.Setenv("VERIFY_STORE_KEY", "3q2+7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc=")
	t.Setenv("VERIFY_CLOUDLINK_SECRET", cloud.ClientSecret)
	p.file = filepath.Join(t.TempDir(), "bridge.yaml")
	require.NoError(t, os.WriteFile(p.file, []byte(text), 0o600))
	return p
}

// secrets are what must be in no output.
func (p *plant) secrets() []string {
	return []string{
		p.info.Teams.ClientSecret, p.info.Teams.Monitor.ClientSecret, p.info.Teams.Monitor.RefreshToken, p.info.Teams.Monitor.Password,
		p.info.CloudLink.ClientSecret, "3q2+7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc=",
	}
}

// runBridge runs the bridge of the configuration, as examples/bridge does, with its
// monitor signed in, until everybody is in step. It returns what stops it.
func (p *plant) runBridge() (stop func()) {
	p.Helper()
	text, err := service.ReadFile(p.file)
	require.NoError(p, err)
	settings, _, err := service.Load(p.file, text, os.LookupEnv)
	require.NoError(p, err)
	store, err := boltstore.Open(settings.Teams.Pool.StoreFile, nil)
	require.NoError(p, err)
	// What a real bridge waits for, so that the monitors do not change all the time.
	settings.Teams.Pool.Options.StateSettle, settings.Teams.Pool.Options.Monitor.Settle = -1, 20*time.Millisecond
	assembled, err := service.Assemble(settings, &service.Extras{Store: store})
	require.NoError(p, err)
	b := start(p.Context(), assembled)
	stop = sync.OnceFunc(func() {
		require.NoError(p, b.stop())
		require.NoError(p, store.Close())
	})
	p.Cleanup(stop)
	<-b.Entered()
	address, err := b.Pool.AuthorizationURL(p.Context(), p.info.Teams.Monitor.PrincipalName)
	require.NoError(p, err)
	back, err := p.sim.Graph().SignIn(address, p.info.Teams.Monitor.ID)
	require.NoError(p, err)
	request, err := http.NewRequestWithContext(p.Context(), http.MethodGet, back, nil)
	require.NoError(p, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(p, err)
	require.NoError(p, response.Body.Close())
	require.Equal(p, http.StatusOK, response.StatusCode)
	s := &stage{bridge: b}
	quiet := &program{stderr: &buffer{}, patience: 20 * time.Second}
	require.NoError(p, quiet.settle(p.Context(), b, s.inStep, s.quiet))
	return stop
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}
