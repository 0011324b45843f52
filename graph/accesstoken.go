package graph

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// readAccessToken decodes the claims of an access token into v, and reports
// whether it could. It checks nothing of the token.
func readAccessToken(accessToken presence.Secret, v any) bool {
	parts := strings.Split(accessToken.Reveal(), ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	return err == nil && json.Unmarshal(payload, v) == nil
}

// TokenRoles returns the application permissions that an access token of the
// application itself holds, by their names: the claim roles
// (learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
// What was granted after a token was issued is in the next one only. It returns
// nil where the token does not tell, and for that of a signed-in user, whose
// permissions are scopes; not nil and empty where it is the token of an
// application that was granted nothing. It checks nothing else of the token: ask
// it about tokens that came from Entra itself.
//
// Assumed, as by [GlobalAdministrator]: that a token for Microsoft Graph can be
// read, though it is meant for Graph alone and its form may change; and that a
// token without the claim which says that it is an application's (idtyp) holds
// no permission. [CredentialOptions].TokenRoles takes the place of this function.
func TokenRoles(accessToken presence.Secret) []string {
	var claims struct {
		Roles  []string `json:"roles"`
		Scopes string   `json:"scp"`
		Type   string   `json:"idtyp"`
	}
	switch {
	case !readAccessToken(accessToken, &claims), claims.Scopes != "", claims.Type != "" && claims.Type != "app":
		return nil
	case claims.Roles == nil && claims.Type == "app":
		return []string{}
	default:
		return claims.Roles
	}
}
