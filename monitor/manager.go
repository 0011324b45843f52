package monitor

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// Run keeps the pool's monitors until ctx ends. It blocks, and returns nil when
// ctx has ended, after every subscription's upkeep has stopped. An error says
// that it could not begin: the store cannot be read, or the key does not fit it
// ([ErrWrongKey]). After it returned it may be called again.
//
// Until the first call of [Pool.SetUsers] the monitors go on watching whom the
// store says, so that a restart loses nothing. A process that only manages
// monitors need not run, and should not: two notification URLs on one store would
// replace each other's subscriptions.
//
// Once it has begun nothing but ctx ends it: what fails is repeated, told as an
// event and shown in the [Snapshot].
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return ErrRunning
	}
	p.running, p.applied = true, false
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.running = false
		// They settle anew, as of a process that has just started.
		clear(p.published)
		p.announceLocked()
		p.mu.Unlock()
	}()
	err := p.open(ctx)
	if err != nil {
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
	// What was said before, by this or another process, does not hold any more.
	p.planning.unwatched = unwatchedUsers{}
	p.mu.Unlock()
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(ctx) })
	p.manage(ctx)
	p.stopKeepers()
	watching.Wait()
	p.abdicate(ctx)
	p.tellNobodyIsWatched()
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
			// One step of one monitor wakes several times: look once.
			timer.Reset(gather)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			select {
			case <-p.wake:
			default:
			}
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// gather is for how long wake-ups are collected: nobody waits for a look, and
// each goes over all monitors.
const gather = 20 * time.Millisecond

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
		next = now.Add(p.opts.LeaseTime / 10)
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
			told := p.unreadable
			p.unreadable = true
			p.mu.Unlock()
			if ctx.Err() == nil && !told {
				p.log.ErrorContext(ctx, "monitor: the store cannot be read; the monitors go on with what is known for as long as their leases last", "error", err)
			}
			return false
		}
	}
	p.mu.Lock()
	was := p.unreadable
	p.unreadable = false
	p.mu.Unlock()
	if was {
		p.log.InfoContext(ctx, "monitor: the store can be read again")
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

// keeperOf returns a keeper that does not run.
func (p *Pool) keeperOf(id string) *keeper {
	return &keeper{pool: p, id: id, name: uniqueHolder(p.opts.Holder), wake: make(chan struct{}, 1)}
}

func (p *Pool) newKeeper(ctx context.Context, id string) *keeper {
	ctx, stop := context.WithCancel(ctx)
	k := p.keeperOf(id)
	k.stop, k.done = stop, make(chan struct{})
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
	p.planning.leaderUntil, p.planning.askAt = time.Time{}, time.Time{}
	p.mu.Unlock()
	if !leads {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.LeaseTime/3)
	defer cancel()
	if err := p.store.Release(ctx, leasePlanner, p.holder); err != nil {
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
