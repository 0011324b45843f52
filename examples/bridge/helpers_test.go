package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

// getJSON reads a page that must be answered with status.
func getJSON(t *testing.T, url string, status int, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, status, response.StatusCode)
	require.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
	require.NoError(t, json.NewDecoder(response.Body).Decode(into))
}

// newWriteBecauseOf is a write to MiCollab now.
func newWriteBecauseOf(user presence.User, p presence.Presence) presencebridge.Write {
	return presencebridge.Write{
		Time: time.Now(), User: user, Destination: presencebridge.DestinationMiCollab, Cause: presencebridge.Cause{Presence: p},
	}
}
