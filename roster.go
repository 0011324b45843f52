package presencebridge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// limits are the directions that do not work for a user, BlockNone where they do.
type limits struct{ line, status Block }

// keepRoster reads the roster at the start, at each interval and when asked.
func (b *Bridge) keepRoster(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		wait, refresh := b.opts.DirectoryInterval, b.refresh
		err := b.readRoster(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			wait = min(time.Second<<min(failures, 10), b.opts.MaxBackoff)
			if asked, ok := presence.RetryAfter(err); ok {
				// Nobody may ask before the service allows it.
				wait, refresh = asked, nil
			}
			failures++
		} else {
			failures = 0
		}
		b.directoryAnswered(err, wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-refresh:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// RefreshRoster asks for the roster to be read anew soon. It does not block.
func (b *Bridge) RefreshRoster() {
	select {
	case b.refresh <- struct{}{}:
	default:
	}
}

func (b *Bridge) readRoster(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, max(b.opts.RequestTimeout, defaultBulkTimeout))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("presencebridge: the directory panicked with a %T", r)
		}
	}()
	roster, err := b.sides.Directory.Roster(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := b.checkEmpty(roster, now); err != nil {
		return err
	}
	b.applyRoster(roster, now)
	return nil
}

// ErrEmptyRoster is the error of a directory that suddenly lists nobody.
var ErrEmptyRoster = errors.New("presencebridge: the directory suddenly lists nobody: check the roles and permissions of both sides' clients")

// checkEmpty refuses a roster without users where there were some, until the
// directory has said so for its interval: a client that lost its permission may
// be answered with an empty list, and everybody's presence must not go with it.
func (b *Bridge) checkEmpty(roster presence.Roster, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(roster.Users) > 0 || len(b.roster.Users) == 0 {
		b.emptySince = time.Time{}
		return nil
	}
	if b.emptySince.IsZero() {
		b.emptySince = now
	}
	if until := b.emptySince.Add(b.opts.DirectoryInterval); now.Before(until) {
		return fmt.Errorf("%w: it is believed if it goes on until %s", ErrEmptyRoster, until.Format(time.RFC3339))
	}
	return nil
}

// directoryAnswered takes the outcome of reading the roster, and how long the next
// reading waits.
func (b *Bridge) directoryAnswered(err error, wait time.Duration) {
	now := time.Now()
	b.mu.Lock()
	changed := b.directory.note(err, now, now.Add(wait))
	h := b.directory
	b.mu.Unlock()
	if changed {
		b.healthChanged(h)
	}
}

// directionsOf asks the embedder for the directions of users.
func (b *Bridge) directionsOf(users []presence.User) map[string]Direction {
	asked := make(map[string]Direction, len(users))
	for _, user := range users {
		d := Bidirectional
		if b.opts.DirectionOf != nil {
			d = Off
			b.tell("Options.DirectionOf", func() { d = b.opts.DirectionOf(user) })
			if !d.valid() {
				b.opts.Logger.Error("Options.DirectionOf gave no direction: the user is left alone", "bridge", b.opts.Name, "user", user.TeamsID, "direction", d)
				d = Off
			}
		}
		asked[user.TeamsID] = d
	}
	return asked
}

// applyRoster makes the roster the one that holds.
func (b *Bridge) applyRoster(roster presence.Roster, now time.Time) {
	limited := make(map[string]limits)
	for _, l := range roster.Limited {
		was, block := limited[l.User.TeamsID], BlockUnsupportedPBX
		if l.Reason == presence.ReasonNoEndpoint {
			block = BlockNoEndpoint
		}
		if l.Direction == presence.TeamsToMiCollab {
			was.status = block
		} else {
			was.line = block
		}
		limited[l.User.TeamsID] = was
	}
	change := RosterChange{Time: now, Roster: roster}
	asked := b.directionsOf(roster.Users)
	b.mu.Lock()
	first := b.loadedAt.IsZero()
	changed := first || !slices.Equal(b.roster.Excluded, roster.Excluded) || len(b.roster.Limited) != len(roster.Limited)
	b.roster, b.loadedAt = roster, now
	present := make(map[string]bool, len(roster.Users))
	for _, user := range roster.Users {
		id := user.TeamsID
		if id == "" || present[id] {
			continue
		}
		present[id] = true
		p := b.people[id]
		fresh := p == nil || p.removed
		if p == nil {
			p = &person{}
			p.view.session.unknownFrom = now
			p.view.session.unknownUntil = now.Add(b.settings.lifetime)
			b.people[id] = p
		}
		moved := fresh || !slices.Equal(p.user.Endpoints, user.Endpoints)
		if fresh {
			change.Added = append(change.Added, id)
		} else if moved || p.user.Email != user.Email || p.user.PBX != user.PBX {
			changed = true
		}
		p.user, p.limited, p.asked, p.removed = user, limited[id], asked[id], false
		changed = b.ruleLocked(p, Cause{Trigger: TriggerStart, ReceivedAt: now}) || changed
		if moved {
			p.view.phone.settle(user, Cause{Trigger: TriggerStart, ReceivedAt: now})
			b.markLocked(p, ofLines, Cause{Trigger: TriggerStart, ReceivedAt: now}, false)
		}
		if fresh {
			b.markLocked(p, ofTeams, Cause{Trigger: TriggerStart, ReceivedAt: now}, false)
			b.markLocked(p, ofStatus, Cause{Trigger: TriggerStart, ReceivedAt: now}, false)
		}
	}
	for id, p := range b.people {
		if !present[id] && !p.removed {
			change.Removed = append(change.Removed, id)
			// Stays until its session is cleared.
			p.removed = true
			b.ruleLocked(p, Cause{Trigger: TriggerRemoved, ReceivedAt: now})
		}
	}
	b.indexLocked()
	for _, p := range b.people {
		b.evaluateLocked(p, now)
	}
	b.mu.Unlock()
	if first {
		close(b.loaded)
		b.opts.Logger.Info("kept in step from now on; who is busy, away or in do-not-disturb already follows a little later, because an earlier run may have left that session",
			"bridge", b.opts.Name, "users", len(roster.Users), "direction", b.Direction(), "later", b.opts.EchoWindow)
	}
	if !changed && len(change.Added)+len(change.Removed) == 0 {
		return
	}
	slices.Sort(change.Removed)
	b.opts.Logger.Info("the roster has changed", "bridge", b.opts.Name, "users", len(roster.Users), "added", len(change.Added),
		"removed", len(change.Removed), "limited", len(roster.Limited), "excluded", len(roster.Excluded))
	for _, e := range roster.Excluded {
		b.opts.Logger.Warn("left out", "bridge", b.opts.Name, "side", e.Side, "id", e.ID, "reason", e.Reason, "detail", e.Detail)
	}
	for _, l := range roster.Limited {
		b.opts.Logger.Warn("limited", "bridge", b.opts.Name, "user", l.User.TeamsID, "direction", l.Direction, "reason", l.Reason, "detail", l.Detail)
	}
	b.updateWatcher()
	change.Overflow = b.Overflow()
	if b.opts.Hooks.RosterChanged != nil {
		b.tell("Hooks.RosterChanged", func() { b.opts.Hooks.RosterChanged(change) })
	}
}

// indexLocked makes the ways to find a person anew.
func (b *Bridge) indexLocked() {
	clear(b.endpoints)
	clear(b.principal)
	clear(b.emails)
	for id, p := range b.people {
		if p.removed {
			continue
		}
		for _, e := range p.user.Endpoints {
			b.endpoints[e] = id
		}
		if p.user.PrincipalID != "" {
			b.principal[p.user.PrincipalID] = id
		}
		if p.user.Email != "" {
			b.emails[presence.NormalizeEmail(p.user.Email)] = id
		}
	}
}

func (b *Bridge) forgetLocked(p *person) {
	id := p.user.TeamsID
	delete(b.people, id)
	b.clock.set(id, time.Time{})
}

// TeamsUsers lists the accounts of Microsoft Entra. A client of package graph is one.
type TeamsUsers interface {
	// Users yields every account. An error that matches presence.ErrUnreadable
	// speaks of one account; any other is the last.
	Users(ctx context.Context) iter.Seq2[presence.TeamsUser, error]
}

// Principals lists the users of a CloudLink account. A client of package
// cloudlink is one.
type Principals interface {
	// Principals yields every user. An error that matches presence.ErrUnreadable
	// speaks of one user; any other is the last.
	Principals(ctx context.Context) iter.Seq2[presence.Principal, error]
}

type directory struct {
	teams      TeamsUsers
	principals Principals
	opts       *presence.MatchOptions
}

// NewDirectory returns a Directory that reads the users of both sides and
// matches them by e-mail address with [presence.Match]; nil options are fine.
func NewDirectory(teams TeamsUsers, principals Principals, opts *presence.MatchOptions) Directory {
	return &directory{teams, principals, opts}
}

// Roster reads both sides. Half a directory would remove people who are there, so
// an error on either side is an error of the whole; but an entry that cannot be
// read is left out, by itself and by name.
func (d *directory) Roster(ctx context.Context) (presence.Roster, error) {
	accounts, unreadable, err := list(d.teams.Users(ctx), presence.SideTeams)
	if err != nil {
		return presence.Roster{}, fmt.Errorf("presencebridge: cannot read the Teams users: %w", err)
	}
	principals, more, err := list(d.principals.Principals(ctx), presence.SideCloudLink)
	if err != nil {
		return presence.Roster{}, fmt.Errorf("presencebridge: cannot read the CloudLink users: %w", err)
	}
	roster := presence.Match(accounts, principals, d.opts)
	roster.Excluded = slices.Concat(roster.Excluded, unreadable, more)
	return roster, nil
}

func list[T any](entries iter.Seq2[T, error], side presence.Side) (read []T, unreadable []presence.Exclusion, err error) {
	for entry, err := range entries {
		switch {
		case errors.Is(err, presence.ErrUnreadable):
			unreadable = append(unreadable, presence.Exclusion{Side: side, Reason: presence.ReasonUnreadable, Detail: err.Error()})
		case err != nil:
			return nil, nil, err
		default:
			read = append(read, entry)
		}
	}
	return read, unreadable, nil
}
