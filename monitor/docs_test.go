package monitor

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page for administrators must have every state, in the order of precedence,
// and every action.
func TestTheAdministratorsPageIsComplete(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "monitors.md"))
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z][A-Za-z ]+) \|`).FindAllStringSubmatch(string(page), -1) {
		if row[1] != "state" && row[1] != "action" {
			listed = append(listed, row[1])
		}
	}
	var want []string
	actions := map[Action]bool{}
	for _, state := range States() {
		want = append(want, string(state))
		for _, action := range state.Actions() {
			actions[action] = true
		}
	}
	all := []Action{ActionAuthorize, ActionCopyURL, ActionRetry, ActionRenew, ActionDelete}
	for _, action := range all {
		want = append(want, string(action))
		assert.True(t, actions[action], "%s is on offer in some state", action)
	}
	assert.Equal(t, want, listed)
	assert.Len(t, actions, len(all))
}
