package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/entra"
)

const (
	// nowhere is the notification URL of a pool that makes no subscription. The
	// name is reserved and leads to no host (RFC 2606, section 2).
	nowhere = "https://monitors.invalid/"
	// patience bounds what has to wait for Entra.
	patience = 2 * time.Minute
)

// session is an open store with a pool on it.
type session struct {
	program *program
	store   *boltstore.Store
	sealer  *monitor.Sealer
	entra   *visitor
	pool    *monitor.Pool
	// kept takes one note: the pool keeps the monitor that awaited names.
	kept    chan struct{}
	awaited string
	// signIns takes the outcomes of sign-ins.
	signIns chan signIn
}

// openSession opens the store and makes sure that it belongs to the application
// of the command line.
func (p *program) openSession(ctx context.Context) (*session, error) {
	if err := p.settings.check(); err != nil {
		return nil, err
	}
	sealer, err := p.sealer()
	if err != nil {
		return nil, err
	}
	microsoft, err := entra.New(p.settings.redirect, &entra.Options{Cloud: p.settings.cloud(), HTTPClient: p.client})
	if err != nil {
		return nil, usageError(plain(err))
	}
	s := &session{
		program: p, sealer: sealer, entra: &visitor{Entra: microsoft, application: p.settings.application},
		kept: make(chan struct{}, 1), signIns: make(chan signIn, 8),
	}
	if s.store, err = boltstore.Open(p.settings.store, nil); err != nil {
		return nil, err
	}
	if err = s.checkApplication(ctx); err == nil {
		s.pool, err = s.newPool(s.store, s.heard)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) close() error { return s.store.Close() }

func (s *session) newPool(store monitor.Store, onEvent func(monitor.Event)) (*monitor.Pool, error) {
	return monitor.NewPool(s.program.settings.application, nowhere, monitor.Dependencies{
		Store: store, Sealer: s.sealer, Entra: s.entra, Routes: graph.NewNotificationHandler(nil), Sink: nobody{},
	}, &monitor.PoolOptions{
		OnEvent: onEvent, SecretDescription: s.program.settings.integration, SignInPage: s.signInPage,
	})
}

// checkApplication refuses ids that are not those of the store. A pool takes the
// ids with which it was made for the new ones, and the monitors would stop for a
// slip of the pen. So it is tried on a copy of the store first, which also finds
// out whether the key fits: a pool that knows the ids already writes nothing.
func (s *session) checkApplication(ctx context.Context) error {
	entries, err := s.store.List(ctx, "")
	if err != nil {
		return err
	}
	trial := monitor.NewMemoryStore()
	for i, e := range entries {
		if entries[i].Revision, err = trial.Put(ctx, e.Key, e.Value, 0); err != nil {
			return err
		}
	}
	pool, err := s.newPool(trial, nil)
	if err != nil {
		return err
	}
	if err := pool.Load(ctx); err != nil {
		return err
	}
	after, err := trial.List(ctx, "")
	if err != nil {
		return err
	}
	unchanged := slices.EqualFunc(entries, after, func(a, b monitor.Entry) bool { return a.Revision == b.Revision })
	monitors := pool.Snapshot().Monitors
	if unchanged || len(monitors) == 0 {
		return nil
	}
	var stopped []string
	for _, m := range monitors {
		if m.State == monitor.StateUpdateNeeded {
			stopped = append(stopped, m.PrincipalName)
		}
	}
	return fmt.Errorf("-tenant and -client are not those of the store (monitors that would stop: %s): "+
		"give the ids that the bridge is configured with; the command application changes them", names(stopped))
}

// snapshot returns all monitors as the store has them.
func (s *session) snapshot(ctx context.Context) (monitor.Snapshot, error) {
	pool, err := s.newPool(s.store, nil)
	if err != nil {
		return monitor.Snapshot{}, err
	}
	if err := pool.Load(ctx); err != nil {
		return monitor.Snapshot{}, err
	}
	return pool.Snapshot(), nil
}

// find returns one monitor as the store has it.
func (s *session) find(ctx context.Context, operation, principalName string) (monitor.MonitorStatus, error) {
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return monitor.MonitorStatus{}, err
	}
	m, ok := snapshot.Monitor(principalName)
	if !ok {
		err = &monitor.Error{Operation: operation, Monitor: principalName, Err: monitor.ErrUnknownMonitor}
	}
	return m, err
}

// show prints what a monitor is in now.
func (s *session) show(ctx context.Context, principalName string) error {
	m, err := s.find(ctx, "show", principalName)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.program.stdout, "State: %s. %s\n", m.State, m.Sentence)
	return nil
}

// tellUnchecked says that what was entered could not be checked.
func (s *session) tellUnchecked() {
	if err := s.entra.unanswered(); err != nil {
		fmt.Fprintf(s.program.stderr, "monitors: the account and its client secret could not be checked, which the bridge makes up for: %s\n", plain(err))
	}
}

// whileRunning calls f while the pool runs and keeps the monitor.
func (s *session) whileRunning(ctx context.Context, principalName string, f func(context.Context) error) error {
	s.awaited = principalName
	bounded, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it takes longer than %s: check the network, and whether Entra works", patience))
	defer cancel()
	running, stop := context.WithCancel(bounded)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.pool.Run(running) }()
	select {
	case <-s.kept:
	case err := <-ended:
		if err == nil {
			err = context.Cause(bounded)
		}
		return err
	}
	err := f(bounded)
	stop()
	return errors.Join(err, <-ended)
}

// heard is told of what happens while the pool runs.
func (s *session) heard(e monitor.Event) {
	if e.Kind == monitor.EventKept && strings.EqualFold(e.Monitor, s.awaited) {
		select {
		case s.kept <- struct{}{}:
		default:
		}
	}
}

// nobody is the sink of a pool that watches nobody.
type nobody struct{}

func (nobody) TeamsChanged(...string)     {}
func (nobody) TeamsGap(string, ...string) {}

// signInPage answers the browser, and tells who waits for the sign-in.
func (s *session) signInPage(w http.ResponseWriter, _ *http.Request, principalName string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err == nil {
		fmt.Fprintf(w, "%s has signed in as a presence monitor. This page can be closed.\n", principalName)
	} else {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "The presence monitor was not authorized.\n%s.\n", plain(err))
	}
	select {
	case s.signIns <- signIn{principalName, err}:
	default: // nobody waits for that many
	}
}
