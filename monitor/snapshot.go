package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"
)

// Snapshot is a pool at one moment.
type Snapshot struct {
	// Application is that of the store, or the configured one before it was read.
	Application Application
	// Holder names this process.
	Holder string
	// Running: Run is running. Planner: this pool decides who watches whom.
	Running, Planner bool
	// Err is why the store could not be read or written last; nil if it could.
	Err error

	// Users is how many users are to be watched, Capacity how many those
	// monitors can watch that work now, Subscribed how many are watched.
	Users, Capacity, Subscribed int
	// Needed is how many monitors the users need, the spares of
	// [PoolOptions.Spares] included, and Missing how many more that is than work.
	Needed, Missing int
	// Spares is how many of those that are needed are spares.
	Spares int
	// Unwatched are the users whom nobody watches now, sorted: Overflow are those
	// of them for whom there is no room.
	Unwatched, Overflow []string

	// FeatureSecretExpiresAt is the end of the bridge's own client secret, zero
	// where it is not known; FeatureSecretUnknown then says why.
	FeatureSecretExpiresAt time.Time
	FeatureSecretUnknown   string

	// FormerKeys is how many monitors' records are sealed with a former key of the
	// [Sealer], which can go when there is none: Run seals them anew.
	FormerKeys int

	// Monitors are all monitors, by user principal name.
	Monitors []MonitorStatus
}

// Monitor returns the status of one monitor, by user principal name.
func (s Snapshot) Monitor(principalName string) (MonitorStatus, bool) {
	for _, m := range s.Monitors {
		if strings.EqualFold(m.PrincipalName, strings.TrimSpace(principalName)) {
			return m, true
		}
	}
	return MonitorStatus{}, false
}

// Snapshot returns what the pool is at. Before Run, and before the first call
// that reads the store, it has no monitors; [Pool.Load] reads it.
func (p *Pool) Snapshot() Snapshot {
	now := time.Now()
	plan := p.currentPlan(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{
		Application: p.application, Holder: p.opts.Holder, Running: p.running,
		Planner: p.running && p.planning.leaderUntil.After(now), Err: errors.Join(p.storeFaults.read, p.storeFaults.write),
		Users: len(p.wanted), Overflow: slices.Clone(plan.Overflow), Unwatched: p.unwatchedLocked(plan, now),
		Needed: MonitorsNeeded(len(p.wanted), p.opts.Monitor.Capacity) + p.opts.Spares, Spares: p.opts.Spares,
		FeatureSecretExpiresAt: p.feature.expiresAt, FeatureSecretUnknown: p.feature.unknown,
	}
	working := 0
	for _, r := range p.records {
		m := p.statusLocked(r, now)
		if m.State.Usable() && !m.Leaving {
			working++
		}
		if len(r.Sealed) > 0 && !p.sealer.Current(r.Sealed) {
			s.FormerKeys++
		}
		s.Subscribed += m.Subscribed
		s.Monitors = append(s.Monitors, m)
	}
	s.Capacity = working * p.opts.Monitor.Capacity
	s.Missing = max(0, s.Needed-working)
	slices.SortFunc(s.Monitors, func(a, b MonitorStatus) int { return strings.Compare(a.PrincipalName, b.PrincipalName) })
	return s
}

func (p *Pool) statusLocked(r *record, now time.Time) MonitorStatus {
	f, holder := p.factsLocked(r)
	m := f.status(now)
	m.Keeper, m.Here = holderName(holder), f.here
	users := p.assignments[r.id].users
	m.Users = len(users)
	if watched := p.watchedLocked(r.id, now); !sameUsers(users, watched) {
		m.Uncovered = without(users, watched)
	}
	if watches, users := f.subscribed(now); watches {
		if m.Subscribed = users; users == 0 {
			m.Subscribed = m.Users // another process's, which says no more
		}
	}
	if shown := p.published[r.id]; shown != nil && p.running {
		m.State, m.Since, m.Sentence = shown.state, shown.since, shown.sentence
	} else {
		m.State, m.Sentence, _ = derive(now, f)
	}
	m.Actions = m.State.Actions()
	if m.Leaving {
		m.Actions = nil
	}
	return m
}

// uniqueHolder returns a holder of leases with this name.
func uniqueHolder(name string) string { return name + "/" + strings.ToLower(rand.Text()) }

// holderName returns the [PoolOptions.Holder] of a lease's holder.
func holderName(holder string) string {
	if i := strings.LastIndexByte(holder, '/'); i >= 0 {
		return holder[:i]
	}
	return holder
}

// Load reads the store, so that [Pool.Snapshot] has the monitors without Run.
func (p *Pool) Load(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return &Error{"load", "", err}
	}
	if err := p.load(ctx, ""); err != nil {
		return &Error{"load", "", err}
	}
	return nil
}
