package monitor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// What a [Sealer] cannot open.
var (
	// ErrWrongKey: the value was sealed with a key that the Sealer does not have.
	// Give it the key with which the store was written, as the key or as a former
	// one. If that is lost, the sealed values are lost with it: delete the
	// monitors, and add and authorize them again.
	ErrWrongKey = errors.New("monitor: the value was sealed with another key")
	// ErrTampered: the value is not what a Sealer has sealed for this context: it
	// was damaged, changed, cut short, or moved from another entry. Restore the
	// store from a backup, or delete the monitor, and add and authorize it again.
	ErrTampered = errors.New("monitor: the sealed value is damaged or does not belong here")
)

// A sealed value is the version, the key's identifier, the nonce, the
// ciphertext and the tag, one after the other.
const (
	sealVersion  = 1
	keyLength    = 32 // AES-256
	keyIDLength  = 8
	headerLength = 1 + keyIDLength
	nonceLength  = 12
	tagLength    = 16

	// SealOverhead is by how many bytes a sealed value is longer than a plain one.
	SealOverhead = headerLength + nonceLength + tagLength
)

// Sealer encrypts values before they reach a [Store], so that whoever reads the
// store, its backups or its disk learns no secret, and cannot change one or
// put it in another's place without notice. It does not hide which entries there
// are and how long they are, nor that somebody has put an older store in the
// place of a newer one.
//
// It uses AES-256-GCM with random nonces, of which NIST SP 800-38D, section 8.3,
// allows 2^32 for one key: at a write a second, more than a century.
//
// Its functions may be called concurrently.
type Sealer struct {
	// keys has first the key that seals, then those that only open.
	keys []sealKey
}

type sealKey struct {
	id   [keyIDLength]byte
	aead cipher.AEAD
}

// SealerOptions are what a [Sealer] can do without. The zero value of a field is
// its default.
type SealerOptions struct {
	// Former are keys that open what they have sealed, and seal nothing any more.
	// To change the key, make it a former one and give a new one: what is written
	// from then on is sealed with the new. A pool seals
	// everything anew while it runs; a former key can go when
	// [Snapshot.FormerKeys] is 0. Default: none.
	Former []presence.Secret
}

// NewSealer returns a Sealer for a key of 32 random bytes, written as base64
// (either alphabet, with or without padding) or as 64 hexadecimal digits;
// [GenerateKey] makes one, and so does "openssl rand -base64 32". White space
// around it does not count. Whoever has the key can open everything: keep it
// apart from the store. An error tells what is wrong with every key that is not
// one, and never shows it.
func NewSealer(key presence.Secret, opts *SealerOptions) (*Sealer, error) {
	if opts == nil {
		opts = &SealerOptions{}
	}
	var (
		s    Sealer
		errs []error
	)
	for i, text := range append([]presence.Secret{key}, opts.Former...) {
		name := "the key"
		if i > 0 {
			name = fmt.Sprintf("SealerOptions.Former[%d]", i-1)
		}
		k, err := newSealKey(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("monitor: %s %w", name, err))
			continue
		}
		s.keys = append(s.keys, k)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &s, nil
}

// GenerateKey returns a new random key for [NewSealer], as base64.
func GenerateKey() presence.Secret {
	key := make([]byte, keyLength)
	_, _ = rand.Read(key) // it never fails
	return presence.NewSecret(base64.StdEncoding.EncodeToString(key))
}

// newSealKey derives from the key one that encrypts and an identifier, so that
// the latter, which everybody can read, tells nothing about the former.
func newSealKey(text presence.Secret) (sealKey, error) {
	key, err := decodeKey(text)
	if err != nil {
		return sealKey{}, err
	}
	var k sealKey
	id, err := hkdf.Key(sha256.New, key, nil, "presencebridge store: key identifier", keyIDLength)
	if err != nil {
		return sealKey{}, fmt.Errorf("could not be used: %w", err)
	}
	copy(k.id[:], id)
	encryption, err := hkdf.Key(sha256.New, key, nil, "presencebridge store: AES-256-GCM", keyLength)
	if err != nil {
		return sealKey{}, fmt.Errorf("could not be used: %w", err)
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return sealKey{}, fmt.Errorf("could not be used: %w", err)
	}
	if k.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return sealKey{}, fmt.Errorf("could not be used: %w", err)
	}
	return k, nil
}

// decodeKey tells the notations apart by their lengths. A text of 32 characters
// is refused, though it has 32 bytes: it would most likely be a passphrase.
func decodeKey(text presence.Secret) ([]byte, error) {
	s := strings.TrimSpace(text.Reveal())
	if s == "" {
		return nil, errors.New("is empty: make one with GenerateKey, and keep it")
	}
	var key []byte
	var err error
	if len(s) == hex.EncodedLen(keyLength) {
		key, err = hex.DecodeString(s)
	} else {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
		key, err = base64.RawStdEncoding.Strict().DecodeString(s)
	}
	if err != nil || len(key) != keyLength {
		return nil, fmt.Errorf("is not %d bytes as base64 or hexadecimal digits (it has %d characters): make one with GenerateKey",
			keyLength, len(s))
	}
	return key, nil
}

// Seal encrypts a value for a context, the key of the entry that is to hold it;
// [Sealer.Open] asks for the same. The same value never looks the same twice. It
// is [SealOverhead] bytes longer than the plain one.
func (s *Sealer) Seal(plain []byte, context string) []byte {
	k := s.keys[0]
	sealed := make([]byte, 0, len(plain)+SealOverhead)
	sealed = append(sealed, sealVersion)
	sealed = append(sealed, k.id[:]...)
	return k.aead.Seal(sealed, nil, plain, authenticated(sealed, context))
}

// Current reports whether a value was sealed with the key that seals now. Where it
// was not, seal it anew: then a former key can go.
func (s *Sealer) Current(sealed []byte) bool {
	return len(sealed) >= SealOverhead && sealed[0] == sealVersion && bytes.Equal(sealed[1:headerLength], s.keys[0].id[:])
}

// Open decrypts what was sealed for this context. The error matches [ErrWrongKey]
// if the key is not among the Sealer's, and [ErrTampered] if the value is not
// what was sealed.
func (s *Sealer) Open(sealed []byte, context string) ([]byte, error) {
	switch {
	case len(sealed) < SealOverhead:
		return nil, fmt.Errorf("monitor: open %q: %d bytes are too few for a sealed value: %w", context, len(sealed), ErrTampered)
	case sealed[0] != sealVersion:
		return nil, fmt.Errorf("monitor: open %q: it is sealed in form %d and this version knows form %d only, so a newer one has written it, or nobody: %w",
			context, sealed[0], sealVersion, ErrTampered)
	}
	header := sealed[:headerLength:headerLength]
	id := header[1:]
	for _, k := range s.keys {
		if !bytes.Equal(k.id[:], id) {
			continue
		}
		plain, err := k.aead.Open(nil, nil, sealed[headerLength:], authenticated(header, context))
		if err != nil {
			return nil, fmt.Errorf("monitor: open %q: %w", context, ErrTampered)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("monitor: open %q: the value has the key %x, given is %x: "+
		"give the key with which the store was written, or delete the monitor and add it again: %w",
		context, id, s.keys[0].id, ErrWrongKey)
}

// authenticated returns what decrypting must find unchanged. The header has a
// fixed length, so that no two pairs of header and context are the same bytes.
func authenticated(header []byte, context string) []byte {
	return append(bytes.Clone(header), context...)
}
