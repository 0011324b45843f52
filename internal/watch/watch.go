// Package watch tells those who watch keys in a store which have changed,
// within one process.
//
// A writer never waits for a watcher: a changed key is put into a set for each
// watcher, so what waits to be told is bounded by the number of keys.
package watch

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Hub joins writers and watchers. The zero Hub is ready for use.
type Hub struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
	closed   error
}

// watcher is one call of Watch.
type watcher struct {
	prefix  string
	waiting map[string]struct{}
	wake    chan struct{}
}

// Changed notes that a key was written or deleted. It is called after the
// write, so that whoever is told finds it.
func (h *Hub) Changed(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if strings.HasPrefix(key, w.prefix) {
			w.waiting[key] = struct{}{}
			w.rouse()
		}
	}
}

// Close ends every call of Watch, now and from now on, with this error.
func (h *Hub) Close(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = err
	for w := range h.watchers {
		w.rouse()
	}
}

// rouse wakes the watcher, unless it is to wake already.
func (w *watcher) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watch calls changed, one call at a time and with no lock held, first with an
// empty key and then with every changed key that has the prefix, until ctx or
// the hub ends, and returns the error of what did. Keys that change together
// are told in their order.
func (h *Hub) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	w := &watcher{prefix: prefix, waiting: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	if h.closed != nil {
		// Close rouses only those who watched then.
		w.rouse()
	}
	if h.watchers == nil {
		h.watchers = map[*watcher]struct{}{}
	}
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.watchers, w)
		h.mu.Unlock()
	}()

	keys := []string{""}
	for {
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				return err
			}
			changed(key)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		var err error
		if keys, err = h.take(w); err != nil {
			return err
		}
	}
}

// take returns what waits for the watcher, sorted.
func (h *Hub) take(w *watcher) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return nil, h.closed
	}
	keys := make([]string, 0, len(w.waiting))
	for key := range w.waiting {
		keys = append(keys, key)
	}
	clear(w.waiting)
	slices.Sort(keys)
	return keys, nil
}
