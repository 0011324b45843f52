package cloudlinktest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// publication is what the platform publishes, and what a webhook gets together
// with the subscription and the notification. The order of the fields is that of
// Mitel's sample.
type publication struct {
	PublicationID string               `json:"publicationId"`
	Topic         string               `json:"topic"`
	Method        string               `json:"method"`
	Subject       string               `json:"subject"`
	Content       json.RawMessage      `json:"content"`
	Publisher     publisher            `json:"publisher"`
	Subscription  *subscriptionSection `json:"subscription,omitempty"`
	Notification  *notificationSection `json:"notification,omitempty"`
}

type publisher struct {
	AccountID   string `json:"accountId"`
	PrincipalID string `json:"principalId"`
}

type subscriptionSection struct {
	SubscriptionID string `json:"subscriptionId"`
}

type notificationSection struct {
	CreatedOn     string `json:"createdOn"`
	CorrelationID string `json:"correlationId"`
}

// Delivery is one attempt to deliver a publication to a webhook.
type Delivery struct {
	SubscriptionID string
	PublicationID  string
	Topic          string
	Method         string
	Subject        string
	WebhookURL     string
	// Body is what will be posted. It must not be changed: see [Fault.Body].
	Body []byte
	// Attempt counts from 1.
	Attempt int
}

// Fault is what to make of an attempt. The zero Fault lets it be.
type Fault struct {
	// Drop loses the publication for this subscription: it is not tried again.
	Drop bool
	// Duplicate posts it twice.
	Duplicate bool
	// Delay holds it back, while later ones overtake it.
	Delay time.Duration
	// Body, if set, is posted in place of the delivery's.
	Body []byte
}

// SetDeliveryFault sets the function that judges every attempt; nil for none. It
// is called concurrently, with no lock held.
func (s *Server) SetDeliveryFault(f func(Delivery) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// spawn runs f in the background, unless the server is closed. The caller holds
// the lock.
func (s *Server) spawn(f func()) {
	if s.closed {
		return
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		f()
	}()
}

// publish hands a publication to every subscription that takes it. The caller
// holds the lock.
func (s *Server) publish(topic, subject string, content map[string]any, principalID string) {
	if len(s.subscriptions) == 0 {
		return
	}
	p := publication{
		PublicationID: newGUID(), Topic: topic, Method: http.MethodPut, Subject: subject,
		Content: mustJSON(content), Publisher: publisher{s.AccountID(), principalID},
	}
	var document any // for publication filters, which are rare
	for _, id := range s.subscribed {
		sub := s.subscriptions[id]
		if sub.content != nil && document == nil {
			_ = json.Unmarshal(mustJSON(p), &document) // just encoded
		}
		if !sub.takes(&p, document) {
			continue
		}
		envelope := p
		envelope.Subscription = &subscriptionSection{id}
		envelope.Notification = &notificationSection{stamp(time.Now()), newGUID()}
		d := Delivery{
			SubscriptionID: id, PublicationID: p.PublicationID, Topic: topic, Method: p.Method, Subject: subject,
			WebhookURL: sub.WebhookURL, Body: mustJSON(envelope),
		}
		applicationID := sub.ApplicationID
		s.spawn(func() { s.deliver(d, applicationID) })
	}
}

// mustJSON encodes what the double itself has put together.
func mustJSON(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}

// deliver tries until the webhook answers with 2xx, the attempts are used up or
// the subscription is gone.
func (s *Server) deliver(d Delivery, applicationID string) {
	wait := max(0, s.assumed.DeliveryLatency)
	pause := s.assumed.DeliveryBackoff
	for d.Attempt = 1; d.Attempt <= s.assumed.DeliveryAttempts; d.Attempt++ {
		if throttle.Sleep(s.ctx, wait) != nil {
			return
		}
		wait, pause = pause, 2*pause
		s.mu.Lock()
		sub := s.subscriptions[d.SubscriptionID]
		lost := sub == nil || sub.Silent
		judge := s.fault
		s.mu.Unlock()
		if lost {
			return
		}
		var fault Fault
		if judge != nil {
			fault = judge(d)
		}
		if fault.Drop {
			return
		}
		if fault.Delay > 0 && throttle.Sleep(s.ctx, fault.Delay) != nil {
			return
		}
		body := d.Body
		if fault.Body != nil {
			body = fault.Body
		}
		taken := s.post(d.WebhookURL, body, applicationID)
		if fault.Duplicate {
			taken = s.post(d.WebhookURL, body, applicationID) || taken
		}
		if taken {
			return
		}
	}
}

// post makes one request and tells whether it was answered with 2xx.
func (s *Server) post(target string, body []byte, applicationID string) bool {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.assumed.DeliveryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(s.assumed.ApplicationIDHeader, applicationID)
	request.Header.Set(correlationHeader, newGUID())
	response, err := s.deliveries.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close()
	return response.StatusCode >= 200 && response.StatusCode <= 299
}
