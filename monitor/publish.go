package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// publication is what is shown of a monitor.
type publication struct {
	state    State
	watches  bool
	since    time.Time
	sentence string
	warning  time.Duration
	// different is what has been the case since, but not for long enough.
	different      visible
	differentSince time.Time
}

// visible is what must last before it is shown.
type visible struct {
	state   State
	watches bool
}

// factsLocked gathers what the state of a monitor is derived from.
func (p *Pool) factsLocked(r *record) (f *facts, holder string) {
	f = &facts{record: r, application: p.application, warnings: p.opts.SecretWarnings, assigned: len(p.assignments[r.id].users)}
	if k := p.keepers[r.id]; k != nil {
		f.live, holder, f.failure = k.snapshot()
		f.here = holder == k.name
	}
	return f, holder
}

// publish derives the state of every monitor and shows those that have settled.
// It returns when to look again.
func (p *Pool) publish(ctx context.Context, now time.Time) (next time.Time) {
	var events []Event
	p.mu.Lock()
	for _, r := range p.records {
		told, at := p.publishLocked(r, now, p.opts.StateSettle)
		events = append(events, told...)
		next = sooner(next, at)
	}
	p.mu.Unlock()
	slices.SortFunc(events, func(a, b Event) int { return strings.Compare(a.Monitor, b.Monitor) })
	for _, e := range events {
		p.emit(ctx, e)
	}
	return next
}

// publishNow shows the state of one monitor at once: an administrator has just
// caused it.
func (p *Pool) publishNow(id string) {
	p.mu.Lock()
	var events []Event
	if r := p.records[id]; r != nil && p.running {
		events, _ = p.publishLocked(r, time.Now(), 0)
	}
	p.mu.Unlock()
	for _, e := range events {
		p.emit(context.Background(), e)
	}
}

func (p *Pool) publishLocked(r *record, now time.Time, settle time.Duration) (events []Event, next time.Time) {
	f, _ := p.factsLocked(r)
	state, sentence, next := derive(now, f)
	watches, _ := f.subscribed(now)
	seen := visible{state, watches}
	shown := p.published[r.id]
	switch {
	case shown == nil:
		shown = &publication{}
		p.published[r.id] = shown
	case seen == (visible{shown.state, shown.watches}):
		shown.sentence, shown.different = sentence, visible{}
		return append(events, warn(r, shown, f, now)...), next
	default:
		if shown.different != seen {
			shown.different, shown.differentSince = seen, now
		}
		if due := shown.differentSince.Add(settle); now.Before(due) {
			return nil, sooner(next, due)
		}
	}
	if shown.state != state {
		events = append(events, Event{Kind: EventStateChanged, Monitor: r.PrincipalName, State: state, Was: shown.state, Sentence: sentence})
		shown.state, shown.since = state, wall(now)
	}
	shown.watches, shown.sentence, shown.different = watches, sentence, visible{}
	return append(events, warn(r, shown, f, now)...), next
}

// warn returns the event of a warning that the client secret has reached.
func warn(r *record, shown *publication, f *facts, now time.Time) []Event {
	reached := warningAt(r.SecretExpiresAt, now, f.warnings).Reached
	was := shown.warning
	shown.warning = reached
	if reached == was || reached == 0 {
		return nil
	}
	return []Event{{Kind: EventSecretExpiring, Monitor: r.PrincipalName, State: shown.state, ExpiresAt: r.SecretExpiresAt,
		Sentence: fmt.Sprintf("The client secret ends in %s. Create a new one in Entra and renew the monitor with it.", days(r.SecretExpiresAt.Sub(now)))}}
}

// watchFeatureSecret warns of the end of the bridge's own client secret.
func (p *Pool) watchFeatureSecret(ctx context.Context, now time.Time) time.Time {
	p.mu.Lock()
	ends, was := p.feature.expiresAt, p.feature.warned
	warning := warningAt(ends, now, p.opts.SecretWarnings)
	reached := warningReached{warning.Due, warning.Reached}
	if reached.before == 0 && p.feature.unknown != "" {
		reached.due = false // it may be another one that has expired
	}
	p.feature.warned = reached
	p.mu.Unlock()
	if reached != was && reached.due {
		left := "ends in " + days(ends.Sub(now))
		if reached.before == 0 {
			left = "has expired"
		}
		p.emit(ctx, Event{Kind: EventSecretExpiring, ExpiresAt: ends,
			Sentence: "The client secret of the bridge itself " + left + ". Create a new one in Entra and configure it."})
	}
	return warning.Next
}
