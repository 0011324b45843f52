package entra

import (
	"context"
	"errors"
	"sync"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// Inspect reads what the directory says of the account and of the application's
// client secrets, as the application, by the monitor's own client secret. It
// signs in anew each time, so it also tells whether that secret is good now: an
// error is a [*graph.Error] of the token endpoint, such as
// presence.ErrInvalidSecret and presence.ErrSecretExpired, or of credentials that
// cannot be right.
//
// It needs the application permissions User.Read.All and Application.Read.All:
// what cannot be read for want of one has an error that names it.
func (e *Entra) Inspect(ctx context.Context, c monitor.Credentials) (monitor.Inspection, error) {
	credential, err := graph.NewSecretCredential(c.Application.TenantID, c.Application.ClientID, c.ClientSecret, &graph.CredentialOptions{
		Cloud: e.options.Cloud, HTTPClient: e.options.HTTPClient,
	})
	if err := errors.Join(checkPrincipalName(c), err); err != nil {
		return monitor.Inspection{}, err
	}
	client, err := e.client(c.Application, credential)
	if err != nil {
		return monitor.Inspection{}, err
	}
	if _, err := credential.Token(ctx); err != nil {
		return monitor.Inspection{}, err
	}
	var (
		found monitor.Inspection
		reads sync.WaitGroup
	)
	reads.Go(func() { found.Account, found.AccountErr = client.User(ctx, c.PrincipalName) })
	reads.Go(func() {
		var app graph.Application
		app, found.ClientSecretsErr = client.Application(ctx)
		for _, s := range app.ClientSecrets {
			found.ClientSecrets = append(found.ClientSecrets, monitor.ClientSecret(s))
		}
	})
	reads.Wait()
	return found, nil
}

// Open returns the account as it acts by the refresh tokens. An error of
// [monitor.RefreshTokens] is the error of the request that needed the token, by
// errors.Is and errors.As; where Current returns no token, it is
// presence.ErrSignInRequired. It returns all faults of the credentials at once,
// and sends nothing.
func (e *Entra) Open(c monitor.Credentials, tokens monitor.RefreshTokens) (monitor.Account, error) {
	if tokens == nil {
		return nil, errors.New("entra: an account needs its refresh tokens: pass what keeps them")
	}
	credential, err := graph.NewDelegatedCredential(c.Application.TenantID, c.Application.ClientID, c.ClientSecret, presence.Secret{}, &graph.DelegatedOptions{
		Cloud: e.options.Cloud, HTTPClient: e.options.HTTPClient, GlobalAdministrator: e.options.GlobalAdministrator,
		Current: tokens.Current, Rotated: tokens.Rotated,
	})
	if err := errors.Join(checkPrincipalName(c), err); err != nil {
		return nil, err
	}
	client, err := e.client(c.Application, credential)
	if err != nil {
		return nil, err
	}
	return &account{client, e, credential}, nil
}

// account is an account that has signed in.
type account struct {
	subscriptions
	entra      *Entra
	credential *graph.Credential
}

// subscriptions lends the account all of its functions but two; the interface
// itself, embedded, would have the name of one of them.
type subscriptions interface {
	monitor.Subscriptions
	monitor.SubscriptionReader
}

// Refresh uses the refresh token now. A request for a token that is under way
// counts.
func (a *account) Refresh(ctx context.Context) (monitor.Grant, error) {
	g, err := a.credential.Refresh(ctx)
	if err != nil {
		return monitor.Grant{}, err
	}
	// The scopes of OpenID Connect have done their work when somebody has signed
	// in; a refresh need not list them.
	return a.entra.grant(g, []string{"openid", "profile", "email"}), nil
}

// Wait returns when no request for a token is under way any more, or ctx has ended.
func (a *account) Wait(ctx context.Context) error { return a.credential.Wait(ctx) }
