package cloudlink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/presencebridge/presencebridge/presence"
)

// callPublication has the shape of Mitel's sample of a call event.
const callPublication = `{"publicationId":"pub-1","topic":"platform-api-media","method":"PUT","subject":"/2017-09-01/endpoints/2001/calls/33656066",
"content":{"from":"3001","fromName":"Bob","to":"2001","toName":"Ann","state":"ringing","cause":"newCall","direction":"inbound",
"extraPbxData":{"alertingDevice":"2001","calledDevice":"2001","eventType":"deliveredEvent","callTrackingID":"x"},"createdOn":"2024-05-01T08:00:00.000Z",
"callId":"33656066","endpointId":"2001","siteId":"s-1","accountId":"` + testAccount + `","timestamp":1714550400000,"eventId":"e-1","mediaReceivedTimestamp":1714550400522,
"_links":{"self":{"href":"x"}},"isCtiEvent":true,"principalId":"p-1","callLegOwner":true,"mediaEventProcessedTimestamp":1714550400600,
"eventType":"CallStateNotification","deviceId":"d-1","userId":"u-1"},
"publisher":{"accountId":"` + testAccount + `","principalId":"p-1"},"subscription":{"subscriptionId":"sub-1"},
"notification":{"createdOn":"2024-05-01T08:00:01.000Z","correlationId":"c-1"}}`

// publication returns a publication of subscription sub-1.
func publication(topic, subject, content string) string {
	return fmt.Sprintf(`{"publicationId":"pub-2","topic":%q,"method":"PUT","subject":%q,"content":%s,"publisher":{"accountId":%q},"subscription":{"subscriptionId":"sub-1"},"notification":{}}`,
		topic, subject, content, testAccount)
}

func TestParsePublication(t *testing.T) {
	e, err := parsePublication([]byte(callPublication))
	require.NoError(t, err)
	assert.Equal(t, Event{
		SubscriptionID: "sub-1", PublicationID: "pub-1", AccountID: testAccount, Topic: TopicMedia, Method: "PUT",
		Subject: "/2017-09-01/endpoints/2001/calls/33656066", EndpointID: "2001", PrincipalID: "p-1", UserID: "u-1",
		CallID: "33656066", CallState: "ringing", CreatedOn: time.Date(2024, 5, 1, 8, 0, 1, 0, time.UTC), CorrelationID: "c-1",
	}, e)

	for _, tt := range []struct {
		name, topic, subject, content string
		want                          Event
	}{
		{"endpoint", TopicMedia, "/2017-09-01/endpoints/2001", `{"endpointId":"2001","state":"CONNECTED","dnd":"true","principalId":"p-1"}`,
			Event{EndpointID: "2001", PrincipalID: "p-1", Line: &presence.Line{Endpoint: "2001", State: presence.LineConnected, DoNotDisturb: true}}},
		{"endpoint of unknown state", TopicMedia, "/endpoints/2001/", `{"state":"levitating"}`,
			Event{EndpointID: "2001", Line: &presence.Line{Endpoint: "2001", State: "levitating"}}},
		{"endpoint without state", TopicMedia, "/endpoints/2001", `{"dnd":true}`, Event{EndpointID: "2001"}},
		{"endpoint without content", TopicMedia, "/endpoints/2001", `null`, Event{EndpointID: "2001"}},
		{"odd content", TopicMedia, "/endpoints/2001", `["state"]`, Event{EndpointID: "2001"}},
		{"escaped id", TopicMedia, "/2017-09-01/endpoints/20%2001", `{}`, Event{EndpointID: "20 01"}},
		{"call collection", TopicMedia, "/endpoints/2001/calls", `{"state":"ringing"}`, Event{EndpointID: "2001", CallState: "ringing"}},
		{"call with a path for an id", TopicMedia, "/endpoints/200/calls/endpoints/200/calls/335", `{"state":"completed"}`,
			Event{EndpointID: "200", CallID: "endpoints/200/calls/335", CallState: CallCompleted}},
		{"presence", TopicPresence, "/presentities/p-7", `{"status":"Busy","principalId":"other"}`, Event{PrincipalID: "p-7"}},
		{"presence with version", TopicPresence, "/2017-09-01/presentities/p-7", `null`, Event{PrincipalID: "p-7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := parsePublication([]byte(publication(tt.topic, tt.subject, tt.content)))
			require.NoError(t, err)
			tt.want.SubscriptionID, tt.want.PublicationID, tt.want.AccountID = "sub-1", "pub-2", testAccount
			tt.want.Topic, tt.want.Method, tt.want.Subject = tt.topic, "PUT", tt.subject
			assert.Equal(t, tt.want, e)
		})
	}
	for _, subject := range []string{"/2017-09-01/conferences/1", "/endpoints/", "/presentities/p/sessions", "endpoints/1", "/x/endpoints/1", "?"} {
		_, err := parsePublication([]byte(publication(TopicMedia, subject, `{}`)))
		assert.ErrorIs(t, err, errSubject, subject)
	}
}

// post sends a body to the handler and returns the status of the answer.
func post(h http.Handler, body string, header ...string) int {
	req := httptest.NewRequest(http.MethodPost, "/cloudlink", strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Code
}

// register registers a receiver that notes events and binds it to ids.
func register(t *testing.T, h *WebhookHandler, r Receiver, ids ...string) (events *[]Event, bind func(string), unregister func()) {
	t.Helper()
	events = new([]Event)
	r.Notify = func(e Event) { *events = append(*events, e) }
	bind, unregister, err := h.Register(r)
	require.NoError(t, err)
	for _, id := range ids {
		bind(id)
	}
	return events, bind, unregister
}

func TestWebhookDelivers(t *testing.T) {
	h := NewWebhookHandler(nil)
	events, _, _ := register(t, h, Receiver{AccountID: strings.ToUpper(testAccount), ApplicationID: presence.NewSecret(canaryAppID)}, "sub-1")
	assert.Equal(t, 202, post(h, callPublication))
	assert.Equal(t, 202, post(h, callPublication, "X-Mitel-Application-Id", canaryAppID))
	require.Len(t, *events, 2)
	assert.Equal(t, "2001", (*events)[0].EndpointID)
	s := h.Stats()
	assert.EqualValues(t, 2, s.Received)
	assert.EqualValues(t, 2, s.Delivered)
	assert.Empty(t, s.Refused)
	assert.False(t, s.LastDelivered.IsZero())
}

func TestWebhookRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options WebhookHandlerOptions
		request func(*http.Request)
		body    string
		want    RefusalReason
		status  int
	}{
		{name: "another method", request: func(r *http.Request) { r.Method = http.MethodGet }, want: RefusedMethod, status: 405},
		{name: "too large", options: WebhookHandlerOptions{MaxBody: 100}, body: callPublication, want: RefusedTooLarge, status: 413},
		{name: "no JSON", body: `<html>`, want: RefusedMalformed, status: 400},
		{name: "cut off", body: callPublication[:200], want: RefusedMalformed, status: 400},
		{name: "an array", body: `[` + callPublication + `]`, want: RefusedMalformed, status: 400},
		{name: "empty", body: ``, want: RefusedMalformed, status: 400},
		{name: "null", body: `null`, want: RefusedMalformed, status: 400},
		{name: "no subscription", body: strings.Replace(callPublication, `"subscriptionId"`, `"x"`, 1), want: RefusedMalformed, status: 400},
		{name: "a page", request: func(r *http.Request) { r.Header.Set("Content-Type", "text/html; charset=utf-8") }, body: callPublication, want: RefusedMalformed, status: 400},
		{name: "a connection that breaks", request: func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(errors.New("broken"))) }, want: RefusedMalformed, status: 400},
		{name: "unknown subscription", body: strings.Replace(callPublication, "sub-1", "sub-9", 1), want: RefusedSubscription, status: 404},
		{name: "wrong application id", request: func(r *http.Request) { r.Header.Set("x-mitel-application-id", "guess") }, body: callPublication, want: RefusedApplicationID, status: 403},
		{name: "no application id", options: WebhookHandlerOptions{RequireApplicationID: true}, body: callPublication, want: RefusedApplicationID, status: 403},
		{name: "another header", options: WebhookHandlerOptions{RequireApplicationID: true, ApplicationIDHeader: "x-other"},
			request: func(r *http.Request) { r.Header.Set("x-mitel-application-id", canaryAppID) }, body: callPublication, want: RefusedApplicationID, status: 403},
		{name: "wrong account", body: strings.Replace(callPublication, `"publisher":{"accountId":"5`, `"publisher":{"accountId":"6`, 1), want: RefusedAccount, status: 403},
		{name: "no account", body: strings.Replace(callPublication, `"publisher":{"accountId"`, `"publisher":{"x"`, 1), want: RefusedAccount, status: 403},
		{name: "unknown subject", body: publication(TopicMedia, "/conferences/1", `{}`), want: RefusedSubject, status: 202},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			var refusals []Refusal
			tt.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
			tt.options.Refused = func(r Refusal) { refusals = append(refusals, r) }
			h := NewWebhookHandler(&tt.options)
			events, _, _ := register(t, h, Receiver{AccountID: testAccount, ApplicationID: presence.NewSecret(canaryAppID), Topic: TopicMedia}, "sub-1")
			req := httptest.NewRequest(http.MethodPost, "/cloudlink", strings.NewReader(tt.body))
			if tt.request != nil {
				tt.request(req)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			assert.Equal(t, tt.status, rec.Code)
			assert.Empty(t, rec.Body.String())
			assert.Empty(t, *events)
			assert.Equal(t, map[RefusalReason]uint64{tt.want: 1}, h.Stats().Refused)
			require.Len(t, refusals, 1)
			assert.Equal(t, tt.want, refusals[0].Reason)
			assert.Equal(t, tt.status, refusals[0].Status)
			assert.NotContains(t, log.String(), canaryAppID)
			assert.NotContains(t, log.String(), "guess")
			assert.Equal(t, tt.want != RefusedSubject, strings.Contains(log.String(), "refused"))
		})
	}
}

func TestWebhookTakesTheRequiredHeader(t *testing.T) {
	h := NewWebhookHandler(&WebhookHandlerOptions{RequireApplicationID: true, ApplicationIDHeader: "x-other"})
	events, _, _ := register(t, h, Receiver{ApplicationID: presence.NewSecret(canaryAppID)}, "sub-1")
	assert.Equal(t, 202, post(h, callPublication, "X-Other", canaryAppID))
	assert.Len(t, *events, 1)
}

func TestNotificationBeforeItsSubscriptionIsKnown(t *testing.T) {
	h := NewWebhookHandler(nil)
	ann, _, _ := register(t, h, Receiver{AccountID: testAccount, Topic: TopicMedia, ApplicationID: presence.NewSecret("ann")})
	other, _, _ := register(t, h, Receiver{AccountID: "another-account", Topic: TopicMedia})
	status, _, _ := register(t, h, Receiver{AccountID: testAccount, Topic: TopicPresence})
	bound, _, _ := register(t, h, Receiver{AccountID: testAccount, Topic: TopicMedia}, "sub-5")
	assert.Equal(t, 202, post(h, callPublication))
	assert.Len(t, *ann, 1)
	assert.Empty(t, *other)
	assert.Empty(t, *status)
	assert.Empty(t, *bound)
	assert.Equal(t, 404, post(h, callPublication, "x-mitel-application-id", "guess"))
}

func TestBindingFollowsAReplacedSubscription(t *testing.T) {
	h := NewWebhookHandler(nil)
	events, bind, unregister := register(t, h, Receiver{}, "sub-1", "sub-2")
	of := func(id string) string { return strings.Replace(callPublication, "sub-1", id, 1) }
	assert.Equal(t, 202, post(h, of("sub-1")), "its last notifications may be under way")
	assert.Equal(t, 202, post(h, of("sub-2")))
	bind("sub-3")
	bind("sub-3")
	bind("")
	assert.Equal(t, 404, post(h, of("sub-1")))
	assert.Equal(t, 202, post(h, of("sub-2")))
	assert.Equal(t, 202, post(h, of("sub-3")))

	taker, _, _ := register(t, h, Receiver{}, "sub-3")
	unregister()
	unregister()
	bind("sub-4")
	assert.Equal(t, 202, post(h, of("sub-3")))
	assert.Equal(t, 404, post(h, of("sub-2")))
	assert.Equal(t, 404, post(h, of("sub-4")))
	assert.Len(t, *events, 4)
	assert.Len(t, *taker, 1)
}

func TestPanicOfAReceiverIsContained(t *testing.T) {
	var log bytes.Buffer
	h := NewWebhookHandler(&WebhookHandlerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	bind, _, err := h.Register(Receiver{Notify: func(Event) { panic("canary") }})
	require.NoError(t, err)
	bind("sub-1")
	assert.Equal(t, 202, post(h, callPublication))
	assert.Equal(t, map[RefusalReason]uint64{RefusedPanic: 1}, h.Stats().Refused)
	assert.NotContains(t, log.String(), "canary")

	_, _, err = h.Register(Receiver{})
	require.Error(t, err)
}

func TestPanicOfTheRefusedHookIsContained(t *testing.T) {
	var log bytes.Buffer
	h := NewWebhookHandler(&WebhookHandlerOptions{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Refused: func(Refusal) { panic("canary") },
	})
	assert.Equal(t, 404, post(h, callPublication))
	assert.Equal(t, map[RefusalReason]uint64{RefusedSubscription: 1}, h.Stats().Refused)
	assert.Contains(t, log.String(), "Refused panicked")
	assert.NotContains(t, log.String(), "canary")
}

func TestWebhookOverHTTP(t *testing.T) {
	h := NewWebhookHandler(nil)
	events, _, _ := register(t, h, Receiver{}, "sub-1")
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := server.Client().Post(server.URL, "application/json", strings.NewReader(callPublication))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 202, resp.StatusCode)
	server.Close()
	assert.Len(t, *events, 1)
	server.Client().CloseIdleConnections()
}

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	h := NewWebhookHandler(&WebhookHandlerOptions{MeterProvider: provider})
	post(h, callPublication)
	c := testClient(t, answer(429, `{}`), func(o *Options) { o.MeterProvider = provider })
	_, _ = c.Line(t.Context(), "2001")
	var got metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &got))
	counts := map[string]int64{}
	for _, scope := range got.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				counts[m.Name] += p.Value
			}
		}
	}
	assert.Equal(t, map[string]int64{
		"presencebridge.cloudlink.webhooks": 1, "presencebridge.cloudlink.webhooks.refused": 1,
		"presencebridge.cloudlink.requests": 1, "presencebridge.cloudlink.throttled": 1,
	}, counts)
}

func FuzzWebhook(f *testing.F) {
	f.Add([]byte(callPublication))
	f.Add([]byte(publication(TopicMedia, "/2017-09-01/endpoints/2001", `{"state":"idle","dnd":true}`)))
	f.Add([]byte(publication(TopicPresence, "/presentities/p-1", `{}`)))
	f.Add([]byte(`{"topic":1,"subject":"/endpoints/%zz","subscription":{"subscriptionId":2}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h := NewWebhookHandler(nil)
		delivered := 0
		bind, _, _ := h.Register(Receiver{Notify: func(e Event) {
			delivered++
			if e.EndpointID == "" && e.PrincipalID == "" {
				t.Errorf("an event about nothing: %+v", e)
			}
		}})
		bind("sub-1")
		status := post(h, string(body))
		s := h.Stats()
		refused := uint64(0)
		for _, n := range s.Refused {
			refused += n
		}
		if s.Received != 1 || s.Delivered+refused != 1 || s.Delivered != uint64(delivered) || (delivered == 1 && status != 202) {
			t.Errorf("status %d, %+v", status, s)
		}
	})
}
