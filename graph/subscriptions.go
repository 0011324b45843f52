package graph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	sdk "github.com/microsoftgraph/msgraph-sdk-go/subscriptions"

	"github.com/presencebridge/presencebridge/presence"
)

func (c *Client) subscriptions() *sdk.SubscriptionsRequestBuilder {
	return sdk.NewSubscriptionsRequestBuilderInternal(c.path, c.adapter)
}

// CreateSubscription makes Microsoft Graph call the notification URL at each
// change of the users' availability and activity. It needs the delegated token of
// a monitor, which can have one presence subscription per application: another
// one is presence.ErrConflict, even for other users.
//
// Microsoft Graph validates the notification URL before it answers: a handler
// must be serving it by then, and if that fails the error matches
// [ErrEndpointValidation]. The subscription ends at ExpiresAt, which the service
// moves to at least 45 minutes from now and which may be 60 minutes from now at
// most; the result says when.
//
// With req.Encryption its notifications carry the presence, encrypted with that
// certificate: see [KeyRing] and [NotificationHandlerOptions].
//
// In a cloud without presence notifications the error matches
// presence.ErrUnsupported. A request that cannot be right is presence.ErrInvalid,
// all its faults at once, and nothing is sent. It is not repeated when it fails.
func (c *Client) CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (presence.Subscription, error) {
	if err := c.needNotifications(opCreateSubscription); err != nil {
		return presence.Subscription{}, err
	}
	ids, err := checkSubscription(req)
	if err != nil {
		return presence.Subscription{}, err
	}
	body := models.NewSubscription()
	body.SetChangeType(text("updated"))
	body.SetResource(text("/communications/presences?$filter=id in ('" + strings.Join(ids, "','") + "')"))
	body.SetNotificationUrl(&req.NotificationURL)
	if req.LifecycleURL != "" {
		body.SetLifecycleNotificationUrl(&req.LifecycleURL)
	}
	if !req.ClientState.IsZero() {
		body.SetClientState(text(req.ClientState.Reveal()))
	}
	if req.Encryption != nil {
		included := true
		body.SetIncludeResourceData(&included)
		setEncryption(body, req.Encryption)
	}
	expiresAt := req.ExpiresAt.UTC()
	body.SetExpirationDateTime(&expiresAt)
	info, err := c.subscriptions().ToPostRequestInformation(ctx, body, nil)
	if err != nil {
		return presence.Subscription{}, buildError(opCreateSubscription, err)
	}
	w, err := c.subscription(ctx, opCreateSubscription, info)
	if err != nil {
		return presence.Subscription{}, err
	}
	if w.NotificationURL == "" {
		w.NotificationURL = req.NotificationURL
	}
	s := w.subscription(expiresAt)
	// The answer need not repeat the whole filter; it was accepted as it is.
	s.UserIDs = ids
	return s, nil
}

// setEncryption adds the certificate, which travels as base64 of its DER form.
func setEncryption(body *models.Subscription, e *presence.EncryptionCertificate) {
	body.SetEncryptionCertificate(text(base64.StdEncoding.EncodeToString(e.Certificate)))
	body.SetEncryptionCertificateId(text(e.ID))
}

func (c *Client) needNotifications(op operation) error {
	if c.cloud.Notifications {
		return nil
	}
	return fmt.Errorf("graph: %s: the cloud %q has no change notifications for presence: %w: read presence in bulk", op.name, c.cloud.Name, presence.ErrUnsupported)
}

// checkSubscription returns the distinct user ids, and every fault.
func checkSubscription(req presence.SubscriptionRequest) ([]string, error) {
	var (
		ids    []string
		faults []error
		seen   = make(map[string]bool, len(req.UserIDs))
	)
	for _, id := range req.UserIDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		ids = append(ids, id)
		faults = append(faults, checkUserID(id))
	}
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, invalid(opCreateSubscription, format, args...))
		}
	}
	fault(len(ids) == 0, "there are no users to watch")
	fault(len(ids) > presence.MaxSubscriptionUsers, "%d users are more than the %d that one subscription may watch: use more monitors", len(ids), presence.MaxSubscriptionUsers)
	fault(!isWebURL(req.NotificationURL), "the notification URL is not absolute")
	fault(req.LifecycleURL != "" && !isWebURL(req.LifecycleURL), "the lifecycle URL is not absolute")
	fault(len(req.ClientState.Reveal()) > maxClientState, "the client state is longer than %d characters", maxClientState)
	fault(req.ExpiresAt.IsZero(), "the end of the subscription is not set")
	faults = append(faults, checkEncryption(opCreateSubscription, req.Encryption)...)
	return ids, errors.Join(faults...)
}

// checkEncryption returns every fault of a certificate that may be missing.
func checkEncryption(op operation, e *presence.EncryptionCertificate) []error {
	if e == nil {
		return nil
	}
	faults := encryptionFaults(*e)
	for i, fault := range faults {
		if fault != nil {
			faults[i] = invalid(op, "%v", fault)
		}
	}
	return faults
}

func isWebURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// RenewSubscription moves the end of a subscription; it also re-authorizes it. A
// subscription that has ended is presence.ErrNotFound: create it anew. The
// result has only those fields that the service repeats. It is not repeated when
// it fails.
//
// With renewal.Encryption later changes are encrypted with that certificate in
// place of the one before, for which notifications still arrive for some hours.
// A renewal that cannot be right is presence.ErrInvalid, all its faults at once,
// and nothing is sent.
func (c *Client) RenewSubscription(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error) {
	faults := append(checkEncryption(opRenewSubscription, renewal.Encryption), checkSubscriptionID(opRenewSubscription, id))
	if renewal.ExpiresAt.IsZero() {
		faults = append(faults, invalid(opRenewSubscription, "the end of the subscription is not set"))
	}
	if err := errors.Join(faults...); err != nil {
		return presence.Subscription{}, err
	}
	expiresAt := renewal.ExpiresAt.UTC()
	body := models.NewSubscription()
	body.SetExpirationDateTime(&expiresAt)
	if renewal.Encryption != nil {
		setEncryption(body, renewal.Encryption)
	}
	info, err := c.subscriptions().BySubscriptionId(id).ToPatchRequestInformation(ctx, body, nil)
	if err != nil {
		return presence.Subscription{}, buildError(opRenewSubscription, err)
	}
	w, err := c.subscription(ctx, opRenewSubscription, info)
	if err != nil {
		return presence.Subscription{}, err
	}
	return w.subscription(expiresAt), nil
}

// DeleteSubscription ends a subscription. One that has ended is
// presence.ErrNotFound. It is not repeated when it fails.
func (c *Client) DeleteSubscription(ctx context.Context, id string) error {
	if err := checkSubscriptionID(opDeleteSubscription, id); err != nil {
		return err
	}
	info, err := c.subscriptions().BySubscriptionId(id).ToDeleteRequestInformation(ctx, nil)
	if err != nil {
		return buildError(opDeleteSubscription, err)
	}
	return c.do(ctx, opDeleteSubscription, info, maxAnswer, nil)
}

// ReauthorizeSubscription answers the lifecycle notification
// reauthorizationRequired. A renewal does the same; Microsoft asks not to do both
// within ten minutes of each other. It is not repeated when it fails.
func (c *Client) ReauthorizeSubscription(ctx context.Context, id string) error {
	if err := checkSubscriptionID(opReauthorize, id); err != nil {
		return err
	}
	info, err := c.subscriptions().BySubscriptionId(id).Reauthorize().ToPostRequestInformation(ctx, nil)
	if err != nil {
		return buildError(opReauthorize, err)
	}
	return c.do(ctx, opReauthorize, info, maxAnswer, nil)
}

func checkSubscriptionID(op operation, id string) error {
	if isIdentifier(id) {
		return nil
	}
	return invalid(op, "%q is not the id of a subscription", id)
}

// Subscription reads one subscription of the token's user by its id, which tells
// whether it still exists: one that has ended is presence.ErrNotFound. The users
// are those of its filter.
func (c *Client) Subscription(ctx context.Context, id string) (presence.Subscription, error) {
	if err := checkSubscriptionID(opReadSubscription, id); err != nil {
		return presence.Subscription{}, err
	}
	info, err := c.subscriptions().BySubscriptionId(id).ToGetRequestInformation(ctx, nil)
	if err != nil {
		return presence.Subscription{}, buildError(opReadSubscription, err)
	}
	w, err := c.subscription(ctx, opReadSubscription, info)
	if err != nil {
		return presence.Subscription{}, err
	}
	return w.subscription(time.Time{}), nil
}

// Subscriptions returns the presence subscriptions that the token's user has
// through this application. The users are those of its filter. Other
// subscriptions are left out, and so are those through other applications, which
// Microsoft Graph lists too where Subscription.Read.All is granted: whoever makes
// room for a new subscription must not delete what belongs to somebody else.
func (c *Client) Subscriptions(ctx context.Context) ([]presence.Subscription, error) {
	builder := c.subscriptions()
	first, err := builder.ToGetRequestInformation(ctx, nil)
	if err != nil {
		return nil, buildError(opListSubscriptions, err)
	}
	next := func(link string) (*abs.RequestInformation, error) {
		return builder.WithUrl(link).ToGetRequestInformation(ctx, nil)
	}
	var all []presence.Subscription
	usable := func(w wireSubscription) bool { return w.ID != "" }
	for page, err := range pages(ctx, c, opListSubscriptions, first, next, usable) {
		if err != nil {
			return nil, err
		}
		for _, w := range page.items {
			if _, ok := watchedUsers(w.Resource); ok && w.isOf(c.clientID) {
				all = append(all, w.subscription(time.Time{}))
			}
		}
	}
	return all, nil
}

// wireSubscription is one subscription as the service writes it.
type wireSubscription struct {
	ID              string   `json:"id"`
	ApplicationID   string   `json:"applicationId"`
	Resource        string   `json:"resource"`
	NotificationURL string   `json:"notificationUrl"`
	ExpiresAt       wireTime `json:"expirationDateTime"`
}

// isOf reports whether the subscription is the application's, which it is too
// where the service does not say.
func (w wireSubscription) isOf(clientID string) bool {
	return w.ApplicationID == "" || strings.EqualFold(w.ApplicationID, clientID)
}

// subscription returns the subscription, with the end that was asked for where
// the service names none.
func (w wireSubscription) subscription(asked time.Time) presence.Subscription {
	s := presence.Subscription{ID: w.ID, NotificationURL: w.NotificationURL, ExpiresAt: time.Time(w.ExpiresAt)}
	s.UserIDs, _ = watchedUsers(w.Resource)
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = asked
	}
	return s
}

// subscription sends info and reads the subscription that it answers with.
func (c *Client) subscription(ctx context.Context, op operation, info *abs.RequestInformation) (wireSubscription, error) {
	var w wireSubscription
	err := c.do(ctx, op, info, maxAnswer, func(body io.Reader) error {
		if err := json.NewDecoder(body).Decode(&w); err != nil {
			return err
		}
		if w.ID == "" {
			return errors.New("graph: the answer is not a subscription")
		}
		return nil
	})
	return w, err
}

// wireTime is a time as Microsoft Graph writes it: with or without a fraction of
// a second and a zone. It is zero where it cannot be read, which must not cost
// the subscription.
type wireTime time.Time

func (t *wireTime) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = wireTime(parseNotificationTime(s))
	return nil
}

var (
	// What follows these may be the ids of 650 users: too long for a regexp.
	presencesOf = regexp.MustCompile(`(?i)^/?communications/presences`)
	filterIn    = regexp.MustCompile(`(?i)^\?\$filter=\s*id\s+in\s*\(`)
	filterEq    = regexp.MustCompile(`(?i)^\?\$filter=\s*id\s+eq\s+'`)

	singleUser = regexp.MustCompile(`^(?:/([A-Za-z0-9._-]+)|\('([A-Za-z0-9._-]+)'\))$`)
)

// watchedUsers returns the users of a presence resource, and whether it is one.
// Each form is read that Microsoft shows: presences/{id}, presences('{id}'), and
// a filter, URL-encoded or not.
func watchedUsers(resource string) ([]string, bool) {
	if decoded, err := url.QueryUnescape(resource); err == nil {
		resource = decoded
	}
	rest, is := cutMatch(resource, presencesOf)
	if !is || strings.Contains(rest, "\n") {
		return nil, false
	}
	if one := singleUser.FindStringSubmatch(rest); one != nil {
		return []string{one[1] + one[2]}, true
	}
	list, ends := "", false
	if in, is := cutMatch(rest, filterIn); is {
		list, ends = strings.CutSuffix(strings.TrimSpace(in), ")")
	} else if eq, is := cutMatch(rest, filterEq); is {
		list, ends = strings.CutSuffix(strings.TrimSpace(eq), "'")
		ends = ends && !strings.Contains(list, "'")
	}
	if !ends || strings.ContainsAny(list, "()") {
		return nil, true
	}
	var ids []string
	for quoted := range strings.SplitSeq(list, ",") {
		if id := strings.Trim(quoted, "' "); isIdentifier(id) {
			ids = append(ids, id)
		}
	}
	return ids, true
}

// cutMatch returns what follows a pattern that matches the beginning of s.
func cutMatch(s string, beginning *regexp.Regexp) (rest string, found bool) {
	at := beginning.FindStringIndex(s)
	if at == nil {
		return s, false
	}
	return s[at[1]:], true
}
