package graphtest

import (
	"sync"
	"time"
)

// timers runs functions later and work in the background, and ends both with
// the server: nothing starts after close, and close waits for what runs.
type timers struct {
	mu      sync.Mutex
	closed  bool
	pending map[*time.Timer]struct{}
	running sync.WaitGroup
}

// after calls f in a goroutine of its own once d has passed. The returned
// function prevents that if it is not too late.
func (t *timers) after(d time.Duration, f func()) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return func() {}
	}
	if t.pending == nil {
		t.pending = make(map[*time.Timer]struct{})
	}
	var timer *time.Timer
	timer = time.AfterFunc(max(d, 0), func() {
		t.mu.Lock()
		_, live := t.pending[timer]
		delete(t.pending, timer)
		if live && !t.closed {
			t.running.Add(1)
		} else {
			live = false
		}
		t.mu.Unlock()
		if live {
			defer t.running.Done()
			f()
		}
	})
	t.pending[timer] = struct{}{}
	return func() {
		timer.Stop()
		t.mu.Lock()
		delete(t.pending, timer)
		t.mu.Unlock()
	}
}

// run calls f in a goroutine of its own.
func (t *timers) run(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.running.Go(f)
}

func (t *timers) close() {
	t.mu.Lock()
	t.closed = true
	for timer := range t.pending {
		timer.Stop()
	}
	clear(t.pending)
	t.mu.Unlock()
	t.running.Wait()
}
