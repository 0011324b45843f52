package graph

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// defaultKeyRotation is how old a generated key becomes.
	defaultKeyRotation = 30 * 24 * time.Hour
	// defaultKeyOverlap is the life of a subscription (1 hour), the time for which
	// Microsoft Graph repeats a notification (4 hours), and an hour for requests
	// that were under way with the former certificate.
	defaultKeyOverlap = 6 * time.Hour
	// minKeyOverlap is what those two times alone come to.
	minKeyOverlap = presence.MaxSubscriptionLifetime + 4*time.Hour

	// minCertificateBits and maxCertificateBits bound the RSA key
	// (learn.microsoft.com/graph/change-notifications-with-resource-data).
	minCertificateBits = 2048
	maxCertificateBits = 4096
	// maxCertificateID is the longest id of a certificate
	// (learn.microsoft.com/graph/api/resources/subscription).
	maxCertificateID = 128
	// clockSkew is how far a generated certificate's validity reaches beyond the
	// time in which it is used, for clocks that are wrong.
	clockSkew = 24 * time.Hour
)

// EncryptionKey is a certificate with its private key, by which notifications can
// be encrypted and decrypted.
type EncryptionKey struct {
	// ID names the key in notifications: 1 to 128 characters that no other key of
	// the ring has. It is not secret.
	ID string
	// Certificate is what Microsoft Graph is given. It may be self-signed, and its
	// key is an RSA key of 2048 to 4096 bits.
	Certificate *x509.Certificate
	// Key is the private half, an [*crypto/rsa.PrivateKey] or one that stays in a
	// key vault or a hardware module. Its Decrypt is called concurrently with
	// [*crypto/rsa.OAEPOptions] that ask for SHA-1, may block, and holds up other
	// notifications meanwhile.
	Key crypto.Decrypter
}

// KeyRingOptions are the settings of a [KeyRing]. The zero value of each field is
// its default.
type KeyRingOptions struct {
	// Keys are the embedder's own: the first is the current one, the others are
	// former ones for which notifications may still arrive. Processes that serve
	// one notification URL need the same keys. The ring then generates none;
	// [KeyRing.Use] rotates. Default: the ring generates its keys.
	Keys []EncryptionKey
	// RotateAfter is how old a generated key becomes before another takes its
	// place. Default: 30 days.
	RotateAfter time.Duration
	// Overlap is how long a former key still decrypts. Less than 5 hours, which
	// are the longest life of a subscription and the 4 hours for which Microsoft
	// Graph repeats a notification, is a fault. Default: 6 hours.
	Overlap time.Duration
	// Logger is told of each new key, by its id. Default: discarded.
	Logger *slog.Logger
}

// KeyRing holds the keys by which Microsoft Graph encrypts the content of
// notifications: the current one, whose certificate goes into new subscriptions
// and renewals, and former ones for as long as notifications for them may arrive.
// It is safe for concurrent use and has no goroutine.
//
// What the keys decrypt may be handed on in another order than it came in, so a
// presence in a notification is a hint and not an observation; see
// [NotificationHandler] for what encrypted notifications are good for.
//
// A generated key is an RSA key of 2048 bits with a random id and a self-signed
// certificate that is valid from a day before its making until a day after its
// last use. It lives in memory only. After a restart the notifications for keys
// of the former process cannot be read and are handed on without content, until
// the subscriptions are renewed with the new certificate; see
// [HintUnknownCertificate].
type KeyRing struct {
	rotateAfter, overlap time.Duration
	generates            bool
	log                  *slog.Logger

	mu         sync.RWMutex
	current    *ringKey
	former     map[string]*ringKey
	generating bool
}

// ringKey is a key with what is derived from it once.
type ringKey struct {
	certificate presence.EncryptionCertificate
	key         crypto.Decrypter
	since       time.Time // when it became the current one
	until       time.Time // when a former one is dropped
}

// NewKeyRing returns a ring with its first key, which takes some tenths of a
// second to generate. It returns all faults of the options at once.
func NewKeyRing(opts *KeyRingOptions) (*KeyRing, error) {
	var o KeyRingOptions
	if opts != nil {
		o = *opts
	}
	if o.RotateAfter == 0 {
		o.RotateAfter = defaultKeyRotation
	}
	if o.Overlap == 0 {
		o.Overlap = defaultKeyOverlap
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var faults []error
	if o.RotateAfter < 0 {
		faults = append(faults, fmt.Errorf("graph: KeyRingOptions.RotateAfter %v is negative: use 0 for the default", o.RotateAfter))
	}
	if o.Overlap < minKeyOverlap {
		faults = append(faults, fmt.Errorf("graph: KeyRingOptions.Overlap %v is less than %v, for which notifications for a former key may arrive: use 0 for the default", o.Overlap, minKeyOverlap))
	}
	r := &KeyRing{rotateAfter: o.RotateAfter, overlap: o.Overlap, generates: len(o.Keys) == 0, log: o.Logger, former: make(map[string]*ringKey)}
	now := time.Now()
	for i, key := range o.Keys {
		k, err := checkKey(key)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("graph: KeyRingOptions.Keys[%d]: %w", i, err))
		case i == 0:
			k.since = now
			r.current = k
		case r.has(key.ID):
			faults = append(faults, fmt.Errorf("graph: KeyRingOptions.Keys[%d]: the id %q is used twice: give each key an id of its own", i, shorten(key.ID)))
		default:
			k.until = now.Add(o.Overlap)
			r.former[key.ID] = k
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if r.generates {
		k, err := r.generate(now)
		if err != nil {
			return nil, err
		}
		r.current = k
	}
	return r, nil
}

// has is for the time before the ring is shared.
func (r *KeyRing) has(id string) bool {
	return r.current != nil && r.current.certificate.ID == id || r.former[id] != nil
}

// Current returns the certificate for the next subscription or renewal. It sends
// nothing. If the ring generates its keys and the current one is old enough, this
// call generates the next, while concurrent calls still return the former.
//
// Give each renewal what Current returns then: a subscription that keeps a former
// certificate for longer than the overlap brings what nobody can read.
func (r *KeyRing) Current() *presence.EncryptionCertificate {
	now := time.Now()
	r.mu.Lock()
	r.dropFormer(now)
	due := r.generates && !r.generating && now.Sub(r.current.since) >= r.rotateAfter
	r.generating = r.generating || due
	current := r.current
	r.mu.Unlock()
	if due {
		// Outside the lock: what takes tenths of a second must not hold up the
		// notifications that are being decrypted.
		k, err := r.generate(now)
		r.mu.Lock()
		r.generating = false
		if err == nil {
			r.replace(k, now)
		}
		current = r.current
		r.mu.Unlock()
		if err != nil {
			r.log.Error("graph: no new key for the encryption of notifications; the former one stays in use", "key_id", current.certificate.ID, "error", err)
		} else {
			r.log.Info("graph: new key for the encryption of notifications", "key_id", current.certificate.ID, "former_keys_for", r.overlap)
		}
	}
	certificate := current.certificate
	certificate.Certificate = bytes.Clone(certificate.Certificate)
	return &certificate
}

// Use makes key the current one; the one before becomes a former one. It is for a
// ring that was given its keys, and a fault in one that generates them.
func (r *KeyRing) Use(key EncryptionKey) error {
	if r.generates {
		return errors.New("graph: use a key: this ring generates its keys: give it KeyRingOptions.Keys from the beginning")
	}
	k, err := checkKey(key)
	if err != nil {
		return fmt.Errorf("graph: use a key: %w", err)
	}
	now := time.Now()
	k.since = now
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropFormer(now)
	if r.has(key.ID) {
		return fmt.Errorf("graph: use a key: the ring has one with the id %q: give the new key an id of its own", shorten(key.ID))
	}
	r.replace(k, now)
	return nil
}

// replace is called with mu held.
func (r *KeyRing) replace(k *ringKey, now time.Time) {
	former := r.current
	former.until = now.Add(r.overlap)
	r.former[former.certificate.ID] = former
	r.current = k
}

// dropFormer is called with mu held.
func (r *KeyRing) dropFormer(now time.Time) {
	for id, k := range r.former {
		if !now.Before(k.until) {
			delete(r.former, id)
		}
	}
}

// find returns the private key of a certificate id; nil if the ring has none, or
// no longer.
func (r *KeyRing) find(id string, now time.Time) crypto.Decrypter {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.current.certificate.ID == id {
		return r.current.key
	}
	if k := r.former[id]; k != nil && now.Before(k.until) {
		return k.key
	}
	return nil
}

// generate makes a key. It holds no lock.
func (r *KeyRing) generate(now time.Time) (*ringKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, minCertificateBits)
	if err != nil {
		return nil, fmt.Errorf("graph: generate a key: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("graph: generate the id of a key: %w", err)
	}
	serial := new(big.Int).SetBytes(id[:])
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "presence notifications " + id.String()},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(r.rotateAfter + r.overlap + clockSkew),
		KeyUsage:     x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("graph: make a certificate: %w", err)
	}
	return &ringKey{certificate: presence.EncryptionCertificate{ID: id.String(), Certificate: der}, key: key, since: now}, nil
}

// checkKey returns all faults of an embedder's key at once.
func checkKey(key EncryptionKey) (*ringKey, error) {
	var faults []error
	if key.Certificate == nil {
		faults = append(faults, checkCertificateID(key.ID), errors.New("there is no certificate"))
	} else {
		faults = append(faults, encryptionFaults(presence.EncryptionCertificate{ID: key.ID, Certificate: key.Certificate.Raw})...)
	}
	if key.Key == nil {
		faults = append(faults, errors.New("there is no private key"))
	} else if key.Certificate != nil {
		public, ok := key.Certificate.PublicKey.(*rsa.PublicKey)
		if ok && !public.Equal(key.Key.Public()) {
			faults = append(faults, errors.New("the private key is not the certificate's: give the one that the certificate was made for"))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &ringKey{certificate: presence.EncryptionCertificate{ID: key.ID, Certificate: key.Certificate.Raw}, key: key.Key}, nil
}

// encryptionFaults returns what Microsoft Graph would refuse about a certificate.
func encryptionFaults(c presence.EncryptionCertificate) []error {
	faults := []error{checkCertificateID(c.ID)}
	parsed, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return append(faults, errors.New("the encryption certificate is not an X.509 certificate in DER: decode it first if it is PEM"))
	}
	key, ok := parsed.PublicKey.(*rsa.PublicKey)
	if !ok {
		return append(faults, fmt.Errorf("the encryption certificate has a key of the kind %v: use RSA", parsed.PublicKeyAlgorithm))
	}
	if bits := key.N.BitLen(); bits < minCertificateBits || bits > maxCertificateBits {
		faults = append(faults, fmt.Errorf("the encryption certificate has an RSA key of %d bits: use %d to %d", bits, minCertificateBits, maxCertificateBits))
	}
	return faults
}

func checkCertificateID(id string) error {
	switch {
	case id == "":
		return errors.New("the encryption certificate has no id: give it one, by which its notifications are told apart")
	case len(id) > maxCertificateID:
		return fmt.Errorf("the id of the encryption certificate has %d characters: Microsoft Graph takes at most %d", len(id), maxCertificateID)
	default:
		return nil
	}
}
