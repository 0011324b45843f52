package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

const (
	defaultDecryptionQueue = 4096
	// openIDConfigurationPath is below the login service; "common" has the keys of
	// all tenants.
	openIDConfigurationPath = "/common/.well-known/openid-configuration"
)

// DecryptionOptions are the settings of a [Decryption]. The zero value of each
// field is its default.
type DecryptionOptions struct {
	// Cloud names the login service whose signatures are trusted. Default:
	// [Global], the only one of Microsoft's clouds with presence notifications.
	Cloud Cloud
	// HTTPClient lends its Transport, which fetches the signing keys, and its
	// Timeout, which bounds one fetch of two requests; its other fields are not
	// used. Redirects are not followed. Default: [http.DefaultTransport] and 10
	// seconds.
	HTTPClient *http.Client
	// QueueSize is how many encrypted items of one handler may wait; further ones
	// are handed on at once without their content. An item takes about 2 kB.
	// Default: 4096.
	QueueSize int
	// Workers is how many goroutines of one handler decrypt at most. They start
	// when there is something to do and end when there is nothing. An item takes
	// about as long as one operation with its private key. Default:
	// [runtime.GOMAXPROCS].
	Workers int
}

// Decryption is what a [NotificationHandler] needs to read encrypted
// notifications: keys to decrypt them, and the applications for which validation
// tokens may be. Several handlers may share one. It is safe for concurrent use.
//
// Whoever subscribes by another application tells it by
// [Decryption.AddApplication], before the first subscription: until then its
// validation tokens are false, and its encrypted items are refused.
type Decryption struct {
	ring      *KeyRing
	tokens    *tokenValidator
	queueSize int
	workers   int
}

// NewDecryption returns a Decryption for notifications to the applications with
// these client ids, of which there is at least one: that of each application that
// subscribes. It returns all faults of its arguments at once, and sends nothing.
//
// The signing keys of the login service are fetched when the first token comes,
// kept for a day, and fetched anew for a key that is not among them, at most every
// 5 minutes. Keys that could not be fetched anew stay in use.
func NewDecryption(keys *KeyRing, clientIDs []string, opts *DecryptionOptions) (*Decryption, error) {
	var o DecryptionOptions
	if opts != nil {
		o = *opts
	}
	var faults []error
	if keys == nil {
		faults = append(faults, errors.New("graph: a key ring is required: make one with NewKeyRing"))
	}
	if len(clientIDs) == 0 {
		faults = append(faults, errors.New("graph: at least one client id is required: that of the application that subscribes"))
	}
	for _, id := range clientIDs {
		faults = append(faults, checkClientID(id))
	}
	cloud, err := o.Cloud.normalize()
	faults = append(faults, err)
	if o.QueueSize < 0 {
		faults = append(faults, fmt.Errorf("graph: DecryptionOptions.QueueSize %d is negative: use 0 for the default", o.QueueSize))
	}
	if o.Workers < 0 {
		faults = append(faults, fmt.Errorf("graph: DecryptionOptions.Workers %d is negative: use 0 for the default", o.Workers))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if o.QueueSize == 0 {
		o.QueueSize = defaultDecryptionQueue
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	timeout := signingKeysTimeout
	if o.HTTPClient != nil {
		client.Transport = o.HTTPClient.Transport
		if o.HTTPClient.Timeout > 0 {
			timeout = o.HTTPClient.Timeout
		}
	}
	d := &Decryption{
		ring: keys,
		tokens: &tokenValidator{
			loginURL:  cloud.LoginURL,
			keys:      &signingKeys{configuration: cloud.LoginURL + openIDConfigurationPath, http: client, timeout: timeout},
			audiences: make(map[string]struct{}),
		},
		queueSize: o.QueueSize,
		workers:   o.Workers,
	}
	for _, id := range clientIDs {
		d.tokens.addAudience(id)
	}
	return d, nil
}

// AddApplication accepts notifications to another application as well, by its
// client id. Until then a validation token for that application is false, and the
// encrypted items of its tenant are refused ([RefusedValidationTokens]); so call it
// before SetApplication of the Pool of package monitor makes the monitors belong to
// another client id. The former application stays accepted, because its
// notifications may come for some hours yet.
//
// It fails if clientID cannot be a client id, and does nothing if it is accepted
// already.
func (d *Decryption) AddApplication(clientID string) error {
	if err := checkClientID(clientID); err != nil {
		return err
	}
	d.tokens.addAudience(clientID)
	return nil
}

// encryptedItem is an item that is accepted but for its content.
type encryptedItem struct {
	delivery
	content *encryptedContent
	body    *encryptedBody
}

// tenant returns the tenant whose token must vouch for the item.
func (it *encryptedItem) tenant() string { return tenantOf(it.notification.TenantID, it.to) }

// tenantOf returns the tenant of an item: the one that it states, otherwise that of
// its registration, which may be nil; "" if neither tells.
func tenantOf(stated string, reg *registration) string {
	if stated == "" && reg != nil {
		return reg.tenant
	}
	return stated
}

// encryptedBody is what the encrypted items of one body share.
type encryptedBody struct {
	ctx      context.Context
	verdict  func() tokenVerdict // judged once, by the first worker that asks
	reported atomic.Int32
}

// decryptionQueue holds the items that wait for a worker.
type decryptionQueue struct {
	mu      sync.Mutex
	waiting []encryptedItem
	workers int
	idle    chan struct{} // closed when the last worker ends; nil: none works
}

// enqueue takes the encrypted items of a body, which is answered without waiting
// for them: checking their tokens may need the network, and decrypting them takes
// a private-key operation each, while Microsoft Graph wants an answer within three
// seconds.
func (h *NotificationHandler) enqueue(ctx context.Context, b *notificationBatch) {
	ctx = context.WithoutCancel(ctx)
	tokens, tenants := b.tokens, b.tenants
	b.tenants = batchTenants{} // its map must not be used for the next body
	body := &encryptedBody{ctx: ctx, verdict: sync.OnceValue(func() tokenVerdict { return h.decryption.tokens.judge(ctx, tokens, tenants) })}
	for i := range b.encrypted {
		b.encrypted[i].body = body
	}
	q := &h.queue
	q.mu.Lock()
	taken := min(len(b.encrypted), max(0, h.decryption.queueSize-len(q.waiting)))
	q.waiting = append(q.waiting, b.encrypted[:taken]...)
	h.counts.pending.Add(int64(taken))
	for q.workers < min(h.decryption.workers, len(q.waiting)) {
		if q.workers == 0 {
			q.idle = make(chan struct{})
		}
		q.workers++
		go h.decryptWaiting()
	}
	q.mu.Unlock()
	for i := range b.encrypted[taken:] {
		h.hint(&b.encrypted[taken+i], HintQueueFull, nil)
	}
}

// decryptWaiting is a worker.
func (h *NotificationHandler) decryptWaiting() {
	q := &h.queue
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting = nil
			if q.workers--; q.workers == 0 {
				close(q.idle)
				q.idle = nil
			}
			q.mu.Unlock()
			return
		}
		item := q.waiting[0]
		q.waiting[0] = encryptedItem{}
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		h.decrypt(&item)
		h.counts.pending.Add(-1)
	}
}

// Wait blocks until all encrypted notifications that were accepted have been
// handed on or refused, or until ctx ends, and then returns its cause. For an
// orderly stop, call it after the server has stopped, so that no more come. The
// workers end by themselves in any case, within the time that fetching the signing
// keys may take.
func (h *NotificationHandler) Wait(ctx context.Context) error {
	for {
		h.queue.mu.Lock()
		idle := h.queue.idle
		h.queue.mu.Unlock()
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// decrypt judges one item and hands it on.
func (h *NotificationHandler) decrypt(item *encryptedItem) {
	defer func() {
		if p := recover(); p != nil {
			h.counts.panics.Add(1)
			h.log.ErrorContext(item.body.ctx, "graph: decrypting a notification panicked; it is handed on without its content",
				"panic", secret.PanicText(p), "stack", string(debug.Stack()))
			h.hint(item, HintKeyFailed, nil)
		}
	}()
	h.mu.RLock()
	gone := item.to.gone
	h.mu.RUnlock()
	if gone {
		h.refuseItem(item, RefusedUnknownSubscription, "")
		return
	}
	verdict := item.body.verdict()
	switch standing := verdict.of(item.tenant()); standing {
	case tokenTrue:
	case tokenFalse:
		h.refuseItem(item, RefusedValidationTokens, verdict.detail())
		return
	case tokenUnchecked:
		h.hint(item, HintSigningKeys, verdict.keys)
		return
	default:
		h.hint(item, HintNoValidationToken, nil)
		return
	}
	if !item.content.fits() {
		h.refuseItem(item, RefusedContent, "")
		return
	}
	key := h.decryption.ring.find(item.content.CertificateID, time.Now())
	if key == nil {
		h.hint(item, HintUnknownCertificate, nil)
		return
	}
	plain, err := item.content.open(key)
	if err == nil {
		item.notification.Presence, err = presenceOf(plain, item.notification.UserID)
	}
	switch {
	case errors.Is(err, errKeyFailed):
		h.hint(item, HintKeyFailed, nil)
	case errors.Is(err, errContentUser):
		h.refuseItem(item, RefusedContentUser, "")
	case err != nil:
		h.refuseItem(item, RefusedContent, "")
	case item.notification.Presence == nil:
		h.hint(item, HintNoPresence, nil)
	default:
		h.handOver(item.body.ctx, &item.delivery)
		h.counts.decrypt(item.body.ctx, time.Now())
	}
}

// hint hands an item on without its content.
func (h *NotificationHandler) hint(item *encryptedItem, reason HintReason, cause error) {
	ctx, now := item.body.ctx, time.Now()
	item.notification.Presence = nil
	h.handOver(ctx, &item.delivery)
	h.counts.hint(ctx, reason, now)
	level := slog.LevelDebug
	if warnNow(&h.counts.hintedAt[reason], now) {
		level = slog.LevelWarn
	}
	if !h.log.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("reason", reason.String()),
		slog.String("subscription_id", shorten(item.notification.SubscriptionID)),
		slog.String("tenant_id", shorten(item.notification.TenantID)),
		slog.Uint64("handed_on_so_far", h.counts.hints[reason].Load()),
		slog.String("remedy", reason.remedy()),
	}
	if cause != nil {
		attributes = append(attributes, slog.Any("error", cause))
	}
	h.log.LogAttrs(ctx, level, "graph: encrypted notification handed on without its content", attributes...)
}

// refuseItem refuses an item after its body was answered.
func (h *NotificationHandler) refuseItem(item *encryptedItem, reason RefusalReason, detail string) {
	h.counts.refusedItem(item.body.ctx, reason)
	if item.body.reported.Add(1) > maxReportedRefusals {
		return
	}
	h.report(item.body.ctx, Refusal{
		Reason: reason, Detail: detail,
		SubscriptionID: shorten(item.notification.SubscriptionID), TenantID: shorten(item.notification.TenantID),
	})
}
