package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

type demoOptions struct {
	day        time.Duration
	once, json bool
}

// runDemonstration plays a day of a company.
func runDemonstration(ctx context.Context, opts demoOptions, stdout, stderr io.Writer) int {
	code, err := demonstrate(ctx, opts, newPrinter(stdout, opts.json))
	if err != nil {
		fmt.Fprintln(stderr, "bridge: "+err.Error())
		return exitFailed
	}
	return code
}

func demonstrate(ctx context.Context, opts demoOptions, out *printer) (code int, err error) {
	c := newClock(opts.day)
	co, err := found(c)
	if err != nil {
		return 0, err
	}
	defer co.close()
	l := newLedger(co, c, out)
	s, err := service.Assemble(co.settings, &service.Extras{
		Hooks:    l.hooks(),
		Teams:    func(client *graph.Client) presencebridge.Teams { return stretched{client, c} },
		Monitors: l.monitorChanged,
	})
	if err != nil {
		return 0, errors.Join(err, co.settings.Listener.Close(), co.settings.StatusListener.Close())
	}

	running, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-stopped)
	}()
	o := newOffice(l, s.Pool)
	err = o.signInAll(ctx, s)
	if err == nil {
		err = ready(ctx, s)
	}
	if err != nil {
		return 0, interrupted(ctx, opts, err)
	}
	introduce(out, opts, co, s)
	if err := l.playDay(ctx, o); err != nil {
		return 0, interrupted(ctx, opts, err)
	}
	sum := l.settle(ctx, s.Bridge)
	l.conclude()
	sum.report(out)
	if !sum.good() {
		code = exitFailed
	}
	if !opts.once {
		out.print(line{Event: lineInfo, Note: "The bridge stays up: interrupt it to stop. Status page: " + co.statusURL()})
		<-ctx.Done()
		return 0, nil
	}
	return code, nil
}

// interrupted is no error of a demonstration that would have gone on anyway.
func interrupted(ctx context.Context, opts demoOptions, err error) error {
	switch {
	case ctx.Err() == nil:
		return err
	case opts.once:
		return errors.New("interrupted before the end of the day")
	default:
		return nil
	}
}

// startTimeout bounds how long everything may take to be in place.
const startTimeout = 2 * time.Minute

// ready waits until both sides notify the bridge and everybody has been read.
func ready(ctx context.Context, s *service.Service) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !inPlace(s) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("not everything was in place after %v: %v", startTimeout, s.Bridge.Health())
		}
	}
	return nil
}

func inPlace(s *service.Service) bool {
	select {
	case <-s.Bridge.Loaded():
	default:
		return false
	}
	for _, h := range s.Bridge.Health() {
		if h.Waiting > 0 {
			return false
		}
	}
	pool := s.Pool.Snapshot()
	return pool.Users > 0 && pool.Subscribed == pool.Users && s.Watcher.Snapshot().State == cloudlink.WatcherSubscribed
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (co *company) statusURL() string {
	return "http://" + co.settings.StatusListener.Addr().String() + "/"
}

// introduce says what is about to be seen, and names everybody who is not kept
// in step both ways.
func introduce(out *printer, opts demoOptions, co *company, s *service.Service) {
	roster := s.Bridge.Roster()
	info := func(format string, args ...any) { out.print(line{Event: lineInfo, Note: fmt.Sprintf(format, args...)}) }
	out.print(line{Event: lineIntro, Note: fmt.Sprintf("A day of %d people, from 08:00 to 18:00 in %v.", len(co.everybody), opts.day)})
	info("Double of Microsoft Graph: %s", co.graph.URL())
	info("Double of CloudLink: %s", strings.TrimSuffix(co.cloudlink.URL(""), "//2017-09-01"))
	info("Status page: %s", co.statusURL())
	info("%d people are kept in step. Not in both directions, or not at all:", len(roster.Users))
	for _, r := range roster.Limited {
		way := "Teams only"
		if r.Direction == presence.LineToTeams {
			way = "MiCollab only"
		}
		out.print(line{Event: lineLimited, Person: r.User.Name, Where: string(r.Direction), Note: way + ": " + r.Detail})
	}
	for _, e := range roster.Excluded {
		out.print(line{Event: lineExcluded, Person: e.Name, Where: string(e.Reason), Note: "left out: " + e.Detail})
	}
	info("")
	for _, m := range s.Pool.Snapshot().Monitors {
		info("%s watches %d people.", m.PrincipalName, m.Subscribed)
	}
	info("")
}

// playDay lets the day pass, for the people and in the office, and prints what
// happens.
func (l *ledger) playDay(ctx context.Context, o *office) error {
	flushing, stop := context.WithCancel(ctx)
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for pause(flushing, 20*time.Millisecond) == nil {
			l.flush()
		}
	}()
	defer func() {
		stop()
		<-flushed
	}()
	l.begin()
	return errors.Join(together(
		func() error { return l.company.play(ctx, l.clock, day(l)) },
		func() error { return o.play(ctx) },
	)...)
}

// together calls functions at the same time, and returns what they return.
func together(functions ...func() error) []error {
	errs := make([]error, len(functions))
	var running sync.WaitGroup
	for n, f := range functions {
		running.Go(func() { errs[n] = f() })
	}
	running.Wait()
	return errs
}

// settle gives the bridge the time that it promises to need until both sides
// agree, and returns the outcome.
func (l *ledger) settle(ctx context.Context, b *presencebridge.Bridge) *summary {
	ctx, cancel := context.WithTimeout(ctx, 3*l.company.settings.Bridge.ReconcileInterval+5*time.Second)
	defer cancel()
	for {
		s := l.sum(b)
		if s.good() && l.waiting() == 0 || pause(ctx, 20*time.Millisecond) != nil {
			return s
		}
		l.flush()
	}
}

// report prints the outcome. Its last line is the summary.
func (s *summary) report(out *printer) {
	verdict := line{Event: lineVerdict, Effect: verdictAgree, Note: fmt.Sprintf("Both sides agree for all %d people.", s.Users)}
	if !s.good() {
		verdict.Effect, verdict.Note = "differ", "The sides do not agree:"
	}
	out.print(line{Event: lineInfo})
	out.print(verdict)
	for _, d := range s.differences {
		out.print(d)
	}
	for _, m := range s.miscounts {
		out.print(line{Event: lineDiffers, Note: m})
	}
	out.object(s, s.String())
}
