package graph

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/presencebridge/presencebridge/presence"
)

func TestEncryptedNotificationBringsThePresence(t *testing.T) {
	tokens := []string{goodToken(t)}
	one := encrypted(t, "ada")
	two := encryptForTest(t, &testKeyTwo().PublicKey, []byte(plainPresence("bob", "Busy", "InACall")))
	items := []string{one, richItem("bob", notifyTenant, two.content("two")), goodItem()}
	after := richBatch(tokens, items...)
	// Encrypted ones are handed on after the answer, so the plain one may be first.
	want := []presence.Notification{hintOf(notifyAnna), inACall("ada"), inACall("bob")}
	for name, body := range map[string]string{
		"tokens after the items":  after,
		"tokens before the items": `{"validationTokens":["` + tokens[0] + `"],"value":[` + strings.Join(items, ",") + `]}`,
		"fields in other letters": strings.NewReplacer("validationTokens", "VALIDATIONTOKENS", "encryptedContent", "EncryptedContent", "dataKey", "DATAKEY").Replace(after),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRichHandler(t, nil, &DecryptionOptions{Workers: 1})
			r.post(t, body)
			assert.ElementsMatch(t, want, r.inbox.notifications)
			s := r.Stats()
			assert.EqualValues(t, 3, s.Received)
			assert.EqualValues(t, 3, s.Delivered)
			assert.EqualValues(t, 2, s.Decrypted)
			assert.Empty(t, s.Hints)
			assert.Empty(t, s.Refused)
			assert.Zero(t, s.Pending)
			assert.False(t, s.LastDelivery.IsZero())
		})
	}
}

func TestTamperedItemIsRefusedAlone(t *testing.T) {
	tamper := func(change func(p *parts)) string {
		p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("eve", "Busy", "InACall")))
		change(&p)
		return richItem("eve", notifyTenant, p.content("one"))
	}
	foreign := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("bob", "Busy", "InACall")))
	noJSON := encryptForTest(t, &testKeyOne().PublicKey, []byte("Busy"))
	broken := func(content string) string {
		item := basicItem(notifySub, notifyState, notifyTenant, "eve")
		return item[:strings.LastIndexByte(item, '}')] + `,"encryptedContent":` + content + `}`
	}
	for name, test := range map[string]struct {
		item string
		want RefusalReason
	}{
		"data":            {tamper(func(p *parts) { p.data[0] ^= 1 }), RefusedContent},
		"signature":       {tamper(func(p *parts) { p.signature[0] ^= 1 }), RefusedContent},
		"key":             {tamper(func(p *parts) { p.wrapped[5] ^= 1 }), RefusedContent},
		"padding":         {tamper(func(p *parts) { p.encrypt(t, make([]byte, 16)) }), RefusedContent},
		"no JSON":         {richItem("eve", notifyTenant, noJSON.content("one")), RefusedContent},
		"another's":       {richItem("eve", notifyTenant, foreign.content("one")), RefusedContentUser},
		"empty":           {broken(`{}`), RefusedContent},
		"a text":          {broken(`"x"`), RefusedContent},
		"a list":          {broken(`[]`), RefusedContent},
		"fields of types": {broken(`{"data":1,"dataKey":{},"dataSignature":[],"encryptionCertificateId":"one"}`), RefusedContent},
	} {
		t.Run(name, func(t *testing.T) {
			var refused []Refusal
			r := newRichHandler(t, &NotificationHandlerOptions{Refused: func(r Refusal) { refused = append(refused, r) }}, &DecryptionOptions{Workers: 1})
			r.post(t, richBatch([]string{goodToken(t)}, encrypted(t, "ada"), test.item, encrypted(t, "cyd")))
			assert.Equal(t, []presence.Notification{inACall("ada"), inACall("cyd")}, r.inbox.notifications)
			assert.Equal(t, map[RefusalReason]uint64{test.want: 1}, r.Stats().Refused)
			assert.Equal(t, []Refusal{{Reason: test.want, SubscriptionID: notifySub, TenantID: notifyTenant}}, refused)
		})
	}
}

func TestWhatCannotBeReadRemainsAHint(t *testing.T) {
	p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("ada", "Busy", "InACall")))
	noState := encryptForTest(t, &testKeyOne().PublicKey, []byte(`{"id":"ada"}`))
	item := func(p *parts, certificateID string) string {
		return richItem("ada", notifyTenant, p.content(certificateID))
	}
	for reason, body := range map[HintReason]func(*testing.T) string{
		HintUnknownCertificate: func(t *testing.T) string { return richBatch([]string{goodToken(t)}, item(&p, "three")) },
		HintNoPresence:         func(t *testing.T) string { return richBatch([]string{goodToken(t)}, item(&noState, "one")) },
		HintNoValidationToken:  func(*testing.T) string { return batchOf(item(&p, "one")) },
	} {
		t.Run(reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := body(t)
				var logged bytes.Buffer
				r := newRichHandler(t, &NotificationHandlerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, nil)
				for range 3 {
					r.post(t, body)
				}
				assert.Equal(t, []presence.Notification{hintOf("ada"), hintOf("ada"), hintOf("ada")}, r.inbox.notifications)
				assert.Equal(t, map[HintReason]uint64{reason: 3}, r.Stats().Hints)
				assert.Equal(t, 1, strings.Count(logged.String(), "level=WARN"), logged.String())
				assert.Contains(t, logged.String(), "remedy=")
				time.Sleep(time.Minute)
				r.post(t, body)
				assert.Equal(t, 2, strings.Count(logged.String(), "level=WARN"))
				for _, secret := range []string{notifyState, p.content("").Data} {
					assert.NotContains(t, logged.String(), secret)
				}
			})
		})
	}
}

func TestSigningKeysThatCannotBeFetchedLeaveAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		r := newRichHandler(t, &NotificationHandlerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, nil)
		r.login.set(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		began := time.Now()
		w := postNotification(r.NotificationHandler, richBatch([]string{goodToken(t)}, encrypted(t, "ada")))
		assert.Equal(t, http.StatusAccepted, w.Code)
		assert.Zero(t, time.Since(began), "the answer does not wait for the login service")
		assert.Equal(t, 1, r.Stats().Pending)
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, []presence.Notification{hintOf("ada")}, r.inbox.notifications)
		assert.EqualValues(t, 1, r.Stats().Hints[HintSigningKeys])
		assert.Contains(t, logged.String(), `error="graph: the signing keys of the login service are not available: OpenID configuration: malformed answer`)

		// The login service is back, with another key beside the one that it had.
		r.login.set(nil)
		r.login.add("key-2", testStranger())
		time.Sleep(time.Minute)
		r.post(t, richBatch([]string{signToken(t, "key-2", testStranger(), jwt.SigningMethodRS256, goodClaims())}, encrypted(t, "bob")))
		assert.Equal(t, inACall("bob"), r.inbox.notifications[1])
	})
}

func TestFullQueueLeavesHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRichHandler(t, nil, &DecryptionOptions{QueueSize: 3, Workers: 1})
		proceed := make(chan struct{})
		r.login.set(func(http.ResponseWriter, *http.Request) bool { <-proceed; return false })
		body := func(users ...string) string {
			var items []string
			for _, user := range users {
				items = append(items, encrypted(t, user))
			}
			return richBatch([]string{goodToken(t)}, items...)
		}
		postNotification(r.NotificationHandler, body("a"))
		synctest.Wait() // the worker has taken it and waits for the keys
		postNotification(r.NotificationHandler, body("b", "c", "d", "e"))
		postNotification(r.NotificationHandler, body("f"))
		assert.Equal(t, []presence.Notification{hintOf("e"), hintOf("f")}, r.inbox.notifications, "at once")
		assert.Equal(t, 4, r.Stats().Pending)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Wait(ctx), context.DeadlineExceeded)
		close(proceed)
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, []presence.Notification{inACall("a"), inACall("b"), inACall("c"), inACall("d")}, r.inbox.notifications[2:])
		s := r.Stats()
		assert.Equal(t, map[HintReason]uint64{HintQueueFull: 2}, s.Hints)
		assert.EqualValues(t, 6, s.Delivered)
		assert.Equal(t, s.Received, s.Delivered)
		assert.Zero(t, s.Pending)
		assert.Equal(t, 1, r.login.fetches())
	})
}

func TestWorkersAreBoundedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &slowVault{}
		ring, err := NewKeyRing(&KeyRingOptions{Keys: []EncryptionKey{{ID: "one", Certificate: certificateOf(t, publicOf{testKeyOne().Public()}, testKeyOne()), Key: vault}}})
		require.NoError(t, err)
		d, err := NewDecryption(ring, []string{application}, &DecryptionOptions{Cloud: testCloud(), HTTPClient: newLogin().client(), Workers: 3})
		require.NoError(t, err)
		h, in := boundHandler(t, &NotificationHandlerOptions{Decryption: d})
		var items []string
		for i := range 9 {
			items = append(items, encrypted(t, fmt.Sprint("user-", i)))
		}
		began := time.Now()
		postNotification(h, richBatch([]string{goodToken(t)}, items...))
		require.NoError(t, h.Wait(t.Context()))
		assert.Equal(t, 3*time.Second, time.Since(began), "three at a time, a second each")
		assert.Len(t, in.users(), 9)
		assert.Equal(t, 3, vault.most)
		require.NoError(t, h.Wait(t.Context()), "when nothing is left")
	})
}

// slowVault is a private key elsewhere.
type slowVault struct {
	mu        sync.Mutex
	now, most int
	fail      error
}

func (*slowVault) Public() crypto.PublicKey { return testKeyOne().Public() }

func (v *slowVault) Decrypt(random io.Reader, text []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	v.mu.Lock()
	v.now++
	v.most = max(v.most, v.now)
	v.mu.Unlock()
	time.Sleep(time.Second)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now--
	if v.fail != nil {
		return nil, v.fail
	}
	return testKeyOne().Decrypt(random, text, opts)
}

func TestPrivateKeyOutOfReachLeavesAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &slowVault{fail: errors.New("no connection")}
		r := newRichHandler(t, nil, nil)
		require.NoError(t, r.ring.Use(EncryptionKey{ID: "vault", Certificate: certificateOf(t, publicOf{testKeyOne().Public()}, testKeyOne()), Key: vault}))
		p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("ada", "Busy", "InACall")))
		r.post(t, richBatch([]string{goodToken(t)}, richItem("ada", notifyTenant, p.content("vault"))))
		assert.Equal(t, []presence.Notification{hintOf("ada")}, r.inbox.notifications)
		assert.Equal(t, map[HintReason]uint64{HintKeyFailed: 1}, r.Stats().Hints)
	})
}

func TestPanicWhileDecryptingLeavesAHint(t *testing.T) {
	var logged bytes.Buffer
	r := newRichHandler(t, &NotificationHandlerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, nil)
	r.login.set(func(http.ResponseWriter, *http.Request) bool { panic("a secret value") })
	r.post(t, richBatch([]string{goodToken(t)}, encrypted(t, "ada"), encrypted(t, "bob")))
	assert.ElementsMatch(t, []presence.Notification{hintOf("ada"), hintOf("bob")}, r.inbox.notifications)
	s := r.Stats()
	assert.EqualValues(t, 2, s.Panics)
	assert.Zero(t, s.Pending)
	assert.NotContains(t, logged.String(), "a secret value")
}

// What was accepted before the receiver went is not handed to it afterwards.
func TestUnregisteredWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRichHandler(t, nil, &DecryptionOptions{Workers: 1})
		proceed := make(chan struct{})
		r.login.set(func(http.ResponseWriter, *http.Request) bool { <-proceed; return false })
		in := new(notificationInbox)
		bind, unregister, err := r.Register(presence.NewSecret("other state"), in.receiver())
		require.NoError(t, err)
		bind("other sub")
		second := strings.NewReplacer(notifySub, "other sub", notifyState, "other state").Replace(encrypted(t, "bob"))
		postNotification(r.NotificationHandler, richBatch([]string{goodToken(t)}, encrypted(t, "ada"), second))
		synctest.Wait()
		unregister()
		close(proceed)
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, []string{"ada"}, r.inbox.users())
		assert.Empty(t, in.users())
		assert.EqualValues(t, 1, r.Stats().Refused[RefusedUnknownSubscription])
	})
}

func TestEncryptedItemNeedsItsClientStateAsWell(t *testing.T) {
	r := newRichHandler(t, nil, nil)
	item := encrypted(t, "ada")
	r.post(t, richBatch([]string{goodToken(t)},
		strings.Replace(item, notifyState, "a guess", 1),
		strings.Replace(item, notifySub, "other", 1),
		strings.Replace(item, notifyTenant, otherTenant, 1)))
	assert.Empty(t, r.inbox.notifications)
	assert.Equal(t, map[RefusalReason]uint64{RefusedClientState: 1, RefusedUnknownSubscription: 1, RefusedTenant: 1}, r.Stats().Refused)
	assert.Empty(t, r.login.wire.all())
}

func TestRefusedItemsOfABodyAreReportedUpToABound(t *testing.T) {
	var mu sync.Mutex
	reported := 0
	r := newRichHandler(t, &NotificationHandlerOptions{Refused: func(Refusal) { mu.Lock(); defer mu.Unlock(); reported++ }}, nil)
	var items []string
	for range 3 * maxReportedRefusals {
		items = append(items, richItem("eve", notifyTenant, &encryptedContent{}))
	}
	r.post(t, richBatch([]string{goodToken(t)}, items...))
	assert.Equal(t, maxReportedRefusals, reported)
	assert.EqualValues(t, 3*maxReportedRefusals, r.Stats().Refused[RefusedContent])
}

func TestDecryptionNamesAllFaults(t *testing.T) {
	_, err := NewDecryption(nil, nil, &DecryptionOptions{Cloud: Cloud{LoginURL: "ftp://x", GraphURL: "https://graph.test"}, QueueSize: -1, Workers: -1})
	for _, want := range []string{"key ring", "client id", "LoginURL", "QueueSize", "Workers"} {
		assert.ErrorContains(t, err, want)
	}
	ring, err := NewKeyRing(&KeyRingOptions{Keys: []EncryptionKey{encryptionKey(t, "one", testKeyOne())}})
	require.NoError(t, err)
	_, err = NewDecryption(ring, []string{application, "no/id"}, nil)
	require.ErrorContains(t, err, "client id must be a GUID")
}

func TestEncryptedNotificationMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	r := newRichHandler(t, &NotificationHandlerOptions{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}, nil)
	p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("ada", "Busy", "InACall")))
	r.post(t, richBatch([]string{goodToken(t)}, encrypted(t, "ada"), goodItem(),
		richItem("ada", notifyTenant, p.content("three")), richItem("bob", notifyTenant, p.content("one"))))
	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &collected))
	got := map[string]int64{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "presencebridge.graph.notification.items" {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				outcome, _ := point.Attributes.Value("outcome")
				reason, _ := point.Attributes.Value("reason")
				got[outcome.AsString()+" "+reason.AsString()] = point.Value
			}
		}
	}
	assert.Equal(t, map[string]int64{"decrypted ": 1, "delivered ": 1, "hint unknown certificate": 1, "refused content of another user": 1}, got)
}

// FuzzEncryptedNotification sends any body with both items and tokens: the handler
// accounts for every item, and only a content that is signed right is handed on.
func FuzzEncryptedNotification(f *testing.F) {
	// The private-key operation is left out: it would take nearly all of the time.
	r := newRichHandler(f, &NotificationHandlerOptions{MaxBody: 1 << 16}, nil)
	p := parts{symmetric: []byte(strings.Repeat("k", 32)), wrapped: make([]byte, 256)}
	if err := r.ring.Use(EncryptionKey{ID: "fixed", Certificate: certificateOf(f, publicOf{testKeyOne().Public()}, testKeyOne()), Key: fixedKey{symmetric: p.symmetric, public: testKeyOne().Public()}}); err != nil {
		f.Fatal(err)
	}
	plain := plainPresence("ada", "Busy", "InACall")
	n := 16 - len(plain)%16
	p.encrypt(f, []byte(plain+strings.Repeat(string(rune(n)), n)))
	good := richItem("ada", notifyTenant, p.content("fixed"))
	sound := richBatch([]string{goodToken(f)}, good, goodItem())
	if r.post(f, sound); r.Stats().Decrypted != 1 {
		f.Fatalf("%+v", r.Stats())
	}
	f.Add(sound)
	f.Add(richBatch([]string{"a.b.c"}, good))
	f.Add(`{"validationTokens":null,"value":[` + good + `],"validationTokens":[7]}`)
	f.Add(`{"validationTokens":{"a":[` + `],"value":[` + good + `]}`)
	f.Add(richBatch(nil, strings.Replace(good, `"data":"`, `"data":"!`, 1)))
	f.Add(richBatch(nil, strings.Replace(good, `"encryptedContent":{`, `"encryptedContent":[{`, 1)))
	f.Fuzz(func(t *testing.T, body string) {
		before := r.Stats()
		w := postNotification(r.NotificationHandler, body)
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := r.Stats()
		if s.Pending != 0 || s.Panics != 0 {
			t.Errorf("%d items pending, %d panics", s.Pending, s.Panics)
		}
		refused := func(s NotificationStats) (n uint64) {
			for reason, count := range s.Refused {
				if reason >= RefusedMalformedItem {
					n += count
				}
			}
			return n
		}
		if s.Received-before.Received != s.Delivered-before.Delivered+s.Lifecycle-before.Lifecycle+refused(s)-refused(before) {
			t.Errorf("answered %d, from %+v to %+v", w.Code, before, s)
		}
		if w.Code != http.StatusAccepted && s.Received != before.Received {
			t.Errorf("answered %d and took items", w.Code)
		}
		r.inbox.mu.Lock()
		defer r.inbox.mu.Unlock()
		for _, n := range r.inbox.notifications {
			if n.SubscriptionID != notifySub || n.UserID == "" || n.Presence != nil && n.Presence.UserID != n.UserID {
				t.Errorf("handed on %+v", n)
			}
		}
		r.inbox.notifications = nil
	})
}
