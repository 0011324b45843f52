package verify

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestAcceptedWarnings(t *testing.T) {
	p := newPlant()
	p.roster.Excluded = []presence.Exclusion{{Side: presence.SideCloudLink, ID: "x", Email: "lobby@example.com", Reason: presence.ReasonUnmatched, Detail: "no Entra account has it"}}
	r := p.only(t, &SystemOptions{Accepted: []string{"users-unmatched"}}, CodeUsersUnmatched)[0]
	assert.Equal(t, Passed, r.Status)
	assert.Empty(t, r.Sentence+r.Remedy+string(r.Administrator))
	require.NotEmpty(t, r.Evidence)
	accepted := r.Evidence[len(r.Evidence)-1]
	assert.Equal(t, "accepted warning", accepted.Name)
	assert.Contains(t, accepted.Value, "lobby@example.com")

	// Of one subject, and of no other; never what fails.
	made := []Check{made("of-monitors", warned("Not well.", "Mend it.")), made("broken", failed("Broken.", "Mend it."))}
	made[0].Per = PerMonitor
	c, err := NewSystemCheck(p.sources(), p.settings(), &SystemOptions{Accepted: []string{"monitor-mail[MONITOR1@example.com]", "entra-secret"}})
	require.NoError(t, err)
	c.checks = made
	c.opts.Accepted = []string{"of-monitors[MONITOR1@example.com]", "broken"}
	report, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, []Status{Passed, Warned, Failed}, []Status{report.Results[0].Status, report.Results[1].Status, report.Results[2].Status})

	_, err = NewSystemCheck(p.sources(), p.settings(), &SystemOptions{Accepted: []string{"users-unmached"}})
	require.ErrorIs(t, err, ErrUnknownCode)
	require.ErrorContains(t, err, "users-unmached")
}

// Ten are named in the sentence, and everybody in the result: nobody is dropped
// silently.
func TestEverybodyIsNamed(t *testing.T) {
	p := newPlant()
	for i := range 40 {
		p.roster.Excluded = append(p.roster.Excluded, presence.Exclusion{Side: presence.SideCloudLink, ID: fmt.Sprint(i), Email: fmt.Sprintf("user%02d@example.com", i), Reason: presence.ReasonUnmatched})
		p.overflow = append(p.overflow, fmt.Sprintf("id-%02d", i))
	}
	for _, code := range []Code{CodeUsersUnmatched, CodeUsersWatched} {
		r := p.only(t, nil, code)[0]
		assert.Contains(t, r.Sentence, "and 30 more")
		assert.Len(t, r.Names, 40)
	}
	assert.Contains(t, p.only(t, nil, CodeUsersUnmatched)[0].Names[39], "user39@example.com")
}

// A run that is ended waits until a check has taken back what it has set.
func TestACheckCleansUpBeforeTheRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cleaned := false
		check := made("sets", fine)
		check.cleanUp = 10 * time.Second
		check.run = func(ctx context.Context, _ *facts, _ string) finding {
			<-ctx.Done()
			time.Sleep(9 * time.Second)
			cleaned = true
			return passed()
		}
		c := engine(t, newPlant(), nil, check)
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		_, _ = c.Run(ctx, nil)
		assert.True(t, cleaned)
		for _, check := range Checks() {
			assert.Equal(t, check.Code == CodeProbe, check.cleanUp > 0, check.Code)
		}
	})
}
