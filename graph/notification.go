package graph

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
	"go.opentelemetry.io/otel/metric"
)

// NotificationHandlerOptions configure a [NotificationHandler]. The zero value
// of every field is its default.
type NotificationHandlerOptions struct {
	// Logger takes what was refused: at most one warning a minute for each
	// reason, everything at level debug, and a receiver's panic as an error. It
	// is never given a client state or a body. Default: discard.
	Logger *slog.Logger

	// MaxBody is the longest body that is read, in bytes; a longer one is
	// answered 413. How many items Microsoft Graph puts into one body is not
	// documented; an encrypted item with its keys and certificate fields takes
	// about 3 kB. Memory does not grow with MaxBody: items are decoded one
	// after the other. Default: 4 MiB.
	MaxBody int64

	// MeterProvider takes the counters
	// presencebridge.graph.notification.requests and
	// presencebridge.graph.notification.items, each with the attribute outcome
	// and, for what was refused, reason. Default: the global provider of
	// go.opentelemetry.io/otel, which does nothing until one is installed.
	MeterProvider metric.MeterProvider

	// Refused is told of what was refused: of each refused request, and of the
	// first 16 refused items of a request, so that a hostile body costs no more
	// than a careless one. [NotificationHandler.Stats] counts all of them. It is
	// called concurrently and must not block. Default: nobody is told.
	Refused func(Refusal)
}

// NotificationHandler receives the change notifications and the lifecycle
// notifications of Microsoft Graph and hands each of them to the receiver that
// registered for it. It implements [net/http.Handler].
//
// One handler, on one URL, serves any number of subscriptions: Microsoft Graph
// mixes subscriptions and tenants in one body, so items are told apart by what
// they carry and never by where they arrive. Every item is judged alone: one
// that is refused spoils none of its neighbours.
//
// What it answers:
//
//   - 200 with the token as plain text to a request that validates the URL
//     (query parameter validationToken);
//   - 202 to every body that is a batch of notifications, whatever became of
//     its items: Microsoft Graph would otherwise send the good ones again for
//     up to four hours;
//   - 400 to a body that is not one, 413 to one that is too long and 405 to any
//     method but POST.
//
// An item is accepted only with the client state of its registration, which is
// compared in constant time. Notifications are hints to look again, so a
// notification with encrypted content is handed on like any other: the user's id
// stands beside the content. Its content is not decrypted.
//
// The protocol is that of
// learn.microsoft.com/graph/change-notifications-delivery-webhooks. A
// NotificationHandler is safe for concurrent use.
type NotificationHandler struct {
	log     *slog.Logger
	maxBody int64
	refused func(Refusal)
	counts  notificationCounts

	mu             sync.RWMutex
	bySubscription map[string]*registration
	byClientState  map[[sha256.Size]byte]*registration
	batches        sync.Pool // of *notificationBatch
}

const (
	defaultMaxNotificationBody = 4 << 20
	// maxClientState is Microsoft Graph's own bound
	// (learn.microsoft.com/graph/api/resources/subscription).
	maxClientState = 128
	// maxValidationToken bounds what an anonymous request can make the handler
	// repeat. Tokens that were seen have a few hundred characters; no length is
	// documented (assumed).
	maxValidationToken = 4096
	// maxReportedRefusals is how many refused items of one request are reported
	// one by one.
	maxReportedRefusals = 16
	// maxPooledDeliveries keeps one unusual batch from being held for ever.
	maxPooledDeliveries = 4096
)

// NewNotificationHandler returns a handler without registrations. It answers
// validation requests at once, so it can and must be mounted before the first
// subscription is created.
func NewNotificationHandler(opts *NotificationHandlerOptions) *NotificationHandler {
	var o NotificationHandlerOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxNotificationBody
	}
	h := &NotificationHandler{
		log:            o.Logger,
		maxBody:        o.MaxBody,
		refused:        o.Refused,
		bySubscription: make(map[string]*registration),
		byClientState:  make(map[[sha256.Size]byte]*registration),
	}
	h.batches.New = func() any { return new(notificationBatch) }
	h.counts.instrument(o.MeterProvider, o.Logger)
	return h
}

// registration is one receiver and what proves that an item is meant for it.
type registration struct {
	receiver presence.Receiver
	tenant   string // empty: any
	// state is the digest of the client state: digests have one length, so
	// comparing them tells nothing of the value, not even how long it is.
	state [sha256.Size]byte

	// Guarded by NotificationHandler.mu.
	subscriptions []string
	gone          bool
}

// Register makes r the receiver of the items that carry clientState, whatever
// their tenant; see [NotificationHandler.Tenant] to tie them to one.
//
// Register comes before the request that creates the subscription, because
// notifications can arrive before the answer to that request does. Until bind
// is called, an item of a subscription that nobody bound is matched by its
// client state alone. bind then records the subscription's id, and from there on
// items must carry both. A subscription that replaces another under the same
// client state is bound by calling bind again; the former id stays accepted
// until unregister, because Microsoft Graph repeats undelivered notifications
// for up to four hours and they are still true hints. unregister ends it all; a
// call of r that has begun may still be under way when it returns. bind and
// unregister may be called at any time, by any goroutine, more than once.
//
// r's functions are called before the request is answered, so they must not
// block; Microsoft Graph holds notifications back when more than one in ten
// answers takes longer than three seconds. A panic in them is contained, logged
// and counted.
//
// Register fails if clientState is empty, longer than 128 characters or in use
// by another registration, and if r.Notify is nil.
func (h *NotificationHandler) Register(clientState presence.Secret, r presence.Receiver) (bind func(subscriptionID string), unregister func(), err error) {
	return h.register("", clientState, r)
}

// TenantNotifications registers receivers for one tenant's notifications. See
// [NotificationHandler.Tenant].
type TenantNotifications struct {
	handler *NotificationHandler
	tenant  string
}

// Tenant returns a view of h whose registrations refuse items of another tenant
// than the one with this Entra tenant id, a GUID: a second proof beside the
// client state where one handler serves several customers. An item that states no
// tenant is judged by its client state alone.
func (h *NotificationHandler) Tenant(tenantID string) *TenantNotifications {
	return &TenantNotifications{h, tenantID}
}

// Register is [NotificationHandler.Register] for items of the tenant. It fails
// as well if the tenant id is not a GUID: a domain name never equals what a
// notification states.
func (t *TenantNotifications) Register(clientState presence.Secret, r presence.Receiver) (bind func(subscriptionID string), unregister func(), err error) {
	if !isGUID(t.tenant) {
		return nil, nil, fmt.Errorf("graph: register for notifications: tenant id %q is not a GUID: notifications state the tenant as a GUID, so use the directory id that the Entra portal shows", t.tenant)
	}
	return t.handler.register(t.tenant, clientState, r)
}

func (h *NotificationHandler) register(tenant string, clientState presence.Secret, r presence.Receiver) (func(string), func(), error) {
	value := clientState.Reveal()
	var faults []error
	if value == "" {
		faults = append(faults, errors.New("client state is empty: anyone could send notifications; use a random one"))
	}
	if len(value) > maxClientState {
		faults = append(faults, fmt.Errorf("client state has %d characters: Microsoft Graph takes at most %d", len(value), maxClientState))
	}
	if r.Notify == nil {
		faults = append(faults, errors.New("receiver has no Notify function"))
	}
	if len(faults) > 0 {
		return nil, nil, fmt.Errorf("graph: register for notifications: %w", errors.Join(faults...))
	}

	reg := &registration{receiver: r, tenant: tenant, state: sha256.Sum256([]byte(value))}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byClientState[reg.state] != nil {
		return nil, nil, errors.New("graph: register for notifications: client state is in use by another registration: use a new random one for each subscription")
	}
	h.byClientState[reg.state] = reg
	bind := func(subscriptionID string) { h.bind(reg, subscriptionID) }
	unregister := func() { h.unregister(reg) }
	return bind, unregister, nil
}

func (h *NotificationHandler) bind(reg *registration, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == "" || reg.gone || h.bySubscription[id] == reg {
		return
	}
	h.bySubscription[id] = reg
	reg.subscriptions = append(reg.subscriptions, id)
}

func (h *NotificationHandler) unregister(reg *registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reg.gone {
		return
	}
	reg.gone = true
	delete(h.byClientState, reg.state)
	for _, id := range reg.subscriptions {
		// Another registration may have bound the id since.
		if h.bySubscription[id] == reg {
			delete(h.bySubscription, id)
		}
	}
}

// ServeHTTP implements [net/http.Handler].
func (h *NotificationHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuseRequest(r.Context(), w, http.StatusMethodNotAllowed, RefusedMethod)
		return
	}
	if strings.Contains(r.URL.RawQuery, "validationToken") {
		if query := r.URL.Query(); query.Has("validationToken") {
			h.validate(w, r, query.Get("validationToken"))
			return
		}
	}

	b := h.batches.Get().(*notificationBatch)
	defer h.recycle(b)
	if err := decodeNotifications(http.MaxBytesReader(w, r.Body, h.maxBody), &b.item, func() { h.judge(b) }); err != nil {
		status, reason := http.StatusBadRequest, RefusedMalformed
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			status, reason = http.StatusRequestEntityTooLarge, RefusedTooLarge
		} else if !isMalformed(err) {
			reason = RefusedUnreadable
		}
		h.refuseRequest(r.Context(), w, status, reason)
		return
	}
	h.deliver(r.Context(), b)
	w.WriteHeader(http.StatusAccepted)
}

// validate answers the request by which Microsoft Graph makes sure that the URL
// is ours. The token is opaque, and anybody can send one: the headers keep a
// browser from taking it for anything but text.
func (h *NotificationHandler) validate(w http.ResponseWriter, r *http.Request, token string) {
	if token == "" || len(token) > maxValidationToken {
		h.refuseRequest(r.Context(), w, http.StatusBadRequest, RefusedValidation)
		return
	}
	h.counts.request(r.Context(), outcomeValidated)
	h.log.DebugContext(r.Context(), "graph: notification URL validated")
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, token)
}

// notificationBatch is the work space for one body.
type notificationBatch struct {
	item     notificationItem
	accepted []delivery
	received uint64
	refused  [refusalReasons]uint64
	reported []Refusal
}

// delivery is one accepted item.
type delivery struct {
	to           *registration
	isLifecycle  bool
	notification presence.Notification
	lifecycle    presence.Lifecycle
}

func (h *NotificationHandler) recycle(b *notificationBatch) {
	if cap(b.accepted) > maxPooledDeliveries || cap(b.item.Resource) > 1<<16 {
		return
	}
	clear(b.accepted)
	clear(b.reported)
	*b = notificationBatch{item: notificationItem{Resource: b.item.Resource[:0]}, accepted: b.accepted[:0], reported: b.reported[:0]}
	h.batches.Put(b)
}

// judge decides on the item that was just decoded. What is accepted waits until
// the whole body has proved well-formed: a body that is answered 400 comes
// again as a whole.
func (h *NotificationHandler) judge(b *notificationBatch) {
	b.received++
	item := &b.item
	reg, reason := h.route(item)
	if reason == 0 && item.LifecycleEvent == "" {
		userID := item.userID()
		if userID == "" {
			reason = RefusedNoUser
		} else {
			b.accepted = append(b.accepted, delivery{to: reg, notification: item.notification(userID)})
		}
	} else if reason == 0 {
		b.accepted = append(b.accepted, delivery{to: reg, isLifecycle: true, lifecycle: item.lifecycle()})
	}
	if reason == 0 {
		return
	}
	b.refused[reason]++
	if len(b.reported) < maxReportedRefusals {
		b.reported = append(b.reported, Refusal{Reason: reason, SubscriptionID: shorten(item.SubscriptionID), TenantID: shorten(item.tenant())})
	}
}

// route finds the registration that an item is meant for.
func (h *NotificationHandler) route(item *notificationItem) (*registration, RefusalReason) {
	if item.SubscriptionID == "" {
		return nil, RefusedMalformedItem
	}
	state := sha256.Sum256([]byte(item.ClientState))
	h.mu.RLock()
	reg := h.bySubscription[item.SubscriptionID]
	if reg == nil {
		if unbound := h.byClientState[state]; unbound != nil && len(unbound.subscriptions) == 0 {
			reg = unbound
		}
	}
	h.mu.RUnlock()
	switch {
	case reg == nil:
		return nil, RefusedUnknownSubscription
	case subtle.ConstantTimeCompare(state[:], reg.state[:]) != 1:
		return nil, RefusedClientState
	case reg.tenant != "" && item.tenant() != "" && !strings.EqualFold(reg.tenant, item.tenant()):
		return nil, RefusedTenant
	}
	return reg, 0
}

// deliver hands the accepted items on and accounts for the rest.
func (h *NotificationHandler) deliver(ctx context.Context, b *notificationBatch) {
	for i := range b.accepted {
		h.handOver(ctx, &b.accepted[i])
	}
	h.counts.batch(ctx, b, time.Now())
	for i := range b.reported {
		h.report(ctx, b.reported[i])
	}
}

func (h *NotificationHandler) handOver(ctx context.Context, d *delivery) {
	defer func() {
		if p := recover(); p != nil {
			h.counts.panics.Add(1)
			h.log.ErrorContext(ctx, "graph: the receiver of a notification panicked; the notification is lost to it",
				"panic", secret.PanicText(p), "stack", string(debug.Stack()))
		}
	}()
	switch {
	case !d.isLifecycle:
		d.to.receiver.Notify(d.notification)
	case d.to.receiver.Lifecycle != nil:
		d.to.receiver.Lifecycle(d.lifecycle)
	}
}

func (h *NotificationHandler) refuseRequest(ctx context.Context, w http.ResponseWriter, status int, reason RefusalReason) {
	h.counts.refusedRequest(ctx, reason)
	http.Error(w, reason.String(), status)
	h.report(ctx, Refusal{Reason: reason})
}

// report tells of one refusal. Anybody can send requests to a public URL, so
// the log gets a warning only once a minute for each reason.
func (h *NotificationHandler) report(ctx context.Context, r Refusal) {
	level := slog.LevelDebug
	if h.counts.warnNow(r.Reason, time.Now()) {
		level = slog.LevelWarn
	}
	h.log.LogAttrs(ctx, level, "graph: notification refused",
		slog.String("reason", r.Reason.String()),
		slog.String("subscription_id", r.SubscriptionID),
		slog.String("tenant_id", r.TenantID),
		slog.Uint64("refused_so_far", h.counts.refused[r.Reason].Load()))
	if h.refused == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			h.counts.panics.Add(1)
			h.log.ErrorContext(ctx, "graph: NotificationHandlerOptions.Refused panicked", "panic", secret.PanicText(p), "stack", string(debug.Stack()))
		}
	}()
	h.refused(r)
}

// isMalformed tells a body that is not what it should be from one that could
// not be read. A body that ends too early counts as the former: JSON and HTTP
// report it by the same error.
func isMalformed(err error) bool {
	var syntax *json.SyntaxError
	return errors.Is(err, errNotABatch) || errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
