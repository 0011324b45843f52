package presence_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

func TestParseWords(t *testing.T) {
	for _, a := range presence.Availabilities() {
		assert.Equal(t, a, presence.ParseAvailability(strings.ToUpper(string(a))))
		assert.Equal(t, a != presence.AvailabilityUnknown, a.Known(), a)
	}
	for _, a := range presence.Activities() {
		assert.Equal(t, a, presence.ParseActivity(strings.ToLower(string(a))))
		assert.Equal(t, a != presence.ActivityUnknown, a.Known(), a)
	}
	for _, s := range presence.LineStates() {
		assert.Equal(t, s, presence.ParseLineState(strings.ToUpper(string(s))))
		assert.Equal(t, s != presence.LineUnknown, s.Known(), s)
	}
	for _, s := range presence.Statuses() {
		assert.Equal(t, s, presence.ParseStatus(strings.ToUpper(string(s))))
	}
	assert.Equal(t, presence.MiVoiceBusiness, presence.ParsePBX(" mivoice business "))

	assert.Equal(t, presence.Availability("Sleeping"), presence.ParseAvailability("Sleeping"))
	assert.False(t, presence.Availability("Sleeping").Known())
	assert.False(t, presence.Activity("").Known())
	assert.False(t, presence.ParseLineState("Parked").Known())
	assert.Equal(t, presence.PBX("Asterisk"), presence.ParsePBX("Asterisk"))
	assert.Equal(t, presence.Status("On site"), presence.ParseStatus("On site"))
}

func TestListsAreCopies(t *testing.T) {
	presence.Availabilities()[0] = "x"
	presence.Activities()[0] = "x"
	presence.LineStates()[0] = "x"
	presence.Statuses()[0] = "x"
	presence.Sessions()[0] = presence.Session{}
	presence.DefaultCapabilities()[presence.MiVoiceBusiness] = presence.Capability{}
	assert.NotContains(t, presence.Availabilities(), presence.Availability("x"))
	assert.NotContains(t, presence.Activities(), presence.Activity("x"))
	assert.NotContains(t, presence.LineStates(), presence.LineState("x"))
	assert.NotContains(t, presence.Statuses(), presence.Status("x"))
	assert.NotContains(t, presence.Sessions(), presence.Session{})
	assert.True(t, presence.DefaultCapabilities()[presence.MiVoiceBusiness].TeamsToMiCollab)
}

func TestFamily(t *testing.T) {
	tests := map[presence.Availability]presence.Availability{
		presence.Available: presence.Available, presence.AvailableIdle: presence.Available, presence.AvailableInactive: presence.Available,
		presence.Busy: presence.Busy, presence.BusyIdle: presence.Busy, presence.Away: presence.Away, "Sleeping": "Sleeping",
	}
	for availability, family := range tests {
		assert.Equal(t, family, availability.Family(), availability)
	}
}

func TestPresence(t *testing.T) {
	p := presence.Presence{UserID: "u", Availability: presence.Busy, Activity: presence.ActivityInACall, OutOfOffice: true, SequenceNumber: "A1"}
	assert.Equal(t, "Busy/InACall, out of office", p.String())
	assert.True(t, p.Known())
	assert.False(t, presence.Presence{Availability: "Sleeping", Activity: presence.ActivityBusy}.Known())

	q := p
	q.UserID, q.SequenceNumber = "v", "A2"
	assert.True(t, p.SameState(q))
	q.OutOfOffice = false
	assert.False(t, p.SameState(q))
	assert.Equal(t, "Busy/InACall", q.String())
}

func TestSession(t *testing.T) {
	for _, s := range presence.Sessions() {
		assert.NoError(t, s.Validate())
		assert.False(t, s.IsZero())
	}
	err := presence.Session{Availability: presence.Busy, Activity: presence.ActivityBusy}.Validate()
	assert.ErrorContains(t, err, "Busy/Busy cannot be set")
	assert.ErrorContains(t, err, "DoNotDisturb/Presenting")
	assert.Error(t, presence.Session{}.Validate())
	assert.Equal(t, "none", presence.Session{}.String())
	assert.Equal(t, "Away/Away", presence.Sessions()[3].String())
}

func TestStrongest(t *testing.T) {
	line := func(endpoint string, state presence.LineState, doNotDisturb bool) presence.Line {
		return presence.Line{Endpoint: endpoint, State: state, DoNotDisturb: doNotDisturb}
	}
	tests := []struct {
		name  string
		lines []presence.Line
		want  presence.Line
	}{
		{"no line", nil, line("", presence.LineUnknown, false)},
		{"one line", []presence.Line{line("1", presence.LineRinging, false)}, line("1", presence.LineRinging, false)},
		{"first of equals", []presence.Line{line("1", presence.LineIdle, false), line("2", presence.LineIdle, false)}, line("1", presence.LineIdle, false)},
		{"connected before held", []presence.Line{line("1", presence.LineHeld, false), line("2", presence.LineConnected, false)}, line("2", presence.LineConnected, false)},
		{"held before ringing", []presence.Line{line("1", presence.LineRinging, false), line("2", presence.LineHeld, false)}, line("2", presence.LineHeld, false)},
		{"ringing before idle", []presence.Line{line("1", presence.LineIdle, false), line("2", presence.LineRinging, false)}, line("2", presence.LineRinging, false)},
		{"idle before out of service", []presence.Line{line("1", presence.LineOutOfService, false), line("2", presence.LineIdle, false)}, line("2", presence.LineIdle, false)},
		{"out of service before unknown", []presence.Line{line("1", presence.LineUnknown, false), line("2", presence.LineOutOfService, false)}, line("2", presence.LineOutOfService, false)},
		{"do-not-disturb of any", []presence.Line{line("1", presence.LineConnected, false), line("2", presence.LineIdle, true)}, line("1", presence.LineConnected, true)},
		{"undocumented alone", []presence.Line{line("1", "parked", false)}, line("1", "parked", false)},
		{"undocumented is weak", []presence.Line{line("1", "parked", false), line("2", presence.LineIdle, false)}, line("2", presence.LineIdle, false)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, presence.Strongest(tt.lines...)) })
	}
}

func TestStrongestDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.Custom(func(t *rapid.T) presence.Line {
			return presence.Line{State: rapid.SampledFrom(presence.LineStates()).Draw(t, "state"), DoNotDisturb: rapid.Bool().Draw(t, "dnd")}
		})).Draw(t, "lines")
		shuffled := rapid.Permutation(slices.Clone(lines)).Draw(t, "shuffled")
		assert.True(t, presence.Strongest(lines...).SameState(presence.Strongest(shuffled...)))
	})
}

func TestLine(t *testing.T) {
	l := presence.Line{Endpoint: "1", State: presence.LineConnected, DoNotDisturb: true}
	assert.Equal(t, "connected+dnd", l.String())
	assert.True(t, l.SameState(presence.Line{Endpoint: "2", State: presence.LineConnected, DoNotDisturb: true}))
	assert.False(t, l.SameState(presence.Line{State: presence.LineConnected}))
	assert.True(t, presence.Line{State: presence.LineUnknown, DoNotDisturb: true}.Known())
	assert.False(t, presence.Line{State: presence.LineUnknown}.Known())
	assert.Equal(t, "idle", presence.Line{State: presence.LineIdle}.String())
}

func TestCapabilities(t *testing.T) {
	for _, pbx := range []presence.PBX{presence.MiVoiceBusiness, presence.MXONE, presence.MiVoice5000, presence.MiVoiceOffice400} {
		assert.True(t, presence.DefaultCapabilities()[pbx].LineToTeams, pbx)
		assert.Equal(t, pbx == presence.MiVoiceBusiness, presence.DefaultCapabilities()[pbx].TeamsToMiCollab, pbx)
		assert.Equal(t, pbx != presence.MiVoiceOffice400, presence.ExtendedCapabilities()[pbx].TeamsToMiCollab, pbx)
	}
	assert.Zero(t, presence.DefaultCapabilities()["Asterisk"])
}

type retryError time.Duration

func (e retryError) Error() string             { return "later" }
func (e retryError) RetryAfter() time.Duration { return time.Duration(e) }

func TestRetryAfter(t *testing.T) {
	wait, ok := presence.RetryAfter(fmt.Errorf("wrapped: %w", errors.Join(presence.ErrThrottled, retryError(time.Second))))
	assert.True(t, ok)
	assert.Equal(t, time.Second, wait)

	_, ok = presence.RetryAfter(retryError(0))
	assert.False(t, ok)
	_, ok = presence.RetryAfter(presence.ErrThrottled)
	assert.False(t, ok)
	_, ok = presence.RetryAfter(nil)
	assert.False(t, ok)
}
