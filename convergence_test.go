package presencebridge

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// chaos is what can go wrong between the bridge and the world, all of it at once.
type chaos struct {
	*world
	random *rand.Rand
	calm   bool
	syncs  sync.WaitGroup
}

func (c *chaos) roll(percent int) bool { return c.random.IntN(100) < percent }

// notify loses, repeats, delays and so reorders notifications.
func (c *chaos) notify(id, side string) {
	c.mu.Lock()
	calm := c.calm
	lost, twice, delay := c.roll(30), c.roll(20), time.Duration(c.random.IntN(90_000))*time.Millisecond
	prompt := c.roll(50)
	c.mu.Unlock()
	switch {
	case calm, prompt && !lost:
		c.deliver(id, side)
	case !lost:
		time.AfterFunc(delay, func() { c.deliver(id, side) })
	}
	if twice && !calm {
		time.AfterFunc(2*delay, func() { c.deliver(id, side) })
	}
}

// fail lets requests fail before or after they take effect.
func (c *chaos) fail(_, _ string, after bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.calm, !c.roll(12):
		return nil
	case after:
		return errors.New("connection reset by peer")
	case c.roll(20):
		return throttled{time.Duration(c.random.IntN(5000)) * time.Millisecond}
	default:
		return presence.ErrUnavailable
	}
}

func (c *chaos) event(id string, quiet bool) {
	lines := presence.LineStates()
	clients := []presence.Session{
		{Availability: presence.Available, Activity: presence.ActivityAvailable},
		{Availability: presence.Busy, Activity: presence.ActivityInAMeeting},
		{Availability: presence.Busy, Activity: presence.ActivityInACall},
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb},
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting},
		{Availability: presence.Away, Activity: presence.ActivityAway},
		{Availability: presence.AvailabilityUnknown, Activity: presence.ActivityUnknown},
	}
	c.mu.Lock()
	kind, state, dnd := c.random.IntN(10), lines[c.random.IntN(len(lines))], c.roll(20)
	client := clients[c.random.IntN(len(clients))]
	telephone := c.random.IntN(len(c.people[id].user.Endpoints))
	c.mu.Unlock()
	switch {
	case kind < 5 || quiet:
		c.lineOf(id, telephone, state, dnd)
	case kind < 9:
		c.client(id, client.Availability, client.Activity)
	default:
		c.setStatus(id, "Gone fishing")
	}
}

// meddle is what the embedder may do at any moment.
func (c *chaos) meddle(id string, all presence.Roster) {
	c.mu.Lock()
	kind, d := c.random.IntN(9), Direction(c.random.IntN(3))
	if kind == 0 {
		c.roster = presence.Roster{}
		for _, u := range all.Users {
			if !c.roll(30) {
				c.roster.Users = append(c.roster.Users, u)
			}
		}
	}
	b := c.bridge
	c.mu.Unlock()
	switch kind {
	case 0:
		b.RefreshRoster()
	case 1:
		_ = b.SetDirection(d)
	case 2:
		_ = b.SetUserDirection(id, d)
	case 3:
		b.ResetUserDirection(id)
	case 4:
		b.TeamsGap("chaos", id)
	case 5:
		b.CloudLinkGap("chaos")
	case 6:
		_ = b.Refresh(id)
	case 7:
		c.syncs.Go(func() {
			_, err := b.ResetPhone(c.t.Context(), id)
			assert.True(c.t, err == nil || errors.Is(err, ErrStopped) || errors.Is(err, ErrUnknownUser), "%v", err)
		})
	default:
		c.syncs.Go(func() {
			_, err := b.SyncAll(c.t.Context(), nil)
			assert.True(c.t, err == nil || errors.Is(err, ErrStopped), "%v", err)
		})
	}
}

// TestConvergence breaks everything for two hours, meddles with roster and
// directions, and restarts the bridge three times without clean-up. Once the
// faults stop, both sides agree with the mapping table within one reconcile
// interval, as long as throttling may have made it, and the longest pause. The
// quiet half of the people only telephone: whatever is written to MiCollab for
// them is an echo.
func TestConvergence(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { converge(t, seed) })
		})
	}
}

func converge(t *testing.T, seed uint64) {
	names := []string{"ada", "bob", "cyd", "dan", "eve", "fay"}
	quiet := func(id string) bool { return id < "dan" }
	w := newWorld(t, names...)
	c := &chaos{world: w, random: rand.New(rand.NewPCG(seed, 1))}
	w.notify, w.fault = c.notify, c.fail
	w.staleFor = 4 * time.Second
	w.reportAs = func(s presence.Session) presence.Presence {
		if s.Availability == presence.Busy {
			return presence.Presence{Availability: presence.Busy, Activity: presence.ActivityBusy}
		}
		return presence.Presence{Availability: s.Availability, Activity: s.Activity}
	}
	opts := &Options{Direction: Bidirectional, KeepSessionsOnStop: true, SessionLifetime: 5 * time.Minute, MaxReconcileInterval: 6 * time.Minute}
	for _, id := range names[1:4] {
		w.secondTelephone(id)
	}
	for _, id := range names[2:5] {
		w.people[id].version = 1
	}
	w.unreadable = func(string) bool { return !c.calm && c.roll(10) }
	all := w.roster
	all.Users = slices.Clone(all.Users)
	var stop func() error
	for run := range 4 {
		if run > 0 {
			_ = stop()
			c.syncs.Wait()
		}
		stop = w.startNow(opts)
		for range 180 {
			c.mu.Lock()
			id, pause := names[c.random.IntN(len(names))], time.Duration(c.random.IntN(20_000))*time.Millisecond
			meddle := c.roll(10)
			c.mu.Unlock()
			time.Sleep(pause)
			c.event(id, quiet(id))
			if meddle {
				c.meddle(id, all)
			}
		}
	}
	c.mu.Lock()
	c.calm, c.roster = true, all
	c.mu.Unlock()
	for _, id := range names {
		w.bridge.ResetUserDirection(id)
	}
	require.NoError(t, w.bridge.SetDirection(Bidirectional))
	w.bridge.RefreshRoster()
	time.Sleep(w.bridge.opts.MaxReconcileInterval + w.bridge.opts.MaxBackoff + time.Minute)
	agree(t, w)

	// Without calls nothing hides what the people show themselves.
	for _, id := range names {
		for telephone := range w.people[id].user.Endpoints {
			w.lineOf(id, telephone, presence.LineIdle, false)
		}
	}
	time.Sleep(w.bridge.opts.EchoWindow + time.Minute)
	agree(t, w)
	for _, id := range names {
		if p := w.people[id].client; p.Known() {
			status, _ := presence.DefaultTable().Status(p)
			assert.Equal(t, status, w.status(id), "%s: Teams shows %s", id, p)
		}
	}
	w.mu.Lock()
	for _, x := range w.writes {
		if x.Destination == DestinationMiCollab {
			assert.False(t, quiet(x.User.TeamsID), "echo: %+v", x)
		}
	}
	w.mu.Unlock()
	c.syncs.Wait()
	require.NoError(t, stop())
}

func agree(t *testing.T, w *world) {
	t.Helper()
	table := presence.DefaultTable()
	for id, s := range w.people {
		line := presence.Strongest(slices.Collect(maps.Values(s.lines))...)
		session, effect := table.Session(line)
		if effect == presence.Leave {
			session = presence.Session{}
		}
		if status := w.status(id); line.DoNotDisturb && (status == presence.StatusDoNotDisturb || status == presence.StatusPresenting) && w.session(id) != session {
			// It began so soon after the status was written that it may follow it.
			line.DoNotDisturb = false
			session, _ = table.Session(line)
		}
		assert.Equal(t, session, w.session(id), "%s: the phone is %s", id, line)
		shown := w.effective(s, time.Now())
		if !w.session(id).IsZero() || !shown.Known() {
			continue
		}
		status, _ := table.Status(shown)
		e, err := w.bridge.Explain(id)
		require.NoError(t, err)
		assert.Equal(t, status, w.status(id), "%s: Teams shows %s\n%s", id, shown, e)
	}
}
