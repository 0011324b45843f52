package cloudlinktest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

// A telephone rings, and a webhook hears of it.
func Example() {
	server, err := cloudlinktest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.AddUser(cloudlinktest.User{Name: "Ann", Email: "ann@example.com", Extension: "2001"})
	server.AddClient("my-client", "my-secret", cloudlinktest.RoleAccountAdmin)

	heard := make(chan string, 1)
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Content struct{ EndpointID, State string }
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		heard <- fmt.Sprint(body.Content.EndpointID, " is ", body.Content.State, " ", err)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer webhook.Close()

	// From here on a test would let its own client speak.
	response, err := server.Client().PostForm(server.URL("authentication")+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"my-client"}, "client_secret": {"my-secret"}, "account_id": {server.AccountID()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil {
		fmt.Println(err)
		return
	}
	request, err := http.NewRequest("POST", server.URL("notifications")+"/subscriptions", strings.NewReader(`{
		"applicationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "transport": "webhook", "deviceId": "`+webhook.URL+`",
		"topic": "platform-api-media", "subjectFilter": "/2017-09-01/endpoints/[^/]+$"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	subscribed, err := server.Client().Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = subscribed.Body.Close()

	server.SetLine("2001", presence.LineRinging)
	fmt.Println(<-heard)
	// Output: 2001 is ringing <nil>
}

// The next read of an endpoint fails; the one after it does not.
func ExampleServer_Control() {
	server, err := cloudlinktest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.Control(1, cloudlinktest.Match("GET", "/endpoints/", cloudlinktest.Reply{Status: http.StatusServiceUnavailable}))
	for range 2 {
		response, err := server.Client().Get(server.URL("media") + "/endpoints/2001")
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = response.Body.Close()
		fmt.Println(response.Status)
	}
	// Output:
	// 503 Service Unavailable
	// 401 Unauthorized
}
