package graphtest_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func decode64(t require.TestingT, v any) []byte {
	raw, err := base64.StdEncoding.DecodeString(v.(string))
	require.NoError(t, err)
	return raw
}

func TestRichNotification(t *testing.T) {
	certificate, key := certificateFor(t)
	other, otherKey := certificateFor(t)
	open := func(w *world, key *rsa.PrivateKey, item map[string]any) map[string]any {
		content := item["encryptedContent"].(map[string]any)
		symmetric, err := rsa.DecryptOAEP(sha1.New(), rand.Reader, key, decode64(w, content["dataKey"]), nil)
		require.NoError(w, err)
		data := decode64(w, content["data"])
		mac := hmac.New(sha256.New, symmetric)
		mac.Write(data)
		require.Equal(w, mac.Sum(nil), decode64(w, content["dataSignature"]))
		block, err := aes.NewCipher(symmetric)
		require.NoError(w, err)
		cipher.NewCBCDecrypter(block, symmetric[:16]).CryptBlocks(data, data)
		data = data[:len(data)-int(data[len(data)-1])]
		var plain map[string]any
		require.NoError(w, json.Unmarshal(data, &plain), string(data))
		return plain
	}
	inBubble(t, nil, func(w *world) {
		body := w.subscriptionBody(annID)
		body["includeResourceData"] = true
		body["encryptionCertificate"] = base64.StdEncoding.EncodeToString(certificate.Raw)
		body["encryptionCertificateId"] = "one"
		token := w.userToken(monID)
		id := w.subscribe(token, body)
		w.call(annID)
		settle()
		posts := w.received.posts()
		require.Len(w, posts, 1)
		item := posts[0]["value"].([]any)[0].(map[string]any)
		assert.Equal(w, "one", item["encryptedContent"].(map[string]any)["encryptionCertificateId"])
		assert.Equal(w, map[string]any{
			"@odata.id": "users/" + annID + "/presence", "@odata.type": "#microsoft.graph.presence", "id": annID,
			"availability": "Busy", "activity": "InACall",
		}, open(w, key, item))

		tokens := posts[0]["validationTokens"].([]any)
		require.Len(w, tokens, 1)
		c := claimsOf(w, tokens[0].(string))
		assert.Equal(w, "0bf30f3b-4a52-48df-9a82-234910c4a086", c["azp"])
		assert.Equal(w, w.app.ClientID, c["aud"])
		assert.Equal(w, w.TenantID(), c["tid"])

		status, _ := w.do(token, "PATCH", "subscriptions/"+id, map[string]any{
			"encryptionCertificate": base64.StdEncoding.EncodeToString(other.Raw), "encryptionCertificateId": "two",
			"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		})
		require.Equal(w, http.StatusOK, status)
		w.teams(annID, presence.DoNotDisturb, "")
		settle()
		items := w.received.items()
		require.Len(w, items, 1)
		assert.Equal(w, "DoNotDisturb", open(w, otherKey, items[0])["availability"])

		for _, bad := range []string{"!", base64.StdEncoding.EncodeToString([]byte("x"))} {
			status, _ = w.do(token, "PATCH", "subscriptions/"+id, map[string]any{"encryptionCertificate": bad, "encryptionCertificateId": "three"})
			assert.Equal(w, http.StatusBadRequest, status)
		}
	})
}
