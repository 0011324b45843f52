package presence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

const hidden = "hunter2-s3cret"

// credentials has the secret where fmt calls no methods and where it does.
type credentials struct {
	Name     string
	Exported presence.Secret
	Pointer  *presence.Secret
	Any      any
	hidden   presence.Secret
	list     []presence.Secret
	byName   map[string]presence.Secret
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := presence.NewSecret(hidden)
	inStruct := credentials{
		Name: "n", Exported: s, Pointer: &s, Any: s, hidden: s, list: []presence.Secret{s}, byName: map[string]presence.Secret{"k": s},
	}
	values := map[string]any{
		"value": s, "pointer": &s, "struct": inStruct, "pointer to struct": &inStruct,
		"slice": []presence.Secret{s}, "map": map[string]presence.Secret{"k": s}, "error": fmt.Errorf("with %v", s),
	}
	encodings := []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("%v", []byte(hidden)), fmt.Sprintf("% x", hidden)}
	clean := func(t *testing.T, where, text string) {
		t.Helper()
		for _, encoding := range encodings {
			assert.NotContains(t, text, encoding, where)
		}
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T", "%p", "%t", "%10.3s", "%U"} {
			clean(t, name+" "+verb, fmt.Sprintf(verb, value))
		}
		clean(t, name, fmt.Sprint(value))
		data, err := json.Marshal(value)
		require.NoError(t, err)
		clean(t, name+" JSON", string(data))

		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).With("a", value).Info("m", "b", value, slog.Group("g", slog.Any("c", value)))
		}
		clean(t, name+" log", log.String())
		assert.NotEmpty(t, log.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10.3s"} {
		assert.Equal(t, "[redacted]", fmt.Sprintf(verb, s), verb)
	}
	assert.Equal(t, "[redacted]", s.String())
}

func TestSecretValue(t *testing.T) {
	s := presence.NewSecret(hidden)
	assert.Equal(t, hidden, s.Reveal())
	assert.False(t, s.IsZero())
	assert.True(t, s.Equal(presence.NewSecret(hidden)))
	assert.False(t, s.Equal(presence.NewSecret(hidden+"x")))
	assert.False(t, s.Equal(presence.Secret{}))

	assert.Equal(t, presence.Secret{}, presence.NewSecret(""))
	assert.True(t, presence.Secret{}.IsZero())
	assert.Empty(t, presence.Secret{}.Reveal())
	assert.True(t, presence.Secret{}.Equal(presence.NewSecret("")))

	var read presence.Secret
	require.NoError(t, json.Unmarshal([]byte(`"`+hidden+`"`), &read))
	assert.True(t, read.Equal(s))
}
