package presencebridge

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// Who watches whom. A watcher is told by SetUsers whose Teams presence is needed,
// and says whom it does not watch: by what SetUsers returns and, at any time, by
// TeamsUnwatched, because a subscription is lost and found without anybody being
// added. Those users are read in bulk instead.

const (
	// unwatchedSettle is how long a change of who is watched is left to settle
	// before it is told: a subscription that is replaced is back by then.
	unwatchedSettle = 10 * time.Second
	// unwatchedNamed is how many users one line of the log names.
	unwatchedNamed = 20
)

// Watch makes w watch the Teams presence of those users whose presence is brought
// to MiCollab: their direction is Bidirectional, and their telephone system supports
// it. It is told of every change of them, at once.
//
// Watch may be called before Run and while the bridge runs. Until it is called
// nobody is watched, and everybody is read each [Options.UnwatchedInterval]; so it
// is with nil. Another watcher takes the place of the former, which is told nothing
// any more; what the former said of whom it does not watch is forgotten.
func (b *Bridge) Watch(w Watcher) {
	b.mu.Lock()
	if b.watcher != nil && !sameWatcher(b.watcher, w) {
		b.unwatched, b.overflow = nil, nil
	}
	b.watcher = w
	loaded := !b.loadedAt.IsZero()
	b.mu.Unlock()
	if loaded {
		b.updateWatcher()
	}
}

// sameWatcher reports whether two watchers are one, without the panic of comparing
// what cannot be compared.
func sameWatcher(a, b Watcher) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// TeamsUnwatched tells the bridge that these users, by Entra object id, and nobody
// else, are watched by no subscription from now on. The list is complete each time;
// an empty one says that everybody is watched. A pool of package monitor calls it
// when its subscriptions come and go. [Bridge.Overflow] and [Hooks].UnwatchedChanged
// tell of them, and they are read each [Options.UnwatchedInterval]. Ids whose
// presence nobody needs are passed over.
//
// It does not block. It may be called at any time, also from within SetUsers of the
// watcher and beside it, but not twice at a time: nobody could tell then which list
// is the newer.
//
// The list replaces what SetUsers returned before, and takes precedence over what a
// SetUsers returns that is under way. What a later SetUsers returns adds to the
// list, until the next one. So a watcher that calls TeamsUnwatched must call it
// whenever a SetUsers has changed its list.
func (b *Bridge) TeamsUnwatched(userIDs []string) {
	now := time.Now()
	b.mu.Lock()
	b.statements++
	b.setUnwatchedLocked(setOf(userIDs), nil, now)
	b.mu.Unlock()
	b.noteRewatched()
}

// Overflow returns, by Entra object id and sorted, the users whom no subscription
// watches although their Teams presence is brought to MiCollab: the watcher has no
// room for them, or said by [Bridge.TeamsUnwatched] that it cannot watch them now,
// or there is no watcher. They are kept in step by readings, each
// [Options.UnwatchedInterval].
func (b *Bridge) Overflow() []string {
	b.mu.Lock()
	ids := make([]string, 0, len(b.unwatched)+len(b.overflow))
	b.eachUnwatchedLocked(func(p *person) { ids = append(ids, p.user.TeamsID) })
	b.mu.Unlock()
	slices.Sort(ids)
	return ids
}

// updateWatcher tells the watcher whom to watch.
func (b *Bridge) updateWatcher() {
	b.watching.Lock()
	defer b.watching.Unlock()
	b.mu.Lock()
	watcher, statements := b.watcher, b.statements
	var ids []string
	for id, p := range b.people {
		if p.rules.teamsToMiCollab {
			ids = append(ids, id)
		}
	}
	b.mu.Unlock()
	if watcher != nil {
		slices.Sort(ids)
		var overflow []string
		b.tell("Watcher.SetUsers", func() { overflow = watcher.SetUsers(ids) })
		now := time.Now()
		b.mu.Lock()
		// SetUsers finds room for all but ada and is about to return her. Meanwhile
		// another monitor is authorized, and TeamsUnwatched says that everybody is
		// watched. Were ada taken over now, she would count as unwatched until the
		// next change, which may be months away. So what was said during SetUsers
		// holds, although it may be the older: then it is soon said anew.
		if b.statements == statements {
			b.setUnwatchedLocked(b.unwatched, setOf(overflow), now)
		}
		b.mu.Unlock()
	}
	b.noteRewatched()
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// setUnwatchedLocked takes over whom the watcher does not watch.
func (b *Bridge) setUnwatchedLocked(unwatched, overflow map[string]bool, now time.Time) {
	for _, before := range []map[string]bool{b.unwatched, b.overflow} {
		for id := range before {
			if p := b.people[id]; p != nil && !unwatched[id] && !overflow[id] {
				// A reading may still find what changed before, and no
				// notification of that is to come.
				p.notifiedAt, p.missedAt = now, time.Time{}
			}
		}
	}
	b.unwatched, b.overflow = unwatched, overflow
}

// watchedLocked reports whether notifications are to be expected for a person.
func (b *Bridge) watchedLocked(p *person) bool {
	id := p.user.TeamsID
	return p.rules.teamsToMiCollab && b.watcher != nil && !b.unwatched[id] && !b.overflow[id]
}

// watchSentenceLocked says why none are to be expected although they are needed.
func (b *Bridge) watchSentenceLocked(p *person) string {
	switch {
	case !p.rules.teamsToMiCollab || b.watchedLocked(p):
		return ""
	case b.watcher == nil:
		return fmt.Sprintf("The bridge has no presence monitors: what changes in Teams is found by reading, every %v unless Teams throttles.", b.opts.UnwatchedInterval)
	default:
		return fmt.Sprintf("No presence monitor watches the user: what changes in Teams is found by reading, every %v unless Teams throttles. "+
			"Add a presence monitor, or set right those that do not work.", b.opts.UnwatchedInterval)
	}
}

// eachUnwatchedLocked calls f for everybody whom nobody watches although their
// Teams presence is brought to MiCollab.
func (b *Bridge) eachUnwatchedLocked(f func(*person)) {
	if b.watcher == nil {
		for _, p := range b.people {
			if p.rules.teamsToMiCollab {
				f(p)
			}
		}
		return
	}
	// Of a hundred thousand users these are few.
	for id := range b.unwatched {
		if p := b.people[id]; p != nil && p.rules.teamsToMiCollab {
			f(p)
		}
	}
	for id := range b.overflow {
		if p := b.people[id]; p != nil && p.rules.teamsToMiCollab && !b.unwatched[id] {
			f(p)
		}
	}
}

// noteRewatched lets tellUnwatched look again.
func (b *Bridge) noteRewatched() {
	select {
	case b.rewatched <- struct{}{}:
	default:
	}
}

// tellUnwatched tells the log and the hook when others than before are unwatched.
// It has a goroutine of its own: neither the watcher that says so nor one that is
// told whom to watch has to wait for a hook, and a hook may call either.
func (b *Bridge) tellUnwatched(ctx context.Context) {
	var before []string
	for {
		select {
		case <-b.rewatched:
		case <-ctx.Done():
			return
		}
		if throttle.Sleep(ctx, unwatchedSettle) != nil {
			return
		}
		now := b.Overflow()
		if slices.Equal(now, before) {
			continue
		}
		change := UnwatchedChange{Time: time.Now(), Users: now, Added: without(now, before), Removed: without(before, now)}
		before = now
		b.logUnwatched(ctx, change)
		if b.opts.Hooks.UnwatchedChanged != nil {
			b.tell("Hooks.UnwatchedChanged", func() { b.opts.Hooks.UnwatchedChanged(change) })
		}
	}
}

// without returns those of the sorted ids who are not among the sorted others.
func without(ids, others []string) []string {
	var rest []string
	for _, id := range ids {
		if _, found := slices.BinarySearch(others, id); !found {
			rest = append(rest, id)
		}
	}
	return rest
}

func (b *Bridge) logUnwatched(ctx context.Context, change UnwatchedChange) {
	if len(change.Added) == 0 {
		b.opts.Logger.InfoContext(ctx, "fewer users are watched by no presence monitor", "bridge", b.opts.Name,
			"users", len(change.Users), "removed", len(change.Removed))
		return
	}
	named := change.Added[:min(len(change.Added), unwatchedNamed)]
	b.opts.Logger.WarnContext(ctx, "users are watched by no presence monitor: add one, or set right those that do not work; until then these users are kept in step by reading",
		"bridge", b.opts.Name, "users", len(change.Users), "added", len(change.Added), "removed", len(change.Removed), "named", len(named), "ids", named, "interval", b.opts.UnwatchedInterval)
}
