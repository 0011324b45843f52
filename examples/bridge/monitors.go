package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// monitors runs the pool of presence monitors and does for it what otherwise
// somebody at a console would: it enters the monitors of the configuration, and
// says in the log where those sign in that nobody has signed in as. Meanwhile the
// bridge works from bulk reads.
type monitors struct {
	pool     *monitor.Pool
	settings *monitorsSettings
	store    monitor.Store
	sealer   *monitor.Sealer
	logger   *slog.Logger
	// wake holds one: something has happened to a monitor.
	wake chan struct{}
	// entered is closed once the monitors of the configuration are in the pool,
	// as far as Entra accepts them.
	entered chan struct{}
}

// signInReminder is how often a sign-in that nobody has begun is logged anew,
// which is before its URL ends.
const signInReminder = 30 * time.Minute

// Run keeps the monitors until ctx ends. An error says that it could not begin.
func (m *monitors) Run(ctx context.Context) error {
	if err := m.pool.Load(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	c := newCrew(ctx)
	c.start(m.pool.Run)
	c.start(m.administer)
	return c.wait()
}

// happened takes the pool's events. It does not block.
func (m *monitors) happened(e monitor.Event) {
	switch e.Kind {
	case monitor.EventStateChanged, monitor.EventAdded, monitor.EventSignInFailed:
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// administer enters the configured monitors and then waits for what needs a
// person. What fails is logged and ends nothing: the other monitors work.
func (m *monitors) administer(ctx context.Context) error {
	m.enter(ctx)
	close(m.entered)
	shown := map[string]string{}
	for ctx.Err() == nil {
		m.offerSignIns(ctx, shown)
		timer := time.NewTimer(signInReminder)
		select {
		case <-m.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// enter makes the store know what the configuration says: a monitor that is not
// in it is added, and one whose client secret is another one than when this was
// last done is renewed. So a client secret that an administrator gives the pool by
// other means stays, until the configuration changes again. Each is tried
// once; the next start tries again what Entra has refused.
func (m *monitors) enter(ctx context.Context) {
	known := m.pool.Snapshot()
	for _, configured := range m.settings.monitors {
		name := configured.principalName
		taken, err := m.taken(ctx, configured)
		_, exists := known.Monitor(name)
		switch {
		case err != nil:
		case !exists:
			err = m.pool.Add(ctx, name, configured.clientSecret)
		case !taken:
			err = m.pool.Renew(ctx, name, configured.clientSecret)
		default:
			continue
		}
		if err == nil {
			err = m.take(ctx, configured)
		}
		if err != nil && ctx.Err() == nil {
			m.logger.ErrorContext(ctx, "a presence monitor of the configuration is not entered as it stands there; the next start tries again", "monitor", name, "error", err)
		}
	}
	for _, s := range known.Monitors {
		if !m.configured(s.PrincipalName) {
			m.logger.InfoContext(ctx, "a presence monitor is in the store and not in the configuration: it is kept; delete it from the store if it is not wanted", "monitor", s.PrincipalName)
		}
	}
}

func (m *monitors) configured(principalName string) bool {
	return slices.ContainsFunc(m.settings.monitors, func(c monitorSettings) bool {
		return presence.NormalizeEmail(c.principalName) == presence.NormalizeEmail(principalName)
	})
}

// takenKey is the entry, beside those of the pool, that holds the client secret
// that was last taken from the configuration.
func takenKey(principalName string) string {
	sum := sha256.Sum256([]byte(presence.NormalizeEmail(principalName)))
	return "configured/" + hex.EncodeToString(sum[:16])
}

// taken reports whether the client secret is the one that was last taken from the
// configuration.
func (m *monitors) taken(ctx context.Context, configured monitorSettings) (bool, error) {
	key := takenKey(configured.principalName)
	entries, err := m.store.List(ctx, key)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	// What cannot be opened is taken again.
	secret, err := m.sealer.Open(entries[0].Value, key)
	return err == nil && presence.NewSecret(string(secret)).Equal(configured.clientSecret), nil
}

// take notes that the client secret was taken.
func (m *monitors) take(ctx context.Context, configured monitorSettings) error {
	key := takenKey(configured.principalName)
	entries, err := m.store.List(ctx, key)
	if err != nil {
		return err
	}
	var revision uint64
	if len(entries) > 0 {
		revision = entries[0].Revision
	}
	_, err = m.store.Put(ctx, key, m.sealer.Seal([]byte(configured.clientSecret.Reveal()), key), revision)
	return err
}

// offerSignIns logs the URLs where somebody has to sign in, each once.
func (m *monitors) offerSignIns(ctx context.Context, shown map[string]string) {
	for _, s := range m.pool.Snapshot().Monitors {
		if s.State != monitor.StateNotAuthorized && s.State != monitor.StateConsentMissing {
			delete(shown, s.PrincipalName)
			continue
		}
		url, err := m.pool.AuthorizationURL(ctx, s.PrincipalName)
		switch {
		case err != nil && ctx.Err() == nil:
			m.logger.ErrorContext(ctx, "no sign-in of the presence monitor can begin", "monitor", s.PrincipalName, "error", err)
		case err == nil && shown[s.PrincipalName] != url:
			shown[s.PrincipalName] = url
			m.logger.WarnContext(ctx, "a presence monitor has not signed in: open this URL and sign in as it; until then its part of the users is read in bulk",
				"monitor", s.PrincipalName, "sentence", s.Sentence, "url", url)
		}
	}
}
