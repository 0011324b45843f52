package graph

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/microsoft/kiota-abstractions-go/serialization"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"github.com/presencebridge/presencebridge/presence"
)

// The shortest and the longest lifetime of a presence session
// (learn.microsoft.com/graph/api/presence-setpresence).
const (
	MinSessionLifetime = 5 * time.Minute
	MaxSessionLifetime = 4 * time.Hour
)

// SessionBounds returns [MinSessionLifetime] and [MaxSessionLifetime], by which a
// bridge checks its options.
func (c *Client) SessionBounds() (shortest, longest time.Duration) {
	return MinSessionLifetime, MaxSessionLifetime
}

// maxAnswer bounds the answers that hold one item.
const maxAnswer = 1 << 20

// user returns the SDK's builder for one user.
func (c *Client) user(userID string) *users.UserItemRequestBuilder {
	return users.NewUsersRequestBuilderInternal(c.path, c.adapter).ByUserId(userID)
}

// Presence returns what Teams shows for one user, by object id. A user that does
// not exist or has no Teams may be presence.ErrNotFound or be reported as
// unknown.
func (c *Client) Presence(ctx context.Context, userID string) (presence.Presence, error) {
	if err := checkUserID(userID); err != nil {
		return presence.Presence{}, err
	}
	info, err := c.user(userID).Presence().ToGetRequestInformation(ctx, nil)
	if err != nil {
		return presence.Presence{}, buildError(opReadPresence, err)
	}
	var result presence.Presence
	err = c.do(ctx, opReadPresence, info, maxAnswer, func(body io.Reader) error {
		result, err = decodePresence(body)
		return err
	})
	if err != nil {
		return presence.Presence{}, err
	}
	result.UserID = userID
	return result, nil
}

// SetPresence shows s for the user, by object id, in this application's presence
// session, which lapses after lifetime unless it is set again. The lifetime is
// within [MinSessionLifetime] and [MaxSessionLifetime] and rounded down to whole seconds.
//
// What Teams then shows depends on the person's other sessions: a status that the
// person picked comes first, then DoNotDisturb before Busy before Available
// before Away. Available fades after 5 minutes without being set again, whatever
// its lifetime.
//
// It is not repeated when it fails. A combination that an application may not
// set, or a lifetime out of bounds, is presence.ErrInvalid, and nothing is sent.
func (c *Client) SetPresence(ctx context.Context, userID string, s presence.Session, lifetime time.Duration) error {
	if err := checkUserID(userID); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return fmt.Errorf("graph: %s: %w: %w", opSetPresence.name, presence.ErrInvalid, err)
	}
	if lifetime < MinSessionLifetime || lifetime > MaxSessionLifetime {
		return invalid(opSetPresence, "a session's lifetime is %v to %v, not %v", MinSessionLifetime, MaxSessionLifetime, lifetime)
	}
	body := users.NewItemPresenceSetPresencePostRequestBody()
	body.SetSessionId(&c.clientID)
	body.SetAvailability(text(s.Availability))
	body.SetActivity(text(s.Activity))
	body.SetExpirationDuration(isoDuration(lifetime))
	info, err := c.user(userID).Presence().SetPresence().ToPostRequestInformation(ctx, body, nil)
	if err != nil {
		return buildError(opSetPresence, err)
	}
	return c.do(ctx, opSetPresence, info, maxAnswer, nil)
}

// ClearPresence ends this application's presence session of the user, by object
// id. Without such a session the error matches presence.ErrNotFound. It is not
// repeated when it fails.
func (c *Client) ClearPresence(ctx context.Context, userID string) error {
	if err := checkUserID(userID); err != nil {
		return err
	}
	body := users.NewItemPresenceClearPresencePostRequestBody()
	body.SetSessionId(&c.clientID)
	info, err := c.user(userID).Presence().ClearPresence().ToPostRequestInformation(ctx, body, nil)
	if err != nil {
		return buildError(opClearPresence, err)
	}
	return c.do(ctx, opClearPresence, info, maxAnswer, nil)
}

// preferred are the combinations that can be a preferred presence
// (learn.microsoft.com/graph/api/presence-setuserpreferredpresence).
func preferred() []presence.Session {
	return []presence.Session{
		{Availability: presence.Available, Activity: presence.ActivityAvailable},
		{Availability: presence.Busy, Activity: presence.ActivityBusy},
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb},
		{Availability: presence.BeRightBack, Activity: presence.ActivityBeRightBack},
		{Availability: presence.Away, Activity: presence.ActivityAway},
		{Availability: presence.Offline, Activity: presence.ActivityOffWork},
	}
}

// SetPreferredPresence sets what the person would pick in Teams by hand, and
// replaces what the person picked. It comes before every session, and shows only
// while there is one. The bridge never does this by itself.
//
// The combinations are Available/Available, Busy/Busy, DoNotDisturb/DoNotDisturb,
// BeRightBack/BeRightBack, Away/Away and Offline/OffWork; another one is
// presence.ErrInvalid. The lifetime is rounded down to whole seconds; 0 means
// the service's own default, one day for Busy and DoNotDisturb and seven days for
// the others. It is not repeated when it fails.
func (c *Client) SetPreferredPresence(ctx context.Context, userID string, availability presence.Availability, activity presence.Activity, lifetime time.Duration) error {
	if err := checkUserID(userID); err != nil {
		return err
	}
	if s := (presence.Session{Availability: availability, Activity: activity}); !slices.Contains(preferred(), s) {
		return invalid(opSetPreferredPresence, "%s cannot be a preferred presence: use one of %v", s, preferred())
	}
	if lifetime != 0 && lifetime < time.Second {
		return invalid(opSetPreferredPresence, "the lifetime %v is less than a second: use 0 for the default of the service", lifetime)
	}
	body := users.NewItemPresenceSetUserPreferredPresencePostRequestBody()
	body.SetAvailability(text(availability))
	body.SetActivity(text(activity))
	if lifetime > 0 {
		// Not SetExpirationDuration: the SDK writes seven days as P1W, and the
		// duration of OData has no weeks (OData CSDL 4.01, Edm.Duration).
		body.SetAdditionalData(map[string]any{"expirationDuration": fmt.Sprintf("PT%dH%dM%dS", lifetime/time.Hour, lifetime/time.Minute%60, lifetime/time.Second%60)})
	}
	info, err := c.user(userID).Presence().SetUserPreferredPresence().ToPostRequestInformation(ctx, body, nil)
	if err != nil {
		return buildError(opSetPreferredPresence, err)
	}
	return c.do(ctx, opSetPreferredPresence, info, maxAnswer, nil)
}

// ClearPreferredPresence removes the preferred presence, whoever set it. It is
// not repeated when it fails.
func (c *Client) ClearPreferredPresence(ctx context.Context, userID string) error {
	if err := checkUserID(userID); err != nil {
		return err
	}
	info, err := c.user(userID).Presence().ClearUserPreferredPresence().ToPostRequestInformation(ctx, nil)
	if err != nil {
		return buildError(opClearPreferredPresence, err)
	}
	// The SDK sends no body; the documentation has an empty object.
	info.SetStreamContentAndContentType([]byte("{}"), "application/json")
	return c.do(ctx, opClearPreferredPresence, info, maxAnswer, nil)
}

func text[T ~string](value T) *string {
	s := string(value)
	return &s
}

func isoDuration(d time.Duration) *serialization.ISODuration {
	seconds := int(d / time.Second)
	return serialization.NewDuration(0, 0, 0, seconds/3600, seconds/60%60, seconds%60, 0)
}

// checkUserID refuses what cannot be an object id before it reaches a path or a
// filter. A user principal name is refused too: the presence endpoints take none.
func checkUserID(userID string) error {
	if isIdentifier(userID) {
		return nil
	}
	return fmt.Errorf("graph: %w: %q is not an object id: presence is addressed by the id of the account, not by its user principal name", presence.ErrInvalid, userID)
}

func invalid(op operation, format string, args ...any) error {
	return fmt.Errorf("graph: %s: %w: %s", op.name, presence.ErrInvalid, fmt.Sprintf(format, args...))
}

func buildError(op operation, err error) error {
	return fmt.Errorf("graph: %s: build the request: %w", op.name, err)
}
