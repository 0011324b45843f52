package entra_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
)

// engine stands for the bridge: it reads whom it is told of.
type engine struct{}

func (engine) TeamsChanged(userIDs ...string) { fmt.Println("look at", len(userIDs), "user") }
func (engine) TeamsGap(reason string, userIDs ...string) {
	fmt.Println("read", len(userIDs), "users:", reason)
}

// exampleTenant is a double of Microsoft in memory, with an application, a monitor's
// account, and three people.
func exampleTenant() (server *graphtest.Server, network *graphtest.Network, app graphtest.Application, account graphtest.User, people []string, err error) {
	network = graphtest.NewNetwork()
	server, err = graphtest.NewServer(&graphtest.Options{Network: network})
	if err != nil {
		return nil, nil, app, account, nil, err
	}
	app = server.AddApplication(graphtest.Application{Secrets: []graphtest.Secret{{Description: "presencebridge"}}})
	account = server.AddUser(graphtest.User{PrincipalName: "monitor1@example.test", Mail: "monitor1@example.test"})
	for range 3 {
		people = append(people, server.AddUser(graphtest.User{}).ID)
	}
	return server, network, app, account, people, nil
}

// A pool from the first monitor to the first subscription: what an administrator
// does is in the middle, and everything after that happens by itself.
func Example_pool() {
	server, network, app, account, people, err := exampleTenant()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	notifications := graph.NewNotificationHandler(nil)
	listener, err := network.Listen("bridge.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := &http.Server{Handler: notifications, ReadHeaderTimeout: time.Second}
	go func() { _ = receiver.Serve(listener) }()
	defer func() { _ = receiver.Close() }()

	microsoft, err := entra.New("http://localhost/callback", &entra.Options{
		Cloud:      graph.Cloud{Name: "double", LoginURL: server.LoginURL(), GraphURL: server.GraphURL(), Notifications: true},
		HTTPClient: &http.Client{Transport: server.Client().Transport},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	sealer, err := monitor.NewSealer(monitor.GenerateKey(), nil) // a service keeps its key
	if err != nil {
		fmt.Println(err)
		return
	}
	subscribed := make(chan struct{})
	pool, err := monitor.NewPool(
		monitor.Application{TenantID: server.TenantID(), ClientID: app.ClientID},
		"http://bridge.test/notifications",
		monitor.Dependencies{
			Store:  monitor.NewMemoryStore(), // a service keeps it on disk: see package boltstore
			Sealer: sealer,
			Entra:  microsoft,
			Routes: notifications,
			Sink:   engine{},
		},
		&monitor.PoolOptions{
			Monitor:     monitor.Options{Settle: time.Millisecond},
			StateSettle: -1,
			OnEvent: func(e monitor.Event) {
				if e.Kind == monitor.EventCreated {
					close(subscribed)
				}
			},
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- pool.Run(ctx) }()
	defer func() {
		stop()
		fmt.Println("stopped:", <-stopped)
	}()

	fmt.Println("not watched:", len(pool.SetUsers(people)))

	// The administrator gives the pool a monitor. A wrong secret is refused at once.
	err = pool.Add(ctx, account.PrincipalName, monitor.GenerateKey())
	var refused *monitor.Error
	if errors.As(err, &refused) {
		fmt.Println("what to do:", refused.Remedy())
	}
	if err := pool.Add(ctx, account.PrincipalName, app.Secrets[0].Value); err != nil {
		fmt.Println(err)
		return
	}
	status, _ := pool.Snapshot().Monitor(account.PrincipalName)
	fmt.Println(status.State, status.Actions)

	// Somebody opens the URL, signs in, and is sent back to the service.
	address, err := pool.AuthorizationURL(ctx, account.PrincipalName)
	if err != nil {
		fmt.Println(err)
		return
	}
	callback, err := server.SignIn(address, account.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	page := httptest.NewRecorder()
	pool.SignInHandler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, callback, nil))
	fmt.Print(page.Body)
	<-subscribed
	// Output:
	// not watched: 3
	// what to do: create a client secret in Entra under Certificates & secrets, copy its Value (not its Secret ID) and configure it
	// not authorized [authorize copy URL retry renew delete]
	// monitor1@example.test has signed in as a presence monitor. This page can be closed.
	// read 3 users: started
	// stopped: <nil>
}
