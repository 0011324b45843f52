package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"pgregory.net/rapid"
)

const (
	notifyTenant = "aaaaaaaa-0000-0000-0000-000000000001"
	notifyAnna   = "11111111-0000-0000-0000-00000000000a"
	notifyState  = "a client state that nobody guesses"
	notifySub    = "5ab5ab5a-0000-0000-0000-000000000001"
)

// notificationInbox is a receiver that remembers.
type notificationInbox struct {
	mu            sync.Mutex
	notifications []presence.Notification
	lifecycle     []presence.Lifecycle
}

func (in *notificationInbox) receiver() presence.Receiver {
	return presence.Receiver{
		Notify: func(n presence.Notification) {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.notifications = append(in.notifications, n)
		},
		Lifecycle: func(l presence.Lifecycle) {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.lifecycle = append(in.lifecycle, l)
		},
	}
}

func (in *notificationInbox) users() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var ids []string
	for _, n := range in.notifications {
		ids = append(ids, n.UserID)
	}
	return ids
}

// basicItem is an item in the form that is sent since June 2024.
func basicItem(subscription, clientState, tenant, user string) string {
	return fmt.Sprintf(`{"subscriptionId":%q,"clientState":%q,"changeType":"updated",
		"resource":"communications/presences?$filter=id+in+(%%27%s%%27)",
		"subscriptionExpirationDateTime":"2024-04-19T23:58:00.4569264",
		"resourceData":{"@odata.type":"#Microsoft.Graph.presence","@odata.id":"users/%s/presence","id":%q},
		"tenantId":%q}`, subscription, clientState, user, user, user, tenant)
}

func batchOf(items ...string) string { return `{"value":[` + strings.Join(items, ",") + `]}` }

func goodItem() string { return basicItem(notifySub, notifyState, notifyTenant, notifyAnna) }

func postNotification(h http.Handler, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/notifications", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	h.ServeHTTP(w, r)
	return w
}

// boundHandler returns a handler with one bound registration.
func boundHandler(t testing.TB, opts *NotificationHandlerOptions) (*NotificationHandler, *notificationInbox) {
	t.Helper()
	h, in := NewNotificationHandler(opts), new(notificationInbox)
	bind, _, err := h.Tenant(notifyTenant).Register(presence.NewSecret(notifyState), in.receiver())
	require.NoError(t, err)
	bind(notifySub)
	return h, in
}

func TestNotificationForms(t *testing.T) {
	const common = `"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `"`
	hint := presence.Notification{SubscriptionID: notifySub, TenantID: notifyTenant, UserID: notifyAnna}
	withPresence, noTenant := hint, hint
	withPresence.Presence = &presence.Presence{UserID: notifyAnna, Availability: presence.Busy, Activity: presence.ActivityInACall}
	noTenant.TenantID = ""
	tests := []struct {
		name, item string
		want       presence.Notification
	}{
		{"since June 2024", goodItem(), hint},
		{"documented, organizationId", `{` + common + `,"changeType":"updated","organizationId":"` + notifyTenant + `","resource":"communications/presences/` + notifyAnna +
			`","resourceData":{"@odata.type":"#microsoft.graph.presence","@odata.id":"communications/presences('` + notifyAnna + `')"}}`, hint},
		{"2020 preview, state beside a null id", `{` + common + `,"tenantId":"` + notifyTenant + `","resource":"communications/presences('` + notifyAnna +
			`')","subscriptionExpirationDateTime":"2020-04-19T23:58:00+00:00","resourceData":{"id":null,"activity":"inACall","availability":"Busy"}}`, withPresence},
		{"filter only", `{` + common + `,"tenantId":"` + notifyTenant + `","resource":"communications/presences?$filter=id+in+(%27` + notifyAnna + `%27)"}`, hint},
		{"filter with encoded name and a leading slash", `{` + common + `,"tenantId":"` + notifyTenant + `","resource":"/communications/presences?%24filter=id%20in%20(%27` + notifyAnna + `%27)"}`, hint},
		{"no tenant at all", `{` + common + `,"resourceData":{"id":"` + notifyAnna + `"}}`, noTenant},
		{"encrypted content beside the id", `{` + common + `,"tenantId":"` + notifyTenant + `","resourceData":{"id":"` + notifyAnna +
			`"},"encryptedContent":{"data":"AAAA","dataSignature":"AAAA","dataKey":"AAAA","encryptionCertificateId":"1"}}`, hint},
		{"fields in another case", `{"SubscriptionId":"` + notifySub + `","CLIENTSTATE":"` + notifyState + `","tenantid":"` + notifyTenant + `","resourcedata":{"ID":"` + notifyAnna + `"}}`, hint},
		{"a field of the wrong type elsewhere", `{` + common + `,"tenantId":"` + notifyTenant + `","resource":7,"subscriptionExpirationDateTime":{},"resourceData":{"id":"` + notifyAnna + `","availability":3}}`, hint},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, in := boundHandler(t, nil)
			w := postNotification(h, batchOf(test.item))
			assert.Equal(t, http.StatusAccepted, w.Code)
			assert.Equal(t, []presence.Notification{test.want}, in.notifications)
		})
	}
}

func TestNotificationRefusals(t *testing.T) {
	tests := []struct {
		name, item string
		want       RefusalReason
	}{
		{"unknown subscription", basicItem("other", "other state", notifyTenant, notifyAnna), RefusedUnknownSubscription},
		{"unknown subscription with the state of a bound one", basicItem("other", notifyState, notifyTenant, notifyAnna), RefusedUnknownSubscription},
		{"wrong client state", basicItem(notifySub, notifyState+"x", notifyTenant, notifyAnna), RefusedClientState},
		{"no client state", `{"subscriptionId":"` + notifySub + `","resourceData":{"id":"` + notifyAnna + `"}}`, RefusedClientState},
		{"another tenant", basicItem(notifySub, notifyState, "bbbbbbbb-0000-0000-0000-000000000001", notifyAnna), RefusedTenant},
		{"no user", `{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","resourceData":{}}`, RefusedNoUser},
		{"two users in the filter", `{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","resource":"communications/presences?$filter=id+in+(%27a%27,%27b%27)"}`, RefusedNoUser},
		{"no subscription", `{"clientState":"` + notifyState + `"}`, RefusedMalformedItem},
		{"a number", `5`, RefusedMalformedItem},
		{"null", `null`, RefusedMalformedItem},
		{"an array", `[{}]`, RefusedMalformedItem},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var refusals []Refusal
			var logged bytes.Buffer
			h, in := boundHandler(t, &NotificationHandlerOptions{
				Refused: func(r Refusal) { refusals = append(refusals, r) },
				Logger:  slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			w := postNotification(h, batchOf(goodItem(), test.item, goodItem()))
			assert.Equal(t, http.StatusAccepted, w.Code)
			assert.Equal(t, []string{notifyAnna, notifyAnna}, in.users(), "the neighbours are delivered")
			require.Len(t, refusals, 1)
			assert.Equal(t, test.want, refusals[0].Reason)
			stats := h.Stats()
			assert.Equal(t, map[RefusalReason]uint64{test.want: 1}, stats.Refused)
			assert.EqualValues(t, 3, stats.Received)
			assert.EqualValues(t, 2, stats.Delivered)
			assert.Contains(t, logged.String(), test.want.String())
			assert.NotContains(t, logged.String(), notifyState)
		})
	}
}

func TestNotificationRequests(t *testing.T) {
	long := batchOf(goodItem(), strings.Repeat(" ", 2000)+goodItem())
	tests := []struct {
		name, method, target string
		body                 io.Reader
		status               int
		want                 RefusalReason
	}{
		{"GET", http.MethodGet, "/", nil, http.StatusMethodNotAllowed, RefusedMethod},
		{"GET with a token", http.MethodGet, "/?validationToken=a", nil, http.StatusMethodNotAllowed, RefusedMethod},
		{"PUT", http.MethodPut, "/", strings.NewReader(batchOf(goodItem())), http.StatusMethodNotAllowed, RefusedMethod},
		{"empty token", http.MethodPost, "/?validationToken=", nil, http.StatusBadRequest, RefusedValidation},
		{"endless token", http.MethodPost, "/?validationToken=" + strings.Repeat("a", maxValidationToken+1), nil, http.StatusBadRequest, RefusedValidation},
		{"empty body", http.MethodPost, "/", strings.NewReader(""), http.StatusBadRequest, RefusedMalformed},
		{"not JSON", http.MethodPost, "/", strings.NewReader("<xml/>"), http.StatusBadRequest, RefusedMalformed},
		{"an array", http.MethodPost, "/", strings.NewReader("[" + goodItem() + "]"), http.StatusBadRequest, RefusedMalformed},
		{"no value", http.MethodPost, "/", strings.NewReader(`{"values":[]}`), http.StatusBadRequest, RefusedMalformed},
		{"value is null", http.MethodPost, "/", strings.NewReader(`{"value":null}`), http.StatusBadRequest, RefusedMalformed},
		{"value is an object", http.MethodPost, "/", strings.NewReader(`{"value":{}}`), http.StatusBadRequest, RefusedMalformed},
		{"cut off", http.MethodPost, "/", strings.NewReader(`{"value":[` + goodItem()), http.StatusBadRequest, RefusedMalformed},
		{"a broken second item", http.MethodPost, "/", strings.NewReader(`{"value":[` + goodItem() + `,{"subscriptionId":}]}`), http.StatusBadRequest, RefusedMalformed},
		{"something behind it", http.MethodPost, "/", strings.NewReader(batchOf(goodItem()) + "{}"), http.StatusBadRequest, RefusedMalformed},
		{"too long", http.MethodPost, "/", strings.NewReader(long), http.StatusRequestEntityTooLarge, RefusedTooLarge},
		{"cannot be read", http.MethodPost, "/", io.MultiReader(strings.NewReader(`{"value":[`+goodItem()), brokenReader{}), http.StatusBadRequest, RefusedUnreadable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var refusals []Refusal
			h, in := boundHandler(t, &NotificationHandlerOptions{MaxBody: 2000, Refused: func(r Refusal) { refusals = append(refusals, r) }})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(test.method, test.target, test.body))
			assert.Equal(t, test.status, w.Code)
			assert.Empty(t, in.users(), "nothing of a refused body is delivered")
			assert.Equal(t, []Refusal{{Reason: test.want}}, refusals)
			assert.Equal(t, map[RefusalReason]uint64{test.want: 1}, h.Stats().Refused)
			if test.status == http.StatusMethodNotAllowed {
				assert.Equal(t, http.MethodPost, w.Header().Get("Allow"))
			}
			assert.Equal(t, http.StatusAccepted, postNotification(h, batchOf(goodItem())).Code, "the next one is served")
			assert.Equal(t, []string{notifyAnna}, in.users())
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestNotificationEmptyBatchIsAccepted(t *testing.T) {
	h, in := boundHandler(t, nil)
	assert.Equal(t, http.StatusAccepted, postNotification(h, `{"validationTokens":["a.b.c"],"value":[]}`).Code)
	assert.Empty(t, in.users())
	assert.Empty(t, h.Stats().Refused)
	assert.Zero(t, h.Stats().LastDelivery)
}

func TestNotificationValidation(t *testing.T) {
	for _, token := range []string{
		"Validation: Testing client application reachability for subscription Request-Id: 1",
		"<script>alert('1')</script>&a=b+c%20d", "ünï©ode\n", "validationToken=1",
	} {
		h := NewNotificationHandler(nil)
		w := httptest.NewRecorder()
		target := "/notifications?customer=7&validationToken=" + url.QueryEscape(token)
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader("ignored")))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, token, w.Body.String())
		assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		assert.EqualValues(t, 1, h.Stats().Validations)
	}
}

func TestNotificationQueryOfTheURLIsIgnored(t *testing.T) {
	h, in := boundHandler(t, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/notifications?for=novalidationToken;x", strings.NewReader(batchOf(goodItem()))))
	assert.Equal(t, http.StatusAccepted, w.Code)
	assert.Equal(t, []string{notifyAnna}, in.users())
}

func TestNotificationLifecycle(t *testing.T) {
	ends := time.Date(2024, 4, 19, 23, 58, 0, 456926400, time.UTC)
	for sent, want := range map[string]presence.Lifecycle{
		`"lifecycleEvent":"reauthorizationRequired","subscriptionExpirationDateTime":"2024-04-19T23:58:00.4569264"`:       {Event: presence.ReauthorizationRequired, ExpiresAt: ends},
		`"lifecycleEvent":"ReauthorizationRequired","subscriptionExpirationDateTime":"2024-04-20T01:58:00.4569264+02:00"`: {Event: presence.ReauthorizationRequired, ExpiresAt: ends},
		`"lifecycleEvent":"SUBSCRIPTIONREMOVED","subscriptionExpirationDateTime":"soon"`:                                  {Event: presence.SubscriptionRemoved},
		`"lifecycleEvent":"missed"`:  {Event: presence.NotificationsMissed},
		`"lifecycleEvent":"Novelty"`: {Event: "Novelty"},
	} {
		h, in := boundHandler(t, nil)
		want.SubscriptionID, want.TenantID = notifySub, notifyTenant
		item := `{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","tenantId":"` + notifyTenant + `",` + sent + `}`
		assert.Equal(t, http.StatusAccepted, postNotification(h, batchOf(item, goodItem())).Code)
		assert.Equal(t, []presence.Lifecycle{want}, in.lifecycle)
		assert.Equal(t, []string{notifyAnna}, in.users())
		assert.EqualValues(t, 1, h.Stats().Lifecycle)
		assert.EqualValues(t, 1, h.Stats().Delivered)

		forged := strings.Replace(item, notifyState, "guess", 1)
		postNotification(h, batchOf(forged))
		assert.Len(t, in.lifecycle, 1)
		assert.EqualValues(t, 1, h.Stats().Refused[RefusedClientState])
	}
}

func TestNotificationLifecycleWithoutAReceiver(t *testing.T) {
	h := NewNotificationHandler(nil)
	_, _, err := h.Register(presence.NewSecret(notifyState), presence.Receiver{Notify: func(presence.Notification) {}})
	require.NoError(t, err)
	item := `{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","lifecycleEvent":"missed"}`
	assert.Equal(t, http.StatusAccepted, postNotification(h, batchOf(item)).Code)
	assert.Zero(t, h.Stats().Panics)
}

// A notification may arrive before the answer to the request that created its
// subscription; after that its subscription must be the right one as well.
func TestNotificationBeforeBind(t *testing.T) {
	h, in := NewNotificationHandler(nil), new(notificationInbox)
	bind, unregister, err := h.Register(presence.NewSecret(notifyState), in.receiver())
	require.NoError(t, err)
	other := new(notificationInbox)
	_, _, err = h.Register(presence.NewSecret("another"), other.receiver())
	require.NoError(t, err)

	postNotification(h, batchOf(goodItem(), basicItem("other-sub", "another", notifyTenant, "bob")))
	assert.Equal(t, []string{notifyAnna}, in.users())
	assert.Equal(t, []string{"bob"}, other.users())

	bind(notifySub)
	bind(notifySub)
	bind("")
	postNotification(h, batchOf(goodItem(), basicItem("stranger", notifyState, notifyTenant, "eve")))
	assert.Equal(t, []string{notifyAnna, notifyAnna}, in.users())

	bind("second-sub")
	postNotification(h, batchOf(goodItem(), basicItem("second-sub", notifyState, notifyTenant, "carl")))
	assert.Equal(t, []string{notifyAnna, notifyAnna, notifyAnna, "carl"}, in.users(), "the former id stays accepted")

	unregister()
	unregister()
	bind("third-sub")
	postNotification(h, batchOf(goodItem(), basicItem("second-sub", notifyState, notifyTenant, "carl"), basicItem("third-sub", notifyState, notifyTenant, "carl")))
	assert.Len(t, in.users(), 4)
	assert.EqualValues(t, 4, h.Stats().Refused[RefusedUnknownSubscription])
	assert.Equal(t, 1, h.Stats().Registrations)
}

func TestNotificationUnregisterLeavesASuccessorAlone(t *testing.T) {
	h, first, second := NewNotificationHandler(nil), new(notificationInbox), new(notificationInbox)
	bind, unregister, err := h.Register(presence.NewSecret("first"), first.receiver())
	require.NoError(t, err)
	bind(notifySub)
	bind2, _, err := h.Register(presence.NewSecret(notifyState), second.receiver())
	require.NoError(t, err)
	bind2(notifySub)
	unregister()
	postNotification(h, batchOf(goodItem()))
	assert.Equal(t, []string{notifyAnna}, second.users())
}

func TestNotificationRegisterRefuses(t *testing.T) {
	h := NewNotificationHandler(nil)
	notify := presence.Receiver{Notify: func(presence.Notification) {}}
	_, _, err := h.Register(presence.Secret{}, presence.Receiver{})
	require.Error(t, err)
	assert.ErrorContains(t, err, "client state is empty")
	assert.ErrorContains(t, err, "no Notify function")
	long := strings.Repeat("s", 129)
	_, _, err = h.Register(presence.NewSecret(long), notify)
	require.ErrorContains(t, err, "129 characters")
	assert.NotContains(t, err.Error(), long)
	_, _, err = h.Tenant("contoso.com").Register(presence.NewSecret("a"), notify)
	require.ErrorContains(t, err, "not a GUID")
	_, unregister, err := h.Register(presence.NewSecret("a"), notify)
	require.NoError(t, err)
	_, _, err = h.Register(presence.NewSecret("a"), notify)
	require.ErrorContains(t, err, "in use")
	unregister()
	_, _, err = h.Register(presence.NewSecret("a"), notify)
	require.NoError(t, err)
	unregister()
	assert.Equal(t, 1, h.Stats().Registrations, "a second call does not end the successor")
}

func TestNotificationPanicsAreContained(t *testing.T) {
	var logged bytes.Buffer
	h := NewNotificationHandler(&NotificationHandlerOptions{
		Logger:  slog.New(slog.NewTextHandler(&logged, nil)),
		Refused: func(Refusal) { panic("hook") },
	})
	var got []string
	_, _, err := h.Register(presence.NewSecret(notifyState), presence.Receiver{Notify: func(n presence.Notification) {
		if n.UserID == "bad" {
			panic("a secret value")
		}
		got = append(got, n.UserID)
	}})
	require.NoError(t, err)
	w := postNotification(h, batchOf(basicItem("s", notifyState, notifyTenant, "bad"), basicItem("s", notifyState, notifyTenant, "good"), "null"))
	assert.Equal(t, http.StatusAccepted, w.Code)
	assert.Equal(t, []string{"good"}, got)
	assert.EqualValues(t, 2, h.Stats().Panics)
	assert.Contains(t, logged.String(), "receiver of a notification panicked")
	assert.NotContains(t, logged.String(), "a secret value")
}

func TestNotificationHostileBodyIsCheap(t *testing.T) {
	reported := 0
	h, _ := boundHandler(t, &NotificationHandlerOptions{Refused: func(Refusal) { reported++ }})
	body := `{"value":[` + strings.Repeat("0,", 100_000) + `0]}`
	assert.Equal(t, http.StatusAccepted, postNotification(h, body).Code)
	assert.Equal(t, maxReportedRefusals, reported)
	assert.EqualValues(t, 100_001, h.Stats().Refused[RefusedMalformedItem], "all are counted")
	allocated := testing.AllocsPerRun(1, func() { postNotification(h, body) })
	// encoding/json allocates its error for each item; what matters is that no
	// struct is kept for it.
	assert.Less(t, allocated, 1_000_000.0)
}

func TestNotificationWarningsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		h, _ := boundHandler(t, &NotificationHandlerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		warnings := func() int { return strings.Count(logged.String(), "level=WARN") }
		for range 100 {
			postNotification(h, "no JSON")
			postNotification(h, batchOf("null"))
		}
		assert.Equal(t, 2, warnings(), "one for each reason")
		time.Sleep(time.Minute)
		postNotification(h, "no JSON")
		assert.Equal(t, 3, warnings())
		assert.Contains(t, logged.String(), "refused_so_far=101")
	})
}

func TestNotificationMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h, _ := boundHandler(t, &NotificationHandlerOptions{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	lifecycle := `{"subscriptionId":"` + notifySub + `","clientState":"` + notifyState + `","lifecycleEvent":"missed"}`
	postNotification(h, batchOf(goodItem(), goodItem(), "null", lifecycle))
	postNotification(h, "{")
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/?validationToken=a", nil))

	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &collected))
	got := map[string]int64{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				outcome, _ := point.Attributes.Value("outcome")
				reason, _ := point.Attributes.Value("reason")
				got[strings.TrimPrefix(m.Name, "presencebridge.graph.notification.")+" "+outcome.AsString()+" "+reason.AsString()] = point.Value
			}
		}
	}
	assert.Equal(t, map[string]int64{
		"requests accepted ": 1, "requests validated ": 1, "requests refused malformed body": 1,
		"items delivered ": 2, "items lifecycle ": 1, "items refused malformed item": 1,
	}, got)
}

func TestNotificationStatsInJSON(t *testing.T) {
	h, _ := boundHandler(t, nil)
	postNotification(h, batchOf("null", goodItem()))
	text, err := json.Marshal(h.Stats())
	require.NoError(t, err)
	assert.Contains(t, string(text), `"malformed item":1`)
	assert.False(t, h.Stats().LastDelivery.IsZero())
}

func TestNotificationRefusalTextIsBounded(t *testing.T) {
	var got Refusal
	h, _ := boundHandler(t, &NotificationHandlerOptions{Refused: func(r Refusal) { got = r }})
	postNotification(h, batchOf(basicItem(strings.Repeat("é", 500), "x", notifyTenant, notifyAnna)))
	assert.LessOrEqual(t, len(got.SubscriptionID), 67)
	assert.Equal(t, strings.Repeat("é", 32)+"…", got.SubscriptionID)
}

// Registering, delivering and unregistering at once: run with -race.
func TestNotificationConcurrentUse(t *testing.T) {
	h, in := boundHandler(t, nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				bind, unregister, err := h.Register(presence.NewSecret(fmt.Sprintf("state %d %d", i, j)), new(notificationInbox).receiver())
				if assert.NoError(t, err) {
					bind(fmt.Sprintf("sub %d %d", i, j))
					postNotification(h, batchOf(goodItem()))
					unregister()
				}
			}
		})
	}
	all.Wait()
	assert.Len(t, in.users(), 400)
	assert.Equal(t, 1, h.Stats().Registrations)
}

// Whatever is mixed into a batch, exactly the good items are delivered, in order.
func TestNotificationItemsAreJudgedAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, in := NewNotificationHandler(nil), new(notificationInbox)
		bind, _, err := h.Tenant(notifyTenant).Register(presence.NewSecret(notifyState), in.receiver())
		require.NoError(t, err)
		bind(notifySub)
		var items, want []string
		for i := range rapid.IntRange(0, 20).Draw(t, "items") {
			user := fmt.Sprintf("user-%d", i)
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0, 1:
				items, want = append(items, basicItem(notifySub, notifyState, notifyTenant, user)), append(want, user)
			case 2:
				items = append(items, basicItem(notifySub, rapid.String().Draw(t, "state"), notifyTenant, user))
			case 3:
				items = append(items, basicItem("other", notifyState, notifyTenant, user))
			case 4:
				items = append(items, rapid.SampledFrom([]string{"null", "1", `"a"`, "[]", "{}", `{"resourceData":[]}`}).Draw(t, "junk"))
			case 5:
				items = append(items, basicItem(notifySub, notifyState, "cccccccc-0000-0000-0000-000000000001", user))
			}
		}
		// %q writes Go's escapes, which are not all JSON's.
		for i, item := range items {
			if !json.Valid([]byte(item)) {
				items[i] = "null"
			}
		}
		require.Equal(t, http.StatusAccepted, postNotification(h, batchOf(items...)).Code)
		require.Equal(t, want, in.users())
	})
}
