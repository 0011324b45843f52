package presencebridge

import (
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// A destination is a place that the bridge writes to.
const (
	toTeams = iota
	toMiCollab
	destinations
)

// A reading is a kind of request that observes a side.
const (
	ofTeams = iota
	ofLines
	ofStatus
	readings
)

// settings are what decide needs of the options.
type settings struct {
	lifetime   time.Duration
	echoWindow time.Duration
	damping    Damping
	dryRun     bool
}

// rules are what holds for one person at the moment.
type rules struct {
	table *presence.Table
	// phoneToTeams and teamsToMiCollab say which way presence may flow, and the
	// blocks why it may not.
	phoneToTeams    bool
	teamsToMiCollab bool
	teamsBlock      Block
	statusBlock     Block
}

type actionKind int

const (
	doNothing actionKind = iota
	setSession
	renewSession
	clearSession
	writeStatus
)

// action is one request that is to be made now.
type action struct {
	kind    actionKind
	session presence.Session
	status  presence.Status
	cause   Cause
	// reset: the request carries out a reset of the phone state.
	reset bool
}

// verdict is what decide makes of a view.
type verdict struct {
	actions [destinations]action
	wants   [destinations]want
	// blocks say what keeps a destination from being written, or that nothing
	// needs to be.
	blocks [destinations]Block
	flaps  [destinations]flap
	// reads ask for a reading without which nothing can be decided, and say why.
	reads [readings]Trigger
	// wake is when to decide again though nothing has happened; zero: never.
	wake time.Time
}

func (d *verdict) wakeAt(t time.Time) {
	if d.wake.IsZero() || t.Before(d.wake) {
		d.wake = t
	}
}

// want is a value that a destination should show, in a form that compares.
type want struct {
	effect      presence.Effect
	first, last string
}

// availableKeepAlive is when a session that shows Available is renewed: Teams
// lets it fade to inactive after 5 minutes, whatever its lifetime.
const availableKeepAlive = 4 * time.Minute

// renewAt is when an open session is to be renewed.
func (s *sessionView) renewAt(lifetime time.Duration) time.Time {
	due := s.renewedAt.Add(lifetime * 2 / 3)
	if s.session.Availability == presence.Available {
		if fade := s.renewedAt.Add(availableKeepAlive); fade.Before(due) {
			return fade
		}
	}
	return due
}

// decide derives from what is known what is to be written now, what is to be
// read, and when to decide again. It is a pure function: it changes nothing and
// knows no time but now. tick has been called for the same now.
func decide(v *view, r *rules, s *settings, now time.Time) verdict {
	d := verdict{flaps: v.flaps}
	decideSession(&d, v, r, s, now)
	decideStatus(&d, v, r, s, now)
	return d
}

func decideSession(d *verdict, v *view, r *rules, s *settings, now time.Time) {
	line, held := v.phoneLine(s, now)
	if !held.IsZero() {
		d.wakeAt(held)
	}
	session, effect := presence.Session{}, presence.Leave
	switch {
	case !r.phoneToTeams:
		d.blocks[toTeams] = r.teamsBlock
		// What the bridge opened goes when the flow is switched off. What an earlier
		// run may have opened goes too where it would hold MiCollab back; elsewhere
		// it lapses by itself.
		if v.sessionHeld() || v.resetting() || r.teamsToMiCollab {
			effect = presence.Clear
		}
	case v.phone.at.IsZero():
		d.blocks[toTeams], d.reads[ofLines] = BlockLineUnread, TriggerStart
	default:
		session, effect = r.table.Session(line)
		switch {
		case effect == presence.Clear && !v.phone.complete:
			// The endpoint that has not been read may be the one in a call.
			effect, d.blocks[toTeams], d.reads[ofLines] = presence.Leave, BlockLineUnread, TriggerStart
		case effect == presence.Set && !now.Before(v.phone.provedAt.Add(s.lifetime)):
			// The call may have ended long ago: nothing is opened or renewed for it.
			effect, d.blocks[toTeams], d.reads[ofLines] = presence.Leave, BlockLineUnread, TriggerRenewal
		case effect == presence.Leave && line.Known() && v.phone.complete && v.resetting():
			// The table leaves whatever an earlier state opened, and that is forgotten.
			effect = presence.Clear
		case effect == presence.Leave && !line.Known():
			d.blocks[toTeams] = BlockLineUnknown
		case effect == presence.Leave:
			d.blocks[toTeams] = BlockMapping
		}
	}
	w := want{effect, string(session.Availability), string(session.Activity)}
	d.wants[toTeams] = w

	next := action{session: session, cause: v.phone.cause, reset: v.resetting()}
	next.cause.Line = line
	if next.reset {
		next.cause.Trigger, next.cause.ReceivedAt = TriggerReset, v.resetAt
	}
	switch effect {
	case presence.Set:
		if v.session.phase == sessionOpen && v.session.session == session && !next.reset {
			if due := v.session.renewAt(s.lifetime); now.Before(due) {
				d.blocks[toTeams] = BlockNone
				d.wakeAt(due)
				d.wakeAt(v.session.expiresAt)
				d.flaps[toTeams] = d.flaps[toTeams].see(w, now)
				return
			}
			next.kind = renewSession
			next.cause.Trigger = TriggerRenewal
			next.cause.ReceivedAt = now
		} else {
			next.kind = setSession
		}
	case presence.Clear:
		switch {
		case v.sessionHeld(), next.reset:
			next.kind = clearSession
		case v.session.phase != sessionUnknown:
		case v.teams.seenAt.IsZero():
			d.reads[ofTeams] = TriggerStart
		case v.teams.origin == originUndecided:
			// Perhaps a session that an earlier run left behind.
			next.kind = clearSession
			next.cause.Trigger = TriggerStart
		default:
			// What an earlier run wrote just before its end may not show yet.
			if due := v.session.unknownFrom.Add(s.echoWindow); now.Before(due) {
				d.wakeAt(due)
			} else if v.teams.readAt.Before(due) {
				d.reads[ofTeams] = TriggerStart
			}
		}
	}
	if v.session.possible() {
		d.wakeAt(v.session.expiresAt)
	} else if v.session.phase == sessionUnknown {
		d.wakeAt(v.session.unknownUntil)
	}
	if effect == presence.Leave {
		return
	}
	d.flaps[toTeams] = d.flaps[toTeams].see(w, now)
	if (next.kind == setSession || next.kind == clearSession) && !next.reset {
		d.hold(toTeams, s, now, &next)
	}
	d.act(toTeams, v, s, w, next)
}

// phoneLine is the line to be shown in Teams: as observed, but without a
// do-not-disturb that is the bridge's own doing. The second result, unless
// zero, is when to look again.
//
// MiCollab, or a driver for it, may switch the telephone's do-not-disturb when
// the bridge writes a status of that family. Showing that in Teams would turn
// the person's own, revocable state there into a session that outlives it.
func (v *view) phoneLine(s *settings, now time.Time) (presence.Line, time.Time) {
	line, st := v.phone.line, &v.status
	began := v.phone.dndSince
	if !line.DoNotDisturb || st.dndWrittenAt.IsZero() || began.Before(st.dndWrittenAt) || !began.Before(st.dndWrittenAt.Add(s.echoWindow)) {
		return line, time.Time{}
	}
	if st.mayShowDND() {
		line.DoNotDisturb = false
		return line, time.Time{}
	}
	// The status has left the family; the telephone may take a moment to follow.
	if until := st.written.at.Add(s.echoWindow); now.Before(until) {
		line.DoNotDisturb = false
		return line, until
	}
	return line, time.Time{}
}

func decideStatus(d *verdict, v *view, r *rules, s *settings, now time.Time) {
	if !r.teamsToMiCollab {
		d.blocks[toMiCollab] = r.statusBlock
		return
	}
	t := &v.teams
	if t.origin == originOwnLate {
		// The state below a closed session shows when the echo has died away.
		if end := v.session.echoUntil(t.seen.Availability.Family(), t.seenAt, s.echoWindow); now.Before(end) {
			d.wakeAt(end)
		} else if !t.readAt.After(t.seenAt) || t.readAt.Before(end) {
			d.reads[ofTeams] = TriggerAfterClear
		}
	}
	if t.basisAt.IsZero() {
		d.blocks[toMiCollab] = t.block()
		if t.origin == originUnread {
			d.reads[ofTeams] = TriggerStart
		}
		return
	}
	status, effect := r.table.Status(t.basis)
	if effect != presence.Set {
		d.blocks[toMiCollab] = BlockMapping
		return
	}
	w := want{effect, string(status), ""}
	d.wants[toMiCollab] = w
	d.flaps[toMiCollab] = d.flaps[toMiCollab].see(w, now)
	if v.status.shownAt.IsZero() {
		d.blocks[toMiCollab], d.reads[ofStatus] = BlockStatusUnread, TriggerStart
		return
	}
	if sameStatus(v.shownStatus(s), status) {
		d.blocks[toMiCollab] = t.block()
		if s.dryRun && !sameStatus(v.status.shown, status) {
			d.blocks[toMiCollab] = BlockDryRun
		}
		return
	}
	next := action{kind: writeStatus, status: status, cause: t.basisCause}
	if v.status.contests > 0 && sameStatus(v.status.written.status, status) {
		// Somebody else changes it back each time. Insisting without end would be a
		// war between two machines; giving up would be a wrong status.
		next.cause.Trigger = TriggerRestore
		if due := v.status.written.at.Add(contestPause(v.status.contests)); now.Before(due) {
			d.blocks[toMiCollab] = BlockContested
			d.wakeAt(due)
			return
		}
	}
	d.hold(toMiCollab, s, now, &next)
	d.act(toMiCollab, v, s, w, next)
}

// contestPause grows from 0 for the first change by somebody else to 5 minutes.
func contestPause(contests int) time.Duration {
	if contests <= 1 {
		return 0
	}
	return min(time.Second<<min(contests, 10), 5*time.Minute)
}

// hold drops the action while damping holds it back.
func (d *verdict) hold(destination int, s *settings, now time.Time, next *action) {
	if next.kind == doNothing {
		return
	}
	f := &d.flaps[destination]
	until := f.holdUntil(s.damping, now)
	if until.IsZero() {
		// What was held back earlier has come to nothing.
		f.heldSince = time.Time{}
	}
	if now.Before(until) {
		if f.heldSince.IsZero() {
			f.heldSince = now
		}
		next.kind = doNothing
		d.blocks[destination] = BlockDamping
		d.wakeAt(until)
	}
}

// act makes next the destination's action, unless a dry run has reported it.
func (d *verdict) act(destination int, v *view, s *settings, w want, next action) {
	if next.kind == doNothing {
		return
	}
	if s.dryRun && v.reported[destination] == w && !next.reset {
		d.blocks[destination] = BlockDryRun
		return
	}
	d.actions[destination] = next
	d.blocks[destination] = BlockNone
}

// block says what the newest reading of Teams means for MiCollab.
func (t *teamsView) block() Block {
	switch t.origin {
	case originUnread:
		return BlockTeamsUnread
	case originOwn:
		return BlockOwnSession
	case originOwnLate:
		return BlockEchoWindow
	case originUndecided:
		return BlockEarlierSession
	case originUnknown:
		return BlockTeamsUnknown
	default:
		return BlockNone
	}
}

// sameStatus compares status names without regard to case, as MiCollab's
// administrators write them by hand.
func sameStatus(a, b presence.Status) bool { return strings.EqualFold(string(a), string(b)) }
