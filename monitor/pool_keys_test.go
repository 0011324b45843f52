package monitor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Of two processes one may have the new key already: it takes over what the other
// cannot read any more, and nobody is left unwatched for long.
func TestTheKeeperIsWhoCanRead(t *testing.T) {
	inOffice(t, func(o *office) {
		former, key := GenerateKey(), GenerateKey()
		var err error
		o.sealer, err = NewSealer(former, nil)
		require.NoError(o, err)
		old := o.pool(func(opts *PoolOptions) { opts.Holder = "old" })
		o.hire(old, 1)
		old.SetUsers(people(100))
		time.Sleep(time.Minute)
		o.sealer, err = NewSealer(key, &SealerOptions{Former: []presence.Secret{former}})
		require.NoError(o, err)
		renewed := o.pool(func(opts *PoolOptions) { opts.Holder = "new" })
		renewed.SetUsers(people(100))
		time.Sleep(time.Minute)
		_, err = renewed.AuthorizationURL(o.Context(), named(1)) // seals the record anew
		require.NoError(o, err)
		time.Sleep(2 * time.Minute)
		assert.Equal(o, StateNotSetUp, old.state(o.T, 1).State)
		assert.Equal(o, "new", renewed.state(o.T, 1).Keeper)
		assert.Equal(o, StateSubscribed, renewed.state(o.T, 1).State)
		assert.Equal(o, people(100), o.watchedUsers())
		assert.Equal(o, 1, o.tenant.creates, "it was adopted")
		time.Sleep(3 * time.Hour)
		assert.Equal(o, people(100), o.watchedUsers())
	})
}

// A monitor that waits for an update is sealed anew like any other.
func TestAKeyIsChangedForMonitorsThatWait(t *testing.T) {
	inOffice(t, func(o *office) {
		former := GenerateKey()
		var err error
		o.sealer, err = NewSealer(former, nil)
		require.NoError(o, err)
		p := o.pool(nil)
		o.hire(p, 1)
		_, err = p.SetApplication(o.Context(), Application{TenantID: "tenant", ClientID: "another"})
		require.NoError(o, err)
		time.Sleep(time.Minute)
		o.stop(p)
		o.sealer, err = NewSealer(GenerateKey(), &SealerOptions{Former: []presence.Secret{former}})
		require.NoError(o, err)
		q := o.pool(func(opts *PoolOptions) { opts.AcceptApplication = true })
		time.Sleep(time.Minute)
		assert.Zero(o, q.Snapshot().FormerKeys)
	})
}

func TestTheSameURLAfterAChangeOfTheApplication(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		name, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
		require.NoError(o, p.Add(o.Context(), name, value))
		before, err := p.AuthorizationURL(o.Context(), name)
		require.NoError(o, err)
		another := Application{TenantID: "tenant", ClientID: "another"}
		_, err = p.SetApplication(o.Context(), another)
		require.NoError(o, err)
		require.NoError(o, p.Renew(o.Context(), name, o.tenant.secret("another's secret", another, time.Now().AddDate(1, 0, 0))))
		assert.Zero(o, p.state(o.T, 1).SignInExpiresAt, "what had begun is for the other application")
		first, err := p.AuthorizationURL(o.Context(), name)
		require.NoError(o, err)
		second, err := p.AuthorizationURL(o.Context(), name)
		require.NoError(o, err)
		assert.NotEqual(o, before, first)
		assert.Equal(o, first, second)
		_, err = p.CompleteSignIn(o.Context(), o.tenant.signIn(before, name))
		require.Error(o, err)
	})
}

func TestATenantMayBeGivenByItsName(t *testing.T) {
	const domain = "a-domain-of-thirty-six-characters.io"
	require.Len(t, domain, 36)
	g := Grant{PrincipalName: named(1), TenantID: "00000000-0000-0000-0000-000000000001", RefreshToken: presence.NewSecret("r")}
	r := &record{PrincipalName: named(1), Application: Application{TenantID: domain}}
	require.NoError(t, checkGrant(&g, r))
	r.Application.TenantID = "00000000-0000-0000-0000-000000000002"
	require.ErrorIs(t, checkGrant(&g, r), ErrWrongAccount)
}

// Whoever gives a store too little time learns it; the store is not to blame.
func TestACallersDeadlineIsNotTheStoresFault(t *testing.T) {
	inOffice(t, func(o *office) {
		moody := &moodyStore{Store: o.store}
		o.store = moody
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		moody.set(hanging)
		ctx, cancel := context.WithTimeout(o.Context(), time.Second)
		defer cancel()
		require.Error(o, p.Retry(ctx, named(1)))
		assert.NoError(o, p.Snapshot().Err)
		time.Sleep(time.Minute)
		assert.ErrorContains(o, p.Snapshot().Err, "not answered", "the pool's own bound is another matter")
		moody.set(nil)
		time.Sleep(time.Minute)
	})
}

// A store that cannot be written does not make a monitor that leaves ask again
// and again.
func TestLeavingDeletesOnce(t *testing.T) {
	inOffice(t, func(o *office) {
		moody := &moodyStore{Store: o.store}
		o.store = moody
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.tenant.account(named(1), func(a *tenantAccount) { a.stuck = errTenantDown })
		ctx, cancel := context.WithTimeout(o.Context(), 10*time.Minute)
		defer cancel()
		go func() {
			time.Sleep(time.Second)
			moody.set(failingWrites)
			time.Sleep(5 * time.Minute)
			moody.set(nil)
		}()
		_ = p.Delete(ctx, named(1))
		failed := 0
		for _, e := range p.events.of(EventFailed, "") {
			if e.Action == string(actionDelete) {
				failed++
			}
		}
		assert.LessOrEqual(o, failed, 2)
		time.Sleep(10 * time.Minute)
		_, ok := p.Snapshot().Monitor(named(1))
		assert.False(o, ok)
	})
}
