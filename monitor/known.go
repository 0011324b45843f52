package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// storeFaults are why the store could not be read and written last.
type storeFaults struct{ read, write error }

// noteStore remembers whether the store works.
func (p *Pool) noteStore(fault *error, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		*fault = nil
		return nil
	}
	if !errors.Is(err, ErrRevision) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		*fault = err
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// errStore is matched by what the store could not do.
var errStore = errors.New("monitor: store")

// order says which of two things that are known of an entry is the newer one.
// Revisions do not tell; the times at which the store was asked do, except for
// what was under way at the same time.
type order struct {
	clock    uint64
	underway int
	// at is, for entries that were read or written while something is under way,
	// when the reading began or the writing ended.
	at map[string]uint64
}

// begin notes that something begins, and returns when.
func (o *order) begin() uint64 {
	o.underway++
	o.clock++
	return o.clock
}

// end notes that something has ended.
func (o *order) end() {
	if o.underway--; o.underway == 0 {
		clear(o.at)
	}
}

// read reports whether a reading that began then may speak of the entry: not if
// it was written meanwhile here, or read by one that began later.
func (o *order) read(key string, began uint64) bool {
	if o.at[key] > began {
		return false
	}
	o.at[key] = began
	return true
}

// wrote notes an entry that was written, and reports whether something that was
// read meanwhile may be newer, so that it must be read again.
func (o *order) wrote(key string, began uint64) (doubtful bool) {
	doubtful = o.at[key] > began
	o.clock++
	o.at[key] = o.clock
	return doubtful
}

// load reads one entry, or with an empty key all of them.
func (p *Pool) load(ctx context.Context, key string) error {
	p.mu.Lock()
	began := p.order.begin()
	p.mu.Unlock()
	entries, err := p.store.List(ctx, key)
	if err = p.noteStore(&p.storeFaults.read, err); err != nil {
		p.mu.Lock()
		p.order.end()
		p.mu.Unlock()
		return err
	}
	read := p.decode(entries)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.applyLocked(key, read, began) {
		p.announceLocked()
	}
	p.order.end()
	return nil
}

// decoded are entries that have been read.
type decoded struct {
	records     map[string]*record
	assignments map[string]assignment
	application Application // empty where it cannot be read
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
			id := strings.TrimPrefix(e.Key, prefixUsers)
			p.mu.Lock()
			known, ok := p.assignments[id]
			p.mu.Unlock()
			if ok && known.revision == e.Revision {
				d.assignments[id] = known
				continue
			}
			a, err := decodeUsers(e)
			if err != nil {
				// The plan will write it anew; its users are placed again.
				p.log.Error("monitor: whom a monitor watches cannot be read and is planned anew", "key", e.Key, "error", err)
			}
			d.assignments[id] = a
		case e.Key == keyApplication:
			d.appRevision = e.Revision
			if err := json.Unmarshal(e.Value, &d.application); err != nil {
				// The next start writes the one that is configured.
				p.log.Error("monitor: the store's tenant and client id cannot be read", "error", err)
			}
		}
	}
	return d
}

// applyLocked takes over what was read and reports whether anything was new.
func (p *Pool) applyLocked(key string, d decoded, began uint64) (changed bool) {
	for id, r := range d.records {
		if p.order.read(prefixMonitors+id, began) && !r.sameAs(p.records[id]) {
			p.records[id], changed = r, true
			p.pokeKeeperLocked(id)
		}
	}
	for id, a := range d.assignments {
		if old, ok := p.assignments[id]; p.order.read(prefixUsers+id, began) && (!ok || old.revision != a.revision) {
			p.assignments[id], changed = a, true
			p.planning.stale = true
			p.pokeKeeperLocked(id)
		}
	}
	if d.appRevision != 0 && p.order.read(keyApplication, began) && d.appRevision != p.appRevision {
		p.appRevision, changed = d.appRevision, true
		if d.application != (Application{}) {
			p.application = d.application
		}
		p.pokeKeepersLocked()
	}
	for id := range p.records {
		if d.records[id] == nil && strings.HasPrefix(prefixMonitors+id, key) && p.order.read(prefixMonitors+id, began) {
			delete(p.records, id)
			changed = true
			p.pokeKeeperLocked(id)
		}
	}
	for id := range p.assignments {
		if _, ok := d.assignments[id]; !ok && strings.HasPrefix(prefixUsers+id, key) && p.order.read(prefixUsers+id, began) {
			delete(p.assignments, id)
			p.planning.stale, changed = true, true
			p.pokeKeeperLocked(id)
		}
	}
	return changed
}

func (p *Pool) pokeKeepersLocked() {
	for id := range p.keepers {
		p.pokeKeeperLocked(id)
	}
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
// else was faster, and may refuse. A record that cannot be read is left as it
// is: another key, or a newer version, may open it.
func (p *Pool) update(ctx context.Context, id string, change func(*record) error) (*record, error) {
	return p.replace(ctx, id, func(r *record) error {
		if r.broken != nil {
			return r.broken
		}
		return change(r)
	})
}

// replace is update for those who may give up what cannot be read.
func (p *Pool) replace(ctx context.Context, id string, change func(*record) error) (*record, error) {
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
	return p.put(ctx, prefixMonitors+r.id, value, r.revision, func(revision uint64) {
		r.revision, r.broken = revision, nil
		p.records[r.id] = r
		p.pokeKeeperLocked(r.id)
		p.announceLocked()
	})
}

// put writes an entry; written takes it over with mu held.
func (p *Pool) put(ctx context.Context, key string, value []byte, revision uint64, written func(revision uint64)) error {
	return p.change(key, func() (err error) {
		revision, err = p.store.Put(ctx, key, value, revision)
		return err
	}, func() { written(revision) })
}

// remove deletes an entry; removed takes that over with mu held.
func (p *Pool) remove(ctx context.Context, key string, revision uint64, removed func()) error {
	return p.change(key, func() error { return p.store.Delete(ctx, key, revision) }, removed)
}

func (p *Pool) change(key string, write func() error, done func()) error {
	p.mu.Lock()
	began := p.order.begin()
	p.mu.Unlock()
	err := p.noteStore(&p.storeFaults.write, write())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		if p.order.wrote(key, began) {
			p.dirty[key] = true
		}
		done()
	} else if !errors.Is(err, ErrRevision) {
		// It may have been written all the same.
		p.dirty[key] = true
	}
	p.order.end()
	return err
}

// find returns the record of a monitor by its user principal name, as the store
// has it now. One that cannot be read also goes by its key.
func (p *Pool) find(ctx context.Context, operation, principalName string) (*record, error) {
	if err := p.open(ctx); err != nil {
		return nil, &Error{operation, principalName, err}
	}
	// Without Run nobody follows what other processes do.
	if err := p.load(ctx, keyApplication); err != nil {
		return nil, &Error{operation, principalName, err}
	}
	for _, id := range []string{monitorID(principalName), principalName} {
		// All monitors may be asked for at once: each by itself.
		if err := p.load(ctx, prefixMonitors+id); err != nil {
			return nil, &Error{operation, principalName, err}
		}
		if r := p.record(id); r != nil {
			return r, nil
		}
	}
	return nil, &Error{operation, principalName, ErrUnknownMonitor}
}
