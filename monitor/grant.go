package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// grantTokens are the refresh tokens that descend from one sign-in. They are
// used only while the lease is held, and after reading the store again.
type grantTokens struct {
	keeper  *keeper
	grantID string
}

func (t *grantTokens) Current(ctx context.Context) (presence.Secret, error) {
	k := t.keeper
	if !k.held().After(time.Now()) {
		return presence.Secret{}, ErrNotKeeper
	}
	if err := k.pool.load(ctx, prefixMonitors+k.id); err != nil {
		return presence.Secret{}, err
	}
	r := k.pool.record(k.id)
	if r == nil || r.broken != nil || r.GrantID != t.grantID {
		return presence.Secret{}, fmt.Errorf("%w: somebody has signed in again", ErrNotKeeper)
	}
	return r.secrets.RefreshToken, nil
}

func (t *grantTokens) Rotated(ctx context.Context, _, next presence.Secret) error {
	_, err := t.keeper.pool.update(ctx, t.keeper.id, func(r *record) error {
		if r.GrantID != t.grantID {
			return errUnchanged // a newer sign-in has replaced it
		}
		r.secrets.RefreshToken, r.RefreshedAt = next, wall(time.Now())
		return nil
	})
	if errors.Is(err, ErrUnknownMonitor) {
		return nil
	}
	return err
}

// subscriptionMemory keeps the subscription in the monitor's record.
type subscriptionMemory struct {
	keeper  *keeper
	grantID string
}

func (m *subscriptionMemory) Remember(ctx context.Context, remembered Remembered) error {
	_, err := m.keeper.pool.update(ctx, m.keeper.id, func(r *record) error {
		r.remember(remembered)
		return nil
	})
	return err
}

func (m *subscriptionMemory) Recall(ctx context.Context) (Remembered, error) {
	p := m.keeper.pool
	if err := p.load(ctx, prefixMonitors+m.keeper.id); err != nil {
		return Remembered{}, err
	}
	if r := p.record(m.keeper.id); r != nil {
		return r.remembered(), nil
	}
	return Remembered{}, nil
}
