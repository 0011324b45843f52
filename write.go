package presencebridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// wantedLocked returns what is wanted of the destination for one user at this
// moment, which may be something else than when the user was queued, or nothing.
func (b *Bridge) wantedLocked(id string, destination int, now time.Time) (p *person, next action) {
	p = b.people[id]
	if p == nil {
		return nil, action{}
	}
	b.evaluateLocked(p, now)
	if !p.waits(b.writing[destination], now).IsZero() {
		return p, action{}
	}
	return p, p.verdict.actions[destination]
}

// writeTeams carries out what is wanted of Teams for one user.
func (b *Bridge) writeTeams(ctx context.Context, id string) error {
	b.mu.Lock()
	p, next := b.wantedLocked(id, toTeams, time.Now())
	if next.kind == doNothing {
		b.mu.Unlock()
		return errIdle
	}
	return b.writeSession(ctx, p, next)
}

// writeSession carries out an action on the user's Teams session. Bridge.mu is
// held when it is called and released when it returns.
func (b *Bridge) writeSession(ctx context.Context, p *person, next action) error {
	s := &p.view.session
	before := *s
	w := b.newWrite(p, DestinationTeams, next, time.Now())
	switch next.kind {
	case setSession:
		w.Operation, w.Session = "set", next.session
	case renewSession:
		w.Operation, w.Session = "renew", next.session
	default:
		w.Operation, w.Session = "clear", s.session
		if b.settings.dryRun {
			w.Session = p.view.pretended()
		}
	}
	if b.settings.dryRun {
		return b.pretend(p, toTeams, w)
	}
	if next.kind != clearSession {
		if next.reset && s.phase != sessionUnknown {
			// Teams may hold another session than the one that is believed in.
			s.noteEarlier(w.Time.Add(b.settings.lifetime))
		}
		s.beginSession(next.session, w.Time, b.settings.lifetime)
	}
	id := p.user.TeamsID
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	var err error
	if next.kind == clearSession {
		err = b.sides.Teams.ClearPresence(ctx, id)
		if errors.Is(err, presence.ErrNotFound) {
			// It has lapsed, or there was none: what was wanted is so.
			w.NotFound, err = true, nil
		}
	} else {
		err = b.sides.Teams.SetPresence(ctx, id, next.session, b.settings.lifetime)
	}

	now := time.Now()
	b.mu.Lock()
	switch {
	case err == nil && next.kind == clearSession:
		if before.phase == sessionUnknown || next.reset {
			s.closeEarlier(now)
		} else {
			s.close(now)
		}
		b.markLocked(p, ofTeams, Cause{Trigger: TriggerAfterClear, ReceivedAt: now}, true)
	case err == nil:
		s.sessionSet(w.Time, now, b.settings.lifetime)
	case next.kind == clearSession && !refused(err) && s.phase == sessionOpen:
		// It may be closed: if it is wanted again, it has to be set again.
		s.phase = sessionUncertain
	case next.kind != clearSession && refused(err):
		// Nothing was opened or prolonged; what was there before still is.
		*s = before
		if p.view.teams.origin == originOwn {
			// What was read meanwhile was not the bridge's doing after all.
			b.markLocked(p, ofTeams, Cause{Trigger: TriggerRetry, ReceivedAt: now}, true)
		}
	}
	p.view.attributeAgain(&b.settings)
	b.wroteLocked(p, toTeams, &w, err, now)
	p.view.resetWritten(&w)
	if w.Time.Before(p.view.resetAt) {
		// The request for the reset does not wait because of one from before it.
		delete(p.attempts, b.teamsWrite)
	}
	b.evaluateLocked(p, now)
	b.mu.Unlock()
	b.report(w)
	return err
}

// refused reports whether err says that a request had no effect. Anything else,
// a broken connection or a 504, leaves it open.
func refused(err error) bool {
	for _, sentinel := range []error{
		presence.ErrThrottled, presence.ErrUnauthorized, presence.ErrForbidden, presence.ErrInvalid, presence.ErrNotFound, presence.ErrUnsupported,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// writeStatus carries out what is wanted of MiCollab for one user.
func (b *Bridge) writeStatus(ctx context.Context, id string) error {
	began := time.Now()
	b.mu.Lock()
	p, next := b.wantedLocked(id, toMiCollab, began)
	if next.kind == doNothing {
		b.mu.Unlock()
		return errIdle
	}
	w := b.newWrite(p, DestinationMiCollab, next, began)
	w.Operation, w.Status, w.Previous = "set", next.status, p.view.shownStatus(&b.settings)
	if b.settings.dryRun {
		return b.pretend(p, toMiCollab, w)
	}
	family := next.cause.Presence.Availability.Family()
	p.view.status.beginStatus(next.status, family, began)
	user := p.user
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	err := b.sides.Statuses.SetStatus(ctx, user, next.status)

	now := time.Now()
	b.mu.Lock()
	switch st := &p.view.status; {
	case err == nil:
		st.statusWritten(statusWrite{next.status, family, began}, now)
	case refused(err):
		st.attempt = statusWrite{}
	default:
		st.statusUncertain(now)
	}
	b.wroteLocked(p, toMiCollab, &w, err, now)
	b.evaluateLocked(p, now)
	b.mu.Unlock()
	b.report(w)
	return err
}

// clearUntil clears a session when the bridge stops. It tries again, and waits for as
// long as the service asks, while ctx leaves the time.
func (b *Bridge) clearUntil(ctx context.Context, id string) error {
	l := b.teamsWrite
	end, _ := ctx.Deadline()
	var wait time.Duration
	var err error
	for {
		if pause := time.Until(l.pausedUntil()); pause > wait {
			wait = pause
			err = cmp.Or(err, fmt.Errorf("presencebridge: the service asked for a pause: %w", presence.ErrThrottled))
		}
		if wait > 0 && time.Until(end) <= wait {
			return err
		}
		if throttle.Sleep(ctx, wait) != nil {
			return cmp.Or(err, ctx.Err())
		}
		if err = b.clearOnStop(ctx, id); err == nil {
			return nil
		}
		l.settle(err, time.Now())
		b.mu.Lock()
		p := b.people[id]
		if p == nil || p.attempts[l] == nil {
			b.mu.Unlock()
			return err
		}
		wait = time.Until(p.attempts[l].notBefore)
		b.mu.Unlock()
	}
}

// clearOnStop clears a session once.
func (b *Bridge) clearOnStop(ctx context.Context, id string) error {
	b.mu.Lock()
	p := b.people[id]
	if p == nil || !p.view.session.possible() {
		b.mu.Unlock()
		return nil
	}
	cause := p.view.phone.cause
	cause.Trigger = TriggerStop
	return b.guard(b.teamsWrite, []string{id}, func() error {
		return b.writeSession(ctx, p, action{kind: clearSession, cause: cause})
	})
}

func (b *Bridge) newWrite(p *person, d Destination, next action, now time.Time) Write {
	w := Write{Time: now, User: p.user, Destination: d, Cause: next.cause, DryRun: b.settings.dryRun}
	if p.ruled.ReceivedAt.After(w.Cause.ReceivedAt) && w.Cause.Trigger != TriggerStop {
		// What was observed before did not matter until the rules changed.
		w.Cause.Trigger, w.Cause.ReceivedAt = p.ruled.Trigger, p.ruled.ReceivedAt
	}
	switch {
	case d == DestinationMiCollab:
		w.Rule = p.rules.table.StatusRule(next.cause.Presence).String()
	case next.cause.Trigger != TriggerStop && p.rules.phoneToTeams:
		if _, effect := p.rules.table.Session(next.cause.Line); effect == presence.Leave && next.reset {
			break // cleared because of the reset alone
		}
		w.Rule = p.rules.table.SessionRule(next.cause.Line).String()
	}
	return w
}

// pretend reports a write of a dry run. Bridge.mu is held when it is called and
// released when it returns.
func (b *Bridge) pretend(p *person, destination int, w Write) error {
	p.view.reported[destination] = p.verdict.wants[destination]
	p.view.flaps[destination] = p.view.flaps[destination].written()
	if destination == toTeams {
		p.view.resetWritten(&w)
	}
	b.rememberLocked(p, w)
	b.evaluateLocked(p, w.Time)
	b.mu.Unlock()
	b.report(w)
	return errIdle
}

func (b *Bridge) wroteLocked(p *person, destination int, w *Write, err error, now time.Time) {
	w.Duration = now.Sub(w.Time)
	w.Err = err
	if err != nil {
		w.Error = err.Error()
	} else {
		p.view.flaps[destination] = p.view.flaps[destination].written()
	}
	b.settleAttempt(p, b.writing[destination], err, now)
	b.rememberLocked(p, *w)
}

func (b *Bridge) rememberLocked(p *person, w Write) {
	for run := range b.resets {
		run.wrote(p, w)
	}
	if len(p.writes) >= maxWrites {
		copy(p.writes, p.writes[1:])
		p.writes = p.writes[:maxWrites-1]
	}
	p.writes = append(p.writes, w)
}

// report tells everybody who wants to know about a write.
func (b *Bridge) report(w Write) {
	b.metrics.wrote(w)
	log := b.opts.Logger.With("bridge", b.opts.Name, "user", w.User.TeamsID, "destination", w.Destination, "operation", w.Operation, "trigger", w.Cause.Trigger)
	what := w.Session.String()
	if w.Destination == DestinationMiCollab {
		what = string(w.Status)
	}
	switch {
	case w.Err != nil:
		log.Warn("a write failed and is tried again if it is still wanted", "value", what, "error", w.Err)
	case w.DryRun:
		log.Info("dry run: would write", "value", what)
	default:
		log.Info("wrote", "value", what, "rule", w.Rule, "took", w.Duration)
	}
	if b.opts.Hooks.Wrote != nil {
		b.tell("Hooks.Wrote", func() { b.opts.Hooks.Wrote(w) })
	}
}
