package cloudlink

import (
	"fmt"
	"net/http"
	"path"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestLineTakesEveryState(t *testing.T) {
	for _, tt := range []struct {
		body  string
		want  presence.Line
		known bool
	}{
		{`{"endpointId":"2001","state":"connected","dnd":false,"userAvailability":"busy"}`, presence.Line{State: presence.LineConnected}, true},
		{`{"endpointId":"2001","state":"IDLE","dnd":true}`, presence.Line{State: presence.LineIdle, DoNotDisturb: true}, true},
		{`{"endpointId":"2001","state":"outOfService","dnd":"false"}`, presence.Line{State: presence.LineOutOfService}, true},
		{`{"endpointId":"2001","state":"levitating"}`, presence.Line{State: "levitating"}, false},
		{`{"endpointId":"2001"}`, presence.Line{State: presence.LineUnknown}, false},
		{`{"endpointId":"2001","state":{}}`, presence.Line{State: presence.LineUnknown}, false},
	} {
		got, err := testClient(t, answer(200, tt.body)).Line(t.Context(), "2001")
		require.NoError(t, err, tt.body)
		tt.want.Endpoint = "2001"
		assert.Equal(t, tt.want, got)
		assert.Equal(t, tt.known, got.Known())
	}
}

func TestLineThatCannotBeReadIsUnknown(t *testing.T) {
	got, err := testClient(t, answer(404, `{}`)).Line(t.Context(), "2001")
	require.ErrorIs(t, err, presence.ErrNotFound)
	assert.False(t, got.Known())
}

func TestLinesReturnWhatCouldBeRead(t *testing.T) {
	transport := httpmock.NewMockTransport()
	base := "https://media.api.mitel.io/2017-09-01/endpoints/"
	transport.RegisterResponder(http.MethodGet, base+"2001", httpmock.NewStringResponder(200, `{"endpointId":"2001","state":"held"}`))
	transport.RegisterResponder(http.MethodGet, base+"2002", httpmock.NewStringResponder(500, `{"name":"Oops"}`))
	transport.RegisterResponder(http.MethodGet, base+"2003", httpmock.NewStringResponder(200, `{"endpointId":"2003","state":"idle","dnd":true}`))
	c := testClient(t, nil, func(o *Options) { o.HTTPClient = &http.Client{Transport: transport} })
	lines, err := c.Lines(t.Context(), testUser)
	assert.Equal(t, []presence.Line{{Endpoint: "2001", State: presence.LineHeld}, {Endpoint: "2003", State: presence.LineIdle, DoNotDisturb: true}}, lines)
	require.ErrorIs(t, err, presence.ErrUnavailable)
	assert.ErrorContains(t, err, `"2002"`)
	assert.NotContains(t, err.Error(), `"2001"`)

	lines, err = c.Lines(t.Context(), presence.User{})
	require.NoError(t, err)
	assert.Empty(t, lines)
}

func TestEndpointThatDoesNotExistIsUnknown(t *testing.T) {
	transport := httpmock.NewMockTransport()
	base := "https://media.api.mitel.io/2017-09-01/endpoints/"
	transport.RegisterResponder(http.MethodGet, base+"2001", httpmock.NewStringResponder(200, `{"endpointId":"2001","state":"idle"}`))
	transport.RegisterResponder(http.MethodGet, base+"2002", httpmock.NewStringResponder(404, `{"name":"NotFound","message":"no such endpoint"}`))
	c := testClient(t, nil, func(o *Options) { o.HTTPClient = &http.Client{Transport: transport} })
	lines, err := c.Lines(t.Context(), presence.User{Endpoints: []string{"2001", "2002"}})
	assert.Equal(t, []presence.Line{{Endpoint: "2001", State: presence.LineIdle}, {Endpoint: "2002", State: presence.LineUnknown}}, lines)
	require.ErrorIs(t, err, presence.ErrNotFound, "and somebody is to be told")
	assert.ErrorContains(t, err, `"2002"`)
}

func TestLinesAreReadAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		c := testClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			_, _ = fmt.Fprintf(w, `{"endpointId":%q,"state":"idle"}`, path.Base(r.URL.Path))
		}))
		user := presence.User{}
		for i := range 10 {
			user.Endpoints = append(user.Endpoints, fmt.Sprint(i))
		}
		lines, err := c.Lines(t.Context(), user)
		require.NoError(t, err)
		for i, l := range lines {
			assert.Equal(t, fmt.Sprint(i), l.Endpoint)
		}
		assert.EqualValues(t, maxLinesInFlight, most.Load())
	})
}

func TestSetDoNotDisturb(t *testing.T) {
	for _, tt := range []struct {
		on     bool
		status int
		body   string
		is     error
	}{
		{true, 200, `{"endpointId":"2001","dnd":true}`, nil},
		{false, 200, `{"endpointId":"2001","dnd":false}`, nil},
		{true, 202, ``, nil},
		{true, 504, `{"name":"GatewayTimeout","message":"no answer"}`, presence.ErrUnavailable},
		{true, 422, `{}`, presence.ErrInvalid},
	} {
		r := &recorder{next: answer(tt.status, tt.body)}
		err := testClient(t, r).SetDoNotDisturb(t.Context(), "2001", tt.on)
		if tt.is == nil {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, tt.is)
		}
		assert.Equal(t, http.MethodPut, r.requests[0].Method)
		assert.Equal(t, "/2017-09-01/endpoints/2001", r.requests[0].URL.Path)
		assert.JSONEq(t, fmt.Sprintf(`{"action":"dnd","userAvailability":"available","enabled":%t}`, tt.on), r.bodies[0])
	}
	r := &recorder{next: answer(200, `{}`)}
	c := testClient(t, r, func(o *Options) { o.UserAvailability = "busy" })
	require.NoError(t, c.SetDoNotDisturb(t.Context(), "2001", true))
	assert.Contains(t, r.bodies[0], `"busy"`)
}

func TestCalls(t *testing.T) {
	r := &recorder{next: answer(200, `{"count":2,"_embedded":{"items":[
		{"callId":"endpoints/200/calls/335","from":"2001","to":"3001","toName":"Bob","state":"connected","cause":"newCall","direction":"outbound","createdOn":"2024-05-01T08:00:00Z","siteId":"s-1"},
		{"callId":336,"state":"completed"},
		{"state":"ringing"}]}}`)}
	calls, err := testClient(t, r).Calls(t.Context(), "2001")
	require.ErrorIs(t, err, presence.ErrUnreadable)
	assert.Equal(t, []Call{
		{ID: "endpoints/200/calls/335", From: "2001", To: "3001", ToName: "Bob", State: "connected", Cause: "newCall", Direction: "outbound", CreatedOn: time.Date(2024, 5, 1, 8, 0, 0, 0, time.UTC), SiteID: "s-1"},
		{ID: "336", State: CallCompleted},
	}, calls)
	assert.Equal(t, "/2017-09-01/endpoints/2001/calls", r.requests[0].URL.Path)
}
