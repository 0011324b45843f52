package verify

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is the documentation of the checks; what is before the mark in it is
// written by hand.
const (
	page     = "../docs/checks.md"
	pageMark = "<!-- What follows is written by go test ./verify -run TestPage -update -->\n"
)

// TestPageListsAllChecks compares the page with the table.
func TestPageListsAllChecks(t *testing.T) {
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	introduction, _, ok := strings.Cut(string(data), pageMark)
	require.True(t, ok, "%s has lost its mark", page)
	golden(t, page, introduction+pageMark+pageOf(Checks()))
}

// TestPageExplainsEveryWord holds the introduction to the package.
func TestPageExplainsEveryWord(t *testing.T) {
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	introduction, _, _ := strings.Cut(string(data), pageMark)
	for _, status := range []Status{Passed, Warned, Failed, Skipped, NotApplicable} {
		assert.Contains(t, introduction, fmt.Sprintf("| %s |", status))
		assert.Contains(t, introduction, marks[status])
	}
	for _, code := range []int{ExitPassed, ExitFailed, ExitWarned} {
		assert.Contains(t, introduction, fmt.Sprintf("| %d |", code))
	}
	for _, a := range administrators {
		assert.Contains(t, introduction, "**"+string(a)+"**")
	}
}

func pageOf(checks []Check) string {
	var out strings.Builder
	titles := make(map[Code]string)
	for _, c := range checks {
		titles[c.Code] = c.Title
	}
	area := Area("")
	for _, c := range checks {
		if c.Area != area {
			area = c.Area
			fmt.Fprintf(&out, "\n## %s\n", area)
		}
		fmt.Fprintf(&out, "\n### `%s`\n\n**%s.** %s\n\n", c.Code, c.Title, c.Meaning)
		row := func(name, text string) {
			if text != "" {
				fmt.Fprintf(&out, "- %s: %s\n", name, text)
			}
		}
		row("If not", fmt.Sprintf("%s, as a rule", map[Severity]Status{SeverityError: Failed, SeverityWarning: Warned}[c.Severity]))
		row("What to do", c.Remedy)
		row("Who", string(c.Administrator))
		if c.Per != "" {
			row("Made for each", string(c.Per))
		}
		var needs []string
		for _, d := range c.DependsOn {
			need := fmt.Sprintf("[`%s`](#%s)", d.Code, d.Code)
			if d.Subject != "" {
				need += " of " + d.Subject
			}
			if d.Strict {
				need += " without a warning"
			}
			needs = append(needs, need)
		}
		row("Skipped without", strings.Join(needs, ", "))
		row("Rests on", c.Basis)
	}
	return out.String()
}
