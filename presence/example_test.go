package presence_test

import (
	"fmt"

	"github.com/presencebridge/presencebridge/presence"
)

func Example() {
	table := presence.DefaultTable()

	// One of two telephones is in a call.
	line := presence.Strongest(
		presence.Line{Endpoint: "2001", State: presence.LineIdle},
		presence.Line{Endpoint: "2002", State: presence.LineConnected},
	)
	session, effect := table.Session(line)
	fmt.Println("in Teams:", effect, session)

	// Teams shows a presentation.
	status, effect := table.Status(presence.Presence{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting})
	fmt.Println("in MiCollab:", effect, status)

	// Microsoft invents a new availability.
	_, effect = table.Status(presence.Presence{Availability: "Telepathic", Activity: presence.ActivityAvailable})
	fmt.Println("in MiCollab:", effect)
	// Output:
	// in Teams: set Busy/InACall
	// in MiCollab: set Presenting
	// in MiCollab: leave
}

func ExampleParseRules() {
	_, err := presence.ParseRules([]byte(`
phone idle -> clear
phone ringing -> Busy/Ringing
teams Busy/InCall -> In a call
`))
	fmt.Println(err)
	// Output:
	// mapping line 3: "phone ringing -> Busy/Ringing": "Busy/Ringing" is nothing that an application may set in Teams: write Available/Available, Busy/InACall, Busy/InAConferenceCall, Away/Away, DoNotDisturb/Presenting, clear or leave
	// mapping line 4: "teams Busy/InCall -> In a call": "InCall" is no documented activity: write one of Available, Away, BeRightBack, Busy, DoNotDisturb, Focusing, InACall, InAConferenceCall, Inactive, InAMeeting, Offline, OffWork, OutOfOffice, PresenceUnknown, Presenting, UrgentInterruptionsOnly; or put it in double quotes if the service really sends it
}

func ExampleNewMapping() {
	reception, err := presence.ParseRules([]byte(`
phone ringing -> Busy/InACall       # callers must not be sent to a ringing desk
teams Busy/* -> "Desk taken"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	mapping, err := presence.NewMapping(&presence.Layers{Groups: map[string]presence.Rules{"reception": reception}})
	if err != nil {
		fmt.Println(err)
		return
	}
	table := mapping.For(presence.User{Email: "anna@example.com", Groups: []string{"reception"}})
	inAMeeting := presence.Presence{Availability: presence.Busy, Activity: presence.ActivityInAMeeting}
	fmt.Println(table.Status(inAMeeting))
	fmt.Println(table.StatusRule(inAMeeting))
	fmt.Println(table.SessionRule(presence.Line{State: presence.LineHeld}).Layer)
	// Output:
	// Desk taken set
	// teams Busy/* -> Desk taken (group reception, line 3)
	// default
}

func ExampleMatch() {
	roster := presence.Match(
		[]presence.TeamsUser{
			{ID: "t-anna", PrincipalName: "anna@example.com", Name: "Anna", Enabled: true},
			{ID: "t-cleo", PrincipalName: "cleo@example.com", Name: "Cleo", Enabled: true},
		},
		[]presence.Principal{
			{ID: "c-anna", Email: "Anna@Example.com", Endpoints: []string{"2001"}},
			{ID: "c-bea", Email: "bea@example.com", Endpoints: []string{"2002"}},
		}, nil)
	for _, u := range roster.Users {
		fmt.Println("in step:", u.Name, u.Endpoints)
	}
	for _, e := range roster.Excluded {
		fmt.Println(e.Reason+":", e.Detail)
	}
	for _, u := range roster.TeamsOnly {
		fmt.Println("without a Mitel telephone:", u.Name)
	}
	// Output:
	// in step: Anna [2001]
	// unmatched: no Entra account has bea@example.com as user principal name or mail: correct the address on one side
	// without a Mitel telephone: Cleo
}

func ExampleSecret() {
	secret := presence.NewSecret("correct horse battery staple")
	fmt.Printf("%v %+v %s\n", secret, struct{ Secret presence.Secret }{secret}, secret)
	fmt.Println(len(secret.Reveal()))
	// Output:
	// [redacted] {Secret:[redacted]} [redacted]
	// 28
}
