package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/presence"
)

// RedirectURI returns the redirect URI of Mitel's own integration for a CloudLink
// region: us, eu or ap. An embedding service registers one of its own if it takes
// the sign-in itself.
func RedirectURI(region string) (string, error) {
	switch r := strings.ToLower(region); r {
	case "us", "eu", "ap":
		return "https://workflow." + r + ".api.mitel.io/2017-09-01/integrations/microsoft/sso", nil
	default:
		return "", fmt.Errorf("graph: unknown CloudLink region %q: use us, eu or ap", region)
	}
}

// AuthorizerOptions are the settings of an [Authorizer]. The zero value of each
// field is its default.
type AuthorizerOptions struct {
	// Cloud is where to sign in. Default: [Global].
	Cloud Cloud
	// HTTPClient lends its Transport and its Timeout, which bounds each attempt.
	// Default: [http.DefaultTransport] and 30 seconds.
	HTTPClient *http.Client
	// Scopes are asked for. Without offline_access there is no refresh token.
	// Default: the names of [DelegatedScopes].
	Scopes []string
	// GlobalAdministrator says of an access token whether its account is a global
	// administrator, for [Grant]; nil where it does not tell. Default:
	// [GlobalAdministrator].
	GlobalAdministrator func(accessToken presence.Secret) *bool
}

// Authorizer signs users in by the authorization code flow with PKCE: it makes
// the URL that a person opens, and turns what comes back into tokens. It keeps no
// state, so a sign-in can begin in one process and end in another.
type Authorizer struct {
	endpoint    *endpoint
	secret      presence.Secret
	redirectURL string
	scopes      []string
	readers     readers
}

// NewAuthorizer returns an Authorizer for one application, whose redirect URI
// redirectURL must be, to the letter. It returns all faults of its arguments at
// once, and sends nothing.
func NewAuthorizer(tenantID, clientID string, secret presence.Secret, redirectURL string, opts *AuthorizerOptions) (*Authorizer, error) {
	var o AuthorizerOptions
	if opts != nil {
		o = *opts
	}
	e, err := newEndpoint(tenantID, clientID, &CredentialOptions{Cloud: o.Cloud, HTTPClient: o.HTTPClient})
	if err := errors.Join(err, checkSecret(secret), checkRedirectURL(redirectURL)); err != nil {
		return nil, err
	}
	names := o.Scopes
	if len(names) == 0 {
		for _, p := range DelegatedScopes() {
			names = append(names, p.Name)
		}
	}
	a := &Authorizer{endpoint: e, secret: secret, redirectURL: redirectURL, readers: readers{administrator: o.GlobalAdministrator}.withDefaults()}
	for _, name := range names {
		a.scopes = append(a.scopes, e.cloud.scope(name))
	}
	return a, nil
}

func checkRedirectURL(raw string) error {
	if u, err := url.Parse(raw); err != nil || !u.IsAbs() || u.Host == "" || u.Fragment != "" {
		return errors.New("graph: the redirect URL must be absolute and without a fragment, as it is registered with the application in Entra")
	}
	return nil
}

// ResponseMode is how the outcome of a sign-in comes to the redirect URI.
type ResponseMode string

const (
	// ResponseQuery puts it into the URL of a GET request.
	ResponseQuery ResponseMode = "query"
	// ResponseFormPost puts it into the form of a POST request, which keeps the
	// code out of logs and browser histories.
	ResponseFormPost ResponseMode = "form_post"
)

// AuthorizationOptions shape one sign-in. The zero value of each field is its default.
type AuthorizationOptions struct {
	// LoginHint is the user principal name that is filled in. Default: none.
	LoginHint string
	// DomainHint is the tenant's domain, which skips the choice of an account
	// type. Default: none.
	DomainHint string
	// Prompt is login, none, consent or select_account. Default: Entra decides.
	Prompt string
	// ResponseMode is how the outcome comes back. Default: [ResponseQuery].
	ResponseMode ResponseMode
}

// AuthorizationRequest is a sign-in that has begun.
type AuthorizationRequest struct {
	// URL is to be opened by the one who signs in.
	URL string
	// Verifier proves to [Authorizer.Exchange] that the sign-in began here. Keep
	// it with the state.
	Verifier presence.Secret
}

// Begin begins a sign-in. The state comes back with the outcome: it must be
// impossible to guess, belong to one attempt and be accepted once.
func (a *Authorizer) Begin(state string, opts *AuthorizationOptions) (AuthorizationRequest, error) {
	var o AuthorizationOptions
	if opts != nil {
		o = *opts
	}
	var faults []error
	if state == "" {
		faults = append(faults, errors.New("graph: the state of a sign-in is empty: use a random text for each attempt"))
	}
	if !slices.Contains([]string{"", "login", "none", "consent", "select_account"}, o.Prompt) {
		faults = append(faults, fmt.Errorf("graph: unknown prompt %q: use login, none, consent or select_account", o.Prompt))
	}
	switch o.ResponseMode {
	case "":
		o.ResponseMode = ResponseQuery
	case ResponseQuery, ResponseFormPost:
	default:
		faults = append(faults, fmt.Errorf("graph: unknown response mode %q: use query or form_post", o.ResponseMode))
	}
	if err := errors.Join(faults...); err != nil {
		return AuthorizationRequest{}, err
	}
	verifier := oauth2.GenerateVerifier()
	params := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("response_mode", string(o.ResponseMode)),
	}
	for name, value := range map[string]string{"login_hint": o.LoginHint, "domain_hint": o.DomainHint, "prompt": o.Prompt} {
		if value != "" {
			params = append(params, oauth2.SetAuthURLParam(name, value))
		}
	}
	// The URL needs no secret, so the configuration gets none.
	config := a.endpoint.config(presence.Secret{}, a.redirectURL, a.scopes)
	return AuthorizationRequest{URL: config.AuthCodeURL(state, params...), Verifier: presence.NewSecret(verifier)}, nil
}

// Callback is what Entra brings to the redirect URI.
type Callback struct {
	// State is that of [Authorizer.Begin] or [Authorizer.AdminConsentURL]. It
	// says which attempt this is, and is set beside an error too.
	State string
	// Code is to be exchanged, once, within about ten minutes. Zero after an
	// admin consent.
	Code presence.Secret
	// AdminConsent: an administrator has consented.
	AdminConsent bool
	// TenantID is the tenant that consented; empty after a sign-in.
	TenantID string
}

// ParseCallback reads the query or form that came to the redirect URI. Where it
// tells of a refusal, the error is an [*Error]. The caller must look up the
// State, in either case, before believing anything.
func ParseCallback(values url.Values) (Callback, error) {
	cb := Callback{
		State:        values.Get("state"),
		Code:         presence.NewSecret(values.Get("code")),
		AdminConsent: strings.EqualFold(values.Get("admin_consent"), "true"),
		TenantID:     safeWord(values.Get("tenant")),
	}
	switch {
	case values.Get("error") != "":
		cb.Code, cb.AdminConsent = presence.Secret{}, false
		return cb, &Error{
			Operation: "sign in",
			Code:      safeWord(values.Get("error")),
			AADSTS:    aadstsCodes(nil, values.Get("error_description")),
			oauth:     true,
		}
	case cb.Code.IsZero() && !cb.AdminConsent:
		return cb, &Error{Operation: "sign in", kind: ErrMalformed}
	}
	return cb, nil
}

// IDTokenClaims say who has signed in.
type IDTokenClaims struct {
	// ObjectID is the account's Entra object id (oid).
	ObjectID string
	// TenantID is the account's tenant (tid).
	TenantID string
	// PreferredUsername is usually the user principal name; it is for people to
	// read and may change.
	PreferredUsername string
	// Name is the display name.
	Name string
}

// Grant is the outcome of a sign-in, or of a refresh of its tokens.
type Grant struct {
	// AccessToken is valid until Expiry.
	AccessToken presence.Secret
	// RefreshToken makes a [NewDelegatedCredential]; zero where offline_access
	// was not asked for or not granted, and after [Credential.Refresh].
	RefreshToken presence.Secret
	// Scopes are those that were granted, by their short names.
	Scopes []string
	// Roles are the application permissions that the access token of an
	// application's own credential holds, by their names; nil where the token does
	// not tell: see [TokenRoles]. [MissingPermissions] takes them.
	Roles []string
	// Expiry is the end of the access token.
	Expiry time.Time
	// IDTokenClaims say who has signed in; zero where openid was not asked for.
	IDTokenClaims IDTokenClaims
	// GlobalAdministrator says whether the account is a global administrator; nil
	// where the access token does not tell: see [GlobalAdministrator].
	GlobalAdministrator *bool
}

// Exchange redeems the code that came to the redirect URI, with the verifier of
// the [AuthorizationRequest]. A code can be redeemed once, so nothing is
// repeated: after a failure, begin anew.
func (a *Authorizer) Exchange(ctx context.Context, code string, verifier presence.Secret) (*Grant, error) {
	config := a.endpoint.config(a.secret, a.redirectURL, a.scopes)
	token, err := config.Exchange(a.endpoint.context(ctx), code, oauth2.VerifierOption(verifier.Reveal()))
	if err != nil {
		return nil, fetchError(err)
	}
	return a.endpoint.grant(token, a.readers)
}

// readers read what an access token says for those who can.
type readers struct {
	administrator func(presence.Secret) *bool
	roles         func(presence.Secret) []string
}

func (r readers) withDefaults() readers {
	if r.administrator == nil {
		r.administrator = GlobalAdministrator
	}
	if r.roles == nil {
		r.roles = TokenRoles
	}
	return r
}

// grant returns what a token and those that came with it tell.
func (e *endpoint) grant(token *oauth2.Token, read readers) (*Grant, error) {
	g := &Grant{
		AccessToken:  presence.NewSecret(token.AccessToken),
		RefreshToken: presence.NewSecret(token.RefreshToken),
		Expiry:       token.Expiry,
	}
	g.GlobalAdministrator, g.Roles = read.administrator(g.AccessToken), read.roles(g.AccessToken)
	scope, _ := token.Extra("scope").(string)
	for name := range strings.FieldsSeq(scope) {
		g.Scopes = append(g.Scopes, strings.TrimPrefix(name, e.cloud.GraphURL+"/"))
	}
	if idToken, _ := token.Extra("id_token").(string); idToken != "" {
		var err error
		if g.IDTokenClaims, err = e.claims(idToken); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// claims reads an id token. It came from the token endpoint itself, by TLS, so
// its signature need not be checked (OpenID Connect Core 1.0 section 3.1.3.7,
// point 6); that it was made for this application must be.
func (e *endpoint) claims(idToken string) (IDTokenClaims, error) {
	var wire struct {
		jwt.RegisteredClaims
		ObjectID          string `json:"oid"`
		TenantID          string `json:"tid"`
		PreferredUsername string `json:"preferred_username"`
		Name              string `json:"name"`
	}
	if _, _, err := jwt.NewParser().ParseUnverified(idToken, &wire); err != nil || !slices.ContainsFunc(wire.Audience, e.isAudience) {
		return IDTokenClaims{}, &Error{Operation: tokenOperation, kind: ErrMalformed}
	}
	return IDTokenClaims{wire.ObjectID, wire.TenantID, wire.PreferredUsername, wire.Name}, nil
}

// isAudience compares without regard to case: the client id is a GUID.
func (e *endpoint) isAudience(audience string) bool {
	return strings.EqualFold(audience, e.clientID)
}
