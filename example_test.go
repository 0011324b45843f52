package presencebridge_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// memory is the smallest pair of systems: one person, held in memory. In a
// service these are the clients of packages graph, cloudlink and micollab.
type memory struct {
	mu     sync.Mutex
	teams  presence.Presence
	line   presence.Line
	status presence.Status
}

var ada = presence.User{
	TeamsID: "11111111-0000-4000-8000-000000000001", PrincipalID: "p-ada", Email: "ada@example.com",
	Name: "Ada", Endpoints: []string{"2001"}, PBX: presence.MiVoiceBusiness,
}

func newMemory() *memory {
	return &memory{
		teams:  presence.Presence{UserID: ada.TeamsID, Availability: presence.Available, Activity: presence.ActivityAvailable},
		line:   presence.Line{Endpoint: "2001", State: presence.LineIdle},
		status: presence.StatusAvailable,
	}
}

func (m *memory) Roster(context.Context) (presence.Roster, error) {
	return presence.Roster{Users: []presence.User{ada}}, nil
}

func (m *memory) Presences(context.Context, []string) ([]presence.Presence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []presence.Presence{m.teams}, nil
}

func (m *memory) SetPresence(context.Context, string, presence.Session, time.Duration) error {
	return nil
}
func (m *memory) ClearPresence(context.Context, string) error { return nil }

func (m *memory) Lines(context.Context, presence.User) ([]presence.Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []presence.Line{m.line}, nil
}

func (m *memory) Status(context.Context, presence.User) (presence.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status, nil
}

func (m *memory) SetStatus(_ context.Context, _ presence.User, s presence.Status) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = s
	return nil
}

func (m *memory) change(f func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// A telephone call shows in Teams for as long as it lasts.
func Example() {
	sides := newMemory()
	written := make(chan presencebridge.Write)
	bridge, err := presencebridge.New(
		presencebridge.Sides{Directory: sides, Teams: sides, Phones: sides, Statuses: sides},
		&presencebridge.Options{Hooks: presencebridge.Hooks{Wrote: func(w presencebridge.Write) { written <- w }}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()
	<-bridge.Loaded()

	sides.change(func(m *memory) { m.line.State = presence.LineConnected })
	bridge.PhoneChanged("2001", "") // the notification handler of package cloudlink does this
	w := <-written
	fmt.Println(w.User.Name, w.Destination, w.Operation, w.Session)

	sides.change(func(m *memory) { m.line.State = presence.LineIdle })
	bridge.PhoneChanged("2001", "")
	w = <-written
	fmt.Println(w.User.Name, w.Destination, w.Operation, w.Session)

	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// Ada teams set Busy/InACall
	// Ada teams clear Busy/InACall
	// stopped: <nil>
}

// SyncAll sets right whatever no notification brought.
func ExampleBridge_SyncAll() {
	sides := newMemory()
	sides.status = "On holiday"
	bridge, err := presencebridge.New(
		presencebridge.Sides{Directory: sides, Teams: sides, Phones: sides, Statuses: sides},
		&presencebridge.Options{Direction: presencebridge.Bidirectional},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()

	report, err := bridge.SyncAll(ctx, nil)
	fmt.Println(report.Done, "of", report.Total, "done, error:", err)
	fmt.Println(sides.status)

	stop()
	<-done
	// Output:
	// 1 of 1 done, error: <nil>
	// Available
}

// ResetPhone ends a session that is stuck, and says what it found.
func ExampleBridge_ResetPhone() {
	sides := newMemory()
	bridge, err := presencebridge.New(presencebridge.Sides{Directory: sides, Teams: sides, Phones: sides}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()

	reset, err := bridge.ResetPhone(ctx, ada.TeamsID) // waits for the roster
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reset.Summary)

	stop()
	<-done
	// Output:
	// The telephones were read again (idle), and the session that Teams held was ended.
}

// account is a monitor's account that may watch so many users.
type account struct{ room int }

func (a account) SetUsers(userIDs []string) (overflow []string) {
	return userIDs[min(a.room, len(userIDs)):]
}

func (a account) Missed(...string) {}

// Whom nobody watches is named, and kept in step by reading.
func ExampleBridge_Watch() {
	sides := newMemory()
	bridge, err := presencebridge.New(
		presencebridge.Sides{Directory: sides, Teams: sides, Phones: sides, Statuses: sides},
		&presencebridge.Options{Direction: presencebridge.Bidirectional},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()
	<-bridge.Loaded()
	fmt.Println("without a watcher:", bridge.Overflow())

	bridge.Watch(account{room: 650}) // a pool of package monitor
	fmt.Println("with one:", bridge.Overflow())

	bridge.TeamsUnwatched([]string{ada.TeamsID}) // the pool does this when it has lost a subscription
	fmt.Println("with one that fails:", bridge.Overflow())

	stop()
	<-done
	// Output:
	// without a watcher: [11111111-0000-4000-8000-000000000001]
	// with one: []
	// with one that fails: [11111111-0000-4000-8000-000000000001]
}

// Explain answers why a person shows what they show.
func ExampleBridge_Explain() {
	sides := newMemory()
	sides.teams.Availability = presence.AvailabilityUnknown
	bridge, err := presencebridge.New(
		presencebridge.Sides{Directory: sides, Teams: sides, Phones: sides, Statuses: sides},
		&presencebridge.Options{Direction: presencebridge.Bidirectional},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()
	_, _ = bridge.SyncAll(ctx, nil)

	e, err := bridge.Explain("ada@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.StatusBlock)
	fmt.Println(e.StatusSentence)

	_, err = bridge.Explain("nobody@example.com")
	fmt.Println(err)

	stop()
	<-done
	// Output:
	// teams-unknown
	// Teams reports a state that is unknown: an unknown state never changes a known one.
	// presencebridge: no such user in the roster: "nobody@example.com" is neither an Entra object id nor the e-mail address of anybody on both sides
}
