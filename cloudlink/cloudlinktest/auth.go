package cloudlinktest

import (
	"crypto/rand"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/presencebridge/presencebridge/presence"
)

// session is what a token stands for.
type session struct {
	clientID    string // of a client's token
	userID      string // of a person's token
	principalID string
	role        string
	expires     time.Time
}

func (s session) admin() bool { return s.role == RoleAccountAdmin || s.role == RolePartnerAdmin }

// actor is whom a write is put down to.
func (s session) actor() string {
	if s.clientID != "" {
		return s.clientID
	}
	return s.userID
}

// code is an authorization code that has not been exchanged.
type code struct {
	clientID, userID string
	expires          time.Time
}

// ExpireTokens makes every access token invalid, as if its time were over.
// Refresh tokens stay valid.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.accessTokens)
}

// RevokeRefreshTokens makes every refresh token invalid. Access tokens stay valid.
func (s *Server) RevokeRefreshTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refreshTokens)
}

// bearer returns the token of a request. Mitel's samples send it with and
// without the scheme before it.
func bearer(r *http.Request) string {
	value := strings.TrimSpace(r.Header.Get("Authorization"))
	if scheme, token, found := strings.Cut(value, " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return value
}

// authorize returns the session of a request's token, or a refusal.
func (s *Server) authorize(r *http.Request) (session, *answer) {
	token := bearer(r)
	s.mu.Lock()
	found, valid := s.accessTokens[token]
	s.mu.Unlock()
	var refusal answer
	switch {
	case token == "":
		refusal = refuse(http.StatusUnauthorized, "no authorization token was found")
	case !valid || !time.Now().Before(found.expires):
		refusal = refuse(http.StatusUnauthorized, "the token is invalid or has expired")
	default:
		return found, nil
	}
	return session{}, &refusal
}

// fields reads a body that is a form or a JSON object: Mitel's samples send both.
func (c *call) fields() (url.Values, *answer) {
	kind, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if kind == "application/json" {
		var object map[string]any
		if err := json.Unmarshal(c.body, &object); err != nil {
			refusal := refuse(http.StatusBadRequest, "the body is not a JSON object")
			return nil, &refusal
		}
		values := make(url.Values, len(object))
		for name, value := range object {
			if text, isText := value.(string); isText {
				values.Set(name, text)
			}
		}
		return values, nil
	}
	values, err := url.ParseQuery(string(c.body))
	if err != nil {
		refusal := refuse(http.StatusBadRequest, "the body is not a form")
		return nil, &refusal
	}
	return values, nil
}

// postToken is POST /token.
func (s *Server) postToken(c *call) answer {
	fields, refusal := c.fields()
	if refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unauthorized := refuse(http.StatusUnauthorized, "the credentials are not valid")
	switch grant := fields.Get("grant_type"); grant {
	case "password":
		user := s.signedIn(fields)
		if user == nil {
			return unauthorized
		}
		return s.grant(s.sessionOf(user), true)
	case "authorization_code":
		given := fields.Get("code")
		found, valid := s.codes[given]
		delete(s.codes, given)
		if !valid || !time.Now().Before(found.expires) || found.clientID != fields.Get("client_id") || s.users[found.userID] == nil {
			return unauthorized
		}
		return s.grant(s.sessionOf(s.users[found.userID]), true)
	case "refresh_token":
		given := fields.Get("refresh_token")
		if given == "" {
			given = fields.Get("token")
		}
		found, valid := s.refreshTokens[given]
		if !valid || !time.Now().Before(found.expires) {
			return unauthorized
		}
		if s.assumed.RotateRefreshTokens {
			delete(s.refreshTokens, given)
		}
		return s.grant(found, true)
	case "client_credentials":
		found := s.clients[fields.Get("client_id")]
		if found == nil || found.secret == "" || found.secret != fields.Get("client_secret") || !s.isAccount(fields.Get("account_id")) {
			return unauthorized
		}
		return s.grant(session{clientID: found.id, principalID: found.id, role: found.role}, false)
	case "":
		return refuse(http.StatusBadRequest, "grant_type is missing")
	default:
		return refuse(http.StatusBadRequest, "grant_type must be password, refresh_token, authorization_code or client_credentials")
	}
}

// postAuthorize is POST /authorize.
func (s *Server) postAuthorize(c *call) answer {
	fields, refusal := c.fields()
	if refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clientID := fields.Get("client_id")
	switch {
	case fields.Get("response_type") != "code":
		return refuse(http.StatusBadRequest, "response_type must be code")
	case s.clients[clientID] == nil:
		return refuse(http.StatusBadRequest, "client_id is not that of a registered application")
	}
	user := s.signedIn(fields)
	if user == nil {
		return refuse(http.StatusUnauthorized, "the credentials are not valid")
	}
	issued := newGUID()
	s.codes[issued] = code{clientID: clientID, userID: user.ID, expires: time.Now().Add(s.assumed.CodeLifetime)}
	return ok(map[string]string{"code": issued})
}

// signedIn returns the person whose user name, password and account the fields
// give, or nil.
func (s *Server) signedIn(fields url.Values) *User {
	user := s.users[s.emails[presence.NormalizeEmail(fields.Get("username"))]]
	if user == nil || user.Password == "" || user.Password != fields.Get("password") || !s.isAccount(fields.Get("account_id")) {
		return nil
	}
	return user
}

func (s *Server) sessionOf(u *User) session {
	return session{userID: u.ID, principalID: u.PrincipalID, role: u.Role}
}

// grant issues tokens for a session. The caller holds the lock.
func (s *Server) grant(of session, withRefresh bool) answer {
	now := time.Now()
	for _, tokens := range []map[string]session{s.accessTokens, s.refreshTokens} {
		for token, other := range tokens {
			if !now.Before(other.expires) {
				delete(tokens, token)
			}
		}
	}
	of.expires = now.Add(s.opts.TokenLifetime)
	access := s.sign(s.claims(of, now))
	s.accessTokens[access] = of
	body := map[string]any{
		"token_type":   "bearer",
		"expires_in":   int(s.opts.TokenLifetime / time.Second),
		"access_token": access,
		"scope":        "read write",
	}
	if withRefresh {
		of.expires = now.Add(s.opts.RefreshLifetime)
		refresh := s.sign(jwt.MapClaims{
			"accountId": s.AccountID(), "iss": s.issuer(), "type": "user", "id": of.userID, "assumedRole": of.role,
			"authProvider": "cloudlink", "iat": now.Unix(), "exp": of.expires.Unix(), "jti": rand.Text(),
		})
		s.refreshTokens[refresh] = of
		body["refresh_token"] = refresh
	}
	return ok(body)
}

func (s *Server) sign(claims jwt.MapClaims) string {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(s.key)
	if err != nil {
		panic(err) // strings, numbers and booleans under a key of bytes: cannot fail
	}
	return signed
}

func (s *Server) issuer() string { return "https://authentication.api.mitel.io/" + version + "/token" }

// claims are those that Mitel's sample access token has, and jti, which keeps
// two tokens of one second apart.
func (s *Server) claims(of session, now time.Time) jwt.MapClaims {
	claims := jwt.MapClaims{
		"principalId": of.principalID, "accountId": s.AccountID(), "partnerId": s.opts.PartnerID,
		"domain": s.accountDomain(), "role": of.role, "iss": s.issuer(),
		"iat": now.Unix(), "exp": of.expires.Unix(), "jti": rand.Text(),
	}
	if user := s.users[of.userID]; user != nil {
		for name, value := range map[string]any{
			"uniqueUserId": user.UniqueID, "userId": user.ID, "email": user.Email, "name": user.Name,
			"sipAddress": s.sipAddress(user), "languageCode": "en", "emailVerified": user.Email != "",
			"extensionVerified": user.Extension != "", "mobileVerified": false, "phoneVerified": false,
		} {
			claims[name] = value
		}
	}
	return claims
}

func (s *Server) sipAddress(u *User) string {
	return "sip:" + u.ID + "@" + s.AccountID() + ".mitel.io"
}

// getToken is GET /token, "whoami": what the token says, with times and booleans
// as strings.
func (s *Server) getToken(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := User{}
	if u := s.users[c.session.userID]; u != nil {
		user = *u
	}
	flag := strconv.FormatBool
	identity := map[string]any{
		"principalId": c.session.principalID, "accountId": s.AccountID(), "partnerId": s.opts.PartnerID,
		"domain": s.accountDomain(), "role": c.session.role, "iss": s.issuer(),
		"aud": "https://mitel.io/auth/teamwork", "integrationLatency": 0,
		"exp": strconv.FormatInt(c.session.expires.Unix(), 10),
		"iat": strconv.FormatInt(c.session.expires.Add(-s.opts.TokenLifetime).Unix(), 10),
	}
	if c.session.userID != "" {
		for name, value := range map[string]any{
			"userId": user.ID, "uniqueUserId": user.UniqueID, "loginId": user.Email, "email": user.Email,
			"name": user.Name, "extension": user.Extension, "mobile": user.Mobile, "phone": user.Phone,
			"siteId": user.SiteID, "sipAddress": s.sipAddress(&user), "languageCode": "en",
			"profileHeaderUrl": "", "photoUrl": "",
			"emailVerified": flag(user.Email != ""), "extensionVerified": flag(user.Extension != ""),
			"mobileVerified": flag(false), "phoneVerified": flag(false),
		} {
			identity[name] = value
		}
	}
	return ok(identity)
}
