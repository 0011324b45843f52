package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/entra"
)

// nowhere is the notification URL of a pool that makes no subscription. The name
// is reserved and leads to no host (RFC 2606, section 2).
const nowhere = "https://monitors.invalid/"

// leaseTime is as long as Entra may be slow: what a pool does in the place of a
// keeper has to end while the lease lasts. Nobody else has the store, so that
// nobody waits for one.
const leaseTime = 2 * time.Minute

// session is an open store with a pool on it, which does not run.
type session struct {
	program *program
	store   *boltstore.Store
	pool    *monitor.Pool
	// signIns takes the outcomes of sign-ins.
	signIns chan signIn
	// undeleted holds one: why a monitor's subscription could not be deleted.
	undeleted chan error
}

// openSession opens the store and makes sure that it belongs to the application
// of the command line, if that names one.
func (p *program) openSession(ctx context.Context) (*session, error) {
	sealer, err := p.sealer()
	if err != nil {
		return nil, err
	}
	microsoft, err := entra.New(p.settings.redirect, &entra.Options{Cloud: p.settings.cloud(), HTTPClient: p.client})
	if err != nil {
		return nil, usageError(plain(err))
	}
	s := &session{program: p, signIns: make(chan signIn, 8), undeleted: make(chan error, 1)}
	if s.store, err = boltstore.Open(p.settings.store, nil); err != nil {
		return nil, err
	}
	newPool := func(of monitor.Application) (*monitor.Pool, error) {
		pool, err := monitor.NewPool(of, nowhere, monitor.Dependencies{
			Store: s.store, Sealer: sealer, Entra: microsoft, Routes: graph.NewNotificationHandler(nil), Sink: nobody{},
		}, &monitor.PoolOptions{
			OnEvent: s.heard, SecretDescription: p.settings.integration, SignInPage: s.signInPage, LeaseTime: leaseTime,
		})
		if err == nil {
			err = pool.Load(ctx)
		}
		return pool, err
	}
	if s.pool, err = newPool(monitor.Application{}); err == nil {
		if s.pool.Application() != (monitor.Application{}) {
			err = s.checkApplication(ctx)
		} else if err = p.settings.needApplication(); err == nil {
			s.pool, err = newPool(p.settings.application)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) close() error { return s.store.Close() }

// checkApplication refuses ids that are not those of the store: whoever gives
// them expects to look at other monitors.
func (s *session) checkApplication(ctx context.Context) error {
	change, err := s.pool.PreviewApplication(ctx, filled(s.program.settings.application, s.pool.Application()))
	if err != nil || change.From == change.To {
		return err
	}
	return fmt.Errorf("-tenant and -client are not those of the store (monitors that would stop: %s): "+
		"leave them out, or correct -store; the command application changes them", names(change.Monitors))
}

// filled returns the application with those ids that it lacks taken from another.
func filled(given, other monitor.Application) monitor.Application {
	return monitor.Application{TenantID: cmp.Or(given.TenantID, other.TenantID), ClientID: cmp.Or(given.ClientID, other.ClientID)}
}

// find returns one monitor, by its user principal name.
func (s *session) find(operation, principalName string) (monitor.MonitorStatus, error) {
	m, ok := s.pool.Snapshot().Monitor(principalName)
	if !ok {
		return m, &monitor.Error{Operation: operation, Monitor: principalName, Err: monitor.ErrUnknownMonitor}
	}
	return m, nil
}

// stays is find for what is pointless with a monitor that is being deleted.
func (s *session) stays(operation, principalName string) (monitor.MonitorStatus, error) {
	m, err := s.find(operation, principalName)
	if err == nil && m.Leaving {
		err = fmt.Errorf("%s is being deleted: delete it again to finish that", m.PrincipalName)
	}
	return m, err
}

// show prints what a monitor is in now.
func (s *session) show(principalName string) error {
	m, err := s.find("show", principalName)
	if err != nil {
		return err
	}
	s.program.printState(m)
	return nil
}

// showEntered is show after something was entered, which Entra may not have been
// able to check.
func (s *session) showEntered(principalName string) error {
	m, err := s.find("show", principalName)
	if err != nil {
		return err
	}
	if m.CheckedAt.IsZero() {
		fmt.Fprintln(s.program.stderr, "monitors: Entra has not answered, so the account and its client secret could not be checked: the bridge makes up for it; retry says why")
	}
	s.program.printState(m)
	return nil
}

// heard is told of what happens in the pool.
func (s *session) heard(e monitor.Event) {
	if e.Kind == monitor.EventFailed && e.Action == "delete" {
		select {
		case s.undeleted <- e.Err:
		default: // one reason is enough
		}
	}
}

// nobody is the sink of a pool that watches nobody.
type nobody struct{}

func (nobody) TeamsChanged(...string)     {}
func (nobody) TeamsGap(string, ...string) {}

// signInPage answers the browser, and tells who waits for the sign-in.
func (s *session) signInPage(w http.ResponseWriter, r *http.Request, principalName string, err error) {
	monitor.PlainSignInPage(w, r, principalName, err)
	select {
	case s.signIns <- signIn{principalName, err}:
	default: // nobody waits for that many
	}
}
