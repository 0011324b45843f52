package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

func acquire(t tb, s monitor.Store, name, holder string, lasts time.Duration) monitor.Lease {
	t.Helper()
	before := time.Now()
	lease, err := s.Acquire(t.Context(), name, holder, lasts)
	after := time.Now()
	if err != nil {
		t.Fatalf("Acquire(%q, %q, %v): %v", name, holder, lasts, err)
	}
	if lease.Name != name || lease.Holder != holder {
		t.Errorf("Acquire(%q, %q, %v) gives the lease %q of %q", name, holder, lasts, lease.Name, lease.Holder)
	}
	// A store may know whole seconds only.
	if lease.Expires.Before(before.Add(lasts-time.Second)) || lease.Expires.After(after.Add(lasts)) {
		t.Errorf("Acquire(%q, %q, %v) gives a lease of %v", name, holder, lasts, lease.Expires.Sub(before))
	}
	return lease
}

func held(t tb, s monitor.Store, name, holder string, by monitor.Lease) {
	t.Helper()
	lease, err := s.Acquire(t.Context(), name, holder, time.Hour)
	var h *monitor.HeldError
	switch {
	case !errors.As(err, &h):
		t.Errorf("Acquire(%q, %q) gives %v, %v while %q holds it", name, holder, lease, err, by.Holder)
	case h.Name != name || h.Holder != by.Holder || !h.Expires.Equal(by.Expires):
		t.Errorf("Acquire(%q, %q) says it is held as %+v instead of %+v", name, holder, h.Lease, by)
	}
}

func release(t tb, s monitor.Store, name, holder string) {
	t.Helper()
	if err := s.Release(t.Context(), name, holder); err != nil {
		t.Errorf("Release(%q, %q): %v", name, holder, err)
	}
}

func leaseIsExclusive(t tb, s *subject) {
	ann := acquire(t, s, "lease", "ann", time.Hour)
	held(t, s, "lease", "bob", ann)
	held(t, s, "lease", "Ann", ann)
	ann = acquire(t, s, "lease", "ann", time.Hour)
	held(t, s, "lease", "bob", ann)
}

func leaseIsProlonged(t tb, s *subject) {
	short := acquire(t, s, "lease", "ann", s.short)
	long := acquire(t, s, "lease", "ann", time.Hour)
	pause(t.Context(), time.Until(short.Expires)+s.short/2)
	held(t, s, "lease", "bob", long)
	short = acquire(t, s, "lease", "ann", s.short)
	pause(t.Context(), time.Until(short.Expires))
	eventually(t, "a lease that was shortened ends", func() bool {
		_, err := s.Acquire(t.Context(), "lease", "bob", time.Hour)
		return err == nil
	})
}

func leaseEnds(t tb, s *subject) {
	ann := acquire(t, s, "lease", "ann", s.short)
	var bob monitor.Lease
	eventually(t, "a lease that has ended is given to another", func() bool {
		lease, err := s.Acquire(t.Context(), "lease", "bob", time.Hour)
		if err != nil {
			var h *monitor.HeldError
			if !errors.As(err, &h) || h.Holder != "ann" {
				t.Errorf("Acquire gives %v while ann holds the lease", err)
			}
			return false
		}
		if time.Now().Before(ann.Expires) {
			t.Errorf("the lease was given to another %v before it ended", time.Until(ann.Expires))
		}
		bob = lease
		return true
	})
	held(t, s, "lease", "ann", bob)
	// She does not know yet that she has lost it.
	release(t, s, "lease", "ann")
	held(t, s, "lease", "ann", bob)
}

func leaseIsReleased(t tb, s *subject) {
	release(t, s, "lease", "ann")
	ann := acquire(t, s, "lease", "ann", time.Hour)
	release(t, s, "lease", "bob")
	held(t, s, "lease", "bob", ann)
	release(t, s, "lease", "ann")
	bob := acquire(t, s, "lease", "bob", time.Hour)
	release(t, s, "lease", "ann")
	held(t, s, "lease", "ann", bob)
}

func leasesAreIndependent(t tb, s *subject) {
	a := acquire(t, s, "a", "ann", time.Hour)
	b := acquire(t, s, "a/b", "bob", time.Hour)
	held(t, s, "a", "bob", a)
	held(t, s, "a/b", "ann", b)
	release(t, s, "a", "ann")
	held(t, s, "a/b", "ann", b)

	expect(t, s)
	revision := put(t, s, "a/b", "an entry", 0)
	held(t, s, "a/b", "ann", b)
	release(t, s, "a/b", "bob")
	expect(t, s, entry("a/b", "an entry", revision))
}

func limitsLeases(t tb, s *subject) {
	for _, name := range goodKeys() {
		acquire(t, s, name, "A holder's name: anything", time.Hour)
	}
	type request struct {
		name, holder string
		lasts        time.Duration
	}
	requests := []request{{"lease", "", time.Hour}, {"lease", "ann", 0}, {"lease", "ann", -time.Second}}
	for _, name := range badKeys() {
		requests = append(requests, request{name, "ann", time.Hour})
	}
	for _, r := range requests {
		if _, err := s.Acquire(t.Context(), r.name, r.holder, r.lasts); err == nil {
			t.Errorf("Acquire(%.20q, %q, %v) gives no error", r.name, r.holder, r.lasts)
		}
	}
	acquire(t, s, "lease", "bob", time.Hour)
}

// leaseExcludes has many holders act under one lease. Two at a time would be
// seen.
func leaseExcludes(t tb, s *subject) {
	const holders, each = 8, 5
	var inside, acts atomic.Int32
	end := time.Now().Add(patience)
	together(holders, func(i int) {
		holder := fmt.Sprintf("holder %d", i)
		for acted := 0; acted < each && time.Now().Before(end) && t.Context().Err() == nil; {
			_, err := s.Acquire(t.Context(), "lease", holder, time.Hour)
			var h *monitor.HeldError
			switch {
			case errors.As(err, &h):
				pause(t.Context(), time.Millisecond)
				continue
			case err != nil:
				t.Errorf("Acquire: %v", err)
				return
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d act at a time", n)
			}
			acts.Add(1)
			acted++
			pause(t.Context(), time.Millisecond)
			inside.Add(-1)
			release(t, s, "lease", holder)
		}
	})
	if n := acts.Load(); n != holders*each {
		t.Errorf("in %v, %d have acted instead of %d", patience, n, holders*each)
	}
}

func leaseOutlivesRestart(t tb, s *subject) {
	ann := acquire(t, s, "lease", "ann", time.Hour)
	after := s.restart()
	held(t, after, "lease", "bob", ann)
	release(t, after, "lease", "ann")
	acquire(t, after, "lease", "bob", time.Hour)
}
