package monitor

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/watch"
)

// MemoryStore is a [Store] in memory, for one process. Several pools may share
// it. It forgets everything when the process ends: the monitors have to be
// added and authorized again, which suits tests, demonstrations, and services
// that configure their monitors elsewhere.
//
// Leases are kept by the time of this process, and its clock may be set
// without their noticing.
type MemoryStore struct {
	hub watch.Hub

	mu       sync.Mutex
	revision uint64
	entries  map[string]Entry
	leases   map[string]Lease
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{entries: map[string]Entry{}, leases: map[string]Lease{}}
}

// List returns copies of the entries whose keys begin with the prefix.
func (s *MemoryStore) List(ctx context.Context, prefix string) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Entry
	for key, entry := range s.entries {
		if strings.HasPrefix(key, prefix) {
			entry.Value = bytes.Clone(entry.Value)
			list = append(list, entry)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}

// Put keeps a copy of the value if the entry has this revision.
func (s *MemoryStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	if err := CheckValue(value); err != nil {
		return 0, err
	}
	entry := Entry{Key: key, Value: bytes.Clone(value)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key].Revision != revision {
		return 0, ErrRevision
	}
	// One count for all keys, so that a key which is deleted and written again
	// has no revision of its former life.
	s.revision++
	entry.Revision = s.revision
	s.entries[key] = entry
	s.hub.Changed(key)
	return entry.Revision, nil
}

// Delete removes an entry if it has this revision.
func (s *MemoryStore) Delete(ctx context.Context, key string, revision uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckKey(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry, ok := s.entries[key]; !ok || entry.Revision != revision {
		return ErrRevision
	}
	delete(s.entries, key)
	s.hub.Changed(key)
	return nil
}

// Watch tells of changes until ctx ends. It runs in the caller's goroutine and
// starts none.
func (s *MemoryStore) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	return s.hub.Watch(ctx, prefix, changed)
}

// Acquire takes, or takes anew, a lease for a holder.
func (s *MemoryStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return Lease{}, err
	}
	if err := CheckLease(name, holder, lasts); err != nil {
		return Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	lease, found := s.leases[name]
	if found && lease.Holder != holder && now.Before(lease.Expires) {
		return Lease{}, &HeldError{lease}
	}
	if !found {
		// What holders left behind that were not stopped in order goes when
		// something comes, so that the leases do not pile up over the months.
		for name, lease := range s.leases {
			if !now.Before(lease.Expires) {
				delete(s.leases, name)
			}
		}
	}
	lease = Lease{Name: name, Holder: holder, Expires: now.Add(lasts)}
	s.leases[name] = lease
	return lease, nil
}

// Release frees a lease if this holder has it.
func (s *MemoryStore) Release(ctx context.Context, name, holder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckKey(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[name].Holder == holder {
		delete(s.leases, name)
	}
	return nil
}
