// Package tokens caches an OAuth 2.0 token and obtains the next one for all
// who wait for it at once.
package tokens

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// fetchTimeout bounds one request for a token, which goes on when the caller
// that caused it gives up: a rotated refresh token must not be lost.
const fetchTimeout = 30 * time.Second

// Source caches a token. It is safe for concurrent use.
type Source struct {
	early time.Duration
	fetch func(context.Context) (*oauth2.Token, error)

	mu      sync.Mutex
	token   *oauth2.Token
	pending *attempt
}

type attempt struct {
	done  chan struct{}
	token *oauth2.Token
	err   error
}

// New returns a Source that calls fetch, never twice at a time, when it has no
// token or the one it has ends within early.
func New(early time.Duration, fetch func(context.Context) (*oauth2.Token, error)) *Source {
	return &Source{early: early, fetch: fetch}
}

// Token returns a token that is valid now. It blocks while one is obtained, or
// until ctx ends.
func (s *Source) Token(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	if s.token != nil && (s.token.Expiry.IsZero() || time.Until(s.token.Expiry) > s.early) {
		defer s.mu.Unlock()
		return s.token, nil
	}
	return s.wait(ctx)
}

// Refresh obtains a token now, however long the cached one would last. A request
// that is under way counts as now.
func (s *Source) Refresh(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	return s.wait(ctx)
}

// wait waits for the request that is under way, and begins one if there is none.
// It is called with the lock held, and releases it.
func (s *Source) wait(ctx context.Context) (*oauth2.Token, error) {
	a := s.pending
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		s.pending = a
		go s.run(context.WithoutCancel(ctx), a)
	}
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.token, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Wait returns when no request is under way any more, or ctx has ended. It begins
// none.
func (s *Source) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		a := s.pending
		s.mu.Unlock()
		if a == nil {
			return nil
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Source) run(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	a.token, a.err = s.obtain(ctx)
	s.mu.Lock()
	s.pending = nil
	if a.err == nil {
		s.token = a.token
	}
	s.mu.Unlock()
	close(a.done)
}

// obtain calls fetch, which may lead to the embedder's own code. A panic there
// would end the process, because this goroutine is nobody else's, so it becomes
// the error of all who wait.
func (s *Source) obtain(ctx context.Context) (token *oauth2.Token, err error) {
	defer func() {
		if p := recover(); p != nil {
			// The value may hold anything, a token too.
			token, err = nil, fmt.Errorf("tokens: obtaining a token panicked with a %T", p)
		}
	}()
	return s.fetch(ctx)
}

// Invalidate drops the cached token if its value is accessToken: a service has
// refused it before its end. A newer token stays.
func (s *Source) Invalidate(accessToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.token.AccessToken == accessToken {
		s.token = nil
	}
}
