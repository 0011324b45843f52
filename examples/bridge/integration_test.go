package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// soon is how long anything may take to become true.
const soon = 20 * time.Second

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// control gives the simulator a command and returns its answer.
func control(t *testing.T, info simulator.Info, path, body string) []byte {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, info.Control+path, strings.NewReader(body))
	require.NoError(t, err)
	authority, err := os.ReadFile(info.CertificateFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(answer))
	return answer
}

// simulated is the sample configuration with the simulator in the place of the
// vendors.
func simulated(t *testing.T, info simulator.Info, listen, status string) string {
	t.Helper()
	sample, err := os.ReadFile("bridge.sample.yaml")
	require.NoError(t, err)
	const zero = "00000000-0000-0000-0000-000000000000"
	text := string(sample)
	for _, r := range [][2]string{
		{"public_url: https://presence.example.com", "public_url: http://" + listen},
		{"listen: 127.0.0.1:8080", "listen: " + listen},
		{"status: 127.0.0.1:8081", "status: " + status},
		{"# ca_file: authorities.pem", "ca_file: " + info.CertificateFile},
		{"# login_url: http://127.0.0.1:9400/login", "login_url: " + info.Teams.LoginURL},
		{"# graph_url: http://127.0.0.1:9400/graph", "graph_url: " + info.Teams.GraphURL},
		{"tenant_id: " + zero, "tenant_id: " + info.Teams.TenantID},
		{"client_id: " + zero, "client_id: " + info.Teams.ClientID},
		{"principal_name: presence.monitor@example.com", "principal_name: " + info.Teams.Monitor.PrincipalName},
		{"# refresh_token: {env", "refresh_token: {env"},
		{"# base_url: http://127.0.0.1:9400/cloudlink", "base_url: " + info.CloudLink.BaseURL},
		{"account_id: " + zero, "account_id: " + info.CloudLink.AccountID},
		{"client_id: presence-bridge", "client_id: " + info.CloudLink.ClientID},
		{"requests_per_second: 10", "requests_per_second: 200"},
		// For that long after its start the bridge reckons with an earlier one.
		{"echo_window: 15s", "echo_window: 300ms"},
	} {
		require.Contains(t, text, r[0])
		text = strings.Replace(text, r[0], r[1], 1)
	}
	t.Setenv("BRIDGE_TEAMS_SECRET", info.Teams.ClientSecret)
	t.Setenv("BRIDGE_MONITOR_SECRET", info.Teams.Monitor.ClientSecret)
	t.Setenv("BRIDGE_MONITOR_REFRESH_TOKEN", info.Teams.Monitor.RefreshToken)
	t.Setenv("BRIDGE_CLOUDLINK_SECRET", info.CloudLink.ClientSecret)
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// TestSampleAgainstTheSimulator runs the program with the sample configuration,
// the simulator in the place of the vendors, and its authority trusted.
func TestSampleAgainstTheSimulator(t *testing.T) {
	sim, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	defer sim.Close()
	info, status := sim.Info(), freeAddress(t)
	file := simulated(t, info, freeAddress(t), status)
	person := info.People[0]
	require.NotEmpty(t, person.TeamsID)
	require.NotEmpty(t, person.Extension)

	ctx, interrupt := withCancel(t)
	var out, errs buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"-config", file}, &out, &errs) }()
	defer func() {
		interrupt()
		assert.Zero(t, <-code, errs.String())
		for _, secret := range []string{info.Teams.ClientSecret, info.Teams.Monitor.RefreshToken, info.CloudLink.ClientSecret} {
			assert.NotContains(t, errs.String(), secret)
		}
	}()
	require.Eventually(t, func() bool { return strings.Contains(errs.String(), "subscription created") && subscribed(t, status) }, soon, 20*time.Millisecond, "%s", &errs)

	// The telephone's state appears in Teams, and goes again.
	control(t, info, "/phone", `{"endpoint": "`+person.Extension+`", "state": "connected"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).teams == "Busy/InACall" }, soon, 20*time.Millisecond)
	assert.NotEqual(t, "In a call", stateOf(t, info, person).micollab, "the bridge's own session goes no further")
	control(t, info, "/phone", `{"endpoint": "`+person.Extension+`", "state": "idle"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).teams != "Busy/InACall" }, soon, 20*time.Millisecond)

	// The Teams presence appears in MiCollab.
	control(t, info, "/teams", `{"user": "`+person.Email+`", "availability": "DoNotDisturb"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).micollab == "Do not disturb" }, soon, 20*time.Millisecond)

	// The refresh token has been replaced, and the new one kept for the next start.
	token, err := os.ReadFile(filepath.Join(filepath.Dir(file), "monitor.token"))
	require.NoError(t, err)
	assert.NotEmpty(t, strings.TrimSpace(string(token)))
	assert.NotContains(t, string(token), info.Teams.Monitor.RefreshToken)
	stored, err := os.Stat(filepath.Join(filepath.Dir(file), "monitor.token"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, stored.Mode().Perm())
}

// subscribed reports whether the status page says that both sides notify.
func subscribed(t *testing.T, status string) bool {
	var page struct{ Monitor, Watcher struct{ State string } }
	getJSON(t, "http://"+status+"/", http.StatusOK, &page)
	return page.Monitor.State == string(monitor.ConditionSubscribed) && page.Watcher.State == "subscribed"
}

type bothSides struct{ teams, micollab string }

func stateOf(t *testing.T, info simulator.Info, person simulator.PersonInfo) bothSides {
	t.Helper()
	var state struct {
		People []struct {
			Email string
			Teams struct{ Availability, Activity string }
			// The status is what CloudLink holds for MiCollab.
			Status string
		}
	}
	require.NoError(t, json.Unmarshal(control(t, info, "/state", ""), &state))
	for _, p := range state.People {
		if p.Email == person.Email {
			return bothSides{p.Teams.Availability + "/" + p.Teams.Activity, p.Status}
		}
	}
	require.Fail(t, "the simulator has lost somebody", person.Email)
	return bothSides{}
}

// newCompany is the demonstration's company, with a bridge that is not running.
func newCompany(t *testing.T, change func(*settings)) (*company, *ledger, *integration) {
	t.Helper()
	c := newClock(time.Hour)
	co, err := found(c)
	require.NoError(t, err)
	t.Cleanup(co.close)
	change(co.settings)
	l := newLedger(co, c, newPrinter(io.Discard, false))
	i, err := assemble(co.settings, &extras{hooks: l.hooks()})
	require.NoError(t, err)
	return co, l, i
}

// start runs a bridge until the test ends.
func start(t *testing.T, i *integration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func TestVerdictNamesWhoDiffersAndWhy(t *testing.T) {
	co, l, i := newCompany(t, func(s *settings) {
		s.bridge.SessionLifetime = 10 * time.Minute
		s.bridge.DryRun = true
	})
	start(t, i)
	require.NoError(t, i.ready(t.Context()))
	assert.True(t, l.sum(i.bridge).good())

	co.cloudlink.SetLine(co.people[ada].extension, presence.LineConnected)
	require.NoError(t, co.graph.SetClient(co.people[emmy].teamsID, "desktop", presence.BeRightBack, ""))
	s := l.sum(i.bridge)
	assert.False(t, s.good())
	require.Len(t, s.differences, 2)
	assert.Equal(t, "Ada Byron", s.differences[0].Person)
	assert.Contains(t, s.differences[0].Note, "the phone is connected, so the session in Teams should be Busy/InACall and is none. Ada Byron <ada@example.test>: account bidirectional")
	assert.Equal(t, "Emmy Noether", s.differences[1].Person)
	assert.Contains(t, s.differences[1].Note, `Teams is BeRightBack/BeRightBack, so MiCollab should show "Be right back" and shows "Offline"`)
	assert.Equal(t, 2, s.Changes)
	assert.Contains(t, s.String(), "users=11 changes=2 ")
	assert.Contains(t, s.String(), " agree=false")

	var out bytes.Buffer
	s.report(newPrinter(&out, false))
	assert.Contains(t, out.String(), "The sides do not agree:\n  Ada Byron    the phone is connected")

	// A write that the doubles received and nobody reports is a fault, too.
	co.cloudlink.SetLine(co.people[ada].extension, presence.LineIdle)
	require.NoError(t, co.graph.SetClient(co.people[emmy].teamsID, "desktop", "", ""))
	require.NoError(t, i.teams.SetPresence(t.Context(), co.people[otto].teamsID, presence.Sessions()[1], 5*time.Minute))
	require.NoError(t, i.teams.ClearPresence(t.Context(), co.people[otto].teamsID))
	s = l.sum(i.bridge)
	assert.True(t, s.Agree)
	assert.False(t, s.good())
	assert.Contains(t, s.miscounts, "the bridge reports 0 writes to Teams and the double received 2")
}

func TestEchoIsCountedByWhoseDoingTheCauseWas(t *testing.T) {
	co, l, i := newCompany(t, func(s *settings) { s.bridge.SessionLifetime = 10 * time.Minute })
	t.Cleanup(func() {
		require.NoError(t, co.settings.listener.Close())
		require.NoError(t, co.settings.statusListener.Close())
	})
	m := co.people[ada]
	user := presence.User{TeamsID: m.teamsID, Endpoints: []string{m.extension}}
	require.NoError(t, co.graph.SetClient(m.teamsID, "desktop", presence.Available, ""))
	genuine := co.graph.Presence(m.teamsID)
	require.NoError(t, i.teams.SetPresence(t.Context(), m.teamsID, presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}, 5*time.Minute))
	own := co.graph.Presence(m.teamsID)
	assert.False(t, l.echoes(newWriteBecauseOf(user, genuine)))
	assert.True(t, l.echoes(newWriteBecauseOf(user, own)))
	assert.Equal(t, genuine.Availability, l.beneath(m).Availability)

	require.NoError(t, i.teams.ClearPresence(t.Context(), m.teamsID))
	require.NoError(t, co.graph.SetClient(m.teamsID, "desktop", presence.Busy, presence.ActivityInACall))
	assert.False(t, l.echoes(newWriteBecauseOf(user, co.graph.Presence(m.teamsID))), "a call in Teams looks the same and is the person's own")
	i.http.CloseIdleConnections()
}

// TestMonitorSignsInWhileTheBridgeRuns goes the way of an account that has never
// signed in.
func TestMonitorSignsInWhileTheBridgeRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	co, _, i := newCompany(t, func(s *settings) {
		s.bridge.SessionLifetime = 10 * time.Minute
		s.teams.monitor.refreshToken, s.teams.monitor.refreshTokenFile = presence.Secret{}, file
	})
	start(t, i)
	pending := func() string {
		i.upkeep.mu.Lock()
		defer i.upkeep.mu.Unlock()
		return i.upkeep.pending.URL
	}
	require.Eventually(t, func() bool { return pending() != "" }, soon, 5*time.Millisecond)
	assert.Equal(t, stateSignIn, i.upkeep.page().State)

	visit := func(url string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	var account graphtest.User
	for _, u := range co.graph.Users() {
		if u.PrincipalName == co.settings.teams.monitor.principalName {
			account = u
		}
	}

	status, body := visit(co.settings.publicURL + pathSignIn + "?code=x&state=guessed")
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, body, "is not expected")

	// Somebody else signs in.
	before := pending()
	back, err := co.graph.SignIn(before, co.people[ada].teamsID)
	require.NoError(t, err)
	status, body = visit(back)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "ada@example.test has signed in, and the monitor is monitor@example.test")
	status, _ = visit(back)
	assert.Equal(t, http.StatusForbidden, status, "a sign-in is taken once")
	assert.NotEqual(t, before, pending())

	back, err = co.graph.SignIn(pending(), account.ID)
	require.NoError(t, err)
	status, body = visit(back)
	assert.Equal(t, http.StatusOK, status, body)
	require.Eventually(t, func() bool { return i.upkeep.page().State == monitor.ConditionSubscribed }, soon, 10*time.Millisecond)
	token, err := i.upkeep.stored()
	require.NoError(t, err)
	assert.False(t, token.IsZero())
}

func TestStatusPageAnswersThisMachineOnly(t *testing.T) {
	_, _, i := newCompany(t, func(s *settings) { s.bridge.SessionLifetime = 10 * time.Minute })
	t.Cleanup(func() {
		require.NoError(t, i.settings.listener.Close())
		require.NoError(t, i.settings.statusListener.Close())
	})
	for host, status := range map[string]int{
		"127.0.0.1:8081": 200, "localhost:8081": 200, "[::1]:8081": 200, "localhost": 200,
		"evil.example.com": 403, "evil.example.com:8081": 403, "127.0.0.1.evil.example.com:80": 403, "": 403,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.Host = host
		w := httptest.NewRecorder()
		i.status().ServeHTTP(w, request)
		assert.Equal(t, status, w.Code, host)
	}
}

func TestPublicHandlerKnowsItsPathsBehindAProxy(t *testing.T) {
	_, _, i := newCompany(t, func(s *settings) { s.bridge.SessionLifetime = 10 * time.Minute })
	t.Cleanup(func() {
		require.NoError(t, i.settings.listener.Close())
		require.NoError(t, i.settings.statusListener.Close())
	})
	i.settings.publicURL = "https://example.com/presence"
	for path, status := range map[string]int{
		"/notifications/graph?validationToken=a": 200, "/presence/notifications/graph?validationToken=a": 200,
		"/notifications/cloudlink": 400, "/presence/notifications/cloudlink": 400, "/presence/callback": 403, "/": 404, "/presence/": 404,
	} {
		w := httptest.NewRecorder()
		i.public().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		assert.Equal(t, status, w.Code, path)
	}
}

func TestAddressInUseIsAFault(t *testing.T) {
	_, _, i := newCompany(t, func(s *settings) { s.bridge.SessionLifetime = 10 * time.Minute })
	taken := i.settings.statusListener
	defer func() { require.NoError(t, taken.Close()) }()
	i.settings.statusListener, i.settings.status = nil, taken.Addr().String()
	err := i.Run(t.Context())
	require.ErrorContains(t, err, "cannot listen for the status page: ")
	require.ErrorContains(t, err, "is another bridge running? change the address")
}
