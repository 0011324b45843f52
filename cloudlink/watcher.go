package cloudlink

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// Sink is told by a [Watcher] what to look at again. Its methods are called
// concurrently and must not block: they only take note.
type Sink interface {
	// PhoneChanged: the line state of an endpoint may have changed. principalID
	// is its owner, empty where CloudLink did not name one.
	PhoneChanged(endpointID, principalID string)
	// StatusChanged: the presence that CloudLink holds for a person may have
	// changed.
	StatusChanged(principalID string)
	// CloudLinkGap: notifications may have been lost, for anybody: everything is
	// to be read. The reason is for people.
	CloudLinkGap(reason string)
}

// WatcherOptions are the settings of a [Watcher]; the zero value of each field
// is its default.
type WatcherOptions struct {
	// AccountID is the account as notifications spell it. Default: the client's
	// account id if that is a GUID, else what WhoAmI tells.
	AccountID string
	// PhonesOnly leaves the presence topic out, as a one-way bridge may: Mitel
	// asks for narrow subscriptions. Default: phones and presence.
	PhonesOnly bool
	// EndpointFilter and PresentityFilter are the subject filters: regular
	// expressions over the path of what changes. Default:
	// "/2017-09-01/endpoints/" and "/presentities/[^/]+$", all of the account.
	EndpointFilter, PresentityFilter string
	// CheckInterval is how often the watcher looks whether its subscriptions are
	// still there, give or take a tenth; also the longest wait after a failure
	// unless CloudLink asks for more. Default: 5 minutes.
	CheckInterval time.Duration
	// StopTimeout bounds the deletion of the subscriptions when Run ends.
	// Default: 10 seconds.
	StopTimeout time.Duration
	// KeepOnStop leaves the subscriptions when Run ends. The next watcher at the
	// same URL deletes them once it has its own. Default: they are deleted.
	KeepOnStop bool
	// Logger takes what happens to the subscriptions. Default: discards.
	Logger *slog.Logger
	// OnEvent, if set, is called with what happens to the subscriptions, from the
	// goroutine of Run. It must not block. Default: none.
	OnEvent func(WatchEvent)
}

// WatchEventKind says what happened to a subscription.
type WatchEventKind string

// What happens to the subscriptions of a [Watcher].
const (
	// WatchSubscribed: a subscription was made.
	WatchSubscribed WatchEventKind = "subscribed"
	// WatchLost: a subscription is gone, or was never seen; another is made.
	WatchLost WatchEventKind = "lost"
	// WatchLeftoverDeleted: a subscription to the same URL that an earlier
	// process left behind was deleted.
	WatchLeftoverDeleted WatchEventKind = "left-over deleted"
	// WatchFailed: a pass failed; Err says why and NextAction when the next is.
	WatchFailed WatchEventKind = "failed"
	// WatchRecovered: the first pass that succeeded after a failure.
	WatchRecovered WatchEventKind = "recovered"
	// WatchUnsubscribed: a subscription was deleted because Run ends.
	WatchUnsubscribed WatchEventKind = "unsubscribed"
)

// WatchEvent is one thing that happened to the subscriptions of a [Watcher].
type WatchEvent struct {
	Time time.Time
	Kind WatchEventKind
	// Topic and SubscriptionID are empty where the event is about none.
	Topic, SubscriptionID string
	// Err is why a pass failed.
	Err error
	// NextAction is when the next pass is, after a failure.
	NextAction time.Time
}

// WatcherState is the state of a [Watcher] as a whole.
type WatcherState string

// The states of a [Watcher].
const (
	// WatcherStopped: Run is not running.
	WatcherStopped WatcherState = "stopped"
	// WatcherSubscribing: Run has begun and made no pass yet.
	WatcherSubscribing WatcherState = "subscribing"
	// WatcherSubscribed: the subscriptions were there at the last look.
	WatcherSubscribed WatcherState = "subscribed"
	// WatcherFailing: the last pass failed; LastError says why.
	WatcherFailing WatcherState = "failing"
)

// WatcherSnapshot is the state of a [Watcher] at one moment.
type WatcherSnapshot struct {
	State         WatcherState
	Subscriptions []WatchedSubscription
	// LastCheck is when the list of subscriptions was read last.
	LastCheck time.Time
	// LastEvent is when a notification came last.
	LastEvent time.Time
	// Failures is how many passes failed in a row, and LastError the last cause.
	Failures  int
	LastError error
	// NextAction is when the next pass is.
	NextAction time.Time
}

// WatchedSubscription is one subscription of a [Watcher].
type WatchedSubscription struct {
	Topic, SubjectFilter string
	// ID is empty while there is none.
	ID string
	// CreatedAt is when it was made.
	CreatedAt time.Time
	// Confirmed: a listing has shown it.
	Confirmed bool
	// LastEvent is when it brought a notification last.
	LastEvent time.Time
}

// Watcher keeps an account's notification subscriptions alive and tells a
// [Sink] what changes.
//
// When, or whether, CloudLink ends a subscription by itself is not documented,
// so the watcher reads the list of subscriptions regularly and makes those again
// that are gone. One watcher per account and webhook URL: it deletes other
// subscriptions of the account to its URL, which only an earlier process can
// have left.
type Watcher struct {
	client  *Client
	handler *WebhookHandler
	url     string
	sink    Sink
	opts    WatcherOptions

	mu       sync.Mutex
	running  bool
	account  string
	watched  []*watched
	snapshot WatcherSnapshot // without Subscriptions
}

// watched is one wanted subscription. Only the goroutine of Run changes it,
// under Watcher.mu, but for lastEvent.
type watched struct {
	request    SubscriptionRequest
	id         string
	unregister func()
	createdAt  time.Time
	lastEvent  time.Time
	// confirmed: a listing has shown it; unseen counts those that have not.
	confirmed bool
	unseen    int
	// patience is how many listings may not show a subscription that none has
	// ever shown before it is taken for lost. It doubles each time, because then
	// it is rather the listing that does not tell.
	patience int
	// again: it was there before, so the next one fills a gap.
	again bool
}

const (
	defaultEndpointFilter   = "/" + apiVersion + "/endpoints/"
	defaultPresentityFilter = "/presentities/[^/]+$"
	defaultStopTimeout      = 10 * time.Second
	firstPatience           = 3
	maxPatience             = 1 << 10
)

// NewWatcher returns a watcher for the client's account. webhookURL is where
// handler is mounted, as CloudLink reaches it. NewWatcher sends nothing.
func NewWatcher(c *Client, handler *WebhookHandler, webhookURL string, sink Sink, opts *WatcherOptions) (*Watcher, error) {
	w := &Watcher{client: c, handler: handler, url: webhookURL, sink: sink, snapshot: WatcherSnapshot{State: WatcherStopped}}
	if opts != nil {
		w.opts = *opts
	}
	var faults []error
	for what, missing := range map[string]bool{"client": c == nil, "webhook handler": handler == nil, "sink": sink == nil} {
		if missing {
			faults = append(faults, errors.New("cloudlink: the watcher's "+what+" is nil"))
		}
	}
	if !validWebhookURL(webhookURL) {
		faults = append(faults, errors.New("cloudlink: the webhook URL must be http(s)://host/path, as CloudLink reaches it"))
	}
	if w.opts.CheckInterval < 0 || w.opts.StopTimeout < 0 {
		faults = append(faults, errors.New("cloudlink: CheckInterval and StopTimeout must not be negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	w.opts.CheckInterval = cmp.Or(w.opts.CheckInterval, assumedCheckInterval)
	w.opts.StopTimeout = cmp.Or(w.opts.StopTimeout, defaultStopTimeout)
	if w.opts.Logger == nil {
		w.opts.Logger = slog.New(slog.DiscardHandler)
	}
	w.want(SubscriptionRequest{Topic: TopicMedia, SubjectFilter: cmp.Or(w.opts.EndpointFilter, defaultEndpointFilter)})
	if !w.opts.PhonesOnly {
		w.want(SubscriptionRequest{Topic: TopicPresence, SubjectFilter: cmp.Or(w.opts.PresentityFilter, defaultPresentityFilter), MethodFilter: "PUT"})
	}
	return w, nil
}

func (w *Watcher) want(r SubscriptionRequest) {
	r.WebhookURL = w.url
	w.watched = append(w.watched, &watched{request: r, patience: firstPatience})
}

// Snapshot returns the watcher's state.
func (w *Watcher) Snapshot() WatcherSnapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.snapshot
	for _, sub := range w.watched {
		s.Subscriptions = append(s.Subscriptions, WatchedSubscription{
			Topic: sub.request.Topic, SubjectFilter: sub.request.SubjectFilter, ID: sub.id, CreatedAt: sub.createdAt,
			Confirmed: sub.confirmed, LastEvent: sub.lastEvent,
		})
	}
	return s
}

// Run keeps the subscriptions until ctx ends, deletes them, and returns nil. It
// does not give up: failures are logged and told to OnEvent, and the next pass
// comes after a growing wait, at least as long as CloudLink asks for. It returns
// an error only where it is running already.
func (w *Watcher) Run(ctx context.Context) error {
	if !w.begin() {
		return errors.New("cloudlink: the watcher is running already: start Run once")
	}
	defer w.stop(ctx)
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(time.Second, w.opts.CheckInterval)),
		backoff.WithMaxInterval(w.opts.CheckInterval), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		err := w.pass(ctx)
		if ctx.Err() != nil {
			break
		}
		wait := w.jitter()
		if err == nil {
			pauses.Reset()
		} else {
			wait = pauses.NextBackOff()
			if asked, ok := presence.RetryAfter(err); ok {
				wait = max(wait, asked)
			}
		}
		w.conclude(err, wait)
		_ = throttle.Sleep(ctx, wait)
	}
	return nil
}

func (w *Watcher) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return false
	}
	w.running = true
	w.snapshot = WatcherSnapshot{State: WatcherSubscribing, LastEvent: w.snapshot.LastEvent}
	return true
}

// jitter spreads the checks of many watchers over a fifth of the interval.
func (w *Watcher) jitter() time.Duration {
	return time.Duration(float64(w.opts.CheckInterval) * (0.9 + 0.2*rand.Float64()))
}

// conclude notes the outcome of a pass.
func (w *Watcher) conclude(err error, wait time.Duration) {
	next := time.Now().Add(wait)
	w.mu.Lock()
	failures := w.snapshot.Failures
	w.snapshot.NextAction = next
	if err == nil {
		w.snapshot.State, w.snapshot.Failures, w.snapshot.LastError = WatcherSubscribed, 0, nil
	} else {
		w.snapshot.State, w.snapshot.LastError = WatcherFailing, err
		w.snapshot.Failures++
	}
	w.mu.Unlock()
	switch {
	case err != nil:
		w.opts.Logger.Warn("CloudLink subscriptions could not be kept up", "error", err, "failures", failures+1, "next_try", next)
		w.emit(WatchEvent{Kind: WatchFailed, Err: err, NextAction: next})
	case failures > 0:
		w.opts.Logger.Info("CloudLink subscriptions are kept up again", "failures", failures)
		w.emit(WatchEvent{Kind: WatchRecovered})
		// What could not be asked for a while may have lost its notifications too.
		w.sink.CloudLinkGap("CloudLink could not be reached for a while")
	}
}

func (w *Watcher) emit(e WatchEvent) {
	if w.opts.OnEvent != nil {
		e.Time = time.Now()
		w.opts.OnEvent(e)
	}
}

// take hands one notification on.
func (w *Watcher) take(sub *watched, e Event) {
	now := time.Now()
	w.mu.Lock()
	sub.lastEvent, w.snapshot.LastEvent = now, now
	w.mu.Unlock()
	switch {
	case e.EndpointID != "":
		w.sink.PhoneChanged(e.EndpointID, e.PrincipalID)
	case e.PrincipalID != "":
		w.sink.StatusChanged(e.PrincipalID)
	}
}

var guidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
