package verify

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

func TestAChangeOnItsWayIsReadOnceMore(t *testing.T) {
	for _, test := range []struct {
		name  string
		then  func(*desk, int)
		asked int
		hop   HopName
	}{
		{"arrives", func(d *desk, asked int) {
			d.lines[0].State = presence.LineRinging
			if asked > 1 {
				d.explanation.Line.State = presence.LineRinging
			}
		}, 2, ""},
		{"stays", func(d *desk, _ int) { d.lines[0].State = presence.LineRinging }, 2, HopTelephone},
		{"moves on and arrives", func(d *desk, asked int) {
			switch asked {
			case 1:
				d.lines[0].State = presence.LineConnected
			case 2:
				d.call()
				d.explanation.SessionState = presencebridge.SessionUncertain
			default:
				d.call()
			}
		}, 3, ""},
		{"moves on for ever", func(d *desk, asked int) {
			d.call()
			switch asked {
			case 1:
				d.explanation.Line.State = presence.LineIdle
			case 2:
				d.explanation.SessionState = presencebridge.SessionUncertain
			default:
				d.presence.Availability = presence.Away
			}
		}, 3, HopTeams},
		{"nothing is on its way", func(d *desk, _ int) { d.person.Email = "king@example.com" }, 1, HopMatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, began := newDesk(), time.Now()
				d.then = test.then
				report, err := d.check(t, nil).Check(t.Context(), "ada@example.com")
				require.NoError(t, err)
				assert.EqualValues(t, test.asked, d.asked.Load())
				assert.Equal(t, time.Duration(test.asked-1)*3*time.Second, time.Since(began))
				if test.hop == "" {
					assert.Nil(t, report.Parting)
				} else if assert.NotNil(t, report.Parting) {
					assert.Equal(t, test.hop, report.Parting.Hop)
				}
			})
		})
	}
}

func TestAHangingSourceIsNamedAndTheOthersAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.hang = make(chan struct{})
		defer close(d.hang)
		began := time.Now()
		report, err := d.check(t, &UserOptions{Settle: -1}).Check(t.Context(), "ada@example.com")
		require.NoError(t, err)
		assert.Equal(t, 20*time.Second+obeyWithin/2, time.Since(began), "all hang at the same time, beyond their bound")
		require.NotNil(t, report.Parting)
		assert.Equal(t, HopTelephone, report.Parting.Hop)
		assert.Contains(t, report.Parting.Sentence, "there was no answer within 20s")
		assert.Equal(t, Operator, report.Parting.Administrator)
		for _, h := range report.Hops {
			if h.Name != HopSession {
				assert.Contains(t, h.Error, "no answer within 20s", h.Name)
			}
		}
	})
}

func TestAPanicOfASourceIsAnErrorOfItsHop(t *testing.T) {
	d := newDesk()
	d.panics = "hunter2hunter2"
	report := d.once(t, "ada@example.com")
	require.NotNil(t, report.Parting)
	assert.Contains(t, report.Parting.Sentence, "the question broke off: string")
	document, err := report.Copy()
	require.NoError(t, err)
	assert.NotContains(t, string(document), "hunter2")

	d = newDesk()
	d.then = func(*desk, int) { panic("hunter2hunter2") }
	report = d.once(t, "ada@example.com")
	require.NotNil(t, report.Parting)
	assert.Equal(t, "The bridge could not be asked about the person: it broke off: string.", report.Parting.Sentence)
}

func TestACheckEndsWithItsContext(t *testing.T) {
	cause := errors.New("the administrator went away")
	for name, prepare := range map[string]func(*desk){
		"while it reads":   func(d *desk) { d.hang = make(chan struct{}) },
		"while it settles": func(d *desk) { d.lines[0].State = presence.LineRinging },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk()
				prepare(d)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				report, err := d.check(t, nil).Check(ctx, "ada@example.com")
				require.ErrorIs(t, err, cause)
				assert.Nil(t, report)
				if d.hang != nil {
					close(d.hang)
				}
			})
		})
	}
	_, err := newDesk().check(t, nil).Check(t.Context(), " \t")
	require.ErrorIs(t, err, ErrNoEmail)
}

// healthy puts somebody of the mapping table onto the desk: any state of the telephone
// and of Teams, with all that follows from it.
func healthy(t *rapid.T) *desk {
	d, table := newDesk(), presence.DefaultTable()
	e := d.explanation
	states := []presence.LineState{presence.LineIdle, presence.LineRinging, presence.LineConnected, presence.LineHeld, presence.LineOutOfService}
	d.lines[0].State, d.lines[0].DoNotDisturb = rapid.SampledFrom(states).Draw(t, "line"), rapid.Bool().Draw(t, "dnd")
	e.Line, e.Endpoints[0].Line = d.lines[0], d.lines[0]
	session, effect := table.Session(d.lines[0])
	e.WantedEffect, e.WantedSession = effect.String(), session
	known := func(label string) presence.Presence {
		var all []presence.Availability
		for _, a := range presence.Availabilities() {
			if a.Known() {
				all = append(all, a)
			}
		}
		return presence.Presence{
			UserID: "id-ada", Availability: rapid.SampledFrom(all).Draw(t, label), Activity: rapid.SampledFrom(presence.Activities()).Draw(t, label+" activity"),
			OutOfOffice: rapid.Bool().Draw(t, label+" out of office"),
		}
	}
	e.Basis = known("own presence")
	d.presence = e.Basis
	switch effect {
	case presence.Set:
		e.SessionState, e.Session = presencebridge.SessionOpen, session
		if rapid.Bool().Draw(t, "session shows") {
			d.presence = presence.Presence{UserID: "id-ada", Availability: session.Availability, Activity: session.Activity}
			e.StatusBlock = presencebridge.BlockOwnSession
		}
	case presence.Leave:
		e.TeamsBlock = presencebridge.BlockMapping
	case presence.Clear:
	}
	e.Presence = d.presence
	if status, effect := table.Status(e.Basis); effect == presence.Set {
		e.Wanted, e.Shown, d.status = status, status, status
	} else {
		e.Wanted, e.StatusBlock = "", presencebridge.BlockMapping
		d.status = presence.Status(rapid.StringN(0, 10, 10).Draw(t, "status"))
	}
	return d
}

func TestHopsThatFollowFromOneAnotherPartNowhereAndOneFaultIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := healthy(t)
		check := d.check(t, &UserOptions{Settle: -1})
		report, err := check.Check(context.Background(), "ada@example.com")
		require.NoError(t, err)
		require.Nil(t, report.Parting)

		e := d.explanation
		faults := map[HopName]func(){
			HopMatch:     func() { d.person.Email = "king@example.com" },
			HopTelephone: func() { d.lines[0].DoNotDisturb = !d.lines[0].DoNotDisturb },
		}
		if d.presence.Availability.Family() != e.Session.Availability.Family() {
			faults[HopTeams] = func() { d.presence.OutOfOffice = !d.presence.OutOfOffice }
		}
		switch e.WantedEffect {
		case "set":
			faults[HopSession] = func() { e.SessionState, e.Session = presencebridge.SessionNone, presence.Session{} }
		case "clear":
			faults[HopSession] = func() {
				e.SessionState, e.Session = presencebridge.SessionOpen, presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}
			}
		}
		if e.Wanted != "" {
			faults[HopMiCollab] = func() { d.status += "!" }
		}
		var names []HopName
		for _, name := range []HopName{HopMatch, HopTelephone, HopSession, HopTeams, HopMiCollab} {
			if faults[name] != nil {
				names = append(names, name)
			}
		}
		first := rapid.IntRange(0, len(names)-1).Draw(t, "fault")
		faults[names[first]]()
		for _, name := range names[first+1:] {
			// What is wrong further down follows from it, or is found after it.
			if rapid.Bool().Draw(t, "another "+string(name)) {
				faults[name]()
			}
		}
		report, err = check.Check(context.Background(), "ada@example.com")
		require.NoError(t, err)
		require.NotNil(t, report.Parting, names[first])
		require.Equal(t, names[first], report.Parting.Hop, report.Parting.Sentence)
		require.NotContains(t, report.Parting.Sentence, "..")
	})
}
