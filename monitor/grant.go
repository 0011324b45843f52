package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// refreshing is a use of an account's refresh token. It may outlive whoever asked
// for it, and the keeper, because a token that has rotated must not be lost.
type refreshing struct {
	session *grantTokens
	done    <-chan struct{}
	until   time.Time // at most; zero: not known
}

// reserve waits until no other session of this process uses the account's refresh
// token, and makes this one the only one until ctx ends.
func (p *Pool) reserve(ctx context.Context, t *grantTokens) error {
	until, _ := ctx.Deadline()
	mine := &refreshing{t, ctx.Done(), until}
	for {
		p.mu.Lock()
		other := p.refreshing[t.keeper.id]
		if other == nil || other.session == t {
			p.refreshing[t.keeper.id] = mine
			p.mu.Unlock()
			context.AfterFunc(ctx, func() { p.refreshed(t.keeper.id, mine) })
			return nil
		}
		p.mu.Unlock()
		select {
		case <-other.done:
			p.refreshed(t.keeper.id, other)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// refreshed ends a use of the refresh token.
func (p *Pool) refreshed(id string, r *refreshing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refreshing[id] == r {
		delete(p.refreshing, id)
	}
}

// refreshesUntil returns when a use of the refresh token that is under way has
// ended at the latest; zero if there is none.
func (p *Pool) refreshesUntil(id string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.refreshing[id]
	if r == nil {
		return time.Time{}
	}
	select {
	case <-r.done:
		return time.Time{}
	default:
		return r.until
	}
}

// grantTokens are the refresh tokens that descend from one sign-in, for one
// session of its account. They are used by one session at a time, only while the
// lease is held, for as long as that takes, and after reading the store again.
type grantTokens struct {
	keeper  *keeper
	grantID string
}

func (t *grantTokens) Current(ctx context.Context) (presence.Secret, error) {
	k := t.keeper
	if err := k.pool.reserve(ctx, t); err != nil {
		return presence.Secret{}, err
	}
	if err := k.confirm(ctx); err != nil {
		return presence.Secret{}, err
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

// confirm makes sure that the lease is held, and lasts until the refresh that has
// been reserved is over.
func (k *keeper) confirm(ctx context.Context) error {
	if k.left() <= 0 {
		return ErrNotKeeper
	}
	lease, err := k.acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKeeper, err)
	}
	k.mu.Lock()
	released := k.lease == Lease{}
	if !released {
		k.lease = lease
	}
	k.mu.Unlock()
	if released {
		// It was released since, and taken again just now for nobody.
		_ = k.pool.store.Release(ctx, lease.Name, lease.Holder) // or it ends by itself
		return ErrNotKeeper
	}
	return nil
}

func (t *grantTokens) Rotated(ctx context.Context, used, next presence.Secret) error {
	_, err := t.keeper.pool.update(ctx, t.keeper.id, func(r *record) error {
		if r.GrantID != t.grantID || !r.secrets.RefreshToken.Equal(used) {
			return errUnchanged // a newer sign-in, or a later keeper, has replaced it
		}
		now := wall(time.Now())
		r.secrets.RefreshToken, r.RefreshedAt, r.SecretAcceptedAt = next, now, now
		if !r.GrantRefusal.of(refusedConsent) {
			r.GrantRefusal = nil // it was accepted just now
		}
		return nil
	})
	if errors.Is(err, ErrUnknownMonitor) {
		return nil
	}
	return err
}

// subscriptionMemory keeps the subscription in the monitor's record.
type subscriptionMemory struct{ keeper *keeper }

func (m *subscriptionMemory) Remember(ctx context.Context, remembered Remembered) error {
	if m.keeper.left() <= 0 {
		return ErrNotKeeper // the next keeper remembers its own
	}
	_, err := m.keeper.pool.update(ctx, m.keeper.id, func(r *record) error {
		r.remember(remembered)
		return nil
	})
	if errors.Is(err, ErrUnknownMonitor) {
		return nil // it was deleted, and what it had with it
	}
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
