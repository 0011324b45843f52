package cloudlinktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// reach returns the endpoint of a request, or a refusal. A person's own token
// reaches the person's own endpoints only. The caller holds the lock.
func (s *Server) reach(c *call) (*endpoint, *answer) {
	e := s.endpoints[c.value("endpointID")]
	if c.session.userID != "" && !c.session.admin() && (e == nil || e.userID != c.session.userID) {
		return nil, forbidden()
	}
	if e == nil {
		refusal := refuse(http.StatusNotFound, "there is no such endpoint")
		return nil, &refusal
	}
	return e, nil
}

// endpointResource is the endpoint as the media API describes it.
func (s *Server) endpointResource(e *endpoint, self link) map[string]any {
	availability := e.availability
	if e.doNotDisturb {
		availability = "dnd"
	}
	name := ""
	if u := s.users[e.userID]; u != nil {
		name = u.Name
	}
	return map[string]any{
		"endpointId": e.id, "name": name, "type": "extension", "state": string(e.state), "userAvailability": availability,
		"messageWaiting": e.messageWaiting, "pstnRouting": e.pstnRouting, "dnd": e.doNotDisturb,
		"_links": map[string]link{"self": self},
	}
}

func (s *Server) endpointAnswer(c *call, e *endpoint) map[string]any {
	return s.endpointResource(e, s.href(c, "/endpoints/"+url.PathEscape(e.id)))
}

// getEndpoint is GET /endpoints/{endpointId}, "sometimes referred to as line state".
func (s *Server) getEndpoint(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, refusal := s.reach(c)
	if refusal != nil {
		return *refusal
	}
	return ok(s.endpointAnswer(c, e))
}

// endpointWrite is the body of PUT /endpoints/{endpointId}.
type endpointWrite struct {
	Action           string `json:"action"`
	UserAvailability string `json:"userAvailability"`
	Enabled          bool   `json:"enabled"`
	TimeoutMs        *int   `json:"timeoutMs"`
}

// The bounds of timeoutMs (media API).
const (
	minTimeoutMs = 3000
	maxTimeoutMs = 30000
)

// putEndpoint is PUT /endpoints/{endpointId}.
func (s *Server) putEndpoint(c *call) answer {
	var body endpointWrite
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(http.StatusBadRequest, "the body is not the JSON of an endpoint action")
	}
	switch {
	case !slices.Contains([]string{"dnd", "messageWaiting", "pstnRouting"}, body.Action):
		return refuse(http.StatusBadRequest, "action must be dnd, messageWaiting or pstnRouting")
	case !slices.Contains([]string{"available", "busy", "dnd", "away"}, body.UserAvailability):
		return refuse(http.StatusBadRequest, "userAvailability must be available, busy, dnd or away")
	case body.TimeoutMs != nil && (*body.TimeoutMs < minTimeoutMs || *body.TimeoutMs > maxTimeoutMs):
		return refuse(http.StatusBadRequest, "timeoutMs must be between %d and %d", minTimeoutMs, maxTimeoutMs)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, refusal := s.reach(c)
	if refusal != nil {
		return *refusal
	}
	if s.assumed.AcknowledgeAfter == 0 {
		s.writeEndpoint(e, body, c.session)
		return ok(s.endpointAnswer(c, e))
	}
	id, by := e.id, c.session
	s.spawn(func() {
		if throttle.Sleep(s.ctx, s.assumed.AcknowledgeAfter) != nil {
			return
		}
		s.mu.Lock()
		if e := s.endpoints[id]; e != nil {
			s.writeEndpoint(e, body, by)
		}
		s.mu.Unlock()
		s.show()
	})
	return answer{http.StatusAccepted, nil}
}

// writeEndpoint does what an accepted request asks for. With the availability
// "dnd" that is nothing: "If dnd, do nothing", says the media API. The caller
// holds the lock.
func (s *Server) writeEndpoint(e *endpoint, body endpointWrite, by session) {
	if body.UserAvailability == "dnd" {
		return
	}
	e.availability = body.UserAvailability
	switch body.Action {
	case "dnd":
		if e.doNotDisturb != body.Enabled {
			e.doNotDisturb = body.Enabled
			s.endpointChanged(e, KindDoNotDisturb, CauseAPI, by)
		}
	case "messageWaiting":
		e.messageWaiting = body.Enabled
	case "pstnRouting":
		e.pstnRouting = body.Enabled
	}
}

// callResource is the call as the media API describes it.
func (s *Server) callResource(c *call, e *endpoint) map[string]any {
	now := time.Now()
	r := s.parties(e)
	rang, billed := now.Sub(e.call.created), time.Duration(0)
	if !e.call.answered.IsZero() {
		rang, billed = e.call.answered.Sub(e.call.created), now.Sub(e.call.answered)
	}
	for name, value := range map[string]any{
		"callId": e.call.id, "state": e.call.state, "cause": "newCall", "direction": e.direction(),
		"createdOn": stamp(e.call.created), "completed": false,
		"ringTime": rang.Milliseconds(), "billingTime": billed.Milliseconds(),
		"_links": map[string]link{"self": s.href(c, "/endpoints/"+url.PathEscape(e.id)+"/calls/"+e.call.id)},
	} {
		r[name] = value
	}
	if u := s.users[e.userID]; u != nil {
		r["siteId"] = u.SiteID
	}
	return r
}

// getCalls is GET /endpoints/{endpointId}/calls.
func (s *Server) getCalls(c *call) answer {
	if refusal := c.accepts("$top", "$skip"); refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, refusal := s.reach(c)
	if refusal != nil {
		return *refusal
	}
	var calls []*endpoint // those that have one: this endpoint or none
	if e.call != nil {
		calls = append(calls, e)
	}
	return collection(s, c, calls, func(e *endpoint) map[string]any { return s.callResource(c, e) })
}

// reachCall returns the endpoint of a request that has the call of the request,
// or a refusal. The caller holds the lock.
func (s *Server) reachCall(c *call) (*endpoint, *answer) {
	e, refusal := s.reach(c)
	if refusal == nil && (e.call == nil || e.call.id != c.value("callID")) {
		missing := refuse(http.StatusNotFound, "there is no such call")
		refusal = &missing
	}
	return e, refusal
}

// getCall is GET /endpoints/{endpointId}/calls/{callId}.
func (s *Server) getCall(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, refusal := s.reachCall(c)
	if refusal != nil {
		return *refusal
	}
	return ok(s.callResource(c, e))
}

// putCall is PUT /endpoints/{endpointId}/calls/{callId}, with the actions that
// change a line's state. The others need a second party, which no call of the
// double has.
func (s *Server) putCall(c *call) answer {
	var body struct{ Action string }
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(http.StatusBadRequest, "the body is not the JSON of a call action")
	}
	moves := map[string]struct{ from, to presence.LineState }{
		"answer":   {presence.LineRinging, presence.LineConnected},
		"hold":     {presence.LineConnected, presence.LineHeld},
		"retrieve": {presence.LineHeld, presence.LineConnected},
		"end":      {"", presence.LineIdle},
	}
	move, known := moves[body.Action]
	if !known {
		return refuse(http.StatusBadRequest, "action must be answer, hold, retrieve or end; the double has no others")
	}
	s.mu.Lock()
	e, refusal := s.reachCall(c)
	s.mu.Unlock()
	if refusal != nil {
		return *refusal
	}
	if move.from != "" && s.Line(e.id).State != move.from {
		return refuse(http.StatusConflict, "a call that is not %s cannot do this", move.from)
	}
	s.changeLine(e.id, move.to, CauseAPI, c.session)
	return answer{http.StatusAccepted, nil}
}
