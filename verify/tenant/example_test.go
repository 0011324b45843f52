package tenant_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

// A client secret has expired; a double in memory stands for Microsoft. The
// sources besides Entra would be the clients, the pool and the bridge.
func Example() {
	ctx := context.Background()
	server, err := graphtest.NewServer(&graphtest.Options{Network: graphtest.NewNetwork()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	secret := presence.NewSecret("a~client-secret")
	app := server.AddApplication(graphtest.Application{Secrets: []graphtest.Secret{{Value: secret, Description: "acme"}}})
	if err := server.ExpireSecret(app.ClientID, secret); err != nil {
		fmt.Println(err)
		return
	}

	cloud := graph.Cloud{Name: "double", LoginURL: server.LoginURL(), GraphURL: server.GraphURL(), Notifications: true}
	transport := &http.Client{Transport: server.Client().Transport}
	credential, err := graph.NewSecretCredential(server.TenantID(), app.ClientID, secret, &graph.CredentialOptions{Cloud: cloud, HTTPClient: transport})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := graph.New(server.TenantID(), app.ClientID, credential, &graph.Options{Cloud: cloud, HTTPClient: transport})
	if err != nil {
		fmt.Println(err)
		return
	}

	entra, err := tenant.New(client, credential, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sources := verify.SystemSources{CloudLink: elsewhere{}, Bridge: elsewhere{}}
	entra.Fill(&sources)
	check, err := verify.NewSystemCheck(sources, verify.SystemSettings{
		TenantID: server.TenantID(), ClientID: app.ClientID, Secret: secret, SecretDescription: "acme",
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := check.Run(ctx, &verify.RunOptions{Only: []verify.Code{verify.CodeEntraToken}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, result := range report.Results {
		fmt.Println(result.Code, result.Status)
	}
	for _, result := range report.Troubles() {
		fmt.Println(result.Sentence)
		fmt.Println(result.Remedy)
		fmt.Println("To be done by the", result.Administrator)
	}
	// Output:
	// entra-reachable passed
	// entra-tenant passed
	// entra-application passed
	// entra-secret failed
	// entra-token skipped
	// The client secret of the feature (description "acme") has expired.
	// Create a new client secret of the application in Entra, with the name of the integration as its description, and enter its Value in the configuration.
	// To be done by the Azure administrator
}
