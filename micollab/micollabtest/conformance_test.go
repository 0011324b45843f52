package micollabtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge/presence"
)

var (
	ann = presence.User{TeamsID: "ann"}
	bob = presence.User{TeamsID: "bob"}
	eve = presence.User{TeamsID: "eve"}
)

func harnessOf(d *Driver) Harness {
	return Harness{
		Driver:  d,
		Users:   []presence.User{ann, bob},
		Unknown: eve,
		Peek: func(u presence.User) (presence.Status, error) {
			status, known := d.Peek(u)
			if !known {
				return "", presence.ErrNotFound
			}
			return status, nil
		},
		Change: func(u presence.User, s presence.Status) error {
			if !d.Set(u, s) {
				return presence.ErrNotFound
			}
			return nil
		},
		Fail: func() error {
			d.Fail(1, fmt.Errorf("out of order: %w", presence.ErrUnavailable))
			return presence.ErrUnavailable
		},
	}
}

func TestDriverInMemoryConforms(t *testing.T) {
	TestDriver(t, func(*testing.T) Harness { return harnessOf(NewDriver(ann, bob)) })
}

// recorder notes failures in place of a test.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Context() context.Context { return r.ctx }

// failing runs the whole suite and returns the names of the checks that failed.
func failing(t *testing.T, harness func() Harness) []string {
	var names []string
	for _, c := range checks() {
		h := harness()
		if c.skip(h) != "" {
			continue
		}
		r := &recorder{ctx: t.Context()}
		done := make(chan struct{})
		go func() { // Fatalf ends the goroutine
			defer close(done)
			run(r, c, h)
		}()
		<-done
		if len(r.failures) > 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// wrong is a Driver of which some methods break the contract.
type wrong struct {
	*Driver
	status     func(context.Context, presence.User) (presence.Status, error)
	setStatus  func(context.Context, presence.User, presence.Status) error
	statusesOf func(context.Context, []presence.User) (map[string]presence.Status, error)
}

func (w wrong) Status(ctx context.Context, u presence.User) (presence.Status, error) {
	if w.status != nil {
		return w.status(ctx, u)
	}
	return w.Driver.Status(ctx, u)
}

func (w wrong) SetStatus(ctx context.Context, u presence.User, s presence.Status) error {
	if w.setStatus != nil {
		return w.setStatus(ctx, u, s)
	}
	return w.Driver.SetStatus(ctx, u, s)
}

func (w wrong) StatusesOf(ctx context.Context, u []presence.User) (map[string]presence.Status, error) {
	if w.statusesOf != nil {
		return w.statusesOf(ctx, u)
	}
	return w.Driver.StatusesOf(ctx, u)
}

func TestSuiteFindsDriversThatBreakTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		wrong func(*Driver) wrong
		finds string
	}{
		"nothing is written": {func(d *Driver) wrong {
			return wrong{Driver: d, setStatus: func(ctx context.Context, u presence.User, _ presence.Status) error {
				_, err := d.Status(ctx, u)
				return err
			}}
		}, "what is set is read"},
		"only the first write counts": {func(d *Driver) wrong {
			return wrong{Driver: d, setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
				if now, err := d.Status(ctx, u); err != nil || now != InitialStatus {
					return err
				}
				return d.SetStatus(ctx, u, s)
			}}
		}, "the last of several writes stays"},
		"the same again is a conflict": {func(d *Driver) wrong {
			return wrong{Driver: d, setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
				if now, _ := d.Peek(u); now == s {
					return presence.ErrConflict
				}
				return d.SetStatus(ctx, u, s)
			}}
		}, "setting the same again is no error"},
		"everybody shares one status": {func(d *Driver) wrong {
			one := func(u presence.User) presence.User {
				if u.TeamsID == eve.TeamsID {
					return eve
				}
				return ann
			}
			return wrong{Driver: d,
				status: func(ctx context.Context, u presence.User) (presence.Status, error) { return d.Status(ctx, one(u)) },
				setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
					return d.SetStatus(ctx, one(u), s)
				}}
		}, "users are independent"},
		"unknown users have a status": {func(d *Driver) wrong {
			return wrong{Driver: d, status: func(ctx context.Context, u presence.User) (presence.Status, error) {
				status, err := d.Status(ctx, u)
				if errors.Is(err, presence.ErrNotFound) {
					return presence.StatusOffline, nil
				}
				return status, err
			}}
		}, "an unknown user is not found"},
		"contexts are ignored": {func(d *Driver) wrong {
			return wrong{Driver: d, setStatus: func(_ context.Context, u presence.User, s presence.Status) error {
				return d.SetStatus(context.Background(), u, s)
			}}
		}, "a context that has ended ends the call"},
		"one call at a time": {func(d *Driver) wrong {
			var busy sync.Mutex
			return wrong{Driver: d, setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
				if !busy.TryLock() {
					return presence.ErrUnavailable
				}
				defer busy.Unlock()
				for range 100 {
					runtime.Gosched()
				}
				return d.SetStatus(ctx, u, s)
			}}
		}, "concurrent calls"},
		"writes stay in a cache": {func(d *Driver) wrong {
			cache := NewDriver(ann, bob)
			return wrong{Driver: d, status: cache.Status, setStatus: cache.SetStatus}
		}, "what is set is at the server"},
		"reads come from a cache": {func(d *Driver) wrong {
			cache := NewDriver(ann, bob)
			return wrong{Driver: d, status: cache.Status, setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
				return errors.Join(cache.SetStatus(ctx, u, s), d.SetStatus(ctx, u, s))
			}}
		}, "what the user changes is read"},
		"errors lose their meaning": {func(d *Driver) wrong {
			return wrong{Driver: d, setStatus: func(ctx context.Context, u presence.User, s presence.Status) error {
				if err := d.SetStatus(ctx, u, s); err != nil {
					return errors.New("something went wrong")
				}
				return nil
			}}
		}, "a fault of the server is reported as what it is"},
		"a bulk read invents users": {func(d *Driver) wrong {
			return wrong{Driver: d, statusesOf: func(ctx context.Context, u []presence.User) (map[string]presence.Status, error) {
				statuses, err := d.StatusesOf(ctx, u)
				statuses[eve.TeamsID] = presence.StatusOffline
				return statuses, err
			}}
		}, "a bulk read agrees with single reads"},
	} {
		t.Run(name, func(t *testing.T) {
			found := failing(t, func() Harness {
				d := NewDriver(ann, bob)
				h := harnessOf(d)
				h.Driver = c.wrong(d)
				return h
			})
			assert.Contains(t, found, c.finds)
		})
	}
}

func TestSuiteIsSilentAboutAGoodDriver(t *testing.T) {
	assert.Empty(t, failing(t, func() Harness { return harnessOf(NewDriver(ann, bob)) }))
}

func TestSuiteRefusesAHarnessThatLacksSomething(t *testing.T) {
	for name, change := range map[string]func(*Harness){
		"no driver":       func(h *Harness) { h.Driver = nil },
		"one user":        func(h *Harness) { h.Users = h.Users[:1] },
		"one status":      func(h *Harness) { h.Statuses = []presence.Status{"Busy"} },
		"no unknown user": func(h *Harness) { h.Unknown = presence.User{} },
	} {
		t.Run(name, func(t *testing.T) {
			assert.NotEmpty(t, failing(t, func() Harness {
				h := harnessOf(NewDriver(ann, bob))
				change(&h)
				return h
			}))
		})
	}
}
