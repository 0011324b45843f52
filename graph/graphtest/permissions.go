package graphtest

import (
	"slices"
	"strings"
)

// graphAppID is the application id of Microsoft Graph itself, the resource of
// every permission here.
const graphAppID = "00000003-0000-0000-c000-000000000000"

// globalAdministratorRole is the template id of the directory role, which
// tokens carry in their claim wids.
const globalAdministratorRole = "62e90394-69f5-4237-9190-012177145e10"

// userRole is the id that stands in the claim wids of an account without a
// directory role.
const userRole = "b79fbf4d-3ef9-4689-8143-76b194e85509"

// changeTrackingAppID is the application that signs the validation tokens of
// rich notifications.
const changeTrackingAppID = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// permission is one permission of Microsoft Graph with its ids as an app role
// and as a delegated scope, empty where it has none.
type permission struct {
	name, roleID, scopeID string
	adminOnly             bool // the delegated scope needs an administrator's consent
}

// permissions lists what the double knows: the permissions of Mitel's guide,
// and those that serve the same reads.
func permissions() []permission {
	return []permission{
		{"Presence.Read", "", "76bc735e-aecd-4a1d-8b4c-2b915deabb79", false},
		{"Presence.Read.All", "a70e0c2d-e793-494c-94c4-118fa0a67f42", "9c7a330d-35b3-4aa1-963d-cb2b9f927841", false},
		{"Presence.ReadWrite", "", "8d3c54a7-cf58-4773-bf81-c0cd6ad522bb", false},
		{"Presence.ReadWrite.All", "83cded22-8297-4ff6-a7fa-e97e9545a259", "", false},
		{"User.Read", "", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", false},
		{"User.Read.All", "df021288-bdef-4463-88db-98f22de89214", "a154be20-db9c-4678-8ab7-66f6cc099a59", true},
		{"User.ReadBasic.All", "97235f07-e226-4f63-ace3-39588e11d3a1", "b340eb25-3456-403f-be2f-af7a0d370277", false},
		{"Application.Read.All", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "c79f8feb-a9db-4090-85f9-90d820caa0eb", true},
		{"Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61", "06da0dbc-49e2-44d2-8312-53f166ab848a", true},
		{"DelegatedPermissionGrant.Read.All", "81b4724a-58aa-41c1-8a55-84ef97466587", "a197cdc4-a8e8-4d49-9d35-4ca7c83887b4", true},
		{"DelegatedPermissionGrant.ReadWrite.All", "8e8e4742-1d95-4f68-9d56-6ee75648c72a", "41ce6ca6-6826-4807-84f1-1c82854f7ee5", true},
		{"Subscription.Read.All", "", "5f88184c-80bb-4d52-9ff2-757288b2e9b7", true},
		{"email", "", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", false},
		{"offline_access", "", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", false},
		{"openid", "", "37f7f235-527c-4136-accd-4a02d197296e", false},
		{"profile", "", "14dad69e-099b-42c9-810b-d002981feec1", false},
	}
}

func findPermission(name string) (permission, bool) {
	all := permissions()
	i := slices.IndexFunc(all, func(p permission) bool { return strings.EqualFold(p.name, name) })
	if i < 0 {
		return permission{}, false
	}
	return all[i], true
}

// defaultApplicationPermissions and defaultDelegatedPermissions are those that
// Mitel's administration guide has the administrator grant.
func defaultApplicationPermissions() []string {
	return []string{"Presence.ReadWrite.All", "User.Read.All", "Application.Read.All"}
}

func defaultDelegatedPermissions() []string {
	return []string{
		"email", "offline_access", "openid", "profile", "User.Read", "User.Read.All", "Subscription.Read.All",
		"Presence.Read", "Presence.ReadWrite", "Presence.Read.All",
	}
}

// set is a set of names, compared without regard to case.
type set map[string]bool

func newSet(names ...string) set {
	s := make(set, len(names))
	for _, n := range names {
		s[strings.ToLower(n)] = true
	}
	return s
}

func (s set) has(name string) bool { return s[strings.ToLower(name)] }

func (s set) hasAny(names ...string) bool { return slices.ContainsFunc(names, s.has) }
