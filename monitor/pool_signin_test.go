package monitor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Whatever goes wrong at a sign-in is a typed error with something to do, leaves
// the monitor without a grant, is shown with it, and the next sign-in succeeds.
func TestSignInsThatAreNotAccepted(t *testing.T) {
	type attempt struct {
		office   *office
		pool     *runningPool
		callback url.Values
	}
	account := func(a *attempt, change func(*tenantAccount)) { a.office.tenant.account(named(1), change) }
	for name, test := range map[string]struct {
		spoil func(*attempt)
		heal  func(*attempt)
		want  error
		state State
	}{
		"wrong state":        {func(a *attempt) { a.callback.Set("state", "guessed") }, nil, ErrStateUnknown, StateNotAuthorized},
		"no state":           {func(a *attempt) { a.callback.Del("state") }, nil, ErrStateUnknown, StateNotAuthorized},
		"expired state":      {func(*attempt) { time.Sleep(61 * time.Minute) }, nil, ErrStateExpired, StateNotAuthorized},
		"declined consent":   {func(a *attempt) { a.callback.Set("error", "consent") }, nil, presence.ErrConsentMissing, StateNotAuthorized},
		"second factor":      {func(a *attempt) { a.callback.Set("error", "mfa") }, nil, presence.ErrMFARequired, StateNotAuthorized},
		"conditional access": {func(a *attempt) { a.callback.Set("error", "policy") }, nil, presence.ErrConditionalAccess, StateNotAuthorized},
		"blocked account":    {func(a *attempt) { a.callback.Set("error", "blocked") }, nil, presence.ErrAccountBlocked, StateNotAuthorized},
		"another account": {func(a *attempt) {
			a.office.tenant.add(9, time.Now().AddDate(1, 0, 0))
			a.callback.Set("code", named(9))
		}, nil, ErrWrongAccount, StateNotAuthorized},
		"missing scopes": {
			func(a *attempt) { account(a, func(t *tenantAccount) { t.unconsented = []string{"Presence.Read.All"} }) },
			func(a *attempt) { account(a, func(t *tenantAccount) { t.unconsented = nil }) }, ErrScopesMissing, StateNotAuthorized,
		},
		"administrator": {
			func(a *attempt) { account(a, func(t *tenantAccount) { t.admin = true }) },
			func(a *attempt) { account(a, func(t *tenantAccount) { t.admin = false }) }, ErrGlobalAdministrator, StateNotAuthorized,
		},
		"disabled": {
			func(a *attempt) { account(a, func(t *tenantAccount) { t.user.Enabled = false }) },
			func(a *attempt) { account(a, func(t *tenantAccount) { t.user.Enabled = true }) }, ErrAccountDisabled, StateNotAuthorized,
		},
		"no mail": {
			func(a *attempt) { account(a, func(t *tenantAccount) { t.user.Mail = "" }) },
			func(a *attempt) { account(a, func(t *tenantAccount) { t.user.Mail = named(1) }) }, ErrNoMail, StateNotAuthorized,
		},
		"unknown account": {
			func(a *attempt) { account(a, func(t *tenantAccount) { t.missing = true }) },
			func(a *attempt) { account(a, func(t *tenantAccount) { t.missing = false }) }, ErrAccountNotFound, StateNotAuthorized,
		},
		"Entra is down": {
			func(a *attempt) { a.office.tenant.fail(errTenantDown) },
			func(a *attempt) { a.office.tenant.fail(nil) }, presence.ErrUnavailable, StateNotAuthorized,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				p := o.pool(nil)
				p.SetUsers(people(5))
				o.hire(p, 2) // the pool goes on for the other
				monitor, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
				require.NoError(o, p.Add(o.Context(), monitor, value))
				address, err := p.AuthorizationURL(o.Context(), monitor)
				require.NoError(o, err)
				a := &attempt{o, p, o.tenant.signIn(address, monitor)}
				test.spoil(a)
				who, err := p.CompleteSignIn(o.Context(), a.callback)
				require.ErrorIs(o, err, test.want)
				var fault *Error
				require.ErrorAs(o, err, &fault)
				known := !errors.Is(test.want, ErrStateUnknown)
				assert.Equal(o, known, who == monitor)
				if !errors.Is(test.want, presence.ErrUnavailable) {
					assert.NotEmpty(o, fault.Remedy(), "it says what to do")
				}
				s := p.state(o.T, 1)
				assert.Equal(o, test.state, s.State)
				assert.NotEmpty(o, s.Sentence)
				assert.Contains(o, s.Actions, ActionAuthorize)
				if known && !errors.Is(test.want, ErrStateExpired) {
					assert.NotEmpty(o, s.SignInFailure)
					assert.Len(o, p.events.of(EventSignInFailed, monitor), 1)
					_, err = p.CompleteSignIn(o.Context(), a.callback)
					require.ErrorIs(o, err, ErrStateUsed, "a state is good once, however it ended")
				}
				if test.heal != nil {
					test.heal(a)
				}
				o.authorize(p, monitor)
				time.Sleep(time.Minute)
				assert.True(o, p.state(o.T, 1).State.Usable())
				assert.Empty(o, p.state(o.T, 1).SignInFailure)
				assert.Equal(o, people(5), o.watchedUsers())
			})
		})
	}
}

func TestAddRefusesWhatIsCertainlyWrong(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		name, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
		add := func(name string, value presence.Secret) error { return p.Add(o.Context(), name, value) }
		require.ErrorIs(o, add(name, presence.Secret{}), presence.ErrInvalid)
		require.ErrorIs(o, add("monitor1", value), presence.ErrInvalid)
		require.ErrorIs(o, add("", presence.Secret{}), presence.ErrInvalid)
		require.ErrorIs(o, add(name, presence.NewSecret("f5d2a7c0-0000-4000-8000-000000000000")), presence.ErrInvalidSecret, "the secret's id, and not its value")
		require.ErrorIs(o, add("nobody@example.test", value), ErrAccountNotFound)
		o.tenant.refuse(value, errTenantSecretExpired)
		require.ErrorIs(o, add(name, value), presence.ErrSecretExpired)
		o.tenant.mu.Lock()
		o.tenant.gone = map[string]error{}
		o.tenant.mu.Unlock()
		o.tenant.account(name, func(a *tenantAccount) { a.user.Enabled = false })
		require.ErrorIs(o, add(name, value), ErrAccountDisabled)
		o.tenant.account(name, func(a *tenantAccount) { a.user.Enabled, a.user.Mail = true, "" })
		require.ErrorIs(o, add(name, value), ErrNoMail)
		assert.Empty(o, p.Snapshot().Monitors, "nothing was added")
		for _, err := range []error{add(name, presence.Secret{}), add("nobody@example.test", value), add(name, value)} {
			var fault *Error
			require.ErrorAs(o, err, &fault)
			assert.Contains(o, err.Error(), ":")
		}

		// Entra does not answer: added, and checked as soon as it does.
		o.tenant.account(name, func(a *tenantAccount) { a.user.Mail = name })
		o.tenant.fail(errTenantDown)
		require.NoError(o, add(name, value))
		require.ErrorIs(o, add(strings.ToUpper(name), value), ErrMonitorExists)
		assert.Zero(o, p.state(o.T, 1).CheckedAt)
		o.tenant.fail(nil)
		time.Sleep(10 * time.Minute)
		assert.NotZero(o, p.state(o.T, 1).SecretExpiresAt)
	})
}

// A callback that arrives twice at once is redeemed once.
func TestCallbackTwiceAtOnce(t *testing.T) {
	inOffice(t, func(o *office) {
		p, q := o.pool(nil), o.pool(nil)
		name, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
		require.NoError(o, p.Add(o.Context(), name, value))
		address, err := p.AuthorizationURL(o.Context(), name)
		require.NoError(o, err)
		var (
			group     sync.WaitGroup
			mu        sync.Mutex
			successes int
		)
		for _, pool := range []*runningPool{p, p, q, q} {
			group.Go(func() {
				_, err := pool.CompleteSignIn(o.Context(), o.tenant.signIn(address, name))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					successes++
				} else {
					assert.ErrorIs(o, err, ErrStateUsed)
				}
			})
		}
		group.Wait()
		assert.Equal(o, 1, successes)
		assert.Equal(o, 1, o.tenant.redeemed)
		time.Sleep(time.Minute)
		assert.Equal(o, StateAuthorized, p.state(o.T, 1).State)
	})
}

func TestSignInHandler(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(nil)
		name, value := o.tenant.add(1, time.Now().AddDate(2, 0, 0))
		require.NoError(o, p.Add(o.Context(), name, value))
		callback := func() string {
			address, err := p.AuthorizationURL(o.Context(), name)
			require.NoError(o, err)
			return o.tenant.signIn(address, name).Encode()
		}
		serve := func(method, target, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(o.Context(), method, target, strings.NewReader(body))
			if body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			p.SignInHandler().ServeHTTP(w, r)
			return w
		}
		for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodOptions} {
			assert.Equal(o, http.StatusMethodNotAllowed, serve(method, "/callback?"+callback(), "").Code, "%s must not use the code up", method)
		}
		w := serve(http.MethodGet, "/callback?"+callback(), "")
		assert.Equal(o, http.StatusOK, w.Code)
		assert.Contains(o, w.Body.String(), name)
		assert.Equal(o, "no-store", w.Header().Get("Cache-Control"))
		assert.Equal(o, "no-referrer", w.Header().Get("Referrer-Policy"))
		assert.Equal(o, "nosniff", w.Header().Get("X-Content-Type-Options"))
		assert.Equal(o, http.StatusOK, serve(http.MethodPost, "/callback", callback()).Code, "Entra may post a form")
		assert.Equal(o, http.StatusRequestEntityTooLarge, serve(http.MethodPost, "/callback", "state="+strings.Repeat("x", 70<<10)).Code)
		assert.Equal(o, http.StatusBadRequest, serve(http.MethodPost, "/callback", "%zz").Code)
		w = serve(http.MethodGet, "/callback?state=<script>", "")
		assert.Equal(o, http.StatusBadRequest, w.Code)
		assert.Equal(o, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		assert.NotContains(o, w.Body.String(), "<script>")

		// The browser goes away; the code is good once and must not be lost.
		ctx, cancel := context.WithCancel(o.Context())
		cancel()
		values, err := url.ParseQuery(callback())
		require.NoError(o, err)
		_, err = p.CompleteSignIn(ctx, values)
		require.NoError(o, err)
	})
}

// Somebody signs in again while the old token is being refreshed: the new grant
// stays, and what Entra says of the old one is not held against it.
func TestGrantReplacedWhileARefreshIsUnderWay(t *testing.T) {
	for _, refused := range []bool{false, true} {
		inOffice(t, func(o *office) {
			p := o.pool(nil)
			o.hire(p, 1)
			time.Sleep(time.Minute)
			address, err := p.AuthorizationURL(o.Context(), named(1))
			require.NoError(o, err)
			o.tenant.mu.Lock()
			o.tenant.latency = 5 * time.Second
			o.tenant.mu.Unlock()
			require.NoError(o, p.Retry(o.Context(), named(1)))
			time.Sleep(6 * time.Second) // the refresh has begun
			old := p.record(monitorID(named(1))).secrets.RefreshToken
			if refused {
				o.tenant.mu.Lock()
				delete(o.tenant.tokens, old.Reveal())
				o.tenant.mu.Unlock()
			}
			_, err = p.CompleteSignIn(o.Context(), o.tenant.signIn(address, named(1)))
			require.NoError(o, err)
			fresh := p.record(monitorID(named(1)))
			p.SetUsers(people(3))
			time.Sleep(2 * time.Minute)
			now := p.record(monitorID(named(1)))
			assert.Equal(o, fresh.GrantID, now.GrantID)
			assert.Equal(o, StateSubscribed, p.state(o.T, 1).State)
			assert.Equal(o, people(3), o.watchedUsers())
			o.peaceful()
		})
	}
}

// A token dies after 90 days without use. Monitors without users use theirs, and a
// process that was down for 80 days does so first of all.
func TestTokensAreKeptAlive(t *testing.T) {
	inOffice(t, func(o *office) {
		use := func() (n int) {
			o.tenant.account(named(1), func(a *tenantAccount) { n = a.refreshes })
			return n
		}
		p := o.pool(slowly)
		o.hire(p, 1)
		time.Sleep(10 * 24 * time.Hour)
		assert.InDelta(o, 10, use(), 2, "daily, though nobody is watched")
		ends := p.state(o.T, 1).RefreshTokenExpiresAt
		assert.Greater(o, time.Until(ends), 88*24*time.Hour)
		o.stop(p)
		before := use()
		time.Sleep(80 * 24 * time.Hour)
		p = o.pool(slowly)
		time.Sleep(time.Minute)
		assert.Equal(o, before+1, use())
		assert.Greater(o, time.Until(p.state(o.T, 1).RefreshTokenExpiresAt), 89*24*time.Hour)

		// The same while Entra does not answer: neither given up nor run down.
		o.stop(p)
		time.Sleep(80 * 24 * time.Hour)
		o.tenant.fail(errTenantDown)
		o.tenant.mu.Lock()
		o.tenant.refusals = 0
		o.tenant.mu.Unlock()
		o.pool(slowly)
		time.Sleep(2 * time.Hour)
		o.tenant.mu.Lock()
		assert.Less(o, o.tenant.refusals, 2*2*12+10, "every five minutes at most")
		o.tenant.mu.Unlock()
		o.tenant.fail(nil)
		before = use()
		time.Sleep(6 * time.Minute)
		assert.Equal(o, before+1, use())
	})
}

// An account without users that was refused is found accepted again without
// anybody's doing.
func TestRefusalOfASparePasses(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.pool(slowly)
		o.hire(p, 1)
		time.Sleep(time.Hour)
		o.tenant.account(named(1), func(a *tenantAccount) { a.refused = errTenantBlocked })
		s, err := p.Resync(o.Context(), named(1))
		require.NoError(o, err)
		require.Equal(o, StateAccountBlocked, s.State)
		o.tenant.account(named(1), func(a *tenantAccount) { a.refused = nil })
		time.Sleep(7 * time.Hour)
		assert.Equal(o, StateAuthorized, p.state(o.T, 1).State)
	})
}
