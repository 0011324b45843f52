package presencebridge

import (
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// view is what the bridge knows of one person: what each side was last observed
// to be, and what was written when. It holds no wishes: decide derives them.
type view struct {
	phone   phoneView
	teams   teamsView
	session sessionView
	status  statusView
	flaps   [destinations]flap
	// reported is, in a dry run, the want that was reported last: the destination is
	// taken to show it from then on.
	reported [destinations]want
}

// sessionHeld reports whether there is a session of this run to be cleared; in a dry
// run, whether there would be one.
func (v *view) sessionHeld() bool {
	return v.session.possible() || v.reported[toTeams].effect == presence.Set
}

// pretended is the session that a dry run has reported.
func (v *view) pretended() presence.Session {
	w := v.reported[toTeams]
	return presence.Session{Availability: presence.Availability(w.first), Activity: presence.Activity(w.last)}
}

// phoneView is the telephone side as observed.
type phoneView struct {
	endpoints map[string]lineSighting
	// line is the strongest of the endpoints, at the newest of their readings.
	line presence.Line
	at   time.Time
	// provedAt is when what makes it the strongest was read last.
	provedAt time.Time
	// complete: every endpoint of the user has been read at least once.
	complete bool
	// dndSince is when do-not-disturb was first seen on.
	dndSince time.Time
	cause    Cause
}

type lineSighting struct {
	line presence.Line
	at   time.Time
}

// teamsView is the Teams side as observed.
type teamsView struct {
	// seen is the newest reading, whatever it is.
	seen   presence.Presence
	seenAt time.Time
	// readAt is when the newest reading began, taken or not.
	readAt time.Time
	// origin tells what the newest reading was taken for.
	origin origin
	// basis is the newest reading that was not the bridge's own doing: the
	// state that MiCollab is to show.
	basis      presence.Presence
	basisAt    time.Time
	basisCause Cause
	seenCause  Cause
}

// origin says whose doing a reading of Teams is.
type origin int

const (
	originUnread    origin = iota // nothing has been read
	originGenuine                 // the person's, a client's, the calendar's
	originOwn                     // the bridge's open session
	originOwnLate                 // a session that the bridge closed a moment ago
	originUndecided               // perhaps a session of an earlier run
	originUnknown                 // a state the library has no word for
)

// sessionView is the bridge's own Teams session as far as it was written. The
// service tells nobody about sessions, so this is all there is to know.
type sessionView struct {
	phase   sessionPhase
	session presence.Session
	// openedAt is when the first request for the session began: from then on
	// Teams may show it.
	openedAt time.Time
	// renewedAt is when the last successful request began.
	renewedAt time.Time
	expiresAt time.Time
	// closed are the sessions that ended last, the newest first.
	closed [6]closedSession
	// unknownFrom is when the bridge met the user, and unknownUntil when a session
	// of an earlier run has lapsed at the latest.
	unknownFrom, unknownUntil time.Time
}

// closedSession is a session that Teams may have shown between from and at, and
// that a reading may still show for an echo window.
type closedSession struct {
	availability presence.Availability
	from, at     time.Time
}

type sessionPhase int

const (
	sessionUnknown   sessionPhase = iota // an earlier run may have left one open
	sessionNone                          // none is open
	sessionOpen                          // open until expiresAt
	sessionUncertain                     // a request failed that may have taken effect
)

// possible reports whether Teams may show a session that this run opened.
func (s *sessionView) possible() bool {
	return s.phase == sessionOpen || s.phase == sessionUncertain
}

// observeLines takes readings of endpoints that began at `at`. Endpoints that
// are not in user any more are forgotten. It reports whether the strongest line
// changed.
func (p *phoneView) observeLines(user presence.User, lines []presence.Line, at time.Time, cause Cause) (changed bool) {
	if p.endpoints == nil {
		p.endpoints = make(map[string]lineSighting, len(user.Endpoints))
	}
	for _, l := range lines {
		if old, ok := p.endpoints[l.Endpoint]; ok && old.at.After(at) {
			continue
		}
		p.endpoints[l.Endpoint] = lineSighting{l, at}
		if at.After(p.at) {
			p.at = at
		}
	}
	return p.settle(user, cause)
}

// settle derives the strongest line from the endpoints that the user has.
func (p *phoneView) settle(user presence.User, cause Cause) (changed bool) {
	strongest := make([]presence.Line, 0, len(user.Endpoints))
	p.complete = true
	for _, endpoint := range user.Endpoints {
		if s, ok := p.endpoints[endpoint]; ok {
			strongest = append(strongest, s.line)
		} else {
			p.complete = false
		}
	}
	if len(p.endpoints) > len(strongest) {
		for endpoint := range p.endpoints {
			if !hasEndpoint(user, endpoint) {
				delete(p.endpoints, endpoint)
			}
		}
	}
	line := presence.Strongest(strongest...)
	changed = !line.SameState(p.line) || p.cause.Trigger == ""
	switch {
	case line.DoNotDisturb && !p.line.DoNotDisturb:
		p.dndSince = p.at
	case !line.DoNotDisturb:
		p.dndSince = time.Time{}
	}
	p.line, p.provedAt = line, p.proved(user, line)
	if changed {
		p.cause = cause
		p.cause.Line, p.cause.ObservedAt = line, p.at
	}
	return changed
}

// proved returns when the line was read last: its state on one endpoint, and its
// do-not-disturb on the same or another. The older of the two counts.
func (p *phoneView) proved(user presence.User, line presence.Line) time.Time {
	var state, dnd time.Time
	for _, endpoint := range user.Endpoints {
		s := p.endpoints[endpoint]
		if s.line.State == line.State {
			state = maxTime(state, s.at)
		}
		if s.line.DoNotDisturb {
			dnd = maxTime(dnd, s.at)
		}
	}
	if line.DoNotDisturb && dnd.Before(state) {
		return dnd
	}
	return state
}

func hasEndpoint(user presence.User, endpoint string) bool {
	for _, e := range user.Endpoints {
		if e == endpoint {
			return true
		}
	}
	return false
}

// sequenceTrust is for how long a lower sequence number makes a reading an older
// one. Replicas of the service agree within seconds; a number that stays lower
// for longer means that the service began to count anew.
const sequenceTrust = 2 * time.Minute

// newer reports whether a reading of Teams that began at `at` is newer than the
// one that is held: by sequence number where both have one, else by time.
func (t *teamsView) newer(p presence.Presence, at time.Time) bool {
	if t.seenAt.IsZero() {
		return true
	}
	if at.Before(t.seenAt) {
		return p.SequenceNumber > t.seen.SequenceNumber && t.seen.SequenceNumber != ""
	}
	if p.SequenceNumber != "" && t.seen.SequenceNumber != "" && p.SequenceNumber < t.seen.SequenceNumber {
		return at.Sub(t.seenAt) > sequenceTrust
	}
	return true
}

// observeTeams takes a reading of Teams that began at `at`. It reports whether
// the reading was taken and whether it shows another state than the last.
func (v *view) observeTeams(p presence.Presence, at time.Time, cause Cause, s *settings) (taken, changed bool) {
	t := &v.teams
	t.readAt = maxTime(t.readAt, at)
	if !t.newer(p, at) {
		return false, false
	}
	changed = t.seenAt.IsZero() || !p.SameState(t.seen)
	if !changed {
		// The event that brought the state stays its cause.
		cause = t.seenCause
	}
	if at.Before(t.seenAt) {
		at = t.seenAt
	}
	cause.Presence, cause.ObservedAt = p, at
	t.seen, t.seenAt, t.seenCause = p, at, cause
	v.attribute(s)
	return true, changed
}

// attributeAgain judges a reading that was undecided, once more is known.
func (v *view) attributeAgain(s *settings) {
	if v.teams.origin == originUndecided {
		v.attribute(s)
	}
}

// attribute decides whose doing the newest reading of Teams is, and makes it
// the basis for MiCollab if it is not the bridge's own. A verdict stands for the
// reading it was given on: that a session was closed later does not make what was
// read before the person's own. Only a reading that was undecided is judged again.
//
// Graph does not tell who caused a state, and it may report the bridge's
// Busy/InACall as Busy/Busy. So a reading is the bridge's own if it shows the
// family of a session that was open when the reading began, or was closed within
// the echo window before. The real state below it shows again once the session
// is closed; it is read then.
func (v *view) attribute(s *settings) {
	t := &v.teams
	if t.seenAt.IsZero() {
		return
	}
	if ses := &v.session; ses.phase == sessionUnknown && t.seen.Known() && !settableFamily(t.seen.Availability.Family()) && !t.seenAt.Before(ses.unknownFrom.Add(s.echoWindow)) {
		// Whatever an earlier run wrote last would show by now.
		ses.phase = sessionNone
	}
	t.origin = v.originOf(t.seen, t.seenAt, s)
	if t.origin == originGenuine && !t.basisAt.Equal(t.seenAt) {
		if t.basisAt.IsZero() || !t.basis.SameState(t.seen) {
			t.basisCause = t.seenCause
		}
		t.basis, t.basisAt = t.seen, t.seenAt
	}
}

func (v *view) originOf(p presence.Presence, at time.Time, s *settings) origin {
	if !p.Known() {
		return originUnknown
	}
	family := p.Availability.Family()
	ses := &v.session
	switch {
	case ses.possible() && !at.Before(ses.openedAt) && family == ses.session.Availability.Family():
		return originOwn
	case !ses.echoUntil(family, at, s.echoWindow).IsZero():
		return originOwnLate
	case ses.phase == sessionUnknown && at.Before(ses.unknownUntil) && settableFamily(family):
		return originUndecided
	default:
		return originGenuine
	}
}

// settableFamilies are those that a session of the bridge can show as. Available
// is left out: it is what most people show by themselves, and a wrong guess would
// hold MiCollab back after every start.
var settableFamilies = [...]presence.Availability{presence.Busy, presence.DoNotDisturb, presence.Away}

func settableFamily(family presence.Availability) bool {
	return slices.Contains(settableFamilies[:], family)
}

// beginSession notes that a request for a session begins. Until its outcome is
// known the session may be open.
func (s *sessionView) beginSession(session presence.Session, now time.Time, lifetime time.Duration) {
	if s.possible() && s.session == session {
		s.expiresAt = maxTime(s.expiresAt, now.Add(lifetime))
		return
	}
	opened := now
	switch {
	case s.possible():
		// Shows on, should the request fail.
		s.noteClosed(s.session.Availability, s.openedAt, s.expiresAt)
	case s.phase == sessionUnknown:
		// An earlier run may have opened it long ago, or another, which it replaces.
		s.noteEarlier(s.unknownUntil)
		opened = time.Time{}
	}
	s.phase, s.session, s.openedAt = sessionUncertain, session, opened
	s.renewedAt, s.expiresAt = time.Time{}, now.Add(lifetime)
}

// sessionSet notes that the request that began at `began` was carried out by now.
func (s *sessionView) sessionSet(began, now time.Time, lifetime time.Duration) {
	s.phase = sessionOpen
	s.renewedAt, s.expiresAt = began, began.Add(lifetime)
	s.endClosed(now)
}

// close notes that the session, if there was one, shows no longer after now.
func (s *sessionView) close(now time.Time) {
	if s.possible() {
		s.noteClosed(s.session.Availability, s.openedAt, now)
	}
	s.endClosed(now)
	s.phase, s.session = sessionNone, presence.Session{}
	s.openedAt, s.renewedAt, s.expiresAt = time.Time{}, time.Time{}, time.Time{}
}

// closeEarlier notes that a session of an earlier run, if there was one, shows
// no longer after now. The earlier run may have closed it a moment ago, so that
// there was none left to clear.
func (s *sessionView) closeEarlier(now time.Time) {
	s.noteEarlier(now)
	s.close(now)
}

func (s *sessionView) noteEarlier(until time.Time) {
	for _, family := range settableFamilies {
		s.noteClosed(family, time.Time{}, until)
	}
}

// endClosed notes that none of the closed sessions shows any longer after now:
// the service holds one session at the most.
func (s *sessionView) endClosed(now time.Time) {
	for i := range s.closed {
		if s.closed[i].at.After(now) {
			s.closed[i].at = now
		}
	}
}

func (s *sessionView) noteClosed(availability presence.Availability, from, at time.Time) {
	copy(s.closed[1:], s.closed[:])
	s.closed[0] = closedSession{availability.Family(), from, at}
}

// echoUntil returns until when a reading of the family that began at `at` may
// show a closed session; zero if it cannot.
func (s *sessionView) echoUntil(family presence.Availability, at time.Time, window time.Duration) time.Time {
	for _, c := range s.closed {
		if until := c.at.Add(window); c.availability == family && !at.Before(c.from) && at.Before(until) {
			return until
		}
	}
	return time.Time{}
}

// tick ends what time ends. It reports whether Teams is to be read because a
// session has lapsed.
func (v *view) tick(now time.Time) (lapsed bool) {
	ses := &v.session
	switch {
	case ses.possible() && !now.Before(ses.expiresAt):
		ses.close(ses.expiresAt)
		return true
	case ses.phase == sessionUnknown && !now.Before(ses.unknownUntil):
		ses.phase = sessionNone
		if v.teams.origin == originUndecided {
			// What was read may have been that session until the end.
			ses.closeEarlier(ses.unknownUntil)
			return true
		}
	}
	return false
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
