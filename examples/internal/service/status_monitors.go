package service

import (
	"time"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// monitorsPage is the part of the status page about the presence monitors.
type monitorsPage struct {
	// Watchable is how many users can be watched by the monitors that work,
	// Needed how many monitors the users need, and Missing how many more those
	// are than work.
	Watchable int `json:"usersThatCanBeWatched"`
	Needed    int `json:"monitorsNeeded"`
	Missing   int `json:"monitorsMissing"`
	// Users is how many users are to be watched, and Subscribed how many are.
	Users      int `json:"users"`
	Subscribed int `json:"usersSubscribed"`
	// Unwatched names the others.
	Unwatched []string `json:"unwatched"`
	// FeatureSecretExpiresAt is when the bridge's own client secret ends.
	FeatureSecretExpiresAt time.Time `json:"featureSecretExpiresAt,omitzero"`
	// FormerKeys is how many records of monitors are sealed with a former key of the
	// store, which the configuration needs until there is none.
	FormerKeys int `json:"formerKeys"`
	// Error is why the store could not be read or written last.
	Error    string        `json:"error,omitempty"`
	Monitors []monitorPage `json:"monitors"`
}

type monitorPage struct {
	Name     string           `json:"name"`
	State    monitor.State    `json:"state"`
	Since    time.Time        `json:"since,omitzero"`
	Sentence string           `json:"sentence"`
	Actions  []monitor.Action `json:"actions"`
	Leaving  bool             `json:"leaving,omitempty"`
	// Users is how many users are assigned to it, Subscribed how many its
	// subscription watches.
	Users           int       `json:"users"`
	Subscribed      int       `json:"subscribed"`
	AuthorizedAt    time.Time `json:"authorizedAt,omitzero"`
	SecretExpiresAt time.Time `json:"secretExpiresAt,omitzero"`
	SecretUnknown   string    `json:"secretUnknown,omitempty"`
	SignInFailure   string    `json:"signInFailure,omitempty"`

	Condition      monitor.Condition `json:"condition,omitempty"`
	SubscriptionID string            `json:"subscriptionId,omitempty"`
	Encrypted      bool              `json:"encrypted,omitempty"`
	ExpiresAt      time.Time         `json:"expiresAt,omitzero"`
	RenewedAt      time.Time         `json:"renewedAt,omitzero"`
	HeardAt        time.Time         `json:"heardAt,omitzero"`
	Failures       int               `json:"failures"`
	Error          string            `json:"error,omitempty"`
	NextAction     string            `json:"nextAction,omitempty"`
	NextAt         time.Time         `json:"nextAt,omitzero"`
}

func newMonitorsPage(s monitor.Snapshot, users []presence.User) *monitorsPage {
	p := &monitorsPage{
		Watchable: s.Capacity, Needed: s.Needed, Missing: s.Missing, Users: s.Users, Subscribed: s.Subscribed,
		Unwatched: addresses(s.Unwatched, users), FeatureSecretExpiresAt: s.FeatureSecretExpiresAt,
		FormerKeys: s.FormerKeys, Error: errorText(s.Err), Monitors: make([]monitorPage, 0, len(s.Monitors)),
	}
	for _, m := range s.Monitors {
		sub := m.Subscription
		p.Monitors = append(p.Monitors, monitorPage{
			Name: m.PrincipalName, State: m.State, Since: m.Since, Sentence: m.Sentence, Actions: m.Actions, Leaving: m.Leaving,
			Users: m.Users, Subscribed: m.Subscribed, AuthorizedAt: m.AuthorizedAt,
			SecretExpiresAt: m.SecretExpiresAt, SecretUnknown: m.SecretUnknown, SignInFailure: m.SignInFailure,
			Condition: sub.Condition, SubscriptionID: sub.SubscriptionID, Encrypted: sub.EncryptionID != "",
			ExpiresAt: sub.ExpiresAt, RenewedAt: sub.RenewedAt, HeardAt: sub.HeardAt,
			Failures: sub.Failures, Error: errorText(sub.Err), NextAction: sub.NextAction, NextAt: sub.NextAt,
		})
	}
	return p
}

// addresses names users by their e-mail addresses, and those whom the roster does
// not have by their Entra object ids.
func addresses(ids []string, users []presence.User) []string {
	known := make(map[string]string, len(ids))
	for _, id := range ids {
		known[id] = id
	}
	for _, u := range users {
		if _, asked := known[u.TeamsID]; asked {
			known[u.TeamsID] = u.Email
		}
	}
	named := make([]string, len(ids))
	for i, id := range ids {
		named[i] = known[id]
	}
	return named
}
