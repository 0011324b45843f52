package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ApplicationChange is what becomes of a pool when its monitors belong to another
// tenant or application.
type ApplicationChange struct {
	// From is the present application, To the other one.
	From, To Application
	// Monitors are those that stop and show [StateUpdateNeeded], by user
	// principal name, sorted. Each comes back by [Pool.Renew] with a client
	// secret of the other application, and signing in again.
	Monitors []string
	// Returning are monitors that already belong to the other application: they
	// work again at once.
	Returning []string
	// Users is how many users lose their notifications until then.
	Users int
}

// ApplicationError is the error of a pool that was made for another application
// than its store's, which has monitors. Nothing was changed.
type ApplicationError struct {
	// Change is what would have become of the monitors.
	Change ApplicationChange
}

// Error names the monitors that would stop.
func (e *ApplicationError) Error() string {
	return fmt.Sprintf("the store's monitors belong to tenant %s and client id %s, and the configuration names %s and %s, with which these stop until each is renewed and authorized again: %s",
		e.Change.From.TenantID, e.Change.From.ClientID, e.Change.To.TenantID, e.Change.To.ClientID, strings.Join(e.Change.Monitors, ", "))
}

// Remedy says how to go on, either way.
func (e *ApplicationError) Remedy() string {
	return "correct the configuration, or accept the change by SetApplication or PoolOptions.AcceptApplication"
}

// Application returns the application that the pool's monitors belong to: that of
// the store as soon as it has been read, which Run makes the configured one.
func (p *Pool) Application() Application {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.application
}

// PreviewApplication tells what [Pool.SetApplication] would do. It changes
// nothing. Ask before applying: whoever enters another tenant id by mistake
// would stop all monitors.
func (p *Pool) PreviewApplication(ctx context.Context, to Application) (ApplicationChange, error) {
	to = to.normal()
	if err := to.check(); err != nil {
		return ApplicationChange{}, &Error{"change application", "", err}
	}
	if err := p.open(ctx); err != nil {
		return ApplicationChange{}, &Error{"change application", "", err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.previewLocked(p.application, to), nil
}

func (p *Pool) previewLocked(from, to Application) ApplicationChange {
	c := ApplicationChange{From: from, To: to}
	if from == to {
		return c
	}
	for id, r := range p.records {
		switch {
		case r.broken != nil:
		case r.Application == to:
			c.Returning = append(c.Returning, r.PrincipalName)
		case r.Application == from:
			c.Monitors = append(c.Monitors, r.PrincipalName)
			c.Users += len(p.assignments[id].users)
		}
	}
	slices.Sort(c.Monitors)
	slices.Sort(c.Returning)
	return c
}

// SetApplication makes the pool's monitors belong to another tenant or
// application, and returns what it did. Their subscriptions are deleted, where
// the old credentials still allow it; otherwise they lapse within the hour.
//
// It holds for all pools of the store. Change the configuration too: a pool that
// is started with the former application does not run ([*ApplicationError]). If
// notifications are encrypted, give the new client id to AddApplication of package
// graph's Decryption before: until then validation tokens for it are false, and its
// notifications are refused.
func (p *Pool) SetApplication(ctx context.Context, to Application) (ApplicationChange, error) {
	to = to.normal()
	if err := to.check(); err != nil {
		return ApplicationChange{}, &Error{"change application", "", err}
	}
	if err := p.open(ctx); err != nil {
		return ApplicationChange{}, &Error{"change application", "", err}
	}
	change, err := p.changeApplication(ctx, to)
	if err != nil {
		return ApplicationChange{}, &Error{"change application", "", err}
	}
	return change, nil
}

// applyConfigured makes the application with which the pool was made, or that was
// set since, the one of the store, if no monitor stops because of that.
func (p *Pool) applyConfigured(ctx context.Context) error {
	p.mu.Lock()
	to, known := p.configured, p.appRevision != 0
	change := p.previewLocked(p.application, to)
	p.mu.Unlock()
	switch {
	case to == (Application{}) && known:
		return nil
	case to == (Application{}):
		return ErrNoApplication
	case known && len(change.Monitors) > 0 && !p.opts.AcceptApplication:
		return &ApplicationError{change}
	}
	_, err := p.changeApplication(ctx, to)
	return err
}

// claim makes the application that of a store that has none yet.
func (p *Pool) claim(ctx context.Context, app Application) error {
	p.mu.Lock()
	known := p.appRevision != 0
	p.mu.Unlock()
	if known {
		return nil
	}
	_, err := p.changeApplication(ctx, app)
	return err
}

func (p *Pool) changeApplication(ctx context.Context, to Application) (ApplicationChange, error) {
	value, err := json.Marshal(to)
	if err != nil {
		return ApplicationChange{}, err
	}
	for range attempts {
		p.mu.Lock()
		from, revision := p.application, p.appRevision
		change := p.previewLocked(from, to)
		p.mu.Unlock()
		if from == to && revision != 0 {
			p.mu.Lock()
			p.configured = to
			p.mu.Unlock()
			return change, nil
		}
		err := p.put(ctx, keyApplication, value, revision, func(written uint64) {
			p.application, p.appRevision, p.configured = to, written, to
			p.pokeKeepersLocked()
			p.planning.stale = true
			p.announceLocked()
		})
		if errors.Is(err, ErrRevision) {
			if err := p.load(ctx, keyApplication); err != nil {
				return ApplicationChange{}, err
			}
			continue
		}
		if err != nil {
			return ApplicationChange{}, err
		}
		if len(change.Monitors) > 0 {
			p.emit(ctx, Event{Kind: EventApplicationChanged, Users: change.Users,
				Sentence: fmt.Sprintf("The monitors belong to another tenant or application: %d need a new client secret and have to be authorized again.", len(change.Monitors))})
		}
		return change, nil
	}
	return ApplicationChange{}, ErrRevision
}
