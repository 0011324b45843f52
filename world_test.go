package presencebridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// world is both systems in memory, with Microsoft's rules for sessions as far
// as the engine can notice them. Requests take a moment, so that readings and
// writes overlap.
type world struct {
	t       *testing.T
	latency time.Duration

	mu     sync.Mutex
	people map[string]*soul
	roster presence.Roster
	// directory, if set, tells who there is instead of roster.
	directory Directory
	requests  map[string]int
	writes    []Write
	observed  []Observation
	changes   []RosterChange
	unwatched []UnwatchedChange

	// fault, if set, is asked before each request and, with after set, once more
	// when it has taken effect.
	fault func(operation, userID string, after bool) error
	// reportAs, if set, changes what Teams reports for the bridge's session.
	reportAs func(presence.Session) presence.Presence
	// staleFor is for how long after a write readings show the state before it.
	staleFor time.Duration
	// unreadable, if set, says which telephones cannot be read at the moment.
	unreadable func(endpoint string) bool
	// notify, if set, is told of every change instead of the bridge.
	notify func(userID, side string)
	bridge *Bridge
}

type soul struct {
	user    presence.User
	client  presence.Presence // of the person's Teams clients
	session presence.Session  // of the bridge
	lapse   time.Time
	shown   presence.Presence // before the last change of the session
	changed time.Time
	version int // of what Teams shows, if it has sequence numbers
	lines   map[string]presence.Line
	status  presence.Status
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, latency: 20 * time.Millisecond, people: map[string]*soul{}, requests: map[string]int{}}
	for i, name := range names {
		endpoint := fmt.Sprint(2000 + i)
		u := presence.User{TeamsID: name, PrincipalID: "p-" + name, Email: name + "@example.com", Name: name, Endpoints: []string{endpoint}, PBX: presence.MiVoiceBusiness}
		w.people[name] = &soul{
			user: u, status: presence.StatusAvailable,
			client: presence.Presence{UserID: name, Availability: presence.Available, Activity: presence.ActivityAvailable},
			lines:  map[string]presence.Line{endpoint: {Endpoint: endpoint, State: presence.LineIdle}},
		}
		w.roster.Users = append(w.roster.Users, u)
	}
	return w
}

func (w *world) sides() Sides {
	s := Sides{Directory: w, Teams: w, Phones: w, Statuses: w}
	if w.directory != nil {
		s.Directory = w.directory
	}
	return s
}

// start runs a bridge over the world, for so long that no session of an earlier
// run can be left; stop ends it and returns what Run returned.
func (w *world) start(opts *Options) (stop func() error) {
	w.t.Helper()
	stop = w.startNow(opts)
	time.Sleep(w.bridge.opts.SessionLifetime)
	return stop
}

func (w *world) startNow(opts *Options) (stop func() error) {
	w.t.Helper()
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Hooks.Wrote == nil {
		o.Hooks.Wrote = func(x Write) {
			w.mu.Lock()
			w.writes = append(w.writes, x)
			w.mu.Unlock()
		}
	}
	o.Hooks.Observed = func(x Observation) {
		w.mu.Lock()
		w.observed = append(w.observed, x)
		w.mu.Unlock()
	}
	o.Hooks.RosterChanged = func(x RosterChange) {
		w.mu.Lock()
		w.changes = append(w.changes, x)
		w.mu.Unlock()
	}
	o.Hooks.UnwatchedChanged = func(x UnwatchedChange) {
		w.mu.Lock()
		w.unwatched = append(w.unwatched, x)
		w.mu.Unlock()
	}
	b, err := New(w.sides(), &o)
	require.NoError(w.t, err)
	// A notification for the bridge before this one may still be under way.
	w.mu.Lock()
	w.bridge = b
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	synctest.Wait()
	time.Sleep(time.Second)
	return func() error {
		cancel()
		return <-done
	}
}

func (w *world) before(ctx context.Context, operation, userID string) error {
	select {
	case <-time.After(w.latency):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	w.requests[operation]++
	fault := w.fault
	w.mu.Unlock()
	if fault != nil {
		return fault(operation, userID, false)
	}
	return nil
}

func (w *world) after(operation, userID string) error {
	w.mu.Lock()
	fault := w.fault
	w.mu.Unlock()
	if fault != nil {
		return fault(operation, userID, true)
	}
	return nil
}

func (w *world) setFault(f func(operation, userID string, after bool) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *world) count(operation string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests[operation]
}

// effective is what Teams shows: the strongest of the sessions.
func (w *world) effective(s *soul, now time.Time) presence.Presence {
	p := s.client
	if s.session.IsZero() || !now.Before(s.lapse) {
		return p
	}
	weight := map[presence.Availability]int{presence.DoNotDisturb: 4, presence.Busy: 3, presence.Available: 2, presence.Away: 1}
	if weight[s.session.Availability] < weight[p.Availability.Family()] {
		return p
	}
	if w.reportAs != nil {
		r := w.reportAs(s.session)
		r.UserID = s.user.TeamsID
		return r
	}
	return presence.Presence{UserID: s.user.TeamsID, Availability: s.session.Availability, Activity: s.session.Activity}
}

func (w *world) Roster(ctx context.Context) (presence.Roster, error) {
	if err := w.before(ctx, "roster", ""); err != nil {
		return presence.Roster{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roster, nil
}

func (w *world) Presences(ctx context.Context, ids []string) ([]presence.Presence, error) {
	if err := w.before(ctx, "presences", ""); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var result []presence.Presence
	for _, id := range ids {
		s := w.people[id]
		if s == nil {
			continue
		}
		p, version := w.effective(s, now), s.version
		if now.Sub(s.changed) < w.staleFor {
			p, version = s.shown, s.version-1
		}
		p.UserID = id
		if s.version > 0 {
			p.SequenceNumber = fmt.Sprintf("A%010d", version)
		}
		result = append(result, p)
	}
	return result, nil
}

func (w *world) SetPresence(ctx context.Context, id string, session presence.Session, lifetime time.Duration) error {
	if err := w.before(ctx, "set", id); err != nil {
		return err
	}
	w.change(id, func(s *soul, now time.Time) { s.session, s.lapse = session, now.Add(lifetime) })
	return w.after("set", id)
}

func (w *world) ClearPresence(ctx context.Context, id string) error {
	if err := w.before(ctx, "clear", id); err != nil {
		return err
	}
	w.mu.Lock()
	s := w.people[id]
	none := s == nil || s.session.IsZero() || !time.Now().Before(s.lapse)
	w.mu.Unlock()
	if none {
		return presence.ErrNotFound
	}
	w.change(id, func(s *soul, _ time.Time) { s.session = presence.Session{} })
	return w.after("clear", id)
}

// change changes what Teams shows and notifies.
func (w *world) change(id string, f func(*soul, time.Time)) {
	w.mu.Lock()
	s, now := w.people[id], time.Now()
	old := w.effective(s, now)
	f(s, now)
	same := w.effective(s, now).SameState(old)
	if !same {
		s.shown, s.changed = old, now
		if s.version > 0 {
			s.version++
		}
	}
	w.mu.Unlock()
	if !same {
		w.tell(id, "teams")
	}
}

func (w *world) tell(id, side string) {
	if w.notify != nil {
		w.notify(id, side)
		return
	}
	w.deliver(id, side)
}

func (w *world) deliver(id, side string) {
	w.mu.Lock()
	b, user := w.bridge, w.people[id].user
	w.mu.Unlock()
	if b == nil {
		return
	}
	switch side {
	case "teams":
		b.TeamsChanged(id)
	case "phone":
		b.PhoneChanged(user.Endpoints[0], "")
	case "micollab":
		b.StatusChanged(user.PrincipalID)
	}
}

func (w *world) Lines(ctx context.Context, user presence.User) ([]presence.Line, error) {
	if err := w.before(ctx, "lines", user.TeamsID); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []presence.Line
	for _, e := range user.Endpoints {
		if l, ok := w.people[user.TeamsID].lines[e]; ok && (w.unreadable == nil || !w.unreadable(e)) {
			lines = append(lines, l)
		}
	}
	if len(lines) < len(user.Endpoints) {
		return lines, errors.New("an endpoint cannot be read")
	}
	return lines, nil
}

func (w *world) Status(ctx context.Context, user presence.User) (presence.Status, error) {
	if err := w.before(ctx, "status", user.TeamsID); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.people[user.TeamsID].status, nil
}

func (w *world) SetStatus(ctx context.Context, user presence.User, status presence.Status) error {
	if err := w.before(ctx, "set-status", user.TeamsID); err != nil {
		return err
	}
	w.setStatus(user.TeamsID, status)
	return w.after("set-status", user.TeamsID)
}

// What people and telephones do.

func (w *world) client(id string, a presence.Availability, x presence.Activity) {
	w.change(id, func(s *soul, _ time.Time) {
		s.client = presence.Presence{UserID: id, Availability: a, Activity: x}
	})
}

// line changes the first telephone of a person.
func (w *world) line(id string, state presence.LineState, dnd bool) { w.lineOf(id, 0, state, dnd) }

func (w *world) lineOf(id string, telephone int, state presence.LineState, dnd bool) {
	w.mu.Lock()
	s := w.people[id]
	e := s.user.Endpoints[telephone]
	s.lines[e] = presence.Line{Endpoint: e, State: state, DoNotDisturb: dnd}
	w.mu.Unlock()
	w.tell(id, "phone")
}

// secondTelephone gives a person one more telephone, before the bridge starts.
func (w *world) secondTelephone(id string) {
	s := w.people[id]
	e := s.user.Endpoints[0] + "0"
	s.user.Endpoints = append(s.user.Endpoints, e)
	s.lines[e] = presence.Line{Endpoint: e, State: presence.LineIdle}
	for i, u := range w.roster.Users {
		if u.TeamsID == id {
			w.roster.Users[i] = s.user
		}
	}
}

func (w *world) setStatus(id string, status presence.Status) {
	w.mu.Lock()
	s := w.people[id]
	same := s.status == status
	s.status = status
	w.mu.Unlock()
	if !same {
		w.tell(id, "micollab")
	}
}

// What there is to see.

func (w *world) session(id string) presence.Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.people[id]
	if !time.Now().Before(s.lapse) {
		return presence.Session{}
	}
	return s.session
}

func (w *world) teams(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effective(w.people[id], time.Now()).String()
}

func (w *world) status(id string) presence.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.people[id].status
}

// written returns the writes to a destination as "operation value".
func (w *world) written(d Destination) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var result []string
	for _, x := range w.writes {
		if x.Destination != d {
			continue
		}
		value := x.Session.String()
		if d == DestinationMiCollab {
			value = string(x.Status)
		}
		result = append(result, x.Operation+" "+value)
	}
	return result
}

var (
	inACall    = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	presenting = presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting}
)
