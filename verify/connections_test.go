package verify

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// connection returns what the plant's bridge tells of a connection.
func (p *plant) connection(name string) *presencebridge.Health {
	for i := range p.health {
		if p.health[i].Connection == name {
			return &p.health[i]
		}
	}
	return nil
}

// advisedError says what to do.
type advisedError struct{ error }

func (e advisedError) Error() string { return e.error.Error() + ": " + e.Remedy() }
func (advisedError) Remedy() string  { return "do what the error says" }

func TestConnections(t *testing.T) {
	failing := func(name string, err error) func(*plant) {
		return func(p *plant) {
			h := p.connection(name)
			h.State, h.Since, h.Err, h.Error = presencebridge.StateFailing, time.Now().Add(-time.Hour), err, err.Error()
		}
	}
	throttled := func(p *plant) {
		h := p.connection("teams-write")
		h.State, h.Since, h.PausedUntil = presencebridge.StateThrottled, time.Now().Add(-time.Minute), time.Now().Add(10*time.Minute)
	}
	for _, test := range []struct {
		name     string
		breaks   func(*plant)
		code     Code
		status   Status
		sentence string
		remedy   string
	}{
		{"healthy directory", func(*plant) {}, CodeConnectionDirectory, Passed, "", ""},
		{"healthy Teams", func(*plant) {}, CodeConnectionTeams, Passed, "", ""},
		{"healthy CloudLink", func(*plant) {}, CodeConnectionCloudLink, Passed, "", ""},
		{"directory fails", failing("directory", errors.New("server says 500")), CodeConnectionDirectory, Failed, "cannot read the users of both sides since 1999-12-31 23:00 UTC: server says 500.", "tries again by itself"},
		{"an error that says what to do", failing("teams-read", advisedError{presence.ErrForbidden}), CodeConnectionTeams, Failed, "cannot read Teams presence since 1999-12-31 23:00 UTC: forbidden.", "Do what the error says."},
		{"nobody is listed", failing("directory", fmt.Errorf("%w: until noon", presencebridge.ErrEmptyRoster)), CodeConnectionDirectory, Failed, "lists nobody since 1999-12-31 23:00 UTC, and the bridge goes on with the 3 users", "role of the CloudLink credentials"},
		{"lines fail", failing("phone-read", errors.New("no route")), CodeConnectionCloudLink, Failed, "cannot read line states", ""},
		{"MiCollab fails", failing("micollab-write", errors.New("no route")), CodeConnectionCloudLink, Failed, "cannot write MiCollab statuses", ""},
		{"of another service", failing("micollab-write", errors.New("no route")), CodeConnectionTeams, Passed, "", ""},
		{"throttled", throttled, CodeConnectionTeams, Warned, "throttles the bridge since 1999-12-31 23:59 UTC when it wants to write Teams presence, and asks for a pause until 2000-01-01 00:10 UTC", "gets slower by itself"},
		{"throttled and failing", func(p *plant) { throttled(p); failing("teams-read", errors.New("no route"))(p) }, CodeConnectionTeams, Failed, "cannot read Teams presence", ""},
		{"both fail", func(p *plant) {
			failing("teams-write", errors.New("no way"))(p)
			failing("teams-read", errors.New("no route"))(p)
		}, CodeConnectionTeams, Failed, "no route. The bridge cannot write Teams presence", ""},
		{"never read", func(p *plant) {
			*p.connection("directory") = presencebridge.Health{Connection: "directory", State: presencebridge.StateUnused}
		}, CodeConnectionDirectory, Failed, "has not read the users yet", "start the bridge"},
		{"nothing asked yet", func(p *plant) {
			*p.connection("micollab-write") = presencebridge.Health{Connection: "micollab-write", State: presencebridge.StateUnused}
		}, CodeConnectionCloudLink, Passed, "", ""},
		{"nothing asked of anybody", func(p *plant) {
			for _, name := range []string{"teams-read", "teams-write"} {
				*p.connection(name) = presencebridge.Health{Connection: name, State: presencebridge.StateUnused}
			}
		}, CodeConnectionTeams, NotApplicable, "has not asked for anything there yet", ""},
		{"not told", func(p *plant) { p.health = p.health[:1] }, CodeConnectionTeams, Warned, "does not tell of its connection teams-read", "tells of all its connections"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant()
				test.breaks(p)
				r := p.oneOf(t, test.code, SystemOptions{}, nil)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Contains(t, r.Remedy, test.remedy)
				for _, e := range r.Evidence {
					assert.NotEmpty(t, e.Value)
				}
				assert.Equal(t, test.name == "not told", len(r.Evidence) == 0, "what is known of the connections is told in any case")
			})
		})
	}
	p := newPlant()
	*p.connection("micollab-read") = presencebridge.Health{Connection: "micollab-read", State: presencebridge.StateUnused}
	r := p.oneOf(t, CodeConnectionCloudLink, SystemOptions{}, nil)
	assert.Equal(t, "unused, nothing has been asked yet", evidenceOf(r, "micollab-read"))
	assert.Equal(t, "3", evidenceOf(p.oneOf(t, CodeConnectionDirectory, SystemOptions{}, nil), "users"))
}

func TestThrottling(t *testing.T) {
	for _, test := range []struct {
		name     string
		breaks   func(*plant)
		status   Status
		sentence string
	}{
		{"headroom", func(*plant) {}, Passed, ""},
		{"just below", func(p *plant) { p.usage[0].Used = 1199 }, Passed, ""},
		{"used up", func(p *plant) { p.usage[0].Used = 1200 }, Warned, `Of the budget "presence", 1200 of 1500 units were used within 30s.`},
		{"the budget of a second", func(p *plant) {
			p.usage[0] = presence.BudgetUsage{Name: "cloudlink", Used: 10, Units: 10, Window: time.Second}
		}, Passed, ""},
		{"resting, and of a second", func(p *plant) {
			p.usage[0] = presence.BudgetUsage{Name: "cloudlink", Units: 10, Window: time.Second, PausedUntil: time.Now().Add(time.Minute)}
		}, Warned, `The budget "cloudlink" rests`},
		{"resting", func(p *plant) { p.usage[0].PausedUntil = time.Now().Add(time.Minute) }, Warned, `The budget "presence" rests until 2000-01-01 00:01 UTC`},
		{"rested", func(p *plant) { p.usage[0].PausedUntil = time.Now().Add(-time.Second) }, Passed, ""},
		{"no budget", func(p *plant) { p.usage[0] = presence.BudgetUsage{Name: "x"} }, Passed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant()
				test.breaks(p)
				r := p.oneOf(t, CodeThrottling, SystemOptions{}, nil)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Equal(t, "3 users in 1 request", evidenceOf(r, "reading everybody once"))
			})
		})
	}
	p := newPlant()
	assert.Equal(t, "12 of 1500 in 30s", evidenceOf(p.oneOf(t, CodeThrottling, SystemOptions{}, nil), "presence"))
	assert.Equal(t, Warned, p.oneOf(t, CodeThrottling, SystemOptions{UsageWarning: 0.008}, nil).Status)
	r := p.oneOf(t, CodeThrottling, SystemOptions{}, func(s *SystemSources, _ *SystemSettings) { s.Usage = nil })
	assert.Equal(t, Passed, r.Status)
	assert.Contains(t, r.Basis, "nobody has given the clients' counts")
}

// A service that throttles is told once, by the check of its connection.
func TestThrottledConnectionIsToldOnce(t *testing.T) {
	p := newPlant()
	p.connection("phone-read").State = presencebridge.StateThrottled
	c, err := NewSystemCheck(p.sources(), p.settings(), &SystemOptions{Resolver: p})
	require.NoError(t, err)
	report, err := c.Run(t.Context(), &RunOptions{Only: []Code{CodeThrottling}})
	require.NoError(t, err)
	assert.Equal(t, []string{string(CodeConnectionCloudLink)}, resultNames(report.Troubles()))
	r, _ := report.Result(CodeThrottling, "")
	assert.Equal(t, Skipped, r.Status)
}
