package cloudlinktest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	mediaTopic    = "platform-api-media"
	presenceTopic = "platform-api-presence"
	allEndpoints  = "/2017-09-01/endpoints/"
	everybody     = "/presentities/[^/]+$"
)

// after lets the deliveries' latency pass and returns what has arrived.
func (f *fixture) after(d time.Duration) []delivered {
	time.Sleep(d)
	return f.received()
}

const latency = 20 * time.Millisecond

func TestCallEventHasThePublishedEnvelope(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		id := f.subscribe(mediaTopic, "/calls/", nil)
		f.SetLine("2001", presence.LineRinging)
		now := time.Now()
		assert.Empty(f.t, f.received(), "a delivery takes its time")
		got := f.after(latency)
		require.Len(f.t, got, 1)
		assert.Equal(f.t, "application/json", got[0].header.Get("Content-Type"))
		assert.Equal(f.t, applicationID, got[0].header.Get("x-mitel-application-id"))

		var fields map[string]any
		require.NoError(f.t, json.Unmarshal(got[0].raw, &fields))
		assert.ElementsMatch(f.t, []string{"publicationId", "topic", "method", "subject", "content", "publisher", "subscription", "notification"}, keys(fields))
		e := got[0].body
		assert.Equal(f.t, mediaTopic, e.Topic)
		assert.Equal(f.t, "PUT", e.Method)
		assert.Equal(f.t, "/2017-09-01/endpoints/2001/calls/33656066", e.Subject)
		assert.Equal(f.t, id, e.Subscription.SubscriptionID)
		assert.Equal(f.t, f.AccountID(), e.Publisher.AccountID)
		assert.Equal(f.t, "ann-id", e.Publisher.PrincipalID)
		assert.NotEmpty(f.t, e.PublicationID)
		assert.NotEmpty(f.t, e.Notification.CorrelationID)
		assert.Equal(f.t, now.UTC().Format("2006-01-02T15:04:05.000Z"), e.Notification.CreatedOn)

		assert.ElementsMatch(f.t, []string{
			"from", "fromName", "to", "toName", "state", "cause", "direction", "extraPbxData", "createdOn", "callId", "endpointId", "siteId",
			"accountId", "timestamp", "eventId", "mediaReceivedTimestamp", "_links", "isCtiEvent", "principalId", "callLegOwner",
			"mediaEventProcessedTimestamp", "eventType", "deviceId", "userId",
		}, keys(e.Content), "the fields of Mitel's sample, all and no others")
		for name, want := range (object{
			"to": "2001", "toName": "Ann", "state": "ringing", "cause": "newCall", "direction": "inbound", "callId": "33656066",
			"endpointId": "2001", "siteId": "site-1", "accountId": f.AccountID(), "isCtiEvent": true, "principalId": "ann-id", "userId": "ann-id",
			"eventType": "CallStateNotification", "timestamp": float64(now.UnixMilli()),
		}) {
			assert.Equal(f.t, want, e.Content[name], name)
		}
		extra, _ := e.Content["extraPbxData"].(object)
		assert.ElementsMatch(f.t, []string{"alertingDevice", "calledDevice", "eventType", "callTrackingID"}, keys(extra))
		assert.Equal(f.t, "deliveredEvent", extra["eventType"])
	})
}

func keys(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

func TestCallGoesThroughTheEventsOfARealOne(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(mediaTopic, "/calls/", nil)
		for _, state := range []presence.LineState{"ringing", "connected", "held", "connected", "connected", "idle", "outOfService", "connected"} {
			f.SetLine("2001", state)
			f.after(time.Second)
		}
		var events, states, calls []string
		for _, d := range f.received() {
			extra, _ := d.body.Content["extraPbxData"].(object)
			events = append(events, extra["eventType"].(string))
			states = append(states, d.body.Content["state"].(string))
			calls = append(calls, d.body.Content["callId"].(string))
		}
		assert.Equal(f.t, []string{"deliveredEvent", "establishedEvent", "heldEvent", "retrievedEvent", "connectionClearedEvent", "establishedEvent"}, events)
		assert.Equal(f.t, []string{"ringing", "connected", "held", "connected", "completed", "connected"}, states)
		assert.Len(f.t, slices.Compact(calls), 2, "the second call has an id of its own")
	})
}

func TestEndpointIsPublished(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(mediaTopic, "/endpoints/[^/]+$", nil)
		f.SetLine("2001", presence.LineConnected)
		f.after(time.Second)
		f.SetDoNotDisturb("2001", true)
		f.SetDoNotDisturb("2001", true)
		f.after(time.Second)
		f.call("PUT", "media", "/endpoints/2001", object{"action": "dnd", "userAvailability": "available"})
		got := f.after(time.Second)
		require.Len(f.t, got, 3)
		for i, dnd := range []bool{false, true, false} {
			e := got[i].body
			assert.Equal(f.t, "/2017-09-01/endpoints/2001", e.Subject)
			assert.Equal(f.t, "connected", e.Content["state"])
			assert.Equal(f.t, dnd, e.Content["dnd"])
			assert.Equal(f.t, "2001", e.Content["endpointId"])
			assert.Equal(f.t, "ann-id", e.Content["principalId"])
		}
		assert.Equal(f.t, "bridge", got[2].body.Publisher.PrincipalID, "whoever wrote publishes")
	})
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{NoEndpointPublications: true}}, func(f *fixture) {
		f.subscribe(mediaTopic, allEndpoints, nil)
		f.SetLine("2001", presence.LineConnected)
		f.SetDoNotDisturb("2001", true)
		got := f.after(time.Second)
		require.Len(f.t, got, 1)
		assert.Contains(f.t, got[0].body.Subject, "/calls/")
	})
}

func TestPresenceIsPublished(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(presenceTopic, everybody, object{"methodFilter": "PUT"})
		f.subscribe(presenceTopic, "/presentities/bob-id", nil)
		f.call("PUT", "presence", "/presentities/ann-id", object{"status": "Busy", "reason": "r"})
		f.after(time.Second)
		f.SetStatus("ann-id", presence.StatusAway)
		f.SetStatus("ann-id", presence.StatusAway) // is so already
		got := f.after(time.Second)
		require.Len(f.t, got, 2, "the subscription for bob gets nothing")
		e := got[0].body
		assert.Equal(f.t, presenceTopic, e.Topic)
		assert.Equal(f.t, "/2017-09-01/presentities/ann-id", e.Subject)
		assert.Equal(f.t, "bridge", e.Publisher.PrincipalID)
		assert.Equal(f.t, "Busy", e.Content["status"])
		assert.Equal(f.t, "r", e.Content["reason"])
		assert.Equal(f.t, "ann-id", got[1].body.Publisher.PrincipalID)
		assert.Equal(f.t, "Away", got[1].body.Content["status"])
	})
}

func TestFiltersSelect(t *testing.T) {
	for name, c := range map[string]struct {
		topic, subject string
		more           object
		want           int
	}{
		"everything of the endpoint":  {mediaTopic, allEndpoints, nil, 4},
		"one endpoint":                {mediaTopic, "/endpoints/2001$", nil, 2},
		"another endpoint":            {mediaTopic, "/endpoints/2002", nil, 0},
		"another topic":               {presenceTopic, allEndpoints, nil, 0},
		"the method":                  {mediaTopic, allEndpoints, object{"methodFilter": "put"}, 4},
		"another method":              {mediaTopic, allEndpoints, object{"methodFilter": "POST"}, 0},
		"the publication's state":     {mediaTopic, allEndpoints, object{"publicationFilter": "$.publications[?(@.content.state == 'ringing')]"}, 2},
		"a state that did not occur":  {mediaTopic, allEndpoints, object{"publicationFilter": "$.publications[?(@.content.state == 'held')]"}, 0},
		"every state other than that": {mediaTopic, allEndpoints, object{"publicationFilter": "$.publications[?(@.content.state != 'held')]"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
				f.subscribe(c.topic, c.subject, c.more)
				f.SetLine("2001", presence.LineRinging)
				f.SetLine("2001", presence.LineConnected)
				assert.Len(f.t, f.after(time.Second), c.want)
			})
		})
	}
}

func TestSubscriptionRequests(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		good := object{"applicationId": applicationID, "deviceId": webhookURL, "transport": "webhook", "topic": mediaTopic, "subjectFilter": allEndpoints}
		for name, value := range (object{
			"applicationId": "not a GUID", "deviceId": "webhook.test", "transport": "websocket", "topic": "platform-api-weather",
			"subjectFilter": "(", "publicationFilter": "$.publications[*]",
		}) {
			bad := object{}
			for k, v := range good {
				bad[k] = v
			}
			bad[name] = value
			assert.Equal(f.t, http.StatusBadRequest, f.call("POST", "notifications", "/subscriptions", bad).status, name)
			delete(bad, name)
			if name != "publicationFilter" {
				assert.Equal(f.t, http.StatusBadRequest, f.call("POST", "notifications", "/subscriptions", bad).status, "without "+name)
			}
		}
		r := f.call("POST", "notifications", "/subscriptions", good)
		require.Equal(f.t, http.StatusCreated, r.status)
		assert.Equal(f.t, []string{"subscriptionId"}, keys(r.json))
		assert.Equal(f.t, http.StatusBadRequest, f.call("POST", "notifications", "/subscriptions", "text").status)
	})
}

func TestSubscriptionsAreListedAndDeleted(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		id := f.subscribe(mediaTopic, allEndpoints, object{"methodFilter": "PUT"})
		list := f.call("GET", "notifications", "/subscriptions", nil).items()
		require.Len(f.t, list, 1)
		for name, want := range (object{
			"subscriptionId": id, "applicationId": applicationID, "deviceId": webhookURL, "transport": "webhook", "topic": mediaTopic,
			"subjectFilter": allEndpoints, "methodFilter": "PUT",
		}) {
			assert.Equal(f.t, want, list[0][name], name)
		}
		own := f.callAs(f.annToken, "POST", "notifications", "/subscriptions", object{
			"applicationId": applicationID, "deviceId": webhookURL, "transport": "webhook", "topic": presenceTopic, "subjectFilter": "ann-id",
		}).text("subscriptionId")
		assert.Len(f.t, f.call("GET", "notifications", "/subscriptions", nil).items(), 2, "an admin sees all")
		assert.Len(f.t, f.callAs(f.annToken, "GET", "notifications", "/subscriptions", nil).items(), 1, "a user sees the own ones")
		assert.Len(f.t, f.Subscriptions(), 2)

		assert.Equal(f.t, http.StatusForbidden, f.callAs(f.annToken, "DELETE", "notifications", "/subscriptions/"+id, nil).status)
		assert.Equal(f.t, http.StatusNoContent, f.callAs(f.annToken, "DELETE", "notifications", "/subscriptions/"+own, nil).status)
		f.SetLine("2001", presence.LineRinging) // on its way when the subscription ends
		assert.Equal(f.t, http.StatusNoContent, f.call("DELETE", "notifications", "/subscriptions/"+id, nil).status)
		assert.Equal(f.t, http.StatusNotFound, f.call("DELETE", "notifications", "/subscriptions/"+id, nil).status)
		assert.Empty(f.t, f.after(time.Minute))
	})
}

func TestKilledSubscription(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		silent, gone := f.subscribe(mediaTopic, "/endpoints/2001$", nil), f.subscribe(mediaTopic, "/endpoints/2001$", nil)
		assert.True(f.t, f.KillSubscription(silent, true))
		assert.True(f.t, f.KillSubscription(gone, false))
		assert.False(f.t, f.KillSubscription(gone, false))
		f.SetLine("2001", presence.LineRinging)
		assert.Empty(f.t, f.after(time.Minute))
		list := f.call("GET", "notifications", "/subscriptions", nil).items()
		require.Len(f.t, list, 1, "a silent one is still listed")
		assert.Equal(f.t, silent, list[0]["subscriptionId"])
		assert.True(f.t, f.Subscriptions()[0].Silent)
	})
}

func TestDeliveryIsRepeatedAndGivenUp(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(mediaTopic, "/endpoints/2001$", nil)
		status := http.StatusServiceUnavailable
		f.setHook(func(w http.ResponseWriter, _ delivered) { w.WriteHeader(status) })
		f.SetLine("2001", presence.LineRinging)
		assert.Len(f.t, f.after(latency), 1)
		assert.Len(f.t, f.after(time.Second), 2)
		assert.Len(f.t, f.after(2*time.Second-1), 2)
		got := f.after(1)
		require.Len(f.t, got, 3)
		assert.Equal(f.t, got[0].raw, got[2].raw)
		assert.Len(f.t, f.after(time.Hour), 3, "three attempts are all")

		f.setHook(func(w http.ResponseWriter, _ delivered) { w.WriteHeader(status); status = http.StatusOK })
		f.SetLine("2001", presence.LineIdle)
		assert.Len(f.t, f.after(time.Hour), 5, "2xx ends the attempts")
	})
}

func TestWebhookThatHangsIsGivenUp(t *testing.T) {
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{
		DeliveryAttempts: 2, DeliveryTimeout: 5 * time.Second, DeliveryBackoff: time.Minute, DeliveryLatency: -1, ApplicationIDHeader: "x-app",
	}}, func(f *fixture) {
		f.subscribe(mediaTopic, "/endpoints/2001$", nil)
		release := make(chan struct{})
		defer close(release)
		f.setHook(func(http.ResponseWriter, delivered) { <-release })
		f.SetLine("2001", presence.LineRinging)
		got := f.received()
		require.Len(f.t, got, 1, "without latency it is there at once")
		assert.Equal(f.t, applicationID, got[0].header.Get("x-app"))
		assert.Len(f.t, f.after(5*time.Second+time.Minute-1), 1)
		assert.Len(f.t, f.after(1), 2)
	})
}

func TestDeliveryFaults(t *testing.T) {
	ring := func(t *testing.T, fault func(cloudlinktest.Delivery) cloudlinktest.Fault, check func(*fixture)) {
		t.Helper()
		inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
			f.subscribe(mediaTopic, "/endpoints/2001$", nil)
			f.SetDeliveryFault(fault)
			f.SetLine("2001", presence.LineRinging)
			check(f)
		})
	}
	t.Run("drop", func(t *testing.T) {
		ring(t, func(d cloudlinktest.Delivery) cloudlinktest.Fault {
			return cloudlinktest.Fault{Drop: d.Attempt == 1 && d.Topic == mediaTopic && d.WebhookURL == webhookURL}
		}, func(f *fixture) {
			assert.Empty(f.t, f.after(time.Hour))
			f.SetDeliveryFault(nil)
			f.SetLine("2001", presence.LineConnected)
			assert.Len(f.t, f.after(time.Hour), 1)
		})
	})
	t.Run("duplicate", func(t *testing.T) {
		ring(t, func(cloudlinktest.Delivery) cloudlinktest.Fault { return cloudlinktest.Fault{Duplicate: true} }, func(f *fixture) {
			got := f.after(time.Hour)
			require.Len(f.t, got, 2)
			assert.Equal(f.t, got[0].raw, got[1].raw)
		})
	})
	t.Run("reorder", func(t *testing.T) {
		first := true
		ring(t, func(cloudlinktest.Delivery) (fault cloudlinktest.Fault) {
			if first {
				first, fault.Delay = false, time.Minute
			}
			return fault
		}, func(f *fixture) {
			f.after(time.Second)
			f.SetLine("2001", presence.LineConnected)
			got := f.after(time.Hour)
			require.Len(f.t, got, 2)
			assert.Equal(f.t, "connected", got[0].body.Content["state"])
			assert.Equal(f.t, "ringing", got[1].body.Content["state"])
		})
	})
	t.Run("another body", func(t *testing.T) {
		ring(t, func(cloudlinktest.Delivery) cloudlinktest.Fault { return cloudlinktest.Fault{Body: []byte("{")} }, func(f *fixture) {
			got := f.after(time.Hour)
			require.Len(f.t, got, 1)
			assert.Equal(f.t, "{", string(got[0].raw))
		})
	})
}

func TestCloseEndsDeliveriesThatWait(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.subscribe(mediaTopic, allEndpoints, nil)
		f.SetDeliveryFault(func(cloudlinktest.Delivery) cloudlinktest.Fault { return cloudlinktest.Fault{Delay: 24 * time.Hour} })
		f.SetLine("2001", presence.LineRinging)
		f.after(time.Second)
		start := time.Now()
		f.Close()
		assert.Equal(f.t, start, time.Now())
		f.SetLine("2001", presence.LineIdle) // starts nothing any more
		assert.Empty(f.t, f.after(48*time.Hour))
	})
}
