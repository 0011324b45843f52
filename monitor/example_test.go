package monitor_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// account stands for a Graph client that acts for the monitor's account.
type account struct{}

func (account) CreateSubscription(_ context.Context, req presence.SubscriptionRequest) (presence.Subscription, error) {
	return presence.Subscription{ID: "7f105c7d", UserIDs: req.UserIDs, NotificationURL: req.NotificationURL, ExpiresAt: req.ExpiresAt}, nil
}

func (account) RenewSubscription(_ context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error) {
	return presence.Subscription{ID: id, ExpiresAt: renewal.ExpiresAt}, nil
}

func (account) DeleteSubscription(context.Context, string) error { return nil }

func (account) Subscriptions(context.Context) ([]presence.Subscription, error) { return nil, nil }

// handler stands for the NotificationHandler of package graph.
type handler struct{}

func (handler) Register(presence.Secret, presence.Receiver) (func(string), func(), error) {
	return func(string) {}, func() {}, nil
}

// engine stands for the bridge.
type engine struct{}

func (engine) TeamsChanged(userIDs ...string) { fmt.Println("look at", userIDs) }
func (engine) TeamsGap(reason string, userIDs ...string) {
	fmt.Println("read", userIDs, "because:", reason)
}

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	m, err := monitor.New("monitor1@example.com", account{}, handler{}, "https://bridge.example.com/graph/notifications", engine{}, &monitor.Options{
		Settle: -1,
		OnEvent: func(e monitor.Event) {
			fmt.Println(e.Kind, e.SubscriptionID, "for", e.Users, "users")
			if e.Kind == monitor.EventCreated {
				cancel() // a service runs on
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if overflow := m.SetUsers([]string{"anna", "bob"}); len(overflow) > 0 {
		fmt.Println("not watched:", overflow)
	}
	fmt.Println(m.Run(ctx))
	// Output:
	// read [anna bob] because: started
	// created 7f105c7d for 2 users
	// deleted 7f105c7d for 2 users
	// <nil>
}

// notebook keeps what is remembered of one monitor. A real one writes it to a
// store, with the client state sealed.
type notebook struct{ page monitor.Remembered }

func (n *notebook) Remember(_ context.Context, r monitor.Remembered) error {
	n.page = r
	return nil
}

func (n *notebook) Recall(context.Context) (monitor.Remembered, error) { return n.page, nil }

// A subscription survives its process, and the next one uses it on.
func ExampleMemory() {
	memory := new(notebook)
	for range 2 { // two processes, one after the other
		ctx, cancel := context.WithCancel(context.Background())
		m, err := monitor.New("monitor1@example.com", account{}, handler{}, "https://bridge.example.com/graph/notifications", engine{}, &monitor.Options{
			Settle: -1,
			Memory: memory,
			OnEvent: func(e monitor.Event) {
				fmt.Println(e.Kind, e.SubscriptionID)
				if e.Kind != monitor.EventAdopted { // it is renewed at once
					cancel()
				}
			},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		m.SetUsers([]string{"anna", "bob"})
		m.SetKeepOnStop(true)
		_ = m.Run(ctx)
	}
	// Output:
	// read [anna bob] because: started
	// created 7f105c7d
	// read [anna bob] because: started
	// adopted 7f105c7d
	// renewed 7f105c7d
}

// Each cause has a word of its own, which a check or an alert can go by.
func ExampleTrouble() {
	status := monitor.MonitorStatus{
		Troubles: []monitor.Trouble{
			{Kind: monitor.TroubleSecretExpired, State: monitor.StateSecretExpired, Sentence: "The client secret has expired."},
			{Kind: monitor.TroubleMailMissing, State: monitor.StateAccountBlocked, Sentence: "The account has no mail address."},
		},
	}
	fmt.Println(status.Troubles[0].State)
	for _, kind := range []monitor.TroubleKind{monitor.TroubleAccountDisabled, monitor.TroubleMailMissing} {
		held := slices.ContainsFunc(status.Troubles, func(t monitor.Trouble) bool { return t.Kind == kind })
		fmt.Println(kind, held)
	}
	// Output:
	// secret expired
	// account-disabled false
	// mail-missing true
}
