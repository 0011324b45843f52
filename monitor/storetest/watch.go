package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/presencebridge/presencebridge/monitor"
)

// watched is a call of Watch.
type watched struct {
	mu     sync.Mutex
	told   map[string]int
	order  []string
	over   bool
	late   bool
	err    error
	cancel context.CancelFunc
	ended  chan struct{}
}

// watch begins to watch. The caller ends it.
func watch(t tb, s monitor.Store, prefix string) *watched {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{told: map[string]int{}, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		err := s.Watch(ctx, prefix, func(key string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told[key]++
			w.order = append(w.order, key)
			w.late = w.late || w.over
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err, w.over = err, true
	}()
	return w
}

// begun waits until nothing can be missed any more.
func (w *watched) begun(t tb) {
	t.Helper()
	eventually(t, "the watch says to list", func() bool { return w.count("") > 0 })
}

// end ends the watch and returns its error.
func (w *watched) end() error {
	w.cancel()
	<-w.ended
	return w.err
}

func (w *watched) count(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[key]
}

// keys returns what was told until now, by key, without the empty one.
func (w *watched) keys() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := maps.Clone(w.told)
	delete(keys, "")
	return keys
}

func watchBegins(t tb, s *subject) {
	put(t, s, "before", "1", 0)
	w := watch(t, s, "")
	defer w.cancel()
	w.begun(t)
	if err := w.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ends with %v", err)
	}
	if n := w.count(""); n != 1 {
		t.Errorf("Watch has said %d times to list", n)
	}
	if w.order[0] != "" {
		t.Errorf("Watch tells of %q before it says to list", w.order[0])
	}
}

func watchTells(t tb, s *subject) {
	some, all := watch(t, s, "a/"), watch(t, s, "")
	defer func() { _, _ = some.end(), all.end() }()
	some.begun(t)
	all.begun(t)

	told := func(what string, key string, act func()) {
		t.Helper()
		before := all.count(key)
		act()
		eventually(t, "Watch tells that an entry was "+what, func() bool { return all.count(key) > before })
	}
	var revision uint64
	told("created", "a/1", func() { revision = put(t, s, "a/1", "1", 0) })
	told("changed", "a/1", func() { revision = put(t, s, "a/1", "2", revision) })
	told("changed to the same", "a/1", func() { revision = put(t, s, "a/1", "2", revision) })
	told("deleted", "a/1", func() { del(t, s, "a/1", revision) })
	told("created again", "a/1", func() { put(t, s, "a/1", "3", 0) })
	told("created beside it", "b/1", func() { put(t, s, "b/1", "1", 0) })
	put(t, s, "a/2", "1", 0)
	eventually(t, "Watch tells of every key with its prefix", func() bool { return some.count("a/1") > 0 && some.count("a/2") > 0 })
	for key := range some.keys() {
		if !strings.HasPrefix(key, "a/") {
			t.Errorf("who watches a/ is told of %q", key)
		}
	}

	// One who watches ends without the others.
	if err := some.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ends with %v", err)
	}
	told("created when another watch has ended", "a/3", func() { put(t, s, "a/3", "1", 0) })
	if some.count("a/3") > 0 || some.late {
		t.Errorf("a watch that has ended is told of a change")
	}
}

// watchConverges has writers create, change and delete while one reads what it
// is told of, and nothing else. In the end it must have seen the last of
// every key.
func watchConverges(t tb, s *subject) {
	const writers, keys, rounds = 4, 5, 4
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	view, due := map[string]string{}, map[string]bool{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Watch(ctx, "", func(key string) {
			mu.Lock()
			defer mu.Unlock()
			due[key] = true
		})
	}()
	defer func() {
		cancel()
		<-ended
	}()
	eventually(t, "the watch says to list", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return due[""]
	})

	want := map[string]string{}
	together(writers, func(writer int) {
		for i := range keys {
			key := fmt.Sprintf("w%d/k%d", writer, i)
			var revision uint64
			var err error
			for round := range rounds {
				if revision, err = s.Put(ctx, key, []byte(strconv.Itoa(round)), revision); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
			}
			if i%2 == 0 {
				if err := s.Delete(ctx, key, revision); err != nil {
					t.Errorf("Delete: %v", err)
				}
				continue
			}
			mu.Lock()
			want[key] = strconv.Itoa(rounds - 1)
			mu.Unlock()
		}
	})
	read := func(key string) {
		delete(view, key)
		for _, e := range list(t, s, key) {
			if e.Key == key {
				view[key] = string(e.Value)
			}
		}
	}
	eventually(t, "who reads what Watch tells has seen the last of every key", func() bool {
		mu.Lock()
		keys := maps.Clone(due)
		clear(due)
		mu.Unlock()
		for key := range keys {
			read(key)
		}
		return maps.Equal(view, want)
	})
}

func watchEnds(t tb, s *subject) {
	w := watch(t, s, "")
	w.begun(t)
	put(t, s, "a", "1", 0)
	if err := w.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ends with %v instead of context.Canceled", err)
	}
	put(t, s, "b", "1", 0)

	ctx, cancel := context.WithTimeout(t.Context(), s.short)
	defer cancel()
	if err := s.Watch(ctx, "", func(string) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Watch ends with %v instead of context.DeadlineExceeded", err)
	}
	if w.late || w.count("b") > 0 {
		t.Errorf("a watch that has ended is told of a change")
	}
}
