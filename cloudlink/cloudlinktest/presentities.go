package cloudlinktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// presentity is the presence of one principal, as Status and Reason: that much
// is known from Workflow Studio's "User presence" activity.
type presentity struct {
	userID   string
	status   presence.Status
	reason   string
	modified time.Time
}

// maxStatus bounds a status and a reason.
const maxStatus = 256

// Status returns a person's status; empty where there is no such person.
func (s *Server) Status(principalID string) presence.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.presentities[principalID]; p != nil {
		return p.status
	}
	return ""
}

// SetStatus changes a person's status, as if the person did so at a client, and
// reports whether there is such a person. A status that the person has already
// changes nothing.
func (s *Server) SetStatus(principalID string, status presence.Status) bool {
	s.mu.Lock()
	p := s.presentities[principalID]
	if p != nil && p.status != status {
		s.writePresentity(principalID, status, "", CauseUser, session{principalID: principalID})
	}
	s.mu.Unlock()
	s.show()
	return p != nil
}

// presentityResource is the assumed JSON of a presence.
func (s *Server) presentityResource(principalID string) map[string]any {
	p := s.presentities[principalID]
	return map[string]any{
		"principalId": principalID, "accountId": s.AccountID(),
		"status": string(p.status), "reason": p.reason, "modifiedOn": stamp(p.modified),
	}
}

// writePresentity stores and publishes a presence. What is written again is
// published again, but is no change. The caller holds the lock.
func (s *Server) writePresentity(principalID string, status presence.Status, reason string, cause Cause, by session) {
	p := s.presentities[principalID]
	same := p.status == status && p.reason == reason
	p.status, p.reason, p.modified = status, reason, time.Now()
	if !same {
		s.changed(Change{Kind: KindStatus, PrincipalID: principalID, Status: status, Reason: reason, Cause: cause, ClientID: by.actor()})
	}
	s.publish(topicPresence, "/"+version+"/presentities/"+principalID, s.presentityResource(principalID), by.principalID)
}

// reachPresentity returns the principal id of a request, or a refusal. A
// person's own token reaches the person's own presence only. The caller holds
// the lock.
func (s *Server) reachPresentity(c *call) (string, *answer) {
	id := c.value("principalID")
	if c.session.userID != "" && !c.session.admin() && id != c.session.principalID {
		return "", forbidden()
	}
	if s.presentities[id] == nil {
		refusal := refuse(http.StatusNotFound, "there is no such presentity")
		return "", &refusal
	}
	return id, nil
}

func (s *Server) presentityAnswer(c *call, id string) answer {
	r := s.presentityResource(id)
	r["_links"] = map[string]link{"self": s.href(c, "/presentities/"+url.PathEscape(id))}
	return ok(r)
}

// getPresentity is GET /presentities/{principalId}.
func (s *Server) getPresentity(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, refusal := s.reachPresentity(c)
	if refusal != nil {
		return *refusal
	}
	return s.presentityAnswer(c, id)
}

// putPresentity is PUT /presentities/{principalId}.
func (s *Server) putPresentity(c *call) answer {
	var body struct{ Status, Reason string }
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(http.StatusBadRequest, "the body is not the JSON of a presentity")
	}
	if body.Status == "" || len(body.Status) > maxStatus || len(body.Reason) > maxStatus {
		return refuse(http.StatusBadRequest, "status is required, and status and reason have at most %d bytes", maxStatus)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, refusal := s.reachPresentity(c)
	if refusal != nil {
		return *refusal
	}
	s.writePresentity(id, presence.Status(body.Status), body.Reason, CauseAPI, c.session)
	return s.presentityAnswer(c, id)
}
