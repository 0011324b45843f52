package verify

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChecksAreSound holds the table to what its readers and the engine rely on.
func TestChecksAreSound(t *testing.T) {
	checks := Checks()
	byCode := make(map[Code]Check, len(checks))
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	areas := []Area{AreaEntra, AreaCloudLink, AreaMiCollab, AreaMonitors, AreaNotifications, AreaPeople, AreaService, AreaReadiness}
	administrators := []Administrator{AzureAdministrator, CloudLinkAdministrator, MiCollabAdministrator, Operator}
	area := 0
	for _, c := range checks {
		assert.Regexp(t, kebab, string(c.Code))
		assert.NotContains(t, byCode, c.Code, "a code names one check")
		byCode[c.Code] = c
		for area < len(areas) && areas[area] != c.Area {
			area++
		}
		require.Less(t, area, len(areas), "%s: %q is no area, or the checks of an area are not together", c.Code, c.Area)
		assert.Contains(t, administrators, c.Administrator, c.Code)
		assert.Contains(t, []Severity{SeverityError, SeverityWarning}, c.Severity, c.Code)
		assert.Contains(t, []SubjectKind{"", PerMonitor, PerApplicationPermission, PerDelegatedPermission}, c.Per, c.Code)
		assert.NotEmpty(t, c.Title, c.Code)
		assert.False(t, strings.HasSuffix(c.Title, "."), "%s: a title is no sentence", c.Code)
		assert.NotEmpty(t, c.Basis, c.Code)
		for _, text := range []string{c.Meaning, c.Remedy} {
			assert.True(t, strings.HasSuffix(text, "."), "%s: %q does not end with a full stop", c.Code, text)
			assert.Regexp(t, `^\p{Lu}`, text, c.Code)
			assert.NotContains(t, text, "  ", c.Code)
		}
		assert.NotNil(t, c.run, c.Code)
	}
	for _, c := range checks {
		for _, d := range c.DependsOn {
			on, ok := byCode[d.Code]
			require.True(t, ok, "%s depends on %s, which is not there", c.Code, d.Code)
			assert.True(t, d.Subject == "" || on.Per != "", "%s depends on %s of %s, which is made once", c.Code, d.Code, d.Subject)
		}
	}
	state := make(map[Code]int) // 1: on the way down, 2: done
	var visit func(code Code)
	visit = func(code Code) {
		require.NotEqual(t, 1, state[code], "%s depends on itself", code)
		if state[code] == 2 {
			return
		}
		state[code] = 1
		for _, d := range byCode[code].DependsOn {
			visit(d.Code)
		}
		state[code] = 2
	}
	for code := range byCode {
		visit(code)
	}
}

func TestChecksOfAPermissionDependOnOneThatIsAskedFor(t *testing.T) {
	asked := map[bool][]string{}
	for _, p := range newPlant().permissions {
		asked[p.Delegated] = append(asked[p.Delegated], p.Name)
	}
	for _, c := range Checks() {
		for _, d := range c.DependsOn {
			if d.Subject != "" {
				assert.Contains(t, asked[false], d.Subject, "%s depends on a permission that nobody asks for", c.Code)
			}
		}
	}
}

func TestCheckJSON(t *testing.T) {
	data, err := json.Marshal(Check{Code: "a-code", Area: AreaPeople, Title: "It is so", Per: PerMonitor, DependsOn: strictly("other"), Severity: SeverityError, Meaning: "M.", Remedy: "R.", Administrator: Operator, Basis: "b"})
	require.NoError(t, err)
	assert.JSONEq(t, `{"code":"a-code","area":"People","title":"It is so","per":"presence monitor","dependsOn":[{"code":"other","strict":true}],
		"severity":"error","meaning":"M.","remedy":"R.","administrator":"operator of the service","basis":"b"}`, string(data))
}
