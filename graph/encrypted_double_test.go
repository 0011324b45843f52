package graph_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// rich is a company whose monitor holds a subscription with encrypted content.
type rich struct {
	*company
	t            *testing.T
	rotateAfter  time.Duration
	ring         *graph.KeyRing
	handler      *graph.NotificationHandler
	client       *graph.Client
	subscription presence.Subscription

	mu  sync.Mutex
	got []presence.Notification
}

func newRich(t *testing.T, rotateAfter time.Duration, assume *graphtest.Assumptions) *rich {
	t.Helper()
	network := graphtest.NewNetwork()
	r := &rich{t: t, rotateAfter: rotateAfter, company: newCompany(t, &graphtest.Options{Network: network, Assumptions: assume})}
	listener, err := network.Listen("bridge.test")
	require.NoError(t, err)
	endpoint := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) })}
	r.start()
	go func() { _ = endpoint.Serve(listener) }()
	t.Cleanup(func() { _ = endpoint.Close() })

	r.client = r.signIn(t)
	r.subscription, err = r.client.CreateSubscription(t.Context(), presence.SubscriptionRequest{
		UserIDs: []string{r.ann.ID, r.bob.ID}, NotificationURL: "http://bridge.test/graph", ClientState: richState(),
		ExpiresAt: time.Now().Add(time.Hour), Encryption: r.ring.Current(),
	})
	require.NoError(t, err)
	return r
}

func richState() presence.Secret { return presence.NewSecret("a random text") }

// start makes what lives in the memory of one process.
func (r *rich) start() {
	r.t.Helper()
	var err error
	r.ring, err = graph.NewKeyRing(&graph.KeyRingOptions{RotateAfter: r.rotateAfter})
	require.NoError(r.t, err)
	decryption, err := graph.NewDecryption(r.ring, []string{r.app.ClientID}, &graph.DecryptionOptions{Cloud: r.cloud(), HTTPClient: r.Client()})
	require.NoError(r.t, err)
	r.handler = graph.NewNotificationHandler(&graph.NotificationHandlerOptions{Decryption: decryption})
	_, _, err = r.handler.Tenant(r.TenantID()).Register(richState(), presence.Receiver{Notify: func(n presence.Notification) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, n)
	}})
	require.NoError(r.t, err)
}

// set changes what Teams shows for a person.
func (r *rich) set(user graphtest.User, availability presence.Availability, activity presence.Activity) {
	r.t.Helper()
	require.NoError(r.t, r.SetClient(user.ID, "desktop", availability, activity))
}

// renew lets the subscription live on with the ring's current certificate.
func (r *rich) renew() {
	r.t.Helper()
	_, err := r.client.RenewSubscription(r.t.Context(), r.subscription.ID, presence.SubscriptionRenewal{ExpiresAt: time.Now().Add(time.Hour), Encryption: r.ring.Current()})
	require.NoError(r.t, err)
}

// take returns what has arrived since, once nothing more comes.
func (r *rich) take() []presence.Notification {
	r.t.Helper()
	time.Sleep(time.Second)
	require.NoError(r.t, r.handler.Wait(r.t.Context()))
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func (r *rich) with(user graphtest.User, availability presence.Availability, activity presence.Activity) presence.Notification {
	n := r.without(user)
	n.Presence = &presence.Presence{UserID: user.ID, Availability: availability, Activity: activity}
	return n
}

func (r *rich) without(user graphtest.User) presence.Notification {
	return presence.Notification{SubscriptionID: r.subscription.ID, TenantID: r.TenantID(), UserID: user.ID}
}

func TestEncryptedNotificationsArriveWithThePresence(t *testing.T) {
	for name, assume := range map[string]*graphtest.Assumptions{
		"tokens of version 2.0": nil,
		"tokens of version 1.0": {ValidationTokensVersion1: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRich(t, 0, assume)
				assert.True(t, r.Subscriptions()[0].WithResourceData)
				r.set(r.ann, presence.Busy, presence.ActivityInACall)
				r.set(r.bob, presence.DoNotDisturb, presence.ActivityPresenting)
				assert.ElementsMatch(t, []presence.Notification{
					r.with(r.ann, presence.Busy, presence.ActivityInACall),
					r.with(r.bob, presence.DoNotDisturb, presence.ActivityPresenting),
				}, r.take())
				s := r.handler.Stats()
				assert.EqualValues(t, 2, s.Decrypted)
				assert.Empty(t, s.Refused)
			})
		})
	}
}

// A day passes, the certificate changes with a renewal, and what was encrypted
// for the one before still arrives hours later.
func TestCertificateRotatesWithOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRich(t, 24*time.Hour, nil)
		first := r.ring.Current().ID
		for r.ring.Current().ID == first {
			time.Sleep(40 * time.Minute)
			if r.ring.Current().ID == first {
				r.renew()
			}
		}
		// These were encrypted for the former certificate, and are late.
		r.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault {
			if d.UserIDs[0] == r.ann.ID {
				return graphtest.Fault{Delay: 3*time.Hour + 50*time.Minute}
			}
			return graphtest.Fault{Delay: 6 * time.Hour}
		})
		r.set(r.ann, presence.Busy, presence.ActivityInACall)
		r.set(r.bob, presence.Busy, presence.ActivityInACall)
		time.Sleep(time.Second)
		r.SetDeliveryFault(nil)
		r.renew()
		r.set(r.ann, presence.DoNotDisturb, presence.ActivityPresenting)
		assert.Equal(t, []presence.Notification{r.with(r.ann, presence.DoNotDisturb, presence.ActivityPresenting)}, r.take(), "by the new certificate")

		rotated := time.Now()
		for time.Since(rotated) < 5*time.Hour {
			time.Sleep(40 * time.Minute)
			r.renew()
		}
		assert.Equal(t, []presence.Notification{r.with(r.ann, presence.Busy, presence.ActivityInACall)}, r.take(), "by the former one, within the overlap")
		for time.Since(rotated) < 7*time.Hour {
			time.Sleep(40 * time.Minute)
			r.renew()
		}
		assert.Equal(t, []presence.Notification{r.without(r.bob)}, r.take(), "too late: a hint remains")
		s := r.handler.Stats()
		assert.Equal(t, map[graph.HintReason]uint64{graph.HintUnknownCertificate: 1}, s.Hints)
		assert.Empty(t, s.Refused)
	})
}

func TestLoginServiceRotatesItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRich(t, 0, nil)
		r.set(r.ann, presence.Busy, presence.ActivityInACall)
		require.Len(t, r.take(), 1)
		require.NoError(t, r.RotateSigningKey())
		// Too early to ask for the keys again, so it is not known whether it is true.
		r.set(r.ann, presence.Away, presence.ActivityAway)
		assert.Equal(t, []presence.Notification{r.without(r.ann)}, r.take())
		time.Sleep(5 * time.Minute)
		r.set(r.ann, presence.Busy, presence.ActivityInACall)
		assert.Equal(t, []presence.Notification{r.with(r.ann, presence.Busy, presence.ActivityInACall)}, r.take())
		assert.Empty(t, r.handler.Stats().Refused)
	})
}

func TestFaultsOfEncryptedNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRich(t, 0, nil)
		both := func() {
			r.set(r.ann, presence.Busy, presence.ActivityInACall)
			r.set(r.bob, presence.Busy, presence.ActivityInACall)
		}
		reset := func() {
			r.SetRichFault(graphtest.RichFault{})
			r.set(r.ann, presence.Away, presence.ActivityAway)
			r.set(r.bob, presence.Away, presence.ActivityAway)
			require.Len(t, r.take(), 2)
		}
		r.SetRichFault(graphtest.RichFault{Tamper: func(userID string) bool { return userID == r.ann.ID }})
		both()
		assert.Equal(t, []presence.Notification{r.with(r.bob, presence.Busy, presence.ActivityInACall)}, r.take(), "a tampered item is refused alone")
		reset()
		r.SetRichFault(graphtest.RichFault{NoTokens: true})
		both()
		assert.ElementsMatch(t, []presence.Notification{r.without(r.ann), r.without(r.bob)}, r.take())
		reset()
		r.SetRichFault(graphtest.RichFault{ForgeTokens: true})
		both()
		assert.Empty(t, r.take())
		reset()
		s := r.handler.Stats()
		assert.Equal(t, map[graph.RefusalReason]uint64{graph.RefusedContent: 1, graph.RefusedValidationTokens: 2}, s.Refused)
		assert.Equal(t, map[graph.HintReason]uint64{graph.HintNoValidationToken: 2}, s.Hints)
		assert.Equal(t, s.Received, s.Delivered+3)
	})
}

// A process that starts anew has other keys. Its subscription, adopted as it was,
// brings hints until it is renewed.
func TestRestartLosesNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRich(t, 0, nil)
		r.start()
		r.set(r.ann, presence.Busy, presence.ActivityInACall)
		assert.Equal(t, []presence.Notification{r.without(r.ann)}, r.take())
		assert.Equal(t, map[graph.HintReason]uint64{graph.HintUnknownCertificate: 1}, r.handler.Stats().Hints)
		r.renew()
		r.set(r.ann, presence.Away, presence.ActivityAway)
		assert.Equal(t, []presence.Notification{r.with(r.ann, presence.Away, presence.ActivityAway)}, r.take())
	})
}

func TestCertificateForASubscriptionWithoutContentIsRefused(t *testing.T) {
	c := newCompany(t, nil)
	client := c.signIn(t)
	endpoint := httptest.NewServer(graph.NewNotificationHandler(nil))
	t.Cleanup(endpoint.Close)
	subscription, err := client.CreateSubscription(t.Context(), presence.SubscriptionRequest{UserIDs: []string{c.ann.ID}, NotificationURL: endpoint.URL, ExpiresAt: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	ring, err := graph.NewKeyRing(nil)
	require.NoError(t, err)
	_, err = client.RenewSubscription(t.Context(), subscription.ID, presence.SubscriptionRenewal{ExpiresAt: time.Now().Add(time.Hour), Encryption: ring.Current()})
	require.ErrorIs(t, err, presence.ErrInvalid)
}
