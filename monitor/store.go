package monitor

import (
	"context"
	"errors"
	"time"
)

// Entry is one value in a [Store].
type Entry struct {
	Key   string
	Value []byte
	// Revision changes with every write of the key and never comes again. It is
	// not 0.
	Revision uint64
}

// Store keeps what a [Pool] must not forget. It may be shared by the pools of
// several processes.
//
// A key has up to 128 characters: lower-case letters, digits, '-' and '/', the
// last neither first nor last. A value has up to a mebibyte. What must be secret
// is sealed before it reaches a store ([Sealer]).
//
// The functions are called concurrently and may block until ctx ends. What
// Put, Delete and Acquire report as done must outlive a crash of the process.
// The package storetest has a suite that an implementation must pass.
type Store interface {
	Entries
	Leases
}

// Entries are values with revisions, by which writers notice each other.
type Entries interface {
	// List returns the entries whose keys begin with the prefix, sorted by key.
	// The values belong to the caller.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Put writes a value if the entry still has this revision, 0 if there must
	// be none, and returns the new revision. Otherwise the error matches
	// [ErrRevision] and nothing is written. It is all or nothing.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes an entry if it still has this revision. Otherwise, or if
	// there is none, the error matches [ErrRevision].
	Delete(ctx context.Context, key string, revision uint64) error
	// Watch calls changed for every key with the prefix that is written or
	// deleted, until ctx ends, and then returns ctx's error; any other error
	// means that it was broken off. Once, as soon as nothing can be missed any
	// more, it calls changed with an empty key: list now. Changes may be told
	// late, several at once and twice, but none is left out. changed does not
	// block.
	Watch(ctx context.Context, prefix string, changed func(key string)) error
}

// Lease is the right to act, for one holder, until a time.
type Lease struct {
	Name   string
	Holder string
	// Expires is when the lease ends unless it is acquired again before.
	Expires time.Time
}

// Leases give each right to one holder at a time.
type Leases interface {
	// Acquire takes a lease that is free, has ended, or is this holder's own, and
	// lets it last for the time from now on. If another holds it, the error is a
	// [*HeldError]. The holder counts on the lease until Expires by its own
	// clock, so the store must not give it away before.
	Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error)
	// Release frees a lease if this holder still has it; otherwise it does
	// nothing.
	Release(ctx context.Context, name, holder string) error
}

// ErrRevision: the entry was written or deleted by somebody else since it was
// read. Read it again, and decide again.
var ErrRevision = errors.New("monitor: the entry has changed")

// ErrStoreInUse: another process has opened the store, which can have one only.
// Stop it, or share a store that is made for several.
var ErrStoreInUse = errors.New("monitor: the store is in use by another process")

// HeldError is the error of a lease that another holds.
type HeldError struct{ Lease }

// Error names the holder, but not when the lease ends, which changes.
func (e *HeldError) Error() string {
	return "monitor: the lease " + e.Name + " is held by " + e.Holder
}
