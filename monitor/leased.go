package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// leased is an account that acts only while its keeper holds the lease: an
// access token outlives the lease, and so do a step that began just before its
// end and a machine that was suspended meanwhile.
type leased struct {
	Account
	keeper *keeper
}

func (a *leased) held() error {
	if a.keeper.left() <= 0 {
		return ErrNotKeeper
	}
	return nil
}

func (a *leased) CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (presence.Subscription, error) {
	if err := a.held(); err != nil {
		return presence.Subscription{}, err
	}
	return a.Account.CreateSubscription(ctx, req)
}

func (a *leased) RenewSubscription(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error) {
	if err := a.held(); err != nil {
		return presence.Subscription{}, err
	}
	return a.Account.RenewSubscription(ctx, id, renewal)
}

func (a *leased) DeleteSubscription(ctx context.Context, id string) error {
	if err := a.held(); err != nil {
		return err
	}
	return a.Account.DeleteSubscription(ctx, id)
}

func (a *leased) Subscriptions(ctx context.Context) ([]presence.Subscription, error) {
	if err := a.held(); err != nil {
		return nil, err
	}
	return a.Account.Subscriptions(ctx)
}

// Subscription is there whether or not the account has the power: without it, the
// answer is none.
func (a *leased) Subscription(ctx context.Context, id string) (presence.Subscription, error) {
	if err := a.held(); err != nil {
		return presence.Subscription{}, err
	}
	reader, ok := a.Account.(SubscriptionReader)
	if !ok {
		return presence.Subscription{}, errors.ErrUnsupported
	}
	return reader.Subscription(ctx, id)
}

func (a *leased) Refresh(ctx context.Context) (Grant, error) {
	if err := a.held(); err != nil {
		return Grant{}, err
	}
	return a.Account.Refresh(ctx)
}

// settle waits, for a while, for what an account has under way when it is not
// used any more: a request for a token outlives whoever caused it. Entra's own
// implementation may not tell; then the lease lasts as long as it may take.
func (a *leased) settle(most time.Duration) {
	waiter, ok := a.Account.(interface {
		Wait(ctx context.Context) error
	})
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	_ = waiter.Wait(ctx) // what is not over then is bounded by the lease
}
