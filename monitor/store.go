package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The limits of what a [Store] keeps.
const (
	// MaxKeyLength is the most characters of a key or of a lease's name.
	MaxKeyLength = 128
	// MaxValueLength is the most bytes of a value, a mebibyte.
	MaxValueLength = 1 << 20
)

// Entry is one value in a [Store].
type Entry struct {
	// Key names the entry within its store.
	Key string
	// Value is what was put last.
	Value []byte
	// Revision changes with every write of the key and never comes again. It is
	// not 0.
	Revision uint64
}

// Store keeps what a [Pool] must not forget. It may be shared by the pools of
// several processes.
//
// A key has 1 to [MaxKeyLength] characters: lower-case letters, digits, '-' and
// '/', the last neither first nor last. The name of a lease follows the same
// rule. A value has up to [MaxValueLength] bytes and may have none. What breaks
// these rules is refused with an error at once ([CheckKey], [CheckValue]). What
// must be secret is sealed before it reaches a store ([Sealer]).
//
// The functions are called concurrently and may block until ctx ends; with a
// ctx that has ended they do nothing but return its error. What Put and Delete
// report as done must outlive a crash of the process, and so must a lease,
// unless the store admits one process only: then none is left that could hold
// it. After an error that does not match [ErrRevision], a write may have been
// done or not: read to find out.
//
// The package storetest has a suite that an implementation must pass.
// [MemoryStore] and the package boltstore are implementations.
type Store interface {
	Entries
	Leases
}

// Entries are values with revisions, by which writers notice each other.
type Entries interface {
	// List returns the entries whose keys begin with the prefix, sorted by the
	// bytes of their keys; with an empty prefix all. The values belong to the
	// caller. It sees every write that was done before it was called.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Put writes a value if the entry still has this revision, 0 if there must
	// be none, and returns the new revision. Otherwise the error matches
	// [ErrRevision] and nothing is written. It is all or nothing. The value
	// still belongs to the caller when Put returns.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes an entry if it still has this revision. Otherwise, or if
	// there is none, the error matches [ErrRevision].
	Delete(ctx context.Context, key string, revision uint64) error
	// Watch calls changed for every key with the prefix that is written or
	// deleted, until ctx ends, and then returns ctx's error; any other error
	// means that it was broken off. Once, as soon as nothing can be missed any
	// more, it calls changed with an empty key: list now. Changes may be told
	// late, several at once and twice, but none is left out. changed does not
	// block, and is not called any more once Watch has returned.
	Watch(ctx context.Context, prefix string, changed func(key string)) error
}

// Lease is the right to act, for one holder, until a time.
type Lease struct {
	// Name is what the right is about.
	Name string
	// Holder is who has it.
	Holder string
	// Expires is when the lease ends unless it is acquired again before.
	Expires time.Time
}

// Leases give each right to one holder at a time.
type Leases interface {
	// Acquire takes a lease that is free, has ended, or is this holder's own, and
	// lets it last for the time from now on, be it sooner or later than before.
	// If another holds it, the error is a [*HeldError] that says who. A holder is
	// any text but the empty one; lasts is more than 0. The holder counts on the
	// lease until Expires by its own clock, so the store must not give it away
	// before, and gives it away afterwards.
	Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error)
	// Release frees a lease if this holder still has it; otherwise it does
	// nothing.
	Release(ctx context.Context, name, holder string) error
}

// What a [Store] refuses.
var (
	// ErrRevision: the entry was written or deleted by somebody else since it was
	// read. Read it again, and decide again.
	ErrRevision = errors.New("monitor: the entry has changed")
	// ErrStoreInUse: another process has opened the store, which can have one
	// only. Stop it, or share a store that is made for several.
	ErrStoreInUse = errors.New("monitor: the store is in use already")
	// ErrStoreUnreadable: what the store finds is not what a store has written,
	// or was written by a newer version. It was left as it is. The error around
	// this one says what to do.
	ErrStoreUnreadable = errors.New("monitor: the store cannot be read")
	// ErrStoreClosed: the store was closed. Stop the pools that use it first.
	ErrStoreClosed = errors.New("monitor: the store is closed")
)

// HeldError is the error of a lease that another holds.
type HeldError struct{ Lease }

// Error names the holder, but not when the lease ends, which changes.
func (e *HeldError) Error() string {
	return "monitor: the lease " + e.Name + " is held by " + e.Holder
}

// CheckKey returns an error if a store must refuse this key, or this name of a
// lease. It is for whoever implements a [Store].
func CheckKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKeyLength:
		return fmt.Errorf("monitor: a key has 1 to %d characters, not %d", MaxKeyLength, len(key))
	case strings.ContainsFunc(key, foreign):
		return fmt.Errorf("monitor: the key %q has other characters than lower-case letters, digits, '-' and '/'", key)
	case key[0] == '/' || key[len(key)-1] == '/':
		return fmt.Errorf("monitor: the key %q begins or ends with '/'", key)
	default:
		return nil
	}
}

// foreign says that no key has this character.
func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '/'
}

// CheckValue returns an error if a store must refuse this value. It is for
// whoever implements a [Store].
func CheckValue(value []byte) error {
	if len(value) > MaxValueLength {
		return fmt.Errorf("monitor: a value has up to %d bytes, not %d", MaxValueLength, len(value))
	}
	return nil
}

// CheckLease returns an error if a store must refuse to give such a lease. It
// is for whoever implements a [Store].
func CheckLease(name, holder string, lasts time.Duration) error {
	switch err := CheckKey(name); {
	case err != nil:
		return fmt.Errorf("monitor: name of a lease: %w", err)
	case holder == "":
		return fmt.Errorf("monitor: the lease %s needs a holder", name)
	case lasts <= 0:
		return fmt.Errorf("monitor: the lease %s is to last for %v: it must last for more than 0", name, lasts)
	default:
		return nil
	}
}
