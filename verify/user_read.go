package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// reading is what was read of one person at one time.
type reading struct {
	at time.Time
	// asked is the name under which somebody asked for the person.
	asked string
	// explanation is what the bridge held before anything was read; nil for somebody
	// who is not in the roster.
	explanation *presencebridge.Explanation
	// bridgeErr is why the bridge could not be asked at all.
	bridgeErr error
	// empty: the roster has nobody.
	empty bool
	// left are the entries of the roster that were left out and have the address;
	// teamsOnly is the account that no CloudLink user asks for.
	left      []presence.Exclusion
	limited   []presence.Limitation
	teamsOnly *presence.TeamsUser

	account    answer[presence.TeamsUser]
	person     answer[cloudlink.User]
	lines      answer[[]presence.Line]
	presence   answer[presence.Presence]
	presentity answer[cloudlink.Presentity]
	status     answer[presence.Status]
}

// answer is what was read of one hop.
type answer[T any] struct {
	asked bool
	value T
	err   error
}

// ok reports whether the hop was read.
func (a answer[T]) ok() bool { return a.asked && a.err == nil }

// read reads everything at once. Each reading is bounded.
func (c *UserCheck) read(ctx context.Context, asked string) *reading {
	r := &reading{asked: asked}
	// What the bridge holds is taken before anything is read: what it learns
	// meanwhile is not held against what was read earlier.
	c.find(ctx, r)
	r.at = time.Now()
	var reads sync.WaitGroup
	if r.explanation == nil {
		c.readOutside(ctx, &reads, r)
	} else {
		c.readInside(ctx, &reads, r)
	}
	reads.Wait()
	return r
}

// find finds the person in the roster. The bridge knows people by the address of the
// CloudLink user. The Entra account may have two, so that somebody who is asked for
// by the other one is found through the account.
func (c *UserCheck) find(ctx context.Context, r *reading) {
	var err error
	r.explanation, err = c.explain(r.asked)
	if !errors.Is(err, presencebridge.ErrUnknownUser) {
		r.bridgeErr = err
		return
	}
	r.account.asked = true
	r.account.value, r.account.err = bounded(ctx, c.opts.Timeout, func(ctx context.Context) (presence.TeamsUser, error) {
		account, err := c.sources.Accounts.User(ctx, r.asked)
		if errors.Is(err, presence.ErrNotFound) || errors.Is(err, presence.ErrInvalid) {
			return c.sources.Accounts.UserByMail(ctx, r.asked)
		}
		return account, err
	})
	if r.account.ok() && r.account.value.ID != "" {
		if r.explanation, err = c.explain(r.account.value.ID); !errors.Is(err, presencebridge.ErrUnknownUser) {
			r.bridgeErr = err
		}
	}
}

// explain asks the bridge. A panic is an error.
func (c *UserCheck) explain(user string) (e *presencebridge.Explanation, err error) {
	defer func() {
		if v := recover(); v != nil {
			e, err = nil, errors.New("it broke off: "+secret.PanicText(v))
		}
	}()
	e, err = c.sources.Bridge.Explain(user)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// readInside reads the hops of somebody whom the bridge keeps in step.
func (c *UserCheck) readInside(ctx context.Context, reads *sync.WaitGroup, r *reading) {
	user := r.explanation.User
	for _, l := range c.sources.Bridge.Roster().Limited {
		if l.User.TeamsID == user.TeamsID {
			r.limited = append(r.limited, l)
		}
	}
	if !r.account.ok() {
		ask(ctx, c, reads, &r.account, func(ctx context.Context) (presence.TeamsUser, error) {
			return c.sources.Accounts.User(ctx, user.TeamsID)
		})
	}
	ask(ctx, c, reads, &r.presence, func(ctx context.Context) (presence.Presence, error) {
		return c.sources.Accounts.Presence(ctx, user.TeamsID)
	})
	if user.PrincipalID != "" {
		ask(ctx, c, reads, &r.person, func(ctx context.Context) (cloudlink.User, error) {
			return c.sources.People.User(ctx, user.PrincipalID)
		})
		ask(ctx, c, reads, &r.presentity, func(ctx context.Context) (cloudlink.Presentity, error) {
			return c.sources.People.Presentity(ctx, user.PrincipalID)
		})
	}
	if len(user.Endpoints) > 0 {
		ask(ctx, c, reads, &r.lines, func(ctx context.Context) ([]presence.Line, error) { return c.sources.Phones.Lines(ctx, user) })
	}
	if c.sources.Statuses != nil {
		ask(ctx, c, reads, &r.status, func(ctx context.Context) (presence.Status, error) { return c.sources.Statuses.Status(ctx, user) })
	}
}

// ask reads one hop in a goroutine of its own.
func ask[T any](ctx context.Context, c *UserCheck, reads *sync.WaitGroup, to *answer[T], read func(context.Context) (T, error)) {
	to.asked = true
	reads.Go(func() {
		to.value, to.err = bounded(ctx, c.opts.Timeout, read)
		to.err = inTime(to.err, c.opts.Timeout)
	})
}

// inTime says in plain words that a time is over.
func inTime(err error, bound time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("there was no answer within %v (%w)", bound, err)
	}
	return err
}

// strongest is the strongest of the lines that were read.
func (r *reading) strongest() presence.Line { return presence.Strongest(r.lines.value...) }

// missing are the telephones of which nothing was read. One that CloudLink does not
// know is read as unknown and is not among them.
func (r *reading) missing() []string {
	var missing []string
	for _, endpoint := range r.explanation.User.Endpoints {
		if !slices.ContainsFunc(r.lines.value, func(l presence.Line) bool { return l.Endpoint == endpoint }) {
			missing = append(missing, endpoint)
		}
	}
	return missing
}
