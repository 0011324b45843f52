package entra_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// advice returns what an error tells an administrator to do.
func (s *service) advice(err error) string {
	s.Helper()
	var e *monitor.Error
	require.ErrorAs(s, err, &e)
	return e.Remedy()
}

func TestMonitorsThatAreNotAdded(t *testing.T) {
	for name, tt := range map[string]struct {
		// spoil changes the account or returns another secret than the right one.
		spoil  func(s *service, account *graphtest.User, secret presence.Secret) presence.Secret
		is     error
		remedy string
	}{
		"secret id in place of its value": {func(s *service, _ *graphtest.User, _ presence.Secret) presence.Secret {
			return presence.NewSecret(s.app.Secrets[1].KeyID)
		}, presence.ErrInvalidSecret, "not its Secret ID"},
		"expired secret": {func(s *service, _ *graphtest.User, secret presence.Secret) presence.Secret {
			require.NoError(s, s.ExpireSecret(s.app.ClientID, secret))
			return secret
		}, presence.ErrSecretExpired, "create a client secret"},
		"unknown user principal name": {func(s *service, account *graphtest.User, secret presence.Secret) presence.Secret {
			s.RemoveUser(account.ID)
			return secret
		}, monitor.ErrAccountNotFound, "check the user principal name"},
		"disabled account": {func(s *service, account *graphtest.User, secret presence.Secret) presence.Secret {
			account.Disabled = true
			s.AddUser(*account)
			return secret
		}, monitor.ErrAccountDisabled, "enable the account"},
		"account without mail": {func(s *service, account *graphtest.User, secret presence.Secret) presence.Secret {
			account.Mail = ""
			s.AddUser(*account)
			return secret
		}, monitor.ErrNoMail, "mail address"},
		"disabled application": {func(s *service, _ *graphtest.User, secret presence.Secret) presence.Secret {
			s.reregister(func(a *graphtest.Application) { a.Disabled = true })
			return secret
		}, presence.ErrAppDisabled, "enable the application"},
	} {
		t.Run(name, func(t *testing.T) {
			inTenant(t, func(w *tenant) {
				s := newService(w)
				p := s.start(nil, nil)
				defer p.stop()
				account, right := s.newcomer("watcher")
				secret := tt.spoil(s, &account, right)
				err := p.Add(w.Context(), account.PrincipalName, secret)
				require.ErrorIs(w, err, tt.is)
				assert.Contains(w, s.advice(err), tt.remedy)
				w.harmless(err, secret.Reveal(), right.Reveal())
				assert.Empty(w, p.Snapshot().Monitors)
			})
		})
	}
}

// TestSignInsThatThePoolDoesNotAccept: each has an error of its own that says what
// to do, the other monitor goes on, and the next sign-in is accepted once the
// cause is gone.
func TestSignInsThatThePoolDoesNotAccept(t *testing.T) {
	for name, tt := range map[string]struct {
		// outcome returns what comes to the redirect URI of the sign-in.
		outcome func(s *service, p *process, account graphtest.User, address string) url.Values
		is      error
		remedy  string
	}{
		"declined consent": {func(s *service, _ *process, _ graphtest.User, address string) url.Values {
			q := refused("access_denied", "AADSTS65004: User declined to consent to access the app.")
			q.Set("state", s.stateOf(address))
			return q
		}, presence.ErrConsentMissing, "grant consent"},
		"second factor": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			q := s.callback(address, account.ID)
			account.SignInRefusal = 50076
			s.AddUser(account)
			return q
		}, presence.ErrMFARequired, "second factor"},
		"conditional access": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			q := s.callback(address, account.ID)
			account.SignInRefusal = 53003
			s.AddUser(account)
			return q
		}, presence.ErrConditionalAccess, "conditional access"},
		"wrong account": {func(s *service, _ *process, _ graphtest.User, address string) url.Values {
			return s.callback(address, s.ann.ID)
		}, monitor.ErrWrongAccount, "private window"},
		"global administrator": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			account.GlobalAdministrator = true
			s.AddUser(account)
			return s.callback(address, account.ID)
		}, monitor.ErrGlobalAdministrator, "take the role"},
		"mail taken away meanwhile": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			account.Mail = ""
			s.AddUser(account)
			return s.callback(address, account.ID)
		}, monitor.ErrNoMail, "mail address"},
		"account disabled meanwhile": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			q := s.callback(address, account.ID)
			account.Disabled = true
			s.AddUser(account)
			return q
		}, presence.ErrAccountBlocked, "enable the account"},
		"missing scopes": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			q := s.callback(address, account.ID)
			s.reregister(func(a *graphtest.Application) {
				a.DelegatedPermissions = []string{"openid", "profile", "offline_access", "User.Read"}
			})
			return q
		}, monitor.ErrScopesMissing, "grant consent"},
		"state of nobody": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			q := s.callback(address, account.ID)
			q.Set("state", "another")
			return q
		}, monitor.ErrStateUnknown, "begin the sign-in anew"},
		"state that was used": {func(s *service, p *process, account graphtest.User, address string) url.Values {
			q := refused("access_denied", "AADSTS65004: User declined to consent to access the app.")
			q.Set("state", s.stateOf(address))
			_, err := p.CompleteSignIn(s.Context(), q)
			require.ErrorIs(s, err, presence.ErrConsentMissing)
			return s.callback(address, account.ID)
		}, monitor.ErrStateUsed, "begin the sign-in anew"},
		"state that has expired": {func(s *service, _ *process, account graphtest.User, address string) url.Values {
			time.Sleep(61 * time.Minute)
			return s.callback(address, account.ID)
		}, monitor.ErrStateExpired, "finish it sooner"},
	} {
		t.Run(name, func(t *testing.T) {
			inTenant(t, func(w *tenant) {
				s := newService(w)
				p := s.start(nil, nil)
				defer p.stop()
				other := p.hire("other")
				p.SetUsers([]string{w.ann.ID})
				require.Equal(w, monitor.StateSubscribed, p.status(other).State)
				account, secret := s.newcomer("watcher")
				require.NoError(w, p.Add(w.Context(), account.PrincipalName, secret))
				address, err := p.AuthorizationURL(w.Context(), account.PrincipalName)
				require.NoError(w, err)

				callback := tt.outcome(s, p, account, address)
				_, err = p.CompleteSignIn(w.Context(), callback)
				require.ErrorIs(w, err, tt.is)
				assert.Contains(w, s.advice(err), tt.remedy)
				w.harmless(err, secret.Reveal(), callback.Get("code"), callback.Get("state"))
				status := p.status(account)
				assert.Contains(w, []monitor.State{monitor.StateNotAuthorized, monitor.StateAccountBlocked}, status.State)
				assert.NotEmpty(w, status.Sentence)
				assert.Contains(w, status.Actions, monitor.ActionAuthorize)
				assert.Equal(w, monitor.StateSubscribed, p.status(other).State)
				p.mustHear(w.ann.ID)

				s.AddUser(account)
				s.reregister(func(a *graphtest.Application) { a.DelegatedPermissions = nil })
				require.NoError(w, p.authorize(account))
				assert.Equal(w, monitor.StateAuthorized, p.status(account).State)
			})
		})
	}
}
