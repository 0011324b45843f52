package cloudlinktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The topics of publications (Mitel's samples, the developer forum). The double
// publishes on the first two.
const (
	topicMedia         = "platform-api-media"
	topicPresence      = "platform-api-presence"
	topicConversations = "platform-api-conversations"
	topicAdmin         = "platform-api-admin"
)

// Subscription is a notification subscription that the double holds.
type Subscription struct {
	ID string
	// ApplicationID is the GUID that the client invented.
	ApplicationID string
	Topic         string
	// SubjectFilter is a regular expression over the subject.
	SubjectFilter string
	// MethodFilter is the method; empty for any.
	MethodFilter string
	// PublicationFilter is a JSONPath filter; empty for none.
	PublicationFilter string
	// WebhookURL is where deliveries go: the deviceId.
	WebhookURL string
	CreatedOn  time.Time
	// Silent: it was killed silently.
	Silent bool
}

type subscription struct {
	Subscription
	owner   string // principal id
	subject *regexp.Regexp
	content *publicationFilter // nil: none
}

// Subscriptions returns the subscriptions, the oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Subscription, 0, len(s.subscribed))
	for _, id := range s.subscribed {
		list = append(list, s.subscriptions[id].Subscription)
	}
	return list
}

// KillSubscription ends a subscription behind its owner's back: it is gone, or,
// silent, it is still listed and delivers nothing. It reports whether there is
// such a subscription.
func (s *Server) KillSubscription(id string, silent bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[id]
	switch {
	case sub == nil:
		return false
	case silent:
		sub.Silent = true
	default:
		s.removeSubscription(id)
	}
	return true
}

func (s *Server) removeSubscription(id string) {
	delete(s.subscriptions, id)
	s.subscribed = slices.DeleteFunc(s.subscribed, func(other string) bool { return other == id })
}

var guidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// postSubscription is POST /subscriptions.
func (s *Server) postSubscription(c *call) answer {
	var body struct {
		ApplicationID     string `json:"applicationId"`
		DeviceID          string `json:"deviceId"`
		Transport         string `json:"transport"`
		Topic             string `json:"topic"`
		SubjectFilter     string `json:"subjectFilter"`
		MethodFilter      string `json:"methodFilter"`
		PublicationFilter string `json:"publicationFilter"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(http.StatusBadRequest, "the body is not the JSON of a subscription")
	}
	webhook, err := url.Parse(body.DeviceID)
	switch {
	case !guidForm.MatchString(body.ApplicationID):
		return refuse(http.StatusBadRequest, "applicationId must be a GUID")
	case body.Transport != "webhook":
		return refuse(http.StatusBadRequest, "transport must be webhook; the double has no other")
	case err != nil || (webhook.Scheme != "http" && webhook.Scheme != "https") || webhook.Host == "":
		return refuse(http.StatusBadRequest, "deviceId must be the URL of the webhook")
	case !slices.Contains([]string{topicMedia, topicPresence, topicConversations, topicAdmin}, body.Topic):
		return refuse(http.StatusBadRequest, "there is no such topic")
	case body.SubjectFilter == "":
		return refuse(http.StatusBadRequest, "subjectFilter is required")
	}
	subject, err := regexp.Compile(body.SubjectFilter)
	if err != nil {
		return refuse(http.StatusBadRequest, "subjectFilter is not a regular expression")
	}
	content, err := parsePublicationFilter(body.PublicationFilter)
	if err != nil {
		return refuse(http.StatusBadRequest, "publicationFilter: %v", err)
	}
	sub := &subscription{
		Subscription: Subscription{
			ID: newGUID(), ApplicationID: body.ApplicationID, Topic: body.Topic, SubjectFilter: body.SubjectFilter,
			MethodFilter: body.MethodFilter, PublicationFilter: body.PublicationFilter, WebhookURL: body.DeviceID, CreatedOn: time.Now(),
		},
		owner: c.session.principalID, subject: subject, content: content,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions[sub.ID] = sub
	s.subscribed = append(s.subscribed, sub.ID)
	return answer{http.StatusCreated, map[string]string{"subscriptionId": sub.ID}}
}

func (c *call) mayUse(sub *subscription) bool {
	return c.session.admin() || sub.owner == c.session.principalID
}

// getSubscriptions is GET /subscriptions.
func (s *Server) getSubscriptions(c *call) answer {
	if refusal := c.accepts("$top", "$skip"); refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*subscription
	for _, id := range s.subscribed {
		if sub := s.subscriptions[id]; c.mayUse(sub) {
			found = append(found, sub)
		}
	}
	return collection(s, c, found, func(sub *subscription) map[string]any {
		return map[string]any{
			"subscriptionId": sub.ID, "applicationId": sub.ApplicationID, "deviceId": sub.WebhookURL, "transport": "webhook",
			"topic": sub.Topic, "subjectFilter": sub.SubjectFilter, "methodFilter": sub.MethodFilter,
			"publicationFilter": sub.PublicationFilter, "accountId": s.AccountID(), "principalId": sub.owner,
			"createdOn": stamp(sub.CreatedOn),
			"_links":    map[string]link{"self": s.href(c, "/subscriptions/"+sub.ID)},
		}
	})
}

// deleteSubscription is DELETE /subscriptions/{subscriptionId}.
func (s *Server) deleteSubscription(c *call) answer {
	id := c.value("subscriptionID")
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[id]
	switch {
	case sub == nil:
		return refuse(http.StatusNotFound, "there is no such subscription")
	case !c.mayUse(sub):
		return *forbidden()
	}
	s.removeSubscription(id)
	return answer{http.StatusNoContent, nil}
}

// takes tells whether a publication is for the subscription. Whether it still
// delivers is judged at each attempt.
func (sub *subscription) takes(p *publication, document any) bool {
	return sub.Topic == p.Topic &&
		(sub.MethodFilter == "" || strings.EqualFold(sub.MethodFilter, p.Method)) &&
		sub.subject.MatchString(p.Subject) && (sub.content == nil || sub.content.matches(document))
}
