package graph

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestGeneratedKeyIsWhatMicrosoftAsksFor(t *testing.T) {
	ring, err := NewKeyRing(nil)
	require.NoError(t, err)
	current := ring.Current()
	for _, fault := range encryptionFaults(*current) {
		require.NoError(t, fault)
	}
	certificate, err := x509.ParseCertificate(current.Certificate)
	require.NoError(t, err)
	assert.Equal(t, 2048, certificate.PublicKey.(*rsa.PublicKey).N.BitLen())
	assert.True(t, certificate.NotBefore.Before(time.Now().Add(-23*time.Hour)))
	assert.True(t, certificate.NotAfter.After(time.Now().Add(30*24*time.Hour)))
	require.NoError(t, certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature), "self-signed")
	assert.True(t, isGUID(current.ID))

	p := encryptForTest(t, certificate.PublicKey.(*rsa.PublicKey), []byte("hello"))
	plain, err := p.content(current.ID).open(ring.find(current.ID, time.Now()))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(plain))

	current.Certificate[0] = 0
	assert.NotEqual(t, current.Certificate, ring.Current().Certificate, "the caller's copy is his own")
}

func TestGeneratedKeysRotateWithOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, err := NewKeyRing(nil)
		require.NoError(t, err)
		first := ring.Current().ID
		time.Sleep(30*24*time.Hour - time.Second)
		assert.Equal(t, first, ring.Current().ID)
		time.Sleep(time.Second)

		// Many renewals at once make one key.
		var all sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]int{}
		for range 8 {
			all.Go(func() {
				id := ring.Current().ID
				mu.Lock()
				defer mu.Unlock()
				ids[id]++
			})
		}
		all.Wait()
		second := ring.Current().ID
		assert.NotEqual(t, first, second)
		delete(ids, first)
		assert.LessOrEqual(t, len(ids), 1, "one new key")

		time.Sleep(6*time.Hour - time.Second)
		assert.NotNil(t, ring.find(first, time.Now()), "repeated notifications can still be read")
		time.Sleep(time.Second)
		assert.Nil(t, ring.find(first, time.Now()))
		assert.NotNil(t, ring.find(second, time.Now()))
		assert.Equal(t, second, ring.Current().ID)
		ring.mu.RLock()
		defer ring.mu.RUnlock()
		assert.Empty(t, ring.former, "the private key is gone")
	})
}

func TestKeysOfTheEmbedderRotateByUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := encryptionKey(t, "one", testKeyOne()), encryptionKey(t, "two", testKeyTwo())
		ring, err := NewKeyRing(&KeyRingOptions{Keys: []EncryptionKey{one}})
		require.NoError(t, err)
		assert.Equal(t, presence.EncryptionCertificate{ID: "one", Certificate: one.Certificate.Raw}, *ring.Current())
		time.Sleep(365 * 24 * time.Hour)
		assert.Equal(t, "one", ring.Current().ID, "a ring that was given its keys makes none")

		require.ErrorContains(t, ring.Use(one), "an id of its own")
		require.ErrorContains(t, ring.Use(EncryptionKey{ID: "three"}), "no certificate")
		require.NoError(t, ring.Use(two))
		assert.Equal(t, "two", ring.Current().ID)
		assert.Equal(t, crypto.Decrypter(testKeyOne()), ring.find("one", time.Now()))
		require.ErrorContains(t, ring.Use(one), "an id of its own", "while the former one is kept")
		time.Sleep(6 * time.Hour)
		assert.Nil(t, ring.find("one", time.Now()))
		require.NoError(t, ring.Use(one), "its id is free again")

		generated, err := NewKeyRing(nil)
		require.NoError(t, err)
		require.ErrorContains(t, generated.Use(two), "generates its keys")
	})
}

func TestKeyRingNamesAllFaults(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too small on purpose
	require.NoError(t, err)
	good := encryptionKey(t, "good", testKeyOne())
	_, err = NewKeyRing(&KeyRingOptions{
		RotateAfter: -1, Overlap: 5*time.Hour - 1,
		Keys: []EncryptionKey{
			good,
			good,
			{},
			{ID: strings.Repeat("i", 129), Certificate: certificateOf(t, publicOf{curve.Public()}, curve), Key: testKeyOne()},
			{ID: "small", Certificate: certificateOf(t, publicOf{small.Public()}, small), Key: small},
			{ID: "other", Certificate: good.Certificate, Key: testKeyTwo()},
		},
	})
	for _, want := range []string{
		"RotateAfter", "Overlap", `Keys[1]: the id "good" is used twice`, "Keys[2]", "no id", "no certificate", "no private key",
		"129 characters", "ECDSA", "1024 bits", "Keys[5]: the private key is not the certificate's",
	} {
		assert.ErrorContains(t, err, want)
	}
}
