package simulator_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/presence"
)

func TestTeamsCommands(t *testing.T) {
	s, c := start(t, simulator.Options{})
	id := c.person(anna).TeamsID
	tests := []struct{ body, want string }{
		{`{"user": "` + anna + `", "availability": "busy", "activity": "inACall"}`, "Busy/InACall"},
		{`{"user": "` + strings.ToUpper(id) + `", "availability": "Away"}`, "Away/Away"},
		{`{"user": "2001", "device": "mobile", "availability": "DoNotDisturb", "activity": "Presenting"}`, "DoNotDisturb/Presenting"},
		{`{"user": "anna kraus", "device": "mobile", "signedOut": true}`, "Away/Away"},
		{`{"user": "2001", "preferred": {"availability": "BeRightBack", "activity": "BeRightBack"}}`, "BeRightBack/BeRightBack"},
		{`{"user": "2001", "clearPreferred": true}`, "Away/Away"},
		{`{"user": "2001", "availability": "Available", "inMeeting": true}`, "Busy/InAMeeting"},
		{`{"user": "2001", "inMeeting": false, "outOfOffice": true}`, "Available/OutOfOffice, out of office"},
		{`{"user": "2001", "outOfOffice": false, "availability": "Hibernating", "unchecked": true}`, "Hibernating/Hibernating"},
		{`{"user": "` + c.person(anna).CloudLinkID + `", "signedOut": true}`, "Offline/Offline"},
	}
	for _, tt := range tests {
		answer := c.tell("/teams", tt.body)
		assert.Equal(t, tt.want, s.Graph().Presence(id).String(), tt.body)
		assert.Equal(t, string(s.Graph().Presence(id).Availability), answer["availability"], tt.body)
	}
}

func TestPhoneCommands(t *testing.T) {
	s, c := start(t, simulator.Options{})
	tests := []struct{ body, want string }{
		{`{"endpoint": "2001", "state": "ringing"}`, "ringing"},
		{`{"user": "` + anna + `", "state": "CONNECTED", "doNotDisturb": true}`, "connected+dnd"},
		{`{"user": "` + c.person(anna).TeamsID + `", "doNotDisturb": false}`, "connected"},
		{`{"endpoint": "2001", "state": "parked", "unchecked": true}`, "parked"},
		{`{"endpoint": "2001", "state": "unknown"}`, "unknown"},
	}
	for _, tt := range tests {
		c.tell("/phone", tt.body)
		assert.Equal(t, tt.want, s.CloudLink().Line("2001").String(), tt.body)
	}
}

func TestMiCollabCommand(t *testing.T) {
	s, c := start(t, simulator.Options{})
	c.tell("/micollab", `{"user": "2002", "status": "be right back"}`)
	assert.Equal(t, presence.StatusBeRightBack, s.CloudLink().Status(c.person(ben).CloudLinkID))
}

func TestBadInputSaysWhatToSendAndChangesNothing(t *testing.T) {
	_, c := start(t, simulator.Options{})
	before := c.control(http.StatusOK, http.MethodGet, "/state", "")
	tests := []struct{ path, body, want string }{
		{"/teams", ``, "the body is empty"},
		{"/teams", `[]`, "the body cannot be a JSON array: send JSON such as"},
		{"/teams", `{"user": "2001", "availability": "Busy"} {}`, "more than one JSON value"},
		{"/teams", `{"user": "2001", "availability": 3}`, `"availability" cannot be a JSON number`},
		{"/teams", `{"user": "2001", "availabilty": "Busy"}`, `unknown field "availabilty"`},
		{"/teams", `{"availability": "Busy"}`, "/control/state lists"},
		{"/teams", `{"user": "2008", "availability": "Busy"}`, "no Teams account"},
		{"/teams", `{"user": "2001"}`, "nothing would change"},
		{"/teams", `{"user": "2001", "activity": "InACall"}`, "send both"},
		{"/teams", `{"user": "2001", "device": "mobile", "activity": "InACall", "signedOut": true}`, "send both"},
		{"/teams", `{"user": "2001", "availability": "Bussy"}`, "BeRightBack Busy"},
		{"/teams", `{"user": "2001", "availability": "Busy", "activity": "InTheShower"}`, "InAMeeting"},
		{"/teams", `{"user": "2001", "availability": "Busy", "signedOut": true}`, "either signedOut or availability"},
		{"/teams", `{"user": "2001", "preferred": {}}`, "Offline/OffWork"},
		{"/teams", `{"user": "2001", "availability": "Busy", "preferred": {"availability": "Busy", "activity": "InACall"}}`, "Offline/OffWork"},
		{"/teams", `{"user": "2001", "preferred": {"availability": "Busy", "activity": "Busy"}, "clearPreferred": true}`, "either preferred or clearPreferred"},
		{"/teams", `{"user": "2001", "availability": "` + strings.Repeat("x", 300) + `", "unchecked": true}`, "at most 256 bytes"},
		{"/phone", `{"state": "idle"}`, "either endpoint"},
		{"/phone", `{"endpoint": "2001", "user": "2001", "state": "idle"}`, "either endpoint"},
		{"/phone", `{"endpoint": "9999", "state": "idle"}`, `no telephone "9999"`},
		{"/phone", `{"user": "Farah Aziz", "state": "idle"}`, "with a telephone"},
		{"/phone", `{"endpoint": "2001"}`, "send state, doNotDisturb or both"},
		{"/phone", `{"endpoint": "2001", "state": "busy"}`, "held connected"},
		{"/micollab", `{"user": "Greta Holm", "status": "Away"}`, "no CloudLink user"},
		{"/micollab", `{"user": "2001", "status": ""}`, "1 to 256 bytes"},
		{"/faults", `{"path": "**", "drop": true}`, "send as service graph or cloudlink"},
		{"/faults", `{"service": "graph", "drop": true}`, "users/*/presence"},
		{"/faults", `{"service": "graph", "path": "[", "drop": true}`, "no pattern"},
		{"/faults", `{"service": "graph", "path": "**"}`, "send status, drop or delay"},
		{"/faults", `{"service": "graph", "path": "**", "drop": true, "status": 500}`, "either status or drop"},
		{"/faults", `{"service": "graph", "path": "**", "drop": true, "times": -1}`, "how many requests"},
		{"/faults", `{"service": "graph", "path": "**", "status": 99}`, "200 to 599"},
		{"/faults", `{"service": "graph", "path": "**", "delay": "1s", "body": "x"}`, "need a status"},
		{"/faults", `{"service": "graph", "path": "**", "delay": "1s", "after": true}`, "status or drop as well"},
		{"/faults", `{"service": "graph", "path": "**", "delay": "1"}`, "such as 500ms or 2s"},
		{"/faults", `{"service": "graph", "path": "**", "delay": "2000h"}`, "up to 1h"},
		{"/notifications", `{"service": "graph"}`, "exactly one of"},
		{"/notifications", `{"service": "graph", "drop": true, "duplicate": true}`, "exactly one of"},
		{"/notifications", `{"service": "mail", "drop": true}`, "graph or cloudlink"},
		{"/notifications", `{"service": "cloudlink", "hold": true}`, "send delay instead"},
		{"/notifications", `{"service": "graph", "drop": true, "count": -2}`, "how many notifications"},
		{"/notifications", `{"service": "graph", "drop": true, "user": "nobody"}`, `nobody "nobody"`},
		{"/subscriptions/kill", `{"id": "x"}`, "no subscription"},
		{"/subscriptions/reauthorize", `{"id": "x"}`, "with a lifecycle URL"},
		{"/secrets/expire", `{"secret": "s3cr3t-value"}`, "application, or monitor1 to monitor3, never a value"},
		{"/tokens/revoke", `{}`, "either user"},
		{"/tokens/revoke", `{"service": "graph"}`, "by user"},
		{"/tokens/revoke", `{"user": "nobody"}`, "no Teams account"},
	}
	for _, tt := range tests {
		answer := c.control(http.StatusBadRequest, http.MethodPost, tt.path, tt.body)
		assert.Contains(t, answer["error"], tt.want, "%s %s", tt.path, tt.body)
		assert.NotContains(t, answer["error"], "s3cr3t", tt.body)
	}
	for _, path := range []string{
		"/requests?limit=0", "/requests?limit=x", "/requests?service=mail", "/history?user=nobody", "/state?user=anna", "/info?a=b",
	} {
		assert.NotEmpty(t, c.control(http.StatusBadRequest, http.MethodGet, path, "")["error"], path)
	}
	c.control(http.StatusBadRequest, http.MethodDelete, "/faults?service=mail", "")
	c.control(http.StatusBadRequest, http.MethodDelete, "/notifications?service=mail", "")
	c.control(http.StatusBadRequest, http.MethodPost, "/teams", strings.Repeat(" ", 2<<20))
	assert.Equal(t, before, c.control(http.StatusOK, http.MethodGet, "/state", ""))
}

func TestUnknownCommands(t *testing.T) {
	_, c := start(t, simulator.Options{})
	assert.Contains(t, c.control(http.StatusNotFound, http.MethodPost, "/telephone", "{}")["error"], "GET "+c.info.Control)
	status, answer, header, err := c.do(http.MethodPut, c.info.Control+"/faults", "", "", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusMethodNotAllowed, status)
	assert.Contains(t, answer["error"], "takes POST and DELETE")
	assert.Equal(t, "POST, DELETE", header.Get("Allow"))
}

func TestEveryExampleThatTheControlEndpointGivesWorks(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	id := c.watch(newWebhook(t, httptest.NewServer), anna)
	listed := c.control(http.StatusOK, http.MethodGet, "", "")["commands"].([]any)
	assert.Len(t, listed, 16)
	for _, entry := range listed {
		command := entry.(object)
		path := strings.TrimPrefix(command["path"].(string), "/control")
		assert.NotEmpty(t, command["does"])
		if command["method"] != http.MethodPost {
			c.control(http.StatusOK, command["method"].(string), path, "")
			continue
		}
		require.NotEmpty(t, command["examples"], path)
		for _, example := range command["examples"].([]any) {
			text, err := json.Marshal(example)
			require.NoError(t, err)
			body := strings.Replace(string(text), "the subscription's id", id, 1)
			c.tell(path, body)
		}
	}
}

func TestFaults(t *testing.T) {
	s, c := start(t, simulator.Options{})
	c.signIn()
	user := c.person(anna)
	read := c.graph("/users/" + user.TeamsID + "/presence")

	t.Run("a reply for some requests", func(t *testing.T) {
		c.tell("/faults", `{"service": "graph", "method": "get", "path": "users/*/presence", "times": 2, "status": 429,
			"headers": {"retry-after": "1.5"}, "body": {"error": {"code": "TooManyRequests"}}}`)
		for range 2 {
			status, answer, header, err := c.do(http.MethodGet, read, c.app, "", nil)
			require.NoError(t, err)
			assert.Equal(t, http.StatusTooManyRequests, status)
			assert.Equal(t, "1.5", header.Get("Retry-After"))
			assert.Equal(t, "TooManyRequests", answer["error"].(object)["code"])
		}
		c.call(http.StatusOK, http.MethodGet, read, c.app, nil)
	})

	t.Run("until removed, one service only", func(t *testing.T) {
		endpoint := c.info.CloudLink.Services["media"] + "/endpoints/2001"
		c.tell("/faults", `{"service": "cloudlink", "path": "endpoints/*", "status": 503, "body": "{\"text\": 1}"}`)
		c.tell("/faults", `{"service": "graph", "path": "**", "status": 500}`)
		for range 3 {
			answer := c.call(http.StatusServiceUnavailable, http.MethodGet, endpoint, c.cloud, nil)
			assert.EqualValues(t, 1, answer["text"], "a string is sent as its text")
		}
		c.control(http.StatusOK, http.MethodDelete, "/faults?service=cloudlink", "")
		c.call(http.StatusOK, http.MethodGet, endpoint, c.cloud, nil)
		c.call(http.StatusInternalServerError, http.MethodGet, read, c.app, nil)
		c.control(http.StatusOK, http.MethodDelete, "/faults", "")
		c.call(http.StatusOK, http.MethodGet, read, c.app, nil)
	})

	t.Run("an answer that is lost after the work is done", func(t *testing.T) {
		c.tell("/faults", `{"service": "graph", "method": "POST", "path": "setPresence", "times": 1, "drop": true, "after": true}`)
		body := `{"sessionId": "` + c.info.Teams.ClientID + `", "availability": "Busy", "activity": "InACall"}`
		_, _, _, err := c.do(http.MethodPost, read+"/setPresence", c.app, "application/json", strings.NewReader(body))
		require.Error(t, err)
		assert.Equal(t, presence.Busy, s.Graph().Presence(user.TeamsID).Availability)
	})

	t.Run("a delay", func(t *testing.T) {
		c.tell("/faults", `{"service": "graph", "path": "users/*/presence", "times": 1, "delay": "30ms"}`)
		began := time.Now()
		c.call(http.StatusOK, http.MethodGet, read, c.app, nil)
		assert.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
	})
}

// states returns what the phone notifications in n bodies say, in their order.
func states(t *testing.T, w *webhook, n int) []string {
	t.Helper()
	var list []string
	for range n {
		list = append(list, w.next(t)["content"].(object)["state"].(string))
	}
	return list
}

// usedUp waits until no fault of notifications is left.
func (c *client) usedUp() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		return len(c.control(http.StatusOK, http.MethodGet, "/notifications", "")["notifications"].([]any)) == 0
	}, patience, time.Millisecond)
}

func TestNotificationFaultsOfCloudLink(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	w := newWebhook(t, httptest.NewServer)
	c.watchPhones(w)
	phone := func(endpoint, state string) { c.tell("/phone", `{"endpoint": "`+endpoint+`", "state": "`+state+`"}`) }

	c.tell("/notifications", `{"service": "cloudlink", "drop": true, "count": 1, "user": "2001"}`)
	phone("2002", "ringing")
	assert.Equal(t, []string{"ringing"}, states(t, w, 1), "not about the user")
	pending := c.control(http.StatusOK, http.MethodGet, "/notifications", "")["notifications"]
	assert.Equal(t, []any{object{"service": "cloudlink", "drop": true, "count": 1.0, "user": "2001"}}, pending)
	phone("2001", "connected")
	c.usedUp()
	phone("2001", "held")
	assert.Equal(t, []string{"held"}, states(t, w, 1), "the one before is lost")

	c.tell("/notifications", `{"service": "cloudlink", "duplicate": true, "count": 1}`)
	phone("2001", "idle")
	assert.Equal(t, []string{"idle", "idle"}, states(t, w, 2))

	c.tell("/notifications", `{"service": "cloudlink", "delay": "1s", "count": 1}`)
	phone("2001", "ringing")
	c.usedUp()
	phone("2002", "idle")
	assert.Equal(t, []string{"idle", "ringing"}, states(t, w, 2), "the later one overtakes")
}

func TestNotificationFaultsOfGraph(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	w := newWebhook(t, httptest.NewServer)
	c.watch(w, anna, ben)
	annaID, benID := c.person(anna).TeamsID, c.person(ben).TeamsID
	teams := func(user, availability string) {
		c.tell("/teams", `{"user": "`+user+`", "availability": "`+availability+`"}`)
	}

	c.tell("/notifications", `{"service": "graph", "drop": true, "count": 1}`)
	teams("2001", "Away")
	c.usedUp()
	teams("2002", "Away")
	assert.Equal(t, []string{benID}, users(w.next(t)), "the one before is lost")

	c.tell("/notifications", `{"service": "graph", "hold": true, "count": 1, "user": "2001"}`)
	teams("2001", "Busy")
	c.usedUp()
	teams("2002", "Busy")
	assert.Equal(t, []string{benID, annaID}, append(users(w.next(t)), users(w.next(t))...), "the held one comes second")

	c.tell("/notifications", `{"service": "graph", "hold": true, "count": 1}`)
	teams("2001", "Available")
	c.usedUp()
	c.control(http.StatusOK, http.MethodDelete, "/notifications?service=graph", "")
	assert.Equal(t, []string{annaID}, users(w.next(t)), "what is held is sent at the end")

	c.tell("/notifications", `{"service": "graph", "drop": true}`)
	c.tell("/notifications", `{"service": "cloudlink", "drop": true}`)
	c.control(http.StatusOK, http.MethodDelete, "/notifications?service=graph", "")
	teams("2002", "Available")
	assert.Equal(t, []string{benID}, users(w.next(t)))
	assert.Len(t, c.control(http.StatusOK, http.MethodGet, "/notifications", "")["notifications"], 1)
	c.control(http.StatusOK, http.MethodDelete, "/notifications", "")
	c.usedUp()
}

func TestSubscriptionsCanBeKilled(t *testing.T) {
	s, c := start(t, simulator.Options{})
	c.signIn()
	w := newWebhook(t, httptest.NewServer)
	id := c.watch(w, anna)
	c.tell("/subscriptions/reauthorize", `{"id": "`+id+`"}`)
	assert.Equal(t, "reauthorizationRequired", w.next(t)["value"].([]any)[0].(object)["lifecycleEvent"])
	c.tell("/subscriptions/kill", `{"id": "`+id+`", "silent": true}`)
	listed := c.control(http.StatusOK, http.MethodGet, "/state", "")["subscriptions"].(object)["graph"].([]any)
	require.Len(t, listed, 1)
	assert.Equal(t, true, listed[0].(object)["silent"])
	c.call(http.StatusOK, http.MethodGet, c.graph("/subscriptions/"+id), c.monitor, nil)
	c.tell("/subscriptions/kill", `{"id": "`+id+`"}`)
	c.call(http.StatusNotFound, http.MethodGet, c.graph("/subscriptions/"+id), c.monitor, nil)

	c.tell("/subscriptions/kill", `{"id": "`+c.watchPhones(w)+`"}`)
	assert.Empty(t, s.CloudLink().Subscriptions())
}

func TestSecretsAndTokensCanBeEnded(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	teams := c.info.Teams
	codes := func(answer object) any { return answer["error_codes"].([]any)[0] }

	c.tell("/tokens/revoke", `{"user": "`+teams.Monitor.PrincipalName+`"}`)
	answer := c.form(http.StatusBadRequest, c.tokenURL(), "grant_type", "refresh_token", "client_id", teams.ClientID,
		"client_secret", teams.Monitor.ClientSecret, "refresh_token", teams.Monitor.RefreshToken)
	assert.EqualValues(t, 50173, codes(answer))

	application := []string{"grant_type", "client_credentials", "client_id", teams.ClientID, "scope", teams.GraphURL + "/.default", "client_secret"}
	c.tell("/secrets/expire", `{"secret": "application"}`)
	answer = c.form(http.StatusUnauthorized, c.tokenURL(), append(application, teams.ClientSecret)...)
	assert.EqualValues(t, 7000222, codes(answer))
	c.form(http.StatusOK, c.tokenURL(), append(application, teams.Monitor.ClientSecret)...)
	c.tell("/secrets/expire", `{"secret": "monitor"}`)
	c.form(http.StatusUnauthorized, c.tokenURL(), append(application, teams.Monitor.ClientSecret)...)

	c.tell("/tokens/revoke", `{"service": "cloudlink"}`)
	c.call(http.StatusUnauthorized, http.MethodGet, c.info.CloudLink.Services["media"]+"/endpoints/2001", c.cloud, nil)
}

func TestHistoryTellsWhoChangedWhat(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	user := c.person(anna)
	c.tell("/phone", `{"endpoint": "2001", "state": "connected"}`)
	c.tell("/phone", `{"endpoint": "2002", "state": "connected"}`)
	c.call(http.StatusOK, http.MethodPost, c.graph("/users/"+user.TeamsID+"/presence/setPresence"), c.app, object{
		"sessionId": c.info.Teams.ClientID, "availability": "Busy", "activity": "InACall",
	})
	c.tell("/micollab", `{"user": "2001", "status": "Busy"}`)
	var told []string
	for _, entry := range c.control(http.StatusOK, http.MethodGet, "/history?limit=3&user="+anna, "")["history"].([]any) {
		e := entry.(object)
		told = append(told, e["what"].(string)+" "+e["now"].(string)+" "+e["cause"].(string))
	}
	assert.Equal(t, []string{"line connected phone", "teams Busy/InACall application", "status Busy user"}, told)
}

func TestRequestsAreListedWithoutSecrets(t *testing.T) {
	_, c := start(t, simulator.Options{})
	c.signIn()
	c.watch(newWebhook(t, httptest.NewServer), anna)
	c.call(http.StatusOK, http.MethodGet, c.info.CloudLink.Services["media"]+"/endpoints/2001", c.cloud, nil)
	c.call(http.StatusUnauthorized, http.MethodGet, c.graph("/users?code=abc123"), "", nil)

	everything := c.control(http.StatusOK, http.MethodGet, "/requests", "")["requests"].([]any)
	text, err := json.Marshal(everything)
	require.NoError(t, err)
	for name, secret := range map[string]string{
		"client secret": c.info.Teams.ClientSecret, "refresh token": c.info.Teams.Monitor.RefreshToken,
		"CloudLink secret": c.info.CloudLink.ClientSecret, "application's token": c.app, "monitor's token": c.monitor, "CloudLink token": c.cloud,
		"client state": "a client state", "code": "abc123",
	} {
		assert.NotContains(t, string(text), secret, name)
	}
	assert.Contains(t, string(text), "grant_type=client_credentials", "the rest of a form is shown")
	assert.Contains(t, string(text), "communications/presences", "the rest of a body is shown")

	only := c.control(http.StatusOK, http.MethodGet, "/requests?service=cloudlink&limit=1", "")["requests"].([]any)
	require.Len(t, only, 1)
	entry := only[0].(object)
	assert.Equal(t, "/media/2017-09-01/endpoints/2001", entry["path"])
	assert.EqualValues(t, http.StatusOK, entry["status"])
	assert.Equal(t, http.MethodGet, entry["method"])
}

func TestInfoIsServed(t *testing.T) {
	_, c := start(t, simulator.Options{})
	text, err := json.Marshal(c.control(http.StatusOK, http.MethodGet, "/info", ""))
	require.NoError(t, err)
	want, err := json.Marshal(c.info)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(text))
}
