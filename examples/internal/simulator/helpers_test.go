package simulator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 10 * time.Second
	anna     = "anna.kraus@example.test"
	ben      = "ben.okafor@example.test"
)

// client is a client that knows nothing but the info, and speaks plain HTTP.
type client struct {
	t    *testing.T
	http *http.Client
	info simulator.Info
	// Bearer tokens of the application, the monitor and CloudLink.
	app, monitor, cloud string
}

func start(t *testing.T, opts simulator.Options) (*simulator.Simulator, *client) {
	t.Helper()
	s, err := simulator.Start(opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	// What a client gets is JSON.
	text, err := json.Marshal(s.Info())
	require.NoError(t, err)
	c := &client{t: t, http: s.Client()}
	require.NoError(t, json.Unmarshal(text, &c.info))
	return s, c
}

type object = map[string]any

// do sends a request and returns the status and the JSON of the answer.
func (c *client) do(method, target, token, contentType string, body io.Reader) (int, object, http.Header, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, target, body)
	require.NoError(c.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	var answer object
	if len(text) > 0 {
		require.NoError(c.t, json.Unmarshal(text, &answer), "%s %s: %s", method, target, text)
	}
	return response.StatusCode, answer, response.Header, nil
}

// call sends JSON and requires a status.
func (c *client) call(status int, method, target, token string, body any) object {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(c.t, err)
		reader = bytes.NewReader(text)
	}
	got, answer, _, err := c.do(method, target, token, "application/json", reader)
	require.NoError(c.t, err)
	require.Equal(c.t, status, got, "%s %s: %v", method, target, answer)
	return answer
}

func (c *client) form(status int, target string, fields ...string) object {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	got, answer, _, err := c.do(http.MethodPost, target, "", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	require.NoError(c.t, err)
	require.Equal(c.t, status, got, "%v", answer)
	return answer
}

func (c *client) tokenURL() string {
	return c.info.Teams.LoginURL + "/" + c.info.Teams.TenantID + "/oauth2/v2.0/token"
}

// signIn obtains all three tokens.
func (c *client) signIn() {
	c.t.Helper()
	teams := c.info.Teams
	c.app = c.form(http.StatusOK, c.tokenURL(), "grant_type", "client_credentials", "client_id", teams.ClientID,
		"client_secret", teams.ClientSecret, "scope", teams.GraphURL+"/.default")["access_token"].(string)
	c.monitor = c.form(http.StatusOK, c.tokenURL(), "grant_type", "refresh_token", "client_id", teams.ClientID,
		"client_secret", teams.Monitor.ClientSecret, "refresh_token", teams.Monitor.RefreshToken)["access_token"].(string)
	c.cloud = c.form(http.StatusOK, c.info.CloudLink.Services["authentication"]+"/token", "grant_type", "client_credentials",
		"client_id", c.info.CloudLink.ClientID, "client_secret", c.info.CloudLink.ClientSecret,
		"account_id", c.info.CloudLink.AccountID)["access_token"].(string)
}

func (c *client) graph(path string) string { return c.info.Teams.GraphURL + "/v1.0" + path }

func (c *client) person(email string) simulator.PersonInfo {
	c.t.Helper()
	for _, p := range c.info.People {
		if p.Email == email {
			return p
		}
	}
	require.Fail(c.t, "nobody has this address", email)
	return simulator.PersonInfo{}
}

// control sends a command as JSON text.
func (c *client) control(status int, method, path, body string) object {
	c.t.Helper()
	got, answer, _, err := c.do(method, c.info.Control+path, "", "application/json", strings.NewReader(body))
	require.NoError(c.t, err)
	require.Equal(c.t, status, got, "%s %s %s: %v", method, path, body, answer)
	return answer
}

func (c *client) tell(path, body string) object {
	c.t.Helper()
	return c.control(http.StatusOK, http.MethodPost, path, body)
}

// webhook takes the notifications of both services.
type webhook struct {
	*httptest.Server
	received chan object
}

func newWebhook(t *testing.T, serve func(http.Handler) *httptest.Server) *webhook {
	t.Helper()
	w := &webhook{received: make(chan object, 100)}
	w.Server = serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token := r.URL.Query().Get("validationToken"); token != "" {
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(rw, token)
			return
		}
		var body object
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.received <- body
		rw.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(w.Close)
	return w
}

// next waits for a notification.
func (w *webhook) next(t *testing.T) object {
	t.Helper()
	select {
	case body := <-w.received:
		return body
	case <-time.After(patience):
		require.Fail(t, "no notification came")
		return nil
	}
}

// users returns whom the Graph notifications in a body are about.
func users(body object) []string {
	var ids []string
	for _, item := range body["value"].([]any) {
		ids = append(ids, item.(object)["resourceData"].(object)["id"].(string))
	}
	return ids
}

// watch subscribes to the presence of people as the monitor.
func (c *client) watch(w *webhook, emails ...string) string {
	c.t.Helper()
	var quoted []string
	for _, email := range emails {
		quoted = append(quoted, "'"+c.person(email).TeamsID+"'")
	}
	subscription := c.call(http.StatusCreated, http.MethodPost, c.graph("/subscriptions"), c.monitor, object{
		"changeType": "updated", "notificationUrl": w.URL + "/graph", "lifecycleNotificationUrl": w.URL + "/graph", "clientState": "a client state",
		"resource":           "/communications/presences?$filter=id in (" + strings.Join(quoted, ",") + ")",
		"expirationDateTime": time.Now().Add(50 * time.Minute).UTC().Format(time.RFC3339),
	})
	return subscription["id"].(string)
}

// watchPhones subscribes to all telephones at CloudLink.
func (c *client) watchPhones(w *webhook) string {
	c.t.Helper()
	subscription := c.call(http.StatusCreated, http.MethodPost, c.info.CloudLink.Services["notifications"]+"/subscriptions", c.cloud, object{
		"applicationId": "0c6a7a4e-6f4b-4d0b-9b5e-0d6b1f6a7c11", "deviceId": w.URL + "/cloudlink", "transport": "webhook",
		"topic": "platform-api-media", "subjectFilter": "/2017-09-01/endpoints/[^/]+$",
	})
	return subscription["subscriptionId"].(string)
}
