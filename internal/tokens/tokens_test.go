package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/tokens"
)

const (
	lifetime = time.Hour
	early    = 5 * time.Minute
	latency  = time.Second
)

// endpoint hands out token 1, token 2, …, and counts the requests.
type endpoint struct {
	requests atomic.Int32
	fail     atomic.Pointer[error]
}

func (e *endpoint) fetch(ctx context.Context) (*oauth2.Token, error) {
	n := e.requests.Add(1)
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := e.fail.Load(); err != nil {
		return nil, *err
	}
	return &oauth2.Token{AccessToken: fmt.Sprint("token ", n), Expiry: time.Now().Add(lifetime)}, nil
}

func newSource() (*endpoint, *tokens.Source) {
	e := &endpoint{}
	return e, tokens.New(early, e.fetch)
}

func token(t *testing.T, s *tokens.Source) string {
	t.Helper()
	tok, err := s.Token(t.Context())
	require.NoError(t, err)
	return tok.AccessToken
}

func TestPanicIsTheErrorOfAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		s := tokens.New(early, func(context.Context) (*oauth2.Token, error) {
			time.Sleep(latency)
			if broken {
				panic("canary")
			}
			return &oauth2.Token{AccessToken: "token"}, nil
		})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := s.Token(t.Context())
				assert.ErrorContains(t, err, "panicked")
				assert.NotContains(t, err.Error(), "canary")
			})
		}
		wg.Wait()
		broken = false
		assert.Equal(t, "token", token(t, s), "a panic does not end the source")
	})
}

func TestSourceFetchesOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newSource()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				tok, err := s.Token(t.Context())
				if assert.NoError(t, err) {
					assert.Equal(t, "token 1", tok.AccessToken)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, e.requests.Load())
	})
}

func TestSourceRenewsBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newSource()
		assert.Equal(t, "token 1", token(t, s))
		time.Sleep(lifetime - early - 1)
		assert.Equal(t, "token 1", token(t, s))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, "token 2", token(t, s))

		forever := tokens.New(early, func(context.Context) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: time.Now().String()}, nil
		})
		first := token(t, forever)
		time.Sleep(1000 * lifetime)
		assert.Equal(t, first, token(t, forever), "a token without an end is kept")
	})
}

func TestSourceOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newSource()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), latency/2)
		defer cancel()
		_, err := s.Token(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, latency/2, time.Since(start), "the caller does not wait for the endpoint")
		assert.Equal(t, "token 1", token(t, s))
		assert.EqualValues(t, 1, e.requests.Load())
		assert.Equal(t, latency, time.Since(start))
	})
}

func TestRefreshDoesNotWaitForTheEndOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newSource()
		assert.Equal(t, "token 1", token(t, s))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				tok, err := s.Refresh(t.Context())
				if assert.NoError(t, err) {
					assert.Equal(t, "token 2", tok.AccessToken)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, e.requests.Load(), "one request serves all who ask at once")
		assert.Equal(t, "token 2", token(t, s))

		refused := errors.New("refused")
		e.fail.Store(&refused)
		_, err := s.Refresh(t.Context())
		require.ErrorIs(t, err, refused)
		assert.Equal(t, "token 2", token(t, s), "a good token is not lost by it")
	})
}

func TestSourceTellsWhenNothingIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newSource()
		require.NoError(t, s.Wait(t.Context()), "nothing has begun")
		ctx, cancel := context.WithTimeout(t.Context(), latency/4)
		defer cancel()
		_, err := s.Token(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, s.Wait(ctx), context.DeadlineExceeded)
		start := time.Now()
		require.NoError(t, s.Wait(t.Context()))
		assert.Equal(t, latency*3/4, time.Since(start), "the request goes on without its caller, and is waited for")
	})
}

func TestSourceBoundsARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := tokens.New(0, func(ctx context.Context) (*oauth2.Token, error) {
			assert.Equal(t, "value", ctx.Value(key{}), "the caller's values are passed on")
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		_, err := s.Token(context.WithValue(t.Context(), key{}, "value"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestSourceForgetsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newSource()
		refused := errors.New("refused")
		e.fail.Store(&refused)
		_, err := s.Token(t.Context())
		require.ErrorIs(t, err, refused)
		e.fail.Store(nil)
		assert.Equal(t, "token 2", token(t, s))
	})
}

func TestSourceInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newSource()
		s.Invalidate("token 1") // there is none yet
		assert.Equal(t, "token 1", token(t, s))
		s.Invalidate("token 0")
		assert.Equal(t, "token 1", token(t, s), "another token was meant")
		s.Invalidate("token 1")
		assert.Equal(t, "token 2", token(t, s))
		s.Invalidate("token 1")
		assert.Equal(t, "token 2", token(t, s), "a late report about the old token does not cost the new one")
	})
}
