package graph

import (
	"errors"
	"regexp"
	"slices"
	"strconv"

	"github.com/presencebridge/presencebridge/presence"
)

// What Entra's error codes mean, beside those refusals that package presence
// names. An [*Error] matches them with [errors.Is] and has a sentence on what to
// do ([Error.Remedy]).
//
// Microsoft documents the codes as a diagnosis that may change
// (learn.microsoft.com/entra/identity-platform/reference-error-codes), so a code
// that is not known here still matches by its OAuth error.
var (
	// ErrSecretMissing: neither a client secret nor an assertion was sent.
	ErrSecretMissing = errors.New("client secret missing")
	// ErrWrongTenant: the account, code or token belongs to another tenant.
	ErrWrongTenant = errors.New("wrong tenant")
	// ErrWrongCloud: the application or account belongs to another cloud.
	ErrWrongCloud = errors.New("wrong cloud")
	// ErrGrantRevoked: the refresh token was revoked.
	ErrGrantRevoked = errors.New("grant revoked")
	// ErrGrantExpired: the refresh token has ended.
	ErrGrantExpired = errors.New("grant expired")
	// ErrCodeUsed: the authorization code was redeemed before.
	ErrCodeUsed = errors.New("authorization code used")
	// ErrVerifierMismatch: the PKCE verifier is not that of the authorization request.
	ErrVerifierMismatch = errors.New("code verifier mismatch")
	// ErrRedirectURIMismatch: the redirect URI is not registered, or not for clients
	// with a secret (the platform Web).
	ErrRedirectURIMismatch = errors.New("redirect URI mismatch")
	// ErrInvalidScope: a scope does not exist.
	ErrInvalidScope = errors.New("invalid scope")
	// ErrRequestLoop: Entra takes the requests for a loop. It is also matched by
	// presence.ErrThrottled.
	ErrRequestLoop = errors.New("request loop")
)

// diagnosis is what one AADSTS code means.
type diagnosis struct {
	matches  []error // the first is the diagnosis itself
	sentence string
	remedy   string
}

const (
	remedySecret  = "create a client secret in Entra under Certificates & secrets, copy its Value (not its Secret ID) and configure it"
	remedyConsent = "let an administrator of the tenant grant consent to the application's permissions"
	remedySignIn  = "sign the account in again"
	remedyMFA     = "sign the account in again and complete the second factor"
	remedyAccess  = "let an administrator exempt the application or the account from the conditional access policy, or sign in from where the policy allows it"
	remedyTenant  = "check the tenant id, and sign in with an account of that tenant"
	remedyApp     = "check the client id and the tenant id, and that the application is registered in that tenant"
	remedyCloud   = "use the cloud that the tenant belongs to"
)

// diagnose returns what an AADSTS code means. The meanings are those of
// Microsoft's page of error codes.
func diagnose(code int) (diagnosis, bool) {
	is := func(sentence, remedy string, matches ...error) (diagnosis, bool) {
		return diagnosis{matches, sentence, remedy}, true
	}
	unauthorized := presence.ErrUnauthorized
	switch code {
	case 7000215:
		return is("the client secret is not valid", remedySecret, presence.ErrInvalidSecret, unauthorized)
	case 7000222:
		return is("the client secret has expired", remedySecret, presence.ErrSecretExpired, unauthorized)
	case 7000218:
		return is("the request has no client secret and no client assertion", "configure the client secret or the certificate", ErrSecretMissing, unauthorized)
	case 7000112:
		return is("the application is disabled", "enable the application for sign-in under Enterprise applications in Entra", presence.ErrAppDisabled, unauthorized)
	case 700016:
		return is("the tenant has no such application", remedyApp, presence.ErrAppNotFound, unauthorized)
	case 7000229:
		return is("the application has no service principal in the tenant", "let an administrator of the tenant consent to the application, which creates it", presence.ErrAppNotFound, unauthorized)
	case 90002:
		return is("there is no such tenant", "check the tenant id and the cloud", presence.ErrTenantNotFound, unauthorized)
	case 900023:
		return is("the tenant id is neither a GUID nor a domain name", "copy the directory (tenant) ID from the application's overview in Entra", presence.ErrTenantNotFound, unauthorized)
	case 700005:
		return is("the code or refresh token belongs to another tenant", remedyTenant, ErrWrongTenant, presence.ErrSignInRequired, unauthorized)
	case 50020:
		return is("the account belongs to another tenant", remedyTenant, ErrWrongTenant, presence.ErrSignInRequired, unauthorized)
	case 50194:
		return is("the application is not made for several tenants", "configure the tenant's own id in place of common", ErrWrongTenant, unauthorized)
	case 900382, 90038:
		return is("the tenant belongs to another cloud", remedyCloud, ErrWrongCloud, unauthorized)
	case 65001:
		return is("consent to the application's permissions is missing", remedyConsent, presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden)
	case 65004:
		return is("the user declined consent", remedyConsent, presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden)
	case 90094:
		return is("an administrator's consent is needed", remedyConsent, presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden)
	case 50173:
		return is("the grant was revoked", remedySignIn, ErrGrantRevoked, presence.ErrSignInRequired, unauthorized)
	case 70000:
		return is("the grant is not valid any more", remedySignIn, ErrGrantRevoked, presence.ErrSignInRequired, unauthorized)
	case 700082, 70008:
		return is("the refresh token has expired because it was not used", remedySignIn, ErrGrantExpired, presence.ErrSignInRequired, unauthorized)
	case 70043:
		return is("the refresh token has expired by the tenant's sign-in frequency policy", remedySignIn, ErrGrantExpired, presence.ErrSignInRequired, unauthorized)
	case 54005:
		return is("the authorization code was used before", "begin the sign-in anew", ErrCodeUsed, presence.ErrSignInRequired, unauthorized)
	case 501481:
		return is("the code verifier does not belong to the authorization code", "begin the sign-in anew", ErrVerifierMismatch, presence.ErrSignInRequired, unauthorized)
	case 50011:
		return is("the redirect URI is not registered", "add the redirect URI to the application in Entra, exactly as configured here", ErrRedirectURIMismatch, presence.ErrInvalid)
	case 9002327, 700025:
		return is("the redirect URI is registered for clients without a secret", "move the redirect URI of the application in Entra to the platform Web", ErrRedirectURIMismatch, presence.ErrInvalid)
	case 70011:
		return is("a scope does not exist", "check the names of the permissions", ErrInvalidScope, presence.ErrInvalid)
	case 50076:
		return is("a second factor is required", remedyMFA, presence.ErrMFARequired, presence.ErrSignInRequired, unauthorized)
	case 50079:
		return is("the account must enrol for a second factor", remedyMFA, presence.ErrMFARequired, presence.ErrSignInRequired, unauthorized)
	case 50074:
		return is("strong authentication is required", remedyMFA, presence.ErrMFARequired, presence.ErrSignInRequired, unauthorized)
	case 50034:
		return is("the account does not exist in the tenant", "check the user principal name", presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 50053:
		return is("the account is locked", "unlock the account, then sign it in again", presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 50055:
		return is("the account's password has expired", "change the password, then sign the account in again", presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 50057:
		return is("the account is disabled", "enable the account, then sign it in again", presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 50105:
		return is("the account is not assigned to the application", "assign the account to the application under Enterprise applications in Entra", presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 50126:
		return is("the user name or the password is wrong", remedySignIn, presence.ErrAccountBlocked, presence.ErrSignInRequired, unauthorized)
	case 53000:
		return is("a policy demands a compliant device", remedyAccess, presence.ErrConditionalAccess, presence.ErrSignInRequired, unauthorized)
	case 53003:
		return is("conditional access blocks the sign-in", remedyAccess, presence.ErrConditionalAccess, presence.ErrSignInRequired, unauthorized)
	case 530032:
		return is("a security policy blocks the sign-in", remedyAccess, presence.ErrConditionalAccess, presence.ErrSignInRequired, unauthorized)
	case 50196:
		return is("Entra takes the requests for a loop", "wait, and find what asks for tokens again and again", ErrRequestLoop, presence.ErrThrottled)
	default:
		return diagnosis{}, false
	}
}

// diagnoseOAuth returns what an OAuth 2.0 error means, for when no AADSTS code
// says it better. The errors are those of RFC 6749 sections 4.1.2.1 and 5.2 and
// OpenID Connect Core section 3.1.2.6.
func diagnoseOAuth(code string) (diagnosis, bool) {
	is := func(sentence, remedy string, matches ...error) (diagnosis, bool) {
		return diagnosis{matches, sentence, remedy}, true
	}
	switch code {
	case "invalid_client":
		return is("the application's credential is not accepted", "check the client id and its secret or certificate", presence.ErrUnauthorized)
	case "unauthorized_client":
		return is("the application may not obtain tokens", remedyApp, presence.ErrUnauthorized)
	case "invalid_grant":
		return is("the grant is not accepted", remedySignIn, presence.ErrSignInRequired, presence.ErrUnauthorized)
	case "interaction_required", "login_required":
		return is("the account must sign in", remedySignIn, presence.ErrSignInRequired, presence.ErrUnauthorized)
	case "consent_required":
		return is("consent to the application's permissions is missing", remedyConsent, presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden)
	case "access_denied":
		return is("the sign-in or the consent was refused", remedyConsent, presence.ErrSignInRequired, presence.ErrForbidden)
	case "invalid_scope":
		return is("a scope does not exist", "check the names of the permissions", ErrInvalidScope, presence.ErrInvalid)
	case "invalid_request", "unsupported_grant_type", "unsupported_response_type", "invalid_resource":
		return is("Entra refuses the request as it is", "check the tenant id, the client id and the redirect URI", presence.ErrInvalid)
	case "server_error", "temporarily_unavailable":
		return is("Entra cannot answer now", "try again later", presence.ErrUnavailable)
	default:
		return diagnosis{}, false
	}
}

var aadstsPattern = regexp.MustCompile(`AADSTS([0-9]{3,9})`)

// aadstsCodes returns the codes of error_codes and those found in a text, each
// once, in this order.
func aadstsCodes(listed []int, text string) []int {
	var codes []int
	add := func(code int) {
		if code > 0 && !slices.Contains(codes, code) && len(codes) < 8 {
			codes = append(codes, code)
		}
	}
	for _, code := range listed {
		add(code)
	}
	for _, m := range aadstsPattern.FindAllStringSubmatch(text, 8) {
		code, err := strconv.Atoi(m[1])
		if err == nil {
			add(code)
		}
	}
	return codes
}
