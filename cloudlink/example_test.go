package cloudlink_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

// office is a double of CloudLink with one person, and a client of it. A real
// client has a Region in place of the BaseURL and HTTPClient.
func office() (*cloudlinktest.Server, *cloudlink.Client) {
	server, err := cloudlinktest.NewServer(nil)
	if err != nil {
		panic(err)
	}
	server.AddUser(cloudlinktest.User{ID: "ann", Name: "Ann", Email: "ann@example.com", Extension: "2001"})
	server.AddClient("bridge", "the client's secret", cloudlinktest.RoleAccountAdmin)
	credential, err := cloudlink.NewClientCredential(server.AccountID(), "bridge", presence.NewSecret("the client's secret"),
		&cloudlink.CredentialOptions{BaseURL: server.URL, HTTPClient: server.Client()})
	if err != nil {
		panic(err)
	}
	client, err := cloudlink.New(server.AccountID(), credential, &cloudlink.Options{BaseURL: server.URL, HTTPClient: server.Client()})
	if err != nil {
		panic(err)
	}
	return server, client
}

func ExampleNew() {
	credential, err := cloudlink.NewClientCredential("5f1c2b7e-6f0a-4b7a-9d0c-1a2b3c4d5e6f", "client-id", presence.NewSecret("client-secret"),
		&cloudlink.CredentialOptions{Region: cloudlink.RegionEurope})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := cloudlink.New("5f1c2b7e-6f0a-4b7a-9d0c-1a2b3c4d5e6f", credential,
		&cloudlink.Options{Region: cloudlink.RegionEurope, Application: "acme-presence", ApplicationVersion: "2.1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.AccountID())
	// Output: 5f1c2b7e-6f0a-4b7a-9d0c-1a2b3c4d5e6f
}

func ExamplePlatform_URL() {
	fmt.Println(cloudlink.Platform{Region: cloudlink.RegionUnitedStates}.URL(cloudlink.ServiceMedia))
	// Output: https://media.us.api.mitel.io/2017-09-01
}

func ExampleClient_Lines() {
	server, client := office()
	defer server.Close()
	server.SetLine("2001", presence.LineHeld)

	lines, err := client.Lines(context.Background(), presence.User{Endpoints: []string{"2001", "2099"}})
	fmt.Println(lines, presence.Strongest(lines...))
	fmt.Println(errors.Is(err, presence.ErrNotFound), "2099 is not a telephone")
	// Output:
	// [held unknown] held
	// true 2099 is not a telephone
}

func ExampleClient_Principals() {
	server, client := office()
	defer server.Close()
	for p, err := range client.Principals(context.Background()) {
		if errors.Is(err, presence.ErrUnreadable) {
			continue // one odd user spoils no other
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Name, p.Email, p.Endpoints)
	}
	// Output: Ann ann@example.com [2001]
}

func ExampleStatusDriver() {
	server, client := office()
	defer server.Close()
	driver := cloudlink.NewStatusDriver(client)
	ann := presence.User{PrincipalID: "ann"}
	if err := driver.SetStatus(context.Background(), ann, presence.StatusInAMeeting); err != nil {
		fmt.Println(err)
		return
	}
	status, err := driver.Status(context.Background(), ann)
	fmt.Println(status, err)
	// Output: In a meeting <nil>
}

func ExampleError() {
	server, client := office()
	defer server.Close()
	_, err := client.Line(context.Background(), "2099")
	var e *cloudlink.Error
	if errors.As(err, &e) {
		fmt.Println(e.Operation, e.StatusCode, errors.Is(err, presence.ErrNotFound))
		fmt.Println(e.Remedy())
	}
	// Output:
	// read line 404 true
	// it does not exist in this account
}

// printer is a sink that prints what it is told to look at.
type printer struct{ lines chan string }

func (p printer) PhoneChanged(endpointID, _ string) { p.lines <- "look at telephone " + endpointID }
func (p printer) StatusChanged(principalID string)  { p.lines <- "look at the status of " + principalID }
func (p printer) CloudLinkGap(string)               { p.lines <- "look at everybody" }

func ExampleWatcher() {
	server, client := office()
	defer server.Close()
	handler := cloudlink.NewWebhookHandler(nil)
	webhook := httptest.NewServer(handler) // an embedder mounts it where CloudLink reaches it
	defer webhook.Close()

	sink := printer{make(chan string, 100)}
	watcher, err := cloudlink.NewWatcher(client, handler, webhook.URL, sink, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- watcher.Run(ctx) }()

	fmt.Println(<-sink.lines)
	server.SetLine("2001", presence.LineRinging)
	fmt.Println(<-sink.lines)
	stop()
	fmt.Println(<-done, len(server.Subscriptions()))
	// Output:
	// look at everybody
	// look at telephone 2001
	// <nil> 0
}

func ExampleWebhookHandler() {
	handler := cloudlink.NewWebhookHandler(&cloudlink.WebhookHandlerOptions{
		Refused: func(r cloudlink.Refusal) { fmt.Println("refused:", r.Reason) },
	})
	mux := http.NewServeMux()
	mux.Handle("POST /cloudlink", handler)

	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequest("POST", "/cloudlink", http.NoBody))
	fmt.Println(recorder.Code)
	// Output:
	// refused: malformed
	// 400
}
