package simulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
)

func TestServesAClientOfItsOwn(t *testing.T) {
	_, c := start(t, simulator.Options{})
	everything(t, c, newWebhook(t, httptest.NewServer))
}

func TestServesHTTPSWithTheNamedAuthority(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authority.pem")
	_, c := start(t, simulator.Options{TLS: true, CertificateFile: file})
	require.Equal(t, file, c.info.CertificateFile)
	require.True(t, strings.HasPrefix(c.info.URL, "https://"), c.info.URL)

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	c.http = &http.Client{Transport: transport}
	everything(t, c, newWebhook(t, httptest.NewTLSServer))
}

// everything is what an independent client does: sign in, read, watch, write.
func everything(t *testing.T, c *client, w *webhook) {
	t.Helper()
	c.signIn()
	person := c.person(anna)

	listed := c.call(http.StatusOK, http.MethodGet, c.graph("/users?$select=id,mail,displayName"), c.app, nil)["value"].([]any)
	assert.Len(t, listed, 10, "seven people and the monitors")
	shown := c.call(http.StatusOK, http.MethodGet, c.graph("/users/"+person.TeamsID+"/presence"), c.app, nil)
	assert.Equal(t, "Available", shown["availability"])

	account := c.info.CloudLink.Services["admin"] + "/accounts/" + c.info.CloudLink.AccountID
	principals := c.call(http.StatusOK, http.MethodGet, account+"/users", c.cloud, nil)
	assert.EqualValues(t, 8, principals["count"], "seven people and the administrator")
	links := principals["_links"].(object)["self"].(object)["href"].(string)
	assert.True(t, strings.HasPrefix(links, c.info.CloudLink.BaseURL+"/admin/"), "a link that leads back here: %s", links)

	c.watch(w, anna, ben)
	c.tell("/teams", `{"user": "`+anna+`", "availability": "DoNotDisturb", "activity": "Presenting"}`)
	body := w.next(t)
	assert.Equal(t, []string{person.TeamsID}, users(body))
	assert.Equal(t, "a client state", body["value"].([]any)[0].(object)["clientState"])
	shown = c.call(http.StatusOK, http.MethodGet, c.graph("/users/"+person.TeamsID+"/presence"), c.app, nil)
	assert.Equal(t, "DoNotDisturb", shown["availability"])
	assert.Equal(t, "Presenting", shown["activity"])

	c.watchPhones(w)
	c.tell("/phone", `{"endpoint": "2001", "state": "connected"}`)
	assert.Equal(t, "/2017-09-01/endpoints/2001", w.next(t)["subject"])
	endpoint := c.call(http.StatusOK, http.MethodGet, c.info.CloudLink.Services["media"]+"/endpoints/2001", c.cloud, nil)
	assert.Equal(t, "connected", endpoint["state"])

	c.call(http.StatusOK, http.MethodPost, c.graph("/users/"+person.TeamsID+"/presence/setPresence"), c.app, object{
		"sessionId": c.info.Teams.ClientID, "availability": "Busy", "activity": "InACall", "expirationDuration": "PT5M",
	})
	c.call(http.StatusOK, http.MethodPut, c.info.CloudLink.Services["presence"]+"/presentities/"+person.CloudLinkID, c.cloud, object{"status": "Presenting"})
	for _, p := range c.control(http.StatusOK, http.MethodGet, "/state", "")["people"].([]any) {
		if p := p.(object); p["email"] == anna {
			assert.Equal(t, "Presenting", p["status"])
			assert.Equal(t, "connected", p["phone"].(object)["state"])
			assert.Equal(t, "DoNotDisturb", p["teams"].(object)["availability"])
			assert.Len(t, p["teams"].(object)["sessions"], 2, "the desktop's and the application's")
		}
	}
}

func TestCredentialsOfPeopleWork(t *testing.T) {
	_, c := start(t, simulator.Options{})
	cloud := c.info.CloudLink
	answer := c.form(http.StatusOK, cloud.Services["authentication"]+"/token", "grant_type", "password",
		"username", cloud.Username, "password", cloud.Password, "account_id", cloud.AccountID)
	c.call(http.StatusOK, http.MethodGet, cloud.Services["admin"]+"/accounts/"+cloud.AccountID+"/users", answer["access_token"].(string), nil)

	s, c := start(t, simulator.Options{RedirectURIs: []string{"http://localhost/signin-oidc"}})
	teams := c.info.Teams
	assert.Contains(t, teams.RedirectURIs, "http://localhost/signin-oidc")
	assert.Contains(t, teams.RedirectURIs, "http://localhost/callback")
	back, err := s.Graph().SignIn(teams.LoginURL+"/"+teams.TenantID+"/oauth2/v2.0/authorize?response_type=code&client_id="+teams.ClientID+
		"&redirect_uri=http://localhost:5000/signin-oidc&scope=openid%20Presence.Read.All&state=s", teams.Monitor.ID)
	require.NoError(t, err)
	assert.Contains(t, back, "http://localhost:5000/signin-oidc?code=")
}

func TestServesWithoutPrefixes(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	configuration := c.call(http.StatusOK, http.MethodGet, c.info.URL+"/"+c.info.Teams.TenantID+"/v2.0/.well-known/openid-configuration", "", nil)
	assert.Equal(t, c.info.Teams.LoginURL+"/"+c.info.Teams.TenantID+"/oauth2/v2.0/token", configuration["token_endpoint"])
	c.call(http.StatusOK, http.MethodGet, c.info.URL+"/v1.0/users/"+c.person(anna).TeamsID+"/presence", c.app, nil)
}

func TestWrongPathsAreAnsweredByTheServices(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.call(http.StatusForbidden, http.MethodGet, c.info.CloudLink.Services["media"]+"/telephones", "", nil)
	c.call(http.StatusForbidden, http.MethodGet, c.info.CloudLink.Services["media"]+"//endpoints/2001", "", nil)
	c.call(http.StatusNotFound, http.MethodGet, c.info.CloudLink.BaseURL+"/telephones", "", nil)
}

func TestIDsStayTheSame(t *testing.T) {
	_, first := start(t, simulator.Options{})
	_, second := start(t, simulator.Options{})
	assert.Equal(t, first.info.People, second.info.People)
	assert.Equal(t, first.info.Teams.ClientID, second.info.Teams.ClientID)
	assert.NotEqual(t, first.info.Teams.ClientSecret, second.info.Teams.ClientSecret)
}

func TestOwnPeople(t *testing.T) {
	s, c := start(t, simulator.Options{People: []simulator.Person{{Name: "Zoe", Email: "z@corp.test", Extension: "7", Site: "north"}}})
	assert.Equal(t, "7", c.person("z@corp.test").Extension)
	assert.Len(t, s.Graph().Users(), 4)
	assert.Len(t, s.CloudLink().Users(), 2)
}

func TestLargeCompanyIsTheSameEachTime(t *testing.T) {
	colleagues := simulator.Colleagues(1500)
	require.Len(t, colleagues, 1500)
	assert.Equal(t, colleagues[:10], simulator.Colleagues(10))
	assert.Len(t, simulator.Colleagues(simulator.MaxColleagues+1), simulator.MaxColleagues)
	s, c := start(t, simulator.Options{People: append(simulator.Company(), colleagues...)})
	assert.Len(t, c.info.People, 1508, "no two have the same name, address or extension")
	assert.Len(t, s.Graph().Users(), 1507+3, "one of them has no account, and there are the monitors")
}

func TestEachMonitorHasItsOwnAccountAndSecret(t *testing.T) {
	_, c := start(t, simulator.Options{})
	monitors := c.info.Teams.Monitors
	require.Len(t, monitors, 3)
	assert.Equal(t, monitors[0], c.info.Teams.Monitor)
	token := func(status int, m simulator.MonitorInfo) object {
		return c.form(status, c.tokenURL(), "grant_type", "refresh_token", "client_id", c.info.Teams.ClientID,
			"client_secret", m.ClientSecret, "refresh_token", m.RefreshToken)
	}
	c.tell("/secrets/expire", `{"secret": "monitor2"}`)
	token(http.StatusOK, monitors[0])
	assert.Equal(t, []any{float64(7000222)}, token(http.StatusUnauthorized, monitors[1])["error_codes"])
	token(http.StatusOK, monitors[2])
}

func TestTemporaryCertificateGoesWithTheSimulator(t *testing.T) {
	s, err := simulator.Start(simulator.Options{TLS: true})
	require.NoError(t, err)
	file := s.Info().CertificateFile
	assert.FileExists(t, file)
	s.Close()
	assert.NoFileExists(t, file)
}

func TestRefusesFaultyOptionsAllAtOnce(t *testing.T) {
	tests := []struct {
		name string
		opts simulator.Options
		want []string
	}{
		{"every interface", simulator.Options{Address: ":9400"}, []string{"other machines", "loopback address such as 127.0.0.1:9400"}},
		{"an interface", simulator.Options{Address: "192.0.2.1:0"}, []string{"other machines"}},
		{"no port", simulator.Options{Address: "127.0.0.1"}, []string{"host:port"}},
		{"remote without a URL", simulator.Options{Address: "0.0.0.0:0", AllowRemote: true}, []string{"say by URL"}},
		{"remote TLS", simulator.Options{Address: "192.0.2.1:0", AllowRemote: true, TLS: true}, []string{"not be valid"}},
		{"a URL with a path", simulator.Options{URL: "http://simulator.test/a"}, []string{"scheme and a host"}},
		{"a certificate without TLS", simulator.Options{CertificateFile: "a.pem"}, []string{"switch TLS on"}},
		{"people", simulator.Options{People: []simulator.Person{
			{Name: "A B", Extension: "1"}, {Name: "a b", Extension: "1"}, {}, {Name: "M", Email: "Presence.Monitor.1@example.test"},
		}}, []string{"same address a.b@example.test", "same extension 1", "no name", "Presence Monitor 1 and M"}},
		{"several", simulator.Options{Address: ":0", CertificateFile: "a.pem"}, []string{"other machines", "switch TLS on"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := simulator.Start(tt.opts)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestStartSaysThatTheAddressIsTaken(t *testing.T) {
	_, c := start(t, simulator.Options{})
	_, err := simulator.Start(simulator.Options{Address: strings.TrimPrefix(c.info.URL, "http://")})
	assert.ErrorContains(t, err, "choose another address")
}

func TestRemoteClientsCanBeAllowed(t *testing.T) {
	_, c := start(t, simulator.Options{Address: "0.0.0.0:0", AllowRemote: true, URL: "http://simulator.test:9400"})
	assert.Equal(t, "http://simulator.test:9400/graph", c.info.Teams.GraphURL)
	assert.Equal(t, "http://simulator.test:9400/cloudlink/media/2017-09-01", c.info.CloudLink.Services["media"])
}

func TestNotificationsStayOnTheMachine(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	answer := c.call(http.StatusBadRequest, http.MethodPost, c.graph("/subscriptions"), c.monitor, object{
		"changeType": "updated", "notificationUrl": "https://192.0.2.1/webhook", "clientState": "s",
		"resource":           "/communications/presences/" + c.person(anna).TeamsID,
		"expirationDateTime": time.Now().Add(50 * time.Minute).UTC().Format(time.RFC3339),
	})
	assert.Contains(t, answer["error"].(object)["message"], "validation request")
}
