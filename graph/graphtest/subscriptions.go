package graphtest

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// validationTimeout is how long an endpoint may take to echo the token
	// (learn.microsoft.com/graph/change-notifications-delivery-webhooks).
	validationTimeout = 10 * time.Second
	// maxClientState is the longest client state.
	maxClientState = 128
)

// SubscriptionInfo is one presence subscription.
type SubscriptionInfo struct {
	// ID is the subscription's id.
	ID string
	// ApplicationID and UserID are who created it: for each pair there is one
	// subscription at most.
	ApplicationID, UserID string
	// Resource is what was subscribed to, as the client wrote it.
	Resource string
	// UserIDs are the users it watches.
	UserIDs []string
	// NotificationURL and LifecycleURL are where it posts.
	NotificationURL, LifecycleURL string
	// ClientState comes back with every notification.
	ClientState presence.Secret
	// CreatedAt, RenewedAt and ReauthorizedAt are when it was created, last
	// renewed by PATCH, and last reauthorized; zero if never.
	CreatedAt, RenewedAt, ReauthorizedAt time.Time
	// ExpiresAt is its end.
	ExpiresAt time.Time
	// TokenExpiresAt is the end of the access token behind it, after which its
	// notifications are held back until it is renewed or reauthorized.
	TokenExpiresAt time.Time
	// WithResourceData: its notifications are rich, with the presence encrypted.
	WithResourceData bool
	// Silent: killed silently; it is listed and can be renewed, but delivers nothing.
	Silent bool
	// Delivered is how many notifications its endpoint accepted.
	Delivered int
	// Held is how many notifications wait for a reauthorization.
	Held int
}

type subscription struct {
	info      SubscriptionInfo
	id        string
	ordinal   uint64
	userID    string // who created it
	single    bool   // subscribed to communications/presences/{id}
	lastEvent time.Time
	rich      *encryption
	held      []*notice // the token has expired
	kept      []*notice // Fault.Hold
	stop      func()
}

// encryption is what a subscription with resource data encrypts for.
type encryption struct {
	certificate   string // as the client sent it
	certificateID string
	thumbprint    string
	key           *rsa.PublicKey
}

// parseResource reads the two forms of a presence subscription's resource
// (learn.microsoft.com/graph/changenotifications-for-presence).
func parseResource(resource string) (userIDs []string, single bool, err error) {
	rest, ok := cutPrefixFold(strings.TrimPrefix(resource, "/"), "communications/presences")
	if !ok {
		return nil, false, errors.New("only presence can be subscribed to here")
	}
	if id, ok := strings.CutPrefix(rest, "/"); ok {
		return []string{id}, true, nil
	}
	if strings.HasPrefix(rest, "('") {
		if path, err := segments("presences" + rest); err == nil && len(path) == 2 {
			return path[1:], true, nil
		}
	}
	filter, ok := cutPrefixFold(rest, "?$filter=")
	if !ok {
		return nil, false, errors.New("the users must be named")
	}
	if strings.ContainsAny(filter, "%+") {
		if filter, err = url.QueryUnescape(filter); err != nil {
			return nil, false, err
		}
	}
	ids, err := parseIDs(filter)
	if err != nil {
		return nil, false, err
	}
	seen := make(set, len(ids))
	return slices.DeleteFunc(ids, func(id string) bool {
		double := seen.has(id)
		seen[strings.ToLower(id)] = true
		return double
	}), false, nil
}

// validateEndpoint makes the handshake by which an endpoint shows that it
// wants the notifications.
func (s *Server) validateEndpoint(ctx context.Context, target string) *graphFault {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return &graphFault{http.StatusBadRequest, "InvalidRequest", "The notification URL must be an absolute HTTPS URL."}
	}
	token := "Validation: Testing client application reachability for subscription Request-Id: " + newGUID()
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "validationToken=" + url.QueryEscape(token)
	ctx, cancel := context.WithTimeout(ctx, validationTimeout)
	defer cancel()
	failed := func(format string, args ...any) *graphFault {
		return &graphFault{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(format, args...)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return failed("The notification URL is not valid.")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := s.deliver.Do(req)
	if err != nil {
		return failed("Subscription validation request timed out.")
	}
	defer func() { _ = resp.Body.Close() }()
	echo, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	switch {
	case err != nil:
		return failed("Subscription validation request timed out.")
	case resp.StatusCode != http.StatusOK:
		return failed("Subscription validation request failed. HTTP status code is '%s'.", strings.ReplaceAll(http.StatusText(resp.StatusCode), " ", ""))
	case !strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/plain") || string(echo) != token:
		return failed(messageValidationMismatch)
	}
	return nil
}

// addSubscriptionLocked makes a subscription live.
func (s *Server) addSubscriptionLocked(sub *subscription) {
	s.ordinal++
	sub.ordinal = s.ordinal
	s.subscriptions[sub.id] = sub
	for _, id := range sub.info.UserIDs {
		key := strings.ToLower(id)
		if s.watchers[key] == nil {
			s.watchers[key] = make(map[string]*subscription, 1)
		}
		s.watchers[key][sub.id] = sub
	}
	s.armSubscriptionLocked(sub)
}

func (s *Server) removeSubscriptionLocked(sub *subscription) {
	if sub.stop != nil {
		sub.stop()
	}
	delete(s.subscriptions, sub.id)
	for _, id := range sub.info.UserIDs {
		key := strings.ToLower(id)
		delete(s.watchers[key], sub.id)
		if len(s.watchers[key]) == 0 {
			delete(s.watchers, key)
		}
	}
	sub.held, sub.kept = nil, nil
}

// subscriptionLocked finds a live subscription; nil if there is none.
func (s *Server) subscriptionLocked(id string, now time.Time) *subscription {
	sub := s.subscriptions[strings.ToLower(id)]
	if sub != nil && !sub.info.ExpiresAt.After(now) {
		s.removeSubscriptionLocked(sub)
		return nil
	}
	return sub
}

// duplicateLocked finds the subscription of the same user and application.
func (s *Server) duplicateLocked(applicationID, userID string, now time.Time) *subscription {
	for _, sub := range s.subscriptions {
		if sub.info.ExpiresAt.After(now) && strings.EqualFold(sub.info.ApplicationID, applicationID) && strings.EqualFold(sub.userID, userID) {
			return sub
		}
	}
	return nil
}

// nextEvent returns when reauthorizationRequired is due. It is repeated at an
// interval however often the client answers with a token that ends as soon.
func (s *Server) nextEvent(sub *subscription) time.Time {
	end := sub.info.ExpiresAt
	if sub.info.TokenExpiresAt.Before(end) {
		end = sub.info.TokenExpiresAt
	}
	due := end.Add(-s.assume.ReauthorizationLead)
	if again := sub.lastEvent.Add(s.assume.ReauthorizationInterval); !sub.lastEvent.IsZero() && again.After(due) {
		due = again
	}
	return due
}

// armSubscriptionLocked sets the timer for the subscription's end or its next
// lifecycle notification, whichever comes first.
func (s *Server) armSubscriptionLocked(sub *subscription) {
	if sub.stop != nil {
		sub.stop()
	}
	next := sub.info.ExpiresAt
	if event := s.nextEvent(sub); sub.info.LifecycleURL != "" && event.Before(next) {
		next = event
	}
	sub.stop = s.timers.after(time.Until(next), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		if s.subscriptions[sub.id] != sub || s.subscriptionLocked(sub.id, now) == nil {
			return
		}
		if sub.info.LifecycleURL != "" && !s.nextEvent(sub).After(now) {
			sub.lastEvent = now
			s.lifecycleLocked(sub, presence.ReauthorizationRequired, now)
		}
		s.armSubscriptionLocked(sub)
	})
}

// refreshLocked puts a newer token behind a subscription and delivers what
// waited for it.
func (s *Server) refreshLocked(sub *subscription, tokenExpires, now time.Time) {
	if tokenExpires.After(sub.info.TokenExpiresAt) {
		sub.info.TokenExpiresAt = tokenExpires
	}
	s.armSubscriptionLocked(sub)
	if sub.info.TokenExpiresAt.After(now) {
		held := sub.held
		sub.held = nil
		for _, n := range held {
			s.enqueueLocked(n)
		}
	}
}

// Subscriptions returns the live subscriptions in the order of their creation.
func (s *Server) Subscriptions() []SubscriptionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var live []*subscription
	for _, sub := range s.subscriptions {
		if sub.info.ExpiresAt.After(now) {
			live = append(live, sub)
		}
	}
	slices.SortFunc(live, func(a, b *subscription) int { return cmp.Compare(a.ordinal, b.ordinal) })
	list := make([]SubscriptionInfo, len(live))
	for i, sub := range live {
		list[i] = sub.info
		list[i].UserIDs = slices.Clone(sub.info.UserIDs)
		list[i].Held = len(sub.held)
	}
	return list
}

var errNoSubscription = errors.New("graphtest: no such subscription")

// KillSubscription breaks a subscription. Silently: it is still listed and can
// be renewed, but delivers nothing, as users saw for days. Otherwise it is
// gone, without any lifecycle notification, since presence has none for that.
func (s *Server) KillSubscription(id string, silent bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptionLocked(id, time.Now())
	switch {
	case sub == nil:
		return errNoSubscription
	case silent:
		sub.info.Silent = true
	default:
		s.removeSubscriptionLocked(sub)
	}
	return nil
}

// RequestReauthorization sends the lifecycle notification
// reauthorizationRequired of a subscription now. It fails when the subscription
// does not exist or has no lifecycleNotificationUrl.
func (s *Server) RequestReauthorization(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	sub := s.subscriptionLocked(id, now)
	switch {
	case sub == nil:
		return errNoSubscription
	case sub.info.LifecycleURL == "":
		return errors.New("graphtest: the subscription has no lifecycleNotificationUrl")
	}
	s.lifecycleLocked(sub, presence.ReauthorizationRequired, now)
	return nil
}
