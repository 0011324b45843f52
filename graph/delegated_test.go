package graph

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// shelf is where a refresh token is kept outside of the credential.
type shelf struct {
	mu      sync.Mutex
	token   string
	refusal error
	log     []string
	inside  atomic.Int32
	overlap atomic.Bool
}

func (s *shelf) enter() func() {
	if s.inside.Add(1) > 1 {
		s.overlap.Store(true)
	}
	return func() { s.inside.Add(-1) }
}

func (s *shelf) current(context.Context) (presence.Secret, error) {
	defer s.enter()()
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return presence.Secret{}, s.refusal
	}
	return presence.NewSecret(s.token), s.refusal
}

func (s *shelf) rotated(_ context.Context, used, next presence.Secret) error {
	defer s.enter()()
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, used.Reveal()+" to "+next.Reveal())
	s.token = next.Reveal()
	return nil
}

func (s *shelf) credential(t *testing.T, w *wire) *Credential {
	t.Helper()
	c, err := NewDelegatedCredential(tenant, application, clientSecret, presence.Secret{}, &DelegatedOptions{
		Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}, Current: s.current, Rotated: s.rotated,
	})
	require.NoError(t, err)
	return c
}

func TestNewestRefreshTokenIsAskedForBeforeEachUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: rotating()}
		s := &shelf{token: "refresh-0"}
		c := s.credential(t, w)
		_, err := c.Token(t.Context())
		require.NoError(t, err)
		s.token = "from another process"
		c.Invalidate("access-1")
		_, err = c.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"refresh-0 to refresh-1", "from another process to refresh-2"}, s.log)
		assert.Equal(t, "from another process", form(t, w.all()[1]).Get("refresh_token"))
	})
}

func TestRefusalToGiveTheRefreshTokenReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: rotating()}
		held := errors.New("another process keeps the account")
		s := &shelf{token: "refresh-0", refusal: held}
		c := s.credential(t, w)
		_, err := c.Token(t.Context())
		require.ErrorIs(t, err, held)
		assert.ErrorContains(t, err, "another process keeps the account")
		_, err = c.Refresh(t.Context())
		require.ErrorIs(t, err, held)
		client, err := New(tenant, application, c, &Options{Cloud: testCloud(), HTTPClient: &http.Client{Transport: w}})
		require.NoError(t, err)
		err = client.DeleteSubscription(t.Context(), "1")
		require.ErrorIs(t, err, held)
		require.NotErrorIs(t, err, presence.ErrSignInRequired)

		s.refusal = errors.Join(held, presence.ErrForbidden)
		_, err = c.Refresh(t.Context())
		require.ErrorIs(t, err, presence.ErrForbidden)
		require.NotErrorIs(t, err, presence.ErrUnavailable, "to try again does not help")
		assert.Empty(t, w.all(), "nothing was sent")
	})
}

func TestMissingRefreshTokenAsksForASignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: rotating()}
		_, err := (&shelf{}).credential(t, w).Token(t.Context())
		require.ErrorIs(t, err, presence.ErrSignInRequired)
		require.ErrorIs(t, err, presence.ErrUnauthorized)
		require.NotErrorIs(t, err, presence.ErrUnavailable)
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.NotEmpty(t, e.Remedy())
		assert.Empty(t, w.all())
	})
}

func TestRefreshUsesTheRefreshTokenThoughTheAccessTokenIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: answer(200, `{"expires_in":3599,"access_token":"access-1","refresh_token":"refresh-1","scope":"http://graph.test/Presence.Read.All openid","id_token":"`+idToken(t, application)+`"}`)}
		s := &shelf{token: "refresh-0"}
		c := s.credential(t, w)
		_, err := c.Token(t.Context())
		require.NoError(t, err)
		grant, err := c.Refresh(t.Context())
		require.NoError(t, err)
		require.Len(t, w.all(), 2)
		assert.Equal(t, []string{"Presence.Read.All", "openid"}, grant.Scopes)
		assert.Equal(t, ann, grant.IDTokenClaims.ObjectID)
		assert.Equal(t, time.Now().Add(3599*time.Second), grant.Expiry)
		assert.True(t, grant.RefreshToken.IsZero())
		assert.Equal(t, "refresh-1", form(t, w.all()[1]).Get("refresh_token"))
	})
}

func TestRefreshesAndRequestsForTokensNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{token: "refresh-0"}
		rotate := rotating()
		w := &wire{handler: func(w http.ResponseWriter, r *http.Request) {
			defer s.enter()()
			time.Sleep(time.Second)
			rotate(w, r)
		}}
		c := s.credential(t, w)
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				if i%2 == 0 {
					_, err := c.Refresh(t.Context())
					assert.NoError(t, err)
					return
				}
				token, err := c.Token(t.Context())
				if assert.NoError(t, err) && i%3 == 0 {
					c.Invalidate(token.AccessToken)
				}
			})
		}
		group.Wait()
		assert.False(t, s.overlap.Load())
		assert.Greater(t, len(w.all()), 3)
		for i, r := range w.all() {
			if i > 0 {
				assert.NotEqual(t, form(t, w.all()[i-1]).Get("refresh_token"), form(t, r).Get("refresh_token"), "each refresh token is used once")
			}
		}
	})
}

func TestRefreshOfTheApplicationsOwnCredentialObtainsANewToken(t *testing.T) {
	w := &wire{handler: answer(200, tokenAnswer)}
	c, err := NewSecretCredential(tenant, application, clientSecret, credentialOptions(w))
	require.NoError(t, err)
	_, err = c.Token(t.Context())
	require.NoError(t, err)
	grant, err := c.Refresh(t.Context())
	require.NoError(t, err)
	assert.Empty(t, grant.Scopes)
	assert.Len(t, w.all(), 2)
}
