package graph_test

import (
	"fmt"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

// A key ring, the application's client id, and a handler that reads the content of
// encrypted notifications. Each subscription and each renewal takes the ring's
// current certificate.
func ExampleNewDecryption() {
	ring, err := graph.NewKeyRing(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	decryption, err := graph.NewDecryption(ring, []string{"5d6c7b8a-0000-4000-8000-000000000009"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := graph.NewNotificationHandler(&graph.NotificationHandlerOptions{Decryption: decryption})

	request := presence.SubscriptionRequest{
		UserIDs:         []string{"66825e03-7ef5-42da-9069-724602c31f6b"},
		NotificationURL: "https://bridge.example/graph/notifications",
		Encryption:      ring.Current(),
	}
	fmt.Println("users:", len(request.UserIDs), "at", request.NotificationURL)
	fmt.Println("a certificate goes with the request:", len(request.Encryption.Certificate) > 0)
	fmt.Println("decrypted so far:", handler.Stats().Decrypted)
	// Output:
	// users: 1 at https://bridge.example/graph/notifications
	// a certificate goes with the request: true
	// decrypted so far: 0
}

// The pool of monitors is about to belong to another application. Validation tokens
// for it have to be true before its first notification comes.
func ExampleDecryption_AddApplication() {
	ring, err := graph.NewKeyRing(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	decryption, err := graph.NewDecryption(ring, []string{"5d6c7b8a-0000-4000-8000-000000000009"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := decryption.AddApplication("the bridge's application"); err != nil {
		fmt.Println(err)
	}
	if err := decryption.AddApplication("5d6c7b8a-0000-4000-8000-00000000000a"); err == nil {
		fmt.Println("added: now call SetApplication of the pool")
	}
	// Output:
	// graph: the client id must be a GUID: copy the application (client) ID from the application's overview in Entra
	// added: now call SetApplication of the pool
}
