package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPlaysAndExits(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2+len(scenes), out.String())
	assert.Regexp(t, `^Anna Kraus +answers +Teams shows Busy/InACall, `, lines[3])
	assert.Regexp(t, `^Ben Okafor +presses do-not-disturb +Teams shows DoNotDisturb/Presenting, `, lines[4])
	assert.Regexp(t, `^Anna Kraus +hangs up +Teams shows Available/Available, `, lines[6])
	assert.Regexp(t, `^Ben Okafor +releases do-not-disturb +Teams shows Available/Available, `, lines[7])
}

func TestStopsWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	assert.Error(t, run(ctx, &bytes.Buffer{}))
}

func TestEmbedReportsFaultySettings(t *testing.T) {
	_, err := embed(settings{})
	assert.ErrorContains(t, err, "tenant id")
}
