package graphtest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// An application shows a user as in a call, as any HTTP client can.
func Example() {
	server, err := graphtest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	app := server.AddApplication(graphtest.Application{})
	ann := server.AddUser(graphtest.User{PrincipalName: "ann@example.test"})
	if err := server.SetClient(ann.ID, "desktop", presence.Available, presence.ActivityAvailable); err != nil {
		fmt.Println(err)
		return
	}
	server.OnChange(func(c graphtest.Change) {
		fmt.Printf("%s, because of the %s, before: %s\n", c.Presence, c.Cause, c.Previous)
	})

	credentials := clientcredentials.Config{
		ClientID: app.ClientID, ClientSecret: app.Secrets[0].Value.Reveal(),
		TokenURL: server.LoginURL() + "/" + server.TenantID() + "/oauth2/v2.0/token",
		Scopes:   []string{server.GraphURL() + "/.default"},
	}
	client := credentials.Client(context.Background())
	defer client.CloseIdleConnections()
	body := fmt.Sprintf(`{"sessionId": %q, "availability": "Busy", "activity": "InACall", "expirationDuration": "PT1H"}`, app.ClientID)
	resp, err := client.Post(server.GraphURL()+"/v1.0/users/"+ann.ID+"/presence/setPresence", "application/json", strings.NewReader(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// Busy/InACall, because of the application, before: Available/Available
	// 200 OK
}

// A control answers one request in place of the double.
func ExampleServer_Control() {
	server, err := graphtest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.Control(1, graphtest.Match(http.MethodGet, "/graph/v1.0/users", graphtest.Reply{
		Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2.128"}},
	}))
	for range 2 {
		resp, err := server.Client().Get(server.GraphURL() + "/v1.0/users")
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	// Output:
	// 429 2.128
	// 401
}

// A presence monitor signs in without a browser.
func ExampleServer_SignIn() {
	server, err := graphtest.NewServer(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	app := server.AddApplication(graphtest.Application{})
	monitor := server.AddUser(graphtest.User{PrincipalName: "monitor@example.test"})
	redirect, err := server.SignIn(server.LoginURL()+"/"+server.TenantID()+"/oauth2/v2.0/authorize?client_id="+app.ClientID+
		"&response_type=code&redirect_uri=http://localhost/callback&scope=offline_access+Presence.Read.All&state=1", monitor.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	address, _, _ := strings.Cut(redirect, "code=")
	fmt.Println(address)
	// Output: http://localhost/callback?
}
