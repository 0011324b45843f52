package graphtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// The time after which an application's Available session shows that nobody
// refreshed it, and after which it shows Away
// (learn.microsoft.com/graph/cloud-communications-manage-presence-state).
const (
	inactiveAfter = 5 * time.Minute
	awayAfter     = 10 * time.Minute
)

// SessionInfo is one presence session of a user.
type SessionInfo struct {
	// Device names the Teams client; empty for an application's session.
	Device string
	// ApplicationID is the client id of the application; empty for a Teams client.
	ApplicationID string
	// Session is what was set.
	Session presence.Session
	// Shows is what the session stands for now: an application's Available fades.
	Shows presence.Session
	// SetAt is when it was last set.
	SetAt time.Time
	// ExpiresAt is when it lapses; zero for a Teams client.
	ExpiresAt time.Time
}

// person is a user with everything that decides what the user shows.
type person struct {
	user    User
	ordinal uint64

	clients       map[string]*session // by device
	applications  map[string]*session // by client id in lower case
	preferred     presence.Session
	preferredEnds time.Time
	inMeeting     bool
	outOfOffice   bool
	status        *statusMessage

	asOf     time.Time // fades and lapses up to here have been applied
	versions []version // the last is in effect; earlier ones are still read
	stop     func()    // of the timer for the next fade or lapse
}

type session struct {
	info  SessionInfo
	order uint64
}

// version is a presence with the time from which reads give it.
type version struct {
	visible  time.Time
	presence presence.Presence
}

func newPerson(ordinal uint64, now time.Time) *person {
	return &person{ordinal: ordinal, asOf: now, clients: make(map[string]*session), applications: make(map[string]*session)}
}

func (p *person) stopTimer() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// current is what the user shows, known to readers or not.
func (p *person) current() presence.Presence { return p.versions[len(p.versions)-1].presence }

// readable is what a read at now gives: the last version in sight, where none
// comes into sight before the one it follows.
func (p *person) readable(now time.Time) presence.Presence {
	for len(p.versions) > 1 && !p.versions[1].visible.After(now) {
		p.versions = p.versions[1:]
	}
	return p.versions[0].presence
}

// scaled turns a documented time into the server's own.
func (s *Server) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.timeScale)
}

// shows is what an application's session stands for at t.
func (s *Server) shows(info SessionInfo, t time.Time) presence.Session {
	if info.ApplicationID == "" {
		return info.Session
	}
	if info.Session.Availability == presence.Available {
		switch age := t.Sub(info.SetAt); {
		case age >= s.scaled(awayAfter):
			return presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}
		case age >= s.scaled(inactiveAfter):
			return s.assume.InactiveAs
		}
	}
	if info.Session.Activity == presence.ActivityInACall {
		return presence.Session{Availability: info.Session.Availability, Activity: s.assume.ReportInACallAs}
	}
	return info.Session
}

// rank orders availabilities between sessions: DoNotDisturb, Busy, Available,
// Away. Availabilities that only a person picks come after them.
func rank(a presence.Availability) int {
	switch a.Family() {
	case presence.DoNotDisturb:
		return 5
	case presence.Busy:
		return 4
	case presence.Available:
		return 3
	case presence.Away:
		return 2
	case presence.BeRightBack:
		return 1
	default:
		return 0
	}
}

// computeLocked derives what a user shows at t by Microsoft's rules: the
// strongest session, of equal ones the one set last; over it the preferred
// presence, which needs a session; and the calendar where the sessions say no
// more than Available or Busy.
func (s *Server) computeLocked(p *person, t time.Time) presence.Presence {
	result := presence.Presence{UserID: p.user.ID, Availability: presence.Offline, Activity: presence.ActivityOffline, OutOfOffice: p.outOfOffice}
	if p.user.WithoutTeams {
		return presence.Presence{UserID: p.user.ID, Availability: presence.AvailabilityUnknown, Activity: presence.ActivityUnknown}
	}
	var best *session
	var shown presence.Session
	consider := func(c *session) {
		show := s.shows(c.info, t)
		if best == nil || cmp.Or(cmp.Compare(rank(show.Availability), rank(shown.Availability)), cmp.Compare(c.order, best.order)) > 0 {
			best, shown = c, show
		}
	}
	for _, c := range p.clients {
		consider(c)
	}
	for _, c := range p.applications {
		consider(c)
	}
	switch {
	case best != nil && !p.preferred.IsZero():
		result.Availability, result.Activity = p.preferred.Availability, p.preferred.Activity
		return result
	case best != nil:
		result.Availability, result.Activity = shown.Availability, shown.Activity
	}
	plain := shown.Availability.Family() == presence.Available || shown.Activity == presence.ActivityBusy
	if p.inMeeting && (best != nil && plain || best == nil && s.assume.CalendarWithoutSession) {
		result.Availability, result.Activity = presence.Busy, presence.ActivityInAMeeting
	}
	if p.outOfOffice && (result.Activity == presence.ActivityAvailable || result.Activity == presence.ActivityOffline) {
		result.Activity = presence.ActivityOutOfOffice
	}
	return result
}

// nextSequenceLocked returns a stamp that sorts after all before it.
func (s *Server) nextSequenceLocked() string {
	s.sequence++
	return fmt.Sprintf("A%013d", s.sequence)
}

// nextBoundaryLocked returns the next time after p.asOf at which what the user
// shows may change by itself; zero if there is none.
func (s *Server) nextBoundaryLocked(p *person) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(p.asOf) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range p.applications {
		consider(c.info.ExpiresAt)
		if c.info.Session.Availability == presence.Available {
			consider(c.info.SetAt.Add(s.scaled(inactiveAfter)))
			consider(c.info.SetAt.Add(s.scaled(awayAfter)))
		}
	}
	if !p.preferred.IsZero() {
		consider(p.preferredEnds)
	}
	return next
}

// advanceLocked applies the fades and lapses up to now, each at its own time.
func (s *Server) advanceLocked(p *person, now time.Time) {
	for {
		t := s.nextBoundaryLocked(p)
		if t.IsZero() || t.After(now) {
			p.asOf = now
			return
		}
		p.asOf = t
		cause := CauseFade
		for key, c := range p.applications {
			if !c.info.ExpiresAt.After(t) {
				delete(p.applications, key)
				cause = CauseLapse
			}
		}
		if !p.preferred.IsZero() && !p.preferredEnds.After(t) {
			p.preferred = presence.Session{}
			cause = CauseLapse
		}
		s.commitLocked(p, t, cause, "")
	}
}

// commitLocked records what the user shows from t on, if that is new, and has
// the subscribers notified.
func (s *Server) commitLocked(p *person, t time.Time, cause Cause, applicationID string) {
	before, after := p.current(), s.computeLocked(p, t)
	if after.SameState(before) {
		return
	}
	after.SequenceNumber = s.nextSequenceLocked()
	visible := t
	if cause == CauseApplication {
		visible = t.Add(s.assume.ReadBackDelay)
	}
	p.versions = append(p.versions, version{visible, after})
	p.readable(t)
	change := Change{Time: t, UserID: p.user.ID, Presence: after, Previous: before, Cause: cause, ApplicationID: applicationID}
	if len(s.changes) >= maxChanges {
		s.changes = append(s.changes[:0:0], s.changes[maxChanges/10:]...)
	}
	s.changes = append(s.changes, change)
	if len(s.onChange) > 0 {
		s.pending = append(s.pending, change)
	}
	// Notifications are for changes of availability and activity.
	if after.Availability != before.Availability || after.Activity != before.Activity {
		s.notifyLocked(p.user.ID, after)
	}
}

// armLocked sets the timer for the user's next fade or lapse, so that it is
// noticed even when nobody reads.
func (s *Server) armLocked(p *person) {
	p.stopTimer()
	t := s.nextBoundaryLocked(p)
	if t.IsZero() {
		return
	}
	p.stop = s.timers.after(time.Until(t), func() {
		s.mu.Lock()
		if s.personLocked(p.user.ID) == p {
			s.advanceLocked(p, time.Now())
			s.armLocked(p)
		}
		s.mu.Unlock()
		s.dispatch()
	})
}

// change edits what decides a user's presence, and lets it take effect.
func (s *Server) change(userID string, cause Cause, applicationID string, edit func(p *person, now time.Time) error) error {
	s.mu.Lock()
	p := s.personLocked(userID)
	if p == nil {
		s.mu.Unlock()
		return errNoUser
	}
	now := time.Now()
	s.advanceLocked(p, now)
	err := edit(p, now)
	if err == nil {
		s.commitLocked(p, now, cause, applicationID)
		s.armLocked(p)
	}
	s.mu.Unlock()
	s.dispatch()
	return err
}

// dispatch calls the functions of OnChange outside the lock, one change after
// the other in their order. A function that changes presence itself only adds
// to what the call under way hands out.
func (s *Server) dispatch() {
	s.mu.Lock()
	mine := !s.dispatching
	for mine && len(s.pending) > 0 {
		s.dispatching = true
		changes, functions := s.pending, slices.Clone(s.onChange)
		s.pending = nil
		s.mu.Unlock()
		for _, c := range changes {
			for _, f := range functions {
				f(c)
			}
		}
		s.mu.Lock()
		s.dispatching = false
	}
	s.mu.Unlock()
}

// SetClient sets what one of the user's Teams clients, such as "desktop",
// shows; the empty availability signs it out. A client's session lasts until
// then and does not fade. An empty activity is the availability's own name.
func (s *Server) SetClient(userID, device string, availability presence.Availability, activity presence.Activity) error {
	return s.change(userID, CauseClient, "", func(p *person, now time.Time) error {
		if availability == "" {
			delete(p.clients, device)
			return nil
		}
		if activity == "" {
			activity = presence.Activity(availability)
		}
		s.order++
		p.clients[device] = &session{SessionInfo{Device: device, Session: presence.Session{Availability: availability, Activity: activity}, SetAt: now}, s.order}
		return nil
	})
}

// SetCalendar says whether the user's calendar has a meeting now.
func (s *Server) SetCalendar(userID string, inMeeting bool) error {
	return s.change(userID, CauseCalendar, "", func(p *person, _ time.Time) error {
		p.inMeeting = inMeeting
		return nil
	})
}

// SetOutOfOffice switches the user's automatic replies. By itself, as far as
// Microsoft documents, this changes outOfOfficeSettings; that the activity
// becomes OutOfOffice for a user who is Available or Offline is assumed.
func (s *Server) SetOutOfOffice(userID string, on bool) error {
	return s.change(userID, CauseOutOfOffice, "", func(p *person, _ time.Time) error {
		p.outOfOffice = on
		return nil
	})
}

// preferredLifetimes are the states that a user may prefer, each with the time
// after which it ends unless another is asked for
// (learn.microsoft.com/graph/api/presence-setuserpreferredpresence).
func preferredLifetimes() map[presence.Session]time.Duration {
	const day = 24 * time.Hour
	return map[presence.Session]time.Duration{
		{Availability: presence.Available, Activity: presence.ActivityAvailable}:       7 * day,
		{Availability: presence.Busy, Activity: presence.ActivityBusy}:                 day,
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb}: day,
		{Availability: presence.BeRightBack, Activity: presence.ActivityBeRightBack}:   7 * day,
		{Availability: presence.Away, Activity: presence.ActivityAway}:                 7 * day,
		{Availability: presence.Offline, Activity: presence.ActivityOffWork}:           7 * day,
	}
}

// SetPreferred sets what the user picked in Teams, for the time after which
// Teams drops it; the zero session is no preference. Only the six states that
// Microsoft lists can be preferred, and they show only while the user has a session.
func (s *Server) SetPreferred(userID string, preferred presence.Session) error {
	return s.setPreferred(userID, "", preferred, 0)
}

func (s *Server) setPreferred(userID, applicationID string, preferred presence.Session, lifetime time.Duration) error {
	fallback, ok := preferredLifetimes()[preferred]
	if !ok && !preferred.IsZero() {
		return errors.New("graphtest: " + preferred.String() + " cannot be preferred")
	}
	return s.change(userID, CausePreferred, applicationID, func(p *person, now time.Time) error {
		p.preferred, p.preferredEnds = preferred, now.Add(cmp.Or(lifetime, fallback))
		return nil
	})
}

// setSession sets an application's session, whose lifetime is in the client's time.
func (s *Server) setSession(userID, applicationID string, set presence.Session, lifetime time.Duration) error {
	return s.change(userID, CauseApplication, applicationID, func(p *person, now time.Time) error {
		s.order++
		p.applications[strings.ToLower(applicationID)] = &session{
			SessionInfo{ApplicationID: applicationID, Session: set, SetAt: now, ExpiresAt: now.Add(s.scaled(lifetime))}, s.order,
		}
		return nil
	})
}

var errNoSession = errors.New("graphtest: no such session")

func (s *Server) clearSession(userID, applicationID string) error {
	return s.change(userID, CauseApplication, applicationID, func(p *person, _ time.Time) error {
		key := strings.ToLower(applicationID)
		if p.applications[key] == nil {
			return errNoSession
		}
		delete(p.applications, key)
		return nil
	})
}
