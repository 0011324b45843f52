package graph

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// notificationItem is one element of a notification body, as far as it is used.
// It takes every form that was seen: the documented one, the one that is sent
// since June 2024 (a filter as resource, a time without a zone), that of the
// 2020 preview (the state beside a null id) and lifecycle items.
//
// Encrypted content is a pointer, so that it costs nothing where there is none.
type notificationItem struct {
	SubscriptionID string `json:"subscriptionId"`
	ClientState    string `json:"clientState"`
	TenantID       string `json:"tenantId"`
	OrganizationID string `json:"organizationId"`
	LifecycleEvent string `json:"lifecycleEvent"`
	// Resource and Expires stay raw, which reuses their memory, because most
	// items never need them.
	Resource     json.RawMessage `json:"resource"`
	Expires      json.RawMessage `json:"subscriptionExpirationDateTime"`
	ResourceData struct {
		ID           string `json:"id"`
		ODataID      string `json:"@odata.id"`
		Availability string `json:"availability"`
		Activity     string `json:"activity"`
	} `json:"resourceData"`
	EncryptedContent *encryptedContent `json:"encryptedContent"`
}

// errNotABatch: the body is JSON, but not an object with an array "value".
var errNotABatch = errors.New("graph: not a batch of notifications")

// decodeNotifications reads a body item by item into item, and calls each after
// every one. The validation tokens, which may come before or after the items, are
// read into tokens unless it is nil.
//
// Going item by item bounds the memory by the longest item: a body of four
// million bytes that says [0,0,0,…] would otherwise become two million structs
// before anybody looks at its first client state. It also confines a field of
// the wrong type to its item, which then lacks that field.
func decodeNotifications(body io.Reader, item *notificationItem, tokens *validationTokens, each func()) error {
	dec := json.NewDecoder(body)
	if err := expectDelim(dec, '{'); err != nil {
		return err
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if name, _ := key.(string); !strings.EqualFold(name, "value") {
			var into json.Unmarshaler = new(skippedJSON)
			if tokens != nil && strings.EqualFold(name, "validationTokens") {
				into = tokens
			}
			if err := dec.Decode(into); err != nil {
				return err
			}
			continue
		}
		found = true
		if err := expectDelim(dec, '['); err != nil {
			return err
		}
		for dec.More() {
			*item = notificationItem{Resource: item.Resource[:0], Expires: item.Expires[:0]}
			var wrongType *json.UnmarshalTypeError
			if err := dec.Decode(item); err != nil && !errors.As(err, &wrongType) {
				return err
			}
			each()
		}
		if err := expectDelim(dec, ']'); err != nil {
			return err
		}
	}
	if err := expectDelim(dec, '}'); err != nil {
		return err
	}
	if !found {
		return errNotABatch
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return errNotABatch
	}
	return nil
}

// skippedJSON is a value that is checked to be JSON and dropped.
type skippedJSON struct{}

func (*skippedJSON) UnmarshalJSON([]byte) error { return nil }

func expectDelim(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return errNotABatch
	}
	return nil
}

// tenant returns the tenant that the item states: tenantId, or organizationId,
// which the documentation of presence notifications shows beside it.
func (it *notificationItem) tenant() string {
	if it.TenantID != "" {
		return it.TenantID
	}
	return it.OrganizationID
}

// userID returns whose presence changed, or "".
func (it *notificationItem) userID() string {
	if it.ResourceData.ID != "" {
		return it.ResourceData.ID
	}
	if id := userIDOfPath(it.ResourceData.ODataID); id != "" {
		return id
	}
	return userIDOfPath(unquoteJSON(it.Resource))
}

func (it *notificationItem) notification(userID string) presence.Notification {
	n := presence.Notification{SubscriptionID: it.SubscriptionID, TenantID: it.tenant(), UserID: userID}
	if it.ResourceData.Availability != "" {
		n.Presence = &presence.Presence{
			UserID:       userID,
			Availability: presence.ParseAvailability(it.ResourceData.Availability),
			Activity:     presence.ParseActivity(it.ResourceData.Activity),
		}
	}
	return n
}

func (it *notificationItem) lifecycle() presence.Lifecycle {
	return presence.Lifecycle{
		SubscriptionID: it.SubscriptionID,
		TenantID:       it.tenant(),
		Event:          parseLifecycleEvent(it.LifecycleEvent),
		ExpiresAt:      parseNotificationTime(unquoteJSON(it.Expires)),
	}
}

// unquoteJSON returns the string that raw holds, or "" where it holds another
// type or nothing.
func unquoteJSON(raw json.RawMessage) string {
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// parseLifecycleEvent returns the documented spelling, and an event that is not
// documented as it is.
func parseLifecycleEvent(s string) presence.LifecycleEvent {
	for _, e := range []presence.LifecycleEvent{presence.ReauthorizationRequired, presence.SubscriptionRemoved, presence.NotificationsMissed} {
		if strings.EqualFold(s, string(e)) {
			return e
		}
	}
	return presence.LifecycleEvent(s)
}

// parseNotificationTime reads a time stamp with a zone, or without one, which
// then means UTC: Microsoft Graph sends both. The zero time stands for
// anything else.
func parseNotificationTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// userIDOfPath returns the one user id in a path that names a presence, or ""
// where there is none or more than one:
//
//	users/{id}/presence
//	users('{id}')/presence
//	communications/presences/{id}
//	communications/presences('{id}')
//	communications/presences?$filter=id in ('{id}')
//
// with or without what comes before, URL-encoded or not.
func userIDOfPath(s string) string {
	if s == "" {
		return ""
	}
	path, query, hasQuery := strings.Cut(s, "?")
	if hasQuery {
		return userIDOfFilter(query)
	}
	if unescaped, err := url.PathUnescape(path); err == nil {
		path = unescaped
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i, segment := range segments {
		name, argument, hasArgument := strings.Cut(segment, "(")
		if !strings.EqualFold(name, "presences") && !strings.EqualFold(name, "users") {
			continue
		}
		switch {
		case hasArgument:
			return strings.Trim(strings.TrimSuffix(argument, ")"), "'")
		case i+1 < len(segments):
			return segments[i+1]
		}
	}
	return ""
}

// userIDOfFilter returns the id that a query's filter names, if it names one.
func userIDOfFilter(query string) string {
	if unescaped, err := url.QueryUnescape(query); err == nil {
		query = unescaped
	}
	_, rest, ok := strings.Cut(query, "'")
	if !ok {
		return ""
	}
	id, rest, ok := strings.Cut(rest, "'")
	if !ok || strings.Contains(rest, "'") {
		return ""
	}
	return id
}

// isGUID reports whether s has the form 8-4-4-4-12 of hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// shorten bounds a text that anybody may have sent.
func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
