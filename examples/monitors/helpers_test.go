package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
)

// A request for a token goes on when nobody waits for it any more, within a bound of
// its own, so that a refresh token that it uses up is not lost.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/presencebridge/presencebridge/internal/tokens.(*Source).run"))
}

// terminal is where commands are typed, before a double of Microsoft.
type terminal struct {
	*testing.T
	*stage
	env map[string]string
	// stdin is what the next command reads.
	stdin string
	// person acts when an authorization URL is printed.
	person func(ctx context.Context, authorizationURL string)
	// secrets must never be seen.
	secrets []presence.Secret
}

// atTerminal runs f in a bubble, where it is midnight of 1 January 2000.
func atTerminal(t *testing.T, f func(w *terminal)) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := newStage(folder)
		require.NoError(t, err)
		defer s.close()
		f(&terminal{T: t, stage: s, env: map[string]string{envStoreKey: s.key.Reveal()}, secrets: []presence.Secret{s.key, s.application.Secrets[0].Value}})
	})
}

// outcome is what a command has printed, and how it ended.
type outcome struct {
	code        int
	out, errors string
}

// run types a command, after the flags that every command needs.
func (w *terminal) run(command ...string) outcome {
	w.Helper()
	return w.runArgs(w.Context(), w.arguments(command...)...)
}

func (w *terminal) runArgs(ctx context.Context, args ...string) outcome {
	w.Helper()
	var out, faults bytes.Buffer
	p := &program{
		stdin: strings.NewReader(w.stdin), stdout: &out, stderr: &faults, client: w.client, person: w.person,
		getenv: func(name string) string { return w.env[name] },
		listen: func(_ context.Context, host, port string) (net.Listener, error) {
			if port != "8085" {
				return nil, errors.New("port " + port + " is in use")
			}
			return w.network.Listen(host)
		},
	}
	o := outcome{code: p.run(ctx, args)}
	o.out, o.errors = out.String(), faults.String()
	for _, secret := range w.secrets {
		assert.NotContains(w, o.out+o.errors, secret.Reveal(), "a secret was printed")
	}
	return o
}

// succeeds types a command that must succeed, and returns what it prints.
func (w *terminal) succeeds(command ...string) string {
	w.Helper()
	o := w.run(command...)
	require.Zero(w, o.code, "%s\n%s", o.out, o.errors)
	return o.out
}

// fails types a command that must fail, and returns its sentences.
func (w *terminal) fails(command ...string) string {
	w.Helper()
	o := w.run(command...)
	require.Equal(w, exitFailed, o.code, "%s\n%s", o.out, o.errors)
	return o.errors
}

// added adds the monitor.
func (w *terminal) added() {
	w.Helper()
	w.stdin = w.application.Secrets[0].Value.Reveal() + "\n"
	w.succeeds("add", demoMonitor)
	w.stdin = ""
}

// authorized adds the monitor and signs in as it.
func (w *terminal) authorized() {
	w.Helper()
	w.added()
	w.signsIn(w.monitor.ID)
	w.succeeds("authorize", demoMonitor)
	w.person = nil
}

// signsIn lets somebody sign in wherever a URL is printed from now on.
func (w *terminal) signsIn(userID string) {
	w.person = func(ctx context.Context, authorizationURL string) {
		assert.NoError(w, w.opened(ctx, authorizationURL, userID))
	}
}

// redirected returns where the browser of somebody who signs in ends up.
func (w *terminal) redirected(authorizationURL, userID string) string {
	w.Helper()
	address, err := w.server.SignIn(strings.TrimSpace(authorizationURL), userID)
	require.NoError(w, err)
	w.secrets = append(w.secrets, presence.NewSecret(query(w.T, address).Get("code")))
	return address
}

// declined returns where the browser of somebody ends up who declines to consent.
func (w *terminal) declined(authorizationURL string) string {
	w.Helper()
	form := url.Values{"cancel": {"1"}}
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, strings.TrimSpace(authorizationURL), strings.NewReader(form.Encode()))
	require.NoError(w, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := w.client.Transport.RoundTrip(request)
	require.NoError(w, err)
	require.NoError(w, response.Body.Close())
	require.NotEmpty(w, response.Header.Get("Location"), response.Status)
	return response.Header.Get("Location")
}

func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Query()
}

// openStore opens the store as the bridge does.
func (w *terminal) openStore() *boltstore.Store {
	w.Helper()
	store, err := boltstore.Open(w.settings.store, nil)
	require.NoError(w, err)
	return store
}

// bridge is the part of a bridge that keeps the monitors.
type bridge struct {
	*terminal
	store    *boltstore.Store
	pool     *monitor.Pool
	endpoint *http.Server
	stop     context.CancelFunc
	stopped  chan error
}

// startBridge lets a bridge watch these users until halt.
func (w *terminal) startBridge(users ...string) *bridge {
	w.Helper()
	b := &bridge{terminal: w, store: w.openStore(), stopped: make(chan error, 1)}
	handler := graph.NewNotificationHandler(nil)
	listener, err := w.network.Listen("bridge.test")
	require.NoError(w, err)
	b.endpoint = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = b.endpoint.Serve(listener) }()
	microsoft, err := entra.New("http://localhost:8085/callback", &entra.Options{Cloud: w.settings.cloud(), HTTPClient: w.client})
	require.NoError(w, err)
	sealer, err := monitor.NewSealer(w.key, nil)
	require.NoError(w, err)
	b.pool, err = monitor.NewPool(w.settings.application, "http://bridge.test/graph", monitor.Dependencies{
		Store: b.store, Sealer: sealer, Entra: microsoft, Routes: handler, Sink: nobody{},
	}, nil)
	require.NoError(w, err)
	ctx, stop := context.WithCancel(w.Context())
	b.stop = stop
	go func() { b.stopped <- b.pool.Run(ctx) }()
	b.pool.SetUsers(users)
	time.Sleep(time.Minute)
	return b
}

func (b *bridge) halt() {
	b.Helper()
	b.stop()
	require.NoError(b, <-b.stopped)
	require.NoError(b, b.endpoint.Close())
	require.NoError(b, b.store.Close())
}

// addMonitor gives the tenant another account for a monitor, with a secret.
func (w *terminal) addMonitor(principalName string) (graphtest.User, presence.Secret) {
	w.Helper()
	user := w.server.AddUser(graphtest.User{PrincipalName: principalName, Mail: principalName})
	secret, err := w.addSecret()
	require.NoError(w, err)
	w.secrets = append(w.secrets, secret.Value)
	return user, secret.Value
}

var (
	authorizationURL = regexp.MustCompile(`http://graph\.test/login\S+`)
	randomIDs        = regexp.MustCompile(`request \S+, correlation [^)]+`)
)

// steady replaces what is random.
func steady(text string) string {
	return randomIDs.ReplaceAllString(authorizationURL.ReplaceAllString(text, "(URL)"), "request …")
}
