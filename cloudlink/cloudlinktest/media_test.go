package cloudlinktest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestEndpointIsTheLineState(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for _, state := range presence.LineStates() {
			require.True(f.t, f.SetLine("2001", state))
			r := f.call("GET", "media", "/endpoints/2001", nil)
			require.Equal(f.t, http.StatusOK, r.status)
			assert.Equal(f.t, string(state), r.text("state"))
			assert.Equal(f.t, presence.Line{Endpoint: "2001", State: state}, f.Line("2001"))
		}
		r := f.call("GET", "media", "/endpoints/2001", nil)
		for name, want := range (object{
			"endpointId": "2001", "name": "Ann", "userAvailability": "available", "messageWaiting": false, "dnd": false, "pstnRouting": false,
		}) {
			assert.Equal(f.t, want, r.json[name], name)
		}
		links, _ := r.json["_links"].(object)
		assert.Equal(f.t, object{"href": f.URL("media") + "/endpoints/2001"}, links["self"])
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "media", "/endpoints/9999", nil).status)
		assert.Equal(f.t, presence.LineUnknown, f.Line("9999").State)
		assert.False(f.t, f.SetLine("9999", presence.LineIdle))
		assert.False(f.t, f.SetDoNotDisturb("9999", true))
	})
}

func TestPersonsTokenReachesTheOwnEndpointsOnly(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.AddEndpoint("2003", "ann-id")
		f.AddClient("user-client", "secret", cloudlinktest.RoleUser)
		for path, want := range map[string]int{"/endpoints/2001": 200, "/endpoints/2003": 200, "/endpoints/2002": 403, "/endpoints/9999": 403} {
			assert.Equal(f.t, want, f.callAs(f.annToken, "GET", "media", path, nil).status, path)
		}
		assert.Equal(f.t, http.StatusOK, f.callAs(f.clientToken("user-client", "secret"), "GET", "media", "/endpoints/2002", nil).status)
		f.AddEndpoint("2003", "bob-id")
		assert.Equal(f.t, http.StatusForbidden, f.callAs(f.annToken, "GET", "media", "/endpoints/2003", nil).status)
	})
}

func TestDoNotDisturbThroughTheAPI(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		put := func(body any) reply { return f.call("PUT", "media", "/endpoints/2001", body) }
		r := put(object{"action": "dnd", "userAvailability": "available", "enabled": true, "timeoutMs": 3000})
		require.Equal(f.t, http.StatusOK, r.status, r.raw)
		assert.Equal(f.t, true, r.json["dnd"])
		assert.Equal(f.t, "dnd", r.text("userAvailability"))
		assert.True(f.t, f.Line("2001").DoNotDisturb)
		require.Equal(f.t, http.StatusOK, put(object{"action": "dnd", "userAvailability": "available", "enabled": true}).status)

		require.Equal(f.t, http.StatusOK, put(object{"action": "dnd", "userAvailability": "dnd"}).status)
		assert.True(f.t, f.Line("2001").DoNotDisturb, "with the availability dnd nothing is done")

		r = put(object{"action": "dnd", "userAvailability": "away"})
		assert.Equal(f.t, false, r.json["dnd"], "enabled is false unless given")
		assert.Equal(f.t, "away", r.text("userAvailability"))

		r = put(object{"action": "messageWaiting", "userAvailability": "available", "enabled": true, "timeoutMs": 30000})
		assert.Equal(f.t, true, r.json["messageWaiting"])
		r = put(object{"action": "pstnRouting", "userAvailability": "available", "enabled": true})
		assert.Equal(f.t, true, r.json["pstnRouting"])

		for _, bad := range []any{
			object{"userAvailability": "available"}, object{"action": "call", "userAvailability": "available"}, object{"action": "dnd"},
			object{"action": "dnd", "userAvailability": "bored"}, "text",
			object{"action": "dnd", "userAvailability": "available", "timeoutMs": 2999},
			object{"action": "dnd", "userAvailability": "available", "timeoutMs": 30001},
		} {
			assert.Equal(f.t, http.StatusBadRequest, put(bad).status, bad)
		}

		h := f.History()
		require.Len(f.t, h, 2, "writes that change nothing are no changes")
		assert.Equal(f.t, cloudlinktest.Change{
			Time: h[0].Time, Kind: cloudlinktest.KindDoNotDisturb, EndpointID: "2001", PrincipalID: "ann-id",
			Line: presence.Line{Endpoint: "2001", State: presence.LineIdle, DoNotDisturb: true}, Cause: cloudlinktest.CauseAPI, ClientID: "bridge",
		}, h[0])
	})
}

func TestEndpointWriteThatIsAcknowledged(t *testing.T) {
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{AcknowledgeAfter: time.Second}}, func(f *fixture) {
		r := f.call("PUT", "media", "/endpoints/2001", object{"action": "dnd", "userAvailability": "available", "enabled": true})
		require.Equal(f.t, http.StatusAccepted, r.status)
		assert.Empty(f.t, r.raw)
		assert.False(f.t, f.Line("2001").DoNotDisturb)
		time.Sleep(time.Second)
		f.received()
		assert.True(f.t, f.Line("2001").DoNotDisturb)
	})
}

func TestCalls(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		assert.Empty(f.t, f.call("GET", "media", "/endpoints/2001/calls", nil).items())

		f.SetLine("2001", presence.LineRinging)
		time.Sleep(4 * time.Second)
		f.SetLine("2001", presence.LineConnected)
		time.Sleep(time.Minute)
		calls := f.call("GET", "media", "/endpoints/2001/calls", nil).items()
		require.Len(f.t, calls, 1)
		for name, want := range (object{
			"state": "connected", "direction": "inbound", "cause": "newCall", "to": "2001", "toName": "Ann", "toPrincipalId": "ann-id",
			"siteId": "site-1", "completed": false, "ringTime": 4000.0, "billingTime": 60000.0,
		}) {
			assert.Equal(f.t, want, calls[0][name], name)
		}
		path := "/endpoints/2001/calls/" + calls[0]["callId"].(string)
		assert.Equal(f.t, "connected", f.call("GET", "media", path, nil).text("state"))

		f.SetLine("2001", presence.LineIdle)
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "media", path, nil).status)

		f.SetLine("2001", presence.LineConnected)
		calls = f.call("GET", "media", "/endpoints/2001/calls", nil).items()
		require.Len(f.t, calls, 1)
		assert.Equal(f.t, "outbound", calls[0]["direction"])
		assert.Equal(f.t, "2001", calls[0]["from"])
	})
}

func TestCallActions(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.SetLine("2001", presence.LineRinging)
		path := "/endpoints/2001/calls/" + f.call("GET", "media", "/endpoints/2001/calls", nil).items()[0]["callId"].(string)
		act := func(action string) int { return f.call("PUT", "media", path, object{"action": action}).status }
		assert.Equal(f.t, http.StatusConflict, act("hold"))
		for _, step := range []struct {
			action string
			want   presence.LineState
		}{{"answer", presence.LineConnected}, {"hold", presence.LineHeld}, {"retrieve", presence.LineConnected}, {"end", presence.LineIdle}} {
			require.Equal(f.t, http.StatusAccepted, act(step.action), step.action)
			assert.Equal(f.t, step.want, f.Line("2001").State)
		}
		assert.Equal(f.t, http.StatusNotFound, act("end"))
		assert.Equal(f.t, http.StatusBadRequest, act("conference"))
		assert.Equal(f.t, http.StatusBadRequest, f.send("PUT", f.URL("media")+path, f.token, "", []byte("{")).status)
		h := f.History()
		assert.Equal(f.t, cloudlinktest.CausePhone, h[0].Cause)
		assert.Equal(f.t, cloudlinktest.CauseAPI, h[len(h)-1].Cause)
	})
}
