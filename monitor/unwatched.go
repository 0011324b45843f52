package monitor

import (
	"context"
	"slices"
	"time"
)

// tellUnwatched tells the sink who is not watched, if that has changed for a
// while, and returns when to look again.
func (p *Pool) tellUnwatched(now time.Time) time.Time {
	sink, ok := p.sink.(UnwatchedSink)
	if !ok {
		return time.Time{}
	}
	plan := p.currentPlan(now)
	p.mu.Lock()
	if !p.hasWanted {
		p.mu.Unlock()
		return time.Time{}
	}
	users, due := p.planning.unwatched.look(p.unwatchedLocked(plan, now), now, p.opts.StateSettle)
	p.mu.Unlock()
	if users != nil {
		p.contain(context.Background(), "Sink.TeamsUnwatched", func() { sink.TeamsUnwatched(slices.Clone(*users)) })
	}
	return due
}

// look takes what is the case now, and returns what is to be told, nil if nothing
// is, or when to look again.
func (u *unwatchedUsers) look(users []string, now time.Time, settle time.Duration) (tell *[]string, due time.Time) {
	if u.told && slices.Equal(users, u.users) {
		u.different, u.differentFrom, u.differentAt = nil, time.Time{}, time.Time{}
		return nil, time.Time{}
	}
	if u.differentFrom.IsZero() {
		u.differentFrom = now
	}
	if u.differentAt.IsZero() || !slices.Equal(users, u.different) {
		u.different, u.differentAt = users, now
	}
	due = earliest(u.differentAt.Add(settle), u.differentFrom.Add(settleMost*settle))
	if now.Before(due) {
		return nil, due
	}
	*u = unwatchedUsers{users: users, told: true}
	return &u.users, time.Time{}
}

// tellNobodyIsWatched tells the sink at the end of Run that it hears of nobody
// any more, whatever subscriptions are left for another process.
func (p *Pool) tellNobodyIsWatched() {
	sink, ok := p.sink.(UnwatchedSink)
	p.mu.Lock()
	users := p.wanted
	tell := ok && p.hasWanted && !slices.Equal(users, p.planning.unwatched.users)
	p.planning.unwatched = unwatchedUsers{users: users, told: true}
	p.mu.Unlock()
	if tell {
		p.contain(context.Background(), "Sink.TeamsUnwatched", func() { sink.TeamsUnwatched(slices.Clone(users)) })
	}
}

// unwatchedLocked returns the users of the plan that no living subscription
// watches, whatever is planned.
func (p *Pool) unwatchedLocked(plan Plan, now time.Time) []string {
	missing, surplus := slices.Clone(plan.Overflow), map[string]bool{}
	for id, users := range plan.Assignments {
		watched := p.watchedLocked(id, now)
		if sameUsers(users, watched) {
			continue
		}
		missing = append(missing, without(users, watched)...)
		// Somebody may be on the way from one subscription to another.
		for _, user := range without(watched, users) {
			surplus[user] = true
		}
	}
	missing = slices.DeleteFunc(missing, func(id string) bool { return surplus[id] })
	slices.Sort(missing)
	return missing
}

// watchedLocked returns whom a monitor's subscription watches, sorted. Of another
// process's it is known that they are just the users it was given, or nothing.
func (p *Pool) watchedLocked(id string, now time.Time) []string {
	r, k := p.records[id], p.keepers[id]
	if r == nil {
		return nil
	}
	if k != nil {
		if here, watched, certain := k.watched(); here {
			return watched
		} else if !certain {
			return nil // nobody can tell who hears its notifications
		}
	}
	if r.broken != nil && (k == nil || !k.keptElsewhere()) {
		return nil
	}
	a := p.assignments[id]
	if s := r.Subscription; s == nil || !s.ExpiresAt.After(now) || s.Users != a.digest {
		return nil
	}
	return a.users
}

// watched returns whom the monitor's subscription watches, if it is kept here.
// certain is false where the store does not tell who keeps it.
func (k *keeper) watched() (here bool, users []string, certain bool) {
	k.mu.Lock()
	u := k.running
	here, certain = k.holder == k.name, k.noLease.err == nil
	k.mu.Unlock()
	if u != nil {
		users = u.monitor.watched()
	}
	return here, users, certain
}

// watched returns whom the present subscription watches, sorted; they must not be
// changed.
func (m *Monitor) watched() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.subscription.UserIDs
}

// without returns those of a that are not in b; both are sorted.
func without(a, b []string) (rest []string) {
	if len(b) == 0 {
		return slices.Clone(a)
	}
	for _, id := range a {
		for len(b) > 0 && b[0] < id {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != id {
			rest = append(rest, id)
		}
	}
	return rest
}
