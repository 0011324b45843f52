package presencebridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// plant puts a session under the bridge's application id into Teams, as another
// process would, and notifies.
func (w *world) plant(id string, session presence.Session) {
	w.change(id, func(s *soul, now time.Time) { s.session, s.lapse = session, now.Add(4*time.Hour) })
}

// silently changes the first telephone of a person and notifies nobody.
func (w *world) silently(id string, state presence.LineState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.people[id].user.Endpoints[0]
	w.people[id].lines[e] = presence.Line{Endpoint: e, State: state}
}

// seen returns the observations so far.
func (w *world) seen() []Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.observed)
}

func (w *world) reset(id string) PhoneReset {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	r, err := w.bridge.ResetPhone(ctx, id)
	require.NoError(w.t, err)
	assert.NotEmpty(w.t, r.Summary)
	return r
}

func (w *world) explain(id string) *Explanation {
	w.t.Helper()
	e, err := w.bridge.Explain(id)
	require.NoError(w.t, err)
	return e
}

// rarely keeps the regular readings out of a test.
func rarely(o Options) *Options {
	o.ReconcileInterval, o.UnwatchedInterval = 10*time.Hour, 10*time.Hour
	return &o
}

func TestResetClearsASessionThatTheBridgeDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.staleFor = 4 * time.Second
		stop := w.start(rarely(Options{Direction: Bidirectional}))
		w.plant("ada", inACall)
		time.Sleep(30 * time.Second)
		w.deliver("ada", "teams") // too early the first time
		time.Sleep(time.Second)
		require.Equal(t, SessionNone, w.explain("ada").SessionState)
		require.Equal(t, presence.StatusInACall, w.status("ada"), "Graph does not tell whose session shows")

		r := w.reset("ada@example.com")
		assert.Zero(t, w.session("ada"))
		assert.True(t, r.SessionCleared)
		assert.False(t, r.SessionSet || r.SessionAbsent)
		assert.Empty(t, r.Failures)
		assert.Equal(t, TriggerReset, r.Writes[0].Cause.Trigger)
		assert.Equal(t, SessionNone, r.After.SessionState)
		assert.False(t, r.After.LineReadAt.Before(r.At), "the telephone was read again")
		assert.True(t, r.After.LineReadAt.After(r.Before.LineReadAt))
		time.Sleep(time.Minute)
		assert.Equal(t, presence.StatusAvailable, w.status("ada"), "MiCollab follows")
		assert.Len(t, w.written(DestinationMiCollab), 2)

		r = w.reset("p-ada")
		assert.True(t, r.SessionAbsent, "ending a session that is not there is fine")
		assert.False(t, r.SessionCleared)
		assert.Contains(t, r.Summary, "no session")
		assert.Contains(t, r.String(), "there was none")
		require.NoError(t, stop())
	})
}

func TestResetClearsACallWhoseEndWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{}))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.silently("ada", presence.LineIdle)
		r := w.reset("ada")
		assert.True(t, r.SessionCleared)
		assert.Equal(t, presence.LineConnected, r.Before.Line.State)
		assert.Equal(t, inACall, r.Before.Session)
		assert.Equal(t, presence.LineIdle, r.After.Line.State)
		assert.Equal(t, []string{"set Busy/InACall", "clear Busy/InACall"}, w.written(DestinationTeams))
		text, err := json.Marshal(r)
		require.NoError(t, err)
		assert.Contains(t, string(text), `"sessionCleared":true`)
		require.NoError(t, stop())
	})
}

func TestResetDuringACallDoesNotFlicker(t *testing.T) {
	for name, lost := range map[string]bool{"open": false, "lost": true, "another": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada")
				stop := w.start(rarely(Options{Direction: Bidirectional}))
				w.line("ada", presence.LineConnected, false)
				time.Sleep(time.Second)
				if lost {
					w.change("ada", func(s *soul, _ time.Time) { s.session = presence.Session{} })
				}
				if name == "another" {
					w.plant("ada", presenting)
				}
				time.Sleep(time.Second)
				n, writes := len(w.seen()), len(w.written(DestinationMiCollab))
				r := w.reset("ada")
				assert.Equal(t, inACall, w.session("ada"))
				assert.True(t, r.SessionSet)
				assert.Equal(t, SessionOpen, r.After.SessionState)
				assert.Equal(t, inACall, r.After.Session)
				assert.Zero(t, w.count("clear"), "a session that is justified is replaced, not ended")
				time.Sleep(time.Minute)
				for _, o := range w.seen()[n:] {
					if o.Side == "teams" {
						assert.Equal(t, presence.Busy, o.Presence.Availability, "%+v", o)
					}
				}
				assert.Len(t, w.written(DestinationMiCollab), writes)
				assert.False(t, w.explain("ada").PreferredPresence)
				require.NoError(t, stop())
			})
		})
	}
}

// A reading that began before the reset says nothing about the time after it.
func TestReadingFromBeforeAResetIsRefused(t *testing.T) {
	user := presence.User{TeamsID: "ada", Endpoints: []string{"2001"}}
	var p phoneView
	connected := []presence.Line{{Endpoint: "2001", State: presence.LineConnected}}
	p.observeLines(user, connected, noon, Cause{Trigger: TriggerStart})
	p.forget(noon.Add(time.Minute))
	assert.False(t, p.observeLines(user, connected, noon.Add(59*time.Second), Cause{}))
	assert.True(t, p.at.IsZero())
	assert.False(t, p.line.Known())
	assert.True(t, p.observeLines(user, connected, noon.Add(time.Minute), Cause{}))
	assert.Equal(t, presence.LineConnected, p.line.State)
}

func TestDecideOnAReset(t *testing.T) {
	asked := noon.Add(-time.Second)
	read := func(state presence.LineState) func(*view) {
		return func(v *view) { v.withLine(state, false, noon) }
	}
	tests := map[string]struct {
		view    func(*view)
		off     bool
		want    actionKind
		session presence.Session
		block   Block
	}{
		"nothing before the telephone is read": {view: func(*view) {}, block: BlockLineUnread},
		"an idle telephone clears":             {view: read(presence.LineIdle), want: clearSession},
		"a call sets":                          {view: read(presence.LineConnected), want: setSession, session: inACall},
		"what the table leaves is cleared":     {view: read(presence.LineOutOfService), want: clearSession},
		"what is unknown changes nothing":      {view: read("levitating"), block: BlockLineUnknown},
		"off clears without a reading":         {view: func(*view) {}, off: true, want: clearSession},
	}
	for name, test := range tests {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", open ", open), func(t *testing.T) {
				v, r := known(), bothWays()
				if open {
					v.withSession(inACall, noon.Add(-time.Minute))
				}
				if test.off {
					*r = rules{table: r.table, teamsBlock: BlockOff, statusBlock: BlockOff}
				}
				v.reset(asked)
				test.view(&v)
				d := decide(&v, r, testSettings(), noon)
				assert.Equal(t, test.want, d.actions[toTeams].kind)
				assert.Equal(t, test.session, d.actions[toTeams].session)
				assert.Equal(t, test.block, d.blocks[toTeams])
				if test.want != doNothing {
					assert.Equal(t, TriggerReset, d.actions[toTeams].cause.Trigger)
					assert.Equal(t, asked, d.actions[toTeams].cause.ReceivedAt)
				}
				v.resetWritten(&Write{Time: asked.Add(-time.Second)})
				assert.True(t, v.resetting(), "a write from before it does not carry it out")
				v.resetWritten(&Write{Time: noon, Err: presence.ErrForbidden})
				assert.True(t, v.resetting(), "nor does one that failed")
				v.resetWritten(&Write{Time: noon})
				assert.False(t, v.resetting())
			})
		}
	}
}

func TestResetWaitsForEveryTelephoneBeforeItClears(t *testing.T) {
	v := known()
	user := presence.User{TeamsID: "ada", Endpoints: []string{"2001", "2002"}}
	v.reset(noon)
	v.phone.observeLines(user, []presence.Line{{Endpoint: "2001", State: presence.LineOutOfService}}, noon, Cause{})
	d := decide(&v, bothWays(), testSettings(), noon)
	assert.Equal(t, doNothing, d.actions[toTeams].kind)
	v.phone.observeLines(user, []presence.Line{{Endpoint: "2002", State: presence.LineIdle}}, noon, Cause{})
	d = decide(&v, bothWays(), testSettings(), noon)
	assert.Equal(t, clearSession, d.actions[toTeams].kind)
}

// The telephone's do-not-disturb that follows a status of the bridge is read again by
// a reset, long after; it must not become the person's own by that.
func TestResetKeepsWhoseDoNotDisturbItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.notify = func(id, side string) {
			if side == "micollab" {
				s := w.people[id]
				go w.line(id, presence.LineIdle, s.status == presence.StatusDoNotDisturb)
			}
			w.deliver(id, side)
		}
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.DoNotDisturb, presence.ActivityDoNotDisturb)
		time.Sleep(5 * time.Minute)
		require.True(t, w.explain("ada").OwnDoNotDisturb)
		require.Contains(t, w.explain("ada").String(), "not shown in teams")
		for range 2 {
			r := w.reset("ada")
			assert.True(t, r.After.Line.DoNotDisturb)
			assert.True(t, r.SessionAbsent)
			time.Sleep(time.Minute)
			assert.Zero(t, w.session("ada"))
			e := w.explain("ada")
			assert.True(t, e.OwnDoNotDisturb)
			assert.Equal(t, "clear", e.WantedEffect)
		}
		assert.Equal(t, []string{"set Do not disturb"}, w.written(DestinationMiCollab))
		require.NoError(t, stop())
	})
}

func TestResetThatCannotReadTheTelephoneEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{}))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.setFault(failing("lines", 3, presence.ErrForbidden))
		r := w.reset("ada")
		assert.Equal(t, inACall, w.session("ada"), "the person may be in a call")
		assert.Equal(t, BlockLineUnread, r.Block)
		assert.NotEmpty(t, r.BlockSentence)
		require.Len(t, r.Failures, 1)
		assert.Equal(t, "phone-read", r.Failures[0].Connection)
		assert.Contains(t, r.Summary, "not complete")
		assert.Contains(t, r.String(), "phone-read failed")
		assert.Equal(t, r.At, w.explain("ada").ResetAt)
		assert.Contains(t, w.explain("ada").String(), "a reset was asked for")
		w.silently("ada", presence.LineIdle)
		time.Sleep(time.Minute)
		assert.Zero(t, w.session("ada"), "it is carried out as soon as the telephone can be read")
		assert.Zero(t, w.explain("ada").ResetAt)
		require.NoError(t, stop())
	})
}

func TestResetOfAUserWhoseTelephoneDoesNotReachTeams(t *testing.T) {
	for block, prepare := range map[Block]func(*world, *Options){
		BlockOff:        func(_ *world, o *Options) { o.Direction = Off },
		BlockNoEndpoint: func(w *world, _ *Options) { w.roster.Users[0].Endpoints = nil },
		BlockUnsupportedPBX: func(w *world, _ *Options) {
			w.roster.Limited = []presence.Limitation{{User: w.roster.Users[0], Direction: presence.LineToTeams, Reason: presence.ReasonUnsupportedPBX}}
		},
	} {
		t.Run(string(block), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada")
				o := rarely(Options{})
				prepare(w, o)
				stop := w.start(o)
				w.plant("ada", inACall)
				time.Sleep(time.Second)
				r := w.reset("ada")
				assert.Equal(t, block, r.Block)
				assert.Equal(t, block.Sentence(), r.BlockSentence)
				assert.True(t, r.SessionCleared)
				assert.Contains(t, r.Summary, "does not reach Teams")
				assert.Zero(t, w.session("ada"))
				require.NoError(t, stop())
			})
		})
	}
}

func TestResetWithAnUnknownLineEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{}))
		w.plant("ada", inACall)
		w.silently("ada", "levitating")
		r := w.reset("ada")
		assert.Equal(t, BlockLineUnknown, r.Block)
		assert.Empty(t, r.Writes)
		assert.Empty(t, r.Failures)
		assert.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		assert.Zero(t, w.session("ada"), "once the state is known")
		require.NoError(t, stop())
	})
}

func TestResetInADryRunSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{DryRun: true})
		for _, state := range []presence.LineState{presence.LineIdle, presence.LineConnected} {
			w.line("ada", state, false)
			time.Sleep(time.Second)
			for range 2 {
				r := w.reset("ada")
				assert.True(t, r.DryRun)
				assert.Equal(t, BlockDryRun, r.Block)
				require.Len(t, r.Writes, 1, "what would be sent is reported each time")
				assert.True(t, r.Writes[0].DryRun)
				assert.False(t, r.SessionSet || r.SessionCleared || r.SessionAbsent)
				assert.Contains(t, r.Summary, "dry run")
			}
		}
		assert.Zero(t, w.count("set")+w.count("clear"))
		require.NoError(t, stop())
	})
}

func TestResetIsNotHeldBackByDamping(t *testing.T) {
	v := known()
	for i := range 8 {
		v.flaps[toTeams] = v.flaps[toTeams].see(want{effect: presence.Set, first: string(rune('a' + i))}, noon)
	}
	v.withLine(presence.LineConnected, false, noon)
	require.Equal(t, BlockDamping, decide(&v, bothWays(), testSettings(), noon).blocks[toTeams])
	v.resetAt = noon
	assert.Equal(t, setSession, decide(&v, bothWays(), testSettings(), noon).actions[toTeams].kind)
}
