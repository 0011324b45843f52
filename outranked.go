package presencebridge

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// SessionState is what the bridge knows of its own Teams session. Graph lets nobody
// list sessions, so this is all there is to know.
type SessionState string

// The states of a session.
const (
	// SessionNone: none is open.
	SessionNone SessionState = "none"
	// SessionOpen: one was set and has not lapsed.
	SessionOpen SessionState = "open"
	// SessionUncertain: a request failed that may have taken effect.
	SessionUncertain SessionState = "uncertain"
	// SessionUnknown: an earlier run of the bridge may have left one open.
	SessionUnknown SessionState = "unknown"
)

func (s *sessionView) state() SessionState {
	switch s.phase {
	case sessionNone:
		return SessionNone
	case sessionOpen:
		return SessionOpen
	case sessionUncertain:
		return SessionUncertain
	default:
		return SessionUnknown
	}
}

// outranked returns what Teams shows instead of the bridge's open session, and since
// when; ok is false if it shows the session, or may not show it yet.
func (v *view) outranked(s *settings, now time.Time) (by presence.Presence, since time.Time, ok bool) {
	ses, t := &v.session, &v.teams
	switch {
	case ses.phase != sessionOpen || !now.Before(ses.expiresAt),
		!t.seen.Known() || t.seenAt.Before(ses.setAt.Add(s.echoWindow)),
		t.seen.Availability.Family() == ses.session.Availability.Family():
		return presence.Presence{}, time.Time{}, false
	}
	return t.seen, maxTime(ses.openedAt, t.seenCause.ReceivedAt), true
}

// precedence is the order in which Teams shows one of several sessions, the strongest
// highest (learn.microsoft.com/graph/cloud-communications-manage-presence-state).
func precedence(family presence.Availability) int {
	switch family {
	case presence.DoNotDisturb:
		return 4
	case presence.Busy:
		return 3
	case presence.Available:
		return 2
	case presence.Away:
		return 1
	default:
		return 0
	}
}

// onlyPreferred reports whether nothing but a preferred presence can show p over a
// living session: no session can, because it would be weaker.
func onlyPreferred(p presence.Presence, session presence.Session) bool {
	family, own := p.Availability.Family(), session.Availability.Family()
	switch {
	case family == presence.Offline:
		// Offline/OffWork is "Appear offline". Offline/Offline is what Teams shows of
		// somebody who has no session at all.
		return p.Activity == presence.ActivityOffWork
	case family == presence.BeRightBack:
		// No session shows it; a person chooses it.
		return true
	case p.Activity == presence.ActivityOutOfOffice:
		// It comes from the calendar, and Microsoft does not say how it ranks.
		return false
	case own == presence.Available && family == presence.Away:
		// A session that shows Available fades to Away by itself.
		return false
	default:
		return precedence(family) > 0 && precedence(family) < precedence(own)
	}
}

// outrankedSentence explains to a person why Teams does not show the session.
func outrankedSentence(p presence.Presence, session presence.Session) string {
	family := p.Availability.Family()
	switch {
	case onlyPreferred(p, session):
		return "Teams shows a weaker state than the bridge's session, as it does for a status that the person has chosen in Teams: the person can take it back there (Reset status). If none is chosen, something else with the bridge's application id has ended the session: reset the phone state."
	case family == presence.Offline:
		return "Teams shows Offline, as it does for somebody without any session: either the person appears offline, or the bridge's session has been ended by something else with its application id: reset the phone state."
	case precedence(family) > precedence(session.Availability.Family()):
		return "Teams shows a stronger state than the bridge's session: of the person's Teams client, the calendar, or a status that the person has chosen."
	default:
		return "Teams does not show the bridge's session: it has faded, or the person's calendar or a chosen status outranks it."
	}
}
