package graphtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // Graph's key encryption is RSA-OAEP with SHA-1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// encryptedContent is the presence of a rich notification
// (learn.microsoft.com/graph/change-notifications-with-resource-data).
type encryptedContent struct {
	Data          string `json:"data"`
	DataSignature string `json:"dataSignature"`
	DataKey       string `json:"dataKey"`
	CertificateID string `json:"encryptionCertificateId"`
	Thumbprint    string `json:"encryptionCertificateThumbprint"`
}

// newEncryption reads the certificate of a subscription with resource data:
// base64 of an X.509 certificate with an RSA key of 2048 to 4096 bits.
func newEncryption(certificate, id *string) (*encryption, *graphFault) {
	if deref(certificate) == "" || deref(id) == "" {
		return nil, invalidRequest("Resource data needs both encryptionCertificate and encryptionCertificateId.")
	}
	der, err := base64.StdEncoding.DecodeString(*certificate)
	if err != nil {
		return nil, invalidRequest("The encryptionCertificate is not base64.")
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, invalidRequest("The encryptionCertificate is not an X.509 certificate.")
	}
	key, ok := parsed.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 || key.N.BitLen() > 4096 {
		return nil, invalidRequest("The encryptionCertificate must have an RSA key of 2048 to 4096 bits.")
	}
	sum := sha1.Sum(der) //nolint:gosec // a thumbprint is defined as SHA-1
	return &encryption{certificate: *certificate, certificateID: *id, thumbprint: strings.ToUpper(hex.EncodeToString(sum[:])), key: key}, nil
}

// encrypt encrypts a presence for the subscriber: AES-256-CBC with a key of its
// own, whose first 16 bytes are the initialization vector, signed with
// HMAC-SHA256 over the ciphertext, the key encrypted with RSA-OAEP.
func (e *encryption) encrypt(userID string, state presence.Presence) (*encryptedContent, error) {
	plain, err := json.Marshal(struct {
		Path         string                `json:"@odata.id"`
		Type         string                `json:"@odata.type"`
		ID           string                `json:"id"`
		Availability presence.Availability `json:"availability"`
		Activity     presence.Activity     `json:"activity"`
	}{"users/" + userID + "/presence", "#microsoft.graph.presence", userID, state.Availability, state.Activity})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, plain)
	mac := hmac.New(sha256.New, key)
	mac.Write(plain)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, e.key, key, nil)
	if err != nil {
		return nil, err
	}
	return &encryptedContent{
		Data:          base64.StdEncoding.EncodeToString(plain),
		DataSignature: base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		DataKey:       base64.StdEncoding.EncodeToString(wrapped),
		CertificateID: e.certificateID, Thumbprint: e.thumbprint,
	}, nil
}

// tamper changes the last byte of the encrypted data, which the signature covers.
func (c *encryptedContent) tamper() {
	data, err := base64.StdEncoding.DecodeString(c.Data)
	if err != nil || len(data) == 0 {
		return
	}
	data[len(data)-1] ^= 1
	c.Data = base64.StdEncoding.EncodeToString(data)
}

// RichFault is what is wrong with rich notifications. The zero RichFault sends
// them as they should be.
type RichFault struct {
	// NoTokens sends null for the validation tokens, as Graph does where the
	// service principal demands assignment and change tracking has none.
	NoTokens bool
	// ForgeTokens signs the validation tokens with a key that is not in the key
	// set, under the id of the one that is.
	ForgeTokens bool
	// Tamper tells for which users the encrypted content is changed on its way.
	// It runs outside all locks and possibly concurrently. Default: for none.
	Tamper func(userID string) bool
}

// SetRichFault sends rich notifications with this fault from now on, those
// included that are repeated.
func (s *Server) SetRichFault(f RichFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.richFault = f
}

// forgingKey is one for all servers of the process, like signingKey.
var forgingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// validationToken signs the token by which a subscriber knows that rich
// notifications come from Graph's change tracking.
func (s *Server) validationToken(applicationID string) (string, error) {
	c := claims{
		RegisteredClaims: s.registered(s.issuer(), changeTrackingAppID, time.Now()), Audience: applicationID,
		Version: "2.0", TenantID: s.tenantID, Party: changeTrackingAppID, UniqueID: newToken(16),
	}
	if s.assume.ValidationTokensVersion1 {
		c.Issuer, c.Version, c.Party, c.ApplicationID = s.graphIssuer(), "1.0", "", changeTrackingAppID
	}
	s.mu.Lock()
	forge := s.richFault.ForgeTokens
	s.mu.Unlock()
	if !forge {
		return s.sign(c)
	}
	key, err := forgingKey()
	if err != nil {
		return "", err
	}
	return signWith(key, keyID(&s.signers.all()[0].PublicKey), c)
}
