package entra_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
)

// TestAWeekOfUpkeepWithoutAGap: 154 monitors watch 100,000 users, over the real
// wire, from the first sign-in on. In the middle of the week the process is
// replaced by another. With -short it is a day, and under the race detector a day
// of a tenth of the users.
func TestAWeekOfUpkeepWithoutAGap(t *testing.T) {
	// Access tokens of an hour would be a hundred thousand RSA signatures in a week,
	// most of the test's time. A day has them.
	users, week, tokens := 100_000, 7*24*time.Hour, 24*time.Hour
	if testing.Short() || slowedDown {
		week, tokens = 24*time.Hour, time.Hour
	}
	if slowedDown {
		users /= 10
	}
	// What lives is large and stays: looking for garbage at the usual pace would
	// cost a good part of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	inTenantThat(t, graphtest.Assumptions{AccessTokenLifetime: tokens}, func(w *tenant) {
		s := newService(w)
		ids := s.people(users)
		monitors := monitor.MonitorsNeeded(users, 0)
		assert.Equal(w, (users+649)/650, monitors)

		p := s.start(quiet, nil)
		for i := range monitors {
			p.hire(fmt.Sprintf("watcher%03d", i))
		}
		assert.Empty(w, p.SetUsers(ids), "there is room for all")
		time.Sleep(5 * time.Minute)
		watched := newCoverage(s, ids)
		require.Len(w, watched.last, monitors)
		started := s.traffic.sent()
		assert.Equal(w, map[string]int{
			tokenOfApplication: 2 * monitors, tokenOfCode: monitors, tokenOfRefreshToken: monitors,
			readAccount: 2 * monitors, readApplication: 2 * monitors, createSubscription: monitors,
		}, started, "adding looks at the account, and so does signing in")
		assertHealthy(p, users, monitors)

		began := time.Now()
		watched.pass(p, week/2)
		p.stop()
		assert.Zero(w, p.events.count(monitor.EventFailed), "%v", p.events.of(monitor.EventFailed))

		// Nobody listens for three minutes. What changes now is read by the next
		// process.
		away := ids[users/3]
		s.shows(away, true)
		time.Sleep(3 * time.Minute)
		p = s.start(quiet, nil)
		p.SetUsers(ids)
		time.Sleep(5 * time.Minute)
		assert.Equal(w, monitors, p.events.count(monitor.EventAdopted))
		assert.Equal(w, 1, p.sink.gap(away))
		assert.Len(w, p.sink.gaps, users, "all are read")
		watched.check()

		watched.pass(p, week-time.Since(began))
		assertHealthy(p, users, monitors)
		assert.Zero(w, p.events.count(monitor.EventFailed), "%v", p.events.of(monitor.EventFailed))
		p.stop()

		sent := s.traffic.sent()
		assert.Equal(w, monitors, sent[createSubscription], "every subscription is the first of its monitor")
		assert.Zero(w, sent[listSubscriptions])
		assert.Zero(w, sent[deleteSubscription])
		assert.Equal(w, monitors, sent[tokenOfCode], "nobody had to sign in again")
		assert.Zero(w, s.traffic.usedTwice(), "every refresh began with the token that the one before had brought")
		for _, usage := range s.Usage() {
			assert.LessOrEqual(w, usage.WorstWindow, usage.Limit, "%s", usage.Name)
			t.Logf("%-20s %8d in all, at most %5d of %6d in %s", usage.Name, usage.Count, usage.WorstWindow, usage.Limit, usage.Window)
		}
		for _, kind := range slices.Sorted(keys(sent)) {
			t.Logf("%8d %s (%d of them to start)", sent[kind], kind, started[kind])
		}
	})
}

// quiet makes the pool look at its leases, its store and the directory less often
// than by default: a lease of 30 seconds, prolonged six times a minute for each
// monitor, would be ten million steps in a week and show nothing else.
func quiet(o *monitor.PoolOptions) {
	o.LeaseTime, o.PollInterval, o.CheckInterval = 15*time.Minute, 6*time.Hour, 24*time.Hour
}

func assertHealthy(p *process, users, monitors int) {
	t := p.service.tenant
	t.Helper()
	snapshot := p.Snapshot()
	assert.Equal(t, users, snapshot.Subscribed)
	assert.Empty(t, snapshot.Unwatched)
	assert.Empty(t, p.sink.unwatched())
	assert.Zero(t, snapshot.Missing)
	require.Len(t, snapshot.Monitors, monitors)
	for _, m := range snapshot.Monitors {
		assert.Equal(t, monitor.StateSubscribed, m.State, "%s: %s", m.PrincipalName, m.Sentence)
	}
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
