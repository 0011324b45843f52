package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// boundedStore is the embedder's store as the pool sees it: no call lasts for
// longer than a while, and a panic is an error of the call. A store that hangs
// must not keep the pool from noticing that it has lost its leases, nor from
// telling who is not watched.
type boundedStore struct {
	Store
	most time.Duration
}

func (s boundedStore) List(ctx context.Context, prefix string) (entries []Entry, err error) {
	err = s.call(ctx, "List", func(ctx context.Context) error {
		entries, err = s.Store.List(ctx, prefix)
		return err
	})
	return entries, err
}

func (s boundedStore) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	err = s.call(ctx, "Put", func(ctx context.Context) error {
		next, err = s.Store.Put(ctx, key, value, revision)
		return err
	})
	return next, err
}

func (s boundedStore) Delete(ctx context.Context, key string, revision uint64) error {
	return s.call(ctx, "Delete", func(ctx context.Context) error { return s.Store.Delete(ctx, key, revision) })
}

func (s boundedStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (lease Lease, err error) {
	err = s.call(ctx, "Acquire", func(ctx context.Context) error {
		lease, err = s.Store.Acquire(ctx, name, holder, lasts)
		return err
	})
	return lease, err
}

func (s boundedStore) Release(ctx context.Context, name, holder string) error {
	return s.call(ctx, "Release", func(ctx context.Context) error { return s.Store.Release(ctx, name, holder) })
}

// Watch lasts; only its panics are caught.
func (s boundedStore) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	return caught("Watch", func() error { return s.Store.Watch(ctx, prefix, changed) })
}

func (s boundedStore) call(ctx context.Context, name string, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.most)
	defer cancel()
	err := caught(name, func() error { return do(bounded) })
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		// Not wrapped: it is not the caller's time that is over.
		return fmt.Errorf("%s has not answered within %s", name, s.most)
	}
	return err
}

func caught(name string, do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s panicked with %s", name, secret.PanicText(v))
		}
	}()
	return do()
}
