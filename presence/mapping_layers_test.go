package presence_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

var inACall = presence.Presence{Availability: presence.Busy, Activity: presence.ActivityInACall}

func status(table *presence.Table, p presence.Presence) presence.Status {
	s, _ := table.Status(p)
	return s
}

func TestHigherLayerIsAskedFirst(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{
		Everyone: parsed(t, "teams Busy/InACall -> everyone"),
		Groups: map[string]presence.Rules{
			"Sales":   parsed(t, "teams Busy/InACall -> sales\nteams Away/Away -> sales away"),
			"Support": parsed(t, "teams Busy/InACall -> support\nteams Offline/Offline -> support offline"),
		},
		Users: map[string]presence.Rules{
			" Anna@Example.com ": parsed(t, "teams Busy/InACall -> anna"),
			"ID-BEA":             parsed(t, "teams Busy/InACall -> bea by id"),
			"bea@example.com":    parsed(t, "teams Busy/InACall -> bea\nteams Away/Away -> bea away"),
		},
	})
	require.NoError(t, err)
	away := presence.Presence{Availability: presence.Away, Activity: presence.ActivityAway}
	tests := []struct {
		name         string
		user         presence.User
		inACall      presence.Status
		away         presence.Status
		decidingRule string
	}{
		{"no layer of its own", presence.User{Email: "x@example.com"}, "everyone", "Away", "everyone"},
		{"group", presence.User{Groups: []string{"sales"}}, "sales", "sales away", "group Sales"},
		{"first group decides", presence.User{Groups: []string{"support", "SALES"}}, "support", "sales away", "group Support"},
		{"unknown group", presence.User{Groups: []string{"nobody"}}, "everyone", "Away", "everyone"},
		{"user by e-mail", presence.User{Email: "anna@example.com", Groups: []string{"Sales"}}, "anna", "sales away", "user Anna@Example.com"},
		{"user by id and e-mail", presence.User{TeamsID: "id-bea", Email: "bea@example.com"}, "bea by id", "bea away", "user ID-BEA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := mapping.For(tt.user)
			assert.Equal(t, tt.inACall, status(table, inACall))
			assert.Equal(t, tt.away, status(table, away))
			assert.Equal(t, tt.decidingRule, table.StatusRule(inACall).Layer)
			assert.Same(t, table, mapping.For(tt.user))
		})
	}
}

func TestSpecificity(t *testing.T) {
	const (
		exactOOF = "teams Busy/InACall +outofoffice -> exact oof\n"
		exact    = "teams Busy/InACall -> exact\n"
		anyActO  = "teams Busy/* +outofoffice -> any activity oof\n"
		anyAct   = "teams Busy/* -> any activity\n"
		anyAv    = "teams */InACall -> any availability\n"
		own      = "teams Busy/Busy -> own row\n"
	)
	tests := []struct {
		name        string
		text        string
		outOfOffice bool
		want        presence.Status
	}{
		{"exact with out of office", anyAv + anyAct + anyActO + exact + exactOOF, true, "exact oof"},
		{"out of office is required", anyAv + anyAct + anyActO + exact + exactOOF, false, "exact"},
		{"exact before any activity", anyAv + anyAct + anyActO + exact, true, "exact"},
		{"any activity with out of office", anyAv + anyAct + anyActO, true, "any activity oof"},
		{"any activity before any availability", anyAv + anyAct, true, "any activity"},
		{"any availability before own row", anyAv + own, true, "any availability"},
		{"own row", own, true, "own row"},
		{"own row out of office", own + "teams Busy/Busy +outofoffice -> own row oof", true, "own row oof"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mapping, err := presence.NewMapping(&presence.Layers{Base: parsed(t, tt.text)})
			require.NoError(t, err)
			p := inACall
			p.OutOfOffice = tt.outOfOffice
			assert.Equal(t, tt.want, status(mapping.For(presence.User{}), p))
		})
	}
}

func TestVaguerRuleOfHigherLayerWins(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{Everyone: parsed(t, "teams Busy/* -> Busy")})
	require.NoError(t, err)
	assert.Equal(t, presence.StatusBusy, status(mapping.For(presence.User{}), inACall))
}

func TestOwnRowIsAskedAfterAllLayers(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{Everyone: parsed(t, "teams Busy/Busy -> everyone")})
	require.NoError(t, err)
	table := mapping.For(presence.User{})
	assert.Equal(t, presence.StatusInACall, status(table, inACall), "the default layer has a rule for the pair")
	assert.Equal(t, presence.Status("everyone"), status(table, presence.Presence{Availability: presence.Busy, Activity: "Juggling"}))
}

func TestUnknownIsLeftUnlessListed(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{
		Everyone: parsed(t, `teams */Available -> any
			teams PresenceUnknown/OffWork -> Offline
			teams "Sleeping"/* -> Away
			teams "Dozing"/"Dozing" -> Be right back
			teams */"Juggling" -> Busy
			phone "parked" -> Busy/InACall`),
	})
	require.NoError(t, err)
	table := mapping.For(presence.User{})
	tests := []struct {
		availability presence.Availability
		activity     presence.Activity
		want         presence.Status
	}{
		{presence.AvailabilityUnknown, presence.ActivityAvailable, ""},
		{presence.AvailabilityUnknown, presence.ActivityOffWork, presence.StatusOffline},
		{"Hibernating", presence.ActivityAvailable, ""},
		{"Hibernating", "Juggling", ""},
		{"SLEEPING", presence.ActivityAvailable, presence.StatusAway},
		{"sleeping", "snoring", presence.StatusAway},
		{"dozing", "anything", presence.StatusBeRightBack},
		{presence.Busy, "juggling", presence.StatusBusy},
		{presence.Away, "juggling", presence.StatusBusy},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, status(table, presence.Presence{Availability: tt.availability, Activity: tt.activity}),
			"%s/%s", tt.availability, tt.activity)
	}
	session, effect := table.Session(presence.Line{State: "Parked"})
	assert.Equal(t, presence.Set, effect)
	assert.Equal(t, presence.ActivityInACall, session.Activity)
}

func TestRuleForAStateDoesNotHideDoNotDisturb(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{
		Everyone: parsed(t, "phone idle -> Available/Available\nphone dnd+ringing -> leave"),
	})
	require.NoError(t, err)
	table := mapping.For(presence.User{})

	session, _ := table.Session(presence.Line{State: presence.LineIdle})
	assert.Equal(t, presence.Available, session.Availability)
	session, _ = table.Session(presence.Line{State: presence.LineIdle, DoNotDisturb: true})
	assert.Equal(t, presence.DoNotDisturb, session.Availability)
	_, effect := table.Session(presence.Line{State: presence.LineRinging, DoNotDisturb: true})
	assert.Equal(t, presence.Leave, effect)
}

func TestDoNotDisturbWithoutARuleOfItsOwn(t *testing.T) {
	mapping, err := presence.NewMapping(&presence.Layers{Base: parsed(t, "phone connected -> Busy/InACall")})
	require.NoError(t, err)
	session, effect := mapping.For(presence.User{}).Session(presence.Line{State: presence.LineConnected, DoNotDisturb: true})
	assert.Equal(t, presence.Set, effect)
	assert.Equal(t, presence.ActivityInACall, session.Activity)
}

func TestUsersWithTheSameLayersShareATable(t *testing.T) {
	rules := parsed(t, "teams Busy/Busy -> x")
	mapping, err := presence.NewMapping(&presence.Layers{
		Groups: map[string]presence.Rules{"a": rules, "b": rules},
		Users:  map[string]presence.Rules{"u": rules},
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	tables := make([]*presence.Table, 8)
	for i := range tables {
		wg.Go(func() {
			tables[i] = mapping.For(presence.User{TeamsID: string(rune('0' + i)), Groups: []string{"a", "b", "a"}})
		})
	}
	wg.Wait()
	for _, table := range tables {
		assert.Same(t, tables[0], table)
	}
	assert.Same(t, tables[0], mapping.For(presence.User{Groups: []string{"A", "none", "B"}}))
	assert.NotSame(t, tables[0], mapping.For(presence.User{Groups: []string{"b", "a"}}))
	assert.NotSame(t, tables[0], mapping.For(presence.User{}))
	assert.Same(t, mapping.For(presence.User{TeamsID: "1"}), mapping.For(presence.User{TeamsID: "2"}))
	assert.NotSame(t, mapping.For(presence.User{TeamsID: "U"}), mapping.For(presence.User{}))
}

func TestNewMappingReportsAllFaults(t *testing.T) {
	rules := parsed(t, "teams Busy/Busy -> x")
	_, err := presence.NewMapping(&presence.Layers{
		Groups: map[string]presence.Rules{"Sales": rules, "sales ": rules},
		Users:  map[string]presence.Rules{" ": rules, "a@x": rules, "A@X": rules},
	})
	require.Error(t, err)
	assert.ErrorContains(t, err, `group "sales " is there twice`)
	assert.ErrorContains(t, err, "a user has no name")
	assert.ErrorContains(t, err, `user "a@x" is there twice`)
}

func TestNilLayersAreTheDefault(t *testing.T) {
	mapping, err := presence.NewMapping(nil)
	require.NoError(t, err)
	assert.Equal(t, presence.DefaultTable().Rules().String(), mapping.For(presence.User{Groups: []string{"x"}}).Rules().String())
}
