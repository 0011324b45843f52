package presencebridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// PhoneReset is what [Bridge.ResetPhone] found and did.
type PhoneReset struct {
	// User is whose phone state was reset.
	User presence.User `json:"user"`
	// At is when the reset began, and Done when its outcome was known: zero if that
	// was not waited for.
	At   time.Time `json:"at"`
	Done time.Time `json:"done,omitzero"`
	// DryRun: the bridge makes a dry run. The telephones were read, nothing was sent.
	DryRun bool `json:"dryRun,omitempty"`
	// Before and After are what the bridge held of the telephones and of its Teams
	// session when the reset began and when it was done.
	Before PhoneState `json:"before"`
	After  PhoneState `json:"after"`
	// SessionSet: the telephones ask for a session, so it was set once more, in place
	// of whatever session Teams may have held.
	SessionSet bool `json:"sessionSet"`
	// SessionCleared: Teams held a session under the application id of the bridge,
	// known to the bridge or not, and it was ended.
	SessionCleared bool `json:"sessionCleared"`
	// SessionAbsent: Teams was asked to end the session and held none.
	SessionAbsent bool `json:"sessionAbsent"`
	// Writes are the requests to Teams that were made meanwhile, the oldest first,
	// those that failed included.
	Writes []Write `json:"writes,omitempty"`
	// Failures are the requests that failed and wait to be made again. While there
	// are any the reset is not complete; the bridge goes on with it by itself.
	Failures []Failure `json:"failures,omitempty"`
	// Block says why the telephone does not reach Teams, BlockNone if it does;
	// BlockSentence explains it.
	Block         Block  `json:"block,omitempty"`
	BlockSentence string `json:"blockSentence,omitempty"`
	// Summary says in one or two sentences what came of it. It is never empty.
	Summary string `json:"summary"`
}

// PhoneState is what the bridge holds of a user's telephones and of its own Teams
// session for them.
type PhoneState struct {
	// Endpoints are the telephones as they were read last.
	Endpoints []EndpointReading `json:"endpoints,omitempty"`
	// Line is the strongest of them; LineReadAt is zero if none was read.
	Line       presence.Line `json:"line,omitzero"`
	LineReadAt time.Time     `json:"lineReadAt,omitzero"`
	// SessionState is what the bridge knows of its Teams session, and Session the
	// session; zero if none is open. The times are those of [Explanation].
	SessionState     SessionState     `json:"sessionState"`
	Session          presence.Session `json:"session,omitzero"`
	SessionOpenedAt  time.Time        `json:"sessionOpenedAt,omitzero"`
	SessionExpiresAt time.Time        `json:"sessionExpiresAt,omitzero"`
}

// String returns the outcome and what it rests on, as a few lines for a person.
func (r PhoneReset) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s <%s>: %s\n", r.User.Name, r.User.Email, r.Summary)
	state := func(name string, p PhoneState) {
		line := p.Line.String()
		if p.LineReadAt.IsZero() {
			line = "not read"
		}
		fmt.Fprintf(&s, "%s: phone %s, teams session %s", name, line, p.SessionState)
		if !p.Session.IsZero() {
			fmt.Fprintf(&s, " %s", p.Session)
		}
		s.WriteString("\n")
	}
	state("before", r.Before)
	state("after", r.After)
	for _, w := range r.Writes {
		fmt.Fprintf(&s, "%s %s", w.Operation, w.Session)
		switch {
		case w.Error != "":
			fmt.Fprintf(&s, ", failed: %s", w.Error)
		case w.NotFound:
			s.WriteString(", there was none")
		case w.DryRun:
			s.WriteString(", not sent")
		}
		s.WriteString("\n")
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&s, "%s failed: %s\n", f.Connection, f.Error)
	}
	return s.String()
}

// ResetPhone resets the phone state of one user: it forgets what the bridge holds
// of the user's telephones, reads them again, and writes the Teams session that
// they ask for, whatever the bridge believes to be open. So a session that is stuck
// goes, even one of an earlier process with the same application id, and one that
// Teams has lost comes back.
//
// Nothing is ended before the telephones have been read: a person in a call stays in
// a call, because the session is set once more in place. If they ask for no session,
// or the mapping table leaves the session alone in their state, it is ended; where
// there is none that is fine. If they cannot be read, or show a state that the
// library does not know, nothing is ended: an open session is not renewed and lapses.
// A user whose telephone does not reach Teams, because the direction is off, there is
// no telephone, or the telephone system does not support it, is named by Block, and a
// session is ended all the same.
//
// For [Options].EchoWindow after the request, MiCollab is held back from what may be
// the ended session; then Teams is read again and both sides follow as after every
// change. ResetPhone does not wait for that.
//
// The requests take their turn like all others: they keep the rate limits and wait
// while a service pauses. Only the pauses after the user's own earlier failures end.
// ResetPhone returns once the telephones were read and Teams was written, or once
// that has failed, which Failures tells and is no error: the bridge tries it again.
// If ctx ends first it returns what is known so far, and ctx's error, and the bridge
// goes on; if the bridge stops, ErrStopped. The bridge must be running. The user is
// named by Entra object id, e-mail address or CloudLink principal id; one who is not
// in the roster, or leaves it meanwhile, gives an error that matches ErrUnknownUser.
// In a dry run the telephones are read and the write is only reported. It is safe
// beside everything else, another ResetPhone of the same user included.
func (b *Bridge) ResetPhone(ctx context.Context, user string) (PhoneReset, error) {
	select {
	case <-b.loaded:
	case <-b.stopped:
		return PhoneReset{}, ErrStopped
	case <-ctx.Done():
		return PhoneReset{}, context.Cause(ctx)
	}
	b.mu.Lock()
	if b.stopping {
		b.mu.Unlock()
		return PhoneReset{}, ErrStopped
	}
	p, err := b.findLocked(user)
	if err == nil && p.removed {
		err = errLeft(p.user)
	}
	if err != nil {
		b.mu.Unlock()
		return PhoneReset{}, err
	}
	run := b.beginResetLocked(p, time.Now())
	b.mu.Unlock()
	b.opts.Logger.InfoContext(ctx, "the phone state is reset", "bridge", b.opts.Name, "user", run.report.User.TeamsID)
	select {
	case <-run.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	run.end(b, time.Now(), err)
	return run.report, run.err
}

// errLeft is the error for a user who has left the roster.
func errLeft(u presence.User) error {
	return fmt.Errorf("%w: %s has left it", ErrUnknownUser, u.TeamsID)
}

// resetRun is one ResetPhone under way. Bridge.mu guards it.
type resetRun struct {
	person *person
	began  time.Time
	report PhoneReset
	// read: the telephones have been read since the run began.
	read bool
	// written: a request to Teams that began since then was carried out, or would
	// have been in a dry run.
	written bool
	done    chan struct{}
	ended   bool
	err     error
}

func (b *Bridge) beginResetLocked(p *person, now time.Time) *resetRun {
	run := &resetRun{
		person: p, began: now, done: make(chan struct{}),
		report: PhoneReset{User: p.user, At: now, DryRun: b.settings.dryRun, Before: b.phoneStateLocked(p)},
	}
	b.resets[run] = struct{}{}
	p.view.reset(now)
	// A pause after an earlier failure is not the administrator's.
	for _, l := range []*lane{b.lineRead, b.teamsWrite} {
		delete(p.attempts, l)
	}
	b.markLocked(p, ofLines, Cause{Trigger: TriggerReset, ReceivedAt: now}, true)
	b.evaluateLocked(p, now)
	return run
}

// resetting reports whether the session is to be written once more, whatever is
// believed to be open.
func (v *view) resetting() bool { return !v.resetAt.IsZero() }

// reset forgets what is held of the telephones and asks for the session to be
// written once more. What is held of Teams, of the session and of MiCollab stays:
// whose doing a reading is rests on it.
func (v *view) reset(now time.Time) {
	if !v.resetting() || !v.phone.at.IsZero() {
		// Otherwise there is nothing to forget, and the reading that is under way for
		// the reset before this one is as good as the next.
		v.phone.forget(now)
	}
	v.resetAt = now
}

// resetWritten notes that a write to Teams was carried out. It carries out the reset
// if it began after that was asked for.
func (v *view) resetWritten(w *Write) {
	if w.Err == nil && !w.Time.Before(v.resetAt) {
		v.resetAt = time.Time{}
	}
}

// wrote takes the outcome of a write.
func (r *resetRun) wrote(p *person, w Write) {
	if p != r.person || w.Destination != DestinationTeams || w.Time.Before(r.began) || r.ended {
		return
	}
	r.report.Writes = append(r.report.Writes, w)
	r.written = r.written || w.Err == nil
	switch {
	case w.Err != nil, w.DryRun:
	case w.Operation != "clear":
		r.report.SessionSet = true
	case w.NotFound:
		r.report.SessionAbsent = true
	default:
		r.report.SessionCleared = true
	}
}

// check ends the run once nothing is under way any more that it waits for. It is
// called after each decision.
func (r *resetRun) check(b *Bridge, p *person, now time.Time) {
	if p != r.person || r.ended {
		return
	}
	r.read = r.read || !p.view.phone.at.Before(r.began)
	if p.removed {
		r.end(b, now, errLeft(p.user))
		return
	}
	// Another ResetPhone may have forgotten again what was read for this one, before it
	// led to a write.
	if (!r.read || !r.written && p.view.resetting()) && b.soonReadLocked(p, ofLines, now) {
		return
	}
	if p.verdict.actions[toTeams].kind != doNothing && p.waits(b.teamsWrite, now).IsZero() {
		return
	}
	r.end(b, now, nil)
}

// soonReadLocked reports whether a reading is under way or asked for, and does not
// wait because it has failed.
func (b *Bridge) soonReadLocked(p *person, kind int, now time.Time) bool {
	l := b.reading[kind]
	return p.underway[kind] || l.queued(p.user.TeamsID) || p.pending[kind].Trigger != "" && p.waits(l, now).IsZero()
}

// end completes the report, once.
func (r *resetRun) end(b *Bridge, now time.Time, err error) {
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	delete(b.resets, r)
	p, report := r.person, &r.report
	if err == nil {
		report.Done = now
	}
	report.After = b.phoneStateLocked(p)
	report.Block = p.verdict.blocks[toTeams]
	if report.Block == BlockNone && report.DryRun {
		report.Block = BlockDryRun
	}
	report.BlockSentence = report.Block.Sentence()
	report.Failures = p.failures(b.lineRead, b.teamsWrite)
	report.Summary = r.summary()
	close(r.done)
}

func (r *resetRun) summary() string {
	report := &r.report
	switch {
	case r.err != nil:
		return "The outcome is not known: " + r.err.Error()
	case len(report.Failures) > 0:
		f := report.Failures[len(report.Failures)-1]
		return fmt.Sprintf("The reset is not complete, because a request failed (%s): %s. It is made again at %s.", f.Connection, f.Error, f.NextAt.UTC().Format(time.RFC3339))
	case report.DryRun:
		return "The telephones were read again. " + report.BlockSentence
	case !report.SessionSet && !report.SessionCleared && !report.SessionAbsent:
		return "The telephones were read again, and no session was written. " + report.BlockSentence
	}
	var s string
	switch {
	case report.Block == BlockOff || report.Block == BlockNoEndpoint || report.Block == BlockUnsupportedPBX:
		s = "The telephone does not reach Teams"
	case !report.After.Session.IsZero():
		return fmt.Sprintf("The telephones were read again (%s), and the session %s was set once more.", report.After.Line, report.After.Session)
	default:
		s = fmt.Sprintf("The telephones were read again (%s)", report.After.Line)
	}
	if report.SessionCleared {
		s += ", and the session that Teams held was ended."
	} else {
		s += ", and Teams held no session that had to be ended."
	}
	if report.Block != BlockNone {
		s += " " + report.BlockSentence
	}
	return s
}

func (b *Bridge) phoneStateLocked(p *person) PhoneState {
	v := &p.view
	state := PhoneState{Endpoints: p.endpoints(), LineReadAt: v.phone.at, SessionState: v.session.state()}
	if !v.phone.at.IsZero() {
		state.Line = v.phone.line
	}
	if v.session.possible() {
		state.Session, state.SessionOpenedAt, state.SessionExpiresAt = v.session.session, v.session.openedAt, v.session.expiresAt
	}
	return state
}

// endpoints are the user's telephones as they were read last.
func (p *person) endpoints() []EndpointReading {
	var all []EndpointReading
	for _, endpoint := range p.user.Endpoints {
		s := p.view.phone.endpoints[endpoint]
		all = append(all, EndpointReading{endpoint, s.line, s.at})
	}
	return all
}

// failures are the kinds of request that failed last, of the lanes.
func (p *person) failures(lanes ...*lane) []Failure {
	var all []Failure
	for _, l := range lanes {
		if a := p.attempts[l]; a != nil {
			all = append(all, Failure{l.name, a.failures, a.at, a.notBefore, a.err.Error()})
		}
	}
	return all
}
