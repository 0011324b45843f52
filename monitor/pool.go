package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

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
	holder     string        // of the planner's lease
	wake       chan struct{} // holds one: the manager has something to look at

	mu          sync.Mutex
	running     bool
	ready       bool // the store has been read once
	applied     bool // the configured application is the store's
	application Application
	appRevision uint64
	records     map[string]*record // by id; never changed in place
	assignments map[string]assignment
	order       order
	dirty       map[string]bool // keys to be read again; "" is all
	changed     chan struct{}   // closed, and made anew, with each change
	keepers     map[string]*keeper
	refreshing  map[string]*refreshing // by id
	published   map[string]*publication
	storeFaults storeFaults
	unreadable  bool          // the store, when it was to be read last
	searching   chan struct{} // holds one: who looks in the store for a sign-in
	searchedAt  time.Time
	feature     featureSecret

	wanted    []string // sorted, distinct
	hasWanted bool
	planning  planning
}

// NewPool returns a pool for the monitors of one application. It sends nothing
// and reads nothing. The zero Application means that of the store: it is for
// programs that look after what others have set up. notificationURL is where
// Microsoft Graph sends to; it leads to the routes of this process.
//
// All faults of the arguments are returned at once.
func NewPool(app Application, notificationURL string, deps Dependencies, opts *PoolOptions) (*Pool, error) {
	o, err := opts.withDefaults(notificationURL)
	app = app.normal()
	faults := []error{err}
	if app != (Application{}) {
		faults = append(faults, app.check())
	}
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
	var feature featureSecret
	if !o.FeatureSecret.IsZero() {
		feature.unknown = "no monitor of this process has asked for it yet"
	}
	return &Pool{
		feature:     feature,
		configured:  app,
		application: app,
		url:         notificationURL,
		store:       boundedStore{deps.Store, o.LeaseTime / 3},
		sealer:      deps.Sealer,
		entra:       deps.Entra,
		routes:      deps.Routes,
		sink:        deps.Sink,
		opts:        o,
		log:         o.Logger.With("pool", o.Holder),
		metrics:     instruments,
		holder:      uniqueHolder(o.Holder),
		wake:        make(chan struct{}, 1),
		searching:   make(chan struct{}, 1),
		records:     make(map[string]*record),
		assignments: make(map[string]assignment),
		order:       order{at: make(map[string]uint64)},
		dirty:       make(map[string]bool),
		changed:     make(chan struct{}),
		keepers:     make(map[string]*keeper),
		refreshing:  make(map[string]*refreshing),
		published:   make(map[string]*publication),
	}, nil
}

// normal returns the application in one spelling: GUIDs and domain names are
// written in any case, and copied with spaces.
func (a Application) normal() Application {
	return Application{TenantID: presence.NormalizeEmail(a.TenantID), ClientID: presence.NormalizeEmail(a.ClientID)}
}

func (a Application) check() error {
	var faults []error
	if a.TenantID == "" {
		faults = append(faults, errors.New("the tenant id is empty: copy the directory (tenant) ID from the application's overview in Entra"))
	}
	if a.ClientID == "" {
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
	ready, apply := p.ready, p.running && !p.applied
	p.mu.Unlock()
	if !ready {
		if err := p.checkKey(ctx); err != nil {
			return err
		}
		if err := p.load(ctx, ""); err != nil {
			return err
		}
	}
	if apply {
		// Only Run does: a program that lists the monitors of a store, and was
		// given a wrong tenant id, must not stop them.
		if err := p.applyConfigured(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.ready, p.applied = true, p.applied || apply
	p.mu.Unlock()
	return nil
}

// checkKey compares the key with the one that the store was begun with: it must
// be noticed before anything is overwritten that another key would open.
func (p *Pool) checkKey(ctx context.Context) error {
	for range attempts {
		revision := uint64(0)
		entries, err := p.store.List(ctx, keyCheck)
		if err != nil {
			return p.noteStore(&p.storeFaults.read, err)
		}
		if len(entries) > 0 {
			if _, err := p.sealer.Open(entries[0].Value, keyCheck); err != nil {
				return fmt.Errorf("monitor: the key does not fit the store: %w", err)
			}
			if p.sealer.Current(entries[0].Value) {
				return nil
			}
			// A former key: one day it will not be given any more.
			revision = entries[0].Revision
		}
		sealed := p.sealer.Seal([]byte("presencebridge"), keyCheck)
		if _, err = p.store.Put(ctx, keyCheck, sealed, revision); err == nil || !errors.Is(err, ErrRevision) {
			return p.noteStore(&p.storeFaults.write, err)
		}
	}
	return ErrRevision
}

// attempts is how often a write is tried that others get in the way of.
const attempts = 32
