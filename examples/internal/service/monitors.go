package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
	settings *PoolSettings
	store    monitor.Store
	logger   *slog.Logger
	// application is that of the configuration.
	application monitor.Application
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
	if err := m.settle(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	c := newCrew(ctx)
	c.start(m.pool.Run)
	c.start(m.administer)
	return c.wait()
}

// settle makes the configured application the one of the store, if no monitor
// stops because of that or the configuration accepts it. The pool would do it when
// it runs; but the client secrets of the configuration belong to that application,
// and Entra must not be asked about one of them in the name of another.
func (m *monitors) settle(ctx context.Context) error {
	change, err := m.pool.PreviewApplication(ctx, m.application)
	if err != nil {
		return err
	}
	if len(change.Monitors) > 0 && !m.settings.Options.AcceptApplication {
		return fmt.Errorf("%w: correct tenant_id or client_id, or accept that by accept_application: true", &monitor.ApplicationError{Change: change})
	}
	_, err = m.pool.SetApplication(ctx, m.application)
	return err
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
	for _, configured := range m.settings.Monitors {
		name := configured.PrincipalName
		taken, err := m.taken(ctx, configured)
		_, exists := known.Monitor(name)
		switch {
		case err != nil:
		case !exists:
			err = m.pool.Add(ctx, name, configured.ClientSecret)
		case !taken:
			err = m.pool.Renew(ctx, name, configured.ClientSecret)
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
	if err := m.forget(ctx); err != nil && ctx.Err() == nil {
		m.logger.ErrorContext(ctx, "what the store has of former presence monitors cannot be deleted; the next start tries again", "error", err)
	}
	for _, s := range known.Monitors {
		if !m.configured(s.PrincipalName) {
			m.logger.InfoContext(ctx, "a presence monitor is in the store and not in the configuration: it is kept; delete it from the store if it is not wanted", "monitor", s.PrincipalName)
		}
	}
}

func (m *monitors) configured(principalName string) bool {
	return slices.ContainsFunc(m.settings.Monitors, func(c MonitorSettings) bool {
		return presence.NormalizeEmail(c.PrincipalName) == presence.NormalizeEmail(principalName)
	})
}

// prefixTaken begins the keys of the entries that tell, beside those of the pool,
// which client secrets were last taken from the configuration.
const prefixTaken = "configured/"

func takenKey(principalName string) string {
	sum := sha256.Sum256([]byte(presence.NormalizeEmail(principalName)))
	return prefixTaken + hex.EncodeToString(sum[:16])
}

// takenValue is what is kept of a client secret. Entra makes its value at random,
// so that nobody finds it by trying, and a digest needs no key that could change.
func takenValue(clientSecret presence.Secret) []byte {
	sum := sha256.Sum256([]byte(clientSecret.Reveal()))
	return sum[:]
}

// taken reports whether the client secret is the one that was last taken from the
// configuration.
func (m *monitors) taken(ctx context.Context, configured MonitorSettings) (bool, error) {
	entries, err := m.store.List(ctx, takenKey(configured.PrincipalName))
	if err != nil || len(entries) == 0 {
		return false, err
	}
	return bytes.Equal(entries[0].Value, takenValue(configured.ClientSecret)), nil
}

// take notes that the client secret was taken.
func (m *monitors) take(ctx context.Context, configured MonitorSettings) error {
	key := takenKey(configured.PrincipalName)
	entries, err := m.store.List(ctx, key)
	if err != nil {
		return err
	}
	var revision uint64
	if len(entries) > 0 {
		revision = entries[0].Revision
	}
	_, err = m.store.Put(ctx, key, takenValue(configured.ClientSecret), revision)
	return err
}

// forget deletes what was noted of monitors that are neither in the configuration
// nor in the pool any more.
func (m *monitors) forget(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, configured := range m.settings.Monitors {
		wanted[takenKey(configured.PrincipalName)] = true
	}
	for _, s := range m.pool.Snapshot().Monitors {
		wanted[takenKey(s.PrincipalName)] = true
	}
	entries, err := m.store.List(ctx, prefixTaken)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if wanted[e.Key] {
			continue
		}
		if err := m.store.Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, monitor.ErrRevision) {
			return err
		}
	}
	return nil
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
