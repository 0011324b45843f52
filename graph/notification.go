package graph

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
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

	// Decryption reads the content of encrypted notifications, for subscriptions
	// that are created with a certificate of its [KeyRing]. Default: nil, encrypted
	// notifications are handed on without their content.
	Decryption *Decryption

	// MeterProvider takes the counters
	// presencebridge.graph.notification.requests and
	// presencebridge.graph.notification.items, each with the attribute outcome
	// and, for what was refused or handed on as a hint without its content, reason.
	// Default: the global provider of go.opentelemetry.io/otel, which does nothing
	// until one is installed.
	MeterProvider metric.MeterProvider

	// Refused is told of what was refused: of each refused request, and of the
	// first 16 refused items of a request, and the first 16 whose content was
	// refused after the answer, so that a hostile body costs no more than a
	// careless one. [NotificationHandler.Stats] counts all of them. It is
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
// compared in constant time.
//
// # Encrypted notifications
//
// A notification is a hint to look again. One with encrypted content brings the
// presence as well, if [NotificationHandlerOptions.Decryption] is set; otherwise,
// it is handed on like any other, because the user's id stands beside the content.
//
// Encrypted items are handed on after the answer, by goroutines that end when
// nothing is left to do: see [NotificationHandler.Wait]. Several of them work at
// once, so one user's items may be handed on in another order than they came in, a
// newer presence before an older one. Microsoft Graph promises no order either, and
// the content carries nothing to restore one by. A decrypted presence is therefore a
// hint like any other notification, and packages monitor and presencebridge use only
// whom it is about: they read the presence anew. Encryption is for receivers of the
// embedder's own that have a use for a presence which may be outdated, and for
// those who follow Microsoft's recommendation to subscribe with resource data
// (learn.microsoft.com/graph/changenotifications-for-presence).
//
// Three things come of encrypted items:
//
//   - The presence is handed on if the body has a validation token of the login
//     service for the item's tenant that was issued to Microsoft Graph Change
//     Tracking for one of our applications, and if the content is unharmed and
//     about the user whom the item names.
//   - An item is refused if a token of its tenant is false ([RefusedValidationTokens]),
//     or if its own content was tampered with ([RefusedContent],
//     [RefusedContentUser]). The item's tenant is the one that it states, otherwise
//     that of its registration. A false token that names no tenant speaks against
//     all encrypted items of the body. A token for a tenant that no item of the body
//     can be of, whether accepted or refused, speaks against those of tenants
//     without a token.
//   - It is handed on without its content if that cannot be read or trusted for a
//     reason that lies elsewhere: see [HintReason].
//
// Their rules are those of
// learn.microsoft.com/graph/change-notifications-with-resource-data.
//
// The protocol is that of
// learn.microsoft.com/graph/change-notifications-delivery-webhooks. A
// NotificationHandler is safe for concurrent use.
type NotificationHandler struct {
	log        *slog.Logger
	maxBody    int64
	refused    func(Refusal)
	decryption *Decryption // nil: contents are not read
	queue      decryptionQueue
	counts     notificationCounts

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
		decryption:     o.Decryption,
		bySubscription: make(map[string]*registration),
		byClientState:  make(map[[sha256.Size]byte]*registration),
	}
	h.batches.New = func() any { return new(notificationBatch) }
	h.counts.instrument(o.MeterProvider, o.Logger)
	return h
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
	var tokens *validationTokens
	if h.decryption != nil {
		tokens = &b.tokens
	}
	if err := decodeNotifications(http.MaxBytesReader(w, r.Body, h.maxBody), &b.item, tokens, func() { h.judge(b) }); err != nil {
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
	item      notificationItem
	accepted  []delivery
	encrypted []encryptedItem // accepted but for their content
	tokens    validationTokens
	tenants   batchTenants // kept for the tokens only
	received  uint64
	refused   [refusalReasons]uint64
	reported  []Refusal
}

// delivery is one accepted item.
type delivery struct {
	to           *registration
	isLifecycle  bool
	notification presence.Notification
	lifecycle    presence.Lifecycle
}

func (h *NotificationHandler) recycle(b *notificationBatch) {
	if cap(b.accepted) > maxPooledDeliveries || cap(b.encrypted) > maxPooledDeliveries || cap(b.item.Resource) > 1<<16 {
		return
	}
	clear(b.accepted)
	clear(b.encrypted)
	clear(b.reported)
	clear(b.tenants.known)
	*b = notificationBatch{
		item: notificationItem{Resource: b.item.Resource[:0]}, accepted: b.accepted[:0], encrypted: b.encrypted[:0],
		tenants: batchTenants{known: b.tenants.known}, reported: b.reported[:0],
	}
	h.batches.Put(b)
}

// judge decides on the item that was just decoded. What is accepted waits until
// the whole body has proved well-formed: a body that is answered 400 comes
// again as a whole.
func (h *NotificationHandler) judge(b *notificationBatch) {
	b.received++
	item := &b.item
	reg, reason := h.route(item)
	if h.decryption != nil {
		b.tenants.add(tenantOf(item.tenant(), reg))
	}
	if reason == 0 && item.LifecycleEvent == "" {
		userID := item.userID()
		switch {
		case userID == "":
			reason = RefusedNoUser
		case item.EncryptedContent != nil && h.decryption != nil:
			b.encrypted = append(b.encrypted, encryptedItem{delivery: delivery{to: reg, notification: item.notification(userID)}, content: item.EncryptedContent})
		default:
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
	if len(b.encrypted) > 0 {
		h.enqueue(ctx, b)
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
	if warnNow(&h.counts.warnedAt[r.Reason], time.Now()) {
		level = slog.LevelWarn
	}
	attributes := []slog.Attr{
		slog.String("reason", r.Reason.String()),
		slog.String("subscription_id", r.SubscriptionID),
		slog.String("tenant_id", r.TenantID),
		slog.Uint64("refused_so_far", h.counts.refused[r.Reason].Load()),
	}
	if r.Detail != "" {
		attributes = append(attributes, slog.String("detail", r.Detail))
	}
	h.log.LogAttrs(ctx, level, "graph: notification refused", attributes...)
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
