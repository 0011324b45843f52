package cloudlink

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge/presence"
)

// The notification topics that this package knows.
const (
	// TopicMedia tells of endpoints and calls.
	TopicMedia = "platform-api-media"
	// TopicPresence tells of presentities.
	TopicPresence = "platform-api-presence"
)

// transportWebhook is the transport of subscriptions whose notifications are
// posted to a URL; the other, MQTT over WebSocket, is for devices.
const transportWebhook = "webhook"

// SubscriptionRequest says what is to be notified of, and where to.
type SubscriptionRequest struct {
	// ApplicationID is an id that the caller makes up and that comes back in a
	// header of each notification, so that its receiver can check it: a secret.
	// Default: a random GUID.
	ApplicationID presence.Secret
	// Topic is the topic. Required.
	Topic string
	// SubjectFilter is a regular expression over the path of what changes, such
	// as "/2017-09-01/endpoints/". Required, because a subscription to everything
	// is what Mitel warns of.
	SubjectFilter string
	// MethodFilter limits the notifications to one method, such as PUT. Default:
	// every method.
	MethodFilter string
	// PublicationFilter is a JSONPath over the notification. Default: none.
	PublicationFilter string
	// WebhookURL takes the notifications. Required.
	WebhookURL string
}

// Subscription is a subscription that exists at CloudLink.
type Subscription struct {
	ID string
	// ApplicationID is zero where a listing does not tell it.
	ApplicationID presence.Secret
	Topic         string
	// Transport is "webhook" for those that this package makes.
	Transport         string
	SubjectFilter     string
	MethodFilter      string
	PublicationFilter string
	// WebhookURL is the deviceId: for a webhook, where the notifications go.
	WebhookURL string
}

type wireSubscription struct {
	SubscriptionID    text `json:"subscriptionId,omitempty"`
	ApplicationID     text `json:"applicationId,omitempty"`
	DeviceID          text `json:"deviceId"`
	Transport         text `json:"transport"`
	Topic             text `json:"topic"`
	SubjectFilter     text `json:"subjectFilter,omitempty"`
	MethodFilter      text `json:"methodFilter,omitempty"`
	PublicationFilter text `json:"publicationFilter,omitempty"`
}

func parseSubscription(raw json.RawMessage) (Subscription, error) {
	var w wireSubscription
	if err := decodeObject(raw, &w); err != nil {
		return Subscription{}, err
	}
	if w.SubscriptionID == "" {
		return Subscription{}, errors.New("a subscription without an id")
	}
	return Subscription{
		ID: string(w.SubscriptionID), ApplicationID: presence.NewSecret(string(w.ApplicationID)), Topic: string(w.Topic),
		Transport: string(w.Transport), SubjectFilter: string(w.SubjectFilter), MethodFilter: string(w.MethodFilter),
		PublicationFilter: string(w.PublicationFilter), WebhookURL: string(w.DeviceID),
	}, nil
}

// Subscribe makes a subscription whose notifications are posted to a webhook.
// The first may arrive before Subscribe returns: see [WebhookHandler.Register].
//
// Nothing is documented about the end of a subscription; a [Watcher] looks
// whether its own are still there.
func (c *Client) Subscribe(ctx context.Context, r SubscriptionRequest) (Subscription, error) {
	const operation = "subscribe"
	switch {
	case r.Topic == "":
		return Subscription{}, invalid(operation, "the topic is empty")
	case r.SubjectFilter == "":
		return Subscription{}, invalid(operation, "the subject filter is empty")
	case !validWebhookURL(r.WebhookURL):
		return Subscription{}, invalid(operation, "the webhook URL must be http(s)://host/path")
	}
	if r.ApplicationID.IsZero() {
		r.ApplicationID = presence.NewSecret(uuid.NewString())
	}
	made := Subscription{
		ApplicationID: r.ApplicationID, Topic: r.Topic, Transport: transportWebhook, SubjectFilter: r.SubjectFilter,
		MethodFilter: r.MethodFilter, PublicationFilter: r.PublicationFilter, WebhookURL: r.WebhookURL,
	}
	err := c.do(ctx, call{
		operation: operation, method: http.MethodPost, service: ServiceNotifications, path: "subscriptions", secret: r.ApplicationID,
		body: wireSubscription{
			ApplicationID: text(r.ApplicationID.Reveal()), DeviceID: text(r.WebhookURL), Transport: transportWebhook, Topic: text(r.Topic),
			SubjectFilter: text(r.SubjectFilter), MethodFilter: text(r.MethodFilter), PublicationFilter: text(r.PublicationFilter),
		},
		decode: func(body []byte) error {
			answer, err := parseSubscription(body)
			made.ID = answer.ID
			return err
		},
	})
	if err != nil {
		return Subscription{}, err
	}
	return made, nil
}

// Subscriptions lists the account's subscriptions that the client's token may
// see, of every transport.
func (c *Client) Subscriptions(ctx context.Context) ([]Subscription, error) {
	return collect(c.allSubscriptions(ctx))
}

func (c *Client) allSubscriptions(ctx context.Context) iter.Seq2[Subscription, error] {
	return listing(ctx, c, call{operation: "list subscriptions", service: ServiceNotifications, path: "subscriptions"}, parseSubscription)
}

// Unsubscribe deletes a subscription. For one that does not exist the error
// matches presence.ErrNotFound.
func (c *Client) Unsubscribe(ctx context.Context, id string) error {
	const operation = "unsubscribe"
	subscription, err := segment(operation, "subscription id", id)
	if err != nil {
		return err
	}
	return c.do(ctx, call{operation: operation, method: http.MethodDelete, service: ServiceNotifications, path: "subscriptions/" + subscription})
}
