package verify

import (
	"context"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// Entra is what the checks ask Microsoft Entra and Microsoft Graph about the
// application. Package tenant has one over package graph. Its functions are
// called concurrently. Their errors match the sentinels of package presence, and
// one that has a method Remedy() string says with it what to do.
type Entra interface {
	// SignIn obtains an application token now, though an earlier one may still be
	// good, and tells what it holds. Its error also matches [ErrTenantRefused] or
	// [ErrCredentialRefused] where one of these is the cause.
	SignIn(ctx context.Context) (SignIn, error)
	// Registration reads the application's registration. It needs
	// Application.Read.All: without it the error matches presence.ErrForbidden.
	Registration(ctx context.Context) (Registration, error)
	// GrantedPermissions returns the names of the application permissions that an
	// administrator has consented to. It needs Application.Read.All too.
	GrantedPermissions(ctx context.Context) ([]string, error)
	// Permissions returns the permissions that the integration asks for. It sends
	// nothing.
	Permissions() []Permission
}

// SignIn is what an application token holds.
type SignIn struct {
	// Roles are the application permissions in the token, by name; RolesKnown is
	// false where the token cannot be read.
	Roles      []string
	RolesKnown bool
	// ExpiresAt is its end.
	ExpiresAt time.Time
}

// Registration is the registration of the application in Entra.
type Registration struct {
	// Name is the display name, SignInAudience whose accounts may sign in.
	Name, SignInAudience string
	// ClientSecrets are those that it has, expired ones too.
	ClientSecrets []monitor.ClientSecret
	// WebRedirectURIs, SPARedirectURIs and PublicClientRedirectURIs are its
	// redirect URIs by platform.
	WebRedirectURIs, SPARedirectURIs, PublicClientRedirectURIs []string
	// ApplicationPermissions and DelegatedPermissions are those of Microsoft Graph
	// that it declares, by name as far as they are among [Entra.Permissions].
	ApplicationPermissions, DelegatedPermissions []string
	// UnknownDelegated is how many of the delegated ones have an id in place of a
	// name, which is not known. One that is [Permission].Unidentified may be among them.
	UnknownDelegated int
}

// tells reports whether the registration tells of a delegated permission whether it
// declares it.
func (r *Registration) tells(p Permission) bool {
	return has(r.DelegatedPermissions, p.Name) || !p.Unidentified || r.UnknownDelegated == 0
}

// Permission is a permission of Microsoft Graph that the integration asks for.
type Permission struct {
	// Name is such as Presence.ReadWrite.All, Purpose what it is needed for.
	Name, Purpose string
	// Delegated: it belongs to a signed-in user; otherwise to the application.
	Delegated bool
	// Required: without it something does not work. The others are recommended.
	Required bool
	// AdminConsent: only an administrator can consent to it.
	AdminConsent bool
	// Unidentified: its id is not known, by which a registration declares it.
	Unidentified bool
}

// CloudLink is what the checks ask CloudLink. A client of package cloudlink is
// one.
type CloudLink interface {
	// WhoAmI tells whose the credentials are, by a token that CloudLink accepts now.
	WhoAmI(ctx context.Context) (cloudlink.Identity, error)
	// Account reads the account of the configuration.
	Account(ctx context.Context) (cloudlink.Account, error)
}

// Bridge is what the checks ask the engine. A [presencebridge.Bridge] is one. Its
// functions do not block.
type Bridge interface {
	Roster() presence.Roster
	Overflow() []string
	Health() []presencebridge.Health
	Direction() presencebridge.Direction
}

// Monitors is the pool of presence monitors. A [monitor.Pool] is one.
type Monitors interface {
	// Snapshot tells what is known of all monitors. It does not block.
	Snapshot() monitor.Snapshot
	// Resync asks Entra about one monitor now.
	Resync(ctx context.Context, principalName string) (monitor.MonitorStatus, error)
}

// Watcher keeps CloudLink's subscriptions. A [cloudlink.Watcher] is one.
type Watcher interface {
	Snapshot() cloudlink.WatcherSnapshot
}

// MiCollab tells the facts of the MiCollab server. No published interface does,
// so whoever embeds the bridge does, from a configuration if need be.
type MiCollab interface {
	MiCollab(ctx context.Context) (MiCollabFacts, error)
}

// MiCollabFacts are what is known of the MiCollab server. It is a [MiCollab].
type MiCollabFacts struct {
	micollab.Server
	// Source says where they come from, for people: "the file bridge.yaml".
	Source string
}

// Gateway tells the facts of the CloudLink gateway. No published interface does.
type Gateway interface {
	Gateway(ctx context.Context) (GatewayFacts, error)
}

// GatewayFacts are what is known of the CloudLink gateway. It is a [Gateway].
type GatewayFacts struct {
	// Integration: the gateway integration is enabled for the telephone systems.
	Integration bool
	// PBX are the telephone systems that are connected to it.
	PBX []presence.PBX
	// Source says where the facts come from, for people.
	Source string
}

// MiCollab returns the facts.
func (m MiCollabFacts) MiCollab(context.Context) (MiCollabFacts, error) { return m, nil }

// Gateway returns the facts.
func (g GatewayFacts) Gateway(context.Context) (GatewayFacts, error) { return g, nil }

// Sessions is what the end-to-end probe needs of Microsoft Graph. A client of
// package graph is one.
type Sessions interface {
	// Presence reads one user's presence.
	Presence(ctx context.Context, userID string) (presence.Presence, error)
	// SetPresence opens a presence session of the application for the user, and
	// ClearPresence ends it.
	SetPresence(ctx context.Context, userID string, session presence.Session, lifetime time.Duration) error
	ClearPresence(ctx context.Context, userID string) error
}

// Service is a service whose clock is compared with ours.
type Service struct {
	// Name is for people.
	Name string
	// URL is where it answers requests. What it answers does not matter: every
	// answer has a date.
	URL string
}

// Explainer tells what the engine holds of a user. A [presencebridge.Bridge] is
// one.
type Explainer interface {
	// Explain names the user by Entra object id, e-mail address or CloudLink
	// principal id. The error for somebody who is not in the roster matches
	// [presencebridge.ErrUnknownUser]. It does not block.
	Explain(user string) (*presencebridge.Explanation, error)
}
