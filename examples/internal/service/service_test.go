package service

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// TestMonitorSignsInWhileTheBridgeRuns goes the way of an account that has never
// signed in.
func TestMonitorSignsInWhileTheBridgeRuns(t *testing.T) {
	const people = 700
	sim, settings := simulate(t, people)
	settings.Teams.Pool.Monitors[1].ClientSecret = presence.NewSecret("not one of Entra's")
	s := assembled(t, settings, nil)
	start(t, s)
	<-s.Entered()
	account, stranger := sim.Info().Teams.Monitors[0], sim.Info().People[0]
	pending := func() string {
		address, err := s.Pool.AuthorizationURL(t.Context(), account.PrincipalName)
		require.NoError(t, err)
		return address
	}
	state := func() monitor.State {
		status, _ := s.Pool.Snapshot().Monitor(account.PrincipalName)
		return status.State
	}
	require.Len(t, s.Pool.Snapshot().Monitors, 1, "the other has a client secret that is none")
	assert.Equal(t, monitor.StateNotAuthorized, state())

	status, body := visit(t, settings.PublicURL+PathSignIn+"?code=x&state=guessed")
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "the sign-in was not begun here")

	// Somebody else signs in.
	before := pending()
	back, err := sim.Graph().SignIn(before, stranger.TeamsID)
	require.NoError(t, err)
	status, body = visit(t, back)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "another account has signed in")
	_, body = visit(t, back)
	assert.Contains(t, body, "the sign-in was used before", "each is taken once")
	assert.NotEqual(t, before, pending())
	assert.Equal(t, monitor.StateNotAuthorized, state())

	back, err = sim.Graph().SignIn(pending(), account.ID)
	require.NoError(t, err)
	status, body = visit(t, back)
	assert.Equal(t, http.StatusOK, status, body)
	require.Eventually(t, func() bool { return state() == monitor.StateSubscribed }, soon, tick)

	// One monitor is too few, and those for whom it has no room are named.
	require.Eventually(t, func() bool { return len(s.Bridge.Overflow()) == people-650 }, soon, tick)
	page := s.statusPage()
	assert.Equal(t, 650, page.Monitors.Watchable)
	assert.Equal(t, 2, page.Monitors.Needed)
	assert.Equal(t, 1, page.Monitors.Missing)
	assert.Len(t, page.Monitors.Unwatched, people-650)
	assert.Equal(t, page.Monitors.Unwatched, page.Roster.NotWatched)
	assert.Contains(t, page.Monitors.Unwatched[0], "@example.test")
}

// TestNextStartTakesWhatHasChanged runs three bridges one after the other with one
// store.
func TestNextStartTakesWhatHasChanged(t *testing.T) {
	sim, settings := simulate(t, 1)
	store := monitor.NewMemoryStore()
	monitors := settings.Teams.Pool.Monitors
	var renewed []string
	run := func(change func(*Settings)) {
		next := *settings
		next.Listener, next.StatusListener = listenAnywhere(t), listenAnywhere(t)
		next.PublicURL = "http://" + next.Listener.Addr().String()
		pool := *settings.Teams.Pool
		next.Teams.Pool = &pool
		change(&next)
		renewed = nil
		s := assembled(t, &next, &Extras{Store: store, Monitors: func(e monitor.Event) {
			if e.Kind == monitor.EventSecretRenewed {
				renewed = append(renewed, e.Monitor)
			}
		}})
		stop := start(t, s)
		begun(s)
		stop()
	}
	run(func(*Settings) {})
	entries, err := store.List(t.Context(), prefixTaken)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	run(func(*Settings) {})
	assert.Empty(t, renewed, "nothing has changed")

	run(func(s *Settings) {
		another := MonitorSettings{monitors[0].PrincipalName, presence.NewSecret(sim.Info().Teams.Monitors[2].ClientSecret)}
		s.Teams.Pool.Monitors = []MonitorSettings{another, monitors[1]}
	})
	assert.Equal(t, []string{monitors[0].PrincipalName}, renewed)
}

func TestStatusPageCountsFormerKeys(t *testing.T) {
	page, err := json.Marshal(newMonitorsPage(monitor.Snapshot{FormerKeys: 3}, nil))
	require.NoError(t, err)
	assert.Contains(t, string(page), `"formerKeys":3,`)
}

func TestStatusPageAnswersThisMachineOnly(t *testing.T) {
	_, settings := simulate(t, 1)
	s := assembled(t, settings, &Extras{Status: func(s *Service) map[string]http.Handler {
		return map[string]http.Handler{"GET /more": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, s.Settings.Bridge.Name)
		})}
	}})
	answer := func(path, host string) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		request.Host = host
		w := httptest.NewRecorder()
		s.status().ServeHTTP(w, request)
		return w
	}
	for host, status := range map[string]int{
		"127.0.0.1:8081": 200, "localhost:8081": 200, "[::1]:8081": 200, "localhost": 200,
		"evil.example.com": 403, "evil.example.com:8081": 403, "127.0.0.1.evil.example.com:80": 403, "": 403,
	} {
		assert.Equal(t, status, answer("/", host).Code, host)
		assert.Equal(t, status, answer("/more", host).Code, host)
	}
	assert.Equal(t, "test", answer("/more", "localhost").Body.String())
	assert.Contains(t, answer("/", "localhost").Body.String(), `"direction": "bidirectional"`)
	assert.Equal(t, http.StatusBadRequest, answer("/explain", "localhost").Code)
	assert.Equal(t, http.StatusNotFound, answer("/else", "localhost").Code)
}

func TestPublicHandlerKnowsItsPathsBehindAProxy(t *testing.T) {
	_, settings := simulate(t, 1)
	settings.PublicURL = "https://example.com/presence"
	s := assembled(t, settings, nil)
	for path, status := range map[string]int{
		"/notifications/graph?validationToken=a": 200, "/presence/notifications/graph?validationToken=a": 200,
		"/notifications/cloudlink": 400, "/presence/notifications/cloudlink": 400, "/presence/callback": 400, "/": 404, "/presence/": 404,
	} {
		w := httptest.NewRecorder()
		s.public().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		assert.Equal(t, status, w.Code, path)
	}
}

func TestUnusedConnectionsDoNotHoldUpTheStop(t *testing.T) {
	_, settings := simulate(t, 1)
	address := settings.Listener.Addr().String()
	s := assembled(t, settings, nil)
	stop := start(t, s)
	connection, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	status, _ := visit(t, "http://"+address+"/")
	require.Equal(t, http.StatusNotFound, status)
	begun(s)
	stop()
}

func TestAddressInUseIsAFault(t *testing.T) {
	_, settings := simulate(t, 1)
	settings.StatusListener, settings.Status = nil, settings.StatusListener.Addr().String()
	err := assembled(t, settings, nil).Run(t.Context())
	require.ErrorContains(t, err, "cannot listen for the status page: ")
	require.ErrorContains(t, err, "is another bridge running? change the address")
}

// TestServiceHasWhatItsSettingsAskFor: what a program asks directly is what the
// bridge itself uses, and nil where there is none.
func TestServiceHasWhatItsSettingsAskFor(t *testing.T) {
	_, settings := simulate(t, 1)
	var wrapped *graph.Client
	s := assembled(t, settings, &Extras{Teams: func(c *graph.Client) presencebridge.Teams {
		wrapped = c
		return c
	}})
	assert.Same(t, settings, s.Settings)
	assert.Same(t, s.Teams, wrapped)
	for name, part := range map[string]any{
		"HTTP": s.HTTP, "Bridge": s.Bridge, "Credential": s.Credential, "Budgets": s.Budgets, "CloudLink": s.CloudLink, "MiCollab": s.MiCollab,
		"Notifications": s.Notifications, "Webhook": s.Webhook, "Watcher": s.Watcher, "Pool": s.Pool,
	} {
		assert.NotNil(t, part, name)
	}
	select {
	case <-s.Entered():
		assert.Fail(t, "no monitor was entered yet")
	default:
	}

	settings.PublicURL, settings.MiCollab, settings.Bridge.Direction = "", nil, presencebridge.OneWay
	s = assembled(t, settings, nil)
	assert.Nil(t, s.MiCollab)
	assert.Nil(t, s.Watcher)
	assert.Nil(t, s.Pool)
	<-s.Entered()

	settings.Teams.Secret, settings.CloudLink.Secret = presence.Secret{}, presence.Secret{}
	_, err := Assemble(settings, nil)
	require.Len(t, Unjoin(err), 2, "both sides at once: %v", err)
	assert.True(t, strings.HasPrefix(err.Error(), "graph: "), err)
	assert.False(t, strings.HasPrefix(Plain(err), "graph: "), err)
}
