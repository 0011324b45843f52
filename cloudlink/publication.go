package cloudlink

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Event is one notification of a change at CloudLink. It is a hint to look
// again and not an observation: notifications may come late, twice, out of
// order, or never.
type Event struct {
	// SubscriptionID is the subscription it belongs to.
	SubscriptionID string
	// PublicationID is the notification's own id; the same again for a
	// notification that is delivered twice.
	PublicationID string
	// AccountID is the account of the publisher.
	AccountID string
	// Topic is [TopicMedia] or [TopicPresence].
	Topic string
	// Method is what happened to Subject: POST, PUT or DELETE.
	Method string
	// Subject is the path of what changed.
	Subject string
	// EndpointID is the telephone that an endpoint or call event is about.
	EndpointID string
	// PrincipalID is the person, where the event names one. A presence event does.
	PrincipalID string
	// UserID is the person's user id, where the event names one.
	UserID string
	// CallID is the call that a call event is about.
	CallID string
	// CallState is the state of that call, which is not the state of its endpoint.
	CallState CallState
	// Line is the state of the endpoint as an endpoint event tells it; nil in
	// every other event.
	Line *presence.Line
	// CreatedOn is when the notification was made; zero where it does not tell.
	CreatedOn time.Time
	// CorrelationID is for Mitel's support.
	CorrelationID string
}

var (
	endpointSubject   = regexp.MustCompile(`^(?:/\d{4}-\d{2}-\d{2})?/endpoints/([^/?#]+)(/calls(?:/(.+))?)?/?$`)
	presentitySubject = regexp.MustCompile(`^(?:/\d{4}-\d{2}-\d{2})?/presentities/([^/?#]+)/?$`)
)

var (
	errNotPublication = errors.New("not a publication")
	// errSubject: the publication is in order but not about anything that this
	// package knows.
	errSubject = errors.New("unknown subject")
)

// parsePublication reads the body of a webhook request (Mitel's sample of the
// notifications API). With errSubject the event is filled in as far as possible.
func parsePublication(body []byte) (Event, error) {
	var w struct {
		PublicationID text            `json:"publicationId"`
		Topic         text            `json:"topic"`
		Method        text            `json:"method"`
		Subject       text            `json:"subject"`
		Content       json.RawMessage `json:"content"`
		Publisher     struct {
			AccountID   text `json:"accountId"`
			PrincipalID text `json:"principalId"`
		} `json:"publisher"`
		Subscription struct {
			SubscriptionID text `json:"subscriptionId"`
		} `json:"subscription"`
		Notification struct {
			CreatedOn     instant `json:"createdOn"`
			CorrelationID text    `json:"correlationId"`
		} `json:"notification"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Event{}, errNotPublication
	}
	if w.Topic == "" || w.Subject == "" || w.Subscription.SubscriptionID == "" {
		return Event{}, errNotPublication
	}
	e := Event{
		SubscriptionID: string(w.Subscription.SubscriptionID), PublicationID: string(w.PublicationID), AccountID: string(w.Publisher.AccountID),
		Topic: string(w.Topic), Method: string(w.Method), Subject: string(w.Subject), CreatedOn: w.Notification.CreatedOn.Time,
		CorrelationID: keepPlain(string(w.Notification.CorrelationID), correlationPattern, nil),
	}
	var content struct {
		EndpointID   text `json:"endpointId"`
		PrincipalID  text `json:"principalId"`
		UserID       text `json:"userId"`
		State        text `json:"state"`
		DoNotDisturb flag `json:"dnd"`
	}
	// The subject says what changed; content that cannot be read takes only the
	// details away.
	readable := decodeObject(w.Content, &content) == nil
	e.UserID = string(content.UserID)
	if m := endpointSubject.FindStringSubmatch(e.Subject); m != nil {
		e.EndpointID = unescape(m[1])
		// The publisher of an endpoint's event is not always its owner.
		e.PrincipalID = string(content.PrincipalID)
		switch {
		case m[2] != "":
			e.CallID, e.CallState = unescape(m[3]), CallState(content.State)
		case readable && content.State != "":
			e.Line = &presence.Line{Endpoint: e.EndpointID, State: presence.ParseLineState(string(content.State)), DoNotDisturb: bool(content.DoNotDisturb)}
		}
		return e, nil
	}
	if m := presentitySubject.FindStringSubmatch(e.Subject); m != nil {
		e.PrincipalID = unescape(m[1])
		return e, nil
	}
	return e, errSubject
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
