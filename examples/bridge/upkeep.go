package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// upkeep runs the presence monitor. Before its account has signed in for the
// first time, it says where to do so and waits; the bridge works from bulk reads
// meanwhile.
type upkeep struct {
	integration *integration
	settings    *monitorSettings
	authorizer  *graph.Authorizer
	signedIn    chan presence.Secret // holds one

	mu      sync.Mutex
	monitor *monitor.Monitor // nil before the first sign-in
	pending graph.AuthorizationRequest
	state   presence.Secret // of pending; zero: none is expected
}

func newUpkeep(i *integration) (*upkeep, error) {
	t, m := &i.settings.teams, i.settings.teams.monitor
	u := &upkeep{integration: i, settings: m, signedIn: make(chan presence.Secret, 1)}
	var err error
	u.authorizer, err = graph.NewAuthorizer(t.tenantID, t.clientID, m.secret, i.settings.publicURL+pathSignIn, &graph.AuthorizerOptions{
		Cloud: t.cloud, HTTPClient: i.http,
	})
	if err != nil {
		return nil, err
	}
	token, err := u.stored()
	if err != nil {
		return nil, err
	}
	if !token.IsZero() {
		u.monitor, err = i.newMonitor(token, u.store)
	}
	return u, err
}

// stored returns the refresh token to begin with. The file comes first: what is
// in it is newer than what was configured.
func (u *upkeep) stored() (presence.Secret, error) {
	if path := u.settings.refreshTokenFile; path != "" {
		data, err := readBounded(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return presence.Secret{}, fmt.Errorf("teams.monitor.refresh_token_file: %w", err)
		}
		if text := strings.TrimSpace(string(data)); text != "" {
			return presence.NewSecret(text), nil
		}
	}
	return u.settings.refreshToken, nil
}

// store keeps the newest refresh token. It never leaves half a file behind.
func (u *upkeep) store(_ context.Context, _, token presence.Secret) error {
	path := u.settings.refreshTokenFile
	if path == "" {
		return nil
	}
	// CreateTemp makes a file that only this account can read.
	temporary, err := os.CreateTemp(filepath.Dir(path), ".refresh-token-*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(token.Reveal() + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

// Run keeps the monitor's subscription alive until ctx ends.
func (u *upkeep) Run(ctx context.Context) error {
	m := u.current()
	if m == nil {
		if err := u.begin(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case token := <-u.signedIn:
			var err error
			if m, err = u.integration.newMonitor(token, u.store); err != nil {
				return err
			}
			u.mu.Lock()
			u.monitor = m
			u.mu.Unlock()
		}
	}
	// From here on the bridge tells the monitor whom to watch.
	u.integration.bridge.Watch(m)
	return m.Run(ctx)
}

func (u *upkeep) current() *monitor.Monitor {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.monitor
}

// begin begins a sign-in and says where to go for it. The state is a secret:
// whoever knows it could end the sign-in with an account of their own.
func (u *upkeep) begin() error {
	state := rand.Text()
	request, err := u.authorizer.Begin(state, &graph.AuthorizationOptions{LoginHint: u.settings.principalName})
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.pending, u.state = request, presence.NewSecret(state)
	u.mu.Unlock()
	u.integration.logger.Warn("the presence monitor has not signed in: open this URL and sign in as it; until then Teams is read in bulk",
		"monitor", u.settings.principalName, "url", request.URL)
	return nil
}

// ServeHTTP takes the outcome of the sign-in, which Entra brings through the
// browser. Each sign-in is taken once.
func (u *upkeep) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	callback, err := graph.ParseCallback(r.URL.Query())
	u.mu.Lock()
	expected := !u.state.IsZero() && u.state.Equal(presence.NewSecret(callback.State))
	pending := u.pending
	if expected {
		u.state = presence.Secret{}
	}
	u.mu.Unlock()
	if !expected {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, "This sign-in is not expected, or was used before. Open the URL in the newest log line of the bridge.")
		return
	}
	if err == nil {
		err = u.redeem(r.Context(), callback, pending)
	}
	if err == nil {
		fmt.Fprintln(w, "The presence monitor has signed in. This page can be closed.")
		return
	}
	u.integration.logger.ErrorContext(r.Context(), "the presence monitor could not sign in", "monitor", u.settings.principalName, "error", err)
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, "The presence monitor could not sign in: %s.\nThe log of the bridge has a new URL.\n", plain(err))
	if err := u.begin(); err != nil {
		u.integration.logger.ErrorContext(r.Context(), "no other sign-in can begin", "error", err)
	}
}

func (u *upkeep) redeem(ctx context.Context, callback graph.Callback, pending graph.AuthorizationRequest) error {
	grant, err := u.authorizer.Exchange(ctx, callback.Code.Reveal(), pending.Verifier)
	if err != nil {
		return err
	}
	if who := grant.IDTokenClaims.PreferredUsername; !strings.EqualFold(who, u.settings.principalName) {
		return fmt.Errorf("%s has signed in, and the monitor is %s: sign out there, and in as the monitor", cut(cmp.Or(who, "somebody else")), u.settings.principalName)
	}
	if grant.RefreshToken.IsZero() {
		return errors.New("there is no refresh token: consent to offline_access for the application")
	}
	if err := u.store(ctx, presence.Secret{}, grant.RefreshToken); err != nil {
		return fmt.Errorf("teams.monitor.refresh_token_file: %w", err)
	}
	u.signedIn <- grant.RefreshToken
	return nil
}
