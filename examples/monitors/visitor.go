package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// errWatchesNobody is why a subscription is left alone.
var errWatchesNobody = errors.New("monitors watches nobody: the subscription is the bridge's")

// visitor is Entra for a program that manages monitors and watches nobody. A pool
// that runs takes up what the store assigns to its monitors; here it would put
// subscriptions that lead nowhere in the place of the bridge's. So the
// accounts neither create nor renew a subscription, and delete that of the monitor
// that leaves, and those of an application that is not the store's any more.
type visitor struct {
	monitor.Entra
	application monitor.Application

	mu      sync.Mutex
	leaving string
	// silence is why Entra did not answer the last question, and undeleted why
	// the subscription of the monitor that leaves is still there.
	silence, undeleted error
}

// leaves lets a monitor's subscription be deleted.
func (v *visitor) leaves(principalName string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leaving = principalName
}

// unanswered returns why Entra did not answer the last question; nil if it did.
func (v *visitor) unanswered() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.silence
}

// leftBehind returns why the subscription of the monitor that leaves could not be
// deleted; nil if it was, or there was none.
func (v *visitor) leftBehind() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.undeleted
}

// note remembers an error that may pass. What Entra refuses is no such: it
// becomes the state of the monitor.
func (v *visitor) note(err error) {
	passing := errors.Is(err, presence.ErrUnavailable) || errors.Is(err, presence.ErrThrottled) || errors.Is(err, context.DeadlineExceeded)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case passing:
		v.silence = err
	case err == nil:
		v.silence = nil
	}
}

// Inspect asks the directory.
func (v *visitor) Inspect(ctx context.Context, c monitor.Credentials) (monitor.Inspection, error) {
	found, err := v.Entra.Inspect(ctx, c)
	v.note(err)
	return found, err
}

// Open returns the account with what it may do here.
func (v *visitor) Open(c monitor.Credentials, tokens monitor.RefreshTokens) (monitor.Account, error) {
	account, err := v.Entra.Open(c, tokens)
	if err != nil {
		return nil, err
	}
	return &guest{account, v, c}, nil
}

// guest is an account that holds no subscription of its own.
type guest struct {
	monitor.Account
	visitor     *visitor
	credentials monitor.Credentials
}

func (*guest) CreateSubscription(context.Context, presence.SubscriptionRequest) (presence.Subscription, error) {
	return presence.Subscription{}, errWatchesNobody
}

func (*guest) RenewSubscription(context.Context, string, presence.SubscriptionRenewal) (presence.Subscription, error) {
	return presence.Subscription{}, errWatchesNobody
}

func (g *guest) DeleteSubscription(ctx context.Context, id string) error {
	v := g.visitor
	v.mu.Lock()
	leaves := strings.EqualFold(v.leaving, g.credentials.PrincipalName)
	v.mu.Unlock()
	if !leaves && g.credentials.Application == v.application {
		return errWatchesNobody
	}
	err := g.Account.DeleteSubscription(ctx, id)
	if leaves {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.undeleted = err; errors.Is(err, presence.ErrNotFound) {
			v.undeleted = nil
		}
	}
	return err
}

// Refresh uses the refresh token.
func (g *guest) Refresh(ctx context.Context) (monitor.Grant, error) {
	grant, err := g.Account.Refresh(ctx)
	g.visitor.note(err)
	return grant, err
}
