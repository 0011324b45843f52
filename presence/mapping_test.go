package presence_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestDefaultTableSession(t *testing.T) {
	inACall := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	presenting := presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting}
	tests := []struct {
		line    presence.Line
		session presence.Session
		effect  presence.Effect
	}{
		{presence.Line{State: presence.LineConnected}, inACall, presence.Set},
		{presence.Line{State: presence.LineHeld}, inACall, presence.Set},
		{presence.Line{State: presence.LineIdle, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineConnected, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineHeld, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineRinging, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineOutOfService, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineUnknown, DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: "parked", DoNotDisturb: true}, presenting, presence.Set},
		{presence.Line{State: presence.LineRinging}, presence.Session{}, presence.Clear},
		{presence.Line{State: presence.LineIdle}, presence.Session{}, presence.Clear},
		{presence.Line{State: presence.LineOutOfService}, presence.Session{}, presence.Leave},
		{presence.Line{State: presence.LineUnknown}, presence.Session{}, presence.Leave},
		{presence.Line{State: "parked"}, presence.Session{}, presence.Leave},
		{presence.Line{}, presence.Session{}, presence.Leave},
		{presence.Line{State: "CONNECTED"}, inACall, presence.Set},
	}
	table := presence.DefaultTable()
	for _, tt := range tests {
		t.Run(tt.line.String(), func(t *testing.T) {
			session, effect := table.Session(tt.line)
			assert.Equal(t, tt.session, session)
			assert.Equal(t, tt.effect, effect)
		})
	}
}

func TestDefaultTableStatus(t *testing.T) {
	const leave presence.Status = ""
	tests := []struct {
		pair        string
		outOfOffice bool
		want        presence.Status
	}{
		{"Available/Available", false, presence.StatusAvailable},
		{"Available/OutOfOffice", false, presence.StatusAvailableOutOfOffice},
		{"Available/OutOfOffice", true, presence.StatusAvailableOutOfOffice},
		{"AvailableIdle/AvailableIdle", false, presence.StatusAvailable},
		{"AvailableIdle/Away", false, presence.StatusAvailable},
		{"AvailableIdle/OutOfOffice", false, presence.StatusAvailable},
		{"AvailableInactive/AvailableInactive", false, presence.StatusAvailable},
		{"AvailableInactive/Inactive", false, presence.StatusAvailable},
		{"Busy/Busy", false, presence.StatusBusy},
		{"BusyIdle/BusyIdle", false, presence.StatusBusy},
		{"BusyIdle/InACall", false, presence.StatusBusy},
		{"Busy/InACall", false, presence.StatusInACall},
		{"Busy/InAConferenceCall", false, presence.StatusInACall},
		{"Busy/InAConferenceCall", true, presence.StatusInACall},
		{"Busy/InAMeeting", false, presence.StatusInAMeeting},
		{"Busy/InACall", true, presence.StatusInACallOutOfOffice},
		{"DoNotDisturb/DoNotDisturb", false, presence.StatusDoNotDisturb},
		{"DoNotDisturb/UrgentInterruptionsOnly", false, presence.StatusDoNotDisturb},
		{"DoNotDisturb/Presenting", false, presence.StatusPresenting},
		{"DoNotDisturb/Focusing", false, presence.StatusFocusing},
		{"Away/Away", false, presence.StatusAway},
		{"Away/Inactive", false, presence.StatusAway},
		{"BeRightBack/BeRightBack", false, presence.StatusBeRightBack},
		{"Offline/OffWork", false, presence.StatusAppearOffline},
		{"Offline/Offline", false, presence.StatusOffline},
		{"Offline/OutOfOffice", true, presence.StatusOutOfOffice},
		{"Away/OutOfOffice", false, presence.StatusOutOfOffice},
		{"Busy/OutOfOffice", false, presence.StatusOutOfOffice},
		{"DoNotDisturb/OutOfOffice", false, presence.StatusOutOfOffice},
		{"BeRightBack/OutOfOffice", false, presence.StatusOutOfOffice},
		{"PresenceUnknown/PresenceUnknown", false, leave},
		{"PresenceUnknown/OutOfOffice", true, leave},
		{"PresenceUnknown/Available", false, leave},
		{"Sleeping/Available", false, leave},
		{"Sleeping/OutOfOffice", true, leave},
		{"*/Available", false, leave},
		{"/", false, leave},
		// An activity that is not listed falls back to its availability's row.
		{"Busy/Juggling", false, presence.StatusBusy},
		{"Busy/*", false, presence.StatusBusy},
		{"Busy/", true, presence.StatusBusy},
		{"Busy/Presenting", false, presence.StatusBusy},
		{"Busy/PresenceUnknown", false, presence.StatusBusy},
		{"Available/InACall", true, presence.StatusAvailable},
		{"Offline/Away", false, presence.StatusOffline},
		// Microsoft's pages disagree on upper and lower case.
		{"busy/inACall", true, presence.StatusInACallOutOfOffice},
		{"DONOTDISTURB/FOCUSING", false, presence.StatusFocusing},
	}
	table := presence.DefaultTable()
	for _, tt := range tests {
		availability, activity, _ := strings.Cut(tt.pair, "/")
		p := presence.Presence{
			Availability: presence.Availability(availability), Activity: presence.Activity(activity), OutOfOffice: tt.outOfOffice,
		}
		t.Run(p.String(), func(t *testing.T) {
			status, effect := table.Status(p)
			assert.Equal(t, tt.want, status)
			assert.Equal(t, tt.want != leave, effect == presence.Set)
		})
	}
}

func TestDefaultRulesNameEveryStatus(t *testing.T) {
	text := presence.DefaultRules().String()
	for _, status := range presence.Statuses() {
		assert.Contains(t, text, "-> "+string(status)+"\n")
	}
}

func TestLookUpsDoNotAllocate(t *testing.T) {
	quoted := parsed(t, `phone "parked" -> clear
		teams "Sleeping"/* -> Away`)
	mapping, err := presence.NewMapping(&presence.Layers{Everyone: quoted})
	require.NoError(t, err)
	table := mapping.For(presence.User{})
	presences := []presence.Presence{
		{Availability: presence.Busy, Activity: presence.ActivityInACall, OutOfOffice: true},
		{Availability: "busy", Activity: "urgentinterruptionsonly"},
		{Availability: presence.Busy, Activity: "Juggling"},
		{Availability: "Hibernating", Activity: "Juggling"},
		{Availability: "Sleeping", Activity: presence.ActivityAway},
	}
	lines := []presence.Line{
		{State: presence.LineConnected}, {State: "CONNECTED", DoNotDisturb: true}, {State: "Parked"}, {State: "other"},
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for _, p := range presences {
			table.Status(p)
			table.StatusRule(p)
		}
		for _, l := range lines {
			table.Session(l)
			table.SessionRule(l)
		}
	}))
}

func TestRuleTellsWhereItStands(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{
		Everyone: parsed(t, "\n# remark\nTEAMS busy/inacall -> In a call # for all"),
	})
	require.NoError(t, err)
	table := mapping.For(presence.User{})

	rule := table.StatusRule(presence.Presence{Availability: presence.Busy, Activity: presence.ActivityInACall})
	assert.Equal(t, presence.Rule{Layer: "everyone", Line: 3, Text: "teams Busy/InACall -> In a call"}, rule)
	assert.Equal(t, "teams Busy/InACall -> In a call (everyone, line 3)", rule.String())

	assert.Equal(t, "default", table.SessionRule(presence.Line{State: presence.LineHeld}).Layer)

	none := table.StatusRule(presence.Presence{Availability: "Sleeping"})
	assert.True(t, none.IsZero())
	assert.Contains(t, none.String(), "no rule")
	assert.True(t, table.SessionRule(presence.Line{State: "parked"}).IsZero())
}

func TestEffectString(t *testing.T) {
	assert.Equal(t, "leave", presence.Leave.String())
	assert.Equal(t, "set", presence.Set.String())
	assert.Equal(t, "clear", presence.Clear.String())
	assert.Equal(t, "Effect(9)", presence.Effect(9).String())
	assert.Zero(t, presence.Leave)
}

func BenchmarkTableStatus(b *testing.B) {
	table := presence.DefaultTable()
	for _, bb := range []struct {
		name string
		p    presence.Presence
	}{
		{"documented", presence.Presence{Availability: presence.Busy, Activity: presence.ActivityInACall}},
		{"othercase", presence.Presence{Availability: "busy", Activity: "inacall"}},
		{"unknown", presence.Presence{Availability: "Sleeping", Activity: "Dreaming"}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Status(bb.p)
			}
		})
	}
}

func BenchmarkTableSession(b *testing.B) {
	table := presence.DefaultTable()
	line := presence.Line{State: presence.LineConnected}
	b.ReportAllocs()
	for b.Loop() {
		table.Session(line)
	}
}
