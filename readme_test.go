package presencebridge_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeShowsCodeThatCompiles holds the README's program to the example
// that it is taken from.
func TestReadmeShowsCodeThatCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("examples/one-way/main.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		assert.Contains(t, string(example), strings.TrimSpace(block[1]), "the README shows other code than examples/one-way/main.go")
	}
}

// TestReadmeNamesFilesThatExist follows the README's links.
func TestReadmeNamesFilesThatExist(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		assert.FileExists(t, link[1])
	}
	for _, name := range regexp.MustCompile("`([a-z]+(?:/[a-z-]+)*\\.(?:go|txt|yaml))`").FindAllStringSubmatch(string(readme), -1) {
		assert.FileExists(t, name[1])
	}
}
