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
	// resetAt is when somebody asked for the phone state to be reset; zero if nobody
	// did or once it has been carried out.
	resetAt time.Time
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
	// setAt is when the first request for the session had succeeded; zero while none
	// has: Teams certainly holds it since then.
	setAt time.Time
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
	s.renewedAt, s.setAt, s.expiresAt = time.Time{}, time.Time{}, now.Add(lifetime)
}

// sessionSet notes that the request that began at `began` was carried out by now.
func (s *sessionView) sessionSet(began, now time.Time, lifetime time.Duration) {
	s.phase = sessionOpen
	s.renewedAt, s.expiresAt = began, began.Add(lifetime)
	if s.setAt.IsZero() {
		s.setAt = now
	}
	s.endClosed(now)
}

// close notes that the session, if there was one, shows no longer after now.
func (s *sessionView) close(now time.Time) {
	if s.possible() {
		s.noteClosed(s.session.Availability, s.openedAt, now)
	}
	s.endClosed(now)
	s.phase, s.session = sessionNone, presence.Session{}
	s.openedAt, s.renewedAt, s.setAt, s.expiresAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
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
