package presencebridge

import (
	"context"
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// ErrStopped is returned by SyncAll and ResetPhone when the bridge stops before they
// are done.
var ErrStopped = errors.New("presencebridge: the bridge has stopped")

// SyncReport is what SyncAll did, or has done so far.
type SyncReport struct {
	// Total is how many users are concerned: those whose Teams presence is
	// brought to MiCollab. Skipped is how many of the roster are not.
	Total   int `json:"total"`
	Skipped int `json:"skipped"`
	// Read is how many of Total had their Teams presence read since the run began. In
	// the end it is all of Total but those whose presence could not be read.
	Read int `json:"read"`
	// Done is how many of Total are finished: Changed, AlreadyRight, Blocked
	// and Failed together.
	Done int `json:"done"`
	// Changed showed another status and were set right.
	Changed int `json:"changed"`
	// AlreadyRight showed the right status.
	AlreadyRight int `json:"alreadyRight"`
	// Blocked were left as they are, with the reason by Entra object id.
	Blocked map[string]Block `json:"blocked,omitempty"`
	// Failed could not be read or written, with the error by Entra object id.
	// The bridge goes on trying.
	Failed map[string]string `json:"failed,omitempty"`
}

// syncRun is one SyncAll under way. Bridge.mu guards it.
type syncRun struct {
	began   time.Time
	waiting map[string]bool
	// unread are those whose Teams presence has not been read since the run began.
	unread map[string]bool
	report SyncReport
	dirty  chan struct{} // something has changed; holds one
	err    error
	ended  bool
}

// SyncAll reads the Teams presence and the MiCollab status of every user whose
// Teams presence is brought to MiCollab, sets right what is not, and returns when
// each is done. progress, if not nil, is called from this goroutine whenever some
// more have been read or are done. If ctx ends first it returns what was done so
// far, and ctx's error, and the bridge goes on with the others as it does after
// every regular reading; if the bridge stops, ErrStopped. The bridge must be running.
func (b *Bridge) SyncAll(ctx context.Context, progress func(SyncReport)) (SyncReport, error) {
	select {
	case <-b.loaded:
	case <-b.stopped:
		return SyncReport{}, ErrStopped
	case <-ctx.Done():
		return SyncReport{}, context.Cause(ctx)
	}
	run := &syncRun{began: time.Now(), waiting: make(map[string]bool), unread: make(map[string]bool), dirty: make(chan struct{}, 1)}
	b.mu.Lock()
	if b.stopping {
		b.mu.Unlock()
		return SyncReport{}, ErrStopped
	}
	b.syncs[run] = struct{}{}
	for id, p := range b.people {
		switch {
		case p.removed:
		case p.rules.teamsToMiCollab:
			run.waiting[id], run.unread[id] = true, true
		default:
			run.report.Skipped++
		}
	}
	run.report.Total = len(run.waiting)
	if run.report.Total == 0 {
		run.finish()
	}
	for id := range run.waiting {
		p := b.people[id]
		// A pause after an earlier failure is not the administrator's.
		for _, l := range []*lane{b.teamsRead, b.statusRead, b.statusWrite} {
			delete(p.attempts, l)
		}
		cause := Cause{Trigger: TriggerSync, ReceivedAt: run.began}
		b.markLocked(p, ofTeams, cause, false)
		b.markLocked(p, ofStatus, cause, false)
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.syncs, run)
		b.mu.Unlock()
	}()
	var told *SyncReport
	for {
		var err error
		select {
		case <-run.dirty:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		b.mu.Lock()
		report, ended := run.report.clone(), run.ended
		if run.err != nil {
			err = run.err
		}
		b.mu.Unlock()
		if progress != nil && (told == nil || !told.sameFigures(report)) {
			told = &report
			progress(report)
		}
		if err != nil || ended {
			return report, err
		}
	}
}

// sameFigures reports whether as many users have come as far as in q.
func (r SyncReport) sameFigures(q SyncReport) bool {
	return r.Total == q.Total && r.Skipped == q.Skipped && r.Read == q.Read && r.Done == q.Done
}

func (r SyncReport) clone() SyncReport {
	c := r
	c.Blocked, c.Failed = make(map[string]Block, len(r.Blocked)), make(map[string]string, len(r.Failed))
	for id, block := range r.Blocked {
		c.Blocked[id] = block
	}
	for id, text := range r.Failed {
		c.Failed[id] = text
	}
	return c
}

// check takes a person off the list once everything about them has been read,
// and written if need be, since the run began. It is called after each decision.
func (r *syncRun) check(b *Bridge, p *person) {
	id := p.user.TeamsID
	if !r.waiting[id] {
		return
	}
	if r.unread[id] && !p.view.teams.readAt.Before(r.began) {
		delete(r.unread, id)
		r.report.Read++
		r.finish()
	}
	st := &p.view.status
	fail := func(l *lane) bool {
		a := p.attempts[l]
		if a == nil || a.at.Before(r.began) {
			return false
		}
		if r.report.Failed == nil {
			r.report.Failed = make(map[string]string)
		}
		r.report.Failed[id] = a.err.Error()
		return true
	}
	switch {
	case p.removed || !p.rules.teamsToMiCollab:
		r.report.Total--
		r.report.Skipped++
		if !r.unread[id] {
			r.report.Read--
		}
		delete(r.waiting, id)
		r.finish()
		return
	case fail(b.teamsRead):
	case r.unread[id]:
		return
	case fail(b.statusRead), fail(b.statusWrite):
	case st.shownAt.Before(r.began):
		return
	case p.verdict.actions[toMiCollab].kind != doNothing:
		return
	case p.verdict.blocks[toMiCollab] != BlockNone && !b.right(p):
		if b.passingLocked(p) {
			return
		}
		if r.report.Blocked == nil {
			r.report.Blocked = make(map[string]Block)
		}
		r.report.Blocked[id] = p.verdict.blocks[toMiCollab]
	case !st.written.at.Before(r.began):
		r.report.Changed++
	default:
		r.report.AlreadyRight++
	}
	r.report.Done++
	delete(r.waiting, id)
	r.finish()
}

// passingLocked reports whether the block of MiCollab will be gone within
// seconds, so that SyncAll waits for it.
func (b *Bridge) passingLocked(p *person) bool {
	switch p.verdict.blocks[toMiCollab] {
	case BlockDamping, BlockEchoWindow:
		return true
	case BlockEarlierSession:
		return p.verdict.actions[toTeams].kind != doNothing
	default:
		return false
	}
}

// right reports whether MiCollab shows what it should.
func (b *Bridge) right(p *person) bool {
	w := p.verdict.wants[toMiCollab]
	return w.first != "" && !p.view.status.shownAt.IsZero() && sameStatus(p.view.status.shown, presence.Status(w.first))
}

// finish wakes the caller, for the last time once nobody is waited for.
func (r *syncRun) finish() {
	if len(r.waiting) == 0 {
		r.ended = true
	}
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// end gives up.
func (r *syncRun) end(err error) {
	if !r.ended {
		r.ended, r.err = true, err
	}
	r.finish()
}
