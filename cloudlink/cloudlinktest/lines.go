package cloudlinktest

import (
	"strconv"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// endpoint is a telephone.
type endpoint struct {
	id, userID     string
	state          presence.LineState
	doNotDisturb   bool
	availability   string // as an application last gave it
	messageWaiting bool
	pstnRouting    bool
	call           *phoneCall // nil: none
}

// phoneCall is the one call that an endpoint of the double can have.
type phoneCall struct {
	id       string
	inbound  bool
	state    string
	created  time.Time
	answered time.Time
	ended    time.Time
}

func (e *endpoint) line() presence.Line {
	return presence.Line{Endpoint: e.id, State: e.state, DoNotDisturb: e.doNotDisturb}
}

// Line returns what a telephone shows; [presence.LineUnknown] where there is
// no such telephone.
func (s *Server) Line(endpointID string) presence.Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[endpointID]; e != nil {
		return e.line()
	}
	return presence.Line{Endpoint: endpointID, State: presence.LineUnknown}
}

// SetLine changes a telephone's state, as if somebody rang, answered, held or
// hung up, and reports whether there is such a telephone. A state that it has
// already changes nothing.
//
// Ringing is an inbound call; connected or held without a call before is an
// outbound one; idle, outOfService and unknown end the call. The call's event
// is published first and the telephone's own after it.
func (s *Server) SetLine(endpointID string, state presence.LineState) bool {
	return s.changeLine(endpointID, state, CausePhone, session{})
}

func (s *Server) changeLine(endpointID string, state presence.LineState, cause Cause, by session) bool {
	s.mu.Lock()
	e := s.endpoints[endpointID]
	if e != nil && e.state != state {
		s.moveCall(e, state)
		e.state = state
		s.endpointChanged(e, KindLine, cause, by)
	}
	s.mu.Unlock()
	s.show()
	return e != nil
}

// SetDoNotDisturb presses a telephone's do-not-disturb key, and reports whether
// there is such a telephone.
func (s *Server) SetDoNotDisturb(endpointID string, on bool) bool {
	s.mu.Lock()
	e := s.endpoints[endpointID]
	if e != nil && e.doNotDisturb != on {
		e.doNotDisturb = on
		s.endpointChanged(e, KindDoNotDisturb, CausePhone, session{})
	}
	s.mu.Unlock()
	s.show()
	return e != nil
}

// principalOf returns the principal id of an endpoint's user, if it has one.
func (s *Server) principalOf(e *endpoint) string {
	if u := s.users[e.userID]; u != nil {
		return u.PrincipalID
	}
	return ""
}

// endpointChanged notes and publishes a change of an endpoint itself.
func (s *Server) endpointChanged(e *endpoint, kind Kind, cause Cause, by session) {
	s.changed(Change{Kind: kind, EndpointID: e.id, PrincipalID: s.principalOf(e), Line: e.line(), Cause: cause, ClientID: by.actor()})
	if s.assumed.NoEndpointPublications {
		return
	}
	content := s.endpointResource(e, link{"/" + version + "/endpoints/" + e.id})
	content["accountId"] = s.AccountID()
	content["timestamp"] = time.Now().UnixMilli()
	if u := s.users[e.userID]; u != nil {
		content["principalId"], content["userId"], content["siteId"] = u.PrincipalID, u.ID, u.SiteID
	}
	s.publish(topicMedia, "/"+version+"/endpoints/"+e.id, content, s.publisherOf(e, by))
}

// publisherOf is the principal that a publication about an endpoint names.
func (s *Server) publisherOf(e *endpoint, by session) string {
	if by.principalID != "" {
		return by.principalID
	}
	return s.principalOf(e)
}

// moveCall makes an endpoint's call follow its state, and publishes it with the
// CSTA event that a telephone system would report.
func (s *Server) moveCall(e *endpoint, state presence.LineState) {
	now := time.Now()
	var event string
	switch state {
	case presence.LineRinging, presence.LineConnected, presence.LineHeld:
		before := ""
		if e.call == nil {
			s.lastCall++
			e.call = &phoneCall{id: strconv.Itoa(s.lastCall), inbound: state == presence.LineRinging, created: now}
		} else {
			before = e.call.state
		}
		e.call.state = string(state)
		if state != presence.LineRinging && e.call.answered.IsZero() {
			e.call.answered = now
		}
		switch {
		case state == presence.LineRinging:
			event = "deliveredEvent"
		case state == presence.LineHeld:
			event = "heldEvent"
		case before == string(presence.LineHeld):
			event = "retrievedEvent"
		default:
			event = "establishedEvent"
		}
	default:
		if e.call == nil {
			return
		}
		e.call.state, e.call.ended = "completed", now
		event = "connectionClearedEvent"
	}
	s.publishCall(e, event)
	if !e.call.ended.IsZero() {
		e.call = nil
	}
}

// The other end of every call, from the numbers that are kept for fiction.
const (
	otherNumber = "6135550123"
	otherName   = "EXAMPLE CALLER"
)

// parties are the two ends of a call as its fields name them.
func (s *Server) parties(e *endpoint) map[string]any {
	own := map[string]string{"Number": e.id, "Name": "", "PrincipalId": ""}
	if u := s.users[e.userID]; u != nil {
		own["Name"], own["PrincipalId"] = u.Name, u.PrincipalID
	}
	ownSide, otherSide := "from", "to"
	if e.call.inbound {
		ownSide, otherSide = otherSide, ownSide
	}
	return map[string]any{
		ownSide: own["Number"], ownSide + "Name": own["Name"], ownSide + "PrincipalId": own["PrincipalId"],
		otherSide: otherNumber, otherSide + "Name": otherName,
	}
}

func (e *endpoint) direction() string {
	if e.call.inbound {
		return "inbound"
	}
	return "outbound"
}

// publishCall publishes a call in the form of Mitel's sample of a CTI event.
func (s *Server) publishCall(e *endpoint, event string) {
	now := time.Now()
	s.lastEvent++
	subject := "/" + version + "/endpoints/" + e.id + "/calls/" + e.call.id
	called := e.id
	if !e.call.inbound {
		called = otherNumber
	}
	content := s.parties(e)
	delete(content, "fromPrincipalId") // the sample has principalId below instead
	delete(content, "toPrincipalId")
	for name, value := range map[string]any{
		"state": e.call.state, "cause": "newCall", "direction": e.direction(),
		"extraPbxData": map[string]any{
			"alertingDevice": called, "calledDevice": called, "eventType": event, "callTrackingID": e.call.id,
		},
		"createdOn": stamp(e.call.created), "callId": e.call.id, "endpointId": e.id, "accountId": s.AccountID(),
		"timestamp": now.UnixMilli(), "eventId": strconv.Itoa(s.lastEvent),
		"mediaReceivedTimestamp": now.UnixMilli(), "mediaEventProcessedTimestamp": now.UnixMilli(),
		"_links":      map[string]link{"self": {subject}},
		"isCtiEvent":  true,
		"principalId": "", "userId": "", "siteId": "",
		"callLegOwner": e.id, "deviceId": e.id, "eventType": "CallStateNotification",
	} {
		content[name] = value
	}
	if u := s.users[e.userID]; u != nil {
		content["principalId"], content["userId"], content["siteId"] = u.PrincipalID, u.ID, u.SiteID
	}
	s.publish(topicMedia, subject, content, s.principalOf(e))
}
