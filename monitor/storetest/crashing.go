package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// ErrCrashed is the error of every call to a [CrashingStore] once it has crashed.
var ErrCrashed = errors.New("storetest: the process that uses the store has crashed")

// Moment says when, during the write that it does not survive, a process dies.
type Moment string

const (
	// BeforeWrite: the write is never done.
	BeforeWrite Moment = "before the write"
	// AfterWrite: the write is done, but its answer does not arrive.
	AfterWrite Moment = "after the write"
)

// Moments are all there are.
func Moments() []Moment { return []Moment{BeforeWrite, AfterWrite} }

// CrashingStore is a store as a process sees it that dies at a chosen write. The
// store behind it lives on: what the next process finds. [Crashing] returns one.
type CrashingStore struct {
	store   monitor.Store
	moment  Moment
	crashed chan struct{}
	once    sync.Once

	mu   sync.Mutex
	left int // writes that are let through
}

var _ monitor.Store = (*CrashingStore)(nil)

// Crashing lets that many writes through to the store, and the next one, at the
// given moment, is the end of the process: from then on every call fails with
// [ErrCrashed], those that have begun included. Put and Delete are writes,
// whether they succeed or not. Leases are not counted, because a process that
// dies over a lease leaves the same entries behind as one that dies at the
// write before or after.
//
// What the process does besides is for the test to end when [CrashingStore.Crashed]
// says so. To prove that no crash loses anything, let a scenario crash after 0
// writes, 1 write and so on, until it ends without, and look each time at
// what a start makes of the store behind.
func Crashing(store monitor.Store, writes int, moment Moment) *CrashingStore {
	return &CrashingStore{store: store, moment: moment, left: writes, crashed: make(chan struct{})}
}

// Crashed is closed when the process has died.
func (c *CrashingStore) Crashed() <-chan struct{} { return c.crashed }

func (c *CrashingStore) dead() bool {
	select {
	case <-c.crashed:
		return true
	default:
		return false
	}
}

func (c *CrashingStore) die() { c.once.Do(func() { close(c.crashed) }) }

// answer is the error with which a call returns, if anybody is left to hear it.
func (c *CrashingStore) answer(err error) error {
	if c.dead() {
		return ErrCrashed
	}
	return err
}

// write does one write, or does not.
func (c *CrashingStore) write(do func() error) error {
	c.mu.Lock()
	c.left--
	left := c.left
	c.mu.Unlock()
	switch {
	case c.dead() || left < -1:
		return ErrCrashed
	case left >= 0:
		return c.answer(do())
	}
	if c.moment == AfterWrite {
		_ = do() // nobody is told how it went
	}
	c.die()
	return ErrCrashed
}

// List lists the entries of the store behind.
func (c *CrashingStore) List(ctx context.Context, prefix string) ([]monitor.Entry, error) {
	if c.dead() {
		return nil, ErrCrashed
	}
	entries, err := c.store.List(ctx, prefix)
	if err := c.answer(err); err != nil {
		return nil, err
	}
	return entries, nil
}

// Put is a write.
func (c *CrashingStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var next uint64
	err := c.write(func() (err error) {
		next, err = c.store.Put(ctx, key, value, revision)
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// Delete is a write.
func (c *CrashingStore) Delete(ctx context.Context, key string, revision uint64) error {
	return c.write(func() error { return c.store.Delete(ctx, key, revision) })
}

// Watch watches the store behind until the process has died.
func (c *CrashingStore) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	if c.dead() {
		return ErrCrashed
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		select {
		case <-c.crashed:
			cancel()
		case <-ctx.Done():
		}
	})
	return c.answer(c.store.Watch(ctx, prefix, func(key string) {
		if !c.dead() {
			changed(key)
		}
	}))
}

// Acquire takes a lease of the store behind. When the process has died, the lease
// lasts until it ends, as nobody is left to release it.
func (c *CrashingStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
	if c.dead() {
		return monitor.Lease{}, ErrCrashed
	}
	lease, err := c.store.Acquire(ctx, name, holder, lasts)
	if err := c.answer(err); err != nil {
		return monitor.Lease{}, err
	}
	return lease, nil
}

// Release frees a lease of the store behind.
func (c *CrashingStore) Release(ctx context.Context, name, holder string) error {
	if c.dead() {
		return ErrCrashed
	}
	return c.answer(c.store.Release(ctx, name, holder))
}
