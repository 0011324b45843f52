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
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
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

// richSubscription subscribes to Ann's and Bob's presence with a certificate.
func richSubscription(w *world, token string, certificate []byte) string {
	body := w.subscriptionBody(annID, bobID)
	body["includeResourceData"] = true
	body["encryptionCertificate"] = base64.StdEncoding.EncodeToString(certificate)
	body["encryptionCertificateId"] = "one"
	return w.subscribe(token, body)
}

func TestRichFaults(t *testing.T) {
	certificate, _ := certificateFor(t)
	inBubble(t, nil, func(w *world) {
		richSubscription(w, w.userToken(monID), certificate.Raw)
		post := func(availability presence.Availability) map[string]any {
			w.teams(annID, availability, "")
			settle()
			posts := w.received.posts()
			require.Len(w, posts, 1)
			return posts[0]
		}
		data := func(post map[string]any) []byte {
			return decode64(w, post["value"].([]any)[0].(map[string]any)["encryptedContent"].(map[string]any)["data"])
		}
		verify := func(post map[string]any) error {
			_, set := w.do("", "GET", w.LoginURL()+"/common/discovery/keys", nil)
			_, err := jwt.Parse(post["validationTokens"].([]any)[0].(string), func(token *jwt.Token) (any, error) {
				for _, entry := range set["keys"].([]any) {
					if key := entry.(map[string]any); key["kid"] == token.Header["kid"] {
						n, err := base64.RawURLEncoding.DecodeString(key["n"].(string))
						return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, err
					}
				}
				return nil, errors.New("the key is not in the set")
			})
			return err
		}
		sound := post(presence.Busy)
		require.NoError(w, verify(sound))
		assert.Zero(w, len(data(sound))%16)

		w.SetRichFault(graphtest.RichFault{NoTokens: true})
		none := post(presence.Away)
		value, found := none["validationTokens"]
		assert.True(w, found, "there, and null")
		assert.Nil(w, value)

		w.SetRichFault(graphtest.RichFault{ForgeTokens: true})
		require.ErrorIs(w, verify(post(presence.Busy)), jwt.ErrTokenSignatureInvalid)

		asked := ""
		w.SetRichFault(graphtest.RichFault{Tamper: func(userID string) bool { asked = userID; return true }})
		require.NoError(w, verify(post(presence.Away)))
		assert.Equal(w, annID, asked)

		w.SetRichFault(graphtest.RichFault{})
		require.NoError(w, w.RotateSigningKey())
		rotated := post(presence.Busy)
		require.NoError(w, verify(rotated))
		require.NoError(w, verify(sound), "the key before stays in the set")
		kid := func(post map[string]any) any {
			token, _, err := jwt.NewParser().ParseUnverified(post["validationTokens"].([]any)[0].(string), jwt.MapClaims{})
			require.NoError(w, err)
			return token.Header["kid"]
		}
		assert.NotEqual(w, kid(sound), kid(rotated))
		token := w.userToken(monID)
		status, _ := w.do(token, "GET", "subscriptions", nil)
		assert.Equal(w, http.StatusOK, status, "access tokens of either key are taken")
	})
}

func TestValidationTokensOfVersion1(t *testing.T) {
	certificate, _ := certificateFor(t)
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{ValidationTokensVersion1: true}}, func(w *world) {
		richSubscription(w, w.userToken(monID), certificate.Raw)
		w.call(annID)
		settle()
		c := claimsOf(w, w.received.posts()[0]["validationTokens"].([]any)[0].(string))
		assert.Equal(w, "1.0", c["ver"])
		assert.Equal(w, "0bf30f3b-4a52-48df-9a82-234910c4a086", c["appid"])
		assert.NotContains(w, c, "azp")
		assert.Equal(w, "https://sts.windows.net/"+w.TenantID()+"/", c["iss"])
	})
}

// A late notification is encrypted for the certificate that the subscription had
// when the presence changed.
func TestLateNotificationKeepsItsCertificate(t *testing.T) {
	certificate, _ := certificateFor(t)
	other, _ := certificateFor(t)
	inBubble(t, nil, func(w *world) {
		token := w.userToken(monID)
		id := richSubscription(w, token, certificate.Raw)
		w.SetDeliveryFault(func(graphtest.Delivery) graphtest.Fault { return graphtest.Fault{Delay: time.Minute} })
		w.call(annID)
		settle()
		status, _ := w.do(token, "PATCH", "subscriptions/"+id, map[string]any{
			"encryptionCertificate": base64.StdEncoding.EncodeToString(other.Raw), "encryptionCertificateId": "two",
		})
		require.Equal(w, http.StatusOK, status)
		time.Sleep(2 * time.Minute)
		items := w.received.items()
		require.Len(w, items, 1)
		assert.Equal(w, "one", items[0]["encryptedContent"].(map[string]any)["encryptionCertificateId"])
	})
}
