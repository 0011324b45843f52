package graph

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// fixedKey gives the symmetric key, whatever is asked of it.
type fixedKey struct {
	symmetric []byte
	err       error
	public    crypto.PublicKey
}

func (k fixedKey) Public() crypto.PublicKey { return k.public }

func (k fixedKey) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return k.symmetric, k.err
}

// The symmetric half by a vector that OpenSSL made:
//
//	printf '%s' '{"id":"u","availability":"Busy","activity":"InACall"}' |
//	  openssl enc -aes-256-cbc -K 000102…1f -iv 000102…0f
//	openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
func TestContentOfAnotherImplementationOpens(t *testing.T) {
	symmetric, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	require.NoError(t, err)
	c := &encryptedContent{
		Data:          "LoFmM3wt0D8H6bTuNTroQX13Wn1C774Ly6BLCC+jkfY9vvkJYUzdNh0+tqfmZNevjUcazR2PEmHmepXkXj+16A==",
		DataSignature: "q3dNRlZy3E1LLn7Emkx67kwEhxlBweQLhz9HeBkzIJ0=",
		DataKey:       "AAAA", CertificateID: "one",
	}
	plain, err := c.open(fixedKey{symmetric: symmetric})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"u","availability":"Busy","activity":"InACall"}`, string(plain))
}

func TestEveryContentOpens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(rt, "plain")
		p := encryptForTest(t, &testKeyOne().PublicKey, want)
		got, err := p.content("one").open(testKeyOne())
		require.NoError(rt, err)
		require.Equal(rt, string(want), string(got))
	})
}

func TestTamperedContentDoesNotOpen(t *testing.T) {
	plain := []byte(plainPresence(notifyAnna, "Busy", "InACall"))
	tests := map[string]func(*parts, *encryptedContent){
		"a bit of the data":      func(p *parts, c *encryptedContent) { p.data[3] ^= 1; *c = *p.content("one") },
		"a bit of the signature": func(p *parts, c *encryptedContent) { p.signature[31] ^= 1; *c = *p.content("one") },
		"a shorter signature":    func(p *parts, c *encryptedContent) { p.signature = p.signature[:16]; *c = *p.content("one") },
		"a bit of the key":       func(p *parts, c *encryptedContent) { p.wrapped[100] ^= 1; *c = *p.content("one") },
		"a key for another":      func(p *parts, c *encryptedContent) { p.wrap(t, &testKeyTwo().PublicKey); *c = *p.content("one") },
		"a key of 16 bytes": func(p *parts, c *encryptedContent) {
			p.symmetric = p.symmetric[:16]
			p.sign()
			p.wrap(t, &testKeyOne().PublicKey)
			*c = *p.content("one")
		},
		"a key of zeros": func(p *parts, c *encryptedContent) { p.wrapped = make([]byte, 256); *c = *p.content("one") },
		"a block less":   func(p *parts, c *encryptedContent) { p.data = p.data[:len(p.data)-16]; *c = *p.content("one") },
		"a block less, signed": func(p *parts, c *encryptedContent) {
			p.data = p.data[:len(p.data)-16]
			p.sign()
			*c = *p.content("one")
		},
		"half a block, signed": func(p *parts, c *encryptedContent) { p.data = p.data[:len(p.data)-8]; p.sign(); *c = *p.content("one") },
		"padding 0":            func(p *parts, c *encryptedContent) { p.encrypt(t, make([]byte, 32)); *c = *p.content("one") },
		"padding 17": func(p *parts, c *encryptedContent) {
			p.encrypt(t, []byte(strings.Repeat("\x11", 32)))
			*c = *p.content("one")
		},
		"padding 255": func(p *parts, c *encryptedContent) {
			p.encrypt(t, []byte(strings.Repeat("\xff", 16)))
			*c = *p.content("one")
		},
		"padding of different bytes": func(p *parts, c *encryptedContent) {
			p.encrypt(t, []byte(strings.Repeat("\x01", 14)+"\x02\x03"))
			*c = *p.content("one")
		},
		"data that is not base64":      func(_ *parts, c *encryptedContent) { c.Data = "!" + c.Data[1:] },
		"a key that is not base64":     func(_ *parts, c *encryptedContent) { c.DataKey = "!" + c.DataKey[1:] },
		"signature that is not base64": func(_ *parts, c *encryptedContent) { c.DataSignature = "!" + c.DataSignature[1:] },
		"no data":                      func(_ *parts, c *encryptedContent) { c.Data = "" },
		"no key":                       func(_ *parts, c *encryptedContent) { c.DataKey = "" },
		"no signature":                 func(_ *parts, c *encryptedContent) { c.DataSignature = "" },
		"newlines for data":            func(_ *parts, c *encryptedContent) { c.Data = "\r\n" },
		"more data than can be": func(p *parts, c *encryptedContent) {
			p.encrypt(t, []byte(strings.Repeat("\x10", maxEncryptedData)))
			*c = *p.content("one")
		},
		"a longer key than can be": func(_ *parts, c *encryptedContent) { c.DataKey = strings.Repeat("A", maxEncryptedKey+4) },
		"a longer signature": func(p *parts, c *encryptedContent) {
			p.signature = append(p.signature, 0, 0, 0)
			*c = *p.content("one")
		},
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			p := encryptForTest(t, &testKeyOne().PublicKey, plain)
			c := p.content("one")
			_, err := c.open(testKeyOne())
			require.NoError(t, err, "before")
			tamper(&p, c)
			_, err = c.open(testKeyOne())
			require.ErrorIs(t, err, errContentTampered)
		})
	}
}

func TestKeyOutOfReachIsNotTheContentsFault(t *testing.T) {
	p := encryptForTest(t, &testKeyOne().PublicKey, []byte("{}"))
	_, err := p.content("one").open(fixedKey{err: errors.New("the vault does not answer")})
	require.ErrorIs(t, err, errKeyFailed)
	assert.NotErrorIs(t, err, errContentTampered)
}

func TestPresenceOfContent(t *testing.T) {
	busy := &presence.Presence{UserID: notifyAnna, Availability: presence.Busy, Activity: presence.ActivityInACall}
	for name, test := range map[string]struct {
		plain string
		want  *presence.Presence
		err   error
	}{
		"as it is sent":            {plainPresence(notifyAnna, "Busy", "InACall"), busy, nil},
		"in other letters":         {plainPresence(strings.ToUpper(notifyAnna), "busy", "inACall"), busy, nil},
		"the path alone":           {`{"@odata.id":"users/` + notifyAnna + `/presence","availability":"Busy","activity":"InACall"}`, busy, nil},
		"without a state":          {`{"id":"` + notifyAnna + `"}`, nil, nil},
		"another user":             {plainPresence("x"+notifyAnna[1:], "Busy", "InACall"), nil, errContentUser},
		"another user in the path": {`{"@odata.id":"users/other/presence","availability":"Busy"}`, nil, errContentUser},
		"no user":                  {`{"availability":"Busy"}`, nil, errContentUser},
		"no JSON":                  {`Busy`, nil, errContentTampered},
		"a list":                   {`[]`, nil, errContentTampered},
		"a number for the state":   {`{"id":"` + notifyAnna + `","availability":1}`, nil, errContentTampered},
	} {
		got, err := presenceOf([]byte(test.plain), notifyAnna)
		assert.ErrorIs(t, err, test.err, name)
		assert.Equal(t, test.want, got, name)
	}
}

// FuzzEncryptedContent opens any content: it never panics, and what opens was
// signed with the symmetric key.
func FuzzEncryptedContent(f *testing.F) {
	symmetric := []byte(strings.Repeat("k", 32))
	p := parts{symmetric: symmetric}
	p.encrypt(f, []byte(`{"id":"u","availability":"Busy"}`+strings.Repeat("\x10", 16)))
	good := p.content("one")
	f.Add(good.Data, good.DataSignature, "AAAA", symmetric)
	f.Add("AAAA", good.DataSignature, "", symmetric)
	f.Add("", "", "====", []byte(nil))
	f.Fuzz(func(t *testing.T, data, signature, wrapped string, symmetric []byte) {
		c := &encryptedContent{Data: data, DataSignature: signature, DataKey: wrapped, CertificateID: "one"}
		plain, err := c.open(fixedKey{symmetric: symmetric})
		if err != nil {
			if plain != nil || !errors.Is(err, errContentTampered) {
				t.Errorf("%q with the error %v", plain, err)
			}
			return
		}
		raw, _ := base64.StdEncoding.DecodeString(data)
		check := parts{symmetric: symmetric, data: raw}
		check.sign()
		if len(plain) >= len(raw) || base64.StdEncoding.EncodeToString(check.signature) != strings.NewReplacer("\r", "", "\n", "").Replace(signature) {
			t.Errorf("%d bytes opened without their signature", len(raw))
		}
		_, _ = presenceOf(plain, "u")
	})
}
