package cloudlinktest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
)

// fixture is a server with two people, a client for each role, and a webhook.
type fixture struct {
	*cloudlinktest.Server
	t        *testing.T
	network  *cloudlinktest.Network
	ann, bob cloudlinktest.User
	token    string // of an ACCOUNT_ADMIN client
	annToken string // of ann, a USER

	mu         sync.Mutex
	deliveries []delivered
	// hook answers deliveries; nil: 202.
	hook func(http.ResponseWriter, delivered)
}

// delivered is one request that the webhook got.
type delivered struct {
	header http.Header
	raw    []byte
	body   envelope
}

// envelope is the published one, with every field that its sample has.
type envelope struct {
	PublicationID string         `json:"publicationId"`
	Topic         string         `json:"topic"`
	Method        string         `json:"method"`
	Subject       string         `json:"subject"`
	Content       map[string]any `json:"content"`
	Publisher     struct {
		AccountID   string `json:"accountId"`
		PrincipalID string `json:"principalId"`
	} `json:"publisher"`
	Subscription struct {
		SubscriptionID string `json:"subscriptionId"`
	} `json:"subscription"`
	Notification struct {
		CreatedOn     string `json:"createdOn"`
		CorrelationID string `json:"correlationId"`
	} `json:"notification"`
}

const (
	webhookURL    = "http://webhook.test/cloudlink"
	applicationID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
)

// inBubble runs a test with a fixture on a network in memory, in virtual time.
func inBubble(t *testing.T, opts cloudlinktest.Options, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.Network = cloudlinktest.NewNetwork()
		s, err := cloudlinktest.NewServer(&opts)
		require.NoError(t, err)
		f := &fixture{Server: s, t: t, network: opts.Network}
		f.ann = s.AddUser(cloudlinktest.User{
			ID: "ann-id", Name: "Ann", Email: "ann@example.com", Password: "ann-password", Extension: "2001", SiteID: "site-1",
			SIPPassword: "sip-canary",
		})
		f.bob = s.AddUser(cloudlinktest.User{ID: "bob-id", Name: "Bob", Email: "bob@example.com", Extension: "2002"})
		s.AddClient("bridge", "client-secret", cloudlinktest.RoleAccountAdmin)

		listener, err := opts.Network.Listen("webhook.test")
		require.NoError(t, err)
		webhook := &http.Server{Handler: http.HandlerFunc(f.serveWebhook)}
		done := make(chan struct{})
		go func() { defer close(done); _ = webhook.Serve(listener) }()
		defer func() {
			s.Close()
			_ = webhook.Close()
			<-done
		}()
		f.token = f.clientToken("bridge", "client-secret")
		f.annToken = f.passwordToken()
		s.ClearRequests()
		test(f)
	})
}

func (f *fixture) serveWebhook(w http.ResponseWriter, r *http.Request) {
	d := delivered{header: r.Header.Clone()}
	d.raw, _ = io.ReadAll(r.Body)
	_ = json.Unmarshal(d.raw, &d.body)
	f.mu.Lock()
	f.deliveries = append(f.deliveries, d)
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		hook(w, d)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// received waits until nothing moves any more without the clock, and returns
// what the webhook has got.
func (f *fixture) received() []delivered {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]delivered(nil), f.deliveries...)
}

func (f *fixture) setHook(hook func(http.ResponseWriter, delivered)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// reply is the answer to a request.
type reply struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

func (r reply) text(name string) string {
	s, _ := r.json[name].(string)
	return s
}

// items returns the items of a HAL collection.
func (r reply) items() []map[string]any {
	embedded, _ := r.json["_embedded"].(map[string]any)
	list, _ := embedded["items"].([]any)
	items := make([]map[string]any, len(list))
	for i, item := range list {
		items[i], _ = item.(map[string]any)
	}
	return items
}

// next returns the link to the next page, empty on the last one.
func (r reply) next() string {
	links, _ := r.json["_links"].(map[string]any)
	link, _ := links["next"].(map[string]any)
	href, _ := link["href"].(string)
	return href
}

func (f *fixture) send(method, target, token, contentType string, body []byte) reply {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, target, bytes.NewReader(body))
	require.NoError(f.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := f.Client().Do(request)
	require.NoError(f.t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	r := reply{status: response.StatusCode, header: response.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &r.json)
	require.NotEmpty(f.t, r.header.Get("x-mitel-correlation-id"), "every response has a correlation id")
	return r
}

// call makes a request of a service as the admin client, with a JSON body if
// there is one.
func (f *fixture) call(method, service, path string, body any) reply {
	f.t.Helper()
	return f.callAs(f.token, method, service, path, body)
}

func (f *fixture) callAs(token, method, service, path string, body any) reply {
	f.t.Helper()
	if body == nil {
		return f.send(method, f.URL(service)+path, token, "", nil)
	}
	encoded, err := json.Marshal(body)
	require.NoError(f.t, err)
	return f.send(method, f.URL(service)+path, token, "application/json", encoded)
}

// form posts a form to the authentication service.
func (f *fixture) form(path string, pairs ...string) reply {
	f.t.Helper()
	var fields []string
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, pairs[i]+"="+strings.ReplaceAll(pairs[i+1], "+", "%2B"))
	}
	return f.send("POST", f.URL("authentication")+path, "", "application/x-www-form-urlencoded", []byte(strings.Join(fields, "&")))
}

func (f *fixture) clientToken(id, secret string) string {
	f.t.Helper()
	r := f.form("/token", "grant_type", "client_credentials", "client_id", id, "client_secret", secret, "account_id", f.AccountID())
	require.Equal(f.t, http.StatusOK, r.status, r.raw)
	return r.text("access_token")
}

func (f *fixture) passwordToken() string {
	f.t.Helper()
	r := f.form("/token", "grant_type", "password", "username", "ann@example.com", "password", "ann-password", "account_id", f.AccountID())
	require.Equal(f.t, http.StatusOK, r.status, r.raw)
	return r.text("access_token")
}

type object = map[string]any

// subscribe makes a subscription to the fixture's webhook and returns its id.
func (f *fixture) subscribe(topic, subjectFilter string, more object) string {
	f.t.Helper()
	body := object{
		"applicationId": applicationID, "deviceId": webhookURL, "transport": "webhook", "topic": topic, "subjectFilter": subjectFilter,
	}
	for k, v := range more {
		body[k] = v
	}
	r := f.call("POST", "notifications", "/subscriptions", body)
	require.Equal(f.t, http.StatusCreated, r.status, r.raw)
	return r.text("subscriptionId")
}
