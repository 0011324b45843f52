package presencebridge

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestWhatOutranksASession(t *testing.T) {
	available := presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}
	tests := map[string]struct {
		session   presence.Session
		shown     presence.Session // as availability and activity of Teams
		outranked bool
		preferred bool
		says      string
	}{
		"the session itself":           {session: inACall, shown: inACall},
		"the session, reported coarse": {session: inACall, shown: presence.Session{Availability: presence.BusyIdle, Activity: presence.ActivityBusy}},
		"Available over a call": {
			session: inACall, shown: available, outranked: true, preferred: true, says: "has chosen in Teams",
		},
		"Away over do-not-disturb": {
			session: presenting, shown: presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}, outranked: true, preferred: true, says: "has chosen in Teams",
		},
		"BeRightBack": {
			session: inACall, shown: presence.Session{Availability: presence.BeRightBack, Activity: presence.ActivityBeRightBack}, outranked: true, preferred: true, says: "has chosen in Teams",
		},
		"appears offline": {
			session: inACall, shown: presence.Session{Availability: presence.Offline, Activity: presence.ActivityOffWork}, outranked: true, preferred: true, says: "has chosen in Teams",
		},
		"offline: perhaps no session at all": {
			session: inACall, shown: presence.Session{Availability: presence.Offline, Activity: presence.ActivityOffline}, outranked: true, says: "without any session",
		},
		"do-not-disturb over a call: a client's or a preferred one": {
			session: inACall, shown: presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting}, outranked: true, says: "stronger",
		},
		"out of office": {
			session: inACall, shown: presence.Session{Availability: presence.Available, Activity: presence.ActivityOutOfOffice}, outranked: true, says: "calendar",
		},
		"Available that fades": {
			session: available, shown: presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}, outranked: true, says: "faded",
		},
		"an unknown state proves nothing": {session: inACall, shown: presence.Session{Availability: "Hibernating", Activity: "Hibernating"}},
	}
	s := testSettings()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := known()
			v.withSession(test.session, noon)
			v.withTeams(test.shown.Availability, test.shown.Activity, noon.Add(s.echoWindow-time.Second))
			_, _, ok := v.outranked(s, noon.Add(time.Minute))
			assert.False(t, ok, "Teams may not show the session yet")
			v.withTeams(test.shown.Availability, test.shown.Activity, noon.Add(s.echoWindow))
			by, _, ok := v.outranked(s, noon.Add(time.Minute))
			assert.Equal(t, test.outranked, ok)
			if !ok {
				return
			}
			assert.Equal(t, test.shown.Availability, by.Availability)
			assert.Equal(t, test.preferred, onlyPreferred(by, test.session))
			assert.Contains(t, outrankedSentence(by, test.session), test.says)
			_, _, ok = v.outranked(s, noon.Add(s.lifetime))
			assert.False(t, ok, "a session that has lapsed is not outranked")
			v.session.close(noon.Add(time.Minute))
			_, _, ok = v.outranked(s, noon.Add(time.Minute))
			assert.False(t, ok, "nor is one that is closed")
		})
	}
}

func TestExplainTellsWhatOutranksTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.startNow(&Options{Direction: Bidirectional, ReconcileInterval: 10 * time.Hour})
		e := w.explain("ada")
		assert.Equal(t, SessionUnknown, e.SessionState)
		assert.False(t, e.EarlierSessionUntil.IsZero())
		assert.Contains(t, e.String(), "one of an earlier run lapses within")
		time.Sleep(time.Minute)
		e = w.explain("ada")
		assert.Equal(t, SessionNone, e.SessionState)
		assert.Equal(t, "clear", e.WantedEffect)
		assert.Zero(t, e.WantedSession)

		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Minute)
		e = w.explain("ada")
		assert.Equal(t, SessionOpen, e.SessionState)
		assert.Equal(t, "set", e.WantedEffect)
		assert.Equal(t, inACall, e.WantedSession)
		assert.False(t, e.SessionRenewedAt.IsZero())
		assert.Empty(t, e.OutrankedSentence)
		assert.Contains(t, e.String(), "session of the bridge: open Busy/InACall, opened 1m0s ago")

		began := time.Now()
		w.client("ada", presence.DoNotDisturb, presence.ActivityDoNotDisturb)
		time.Sleep(time.Minute)
		w.deliver("ada", "teams")
		time.Sleep(time.Second)
		e = w.explain("ada")
		assert.Equal(t, presence.DoNotDisturb, e.Outranked.Availability)
		assert.Equal(t, began, e.OutrankedSince, "the later reading shows the same")
		assert.False(t, e.PreferredPresence, "a client can do that too")
		assert.Contains(t, e.String(), "outranked: DoNotDisturb/DoNotDisturb since 1m1s ago")
		text, err := json.Marshal(e)
		require.NoError(t, err)
		assert.Contains(t, string(text), `"outrankedSentence":"Teams shows a stronger`)
		require.NoError(t, stop())
	})
}
