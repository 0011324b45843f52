package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/presencebridge/presencebridge/presence"
)

// Subscriptions is the part of a Graph client that a monitor needs. It acts with
// the delegated token of the monitor's account: Microsoft Graph does not offer
// presence subscriptions to applications.
//
// The functions may block until ctx ends. A Monitor calls them one at a time.
// Their errors are matched with errors.Is: [presence.ErrNotFound],
// [presence.ErrConflict], [presence.ErrUnsupported], [presence.ErrUnauthorized]
// and [presence.ErrForbidden] mean what their comments say here; every other
// error is taken for one that may pass. [presence.RetryAfter] is obeyed.
type Subscriptions interface {
	// CreateSubscription creates a presence subscription. Notifications may
	// arrive before it returns. ErrConflict: the account has a presence
	// subscription already. ErrUnsupported: this cloud has no notifications.
	CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (presence.Subscription, error)
	// RenewSubscription moves the end of a subscription and re-authorizes it.
	// ErrNotFound: it does not exist any more.
	RenewSubscription(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error)
	// DeleteSubscription ends a subscription. ErrNotFound: it had ended.
	DeleteSubscription(ctx context.Context, id string) error
	// Subscriptions lists the presence subscriptions of this account and this
	// application, and none of another resource or application: a monitor
	// deletes what it finds in its way.
	Subscriptions(ctx context.Context) ([]presence.Subscription, error)
}

// SubscriptionReader is an optional power of an [Account]: it reads one of its
// subscriptions, for which Microsoft Graph allows many more requests than for a
// list. [Pool.Resync] then finds a subscription that has vanished, which
// otherwise shows when it is next renewed.
type SubscriptionReader interface {
	// Subscription reads a subscription by its id. presence.ErrNotFound: it does
	// not exist any more. It may be called while another function of the account
	// is, and may block until ctx ends.
	Subscription(ctx context.Context, id string) (presence.Subscription, error)
}

// Routes is where a receiver registers for the notifications of a subscription;
// the NotificationHandler of package graph is one.
//
// Register comes before the subscription exists. Until bind tells the
// subscription's id, notifications are matched by clientState alone. After
// unregister none are accepted, but a call that has begun may still end later.
type Routes interface {
	Register(clientState presence.Secret, r presence.Receiver) (bind func(subscriptionID string), unregister func(), err error)
}

// Sink learns whom to look at. Its functions are called concurrently, by the
// goroutine of Run and by those that deliver notifications, and must not block.
type Sink interface {
	// TeamsChanged: the presence of these users has changed; look at them again.
	TeamsChanged(userIDs ...string)
	// TeamsGap: notifications for these users may have been lost; read them in
	// bulk. The reason is one of the Reason constants.
	TeamsGap(reason string, userIDs ...string)
}

// Options configure a [Monitor]. The zero value of every field is its default.
type Options struct {
	// Logger takes one line for each [Event]: failures as warnings, those that
	// somebody has to act on (unauthorized, forbidden) as errors. Default:
	// discard.
	Logger *slog.Logger

	// OnEvent is told of everything that happens to the subscription, by the
	// goroutine of Run, one event after the other; it must not block. Default:
	// nobody is told.
	OnEvent func(Event)

	// Capacity is how many users are watched at most. Default:
	// [presence.MaxSubscriptionUsers], which is also the most.
	Capacity int

	// Lifetime is how long a life is asked for, at most
	// [presence.MaxSubscriptionLifetime]; Microsoft Graph extends less than
	// [presence.MinSubscriptionLifetime] to that. Default: 55 minutes, so that
	// a clock that is some minutes fast does not ask for more than is allowed.
	Lifetime time.Duration

	// Settle is how long the set of users must have rested before the
	// subscription is created or replaced for it, so that a burst of changes is
	// one replacement. A set that never rests is subscribed to after ten times
	// as long. Negative: at once. Default: 2 seconds.
	Settle time.Duration

	// MaxBackoff is the longest pause between two attempts at a step that
	// fails, unless the service asks for a longer one. Default: 5 minutes.
	MaxBackoff time.Duration

	// RequestTimeout bounds each request. Creating a subscription includes the
	// validation of the notification URL, which Microsoft Graph gives 10
	// seconds. Default: 30 seconds.
	RequestTimeout time.Duration

	// StopTimeout bounds what remains to be done after Run's context has ended:
	// a request that is under way, and deleting the subscription. Default: 10
	// seconds.
	StopTimeout time.Duration

	// SilentAfter is how many bulk reads in a row must have found what no
	// notification brought ([Monitor.Missed]) until the subscription is taken
	// for silent and created again. Negative: never. Default: 3.
	SilentAfter int

	// KeepOnStop leaves the subscription in place when Run ends, for a process
	// that is restarted at once. Without a Memory its notifications cannot be
	// accepted by the next process, which then replaces it.
	// [Monitor.SetKeepOnStop] decides anew. Default: false, the subscription is
	// deleted.
	KeepOnStop bool

	// LifecycleURL takes the lifecycle notifications. Default: the notification
	// URL, which is right for the NotificationHandler of package graph.
	LifecycleURL string

	// Memory makes subscriptions adoptable across restarts and processes.
	// Default: none, a subscription that is found in the way is deleted.
	Memory Memory

	// Encryption returns the certificate for notifications that carry the
	// presence itself, or nil for such that only name the user. It is asked when
	// Run begins, and before each creation and renewal; it must not block.
	//
	// A renewal takes a certificate with another id over, so that certificates
	// are rotated without a gap. Microsoft Graph can neither begin nor end to
	// encrypt with a renewal: a subscription stays what it is until it is
	// replaced, and one that is remembered is replaced, if that has changed,
	// when Run begins.
	//
	// The presence may arrive out of order and is only a hint: the monitor and
	// the bridge use whom it is about and read anew, so this is for receivers of
	// the embedder's own and for following Microsoft's recommendation to
	// subscribe that way. Default: nil is always returned.
	Encryption func() *presence.EncryptionCertificate
}

// withDefaults returns a copy of o in which every field has its value, or all
// that is wrong with it.
func (o *Options) withDefaults(notificationURL string) (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Capacity >= 0 && c.Capacity <= presence.MaxSubscriptionUsers, "Capacity is %d: use 1 to %d", c.Capacity, presence.MaxSubscriptionUsers)
	check(c.Lifetime >= 0 && c.Lifetime <= presence.MaxSubscriptionLifetime, "Lifetime is %s: use at most %s", c.Lifetime, presence.MaxSubscriptionLifetime)
	check(c.MaxBackoff >= 0, "MaxBackoff is %s: it cannot be negative", c.MaxBackoff)
	check(c.RequestTimeout >= 0, "RequestTimeout is %s: it cannot be negative", c.RequestTimeout)
	check(c.StopTimeout >= 0, "StopTimeout is %s: it cannot be negative", c.StopTimeout)
	if len(faults) > 0 {
		return Options{}, errors.Join(faults...)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Capacity, presence.MaxSubscriptionUsers)
	orDefault(&c.Lifetime, 55*time.Minute)
	orDefault(&c.Settle, 2*time.Second)
	orDefault(&c.MaxBackoff, 5*time.Minute)
	orDefault(&c.RequestTimeout, 30*time.Second)
	orDefault(&c.StopTimeout, 10*time.Second)
	orDefault(&c.SilentAfter, 3)
	orDefault(&c.LifecycleURL, notificationURL)
	c.Settle = max(c.Settle, 0)
	return c, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ErrRunning is returned by a Run beside another Run of the same Monitor.
var ErrRunning = errors.New("monitor: already running")

// Monitor keeps the presence subscription of one account alive. Make one with
// [New]. Its functions may be called by any goroutine, before, during and after
// Run.
type Monitor struct {
	name   string
	subs   Subscriptions
	routes Routes
	url    string
	sink   Sink
	opts   Options
	log    *slog.Logger
	wake   chan struct{} // holds one: the plan may have changed

	// Used by the goroutine of Run alone.
	backoff *backoff.ExponentialBackOff
	rand    *rand.Rand

	mu         sync.Mutex
	running    bool
	keepOnStop bool
	state      state
	overflow   []string
	// route receives for the present subscription. previous received for the
	// one before it, whose notifications may still be under way: Microsoft
	// Graph repeats them for up to four hours, and they are true hints.
	route, previous *route
}

// New returns a monitor that watches nobody yet. The name is for people: the
// user principal name of the account, say.
//
// notificationURL is where Microsoft Graph sends to, and leads to routes. New
// fails, with all faults at once, if an argument is missing or an option is out
// of its bounds.
func New(name string, subs Subscriptions, routes Routes, notificationURL string, sink Sink, opts *Options) (*Monitor, error) {
	o, optsErr := opts.withDefaults(notificationURL)
	var faults []error
	if name == "" {
		faults = append(faults, errors.New("name is empty: logs could not tell monitors apart"))
	}
	if subs == nil {
		faults = append(faults, errors.New("subscriptions are nil: give a Graph client that acts for the monitor's account"))
	}
	if routes == nil {
		faults = append(faults, errors.New("routes are nil: give the notification handler"))
	}
	if sink == nil {
		faults = append(faults, errors.New("sink is nil: nobody would learn of changes"))
	}
	if u, err := url.Parse(notificationURL); err != nil || u.Scheme == "" {
		faults = append(faults, errors.New("notification URL is not absolute: give the public HTTPS URL of the notification handler"))
	}
	faults = append(faults, optsErr)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("monitor: new %q: %w", name, err)
	}
	return &Monitor{
		name:    name,
		subs:    subs,
		routes:  routes,
		url:     notificationURL,
		sink:    sink,
		opts:    o,
		log:     o.Logger.With("monitor", name),
		wake:    make(chan struct{}, 1),
		backoff: newBackoff(o.MaxBackoff),
		rand:    rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),

		keepOnStop: o.KeepOnStop,
	}, nil
}

// SetUsers says whom to watch, by Entra object id, in place of whom was watched
// before; empty and repeated ids are dropped. It returns, in the given order,
// those who exceed the capacity and are not watched.
//
// Who is watched stays watched as long as he is in the set, wherever he stands
// in it; free places go to the first of the others. A changed set takes
// effect after [Options.Settle], by deleting the subscription and creating
// another; then [Sink.TeamsGap] names all users. No users, no subscription; but
// what an earlier process left and [Options.Memory] knows is not touched before
// the first call, if only with no users.
func (m *Monitor) SetUsers(userIDs []string) (overflow []string) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	users, overflow := assign(m.state.users, userIDs, m.opts.Capacity)
	m.overflow = overflow
	if !m.state.asked || !slices.Equal(users, m.state.users) {
		m.state.setUsers(now, users, m.opts.Settle)
		m.poke()
	}
	return slices.Clone(overflow)
}

// Missed reports that one bulk read found changes of these users that no
// notification brought. Call it once for each bulk read, and not for the reads
// that [Sink.TeamsGap] asked for.
//
// Users who are not watched do not count, and neither does anything in the
// first two minutes of a subscription, because notifications may take one
// minute. After [Options.SilentAfter] calls with no notification between them
// the subscription is alive and silent, and is created again.
func (m *Monitor) Missed(userIDs ...string) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.missed(now, userIDs, m.opts.SilentAfter) {
		m.poke()
	}
}

// Retry tries at once what has failed and waits for its next attempt, except
// where the service asked to wait. Call it when the cause is gone: after
// somebody has authorized the account again, say.
func (m *Monitor) Retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, asked := presence.RetryAfter(m.state.err); !asked {
		m.state.retryAt = time.Time{}
		m.poke()
	}
}

// SetKeepOnStop decides, in place of [Options.KeepOnStop], whether the
// subscription is left in place when Run ends. It counts what was said last when
// Run's context ends: leave it where another process is to adopt it, and have it
// deleted where nobody will.
func (m *Monitor) SetKeepOnStop(keep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepOnStop = keep
}

// lookGrace is how long after its creation a subscription is not asked about: the
// service's servers need not all know it at once.
const lookGrace = 10 * time.Second

// look asks whether the present subscription exists. One that is gone is taken for
// lost at once; what the service does not tell changes nothing.
func (m *Monitor) look(ctx context.Context, reader SubscriptionReader) error {
	now := time.Now()
	m.mu.Lock()
	id, young := m.state.subscription.ID, now.Before(m.state.heardFrom.Add(lookGrace))
	m.mu.Unlock()
	if id == "" || young {
		return nil
	}
	err := m.request(ctx, func(ctx context.Context) error {
		_, err := reader.Subscription(ctx, id)
		return err
	})
	if err != nil && !errors.Is(err, presence.ErrNotFound) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.looked(time.Now(), id, err == nil)
	m.poke()
	return nil
}

// poke makes Run look at the plan again.
func (m *Monitor) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// assign chooses whom to watch: those of wanted who are watched now, then the
// first of the others up to the capacity. The users are returned sorted, the
// rest in its order.
func assign(watched, wanted []string, capacity int) (users, overflow []string) {
	seen := make(map[string]bool, len(wanted))
	var fresh []string
	for _, id := range wanted {
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		if _, stays := slices.BinarySearch(watched, id); stays {
			users = append(users, id)
		} else {
			fresh = append(fresh, id)
		}
	}
	free := min(capacity-len(users), len(fresh))
	users = append(users, fresh[:free]...)
	slices.Sort(users)
	return users, fresh[free:]
}
