package graphtest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// maxChanges bounds the history; the oldest go first.
const maxChanges = 200_000

// Cause says what changed a presence.
type Cause string

// The causes of a [Change].
const (
	// CauseClient: a Teams client signed in, signed out or changed its state.
	CauseClient Cause = "client"
	// CauseApplication: an application set or cleared its session.
	CauseApplication Cause = "application"
	// CauseCalendar: a meeting in the calendar began or ended.
	CauseCalendar Cause = "calendar"
	// CauseOutOfOffice: automatic replies were switched on or off.
	CauseOutOfOffice Cause = "out of office"
	// CausePreferred: the user's preferred presence was set or cleared.
	CausePreferred Cause = "preferred"
	// CauseLapse: a session or a preferred presence reached its end.
	CauseLapse Cause = "lapse"
	// CauseFade: an application's Available session was not refreshed.
	CauseFade Cause = "fade"
)

// Change is one change of what a user shows.
type Change struct {
	// Time is when it took effect.
	Time time.Time
	// UserID is the user's object id.
	UserID string
	// Presence is what the user shows from then on.
	Presence presence.Presence
	// Previous is what the user showed before.
	Previous presence.Presence
	// Cause says why.
	Cause Cause
	// ApplicationID is the client id of the application whose request caused
	// the change; empty where no request did.
	ApplicationID string
}

// look advances a user to now and calls f with it under the lock; it reports
// whether there is such a user.
func (s *Server) look(userID string, f func(p *person, now time.Time)) bool {
	s.mu.Lock()
	p := s.personLocked(userID)
	if p != nil {
		now := time.Now()
		s.advanceLocked(p, now)
		f(p, now)
	}
	s.mu.Unlock()
	s.dispatch()
	return p != nil
}

// Presence returns what the user shows now, ahead of what reads give under
// [Assumptions.ReadBackDelay]. It is the zero Presence for an unknown user.
func (s *Server) Presence(userID string) (current presence.Presence) {
	s.look(userID, func(p *person, _ time.Time) { current = p.current() })
	return current
}

// Sessions returns the user's presence sessions, those of Teams clients first,
// each kind ordered by name.
func (s *Server) Sessions(userID string) []SessionInfo {
	var list []SessionInfo
	s.look(userID, func(p *person, now time.Time) {
		for _, sessions := range []map[string]*session{p.clients, p.applications} {
			for _, c := range sessions {
				info := c.info
				info.Shows = s.shows(info, now)
				list = append(list, info)
			}
		}
	})
	slices.SortFunc(list, func(a, b SessionInfo) int {
		return cmp.Or(strings.Compare(a.ApplicationID, b.ApplicationID), strings.Compare(a.Device, b.Device))
	})
	return list
}

// History returns the changes of what users show, oldest first, at most the
// last 200,000.
func (s *Server) History() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// PresenceChanges returns the part of the history that concerns one user.
func (s *Server) PresenceChanges(userID string) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Change
	for _, c := range s.changes {
		if strings.EqualFold(c.UserID, userID) {
			list = append(list, c)
		}
	}
	return list
}

// OnChange has f called for every change from now on, one after the other in
// their order and outside all locks: f may use the server.
func (s *Server) OnChange(f func(Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = append(s.onChange, f)
}
