package presencebridge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// ErrRunning is returned by Run while the bridge runs, and after it has run: a
// bridge runs once.
var ErrRunning = errors.New("presencebridge: the bridge runs already or has run: make a new one")

// ErrUnknownUser is matched by the errors of methods that were asked about a
// user who is not in the roster.
var ErrUnknownUser = errors.New("presencebridge: no such user in the roster")

// Bridge keeps the people of one customer in step. Several bridges in one
// process share nothing. Its methods are safe for concurrent use.
type Bridge struct {
	sides    Sides
	opts     Options
	settings settings
	metrics  *metrics

	teamsRead, lineRead, statusRead *lane
	teamsWrite, statusWrite         *lane
	lanes                           []*lane
	reading                         [readings]*lane
	writing                         [destinations]*lane
	clock                           *agenda

	mu       sync.Mutex
	started  bool
	stopping bool
	// ending is closed when Run is to end; nil before Run.
	ending    <-chan struct{}
	direction Direction
	people    map[string]*person // by Entra object id
	endpoints map[string]string  // endpoint to Entra object id
	principal map[string]string  // CloudLink principal id to Entra object id
	emails    map[string]string  // e-mail address to Entra object id
	overrides map[string]Direction
	roster    presence.Roster
	loadedAt  time.Time
	watcher   Watcher
	// unwatched is what TeamsUnwatched said last, and statements how often it was
	// called. overflow is what SetUsers has returned since then.
	unwatched, overflow map[string]bool
	statements          uint64
	syncs               map[*syncRun]struct{}
	resets              map[*resetRun]struct{}
	directory           Health // of the directory
	// emptySince is since when the directory lists nobody, against the roster.
	emptySince time.Time

	// watching is held while the watcher is told whom to watch, so that it is told
	// in order. It is taken before mu. What a watcher may call back must not need it.
	watching sync.Mutex

	// refresh asks for the roster; loaded is closed once it has been read.
	refresh chan struct{}
	loaded  chan struct{}
	// rewatched holds one: others than before may be unwatched.
	rewatched chan struct{}
	// stopped is closed when Run ends.
	stopped chan struct{}
}

// person is what the bridge holds of one user. Bridge.mu guards it.
type person struct {
	user presence.User
	view view
	// asked is what Options.DirectionOf said, and own the user's direction.
	asked, own Direction
	// limited are the directions that the roster says do not work.
	limited limits
	// removed: not in the roster any more; stays until its session is cleared.
	removed bool
	table   *presence.Table
	rules   rules
	// ruled is what changed the rules last.
	ruled   Cause
	verdict verdict
	// pending are the causes of the readings that are to be made.
	pending [readings]Cause
	// underway are the readings that a worker makes at the moment.
	underway [readings]bool
	// attempts per lane, for the pauses after failures.
	attempts map[*lane]*attempt
	// missedAt is when a reading found a change whose notification is to come.
	missedAt time.Time
	// notifiedAt is when the last notification of Teams came, or the user came to
	// be watched: of what was before it, no notification is missed.
	notifiedAt time.Time
	// toldAt is when the last notification of Teams came; zero if none did.
	toldAt time.Time
	writes []Write // the last ones, for Explain
}

// New makes a bridge of the sides. It returns all faults of the options at once.
func New(sides Sides, opts *Options) (*Bridge, error) {
	if opts == nil {
		opts = &Options{}
	}
	o, err := opts.withDefaults(sides)
	if err != nil {
		return nil, err
	}
	b := &Bridge{
		sides: sides, opts: o, direction: o.Direction,
		settings:  settings{lifetime: o.SessionLifetime, echoWindow: o.EchoWindow, damping: o.Damping, dryRun: o.DryRun},
		people:    make(map[string]*person),
		endpoints: make(map[string]string),
		principal: make(map[string]string),
		emails:    make(map[string]string),
		overrides: make(map[string]Direction),
		syncs:     make(map[*syncRun]struct{}),
		resets:    make(map[*resetRun]struct{}),
		refresh:   make(chan struct{}, 1),
		loaded:    make(chan struct{}),
		rewatched: make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		directory: Health{Connection: "directory", State: StateUnused},
	}
	b.clock = newAgenda(b.awaken)
	// A bulk read takes as many users as one request may name. Two at a time,
	// so that a slow answer does not hold up the next notification.
	b.teamsRead = newLane("teams-read", 2, presence.MaxSubscriptionUsers, o.MaxBackoff)
	b.lineRead = newLane("phone-read", o.Workers, 1, o.MaxBackoff)
	b.statusRead = newLane("micollab-read", o.Workers, 1, o.MaxBackoff)
	b.teamsWrite = newLane("teams-write", o.Workers, 1, o.MaxBackoff)
	b.statusWrite = newLane("micollab-write", o.Workers, 1, o.MaxBackoff)
	b.lanes = []*lane{b.teamsRead, b.lineRead, b.statusRead, b.teamsWrite, b.statusWrite}
	b.reading = [readings]*lane{ofTeams: b.teamsRead, ofLines: b.lineRead, ofStatus: b.statusRead}
	b.writing = [destinations]*lane{toTeams: b.teamsWrite, toMiCollab: b.statusWrite}
	b.teamsRead.work = b.readTeams
	b.lineRead.work = b.each(b.lineRead, b.readLines)
	b.statusRead.work = b.each(b.statusRead, b.readStatus)
	b.teamsWrite.work = b.each(b.teamsWrite, b.writeTeams)
	b.statusWrite.work = b.each(b.statusWrite, b.writeStatus)
	for _, l := range b.lanes {
		l.changed = b.healthChanged
	}
	if b.metrics, err = newMetrics(b, o.MeterProvider); err != nil {
		return nil, fmt.Errorf("presencebridge: cannot make the instruments: %w", err)
	}
	return b, nil
}

func (b *Bridge) healthChanged(h Health) {
	if h.State == StateHealthy || h.State == StateUnused {
		b.opts.Logger.Info("connection is healthy", "bridge", b.opts.Name, "connection", h.Connection)
	} else {
		b.opts.Logger.Warn("connection is not healthy", "bridge", b.opts.Name, "connection", h.Connection, "state", h.State, "error", h.Error, "pausedUntil", h.PausedUntil)
	}
	if b.opts.Hooks.HealthChanged != nil {
		b.tell("Hooks.HealthChanged", func() { b.opts.Hooks.HealthChanged(h) })
	}
}

// tell calls a function of the embedder, without a lock held. A panic in it is
// logged and stops nothing.
func (b *Bridge) tell(name string, call func()) {
	defer func() {
		if r := recover(); r != nil {
			// The value may hold anything, a secret too; the stack holds code only.
			b.opts.Logger.Error("a function of the embedder panicked", "bridge", b.opts.Name, "function", name, "type", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
		}
	}()
	call()
}

// Run keeps everybody in step until ctx ends. It reads the roster, then
// everybody's state, and from then on what notifications and the regular
// reading bring. Faults of the sides do not end it: they are tried again, are
// logged, and show in Health. It returns nil once ctx has ended and the clean-up
// is done, or an error that says what could not be cleaned up.
func (b *Bridge) Run(ctx context.Context) error {
	b.mu.Lock()
	if b.started {
		b.mu.Unlock()
		return ErrRunning
	}
	b.started, b.ending = true, ctx.Done()
	b.mu.Unlock()
	if stop, err := b.metrics.observe(b); err == nil {
		defer stop()
	} else {
		// People are kept in step all the same.
		b.opts.Logger.ErrorContext(ctx, "the gauges are missing", "bridge", b.opts.Name, "error", err)
	}

	work, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	start := func(f func(context.Context)) { running.Go(func() { f(work) }) }
	for _, l := range b.lanes {
		for range l.workers {
			start(l.run)
		}
	}
	start(b.clock.run)
	start(b.keepRoster)
	start(b.tellUnwatched)
	for _, s := range b.sweeps() {
		start(s.run)
	}
	<-ctx.Done()
	cancel()
	running.Wait()
	return b.cleanUp(context.WithoutCancel(ctx))
}

// endingLocked reports whether Run is to end.
func (b *Bridge) endingLocked() bool {
	select {
	case <-b.ending:
		return true
	default:
		return false
	}
}

// cleanUp clears the open sessions, unless they are to be kept.
func (b *Bridge) cleanUp(ctx context.Context) error {
	b.mu.Lock()
	b.stopping = true
	close(b.stopped)
	var open []string
	for id, p := range b.people {
		if p.view.session.possible() {
			open = append(open, id)
		}
	}
	for run := range b.syncs {
		run.end(ErrStopped)
	}
	for run := range b.resets {
		run.end(b, time.Now(), ErrStopped)
	}
	b.mu.Unlock()
	if len(open) == 0 || b.opts.KeepSessionsOnStop || b.opts.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.StopTimeout)
	defer cancel()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		faults  []error
		next    = make(chan string)
	)
	for range b.opts.Workers {
		running.Go(func() {
			for id := range next {
				if err := b.clearUntil(ctx, id); err != nil {
					mu.Lock()
					faults = append(faults, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, id := range open {
		next <- id
	}
	close(next)
	running.Wait()
	if len(faults) > 0 {
		// One error is as telling as a thousand equal ones.
		return fmt.Errorf("presencebridge: %d of %d Teams sessions could not be cleared and lapse within %v: %w", len(faults), len(open), b.opts.SessionLifetime, faults[0])
	}
	return nil
}

// Loaded returns a channel that is closed once the roster has been read for the
// first time.
func (b *Bridge) Loaded() <-chan struct{} { return b.loaded }

// Roster returns the roster as it was read last: who is kept in step, and who is
// left out and why.
func (b *Bridge) Roster() presence.Roster {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.roster
}

// Health returns the condition of every connection.
func (b *Bridge) Health() []Health {
	b.mu.Lock()
	all := []Health{b.directory}
	b.mu.Unlock()
	for _, l := range b.lanes {
		all = append(all, l.snapshot())
	}
	return all
}

// Direction returns the account's direction.
func (b *Bridge) Direction() Direction {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.direction
}

// SetDirection changes the account's direction, while the bridge runs or before.
// Going to OneWay leaves the MiCollab statuses as they are; going to Off clears
// the bridge's Teams sessions as well. It returns an error for a direction that
// the sides do not allow.
func (b *Bridge) SetDirection(d Direction) error {
	if err := b.checkDirection(d); err != nil {
		return err
	}
	b.mu.Lock()
	b.direction = d
	ids := b.redirectLocked(nil)
	b.mu.Unlock()
	b.afterRedirect(ids)
	return nil
}

// SetUserDirection narrows the direction for one user: presence flows only where
// the account and the user both allow it. It holds until ResetUserDirection, also
// when the user leaves the roster and comes back. userID is the Entra object id.
func (b *Bridge) SetUserDirection(userID string, d Direction) error {
	if err := b.checkDirection(d); err != nil {
		return err
	}
	b.mu.Lock()
	b.overrides[userID] = d
	ids := b.redirectLocked(&userID)
	b.mu.Unlock()
	b.afterRedirect(ids)
	return nil
}

// ResetUserDirection gives the user back the direction of Options.DirectionOf.
func (b *Bridge) ResetUserDirection(userID string) {
	b.mu.Lock()
	delete(b.overrides, userID)
	ids := b.redirectLocked(&userID)
	b.mu.Unlock()
	b.afterRedirect(ids)
}

func (b *Bridge) checkDirection(d Direction) error {
	if !d.valid() {
		return fmt.Errorf("presencebridge: unknown %v: use OneWay, Bidirectional or Off", d)
	}
	if d == Bidirectional && b.sides.Statuses == nil {
		return errors.New("presencebridge: bidirectional needs Sides.Statuses: make the bridge with a client of package micollab")
	}
	return nil
}

// redirectLocked derives the rules of one user, or of all, anew, and returns
// whom it touched.
func (b *Bridge) redirectLocked(userID *string) []string {
	var ids []string
	for id, p := range b.people {
		if userID == nil || id == *userID {
			b.ruleLocked(p, Cause{Trigger: TriggerRequest, ReceivedAt: time.Now()})
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *Bridge) afterRedirect(ids []string) {
	b.look(TriggerRequest, ids...)
	b.updateWatcher()
}

// ruleLocked derives what holds for a person from the account, the user and
// the capabilities of the telephone system.
// It reports whether the rules changed, which is then the cause of what follows.
func (b *Bridge) ruleLocked(p *person, cause Cause) (changed bool) {
	p.own = p.asked
	if d, ok := b.overrides[p.user.TeamsID]; ok {
		p.own = d
	}
	d := b.direction.narrower(p.own)
	p.table = b.opts.Mapping.For(p.user)
	before := p.rules
	p.rules = b.rulesFor(d, p)
	if p.rules == before {
		return false
	}
	p.ruled = cause
	return true
}

func (b *Bridge) rulesFor(d Direction, p *person) rules {
	r := rules{table: p.table}
	switch {
	case p.removed, d == Off:
		r.teamsBlock, r.statusBlock = BlockOff, BlockOff
		return r
	case len(p.user.Endpoints) == 0:
		r.teamsBlock = BlockNoEndpoint
	case p.limited.line != BlockNone:
		r.teamsBlock = p.limited.line
	default:
		r.phoneToTeams = true
	}
	switch {
	case d == OneWay:
		r.statusBlock = BlockOneWay
	case p.limited.status != BlockNone:
		r.statusBlock = p.limited.status
	default:
		r.teamsToMiCollab = true
	}
	return r
}
