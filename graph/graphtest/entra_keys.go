package graphtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signingKey is one key for all servers of the process: making one takes a
// tenth of a second, and nothing depends on the keys being different.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// keyID is the thumbprint by which tokens and the key set name the key.
func keyID(key *rsa.PublicKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:20])
}

// claims are what the double writes into its tokens and reads back from them.
type claims struct {
	jwt.RegisteredClaims
	// Audience takes the place of the list in the registered claims: Entra
	// writes one text.
	Audience      string   `json:"aud"`
	Version       string   `json:"ver"`
	TenantID      string   `json:"tid"`
	ObjectID      string   `json:"oid,omitempty"`
	ApplicationID string   `json:"appid,omitempty"`
	Party         string   `json:"azp,omitempty"`
	AppName       string   `json:"app_displayname,omitempty"`
	AppAuth       string   `json:"appidacr,omitempty"`
	IdentityType  string   `json:"idtyp,omitempty"`
	Roles         []string `json:"roles,omitempty"`
	Scopes        string   `json:"scp,omitempty"`
	PrincipalName string   `json:"upn,omitempty"`
	UniqueName    string   `json:"unique_name,omitempty"`
	Preferred     string   `json:"preferred_username,omitempty"`
	Name          string   `json:"name,omitempty"`
	Email         string   `json:"email,omitempty"`
	Nonce         string   `json:"nonce,omitempty"`
	DirectoryRole []string `json:"wids,omitempty"`
	UniqueID      string   `json:"uti,omitempty"`
}

// signers are the keys in the key set, the one that signs first.
type signers struct {
	mu   sync.RWMutex
	keys []*rsa.PrivateKey
}

func (s *signers) all() []*rsa.PrivateKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys
}

// RotateSigningKey makes Entra sign with a new key from now on. The keys before it
// stay in the key set, and what they signed stays valid.
func (s *Server) RotateSigningKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.signers.mu.Lock()
	defer s.signers.mu.Unlock()
	s.signers.keys = append([]*rsa.PrivateKey{key}, s.signers.keys...)
	return nil
}

func (s *Server) sign(c claims) (string, error) {
	key := s.signers.all()[0]
	return signWith(key, keyID(&key.PublicKey), c)
}

func signWith(key *rsa.PrivateKey, id string, c claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	token.Header["kid"] = id
	return token.SignedString(key)
}

// graphIssuer is the issuer of tokens for Graph, which are of version 1.0.
func (s *Server) graphIssuer() string { return "https://sts.windows.net/" + s.tenantID + "/" }

// issuer is the issuer of ID tokens and validation tokens, of version 2.0.
func (s *Server) issuer() string { return s.login + "/" + s.tenantID + "/v2.0" }

func (s *Server) registered(issuer, subject string, now time.Time) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{
		Issuer: issuer, Subject: subject,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(s.assume.AccessTokenLifetime)),
	}
}

func (s *Server) directoryRoles(u User) []string {
	switch {
	case u.GlobalAdministrator:
		return []string{globalAdministratorRole}
	case s.assume.OmitDirectoryRoles:
		return nil
	default:
		return []string{userRole}
	}
}

// appToken signs an app-only token.
func (s *Server) appToken(a *application, audience, method string, now time.Time) (string, error) {
	c := claims{
		RegisteredClaims: s.registered(s.graphIssuer(), a.servicePrincipalID, now), Audience: audience,
		Version: "1.0", TenantID: s.tenantID, ObjectID: a.servicePrincipalID, ApplicationID: a.ClientID, AppName: a.Name,
		AppAuth: method, IdentityType: "app", Roles: a.roles(), UniqueID: newToken(16),
	}
	return s.sign(c)
}

// userToken signs a delegated token.
func (s *Server) userToken(a *application, u User, audience, method string, scopes []string, now time.Time) (string, error) {
	return s.sign(claims{
		RegisteredClaims: s.registered(s.graphIssuer(), u.ID, now), Audience: audience,
		Version: "1.0", TenantID: s.tenantID, ObjectID: u.ID, ApplicationID: a.ClientID, AppName: a.Name,
		AppAuth: method, IdentityType: "user", Scopes: strings.Join(scopes, " "),
		PrincipalName: u.PrincipalName, UniqueName: u.PrincipalName, Name: u.Name, DirectoryRole: s.directoryRoles(u), UniqueID: newToken(16),
	})
}

// idToken signs an ID token (OpenID Connect Core 1.0, section 2).
func (s *Server) idToken(a *application, u User, nonce string, scopes set, now time.Time) (string, error) {
	c := claims{
		RegisteredClaims: s.registered(s.issuer(), u.ID, now), Audience: a.ClientID,
		Version: "2.0", TenantID: s.tenantID, ObjectID: u.ID, Nonce: nonce, DirectoryRole: s.directoryRoles(u), UniqueID: newToken(16),
	}
	if scopes.has("profile") {
		c.Name, c.Preferred = u.Name, u.PrincipalName
	}
	if scopes.has("email") {
		c.Email = u.Mail
	}
	return s.sign(c)
}

var errToken = errors.New("token for another service")

// verify checks a token that the double issued for Graph; the issuer names the
// tenant.
func (s *Server) verify(token string) (*claims, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, s.publicKey,
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(s.graphIssuer()), jwt.WithExpirationRequired())
	if err != nil {
		return nil, err
	}
	if !s.isGraphResource(c.Audience) {
		return nil, errToken
	}
	return &c, nil
}

// publicKey finds the key that a token names.
func (s *Server) publicKey(token *jwt.Token) (any, error) {
	for _, key := range s.signers.all() {
		if token.Header["kid"] == keyID(&key.PublicKey) {
			return &key.PublicKey, nil
		}
	}
	return nil, errToken
}

// isGraphResource reports whether a scope's or a token's resource is Graph: by
// this server's URL, by the names it has in Microsoft's clouds, or by its id.
func (s *Server) isGraphResource(resource string) bool {
	switch strings.TrimRight(resource, "/") {
	case s.graph, s.double.URL, graphAppID, "https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us":
		return true
	default:
		return false
	}
}

func (s *Server) serveConfiguration(w http.ResponseWriter, tenant string) {
	name, issuer := tenant, s.issuer()
	switch strings.ToLower(tenant) {
	case "common", "organizations":
		issuer = s.login + "/{tenantid}/v2.0"
	case s.tenantID, strings.ToLower(s.domain):
		name = s.tenantID
	default:
		f := s.checkTenant(tenant, true)
		f.oauth = "invalid_tenant"
		writeEntra(w, f.status, map[string]any{"error": f.oauth, "error_description": f.Error(), "error_codes": []int{f.code}})
		return
	}
	base := s.login + "/" + name
	writeEntra(w, http.StatusOK, map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "form_post"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"code_challenge_methods_supported":      []string{"plain", "S256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"tenant_region_scope":                   "NA",
		"cloud_instance_name":                   "microsoftonline.com",
		"msgraph_host":                          strings.TrimPrefix(strings.TrimPrefix(s.graph, "https://"), "http://"),
	})
}

func (s *Server) serveKeys(w http.ResponseWriter) {
	var keys []map[string]any
	for _, key := range s.signers.all() {
		id := keyID(&key.PublicKey)
		keys = append(keys, map[string]any{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "x5t": id,
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		})
	}
	writeEntra(w, http.StatusOK, map[string]any{"keys": keys})
}

// serveInstance answers the discovery that sign-in libraries do before they
// trust an authority's host.
func (s *Server) serveInstance(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	writeEntra(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": s.login + "/" + s.tenantID + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata":                  []map[string]any{{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
	})
}
