package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

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
