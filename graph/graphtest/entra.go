package graphtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The AADSTS codes that the double gives
// (learn.microsoft.com/entra/identity-platform/reference-error-codes).
const (
	aadstsRedirectMismatch     = 50011
	aadstsUserUnknown          = 50034
	aadstsUserDisabled         = 50057
	aadstsSilentSignIn         = 50058
	aadstsPasswordWrong        = 50126
	aadstsGrantRevoked         = 50173
	aadstsNotMultiTenant       = 50194
	aadstsVerifierMismatch     = 501481
	aadstsReplyAddress         = 500112
	aadstsCodeRedeemed         = 54005
	aadstsConsentMissing       = 65001
	aadstsConsentDeclined      = 65004
	aadstsGrantInvalid         = 70000
	aadstsGrantType            = 70003
	aadstsGrantExpired         = 70008
	aadstsScopeInvalid         = 70011
	aadstsGrantInactive        = 700082
	aadstsApplicationUnknown   = 700016
	aadstsPublicClient         = 700025
	aadstsAssertionInvalid     = 700027
	aadstsResponseType         = 700054
	aadstsApplicationDisabled  = 7000112
	aadstsSecretInvalid        = 7000215
	aadstsCredentialMissing    = 7000218
	aadstsSecretExpired        = 7000222
	aadstsTenantUnknown        = 90002
	aadstsAdminConsentRequired = 90094
	aadstsParameterMissing     = 900144
	aadstsMethod               = 900561
	aadstsOnlySPA              = 9002327
)

// entraFault is a refusal by Entra. Error is the OAuth error, which is the
// contract; the code is the diagnosis.
type entraFault struct {
	status  int
	oauth   string
	code    int
	message string
}

func (f *entraFault) Error() string { return fmt.Sprintf("AADSTS%d: %s", f.code, f.message) }

func refuse(status int, oauth string, code int, format string, args ...any) *entraFault {
	return &entraFault{status, oauth, code, fmt.Sprintf(format, args...)}
}

func invalidGrant(code int, format string, args ...any) *entraFault {
	return refuse(http.StatusBadRequest, "invalid_grant", code, format, args...)
}

func invalidClient(code int, format string, args ...any) *entraFault {
	return refuse(http.StatusUnauthorized, "invalid_client", code, format, args...)
}

// serveEntra answers requests below {LoginURL}/{tenant}.
func (s *Server) serveEntra(w http.ResponseWriter, r *http.Request, escapedPath string) {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(escapedPath, "/"), "/")
	if unescaped, err := url.PathUnescape(tenant); err == nil {
		tenant = unescaped
	}
	w.Header().Set("x-ms-request-id", newGUID())
	switch strings.ToLower(rest) {
	case "v2.0/.well-known/openid-configuration", ".well-known/openid-configuration":
		s.serveConfiguration(w, tenant)
	case "discovery/v2.0/keys", "discovery/keys":
		s.serveKeys(w)
	case "discovery/instance":
		s.serveInstance(w, r)
	case "oauth2/v2.0/token":
		s.serveToken(w, r, tenant)
	case "oauth2/v2.0/authorize":
		s.serveAuthorize(w, r, tenant)
	case "v2.0/adminconsent", "adminconsent":
		s.serveAdminConsent(w, r, tenant)
	default:
		http.NotFound(w, r)
	}
}

// checkTenant accepts the tenant's id and its domain, and for what works in
// any tenant also common and organizations.
func (s *Server) checkTenant(tenant string, shared bool) *entraFault {
	switch strings.ToLower(tenant) {
	case s.tenantID, strings.ToLower(s.domain):
		return nil
	case "common", "organizations":
		if shared {
			return nil
		}
		return refuse(http.StatusBadRequest, "invalid_request", aadstsNotMultiTenant,
			"The application is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such applications. Use a tenant-specific endpoint.")
	default:
		return refuse(http.StatusBadRequest, "invalid_request", aadstsTenantUnknown,
			"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)
	}
}

func (s *Server) checkApplication(clientID string) (*application, *entraFault) {
	if clientID == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", aadstsParameterMissing, "The request body must contain the following parameter: 'client_id'.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.applications[strings.ToLower(clientID)]
	if a == nil {
		return nil, refuse(http.StatusBadRequest, "unauthorized_client", aadstsApplicationUnknown,
			"Application with identifier '%s' was not found in the directory '%s'.", clientID, s.tenantID)
	}
	// A copy: the registered one may change under the lock.
	b := *a
	if b.Disabled {
		return nil, refuse(http.StatusBadRequest, "unauthorized_client", aadstsApplicationDisabled,
			"Application '%s'(%s) is disabled.", b.ClientID, b.Name)
	}
	return &b, nil
}

// checkUser finds an account that may sign in.
func (s *Server) checkUser(userID string) (User, *entraFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.personLocked(userID)
	switch {
	case p == nil:
		return User{}, invalidGrant(aadstsUserUnknown, "The user account does not exist in the %s directory.", s.tenantID)
	case p.user.Disabled:
		return User{}, invalidGrant(aadstsUserDisabled, "The user account is disabled.")
	case p.user.SignInRefusal != 0:
		// Assumed: the OAuth error, which is also written interaction_required.
		return User{}, invalidGrant(p.user.SignInRefusal, "The account may not sign in by a policy of the tenant.")
	}
	return p.user, nil
}

// entraErrorBody is the error body of the token endpoint.
type entraErrorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri"`
}

func (s *Server) errorBody(r *http.Request, f *entraFault) entraErrorBody {
	correlation := r.Header.Get("client-request-id")
	if !isGUID(correlation) {
		correlation = newGUID()
	}
	b := entraErrorBody{
		Error: f.oauth, Codes: []int{f.code}, Timestamp: time.Now().UTC().Format("2006-01-02 15:04:05Z"),
		TraceID: newGUID(), CorrelationID: correlation, URI: fmt.Sprintf("%s/error?code=%d", s.login, f.code),
	}
	b.Description = fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", f.Error(), b.TraceID, b.CorrelationID, b.Timestamp)
	return b
}

func (s *Server) writeEntraFault(w http.ResponseWriter, r *http.Request, f *entraFault) {
	writeEntra(w, f.status, s.errorBody(r, f))
}

func writeEntra(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
