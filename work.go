package presencebridge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/presencebridge/presencebridge/presence"
)

// maxWrites is how many of a user's last writes are kept for Explain.
const maxWrites = 8

// attempt is what became of the last requests of one kind for one user.
type attempt struct {
	failures int
	pauses   *backoff.ExponentialBackOff
	// notBefore is when the next request may be made.
	notBefore time.Time
	err       error
	at        time.Time
}

// evaluateLocked decides about a person and queues what follows. It must be
// called after anything that decide looks at has changed.
func (b *Bridge) evaluateLocked(p *person, now time.Time) {
	id := p.user.TeamsID
	if b.people[id] != p {
		// Forgotten while a request was under way; somebody else may have the place.
		return
	}
	if p.view.tick(now) {
		b.markLocked(p, ofTeams, Cause{Trigger: TriggerAfterClear, ReceivedAt: now}, true)
	}
	d := decide(&p.view, &p.rules, &b.settings, now)
	p.view.flaps = d.flaps
	for destination, l := range b.writing {
		if d.actions[destination].kind == doNothing {
			continue
		}
		if wait := p.waits(l, now); wait.IsZero() {
			l.add(true, id)
		} else {
			d.blocks[destination] = BlockBackoff
			d.wakeAt(wait)
		}
	}
	for kind, l := range b.reading {
		failed := p.pending[kind].Trigger != "" && p.attempts[l] != nil
		if d.reads[kind] == "" && !failed || p.underway[kind] || l.queued(id) {
			continue
		}
		if wait := p.waits(l, now); wait.IsZero() {
			b.markLocked(p, kind, Cause{Trigger: d.reads[kind], ReceivedAt: now}, true)
		} else {
			d.wakeAt(wait)
		}
	}
	if !p.missedAt.IsZero() {
		d.wakeAt(p.missedAt.Add(b.opts.MissedAfter))
	}
	p.verdict = d
	if !b.endingLocked() {
		// Otherwise requests fail because the bridge stops, which cleanUp tells them.
		for run := range b.syncs {
			run.check(b, p)
		}
		for run := range b.resets {
			run.check(b, p, now)
		}
	}
	if p.removed && !p.view.session.possible() {
		b.forgetLocked(p)
		return
	}
	b.clock.set(id, d.wake)
}

// waits returns until when the person's requests on the lane wait after a
// failure; zero if they do not.
func (p *person) waits(l *lane, now time.Time) time.Time {
	if a := p.attempts[l]; a != nil && now.Before(a.notBefore) {
		return a.notBefore
	}
	return time.Time{}
}

// awaken decides about users whose appointment has come.
func (b *Bridge) awaken(users []string, now time.Time) {
	var missed []string
	b.mu.Lock()
	for _, id := range users {
		p := b.people[id]
		if p == nil {
			continue
		}
		if !p.missedAt.IsZero() && !now.Before(p.missedAt.Add(b.opts.MissedAfter)) {
			p.missedAt = time.Time{}
			if b.watchedLocked(p) {
				missed = append(missed, id)
			}
		}
		b.evaluateLocked(p, now)
	}
	watcher := b.watcher
	b.mu.Unlock()
	if len(missed) > 0 && watcher != nil {
		b.tell("Watcher.Missed", func() { watcher.Missed(missed...) })
	}
}

// markLocked asks for a reading. The first cause since the last reading stays,
// because it has waited longest, but the regular reading tells least.
func (b *Bridge) markLocked(p *person, kind int, cause Cause, urgent bool) {
	if kind == ofLines && len(p.user.Endpoints) == 0 || kind == ofStatus && !p.rules.teamsToMiCollab {
		return
	}
	if old := p.pending[kind].Trigger; old == "" || old == TriggerReconcile {
		p.pending[kind] = cause
	}
	b.reading[kind].add(urgent, p.user.TeamsID)
}

// begin returns the cause of a reading that begins now.
func (p *person) begin(kind int, now time.Time) Cause {
	cause := p.pending[kind]
	p.pending[kind] = Cause{}
	p.underway[kind] = true
	if cause.Trigger == "" {
		cause = Cause{Trigger: TriggerReconcile, ReceivedAt: now}
	}
	return cause
}

// end notes that a reading has ended. One that failed is asked for again;
// evaluateLocked queues it after the attempt's pause.
func (p *person) end(kind int, cause Cause, failed bool) {
	p.underway[kind] = false
	if failed && p.pending[kind].Trigger == "" {
		p.pending[kind] = cause
	}
}

// settleAttempt notes the outcome of a request for one user.
func (b *Bridge) settleAttempt(p *person, l *lane, err error, now time.Time) {
	if err == nil {
		delete(p.attempts, l)
		return
	}
	if p.attempts == nil {
		p.attempts = make(map[*lane]*attempt)
	}
	a := p.attempts[l]
	if a == nil {
		a = &attempt{pauses: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Second), backoff.WithMaxInterval(b.opts.MaxBackoff), backoff.WithMaxElapsedTime(0))}
		p.attempts[l] = a
	}
	a.failures++
	a.err, a.at = err, now
	a.notBefore = now.Add(a.pauses.NextBackOff())
	if wait, ok := presence.RetryAfter(err); ok {
		a.notBefore = now.Add(wait)
	}
}

// each makes a lane's work, for a lane that takes one user at a time, of a
// function for one user.
func (b *Bridge) each(l *lane, f func(ctx context.Context, id string) error) func(context.Context, []string) error {
	return func(ctx context.Context, users []string) error {
		return b.guard(l, users, func() error { return f(ctx, users[0]) })
	}
}

// guard calls f and turns a panic of a side into an error that the users'
// attempts note: it costs them a pause and nobody else anything.
func (b *Bridge) guard(l *lane, users []string, f func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		// The value may hold anything, a secret too; the stack holds code only.
		err = fmt.Errorf("presencebridge: %s panicked with a %T", l.name, r)
		b.opts.Logger.Error("a request panicked and is tried again later", "bridge", b.opts.Name, "connection", l.name, "stack", string(debug.Stack()))
		b.mu.Lock()
		now := time.Now()
		for _, id := range users {
			p := b.people[id]
			if p == nil {
				continue
			}
			if kind := slices.Index(b.reading[:], l); kind >= 0 {
				p.end(kind, Cause{Trigger: TriggerRetry, ReceivedAt: now}, true)
			}
			b.settleAttempt(p, l, err, now)
			b.evaluateLocked(p, now)
		}
		b.mu.Unlock()
	}()
	return f()
}

// readTeams reads the Teams presence of users in bulk.
func (b *Bridge) readTeams(ctx context.Context, users []string) error {
	return b.guard(b.teamsRead, users, func() error { return b.readTeamsOnce(ctx, users) })
}

func (b *Bridge) readTeamsOnce(ctx context.Context, users []string) error {
	began := time.Now()
	causes := make(map[string]Cause, len(users))
	ids := make([]string, 0, len(users))
	b.mu.Lock()
	for _, id := range users {
		if p := b.people[id]; p != nil && !p.removed {
			causes[id] = p.begin(ofTeams, began)
			ids = append(ids, id)
		}
	}
	b.mu.Unlock()
	if len(ids) == 0 {
		return errIdle
	}
	ctx, cancel := context.WithTimeout(ctx, max(b.opts.RequestTimeout, defaultBulkTimeout))
	defer cancel()
	read, err := b.sides.Teams.Presences(ctx, ids)
	now := time.Now()
	b.metrics.read(b.teamsRead.name, len(read), err)
	var observed []Observation
	b.mu.Lock()
	for _, r := range read {
		p := b.people[r.UserID]
		cause, asked := causes[r.UserID]
		if p == nil || !asked {
			continue
		}
		delete(causes, r.UserID)
		p.end(ofTeams, cause, false)
		b.settleAttempt(p, b.teamsRead, nil, now)
		first := p.view.teams.seenAt.IsZero()
		unannounced := began.Sub(p.notifiedAt) > b.opts.MissedAfter
		taken, changed := p.view.observeTeams(r, began, cause, &b.settings)
		if changed {
			observed = append(observed, Observation{Time: now, User: p.user, Side: "teams", Presence: r, Trigger: cause.Trigger,
				Own: p.view.teams.origin == originOwn || p.view.teams.origin == originOwnLate})
			if !first && taken && cause.Trigger == TriggerReconcile && b.watchedLocked(p) && unannounced {
				p.missedAt = now
			}
		}
		b.evaluateLocked(p, now)
	}
	// Those that are left were not read: because of the error, or because the
	// service does not know them, which the next regular reading asks again.
	for id := range causes {
		p := b.people[id]
		if p == nil {
			continue
		}
		reason := err
		if reason == nil {
			reason = fmt.Errorf("presencebridge: Teams knows no presence of the user: check that the account has a Teams licence: %w", presence.ErrNotFound)
		}
		p.end(ofTeams, causes[id], err != nil)
		b.settleAttempt(p, b.teamsRead, reason, now)
		if err == nil {
			p.attempts[b.teamsRead].notBefore = now.Add(b.opts.ReconcileInterval)
		}
		b.evaluateLocked(p, now)
	}
	b.mu.Unlock()
	b.fire(observed)
	return err
}

func (b *Bridge) fire(observed []Observation) {
	if b.opts.Hooks.Observed == nil {
		return
	}
	for _, o := range observed {
		b.tell("Hooks.Observed", func() { b.opts.Hooks.Observed(o) })
	}
}

// beginReading begins a reading of one user, unless there is no need for it any more.
func (b *Bridge) beginReading(id string, kind int, now time.Time) (user presence.User, cause Cause, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.people[id]
	if p == nil || p.removed || kind == ofStatus && !p.rules.teamsToMiCollab {
		return presence.User{}, Cause{}, false
	}
	return p.user, p.begin(kind, now), true
}

// readLines reads the telephones of one user.
func (b *Bridge) readLines(ctx context.Context, id string) error {
	began := time.Now()
	user, cause, ok := b.beginReading(id, ofLines, began)
	if !ok {
		return errIdle
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	lines, err := b.sides.Phones.Lines(ctx, user)
	if err == nil {
		err = unreadLine(user, lines)
	}
	now := time.Now()
	b.metrics.read(b.lineRead.name, len(lines), err)
	var observed []Observation
	b.mu.Lock()
	if p := b.people[id]; p != nil {
		p.end(ofLines, cause, err != nil)
		b.settleAttempt(p, b.lineRead, err, now)
		if p.view.phone.observeLines(p.user, lines, began, cause) {
			observed = append(observed, Observation{Time: now, User: p.user, Side: "phone", Line: p.view.phone.line, Trigger: cause.Trigger})
		}
		b.evaluateLocked(p, now)
	}
	b.mu.Unlock()
	b.fire(observed)
	return err
}

// unreadLine returns an error that names an endpoint of the user whose line is not
// among those that were read.
func unreadLine(user presence.User, lines []presence.Line) error {
	for _, endpoint := range user.Endpoints {
		if !slices.ContainsFunc(lines, func(l presence.Line) bool { return l.Endpoint == endpoint }) {
			return fmt.Errorf("presencebridge: the line of endpoint %s was not read: %w", endpoint, presence.ErrNotFound)
		}
	}
	return nil
}

// readStatus reads what MiCollab shows for one user.
func (b *Bridge) readStatus(ctx context.Context, id string) error {
	began := time.Now()
	user, cause, ok := b.beginReading(id, ofStatus, began)
	if !ok {
		return errIdle
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	status, err := b.sides.Statuses.Status(ctx, user)
	// A server that cannot be read can still be written.
	unreadable := errors.Is(err, presence.ErrUnsupported)
	if unreadable {
		err = nil
	}
	now := time.Now()
	b.metrics.read(b.statusRead.name, 1, err)
	var observed []Observation
	b.mu.Lock()
	if p := b.people[id]; p != nil {
		p.end(ofStatus, cause, err != nil)
		b.settleAttempt(p, b.statusRead, err, now)
		switch {
		case err != nil:
		case unreadable:
			p.view.status.unreadable(began)
		case p.view.status.observeStatus(status, began):
			observed = append(observed, Observation{Time: now, User: p.user, Side: "micollab", Status: status, Trigger: cause.Trigger})
		}
		b.evaluateLocked(p, now)
	}
	b.mu.Unlock()
	b.fire(observed)
	return err
}
