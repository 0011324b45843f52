package monitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// A monitor whose users have been taken over has nothing to do that could
// succeed; it must be seen to work again all the same.
func TestAMonitorThatLostItsUsersComesBack(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(1200))
		time.Sleep(time.Minute)
		o.tenant.account(named(2), func(a *tenantAccount) { a.failing = errTenantDown })
		time.Sleep(3 * time.Hour)
		require.Equal(o, people(1200), o.watchedUsers(), "the others have taken its users over")
		o.tenant.account(named(2), func(a *tenantAccount) { a.failing = nil })
		time.Sleep(2 * time.Minute)
		assert.Equal(o, StateAuthorized, p.state(o.T, 2).State)
		p.SetUsers(people(1900))
		time.Sleep(time.Minute)
		assert.Equal(o, people(1900), o.watchedUsers(), "its room is used again")
	})
}

// Entra may refuse for a while what it accepts later: a secret that has not
// spread yet, an account that was locked.
func TestARefusalThatEndsIsNoticed(t *testing.T) {
	for name, refusal := range map[string]*entraError{"secret": errTenantSecret, "expired": errTenantSecretExpired, "account": errTenantBlocked, "sign-in": errTenantSignIn} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(nil)
				o.hire(p, 1, 2)
				p.SetUsers(people(600))
				time.Sleep(time.Minute)
				o.tenant.account(named(1), func(a *tenantAccount) { a.refused = refusal })
				time.Sleep(3 * time.Hour)
				require.False(o, p.state(o.T, 1).State.Usable(), "%s", p.state(o.T, 1).State)
				assert.Contains(o, p.state(o.T, 1).Actions, ActionRetry, "whoever has mended it outside can say so")
				require.Equal(o, people(600), o.watchedUsers())
				o.tenant.account(named(1), func(a *tenantAccount) { a.refused = nil })
				time.Sleep(7 * time.Hour)
				assert.Equal(o, StateAuthorized, p.state(o.T, 1).State, p.state(o.T, 1).Sentence)
			})
		})
	}
}

func TestRetryAfterMendingARefusal(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(600))
		time.Sleep(time.Minute)
		o.tenant.account(named(1), func(a *tenantAccount) { a.refused = errTenantBlocked })
		time.Sleep(3 * time.Hour)
		o.tenant.account(named(1), func(a *tenantAccount) { a.refused = nil })
		status, err := p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		assert.Equal(o, StateAuthorized, status.State)
	})
}

// A renewal with an access token of before proves nothing about the grant.
func TestARenewalDoesNotDisproveARefusal(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.RefreshInterval = 20 * time.Minute })
		o.hire(p, 1, 2)
		p.SetUsers(people(100))
		time.Sleep(time.Minute)
		for n := range 2 {
			o.tenant.account(named(n+1), func(a *tenantAccount) { a.refused = errTenantSignIn })
		}
		time.Sleep(2 * time.Hour)
		for n := range 2 {
			states := p.events.of(EventStateChanged, named(n+1))
			changes := fmt.Sprint(len(states))
			last := states[len(states)-1]
			assert.Equal(o, StateNotAuthorized, last.State)
			assert.LessOrEqual(o, len(states), 4, changes)
		}
	})
}

// Consent that is withdrawn shows as what it is, with the action that helps.
func TestWithdrawnConsentIsNamed(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		forbidden := &entraError{"forbidden", []error{presence.ErrForbidden}}
		o.tenant.account(named(1), func(a *tenantAccount) { a.failing = forbidden })
		p.SetUsers(people(10))
		time.Sleep(5 * time.Minute)
		s := p.state(o.T, 1)
		assert.Equal(o, StateConsentMissing, s.State, s.Sentence)
		assert.Contains(o, s.Actions, ActionAuthorize)
		o.tenant.account(named(1), func(a *tenantAccount) { a.failing = nil })
		require.NoError(o, p.Retry(o.Context(), named(1)))
		time.Sleep(time.Minute)
		assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
	})
}
