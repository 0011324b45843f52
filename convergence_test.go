package presencebridge

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	c.mu.Unlock()
	switch {
	case kind < 5 || quiet:
		c.line(id, state, dnd)
	case kind < 9:
		c.client(id, client.Availability, client.Activity)
	default:
		c.setStatus(id, "Gone fishing")
	}
}

// TestConvergence breaks everything for two hours and restarts the bridge twice
// without clean-up. Once the faults stop, both sides agree with the mapping
// table within one reconcile interval and the longest pause. The quiet half of
// the people only telephone: whatever is written to MiCollab for them is an echo.
func TestConvergence(t *testing.T) {
	for seed := range uint64(12) {
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
	opts := &Options{Direction: Bidirectional, KeepSessionsOnStop: true, SessionLifetime: 5 * time.Minute}
	for range 3 {
		stop := w.startNow(opts)
		for range 240 {
			c.mu.Lock()
			id, pause := names[c.random.IntN(len(names))], time.Duration(c.random.IntN(20_000))*time.Millisecond
			c.mu.Unlock()
			time.Sleep(pause)
			c.event(id, quiet(id))
		}
		_ = stop()
	}
	stop := w.startNow(opts)
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	time.Sleep(w.bridge.opts.ReconcileInterval + w.bridge.opts.MaxBackoff + time.Minute)
	agree(t, w)

	// Without calls nothing hides what the people show themselves.
	for _, id := range names {
		w.line(id, presence.LineIdle, false)
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
	require.NoError(t, stop())
}

func agree(t *testing.T, w *world) {
	t.Helper()
	table := presence.DefaultTable()
	for id, s := range w.people {
		line := s.lines[s.user.Endpoints[0]]
		session, effect := table.Session(line)
		if effect == presence.Leave {
			session = presence.Session{}
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
