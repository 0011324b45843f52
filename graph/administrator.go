package graph

import (
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// GlobalAdministratorRole is the template id of the directory role Global
// Administrator, the same in all tenants
// (learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference).
const GlobalAdministratorRole = "62e90394-69f5-4237-9190-012177145e10"

// GlobalAdministrator reports whether an access token's account has the role
// [GlobalAdministratorRole] for the whole tenant; nil where the token does not
// tell. It reads the claim wids, which Microsoft describes as those roles
// (learn.microsoft.com/entra/identity-platform/access-token-claims-reference),
// and checks nothing else of the token: ask it about tokens that came from Entra
// itself.
//
// Assumed: that an access token for Microsoft Graph can be read, though it is
// meant for Graph alone and its form may change, and that the claim, where it is,
// is complete. Without the claim nothing is concluded: it is left out of some
// tokens, such as those of accounts with many groups. An option of
// [AuthorizerOptions] and [DelegatedOptions] takes the place of this function.
func GlobalAdministrator(accessToken presence.Secret) *bool {
	var claims struct {
		DirectoryRoles []string `json:"wids"`
	}
	if !readAccessToken(accessToken, &claims) || claims.DirectoryRoles == nil {
		return nil
	}
	has := slices.ContainsFunc(claims.DirectoryRoles, func(id string) bool { return strings.EqualFold(id, GlobalAdministratorRole) })
	return &has
}
