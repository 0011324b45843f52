package graph

import (
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// Limit is a number of requests, or of Entra's resource units, per time.
type Limit struct {
	// Requests is how many are allowed within Window.
	Requests int
	// Window is the length of time, wherever it is laid.
	Window time.Duration
}

// Limits are the throttle limits of one application in one tenant
// (learn.microsoft.com/graph/throttling-limits). The zero value of each field is
// its default.
type Limits struct {
	// Presence bounds everything that reads or writes presence. The pages of the
	// presence API say 1,500 in 30 s, the page of limits 10,000 in 30 s; the
	// lower is kept. Default: 1,500 in 30 s.
	Presence Limit
	// SubscriptionWrites bounds creating, renewing and deleting subscriptions.
	// Default: 500 in 20 s.
	SubscriptionWrites Limit
	// SubscriptionReads bounds reading one subscription by its id. Default: 500 in 20 s.
	SubscriptionReads Limit
	// SubscriptionLists bounds listing subscriptions. Default: 25 in 20 s.
	SubscriptionLists Limit
	// Reauthorizations bounds re-authorizing subscriptions. Default: 1,000 in 20 s.
	Reauthorizations Limit
	// Directory bounds reading users, in resource units; the number grows with
	// the tenant, and the default is that of the smallest. Default: 3,500 in 10 s.
	Directory Limit
	// Total bounds all requests. The published limit is one for the application
	// over all tenants: share it out when several tenants are served. Default:
	// 130,000 in 10 s.
	Total Limit
}

func (l Limit) or(requests int, window time.Duration) Limit {
	if l.Requests <= 0 {
		l.Requests = requests
	}
	if l.Window <= 0 {
		l.Window = window
	}
	return l
}

// Budgets keep the requests of all clients of one application in one tenant
// within the limits, and stop them together when Microsoft Graph asks for fewer.
// The clients of one application and tenant must share one Budgets.
type Budgets struct {
	presence, subscriptionWrites, subscriptionReads, subscriptionLists, reauthorizations, directory, total *throttle.Budget
}

// NewBudgets returns budgets with the given limits. A nil limits means the defaults.
func NewBudgets(limits *Limits) *Budgets {
	var l Limits
	if limits != nil {
		l = *limits
	}
	budget := func(name string, l Limit) *throttle.Budget { return throttle.NewBudget(name, l.Requests, l.Window) }
	return &Budgets{
		presence:           budget("presence", l.Presence.or(1500, 30*time.Second)),
		subscriptionWrites: budget("subscription writes", l.SubscriptionWrites.or(500, 20*time.Second)),
		subscriptionReads:  budget("subscription reads", l.SubscriptionReads.or(500, 20*time.Second)),
		subscriptionLists:  budget("subscription lists", l.SubscriptionLists.or(25, 20*time.Second)),
		reauthorizations:   budget("reauthorizations", l.Reauthorizations.or(1000, 20*time.Second)),
		directory:          budget("directory", l.Directory.or(3500, 10*time.Second)),
		total:              budget("total", l.Total.or(130_000, 10*time.Second)),
	}
}

// Usage returns how much of each limit the clients that share the budgets have
// used within its last window, in the order of the fields of [Limits]: presence,
// subscription writes, subscription reads, subscription lists, reauthorizations,
// directory, total. Repetitions are counted like first attempts. It waits for nothing.
func (b *Budgets) Usage() []presence.BudgetUsage {
	var usage []presence.BudgetUsage
	for _, one := range []*throttle.Budget{b.presence, b.subscriptionWrites, b.subscriptionReads, b.subscriptionLists, b.reauthorizations, b.directory, b.total} {
		usage = append(usage, one.Usage())
	}
	return usage
}

// directoryUnits is what a request for users costs: 2 resource units, one less
// with $select, which every request of this package has.
const directoryUnits = 1

// charges returns what a request of the kind spends.
func (b *Budgets) charges(k kind) []throttle.Charge {
	charge := throttle.Charge{Cost: 1}
	switch k {
	case kindPresence:
		charge.Budget = b.presence
	case kindSubscriptionWrite:
		charge.Budget = b.subscriptionWrites
	case kindSubscriptionRead:
		charge.Budget = b.subscriptionReads
	case kindSubscriptionList:
		charge.Budget = b.subscriptionLists
	case kindReauthorization:
		charge.Budget = b.reauthorizations
	case kindDirectory:
		charge.Budget, charge.Cost = b.directory, directoryUnits
	}
	return []throttle.Charge{charge, {Budget: b.total, Cost: 1}}
}
