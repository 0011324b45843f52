package presencebridge

import "time"

// maxFlapChanges is the most changes that a flap remembers.
const maxFlapChanges = 8

// flap remembers the last changes of a wanted value. It is a value: see
// returns a new one.
type flap struct {
	want  want
	since time.Time
	// heldSince is when damping began to hold a write back; zero while it does not.
	heldSince time.Time
	// changes are the times of the last changes, the newest first.
	changes [maxFlapChanges]time.Time
}

// see takes the value that is wanted now. The first one is not a change.
func (f flap) see(w want, now time.Time) flap {
	if w == f.want {
		return f
	}
	if f.want != (want{}) {
		copy(f.changes[1:], f.changes[:maxFlapChanges-1])
		f.changes[0] = now
	}
	f.want, f.since = w, now
	return f
}

// holdUntil returns until when a write of the value is held back; a time that
// is not after now means that it is not.
func (f flap) holdUntil(d Damping, now time.Time) time.Time {
	if d.Disabled || now.Sub(f.changes[d.Changes-1]) >= d.Window {
		return time.Time{}
	}
	until := f.since.Add(d.Settle)
	if !f.heldSince.IsZero() {
		if limit := f.heldSince.Add(d.MaxHold); limit.Before(until) {
			return limit
		}
	}
	return until
}

// written notes that the value has reached its destination: once it was held
// back and has settled, the count begins anew.
func (f flap) written() flap {
	if f.heldSince.IsZero() {
		return f
	}
	return flap{want: f.want, since: f.since}
}
