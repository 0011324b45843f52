package presencebridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestCallShowsInTeamsAndIsClearedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineHeld, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("ada"), "a held call is still a call")
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		assert.Equal(t, "Available/Available", w.teams("ada"))
		assert.Equal(t, []string{"set Busy/InACall", "clear Busy/InACall"}, w.written(DestinationTeams))
		assert.Empty(t, w.written(DestinationMiCollab), "the bridge's own session is not brought to MiCollab")
		require.NoError(t, stop())
	})
}

func TestTeamsPresenceShowsInMiCollab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.DoNotDisturb, presence.ActivityPresenting)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusPresenting, w.status("ada"))
		w.client("ada", presence.Busy, presence.ActivityInAMeeting)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusInAMeeting, w.status("ada"))
		assert.Empty(t, w.written(DestinationTeams))
		require.Len(t, w.writes, 2)
		assert.Equal(t, TriggerNotification, w.writes[0].Cause.Trigger)
		assert.Equal(t, presence.ActivityPresenting, w.writes[0].Cause.Presence.Activity)
		assert.Contains(t, w.writes[0].Rule, "DoNotDisturb/Presenting")
		require.NoError(t, stop())
	})
}

func TestLongCallOutlivesManySessionLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{SessionLifetime: 5 * time.Minute})
		w.line("ada", presence.LineConnected, false)
		for range 3 * 60 * 4 {
			time.Sleep(15 * time.Second)
			require.Equal(t, inACall, w.session("ada"), "the session must not lapse during the call")
		}
		// Three hours at one request per two thirds of five minutes.
		assert.InDelta(t, 54, w.count("set"), 2)
		require.NoError(t, stop())
		assert.Equal(t, "Available/Available", w.teams("ada"), "an orderly stop clears the session")
	})
}

func TestKeptSessionLapsesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{KeepSessionsOnStop: true})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		assert.Equal(t, inACall, w.session("ada"))
		time.Sleep(10 * time.Minute)
		assert.Zero(t, w.session("ada"))
	})
}

func TestRestartClearsWhatAnEarlierRunLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.people["ada"].session, w.people["ada"].lapse = inACall, time.Now().Add(4*time.Hour)
		stop := w.startNow(&Options{Direction: Bidirectional})
		time.Sleep(20 * time.Second)
		assert.Zero(t, w.session("ada"), "the phone is idle: the left-over session must go")
		assert.Empty(t, w.written(DestinationMiCollab), "the left-over session must not reach MiCollab")
		require.NoError(t, stop())
	})
}

func TestRestartDuringACallDoesNotEchoIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.people["ada"].session, w.people["ada"].lapse = inACall, time.Now().Add(4*time.Hour)
		w.line("ada", presence.LineConnected, false)
		stop := w.startNow(&Options{Direction: Bidirectional})
		time.Sleep(time.Minute)
		assert.Equal(t, inACall, w.session("ada"))
		assert.Empty(t, w.written(DestinationMiCollab))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Minute)
		assert.Zero(t, w.session("ada"))
		assert.Empty(t, w.written(DestinationMiCollab))
		require.NoError(t, stop())
	})
}

func TestUnknownNeverWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for _, a := range []presence.Availability{presence.AvailabilityUnknown, "InOrbit", ""} {
			w.client("ada", a, "Floating")
			time.Sleep(time.Minute)
		}
		w.line("ada", "teleporting", false)
		time.Sleep(time.Minute)
		w.line("ada", presence.LineUnknown, false)
		time.Sleep(time.Minute)
		assert.Empty(t, w.writes)
		e, err := w.bridge.Explain("ada@example.com")
		require.NoError(t, err)
		assert.Equal(t, BlockTeamsUnknown, e.StatusBlock)
		assert.Equal(t, BlockLineUnknown, e.TeamsBlock)
		require.NoError(t, stop())
	})
}

func TestOutOfServiceLeavesTheSessionToLapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{SessionLifetime: 6 * time.Minute})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.line("ada", presence.LineOutOfService, false)
		time.Sleep(5 * time.Minute)
		assert.Equal(t, inACall, w.session("ada"), "left as it is")
		time.Sleep(2 * time.Minute)
		assert.Zero(t, w.session("ada"), "and not renewed")
		assert.Equal(t, []string{"set Busy/InACall"}, w.written(DestinationTeams))
		require.NoError(t, stop())
	})
}

func TestOwnSessionIsNoEchoHoweverTeamsReportsIt(t *testing.T) {
	for name, reported := range map[string]presence.Presence{
		"Busy":     {Availability: presence.Busy, Activity: presence.ActivityBusy},
		"BusyIdle": {Availability: presence.BusyIdle, Activity: presence.ActivityInACall},
		"exactly":  {Availability: presence.Busy, Activity: presence.ActivityInACall},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada")
				w.reportAs = func(presence.Session) presence.Presence { return reported }
				w.staleFor = 6 * time.Second
				stop := w.start(&Options{Direction: Bidirectional})
				w.line("ada", presence.LineConnected, false)
				for range 3 {
					time.Sleep(8 * time.Second)
					w.deliver("ada", "teams") // late, and again
				}
				w.line("ada", presence.LineIdle, false)
				for range 20 {
					time.Sleep(time.Second)
					w.deliver("ada", "teams")
				}
				assert.Empty(t, w.written(DestinationMiCollab))
				assert.Equal(t, "Available/Available", w.teams("ada"))
				require.NoError(t, stop())
			})
		})
	}
}

func TestWhatThePersonDoesDuringACallReachesMiCollab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.client("ada", presence.DoNotDisturb, presence.ActivityDoNotDisturb)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusDoNotDisturb, w.status("ada"))
		w.client("ada", presence.Busy, presence.ActivityInAMeeting)
		time.Sleep(time.Second)
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockEchoWindow, e.StatusBlock, "it may still be our own session that shows")
		time.Sleep(20 * time.Second)
		assert.Equal(t, presence.StatusInAMeeting, w.status("ada"), "read again when the echo has died away")
		require.NoError(t, stop())
	})
}

func TestFailedWriteIsTriedAgainWithTheNewestWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set-status" && !after {
				return presence.ErrInvalid
			}
			return nil
		})
		w.client("ada", presence.Busy, presence.ActivityBusy)
		time.Sleep(500 * time.Millisecond)
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(10 * time.Second)
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockBackoff, e.StatusBlock)
		require.Len(t, e.Failures, 1)
		w.setFault(nil)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		written := w.written(DestinationMiCollab)
		assert.Equal(t, "set Away", written[len(written)-1])
		require.NoError(t, stop())
	})
}

func TestWriteWhoseAnswerWasLostIsStillCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set" && after {
				return errors.New("connection reset by peer")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Minute)
		assert.Zero(t, w.session("ada"))
		assert.Empty(t, w.written(DestinationMiCollab), "and is no echo either")
		require.NoError(t, stop())
	})
}

type throttled struct{ wait time.Duration }

func (throttled) Error() string               { return "throttled" }
func (throttled) Is(target error) bool        { return target == presence.ErrThrottled }
func (e throttled) RetryAfter() time.Duration { return e.wait }

func TestRetryAfterPausesTheWholeConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		stop := w.start(&Options{Workers: 1})
		w.setFault(func(operation, id string, _ bool) error {
			if operation == "set" && id == "ada" {
				return throttled{2128 * time.Millisecond}
			}
			return nil
		})
		began := time.Now()
		w.line("ada", presence.LineConnected, false)
		time.Sleep(100 * time.Millisecond)
		w.setFault(nil)
		w.line("bob", presence.LineConnected, false)
		w.line("cyd", presence.LineConnected, false)
		time.Sleep(1900 * time.Millisecond)
		assert.Equal(t, 1, w.count("set"), "nothing may be sent before the time the service asked for")
		time.Sleep(time.Until(began.Add(3 * time.Second)))
		for _, id := range []string{"ada", "bob", "cyd"} {
			assert.Equal(t, inACall, w.session(id))
		}
		assert.Equal(t, 4, w.count("set"))
		require.NoError(t, stop())
	})
}

func TestFlappingIsWrittenOnceItHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for range 10 {
			w.client("ada", presence.Busy, presence.ActivityBusy)
			time.Sleep(500 * time.Millisecond)
			w.client("ada", presence.Available, presence.ActivityAvailable)
			time.Sleep(500 * time.Millisecond)
		}
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(10 * time.Second)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.LessOrEqual(t, len(w.written(DestinationMiCollab)), 6, "%v", w.written(DestinationMiCollab))
		require.NoError(t, stop())
	})
}

func TestEndlessFlappingIsWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for range 120 {
			w.client("ada", presence.Busy, presence.ActivityBusy)
			time.Sleep(time.Second)
			w.client("ada", presence.Available, presence.ActivityAvailable)
			time.Sleep(time.Second)
		}
		n := len(w.written(DestinationMiCollab))
		assert.Greater(t, n, 8, "a status must not be held back for ever")
		assert.Less(t, n, 60)
		require.NoError(t, stop())
	})
}

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

func TestStatusChangedBySomebodyElseIsSetRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(time.Second)
		w.setStatus("ada", "Gone fishing")
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		before := w.count("set-status")
		for range 300 {
			w.setStatus("ada", "Gone fishing")
			time.Sleep(time.Second)
		}
		assert.Less(t, w.count("set-status")-before, 20, "two machines must not fight without end")
		time.Sleep(6 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"), "but the bridge does not give up")
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

func TestOlderObservationNeverOverridesANewerOne(t *testing.T) {
	s := &settings{echoWindow: 15 * time.Second}
	now := time.Now()
	read := func(sequence string, a presence.Availability) presence.Presence {
		return presence.Presence{Availability: a, Activity: presence.Activity(a), SequenceNumber: sequence}
	}
	var v view
	v.session.phase = sessionNone
	v.observeTeams(read("A0129311070", presence.Busy), now, Cause{}, s)
	taken, _ := v.observeTeams(read("A0129311063", presence.Available), now.Add(time.Second), Cause{}, s)
	assert.False(t, taken, "a lower sequence number is older, though it was read later")
	assert.Equal(t, presence.Busy, v.teams.basis.Availability)
	taken, _ = v.observeTeams(read("", presence.Away), now.Add(-time.Second), Cause{}, s)
	assert.False(t, taken, "without a sequence number the time of reading decides")
	taken, _ = v.observeTeams(read("A0129311071", presence.Away), now.Add(-time.Second), Cause{}, s)
	assert.True(t, taken, "the sequence number is worth more than the time")
	taken, _ = v.observeTeams(read("A0000000001", presence.Available), now.Add(time.Hour), Cause{}, s)
	assert.True(t, taken, "a number that stays lower means that the service counts anew")
}

func TestDoNotDisturbThatFollowsOurOwnStatusIsNoReasonForASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.notify = func(id, side string) {
			// This MiCollab switches the telephone with its status.
			if side == "micollab" {
				s := w.people[id]
				go w.line(id, presence.LineIdle, s.status == presence.StatusDoNotDisturb)
			}
			w.deliver(id, side)
		}
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.DoNotDisturb, presence.ActivityDoNotDisturb)
		time.Sleep(5 * time.Minute)
		w.client("ada", presence.Available, presence.ActivityAvailable)
		time.Sleep(5 * time.Minute)
		assert.Empty(t, w.written(DestinationTeams))
		assert.Equal(t, []string{"set Do not disturb", "set Available"}, w.written(DestinationMiCollab))
		w.line("ada", presence.LineIdle, true)
		time.Sleep(time.Second)
		assert.Equal(t, presenting, w.session("ada"), "do-not-disturb that the person switches on counts")
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
		var seen []int
		report, err := w.bridge.SyncAll(t.Context(), func(r SyncReport) { seen = append(seen, r.Done) })
		require.NoError(t, err)
		assert.Equal(t, 3, report.Total)
		assert.Equal(t, 3, report.Done)
		assert.Equal(t, 1, report.Skipped)
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

func TestPanicOfASideCostsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, id string, after bool) error {
			if operation == "set" && id == "ada" && !after {
				panic("a bug in somebody's client")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		w.line("bob", presence.LineConnected, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("bob"))
		w.setFault(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, inACall, w.session("ada"), "tried again")
		require.NoError(t, stop())
	})
}

type recordingWatcher struct {
	users  [][]string
	room   int
	missed []string
}

func (r *recordingWatcher) SetUsers(ids []string) []string {
	r.users = append(r.users, ids)
	if len(ids) > r.room {
		return ids[r.room:]
	}
	return nil
}
func (r *recordingWatcher) Missed(ids ...string) { r.missed = append(r.missed, ids...) }

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

func TestRegularReadingBacksOffWhileThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{ReconcileInterval: time.Minute, MaxReconcileInterval: 8 * time.Minute})
		before := w.count("presences")
		time.Sleep(time.Hour)
		assert.InDelta(t, 63, w.count("presences")-before, 6, "once a minute")
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "presences" {
				return throttled{time.Second}
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		w.setFault(nil)
		sweeps := func(d time.Duration) int {
			before := w.count("presences")
			time.Sleep(d)
			return w.count("presences") - before
		}
		assert.LessOrEqual(t, sweeps(7*time.Minute), 3, "backed off")
		time.Sleep(time.Hour)
		assert.InDelta(t, 63, sweeps(time.Hour), 6, "and back to once a minute")
		require.NoError(t, stop())
	})
}

func TestUserWithoutTelephoneDoesNotWaitAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.roster.Users[0].Endpoints = nil
		w.client("ada", presence.Busy, presence.ActivityBusy)
		stop := w.startNow(&Options{Direction: Bidirectional, SessionLifetime: 4 * time.Hour})
		time.Sleep(time.Minute)
		assert.Equal(t, presence.StatusBusy, w.status("ada"), "no session of an earlier run can be left after the clearing")
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockNoEndpoint, e.TeamsBlock)
		require.NoError(t, stop())
	})
}
