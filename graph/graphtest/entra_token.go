package graphtest

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // x5t is defined as a SHA-1 thumbprint (RFC 7515)
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// codeLifetime is how long an authorization code waits to be redeemed.
	codeLifetime = 10 * time.Minute
	// refreshLifetime is how long a refresh token lives without being used;
	// using it gives a new one and does not end the old one
	// (learn.microsoft.com/entra/identity-platform/refresh-tokens).
	refreshLifetime = 90 * 24 * time.Hour
)

type authorizationCode struct {
	request  authorization
	userID   string
	issued   time.Time
	redeemed bool
}

type refreshToken struct {
	clientID, userID string
	// scopes, unless nil, are all that the grant covers; nil covers whatever
	// is consented to.
	scopes  []string
	issued  time.Time
	revoked bool
}

// tokenResponse is a successful answer of the token endpoint (RFC 6749, section 5.1).
type tokenResponse struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, tenant string) {
	if r.Method != http.MethodPost {
		s.writeEntraFault(w, r, refuse(http.StatusBadRequest, "invalid_request", aadstsMethod, "The endpoint only accepts POST requests. Received a %s request.", r.Method))
		return
	}
	response, err := s.token(r, tenant)
	if err != nil {
		var f *entraFault
		if !errors.As(err, &f) {
			f = refuse(http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred. Please try again.")
		}
		s.writeEntraFault(w, r, f)
		return
	}
	writeEntra(w, http.StatusOK, response)
}

func (s *Server) token(r *http.Request, tenant string) (*tokenResponse, error) {
	if err := r.ParseForm(); err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid_request", aadstsParameterMissing, "The request body could not be read as a form.")
	}
	form := r.PostForm
	grantType := form.Get("grant_type")
	if grantType == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", aadstsParameterMissing, "The request body must contain the following parameter: 'grant_type'.")
	}
	if f := s.checkTenant(tenant, grantType != "client_credentials"); f != nil {
		return nil, f
	}
	clientID, clientSecret := form.Get("client_id"), form.Get("client_secret")
	if id, password, ok := r.BasicAuth(); ok {
		// RFC 6749, section 2.3.1: both are form-encoded before they are joined.
		id, password = unescapeForm(id), unescapeForm(password)
		clientID, clientSecret = cmp.Or(clientID, id), cmp.Or(clientSecret, password)
	}
	a, f := s.checkApplication(clientID)
	if f != nil {
		return nil, f
	}
	now := time.Now()
	method, f := s.authenticate(a, presence.NewSecret(clientSecret), form, now)
	if f != nil {
		return nil, f
	}
	switch grantType {
	case "client_credentials":
		return s.clientCredentials(a, method, form, now)
	case "authorization_code":
		return s.redeemCode(a, method, form, now)
	case "refresh_token":
		return s.redeemRefreshToken(a, method, form, now)
	default:
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", aadstsGrantType, "The app requested an unsupported grant type '%s'.", grantType)
	}
}

func unescapeForm(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// The values of the claim appidacr: how the application proved who it is.
const (
	bySecret      = "1"
	byCertificate = "2"
)

// authenticate checks the client's secret or signed assertion.
func (s *Server) authenticate(a *application, secret presence.Secret, form url.Values, now time.Time) (method string, f *entraFault) {
	if form.Get("client_assertion") != "" {
		if err := s.checkAssertion(a, form); err != nil {
			return "", invalidClient(aadstsAssertionInvalid, "The certificate with identifier used to sign the client assertion is not registered on application, or the assertion is not valid for it.")
		}
		return byCertificate, nil
	}
	if secret.IsZero() {
		return "", invalidClient(aadstsCredentialMissing, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	for _, c := range a.Secrets {
		if !c.Value.Equal(secret) || now.Before(c.Start) {
			continue
		}
		if !now.Before(c.End) {
			return "", invalidClient(aadstsSecretExpired, "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app.", a.ClientID)
		}
		return bySecret, nil
	}
	return "", invalidClient(aadstsSecretInvalid, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", a.ClientID)
}

// checkAssertion checks a client assertion (RFC 7523): signed with the key of a
// registered certificate that the header names by its thumbprint, from and for
// the application, and meant for this token endpoint.
func (s *Server) checkAssertion(a *application, form url.Values) error {
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return errors.New("client_assertion_type is not jwt-bearer")
	}
	var c jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(form.Get("client_assertion"), &c, func(t *jwt.Token) (any, error) {
		for _, certificate := range a.Certificates {
			if namesCertificate(t, certificate) {
				return certificate.PublicKey, nil
			}
		}
		return nil, errors.New("no such certificate")
	}, jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithExpirationRequired(), jwt.WithIssuer(a.ClientID), jwt.WithSubject(a.ClientID))
	if err != nil {
		return err
	}
	// The tenant may be named by its id, its domain or an alias.
	if !slices.ContainsFunc(c.Audience, func(audience string) bool {
		rest, ok := strings.CutPrefix(audience, s.login+"/")
		if !ok {
			rest, ok = strings.CutPrefix(audience, s.double.URL+"/")
		}
		_, path, _ := strings.Cut(rest, "/")
		return ok && (path == "oauth2/v2.0/token" || path == "v2.0")
	}) {
		return errors.New("audience is not the token endpoint")
	}
	return nil
}

// namesCertificate reports whether a token's header names a certificate by a
// thumbprint (RFC 7515, sections 4.1.7 and 4.1.8).
func namesCertificate(t *jwt.Token, certificate *x509.Certificate) bool {
	sum256, sum1 := sha256.Sum256(certificate.Raw), sha1.Sum(certificate.Raw) //nolint:gosec // see the import
	for name, sum := range map[string][]byte{"x5t#S256": sum256[:], "x5t": sum1[:]} {
		if value, ok := t.Header[name].(string); ok && strings.TrimRight(value, "=") == base64.RawURLEncoding.EncodeToString(sum) {
			return true
		}
	}
	return false
}

// scopes are those of one request, without the resource's name.
type scopes struct {
	names     []string
	isDefault bool // {resource}/.default
	audience  string
}

// parseScopes reads a scope parameter (RFC 6749, section 3.3).
func (s *Server) parseScopes(value string) (scopes, *entraFault) {
	invalid := refuse(http.StatusBadRequest, "invalid_scope", aadstsScopeInvalid,
		"The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid.")
	parsed := scopes{audience: graphAppID}
	for _, scope := range strings.Fields(value) {
		if i := strings.LastIndex(scope, "/"); i >= 0 {
			resource, name := scope[:i], scope[i+1:]
			if !s.isGraphResource(resource) {
				return parsed, invalid
			}
			parsed.audience, scope = strings.TrimRight(resource, "/"), name
		}
		if strings.EqualFold(scope, ".default") {
			parsed.isDefault = true
			continue
		}
		p, ok := findPermission(scope)
		if !ok || p.scopeID == "" {
			return parsed, invalid
		}
		parsed.names = append(parsed.names, p.name)
	}
	if len(parsed.names) == 0 && !parsed.isDefault {
		return parsed, invalid
	}
	return parsed, nil
}

func (s *Server) response(scope []string) *tokenResponse {
	// A second less than the token's life, as in Microsoft's samples.
	life := int(s.assume.AccessTokenLifetime/time.Second) - 1
	return &tokenResponse{TokenType: "Bearer", Scope: strings.Join(scope, " "), ExpiresIn: life, ExtExpiresIn: life}
}

func (s *Server) clientCredentials(a *application, method string, form url.Values, now time.Time) (*tokenResponse, error) {
	wanted, f := s.parseScopes(form.Get("scope"))
	if f != nil || !wanted.isDefault || len(wanted.names) > 0 {
		return nil, refuse(http.StatusBadRequest, "invalid_scope", aadstsScopeInvalid,
			"The provided value for the input parameter 'scope' is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.")
	}
	token, err := s.appToken(a, wanted.audience, method, now)
	if err != nil {
		return nil, err
	}
	answer := s.response(nil)
	answer.AccessToken = token
	return answer, nil
}

func (s *Server) redeemCode(a *application, method string, form url.Values, now time.Time) (*tokenResponse, error) {
	s.mu.Lock()
	code := s.codes[form.Get("code")]
	var redeemed bool
	if code != nil && strings.EqualFold(code.request.clientID, a.ClientID) {
		redeemed, code.redeemed = code.redeemed, true
	} else {
		code = nil
	}
	s.mu.Unlock()
	switch {
	case code == nil:
		return nil, invalidGrant(aadstsGrantInvalid, "The provided authorization code is invalid or has been issued to another application.")
	case redeemed:
		return nil, invalidGrant(aadstsCodeRedeemed, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case now.Sub(code.issued) >= codeLifetime:
		return nil, invalidGrant(aadstsGrantExpired, "The provided authorization code has expired. Send a new interactive authorization request for this user and resource.")
	case form.Get("redirect_uri") != code.request.redirectURI:
		return nil, invalidClient(aadstsReplyAddress, "The reply address does not match the reply address provided when requesting Authorization code.")
	case !verifierMatches(code.request, form.Get("code_verifier")):
		return nil, invalidGrant(aadstsVerifierMismatch, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	// Every client of the double proves itself, and none is a page in a browser.
	// Assumed: the OAuth errors beside the codes, and that this is when they come.
	switch a.platform(code.request.redirectURI) {
	case platformSPA:
		return nil, refuse(http.StatusBadRequest, "invalid_request", aadstsOnlySPA,
			"Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.")
	case platformPublicClient:
		return nil, invalidClient(aadstsPublicClient, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	default:
	}
	granted, audience := code.request.scopes, cmp.Or(code.request.audience, graphAppID)
	return s.grant(a, method, code.userID, grantRequest{oidc: newSet(granted...), audience: audience, nonce: code.request.nonce}, now)
}

// verifierMatches checks a proof of possession (RFC 7636, section 4.6).
func verifierMatches(request authorization, verifier string) bool {
	if request.challenge == "" {
		return true
	}
	if request.challengeMethod == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(request.challenge)) == 1
}

func (s *Server) redeemRefreshToken(a *application, method string, form url.Values, now time.Time) (*tokenResponse, error) {
	s.mu.Lock()
	var t refreshToken
	known := s.refresh[form.Get("refresh_token")]
	if known != nil {
		t = *known
	}
	s.mu.Unlock()
	switch {
	case known == nil || !strings.EqualFold(t.clientID, a.ClientID):
		return nil, invalidGrant(aadstsGrantInvalid, "Provided grant is invalid or malformed.")
	case t.revoked:
		return nil, invalidGrant(aadstsGrantRevoked, "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.")
	case now.Sub(t.issued) >= refreshLifetime:
		return nil, invalidGrant(aadstsGrantInactive, "The refresh token has expired due to inactivity. The token was issued on %s and was inactive for 90.00:00:00.", t.issued.UTC().Format(time.RFC3339))
	}
	wanted := scopes{audience: graphAppID}
	if value := form.Get("scope"); value != "" {
		var f *entraFault
		if wanted, f = s.parseScopes(value); f != nil {
			return nil, f
		}
	}
	oidc := newSet(wanted.names...)
	// The offline access and the sign-in scopes of the first grant carry over.
	for _, name := range []string{"offline_access", "openid", "profile", "email"} {
		if t.scopes == nil || newSet(t.scopes...).has(name) {
			oidc[name] = true
		}
	}
	oidc["offline_access"] = true
	return s.grant(a, method, t.userID, grantRequest{oidc: oidc, limit: t.scopes, wanted: wanted.names, audience: wanted.audience}, now)
}

// grantRequest is what a delegated grant is to cover.
type grantRequest struct {
	oidc     set      // the sign-in scopes asked for, among others
	limit    []string // unless nil, all that may be granted
	wanted   []string // must be granted, or consent is missing
	audience string
	nonce    string
}

// grant issues the tokens of a delegated grant. As at Entra, the access token
// covers everything consented to, whatever part of it was asked for.
func (s *Server) grant(a *application, method, userID string, g grantRequest, now time.Time) (*tokenResponse, error) {
	u, f := s.checkUser(userID)
	if f != nil {
		return nil, f
	}
	granted, missing := a.consented(u.ID, g.limit, g.wanted)
	if len(missing) > 0 || len(granted) == 0 {
		return nil, invalidGrant(aadstsConsentMissing,
			"The user or administrator has not consented to use the application with ID '%s' named '%s'. Send an interactive authorization request for this user and resource.", a.ClientID, a.Name)
	}
	consented := newSet(granted...)
	scope := slices.DeleteFunc(slices.Clone(granted), func(name string) bool { return name == "offline_access" })
	token, err := s.userToken(a, u, g.audience, method, scope, now)
	if err != nil {
		return nil, err
	}
	answer := s.response(scope)
	answer.AccessToken = token
	if g.oidc.has("openid") && consented.has("openid") {
		if answer.IDToken, err = s.idToken(a, u, g.nonce, g.oidc, now); err != nil {
			return nil, err
		}
	}
	if g.oidc.has("offline_access") && consented.has("offline_access") {
		answer.RefreshToken = s.issueRefreshToken(a.ClientID, u.ID, g.limit, now)
	}
	return answer, nil
}

// consented returns the scopes that are consented to for a user (empty: for
// whoever signs in) within limit (nil: all), and those of wanted that are not
// among them.
func (a *application) consented(userID string, limit, wanted []string) (granted, missing []string) {
	if !a.ConsentPending {
		granted = slices.DeleteFunc(slices.Clone(a.DelegatedPermissions), a.withdrawn[strings.ToLower(userID)].has)
	}
	if limit != nil {
		within := newSet(limit...)
		granted = slices.DeleteFunc(granted, func(name string) bool { return !within.has(name) })
	}
	has := newSet(granted...)
	for _, name := range wanted {
		if !has.has(name) {
			missing = append(missing, name)
		}
	}
	return granted, missing
}

func (s *Server) issueRefreshToken(clientID, userID string, scopes []string, now time.Time) string {
	token := "1." + newToken(48)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh[token] = &refreshToken{clientID: clientID, userID: userID, scopes: scopes, issued: now}
	return token
}

// GrantRefreshToken returns a refresh token as if the user had signed in to the
// application: a presence monitor that is authorized already. With scopes the
// grant covers these and no others, besides offline_access; without, all that
// is consented to.
func (s *Server) GrantRefreshToken(clientID, userID string, scopes ...string) (presence.Secret, error) {
	a, f := s.checkApplication(clientID)
	if f != nil {
		return presence.Secret{}, f
	}
	u, f := s.checkUser(userID)
	if f != nil {
		return presence.Secret{}, f
	}
	var limit []string
	for _, name := range scopes {
		p, ok := findPermission(name)
		if !ok || p.scopeID == "" {
			return presence.Secret{}, fmt.Errorf("graphtest: %q is no delegated permission", name)
		}
		limit = append(limit, p.name)
	}
	if limit != nil {
		limit = append(limit, "offline_access")
	}
	return presence.NewSecret(s.issueRefreshToken(a.ClientID, u.ID, limit, time.Now())), nil
}

// RevokeRefreshTokens ends all refresh tokens of a user, as an administrator
// does who resets the password or revokes the sessions: the next use fails with
// AADSTS50173. Access tokens that were issued stay valid until they expire.
func (s *Server) RevokeRefreshTokens(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.refresh {
		if strings.EqualFold(t.userID, userID) {
			t.revoked = true
		}
	}
}
