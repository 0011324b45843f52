package presencebridge

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

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
	// forgottenAt is when everything was forgotten last: a reading that began before
	// it is refused. forgottenDND is the dndSince of then, until every endpoint has
	// been read.
	forgottenAt, forgottenDND time.Time
}

type lineSighting struct {
	line presence.Line
	at   time.Time
}

// observeLines takes readings of endpoints that began at `at`. Endpoints that
// are not in user any more are forgotten. It reports whether the strongest line
// changed.
func (p *phoneView) observeLines(user presence.User, lines []presence.Line, at time.Time, cause Cause) (changed bool) {
	if at.Before(p.forgottenAt) {
		return false
	}
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

// forget forgets every reading, those under way included. Only since when the
// do-not-disturb is on is kept for the next reading that shows it: one that follows
// a status of the bridge must not become the person's own by being read again.
func (p *phoneView) forget(now time.Time) {
	if p.line.DoNotDisturb {
		p.forgottenDND = p.dndSince
	}
	p.endpoints, p.line, p.complete = nil, presence.Strongest(), false
	p.at, p.provedAt, p.dndSince = time.Time{}, time.Time{}, time.Time{}
	p.forgottenAt = now
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
		if !p.forgottenDND.IsZero() {
			p.dndSince = p.forgottenDND
		}
	case !line.DoNotDisturb:
		p.dndSince = time.Time{}
	}
	if p.complete {
		p.forgottenDND = time.Time{}
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
