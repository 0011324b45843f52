package graph

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // Microsoft Graph encrypts keys with RSA-OAEP over SHA-1
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// maxEncryptedData bounds the content of one item, in base64. A presence takes
	// about 300 characters; how many Microsoft Graph may send is not documented.
	maxEncryptedData = 16 << 10
	// maxEncryptedKey and maxEncryptedSignature are the base64 of what an RSA key
	// of 4096 bits encrypts, and of an HMAC-SHA256.
	maxEncryptedKey       = (maxCertificateBits/8 + 2) / 3 * 4
	maxEncryptedSignature = (sha256.Size + 2) / 3 * 4
	// symmetricKeySize is that of AES-256.
	symmetricKeySize = 32
)

// encryptedContent is the content of a notification as it arrives
// (learn.microsoft.com/graph/change-notifications-with-resource-data). Its
// thumbprint is not needed: the id names the key.
type encryptedContent struct {
	Data          string `json:"data"`
	DataSignature string `json:"dataSignature"`
	DataKey       string `json:"dataKey"`
	CertificateID string `json:"encryptionCertificateId"`
}

// fits reports whether the content has all its parts, none longer than it can be.
func (c *encryptedContent) fits() bool {
	between := func(s string, most int) bool { return s != "" && len(s) <= most }
	return between(c.Data, maxEncryptedData) && between(c.DataSignature, maxEncryptedSignature) &&
		between(c.DataKey, maxEncryptedKey) && between(c.CertificateID, maxCertificateID)
}

// What may be wrong with an encrypted content. The details are left out on
// purpose: they would help only whoever forges one.
var (
	errContentTampered = errors.New("graph: the encrypted content does not open")
	errContentUser     = errors.New("graph: the encrypted content is another user's")
	errKeyFailed       = errors.New("graph: the private key could not be used")
)

// open decrypts the content with the private key of its certificate.
//
// The symmetric key is encrypted with RSA-OAEP over SHA-1. It signs the encrypted
// bytes with HMAC-SHA256, which is checked first, and decrypts them with
// AES-256-CBC, its first 16 bytes being the initialization vector. So whoever does
// not know the symmetric key learns nothing from how a padding is judged.
func (c *encryptedContent) open(key crypto.Decrypter) ([]byte, error) {
	if !c.fits() {
		return nil, errContentTampered
	}
	var faults [3]error
	data, err := base64.StdEncoding.DecodeString(c.Data)
	faults[0] = err
	signature, err := base64.StdEncoding.DecodeString(c.DataSignature)
	faults[1] = err
	wrapped, err := base64.StdEncoding.DecodeString(c.DataKey)
	faults[2] = err
	if errors.Join(faults[:]...) != nil || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errContentTampered
	}
	symmetric, err := key.Decrypt(rand.Reader, wrapped, &rsa.OAEPOptions{Hash: crypto.SHA1})
	if err != nil {
		// A key in memory fails for one reason only. One that is elsewhere may also
		// be out of reach, and that is not the notification's fault.
		if _, inMemory := key.(*rsa.PrivateKey); inMemory || errors.Is(err, rsa.ErrDecryption) {
			return nil, errContentTampered
		}
		return nil, errKeyFailed
	}
	if len(symmetric) != symmetricKeySize {
		return nil, errContentTampered
	}
	mac := hmac.New(sha256.New, symmetric)
	mac.Write(data)
	if !hmac.Equal(mac.Sum(nil), signature) {
		return nil, errContentTampered
	}
	block, err := aes.NewCipher(symmetric)
	if err != nil {
		return nil, errContentTampered
	}
	cipher.NewCBCDecrypter(block, symmetric[:aes.BlockSize]).CryptBlocks(data, data)
	return unpad(data)
}

// unpad takes the padding of PKCS #7 off (RFC 5652, section 6.3): n bytes, 1 to 16
// of them, each with the value n.
func unpad(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errContentTampered
	}
	n := int(data[len(data)-1])
	if n == 0 || n > aes.BlockSize || n > len(data) {
		return nil, errContentTampered
	}
	for _, b := range data[len(data)-n:] {
		if int(b) != n {
			return nil, errContentTampered
		}
	}
	return data[:len(data)-n], nil
}

// presenceOf reads the decrypted content, which must be this user's: otherwise
// whoever has a content of one user could send it beside the id of another. It
// returns nil where the content does not tell the state.
func presenceOf(plain []byte, userID string) (*presence.Presence, error) {
	var w struct {
		ID           string `json:"id"`
		ODataID      string `json:"@odata.id"`
		Availability string `json:"availability"`
		Activity     string `json:"activity"`
	}
	if json.Unmarshal(plain, &w) != nil {
		return nil, errContentTampered
	}
	if w.ID == "" {
		w.ID = userIDOfPath(w.ODataID)
	}
	if !strings.EqualFold(w.ID, userID) {
		return nil, errContentUser
	}
	if w.Availability == "" {
		return nil, nil
	}
	return &presence.Presence{
		UserID:       userID,
		Availability: presence.ParseAvailability(w.Availability),
		Activity:     presence.ParseActivity(w.Activity),
	}, nil
}
