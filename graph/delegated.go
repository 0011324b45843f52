package graph

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

// DelegatedOptions are the settings of a delegated [Credential]. The zero value
// of each field is its default.
type DelegatedOptions struct {
	// Cloud is where to sign in. Default: [Global].
	Cloud Cloud
	// HTTPClient lends its Transport and its Timeout, which bounds each attempt.
	// Default: [http.DefaultTransport] and 30 seconds.
	HTTPClient *http.Client
	// Current returns the refresh token to use, and is asked before each use: for
	// when another process may have stored a newer one. It may refuse, because
	// this process must not use the account now; the request for a token then
	// fails with an error that its own can be found in, by errors.Is and
	// errors.As. The zero Secret means that there is none, which is
	// [presence.ErrSignInRequired].
	//
	// For its ctx and its calls the same holds as for Rotated. Default: the
	// credential remembers the newest refresh token itself.
	Current func(ctx context.Context) (presence.Secret, error)
	// Rotated takes each new refresh token, to store it, before the access token
	// that came with it is handed out. Entra gives a new one at every use, good
	// for 90 days, so one that is not stored costs a sign-in after the next
	// start. used is the one whose place next takes: what Current returned, or
	// else what Rotated took last, and at first what the credential was made
	// with. A store that holds another one has got it from a newer sign-in or
	// another process, and should keep that.
	//
	// If Rotated fails, so does the request for a token. The next request begins
	// with Current, or without it with the new refresh token, and calls Rotated
	// again.
	//
	// Its ctx is not that of a caller of Token and ends within 30 seconds. Calls
	// of Current and Rotated never overlap. Default: refresh tokens live in
	// memory only.
	Rotated func(ctx context.Context, used, next presence.Secret) error
	// GlobalAdministrator says of an access token whether its account is a global
	// administrator, for [Grant]; nil where it does not tell. Default:
	// [GlobalAdministrator].
	GlobalAdministrator func(accessToken presence.Secret) *bool
}

// NewDelegatedCredential returns a credential of a signed-in user, from the
// refresh token that [Authorizer.Exchange] returned. With
// [DelegatedOptions.Current] that argument is not used and may be zero. When the
// grant ends or is revoked, Token fails with an error that matches
// [presence.ErrSignInRequired]. It returns all faults of its arguments at once,
// and sends nothing.
func NewDelegatedCredential(tenantID, clientID string, secret, refreshToken presence.Secret, opts *DelegatedOptions) (*Credential, error) {
	var o DelegatedOptions
	if opts != nil {
		o = *opts
	}
	e, err := newEndpoint(tenantID, clientID, &CredentialOptions{Cloud: o.Cloud, HTTPClient: o.HTTPClient})
	var missing error
	if refreshToken.IsZero() && o.Current == nil {
		missing = errors.New("graph: the refresh token is empty: sign the account in with an Authorizer, whose Exchange returns one, or set DelegatedOptions.Current")
	}
	if err := errors.Join(err, checkSecret(secret), missing); err != nil {
		return nil, err
	}
	g := &delegatedGrant{endpoint: e, secret: secret}
	if o.Current != nil {
		g.tokens = foreignTokens{o.Current, o.Rotated}
	} else {
		g.tokens = &ownTokens{newest: refreshToken, stored: refreshToken, store: o.Rotated}
	}
	return newCredential(e, readers{administrator: o.GlobalAdministrator}, g.refresh), nil
}

// delegatedGrant uses refresh tokens.
type delegatedGrant struct {
	endpoint *endpoint
	secret   presence.Secret
	tokens   refreshTokens
}

// refreshTokens are where a grant finds its refresh token and keeps the next,
// which is the one that was used where Entra gave no other. Calls never overlap,
// and each sees what the one before it did.
type refreshTokens interface {
	current(ctx context.Context) (presence.Secret, error)
	rotated(ctx context.Context, used, next presence.Secret) error
}

func (g *delegatedGrant) refresh(ctx context.Context) (*oauth2.Token, error) {
	used, err := g.tokens.current(ctx)
	switch {
	case err != nil:
		return nil, ownFault("read the refresh token", err)
	case used.IsZero():
		return nil, &Error{Operation: tokenOperation, kind: errNoRefreshToken}
	}
	token, err := g.endpoint.refresh(ctx, g.secret, used)
	if err != nil {
		return nil, err
	}
	next := presence.NewSecret(token.RefreshToken)
	if next.IsZero() {
		next = used
	}
	if err := g.tokens.rotated(ctx, used, next); err != nil {
		return nil, ownFault("store the new refresh token", err)
	}
	// Nobody else needs the refresh token.
	token.RefreshToken = ""
	return token, nil
}

// foreignTokens are kept by the embedder, and nothing of them here.
type foreignTokens struct {
	newest func(context.Context) (presence.Secret, error)
	store  func(ctx context.Context, used, next presence.Secret) error
}

func (f foreignTokens) current(ctx context.Context) (presence.Secret, error) { return f.newest(ctx) }

func (f foreignTokens) rotated(ctx context.Context, used, next presence.Secret) error {
	if f.store == nil || next.Equal(used) {
		return nil
	}
	return f.store(ctx, used, next)
}

// ownTokens remember the newest refresh token, which may be newer than what
// could be stored.
type ownTokens struct {
	newest, stored presence.Secret
	store          func(ctx context.Context, used, next presence.Secret) error
}

func (o *ownTokens) current(context.Context) (presence.Secret, error) { return o.newest, nil }

func (o *ownTokens) rotated(ctx context.Context, _, next presence.Secret) error {
	o.newest = next
	if o.store == nil || next.Equal(o.stored) {
		return nil
	}
	if err := o.store(ctx, o.stored, next); err != nil {
		return err
	}
	o.stored = next
	return nil
}
