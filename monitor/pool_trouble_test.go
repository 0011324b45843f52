package monitor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatusNamesEveryTrouble(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		s := p.state(o.T, 1)
		assert.Empty(o, s.Troubles)
		require.NotNil(o, s.AccountEnabled)
		require.NotNil(o, s.AccountMail)
		assert.True(o, *s.AccountEnabled && *s.AccountMail)
		require.NotEmpty(o, s.AccountID)

		began := time.Now()
		o.tenant.account(named(1), func(a *tenantAccount) {
			a.user.Enabled, a.user.Mail, a.refused = false, "", errTenantMFA
		})
		s, err := p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		want := []TroubleKind{TroubleAccountDisabled, TroubleMailMissing, TroubleSecondFactor}
		assert.Equal(o, want, s.kinds())
		assert.Equal(o, s.Troubles[0].State, s.State)
		assert.Equal(o, s.Troubles[0].Sentence, s.Sentence)
		assert.False(o, *s.AccountEnabled || *s.AccountMail)
		since := s.Troubles[2].Since
		assert.False(o, since.Before(began.Round(0)) || since.After(time.Now()), since)

		time.Sleep(24 * time.Hour)
		s = p.state(o.T, 1)
		assert.Equal(o, want, s.kinds())
		assert.Equal(o, since, s.Troubles[2].Since, "it is refused since then, however often Entra is asked")
		assert.Equal(o, people(3), s.Uncovered, "its subscription has ended")
		assert.Empty(o, s.SubscriptionID)

		o.tenant.account(named(1), func(a *tenantAccount) { a.refused = errTenantPolicy })
		s, err = p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		assert.Equal(o, []TroubleKind{TroubleAccountDisabled, TroubleMailMissing, TroubleConditionalAccess}, s.kinds())
		assert.True(o, s.Troubles[2].Since.After(since), "another reason")

		o.tenant.account(named(1), func(a *tenantAccount) { a.missing, a.refused = true, errTenantBlocked })
		s, err = p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		assert.Equal(o, []TroubleKind{TroubleAccountMissing, TroubleSignInRefused}, s.kinds())
		assert.Nil(o, s.AccountEnabled, "there is none")

		o.tenant.account(named(1), func(a *tenantAccount) {
			a.missing, a.refused, a.user.Enabled, a.user.Mail, a.admin = false, nil, true, "m@example.test", true
			a.unconsented = []string{"Presence.Read.All"}
		})
		s, err = p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		assert.Equal(o, []TroubleKind{TroublePermissionsMissing, TroubleGlobalAdministrator}, s.kinds())
		assert.Equal(o, []string{"Presence.Read.All"}, s.Missing)
		require.NotNil(o, s.GlobalAdministrator)
		assert.True(o, *s.GlobalAdministrator)
	})
}

// A process that only looks knows the subscription, the grant and the secret of a
// monitor that another keeps.
func TestStatusOfAMonitorThatAnotherProcessKeeps(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(2 * time.Hour)
		q := o.newPool(nil)
		require.NoError(o, q.Load(o.Context()))
		here, there := p.state(o.T, 1), q.state(o.T, 1)
		assert.Empty(o, here.Uncovered)
		assert.Empty(o, there.Uncovered)
		assert.Empty(o, there.Subscription.SubscriptionID)
		require.NotEmpty(o, there.SubscriptionID)
		assert.Equal(o, here.Subscription.SubscriptionID, there.SubscriptionID)
		assert.True(o, here.Subscription.ExpiresAt.Equal(there.SubscriptionExpiresAt))
		assert.True(o, here.Subscription.CreatedAt.Equal(there.SubscriptionCreatedAt))
		assert.Equal(o, "https://bridge.test/notifications", there.NotificationURL)
		assert.Equal(o, testApplication, there.Application)
		for _, s := range []MonitorStatus{here, there} {
			assert.WithinRange(o, s.RefreshedAt, s.AuthorizedAt, time.Now())
			assert.Equal(o, s.RefreshedAt.Add(RefreshTokenLifetime), s.RefreshTokenExpiresAt)
			assert.WithinRange(o, s.SecretAcceptedAt, s.AddedAt, time.Now())
		}
		// It stops without a word: once the subscription has ended, nobody covers
		// its users.
		o.stop(p)
		time.Sleep(2 * time.Hour)
		there = q.state(o.T, 1)
		assert.Equal(o, people(3), there.Uncovered)
	})
}

// A failure that turns into a refusal is one trouble for another process too.
func TestFailureElsewhereTurnsIntoARefusal(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(3))
		time.Sleep(time.Minute)
		kinds := func() []TroubleKind {
			q := o.newPool(nil)
			require.NoError(o, q.Load(o.Context()))
			return q.state(o.T, 1).kinds()
		}
		o.tenant.account(named(1), func(a *tenantAccount) { a.failing = errTenantDown })
		time.Sleep(time.Hour)
		assert.Equal(o, []TroubleKind{TroubleFailing}, kinds())
		o.tenant.account(named(1), func(a *tenantAccount) { a.failing, a.refused = errTenantSignIn, errTenantSignIn })
		time.Sleep(time.Hour)
		assert.Equal(o, []TroubleKind{TroubleGrantEnded}, kinds())
	})
}

func TestUncoveredUsersAreNamed(t *testing.T) {
	m := newWorld().monitor(t, nil)
	m.SetUsers([]string{"c", "a", "b"})
	s := m.Snapshot()
	assert.Equal(t, []string{"a", "b", "c"}, s.Uncovered, "there is no subscription")
	s.Uncovered[0] = "x"
	assert.Equal(t, []string{"a", "b", "c"}, m.Snapshot().Uncovered, "the slice is the caller's")

	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		m.SetUsers([]string{"c", "a", "b"})
		sleep(10 * time.Second)
		assert.Empty(t, m.Snapshot().Uncovered)
		w.setFault(failing("delete", errMoody))
		m.SetUsers([]string{"d", "c", "0"})
		sleep(10 * time.Second)
		assert.Equal(t, []string{"0", "d"}, m.Snapshot().Uncovered, "who has left is nobody's business")
		w.setFault(nil)
		sleep(10 * time.Minute)
		assert.Empty(t, m.Snapshot().Uncovered)
	})
}

// As many monitors as 100,000 users need are asked about at once, each within the
// time of a few requests: by the process that keeps them and by one that does not.
// What it asks of the store grows with their number and not with its square.
func TestAllMonitorsAreResyncedAtOnce(t *testing.T) {
	const monitors = 154
	inOffice(t, func(o *office) {
		counted := &countedStore{Store: o.store}
		o.store = counted
		p := o.pool(nil)
		for n := range monitors {
			o.hire(p, n)
		}
		p.SetUsers(people(monitors * 10))
		time.Sleep(time.Minute)
		q := o.newPool(nil)
		for _, pool := range []*runningPool{p, q, p} {
			before, calls := o.inspections(), counted.calls.Load()
			began := time.Now()
			resyncAll(o, pool, monitors)
			assert.Less(o, time.Since(began), 5*time.Second)
			assert.Less(o, counted.calls.Load()-calls, int64(20*monitors))
			assert.LessOrEqual(o, o.inspections()-before, monitors, "each is asked about once")
		}
		o.stop(p)
		began := time.Now()
		resyncAll(o, q, monitors)
		assert.Less(o, time.Since(began), 5*time.Second, "nobody keeps them")
		o.peaceful()
	})
}

// countedStore counts the calls.
type countedStore struct {
	Store
	calls atomic.Int64
}

func (s *countedStore) List(ctx context.Context, prefix string) ([]Entry, error) {
	s.calls.Add(1)
	return s.Store.List(ctx, prefix)
}

func (s *countedStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.calls.Add(1)
	return s.Store.Put(ctx, key, value, revision)
}

func (s *countedStore) Acquire(ctx context.Context, name, holder string, lasts time.Duration) (Lease, error) {
	s.calls.Add(1)
	return s.Store.Acquire(ctx, name, holder, lasts)
}

func (o *office) inspections() int {
	o.tenant.mu.Lock()
	defer o.tenant.mu.Unlock()
	return o.tenant.inspects
}

func resyncAll(o *office, p *runningPool, monitors int) {
	ctx, cancel := context.WithTimeout(o.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	var asking sync.WaitGroup
	faults := make([]string, monitors)
	for n := range monitors {
		asking.Go(func() {
			if s, err := p.Resync(ctx, named(n)); err != nil || s.CheckedAt.Before(began.Round(0)) || len(s.Troubles) > 0 {
				faults[n] = fmt.Sprintf("%d: %v %v %v\n", n, err, s.CheckedAt, s.Troubles)
			}
		})
	}
	asking.Wait()
	assert.Empty(o, strings.Join(faults, ""))
}
