package tenant

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// Options are the settings of a [Tenant]. The zero value of each field is its
// default.
type Options struct {
	// Scopes are the names of the delegated permissions that the sign-ins of
	// presence monitors ask for, as in the options of package entra. Default: those
	// of [graph.DelegatedScopes].
	Scopes []string
}

// Credential signs the application in. A [graph.Credential] of the application
// itself is one.
type Credential interface {
	// Refresh obtains a token from Entra now and returns what it grants, its Roles
	// and its Expiry; Roles are nil where the token cannot be read. It is called
	// concurrently, and errors are those of package graph.
	Refresh(ctx context.Context) (*graph.Grant, error)
}

// Tenant is Microsoft Entra and Microsoft Graph as a system check needs them. It
// is safe for concurrent use.
type Tenant struct {
	client      *graph.Client
	credential  Credential
	permissions []verify.Permission
}

var _ verify.Entra = (*Tenant)(nil)

// New returns a Tenant that looks through client, which must be the bridge's, of
// the application itself, and signs in by credential, from which the client has
// its tokens. It returns all faults of its arguments at once, and sends nothing.
func New(client *graph.Client, credential Credential, opts *Options) (*Tenant, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var faults []error
	if client == nil {
		faults = append(faults, errors.New("tenant: the client is missing: give the graph.Client of the bridge"))
	}
	if credential == nil {
		faults = append(faults, errors.New("tenant: the credential is missing: give the graph.Credential of the bridge"))
	}
	if slices.ContainsFunc(o.Scopes, func(name string) bool { return strings.TrimSpace(name) == "" }) {
		faults = append(faults, errors.New("tenant: Options.Scopes has an empty name: list names such as Presence.Read.All"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Tenant{client, credential, permissions(o.Scopes)}, nil
}

// permissions returns what the integration asks for, with those delegated
// permissions that scopes name; nil for all.
func permissions(scopes []string) []verify.Permission {
	delegated := graph.DelegatedScopes()
	if scopes != nil {
		known := delegated
		delegated = nil
		for _, name := range scopes {
			name = strings.TrimSpace(name)
			p := graph.Permission{Name: name, Type: graph.DelegatedPermission}
			if i := slices.IndexFunc(known, func(k graph.Permission) bool { return strings.EqualFold(k.Name, name) }); i >= 0 {
				p = known[i]
			}
			delegated = append(delegated, p)
		}
	}
	var all []verify.Permission
	for _, p := range slices.Concat(graph.ApplicationPermissions(), delegated) {
		all = append(all, verify.Permission{
			Name: p.Name, Purpose: p.Purpose, Delegated: p.Type == graph.DelegatedPermission, Required: p.Required, AdminConsent: p.AdminConsent,
			Unidentified: p.ID == "",
		})
	}
	return all
}

// Permissions returns the application permissions of [graph.ApplicationPermissions]
// and the delegated ones of [Options]. It sends nothing.
func (t *Tenant) Permissions() []verify.Permission { return slices.Clone(t.permissions) }

// SignIn obtains an application token from Entra now; one that is being obtained
// for somebody else counts. The bridge uses it from then on.
func (t *Tenant) SignIn(ctx context.Context) (verify.SignIn, error) {
	grant, err := t.credential.Refresh(ctx)
	if err != nil {
		return verify.SignIn{}, explained(err)
	}
	return verify.SignIn{Roles: slices.Clone(grant.Roles), RolesKnown: grant.Roles != nil, ExpiresAt: grant.Expiry}, nil
}

// Registration reads the registration of the client's application. Without the
// application permission Application.Read.All the error matches
// presence.ErrForbidden; presence.ErrNotFound where another tenant has registered
// it. Permissions that package graph does not know have their ids in place of names:
// a registration has no names, and whether one of them is a permission of
// [Options].Scopes that it does not know either cannot be told.
func (t *Tenant) Registration(ctx context.Context) (verify.Registration, error) {
	app, err := t.client.Application(ctx)
	if err != nil {
		return verify.Registration{}, err
	}
	r := verify.Registration{
		Name: app.Name, SignInAudience: app.SignInAudience,
		WebRedirectURIs: app.WebRedirectURIs, SPARedirectURIs: app.SPARedirectURIs, PublicClientRedirectURIs: app.PublicClientRedirectURIs,
	}
	for _, s := range app.ClientSecrets {
		r.ClientSecrets = append(r.ClientSecrets, monitor.ClientSecret(s))
	}
	for _, required := range app.RequiredPermissions {
		if !strings.EqualFold(required.ResourceID, graph.ResourceID) {
			continue
		}
		switch required.Type {
		case graph.ApplicationPermission:
			name, _ := nameOf(required.ID, graph.ApplicationPermissions())
			r.ApplicationPermissions = append(r.ApplicationPermissions, name)
		case graph.DelegatedPermission:
			name, known := nameOf(required.ID, graph.DelegatedScopes())
			r.DelegatedPermissions = append(r.DelegatedPermissions, name)
			if !known {
				r.UnknownDelegated++
			}
		}
	}
	return r, nil
}

// nameOf returns the name of a permission, and whether it is one of known; its id if
// it is not.
func nameOf(id string, known []graph.Permission) (string, bool) {
	for _, p := range known {
		if strings.EqualFold(p.ID, id) {
			return p.Name, true
		}
	}
	return id, false
}

// GrantedPermissions reads which application permissions were consented to;
// those whose names package graph does not know have their ids instead. Without the
// application permission Application.Read.All the error matches
// presence.ErrForbidden.
func (t *Tenant) GrantedPermissions(ctx context.Context) ([]string, error) {
	roles, err := t.client.GrantedRoles(ctx)
	if err != nil {
		return nil, err
	}
	var granted []string
	for _, role := range roles {
		if role.Name == "" {
			role.Name = role.ID
		}
		granted = append(granted, role.Name)
	}
	return granted, nil
}

// Services returns the login service and Microsoft Graph of the client's cloud,
// at addresses that answer without a token, to compare their clocks with ours.
func (t *Tenant) Services() []verify.Service {
	cloud := t.client.Cloud()
	return []verify.Service{
		{Name: "Microsoft Entra", URL: cloud.LoginURL + "/" + url.PathEscape(t.client.TenantID()) + "/v2.0/.well-known/openid-configuration"},
		{Name: "Microsoft Graph", URL: cloud.GraphURL + "/v1.0/"},
	}
}

// Fill sets those sources of a system check that package graph has: Entra,
// Sessions and MicrosoftServices. It puts the budgets of the client before those
// that Usage tells already.
func (t *Tenant) Fill(sources *verify.SystemSources) {
	sources.Entra, sources.Sessions, sources.MicrosoftServices = t, t.client, t.Services()
	others := sources.Usage
	sources.Usage = func() []presence.BudgetUsage {
		usage := t.client.Usage()
		if others != nil {
			usage = append(usage, others()...)
		}
		return usage
	}
}
