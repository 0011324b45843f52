package presencebridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func testSettings() *settings {
	o, err := Options{}.withDefaults(Sides{Directory: &world{}, Teams: &world{}, Phones: &world{}, Statuses: &world{}})
	if err != nil {
		panic(err)
	}
	return &settings{lifetime: o.SessionLifetime, echoWindow: o.EchoWindow, damping: o.Damping}
}

func bothWays() *rules {
	return &rules{table: presence.DefaultTable(), phoneToTeams: true, teamsToMiCollab: true}
}

// known is a person about whom everything was read a minute before noon: the
// telephone is idle, Teams and MiCollab show Available.
func known() view {
	at := noon.Add(-time.Minute)
	user := presence.User{TeamsID: "ada", Endpoints: []string{"2001"}}
	var v view
	v.session.phase = sessionNone
	v.phone.observeLines(user, []presence.Line{{Endpoint: "2001", State: presence.LineIdle}}, at, Cause{Trigger: TriggerStart})
	v.observeTeams(presence.Presence{UserID: "ada", Availability: presence.Available, Activity: presence.ActivityAvailable}, at, Cause{Trigger: TriggerStart}, testSettings())
	v.status.observeStatus(presence.StatusAvailable, at)
	return v
}

func (v *view) withLine(state presence.LineState, dnd bool, at time.Time) {
	user := presence.User{TeamsID: "ada", Endpoints: []string{"2001"}}
	v.phone.observeLines(user, []presence.Line{{Endpoint: "2001", State: state, DoNotDisturb: dnd}}, at, Cause{Trigger: TriggerNotification})
}

func (v *view) withTeams(a presence.Availability, x presence.Activity, at time.Time) {
	v.observeTeams(presence.Presence{UserID: "ada", Availability: a, Activity: x}, at, Cause{Trigger: TriggerNotification}, testSettings())
}

func (v *view) withSession(s presence.Session, at time.Time) {
	v.session.beginSession(s, at, testSettings().lifetime)
	v.session.sessionSet(at, at, testSettings().lifetime)
}

func TestDecide(t *testing.T) {
	type expect struct {
		teams, micollab           actionKind
		session                   presence.Session
		status                    presence.Status
		teamsBlock, micollabBlock Block
		wake                      time.Duration // after noon; 0: never
	}
	tests := map[string]struct {
		view  func(*view)
		rules func(*rules)
		want  expect
	}{
		"nothing to do": {want: expect{}},
		"a call is set": {
			view: func(v *view) { v.withLine(presence.LineConnected, false, noon) },
			want: expect{teams: setSession, session: inACall},
		},
		"do-not-disturb is set, and is stronger than a call": {
			view: func(v *view) { v.withLine(presence.LineConnected, true, noon) },
			want: expect{teams: setSession, session: presenting},
		},
		"an open session waits for its renewal": {
			view: func(v *view) { v.withLine(presence.LineHeld, false, noon); v.withSession(inACall, noon) },
			want: expect{wake: 6*time.Minute + 40*time.Second},
		},
		"an open session is renewed at two thirds": {
			view: func(v *view) {
				v.withLine(presence.LineHeld, false, noon)
				v.withSession(inACall, noon.Add(-7*time.Minute))
			},
			want: expect{teams: renewSession, session: inACall, wake: 3 * time.Minute},
		},
		"the end of the call clears": {
			view: func(v *view) { v.withSession(inACall, noon.Add(-time.Minute)) },
			want: expect{teams: clearSession, wake: 9 * time.Minute},
		},
		"out of service leaves the session alone": {
			view: func(v *view) {
				v.withSession(inACall, noon.Add(-time.Minute))
				v.withLine(presence.LineOutOfService, false, noon)
			},
			want: expect{teamsBlock: BlockMapping, wake: 9 * time.Minute},
		},
		"an unknown line leaves everything alone": {
			view: func(v *view) { v.withLine("levitating", false, noon) },
			want: expect{teamsBlock: BlockLineUnknown},
		},
		"Teams reaches MiCollab": {
			view: func(v *view) { v.withTeams(presence.Busy, presence.ActivityInAMeeting, noon) },
			want: expect{micollab: writeStatus, status: presence.StatusInAMeeting},
		},
		"an unknown presence changes nothing": {
			view: func(v *view) { v.withTeams("Hibernating", "Hibernating", noon) },
			want: expect{micollabBlock: BlockTeamsUnknown},
		},
		"the bridge's own session does not reach MiCollab": {
			view: func(v *view) {
				v.withLine(presence.LineConnected, false, noon)
				v.withSession(inACall, noon)
				v.withTeams(presence.BusyIdle, presence.ActivityBusy, noon.Add(time.Second))
			},
			want: expect{micollabBlock: BlockOwnSession, wake: 6*time.Minute + 40*time.Second},
		},
		"what was read before the session was opened is the person's own": {
			view: func(v *view) {
				v.withTeams(presence.Busy, presence.ActivityBusy, noon.Add(-time.Second))
				v.withLine(presence.LineConnected, false, noon)
				v.withSession(inACall, noon)
			},
			want: expect{micollab: writeStatus, status: presence.StatusBusy, wake: 6*time.Minute + 40*time.Second},
		},
		"a session closed a moment ago may still show": {
			view: func(v *view) {
				v.withSession(inACall, noon.Add(-time.Minute))
				v.session.close(noon.Add(-5 * time.Second))
				v.withTeams(presence.Busy, presence.ActivityBusy, noon)
			},
			want: expect{micollabBlock: BlockEchoWindow, wake: 10 * time.Second},
		},
		"a session closed long ago does not": {
			view: func(v *view) {
				v.withSession(inACall, noon.Add(-time.Minute))
				v.session.close(noon.Add(-16 * time.Second))
				v.withTeams(presence.Busy, presence.ActivityBusy, noon)
			},
			want: expect{micollab: writeStatus, status: presence.StatusBusy},
		},
		"one-way leaves MiCollab alone": {
			view:  func(v *view) { v.withTeams(presence.Away, presence.ActivityAway, noon) },
			rules: func(r *rules) { r.teamsToMiCollab, r.statusBlock = false, BlockOneWay },
			want:  expect{micollabBlock: BlockOneWay},
		},
		"off clears the session that is open": {
			view: func(v *view) {
				v.withLine(presence.LineConnected, false, noon)
				v.withSession(inACall, noon)
			},
			rules: func(r *rules) {
				*r = rules{table: r.table, teamsBlock: BlockOff, statusBlock: BlockOff}
			},
			want: expect{teams: clearSession, micollabBlock: BlockOff, wake: 10 * time.Minute},
		},
		"an Available session is renewed before Teams lets it fade": {
			view: func(v *view) {
				v.withLine(presence.LineConnected, false, noon)
				v.withSession(presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}, noon)
			},
			rules: func(r *rules) {
				rules, err := presence.ParseRules([]byte("phone connected -> Available/Available"))
				if err != nil {
					panic(err)
				}
				m, err := presence.NewMapping(&presence.Layers{Everyone: rules})
				if err != nil {
					panic(err)
				}
				r.table = m.For(presence.User{})
			},
			want: expect{wake: 4 * time.Minute},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v, r := known(), bothWays()
			if test.view != nil {
				test.view(&v)
			}
			if test.rules != nil {
				test.rules(r)
			}
			before := v
			d := decide(&v, r, testSettings(), noon)
			assert.Equal(t, before, v, "decide changes nothing")
			assert.Equal(t, test.want.teams, d.actions[toTeams].kind, "Teams")
			assert.Equal(t, test.want.session, d.actions[toTeams].session)
			assert.Equal(t, test.want.micollab, d.actions[toMiCollab].kind, "MiCollab")
			assert.Equal(t, test.want.status, d.actions[toMiCollab].status)
			assert.Equal(t, test.want.teamsBlock, d.blocks[toTeams])
			assert.Equal(t, test.want.micollabBlock, d.blocks[toMiCollab])
			var wake time.Time
			if test.want.wake != 0 {
				wake = noon.Add(test.want.wake)
			}
			assert.Equal(t, wake, d.wake)
		})
	}
}

func TestDecideAsksForWhatItDoesNotKnow(t *testing.T) {
	var v view
	v.session.unknownFrom, v.session.unknownUntil = noon, noon.Add(10*time.Minute)
	d := decide(&v, bothWays(), testSettings(), noon)
	assert.Equal(t, TriggerStart, d.reads[ofLines])
	assert.Equal(t, TriggerStart, d.reads[ofTeams])
	assert.Equal(t, doNothing, d.actions[toTeams].kind)
	assert.Equal(t, doNothing, d.actions[toMiCollab].kind)
	assert.Equal(t, BlockLineUnread, d.blocks[toTeams])
	assert.Equal(t, BlockTeamsUnread, d.blocks[toMiCollab])
}

func TestOneUnreadTelephoneMayBeInACall(t *testing.T) {
	v := known()
	user := presence.User{TeamsID: "ada", Endpoints: []string{"2001", "2002"}}
	v.phone.settle(user, Cause{})
	v.withSession(inACall, noon)
	d := decide(&v, bothWays(), testSettings(), noon)
	assert.Equal(t, doNothing, d.actions[toTeams].kind, "no session is cleared while a telephone has not been read")
	assert.Equal(t, BlockLineUnread, d.blocks[toTeams])
	v.phone.observeLines(user, []presence.Line{{Endpoint: "2002", State: presence.LineConnected}}, noon, Cause{})
	assert.Equal(t, presence.LineConnected, v.phone.line.State, "the strongest of both")
}

func TestEveryBlockHasASentence(t *testing.T) {
	for _, b := range []Block{
		BlockOff, BlockOneWay, BlockUnsupportedPBX, BlockNoEndpoint, BlockLineUnread, BlockLineUnknown, BlockTeamsUnread, BlockTeamsUnknown, BlockStatusUnread,
		BlockOwnSession, BlockEchoWindow, BlockEarlierSession, BlockMapping, BlockDamping, BlockContested, BlockBackoff, BlockDryRun,
	} {
		assert.NotEqual(t, string(b), b.Sentence())
	}
	assert.Empty(t, BlockNone.Sentence())
}

func TestLaneHoldsEachUserOnce(t *testing.T) {
	l := newLane("test", 1, 2, time.Minute)
	l.add(false, "ada", "bob", "ada", "cyd")
	l.add(true, "cyd")
	users, _ := l.take(noon)
	assert.Equal(t, []string{"cyd", "ada"}, users, "urgent ones first")
	l.add(false, "ada")
	l.add(true, "ada")
	more, _ := l.take(noon)
	assert.Equal(t, []string{"bob"}, more, "ada is with a worker already")
	l.done(users)
	l.done(more)
	again, _ := l.take(noon)
	assert.Equal(t, []string{"ada"}, again, "once, though added twice meanwhile")
	l.done(again)
	assert.Zero(t, l.depth())
}

func TestLanePausesWhileTheServiceFails(t *testing.T) {
	l := newLane("test", 1, 1, time.Minute)
	var events []Health
	l.changed = func(h Health) { events = append(events, h) }
	l.add(true, "ada")
	l.settle(throttled{2128 * time.Millisecond}, noon)
	_, pause := l.take(noon)
	assert.Equal(t, 2128*time.Millisecond, pause, "to the millisecond")
	l.settle(presence.ErrUnavailable, noon)
	l.settle(presence.ErrUnavailable, noon)
	_, pause = l.take(noon)
	assert.Equal(t, 4*time.Second, pause, "longer each time")
	l.settle(nil, noon)
	require.Len(t, events, 3)
	assert.Equal(t, []string{StateThrottled, StateFailing, StateHealthy}, []string{events[0].State, events[1].State, events[2].State})
	assert.Equal(t, 1, l.throttled())
}

func TestAgendaHoldsTheLastAppointment(t *testing.T) {
	a := newAgenda(nil)
	a.set("ada", noon.Add(time.Hour))
	a.set("bob", noon.Add(time.Minute))
	a.set("ada", noon)
	a.set("cyd", noon)
	a.set("cyd", time.Time{})
	users, next := a.due(noon)
	assert.Equal(t, []string{"ada"}, users)
	assert.Equal(t, noon.Add(time.Minute), next)
}

func TestDirectionText(t *testing.T) {
	for _, d := range []Direction{OneWay, Bidirectional, Off} {
		text, err := d.MarshalText()
		require.NoError(t, err)
		var back Direction
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, d, back)
	}
	var d Direction
	require.ErrorContains(t, d.UnmarshalText([]byte("sideways")), "one-way")
	assert.Equal(t, OneWay, Bidirectional.narrower(OneWay))
	assert.Equal(t, Off, Off.narrower(Bidirectional))
}
