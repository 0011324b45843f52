package graph

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/internal/tokens"
	"github.com/presencebridge/presencebridge/presence"
)

// TokenSource gives access tokens for Microsoft Graph. It is called before each
// request, concurrently, so it must keep a token for as long as it is valid; it
// may block while it obtains one, until ctx ends.
//
// A source may also have a method Invalidate(accessToken string), as
// [Credential] has. Then a request that was answered 401, which has had no
// effect, is sent once more, reads and writes alike, with the next token; tokens
// are given up in this way at most once a minute.
type TokenSource interface {
	Token(ctx context.Context) (*oauth2.Token, error)
}

type invalidator interface{ Invalidate(accessToken string) }

// CredentialOptions are the settings of a [Credential]. The zero value of each
// field is its default.
type CredentialOptions struct {
	// Cloud is where to sign in. Default: [Global].
	Cloud Cloud
	// HTTPClient lends its Transport and its Timeout, which bounds each attempt.
	// Default: [http.DefaultTransport] and 30 seconds.
	HTTPClient *http.Client
	// TokenRoles says of an access token which application permissions it holds,
	// for [Grant]; nil where it does not tell. Default: [TokenRoles].
	TokenRoles func(accessToken presence.Secret) []string
}

// Credential obtains access tokens from Entra and keeps each until shortly
// before its end. Callers who wait for a token wait for the same request. It is
// safe for concurrent use.
type Credential struct {
	source   *tokens.Source
	endpoint *endpoint
	readers  readers
}

// early is how long before its end a token is replaced: longer than a request
// with all its waiting is likely to take.
const early = 5 * time.Minute

// Token returns a token that is valid for the next minutes. Errors match the
// sentinels of this package: see [Error].
func (c *Credential) Token(ctx context.Context) (*oauth2.Token, error) {
	token, err := c.source.Token(ctx)
	if err != nil {
		return nil, tokenError(tokenOperation, err)
	}
	return token, nil
}

// Wait returns when no request for a token is under way any more, or ctx has
// ended. A request goes on when the caller that caused it has gone, because a
// rotated refresh token must not be lost: wait before another process may use the
// account, or before the store of refresh tokens is closed.
func (c *Credential) Wait(ctx context.Context) error { return c.source.Wait(ctx) }

// Refresh obtains a token now, though the last one may still be good, and returns
// what it grants: scopes, end, and who has it, as far as the tokens tell. The
// RefreshToken of a signed-in user stays with the credential; to use it keeps it
// alive for another 90 days
// (learn.microsoft.com/entra/identity-platform/refresh-tokens). Two requests
// never overlap: one that is under way, of Refresh or of Token, serves all.
//
// A credential of the application itself has no Scopes but Roles, those that are
// in the token; for those that are granted see [Client.GrantedRoles]. Since Entra
// is asked each time, success proves that the secret or certificate is accepted now.
func (c *Credential) Refresh(ctx context.Context) (*Grant, error) {
	token, err := c.source.Refresh(ctx)
	if err != nil {
		return nil, tokenError(tokenOperation, err)
	}
	return c.endpoint.grant(token, c.readers)
}

// Invalidate gives up the token with this value: the service has refused it
// before its end. A newer token stays.
func (c *Credential) Invalidate(accessToken string) { c.source.Invalidate(accessToken) }

const tokenOperation = "token"

// NewSecretCredential returns a credential of the application itself, which
// proves itself by a client secret and has the application permissions that were
// consented to (OAuth 2.0 client credentials). It returns all faults of its
// arguments at once, and sends nothing.
func NewSecretCredential(tenantID, clientID string, secret presence.Secret, opts *CredentialOptions) (*Credential, error) {
	e, err := newEndpoint(tenantID, clientID, opts)
	if err := errors.Join(err, checkSecret(secret)); err != nil {
		return nil, err
	}
	return newCredential(e, readers{roles: tokenRoles(opts)}, func(ctx context.Context) (*oauth2.Token, error) {
		return e.application(ctx, secret, nil)
	}), nil
}

// tokenRoles returns the reader of roles that opts, which may be nil, name.
func tokenRoles(opts *CredentialOptions) func(presence.Secret) []string {
	if opts == nil {
		return nil
	}
	return opts.TokenRoles
}

func newCredential(e *endpoint, r readers, fetch func(context.Context) (*oauth2.Token, error)) *Credential {
	return &Credential{tokens.New(early, fetch), e, r.withDefaults()}
}

func checkSecret(secret presence.Secret) error {
	if secret.IsZero() {
		return errors.New("graph: the client secret is empty: copy its Value (not its Secret ID) when it is created in Entra, where it is shown once")
	}
	return nil
}

// NewCertificateCredential returns a credential of the application itself, which
// proves itself by a certificate that is registered with the application: key
// signs an assertion, by PS256, for each token. The key must be RSA and belong to
// the certificate; it may live in hardware. It returns all faults of its
// arguments at once, and sends nothing.
func NewCertificateCredential(tenantID, clientID string, certificate *x509.Certificate, key crypto.Signer, opts *CredentialOptions) (*Credential, error) {
	e, err := newEndpoint(tenantID, clientID, opts)
	if err := errors.Join(err, checkCertificate(certificate, key)); err != nil {
		return nil, err
	}
	return newCredential(e, readers{roles: tokenRoles(opts)}, func(ctx context.Context) (*oauth2.Token, error) {
		assertion, err := e.assertion(certificate, key)
		if err != nil {
			return nil, err
		}
		return e.application(ctx, presence.Secret{}, url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		})
	}), nil
}

func checkCertificate(certificate *x509.Certificate, key crypto.Signer) error {
	if certificate == nil || key == nil {
		return errors.New("graph: a certificate and its private key are required")
	}
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("graph: the key is a %T: Entra takes RSA keys", key.Public())
	}
	if !public.Equal(certificate.PublicKey) {
		return errors.New("graph: the private key does not belong to the certificate")
	}
	return nil
}

// endpoint is the token endpoint for one application in one tenant.
type endpoint struct {
	tenantID, clientID string
	cloud              Cloud
	http               *http.Client
}

func newEndpoint(tenantID, clientID string, opts *CredentialOptions) (*endpoint, error) {
	var o CredentialOptions
	if opts != nil {
		o = *opts
	}
	cloud, err := o.Cloud.normalize()
	if err := errors.Join(checkTenant(tenantID), checkClientID(clientID), err); err != nil {
		return nil, err
	}
	return &endpoint{tenantID, clientID, cloud, newHTTPClient(o.HTTPClient, throttle.Options{})}, nil
}

func (e *endpoint) tokenURL() string {
	return e.cloud.endpoint(e.tenantID, "/oauth2/v2.0/token")
}

// application asks for a token of the application itself.
func (e *endpoint) application(ctx context.Context, secret presence.Secret, params url.Values) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID:       e.clientID,
		ClientSecret:   secret.Reveal(),
		TokenURL:       e.tokenURL(),
		Scopes:         []string{e.cloud.defaultScope()},
		EndpointParams: params,
		AuthStyle:      oauth2.AuthStyleInParams,
	}
	// To ask again for such a token changes nothing, so a passing failure is
	// repeated like that of a read.
	token, err := config.Token(e.context(throttle.MarkRead(ctx)))
	return token, fetchError(err)
}

// refresh asks for a token of a user. The old refresh token stays valid when it
// is used, so this too may be repeated.
func (e *endpoint) refresh(ctx context.Context, secret, refreshToken presence.Secret) (*oauth2.Token, error) {
	expired := &oauth2.Token{RefreshToken: refreshToken.Reveal()}
	token, err := e.config(secret, "", nil).TokenSource(e.context(throttle.MarkRead(ctx)), expired).Token()
	return token, fetchError(err)
}

func (e *endpoint) config(secret presence.Secret, redirectURL string, scopes []string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     e.clientID,
		ClientSecret: secret.Reveal(),
		RedirectURL:  redirectURL,
		Scopes:       scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:   e.cloud.endpoint(e.tenantID, "/oauth2/v2.0/authorize"),
			TokenURL:  e.tokenURL(),
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

func (e *endpoint) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, e.http)
}

// fetchError returns the error of a request to the token endpoint. What package
// oauth2 says of an answer that it cannot read may quote the answer.
func fetchError(err error) error {
	var (
		refused *oauth2.RetrieveError
		sent    *url.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused), errors.As(err, &sent):
		return tokenError(tokenOperation, err)
	default:
		return &Error{Operation: tokenOperation, kind: ErrMalformed}
	}
}

// assertionLifetime is how long one assertion may be used; it is used at once.
const assertionLifetime = 10 * time.Minute

// assertion returns a signed statement that its bearer is the application
// (learn.microsoft.com/entra/identity-platform/certificate-credentials).
func (e *endpoint) assertion(certificate *x509.Certificate, key crypto.Signer) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.RegisteredClaims{
		Audience:  jwt.ClaimStrings{e.tokenURL()},
		Issuer:    e.clientID,
		Subject:   e.clientID,
		ID:        uuid.NewString(),
		NotBefore: jwt.NewNumericDate(now),
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(assertionLifetime)),
	})
	thumbprint := sha256.Sum256(certificate.Raw)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	text, err := token.SigningString()
	if err != nil {
		return "", ownFault("sign the client assertion", err)
	}
	// Package jwt signs with keys in memory only; a crypto.Signer may be hardware.
	digest := sha256.Sum256([]byte(text))
	signature, err := key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if err != nil {
		return "", ownFault("sign the client assertion", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
