package presencebridge

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// statusView is the MiCollab side.
type statusView struct {
	// shown is what MiCollab shows, as read or, later, as written.
	shown   presence.Status
	shownAt time.Time
	// written is what the bridge wrote last.
	written statusWrite
	// attempt is a write whose outcome is not known; zero if there is none. It ended
	// at attemptEnd, zero while it is under way.
	attempt    statusWrite
	attemptEnd time.Time
	// dndWrittenAt is when the status last entered the do-not-disturb family, as
	// far as the bridge may have caused it.
	dndWrittenAt time.Time
	// contests counts how often MiCollab showed something else after the same
	// status had been written.
	contests int
}

// statusWrite is a write of a status that began at `at`, because of a presence of
// that family.
type statusWrite struct {
	status presence.Status
	family presence.Availability
	at     time.Time
}

// shownStatus is what MiCollab shows; in a dry run, what it would show.
func (v *view) shownStatus(s *settings) presence.Status {
	if w := v.reported[toMiCollab]; s.dryRun && w.effect == presence.Set {
		return presence.Status(w.first)
	}
	return v.status.shown
}

// observeStatus takes a reading of MiCollab that began at `at`, unless something
// newer is held. It reports whether it shows another status than was held.
func (s *statusView) observeStatus(status presence.Status, at time.Time) (changed bool) {
	if !s.shownAt.IsZero() && at.Before(s.shownAt) {
		return false
	}
	changed = s.shownAt.IsZero() || !sameStatus(s.shown, status)
	switch w := s.attempt; {
	case w.at.IsZero():
	case sameStatus(w.status, status):
		s.statusWritten(w, at)
		return changed
	case !s.attemptEnd.IsZero() && !at.Before(s.attemptEnd):
		// It came to nothing.
		s.attempt = statusWrite{}
	}
	if changed && !s.written.at.IsZero() && sameStatus(s.shown, s.written.status) && !sameStatus(status, s.written.status) {
		s.contests++
	}
	s.shown, s.shownAt = status, at
	return changed
}

// beginStatus notes that a request begins that writes a status. From then on the
// telephone may follow it.
func (s *statusView) beginStatus(status presence.Status, family presence.Availability, now time.Time) {
	if family == presence.DoNotDisturb && !s.mayShowDND() {
		s.dndWrittenAt = now
	}
	s.attempt, s.attemptEnd = statusWrite{status, family, now}, time.Time{}
}

// statusUncertain notes that the write has ended by now, with or without effect:
// MiCollab is to be asked before anything is concluded from it.
func (s *statusView) statusUncertain(now time.Time) {
	s.attemptEnd, s.shownAt = now, time.Time{}
}

// mayShowDND reports whether the status may be one of the do-not-disturb family
// because of the bridge.
func (s *statusView) mayShowDND() bool {
	return s.written.family == presence.DoNotDisturb || s.attempt.family == presence.DoNotDisturb
}

// unreadable notes that MiCollab, asked at `at`, cannot say what it shows: what was
// written last is all there is to know.
func (s *statusView) unreadable(at time.Time) {
	if s.shownAt.IsZero() {
		s.shown = ""
	}
	s.shownAt = maxTime(s.shownAt, at)
}

// statusWritten notes a write that was carried out by now.
func (s *statusView) statusWritten(w statusWrite, now time.Time) {
	if !sameStatus(s.written.status, w.status) {
		s.contests = 0
	}
	s.written, s.attempt = w, statusWrite{}
	// A reading that began before the write ended may show the old status.
	s.shown, s.shownAt = w.status, now
}
