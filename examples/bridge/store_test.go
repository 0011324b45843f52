package main

import (
	"io"
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
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

// rewritten replaces parts of a configuration file.
func rewritten(t *testing.T, file string, oldnew ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		require.Contains(t, string(text), oldnew[i])
	}
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600))
}

// settles waits until both sides have been read: a request for a token would
// outlive the program, and the test, if the simulator ended before it answered.
func (p *program) settles(t *testing.T, status string) {
	t.Helper()
	require.Eventually(t, func() bool {
		page := watched(t, status)
		return page.Watcher.State == "subscribed" && page.Monitors.Users > 0 && len(page.Monitors.Monitors) == 2
	}, soon, 20*time.Millisecond, "%s", p.log)
}

// offers waits until the log has where to sign in as each of these monitors, and
// returns those lines.
func (p *program) offers(t *testing.T, of ...simulator.MonitorInfo) (lines []string) {
	t.Helper()
	for _, m := range of {
		lines = append(lines, p.eventually(t, "a presence monitor has not signed in", m.PrincipalName))
	}
	return lines
}

// TestApplicationIsChangedWhereThatIsAccepted: the configuration gets the ids and
// the client secrets of another application at once.
func TestApplicationIsChangedWhereThatIsAccepted(t *testing.T) {
	sim, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	defer sim.Close()
	info, status := sim.Info(), freeAddress(t)
	file := simulated(t, info, freeAddress(t), status)
	kept := info.Teams.Monitors[:2]
	p := startProgram(t, file)
	p.offers(t, kept...)
	p.settles(t, status)
	p.stop()

	next := sim.Graph().AddApplication(graphtest.Application{Secrets: make([]graphtest.Secret, 3)})
	for n, name := range []string{"BRIDGE_TEAMS_SECRET", "BRIDGE_MONITOR_1_SECRET", "BRIDGE_MONITOR_2_SECRET"} {
		t.Setenv(name, next.Secrets[n].Value.Reveal())
	}
	rewritten(t, file, "client_id: "+info.Teams.ClientID, "client_id: "+next.ClientID)
	var errs buffer
	assert.Equal(t, exitFailed, run(t.Context(), []string{"-config", file}, io.Discard, &errs))
	assert.Contains(t, errs.String(), "the configuration names "+info.Teams.TenantID+" and "+next.ClientID)
	assert.Contains(t, errs.String(), kept[0].PrincipalName+", "+kept[1].PrincipalName)
	assert.Contains(t, errs.String(), "accept that by accept_application: true")
	for _, asked := range []string{"is not entered", "could not be checked", "secret renewed"} {
		assert.NotContains(t, errs.String(), asked, "Entra was not asked")
	}

	rewritten(t, file, "# accept_application: true", "accept_application: true")
	p = startProgram(t, file)
	for _, line := range p.offers(t, kept...) {
		assert.Contains(t, line, "client_id="+next.ClientID)
	}
	p.settles(t, status)
	p.stop()
	assert.NotContains(t, p.log.String(), "is not entered")
}

// noted returns the keys under which the store has client secrets of the
// configuration, after adding one.
func noted(t *testing.T, file, added string) (keys []string) {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(filepath.Dir(file), "monitors.db"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	if added != "" {
		_, err = store.Put(t.Context(), added, nil, 0)
		require.NoError(t, err)
	}
	entries, err := store.List(t.Context(), "configured/")
	require.NoError(t, err)
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// TestKeyOfTheStoreIsChanged goes from one key to another, and takes nothing in
// the configuration for new because of that.
func TestKeyOfTheStoreIsChanged(t *testing.T) {
	sim, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	defer sim.Close()
	info, status := sim.Info(), freeAddress(t)
	file := simulated(t, info, freeAddress(t), status)
	kept := info.Teams.Monitors[:2]
	p := startProgram(t, file)
	p.offers(t, kept...)
	p.settles(t, status)
	p.stop()
	both := noted(t, file, "")
	require.Len(t, both, 2)
	const stranger = "configured/somebody-else"
	require.ElementsMatch(t, append([]string{stranger}, both...), noted(t, file, stranger))

	t.Setenv("BRIDGE_FORMER_STORE_KEY", storeKey)
	t.Setenv("BRIDGE_STORE_KEY", monitor.GenerateKey().Reveal())
	rewritten(t, file, "# former_store_key:", "former_store_key:")
	p = startProgram(t, file)
	p.offers(t, kept...)
	p.settles(t, status)
	require.Eventually(t, func() bool {
		page := watched(t, status)
		return len(page.Monitors.Monitors) == 2 && page.Monitors.FormerKeys == 0
	}, soon, 20*time.Millisecond, "%s", p.log)
	p.stop()
	assert.NotContains(t, p.log.String(), "secret renewed")
	assert.ElementsMatch(t, both, noted(t, file, ""), "the stranger is no monitor")

	// The former key is gone, and so is a monitor from the configuration.
	rewritten(t, file, "former_store_key:", "# former_store_key:",
		"    - principal_name: "+kept[1].PrincipalName+"\n      client_secret: {env: BRIDGE_MONITOR_2_SECRET}\n", "")
	p = startProgram(t, file)
	p.offers(t, kept...)
	p.settles(t, status)
	p.stop()
	assert.NotContains(t, p.log.String(), "secret renewed")
	assert.NotContains(t, p.log.String(), "is not entered")
	assert.ElementsMatch(t, both, noted(t, file, ""), "what is kept is noted still")
}
