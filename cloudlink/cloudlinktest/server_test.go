package cloudlinktest_test

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongPathEchoesTheToken(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for _, c := range []struct{ method, path string }{
			{"GET", "/endpoint/2001"}, {"POST", "/endpoints/2001"}, {"GET", "/endpoints/2001/"}, {"GET", "//endpoints/2001"}, {"GET", ""},
		} {
			r := f.call(c.method, "media", c.path, nil)
			assert.Equal(f.t, http.StatusForbidden, r.status, c.path)
			assert.Equal(f.t, "'"+f.token+"' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer "+f.token+"'.", r.text("message"))
			assert.NotContains(f.t, r.json, "name")
		}
		r := f.callAs("", "GET", "chat", "/conversations", nil)
		assert.Equal(f.t, http.StatusForbidden, r.status)
		assert.Equal(f.t, "Missing Authentication Token", r.text("message"))
		for _, target := range []string{f.URL("weather") + "/x", strings.Replace(f.URL("media"), "2017-09-01", "2018-01-01", 1) + "/endpoints/2001"} {
			r := f.send("GET", target, f.token, "", nil)
			assert.Equal(f.t, http.StatusNotFound, r.status)
			assert.Equal(f.t, "Not Found", r.text("message"))
		}
	})
}

func TestTooManyRequests(t *testing.T) {
	// Each fixture spends two requests on tokens.
	inBubble(t, cloudlinktest.Options{RequestsPerSecond: 3}, func(f *fixture) {
		whoami := func() reply { return f.call("GET", "authentication", "/token", nil) }
		require.Equal(f.t, http.StatusOK, whoami().status)
		time.Sleep(100 * time.Millisecond) // off the full second
		r := whoami()
		require.Equal(f.t, http.StatusTooManyRequests, r.status)
		assert.Equal(f.t, "TooManyRequestsError", r.text("name"))
		at, err := http.ParseTime(r.header.Get("Retry-After"))
		require.NoError(f.t, err, "a date")
		assert.Equal(f.t, 900*time.Millisecond, time.Until(at))
		for range 10 {
			assert.Equal(f.t, http.StatusTooManyRequests, whoami().status)
		}
		time.Sleep(time.Until(at)) // what was refused has cost nothing
		assert.Equal(f.t, http.StatusOK, whoami().status)
	})
	inBubble(t, cloudlinktest.Options{RequestsPerSecond: 2, Assumptions: &cloudlinktest.Assumptions{RetryAfterSeconds: true}}, func(f *fixture) {
		r := f.call("GET", "authentication", "/token", nil)
		require.Equal(f.t, http.StatusTooManyRequests, r.status)
		assert.Equal(f.t, "1", r.header.Get("Retry-After"))
	})
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for range 200 {
			require.Equal(f.t, http.StatusOK, f.call("GET", "authentication", "/token", nil).status)
		}
	})
}

func TestControls(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		get := func() reply { return f.call("GET", "media", "/endpoints/2001", nil) }
		f.Control(1, cloudlinktest.Match("GET", "/endpoints/2001$", cloudlinktest.Reply{Status: 504, Body: []byte(`{"name":"Timeout"}`)}))
		assert.Equal(f.t, http.StatusOK, f.call("GET", "media", "/endpoints/2002", nil).status, "another path")
		assert.Equal(f.t, http.StatusOK, f.call("PUT", "media", "/endpoints/2001", object{"action": "dnd", "userAvailability": "available"}).status, "another method")
		r := get() // checks for a correlation id, as every request of the fixture does
		assert.Equal(f.t, 504, r.status)
		assert.Equal(f.t, "Timeout", r.text("name"))
		assert.Equal(f.t, http.StatusOK, get().status)

		f.Control(0, cloudlinktest.Match("", "", cloudlinktest.Reply{Delay: time.Minute}))
		start := time.Now()
		assert.Equal(f.t, http.StatusOK, get().status)
		assert.Equal(f.t, time.Minute, time.Since(start))
		f.ClearControls()

		f.ClearRequests()
		get()
		requests := f.Requests()
		require.Len(f.t, requests, 1)
		assert.Equal(f.t, "/media/2017-09-01/endpoints/2001", requests[0].Path)
		assert.Equal(f.t, http.StatusOK, requests[0].Status)
	})
}

func TestFaultyOptionsAreAllNamed(t *testing.T) {
	_, err := cloudlinktest.NewServer(&cloudlinktest.Options{
		TLS: true, Network: cloudlinktest.NewNetwork(), TokenLifetime: -1, RequestsPerSecond: -1,
		Assumptions: &cloudlinktest.Assumptions{PageSize: -1, DeliveryTimeout: -1},
	})
	for _, name := range []string{"TLS", "TokenLifetime", "RequestsPerSecond", "PageSize", "DeliveryTimeout"} {
		assert.ErrorContains(t, err, name)
	}
	n := cloudlinktest.NewNetwork()
	s, err := cloudlinktest.NewServer(&cloudlinktest.Options{Network: n})
	require.NoError(t, err)
	defer s.Close()
	_, err = cloudlinktest.NewServer(&cloudlinktest.Options{Network: n})
	assert.ErrorContains(t, err, "in use")
}

// onLoopback plays a call from sign-in to delivery over real sockets.
func onLoopback(t *testing.T, s *cloudlinktest.Server) {
	t.Helper()
	got := make(chan envelope, 10)
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e envelope
		if assert.NoError(t, json.NewDecoder(r.Body).Decode(&e)) {
			got <- e
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer webhook.Close()
	s.AddUser(cloudlinktest.User{ID: "ann-id", Extension: "2001"})
	s.AddClient("bridge", "secret", "")
	f := &fixture{Server: s, t: t}
	f.token = f.clientToken("bridge", "secret")
	r := f.call("POST", "notifications", "/subscriptions", object{
		"applicationId": applicationID, "deviceId": webhook.URL, "transport": "webhook", "topic": mediaTopic, "subjectFilter": "/endpoints/2001$",
	})
	require.Equal(t, http.StatusCreated, r.status, r.raw)
	s.SetLine("2001", presence.LineConnected)
	select {
	case e := <-got:
		assert.Equal(t, "connected", e.Content["state"])
	case <-t.Context().Done():
		t.Fatal("no delivery")
	}
}

func TestOnLoopback(t *testing.T) {
	s, err := cloudlinktest.NewServer(nil)
	require.NoError(t, err)
	defer s.Close()
	assert.True(t, strings.HasPrefix(s.URL("media"), "http://127.0.0.1:"))
	assert.Nil(t, s.CertificateAuthority())
	onLoopback(t, s)
}

func TestOverTLS(t *testing.T) {
	s, err := cloudlinktest.NewServer(&cloudlinktest.Options{TLS: true})
	require.NoError(t, err)
	defer s.Close()
	assert.True(t, strings.HasPrefix(s.URL("media"), "https://127.0.0.1:"))
	assert.True(t, x509.NewCertPool().AppendCertsFromPEM(s.CertificateAuthority()))
	onLoopback(t, s)
}

func TestConcurrentUse(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(mediaTopic, allEndpoints, nil)
		f.subscribe(presenceTopic, everybody, nil)
		var mu sync.Mutex
		var seen []cloudlinktest.Change
		f.OnChange(func(c cloudlinktest.Change) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, c)
		})
		states := presence.LineStates()
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for i := range 20 {
					f.SetLine("2001", states[(worker+i)%len(states)])
					f.SetDoNotDisturb("2002", (worker+i)%2 == 0)
					f.SetStatus("ann-id", presence.Statuses()[(worker+i)%5])
					request, err := http.NewRequestWithContext(f.t.Context(), "GET", f.URL("media")+"/endpoints/2001/calls", nil)
					if err != nil {
						panic(err)
					}
					request.Header.Set("Authorization", "Bearer "+f.token)
					response, err := f.Client().Do(request)
					if assert.NoError(f.t, err) {
						_, _ = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
						assert.Equal(f.t, http.StatusOK, response.StatusCode)
					}
				}
			})
		}
		wg.Wait()
		f.after(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(f.t, f.History(), seen, "observers see every change, in order")
	})
}

func TestClockThatIsWrong(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for _, skew := range []time.Duration{0, 10 * time.Minute, -time.Hour} {
			time.Sleep(90 * time.Second)
			f.SetClockSkew(skew)
			want := time.Now().Add(skew).UTC().Format(http.TimeFormat)
			for _, r := range []reply{
				f.call("GET", "authentication", "/token", nil), f.callAs("", "GET", "admin", "/accounts", nil), f.call("GET", "media", "/nothing", nil),
			} {
				assert.Equal(f.t, []string{want}, r.header["Date"])
			}
		}
		claims := claimsOf(f.t, f.clientToken("bridge", "client-secret"))
		assert.EqualValues(f.t, time.Now().Unix(), claims["iat"], "nothing else is wrong")
	})
}
