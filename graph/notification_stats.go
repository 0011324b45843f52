package graph

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// RefusalReason says why a request, or one item of a request, was refused.
type RefusalReason uint8

// The reasons to refuse a request come first, those to refuse an item after them.
const (
	_ RefusalReason = iota
	// RefusedMethod: the method is not POST.
	RefusedMethod
	// RefusedValidation: the validation token is empty or longer than 4096 bytes.
	RefusedValidation
	// RefusedTooLarge: the body is longer than MaxBody.
	RefusedTooLarge
	// RefusedMalformed: the body is not a JSON object with an array "value".
	RefusedMalformed
	// RefusedUnreadable: the body could not be read to its end.
	RefusedUnreadable
	// RefusedMalformedItem: the item is no object, or names no subscription.
	RefusedMalformedItem
	// RefusedUnknownSubscription: nobody has registered for the subscription. A
	// few of these are normal after a subscription was given up.
	RefusedUnknownSubscription
	// RefusedClientState: the subscription is known, the client state is wrong.
	// The item does not come from the subscription that was created.
	RefusedClientState
	// RefusedTenant: the item states another tenant than the registration.
	RefusedTenant
	// RefusedNoUser: the item does not tell whose presence changed.
	RefusedNoUser
	// RefusedValidationTokens: a validation token that speaks for the encrypted
	// item's tenant is false: its signature, audience, caller, issuer, tenant or
	// time is wrong. [Refusal] has the detail.
	RefusedValidationTokens
	// RefusedContent: the encrypted content is incomplete, or its key, signature,
	// padding or JSON is wrong.
	RefusedContent
	// RefusedContentUser: the encrypted content is about another user than the
	// item names.
	RefusedContentUser

	refusalReasons = iota
)

// String returns the reason in a few lower-case words.
func (r RefusalReason) String() string {
	switch r {
	case RefusedMethod:
		return "method not allowed"
	case RefusedValidation:
		return "invalid validation token"
	case RefusedTooLarge:
		return "body too large"
	case RefusedMalformed:
		return "malformed body"
	case RefusedUnreadable:
		return "unreadable body"
	case RefusedMalformedItem:
		return "malformed item"
	case RefusedUnknownSubscription:
		return "unknown subscription"
	case RefusedClientState:
		return "wrong client state"
	case RefusedTenant:
		return "wrong tenant"
	case RefusedNoUser:
		return "no user id"
	case RefusedValidationTokens:
		return "false validation token in the body"
	case RefusedContent:
		return "tampered content"
	case RefusedContentUser:
		return "content of another user"
	default:
		return fmt.Sprintf("reason %d", uint8(r))
	}
}

// MarshalText returns what String returns, so that reasons are words in JSON.
func (r RefusalReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes what MarshalText gives, so that what was written as JSON can
// be read again.
func (r *RefusalReason) UnmarshalText(text []byte) error {
	return unmarshalReason(r, text, refusalReasons)
}

// unmarshalReason finds the reason with this text.
func unmarshalReason[R interface {
	~uint8
	String() string
}](r *R, text []byte, reasons int) error {
	for i := range reasons {
		if candidate := R(i); candidate.String() == string(text) { //nolint:gosec // a few reasons
			*r = candidate
			return nil
		}
	}
	return fmt.Errorf("graph: %q is no reason", shorten(string(text)))
}

// Refusal is one refused request or item.
type Refusal struct {
	// Reason says why.
	Reason RefusalReason
	// Detail says more in words of this package, for RefusedValidationTokens;
	// otherwise it is empty.
	Detail string
	// SubscriptionID and TenantID are what the item states, cut off after 64
	// bytes: anybody may have written them. Empty for a refused request.
	SubscriptionID string
	TenantID       string
}

// NotificationStats is what a [NotificationHandler] has done so far.
type NotificationStats struct {
	// Validations counts the requests that validated the URL.
	Validations uint64
	// Received counts the items of well-formed bodies; each of them is one of
	// Delivered, Lifecycle, refused or Pending.
	Received uint64
	// Delivered counts the notifications handed to a receiver.
	Delivered uint64
	// Decrypted counts those of Delivered whose encrypted content was decrypted.
	Decrypted uint64
	// Hints counts those of Delivered whose encrypted content was left out, by
	// reason; a reason that never occurred is missing. It does not count the items
	// of a handler that has no Decryption.
	Hints map[HintReason]uint64
	// Pending is how many encrypted items wait or are being decrypted now.
	Pending int
	// Lifecycle counts the lifecycle notifications handed to a receiver.
	Lifecycle uint64
	// Panics counts the panics of receivers and of Refused.
	Panics uint64
	// Refused counts the refused requests and items by reason; a reason that
	// never occurred is missing.
	Refused map[RefusalReason]uint64
	// LastDelivery is when the last notification or lifecycle notification was
	// handed to a receiver; zero if none was.
	LastDelivery time.Time
	// Registrations is how many receivers are registered now.
	Registrations int
}

// Stats returns a snapshot. Its figures are read one after the other, so they
// may differ by the requests that are under way.
func (h *NotificationHandler) Stats() NotificationStats {
	h.mu.RLock()
	registrations := len(h.byClientState)
	h.mu.RUnlock()
	c := &h.counts
	s := NotificationStats{
		Validations:   c.validations.Load(),
		Received:      c.received.Load(),
		Delivered:     c.delivered.Load(),
		Decrypted:     c.decrypted.Load(),
		Hints:         make(map[HintReason]uint64),
		Pending:       int(c.pending.Load()),
		Lifecycle:     c.lifecycle.Load(),
		Panics:        c.panics.Load(),
		Refused:       make(map[RefusalReason]uint64),
		Registrations: registrations,
	}
	for reason := range c.refused {
		if n := c.refused[reason].Load(); n > 0 {
			s.Refused[RefusalReason(reason)] = n
		}
	}
	for reason := range c.hints {
		if n := c.hints[reason].Load(); n > 0 {
			s.Hints[HintReason(reason)] = n
		}
	}
	if nanos := c.lastDelivery.Load(); nanos != 0 {
		s.LastDelivery = time.Unix(0, nanos)
	}
	return s
}

// notificationOutcome is the value of the attribute outcome.
type notificationOutcome uint8

const (
	outcomeAccepted notificationOutcome = iota
	outcomeValidated
	outcomeDelivered
	outcomeLifecycle
	outcomeDecrypted
	notificationOutcomes
)

// notificationCounts counts twice: for Stats, and for OpenTelemetry.
type notificationCounts struct {
	validations, received, delivered, decrypted, lifecycle, panics atomic.Uint64

	pending      atomic.Int64
	refused      [refusalReasons]atomic.Uint64
	hints        [hintReasons]atomic.Uint64
	lastDelivery atomic.Int64 // Unix nanoseconds, as the two below
	warnedAt     [refusalReasons]atomic.Int64
	hintedAt     [hintReasons]atomic.Int64

	requests, items metric.Int64Counter
	// Attributes are built once: building them costs more than counting.
	outcomes [notificationOutcomes]metric.MeasurementOption
	refusals [refusalReasons]metric.MeasurementOption
	hinted   [hintReasons]metric.MeasurementOption
}

const instrumentationName = "github.com/presencebridge/presencebridge/graph"

func (c *notificationCounts) instrument(provider metric.MeterProvider, log *slog.Logger) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(instrumentationName)
	counter := func(name, description, unit string) metric.Int64Counter {
		instrument, err := meter.Int64Counter(name, metric.WithDescription(description), metric.WithUnit(unit))
		if err != nil {
			log.Warn("graph: a metric is not available", "metric", name, "error", err)
			return noop.Int64Counter{}
		}
		return instrument
	}
	c.requests = counter("presencebridge.graph.notification.requests", "Requests to the notification URL.", "{request}")
	c.items = counter("presencebridge.graph.notification.items", "Items of well-formed notification bodies.", "{item}")
	for outcome, name := range [notificationOutcomes]string{"accepted", "validated", "delivered", "lifecycle", "decrypted"} {
		c.outcomes[outcome] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", name)))
	}
	for reason := range c.refusals {
		c.refusals[reason] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("outcome", "refused"), attribute.String("reason", RefusalReason(reason).String())))
	}
	for reason := range c.hinted {
		c.hinted[reason] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("outcome", "hint"), attribute.String("reason", HintReason(reason).String())))
	}
}

func (c *notificationCounts) decrypt(ctx context.Context, now time.Time) {
	c.delivered.Add(1)
	c.decrypted.Add(1)
	c.items.Add(ctx, 1, c.outcomes[outcomeDecrypted])
	c.lastDelivery.Store(now.UnixNano())
}

func (c *notificationCounts) hint(ctx context.Context, reason HintReason, now time.Time) {
	c.delivered.Add(1)
	c.hints[reason].Add(1)
	c.items.Add(ctx, 1, c.hinted[reason])
	c.lastDelivery.Store(now.UnixNano())
}

func (c *notificationCounts) refusedItem(ctx context.Context, reason RefusalReason) {
	c.refused[reason].Add(1)
	c.items.Add(ctx, 1, c.refusals[reason])
}

func (c *notificationCounts) request(ctx context.Context, outcome notificationOutcome) {
	if outcome == outcomeValidated {
		c.validations.Add(1)
	}
	c.requests.Add(ctx, 1, c.outcomes[outcome])
}

func (c *notificationCounts) refusedRequest(ctx context.Context, reason RefusalReason) {
	c.refused[reason].Add(1)
	c.requests.Add(ctx, 1, c.refusals[reason])
}

func (c *notificationCounts) batch(ctx context.Context, b *notificationBatch, now time.Time) {
	c.request(ctx, outcomeAccepted)
	c.received.Add(b.received)
	var lifecycle uint64
	for i := range b.accepted {
		if b.accepted[i].isLifecycle {
			lifecycle++
		}
	}
	if delivered := uint64(len(b.accepted)) - lifecycle; delivered > 0 {
		c.delivered.Add(delivered)
		c.items.Add(ctx, int64(delivered), c.outcomes[outcomeDelivered])
	}
	if lifecycle > 0 {
		c.lifecycle.Add(lifecycle)
		c.items.Add(ctx, int64(lifecycle), c.outcomes[outcomeLifecycle])
	}
	if len(b.accepted) > 0 {
		c.lastDelivery.Store(now.UnixNano())
	}
	for reason, n := range b.refused {
		if n > 0 {
			c.refused[reason].Add(n)
			c.items.Add(ctx, int64(n), c.refusals[reason])
		}
	}
}

// warnNow reports whether a minute has passed since the warning at last, and
// notes the next one.
func warnNow(at *atomic.Int64, now time.Time) bool {
	last := at.Load()
	return (last == 0 || now.UnixNano()-last >= int64(time.Minute)) && at.CompareAndSwap(last, now.UnixNano())
}
