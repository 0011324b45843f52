package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestEachPersonHasTheirOwnTable(t *testing.T) {
	mapping, err := newMapping()
	require.NoError(t, err)
	inAMeeting := presence.Presence{Availability: presence.Busy, Activity: presence.ActivityInAMeeting}
	inACall := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	want := []struct {
		status       presence.Status
		ringing, dnd presence.Effect
		session      presence.Session
	}{
		{status: presence.StatusBusy, ringing: presence.Clear, dnd: presence.Set},
		{status: "Desk taken", ringing: presence.Set, session: inACall, dnd: presence.Set},
		{status: "Desk taken", ringing: presence.Clear, dnd: presence.Leave},
	}
	require.Len(t, people(), len(want))
	for i, p := range people() {
		t.Run(p.user.Email, func(t *testing.T) {
			table := mapping.For(p.user)
			status, _ := table.Status(inAMeeting)
			assert.Equal(t, want[i].status, status)
			session, effect := table.Session(presence.Line{State: presence.LineRinging})
			assert.Equal(t, want[i].ringing, effect)
			assert.Equal(t, want[i].session, session)
			_, effect = table.Session(presence.Line{State: presence.LineIdle, DoNotDisturb: true})
			assert.Equal(t, want[i].dnd, effect)
		})
	}
}

func TestPrintsTablesAndLookUps(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(&out))
	for _, p := range people() {
		assert.Contains(t, out.String(), p.who+"\n")
	}
	assert.Contains(t, out.String(), "    teams Busy/* -> Desk taken\n", "a row of a table")
	assert.Regexp(t, `phone outOfService +\(clear\) +everyone, line 3\n`, out.String())
	assert.Regexp(t, `teams Away/Away +\(leave\) +user anna@example\.com, line 5\n`, out.String())
	assert.Regexp(t, `teams Hibernating/Away +\(leave\) +no rule: what is unknown changes nothing\n`, out.String())
}
