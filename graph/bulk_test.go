package graph

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAnswerThatBreaksOffEnds stops at every byte of an answer, as when the
// request is given up while the answer arrives.
func TestAnswerThatBreaksOffEnds(t *testing.T) {
	const answer = `{"value": [{"id": "a", "availability": "Busy", "activity": "Busy"}, {"id": "b", "availability": "Away", "activity": "Away"}]}`
	for end := range len(answer) {
		body := io.MultiReader(strings.NewReader(answer[:end]), iotest.ErrReader(context.Canceled))
		_, _, err := decodePresences(body, []string{"a", "b"})
		require.ErrorIs(t, err, context.Canceled, "after %s", answer[:end])
	}
}

func TestItemThatCannotBeReadIsPassedOver(t *testing.T) {
	presences, skipped, err := decodePresences(strings.NewReader(`{"value": [7, "x", {"id": ["a"]}, {"id": "b", "availability": "Away", "activity": "Away"}]}`), []string{"a", "b"})
	require.NoError(t, err)
	assert.Equal(t, 3, skipped)
	require.Len(t, presences, 1)
	assert.Equal(t, "b", presences[0].UserID)
}
