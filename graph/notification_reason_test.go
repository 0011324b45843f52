package graph

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Counts by reason, as a status page has them, can be read again.
func TestReasonsSurviveJSON(t *testing.T) {
	refused, hints := map[RefusalReason]int{}, map[HintReason]int{}
	for i := range refusalReasons {
		refused[RefusalReason(i)] = i
	}
	for i := range hintReasons {
		hints[HintReason(i)] = i
	}
	again, hintsAgain := map[RefusalReason]int{}, map[HintReason]int{}
	text, err := json.Marshal(refused)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &again))
	assert.Equal(t, refused, again)
	text, err = json.Marshal(hints)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &hintsAgain))
	assert.Equal(t, hints, hintsAgain)
	assert.Error(t, json.Unmarshal([]byte(`{"no reason at all": 1}`), &again))
}
