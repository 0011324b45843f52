package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Add gives the pool a monitor: an account, by its user principal name, and a
// client secret of the application that is this monitor's own. Both are
// required. The monitor then waits for somebody to sign in as it: see
// [Pool.AuthorizationURL].
//
// Entra and the directory are asked first. If they refuse the secret or do not
// know the account, nothing is added and the error says what to do: it matches a
// sentinel of package presence, or [ErrAccountNotFound], [ErrAccountDisabled] or
// [ErrNoMail]. If they do not answer, the monitor is added and checked later.
func (p *Pool) Add(ctx context.Context, principalName string, clientSecret presence.Secret) error {
	const operation = "add"
	principalName = strings.TrimSpace(principalName)
	if err := errors.Join(checkPrincipalName(principalName), checkClientSecret(clientSecret)); err != nil {
		return &Error{operation, principalName, err}
	}
	if err := p.open(ctx); err != nil {
		return &Error{operation, principalName, err}
	}
	if p.Application() == (Application{}) {
		return &Error{operation, principalName, ErrNoApplication}
	}
	id := monitorID(principalName)
	if err := p.load(ctx, prefixMonitors+id); err != nil {
		return &Error{operation, principalName, err}
	}
	if p.record(id) != nil {
		return &Error{operation, principalName, ErrMonitorExists}
	}
	r := &record{
		id: id, PrincipalName: principalName, Application: p.Application(), AddedAt: wall(time.Now()),
		secrets: secrets{ClientSecret: clientSecret},
	}
	if err := p.inspectNew(ctx, r); err != nil {
		return &Error{operation, principalName, err}
	}
	if err := p.claim(ctx, r.Application); err != nil {
		return &Error{operation, principalName, err}
	}
	if err := p.write(ctx, r); err != nil {
		if errors.Is(err, ErrRevision) {
			err = ErrMonitorExists
		}
		return &Error{operation, principalName, err}
	}
	p.emit(ctx, Event{Kind: EventAdded, Monitor: principalName})
	p.publishNow(id)
	return nil
}

func checkPrincipalName(name string) error {
	local, domain, ok := strings.Cut(name, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(name, " \t\r\n/\\?#") || len(name) > 320 {
		return fmt.Errorf("%w: a user principal name looks like monitor1@example.com: copy it from the account's page in Entra", presence.ErrInvalid)
	}
	return nil
}

func checkClientSecret(secret presence.Secret) error {
	if secret.IsZero() {
		return fmt.Errorf("%w: the client secret is empty: copy its Value (not its Secret ID) when it is created in Entra, where it is shown once", presence.ErrInvalid)
	}
	return nil
}

// inspectNew asks about credentials that somebody has just entered, and takes
// over what it learns. It refuses what is certainly wrong.
func (p *Pool) inspectNew(ctx context.Context, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, p.inspectTimeout())
	defer cancel()
	found, err := p.inspect(ctx, r.credentials())
	if err != nil {
		if secretReasonOf(err) != "" {
			return err
		}
		if r.Account == nil {
			r.AccountUnknown = "the account could not be read: " + err.Error()
		}
		p.log.WarnContext(ctx, "monitor: the account and its client secret could not be checked; they are checked later", "monitor", r.PrincipalName, "error", err)
		return nil
	}
	if errors.Is(found.AccountErr, presence.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrAccountNotFound, found.AccountErr)
	}
	if found.AccountErr == nil {
		if err := checkAccount(found.Account); err != nil {
			return err
		}
	}
	p.takeInspection(r, &found, time.Now())
	return nil
}

// Renew gives a monitor a new client secret, because the old one has ended, was
// replaced, or belongs to another application. A grant for the same application
// lives on; after a change of the application the monitor has to be authorized
// again. Entra is asked first, as with [Pool.Add]: a secret that it refuses
// changes nothing.
func (p *Pool) Renew(ctx context.Context, principalName string, clientSecret presence.Secret) error {
	const operation = "renew"
	r, err := p.find(ctx, operation, principalName)
	if err != nil {
		return err
	}
	if err := checkClientSecret(clientSecret); err != nil {
		return &Error{operation, principalName, err}
	}
	app := p.Application()
	fresh := r.clone()
	if r.broken != nil && r.id == monitorID(principalName) {
		fresh.PrincipalName = strings.TrimSpace(principalName) // its own may not be readable
	}
	fresh.Application, fresh.secrets.ClientSecret = app, clientSecret
	// What was known of the old secret does not hold for the new one.
	fresh.CheckedAt, fresh.SecretAcceptedAt, fresh.SecretExpiresAt, fresh.SecretUnknown = time.Time{}, time.Time{}, time.Time{}, ""
	if err := p.inspectNew(ctx, fresh); err != nil {
		return &Error{operation, principalName, err}
	}
	_, err = p.replace(ctx, r.id, func(r *record) error {
		r.PrincipalName = fresh.PrincipalName
		if r.Application != app || r.broken != nil {
			r.dropGrant()
			r.Application = app
			// Sign-ins that have begun are for the other application.
			r.secrets.pending = nil
			r.SignIns = slices.DeleteFunc(r.SignIns, func(s signInFacts) bool { return !s.Used })
		}
		r.secrets.ClientSecret = clientSecret
		r.SecretRefusal = nil
		if r.GrantRefusal.of(refusedSecret, refusedSecretExpired, refusedApplication) {
			r.GrantRefusal = nil
		}
		r.CheckFailure = ""
		r.takeChecked(fresh)
		return nil
	})
	if err != nil {
		return &Error{operation, principalName, err}
	}
	p.publishNow(r.id)
	p.emit(ctx, Event{Kind: EventSecretRenewed, Monitor: fresh.PrincipalName})
	return nil
}

// Retry tries at once what has failed: the monitor's keeper, wherever it runs,
// asks the directory and repeats the step that waits. It does not wait for the
// outcome.
func (p *Pool) Retry(ctx context.Context, principalName string) error {
	const operation = "retry"
	r, err := p.find(ctx, operation, principalName)
	if err != nil {
		return err
	}
	if _, err := p.request(ctx, r.id); err != nil {
		return &Error{operation, principalName, err}
	}
	return nil
}

// request asks the keeper to look, and returns the time that it must have looked
// after.
func (p *Pool) request(ctx context.Context, id string) (time.Time, error) {
	var asked time.Time
	_, err := p.update(ctx, id, func(r *record) error {
		// Two requests at one moment are two, and the keeper's clock may be ahead.
		asked = latest(wall(time.Now()), latest(r.RequestedAt, r.CheckedAt).Add(time.Nanosecond))
		r.RequestedAt = asked
		return nil
	})
	return asked, err
}

// Resync has the monitor's keeper ask Entra and the directory about the account
// and its grant, waits for the outcome, and returns the status. The keeper may be
// another process of the store; where there is none, this one asks. It gives up
// when ctx ends.
//
// The keeper also asks Microsoft Graph for the monitor's subscription, where the
// account is a [SubscriptionReader]: one that has vanished is created again at
// once, and [SubscriptionSnapshot] says so in LostAt.
//
// It may be called for all monitors at once. Each of them costs a token of the
// application, two reads of the directory, one of the subscription, a use of the
// refresh token, and a few writes to the store; the upkeep repeats at once what it
// waits to repeat.
//
// If they could not be asked, the error matches [presence.ErrUnavailable], and
// the status is what was known before. A monitor whose record cannot be read
// ([ErrUnreadableRecord]), or that belongs to another application
// ([ErrUpdateNeeded]), is not asked about.
func (p *Pool) Resync(ctx context.Context, principalName string) (MonitorStatus, error) {
	const operation = "resync"
	r, err := p.find(ctx, operation, principalName)
	if err != nil {
		return MonitorStatus{}, err
	}
	asked := time.Time{}
	switch {
	case r.broken == nil && r.Leaving:
		err = ErrUnknownMonitor
	case r.broken == nil && r.Application != p.Application():
		err = ErrUpdateNeeded
	default:
		asked, err = p.request(ctx, r.id)
	}
	if err == nil {
		err = p.attend(ctx, r.id, func() bool {
			now := p.records[r.id]
			return now == nil || now.broken != nil || now.Leaving || now.Application != p.application || !now.CheckedAt.Before(asked)
		}, func(ctx context.Context, k *keeper) { k.lookOnce(ctx) })
	}
	p.publishNow(r.id)
	var status MonitorStatus
	p.mu.Lock()
	known := p.records[r.id]
	if known != nil {
		status = p.statusLocked(known, time.Now())
	}
	p.mu.Unlock()
	switch {
	case err != nil:
	case known == nil:
		err = ErrUnknownMonitor
	case known.CheckFailure != "":
		err = fmt.Errorf("%w: %s", presence.ErrUnavailable, known.CheckFailure)
	}
	if err != nil {
		return status, &Error{operation, principalName, err}
	}
	return status, nil
}

// attend blocks until the monitor's keeper, wherever it runs, has brought about
// a condition, which is called with mu held. While this pool does not run, and
// nobody else keeps the monitor, it takes the lease and does it here.
func (p *Pool) attend(ctx context.Context, id string, condition func() bool, do func(context.Context, *keeper)) error {
	look := func() (holds, running bool, changed chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return condition(), p.running, p.changed
	}
	for {
		holds, running, changed := look()
		if holds {
			return nil
		}
		pause := p.opts.LeaseTime / 10
		if !running {
			var err error
			if pause, err = p.standIn(ctx, id, do); err != nil {
				return err
			}
		}
		timer := time.NewTimer(pause)
		for over := false; !over; {
			select {
			case <-changed:
				// Most changes are of other monitors: the store is not asked again for each.
				if holds, _, changed = look(); holds {
					timer.Stop()
					return nil
				}
			case <-timer.C:
				over = true
			case <-ctx.Done():
				timer.Stop()
				return context.Cause(ctx)
			}
		}
		if !running {
			// Nobody follows the store here.
			if err := p.load(ctx, prefixMonitors+id); err != nil {
				return err
			}
		}
	}
}

// standIn does a keeper's work once, if nobody keeps the monitor, and returns how
// long to wait before looking again.
func (p *Pool) standIn(ctx context.Context, id string, do func(context.Context, *keeper)) (pause time.Duration, err error) {
	k := p.keeperOf(id)
	// As long as it may take: nobody prolongs this lease.
	most := 2 * p.inspectTimeout()
	lease, err := p.store.Acquire(ctx, leaseKeeper+id, k.name, most+p.opts.LeaseTime/3)
	var held *HeldError
	switch {
	case errors.As(err, &held):
		return min(k.patience(err), time.Second), nil
	case err != nil:
		return 0, err
	}
	k.note(lease, nil)
	defer k.release(ctx)
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	do(bounded, k)
	_, _, unkept := k.snapshot()
	return 0, unkept.err
}

// Delete takes a monitor out of the pool: its subscription is deleted, others
// take over its users, and the store forgets it. It waits until the monitor's
// keeper, here or in another process, has done so, or ctx ends; what has begun
// goes on. Where nobody keeps the monitor, it is done here.
//
// Where the subscription cannot be deleted, because the secret has expired, say,
// it lapses within the hour.
func (p *Pool) Delete(ctx context.Context, principalName string) error {
	const operation = "delete"
	r, err := p.find(ctx, operation, principalName)
	if err != nil {
		return err
	}
	_, err = p.replace(ctx, r.id, func(r *record) error {
		if r.Leaving {
			return errUnchanged
		}
		r.Leaving = true
		return nil
	})
	if err == nil {
		err = p.attend(ctx, r.id, func() bool { return p.records[r.id] == nil }, func(ctx context.Context, k *keeper) {
			if r := p.record(k.id); r != nil {
				k.leave(ctx, r)
			}
		})
	}
	if err != nil && !errors.Is(err, ErrUnknownMonitor) {
		return &Error{operation, principalName, err}
	}
	return nil
}
