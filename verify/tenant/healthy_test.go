package tenant_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/verify"
)

func TestAHealthySystemPassesAllChecks(t *testing.T) {
	inSystem(t, nil, func(s *system) {
		began := time.Now()
		s.passes()
		assert.Less(t, time.Since(began), time.Minute, "in the time of the bubble")
		assert.Equal(t, verify.ExitPassed, s.check.Last().ExitCode())
	})
}

// areas are those of the checks by name.
func areas(r *verify.Report, of verify.Area) (all []string) {
	for _, result := range r.Results {
		if result.Area == of {
			all = append(all, result.Name())
		}
	}
	return all
}

// A one-way bridge that has everything lacks nothing, and what is only for the other
// direction does not apply.
func TestAOneWayBridgeIsToldWhatAnUpgradeLacks(t *testing.T) {
	lacks := func(r *verify.Report) (all []string) {
		result, _ := r.Result(verify.CodeUpgrade, "")
		for _, lack := range result.Lacks {
			all = append(all, string(lack.Kind)+": "+lack.Name)
			assert.NotEmpty(t, lack.Remedy, lack.Name)
			assert.NotEmpty(t, lack.Administrator, lack.Name)
		}
		return all
	}
	oneWay := func(c *configuration) { c.direction = presencebridge.OneWay }

	t.Run("nothing", func(t *testing.T) {
		inSystem(t, oneWay, func(s *system) {
			report := s.run()
			assert.Empty(t, troubles(report), sentences(report))
			assert.Empty(t, lacks(report))
			// Nobody is watched, because nothing is done with what would be heard.
			expected := slices.Concat(areas(report, verify.AreaMiCollab), nobodyToHearOf, []string{"users-watched", "bidirectional-ready", "probe-notification"})
			assert.Equal(t, expected, aside(report))
			assert.Zero(t, report.Count(verify.Skipped))
			assert.Equal(t, verify.ExitPassed, report.ExitCode())
		})
	})

	t.Run("all of it", func(t *testing.T) {
		inSystem(t, func(c *configuration) {
			oneWay(c)
			c.withoutMonitors, c.notificationURL = true, ""
			c.miCollab.Server = micollab.Server{Version: micollab.Version{Major: 9, Minor: 7}}
		}, func(s *system) {
			s.change(func(a *graphtest.Application) {
				a.RedirectURIs, a.DeclaredDelegatedPermissions = []string{}, without(a.DelegatedPermissions, "Presence.Read.All")
			})
			report := s.run()
			assert.Empty(t, troubles(report), sentences(report))
			assert.Equal(t, []string{
				"delegated-permission: the delegated permission Presence.Read.All",
				"redirect-uri: the redirect URI " + signInURL + " in Entra",
				"presence-monitors: 1 presence monitor with a client secret of its own",
				"notification-url: a notification URL",
				"micollab: the MiCollab address",
				"micollab: the MiCollab password",
				"micollab: MiCollab 9.8 SP1 or later",
				"micollab: MiCollab's Microsoft Teams integration",
				"micollab: MiCollab's CloudLink integration",
			}, sortedLike(lacks(report)))
			for _, name := range slices.Concat(areas(report, verify.AreaMonitors), areas(report, verify.AreaNotifications)) {
				assert.Contains(t, aside(report), name)
			}
		})
	})
}

// sortedLike puts the conditions of MiCollab, whose order is their own business, into
// one order.
func sortedLike(lacks []string) []string {
	order := []string{"delegated", "redirect", "presence-monitors", "notification", "micollab: a valid", "micollab: the", "micollab: MiCollab 9", "micollab: MiCollab's Mi", "micollab: MiCollab's C"}
	rank := func(s string) int {
		return slices.IndexFunc(order, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
	}
	slices.SortStableFunc(lacks, func(a, b string) int { return rank(a) - rank(b) })
	return lacks
}

// What no published interface tells, and nobody has entered, is not taken for granted.
func TestWhatNobodyHasToldIsWarnedOf(t *testing.T) {
	inSystem(t, func(c *configuration) { c.withoutFacts = true }, func(s *system) {
		report := s.run()
		assert.Equal(t, []string{
			"gateway-integration warning", "gateway-pbx warning", "micollab-address warning", "micollab-cloudlink-integration warning",
			"micollab-password warning", "micollab-teams-integration warning", "micollab-version warning",
		}, troubles(report))
		for _, trouble := range report.Troubles() {
			assert.Contains(t, trouble.Sentence, "Nobody has told")
			assert.Equal(t, verify.Operator, trouble.Administrator)
		}
		assert.Equal(t, verify.ExitWarned, report.ExitCode())
	})
}

// Both sides hang: each is named once, and the run ends.
func TestARunEndsWhenNothingAnswers(t *testing.T) {
	inSystem(t, nil, func(s *system) {
		s.graph.Control(0, graphtest.Match("", "**", graphtest.Reply{Delay: time.Hour}))
		s.mitel.Control(0, cloudlinktest.Match("", ".*", cloudlinktest.Reply{Delay: time.Hour}))
		began := time.Now()
		report := s.run()
		assert.Equal(t, []string{"cloudlink-reachable failed", "entra-reachable failed"}, troubles(report), sentences(report))
		assert.Less(t, time.Since(began), 2*time.Minute, "in the time of the bubble")
		assert.True(t, report.Complete)
		assert.Equal(t, verify.ExitFailed, report.ExitCode())
	})
}

// Services repeat in their answers what they were sent, tokens and secrets included.
func TestNoAnswerBringsASecretIntoAReport(t *testing.T) {
	inSystem(t, nil, func(s *system) {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError} {
			echo := func(r *http.Request) *graphtest.Reply {
				_ = r.ParseForm()
				said, err := json.Marshal(r.Header.Get("Authorization") + " " + r.PostForm.Encode())
				if err != nil {
					return nil
				}
				body := fmt.Sprintf(`{"error":{"code":%[1]s,"message":%[1]s},"error_description":%[1]s,"name":%[1]s,"message":%[1]s,"correlationId":%[1]s,"role":%[1]s,"accountId":%[1]s,"displayName":%[1]s}`, said)
				return &graphtest.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
			}
			stopGraph, stopMitel := s.graph.Control(0, echo), s.mitel.Control(0, echo)
			report := s.run() // which looks for secrets
			assert.NotEmpty(t, report.Troubles(), status)
			time.Sleep(10 * time.Minute)
			s.run()
			stopGraph()
			stopMitel()
		}
		s.settle()
		s.passes()
	})
}
