package graphtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// The rules of delivery
// (learn.microsoft.com/graph/change-notifications-delivery-webhooks).
const (
	firstTimeout  = 3 * time.Second
	repeatTimeout = 10 * time.Second
	retryFor      = 4 * time.Hour
)

// Delivery is one notification on its way to its endpoint.
type Delivery struct {
	// SubscriptionID is the subscription it belongs to.
	SubscriptionID string
	// UserIDs are the users it is about: one, or none for a lifecycle notification.
	UserIDs []string
	// Lifecycle is the event of a lifecycle notification, otherwise empty.
	Lifecycle presence.LifecycleEvent
	// URL is where it goes.
	URL string
	// Body is the notification as JSON; several may share one POST.
	Body []byte
	// Attempt is 1 at first, and counts the repetitions after an endpoint
	// failed to answer 2xx.
	Attempt int
}

// Fault is what becomes of a delivery. The zero Fault lets it pass.
type Fault struct {
	// Drop loses the notification for good.
	Drop bool
	// Duplicate sends it twice, in two POSTs.
	Duplicate bool
	// Delay sends it that much later.
	Delay time.Duration
	// Hold keeps it back until a later notification of the same subscription
	// has arrived, so that the two change places; without a later one, until
	// [Server.SetDeliveryFault] is called again.
	Hold bool
}

// notice is a notification that waits for its delivery.
type notice struct {
	sub       *subscription
	userID    string
	state     presence.Presence // for resource data
	rich      *encryption       // what the subscription had at the change
	lifecycle presence.LifecycleEvent
	queued    time.Time
	attempt   int
	settled   bool // the fault function has had its way with it
}

// boxKey names notifications that may share a POST.
type boxKey struct {
	url       string
	lifecycle bool
}

// box collects notifications for one POST.
type box struct{ notices []*notice }

func (n *notice) key() boxKey {
	if n.lifecycle != "" {
		return boxKey{n.sub.info.LifecycleURL, true}
	}
	return boxKey{n.sub.info.NotificationURL, false}
}

// SetDeliveryFault has f decide about each notification before it is sent; nil
// sends all. It is asked once for each attempt, not for the copy of a
// duplicate nor for one that it delayed or held. f runs outside all locks and
// possibly concurrently. Notifications held under an earlier f are sent now.
func (s *Server) SetDeliveryFault(f func(Delivery) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
	for _, sub := range s.subscriptions {
		s.releaseLocked(sub)
	}
}

func (s *Server) releaseLocked(sub *subscription) {
	kept := sub.kept
	sub.kept = nil
	for _, n := range kept {
		s.enqueueLocked(n)
	}
}

// notifyLocked queues a notification of a change for all who watch the user.
func (s *Server) notifyLocked(userID string, state presence.Presence) {
	for _, sub := range s.watchers[lower(userID)] {
		s.enqueueLocked(&notice{sub: sub, userID: userID, state: state, rich: sub.rich, queued: time.Now(), attempt: 1})
	}
}

func (s *Server) lifecycleLocked(sub *subscription, event presence.LifecycleEvent, now time.Time) {
	s.enqueueLocked(&notice{sub: sub, lifecycle: event, queued: now, attempt: 1})
}

// enqueueLocked puts a notification with those that will share its POST.
func (s *Server) enqueueLocked(n *notice) {
	key := n.key()
	if drop, delay := s.penaltyLocked(key.url, time.Now()); drop {
		return
	} else if delay > 0 {
		s.timers.after(delay, func() { s.post(key.url, []*notice{n}) })
		return
	}
	b := s.boxes[key]
	if b == nil {
		b = &box{}
		s.boxes[key] = b
		s.timers.after(s.assume.NotificationLatency, func() { s.flush(key) })
	}
	b.notices = append(b.notices, n)
}

func (s *Server) flush(key boxKey) {
	s.mu.Lock()
	notices := s.boxes[key].notices
	delete(s.boxes, key)
	s.mu.Unlock()
	for len(notices) > 0 {
		part := notices[:min(len(notices), s.assume.NotificationsPerRequest)]
		notices = notices[len(part):]
		s.timers.run(func() { s.post(key.url, part) })
	}
}

// post sends notifications in one request, and those that were not accepted
// again later.
func (s *Server) post(target string, notices []*notice) {
	notices = s.admit(target, notices)
	if len(notices) == 0 {
		return
	}
	body, err := s.envelope(notices)
	if err != nil {
		return
	}
	timeout := firstTimeout
	if notices[0].attempt > 1 {
		timeout = repeatTimeout
	}
	accepted := s.send(target, body, timeout)
	if accepted {
		s.mu.Lock()
		for _, n := range notices {
			n.sub.info.Delivered++
			if !n.settled {
				s.releaseLocked(n.sub)
			}
		}
		s.mu.Unlock()
		return
	}
	// All notifications of one POST have the same number of attempts behind
	// them, because a repetition never joins others.
	wait := s.assume.RetryInterval
	for i := 1; i < notices[0].attempt && wait < s.assume.MaxRetryInterval; i++ {
		wait *= 2
	}
	wait = min(wait, s.assume.MaxRetryInterval)
	var again []*notice
	for _, n := range notices {
		if time.Since(n.queued)+wait <= retryFor {
			n.attempt++
			again = append(again, n)
		}
	}
	if len(again) > 0 {
		s.timers.after(wait, func() { s.post(target, again) })
	}
}

// admit leaves out what is not to be sent now: notifications of subscriptions
// that are gone or silent, those whose token has expired, and those that the
// fault function keeps.
func (s *Server) admit(target string, notices []*notice) []*notice {
	s.mu.Lock()
	now := time.Now()
	var live []*notice
	for _, n := range notices {
		switch {
		case s.subscriptionLocked(n.sub.id, now) != n.sub || n.sub.info.Silent:
		case n.lifecycle == "" && !n.sub.info.TokenExpiresAt.After(now):
			n.sub.held = append(n.sub.held, n)
		default:
			live = append(live, n)
		}
	}
	fault := s.fault
	s.mu.Unlock()
	if fault == nil {
		return live
	}
	var pass []*notice
	for _, n := range live {
		if n.settled || s.settle(target, n, fault) {
			pass = append(pass, n)
		}
	}
	return pass
}

// settle applies the fault function to a notification and reports whether it
// is to be sent now.
func (s *Server) settle(target string, n *notice, fault func(Delivery) Fault) bool {
	item, err := s.item(n)
	if err != nil {
		return false
	}
	raw, err := json.Marshal(item)
	if err != nil {
		return false
	}
	d := Delivery{SubscriptionID: n.sub.id, Lifecycle: n.lifecycle, URL: target, Body: raw, Attempt: n.attempt}
	if n.userID != "" {
		d.UserIDs = []string{n.userID}
	}
	f := fault(d)
	if f.Drop {
		return false
	}
	if f.Duplicate {
		twin := *n
		twin.settled = true
		s.timers.after(s.assume.NotificationLatency, func() { s.post(target, []*notice{&twin}) })
	}
	switch {
	case f.Hold:
		n.settled = true
		s.mu.Lock()
		n.sub.kept = append(n.sub.kept, n)
		s.mu.Unlock()
		return false
	case f.Delay > 0:
		n.settled = true
		s.timers.after(f.Delay, func() { s.post(target, []*notice{n}) })
		return false
	}
	return true
}

// send posts a body and reports whether it was accepted.
func (s *Server) send(target string, body []byte, timeout time.Duration) bool {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	defer s.noteAnswer(target, time.Now())
	resp, err := s.deliver.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	return resp.StatusCode >= 200 && resp.StatusCode < 300
}

// notificationBody is one notification. Its time has no zone and its resource is the
// encoded filter with this one user, as real notifications have it since June 2024.
type notificationBody struct {
	SubscriptionID   string            `json:"subscriptionId"`
	ClientState      *string           `json:"clientState"`
	ChangeType       string            `json:"changeType,omitempty"`
	LifecycleEvent   string            `json:"lifecycleEvent,omitempty"`
	Resource         string            `json:"resource,omitempty"`
	Expires          string            `json:"subscriptionExpirationDateTime"`
	ResourceData     *resourceData     `json:"resourceData,omitempty"`
	EncryptedContent *encryptedContent `json:"encryptedContent,omitempty"`
	TenantID         string            `json:"tenantId"`
}

type resourceData struct {
	Type string `json:"@odata.type"`
	Path string `json:"@odata.id"`
	ID   string `json:"id"`
}

func (s *Server) item(n *notice) (notificationBody, error) {
	s.mu.Lock()
	info, single, fault := n.sub.info, n.sub.single, s.richFault
	s.mu.Unlock()
	b := notificationBody{
		SubscriptionID: info.ID, Expires: info.ExpiresAt.UTC().Format("2006-01-02T15:04:05.0000000"), TenantID: s.tenantID,
	}
	if state := info.ClientState.Reveal(); state != "" {
		b.ClientState = &state
	}
	if n.lifecycle != "" {
		b.LifecycleEvent = string(n.lifecycle)
		return b, nil
	}
	b.ChangeType = "updated"
	b.Resource = "communications/presences?$filter=id+in+(%27" + url.QueryEscape(n.userID) + "%27)"
	if single {
		b.Resource = "communications/presences/" + n.userID
	}
	b.ResourceData = &resourceData{"#Microsoft.Graph.presence", fmt.Sprintf("users/%s/presence", n.userID), n.userID}
	if n.rich != nil {
		content, err := n.rich.encrypt(n.userID, n.state)
		if err != nil {
			return b, err
		}
		if fault.Tamper != nil && fault.Tamper(n.userID) {
			content.tamper()
		}
		b.EncryptedContent = content
	}
	return b, nil
}

// envelope is the body of one POST, with a validation token for each
// application that has rich notifications in it.
func (s *Server) envelope(notices []*notice) ([]byte, error) {
	var body struct {
		Value            []notificationBody `json:"value"`
		ValidationTokens any                `json:"validationTokens,omitempty"`
	}
	var tokens []string
	signed := make(set)
	for _, n := range notices {
		item, err := s.item(n)
		if err != nil {
			return nil, err
		}
		body.Value = append(body.Value, item)
		application := n.sub.info.ApplicationID
		if item.EncryptedContent == nil || signed.has(application) {
			continue
		}
		signed[lower(application)] = true
		token, err := s.validationToken(application)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	if len(tokens) > 0 {
		body.ValidationTokens = tokens
		s.mu.Lock()
		withhold := s.richFault.NoTokens
		s.mu.Unlock()
		if withhold {
			body.ValidationTokens = json.RawMessage("null")
		}
	}
	return json.Marshal(body)
}
