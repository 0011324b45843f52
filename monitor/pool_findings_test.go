package monitor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Users who are planned for a subscription that cannot be replaced are watched by
// nobody, however well the monitor does otherwise.
func TestUsersOfAStuckSubscriptionAreNamed(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		p.SetUsers(people(100))
		time.Sleep(time.Minute)
		require.Empty(o, p.sink.left())
		o.tenant.account(named(1), func(a *tenantAccount) { a.stuck = errTenantDown })
		p.SetUsers(people(200))
		time.Sleep(5 * time.Minute)
		assert.Equal(o, people(200)[100:], p.sink.left())
		assert.Equal(o, people(200)[100:], p.Snapshot().Unwatched)
		assert.Equal(o, people(200)[100:], p.SetUsers(people(200)), "who asks again is told as well")
		o.tenant.account(named(1), func(a *tenantAccount) { a.stuck = nil })
		time.Sleep(10 * time.Minute)
		assert.Empty(o, p.sink.left())
	})
}

// A replaced subscription does not make anybody shout.
func TestAReplacementIsNoGapToTheSink(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(800))
		time.Sleep(time.Minute)
		told := p.sink.times()
		for n := range 5 {
			p.SetUsers(people(801 + n))
			time.Sleep(time.Minute)
		}
		assert.Equal(o, told, p.sink.times())
		o.stop(p)
		assert.Len(o, p.sink.left(), 805, "a pool that has stopped hears of nobody")
	})
}

// What fails in one process is shown in the others, and the planner among them
// acts on it.
func TestAFailureElsewhereIsKnown(t *testing.T) {
	inOffice(t, func(o *office) {
		planner := o.pool(func(opts *PoolOptions) { opts.Holder = "planner" })
		planner.SetUsers(people(600))
		time.Sleep(time.Second)
		o.hire(planner, 3) // something for it to keep
		time.Sleep(time.Minute)
		keeper := o.newPool(func(opts *PoolOptions) { opts.Holder = "keeper" })
		o.start(keeper)
		keeper.SetUsers(people(600))
		time.Sleep(time.Minute)
		o.hire(keeper, 1, 2)
		planner.SetUsers(people(1500))
		keeper.SetUsers(people(1500))
		time.Sleep(2 * time.Minute)
		require.Equal(o, people(1500), o.watchedUsers())
		var elsewhere int
		for _, n := range []int{1, 2} {
			if planner.state(o.T, n).Keeper == "keeper" {
				elsewhere = n
			}
		}
		if elsewhere == 0 {
			o.Skip("the planner keeps them all this time")
		}
		o.tenant.account(named(elsewhere), func(a *tenantAccount) { a.failing = errTenantDown })
		time.Sleep(3 * time.Hour)
		s := planner.state(o.T, elsewhere)
		assert.Equal(o, StateFailing, s.State, s.Sentence)
		assert.Equal(o, "keeper", s.Keeper)
		assert.Positive(o, s.Users, "there is no room for them elsewhere")
		o.hire(planner, 4)
		time.Sleep(5 * time.Minute)
		assert.Equal(o, people(1500), o.watchedUsers(), "the planner, which does not keep it, moves its users")
	})
}

// An old secret of the same name says nothing about the one that was accepted.
func TestAnAcceptedSecretHasNotEnded(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.SecretDescription = "bridge" })
		o.tenant.mu.Lock()
		o.tenant.secrets["gone"] = ClientSecret{KeyID: "old", Description: "bridge", ExpiresAt: time.Now().AddDate(-1, 0, 0)}
		o.tenant.noHints = true
		o.tenant.mu.Unlock()
		o.hire(p, 1)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		s := p.state(o.T, 1)
		assert.Equal(o, StateSubscribed, s.State, s.Sentence)
		assert.Equal(o, time.Now().AddDate(2, 0, 0).Year(), s.SecretExpiresAt.Year())
	})
}

func TestTheAccountIsNotSupposedToBeGood(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.tenant.mu.Lock()
		o.tenant.unreadable = &entraError{"no User.Read.All", []error{presence.ErrForbidden}}
		o.tenant.mu.Unlock()
		o.hire(p, 1)
		assert.Contains(o, p.state(o.T, 1).AccountUnknown, "no User.Read.All")
		o.tenant.mu.Lock()
		o.tenant.unreadable = nil
		o.tenant.mu.Unlock()
		status, err := p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		assert.Empty(o, status.AccountUnknown)
	})
}

func TestARefusalOfTheApplicationIsShown(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1)
		_, value := o.tenant.add(2, time.Now().AddDate(2, 0, 0))
		o.tenant.mu.Lock()
		o.tenant.gone[value.Reveal()] = &entraError{"invalid_client", []error{presence.ErrUnauthorized}}
		o.tenant.mu.Unlock()
		err := p.Add(o.Context(), named(2), value)
		require.ErrorIs(o, err, presence.ErrUnauthorized, "whatever the code: the secret was refused")

		policy := &entraError{"policy", []error{presence.ErrConditionalAccess, presence.ErrSignInRequired, presence.ErrUnauthorized}}
		o.tenant.mu.Lock()
		o.tenant.gone["001~secret-1"] = policy
		o.tenant.mu.Unlock()
		time.Sleep(8 * time.Hour)
		s := p.state(o.T, 1)
		assert.Equal(o, StateFailing, s.State)
		assert.Contains(o, s.Sentence, "policy")
	})
}

// Another tenant or client id in the configuration must not stop anybody unasked.
func TestAConfiguredApplicationIsNotAppliedUnasked(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		o.hire(p, 1, 2)
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.stop(p)
		other := func(app Application, accept bool) *Pool {
			q, err := NewPool(app, "https://bridge.test/notifications", Dependencies{
				Store: o.store, Sealer: o.sealer, Entra: o.tenant, Routes: newPoolRoutes(), Sink: &poolSink{gaps: map[string]int{}},
			}, &PoolOptions{AcceptApplication: accept})
			require.NoError(o, err)
			return q
		}
		spelled := other(Application{TenantID: " TENANT", ClientID: "Client "}, false)
		change, err := spelled.PreviewApplication(o.Context(), Application{TenantID: "Tenant", ClientID: "CLIENT"})
		require.NoError(o, err)
		assert.Empty(o, change.Monitors, "it is the same application")

		mistaken := other(Application{TenantID: "tenant", ClientID: "mistaken"}, false)
		require.NoError(o, mistaken.Load(o.Context()))
		assert.Equal(o, testApplication, mistaken.Application(), "looking changes nothing")
		var refused *ApplicationError
		err = mistaken.Run(o.Context())
		require.ErrorAs(o, err, &refused)
		assert.Equal(o, []string{named(1), named(2)}, refused.Change.Monitors)
		assert.NotEmpty(o, refused.Remedy())

		whatever := other(Application{}, false)
		require.NoError(o, whatever.Load(o.Context()))
		assert.Equal(o, testApplication, whatever.Application())

		ctx, cancel := context.WithCancel(o.Context())
		done := make(chan error, 1)
		accepted := other(Application{TenantID: "tenant", ClientID: "mistaken"}, true)
		go func() { done <- accepted.Run(ctx) }()
		time.Sleep(time.Minute)
		assert.Empty(o, o.watchedUsers(), "their subscriptions are deleted by the old credentials")
		s, _ := accepted.Snapshot().Monitor(named(1))
		assert.Equal(o, StateUpdateNeeded, s.State)
		cancel()
		require.NoError(o, <-done)

		empty, err := NewPool(Application{}, "https://bridge.test/notifications", Dependencies{
			Store: NewMemoryStore(), Sealer: o.sealer, Entra: o.tenant, Routes: newPoolRoutes(), Sink: &poolSink{},
		}, nil)
		require.NoError(o, err)
		require.ErrorIs(o, empty.Run(o.Context()), ErrNoApplication)
		name, value := o.tenant.add(3, time.Now().AddDate(2, 0, 0))
		require.ErrorIs(o, empty.Add(o.Context(), name, value), ErrNoApplication)
	})
}

// A former key can go once nothing is sealed with it any more.
func TestAKeyIsChangedToTheEnd(t *testing.T) {
	inOffice(t, func(o *office) {
		former := GenerateKey()
		sealer, err := NewSealer(former, nil)
		require.NoError(o, err)
		o.sealer = sealer
		p := o.pool(nil)
		o.hire(p, 1)
		name, value := o.tenant.add(2, time.Now().AddDate(2, 0, 0))
		require.NoError(o, p.Add(o.Context(), name, value), "nobody writes it again: nobody signs in")
		p.SetUsers(people(10))
		time.Sleep(time.Minute)
		o.stop(p)

		key := GenerateKey()
		o.sealer, err = NewSealer(key, &SealerOptions{Former: []presence.Secret{former}})
		require.NoError(o, err)
		q := o.newPool(nil)
		require.NoError(o, q.Load(o.Context()))
		assert.Equal(o, 2, q.Snapshot().FormerKeys)
		o.start(q)
		time.Sleep(time.Minute)
		assert.Zero(o, q.Snapshot().FormerKeys)
		o.stop(q)

		o.sealer, err = NewSealer(key, nil)
		require.NoError(o, err)
		r := o.pool(nil)
		r.SetUsers(people(10))
		time.Sleep(time.Minute)
		assert.Equal(o, StateSubscribed, r.state(o.T, 1).State)
		assert.Equal(o, StateNotAuthorized, r.state(o.T, 2).State)
	})
}

// A monitor that is deleted gives its users to a spare together.
func TestADeletedMonitorsUsersGoToTheSpare(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(func(opts *PoolOptions) { opts.Spares = 1 })
		o.hire(p, 1, 2, 3)
		p.SetUsers(people(900))
		time.Sleep(time.Minute)
		before := o.tenant.watching()
		require.Len(o, before, 2)
		var leaves, stays string
		for name := range before {
			leaves, stays = name, leaves
		}
		require.NoError(o, p.Delete(o.Context(), leaves))
		time.Sleep(time.Minute)
		after := o.tenant.watching()
		assert.Equal(o, before[stays], after[stays], "nobody else is disturbed")
		assert.Equal(o, people(900), o.watchedUsers())
		planned := p.events.of(EventPlanned, "")
		assert.Equal(o, len(before[leaves]), planned[len(planned)-1].Moved)
	})
}

func TestTheSignInPageTellsStrangersNothingOfTheStore(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.newPool(nil)
		p.store = refusingStore{}
		answer := httptest.NewRecorder()
		p.SignInHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/callback?state=x&code=y", nil))
		assert.Equal(o, http.StatusInternalServerError, answer.Code)
		assert.NotContains(o, answer.Body.String(), "/var/lib")
	})
}

// refusingStore can be read by nobody.
type refusingStore struct{ Store }

func (refusingStore) List(context.Context, string) ([]Entry, error) {
	return nil, errors.New("open /var/lib/monitors: permission denied")
}

// Not every stranger's state costs a look at the store.
func TestUnknownStatesCostLittle(t *testing.T) {
	inOffice(t, func(o *office) {
		counting := &countingStore{Store: o.store}
		o.store = counting
		p := o.newPool(nil)
		require.NoError(o, p.Load(o.Context()))
		before := counting.lists
		for range 100 {
			_, err := p.CompleteSignIn(o.Context(), url.Values{"state": {strings.Repeat("x", 20)}, "code": {"y"}})
			require.ErrorIs(o, err, ErrStateUnknown)
		}
		assert.LessOrEqual(o, counting.lists-before, 2)
	})
}

type countingStore struct {
	Store
	lists int
}

func (s *countingStore) List(ctx context.Context, prefix string) ([]Entry, error) {
	s.lists++
	return s.Store.List(ctx, prefix)
}
