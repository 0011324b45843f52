package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/presencebridge/presencebridge/internal/watch"
	"github.com/presencebridge/presencebridge/monitor"
)

// Store is a [monitor.Store] in a file. [Open] returns one. After
// [Store.Close], every function returns [monitor.ErrStoreClosed].
type Store struct {
	path   string
	db     *bbolt.DB
	hub    watch.Hub
	leases *monitor.MemoryStore
	// writer holds a token while nobody writes: bbolt lets one write at a time
	// and would have the others wait without regard to their contexts.
	writer chan struct{}

	mu      sync.Mutex
	closing bool
	// damaged is set once bbolt has panicked, and stuck if it could not give back
	// the locks that it held then.
	damaged error
	stuck   bool
	// calls are those that use the database. Nothing is added once closing.
	calls sync.WaitGroup
}

var _ monitor.Store = (*Store)(nil)

// Close waits for the calls that have begun, ends every Watch, and closes the
// file, so that another process can open it. Stop the pools before: one that
// goes on without its store keeps nothing and holds no lease. Closing again does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closing
	s.closing = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.hub.Close(fmt.Errorf("boltstore: %s: %w", s.path, monitor.ErrStoreClosed))
	s.calls.Wait()
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	if stuck {
		return fmt.Errorf("boltstore: close %s: the file stays locked until this process ends: %w", s.path, monitor.ErrStoreUnreadable)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("boltstore: close %s: %w", s.path, err)
	}
	return nil
}

// begin says why the database cannot be used, or lets the caller use it until it
// calls end.
func (s *Store) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, fmt.Errorf("boltstore: %s: %w", s.path, monitor.ErrStoreClosed)
	case s.damaged != nil:
		return nil, s.damaged
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// List returns the entries whose keys begin with the prefix, all as they were at
// one moment.
func (s *Store) List(ctx context.Context, prefix string) ([]monitor.Entry, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var list []monitor.Entry
	err = s.transaction(false, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(entriesBucket).Cursor()
		for key, data := cursor.Seek([]byte(prefix)); key != nil && bytes.HasPrefix(key, []byte(prefix)); key, data = cursor.Next() {
			revision, value, err := decode(key, data)
			if err != nil {
				return unreadable(s.path, err)
			}
			list = append(list, monitor.Entry{Key: string(key), Value: bytes.Clone(value), Revision: revision})
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Put writes a value if the entry has this revision. It returns once the value is
// on the disk; a write that has begun is not broken off when ctx ends.
func (s *Store) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := monitor.CheckKey(key); err != nil {
		return 0, err
	}
	if err := monitor.CheckValue(value); err != nil {
		return 0, err
	}
	var next uint64
	err := s.write(ctx, key, revision, func(entries *bbolt.Bucket) (err error) {
		if next, err = entries.NextSequence(); err != nil {
			return err
		}
		return entries.Put([]byte(key), encode(key, next, value))
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// Delete removes an entry if it has this revision.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) error {
	if err := monitor.CheckKey(key); err != nil {
		return err
	}
	return s.write(ctx, key, revision, func(entries *bbolt.Bucket) error {
		if revision == 0 { // there is none, and that is what was asked for
			return monitor.ErrRevision
		}
		return entries.Delete([]byte(key))
	})
}

// write has the entries changed if one of them has this revision.
func (s *Store) write(ctx context.Context, key string, revision uint64, change func(entries *bbolt.Bucket) error) error {
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.writer:
		defer func() { s.writer <- struct{}{} }()
	}
	// Whoever wrote before may have found the file damaged.
	s.mu.Lock()
	damaged := s.damaged
	s.mu.Unlock()
	if damaged != nil {
		return damaged
	}
	err = s.transaction(true, func(tx *bbolt.Tx) error {
		entries := tx.Bucket(entriesBucket)
		var current uint64
		if data := entries.Get([]byte(key)); data != nil {
			var err error
			if current, _, err = decode([]byte(key), data); err != nil {
				return unreadable(s.path, err)
			}
		}
		if current != revision {
			return monitor.ErrRevision
		}
		return change(entries)
	})
	if err != nil {
		return err
	}
	s.hub.Changed(key)
	return nil
}

// Watch tells of changes until ctx ends or the store is closed. It runs in the
// caller's goroutine and starts none.
func (s *Store) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	return s.hub.Watch(ctx, prefix, changed)
}

// Acquire takes, or takes anew, a lease for a holder. Leases end with the process.
func (s *Store) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return monitor.Lease{}, err
	}
	defer end()
	return s.leases.Acquire(ctx, name, holder, lasts)
}

// Release frees a lease if this holder has it.
func (s *Store) Release(ctx context.Context, name, holder string) error {
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return s.leases.Release(ctx, name, holder)
}
