package graph

import (
	"context"
	"crypto/rsa"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newSigningKeys(l *login) *signingKeys {
	return &signingKeys{configuration: "http://login.test" + openIDConfigurationPath, http: l.client(), timeout: signingKeysTimeout}
}

func TestSigningKeysAreKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogin()
		s := newSigningKeys(l)
		find := func() *rsa.PublicKey {
			key, err := s.find(t.Context(), "key-1")
			require.NoError(t, err)
			return key
		}
		assert.True(t, testLoginKey().PublicKey.Equal(find()))
		time.Sleep(24*time.Hour - time.Second)
		find()
		assert.Equal(t, 1, l.fetches())
		time.Sleep(time.Second)
		find()
		assert.Equal(t, 2, l.fetches())
	})
}

func TestUnknownSigningKeyIsAskedForOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogin()
		s := newSigningKeys(l)
		_, err := s.find(t.Context(), "key-2")
		require.ErrorIs(t, err, errUnknownSigningKey, "it was asked for at this moment")
		l.add("key-2", testStranger())
		time.Sleep(5*time.Minute - time.Second)
		_, err = s.find(t.Context(), "key-2")
		require.ErrorIs(t, err, errSigningKeys, "nobody knows before it may be asked for again")
		assert.Equal(t, 1, l.fetches())
		time.Sleep(time.Second)
		key, err := s.find(t.Context(), "key-2")
		require.NoError(t, err)
		assert.True(t, testStranger().PublicKey.Equal(key))
		assert.Equal(t, 2, l.fetches())
	})
}

func TestSigningKeysAreFetchedByOneForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogin()
		l.set(func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false })
		s := newSigningKeys(l)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := s.find(t.Context(), "key-1")
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.Equal(t, 1, l.fetches())

		// Who cannot wait, does not; the others are not disturbed.
		time.Sleep(24 * time.Hour)
		all.Go(func() {
			_, err := s.find(t.Context(), "key-2")
			assert.ErrorIs(t, err, errUnknownSigningKey)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := s.find(ctx, "key-2")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		_, err = s.find(t.Context(), "key-1")
		require.NoError(t, err)
		assert.Zero(t, time.Since(began), "a known key is at hand while others are fetched")
		all.Wait()
		assert.Equal(t, 2, l.fetches())
	})
}

func TestSigningKeysSurviveAFailure(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"status":    func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true },
		"no answer": func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
		"HTML":      func(w http.ResponseWriter, r *http.Request) bool { answer(200, "<html>")(w, r); return true },
		"redirect": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://evil.test/", http.StatusFound)
			return true
		},
		"foreign": func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != openIDConfigurationPath {
				return false
			}
			answer(200, `{"jwks_uri":"http://login.example.com/common/discovery/keys"}`)(w, r)
			return true
		},
		"no keys": func(w http.ResponseWriter, r *http.Request) bool {
			answer(200, `{"jwks_uri":"http://login.test/keys","keys":[{"kty":"oct","k":"AA","kid":"key-1"},{"kty":"RSA","kid":"key-1","n":"AA","e":"!"}]}`)(w, r)
			return true
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(strings.Repeat(" ", maxSigningKeysBody+1)))
			return true
		},
		"other type": func(w http.ResponseWriter, r *http.Request) bool {
			answer(200, `{"jwks_uri":"http://login.test/keys","keys":7}`)(w, r)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLogin()
				s := newSigningKeys(l)
				l.set(fail)
				began := time.Now()
				_, err := s.find(t.Context(), "key-1")
				require.ErrorIs(t, err, errSigningKeys)
				assert.LessOrEqual(t, time.Since(began), signingKeysTimeout)
				asked := len(l.wire.all())
				_, err = s.find(t.Context(), "key-1")
				require.ErrorIs(t, err, errSigningKeys)
				assert.Len(t, l.wire.all(), asked, "not again at once")

				l.set(nil)
				time.Sleep(time.Minute)
				_, err = s.find(t.Context(), "key-1")
				require.NoError(t, err)

				l.set(fail)
				time.Sleep(25 * time.Hour)
				_, err = s.find(t.Context(), "key-1")
				require.NoError(t, err, "the old keys stay in use")
				_, err = s.find(t.Context(), "key-2")
				require.ErrorIs(t, err, errSigningKeys)

				l.set(nil)
				time.Sleep(time.Minute)
				_, err = s.find(t.Context(), "key-1")
				require.NoError(t, err)
				_, err = s.find(t.Context(), "key-2")
				require.Error(t, err)
			})
		})
	}
}

// A transport that panics must not leave the others waiting for ever.
func TestSigningKeysOutliveAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogin()
		s := newSigningKeys(l)
		l.set(func(http.ResponseWriter, *http.Request) bool { panic("transport") })
		assert.Panics(t, func() { _, _ = s.find(t.Context(), "key-1") })
		l.set(nil)
		_, err := s.find(t.Context(), "key-1")
		require.ErrorIs(t, err, errSigningKeys)
		time.Sleep(time.Minute)
		_, err = s.find(t.Context(), "key-1")
		require.NoError(t, err)
	})
}
