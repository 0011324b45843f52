package monitor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/presence"
)

// Dependencies are what a [Pool] works with. All are required.
type Dependencies struct {
	// Store keeps the monitors. Pools on one store share them: each monitor is
	// kept by one pool at a time.
	Store Store
	// Sealer seals secrets and tokens before they reach the store.
	Sealer *Sealer
	// Entra is Microsoft Entra and Microsoft Graph; package entra has one.
	Entra Entra
	// Routes is the notification handler.
	Routes Routes
	// Sink learns whom to look at; the bridge is one. If it is an
	// [UnwatchedSink], it also learns whom nobody watches.
	Sink Sink
}

// UnwatchedSink is a [Sink] that wants to know who is not watched.
type UnwatchedSink interface {
	// TeamsUnwatched: these users, sorted, and no others are wanted but watched
	// by no subscription. It is told the whole list each time it has changed,
	// never two at a time, and must not block.
	TeamsUnwatched(userIDs []string)
}

// PoolOptions configure a [Pool]. The zero value of every field is its default.
type PoolOptions struct {
	// Logger takes one line for each [Event]. Default: discard.
	Logger *slog.Logger
	// OnEvent is told of everything that happens to monitors and their
	// subscriptions. It is called concurrently and must not block. Default:
	// nobody is told.
	OnEvent func(Event)
	// MeterProvider makes the pool's instruments: see the package comment.
	// Default: the global provider of OpenTelemetry, which does nothing until
	// one is installed.
	MeterProvider metric.MeterProvider

	// Monitor are the settings of each monitor's subscription. Its Logger,
	// OnEvent, Memory and KeepOnStop are the pool's own business and are not used.
	Monitor Options

	// Spares is how many authorized monitors are held in reserve, without
	// users, to take over those of a monitor that fails. A reserve is used
	// before anybody is left unwatched. Default: 0.
	Spares int
	// FailoverAfter is for how long a monitor must have been failing, for a
	// reason that may pass, and its subscription be gone, until others take its
	// users over. While most monitors fail, nobody is moved. Default: 5 minutes.
	FailoverAfter time.Duration
	// DeleteOnStop deletes the subscriptions when Run ends, for a pool that
	// will not be started again soon. Default: false, the next start, or
	// another process, adopts them.
	DeleteOnStop bool

	// Holder names this process among those that share the store, for people and
	// for leases: no two may have the same. Default: a random name.
	Holder string
	// LeaseTime is how long a monitor stays without a keeper when its process
	// dies. Leases are prolonged three times as often. At least 3 seconds.
	// Default: 30 seconds.
	LeaseTime time.Duration
	// PollInterval is how often the store is read as a whole, in case its watch
	// missed something. Default: 5 minutes.
	PollInterval time.Duration

	// SignInLifetime is how long an authorization URL may be used. Default: 1 hour.
	SignInLifetime time.Duration
	// SignInPage writes what the one who signed in gets to see; err is nil
	// where it succeeded. Default: a few words of plain text.
	SignInPage func(w http.ResponseWriter, r *http.Request, principalName string, err error)

	// CheckInterval is how often the directory is asked about a monitor's
	// account and client secret. Default: 6 hours.
	CheckInterval time.Duration
	// RefreshInterval is how often a refresh token is used at least, so that it
	// does not end for lack of use after [RefreshTokenLifetime]. Default: 24 hours.
	RefreshInterval time.Duration
	// SecretDescription is what the descriptions of the application's client
	// secrets have in common with the integration: its name. Default: secrets are
	// found by their first characters alone.
	SecretDescription string
	// SecretWarnings are how long before a client secret's end is warned of it.
	// Default: 60, 30, 7 and 1 days.
	SecretWarnings []time.Duration
	// FeatureSecret is the client secret with which the bridge itself signs in.
	// Its end is watched as well. Default: none.
	FeatureSecret presence.Secret

	// StateSettle is how long a state must last to be published, except a
	// monitor's first and those that an administrator has just caused.
	// Negative: at once. Default: 10 seconds.
	StateSettle time.Duration
}

func (o *PoolOptions) withDefaults(notificationURL string) (PoolOptions, error) {
	var c PoolOptions
	if o != nil {
		c = *o
	}
	var faults []error
	positive := func(name string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			faults = append(faults, fmt.Errorf("%s is %s: use a positive duration, or 0 for %s", name, *d, def))
		}
		orDefault(d, def)
	}
	positive("FailoverAfter", &c.FailoverAfter, 5*time.Minute)
	positive("LeaseTime", &c.LeaseTime, 30*time.Second)
	positive("PollInterval", &c.PollInterval, 5*time.Minute)
	positive("SignInLifetime", &c.SignInLifetime, time.Hour)
	positive("CheckInterval", &c.CheckInterval, 6*time.Hour)
	positive("RefreshInterval", &c.RefreshInterval, 24*time.Hour)
	if c.LeaseTime > 0 && c.LeaseTime < 3*time.Second {
		faults = append(faults, fmt.Errorf("LeaseTime is %s: use at least 3s", c.LeaseTime))
	}
	if c.RefreshInterval > RefreshTokenLifetime/2 {
		faults = append(faults, fmt.Errorf("RefreshInterval is %s: an unused refresh token lives %s, so use half of it at most", c.RefreshInterval, RefreshTokenLifetime))
	}
	if c.Spares < 0 {
		faults = append(faults, fmt.Errorf("Spares is %d: it cannot be negative", c.Spares))
	}
	for _, w := range c.SecretWarnings {
		if w <= 0 {
			faults = append(faults, fmt.Errorf("SecretWarnings has %s: use positive durations", w))
		}
	}
	var err error
	if c.Monitor, err = c.Monitor.withDefaults(notificationURL); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return PoolOptions{}, errors.Join(faults...)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Holder, strings.ToLower(rand.Text()))
	orDefault(&c.StateSettle, 10*time.Second)
	c.StateSettle = max(c.StateSettle, 0)
	if len(c.SecretWarnings) == 0 {
		c.SecretWarnings = secretWarnings()
	}
	if c.SignInPage == nil {
		c.SignInPage = plainPage
	}
	// What outlives a lease could act beside its next keeper.
	c.Monitor.StopTimeout = min(c.Monitor.StopTimeout, c.LeaseTime/3)
	return c, nil
}

// Pool keeps any number of users watched by as few monitors as needed. Make one
// with [NewPool]. Its functions may be called by any goroutine, before, during
// and after Run; those that change a monitor read and write the store, and
// block until ctx ends at most.
type Pool struct {
	configured Application
	url        string
	store      Store
	sealer     *Sealer
	entra      Entra
	routes     Routes
	sink       Sink
	opts       PoolOptions
	log        *slog.Logger
	metrics    *metrics
	wake       chan struct{} // holds one: the manager has something to look at

	mu          sync.Mutex
	running     bool
	ready       bool // the store has been read once
	application Application
	appRevision uint64
	records     map[string]*record // by id; never changed in place
	assignments map[string]assignment
	// generation counts what this process has written, so that a listing that
	// began before cannot undo it.
	generation uint64
	dirty      map[string]bool // keys to be read again; "" is all
	changed    chan struct{}   // closed, and made anew, with each change
	keepers    map[string]*keeper
	published  map[string]*publication
	storeErr   error // why the store could not be read or written last
	feature    featureSecret

	wanted    []string // sorted, distinct
	hasWanted bool
	planning  planning
}

// NewPool returns a pool for the monitors of one application. It sends nothing
// and reads nothing. notificationURL is where Microsoft Graph sends to; it leads
// to the routes of this process.
//
// All faults of the arguments are returned at once.
func NewPool(app Application, notificationURL string, deps Dependencies, opts *PoolOptions) (*Pool, error) {
	o, err := opts.withDefaults(notificationURL)
	faults := []error{err, app.check()}
	instruments, err := newMetrics(o.MeterProvider)
	faults = append(faults, err)
	need := func(missing bool, text string) {
		if missing {
			faults = append(faults, errors.New(text))
		}
	}
	u, err := url.Parse(notificationURL)
	need(err != nil || u.Scheme == "", "notification URL is not absolute: give the public HTTPS URL of the notification handler")
	need(deps.Store == nil, "Store is nil: use NewMemoryStore, or Open of package boltstore")
	need(deps.Sealer == nil, "Sealer is nil: make one with NewSealer and a key that is kept elsewhere than the store")
	need(deps.Entra == nil, "Entra is nil: make one with package entra")
	need(deps.Routes == nil, "Routes is nil: give the notification handler")
	need(deps.Sink == nil, "Sink is nil: nobody would learn of changes")
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("monitor: new pool: %w", err)
	}
	return &Pool{
		configured:  app,
		application: app,
		url:         notificationURL,
		store:       deps.Store,
		sealer:      deps.Sealer,
		entra:       deps.Entra,
		routes:      deps.Routes,
		sink:        deps.Sink,
		opts:        o,
		log:         o.Logger.With("pool", o.Holder),
		metrics:     instruments,
		wake:        make(chan struct{}, 1),
		records:     make(map[string]*record),
		assignments: make(map[string]assignment),
		dirty:       make(map[string]bool),
		changed:     make(chan struct{}),
		keepers:     make(map[string]*keeper),
		published:   make(map[string]*publication),
	}, nil
}

func (a Application) check() error {
	var faults []error
	if strings.TrimSpace(a.TenantID) == "" {
		faults = append(faults, errors.New("the tenant id is empty: copy the directory (tenant) ID from the application's overview in Entra"))
	}
	if strings.TrimSpace(a.ClientID) == "" {
		faults = append(faults, errors.New("the client id is empty: copy the application (client) ID from the application's overview in Entra"))
	}
	return errors.Join(faults...)
}

// poke makes the manager look. Called with or without mu.
func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// announceLocked wakes those who wait for a change.
func (p *Pool) announceLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
	p.poke()
}

// open reads the store if nobody has yet, and makes sure that the key fits.
func (p *Pool) open(ctx context.Context) error {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if ready {
		return nil
	}
	if err := p.checkKey(ctx); err != nil {
		return err
	}
	if err := p.load(ctx, ""); err != nil {
		return err
	}
	if err := p.applyConfigured(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.ready = true
	p.mu.Unlock()
	return nil
}

// checkKey compares the key with the one that the store was begun with: it must
// be noticed before anything is overwritten that another key would open.
func (p *Pool) checkKey(ctx context.Context) error {
	for range attempts {
		entries, err := p.store.List(ctx, keyCheck)
		if err != nil {
			return p.noteStore(err)
		}
		if len(entries) > 0 {
			_, err := p.sealer.Open(entries[0].Value, keyCheck)
			if err != nil {
				return fmt.Errorf("monitor: the key does not fit the store: %w", err)
			}
			return nil
		}
		sealed := p.sealer.Seal([]byte("presencebridge"), keyCheck)
		if _, err = p.store.Put(ctx, keyCheck, sealed, 0); err == nil || !errors.Is(err, ErrRevision) {
			return p.noteStore(err)
		}
	}
	return ErrRevision
}

// attempts is how often a write is tried that others get in the way of.
const attempts = 32

// noteStore remembers whether the store works.
func (p *Pool) noteStore(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.storeErr = nil
		return nil
	}
	if !errors.Is(err, ErrRevision) && !errors.Is(err, context.Canceled) {
		p.storeErr = err
	}
	return fmt.Errorf("monitor: store: %w", err)
}

// load reads one entry, or with an empty key all of them.
func (p *Pool) load(ctx context.Context, key string) error {
	for {
		p.mu.Lock()
		before := p.generation
		p.mu.Unlock()
		entries, err := p.store.List(ctx, key)
		if p.noteStore(err) != nil {
			return fmt.Errorf("monitor: store: %w", err)
		}
		read := p.decode(entries)
		p.mu.Lock()
		if p.generation != before {
			p.mu.Unlock()
			continue
		}
		changed := p.applyLocked(key, read)
		if changed {
			p.announceLocked()
		}
		p.mu.Unlock()
		return nil
	}
}

// decoded are entries that have been read.
type decoded struct {
	records     map[string]*record
	assignments map[string]assignment
	application *Application
	appRevision uint64
}

func (p *Pool) decode(entries []Entry) decoded {
	d := decoded{records: make(map[string]*record), assignments: make(map[string]assignment)}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Key, prefixMonitors):
			p.mu.Lock()
			known := p.records[strings.TrimPrefix(e.Key, prefixMonitors)]
			p.mu.Unlock()
			if known != nil && known.revision == e.Revision {
				d.records[known.id] = known
				continue
			}
			r := decodeRecord(e, p.sealer)
			d.records[r.id] = r
		case strings.HasPrefix(e.Key, prefixUsers):
			a, err := decodeUsers(e)
			if err != nil {
				// The plan will write it anew; its users are placed again.
				p.log.Error("monitor: whom a monitor watches cannot be read and is planned anew", "key", e.Key, "error", err)
			}
			d.assignments[strings.TrimPrefix(e.Key, prefixUsers)] = a
		case e.Key == keyApplication:
			var app Application
			if err := json.Unmarshal(e.Value, &app); err == nil {
				d.application, d.appRevision = &app, e.Revision
			}
		}
	}
	return d
}

// applyLocked takes over what was read and reports whether anything was new.
func (p *Pool) applyLocked(key string, d decoded) (changed bool) {
	for id, r := range d.records {
		if old := p.records[id]; old == nil || old.revision != r.revision {
			p.records[id], changed = r, true
			p.pokeKeeperLocked(id)
		}
	}
	for id, a := range d.assignments {
		if old, ok := p.assignments[id]; !ok || old.revision != a.revision {
			p.assignments[id], changed = a, true
			p.planning.stale = true
			p.pokeKeeperLocked(id)
		}
	}
	if d.application != nil && d.appRevision != p.appRevision {
		p.application, p.appRevision, changed = *d.application, d.appRevision, true
		for id := range p.keepers {
			p.pokeKeeperLocked(id)
		}
	}
	for id := range p.records {
		if d.records[id] == nil && strings.HasPrefix(prefixMonitors+id, key) {
			delete(p.records, id)
			changed = true
			p.pokeKeeperLocked(id)
		}
	}
	for id := range p.assignments {
		if _, ok := d.assignments[id]; !ok && strings.HasPrefix(prefixUsers+id, key) {
			delete(p.assignments, id)
			p.planning.stale, changed = true, true
		}
	}
	return changed
}

func (p *Pool) pokeKeeperLocked(id string) {
	if k := p.keepers[id]; k != nil {
		k.poke()
	}
}

// record returns what is known of a monitor, nil if there is none.
func (p *Pool) record(id string) *record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records[id]
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("monitor: unchanged")

// update changes a record: change is given a copy, again each time when somebody
// else was faster, and may refuse.
func (p *Pool) update(ctx context.Context, id string, change func(*record) error) (*record, error) {
	for range attempts {
		old := p.record(id)
		if old == nil {
			return nil, ErrUnknownMonitor
		}
		r := old.clone()
		if err := change(r); err != nil {
			if errors.Is(err, errUnchanged) {
				return old, nil
			}
			return nil, err
		}
		err := p.write(ctx, r)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrRevision) {
			return nil, err
		}
		if err := p.load(ctx, prefixMonitors+id); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("monitor: store: %w", ErrRevision)
}

// write puts the record into the store, in place of the revision that it has.
func (p *Pool) write(ctx context.Context, r *record) error {
	value, err := r.encode(p.sealer)
	if err != nil {
		return err
	}
	revision, err := p.put(ctx, prefixMonitors+r.id, value, r.revision)
	if err != nil {
		return err
	}
	r.revision, r.broken = revision, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records[r.id] = r
	p.pokeKeeperLocked(r.id)
	p.announceLocked()
	return nil
}

func (p *Pool) put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	written, err := p.store.Put(ctx, key, value, revision)
	p.mu.Lock()
	p.generation++
	p.mu.Unlock()
	return written, p.noteStore(err)
}

// find returns the record of a monitor by its user principal name.
func (p *Pool) find(ctx context.Context, operation, principalName string) (*record, error) {
	if err := p.open(ctx); err != nil {
		return nil, &Error{operation, principalName, err}
	}
	id := monitorID(principalName)
	if r := p.record(id); r != nil {
		return r, nil
	}
	// Another process may have added it, and one that cannot be read goes by
	// its key.
	if err := p.load(ctx, prefixMonitors); err != nil {
		return nil, &Error{operation, principalName, err}
	}
	for _, id := range []string{id, principalName} {
		if r := p.record(id); r != nil {
			return r, nil
		}
	}
	return nil, &Error{operation, principalName, ErrUnknownMonitor}
}

// sorted returns the distinct ids that are not empty, sorted.
func sorted(ids []string) []string {
	out := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	slices.Sort(out)
	return slices.Compact(out)
}
