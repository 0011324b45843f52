package graph

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// signingKeysLife is how long signing keys are used before they are fetched
	// anew. The login service may replace them daily
	// (learn.microsoft.com/graph/change-notifications-with-resource-data).
	signingKeysLife = 24 * time.Hour
	// unknownKeyPause is how long after keys were fetched an unknown key id has
	// them fetched again: anybody can make up key ids.
	unknownKeyPause = 5 * time.Minute
	// failedFetchPause is how long after a failure the keys are asked for again.
	failedFetchPause = time.Minute
	// signingKeysTimeout bounds both requests of one fetch together.
	signingKeysTimeout = 10 * time.Second
	// maxSigningKeysBody bounds each answer. Entra's key set takes about 20 kB.
	maxSigningKeysBody = 1 << 20
	// maxSigningKeys bounds what one key set may hold. Entra's has about ten keys.
	maxSigningKeys = 100
)

// errSigningKeys: whether a signature is right cannot be told now.
var errSigningKeys = errors.New("graph: the signing keys of the login service are not available")

// errUnknownSigningKey: the login service has no key of that id.
var errUnknownSigningKey = errors.New("graph: the login service does not have this signing key")

// signingKeys caches the keys by which the login service signs tokens. Nobody
// fetches them while nobody asks, and never two at a time.
type signingKeys struct {
	configuration string // URL of the OpenID configuration
	http          *http.Client
	timeout       time.Duration

	mu        sync.Mutex
	keys      map[string]*rsa.PublicKey // by key id; replaced, never changed
	fetchedAt time.Time                 // when keys came; zero: never
	triedAt   time.Time                 // when they were last asked for
	failed    error                     // why that failed; nil: it did not
	pending   chan struct{}             // closed when the fetch under way ends; nil: none is
}

// find returns the key of an id. It may fetch the keys, and wait for whoever
// does. Keys that could not be fetched anew stay in use.
func (s *signingKeys) find(ctx context.Context, id string) (*rsa.PublicKey, error) {
	asked := false
	for {
		now := time.Now()
		s.mu.Lock()
		key, pending := s.keys[id], s.pending
		due := s.dueLocked(key != nil, now)
		if !asked && due && pending == nil {
			s.pending = make(chan struct{})
			s.mu.Unlock()
			s.fetch(ctx)
			asked = true
			continue
		}
		failed, known := s.failed, !s.fetchedAt.IsZero()
		s.mu.Unlock()
		switch {
		case key != nil:
			return key, nil
		case pending != nil:
			select {
			case <-pending:
				// What came is as new as what this caller would have fetched.
				asked = true
			case <-ctx.Done():
				return nil, fmt.Errorf("%w: %w", errSigningKeys, context.Cause(ctx))
			}
		case asked && known && failed == nil:
			return nil, errUnknownSigningKey
		case failed != nil:
			return nil, fmt.Errorf("%w: %w", errSigningKeys, failed)
		default:
			return nil, fmt.Errorf("%w: the key is not among them, and they were fetched less than %v ago", errSigningKeys, unknownKeyPause)
		}
	}
}

// dueLocked reports whether the keys are to be fetched now, for a caller who has
// found his key among them or has not.
func (s *signingKeys) dueLocked(found bool, now time.Time) bool {
	switch {
	case s.triedAt.IsZero():
		return true
	case s.failed != nil:
		return now.Sub(s.triedAt) >= failedFetchPause && (!found || now.Sub(s.fetchedAt) >= signingKeysLife)
	case found:
		return now.Sub(s.fetchedAt) >= signingKeysLife
	default:
		return now.Sub(s.fetchedAt) >= unknownKeyPause
	}
}

// fetch asks for the keys, and lets those go on who wait for them.
func (s *signingKeys) fetch(ctx context.Context) {
	// The keys are for all who wait, so they do not end with one caller.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	var (
		keys map[string]*rsa.PublicKey
		err  = errors.New("graph: the request for the signing keys panicked")
	)
	defer func() {
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.triedAt, s.failed = now, err
		if err == nil {
			s.keys, s.fetchedAt = keys, now
		}
		close(s.pending)
		s.pending = nil
	}()
	keys, err = s.request(ctx)
}

func (s *signingKeys) request(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	var configuration struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := s.get(ctx, s.configuration, &configuration); err != nil {
		return nil, fmt.Errorf("OpenID configuration: %w", err)
	}
	if u, err := url.Parse(configuration.KeysURL); err != nil || u.Host == "" || u.User != nil ||
		u.Scheme != "https" && (u.Scheme != "http" || !isTestHost(u.Hostname())) {
		return nil, fmt.Errorf("OpenID configuration: %w: its jwks_uri is not an https URL", ErrMalformed)
	}
	var set struct {
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := s.get(ctx, configuration.KeysURL, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys[:min(len(set.Keys), maxSigningKeys)] {
		if key := signingKey(k); key != nil {
			keys[k.KID] = key
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("key set: %w: there is no RSA key for signatures in it", ErrMalformed)
	}
	return keys, nil
}

// signingKey reads one key of a set; nil if it does not sign tokens, or cannot be
// read, which must not cost the others.
func signingKey(k jwkset.JWKMarshal) *rsa.PublicKey {
	if k.KID == "" || k.USE != "" && k.USE != jwkset.UseSig || k.ALG != "" && k.ALG != jwkset.AlgRS256 {
		return nil
	}
	// Its certificates are left out: the set came by TLS from the login service.
	jwk, err := jwkset.NewJWKFromMarshal(jwkset.JWKMarshal{KTY: k.KTY, KID: k.KID, N: k.N, E: k.E}, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil
	}
	key, _ := jwk.Key().(*rsa.PublicKey)
	return key
}

// get reads a JSON document. Its errors name no URL but that of the question.
func (s *signingKeys) get(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return fmt.Errorf("the login service answers with status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSigningKeysBody+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxSigningKeysBody:
		return fmt.Errorf("%w: the answer is longer than %d bytes", ErrMalformed, maxSigningKeysBody)
	case json.Unmarshal(text, into) != nil:
		return fmt.Errorf("%w: the answer is not the JSON that was asked for", ErrMalformed)
	}
	return nil
}
