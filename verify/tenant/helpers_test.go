package tenant_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretValue = "abc~the-secret-of-the-feature"
	callbackURL = "https://bridge.example/callback"
)

// world is a double of Microsoft with the application of a bridge.
type world struct {
	*testing.T
	*graphtest.Server
	network *graphtest.Network
	app     graphtest.Application
	// What the bridge is configured with.
	cloud              graph.Cloud
	tenantID, clientID string
	secret             presence.Secret
	redirectURI        string
	tokenRoles         func(presence.Secret) []string
	http               *http.Client
}

// inWorld runs f in a bubble.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := graphtest.NewNetwork()
		server, err := graphtest.NewServer(&graphtest.Options{Network: network})
		require.NoError(t, err)
		defer server.Close()
		client := network.Client()
		defer client.CloseIdleConnections()
		w := &world{T: t, Server: server, network: network, http: client, redirectURI: callbackURL}
		w.app = server.AddApplication(graphtest.Application{
			Name: "acme bridge", RedirectURIs: []string{callbackURL},
			Secrets: []graphtest.Secret{{Value: presence.NewSecret(secretValue), Description: "acme"}, {Value: presence.NewSecret("xyz~of-a-monitor"), Description: "acme monitor 1"}},
		})
		w.cloud = graph.Cloud{Name: "double", LoginURL: server.LoginURL(), GraphURL: server.GraphURL(), Notifications: true}
		w.tenantID, w.clientID, w.secret = server.TenantID(), w.app.ClientID, presence.NewSecret(secretValue)
		f(w)
	})
}

// change changes the application in Entra.
func (w *world) change(edit func(*graphtest.Application)) {
	w.Helper()
	require.NoError(w, w.UpdateApplication(w.app.ClientID, edit))
}

// credential signs in as the world is configured.
func (w *world) credential() *graph.Credential {
	w.Helper()
	c, err := graph.NewSecretCredential(w.tenantID, w.clientID, w.secret, &graph.CredentialOptions{Cloud: w.cloud, HTTPClient: w.http, TokenRoles: w.tokenRoles})
	require.NoError(w, err)
	return c
}

// tenant looks as the world is configured, by a credential.
func (w *world) tenant(credential *graph.Credential, opts *tenant.Options) (*tenant.Tenant, *graph.Client) {
	w.Helper()
	client, err := graph.New(w.tenantID, w.clientID, credential, &graph.Options{Cloud: w.cloud, HTTPClient: w.http})
	require.NoError(w, err)
	t, err := tenant.New(client, credential, opts)
	require.NoError(w, err)
	return t, client
}

// check makes the checks that rest on Entra alone.
func (w *world) check(credential *graph.Credential) *verify.Report {
	w.Helper()
	t, _ := w.tenant(credential, nil)
	sources := verify.SystemSources{CloudLink: elsewhere{}, Bridge: elsewhere{}, Monitors: noMonitors{}}
	t.Fill(&sources)
	c, err := verify.NewSystemCheck(sources, verify.SystemSettings{
		Name: "acme", TenantID: w.tenantID, ClientID: w.clientID, Secret: w.secret, SecretDescription: "acme", RedirectURI: w.redirectURI,
	}, nil)
	require.NoError(w, err)
	report, err := c.Run(w.Context(), &verify.RunOptions{Only: []verify.Code{
		verify.CodeEntraToken, verify.CodeEntraSecretExpiry, verify.CodeApplicationPermissionDeclared, verify.CodeDelegatedPermissionDeclared, verify.CodeRedirectURIPlatform,
	}})
	require.NoError(w, err)
	require.NoError(w, credential.Wait(w.Context()))
	return report
}

// elsewhere stands for what these checks do not look at.
type elsewhere struct{}

func (elsewhere) WhoAmI(context.Context) (cloudlink.Identity, error) {
	return cloudlink.Identity{}, presence.ErrUnavailable
}

func (elsewhere) Account(context.Context) (cloudlink.Account, error) {
	return cloudlink.Account{}, presence.ErrUnavailable
}
func (elsewhere) Roster() presence.Roster             { return presence.Roster{} }
func (elsewhere) Overflow() []string                  { return nil }
func (elsewhere) Health() []presencebridge.Health     { return nil }
func (elsewhere) Direction() presencebridge.Direction { return presencebridge.OneWay }

// noMonitors is a pool to which nobody has added a monitor yet.
type noMonitors struct{}

func (noMonitors) Snapshot() monitor.Snapshot { return monitor.Snapshot{} }

func (noMonitors) Resync(context.Context, string) (monitor.MonitorStatus, error) {
	return monitor.MonitorStatus{}, presence.ErrNotFound
}
