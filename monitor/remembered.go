package monitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Memory remembers a monitor's subscription across restarts and processes, so
// that it is adopted and not replaced. A [Monitor] calls its functions one at a
// time; they may block until ctx ends.
type Memory interface {
	// Remember keeps what is known of the present subscription, in place of what
	// was kept before; the zero Remembered when there is none any more. It is
	// called after each creation, renewal and end, the end that Run's context
	// puts to it included.
	//
	// An error is reported as an [EventFailed] with the action "remember" and
	// made good with the next renewal. Should the process die before, the
	// subscription is replaced and not adopted.
	Remember(ctx context.Context, r Remembered) error
	// Recall returns what was kept last; zero where nothing was. It is called
	// when Run begins.
	//
	// An error means that it cannot be read now. Recall is then repeated like any
	// step that fails, and no subscription is created before it has succeeded:
	// the one that may be remembered would be in the way, and be lost. So what
	// can never be read again is no error, but the zero Remembered.
	Recall(ctx context.Context) (Remembered, error)
}

// Remembered is what a [Memory] keeps of a subscription. The client state
// authenticates notifications: keep it as a secret.
type Remembered struct {
	// SubscriptionID is empty where there is no subscription.
	SubscriptionID string
	// ClientState comes with the subscription's notifications.
	ClientState presence.Secret
	// NotificationURL is where they go.
	NotificationURL string
	// Users says whom it watches, as their [UsersDigest].
	Users string
	// EncryptionID is the id of the certificate with which its notifications are
	// encrypted; empty where they carry no presence.
	EncryptionID string
	// CreatedAt is when it was created, ExpiresAt when it ends unless it is
	// renewed.
	CreatedAt, ExpiresAt time.Time
}

// UsersDigest returns what stands for a set of users in a [Remembered]: a
// SHA-256 in hexadecimal digits, the same for every order and case of the ids
// and however often they are repeated.
func UsersDigest(userIDs []string) string {
	ids := make([]string, len(userIDs))
	for i, id := range userIDs {
		ids[i] = strings.ToLower(id)
	}
	slices.Sort(ids)
	h := sha256.New()
	for _, id := range slices.Compact(ids) {
		// An id of Entra has no line break.
		h.Write([]byte(id + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// recall reads the memory. Nothing else is done before it has succeeded.
func (m *Monitor) recall(ctx context.Context) error {
	var r Remembered
	err := m.request(ctx, func(ctx context.Context) (err error) {
		r, err = m.opts.Memory.Recall(ctx)
		return err
	})
	if err != nil {
		return err
	}
	unfit := ""
	if r.NotificationURL != m.url || r.ClientState.IsZero() || (r.EncryptionID != "") != (m.encryption() != nil) {
		unfit = ReasonSettingsChanged
	}
	m.mu.Lock()
	m.state.recalled(r, unfit)
	m.state.succeeded()
	m.mu.Unlock()
	m.backoff.Reset()
	return nil
}

// remember has the memory keep what there is now. The subscription does not
// depend on it, so a failure is reported and nothing else.
func (m *Monitor) remember(ctx context.Context) {
	if m.opts.Memory == nil {
		return
	}
	m.mu.Lock()
	r, users, renewAt := m.state.remembered, len(m.state.subscription.UserIDs), m.state.renewAt
	m.mu.Unlock()
	err := errors.New("monitor: Memory.Remember panicked")
	m.contain(ctx, "Memory.Remember", func() {
		err = m.request(ctx, func(ctx context.Context) error { return m.opts.Memory.Remember(ctx, r) })
	})
	if err == nil {
		return
	}
	e := Event{Kind: EventFailed, Action: actionRemember, Err: err, SubscriptionID: r.SubscriptionID, Users: users}
	if r.SubscriptionID != "" {
		e.NextAt = renewAt
	}
	m.emit(ctx, e)
}

// adopt takes over the subscription that is remembered. How long it was left
// alone is not known: its users are read, and it is renewed at once, which also
// proves that it exists. expiresAt is its end as the service tells it, zero where
// it was not asked.
func (m *Monitor) adopt(ctx context.Context, expiresAt time.Time) error {
	m.mu.Lock()
	r, users, fits := m.state.remembered, m.state.users, m.state.watchedByRemembered()
	m.mu.Unlock()
	if !fits {
		// The users have changed since this was planned.
		return nil
	}
	route, err := m.register(r.ClientState)
	if err != nil {
		return err
	}
	now := time.Now()
	r.ExpiresAt = m.end(cmp.Or(expiresAt, r.ExpiresAt), now.Add(m.opts.Lifetime))
	sub := presence.Subscription{ID: r.SubscriptionID, UserIDs: users, NotificationURL: r.NotificationURL, ExpiresAt: r.ExpiresAt}
	m.use(ctx, route, EventAdopted, func(s *state) { s.adopted(now, sub, r) })
	return nil
}

// encryption returns the certificate that the embedder wants now; nil is none.
func (m *Monitor) encryption() *presence.EncryptionCertificate {
	if m.opts.Encryption == nil {
		return nil
	}
	return m.opts.Encryption()
}
