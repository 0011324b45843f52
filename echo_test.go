package presencebridge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

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

func (r *recordingWatcher) SetUsers(ids []string) []string {
	r.users = append(r.users, ids)
	if len(ids) > r.room {
		return ids[r.room:]
	}
	return nil
}
func (r *recordingWatcher) Missed(ids ...string) { r.missed = append(r.missed, ids...) }

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
