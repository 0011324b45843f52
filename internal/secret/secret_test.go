package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/internal/secret"
)

const value = "hunter2"

// The structs hold a secret in each way that fmt, slog and the encoders treat
// differently.
type (
	open   struct{ Password secret.Secret }
	closed struct{ password secret.Secret }
	behind struct{ Password *secret.Secret }
)

func TestSecretIsNeverPrinted(t *testing.T) {
	s := secret.New(value)
	for name, v := range map[string]any{
		"itself": s, "pointer": &s, "exported": open{s}, "unexported": closed{s}, "exported pointer": behind{&s},
		"slice": []secret.Secret{s}, "map": map[string]secret.Secret{"k": s}, "error": fmt.Errorf("login with %v", s),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%t", "%10.3s"} {
			text := fmt.Sprintf(verb, v)
			assert.NotContains(t, text, value, "%s of %s", verb, name)
			assert.NotContains(t, text, fmt.Sprintf("%x", value), "%s of %s", verb, name)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		assert.NotContains(t, out.String()+string(encoded), value, name)
	}
	for _, verb := range []string{"%v", "%s", "%d", "%#v"} {
		assert.Equal(t, "[redacted]", fmt.Sprintf(verb, s), verb)
		assert.Equal(t, "[redacted]", fmt.Sprintf(verb, secret.Secret{}), "an empty secret must look like any other")
	}
	assert.Equal(t, "[redacted]", s.String())
	assert.Equal(t, "[redacted]", s.LogValue().String())
	encoded, err := xml.Marshal(open{s})
	require.NoError(t, err)
	assert.Equal(t, "<open><Password>[redacted]</Password></open>", string(encoded))
}

func TestSecretKeepsItsValue(t *testing.T) {
	assert.Equal(t, value, secret.New(value).Reveal())
	assert.False(t, secret.New(value).IsZero())
	assert.Empty(t, secret.Secret{}.Reveal())
	assert.True(t, secret.New("").IsZero())
	assert.Equal(t, secret.Secret{}, secret.New(""))

	var read open
	require.NoError(t, json.Unmarshal([]byte(`{"Password":"hunter2"}`), &read))
	assert.Equal(t, value, read.Password.Reveal())
	require.NoError(t, json.Unmarshal([]byte(`{"Password":""}`), &read))
	assert.True(t, read.Password.IsZero())
}

func TestSecretEqual(t *testing.T) {
	assert.True(t, secret.New(value).Equal(secret.New(value)))
	assert.True(t, secret.Secret{}.Equal(secret.New("")))
	for _, other := range []string{"", "hunter", "hunter22", "hunter3", "Hunter2"} {
		assert.False(t, secret.New(value).Equal(secret.New(other)), other)
		assert.False(t, secret.New(other).Equal(secret.New(value)), other)
	}
}
