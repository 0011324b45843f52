package micollabtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

// InitialStatus is the status of every user of a [Driver] at first.
const InitialStatus = presence.StatusOffline

// Driver holds the statuses of users in memory. Users are told apart by their
// TeamsID. Its methods are safe for concurrent use.
type Driver struct {
	mu        sync.Mutex
	statuses  map[string]presence.Status
	history   []Write
	observers []func(Write)
	delay     time.Duration
	faults    []fault
}

var (
	_ micollab.Driver     = (*Driver)(nil)
	_ micollab.BulkReader = (*Driver)(nil)
)

type fault struct {
	left int // -1: without end
	err  error
}

// Write is one status that was set.
type Write struct {
	Time   time.Time
	UserID string
	Status presence.Status
	// Outside: it was set by [Driver.Set], not through the driver.
	Outside bool
}

// NewDriver returns a driver that knows the given users.
func NewDriver(users ...presence.User) *Driver {
	d := &Driver{statuses: make(map[string]presence.Status, len(users))}
	for _, u := range users {
		d.statuses[u.TeamsID] = InitialStatus
	}
	return d
}

// Add makes users known; those that are known keep their status.
func (d *Driver) Add(users ...presence.User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range users {
		if _, known := d.statuses[u.TeamsID]; !known {
			d.statuses[u.TeamsID] = InitialStatus
		}
	}
}

// Remove makes a user unknown.
func (d *Driver) Remove(user presence.User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.statuses, user.TeamsID)
}

// Fail makes the next n calls of the driver fail with err, and not take effect;
// 0 means until [Driver.Recover]. A later Fail applies after the earlier ones.
func (d *Driver) Fail(n int, err error) {
	if n == 0 {
		n = -1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, fault{n, err})
}

// Recover ends every fault of [Driver.Fail].
func (d *Driver) Recover() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
}

// Delay makes every call of the driver take a time before it does anything, or
// until its context ends; 0 for none.
func (d *Driver) Delay(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = by
}

// Set changes a user's status as if the user or an administrator did, and
// reports whether the user is known. No fault applies.
func (d *Driver) Set(user presence.User, status presence.Status) bool {
	return d.write(user, status, true) == nil
}

// Peek returns a user's status without a call of the driver, and whether the
// user is known.
func (d *Driver) Peek(user presence.User) (presence.Status, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	status, known := d.statuses[user.TeamsID]
	return status, known
}

// History returns what was set, the oldest first.
func (d *Driver) History() []Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.history)
}

// OnChange adds a function that is called after every [Write], with no lock
// held and by whoever wrote: concurrent writes call it concurrently.
func (d *Driver) OnChange(f func(Write)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.observers = append(d.observers, f)
}

// Status returns a user's status.
func (d *Driver) Status(ctx context.Context, user presence.User) (presence.Status, error) {
	if err := d.begin(ctx); err != nil {
		return "", err
	}
	status, known := d.Peek(user)
	if !known {
		return "", unknown(user)
	}
	return status, nil
}

// SetStatus sets a user's status.
func (d *Driver) SetStatus(ctx context.Context, user presence.User, status presence.Status) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	return d.write(user, status, false)
}

// StatusesOf returns the statuses of the users that are known.
func (d *Driver) StatusesOf(ctx context.Context, users []presence.User) (map[string]presence.Status, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	statuses := make(map[string]presence.Status, len(users))
	for _, u := range users {
		if status, known := d.Peek(u); known {
			statuses[u.TeamsID] = status
		}
	}
	return statuses, nil
}

// begin is what every call of the driver has before it: the delay, then a fault.
func (d *Driver) begin(ctx context.Context) error {
	d.mu.Lock()
	delay := d.delay
	d.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.faults) == 0 {
		return nil
	}
	first := &d.faults[0]
	err := first.err
	if first.left > 0 {
		first.left--
	}
	if first.left == 0 {
		d.faults = d.faults[1:]
	}
	return err
}

func (d *Driver) write(user presence.User, status presence.Status, outside bool) error {
	w := Write{Time: time.Now(), UserID: user.TeamsID, Status: status, Outside: outside}
	d.mu.Lock()
	_, known := d.statuses[user.TeamsID]
	if known {
		d.statuses[user.TeamsID] = status
		d.history = append(d.history, w)
	}
	observers := slices.Clone(d.observers)
	d.mu.Unlock()
	if !known {
		return unknown(user)
	}
	for _, f := range observers {
		f(w)
	}
	return nil
}

func unknown(user presence.User) error {
	return fmt.Errorf("micollabtest: user %q: %w: add the user to the driver", user.TeamsID, presence.ErrNotFound)
}
