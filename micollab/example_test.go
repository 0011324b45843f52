package micollab_test

import (
	"context"
	"fmt"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/micollab/micollabtest"
	"github.com/presencebridge/presencebridge/presence"
)

func ExampleNewClient() {
	release, err := micollab.ParseVersion("9.8.1.26")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := micollab.Server{
		Address: "micollab.example.com", Version: release,
		TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
	}
	ann := presence.User{TeamsID: "ann"}
	driver := micollabtest.NewDriver(ann) // or cloudlink.NewStatusDriver(client)
	client, err := micollab.NewClient(driver, server, &micollab.Options{
		Names: map[presence.Status]string{presence.StatusInACall: "Im Gespräch"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := client.SetStatus(ctx, ann, presence.StatusInACall); err != nil {
		fmt.Println(err)
		return
	}
	status, err := client.Status(ctx, ann)
	atServer, _ := driver.Peek(ann)
	fmt.Printf("%s, at the server %s, %v\n", status, atServer, err)
	// Output: In a call, at the server Im Gespräch, <nil>
}

func ExampleServer_Ready() {
	server := micollab.Server{
		Address: "192.0.2.10", Version: micollab.Version{Major: 9, Minor: 7, ServicePack: 1},
		CloudLinkIntegration: true, PasswordSet: true,
	}
	fmt.Println(server.Ready())
	// Output:
	// micollab: MiCollab version too old: this server is 9.7 SP1, and Teams presence came with 9.8 SP1: upgrade MiCollab to 9.8 SP1 or later
	// micollab: MiCollab's Microsoft Teams integration is off: turn on "MS Teams Configuration Settings" in the MiCollab Client Service's administration
}

func ExampleVersion_Compare() {
	for _, text := range []string{"9.8", "9.8 SP1", "9.8.1.26", "10.0"} {
		v, err := micollab.ParseVersion(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(v, v.Compare(micollab.Minimum()) >= 0)
	}
	// Output:
	// 9.8 false
	// 9.8 SP1 true
	// 9.8.1.26 true
	// 10.0 true
}
