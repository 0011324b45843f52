package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// planning is what the planner has thought last.
type planning struct {
	version   uint64 // of the users and assignments
	signature string // of what plan was made from
	plan      Plan
	stale     bool // users or assignments have changed

	leaderUntil time.Time // the planner's lease
	askAt       time.Time // when to ask for that lease again
	retryAt     time.Time // after a failed write
	outageAt    time.Time // when most monitors failed last
	unreadable  int       // records that could not be read last

	unwatched unwatchedUsers
}

// unwatchedUsers are what the sink was told last, and what is different since.
type unwatchedUsers struct {
	users []string
	told  bool
	// A list that is different must have been the same for a while to be told,
	// and is told in any case after ten times as long.
	different                  []string
	differentFrom, differentAt time.Time // zero: nothing is different
}

// SetUsers says whom to watch, by Entra object id, in place of whom was watched
// before; empty and repeated ids are dropped. It returns, sorted, those for whom
// there is no room, and those of whom the sink was told before that nobody watches
// them. A sink that is an [UnwatchedSink] is told of later changes: also of users
// whose subscription cannot be created.
//
// Who is watched stays with the same monitor for as long as that works. Of
// several pools on one store, that of the planner decides: all of them should be
// given the same users.
func (p *Pool) SetUsers(userIDs []string) (unwatched []string) {
	users := slices.Clone(sortedIDs(userIDs)) // the slice is the caller's
	p.mu.Lock()
	if !p.hasWanted || !slices.Equal(users, p.wanted) {
		p.wanted, p.hasWanted, p.planning.stale = users, true, true
	}
	p.mu.Unlock()
	plan := p.currentPlan(time.Now())
	p.poke()
	p.mu.Lock()
	defer p.mu.Unlock()
	unwatched = slices.Clone(plan.Overflow)
	for _, id := range p.planning.unwatched.users {
		if _, wanted := slices.BinarySearch(users, id); wanted {
			unwatched = append(unwatched, id)
		}
	}
	return sortedIDs(unwatched)
}

// Missed reports that one bulk read found changes of these users that no
// notification brought; see [Monitor.Missed].
func (p *Pool) Missed(userIDs ...string) {
	p.mu.Lock()
	keepers := make([]*keeper, 0, len(p.keepers))
	for _, k := range p.keepers {
		keepers = append(keepers, k)
	}
	p.mu.Unlock()
	for _, k := range keepers {
		if u := k.present(); u != nil {
			u.monitor.Missed(userIDs...) // each counts its own users only
		}
	}
}

// currentPlan returns the plan for what is known now. It is computed again only
// if something that it depends on has changed.
func (p *Pool) currentPlan(now time.Time) Plan {
	p.mu.Lock()
	if p.planning.stale {
		p.planning.stale = false
		p.planning.version++
	}
	monitors, signature := p.candidatesLocked(now)
	if signature == p.planning.signature {
		defer p.mu.Unlock()
		return p.planning.plan
	}
	users := p.wanted
	departed := p.departedLocked(monitors)
	p.mu.Unlock()
	plan := NewPlan(users, slices.Concat(monitors, departed), p.opts.Spares)
	plan.leave(departed)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planning.plan, p.planning.signature = plan, signature
	return plan
}

// candidatesLocked returns the monitors that users can be given to, and a text
// that changes when the plan may.
func (p *Pool) candidatesLocked(now time.Time) ([]PlanMonitor, string) {
	var monitors []PlanMonitor
	failing := 0
	for id, r := range p.records {
		if k := p.keepers[id]; r.broken != nil && !r.Leaving && k != nil && k.keptElsewhere() {
			// Another process can read it: nobody comes, nobody goes.
			users := p.assignments[id].users
			monitors = append(monitors, PlanMonitor{ID: id, Capacity: max(1, len(users)), Usable: len(users) > 0, Users: users})
			continue
		}
		if r.Leaving || !r.ready() || r.Application != p.application {
			continue
		}
		if p.failingLocked(id) {
			failing++
		}
		monitors = append(monitors, PlanMonitor{ID: id, Capacity: p.opts.Monitor.Capacity, Users: p.assignments[id].users})
	}
	slices.SortFunc(monitors, func(a, b PlanMonitor) int { return strings.Compare(a.ID, b.ID) })
	// What most monitors suffer from is not a monitor's fault, and moving users
	// does not help. Afterwards they do not recover all at once.
	if 2*failing > len(monitors) {
		p.planning.outageAt = now
	}
	outage := now.Before(p.planning.outageAt.Add(p.opts.FailoverAfter))
	signature := strconv.AppendUint(make([]byte, 0, 20+34*len(monitors)), p.planning.version, 10)
	for i := range monitors {
		m := &monitors[i]
		m.Usable = m.Usable || p.usableLocked(m.ID, outage, now)
		usable := byte('-')
		if m.Usable {
			usable = '+'
		}
		signature = append(append(signature, usable), m.ID...)
	}
	return monitors, string(signature)
}

// departedLocked returns the monitors that are no candidates any more and still
// have users: they are being deleted, or belong to another application. As
// monitors that cannot be used they give their users away together.
func (p *Pool) departedLocked(candidates []PlanMonitor) (departed []PlanMonitor) {
	for id, a := range p.assignments {
		_, stays := slices.BinarySearchFunc(candidates, id, func(m PlanMonitor, id string) int { return strings.Compare(m.ID, id) })
		if !stays && len(a.users) > 0 {
			departed = append(departed, PlanMonitor{ID: id, Users: a.users})
		}
	}
	return departed
}

// leave takes the departed monitors out of the plan. For whom nobody else has
// room there is none.
func (plan *Plan) leave(departed []PlanMonitor) {
	for _, m := range departed {
		left := plan.Assignments[m.ID]
		delete(plan.Assignments, m.ID)
		if len(left) == 0 {
			continue
		}
		plan.Overflow = sortedIDs(slices.Concat(plan.Overflow, left))
		plan.Stranded = slices.DeleteFunc(slices.Clone(plan.Stranded), func(id string) bool {
			_, gone := slices.BinarySearch(left, id)
			return gone
		})
	}
}

// failingLocked reports whether something fails for the monitor, however short a
// time.
func (p *Pool) failingLocked(id string) bool {
	if k := p.keepers[id]; k != nil {
		if k.failing() {
			return true
		}
	}
	shown := p.published[id]
	return shown != nil && shown.state == StateFailing
}

// usableLocked reports whether users can be given to the monitor. One that fails
// for a reason that may pass keeps them for as long as its subscription lives,
// and for a while.
func (p *Pool) usableLocked(id string, outage bool, now time.Time) bool {
	shown := p.published[id]
	switch {
	case shown == nil:
		return true // just authorized
	case shown.state == StateFailing:
		return outage || shown.watches || now.Before(shown.since.Add(p.opts.FailoverAfter))
	default:
		return shown.state.Usable()
	}
}

// lead takes or prolongs the planner's lease and reports whether this pool is
// the planner.
func (p *Pool) lead(ctx context.Context) bool {
	now := time.Now()
	p.mu.Lock()
	until, askAt := p.planning.leaderUntil, p.planning.askAt
	p.mu.Unlock()
	if now.Before(askAt) {
		return leaseLeft(until, now) > 0
	}
	lease, err := p.store.Acquire(ctx, leasePlanner, p.holder, p.opts.LeaseTime)
	var held *HeldError
	now = time.Now()
	p.mu.Lock()
	switch {
	case err == nil:
		until, askAt = lease.Expires, now.Add(p.opts.LeaseTime/3)
	case errors.As(err, &held):
		until, askAt = time.Time{}, now.Add(min(p.opts.LeaseTime/3, max(time.Until(held.Expires), p.opts.LeaseTime/30)))
	default:
		askAt = now.Add(p.opts.LeaseTime / 10)
	}
	p.planning.leaderUntil, p.planning.askAt = until, askAt
	p.mu.Unlock()
	if err != nil && held == nil && p.noteStore(&p.storeFaults.read, err) != nil {
		p.log.WarnContext(ctx, "monitor: the store does not give the planner's lease", "error", err)
	}
	return leaseLeft(until, now) > 0
}

// yield lets another pool plan, for as long as it takes to notice, when a record
// can no longer be read here: whoever can read it plans better.
func (p *Pool) yield(ctx context.Context, now time.Time) {
	unreadable := 0
	p.mu.Lock()
	for _, r := range p.records {
		if r.broken != nil && !r.Leaving {
			unreadable++
		}
	}
	more := unreadable > p.planning.unreadable
	p.planning.unreadable = unreadable
	p.mu.Unlock()
	if more {
		p.abdicate(ctx)
		p.mu.Lock()
		p.planning.askAt = now.Add(p.opts.LeaseTime)
		p.mu.Unlock()
	}
}

// replan writes the assignments that differ from the plan, if this pool is the
// planner: first those that lose users, so that nobody is watched twice.
func (p *Pool) replan(ctx context.Context) {
	now := time.Now()
	p.mu.Lock()
	wanted, paused := p.hasWanted, now.Before(p.planning.retryAt)
	p.mu.Unlock()
	p.yield(ctx, now)
	// Who was never told whom to watch must not keep another from planning.
	if !wanted || !p.lead(ctx) || paused {
		return
	}
	plan := p.currentPlan(now)
	p.mu.Lock()
	var losing, gaining, gone []string
	for id, users := range plan.Assignments {
		a, known := p.assignments[id]
		switch {
		case known && sameUsers(a.users, users):
		case len(users) < len(a.users):
			losing = append(losing, id)
		default:
			gaining = append(gaining, id)
		}
	}
	for id := range p.assignments {
		if _, planned := plan.Assignments[id]; !planned {
			gone = append(gone, id)
		}
	}
	p.mu.Unlock()
	slices.Sort(losing)
	slices.Sort(gaining)
	slices.Sort(gone)
	if len(losing)+len(gaining)+len(gone) == 0 {
		return
	}
	err := p.writePlan(ctx, plan, gone, losing, gaining)
	p.mu.Lock()
	p.planning.retryAt = time.Time{}
	if err != nil {
		p.planning.retryAt = now.Add(time.Second)
	}
	p.mu.Unlock()
	switch {
	case errors.Is(err, ErrRevision):
		p.mark("") // another planner was faster
	case err != nil && ctx.Err() == nil:
		p.log.ErrorContext(ctx, "monitor: the plan could not be written and is tried again", "error", err)
	case err == nil:
		p.emit(ctx, Event{Kind: EventPlanned, Users: len(p.users()), Moved: plan.Moves, Monitors: len(losing) + len(gaining)})
	}
}

func (p *Pool) users() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

func (p *Pool) writePlan(ctx context.Context, plan Plan, gone, losing, gaining []string) error {
	for _, id := range gone {
		if err := p.forgetUsers(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range slices.Concat(losing, gaining) {
		value, err := encodeUsers(plan.Assignments[id])
		if err != nil {
			return err
		}
		p.mu.Lock()
		revision := p.assignments[id].revision
		p.mu.Unlock()
		err = p.put(ctx, prefixUsers+id, value, revision, func(revision uint64) {
			p.assignments[id] = newAssignment(plan.Assignments[id], revision)
			p.planning.stale = true
			p.pokeKeeperLocked(id)
			p.announceLocked()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Pool) forgetUsers(ctx context.Context, id string) error {
	p.mu.Lock()
	revision := p.assignments[id].revision
	p.mu.Unlock()
	return p.remove(ctx, prefixUsers+id, revision, func() {
		delete(p.assignments, id)
		p.planning.stale = true
	})
}

// forget deletes the record of a monitor.
func (p *Pool) forget(ctx context.Context, id string) error {
	for range attempts {
		r := p.record(id)
		if r == nil {
			return nil
		}
		err := p.remove(ctx, prefixMonitors+id, r.revision, func() {
			delete(p.records, id)
			delete(p.published, id)
			p.planning.stale = true
			p.announceLocked()
		})
		if !errors.Is(err, ErrRevision) {
			return err
		}
		if err := p.load(ctx, prefixMonitors+id); err != nil {
			return err
		}
	}
	return fmt.Errorf("monitor: store: %w", ErrRevision)
}
