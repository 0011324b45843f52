package micollabtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

// Harness is a driver to be tested and what the suite needs to know of the
// server behind it. The functions are optional; what they would prove is
// skipped without them.
type Harness struct {
	// Driver is the driver to be tested. Required.
	Driver micollab.Driver
	// Users are at least two users that the server has, and whose statuses may be
	// changed.
	Users []presence.User
	// Unknown is a user that the server does not have. Required.
	Unknown presence.User
	// Statuses are at least two statuses that the server can hold. Default:
	// Available, Busy and "In a call, out of office".
	Statuses []presence.Status
	// Peek reads a user's status at the server, not through the driver.
	Peek func(user presence.User) (presence.Status, error)
	// Change changes a user's status at the server, as the user would.
	Change func(user presence.User, status presence.Status) error
	// Fail makes the server refuse the next call of the driver in a way that the
	// driver has to report as an error that matches the result, one of the
	// sentinels of package presence.
	Fail func() (sentinel error)
}

// TestDriver proves the contract of micollab.Driver, and of micollab.BulkReader
// where the driver is one. harness is called once for every subtest; it may
// return the same server each time, since no subtest relies on a status that
// it has not set itself.
func TestDriver(t *testing.T, harness func(t *testing.T) Harness) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			h := harness(t)
			if reason := c.skip(h); reason != "" {
				t.Skip(reason)
			}
			run(t, c, h)
		})
	}
}

// tb is what the checks need of testing.T, so that the suite can be tested by
// drivers that break the contract.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

type check struct {
	name  string
	needs func(Harness) string // why it cannot run; nil: it always can
	run   func(tb, Harness)
}

func (c check) skip(h Harness) string {
	if c.needs == nil {
		return ""
	}
	return c.needs(h)
}

func run(t tb, c check, h Harness) {
	t.Helper()
	if len(h.Statuses) == 0 {
		h.Statuses = []presence.Status{presence.StatusAvailable, presence.StatusBusy, presence.StatusInACallOutOfOffice}
	}
	if h.Driver == nil || len(h.Users) < 2 || len(h.Statuses) < 2 || h.Unknown.TeamsID == "" {
		t.Fatalf("the harness needs a Driver, two Users, two Statuses and an Unknown user with a TeamsID")
	}
	c.run(t, h)
}

func checks() []check {
	return []check{
		{name: "what is set is read", run: readsBack},
		{name: "the last of several writes stays", run: lastStays},
		{name: "setting the same again is no error", run: idempotent},
		{name: "users are independent", run: independent},
		{name: "an unknown user is not found", run: notFound},
		{name: "a context that has ended ends the call", run: endedContext},
		{name: "concurrent calls", run: concurrent},
		{name: "what is set is at the server", needs: needPeek, run: arrives},
		{name: "what the user changes is read", needs: needChange, run: seesChanges},
		{name: "a fault of the server is reported as what it is", needs: needFail, run: reportsFaults},
		{name: "a bulk read agrees with single reads", needs: needBulk, run: bulkAgrees},
	}
}

func needPeek(h Harness) string {
	if h.Peek == nil {
		return "the harness has no Peek"
	}
	return ""
}

func needChange(h Harness) string {
	if h.Change == nil {
		return "the harness has no Change"
	}
	return ""
}

func needFail(h Harness) string {
	if h.Fail == nil {
		return "the harness has no Fail"
	}
	return ""
}

func needBulk(h Harness) string {
	if _, ok := h.Driver.(micollab.BulkReader); !ok {
		return "the driver is no micollab.BulkReader"
	}
	return ""
}

func set(t tb, h Harness, user presence.User, status presence.Status) {
	t.Helper()
	if err := h.Driver.SetStatus(t.Context(), user, status); err != nil {
		t.Fatalf("SetStatus(%s, %q): %v", user.TeamsID, status, err)
	}
}

func expect(t tb, h Harness, user presence.User, want presence.Status) {
	t.Helper()
	got, err := h.Driver.Status(t.Context(), user)
	if err != nil {
		t.Fatalf("Status(%s): %v", user.TeamsID, err)
	}
	if got != want {
		t.Errorf("Status(%s) is %q after it was set to %q", user.TeamsID, got, want)
	}
}

func readsBack(t tb, h Harness) {
	for _, status := range h.Statuses {
		set(t, h, h.Users[0], status)
		expect(t, h, h.Users[0], status)
	}
}

func lastStays(t tb, h Harness) {
	for range 3 {
		for _, status := range h.Statuses {
			set(t, h, h.Users[0], status)
		}
	}
	expect(t, h, h.Users[0], h.Statuses[len(h.Statuses)-1])
}

func idempotent(t tb, h Harness) {
	for range 3 {
		set(t, h, h.Users[0], h.Statuses[0])
	}
	expect(t, h, h.Users[0], h.Statuses[0])
}

func independent(t tb, h Harness) {
	for i, user := range h.Users {
		set(t, h, user, h.Statuses[i%len(h.Statuses)])
	}
	for i, user := range h.Users {
		expect(t, h, user, h.Statuses[i%len(h.Statuses)])
	}
}

func notFound(t tb, h Harness) {
	if status, err := h.Driver.Status(t.Context(), h.Unknown); !errors.Is(err, presence.ErrNotFound) || status != "" {
		t.Errorf("Status of an unknown user gives %q, %v instead of presence.ErrNotFound", status, err)
	}
	if err := h.Driver.SetStatus(t.Context(), h.Unknown, h.Statuses[0]); !errors.Is(err, presence.ErrNotFound) {
		t.Errorf("SetStatus of an unknown user gives %v instead of presence.ErrNotFound", err)
	}
}

func endedContext(t tb, h Harness) {
	set(t, h, h.Users[0], h.Statuses[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Driver.Status(ctx, h.Users[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Status with a context that has ended gives %v instead of context.Canceled", err)
	}
	if err := h.Driver.SetStatus(ctx, h.Users[0], h.Statuses[1]); !errors.Is(err, context.Canceled) {
		t.Errorf("SetStatus with a context that has ended gives %v instead of context.Canceled", err)
	}
	expect(t, h, h.Users[0], h.Statuses[0])
}

// concurrent has several goroutines read and write the same users. Run with
// -race it finds what is shared without a lock; without, it finds writes that
// went to another user or were lost.
func concurrent(t tb, h Harness) {
	const workers, rounds = 4, 5
	var wg sync.WaitGroup
	faults := make(chan error, workers*rounds*len(h.Users)*2)
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				for i, user := range h.Users {
					status := h.Statuses[(worker+round+i)%len(h.Statuses)]
					if err := h.Driver.SetStatus(t.Context(), user, status); err != nil {
						faults <- fmt.Errorf("SetStatus(%s): %w", user.TeamsID, err)
					}
					if _, err := h.Driver.Status(t.Context(), user); err != nil {
						faults <- fmt.Errorf("Status(%s): %w", user.TeamsID, err)
					}
				}
			}
		})
	}
	wg.Wait()
	close(faults)
	for err := range faults {
		t.Errorf("%v", err)
	}
	for i, user := range h.Users {
		wg.Go(func() {
			if err := h.Driver.SetStatus(t.Context(), user, h.Statuses[i%len(h.Statuses)]); err != nil {
				t.Errorf("SetStatus(%s): %v", user.TeamsID, err)
			}
		})
	}
	wg.Wait()
	for i, user := range h.Users {
		expect(t, h, user, h.Statuses[i%len(h.Statuses)])
	}
}

func arrives(t tb, h Harness) {
	for _, status := range h.Statuses {
		set(t, h, h.Users[0], status)
		got, err := h.Peek(h.Users[0])
		if err != nil {
			t.Fatalf("Peek(%s): %v", h.Users[0].TeamsID, err)
		}
		if got != status {
			t.Errorf("the server holds %q after SetStatus(%s, %q)", got, h.Users[0].TeamsID, status)
		}
	}
}

func seesChanges(t tb, h Harness) {
	for _, status := range h.Statuses {
		set(t, h, h.Users[0], h.Statuses[0])
		if err := h.Change(h.Users[0], status); err != nil {
			t.Fatalf("Change(%s, %q): %v", h.Users[0].TeamsID, status, err)
		}
		expect(t, h, h.Users[0], status)
	}
}

func reportsFaults(t tb, h Harness) {
	set(t, h, h.Users[0], h.Statuses[0])
	want := h.Fail()
	if status, err := h.Driver.Status(t.Context(), h.Users[0]); !errors.Is(err, want) || status != "" {
		t.Errorf("Status gives %q, %v while the server fails, instead of an error that matches %q", status, err, want)
	}
	want = h.Fail()
	if err := h.Driver.SetStatus(t.Context(), h.Users[0], h.Statuses[1]); !errors.Is(err, want) {
		t.Errorf("SetStatus gives %v while the server fails, instead of an error that matches %q", err, want)
	}
	set(t, h, h.Users[0], h.Statuses[1])
	expect(t, h, h.Users[0], h.Statuses[1])
}

func bulkAgrees(t tb, h Harness) {
	for i, user := range h.Users {
		set(t, h, user, h.Statuses[i%len(h.Statuses)])
	}
	bulk := h.Driver.(micollab.BulkReader)
	statuses, err := bulk.StatusesOf(t.Context(), append([]presence.User{h.Unknown}, h.Users...))
	if err != nil {
		t.Fatalf("StatusesOf: %v", err)
	}
	if status, found := statuses[h.Unknown.TeamsID]; found {
		t.Errorf("StatusesOf has %q for the unknown user, who must be absent", status)
	}
	for i, user := range h.Users {
		if want := h.Statuses[i%len(h.Statuses)]; statuses[user.TeamsID] != want {
			t.Errorf("StatusesOf has %q for %s, who was set to %q", statuses[user.TeamsID], user.TeamsID, want)
		}
	}
}
