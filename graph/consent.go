package graph

import (
	"errors"
	"net/url"
)

// AdminConsentURL returns the URL where an administrator of the tenant consents
// to all permissions that are registered with the application
// (learn.microsoft.com/entra/identity-platform/v2-admin-consent). The outcome comes to the
// redirect URI, which must be registered: see [ParseCallback]. It needs no secret,
// so it can be made where an [Authorizer] cannot. The zero Cloud is [Global]; an
// empty state is left out. It returns all faults of its arguments at once.
func AdminConsentURL(cloud Cloud, tenantID, clientID, redirectURL, state string) (string, error) {
	cloud, err := cloud.normalize()
	if err := errors.Join(checkTenant(tenantID), checkClientID(clientID), checkRedirectURL(redirectURL), err); err != nil {
		return "", err
	}
	return cloud.adminConsentURL(tenantID, clientID, redirectURL, state), nil
}

// AdminConsentURL returns the URL where an administrator of the tenant consents
// to all permissions that are registered with the application. The outcome comes
// to the redirect URI: see [ParseCallback]. The function of the same name needs
// no Authorizer.
func (a *Authorizer) AdminConsentURL(state string) string {
	return a.endpoint.cloud.adminConsentURL(a.endpoint.tenantID, a.endpoint.clientID, a.redirectURL, state)
}

func (c Cloud) adminConsentURL(tenantID, clientID, redirectURL, state string) string {
	query := url.Values{"client_id": {clientID}, "scope": {c.defaultScope()}, "redirect_uri": {redirectURL}}
	if state != "" {
		query.Set("state", state)
	}
	return c.endpoint(tenantID, "/v2.0/adminconsent") + "?" + query.Encode()
}
