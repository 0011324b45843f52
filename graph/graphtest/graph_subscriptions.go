package graphtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// graphTime is how Graph writes a DateTimeOffset.
const graphTime = "2006-01-02T15:04:05.0000000Z"

// subscriptionBody is the subscription resource.
type subscriptionBody struct {
	Context                   string  `json:"@odata.context,omitempty"`
	ID                        string  `json:"id"`
	Resource                  string  `json:"resource"`
	ApplicationID             string  `json:"applicationId"`
	ChangeType                string  `json:"changeType"`
	ClientState               *string `json:"clientState"`
	NotificationURL           string  `json:"notificationUrl"`
	NotificationQueryOptions  *string `json:"notificationQueryOptions"`
	LifecycleNotificationURL  *string `json:"lifecycleNotificationUrl"`
	ExpirationDateTime        string  `json:"expirationDateTime"`
	CreatorID                 string  `json:"creatorId"`
	IncludeResourceData       *bool   `json:"includeResourceData"`
	LatestSupportedTLSVersion string  `json:"latestSupportedTlsVersion"`
	EncryptionCertificate     *string `json:"encryptionCertificate"`
	EncryptionCertificateID   *string `json:"encryptionCertificateId"`
	NotificationURLAppID      *string `json:"notificationUrlAppId"`
}

func (s *Server) subscriptionBody(sub *subscription, withState bool) subscriptionBody {
	b := subscriptionBody{
		ID: sub.id, Resource: sub.info.Resource, ApplicationID: sub.info.ApplicationID, ChangeType: "updated", NotificationURL: sub.info.NotificationURL,
		ExpirationDateTime: sub.info.ExpiresAt.UTC().Format(graphTime), CreatorID: sub.userID, LatestSupportedTLSVersion: "v1_2",
	}
	if state := sub.info.ClientState.Reveal(); state != "" && (withState || s.assume.ClientStateInReads) {
		b.ClientState = &state
	}
	if sub.info.LifecycleURL != "" {
		b.LifecycleNotificationURL = &sub.info.LifecycleURL
	}
	if sub.rich != nil {
		rich, included := *sub.rich, true
		b.IncludeResourceData, b.EncryptionCertificate, b.EncryptionCertificateID = &included, &rich.certificate, &rich.certificateID
	}
	return b
}

func (s *Server) subscriptionEntity(sub *subscription, withState bool) subscriptionBody {
	b := s.subscriptionBody(sub, withState)
	b.Context = s.graph + "/v1.0/$metadata#subscriptions/$entity"
	return b
}

// subscriptionRequest is the body of POST and PATCH.
type subscriptionRequest struct {
	ChangeType               string  `json:"changeType"`
	NotificationURL          *string `json:"notificationUrl"`
	LifecycleNotificationURL *string `json:"lifecycleNotificationUrl"`
	Resource                 string  `json:"resource"`
	ExpirationDateTime       *string `json:"expirationDateTime"`
	ClientState              *string `json:"clientState"`
	IncludeResourceData      bool    `json:"includeResourceData"`
	EncryptionCertificate    *string `json:"encryptionCertificate"`
	EncryptionCertificateID  *string `json:"encryptionCertificateId"`
}

// decodeSubscription reads a body and refuses properties that must not be sent;
// of PATCH all but the allowed ones.
func decodeSubscription(c *call, allowed ...string) (subscriptionRequest, *graphFault) {
	var request subscriptionRequest
	var properties map[string]json.RawMessage
	if f := c.decode(&properties); f != nil {
		return request, f
	}
	if err := json.Unmarshal(c.body, &request); err != nil {
		return request, errBody
	}
	may := newSet(allowed...)
	for name := range properties {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "vapid") || strings.HasPrefix(lower, "webpush") {
			return request, invalidRequest("Property '%s' is not supported for webhooks.", name)
		}
		if len(allowed) > 0 && !may.has(name) && !strings.HasPrefix(name, "@odata.") {
			return request, invalidRequest("Property '%s' of a subscription cannot be changed.", name)
		}
	}
	return request, nil
}

func invalidRequest(format string, args ...any) *graphFault {
	return &graphFault{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(format, args...)}
}

// extensionError is how the service behind presence words its refusals
// through the subscription service.
func extensionError(status int, operation, reason string) *graphFault {
	return &graphFault{status, "ExtensionError", fmt.Sprintf("Operation: %s; Exception: [Status Code: %s; Reason: %s]", operation, http.StatusText(status), reason)}
}

// checkSubscriber lets only a user's token with Presence.Read.All pass: an
// application cannot subscribe to presence by itself.
func checkSubscriber(c *call, operation string) *graphFault {
	if c.caller.userID == "" || !c.caller.permissions.has("Presence.Read.All") {
		return extensionError(http.StatusForbidden, operation, "The request is not authorized for this user or application.")
	}
	return nil
}

// expiry reads an expirationDateTime: at most 60 minutes ahead, and at least 45.
func expiry(value *string, now time.Time) (time.Time, *graphFault) {
	if value == nil {
		return time.Time{}, invalidRequest("The property expirationDateTime is required.")
	}
	t, err := time.Parse(time.RFC3339Nano, *value)
	switch {
	case err != nil:
		return time.Time{}, invalidRequest("The expirationDateTime is not a valid date.")
	case !t.After(now):
		return time.Time{}, invalidRequest("The expirationDateTime must be in the future.")
	case t.After(now.Add(presence.MaxSubscriptionLifetime)):
		return time.Time{}, invalidRequest(messageSubscriptionExpiry)
	}
	if earliest := now.Add(presence.MinSubscriptionLifetime); t.Before(earliest) {
		t = earliest
	}
	return t.UTC().Truncate(100 * time.Nanosecond), nil
}

func (s *Server) createSubscription(c *call) (int, any, *graphFault) {
	if f := checkSubscriber(c, "Create"); f != nil {
		return 0, nil, f
	}
	sub, f := s.newSubscription(c)
	if f != nil {
		return 0, nil, f
	}
	if f := s.admissible(c); f != nil {
		return 0, nil, f
	}
	targets := []string{sub.info.NotificationURL}
	if sub.info.LifecycleURL != "" {
		targets = append(targets, sub.info.LifecycleURL)
	}
	// Both are validated, even when they are the same.
	for _, target := range targets {
		if f := s.validateEndpoint(c.r.Context(), target); f != nil {
			return 0, nil, f
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Again, because another one may have come during the handshake.
	if f := s.admissibleLocked(c); f != nil {
		return 0, nil, f
	}
	s.addSubscriptionLocked(sub)
	return http.StatusCreated, s.subscriptionEntity(sub, true), nil
}

// newSubscription checks what is asked for by itself.
func (s *Server) newSubscription(c *call) (*subscription, *graphFault) {
	request, f := decodeSubscription(c)
	if f != nil {
		return nil, f
	}
	if request.ChangeType != "updated" {
		return nil, invalidRequest("The changeType '%s' is not supported for presence: it must be 'updated'.", request.ChangeType)
	}
	if request.NotificationURL == nil || *request.NotificationURL == "" {
		return nil, invalidRequest("The property notificationUrl is required.")
	}
	users, single, err := parseResource(request.Resource)
	if err != nil {
		return nil, invalidRequest("Invalid filter clause or resource '%.100s': %s.", request.Resource, err)
	}
	if len(users) > presence.MaxSubscriptionUsers {
		return nil, invalidRequest(messageSubscriptionUsers)
	}
	for _, id := range users {
		if f := s.checkUserID(id); f != nil {
			return nil, f
		}
	}
	now := time.Now()
	expires, f := expiry(request.ExpirationDateTime, now)
	if f != nil {
		return nil, f
	}
	state := deref(request.ClientState)
	if len(state) > maxClientState {
		return nil, invalidRequest("The clientState must not be longer than %d characters.", maxClientState)
	}
	sub := &subscription{id: newGUID(), userID: c.caller.userID, single: single}
	if request.IncludeResourceData {
		if sub.rich, f = newEncryption(request.EncryptionCertificate, request.EncryptionCertificateID); f != nil {
			return nil, f
		}
	}
	sub.info = SubscriptionInfo{
		ID: sub.id, ApplicationID: c.caller.applicationID, UserID: c.caller.userID, Resource: request.Resource, UserIDs: users,
		NotificationURL: *request.NotificationURL, LifecycleURL: deref(request.LifecycleNotificationURL), ClientState: presence.NewSecret(state),
		CreatedAt: now, ExpiresAt: expires, TokenExpiresAt: c.caller.tokenExpires, WithResourceData: request.IncludeResourceData,
	}
	return sub, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (s *Server) admissible(c *call) *graphFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admissibleLocked(c)
}

// admissibleLocked checks a new subscription against those that exist.
func (s *Server) admissibleLocked(c *call) *graphFault {
	now := time.Now()
	if other := s.duplicateLocked(c.caller.applicationID, c.caller.userID, now); other != nil {
		if s.assume.ConflictNamesSubscription {
			return &graphFault{http.StatusConflict, "Conflict", fmt.Sprintf("Subscription Id %s already exists for the requested combination", other.id)}
		}
		// Microsoft's own spelling.
		return extensionError(http.StatusConflict, "Create", "A subscripton already exists. It must be deleted before a another can be made.")
	}
	if len(s.subscriptions) >= s.meter.subscriptions {
		return extensionError(http.StatusForbidden, "Create", "The organization has reached its limit of subscriptions.")
	}
	return nil
}

// ownLocked finds a subscription of the caller.
func (s *Server) ownLocked(c *call, now time.Time) (*subscription, *graphFault) {
	sub := s.subscriptionLocked(c.id, now)
	if sub == nil {
		return nil, &graphFault{http.StatusNotFound, "ResourceNotFound", "The object was not found."}
	}
	if !strings.EqualFold(sub.info.ApplicationID, c.caller.applicationID) || !strings.EqualFold(sub.userID, c.caller.userID) {
		return nil, &graphFault{statusForeignSubscription, "ResourceNotFound", "The object was not found."}
	}
	return sub, nil
}

func (s *Server) getSubscription(c *call) (int, any, *graphFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, f := s.ownLocked(c, time.Now())
	if f != nil {
		return 0, nil, f
	}
	return http.StatusOK, s.subscriptionEntity(sub, false), nil
}

// listSubscriptions gives the application's own subscriptions for the user;
// Subscription.Read.All widens it to the user's in other applications.
func (s *Server) listSubscriptions(c *call) (int, any, *graphFault) {
	if f := checkQuery(c.query, "$skiptoken"); f != nil {
		return 0, nil, f
	}
	after, f := skipToken(c.query.Get("$skiptoken"))
	if f != nil {
		return 0, nil, f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var visible []*subscription
	for _, sub := range s.subscriptions {
		mine := c.caller.userID != "" && strings.EqualFold(sub.userID, c.caller.userID)
		if !mine || sub.ordinal <= after || !sub.info.ExpiresAt.After(now) {
			continue
		}
		if strings.EqualFold(sub.info.ApplicationID, c.caller.applicationID) || c.caller.permissions.has("Subscription.Read.All") {
			visible = append(visible, sub)
		}
	}
	slices.SortFunc(visible, func(a, b *subscription) int { return cmp.Compare(a.ordinal, b.ordinal) })
	body := map[string]any{"@odata.context": s.graph + "/v1.0/$metadata#subscriptions"}
	if size := s.assume.SubscriptionPageSize; len(visible) > size {
		visible = visible[:size]
		body["@odata.nextLink"] = s.nextLink("subscriptions", c.query, visible[size-1].ordinal)
	}
	value := make([]subscriptionBody, len(visible))
	for i, sub := range visible {
		value[i] = s.subscriptionBody(sub, false)
	}
	body["value"] = value
	return http.StatusOK, body, nil
}

// updateSubscription renews, and may change where the notifications go or for
// which certificate they are encrypted. The resource cannot be changed.
func (s *Server) updateSubscription(c *call) (int, any, *graphFault) {
	if f := checkSubscriber(c, "Update"); f != nil {
		return 0, nil, f
	}
	request, f := decodeSubscription(c, "expirationDateTime", "notificationUrl", "encryptionCertificate", "encryptionCertificateId")
	if f != nil {
		return 0, nil, f
	}
	s.mu.Lock()
	sub, f := s.ownLocked(c, time.Now())
	validate := f == nil && request.NotificationURL != nil && *request.NotificationURL != sub.info.NotificationURL
	s.mu.Unlock()
	if f != nil {
		return 0, nil, f
	}
	if validate {
		if f := s.validateEndpoint(c.r.Context(), *request.NotificationURL); f != nil {
			return 0, nil, f
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if sub, f = s.ownLocked(c, now); f != nil {
		return 0, nil, f
	}
	expires, rich := sub.info.ExpiresAt, sub.rich
	if request.ExpirationDateTime != nil {
		if expires, f = expiry(request.ExpirationDateTime, now); f != nil {
			return 0, nil, f
		}
	}
	if request.EncryptionCertificate != nil || request.EncryptionCertificateID != nil {
		if rich == nil {
			return 0, nil, invalidRequest("The subscription does not include resource data.")
		}
		if rich, f = newEncryption(request.EncryptionCertificate, request.EncryptionCertificateID); f != nil {
			return 0, nil, f
		}
	}
	sub.info.ExpiresAt, sub.info.RenewedAt, sub.rich = expires, now, rich
	if request.NotificationURL != nil {
		sub.info.NotificationURL = *request.NotificationURL
	}
	s.refreshLocked(sub, c.caller.tokenExpires, now)
	return http.StatusOK, s.subscriptionEntity(sub, false), nil
}

func (s *Server) deleteSubscription(c *call) (int, any, *graphFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, f := s.ownLocked(c, time.Now())
	if f != nil {
		return 0, nil, f
	}
	s.removeSubscriptionLocked(sub)
	return http.StatusNoContent, nil, nil
}

// reauthorizeSubscription puts the caller's token behind the subscription
// without renewing it.
func (s *Server) reauthorizeSubscription(c *call) (int, any, *graphFault) {
	if f := checkSubscriber(c, "Reauthorize"); f != nil {
		return 0, nil, f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	sub, f := s.ownLocked(c, now)
	if f != nil {
		return 0, nil, f
	}
	sub.info.ReauthorizedAt = now
	s.refreshLocked(sub, c.caller.tokenExpires, now)
	return http.StatusNoContent, nil, nil
}
