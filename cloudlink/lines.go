package cloudlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Endpoint is a telephone as the media API describes it.
type Endpoint struct {
	// ID is the endpoint's id: its extension.
	ID string
	// Name is for people to read.
	Name string
	// State is the call state. What the service sends and this library does not
	// know stays as it is, and its Known is false.
	State presence.LineState
	// UserAvailability is available, busy, dnd or away.
	UserAvailability string
	// MessageWaiting tells whether the message lamp is on.
	MessageWaiting bool
	// DoNotDisturb is the do-not-disturb flag.
	DoNotDisturb bool
}

// Line returns the endpoint's line.
func (e Endpoint) Line() presence.Line {
	return presence.Line{Endpoint: e.ID, State: e.State, DoNotDisturb: e.DoNotDisturb}
}

// parseEndpoint reads an endpoint. One without a state is of unknown state.
func parseEndpoint(body []byte) (Endpoint, error) {
	var w struct {
		EndpointID       text `json:"endpointId"`
		Name             text `json:"name"`
		State            text `json:"state"`
		UserAvailability text `json:"userAvailability"`
		MessageWaiting   flag `json:"messageWaiting"`
		DoNotDisturb     flag `json:"dnd"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Endpoint{}, err
	}
	if w.EndpointID == "" && w.State == "" {
		return Endpoint{}, errors.New("not an endpoint")
	}
	state := presence.LineUnknown
	if w.State != "" {
		state = presence.ParseLineState(string(w.State))
	}
	return Endpoint{
		ID: string(w.EndpointID), Name: string(w.Name), State: state, UserAvailability: string(w.UserAvailability),
		MessageWaiting: bool(w.MessageWaiting), DoNotDisturb: bool(w.DoNotDisturb),
	}, nil
}

// Endpoint reads one endpoint (GET /endpoints/{endpointId} of the media API).
func (c *Client) Endpoint(ctx context.Context, endpointID string) (Endpoint, error) {
	const operation = "read line"
	id, err := segment(operation, "endpoint id", endpointID)
	if err != nil {
		return Endpoint{}, err
	}
	var e Endpoint
	err = c.do(ctx, call{
		operation: operation, method: http.MethodGet, service: ServiceMedia, path: "endpoints/" + id,
		decode: func(body []byte) (err error) {
			e, err = parseEndpoint(body)
			return err
		},
	})
	if err != nil {
		return Endpoint{}, err
	}
	e.ID = endpointID
	return e, nil
}

// Line reads the line state of one endpoint.
func (c *Client) Line(ctx context.Context, endpointID string) (presence.Line, error) {
	e, err := c.Endpoint(ctx, endpointID)
	if err != nil {
		return presence.Line{Endpoint: endpointID, State: presence.LineUnknown}, err
	}
	return e.Line(), nil
}

// maxLinesInFlight is how many endpoints of one user are read at once. The
// client's budget applies on top.
const maxLinesInFlight = 4

// Lines reads the line state of each of the user's endpoints, in their order.
// It returns those that it could read even with an error, which then names the
// others and joins their errors. An endpoint that CloudLink does not know is in
// both: nobody can be in a call on it, so its state is unknown and does not keep
// the others from being acted on. A user without endpoints has no lines.
func (c *Client) Lines(ctx context.Context, user presence.User) ([]presence.Line, error) {
	var (
		lines  = make([]presence.Line, len(user.Endpoints))
		faults = make([]error, len(user.Endpoints))
		slots  = make(chan struct{}, maxLinesInFlight)
		wg     sync.WaitGroup
	)
	for i, id := range user.Endpoints {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			if lines[i], err = c.Line(ctx, id); err != nil {
				faults[i] = fmt.Errorf("endpoint %q: %w", id, err)
			}
		})
	}
	wg.Wait()
	read := lines[:0]
	for i, l := range lines {
		if faults[i] == nil || errors.Is(faults[i], presence.ErrNotFound) && !errors.Is(faults[i], ErrNoSuchRoute) {
			read = append(read, l)
		}
	}
	return read, errors.Join(faults...)
}

// SetDoNotDisturb switches an endpoint's do-not-disturb on or off.
//
// It returns nil once the telephone system has done it, and also when CloudLink
// has taken the request and not heard of the result (202): a notification tells
// of that. If the telephone system does not answer in time (504) the error
// matches presence.ErrUnavailable, and it may still have happened: read the line.
func (c *Client) SetDoNotDisturb(ctx context.Context, endpointID string, on bool) error {
	const operation = "set do-not-disturb"
	id, err := segment(operation, "endpoint id", endpointID)
	if err != nil {
		return err
	}
	body := struct {
		Action           string `json:"action"`
		UserAvailability string `json:"userAvailability"`
		Enabled          bool   `json:"enabled"`
	}{"dnd", c.availability, on}
	return c.do(ctx, call{operation: operation, method: http.MethodPut, service: ServiceMedia, path: "endpoints/" + id, body: body})
}

// Call is a call at an endpoint as the media API describes it.
type Call struct {
	// ID is the call's id: a number, a GUID or a path, depending on where the
	// call comes from.
	ID string
	// SiteID names the site of the telephone system.
	SiteID string
	// From, FromName, To and ToName are the parties.
	From, FromName, To, ToName string
	// FromPrincipalID and ToPrincipalID are those of the parties that are users.
	FromPrincipalID, ToPrincipalID string
	// State is the call's state.
	State CallState
	// Cause is why the call is in its state, such as newCall or transfer.
	Cause string
	// Direction is inbound or outbound.
	Direction string
	// CreatedOn is when the call began.
	CreatedOn time.Time
}

// CallState is the state of a call: a line state, or completed.
type CallState string

// CallCompleted is the state of a call that has ended; the others are those of
// [presence.LineState].
const CallCompleted CallState = "completed"

func parseCall(raw json.RawMessage) (Call, error) {
	var w struct {
		CallID          text    `json:"callId"`
		SiteID          text    `json:"siteId"`
		From            text    `json:"from"`
		FromName        text    `json:"fromName"`
		FromPrincipalID text    `json:"fromPrincipalId"`
		To              text    `json:"to"`
		ToName          text    `json:"toName"`
		ToPrincipalID   text    `json:"toPrincipalId"`
		State           text    `json:"state"`
		Cause           text    `json:"cause"`
		Direction       text    `json:"direction"`
		CreatedOn       instant `json:"createdOn"`
	}
	if err := decodeObject(raw, &w); err != nil {
		return Call{}, err
	}
	if w.CallID == "" {
		return Call{}, errors.New("a call without an id")
	}
	return Call{
		ID: string(w.CallID), SiteID: string(w.SiteID), From: string(w.From), FromName: string(w.FromName),
		FromPrincipalID: string(w.FromPrincipalID), To: string(w.To), ToName: string(w.ToName), ToPrincipalID: string(w.ToPrincipalID),
		State: CallState(w.State), Cause: string(w.Cause), Direction: string(w.Direction), CreatedOn: w.CreatedOn.Time,
	}, nil
}

// Calls reads the calls at an endpoint. It returns those that it could read
// even with an error.
func (c *Client) Calls(ctx context.Context, endpointID string) ([]Call, error) {
	const operation = "list calls"
	id, err := segment(operation, "endpoint id", endpointID)
	if err != nil {
		return nil, err
	}
	return collect(listing(ctx, c, call{operation: operation, service: ServiceMedia, path: "endpoints/" + id + "/calls"}, parseCall))
}
