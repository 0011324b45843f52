package service_test

import (
	"fmt"

	"github.com/presencebridge/presencebridge/examples/internal/service"
)

// configuration is the least that a bridge needs which shows in Teams what telephones
// do. Secrets stand in environment variables.
const configuration = `direction: one-way
public_url: https://presence.example.com
listen: 127.0.0.1:8080
teams:
  tenant_id: 11111111-2222-3333-4444-555555555555
  client_id: 66666666-7777-8888-9999-aaaaaaaaaaaa
  secret: {env: TEAMS_SECRET}
cloudlink:
  region: eu
  account_id: 12345678-1111-2222-3333-444444444444
  credential: {client_id: bridge, secret: {env: CLOUDLINK_SECRET}}
`

func ExampleLoad() {
	// One of the two variables is not set.
	lookup := func(name string) (string, bool) {
		if name == "CLOUDLINK_SECRET" {
			return "a client secret", true
		}
		return "", false
	}
	_, _, err := service.Load("bridge.yaml", []byte(configuration), lookup)
	for _, mistake := range service.Unjoin(err) {
		fmt.Println(mistake)
	}
	// Output: bridge.yaml:7: teams.secret: environment variable TEAMS_SECRET is empty: set it or use file
}

func ExampleAssemble() {
	lookup := func(string) (string, bool) { return "a client secret", true }
	settings, warnings, err := service.Load("bridge.yaml", []byte(configuration), lookup)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range warnings {
		fmt.Println(w)
	}
	s, err := service.Assemble(settings, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Bridge.Direction(), "with monitors:", s.Pool != nil)
	// s.Run(ctx) would keep everybody in step until ctx ends.

	// Output: one-way with monitors: false
}
