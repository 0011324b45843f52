package monitor

import (
	"context"
	"net/url"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Application is the Entra application for which monitors sign in.
type Application struct {
	// TenantID is the directory (tenant) ID, a GUID, or one of the tenant's domain
	// names. Upper and lower case do not matter.
	TenantID string `json:"tenantId"`
	// ClientID is the application (client) ID, a GUID in any case.
	ClientID string `json:"clientId"`
}

// Credentials are what a monitor is given: its account, and a client secret of the
// application that is this monitor's own.
type Credentials struct {
	// Application is where the account signs in.
	Application Application
	// PrincipalName is the account's user principal name.
	PrincipalName string
	// ClientSecret is the secret's value, not its id.
	ClientSecret presence.Secret
}

// Entra is what a [Pool] needs of Microsoft Entra and Microsoft Graph. The
// package entra, below this one, has it.
//
// Its functions are called concurrently and may block until ctx ends. Errors are
// matched with errors.Is against the sentinels of package presence; those for
// refusals of Entra become the state of the monitor. An error with a method
// Remedy() string says what to do.
type Entra interface {
	// BeginSignIn returns the URL where the account signs in and consents, by the
	// authorization code flow with PKCE. It sends nothing.
	BeginSignIn(c Credentials, state string) (SignIn, error)
	// Redeem ends a sign-in with what came to the redirect URI, a refusal
	// included.
	Redeem(ctx context.Context, c Credentials, callback url.Values, verifier presence.Secret) (Grant, error)
	// Inspect reads what the directory says of the account and of the
	// application, as the application itself. An error means that the client
	// secret was refused or that Entra did not answer; what else could not be
	// read has its error in the Inspection.
	Inspect(ctx context.Context, c Credentials) (Inspection, error)
	// Open returns the account as it acts by the refresh tokens. It sends nothing.
	Open(c Credentials, tokens RefreshTokens) (Account, error)
}

// SignIn is a sign-in that has begun.
type SignIn struct {
	// URL is to be opened by the one who signs in.
	URL string
	// Verifier proves to Redeem that the sign-in began here.
	Verifier presence.Secret
}

// Grant is what an account has granted, as its newest tokens say.
type Grant struct {
	// RefreshToken is the grant itself.
	RefreshToken presence.Secret
	// ObjectID, TenantID and PrincipalName say who has signed in. They may be
	// empty after a refresh, which need not bring them.
	ObjectID, TenantID, PrincipalName string
	// Scopes are the delegated permissions that were granted.
	Scopes []string
	// Missing are permissions without which a monitor cannot work, and Unneeded
	// such as were asked for, not granted, and can be done without.
	Missing, Unneeded []string
	// GlobalAdministrator is nil where the token does not tell.
	GlobalAdministrator *bool
}

// Inspection is what the directory says.
type Inspection struct {
	// Account is the monitor's account. AccountErr says why it could not be
	// read; it matches presence.ErrNotFound where there is none.
	Account    presence.TeamsUser
	AccountErr error
	// ClientSecrets are those of the application. ClientSecretsErr says why they
	// could not be read, as without the permission Application.Read.All.
	ClientSecrets    []ClientSecret
	ClientSecretsErr error
}

// ClientSecret is one client secret of an application, as far as Entra shows it.
type ClientSecret struct {
	// KeyID is what the portal calls the Secret ID; it is not secret.
	KeyID string
	// Description is what whoever created it wrote.
	Description string
	// Hint is the first three characters of its value; empty where Entra has none.
	Hint string
	// StartsAt and ExpiresAt bound its life; zero where they could not be read.
	StartsAt, ExpiresAt time.Time
}

// RefreshTokens are where an [Account] finds its refresh token, and keeps the
// next. It never calls two of these functions at a time.
type RefreshTokens interface {
	// Current returns the newest token, the zero Secret if there is none. It fails
	// if the account must not be used now, because another process keeps it. Its
	// ctx ends as soon as the use of the token has ended, however it went, and has
	// a deadline: nobody else uses the account's token before.
	Current(ctx context.Context) (presence.Secret, error)
	// Rotated keeps the token that takes the place of used, which Current returned
	// before. It is called before anything is done with what came with the token.
	// If it fails, so does the request for which the token was used.
	Rotated(ctx context.Context, used, next presence.Secret) error
}

// Account acts as a monitor's account. Its functions are called concurrently.
//
// One that has a method Wait(ctx) error is asked to wait until none of its requests
// for a token is under way, before the account is handed to another process.
type Account interface {
	Subscriptions
	// Refresh uses the refresh token now, which keeps it alive for another 90
	// days (learn.microsoft.com/entra/identity-platform/refresh-tokens), and
	// returns what the account grants. Its RefreshToken is empty. A use of the
	// token that is under way counts as now.
	Refresh(ctx context.Context) (Grant, error)
}
