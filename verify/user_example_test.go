package verify_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// These sources stand in for a bridge and the clients of graph, cloudlink and
// micollab. Ada is in a call of which the bridge has not heard.
type sources struct{ heard bool }

func user() presence.User {
	return presence.User{TeamsID: "6e7b", PrincipalID: "p-17", Email: "ada@example.com", Name: "Ada", Endpoints: []string{"2001"}, PBX: presence.MiVoiceBusiness}
}

func shown() presence.Presence {
	return presence.Presence{UserID: "6e7b", Availability: presence.Available, Activity: presence.ActivityAvailable}
}

func (s *sources) Explain(string) (*presencebridge.Explanation, error) {
	now := time.Now()
	e := &presencebridge.Explanation{
		At: now, User: user(), AccountDirection: presencebridge.Bidirectional, UserDirection: presencebridge.Bidirectional, Watched: true,
		Line: presence.Line{Endpoint: "2001", State: presence.LineIdle}, LineReadAt: now.Add(-5 * time.Minute), WantedEffect: "clear", SessionState: presencebridge.SessionNone,
		Presence: shown(), PresenceReadAt: now, Basis: shown(), BasisReadAt: now, Wanted: presence.StatusAvailable, Shown: presence.StatusAvailable, ShownAt: now,
	}
	if s.heard {
		e.Line.State, e.LineReadAt, e.WantedEffect = presence.LineConnected, now, "set"
		e.WantedSession = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
		e.SessionState, e.Session = presencebridge.SessionOpen, e.WantedSession
	}
	return e, nil
}

func (s *sources) Roster() presence.Roster {
	return presence.Roster{Users: []presence.User{user()}}
}

func (s *sources) ResetPhone(context.Context, string) (presencebridge.PhoneReset, error) {
	s.heard = true
	return presencebridge.PhoneReset{User: user(), SessionSet: true, Summary: "The telephones were read again (connected), and the session Busy/InACall was set once more."}, nil
}

func (s *sources) SyncAll(_ context.Context, progress func(presencebridge.SyncReport)) (presencebridge.SyncReport, error) {
	done := presencebridge.SyncReport{Total: 3, Read: 3, Done: 3, Changed: 1, AlreadyRight: 1, Failed: map[string]string{"6e7b": "micollab: set status: service unavailable"}}
	progress(done)
	return done, nil
}

func (s *sources) User(context.Context, string) (presence.TeamsUser, error) {
	return presence.TeamsUser{ID: "6e7b", PrincipalName: "ada@example.com", Enabled: true}, nil
}

func (s *sources) UserByMail(context.Context, string) (presence.TeamsUser, error) {
	return presence.TeamsUser{}, presence.ErrNotFound
}

func (s *sources) Presence(context.Context, string) (presence.Presence, error) { return shown(), nil }

func (s *sources) Lines(context.Context, presence.User) ([]presence.Line, error) {
	return []presence.Line{{Endpoint: "2001", State: presence.LineConnected}}, nil
}

func (s *sources) Status(context.Context, presence.User) (presence.Status, error) {
	return presence.StatusAvailable, nil
}

type people struct{}

func (people) User(context.Context, string) (cloudlink.User, error) {
	return cloudlink.User{ID: "p-17", Email: "ada@example.com", Extension: "2001"}, nil
}

func (people) Presentity(context.Context, string) (cloudlink.Presentity, error) {
	return cloudlink.Presentity{PrincipalID: "p-17", Status: "Available"}, nil
}

func newUserCheck() *verify.UserCheck {
	s := &sources{}
	check, err := verify.NewUserCheck(verify.UserSources{Bridge: s, Accounts: s, Phones: s, People: people{}, Statuses: s}, &verify.UserOptions{
		Settle: 10 * time.Millisecond, // of real systems, the default
	})
	if err != nil {
		panic(err)
	}
	return check
}

// A user check names the hop where the presence of one person goes wrong, and what to
// do about it.
func ExampleUserCheck_Check() {
	report, err := newUserCheck().Check(context.Background(), "ada@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	if p := report.Parting; p != nil {
		fmt.Println(p.Hop)
		fmt.Println(p.Sentence)
		fmt.Println(p.Remedy)
	}
	telephone := report.Hop(verify.HopTelephone)
	fmt.Printf("now %s, believed %s, %s old\n", telephone.Now, telephone.Believed, telephone.BelievedAge)
	document, err := report.Copy() // to be attached to a support case
	fmt.Println(len(document) < 64<<10, err)
	// Output:
	// telephone
	// The telephone shows connected, and the bridge holds idle, which it read 5m0s ago.
	// Reset the phone state. If it happens again, CloudLink's notifications are lost: make the system check.
	// now connected, believed idle, 5m0s old
	// true <nil>
}

// Resetting the phone state ends what a lost notification left behind.
func ExampleUserCheck_ResetPhone() {
	report, err := newUserCheck().ResetPhone(context.Background(), "ada@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Reset.Summary)
	fmt.Println("all hops agree:", report.After.Parting == nil)
	// Output:
	// The telephones were read again (connected), and the session Busy/InACall was set once more.
	// all hops agree: true
}

// When many people are wrong, everybody is read and set right.
func ExampleUserCheck_SyncAll() {
	report, err := newUserCheck().SyncAll(context.Background(), func(r presencebridge.SyncReport) {
		fmt.Printf("%d of %d\n", r.Done, r.Total)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d changed, %d already right\n", report.Changed, report.AlreadyRight)
	for _, p := range report.Failed {
		fmt.Printf("%s: %s\n", p.Email, p.Reason)
	}
	// Output:
	// 3 of 3
	// 1 changed, 1 already right
	// ada@example.com: micollab: set status: service unavailable
}

// The text form is for a terminal.
func ExampleUserReport_WriteText() {
	report := &verify.UserReport{
		Email: "ada@example.com", At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), User: &presence.User{Name: "Ada"}, AccountDirection: "one-way", UserDirection: "one-way",
		Hops:    []verify.Hop{{Name: verify.HopTelephone, Title: "The line states of the telephones", Now: "connected", Believed: "idle", BelievedAge: "5m0s"}},
		Parting: &verify.Parting{Hop: verify.HopTelephone, Sentence: "The telephone shows connected, and the bridge holds idle.", Remedy: "Reset the phone state.", Administrator: verify.Operator},
	}
	if err := report.WriteText(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// User check of ada@example.com at 2026-03-04T05:06:07Z
	// Ada, account one-way, person one-way
	//
	//   HOP        NOW        THE BRIDGE BELIEVES  WANTED
	// > telephone  connected  idle (5m0s ago)      -
	//
	// The hops part company at telephone.
	//   The telephone shows connected, and the bridge holds idle.
	//   What to do: Reset the phone state.
	//   By: operator of the service
	//
	// What was found of each hop
	//   telephone: The line states of the telephones
}
