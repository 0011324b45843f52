package storetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// Harness opens the store to be tested. The zero value of every field but Open
// is its default.
type Harness struct {
	// Open returns an empty store, and registers with t what closes it. Required.
	Open func(t *testing.T) monitor.Store
	// Reopen ends the store as the end of its process would, and returns another
	// that has what it kept. Default: what it would prove is skipped, as for a
	// store in memory.
	Reopen func(t *testing.T, store monitor.Store) monitor.Store
	// OneProcess says that the store admits one process only, and so may forget
	// its leases with it. Default: a lease must outlive Reopen.
	OneProcess bool
	// InBubble says that the store may be opened in a bubble of testing/synctest,
	// because its time is that of package time and it waits for nothing outside.
	// Then the suite takes no time, and finds goroutines that are left behind.
	// Default: the suite waits for leases to end.
	InBubble bool
	// ShortLease is how long these leases last. A store that knows whole seconds
	// only needs a few. Default: 200 milliseconds.
	ShortLease time.Duration
}

// TestStore proves the contract of [monitor.Store]. A store is opened for every
// subtest.
func TestStore(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("the harness needs Open")
	}
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if reason := c.skip(h); reason != "" {
				t.Skip(reason)
			}
			run := func(t *testing.T) {
				store := h.Open(t)
				c.run(t, &subject{Store: store, short: h.short(), restart: func() monitor.Store {
					store = h.Reopen(t, store)
					return store
				}})
			}
			if h.InBubble {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

func (h Harness) short() time.Duration {
	if h.ShortLease == 0 {
		return 200 * time.Millisecond
	}
	return h.ShortLease
}

// subject is the store under test.
type subject struct {
	monitor.Store
	short   time.Duration
	restart func() monitor.Store
}

// tb is what the checks need of testing.T, so that the suite can be tested by
// stores that break the contract.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

type check struct {
	name  string
	needs need
	run   func(tb, *subject)
}

type need int

const (
	nothing need = iota
	restart
	lastingLeases
)

// skip says why the check cannot run, or nothing.
func (c check) skip(h Harness) string {
	switch {
	case c.needs != nothing && h.Reopen == nil:
		return "the harness has no Reopen"
	case c.needs == lastingLeases && h.OneProcess:
		return "the store admits one process only"
	default:
		return ""
	}
}

func checks() []check {
	return []check{
		{name: "an empty store lists nothing", run: listsNothing},
		{name: "what is put is listed", run: listsWhatIsPut},
		{name: "an entry is created once", run: createsOnce},
		{name: "an old revision writes nothing", run: refusesOldRevisions},
		{name: "what is deleted is gone and can be created again", run: deletes},
		{name: "a revision never comes again", run: neverRepeatsRevisions},
		{name: "a prefix lists its keys in order", run: listsByPrefix},
		{name: "values belong to the caller", run: copiesValues},
		{name: "keys have limits", run: limitsKeys},
		{name: "values have limits", run: limitsValues},
		{name: "one of many creations is done", run: createsOneOfMany},
		{name: "concurrent increments lose nothing", run: losesNoIncrement},
		{name: "a context that has ended ends the call", run: obeysContexts},
		{name: "what was done outlives a restart", needs: restart, run: outlivesRestart},
		{name: "a watch first says to list", run: watchBegins},
		{name: "a watch tells every change with its prefix", run: watchTells},
		{name: "a watch leaves out nothing of concurrent writers", run: watchConverges},
		{name: "a watch ends with its context", run: watchEnds},
		{name: "a lease has one holder", run: leaseIsExclusive},
		{name: "a holder prolongs its lease", run: leaseIsProlonged},
		{name: "a lease ends when it said and not before", run: leaseEnds},
		{name: "only its holder releases a lease", run: leaseIsReleased},
		{name: "leases are independent", run: leasesAreIndependent},
		{name: "leases have limits", run: limitsLeases},
		{name: "one of many holders acts at a time", run: leaseExcludes},
		{name: "a lease outlives a restart", needs: lastingLeases, run: leaseOutlivesRestart},
	}
}

// pause waits, in a way that takes no time in a bubble.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// patience is how long the suite waits for what should come soon.
const patience = 10 * time.Second

// eventually waits for something that may take a while, but not for ever.
func eventually(t tb, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); pause(t.Context(), time.Millisecond) {
		if time.Now().After(end) || t.Context().Err() != nil {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
