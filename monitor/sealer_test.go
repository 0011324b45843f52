package monitor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

func newSealer(tb testing.TB, key presence.Secret, former ...presence.Secret) *monitor.Sealer {
	tb.Helper()
	s, err := monitor.NewSealer(key, &monitor.SealerOptions{Former: former})
	require.NoError(tb, err)
	return s
}

func TestWhatIsSealedOpensForItsContextOnly(t *testing.T) {
	s := newSealer(t, monitor.GenerateKey())
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		context := rapid.String().Draw(t, "context")
		given := bytes.Clone(plain)
		sealed := s.Seal(plain, context)
		assert.Equal(t, given, plain, "the plain value is the caller's")
		assert.Len(t, sealed, len(plain)+monitor.SealOverhead)
		assert.NotEqual(t, sealed, s.Seal(plain, context), "the same value never looks the same twice")
		if len(plain) > 8 {
			assert.NotContains(t, string(sealed), string(plain))
		}
		given = bytes.Clone(sealed)
		opened, err := s.Open(sealed, context)
		require.NoError(t, err)
		assert.Equal(t, string(plain), string(opened))
		assert.Equal(t, given, sealed, "the sealed value is the caller's")

		other := rapid.String().Filter(func(o string) bool { return o != context }).Draw(t, "other")
		_, err = s.Open(sealed, other)
		assert.ErrorIs(t, err, monitor.ErrTampered)
	})
}

func TestTamperingIsNoticed(t *testing.T) {
	s := newSealer(t, monitor.GenerateKey())
	sealed := s.Seal([]byte("a secret"), "monitors/1")
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			_, err := s.Open(changed, "monitors/1")
			if i >= 1 && i < 9 { // the key's identifier
				assert.ErrorIs(t, err, monitor.ErrWrongKey, i)
			} else {
				assert.ErrorIs(t, err, monitor.ErrTampered, i)
			}
		}
		_, err := s.Open(sealed[:i], "monitors/1")
		require.ErrorIs(t, err, monitor.ErrTampered, "cut short to %d bytes", i)
	}
	_, err := s.Open(append(bytes.Clone(sealed), 0), "monitors/1")
	assert.ErrorIs(t, err, monitor.ErrTampered)
	_, err = s.Open([]byte(`{"token": "a value that nobody has sealed"}`), "monitors/1")
	assert.ErrorIs(t, err, monitor.ErrTampered)
	assert.ErrorContains(t, err, "a newer one has written it, or nobody")
}

func TestWrongKeyIsToldFromDamage(t *testing.T) {
	was, is := monitor.GenerateKey(), monitor.GenerateKey()
	sealed := newSealer(t, was).Seal([]byte("a secret"), "monitors/1")
	_, err := newSealer(t, is).Open(sealed, "monitors/1")
	require.ErrorIs(t, err, monitor.ErrWrongKey)
	assert.NotErrorIs(t, err, monitor.ErrTampered)
	assert.ErrorContains(t, err, "give the key with which the store was written")
}

func TestFormerKeyOpensAndDoesNotSeal(t *testing.T) {
	was, is := monitor.GenerateKey(), monitor.GenerateKey()
	old, both, next := newSealer(t, was), newSealer(t, is, was), newSealer(t, is)

	opened, err := both.Open(old.Seal([]byte("a secret"), "k"), "k")
	require.NoError(t, err)
	assert.Equal(t, "a secret", string(opened))

	sealed := both.Seal([]byte("a secret"), "k")
	_, err = next.Open(sealed, "k")
	require.NoError(t, err)
	_, err = old.Open(sealed, "k")
	assert.ErrorIs(t, err, monitor.ErrWrongKey)
}

func TestKeyCanBeWrittenInSeveralWays(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xf0}, 16) // with characters that the alphabets of base64 write differently
	sealed := newSealer(t, presence.NewSecret(hex.EncodeToString(raw))).Seal([]byte("a secret"), "k")
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		strings.ToUpper(hex.EncodeToString(raw)), " " + base64.StdEncoding.EncodeToString(raw) + "\n",
	} {
		_, err := newSealer(t, presence.NewSecret(text)).Open(sealed, "k")
		assert.NoError(t, err, text)
	}
}

func TestWhatIsNoKeyIsRefusedAndNotShown(t *testing.T) {
	short := "c2hvcnQgc2VjcmV0"
	phrase := "a passphrase of 32 characters..."
	require.Len(t, phrase, 32)
	for _, text := range []string{
		short, phrase, strings.Repeat("z", 64), strings.Repeat("!", 44),
		base64.StdEncoding.EncodeToString(make([]byte, 31)), base64.StdEncoding.EncodeToString(make([]byte, 33)),
	} {
		_, err := monitor.NewSealer(presence.NewSecret(text), nil)
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), text)
		assert.ErrorContains(t, err, "make one with GenerateKey")
	}
	_, err := monitor.NewSealer(presence.Secret{}, &monitor.SealerOptions{
		Former: []presence.Secret{monitor.GenerateKey(), presence.NewSecret(short)},
	})
	require.ErrorContains(t, err, "the key is empty")
	assert.ErrorContains(t, err, "Former[1] is not 32 bytes")
	assert.NotContains(t, err.Error(), "Former[0]")
}

func TestGeneratedKeysDiffer(t *testing.T) {
	a, b := monitor.GenerateKey(), monitor.GenerateKey()
	assert.False(t, a.Equal(b))
	newSealer(t, a, b)
}

func TestSealerIsNotPrinted(t *testing.T) {
	key := monitor.GenerateKey()
	raw, err := base64.StdEncoding.DecodeString(key.Reveal())
	require.NoError(t, err)
	s := newSealer(t, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, s)
		for _, secret := range []string{key.Reveal(), string(raw), hex.EncodeToString(raw), fmt.Sprintf("%d", raw)} {
			assert.NotContains(t, text, secret, verb)
		}
	}
}

func FuzzSealerOpen(f *testing.F) {
	s, err := monitor.NewSealer(presence.NewSecret(strings.Repeat("5a", 32)), nil)
	require.NoError(f, err)
	f.Add([]byte{}, "")
	f.Add([]byte{1}, "k")
	f.Add(make([]byte, monitor.SealOverhead), "k")
	f.Add(s.Seal([]byte("a secret"), "monitors/1"), "monitors/1")
	f.Fuzz(func(t *testing.T, sealed []byte, context string) {
		given := bytes.Clone(sealed)
		plain, err := s.Open(sealed, context)
		if !bytes.Equal(given, sealed) {
			t.Error("what was to be opened has changed")
		}
		switch {
		case err == nil:
			if len(plain) != len(sealed)-monitor.SealOverhead {
				t.Errorf("%d bytes from %d", len(plain), len(sealed))
			}
		case plain != nil, errors.Is(err, monitor.ErrTampered) == errors.Is(err, monitor.ErrWrongKey):
			t.Errorf("%q: %v", plain, err)
		}
	})
}

// BenchmarkMemoryStorePut compares writing a value as it is with sealing it
// before; the difference is what sealing adds to a write.
func BenchmarkMemoryStorePut(b *testing.B) {
	sealer := newSealer(b, monitor.GenerateKey())
	for _, size := range []int{2 << 10, 64 << 10} { // a refresh token; a list of 650 users
		value := bytes.Repeat([]byte{'v'}, size)
		for name, prepare := range map[string]func() []byte{
			"plain":  func() []byte { return value },
			"sealed": func() []byte { return sealer.Seal(value, "monitors/1") },
		} {
			b.Run(strconv.Itoa(size)+"/"+name, func(b *testing.B) {
				store := monitor.NewMemoryStore()
				var revision uint64
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if revision, err = store.Put(context.Background(), "monitors/1", prepare(), revision); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// What is secret is sealed before it reaches a store, for the key of its entry.
func ExampleSealer() {
	ctx := context.Background()
	key := monitor.GenerateKey() // once; kept apart from the store
	sealer, err := monitor.NewSealer(key, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store := monitor.NewMemoryStore()
	_, _ = store.Put(ctx, "tokens/1", sealer.Seal([]byte("a refresh token"), "tokens/1"), 0)

	entries, _ := store.List(ctx, "tokens/")
	plain, err := sealer.Open(entries[0].Value, entries[0].Key)
	fmt.Printf("%s %v\n", plain, err)

	_, err = sealer.Open(entries[0].Value, "tokens/2")
	fmt.Println("moved:", errors.Is(err, monitor.ErrTampered))

	other, _ := monitor.NewSealer(monitor.GenerateKey(), nil)
	_, err = other.Open(entries[0].Value, "tokens/1")
	fmt.Println("another key:", errors.Is(err, monitor.ErrWrongKey))
	// Output:
	// a refresh token <nil>
	// moved: true
	// another key: true
}

// The key is changed without a pause: what the former one has sealed still opens.
func ExampleNewSealer_rotation() {
	former, key := monitor.GenerateKey(), monitor.GenerateKey()
	before, _ := monitor.NewSealer(former, nil)
	sealed := before.Seal([]byte("a refresh token"), "tokens/1")

	sealer, err := monitor.NewSealer(key, &monitor.SealerOptions{Former: []presence.Secret{former}})
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, err := sealer.Open(sealed, "tokens/1")
	fmt.Printf("%s %v\n", plain, err)
	fmt.Println("sealed with the key of today:", sealer.Current(sealed), sealer.Current(sealer.Seal(plain, "tokens/1")))
	// Output:
	// a refresh token <nil>
	// sealed with the key of today: false true
}

// Two writers change one entry, and the second notices.
func ExampleMemoryStore() {
	ctx := context.Background()
	store := monitor.NewMemoryStore()
	revision, _ := store.Put(ctx, "monitors/1", []byte("as it was"), 0)

	_, err := store.Put(ctx, "monitors/1", []byte("one writer's"), revision)
	fmt.Println(err)
	_, err = store.Put(ctx, "monitors/1", []byte("the other's"), revision)
	fmt.Println(err)
	entries, _ := store.List(ctx, "monitors/")
	fmt.Printf("%s\n", entries[0].Value)
	// Output:
	// <nil>
	// monitor: the entry has changed
	// one writer's
}
