package graphtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptionsReportAllFaults(t *testing.T) {
	_, err := graphtest.NewServer(&graphtest.Options{
		TenantID: "x", Network: graphtest.NewNetwork(), Address: "127.0.0.1:0", TLS: true, SessionTimeScale: -1,
	})
	require.Error(t, err)
	for _, part := range []string{"TenantID", "Address or Network", "TLS", "SessionTimeScale"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = graphtest.NewServer(&graphtest.Options{Address: "127.0.0.1:99999"})
	assert.Error(t, err)
}

// On a socket everything works as in memory: sign-in, a write, its notification.
func TestOverLoopback(t *testing.T) {
	w := overSocket(t, nil)
	received := make(chan string, 10)
	hook := hookServer(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token := r.URL.Query().Get("validationToken"); token != "" {
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(rw, token)
			return
		}
		body, _ := io.ReadAll(r.Body)
		rw.WriteHeader(http.StatusAccepted)
		received <- string(body)
	}))
	body := w.subscriptionBody(annID)
	body["notificationUrl"] = hook.URL
	w.subscribe(w.userToken(monID), body)
	w.call(annID)
	select {
	case got := <-received:
		assert.Contains(t, got, annID)
	case <-time.After(10 * time.Second):
		t.Fatal("no notification")
	}
	assert.True(t, strings.HasPrefix(w.URL(), "http://127.0.0.1:"), w.URL())
}

// A notification URL of the real world is never contacted.
func TestDeliveryStaysOnLoopback(t *testing.T) {
	w := overSocket(t, nil)
	for _, target := range []string{"http://192.0.2.1/hook", "https://notifications.example.com/hook"} {
		body := w.subscriptionBody(annID)
		body["notificationUrl"] = target
		status, answer := w.do(w.userToken(monID), "POST", "subscriptions", body)
		assert.Equal(t, http.StatusBadRequest, status)
		assert.Contains(t, message(answer), "timed out")
	}
}

func TestTLS(t *testing.T) {
	w := overSocket(t, &graphtest.Options{TLS: true})
	assert.True(t, strings.HasPrefix(w.LoginURL(), "https://127.0.0.1:"))
	w.call(annID) // with the server's own client

	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(w.CertificateAuthority()))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(w.LoginURL() + "/common/v2.0/.well-known/openid-configuration")
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusOK, resp.StatusCode)

	stranger := &http.Client{Transport: &http.Transport{}}
	defer stranger.CloseIdleConnections()
	_, err = stranger.Get(w.LoginURL())
	assert.Error(t, err)
}

func TestPathsWithoutPrefix(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		status, _ := w.do(token, "GET", w.URL()+"/v1.0/users/"+annID, nil)
		assert.Equal(w, http.StatusOK, status)
		status, _ = w.do("", "GET", w.URL()+"/"+w.TenantID()+"/v2.0/.well-known/openid-configuration", nil)
		assert.Equal(w, http.StatusOK, status)
		resp := w.send("", "GET", w.LoginURL()+"/"+w.TenantID()+"/nothing", nil)
		assert.Equal(w, http.StatusNotFound, resp.status)
	})
}

// A double behind a server of the embedder's own listens nowhere itself.
func TestAsHandler(t *testing.T) {
	var handler http.Handler
	front := hookServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	w := overSocket(t, &graphtest.Options{URL: front.URL})
	handler = w.Server
	w.call(annID)
	assert.Equal(t, front.URL+"/graph", w.GraphURL())
	assert.NotEmpty(t, w.Requests())
	_, err := graphtest.NewServer(&graphtest.Options{URL: front.URL, Address: "127.0.0.1:0"})
	assert.Error(t, err)
}

func TestControls(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		w.ClearRequests()
		read := func() int {
			status, _ := w.do(token, "GET", "users/"+annID+"/presence", nil)
			return status
		}
		w.Control(1, graphtest.Match("GET", "users/*/presence", graphtest.Reply{Status: 503}))
		assert.Equal(w, 503, read())
		assert.Equal(w, 200, read(), "once")

		remove := w.Control(0, graphtest.Match("", "/graph/**", graphtest.Reply{Status: 429, Header: http.Header{"Retry-After": {"2.128"}}}))
		assert.Equal(w, 429, read())
		assert.Equal(w, 429, read())
		remove()
		assert.Equal(w, 200, read())

		w.Control(1, graphtest.Match("POST", "setPresence", graphtest.Reply{Status: 504, After: true}))
		status, _ := w.do(token, "POST", "users/"+annID+"/presence/setPresence", w.setBody("Busy", "InACall", ""))
		assert.Equal(w, 504, status)
		w.assertShows("Busy/InACall", annID) // it took effect, and its answer was lost

		start := time.Now()
		w.Control(1, graphtest.Match("GET", "users/*/presence", graphtest.Reply{Delay: time.Minute}))
		assert.Equal(w, 200, read())
		assert.Equal(w, time.Minute, time.Since(start))

		w.Control(0, graphtest.Match("GET", "users/*/presence", graphtest.Reply{Drop: true}))
		req, err := http.NewRequest("POST", w.GraphURL()+"/v1.0/users/"+annID+"/presence", nil)
		require.NoError(w, err)
		req.Method = "GET"
		_, err = (&http.Client{Transport: w.client.Transport}).Do(req)
		assert.Error(w, err)
		w.ClearControls()
		assert.Equal(w, 200, read())

		var statuses []int
		for _, r := range w.Requests() {
			statuses = append(statuses, r.Status)
		}
		assert.Subset(w, statuses, []int{503, 429, 504, 200, 0})
	})
}

func TestDirectoryDefaults(t *testing.T) {
	inBubble(t, &graphtest.Options{Domain: "contoso.test"}, func(w *world) {
		u := w.AddUser(graphtest.User{})
		assert.Len(w, u.ID, 36)
		assert.Equal(w, u.ID+"@contoso.test", u.PrincipalName)
		assert.Equal(w, u.PrincipalName, u.Name)
		users := w.Users()
		assert.Equal(w, u, users[len(users)-1])

		a := w.AddApplication(graphtest.Application{})
		assert.Len(w, a.ClientID, 36)
		require.Len(w, a.Secrets, 1)
		assert.Equal(w, a.Secrets[0].Start.AddDate(2, 0, 0), a.Secrets[0].End)
		assert.Contains(w, a.RedirectURIs, "https://workflow.eu.api.mitel.io/2017-09-01/integrations/microsoft/sso")
		assert.Len(w, a.DelegatedPermissions, 10)
		assert.Len(w, w.Applications(), 2)

		assert.Error(w, w.ExpireSecret(a.ClientID, presence.NewSecret("other")))
		assert.Error(w, w.SetConsent(u.ID, true))
	})
}

// A renamed account is found by its new name only.
func TestReplacedUser(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.teams(annID, presence.Busy, "")
		w.AddUser(graphtest.User{ID: annID, PrincipalName: "ann.b@example.test"})
		token := w.appToken()
		status, _ := w.do(token, "GET", "users/ann@example.test", nil)
		assert.Equal(w, http.StatusNotFound, status)
		status, _ = w.do(token, "GET", "users/ann.b@example.test", nil)
		assert.Equal(w, http.StatusOK, status)
		w.assertShows("Busy/Busy", annID)
		assert.Len(w, w.Users(), 3)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.subscribe(w.userToken(monID), w.subscriptionBody(annID))
		w.received.set(func(*http.Request) int { return http.StatusServiceUnavailable })
		w.call(annID)
		settle()
		w.Close()
		n := len(w.received.posts())
		time.Sleep(5 * time.Hour)
		assert.NotZero(w, n)
		assert.Empty(w, w.received.posts())
		assert.NotEmpty(w, w.History())
		w.teams(annID, presence.Busy, "")
	})
}

func TestClockThatIsWrong(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		for _, skew := range []time.Duration{0, 10 * time.Minute, -time.Hour} {
			time.Sleep(90 * time.Second)
			w.SetClockSkew(skew)
			want := time.Now().Add(skew).UTC().Format(http.TimeFormat)
			for _, path := range []string{
				"users/" + annID, "users/" + w.app.ClientID, w.LoginURL() + "/" + w.TenantID() + "/v2.0/.well-known/openid-configuration",
			} {
				assert.Equal(w, []string{want}, w.send(token, "GET", path, nil).header["Date"], path)
			}
		}
		claims := claimsOf(w, w.appToken())
		assert.EqualValues(w, time.Now().Unix(), claims["iat"], "nothing else is wrong")
	})
}
