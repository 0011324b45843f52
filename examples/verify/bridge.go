package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/examples/internal/service"
)

// bridge is one of this process, while it runs.
type bridge struct {
	*service.Service
	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has returned, with err
	err    error
}

// start runs a bridge until it is stopped, also beyond the end of ctx: an interrupted
// run has a report to make.
func start(ctx context.Context, s *service.Service) *bridge {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b := &bridge{Service: s, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		b.err = s.Run(ctx)
	}()
	return b
}

// stop stops the bridge, and returns why it had failed if it had.
func (b *bridge) stop() error {
	b.cancel()
	<-b.ended
	return b.err
}

// logger takes the logs of a bridge of this process.
func (p *program) logger() *slog.Logger {
	if !p.flags.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(p.stderr, nil))
}

// settleTick is how often a bridge that begins is looked at.
const settleTick = 20 * time.Millisecond

// settle waits until a bridge has done what it does first, for as long as the program
// has patience: what hinders it is for the checks to find. The error is that with which
// the bridge has ended, or that of ctx.
func (p *program) settle(ctx context.Context, b *bridge, further ...func() bool) error {
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	tick := time.NewTicker(settleTick)
	defer tick.Stop()
	for {
		select {
		case <-b.ended:
			if b.err == nil {
				return errors.New("the bridge has stopped")
			}
			return b.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			p.complain("the bridge has not finished what it does first; the checks begin all the same")
			return nil
		case <-tick.C:
		}
		settled := b.settled()
		for _, more := range further {
			settled = settled && more()
		}
		if settled {
			return nil
		}
	}
}

// settled reports whether the bridge has done what it does first, or cannot: it has
// read both directories, what everybody shows, and subscribed.
func (b *bridge) settled() bool {
	for _, h := range b.Bridge.Health() {
		switch {
		case h.Connection == "directory" && h.State != presencebridge.StateUnused && h.State != presencebridge.StateHealthy:
			return true // nothing else can begin
		case h.Waiting > 0:
			return false
		}
	}
	return closed(b.Bridge.Loaded()) && closed(b.Entered()) && b.known() && b.subscribed()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// known reports whether the bridge has read everybody's telephones and presence.
func (b *bridge) known() bool {
	for _, h := range b.Bridge.Health() {
		if h.State != presencebridge.StateHealthy && h.State != presencebridge.StateUnused {
			return true // what is missing may not come
		}
	}
	for _, u := range b.Bridge.Roster().Users {
		e, err := b.Bridge.Explain(u.TeamsID)
		if err == nil && (e.PresenceReadAt.IsZero() || len(u.Endpoints) > 0 && e.LineReadAt.IsZero()) {
			return false
		}
	}
	return true
}

// sure reports whether the bridge no longer takes what Teams shows for a session of its
// own, as after every start: until then it leaves MiCollab alone.
func (b *bridge) sure() bool {
	for _, u := range b.Bridge.Roster().Users {
		e, err := b.Bridge.Explain(u.TeamsID)
		if err == nil && (e.StatusBlock == presencebridge.BlockEchoWindow || e.StatusBlock == presencebridge.BlockEarlierSession) {
			return false
		}
	}
	return true
}

// subscribed reports whether nothing is left to be subscribed that could be.
func (b *bridge) subscribed() bool {
	if b.Watcher != nil && b.Watcher.Snapshot().State == cloudlink.WatcherSubscribing {
		return false
	}
	if b.Pool == nil {
		return true
	}
	snapshot := b.Pool.Snapshot()
	capacity := 0
	for _, m := range snapshot.Monitors {
		if !m.Leaving && m.State.Usable() && len(m.Troubles) == 0 && m.Subscription.Failures == 0 {
			capacity = snapshot.Capacity
		}
	}
	if capacity == 0 || b.Bridge.Direction() != presencebridge.Bidirectional || len(b.Bridge.Roster().Users) == 0 {
		return true
	}
	// The plan is made a moment after there is somebody to watch, and the bridge told of
	// its outcome a moment after that.
	return snapshot.Users > 0 && snapshot.Subscribed >= min(snapshot.Users, capacity) &&
		len(b.Bridge.Overflow()) <= max(0, snapshot.Users-capacity)
}
