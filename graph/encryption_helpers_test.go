package graph

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what Microsoft Graph uses
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// Keys for all tests: making one takes a tenth of a second.
var (
	testKeyOne   = sync.OnceValue(newTestKey)
	testKeyTwo   = sync.OnceValue(newTestKey)
	testLoginKey = sync.OnceValue(newTestKey)
	testStranger = sync.OnceValue(newTestKey)
)

func newTestKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func certificateOf(t testing.TB, key interface{ Public() any }, signer any) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

// publicOf gives certificateOf a key that is no RSA key of the tests.
type publicOf struct{ key any }

func (p publicOf) Public() any { return p.key }

func encryptionKey(t testing.TB, id string, key *rsa.PrivateKey) EncryptionKey {
	t.Helper()
	return EncryptionKey{ID: id, Certificate: certificateOf(t, publicOf{key.Public()}, key), Key: key}
}

// plainPresence is what Microsoft Graph encrypts.
func plainPresence(user, availability, activity string) string {
	return fmt.Sprintf(`{"@odata.id":"users/%s/presence","@odata.type":"#microsoft.graph.presence","id":%q,"availability":%q,"activity":%q}`, user, user, availability, activity)
}

// parts are what an encrypted content is made of, before it becomes base64. A test
// changes one and sees what becomes of the whole.
type parts struct {
	symmetric, wrapped, data, signature []byte
}

// encryptForTest encrypts as Microsoft's page describes it, with nothing of what
// the package itself uses to decrypt.
func encryptForTest(t testing.TB, key *rsa.PublicKey, plain []byte) parts {
	t.Helper()
	var p parts
	p.symmetric = make([]byte, 32)
	_, _ = rand.Read(p.symmetric)
	n := 16 - len(plain)%16
	padded := append(append([]byte(nil), plain...), []byte(strings.Repeat(string(rune(n)), n))...)
	p.encrypt(t, padded)
	p.wrap(t, key)
	return p
}

// encrypt encrypts whole blocks and signs them.
func (p *parts) encrypt(t testing.TB, padded []byte) {
	t.Helper()
	block, err := aes.NewCipher(p.symmetric)
	require.NoError(t, err)
	p.data = make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, p.symmetric[:16]).CryptBlocks(p.data, padded)
	p.sign()
}

func (p *parts) sign() {
	mac := hmac.New(sha256.New, p.symmetric)
	mac.Write(p.data)
	p.signature = mac.Sum(nil)
}

func (p *parts) wrap(t testing.TB, key *rsa.PublicKey) {
	t.Helper()
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, p.symmetric, nil) //nolint:gosec // what Microsoft Graph uses
	require.NoError(t, err)
	p.wrapped = wrapped
}

func (p *parts) content(certificateID string) *encryptedContent {
	encode := base64.StdEncoding.EncodeToString
	return &encryptedContent{Data: encode(p.data), DataSignature: encode(p.signature), DataKey: encode(p.wrapped), CertificateID: certificateID}
}

// richItem is an item with encrypted content in the form that is sent.
func richItem(user, tenantID string, c *encryptedContent) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	item := basicItem(notifySub, notifyState, tenantID, user)
	return item[:strings.LastIndexByte(item, '}')] + `,"encryptedContent":` + string(text) + `}`
}

func richBatch(tokens []string, items ...string) string {
	text, err := json.Marshal(tokens)
	if err != nil {
		panic(err)
	}
	return `{"value":[` + strings.Join(items, ",") + `],"validationTokens":` + string(text) + `}`
}

// login is a login service that a test controls.
type login struct {
	mu     sync.Mutex
	keys   map[string]*rsa.PrivateKey
	before func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	wire   *wire
}

func newLogin() *login {
	l := &login{keys: map[string]*rsa.PrivateKey{"key-1": testLoginKey()}}
	l.wire = &wire{handler: l.serve}
	return l
}

func (l *login) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	before := l.before
	l.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	switch r.URL.Path {
	case "/common/.well-known/openid-configuration":
		answer(200, `{"issuer":"http://login.test/{tenantid}/v2.0","jwks_uri":"http://login.test/common/discovery/keys"}`)(w, r)
	case "/common/discovery/keys":
		l.mu.Lock()
		defer l.mu.Unlock()
		var keys []map[string]any
		for id, key := range l.keys {
			keys = append(keys, map[string]any{
				"kty": "RSA", "use": "sig", "kid": id, "x5t": id, "x5c": []string{"not looked at"},
				"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB",
			})
		}
		text, _ := json.Marshal(map[string]any{"keys": keys})
		answer(200, string(text))(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (l *login) set(before func(http.ResponseWriter, *http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

// add makes another key that signs.
func (l *login) add(id string, key *rsa.PrivateKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[id] = key
}

// fetches is how often the key set was asked for.
func (l *login) fetches() int {
	n := 0
	for _, r := range l.wire.all() {
		if r.Path == "/common/discovery/keys" {
			n++
		}
	}
	return n
}

func (l *login) client() *http.Client { return &http.Client{Transport: l.wire} }

// goodClaims are those of a token that is right, of version 2.0.
func goodClaims() jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"aud": application, "iss": "http://login.test/" + notifyTenant + "/v2.0", "tid": notifyTenant, "ver": "2.0",
		"azp": changeTrackingID, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// with returns a copy with other claims; nil takes one out.
func with(c jwt.MapClaims, changes jwt.MapClaims) jwt.MapClaims {
	d := jwt.MapClaims{}
	for name, value := range c {
		d[name] = value
	}
	for name, value := range changes {
		if d[name] = value; value == nil {
			delete(d, name)
		}
	}
	return d
}

func signToken(t testing.TB, id string, key any, method jwt.SigningMethod, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if id != "" {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

func goodToken(t testing.TB) string {
	t.Helper()
	return signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256, goodClaims())
}

func tenantToken(t testing.TB, tenantID string) string {
	t.Helper()
	return signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256,
		with(goodClaims(), jwt.MapClaims{"tid": tenantID, "iss": "https://sts.windows.net/" + tenantID + "/"}))
}

// richHandler is a handler that decrypts with the keys "one" and "two".
type richHandler struct {
	*NotificationHandler
	login *login
	inbox *notificationInbox
	ring  *KeyRing
}

func newRichHandler(t testing.TB, handler *NotificationHandlerOptions, decryption *DecryptionOptions) *richHandler {
	t.Helper()
	r := &richHandler{login: newLogin()}
	ring, err := NewKeyRing(&KeyRingOptions{Keys: []EncryptionKey{encryptionKey(t, "one", testKeyOne()), encryptionKey(t, "two", testKeyTwo())}})
	require.NoError(t, err)
	r.ring = ring
	var d DecryptionOptions
	if decryption != nil {
		d = *decryption
	}
	d.Cloud, d.HTTPClient = testCloud(), r.login.client()
	var o NotificationHandlerOptions
	if handler != nil {
		o = *handler
	}
	o.Decryption, err = NewDecryption(ring, []string{application}, &d)
	require.NoError(t, err)
	r.NotificationHandler, r.inbox = boundHandler(t, &o)
	return r
}

// post sends a body and waits until all of it has been handed on.
func (r *richHandler) post(t testing.TB, body string) {
	t.Helper()
	require.Equal(t, http.StatusAccepted, postNotification(r.NotificationHandler, body).Code)
	require.NoError(t, r.Wait(t.Context()))
}

// encrypted is a good item about a user.
func encrypted(t testing.TB, user string) string {
	t.Helper()
	p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence(user, "Busy", "InACall")))
	return richItem(user, notifyTenant, p.content("one"))
}

func inACall(user string) presence.Notification {
	n := hintOf(user)
	n.Presence = &presence.Presence{UserID: user, Availability: presence.Busy, Activity: presence.ActivityInACall}
	return n
}

func hintOf(user string) presence.Notification {
	return presence.Notification{SubscriptionID: notifySub, TenantID: notifyTenant, UserID: user}
}
