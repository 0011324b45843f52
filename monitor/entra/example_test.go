package entra_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
)

// memory keeps one refresh token. A pool keeps them in its store.
type memory struct{ token presence.Secret }

func (m *memory) Current(context.Context) (presence.Secret, error) { return m.token, nil }

func (m *memory) Rotated(_ context.Context, _, next presence.Secret) error {
	fmt.Println("a new refresh token is stored")
	m.token = next
	return nil
}

// A monitor is looked at, signs in and is kept alive; a double in memory stands
// for Microsoft.
func Example() {
	ctx := context.Background()
	server, err := graphtest.NewServer(&graphtest.Options{Network: graphtest.NewNetwork()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	app := server.AddApplication(graphtest.Application{Secrets: []graphtest.Secret{{Description: "presence monitor 1"}}})
	user := server.AddUser(graphtest.User{PrincipalName: "monitor1@example.test", Mail: "monitor1@example.test"})

	e, err := entra.New("http://localhost/callback", &entra.Options{
		Cloud:      graph.Cloud{Name: "double", LoginURL: server.LoginURL(), GraphURL: server.GraphURL(), Notifications: true},
		HTTPClient: &http.Client{Transport: server.Client().Transport},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	credentials := monitor.Credentials{
		Application:   monitor.Application{TenantID: server.TenantID(), ClientID: app.ClientID},
		PrincipalName: "monitor1@example.test",
		ClientSecret:  app.Secrets[0].Value,
	}
	found, err := e.Inspect(ctx, credentials)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("enabled:", found.Account.Enabled, "client secrets:", len(found.ClientSecrets), found.ClientSecrets[0].Description)

	begun, err := e.BeginSignIn(credentials, "a random text")
	if err != nil {
		fmt.Println(err)
		return
	}
	// Somebody opens the URL and signs in; a browser brings this back.
	redirect, err := server.SignIn(begun.URL, user.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	callback, err := url.Parse(redirect)
	if err != nil {
		fmt.Println(err)
		return
	}
	grant, err := e.Redeem(ctx, credentials, callback.Query(), begun.Verifier)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(grant.PrincipalName, "has signed in; missing:", grant.Missing)

	account, err := e.Open(credentials, &memory{grant.RefreshToken})
	if err != nil {
		fmt.Println(err)
		return
	}
	subscriptions, err := account.Subscriptions(ctx)
	fmt.Println("subscriptions:", len(subscriptions), err)
	_, err = account.Refresh(ctx)
	fmt.Println("refreshed:", err)
	// Output:
	// enabled: true client secrets: 1 presence monitor 1
	// monitor1@example.test has signed in; missing: []
	// a new refresh token is stored
	// subscriptions: 0 <nil>
	// a new refresh token is stored
	// refreshed: <nil>
}
