package cloudlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/internal/tokens"
	"github.com/presencebridge/presencebridge/presence"
)

// CredentialOptions are the settings of a [Credential]; the zero value of each
// field is its default.
type CredentialOptions struct {
	// Region and BaseURL say where the authentication service is, as in
	// [Options]. Default: the global platform.
	Region  Region
	BaseURL func(service string) string
	// HTTPClient sends the requests, as in [Options]. Default: a client on
	// [http.DefaultTransport].
	HTTPClient *http.Client
	// AttemptTimeout bounds one request. Default: 20 seconds.
	AttemptTimeout time.Duration
	// Logger takes what is not returned as an error. Default: discards.
	Logger *slog.Logger
	// Application and ApplicationVersion are as in [Options].
	Application, ApplicationVersion string
	// Early is how long before its end a token is replaced. Default: 2 minutes,
	// or a quarter of the token's life if that is shorter.
	Early time.Duration
	// RefreshTokenField is the form field of a refresh token. The default is
	// assumed: Mitel's forum says refresh_token, an older client sends "token".
	// Default: "refresh_token".
	RefreshTokenField string
	// Rotated, if set, is called with each new refresh token before the access
	// token that came with it is handed out, so that it can be stored. If it
	// fails, Token fails too, and the next Token calls Rotated again. It must
	// not call Token. Default: new refresh tokens live in memory only.
	Rotated func(ctx context.Context, refreshToken presence.Secret) error
}

// Credential obtains access tokens from CloudLink's token service and keeps
// them as long as the service says (expires_in: an account can set its own
// lifetimes). However many callers wait for a token, one request is made.
//
// After a failure the service is not asked again for a while, from one second
// to one minute and at least as long as it asked for; until then Token returns
// the same error. CloudLink may lock an account whose application keeps asking.
type Credential struct {
	cache   *tokens.Source
	http    *http.Client
	at      *url.URL
	app     string
	field   string
	early   time.Duration
	rotated func(context.Context, presence.Secret) error
	log     *slog.Logger

	// first obtains a grant without a refresh token; nil where there is no way.
	first func() url.Values
	// once: first works a single time, as an authorization code does.
	once bool

	// The fields below belong to fetch, which is never called twice at a time;
	// the mutex is for its successive goroutines.
	mu      sync.Mutex
	refresh presence.Secret
	// unsaved is a grant whose refresh token Rotated did not take yet.
	unsaved *oauth2.Token
	pauses  *backoff.ExponentialBackOff
	retryAt time.Time
	failure error
}

// NewClientCredential returns the credential of an application's own client
// (grant client_credentials). It is what Mitel recommends for a service: one
// client per account, made through the Admin API with the least role that does,
// type APP.
func NewClientCredential(accountID, clientID string, secret presence.Secret, opts *CredentialOptions) (*Credential, error) {
	return newCredential(opts, func() url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "account_id": {accountID}, "client_id": {clientID}, "client_secret": {secret.Reveal()}}
	}, false, presence.Secret{}, required{"account id", accountID}, required{"client id", clientID}, required{"client secret", secret.Reveal()})
}

// NewPasswordCredential returns the credential of a CloudLink user (grant
// password). The refresh token is used until it is refused, then the password
// again. accountID may be the short account number or the GUID.
func NewPasswordCredential(accountID, username string, password presence.Secret, opts *CredentialOptions) (*Credential, error) {
	return newCredential(opts, func() url.Values {
		return url.Values{"grant_type": {"password"}, "account_id": {accountID}, "username": {username}, "password": {password.Reveal()}}
	}, false, presence.Secret{}, required{"account id", accountID}, required{"user name", username}, required{"password", password.Reveal()})
}

// NewAuthorizationCodeCredential returns the credential of a user who has
// signed in at CloudLink's page for the client clientID (grant
// authorization_code). The code works once; after that the refresh token is
// used, and when that is refused somebody has to sign in again: Token then fails
// with [ErrGrantRefused].
func NewAuthorizationCodeCredential(clientID string, code presence.Secret, opts *CredentialOptions) (*Credential, error) {
	return newCredential(opts, func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code.Reveal()}}
	}, true, presence.Secret{}, required{"client id", clientID}, required{"code", code.Reveal()})
}

// NewRefreshCredential returns the credential of somebody who has signed in
// before: refreshToken is what CredentialOptions.Rotated was given last. Token
// fails with [ErrGrantRefused] once it is refused.
func NewRefreshCredential(refreshToken presence.Secret, opts *CredentialOptions) (*Credential, error) {
	return newCredential(opts, nil, false, refreshToken, required{"refresh token", refreshToken.Reveal()})
}

// required is an argument that must not be empty.
type required struct{ what, value string }

const defaultEarly = 2 * time.Minute

func newCredential(opts *CredentialOptions, first func() url.Values, once bool, refresh presence.Secret, arguments ...required) (*Credential, error) {
	var o CredentialOptions
	if opts != nil {
		o = *opts
	}
	var faults []error
	for _, a := range arguments {
		if a.value == "" {
			faults = append(faults, fmt.Errorf("cloudlink: the %s is empty", a.what))
		}
	}
	bases, err := Platform{Region: o.Region, BaseURL: o.BaseURL}.bases(ServiceAuthentication)
	faults = append(faults, err)
	app, err := appHeader(o.Application, o.ApplicationVersion)
	faults = append(faults, err)
	if o.Early < 0 || o.AttemptTimeout < 0 {
		faults = append(faults, errors.New("cloudlink: Early and AttemptTimeout must not be negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c := &Credential{
		at: bases[ServiceAuthentication].JoinPath("token"), app: app, field: o.RefreshTokenField, early: o.Early,
		rotated: o.Rotated, log: o.Logger, first: first, once: once, refresh: refresh,
		pauses: backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second), backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0)),
	}
	if c.field == "" {
		c.field = assumedRefreshField
	}
	if c.early == 0 {
		c.early = defaultEarly
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if o.AttemptTimeout == 0 {
		o.AttemptTimeout = 20 * time.Second
	}
	c.http = newHTTPClient(o.HTTPClient, o.AttemptTimeout, throttle.Options{})
	// The margin before the end is taken off a token's life when it arrives, so
	// that a life shorter than the margin does not mean a request per use.
	c.cache = tokens.New(0, c.fetch)
	return c, nil
}

// Token returns a token that is valid now. Its Expiry is when it is replaced,
// which is a little before its end.
//
// Errors: [ErrGrantRefused] (also presence.ErrUnauthorized) needs somebody to
// act; presence.ErrUnavailable and presence.ErrThrottled pass.
func (c *Credential) Token(ctx context.Context) (*oauth2.Token, error) { return c.cache.Token(ctx) }

// Invalidate makes the next Token obtain another token if accessToken is the
// one that is kept.
func (c *Credential) Invalidate(accessToken string) { c.cache.Invalidate(accessToken) }

// fetch obtains a token unless the last failure is too recent.
func (c *Credential) fetch(ctx context.Context) (*oauth2.Token, error) {
	c.mu.Lock()
	retryAt, failure := c.retryAt, c.failure
	c.mu.Unlock()
	if failure != nil && time.Now().Before(retryAt) {
		return nil, failure
	}
	token, err := c.obtain(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
	if err != nil {
		wait := c.pauses.NextBackOff()
		if asked, ok := presence.RetryAfter(err); ok {
			wait = max(wait, asked)
		}
		c.retryAt = time.Now().Add(wait)
		return nil, err
	}
	c.pauses.Reset()
	return token, nil
}

// obtain takes the cheapest way to a token: the one that could not be saved,
// the refresh token, the first grant.
func (c *Credential) obtain(ctx context.Context) (*oauth2.Token, error) {
	c.mu.Lock()
	unsaved, refresh, first := c.unsaved, c.refresh, c.first
	c.mu.Unlock()
	if unsaved != nil {
		if err := c.save(ctx, unsaved); err != nil {
			return nil, err
		}
		if unsaved.Expiry.IsZero() || time.Now().Before(unsaved.Expiry) {
			return unsaved, nil
		}
		// It ended while it could not be saved; its refresh token is good.
	}
	if !refresh.IsZero() {
		token, err := c.grant(ctx, url.Values{"grant_type": {"refresh_token"}, c.field: {refresh.Reveal()}})
		if err == nil {
			return token, c.keep(ctx, token)
		}
		if first == nil || !errors.Is(err, ErrGrantRefused) {
			return nil, err
		}
		c.log.InfoContext(ctx, "CloudLink refused the refresh token: signing in again")
		c.mu.Lock()
		c.refresh = presence.Secret{}
		c.mu.Unlock()
	}
	if first == nil {
		return nil, &Error{Operation: "get token", kind: ErrGrantRefused, cause: "the code was used and no refresh token is left"}
	}
	token, err := c.grant(ctx, first())
	if err != nil {
		return nil, err
	}
	return token, c.keep(ctx, token)
}

// keep notes the refresh token of a grant and has it saved.
func (c *Credential) keep(ctx context.Context, token *oauth2.Token) error {
	c.mu.Lock()
	if c.once {
		c.first = nil
	}
	next := presence.NewSecret(token.RefreshToken)
	fresh := !next.IsZero() && !next.Equal(c.refresh)
	if fresh {
		c.refresh = next
		if c.rotated != nil {
			c.unsaved = token
		}
	}
	c.mu.Unlock()
	if !fresh || c.rotated == nil {
		return nil
	}
	return c.save(ctx, token)
}

func (c *Credential) save(ctx context.Context, token *oauth2.Token) error {
	if err := c.rotated(ctx, presence.NewSecret(token.RefreshToken)); err != nil {
		return &Error{Operation: "save refresh token", Err: err, kind: errNotSaved, cause: "CredentialOptions.Rotated failed"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsaved = nil
	return nil
}

// tokenAnswer is the answer of the token service.
type tokenAnswer struct {
	AccessToken  text   `json:"access_token"`
	RefreshToken text   `json:"refresh_token"`
	TokenType    text   `json:"token_type"`
	ExpiresIn    number `json:"expires_in"`
}

func parseToken(body []byte) (tokenAnswer, error) {
	var a tokenAnswer
	if err := decodeObject(body, &a); err != nil {
		return a, err
	}
	if a.AccessToken == "" || strings.ContainsFunc(string(a.AccessToken), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return a, errors.New("no usable access_token")
	}
	return a, nil
}

// grant asks the token service. It is a form, as Mitel's forum shows; the
// official samples send JSON as well, and both are accepted.
func (c *Credential) grant(ctx context.Context, form url.Values) (*oauth2.Token, error) {
	const operation = "get token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, invalid(operation, "the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var secrets []string
	for _, field := range []string{"client_secret", "password", "code", c.field} {
		secrets = append(secrets, form.Get(field))
	}
	var answer tokenAnswer
	sent := time.Now()
	_, err = exchange(c.http, req, c.app, operation, secrets, func(body []byte) (err error) {
		answer, err = parseToken(body)
		return err
	})
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.kind == nil {
			switch e.StatusCode {
			case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity:
				e.kind = ErrGrantRefused
			}
		}
		return nil, err
	}
	token := &oauth2.Token{AccessToken: string(answer.AccessToken), RefreshToken: string(answer.RefreshToken), TokenType: "Bearer"}
	if answer.ExpiresIn > 0 {
		// A life that no Duration can hold is cut to a year.
		seconds := min(int64(answer.ExpiresIn), 366*24*60*60)
		life := time.Duration(seconds) * time.Second
		token.ExpiresIn = seconds
		token.Expiry = sent.Add(life - min(c.early, life/4))
	}
	return token, nil
}
