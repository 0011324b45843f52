package graph

import (
	"slices"
	"strings"
)

// ResourceID is the application id of Microsoft Graph itself, which owns the
// permissions.
const ResourceID = "00000003-0000-0000-c000-000000000000"

// PermissionType says who has a permission.
type PermissionType string

// The two types of permissions. Their values are those of an application's
// manifest (requiredResourceAccess.resourceAccess.type).
const (
	// ApplicationPermission belongs to the application itself: an app role.
	ApplicationPermission PermissionType = "Role"
	// DelegatedPermission is the application's on behalf of a signed-in user: a
	// scope.
	DelegatedPermission PermissionType = "Scope"
)

// Permission is one permission of Microsoft Graph that the integration asks for.
type Permission struct {
	// Name is such as Presence.ReadWrite.All.
	Name string
	// ID is the id of the app role or scope.
	ID string
	// Type says who has it.
	Type PermissionType
	// Purpose is what the integration needs it for.
	Purpose string
	// Required: without it a function that this package has does not work. The
	// others belong to the application that Mitel's guide describes.
	Required bool
	// AdminConsent: only an administrator can consent to it.
	AdminConsent bool
}

// ApplicationPermissions returns the application permissions of the Entra
// application.
func ApplicationPermissions() []Permission {
	role := func(name, id, purpose string, required bool) Permission {
		return Permission{name, id, ApplicationPermission, purpose, required, true}
	}
	return []Permission{
		role("Presence.ReadWrite.All", "83cded22-8297-4ff6-a7fa-e97e9545a259", "show the telephone's state in Teams, and read the presence of all users", true),
		role("User.Read.All", "df021288-bdef-4463-88db-98f22de89214", "match users by their user principal name or mail address", true),
		role("Application.Read.All", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "see when client secrets end and which permissions were granted", false),
	}
}

// DelegatedScopes returns the delegated permissions that a presence monitor's
// sign-in asks for.
func DelegatedScopes() []Permission {
	scope := func(name, id, purpose string, required, adminConsent bool) Permission {
		return Permission{name, id, DelegatedPermission, purpose, required, adminConsent}
	}
	return []Permission{
		scope("openid", "37f7f235-527c-4136-accd-4a02d197296e", "learn which account has signed in", true, false),
		scope("profile", "14dad69e-099b-42c9-810b-d002981feec1", "learn the account's user principal name", true, false),
		scope("email", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "learn the account's mail address", false, false),
		scope("offline_access", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "stay signed in by a refresh token", true, false),
		scope("User.Read", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "let the account sign in and read its own profile", false, false),
		scope("User.Read.All", "a154be20-db9c-4678-8ab7-66f6cc099a59", "look up users on the monitor's behalf", false, true),
		scope("Subscription.Read.All", "5f88184c-80bb-4d52-9ff2-757288b2e9b7", "see subscriptions that others have made", false, true),
		scope("Presence.Read", "76bc735e-aecd-4a1d-8b4c-2b915deabb79", "read the monitor's own presence", false, false),
		scope("Presence.ReadWrite", "8d3c54a7-cf58-4773-bf81-c0cd6ad522bb", "write the monitor's own presence", false, false),
		scope("Presence.Read.All", "9c7a330d-35b3-4aa1-963d-cb2b9f927841", "subscribe to the presence of other users", true, false),
	}
}

// roleName returns the name of an app role of Microsoft Graph: of those that the
// integration asks for, and of those that serve the same requests
// (learn.microsoft.com/graph/permissions-reference).
func roleName(id string) string {
	for _, p := range ApplicationPermissions() {
		if strings.EqualFold(p.ID, id) {
			return p.Name
		}
	}
	switch strings.ToLower(id) {
	case "a70e0c2d-e793-494c-94c4-118fa0a67f42":
		return "Presence.Read.All"
	case "97235f07-e226-4f63-ace3-39588e11d3a1":
		return "User.ReadBasic.All"
	case "7ab1d382-f21e-4acd-a863-ba3e13f7da61":
		return "Directory.Read.All"
	default:
		return ""
	}
}

// MissingPermissions returns those of wanted whose name is not among granted,
// such as the roles claim of an application's token, the names of
// [Client.GrantedRoles] or the Scopes of a [Grant].
// offline_access is never reported: Entra does not list it, its sign is the
// refresh token.
func MissingPermissions(wanted []Permission, granted []string) []Permission {
	var missing []Permission
	for _, p := range wanted {
		has := slices.ContainsFunc(granted, func(name string) bool { return strings.EqualFold(name, p.Name) })
		if p.Name != "offline_access" && !has {
			missing = append(missing, p)
		}
	}
	return missing
}
