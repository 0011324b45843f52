package presencebridge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestDirectionChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(nil)
		for _, id := range []string{"ada", "bob"} {
			w.client(id, presence.Away, presence.ActivityAway)
		}
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAvailable, w.status("ada"), "one-way leaves MiCollab alone")
		require.NoError(t, w.bridge.SetUserDirection("bob", OneWay))
		require.NoError(t, w.bridge.SetDirection(Bidirectional))
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.Equal(t, presence.StatusAvailable, w.status("bob"), "the user narrows the account")
		w.bridge.ResetUserDirection("bob")
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAway, w.status("bob"))

		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		require.Equal(t, inACall, w.session("ada"))
		require.NoError(t, w.bridge.SetDirection(Off))
		time.Sleep(time.Second)
		assert.Zero(t, w.session("ada"), "switching off clears the bridge's session")
		w.client("bob", presence.Busy, presence.ActivityBusy)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAway, w.status("bob"))
		require.Error(t, w.bridge.SetDirection(Direction(9)))
		require.NoError(t, stop())
	})
}

func TestDryRunReportsAndWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional, DryRun: true})
		w.line("ada", presence.LineConnected, false)
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(30 * time.Minute)
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		assert.Zero(t, w.count("set")+w.count("clear")+w.count("set-status"))
		assert.Equal(t, []string{"set Busy/InACall", "clear Busy/InACall"}, w.written(DestinationTeams), "each reported once, and no renewals")
		assert.Equal(t, []string{"set Away"}, w.written(DestinationMiCollab))
		for _, x := range w.writes {
			assert.True(t, x.DryRun)
		}
		require.NoError(t, stop())
	})
}

func TestUserWhoLeavesTheRosterLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		require.Equal(t, inACall, w.session("ada"))
		w.mu.Lock()
		w.roster = presence.Roster{Users: w.roster.Users[1:], Excluded: []presence.Exclusion{{
			Side: presence.SideCloudLink, ID: "p-ada", Email: "ada@example.com", Reason: presence.ReasonUnmatched, Detail: "no account has the address",
		}}}
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(time.Second)
		assert.Zero(t, w.session("ada"))
		_, err := w.bridge.Explain("ada@example.com")
		require.ErrorIs(t, err, ErrUnknownUser)
		assert.ErrorContains(t, err, "unmatched", "the error says why")
		require.Len(t, w.changes, 2)
		assert.Equal(t, []string{"ada"}, w.changes[1].Removed)
		require.NoError(t, stop())
	})
}

func TestLimitedUserIsLeftAloneWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.roster.Limited = []presence.Limitation{{User: w.roster.Users[0], Direction: presence.TeamsToMiCollab, Reason: presence.ReasonUnsupportedPBX}}
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.Away, presence.ActivityAway)
		w.line("ada", presence.LineIdle, true)
		time.Sleep(time.Second)
		assert.Empty(t, w.written(DestinationMiCollab))
		assert.Equal(t, presenting, w.session("ada"), "the other direction works")
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockUnsupportedPBX, e.StatusBlock)
		assert.NotEmpty(t, e.StatusSentence)
		require.NoError(t, stop())
	})
}

func TestSyncAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd", "dan")
		w.notify = func(string, string) {} // every notification is lost
		stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 10 * time.Hour, DirectionOf: func(u presence.User) Direction {
			if u.TeamsID == "dan" {
				return OneWay
			}
			return Bidirectional
		}})
		w.client("ada", presence.Away, presence.ActivityAway)
		w.setStatus("bob", "Gone fishing")
		w.setFault(func(operation, id string, _ bool) error {
			if operation == "status" && id == "cyd" {
				return presence.ErrForbidden
			}
			return nil
		})
		var seen, read []int
		report, err := w.bridge.SyncAll(t.Context(), func(r SyncReport) {
			seen, read = append(seen, r.Read+r.Done), append(read, r.Read)
		})
		require.NoError(t, err)
		assert.Equal(t, 3, report.Total)
		assert.Equal(t, 3, report.Done)
		assert.Equal(t, 1, report.Skipped)
		assert.Equal(t, 3, report.Read, "the presence of cyd could be read, if not the status")
		assert.Contains(t, read, 3)
		assert.Equal(t, 2, report.Changed)
		assert.Contains(t, report.Failed, "cyd")
		assert.IsIncreasing(t, seen)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.Equal(t, presence.StatusAvailable, w.status("bob"))

		w.setFault(nil)
		report, err = w.bridge.SyncAll(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, 3, report.AlreadyRight)

		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "status" {
				return throttled{time.Hour}
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = w.bridge.SyncAll(ctx, nil)
		_ = err // throttled users count as failed; either outcome ends in time
		require.NoError(t, stop())
		_, err = w.bridge.SyncAll(t.Context(), nil)
		require.ErrorIs(t, err, ErrStopped)
	})
}

// TestSyncAllIsAWish: whoever ends it does not wait any longer, and the bridge goes on.
func TestSyncAllIsAWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		w.notify = func(string, string) {} // every notification is lost
		stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 10 * time.Hour, UnwatchedInterval: 10 * time.Hour})
		w.client("ada", presence.Away, presence.ActivityAway)
		w.client("bob", presence.Away, presence.ActivityAway)
		w.setFault(func(string, string, bool) error {
			time.Sleep(time.Second)
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		report, err := w.bridge.SyncAll(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, report.Done)
		assert.Equal(t, presence.StatusAvailable, w.status("ada"))
		time.Sleep(time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.Equal(t, presence.StatusAway, w.status("bob"))
		require.NoError(t, stop())
	})
}

type recordingWatcher struct {
	users  [][]string
	room   int
	missed []string
}

func TestWatcherIsToldWhomToWatchAndWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		lost := true
		w.notify = func(id, side string) {
			if !lost {
				w.deliver(id, side)
			}
		}
		watcher := &recordingWatcher{room: 2}
		stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: time.Minute})
		w.bridge.Watch(watcher)
		assert.Equal(t, []string{"ada", "bob", "cyd"}, watcher.users[len(watcher.users)-1])
		assert.Equal(t, []string{"cyd"}, w.bridge.Overflow())
		w.client("ada", presence.Away, presence.ActivityAway)
		w.client("cyd", presence.Away, presence.ActivityAway)
		time.Sleep(5 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("cyd"), "without a monitor the regular reading keeps in step")
		assert.Equal(t, []string{"ada"}, watcher.missed, "nobody promised notifications for cyd")
		lost = false
		w.client("ada", presence.Busy, presence.ActivityBusy)
		time.Sleep(5 * time.Minute)
		assert.Equal(t, []string{"ada"}, watcher.missed)
		require.NoError(t, stop())
	})
}

func TestBridgesShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w1, w2 := newWorld(t, "ada"), newWorld(t, "ada")
		stop1, stop2 := w1.start(nil), w2.start(nil)
		w1.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w1.session("ada"))
		assert.Zero(t, w2.session("ada"))
		require.NoError(t, stop1())
		require.NoError(t, stop2())
		require.ErrorIs(t, w1.bridge.Run(t.Context()), ErrRunning)
	})
}

func TestNewReturnsAllFaultsAtOnce(t *testing.T) {
	_, err := New(Sides{}, &Options{Direction: 7, SessionLifetime: -1, Workers: -1, Damping: Damping{Changes: 99}})
	require.Error(t, err)
	for _, part := range []string{"Directory", "Teams", "Phones", "Direction(7)", "SessionLifetime", "Workers", "Damping.Changes"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = New(Sides{Directory: &world{}, Teams: &world{}, Phones: &world{}}, &Options{Direction: Bidirectional})
	assert.ErrorContains(t, err, "Statuses")
}

func TestDirectoryFaultIsTriedAgainAndShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.fault = func(operation, _ string, _ bool) error {
			if operation == "roster" {
				return presence.ErrUnauthorized
			}
			return nil
		}
		stop := w.startNow(nil)
		assert.Equal(t, StateFailing, w.bridge.Health()[0].State)
		w.setFault(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, StateHealthy, w.bridge.Health()[0].State)
		assert.Len(t, w.bridge.Roster().Users, 1)
		require.NoError(t, stop())
	})
}

func TestDirectoryThatSuddenlyListsNobodyIsNotBelievedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		full := w.roster
		w.mu.Lock()
		w.roster = presence.Roster{}
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(10 * time.Minute)
		assert.Equal(t, inACall, w.session("ada"), "nobody is dropped for one odd answer")
		h := w.bridge.Health()[0]
		assert.Equal(t, StateFailing, h.State)
		require.ErrorIs(t, h.Err, ErrEmptyRoster)

		w.mu.Lock()
		w.roster = full
		w.mu.Unlock()
		time.Sleep(3 * time.Minute)
		assert.Equal(t, StateHealthy, w.bridge.Health()[0].State)

		w.mu.Lock()
		w.roster = presence.Roster{}
		w.mu.Unlock()
		time.Sleep(2*w.bridge.opts.DirectoryInterval + w.bridge.opts.MaxBackoff + time.Minute)
		assert.Empty(t, w.bridge.Roster().Users, "a directory that keeps saying so is believed")
		assert.Zero(t, w.session("ada"))
		require.NoError(t, stop())
	})
}
