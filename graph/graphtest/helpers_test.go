package graphtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	annID = "11111111-1111-4111-8111-111111111111"
	bobID = "22222222-2222-4222-8222-222222222222"
	monID = "33333333-3333-4333-8333-333333333333"
	hooks = "receiver.test"
)

// world is a server with two people, a monitor and an application, and what a
// client of it needs.
type world struct {
	*testing.T
	*graphtest.Server
	network  *graphtest.Network
	app      graphtest.Application
	client   *http.Client
	tokens   map[string]string
	received *receiver
}

// inBubble runs f against a server that lives in a synctest bubble.
func inBubble(t *testing.T, opts *graphtest.Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var o graphtest.Options
		if opts != nil {
			o = *opts
		}
		o.Network = graphtest.NewNetwork()
		s, err := graphtest.NewServer(&o)
		require.NoError(t, err)
		defer s.Close()
		w := &world{T: t, Server: s, network: o.Network, client: o.Network.Client(), tokens: make(map[string]string)}
		defer w.client.CloseIdleConnections()
		w.populate()
		w.received = newReceiver(t, o.Network, hooks)
		defer w.received.close()
		f(w)
	})
}

func (w *world) populate() {
	w.AddUser(graphtest.User{ID: annID, PrincipalName: "ann@example.test", Mail: "ann@example.test", Name: "Ann"})
	w.AddUser(graphtest.User{ID: bobID, PrincipalName: "bob@example.test", Mail: "bob.b@example.test", Name: "Bob"})
	w.AddUser(graphtest.User{ID: monID, PrincipalName: "monitor@example.test", Name: "Monitor"})
	w.app = w.AddApplication(graphtest.Application{Name: "bridge"})
}

// form posts to the token endpoint.
func (w *world) form(v url.Values) (int, map[string]any) {
	w.Helper()
	return w.formTo(w.TenantID(), v)
}

func (w *world) formTo(tenant string, v url.Values) (int, map[string]any) {
	w.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.LoginURL()+"/"+tenant+"/oauth2/v2.0/token", strings.NewReader(v.Encode()))
	require.NoError(w, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.exchange(w.client, req).json(w)
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	text   string
}

// json returns the status and the decoded body, nil for an empty one.
func (r reply) json(t require.TestingT) (int, map[string]any) {
	var body map[string]any
	if r.text != "" {
		require.NoError(t, json.Unmarshal([]byte(r.text), &body), r.text)
	}
	return r.status, body
}

// exchange sends a request and reads the answer.
func (w *world) exchange(client *http.Client, req *http.Request) reply {
	w.Helper()
	resp, err := client.Do(req)
	require.NoError(w, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	return reply{status: resp.StatusCode, header: resp.Header, text: string(raw)}
}

func (w *world) credentials(v url.Values) url.Values {
	v.Set("client_id", w.app.ClientID)
	v.Set("client_secret", w.app.Secrets[0].Value.Reveal())
	return v
}

// appToken returns an app-only token.
func (w *world) appToken() string {
	w.Helper()
	status, body := w.form(w.credentials(url.Values{"grant_type": {"client_credentials"}, "scope": {w.GraphURL() + "/.default"}}))
	require.Equal(w, http.StatusOK, status, body)
	return body["access_token"].(string)
}

// userToken returns a delegated token, limited to scopes unless there are none.
func (w *world) userToken(userID string, scopes ...string) string {
	w.Helper()
	refresh, err := w.GrantRefreshToken(w.app.ClientID, userID, scopes...)
	require.NoError(w, err)
	status, body := w.form(w.credentials(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}))
	require.Equal(w, http.StatusOK, status, body)
	return body["access_token"].(string)
}

// do sends a request to Graph with a token; body may be nil, a string or a value.
func (w *world) do(token, method, path string, body any) (int, map[string]any) {
	w.Helper()
	return w.send(token, method, path, body).json(w)
}

func (w *world) send(token, method, path string, body any) reply {
	w.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(w, err)
		reader = bytes.NewReader(raw)
	}
	if !strings.HasPrefix(path, "http") {
		path = w.GraphURL() + "/v1.0/" + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, path, reader)
	require.NoError(w, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return w.exchange(w.client, req)
}

func code(body map[string]any) string {
	e, _ := body["error"].(map[string]any)
	s, _ := e["code"].(string)
	return s
}

func message(body map[string]any) string {
	e, _ := body["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

// setBody is the body of setPresence.
func (w *world) setBody(availability, activity, duration string) map[string]any {
	body := map[string]any{"sessionId": w.app.ClientID, "availability": availability, "activity": activity}
	if duration != "" {
		body["expirationDuration"] = duration
	}
	return body
}

// call shows the user as in a call, as the bridge does.
func (w *world) call(userID string) {
	w.Helper()
	status, body := w.do(w.appToken(), "POST", "users/"+userID+"/presence/setPresence", w.setBody("Busy", "InACall", "PT1H"))
	require.Equal(w, http.StatusOK, status, body)
}

func filterOf(ids ...string) string {
	return "/communications/presences?$filter=id in ('" + strings.Join(ids, "','") + "')"
}

func (w *world) subscriptionBody(users ...string) map[string]any {
	return map[string]any{
		"changeType": "updated", "notificationUrl": "http://" + hooks + "/hook?m=1", "resource": filterOf(users...),
		"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano), "clientState": "state-of-mind",
	}
}

// subscribe creates a subscription with the monitor's token and returns its id.
func (w *world) subscribe(token string, body map[string]any) string {
	w.Helper()
	status, answer := w.do(token, "POST", "subscriptions", body)
	require.Equal(w, http.StatusCreated, status, answer)
	return answer["id"].(string)
}

func (w *world) presence(userID string) string { return w.Presence(userID).String() }

func (w *world) assertShows(want, userID string) {
	w.Helper()
	assert.Equal(w, want, w.presence(userID))
}

// client sets a Teams client's state.
func (w *world) teams(userID string, availability presence.Availability, activity presence.Activity) {
	w.Helper()
	require.NoError(w, w.SetClient(userID, "desktop", availability, activity))
}

// receiver is an endpoint for notifications.
type receiver struct {
	server *http.Server
	done   chan struct{}

	mu     sync.Mutex
	bodies []map[string]any
	times  []time.Time
	answer func(r *http.Request) int // nil: 202
	echo   func(w http.ResponseWriter, r *http.Request)
}

func newReceiver(t *testing.T, network *graphtest.Network, host string) *receiver {
	l, err := network.Listen(host)
	require.NoError(t, err)
	r := &receiver{done: make(chan struct{})}
	r.server = &http.Server{Handler: r}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l)
	}()
	return r
}

func (r *receiver) close() {
	_ = r.server.Close()
	<-r.done
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if token := req.URL.Query().Get("validationToken"); token != "" {
		r.mu.Lock()
		echo := r.echo
		r.mu.Unlock()
		if echo != nil {
			echo(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, token)
		return
	}
	var body map[string]any
	_ = json.NewDecoder(req.Body).Decode(&body)
	r.mu.Lock()
	r.bodies = append(r.bodies, body)
	r.times = append(r.times, time.Now())
	answer := r.answer
	r.mu.Unlock()
	status := http.StatusAccepted
	if answer != nil {
		status = answer(req)
	}
	w.WriteHeader(status)
}

func (r *receiver) set(answer func(*http.Request) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// posts returns the bodies received and forgets them.
func (r *receiver) posts() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	bodies := r.bodies
	r.bodies, r.times = nil, nil
	return bodies
}

// items returns the notifications received and forgets them.
func (r *receiver) items() []map[string]any {
	var list []map[string]any
	for _, body := range r.posts() {
		values, _ := body["value"].([]any)
		for _, v := range values {
			list = append(list, v.(map[string]any))
		}
	}
	return list
}

func userOf(item map[string]any) string {
	data, _ := item["resourceData"].(map[string]any)
	id, _ := data["id"].(string)
	return id
}

// settle lets deliveries that are due take place.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// overSocket returns a world on loopback.
func overSocket(t *testing.T, opts *graphtest.Options) *world {
	t.Helper()
	s, err := graphtest.NewServer(opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	w := &world{T: t, Server: s, client: s.Client(), tokens: make(map[string]string), received: &receiver{}}
	w.populate()
	return w
}

func hookServer(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}
