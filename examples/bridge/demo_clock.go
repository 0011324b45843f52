package main

import (
	"context"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

// The day of the company, in its own time.
const (
	opening = 8 * time.Hour
	closing = 18 * time.Hour
	// sessionLifetime is short, so that a long call outlives it.
	sessionLifetime = 45 * time.Minute
	// Everybody is read anew at the one interval, and those whom no monitor
	// watches at the other. Fifteen hundred people take a busy machine a while,
	// so in a short day the interval is longer.
	reconcileInterval = 80 * time.Minute
	minReconcile      = 3 * time.Second
	unwatchedInterval = 30 * time.Minute
	// checkInterval is how often the directory is asked about the monitors.
	checkInterval = 20 * time.Minute

	minDay = 16 * time.Second
	maxDay = time.Hour
)

// clock turns real time into the company's.
type clock struct {
	scale  float64 // how many times faster the company's time goes
	opened time.Time
}

func newClock(day time.Duration) *clock {
	return &clock{scale: float64(closing-opening) / float64(day)}
}

// open makes it opening time.
func (c *clock) open() { c.opened = time.Now() }

// real is how long something that takes d in the company takes here.
func (c *clock) real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.scale) }

// virtual is the opposite of real.
func (c *clock) virtual(d time.Duration) time.Duration { return time.Duration(float64(d) * c.scale) }

// at is what the company's clock shows at t, such as "09:12".
func (c *clock) at(t time.Time) string {
	since := max(0, c.virtual(t.Sub(c.opened)))
	return time.Time{}.Add((opening + since) % (24 * time.Hour)).Format("15:04")
}

// wait waits until the company's clock shows a time of the day.
func (c *clock) wait(ctx context.Context, timeOfDay time.Duration) error {
	timer := time.NewTimer(time.Until(c.opened.Add(c.real(timeOfDay - opening))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stretched is a Teams side that asks for lifetimes in the company's time. The
// double lets presence sessions age as fast as the company does, so that both
// ends mean the same again.
type stretched struct {
	*graph.Client
	clock *clock
}

// SetPresence implements [presencebridge.Teams].
func (s stretched) SetPresence(ctx context.Context, userID string, session presence.Session, lifetime time.Duration) error {
	return s.Client.SetPresence(ctx, userID, session, s.clock.virtual(lifetime).Round(time.Second))
}

// SessionBounds implements [presencebridge.SessionBounder].
func (s stretched) SessionBounds() (shortest, longest time.Duration) {
	shortest, longest = s.Client.SessionBounds()
	return s.clock.real(shortest), s.clock.real(longest)
}

var _ presencebridge.SessionBounder = stretched{}
