package entra_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const callbackURL = "http://localhost/callback"

// tenant is a double of Microsoft with an application, one of whose client
// secrets is the monitor's, and with the account of the monitor.
type tenant struct {
	*testing.T
	*graphtest.Server
	network *graphtest.Network
	app     graphtest.Application
	account graphtest.User
	ann     graphtest.User
	transit *transit
	entra   *entra.Entra
}

// inTenant runs f in a bubble.
func inTenant(t *testing.T, f func(w *tenant)) {
	t.Helper()
	inTenantThat(t, graphtest.Assumptions{}, f)
}

// inTenantThat runs f in a bubble, with a service of which this is assumed.
func inTenantThat(t *testing.T, assumptions graphtest.Assumptions, f func(w *tenant)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := graphtest.NewNetwork()
		server, err := graphtest.NewServer(&graphtest.Options{Network: network, Assumptions: &assumptions})
		require.NoError(t, err)
		defer server.Close()
		client := network.Client()
		defer client.CloseIdleConnections()
		w := &tenant{T: t, Server: server, network: network, transit: &transit{base: client.Transport}}
		w.app = server.AddApplication(graphtest.Application{Name: "bridge", Secrets: []graphtest.Secret{
			{Value: presence.NewSecret("bridge-secret"), Description: "bridge"},
			{Value: presence.NewSecret("monitor-secret"), Description: "bridge monitor 1"},
		}})
		w.account = server.AddUser(graphtest.User{PrincipalName: "monitor1@example.test", Mail: "monitor1@example.test", Name: "Monitor 1"})
		w.ann = server.AddUser(graphtest.User{PrincipalName: "ann@example.test", Mail: "ann@example.test", Name: "Ann"})
		w.entra = w.newEntra(nil)
		f(w)
	})
}

func (w *tenant) newEntra(tweak func(*entra.Options)) *entra.Entra {
	w.Helper()
	o := entra.Options{
		Cloud:      graph.Cloud{Name: "double", LoginURL: w.LoginURL(), GraphURL: w.GraphURL(), Notifications: true},
		HTTPClient: &http.Client{Transport: w.transit},
	}
	if tweak != nil {
		tweak(&o)
	}
	e, err := entra.New(callbackURL, &o)
	require.NoError(w, err)
	return e
}

func (w *tenant) credentials() monitor.Credentials {
	return monitor.Credentials{
		Application:   monitor.Application{TenantID: w.TenantID(), ClientID: w.app.ClientID},
		PrincipalName: w.account.PrincipalName,
		ClientSecret:  presence.NewSecret("monitor-secret"),
	}
}

// changeApplication registers the application anew, changed.
func (w *tenant) changeApplication(change func(*graphtest.Application)) {
	change(&w.app)
	w.app = w.AddApplication(w.app)
}

// changeAccount changes the monitor's account in the directory.
func (w *tenant) changeAccount(change func(*graphtest.User)) {
	change(&w.account)
	w.account = w.AddUser(w.account)
}

// callback signs somebody in at the URL and returns what comes back.
func (w *tenant) callback(address, userID string) url.Values {
	w.Helper()
	redirect, err := w.SignIn(address, userID)
	require.NoError(w, err)
	u, err := url.Parse(redirect)
	require.NoError(w, err)
	return u.Query()
}

// signIn signs the monitor in and returns what it granted.
func (w *tenant) signIn() monitor.Grant {
	w.Helper()
	begun, err := w.entra.BeginSignIn(w.credentials(), "state")
	require.NoError(w, err)
	grant, err := w.entra.Redeem(w.Context(), w.credentials(), w.callback(begun.URL, w.account.ID), begun.Verifier)
	require.NoError(w, err)
	return grant
}

// open opens the account over a vault that holds the grant.
func (w *tenant) open(v *vault) monitor.Account {
	w.Helper()
	account, err := w.entra.Open(w.credentials(), v)
	require.NoError(w, err)
	return account
}

// receive serves notifications at a URL that Microsoft Graph can validate.
func (w *tenant) receive() (notificationURL string) {
	w.Helper()
	listener, err := w.network.Listen("bridge.test")
	require.NoError(w, err)
	endpoint := &http.Server{Handler: graph.NewNotificationHandler(nil), ReadHeaderTimeout: time.Minute}
	go func() { _ = endpoint.Serve(listener) }()
	w.Cleanup(func() { _ = endpoint.Close() })
	return "http://bridge.test/graph"
}

// harmless fails if an error shows anything secret.
func (w *tenant) harmless(err error, secrets ...string) {
	w.Helper()
	for _, secret := range append(secrets, "bridge-secret", "monitor-secret") {
		if secret != "" {
			assert.NotContains(w, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
	}
	var advice interface{ Remedy() string }
	if assert.ErrorAs(w, err, &advice) {
		_ = advice.Remedy()
	}
}

// transit is the way to the service. It notices token requests that overlap.
type transit struct {
	base http.RoundTripper

	mu            sync.Mutex
	inside, total int
	overlap       bool
	latency       time.Duration // of token requests
	down          error
}

func (w *transit) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	down, latency := w.down, w.latency
	isToken := strings.HasSuffix(req.URL.Path, "/token")
	if isToken {
		w.inside++
		w.total++
		w.overlap = w.overlap || w.inside > 1
	}
	w.mu.Unlock()
	if isToken {
		time.Sleep(latency)
		defer func() {
			w.mu.Lock()
			w.inside--
			w.mu.Unlock()
		}()
	}
	if down != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, down
	}
	return w.base.RoundTrip(req)
}

func (w *transit) tokenRequests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// vault keeps the refresh token of one account.
type vault struct {
	mu        sync.Mutex
	token     presence.Secret
	refusal   error // of Current
	full      error // of Rotated
	rotations int
	stale     bool // a token was used that was not the newest
	inside    int
	overlap   bool
}

func (v *vault) enter() (leave func()) {
	v.mu.Lock()
	v.inside++
	v.overlap = v.overlap || v.inside > 1
	v.mu.Unlock()
	time.Sleep(time.Millisecond)
	v.mu.Lock()
	return func() {
		v.inside--
		v.mu.Unlock()
	}
}

func (v *vault) Current(context.Context) (presence.Secret, error) {
	defer v.enter()()
	return v.token, v.refusal
}

func (v *vault) Rotated(_ context.Context, used, next presence.Secret) error {
	defer v.enter()()
	if v.full != nil {
		return v.full
	}
	v.stale = v.stale || !used.Equal(v.token)
	v.token = next
	v.rotations++
	return nil
}
