package graphtest

import (
	"net/url"
	"time"
)

// What Microsoft does to endpoints that answer too slowly
// (learn.microsoft.com/graph/change-notifications-delivery-webhooks): beyond
// 10 % of the answers slower than 3 seconds within 10 minutes, new notifications
// come 10 minutes late; beyond 15 % slower than 10 seconds, they are dropped
// for 10 minutes.
const (
	endpointWindow  = 10 * time.Minute
	endpointPenalty = 10 * time.Minute
	slowAnswer      = 3 * time.Second
	deadAnswer      = 10 * time.Second
	slowShare       = 0.10
	deadShare       = 0.15
)

// endpoint is how fast a host answered lately, and what follows from it.
type endpoint struct {
	answers   []answer
	slowUntil time.Time
	dropUntil time.Time
}

type answer struct {
	at   time.Time
	took time.Duration
}

// note adds an answer and judges the endpoint anew.
func (e *endpoint) note(a answer) {
	e.answers = append(e.answers, a)
	old := 0
	for old < len(e.answers) && a.at.Sub(e.answers[old].at) > endpointWindow {
		old++
	}
	e.answers = e.answers[old:]
	var slow, dead int
	for _, b := range e.answers {
		if b.took >= slowAnswer {
			slow++
		}
		if b.took >= deadAnswer {
			dead++
		}
	}
	total := float64(len(e.answers))
	switch {
	case float64(dead) > deadShare*total:
		e.dropUntil = a.at.Add(endpointPenalty)
	case float64(slow) > slowShare*total:
		e.slowUntil = a.at.Add(endpointPenalty)
	}
}

func endpointKey(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	return u.Host
}

// noteAnswer records how long an endpoint took, where that is to matter.
func (s *Server) noteAnswer(target string, began time.Time) {
	if !s.enforceEndpoints {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := endpointKey(target)
	if s.endpoints[key] == nil {
		s.endpoints[key] = &endpoint{}
	}
	now := time.Now()
	s.endpoints[key].note(answer{now, now.Sub(began)})
}

// penaltyLocked tells what a new notification for an endpoint meets.
func (s *Server) penaltyLocked(target string, now time.Time) (drop bool, delay time.Duration) {
	e := s.endpoints[endpointKey(target)]
	switch {
	case e == nil:
		return false, 0
	case now.Before(e.dropUntil):
		return true, 0
	case now.Before(e.slowUntil):
		return false, endpointPenalty
	default:
		return false, 0
	}
}
