package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// reading is what was read of one person at one time.
type reading struct {
	at    time.Time
	email string
	// explanation is what the bridge held before anything was read; nil for somebody
	// who is not in the roster.
	explanation *presencebridge.Explanation
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
func (c *UserCheck) read(ctx context.Context, email string) *reading {
	r := &reading{email: email}
	r.explanation, _ = c.sources.Bridge.Explain(email)
	roster := c.sources.Bridge.Roster()
	r.at = time.Now()
	address := presence.NormalizeEmail(email)
	if r.explanation == nil {
		for _, e := range roster.Excluded {
			if e.Email == address || strings.EqualFold(e.ID, email) {
				r.left = append(r.left, e)
			}
		}
		i := slices.IndexFunc(roster.TeamsOnly, func(t presence.TeamsUser) bool {
			return strings.EqualFold(t.PrincipalName, address) || strings.EqualFold(t.Mail, address) || strings.EqualFold(t.ID, email)
		})
		if i >= 0 {
			r.teamsOnly = &roster.TeamsOnly[i]
		}
	}
	var reads sync.WaitGroup
	if r.explanation == nil {
		ask(ctx, c, &reads, &r.account, func(ctx context.Context) (presence.TeamsUser, error) { return c.findAccount(ctx, email) })
		for _, e := range r.left {
			if e.Side == presence.SideCloudLink && e.ID != "" {
				ask(ctx, c, &reads, &r.person, func(ctx context.Context) (cloudlink.User, error) { return c.sources.People.User(ctx, e.ID) })
				break
			}
		}
		reads.Wait()
		return r
	}
	user := r.explanation.User
	for _, l := range roster.Limited {
		if l.User.TeamsID == user.TeamsID {
			r.limited = append(r.limited, l)
		}
	}
	ask(ctx, c, &reads, &r.account, func(ctx context.Context) (presence.TeamsUser, error) {
		return c.sources.Accounts.User(ctx, user.TeamsID)
	})
	ask(ctx, c, &reads, &r.presence, func(ctx context.Context) (presence.Presence, error) {
		return c.sources.Accounts.Presence(ctx, user.TeamsID)
	})
	if user.PrincipalID != "" {
		ask(ctx, c, &reads, &r.person, func(ctx context.Context) (cloudlink.User, error) {
			return c.sources.People.User(ctx, user.PrincipalID)
		})
		ask(ctx, c, &reads, &r.presentity, func(ctx context.Context) (cloudlink.Presentity, error) {
			return c.sources.People.Presentity(ctx, user.PrincipalID)
		})
	}
	if len(user.Endpoints) > 0 {
		ask(ctx, c, &reads, &r.lines, func(ctx context.Context) ([]presence.Line, error) { return c.sources.Phones.Lines(ctx, user) })
	}
	if c.sources.Statuses != nil {
		ask(ctx, c, &reads, &r.status, func(ctx context.Context) (presence.Status, error) { return c.sources.Statuses.Status(ctx, user) })
	}
	reads.Wait()
	return r
}

// ask reads one hop in a goroutine of its own. A panic of a source is the error of
// that hop.
func ask[T any](ctx context.Context, c *UserCheck, reads *sync.WaitGroup, to *answer[T], read func(context.Context) (T, error)) {
	to.asked = true
	reads.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
		defer cancel()
		defer func() {
			if v := recover(); v != nil {
				to.err = errors.New("the reading broke off: " + secret.PanicText(v))
			}
		}()
		to.value, to.err = read(ctx)
	})
}

// findAccount looks an account up that the bridge does not know.
func (c *UserCheck) findAccount(ctx context.Context, email string) (presence.TeamsUser, error) {
	account, err := c.sources.Accounts.User(ctx, email)
	if errors.Is(err, presence.ErrNotFound) || errors.Is(err, presence.ErrInvalid) {
		return c.sources.Accounts.UserByMail(ctx, email)
	}
	return account, err
}

// strongest is the strongest of the lines that were read.
func (r *reading) strongest() presence.Line { return presence.Strongest(r.lines.value...) }
