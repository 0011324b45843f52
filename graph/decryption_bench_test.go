package graph

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what Microsoft Graph uses
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkDecryption compares what one encrypted notification costs with the one
// private-key operation in it, which nobody can save. "content" is the decryption
// alone; "handler" also reads the body, checks the validation token, and hands the
// presence on.
func BenchmarkDecryption(b *testing.B) {
	key := testKeyOne()
	p := encryptForTest(b, &key.PublicKey, []byte(plainPresence(notifyAnna, "Busy", "InACall")))
	content := p.content("one")
	wrapped, err := base64.StdEncoding.DecodeString(content.DataKey)
	require.NoError(b, err)

	b.Run("bare OAEP", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rsa.DecryptOAEP(sha1.New(), rand.Reader, key, wrapped, nil); err != nil { //nolint:gosec // what Microsoft Graph uses
				b.Fatal(err)
			}
		}
	})
	b.Run("content", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plain, err := content.open(key)
			if err != nil {
				b.Fatal(err)
			}
			if got, err := presenceOf(plain, notifyAnna); err != nil || got == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("handler", func(b *testing.B) {
		r := newRichHandler(b, nil, &DecryptionOptions{Workers: 1})
		body := richBatch([]string{goodToken(b)}, richItem(notifyAnna, notifyTenant, content))
		b.ReportAllocs()
		for b.Loop() {
			if w := postNotification(r.NotificationHandler, body); w.Code != http.StatusAccepted {
				b.Fatal(w.Code)
			}
			if err := r.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		if s := r.Stats(); s.Decrypted != s.Received {
			b.Fatalf("%+v", s)
		}
	})
}
