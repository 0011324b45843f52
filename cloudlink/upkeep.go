package cloudlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge/presence"
)

// pass makes the subscriptions that are missing and looks whether the others
// are still there.
func (w *Watcher) pass(ctx context.Context) error {
	if err := w.findAccount(ctx); err != nil {
		return err
	}
	// New ones come before old ones go, so that there is no moment without.
	failed := w.createMissing(ctx)
	if asksToWait(failed) {
		return failed
	}
	lost, err := w.inspect(ctx)
	if lost {
		failed = errors.Join(failed, w.createMissing(ctx))
	}
	return errors.Join(failed, err)
}

// asksToWait reports whether CloudLink asked for a pause. The client would wait
// for its end with the next request, and nobody could see that it fails.
func asksToWait(err error) bool {
	_, asked := presence.RetryAfter(err)
	return asked
}

// findAccount learns how notifications spell the account: they give its GUID,
// where a client may have been made with the short number.
func (w *Watcher) findAccount(ctx context.Context) error {
	w.mu.Lock()
	known := w.account
	w.mu.Unlock()
	if known != "" {
		return nil
	}
	account := w.opts.AccountID
	if account == "" && guidPattern.MatchString(w.client.AccountID()) {
		account = w.client.AccountID()
	}
	if account == "" {
		identity, err := w.client.WhoAmI(ctx)
		if err != nil {
			return err
		}
		account = cmp.Or(identity.AccountID, w.client.AccountID())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account = account
	return nil
}

// createMissing makes each wanted subscription that is not there.
func (w *Watcher) createMissing(ctx context.Context) error {
	var (
		faults []error
		made   bool
		again  bool
	)
	for _, sub := range w.watched {
		if sub.id != "" || ctx.Err() != nil {
			continue
		}
		if err := w.create(ctx, sub); err != nil {
			faults = append(faults, err)
			if asksToWait(err) {
				break
			}
			continue
		}
		made, again = true, again || sub.again
		sub.again = true
	}
	switch {
	case again:
		w.sink.CloudLinkGap("a CloudLink subscription was lost and made again")
	case made:
		w.sink.CloudLinkGap("CloudLink is watched from now on")
	}
	return errors.Join(faults...)
}

// create makes one subscription. Each has a registration and an application id
// of its own, so that its first notifications find their way before its id is
// known, also where it takes the place of another.
func (w *Watcher) create(ctx context.Context, sub *watched) error {
	request := sub.request
	request.ApplicationID = presence.NewSecret(uuid.NewString())
	bind, unregister, err := w.handler.Register(Receiver{
		ApplicationID: request.ApplicationID, AccountID: w.account, Topic: request.Topic,
		Notify: func(e Event) { w.take(sub, e) },
	})
	if err != nil {
		return err
	}
	// If ctx ends while the request is under way, its answer is still awaited
	// for a while: without the id the subscription could not be deleted.
	lasting, cancel := outlive(ctx, w.opts.StopTimeout)
	defer cancel()
	made, err := w.client.Subscribe(lasting, request)
	if err != nil {
		unregister()
		return fmt.Errorf("topic %s: %w", request.Topic, err)
	}
	bind(made.ID)
	w.mu.Lock()
	sub.id, sub.unregister, sub.createdAt, sub.confirmed, sub.unseen = made.ID, unregister, time.Now(), false, 0
	w.mu.Unlock()
	w.opts.Logger.InfoContext(ctx, "Subscribed to CloudLink notifications", "topic", request.Topic, "subscription", made.ID)
	w.emit(WatchEvent{Kind: WatchSubscribed, Topic: request.Topic, SubscriptionID: made.ID})
	return nil
}

// outlive returns a context that ends grace after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(lasting, func() { t.Stop() })
	})
	return lasting, func() {
		stop()
		cancel()
	}
}

// inspect reads the list of subscriptions, forgets those of the watcher's own
// that are gone, and deletes those that an earlier process left.
func (w *Watcher) inspect(ctx context.Context) (lost bool, err error) {
	var (
		present  = make(map[string]bool)
		leftover []Subscription
		complete = true
	)
	own := make(map[string]bool, len(w.watched))
	for _, sub := range w.watched {
		own[sub.id] = true
	}
	for s, err := range w.client.allSubscriptions(ctx) {
		switch {
		case errors.Is(err, presence.ErrUnreadable):
			complete = false
			continue
		case err != nil:
			return false, err
		}
		present[s.ID] = true
		if s.WebhookURL == w.url && !own[s.ID] && (s.Topic == TopicMedia || s.Topic == TopicPresence) {
			leftover = append(leftover, s)
		}
	}
	w.mu.Lock()
	w.snapshot.LastCheck = time.Now()
	w.mu.Unlock()
	if !complete {
		w.opts.Logger.WarnContext(ctx, "CloudLink's list of subscriptions has items that cannot be read: none is taken for lost")
	}
	var faults []error
	for _, sub := range w.watched {
		if sub.id == "" || !w.gone(sub, present[sub.id], complete) {
			continue
		}
		lost = true
		w.drop(ctx, sub)
	}
	for _, s := range leftover {
		if err := w.client.Unsubscribe(ctx, s.ID); err != nil && !missing(err) {
			faults = append(faults, err)
			continue
		}
		w.opts.Logger.InfoContext(ctx, "Deleted a CloudLink subscription that was left behind", "topic", s.Topic, "subscription", s.ID)
		w.emit(WatchEvent{Kind: WatchLeftoverDeleted, Topic: s.Topic, SubscriptionID: s.ID})
	}
	return lost, errors.Join(faults...)
}

// gone judges from one listing whether a subscription is gone.
//
// One that a listing has shown before is gone once a listing lacks it. One that
// none has ever shown may be missing because listings lag, or show less than we
// think: taking that for a loss would make another at every check, and fill the
// account with them.
func (w *Watcher) gone(sub *watched, listed, complete bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case listed:
		sub.confirmed, sub.unseen, sub.patience = true, 0, firstPatience
		return false
	case !complete:
		return false
	case sub.confirmed:
		return true
	case sub.lastEvent.After(sub.createdAt):
		return false // it speaks, so it lives
	}
	sub.unseen++
	if sub.unseen < sub.patience {
		return false
	}
	sub.patience = min(2*sub.patience, maxPatience)
	return true
}

// drop forgets a subscription that is gone. It may be there all the same, so its
// deletion is tried.
func (w *Watcher) drop(ctx context.Context, sub *watched) {
	if !sub.confirmed {
		_ = w.client.Unsubscribe(ctx, sub.id)
	}
	sub.unregister()
	w.opts.Logger.WarnContext(ctx, "A CloudLink subscription is gone: making another", "topic", sub.request.Topic, "subscription", sub.id)
	w.emit(WatchEvent{Kind: WatchLost, Topic: sub.request.Topic, SubscriptionID: sub.id})
	w.forget(sub)
}

func (w *Watcher) forget(sub *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub.id, sub.unregister, sub.confirmed, sub.unseen, sub.createdAt = "", nil, false, 0, time.Time{}
}

// missing reports whether err says that there is no such subscription, and not
// that there is no such path.
func missing(err error) bool {
	return errors.Is(err, presence.ErrNotFound) && !errors.Is(err, ErrNoSuchRoute)
}

// stop ends the subscriptions within StopTimeout.
func (w *Watcher) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.opts.StopTimeout)
	defer cancel()
	for _, sub := range w.watched {
		if sub.id == "" {
			continue
		}
		if !w.opts.KeepOnStop {
			if err := w.client.Unsubscribe(ctx, sub.id); err != nil && !missing(err) {
				w.opts.Logger.WarnContext(ctx, "A CloudLink subscription could not be deleted: the next watcher at this URL will", "topic", sub.request.Topic,
					"subscription", sub.id, "error", err)
			} else {
				w.emit(WatchEvent{Kind: WatchUnsubscribed, Topic: sub.request.Topic, SubscriptionID: sub.id})
			}
		}
		sub.unregister()
		w.forget(sub)
		sub.again = false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	w.snapshot.State, w.snapshot.NextAction = WatcherStopped, time.Time{}
}
