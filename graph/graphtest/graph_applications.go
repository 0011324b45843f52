package graphtest

import (
	"crypto/sha1" //nolint:gosec // a certificate's thumbprint is defined as its SHA-1
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// passwordCredential is a client secret as the directory shows it: never the
// value, but its first three characters.
type passwordCredential struct {
	CustomKeyIdentifier *string `json:"customKeyIdentifier"`
	DisplayName         *string `json:"displayName"`
	EndDateTime         string  `json:"endDateTime"`
	Hint                string  `json:"hint"`
	KeyID               string  `json:"keyId"`
	SecretText          *string `json:"secretText"`
	StartDateTime       string  `json:"startDateTime"`
}

func directoryTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.9999999Z") }

// findApplicationLocked finds an application by a key of a route: an object id,
// or "appId=" and a client id.
func (s *Server) findApplicationLocked(key string, objectID func(*application) string) *application {
	if id, ok := cutPrefixFold(key, "appId="); ok {
		return s.applications[strings.ToLower(id)]
	}
	for _, a := range s.applications {
		if strings.EqualFold(objectID(a), key) {
			return a
		}
	}
	return nil
}

// withApplication runs f on an application under the lock.
func (s *Server) withApplication(c *call, objectID func(*application) string, f func(*application) map[string]any) (int, any, *graphFault) {
	if fault := checkQuery(c.query, "$select", "$top"); fault != nil {
		return 0, nil, fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.findApplicationLocked(c.id, objectID)
	if a == nil {
		return 0, nil, notFound(c.id)
	}
	return http.StatusOK, selectProperties(f(a), c.query.Get("$select")), nil
}

func appObject(a *application) string        { return a.objectID }
func servicePrincipal(a *application) string { return a.servicePrincipalID }

// selectProperties applies $select to an entity; a collection stays as it is.
func selectProperties(entity map[string]any, value string) map[string]any {
	if _, collection := entity["value"]; collection || value == "" {
		return entity
	}
	wanted := newSet("@odata.context")
	for _, name := range strings.Split(value, ",") {
		wanted[strings.ToLower(strings.TrimSpace(name))] = true
	}
	for name := range entity {
		if !wanted.has(name) {
			delete(entity, name)
		}
	}
	return entity
}

func (s *Server) getApplication(c *call) (int, any, *graphFault) {
	return s.withApplication(c, appObject, func(a *application) map[string]any {
		secrets := []passwordCredential{}
		for _, secret := range a.Secrets {
			value := secret.Value.Reveal()
			shown := passwordCredential{
				EndDateTime: directoryTime(secret.End), StartDateTime: directoryTime(secret.Start),
				Hint: value[:min(3, len(value))], KeyID: secret.KeyID,
			}
			if secret.Description != "" {
				shown.DisplayName = &secret.Description
			}
			secrets = append(secrets, shown)
		}
		certificates := []map[string]any{}
		for _, certificate := range a.Certificates {
			sum := sha1.Sum(certificate.Raw) //nolint:gosec // see the import
			certificates = append(certificates, map[string]any{
				"customKeyIdentifier": base64.StdEncoding.EncodeToString(sum[:]), "displayName": certificate.Subject.String(), "key": nil,
				"startDateTime": directoryTime(certificate.NotBefore), "endDateTime": directoryTime(certificate.NotAfter),
				"type": "AsymmetricX509Cert", "usage": "Verify",
			})
		}
		return map[string]any{
			"@odata.context": s.graph + "/v1.0/$metadata#applications/$entity",
			"id":             a.objectID, "appId": a.ClientID, "displayName": a.Name, "signInAudience": "AzureADMyOrg",
			"passwordCredentials": secrets, "keyCredentials": certificates,
			"web":                    redirectURIs(a.RedirectURIs),
			"spa":                    redirectURIs(a.SPARedirectURIs),
			"publicClient":           redirectURIs(a.PublicClientRedirectURIs),
			"requiredResourceAccess": requiredAccess(a),
		}
	})
}

// redirectURIs returns what the registration has for a platform.
func redirectURIs(list []string) map[string]any {
	return map[string]any{"redirectUris": append([]string{}, list...)}
}

// requiredAccess lists the permissions that the registration asks for.
func requiredAccess(a *application) []map[string]any {
	access := []map[string]string{}
	add := func(kind string, names []string, id func(permission) string) {
		for _, name := range names {
			if p, ok := findPermission(name); ok && id(p) != "" {
				access = append(access, map[string]string{"id": id(p), "type": kind})
			}
		}
	}
	roles, scopes := a.declared()
	add("Role", roles, func(p permission) string { return p.roleID })
	add("Scope", scopes, func(p permission) string { return p.scopeID })
	return []map[string]any{{"resourceAppId": graphAppID, "resourceAccess": access}}
}

// graphServicePrincipal is the object id of Graph's own service principal.
const graphServicePrincipal = "b3b1f6f0-6c1f-4a3e-8d5a-3f5f0a9c1e42"

func (s *Server) getServicePrincipal(c *call) (int, any, *graphFault) {
	if strings.EqualFold(c.id, "appId="+graphAppID) || strings.EqualFold(c.id, graphServicePrincipal) {
		roles, scopes := []map[string]any{}, []map[string]any{}
		for _, p := range permissions() {
			if p.roleID != "" {
				roles = append(roles, map[string]any{"id": p.roleID, "value": p.name, "isEnabled": true, "allowedMemberTypes": []string{"Application"}})
			}
			if p.scopeID != "" {
				kind := "User"
				if p.adminOnly {
					kind = "Admin"
				}
				scopes = append(scopes, map[string]any{"id": p.scopeID, "value": p.name, "isEnabled": true, "type": kind})
			}
		}
		return http.StatusOK, selectProperties(map[string]any{
			"@odata.context": s.graph + "/v1.0/$metadata#servicePrincipals/$entity",
			"id":             graphServicePrincipal, "appId": graphAppID, "displayName": "Microsoft Graph", "appRoles": roles, "oauth2PermissionScopes": scopes,
		}, c.query.Get("$select")), nil
	}
	return s.withApplication(c, servicePrincipal, func(a *application) map[string]any {
		return map[string]any{
			"@odata.context": s.graph + "/v1.0/$metadata#servicePrincipals/$entity",
			"id":             a.servicePrincipalID, "appId": a.ClientID, "displayName": a.Name, "accountEnabled": !a.Disabled,
			"appRoleAssignmentRequired": false, "servicePrincipalType": "Application",
		}
	})
}

func (s *Server) listAssignments(c *call) (int, any, *graphFault) {
	return s.withApplication(c, servicePrincipal, func(a *application) map[string]any {
		value := []map[string]any{}
		for _, name := range a.ApplicationPermissions {
			p, ok := findPermission(name)
			if a.ConsentPending || !ok || p.roleID == "" {
				continue
			}
			if a.assignmentIDs[p.roleID] == "" {
				a.assignmentIDs[p.roleID] = newToken(24)
			}
			value = append(value, map[string]any{
				"id": a.assignmentIDs[p.roleID], "appRoleId": p.roleID, "principalId": a.servicePrincipalID, "principalType": "ServicePrincipal",
				"principalDisplayName": a.Name, "resourceId": graphServicePrincipal, "resourceDisplayName": "Microsoft Graph", "deletedDateTime": nil,
			})
		}
		return map[string]any{"@odata.context": s.graph + "/v1.0/$metadata#appRoleAssignments", "value": value}
	})
}

func (s *Server) listGrants(c *call) (int, any, *graphFault) {
	return s.withApplication(c, servicePrincipal, func(a *application) map[string]any {
		value := []map[string]any{}
		if !a.ConsentPending && len(a.DelegatedPermissions) > 0 {
			value = append(value, map[string]any{
				"id": a.servicePrincipalID, "clientId": a.servicePrincipalID, "consentType": "AllPrincipals", "principalId": nil,
				"resourceId": graphServicePrincipal, "scope": strings.Join(a.DelegatedPermissions, " "),
			})
		}
		return map[string]any{"@odata.context": s.graph + "/v1.0/$metadata#oauth2PermissionGrants", "value": value}
	})
}
