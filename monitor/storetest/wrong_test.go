package storetest

import (
	"context"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// wrong is a store of which some functions break the contract.
type wrong struct {
	monitor.Store
	list    func(context.Context, string) ([]monitor.Entry, error)
	put     func(context.Context, string, []byte, uint64) (uint64, error)
	del     func(context.Context, string, uint64) error
	watch   func(context.Context, string, func(string)) error
	acquire func(context.Context, string, string, time.Duration) (monitor.Lease, error)
	release func(context.Context, string, string) error
}

func (w *wrong) List(ctx context.Context, prefix string) ([]monitor.Entry, error) {
	if w.list != nil {
		return w.list(ctx, prefix)
	}
	return w.Store.List(ctx, prefix)
}

func (w *wrong) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if w.put != nil {
		return w.put(ctx, key, value, revision)
	}
	return w.Store.Put(ctx, key, value, revision)
}

func (w *wrong) Delete(ctx context.Context, key string, revision uint64) error {
	if w.del != nil {
		return w.del(ctx, key, revision)
	}
	return w.Store.Delete(ctx, key, revision)
}

func (w *wrong) Watch(ctx context.Context, prefix string, changed func(string)) error {
	if w.watch != nil {
		return w.watch(ctx, prefix, changed)
	}
	return w.Store.Watch(ctx, prefix, changed)
}

func (w *wrong) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (monitor.Lease, error) {
	if w.acquire != nil {
		return w.acquire(ctx, name, holder, lasts)
	}
	return w.Store.Acquire(ctx, name, holder, lasts)
}

func (w *wrong) Release(ctx context.Context, name, holder string) error {
	if w.release != nil {
		return w.release(ctx, name, holder)
	}
	return w.Store.Release(ctx, name, holder)
}

// find returns the entry with this key.
func find(s monitor.Store, key string) (found monitor.Entry) {
	entries, _ := s.List(context.Background(), key)
	for _, e := range entries {
		if e.Key == key {
			found = e
		}
	}
	return found
}
