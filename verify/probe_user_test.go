package verify

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// whom notes for whom sessions are set and cleared.
type whom struct {
	*teams
	ids []string
}

func (w *whom) SetPresence(ctx context.Context, id string, session presence.Session, lifetime time.Duration) error {
	w.ids = append(w.ids, "set "+id)
	return w.teams.SetPresence(ctx, id, session, lifetime)
}

func (w *whom) ClearPresence(ctx context.Context, id string) error {
	w.ids = append(w.ids, "clear "+id)
	return w.teams.ClearPresence(ctx, id)
}

// probing is a check that can only probe.
func probing(t *testing.T, sessions Sessions, opts *SystemOptions) *SystemCheck {
	t.Helper()
	p := newPlant()
	p.roster.TeamsOnly = []presence.TeamsUser{{ID: "id-test", PrincipalName: "Test@Example.com", Mail: "probe@example.com"}}
	sources := p.sources()
	sources.Sessions = sessions
	c, err := NewSystemCheck(sources, p.settings(), opts)
	require.NoError(t, err)
	for _, check := range c.checks {
		if check.Code == CodeProbe {
			check.DependsOn = nil
			c.checks = []Check{check}
			break
		}
	}
	return c
}

// TestProbeUserIsNamedByAddressOrID: in the options or for one run.
func TestProbeUserIsNamedByAddressOrID(t *testing.T) {
	known := newPlant().roster.Users[0]
	for name, id := range map[string]string{
		known.Email: known.TeamsID, "test@example.com": "id-test", "PROBE@example.com": "id-test", "id-of-somebody": "id-of-somebody",
	} {
		synctest.Test(t, func(t *testing.T) {
			sessions := &whom{teams: newTeams()}
			report, err := probing(t, sessions, &SystemOptions{ProbeUser: name}).Run(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, Passed, report.Results[0].Status, name)
			assert.Equal(t, []string{"set " + id, "clear " + id}, sessions.ids, name)

			sessions.ids = nil
			report, err = probing(t, sessions, nil).Run(t.Context(), &RunOptions{ProbeUser: name})
			require.NoError(t, err)
			assert.Equal(t, Passed, report.Results[0].Status, name)
			assert.Equal(t, []string{"set " + id, "clear " + id}, sessions.ids, name)
		})
	}
}

func TestProbeOfNobodySetsNothing(t *testing.T) {
	sessions := &whom{teams: newTeams()}
	report, err := probing(t, sessions, nil).Run(t.Context(), &RunOptions{ProbeUser: "nobody@example.com"})
	require.NoError(t, err)
	result := report.Results[0]
	assert.Equal(t, Failed, result.Status)
	assert.Equal(t, "Nobody whom the bridge has read from the directories has the address nobody@example.com, which is to be the test user's.", result.Sentence)
	assert.Equal(t, Operator, result.Administrator)
	assert.Empty(t, sessions.ids)
}

func TestRunCannotProbeWithoutSessions(t *testing.T) {
	c := probing(t, nil, nil)
	report, err := c.Run(t.Context(), &RunOptions{ProbeUser: "test@example.com"})
	assert.Nil(t, report)
	require.ErrorContains(t, err, "there is no probe: SystemSources.Sessions is missing")

	client, _ := serving(t, c, nil, nil)
	_, err = client.Run(t.Context(), &RunOptions{ProbeUser: "test@example.com"})
	require.ErrorContains(t, err, "there is no probe here")
}

// TestClientNamesTheProbeUser: what the bridge probes is what its client asks for.
func TestClientNamesTheProbeUser(t *testing.T) {
	sessions := &whom{teams: newTeams()}
	client, server := serving(t, probing(t, sessions, nil), nil, nil)
	report, err := client.Run(t.Context(), &RunOptions{ProbeUser: "nobody@example.com"})
	require.NoError(t, err)
	assert.Contains(t, report.Results[0].Sentence, "nobody@example.com")

	long := url.Values{"probe": {string(make([]byte, maxEmail+1))}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/admin/verify/system?"+long.Encode(), nil)
	require.NoError(t, err)
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	assert.Empty(t, sessions.ids)
}
