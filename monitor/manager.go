package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// Run keeps the pool's monitors until ctx ends. It blocks, and returns nil when
// ctx has ended, after every subscription's upkeep has stopped. An error says
// that it could not begin: the store cannot be read, or the key does not fit it
// ([ErrWrongKey]). After it returned it may be called again.
//
// Once it has begun nothing but ctx ends it: what fails is repeated, told as an
// event and shown in the [Snapshot].
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return ErrRunning
	}
	p.running = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.running = false
		p.announceLocked()
		p.mu.Unlock()
	}()
	if err := p.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return &Error{"run", "", err}
	}
	unregister, err := p.instrument()
	if err != nil {
		return &Error{"run", "", err}
	}
	defer unregister()

	p.mu.Lock()
	p.planning.tellNotUntil = time.Now().Add(p.opts.StateSettle)
	p.planning.told = false
	p.mu.Unlock()
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(ctx) })
	p.manage(ctx)
	p.stopKeepers()
	watching.Wait()
	p.abdicate(ctx)
	return nil
}

// watch marks what changes in the store.
func (p *Pool) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.store.Watch(ctx, "", p.mark)
		if ctx.Err() != nil {
			return
		}
		p.log.WarnContext(ctx, "monitor: the watch of the store was broken off and begins again", "error", err)
		timer := time.NewTimer(5 * time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// mark notes that an entry is to be read again; an empty key is all of them.
func (p *Pool) mark(key string) {
	p.mu.Lock()
	p.dirty[key] = true
	p.mu.Unlock()
	p.poke()
}

// manage looks at everything whenever something has happened.
func (p *Pool) manage(ctx context.Context) {
	pollAt := time.Now().Add(p.opts.PollInterval)
	for ctx.Err() == nil {
		now := time.Now()
		if !now.Before(pollAt) {
			p.mark("")
			pollAt = now.Add(p.opts.PollInterval)
		}
		next := p.look(ctx, now)
		for _, at := range []time.Time{pollAt, now.Add(p.opts.LeaseTime / 3)} {
			if next.IsZero() || at.Before(next) {
				next = at
			}
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// look does what there is to do, and returns when to look again although nothing
// happens.
func (p *Pool) look(ctx context.Context, now time.Time) (next time.Time) {
	defer func() {
		if v := recover(); v != nil {
			p.log.ErrorContext(ctx, "monitor: the pool's manager panicked", "panic", secret.PanicText(v), "stack", string(debug.Stack()))
			next = now.Add(retryAfterFailure)
		}
	}()
	if !p.reload(ctx) {
		next = now.Add(time.Second)
	}
	p.employ(ctx)
	for _, at := range []time.Time{p.publish(ctx, now), p.watchFeatureSecret(ctx, now)} {
		next = sooner(next, at)
	}
	p.replan(ctx)
	next = sooner(next, p.tellUnwatched(now))
	p.mu.Lock()
	defer p.mu.Unlock()
	return sooner(next, p.planning.retryAt)
}

// sooner returns the earlier of two times, the zero time being never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// reload reads what was marked and reports whether it could.
func (p *Pool) reload(ctx context.Context) bool {
	p.mu.Lock()
	keys := make([]string, 0, len(p.dirty))
	for key := range p.dirty {
		keys = append(keys, key)
	}
	clear(p.dirty)
	p.mu.Unlock()
	if slices.Contains(keys, "") {
		keys = []string{""}
	}
	for i, key := range keys {
		if err := p.load(ctx, key); err != nil {
			p.mu.Lock()
			for _, left := range keys[i:] {
				p.dirty[left] = true
			}
			p.mu.Unlock()
			if ctx.Err() == nil {
				p.log.ErrorContext(ctx, "monitor: the store cannot be read; the monitors go on with what is known", "error", err)
			}
			return false
		}
	}
	return true
}

// employ gives every monitor a keeper, and lets those go whose monitor is gone.
func (p *Pool) employ(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, k := range p.keepers {
		select {
		case <-k.done:
			delete(p.keepers, id)
		default:
			if p.records[id] == nil {
				k.stop()
			}
		}
	}
	for id := range p.published {
		if p.records[id] == nil {
			delete(p.published, id)
		}
	}
	for id := range p.records {
		// One that is stopping still holds the lease: the next waits for it.
		if p.keepers[id] == nil {
			p.keepers[id] = p.newKeeper(ctx, id)
		}
	}
}

func (p *Pool) newKeeper(ctx context.Context, id string) *keeper {
	ctx, stop := context.WithCancel(ctx)
	k := &keeper{pool: p, id: id, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go func() {
		defer p.poke()
		k.run(ctx)
	}()
	return k
}

// stopKeepers waits until all have stopped, which ctx has asked them to.
func (p *Pool) stopKeepers() {
	p.mu.Lock()
	keepers := p.keepers
	p.keepers = make(map[string]*keeper)
	p.mu.Unlock()
	for _, k := range keepers {
		k.stop()
	}
	for _, k := range keepers {
		<-k.done
	}
}

// abdicate frees the planner's lease.
func (p *Pool) abdicate(ctx context.Context) {
	p.mu.Lock()
	leads := p.planning.leaderUntil.After(time.Now())
	p.planning.leaderUntil = time.Time{}
	p.mu.Unlock()
	if !leads {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.LeaseTime/3)
	defer cancel()
	if err := p.store.Release(ctx, leasePlanner, p.opts.Holder); err != nil {
		p.log.WarnContext(ctx, "monitor: the planner's lease could not be released; it ends by itself", "error", err)
	}
}

// emitFor emits an event about a monitor by its id.
func (p *Pool) emitFor(ctx context.Context, id string, e Event) {
	if r := p.record(id); r != nil {
		e.Monitor = r.PrincipalName
		p.emit(ctx, e)
	}
}

// emit logs an event of the pool itself and tells it.
func (p *Pool) emit(ctx context.Context, e Event) {
	e.Time = time.Now()
	if level := e.level(); p.log.Enabled(ctx, level) {
		attrs := e.attrs()
		if e.Monitor != "" {
			attrs = append(attrs, slog.String("monitor", e.Monitor))
		}
		p.log.LogAttrs(ctx, level, "monitor: "+e.message(), attrs...) //nolint:sloglint // one message for each kind of event
	}
	p.announce(ctx, e)
}

// announce tells an event, without logging it.
func (p *Pool) announce(ctx context.Context, e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	p.counted(ctx, e)
	if p.opts.OnEvent != nil {
		p.contain(ctx, "PoolOptions.OnEvent", func() { p.opts.OnEvent(e) })
	}
	p.poke()
}

// contain calls a function of the embedder's; a panic in it is logged.
func (p *Pool) contain(ctx context.Context, what string, f func()) {
	contain(ctx, p.log, what, f)
}

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
	f = &facts{record: r, application: p.application, warnings: p.opts.SecretWarnings}
	if k := p.keepers[r.id]; k != nil {
		f.live, holder, f.failure, f.failureSince = k.snapshot()
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
	if r := p.records[id]; r != nil {
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

// Snapshot is a pool at one moment.
type Snapshot struct {
	Application Application
	// Holder names this process.
	Holder string
	// Running: Run is running. Planner: this pool decides who watches whom.
	Running, Planner bool
	// Err is why the store could not be read or written last; nil if it could.
	Err error

	// Users is how many users are to be watched, Capacity how many those
	// monitors can watch that work now, Subscribed how many are watched.
	Users, Capacity, Subscribed int
	// Needed is how many monitors the users need, Missing how many more than
	// there are that work.
	Needed, Missing int
	// Unwatched are the users whom nobody watches now, sorted: Overflow are those
	// of them for whom there is no room.
	Unwatched, Overflow []string

	// FeatureSecretExpiresAt is the end of the bridge's own client secret, zero
	// where it is not known; FeatureSecretUnknown then says why.
	FeatureSecretExpiresAt time.Time
	FeatureSecretUnknown   string

	// Monitors are all monitors, by user principal name.
	Monitors []MonitorStatus
}

// Monitor returns the status of one monitor, by user principal name.
func (s Snapshot) Monitor(principalName string) (MonitorStatus, bool) {
	for _, m := range s.Monitors {
		if strings.EqualFold(m.PrincipalName, strings.TrimSpace(principalName)) {
			return m, true
		}
	}
	return MonitorStatus{}, false
}

// Snapshot returns what the pool is at. Before Run, and before the first call
// that reads the store, it has no monitors; [Pool.Load] reads it.
func (p *Pool) Snapshot() Snapshot {
	now := time.Now()
	plan := p.currentPlan(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{
		Application: p.application, Holder: p.opts.Holder, Running: p.running,
		Planner: p.running && p.planning.leaderUntil.After(now), Err: p.storeErr,
		Users: len(p.wanted), Overflow: slices.Clone(plan.Overflow), Unwatched: p.unwatchedLocked(plan),
		Needed:                 MonitorsNeeded(len(p.wanted), p.opts.Monitor.Capacity) + p.opts.Spares,
		FeatureSecretExpiresAt: p.feature.expiresAt, FeatureSecretUnknown: p.feature.unknown,
	}
	working := 0
	for _, r := range p.records {
		m := p.statusLocked(r, now)
		if m.State.Usable() && !m.Leaving {
			working++
		}
		s.Subscribed += m.Subscribed
		s.Monitors = append(s.Monitors, m)
	}
	s.Capacity = working * p.opts.Monitor.Capacity
	s.Missing = max(0, s.Needed-working)
	slices.SortFunc(s.Monitors, func(a, b MonitorStatus) int { return strings.Compare(a.PrincipalName, b.PrincipalName) })
	return s
}

func (p *Pool) statusLocked(r *record, now time.Time) MonitorStatus {
	f, holder := p.factsLocked(r)
	m := f.status(now)
	m.Keeper, m.Here = holder, holder == p.opts.Holder
	m.Users = len(p.assignments[r.id].users)
	if watches, users := f.subscribed(now); watches {
		if m.Subscribed = users; users == 0 {
			m.Subscribed = m.Users // another process's, which says no more
		}
	}
	if shown := p.published[r.id]; shown != nil {
		m.State, m.Since, m.Sentence = shown.state, shown.since, shown.sentence
	} else {
		m.State, m.Sentence, _ = derive(now, f)
	}
	m.Actions = m.State.Actions()
	if m.Leaving {
		m.Actions = nil
	}
	return m
}

// Load reads the store, so that [Pool.Snapshot] has the monitors without Run.
func (p *Pool) Load(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return &Error{"load", "", err}
	}
	if err := p.load(ctx, ""); err != nil {
		return &Error{"load", "", err}
	}
	return nil
}
