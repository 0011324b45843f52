package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// changeTrackingID is the application "Microsoft Graph Change Tracking", which
	// obtains the validation tokens
	// (learn.microsoft.com/graph/change-notifications-with-resource-data).
	changeTrackingID = "0bf30f3b-4a52-48df-9a82-234910c4a086"
	// version1Issuer issues tokens of version 1.0 in the global cloud, which alone
	// has presence notifications.
	version1Issuer = "https://sts.windows.net/"
	// tokenLeeway is what Microsoft's own libraries allow clocks to differ.
	tokenLeeway = 5 * time.Minute
	// maxBatchTokens and maxTokenLength bound the tokens of one body. One token
	// comes for each application and tenant; those that were seen have about 1,500
	// characters (assumed).
	maxBatchTokens = 64
	maxTokenLength = 8 << 10
	// maxBatchTenants bounds the memory for the tenants of one body. It is more
	// than the tenants for which tokens can come.
	maxBatchTenants = 4 * maxBatchTokens
)

// validationTokens are those of one body. A value of another type, a token that
// cannot be one and more tokens than can be are not errors of the body: they make
// the tokens malformed.
type validationTokens struct {
	tokens    []string
	malformed bool
}

// UnmarshalJSON adds the tokens to those of a former field of the same name. It
// never fails.
func (v *validationTokens) UnmarshalJSON(text []byte) error {
	if !v.read(text) {
		v.malformed = true
	}
	return nil
}

// read takes the tokens one by one, so that a hostile list costs no memory, and
// reports whether they can be tokens.
func (v *validationTokens) read(text []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	first, err := dec.Token()
	if err != nil || first != json.Delim('[') {
		return err == nil && first == nil
	}
	for dec.More() {
		token, err := dec.Token()
		s, ok := token.(string)
		if err != nil || !ok || s == "" || len(s) > maxTokenLength || len(v.tokens) >= maxBatchTokens {
			return false
		}
		v.tokens = append(v.tokens, s)
	}
	return true
}

// batchTenants are the tenants of all items of one body, of the refused and the
// unencrypted ones as well: Microsoft Graph sends the token of a tenant whatever
// the handler makes of the tenant's items. The item of a subscription that was just
// replaced is refused as unknown, and its token comes nevertheless.
type batchTenants struct {
	known  map[string]struct{} // in lower case
	others bool                // there are items of tenants that are not in known
}

// add takes the tenant of one more item. What is not a tenant id may stand for any.
func (t *batchTenants) add(tenantID string) {
	if t.others {
		return
	}
	if !isGUID(tenantID) {
		t.others = true
		return
	}
	tenantID = strings.ToLower(tenantID)
	if _, ok := t.known[tenantID]; ok {
		return
	}
	if len(t.known) >= maxBatchTenants {
		t.others = true
		return
	}
	if t.known == nil {
		t.known = make(map[string]struct{})
	}
	t.known[tenantID] = struct{}{}
}

// mayHave reports whether an item may be of the tenant, whose id is in lower case.
func (t *batchTenants) mayHave(tenantID string) bool {
	_, ok := t.known[tenantID]
	return ok || t.others
}

// tokenClaims are what is looked at. Microsoft Entra writes the audience as one
// text; a list is read as well.
type tokenClaims struct {
	jwt.RegisteredClaims
	Version     string `json:"ver"`
	TenantID    string `json:"tid"`
	Party       string `json:"azp"`
	Application string `json:"appid"`
}

// tokenValidator judges validation tokens.
type tokenValidator struct {
	loginURL string
	keys     *signingKeys

	mu        sync.RWMutex
	audiences map[string]struct{} // client ids in lower case
}

func (v *tokenValidator) addAudience(clientID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.audiences[strings.ToLower(clientID)] = struct{}{}
}

func (v *tokenValidator) isAudience(claimed jwt.ClaimStrings) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, id := range claimed {
		if _, ok := v.audiences[strings.ToLower(id)]; ok {
			return true
		}
	}
	return false
}

// errFalseToken: the token is not one of Microsoft Graph's for this application.
var errFalseToken = errors.New("graph: false validation token")

func falseToken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFalseToken, fmt.Sprintf(format, args...))
}

// validate judges one token and returns the tenant that it speaks for, in lower
// case, or "" where it names none. The error matches errFalseToken, or
// errSigningKeys where the signature cannot be checked now.
//
// Everything that needs no key is checked first: a token that is wrong anyway
// must not cause a request.
func (v *tokenValidator) validate(ctx context.Context, token string) (tenantID string, err error) {
	var claims tokenClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithoutClaimsValidation())
	var cause error
	_, err = parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		if cause = v.check(&claims); cause == nil && id == "" {
			cause = falseToken("it names no signing key")
		}
		if cause != nil {
			return nil, cause
		}
		key, err := v.keys.find(ctx, id)
		cause = err
		return key, err
	})
	if isGUID(claims.TenantID) {
		tenantID = strings.ToLower(claims.TenantID)
	}
	switch {
	case err == nil:
		return tenantID, nil
	case errors.Is(cause, errFalseToken), errors.Is(cause, errSigningKeys):
		return tenantID, cause
	default:
		return tenantID, falseToken("%s", tokenFault(err))
	}
}

// tokenFault says what the JWT library found, in words that repeat nothing of the
// token.
func tokenFault(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "it has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "it is not valid yet"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "it has no expiry"
	case errors.Is(err, errUnknownSigningKey):
		return "the login service does not have its signing key"
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "it is not a token"
	default:
		return "its signature is wrong"
	}
}

// check looks at who the token is from, and for whom.
func (v *tokenValidator) check(c *tokenClaims) error {
	caller := ""
	switch c.Version {
	case "2.0":
		caller = c.Party
	case "1.0":
		caller = c.Application
	}
	tenantID := strings.ToLower(c.TenantID)
	issuer := strings.ToLower(c.Issuer)
	switch {
	case !isGUID(tenantID):
		return falseToken("it names no tenant")
	case issuer != strings.ToLower(v.loginURL)+"/"+tenantID+"/v2.0" && issuer != version1Issuer+tenantID+"/":
		return falseToken("its issuer is not the login service for its tenant")
	case !v.isAudience(c.Audience):
		return falseToken("it is for another application")
	case !strings.EqualFold(caller, changeTrackingID):
		return falseToken("it was not obtained by Microsoft Graph Change Tracking")
	}
	if err := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(tokenLeeway)).Validate(c); err != nil {
		return falseToken("%s", tokenFault(err))
	}
	return nil
}

// tokenVerdict is what the tokens of one body prove.
type tokenVerdict struct {
	fault   error // the first false token
	keys    error // why a signature could not be checked
	all     bool  // a false token does not tell its tenant, so no item is trusted
	stray   bool  // a token is for a tenant that no item can be of
	tenants map[string]tokenStanding
}

// tokenStanding is the worst that the tokens of one tenant are.
type tokenStanding uint8

const (
	tokenMissing tokenStanding = iota
	tokenTrue
	tokenUnchecked
	tokenFalse
)

// judge judges the tokens of a body whose items are of these tenants.
func (v *tokenValidator) judge(ctx context.Context, t validationTokens, tenants batchTenants) tokenVerdict {
	verdict := tokenVerdict{tenants: make(map[string]tokenStanding)}
	if t.malformed {
		verdict.all, verdict.fault = true, falseToken("validationTokens is not a list of tokens")
		return verdict
	}
	for _, token := range t.tokens {
		tenantID, err := v.validate(ctx, token)
		standing := tokenTrue
		switch {
		case errors.Is(err, errSigningKeys):
			standing, verdict.keys = tokenUnchecked, err
		case err != nil:
			standing = tokenFalse
			if verdict.fault == nil {
				verdict.fault = err
			}
			verdict.all = verdict.all || tenantID == ""
		}
		verdict.tenants[tenantID] = max(verdict.tenants[tenantID], standing)
		if standing != tokenUnchecked && !tenants.mayHave(tenantID) {
			verdict.stray = true
		}
	}
	return verdict
}

// of returns the standing of an item of a tenant.
//
// A token vouches for the items of its own tenant, and so for none whose tenant is
// not known. Where a tenant has no token, though others have one, the tenant may lack
// the assignment that tokens need; but if a token can belong to no item of the body,
// refused or not, the item is taken for one that was put beside another's token. A
// body with an item of an unknown tenant has no such token: it may be that item's.
func (v *tokenVerdict) of(tenantID string) tokenStanding {
	if v.all {
		return tokenFalse
	}
	standing := v.tenants[strings.ToLower(tenantID)]
	if standing == tokenMissing && v.stray {
		return tokenFalse
	}
	return standing
}

// detail says what is wrong with a token, for the log.
func (v *tokenVerdict) detail() string {
	if v.fault != nil {
		return strings.TrimPrefix(v.fault.Error(), errFalseToken.Error()+": ")
	}
	return "it is for another tenant"
}
