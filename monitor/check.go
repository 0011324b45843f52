package monitor

import (
	"context"
	"errors"
	"hash/fnv"
	"time"
)

// agenda is when a keeper asks the directory about the monitor, and when it uses
// the refresh token although nobody needs a token.
type agenda struct {
	// identity is the grant and the secret that the rest is about.
	identity string
	checkAt  time.Time
	// notBefore is when what failed is repeated.
	notBefore time.Time
	// served is the newest request that was carried out.
	served time.Time
}

// clockTolerance is how far in the future a time may lie that another process has
// kept, until it is taken for that of a clock that was wrong.
const clockTolerance = time.Hour

// check asks the directory, and uses the refresh token, when it is time, and
// returns how long it is until then.
func (k *keeper) check(ctx context.Context, r *record) time.Duration {
	p := k.pool
	now := time.Now()
	a := &k.agenda
	if a.identity != r.identity() {
		*a = agenda{identity: r.identity(), served: a.served}
		if !r.CheckedAt.IsZero() {
			a.checkAt = earliest(r.CheckedAt, now).Add(k.jittered(p.opts.CheckInterval))
		}
	}
	requested := r.RequestedAt.After(r.CheckedAt) && !r.RequestedAt.Equal(a.served)
	checkAt, refreshAt := latest(a.checkAt, a.notBefore), k.refreshAt(r, now)
	check, refresh := !now.Before(checkAt), !refreshAt.IsZero() && !now.Before(refreshAt)
	if !requested && !check && !refresh {
		until := checkAt
		if !refreshAt.IsZero() {
			until = earliest(until, refreshAt)
		}
		return min(time.Until(until), maxSleep)
	}
	if requested {
		k.retry()
	}
	// Nobody but this look finds out that an account without users is accepted
	// again.
	if requested {
		// Before the look at the directory, whose outcome others wait for.
		k.look(ctx, r)
	}
	err := k.inspect(ctx, r, k.account(), requested || refresh || r.GrantRefusal != nil)
	a.served = r.RequestedAt
	if err != nil {
		a.notBefore = now.Add(5 * retryAfterFailure)
		return 0
	}
	a.checkAt, a.notBefore = now.Add(k.jittered(p.opts.CheckInterval)), time.Time{}
	return 0
}

// refreshAt returns when the refresh token is to be used although nobody needs a
// token; zero is never.
func (k *keeper) refreshAt(r *record, now time.Time) time.Time {
	if k.account() == nil || r.GrantRefusal != nil {
		return time.Time{}
	}
	at := r.RefreshedAt.Add(k.jittered(k.pool.opts.RefreshInterval))
	if r.RefreshedAt.After(now.Add(clockTolerance)) {
		at = now
	}
	return latest(at, k.agenda.notBefore)
}

// jittered spreads the checks of many monitors: by up to a tenth, always the same
// for one monitor.
func (k *keeper) jittered(d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(k.id))
	return d - time.Duration(float64(d)*0.1*float64(h.Sum32()%1000)/1000)
}

func (k *keeper) account() Account {
	if u := k.present(); u != nil {
		return u.account
	}
	return nil
}

// retry has the upkeep repeat at once what waits.
func (k *keeper) retry() {
	if u := k.present(); u != nil {
		u.monitor.Retry()
	}
}

// look asks Microsoft Graph whether the subscription exists.
func (k *keeper) look(ctx context.Context, r *record) {
	u := k.present()
	if u == nil {
		return
	}
	err := u.monitor.look(ctx, u.account)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && ctx.Err() == nil {
		k.pool.log.WarnContext(ctx, "monitor: the subscription could not be looked up", "monitor", r.PrincipalName, "error", err)
	}
}

// inspect asks the directory and, if wished, uses the refresh token, and writes
// what it learns. An error is one that may pass.
func (k *keeper) inspect(ctx context.Context, r *record, account Account, refresh bool) error {
	p := k.pool
	bounded, cancel := context.WithTimeout(ctx, p.inspectTimeout())
	defer cancel()
	found, err := p.inspect(bounded, r.credentials())
	var grant Grant
	var grantErr error
	if refresh = refresh && account != nil; refresh {
		grant, grantErr = account.Refresh(bounded)
	}
	// What is no refusal may pass.
	passingSecret, passingGrant := err, grantErr
	if secretReasonOf(err) != "" {
		passingSecret = nil
	}
	if reasonOf(grantErr) != "" {
		passingGrant = nil
	}
	now := wall(time.Now())
	_, writeErr := p.update(ctx, k.id, func(fresh *record) error {
		if fresh.identity() != r.identity() || fresh.Application != r.Application {
			return errUnchanged // it speaks of what was replaced meanwhile
		}
		switch refused := newRefusal(secretReasonOf(err), err, now); {
		case err == nil:
			fresh.SecretRefusal = nil
			if fresh.GrantRefusal.of(refusedSecret, refusedSecretExpired, refusedApplication) {
				fresh.GrantRefusal = nil // the same secret was accepted
			}
			p.takeInspection(fresh, &found, now)
		case refused != nil:
			fresh.SecretRefusal, fresh.CheckedAt = refused.after(fresh.SecretRefusal), now
		}
		switch refused := newRefusal(reasonOf(grantErr), grantErr, now); {
		case !refresh:
		case grantErr == nil:
			fresh.GrantRefusal, fresh.RefreshedAt, fresh.SecretAcceptedAt = nil, now, now
			fresh.Scopes, fresh.Unneeded, fresh.Missing = grant.Scopes, grant.Unneeded, grant.Missing
			if grant.GlobalAdministrator != nil {
				fresh.GlobalAdministrator = grant.GlobalAdministrator
			}
		case refused != nil:
			fresh.GrantRefusal = refused.after(fresh.GrantRefusal)
		}
		failed := errors.Join(passingSecret, passingGrant)
		fresh.CheckFailure = ""
		if r.RequestedAt.After(fresh.CheckedAt) || r.RequestedAt.After(r.CheckedAt) {
			// Who waits for the outcome shall see it, whatever it is.
			fresh.CheckedAt = latest(fresh.CheckedAt, r.RequestedAt)
			if failed != nil {
				fresh.CheckFailure = failed.Error()
			}
		} else if passingSecret != nil && (!refresh || passingGrant != nil) {
			return errUnchanged // nothing was learned
		}
		return nil
	})
	err = errors.Join(passingSecret, passingGrant, writeErr)
	if err != nil && ctx.Err() == nil {
		p.log.WarnContext(ctx, "monitor: asking about the account failed and is repeated", "monitor", r.PrincipalName, "error", err)
	}
	return err
}

// lookOnce asks the directory, and uses the refresh token if there is one, for a
// keeper that does nothing else.
func (k *keeper) lookOnce(ctx context.Context) {
	r := k.pool.record(k.id)
	if r == nil {
		return
	}
	var account Account
	if r.ready() {
		var err error
		if account, err = k.open(r); err != nil {
			k.fail(err)
			return
		}
	}
	if err := k.inspect(ctx, r, account, true); err != nil && ctx.Err() != nil {
		k.fail(err)
	}
}
