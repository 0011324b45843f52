package cloudlink

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestSubscribe(t *testing.T) {
	r := &recorder{next: answer(201, `{"subscriptionId":"sub-1"}`)}
	c := testClient(t, r)
	request := SubscriptionRequest{
		ApplicationID: presence.NewSecret(canaryAppID), Topic: TopicPresence, SubjectFilter: "/presentities/[^/]+$", MethodFilter: "PUT",
		PublicationFilter: "$.publications[?(@.content.state == 'ringing')]", WebhookURL: "https://bridge.example/cloudlink",
	}
	s, err := c.Subscribe(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, "sub-1", s.ID)
	assert.True(t, s.ApplicationID.Equal(request.ApplicationID))
	assert.NotContains(t, fmt.Sprintf("%#v %+v", s, request), canaryAppID)
	assert.Equal(t, "/2017-09-01/subscriptions", r.requests[0].URL.Path)
	assert.JSONEq(t, `{"applicationId":"`+canaryAppID+`","deviceId":"https://bridge.example/cloudlink","transport":"webhook","topic":"platform-api-presence",
		"subjectFilter":"/presentities/[^/]+$","methodFilter":"PUT","publicationFilter":"$.publications[?(@.content.state == 'ringing')]"}`, r.bodies[0])

	request.ApplicationID = presence.Secret{}
	_, err = c.Subscribe(t.Context(), request)
	require.NoError(t, err)
	var body map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.bodies[1]), &body))
	assert.Regexp(t, guidPattern, body["applicationId"])
}

func TestSubscribeRefusesWhatCannotWork(t *testing.T) {
	r := &recorder{next: answer(201, `{}`)}
	c := testClient(t, r)
	for _, request := range []SubscriptionRequest{
		{SubjectFilter: "x", WebhookURL: "https://h/"},
		{Topic: TopicMedia, WebhookURL: "https://h/"},
		{Topic: TopicMedia, SubjectFilter: "x"},
		{Topic: TopicMedia, SubjectFilter: "x", WebhookURL: "h/path"},
	} {
		_, err := c.Subscribe(t.Context(), request)
		require.ErrorIs(t, err, presence.ErrInvalid)
	}
	assert.Empty(t, r.requests)
	_, err := c.Subscribe(t.Context(), SubscriptionRequest{Topic: TopicMedia, SubjectFilter: "x", WebhookURL: "https://h/"})
	require.ErrorIs(t, err, ErrUnexpectedAnswer, "an answer without an id")
}

func TestSubscriptionsAndUnsubscribe(t *testing.T) {
	r := &recorder{next: sequence(
		answer(200, `{"_embedded":{"items":[{"subscriptionId":"s 1","applicationId":"a","deviceId":"https://h/","transport":"webhook","topic":"platform-api-media","subjectFilter":"f"}]}}`),
		answer(204, ``), answer(404, `{"name":"NotFound"}`))}
	c := testClient(t, r)
	got, err := c.Subscriptions(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Subscription{{ID: "s 1", ApplicationID: got[0].ApplicationID, Topic: TopicMedia, Transport: "webhook", SubjectFilter: "f", WebhookURL: "https://h/"}}, got)
	require.NoError(t, c.Unsubscribe(t.Context(), "s 1"))
	assert.Equal(t, http.MethodDelete, r.requests[1].Method)
	assert.Equal(t, "/2017-09-01/subscriptions/s%201", r.requests[1].URL.EscapedPath())
	require.ErrorIs(t, c.Unsubscribe(t.Context(), "s 1"), presence.ErrNotFound)
}
