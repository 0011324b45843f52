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
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/presence"
)

// soon is how long anything may take to become true.
const soon = 20 * time.Second

// storeKey is a key as openssl writes it.
const storeKey = "3q2+7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc="

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
		{"principal_name: presence.monitor.1@example.com", "principal_name: " + info.Teams.Monitors[0].PrincipalName},
		{"principal_name: presence.monitor.2@example.com", "principal_name: " + info.Teams.Monitors[1].PrincipalName},
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
	t.Setenv("BRIDGE_MONITOR_1_SECRET", info.Teams.Monitors[0].ClientSecret)
	t.Setenv("BRIDGE_MONITOR_2_SECRET", info.Teams.Monitors[1].ClientSecret)
	t.Setenv("BRIDGE_STORE_KEY", storeKey)
	t.Setenv("BRIDGE_CLOUDLINK_SECRET", info.CloudLink.ClientSecret)
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// program is the program with a configuration file, while it runs.
type program struct {
	log  *buffer
	stop func()
}

func startProgram(t *testing.T, file string) *program {
	t.Helper()
	ctx, interrupt := withCancel(t)
	p := &program{log: new(buffer)}
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"-config", file}, io.Discard, p.log) }()
	p.stop = sync.OnceFunc(func() {
		interrupt()
		assert.Zero(t, <-code, p.log.String())
	})
	t.Cleanup(p.stop)
	return p
}

// eventually waits until the log has a line with each of these.
func (p *program) eventually(t *testing.T, parts ...string) (line string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for l := range strings.Lines(p.log.String()) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(l, part) }) {
				line = l
				return true
			}
		}
		return false
	}, soon, 10*time.Millisecond, "%q: %s", parts, p.log)
	return line
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

var loggedURL = regexp.MustCompile(`url="([^"]+)"`)

func TestSampleWithoutVariablesNamesEachOfThem(t *testing.T) {
	names := []string{"BRIDGE_TEAMS_SECRET", "BRIDGE_MONITOR_1_SECRET", "BRIDGE_MONITOR_2_SECRET", "BRIDGE_STORE_KEY", "BRIDGE_CLOUDLINK_SECRET"}
	for _, name := range names {
		t.Setenv(name, "")
	}
	var out, errs buffer
	assert.Equal(t, exitUsage, run(t.Context(), []string{"-config", "bridge.sample.yaml", "-check"}, &out, &errs))
	for _, name := range names {
		assert.Contains(t, errs.String(), "environment variable "+name+" is empty: set it or use file")
		t.Setenv(name, storeKey)
	}
	assert.Zero(t, run(t.Context(), []string{"-config", "bridge.sample.yaml", "-check"}, &out, &errs))
	assert.Equal(t, "bridge.sample.yaml is in order: bidirectional, notifications of both sides\n", out.String())
	assert.NoFileExists(t, "monitors.db", "a check makes no store")
}

// TestSampleAgainstTheSimulator runs the program with the sample configuration,
// the simulator in the place of the vendors, and its authority trusted.
func TestSampleAgainstTheSimulator(t *testing.T) {
	sim, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	defer sim.Close()
	info, status := sim.Info(), freeAddress(t)
	file := simulated(t, info, freeAddress(t), status)
	store := filepath.Join(filepath.Dir(file), "monitors.db")
	person := info.People[0]
	require.NotEmpty(t, person.TeamsID)
	require.NotEmpty(t, person.Extension)

	// Somebody signs in as each monitor, at the URL that the log has.
	p := startProgram(t, file)
	for _, m := range info.Teams.Monitors[:2] {
		line := p.eventually(t, "a presence monitor has not signed in", m.PrincipalName)
		back, err := sim.Graph().SignIn(loggedURL.FindStringSubmatch(line)[1], m.ID)
		require.NoError(t, err)
		code, body := visit(t, back)
		require.Equal(t, http.StatusOK, code, body)
	}
	require.Eventually(t, func() bool { return watched(t, status).everybody(2) }, soon, 20*time.Millisecond, "%s", p.log)

	// The telephone's state appears in Teams, and goes again.
	control(t, info, "/phone", `{"endpoint": "`+person.Extension+`", "state": "connected"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).teams == "Busy/InACall" }, soon, 20*time.Millisecond)
	assert.NotEqual(t, "In a call", stateOf(t, info, person).micollab, "the bridge's own session goes no further")
	control(t, info, "/phone", `{"endpoint": "`+person.Extension+`", "state": "idle"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).teams != "Busy/InACall" }, soon, 20*time.Millisecond)

	// The Teams presence appears in MiCollab.
	control(t, info, "/teams", `{"user": "`+person.Email+`", "availability": "DoNotDisturb"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).micollab == "Do not disturb" }, soon, 20*time.Millisecond)
	subscriptions := subscriptionIDs(sim)
	p.stop()

	// What the store has is for this account alone, and sealed.
	kept, err := os.ReadFile(store)
	require.NoError(t, err)
	for _, secret := range []string{info.Teams.ClientSecret, info.Teams.Monitors[0].ClientSecret, info.Teams.Monitors[1].ClientSecret, info.CloudLink.ClientSecret, storeKey} {
		assert.NotContains(t, string(kept), secret)
		assert.NotContains(t, p.log.String(), secret)
	}
	stored, err := os.Stat(store)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, stored.Mode().Perm())

	// The next start goes on with the subscriptions that there are.
	p = startProgram(t, file)
	require.Eventually(t, func() bool { return watched(t, status).everybody(2) }, soon, 20*time.Millisecond, "%s", p.log)
	assert.Equal(t, subscriptions, subscriptionIDs(sim))
	assert.NotContains(t, p.log.String(), "has not signed in")
	assert.NotContains(t, p.log.String(), "secret renewed", "nothing has changed in the configuration")
	p.stop()

	// Another client secret for the first, a faulty one for a third, none any more
	// for the second, and encrypted notifications from now on.
	renewed, err := sim.Graph().AddSecret(info.Teams.ClientID, graphtest.Secret{})
	require.NoError(t, err)
	t.Setenv("BRIDGE_MONITOR_1_SECRET", renewed.Value.Reveal())
	t.Setenv("BRIDGE_MONITOR_2_SECRET", "a Secret ID, perhaps")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	changed := strings.NewReplacer("encrypted_notifications: false", "encrypted_notifications: true",
		info.Teams.Monitors[1].PrincipalName, info.Teams.Monitors[2].PrincipalName).Replace(string(text))
	require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
	p = startProgram(t, file)
	p.eventually(t, "secret renewed", info.Teams.Monitors[0].PrincipalName)
	p.eventually(t, "level=ERROR", "is not entered as it stands there", info.Teams.Monitors[2].PrincipalName, "Secret ID")
	p.eventually(t, "is in the store and not in the configuration", info.Teams.Monitors[1].PrincipalName)
	require.Eventually(t, func() bool {
		page := watched(t, status)
		return page.everybody(2) && !slices.ContainsFunc(page.Monitors.Monitors, func(m watchedMonitor) bool { return m.Subscribed > 0 && !m.Encrypted })
	}, soon, 20*time.Millisecond, "%s", p.log)
	before := watched(t, status).Teams.Delivered
	control(t, info, "/teams", `{"user": "`+person.Email+`", "availability": "BeRightBack"}`)
	require.Eventually(t, func() bool { return stateOf(t, info, person).micollab == "Be right back" }, soon, 20*time.Millisecond)
	assert.Greater(t, watched(t, status).Teams.Delivered, before, "a notification told it: %s", p.log)
	p.stop()
	assert.Equal(t, 1, strings.Count(p.log.String(), "is not entered"), "what Entra has refused is not tried again and again")

	// The wrong key is a clear error, and changes nothing.
	t.Setenv("BRIDGE_STORE_KEY", monitor.GenerateKey().Reveal())
	var errs buffer
	assert.Equal(t, exitFailed, run(t.Context(), []string{"-config", file}, io.Discard, &errs))
	assert.Contains(t, errs.String(), "give the key with which the store was written")
}

func TestStoreInUseIsAFault(t *testing.T) {
	sim, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	defer sim.Close()
	file := simulated(t, sim.Info(), freeAddress(t), freeAddress(t))
	store, err := boltstore.Open(filepath.Join(filepath.Dir(file), "monitors.db"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	var errs buffer
	assert.Equal(t, exitFailed, run(t.Context(), []string{"-config", file}, io.Discard, &errs))
	assert.Contains(t, errs.String(), "bridge.yaml: teams.store: ")
	assert.Contains(t, errs.String(), "another process, or another part of this one, has the file open")
}

func subscriptionIDs(sim *simulator.Simulator) []string {
	var ids []string
	for _, s := range sim.Graph().Subscriptions() {
		ids = append(ids, s.ID)
	}
	return ids
}

// watchedPage is the part of the status page about notifications.
type watchedPage struct {
	Monitors struct {
		Users      int
		Subscribed int `json:"usersSubscribed"`
		FormerKeys int
		Monitors   []watchedMonitor
	}
	Watcher struct{ State string }
	Teams   struct{ Delivered uint64 } `json:"teamsNotifications"`
}

type watchedMonitor struct {
	State      monitor.State
	Subscribed int
	Encrypted  bool
}

// watched reads the status page, which is not there from the beginning.
func watched(t *testing.T, status string) (p watchedPage) {
	if c, err := net.DialTimeout("tcp", status, time.Second); err != nil {
		return p
	} else if err := c.Close(); err != nil {
		return p
	}
	getJSON(t, "http://"+status+"/", http.StatusOK, &p)
	return p
}

// everybody reports whether so many monitors work, and both sides notify of
// everybody.
func (p watchedPage) everybody(monitors int) bool {
	for _, m := range p.Monitors.Monitors {
		if m.State.Usable() {
			monitors--
		}
	}
	return monitors == 0 && p.Watcher.State == "subscribed" && p.Monitors.Users > 0 && p.Monitors.Subscribed == p.Monitors.Users
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
func newCompany(t *testing.T, change func(*service.Settings)) (*company, *ledger, *service.Service) {
	t.Helper()
	c := newClock(time.Hour)
	co, err := found(c)
	require.NoError(t, err)
	t.Cleanup(co.close)
	change(co.settings)
	l := newLedger(co, c, newPrinter(io.Discard, false))
	s, err := service.Assemble(co.settings, &service.Extras{Hooks: l.hooks()})
	require.NoError(t, err)
	return co, l, s
}

// start runs a bridge until the test ends.
func start(t *testing.T, s *service.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func TestVerdictNamesWhoDiffersAndWhy(t *testing.T) {
	co, l, s := newCompany(t, func(s *service.Settings) {
		s.Bridge.SessionLifetime = 10 * time.Minute
		s.Bridge.DryRun = true
	})
	start(t, s)
	require.NoError(t, newOffice(l, s.Pool).signInAll(t.Context(), s))
	require.NoError(t, ready(t.Context(), s))
	assert.True(t, l.sum(s.Bridge).good())

	co.cloudlink.SetLine(co.people[ada].extension, presence.LineConnected)
	require.NoError(t, co.graph.SetClient(co.people[emmy].teamsID, "desktop", presence.BeRightBack, ""))
	sum := l.sum(s.Bridge)
	assert.False(t, sum.good())
	require.Len(t, sum.differences, 2)
	assert.Equal(t, "Ada Byron", sum.differences[0].Person)
	assert.Contains(t, sum.differences[0].Note, "the phone is connected, so the session in Teams should be Busy/InACall and is none. Ada Byron <ada@example.test>: account bidirectional")
	assert.Equal(t, "Emmy Noether", sum.differences[1].Person)
	assert.Contains(t, sum.differences[1].Note, `Teams is BeRightBack/BeRightBack, so MiCollab should show "Be right back" and shows "Offline"`)
	assert.Equal(t, 2, sum.Changes)
	assert.Contains(t, sum.String(), "users=1511 changes=2 ")
	assert.Contains(t, sum.String(), " agree=false")

	var out bytes.Buffer
	sum.report(newPrinter(&out, false))
	assert.Contains(t, out.String(), "The sides do not agree:\n  Ada Byron    the phone is connected")

	// A write that the doubles received and nobody reports is a fault, too.
	co.cloudlink.SetLine(co.people[ada].extension, presence.LineIdle)
	require.NoError(t, co.graph.SetClient(co.people[emmy].teamsID, "desktop", "", ""))
	require.NoError(t, s.Teams.SetPresence(t.Context(), co.people[otto].teamsID, presence.Sessions()[1], 5*time.Minute))
	require.NoError(t, s.Teams.ClearPresence(t.Context(), co.people[otto].teamsID))
	sum = l.sum(s.Bridge)
	assert.True(t, sum.Agree)
	assert.False(t, sum.good())
	assert.Contains(t, sum.miscounts, "the bridge reports 0 writes to Teams and the double received 2")
}

func TestEchoIsCountedByWhoseDoingTheCauseWas(t *testing.T) {
	co, l, s := newCompany(t, func(s *service.Settings) { s.Bridge.SessionLifetime = 10 * time.Minute })
	t.Cleanup(func() {
		require.NoError(t, co.settings.Listener.Close())
		require.NoError(t, co.settings.StatusListener.Close())
	})
	m := co.people[ada]
	user := presence.User{TeamsID: m.teamsID, Endpoints: []string{m.extension}}
	require.NoError(t, co.graph.SetClient(m.teamsID, "desktop", presence.Available, ""))
	genuine := co.graph.Presence(m.teamsID)
	require.NoError(t, s.Teams.SetPresence(t.Context(), m.teamsID, presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}, 5*time.Minute))
	own := co.graph.Presence(m.teamsID)
	assert.False(t, l.echoes(newWriteBecauseOf(user, genuine)))
	assert.True(t, l.echoes(newWriteBecauseOf(user, own)))
	assert.Equal(t, genuine.Availability, l.beneath(m).Availability)

	require.NoError(t, s.Teams.ClearPresence(t.Context(), m.teamsID))
	require.NoError(t, co.graph.SetClient(m.teamsID, "desktop", presence.Busy, presence.ActivityInACall))
	assert.False(t, l.echoes(newWriteBecauseOf(user, co.graph.Presence(m.teamsID))), "a call in Teams looks the same and is the person's own")
	s.HTTP.CloseIdleConnections()
}
