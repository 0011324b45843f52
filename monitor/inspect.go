package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// inspectTimeout bounds a look at the directory, which takes a token and two or
// three requests.
func (p *Pool) inspectTimeout() time.Duration { return 2 * p.opts.Monitor.RequestTimeout }

// inspect asks Entra. A panic of the embedder's implementation is an error of
// this question and nothing else.
func (p *Pool) inspect(ctx context.Context, c Credentials) (found Inspection, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("monitor: inspecting the account panicked with %s", secret.PanicText(v))
		}
	}()
	return p.entra.Inspect(ctx, c)
}

// takeInspection turns what the directory says into facts. What it does not say
// stays as it was known.
func (p *Pool) takeInspection(r *record, found *Inspection, now time.Time) {
	r.CheckedAt, r.SecretAcceptedAt = wall(now), wall(now)
	switch {
	case found.AccountErr == nil:
		r.Account, r.AccountUnknown = accountOf(found), ""
	case errors.Is(found.AccountErr, presence.ErrNotFound):
		r.Account, r.AccountUnknown = &accountFacts{Missing: true}, ""
	default:
		r.AccountUnknown = "the account could not be read: " + found.AccountErr.Error()
	}
	if err := found.ClientSecretsErr; err != nil {
		if r.SecretExpiresAt.IsZero() {
			r.SecretUnknown = "the application's client secrets could not be read: " + err.Error()
		}
		return
	}
	// The secret was accepted just now: it is none of those that have ended.
	living := slices.DeleteFunc(slices.Clone(found.ClientSecrets), func(s ClientSecret) bool {
		return !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now)
	})
	r.SecretExpiresAt, r.SecretUnknown = secretEnd(living, p.opts.SecretDescription, r.secrets.ClientSecret)
	if !p.opts.FeatureSecret.IsZero() && r.Application == p.Application() {
		ends, unknown := secretEnd(found.ClientSecrets, p.opts.SecretDescription, p.opts.FeatureSecret)
		p.mu.Lock()
		p.feature.expiresAt, p.feature.unknown = ends, unknown
		p.poke()
		p.mu.Unlock()
	}
}

// takeChecked takes over what an inspection with the same credentials has found.
func (r *record) takeChecked(fresh *record) {
	r.Account, r.AccountUnknown, r.CheckedAt = fresh.Account, fresh.AccountUnknown, fresh.CheckedAt
	r.SecretExpiresAt, r.SecretUnknown, r.SecretAcceptedAt = fresh.SecretExpiresAt, fresh.SecretUnknown, fresh.SecretAcceptedAt
}

// secretEnd returns when a client secret ends, or why that is not known.
func secretEnd(all []ClientSecret, description string, value presence.Secret) (ends time.Time, unknown string) {
	found, err := FindClientSecret(all, description, value)
	if err != nil {
		unknown = err.Error()
	}
	return found.ExpiresAt, unknown
}

// featureSecret is the client secret of the bridge itself.
type featureSecret struct {
	expiresAt time.Time
	unknown   string
	warned    warningReached
}

// warningReached is the warning that was given last.
type warningReached struct {
	due    bool
	before time.Duration // 0: it has expired
}
