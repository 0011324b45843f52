package graph

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/applicationswithappid"
)

// Application is the registration of an application in Entra
// (learn.microsoft.com/graph/api/resources/application).
type Application struct {
	// ID is the object id; requests here name the application by ClientID.
	ID string
	// ClientID is the application id (appId).
	ClientID string
	// Name is the display name.
	Name string
	// SignInAudience is whose accounts may sign in: AzureADMyOrg for those of the
	// tenant alone.
	SignInAudience string
	// ClientSecrets are in the order of the service. Those that have expired
	// stay until somebody deletes them.
	ClientSecrets []ClientSecret
	// WebRedirectURIs are where sign-ins of a confidential client, such as this
	// library's, may lead back to.
	WebRedirectURIs []string
	// SPARedirectURIs are registered for single-page applications, whose refresh
	// tokens last a day
	// (learn.microsoft.com/entra/identity-platform/refresh-tokens): no place for
	// that of a monitor.
	SPARedirectURIs []string
	// PublicClientRedirectURIs are registered for clients without a secret.
	PublicClientRedirectURIs []string
	// RequiredPermissions are those that the registration asks for. What was
	// consented to is another matter: see [Client.GrantedRoles] and the Scopes of
	// a [Grant].
	RequiredPermissions []RequiredPermission
}

// ClientSecret is one client secret of an application, as far as Entra shows it.
type ClientSecret struct {
	// KeyID is the id of the secret: Entra's "Secret ID", which is not its value.
	KeyID string
	// Description is what whoever created it wrote; it may be empty.
	Description string
	// Hint is the first three characters of its value; empty where Entra has none.
	Hint string
	// StartsAt and ExpiresAt bound its life; zero where the answer cannot be read.
	StartsAt, ExpiresAt time.Time
}

// RequiredPermission is a permission that a registration asks for.
type RequiredPermission struct {
	// ResourceID is the application that owns the permission, such as [ResourceID].
	ResourceID string
	// ID is the id of the app role or scope, as in [Permission].
	ID string
	// Type says which of the two it is.
	Type PermissionType
}

// AppRole is an application permission that was consented to.
type AppRole struct {
	// ID is the id of the app role.
	ID string
	// Name is the permission's name, such as User.Read.All; empty where the role
	// is none of Microsoft Graph's that this package knows.
	Name string
}

// Application returns the registration of the client's own application. It
// needs the application permission Application.Read.All; without it the error
// matches presence.ErrForbidden. Where the tenant has no such registration, as
// with an application that another tenant has registered, it matches
// presence.ErrNotFound.
func (c *Client) Application(ctx context.Context) (Application, error) {
	builder := applicationswithappid.NewApplicationsWithAppIdRequestBuilderInternal(c.path, c.adapter, &c.clientID)
	info, err := builder.ToGetRequestInformation(ctx, &applicationswithappid.ApplicationsWithAppIdRequestBuilderGetRequestConfiguration{
		QueryParameters: &applicationswithappid.ApplicationsWithAppIdRequestBuilderGetQueryParameters{Select: applicationFields()},
	})
	if err != nil {
		return Application{}, buildError(opReadApplication, err)
	}
	var (
		a       Application
		skipped int
	)
	err = c.do(ctx, opReadApplication, info, maxPage, func(body io.Reader) (err error) {
		a, skipped, err = decodeApplication(body)
		return err
	})
	if err != nil {
		return Application{}, err
	}
	if skipped > 0 {
		c.metrics.skipped(ctx, opReadApplication.name, skipped)
		c.logger.WarnContext(ctx, "client secrets that could not be read were left out", "operation", opReadApplication.name, "skipped", skipped)
	}
	return a, nil
}

func applicationFields() []string {
	return []string{"id", "appId", "displayName", "signInAudience", "passwordCredentials", "web", "spa", "publicClient", "requiredResourceAccess"}
}

// wireApplication is an application as the service writes it.
type wireApplication struct {
	ID             string            `json:"id"`
	ClientID       string            `json:"appId"`
	Name           string            `json:"displayName"`
	SignInAudience string            `json:"signInAudience"`
	ClientSecrets  []json.RawMessage `json:"passwordCredentials"`
	Web            wirePlatform      `json:"web"`
	SPA            wirePlatform      `json:"spa"`
	PublicClient   wirePlatform      `json:"publicClient"`
	Required       []wireRequired    `json:"requiredResourceAccess"`
}

type wirePlatform struct {
	RedirectURIs []string `json:"redirectUris"`
}

type wireRequired struct {
	ResourceID string `json:"resourceAppId"`
	Access     []struct {
		ID   string         `json:"id"`
		Type PermissionType `json:"type"`
	} `json:"resourceAccess"`
}

type wireClientSecret struct {
	KeyID       string   `json:"keyId"`
	Description string   `json:"displayName"`
	Hint        string   `json:"hint"`
	StartsAt    wireTime `json:"startDateTime"`
	ExpiresAt   wireTime `json:"endDateTime"`
}

// decodeApplication reads an application. A client secret that cannot be read is
// skipped and counted: it must not hide that another one ends.
func decodeApplication(body io.Reader) (a Application, skipped int, err error) {
	var w wireApplication
	if err := json.NewDecoder(body).Decode(&w); err != nil {
		return Application{}, 0, err
	}
	if w.ClientID == "" {
		return Application{}, 0, errors.New("graph: the answer is not an application")
	}
	a = Application{
		ID: w.ID, ClientID: w.ClientID, Name: w.Name, SignInAudience: w.SignInAudience,
		WebRedirectURIs: w.Web.RedirectURIs, SPARedirectURIs: w.SPA.RedirectURIs, PublicClientRedirectURIs: w.PublicClient.RedirectURIs,
	}
	for _, raw := range w.ClientSecrets {
		var s wireClientSecret
		if err := json.Unmarshal(raw, &s); err != nil || s == (wireClientSecret{}) {
			skipped++
			continue
		}
		a.ClientSecrets = append(a.ClientSecrets, ClientSecret{
			KeyID: s.KeyID, Description: s.Description, Hint: s.Hint, StartsAt: time.Time(s.StartsAt), ExpiresAt: time.Time(s.ExpiresAt),
		})
	}
	for _, resource := range w.Required {
		for _, access := range resource.Access {
			a.RequiredPermissions = append(a.RequiredPermissions, RequiredPermission{resource.ResourceID, access.ID, access.Type})
		}
	}
	return a, skipped, nil
}

// GrantedRoles returns the application permissions that were consented to for
// the client's own application, of whatever resource. [MissingPermissions] takes
// their names. It needs the application permission Application.Read.All; without
// it the error matches presence.ErrForbidden.
func (c *Client) GrantedRoles(ctx context.Context) ([]AppRole, error) {
	// The SDK reaches this list by object id only, in a package of 200 files.
	first := abs.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(abs.GET,
		"{+baseurl}/servicePrincipals(appId='{appId}')/appRoleAssignments?%24select=appRoleId",
		map[string]string{"baseurl": c.baseURL, "appId": c.clientID})
	first.Headers.TryAdd("Accept", "application/json")
	next := func(link string) (*abs.RequestInformation, error) {
		u, err := url.Parse(link)
		if err != nil {
			return nil, err
		}
		info := abs.NewRequestInformation()
		info.Method = abs.GET
		info.SetUri(*u)
		info.Headers.TryAdd("Accept", "application/json")
		return info, nil
	}
	var roles []AppRole
	for page, err := range pages(ctx, c, opListAppRoles, first, next, usableAssignment) {
		if err != nil {
			return nil, err
		}
		for _, w := range page.items {
			roles = append(roles, AppRole{ID: w.RoleID, Name: roleName(w.RoleID)})
		}
	}
	return roles, nil
}

// wireAssignment is an app role assignment as the service writes it.
type wireAssignment struct {
	RoleID string `json:"appRoleId"`
}

func usableAssignment(w wireAssignment) bool { return w.RoleID != "" }
