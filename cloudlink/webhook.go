package cloudlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/presencebridge/presencebridge/presence"
)

// WebhookHandlerOptions are the settings of a [WebhookHandler]; the zero value
// of each field is its default.
type WebhookHandlerOptions struct {
	// Logger takes refused requests. Default: discards.
	Logger *slog.Logger
	// MaxBody is the longest body that is read, in bytes. Default: 256 KiB.
	MaxBody int64
	// ApplicationIDHeader is the header that repeats the subscription's
	// application id. The default is assumed: Mitel says that there is such
	// a header, and not its name. Default: "x-mitel-application-id".
	ApplicationIDHeader string
	// RequireApplicationID refuses a request without that header. Leave it off
	// until the header's name is known to be right. A request that has the
	// header with a wrong value is refused in any case. Default: off.
	RequireApplicationID bool
	// Refused, if set, is called with each request that is refused. It must not
	// block. Default: none.
	Refused func(Refusal)
	// MeterProvider takes the metrics presencebridge.cloudlink.webhooks and
	// presencebridge.cloudlink.webhooks.refused. Default: the global provider of
	// OpenTelemetry, which does nothing until one is installed.
	MeterProvider metric.MeterProvider
}

// RefusalReason is why a request to the webhook was refused.
type RefusalReason string

// The reasons for which a request is refused, and what is answered.
const (
	// RefusedMethod: not a POST; 405.
	RefusedMethod RefusalReason = "method"
	// RefusedTooLarge: the body is longer than MaxBody; 413.
	RefusedTooLarge RefusalReason = "too large"
	// RefusedMalformed: the body is not a publication, or ended early; 400.
	RefusedMalformed RefusalReason = "malformed"
	// RefusedSubscription: nobody here knows the subscription; 404, so that the
	// sender may learn that it serves nobody.
	RefusedSubscription RefusalReason = "unknown subscription"
	// RefusedApplicationID: the application id is wrong, or missing where it is
	// required; 403.
	RefusedApplicationID RefusalReason = "wrong application id"
	// RefusedAccount: the publication is of another account than its
	// subscription; 403.
	RefusedAccount RefusalReason = "wrong account"
	// RefusedSubject: the publication is in order but about nothing that this
	// package knows; 202, because sending it again would not help.
	RefusedSubject RefusalReason = "unknown subject"
	// RefusedPanic: the receiver panicked; 202, for the same reason.
	RefusedPanic RefusalReason = "receiver panicked"
)

// Refusal is one refused request.
type Refusal struct {
	Time   time.Time
	Reason RefusalReason
	// Status is what was answered.
	Status int
	// SubscriptionID and Topic are what the request claims; empty where it could
	// not be read. They come from whoever sent the request: quote them.
	SubscriptionID, Topic string
}

// WebhookStats counts what a [WebhookHandler] has seen.
type WebhookStats struct {
	// Received is the number of requests.
	Received uint64
	// Delivered is the number of those handed to a receiver.
	Delivered uint64
	// Refused is the number of the others by reason.
	Refused map[RefusalReason]uint64
	// LastDelivered is when an event was handed over last; zero if never.
	LastDelivered time.Time
}

// Receiver takes the events of one subscription.
type Receiver struct {
	// ApplicationID is the application id of the subscription request. Default:
	// none is compared.
	ApplicationID presence.Secret
	// AccountID is the account that publications must be of, as their
	// publisher.accountId spells it; letter case does not matter. Default: any.
	AccountID string
	// Topic is the topic of the subscription. Default: any.
	Topic string
	// Notify takes one event. It is called concurrently and must not block: it
	// only notes what is to be looked at. Required.
	Notify func(Event)
}

// WebhookHandler is the [http.Handler] to which CloudLink posts notifications.
// One handler at one URL serves any number of accounts and subscriptions.
//
// A request is answered 202 as soon as it is found to be in order; the receivers
// only take note. What is refused, and how, is listed with [RefusalReason]; each
// refusal is counted, logged and told to the Refused hook.
//
// How CloudLink proves that a request is its own is not documented in full. What
// is checked is that the subscription is known, that the application id is the
// one of the subscription request where the header is there, and that the
// account is right. What gets through by guessing all of them can only cause
// a read, because an [Event] is never taken for the state itself.
type WebhookHandler struct {
	opts     WebhookHandlerOptions
	received metric.Int64Counter
	refused  metric.Int64Counter

	mu      sync.Mutex
	bound   map[string]*registration
	unbound map[*registration]struct{}
	stats   WebhookStats
}

type registration struct {
	Receiver
	ids    []string // bound to it, oldest first
	closed bool
}

// keptIDs is how many subscriptions are accepted for one registration: the
// current one and, because its last notifications may still be under way, the
// one that it replaced.
const keptIDs = 2

const defaultMaxWebhookBody = 256 << 10

// NewWebhookHandler returns a handler without receivers. Faulty options are
// replaced by their defaults, so that it cannot fail.
func NewWebhookHandler(opts *WebhookHandlerOptions) *WebhookHandler {
	h := &WebhookHandler{bound: make(map[string]*registration), unbound: make(map[*registration]struct{})}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if h.opts.MaxBody <= 0 {
		h.opts.MaxBody = defaultMaxWebhookBody
	}
	h.opts.ApplicationIDHeader = cmp.Or(h.opts.ApplicationIDHeader, assumedApplicationIDHeader)
	var err error
	if h.received, h.refused, err = newWebhookMeters(h.opts.MeterProvider); err != nil {
		h.opts.Logger.Warn("CloudLink webhook metrics are not recorded", "error", err)
		h.received, h.refused, _ = newWebhookMeters(noop.NewMeterProvider())
	}
	return h
}

// Register makes the handler accept the notifications of a subscription that is
// about to be made.
//
// Call Register first, then [Client.Subscribe], then bind with the
// subscription's id: a notification may arrive while the answer to Subscribe is
// still under way. Until bind is called, a notification of a subscription that
// nobody knows goes to each registration without one that its application id,
// account and topic fit. bind may be called again, after the subscription was
// replaced; notifications of the one before are then still taken. unregister
// ends it all. Both may be called at any time and from anywhere.
func (h *WebhookHandler) Register(r Receiver) (bind func(subscriptionID string), unregister func(), err error) {
	if r.Notify == nil {
		return nil, nil, errors.New("cloudlink: Receiver.Notify is nil: nobody would take the events")
	}
	reg := &registration{Receiver: r}
	h.mu.Lock()
	h.unbound[reg] = struct{}{}
	h.mu.Unlock()
	return func(id string) { h.bind(reg, id) }, func() { h.unregister(reg) }, nil
}

func (h *WebhookHandler) bind(reg *registration, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reg.closed || id == "" || slices.Contains(reg.ids, id) {
		return
	}
	delete(h.unbound, reg)
	reg.ids = append(reg.ids, id)
	h.bound[id] = reg
	if len(reg.ids) > keptIDs {
		h.release(reg, reg.ids[0])
		reg.ids = reg.ids[1:]
	}
}

func (h *WebhookHandler) unregister(reg *registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reg.closed = true
	delete(h.unbound, reg)
	for _, id := range reg.ids {
		h.release(reg, id)
	}
	reg.ids = nil
}

// release forgets id unless another registration has taken it over.
func (h *WebhookHandler) release(reg *registration, id string) {
	if h.bound[id] == reg {
		delete(h.bound, id)
	}
}

// Stats returns what the handler has seen so far.
func (h *WebhookHandler) Stats() WebhookStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Refused = maps.Clone(s.Refused)
	return s
}

// ServeHTTP takes one notification.
func (h *WebhookHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	h.received.Add(ctx, 1)
	h.mu.Lock()
	h.stats.Received++
	h.mu.Unlock()
	w.Header().Set("X-Content-Type-Options", "nosniff")

	event, receivers, refusal := h.judge(w, r)
	if refusal.Reason != "" {
		w.WriteHeader(refusal.Status)
		h.refuse(ctx, refusal)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	for _, reg := range receivers {
		if err := contain(reg.Notify, event); err != nil {
			h.opts.Logger.ErrorContext(ctx, "A receiver of CloudLink notifications panicked", "subscription", event.SubscriptionID, "panic", err)
			h.refuse(ctx, Refusal{Time: time.Now(), Reason: RefusedPanic, Status: http.StatusAccepted, SubscriptionID: event.SubscriptionID, Topic: event.Topic})
			continue
		}
		h.mu.Lock()
		h.stats.Delivered++
		h.stats.LastDelivered = time.Now()
		h.mu.Unlock()
	}
}

// judge reads a request and finds those who take it, or why nobody may.
func (h *WebhookHandler) judge(w http.ResponseWriter, r *http.Request) (Event, []*registration, Refusal) {
	refuse := func(reason RefusalReason, status int, e Event) (Event, []*registration, Refusal) {
		return e, nil, Refusal{Time: time.Now(), Reason: reason, Status: status, SubscriptionID: e.SubscriptionID, Topic: e.Topic}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(RefusedMethod, http.StatusMethodNotAllowed, Event{})
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(RefusedTooLarge, http.StatusRequestEntityTooLarge, Event{})
	case err != nil:
		return refuse(RefusedMalformed, http.StatusBadRequest, Event{})
	}
	// Only what says that it is something else is not read: senders are sloppy.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && strings.HasPrefix(kind, "text/html") {
		return refuse(RefusedMalformed, http.StatusBadRequest, Event{})
	}
	e, err := parsePublication(body)
	if errors.Is(err, errNotPublication) {
		return refuse(RefusedMalformed, http.StatusBadRequest, e)
	}
	receivers, reason := h.route(e, presence.NewSecret(r.Header.Get(h.opts.ApplicationIDHeader)))
	switch reason {
	case "":
	case RefusedSubscription:
		return refuse(reason, http.StatusNotFound, e)
	default:
		return refuse(reason, http.StatusForbidden, e)
	}
	// Only a sender that passed the checks learns that a subject is not known.
	if errors.Is(err, errSubject) {
		return refuse(RefusedSubject, http.StatusAccepted, e)
	}
	return e, receivers, Refusal{}
}

// route finds the registrations that an event belongs to.
func (h *WebhookHandler) route(e Event, applicationID presence.Secret) ([]*registration, RefusalReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reg := h.bound[e.SubscriptionID]; reg != nil {
		if reason := h.check(reg, e, applicationID); reason != "" {
			return nil, reason
		}
		return []*registration{reg}, ""
	}
	// A subscription whose id is not known yet: by what else is known of it.
	var fitting []*registration
	for reg := range h.unbound {
		if (reg.Topic == "" || reg.Topic == e.Topic) && h.check(reg, e, applicationID) == "" {
			fitting = append(fitting, reg)
		}
	}
	if len(fitting) == 0 {
		return nil, RefusedSubscription
	}
	return fitting, ""
}

func (h *WebhookHandler) check(reg *registration, e Event, applicationID presence.Secret) RefusalReason {
	switch {
	case applicationID.IsZero() && h.opts.RequireApplicationID,
		!applicationID.IsZero() && !reg.ApplicationID.IsZero() && !applicationID.Equal(reg.ApplicationID):
		return RefusedApplicationID
	case reg.AccountID != "" && !strings.EqualFold(reg.AccountID, e.AccountID):
		return RefusedAccount
	default:
		return ""
	}
}

func (h *WebhookHandler) refuse(ctx context.Context, r Refusal) {
	h.mu.Lock()
	if h.stats.Refused == nil {
		h.stats.Refused = make(map[RefusalReason]uint64)
	}
	h.stats.Refused[r.Reason]++
	h.mu.Unlock()
	h.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", string(r.Reason))))
	level := slog.LevelWarn
	if r.Reason == RefusedSubject {
		level = slog.LevelDebug
	}
	// What a stranger sent is cut short and quoted by %q.
	h.opts.Logger.Log(ctx, level, "CloudLink notification refused", "reason", string(r.Reason), "status", r.Status,
		"subscription", fmt.Sprintf("%.64q", r.SubscriptionID), "topic", fmt.Sprintf("%.64q", r.Topic))
	if h.opts.Refused == nil {
		return
	}
	if err := contain(h.opts.Refused, r); err != nil {
		h.opts.Logger.ErrorContext(ctx, "WebhookHandlerOptions.Refused panicked", "panic", err)
	}
}

// contain turns a panic of the embedder's function into an error: it must not
// take the answer, or what is still to be handed to others, with it.
func contain[T any](f func(T), v T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%T", p)
		}
	}()
	f(v)
	return nil
}
