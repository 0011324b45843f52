package graphtest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits are the throttling budgets that Microsoft publishes
// (learn.microsoft.com/graph/throttling-limits), each for one application in
// one tenant. The zero value of each field is its default.
type Limits struct {
	// Global bounds all requests. Default: 130,000 in 10 seconds.
	Global int
	// Presence bounds the presence requests. The pages disagree: 1,500 and
	// 10,000 in 30 seconds. Default: 1,500.
	Presence int
	// SubscriptionWrites bounds creating, changing and deleting subscriptions.
	// Default: 500 in 20 seconds.
	SubscriptionWrites int
	// SubscriptionReads bounds reading one subscription. Default: 500 in 20 seconds.
	SubscriptionReads int
	// SubscriptionLists bounds listing subscriptions. Default: 25 in 20 seconds.
	SubscriptionLists int
	// Reauthorizations bounds reauthorizing subscriptions. Default: 1,000 in 20 seconds.
	Reauthorizations int
	// Directory bounds users and applications, in resource units. Default:
	// 3,500 in 10 seconds, a tenant of less than 50 users.
	Directory int
	// Subscriptions is how many subscriptions may exist in the organization;
	// more are refused with 403 whether or not Enforce is set. Default: 10,000.
	Subscriptions int
}

// The names of the budgets, as [BudgetUsage] gives them.
const (
	BudgetGlobal             = "global"
	BudgetPresence           = "presence"
	BudgetSubscriptionWrites = "subscription writes"
	BudgetSubscriptionReads  = "subscription reads"
	BudgetSubscriptionLists  = "subscription lists"
	BudgetReauthorizations   = "reauthorizations"
	BudgetDirectory          = "directory"
)

// BudgetUsage is what one application spent of one budget.
type BudgetUsage struct {
	// Name is one of the Budget constants.
	Name string
	// ApplicationID is the client id of the application.
	ApplicationID string
	// Count is everything spent since the server began: requests, or resource
	// units for the directory.
	Count int
	// WorstWindow is the most that was spent in any window, wherever it is laid.
	WorstWindow int
	// Limit is the most that may be spent in one window.
	Limit int
	// Window is the window's length.
	Window time.Duration
	// Throttled is how many requests were answered 429 for this budget.
	Throttled int
}

type meter struct {
	enforce       bool
	budgets       map[string]budget
	subscriptions int

	mu     sync.Mutex
	spends map[spendKey]*spend
}

type budget struct {
	limit  int
	window time.Duration
}

type spendKey struct{ application, budget string }

// spend is what one application spent of one budget, with the part of it that
// lies in the window that ends now.
type spend struct {
	recent                         []charge
	inWindow, worst, count, denied int
}

type charge struct {
	at   time.Time
	cost int
}

func newMeter(l Limits, enforce bool) *meter {
	limit := func(n, fallback int, window time.Duration) budget {
		if n <= 0 {
			n = fallback
		}
		return budget{n, window}
	}
	m := &meter{enforce: enforce, spends: make(map[spendKey]*spend), subscriptions: cmp.Or(max(l.Subscriptions, 0), 10_000)}
	m.budgets = map[string]budget{
		BudgetGlobal:             limit(l.Global, 130_000, 10*time.Second),
		BudgetPresence:           limit(l.Presence, 1_500, 30*time.Second),
		BudgetSubscriptionWrites: limit(l.SubscriptionWrites, 500, 20*time.Second),
		BudgetSubscriptionReads:  limit(l.SubscriptionReads, 500, 20*time.Second),
		BudgetSubscriptionLists:  limit(l.SubscriptionLists, 25, 20*time.Second),
		BudgetReauthorizations:   limit(l.Reauthorizations, 1_000, 20*time.Second),
		BudgetDirectory:          limit(l.Directory, 3_500, 10*time.Second),
	}
	return m
}

// verdict is what the budgets say to one request.
type verdict struct {
	// wait is how long the client should wait; 0 lets the request pass.
	wait time.Duration
	// fraction is the part of the request's own budget that is in use.
	fraction float64
}

// charge counts a request against its own budget and the global one. A refused
// request counts too: immediate repetitions use up the limit.
func (m *meter) charge(application, name string, cost int, now time.Time) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.spendLocked(application, name, cost, now)
	if name == BudgetGlobal {
		return v
	}
	v.wait = max(v.wait, m.spendLocked(application, BudgetGlobal, 1, now).wait)
	return v
}

func (m *meter) spendLocked(application, name string, cost int, now time.Time) verdict {
	b := m.budgets[name]
	key := spendKey{strings.ToLower(application), name}
	s := m.spends[key]
	if s == nil {
		s = &spend{}
		m.spends[key] = s
	}
	// A charge leaves the window when it is as old as the window is long.
	gone := 0
	for gone < len(s.recent) && now.Sub(s.recent[gone].at) >= b.window {
		s.inWindow -= s.recent[gone].cost
		gone++
	}
	s.recent = s.recent[gone:]
	s.recent = append(s.recent, charge{now, cost})
	s.inWindow += cost
	s.count += cost
	s.worst = max(s.worst, s.inWindow)
	v := verdict{fraction: float64(s.inWindow) / float64(b.limit)}
	if !m.enforce || s.inWindow <= b.limit {
		return v
	}
	s.denied++
	// Wait until enough of the window has passed for one such request.
	excess := s.inWindow - b.limit
	for _, c := range s.recent {
		excess -= c.cost
		if excess <= 0 {
			v.wait = max(b.window-now.Sub(c.at), time.Millisecond)
			break
		}
	}
	return v
}

// Usage returns what was spent of each budget, ordered by name and application:
// the proof that a client kept within the limits is that no WorstWindow
// exceeds its Limit. Budgets that nobody used are not listed.
func (s *Server) Usage() []BudgetUsage {
	m := s.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]BudgetUsage, 0, len(m.spends))
	for key, spent := range m.spends {
		b := m.budgets[key.budget]
		list = append(list, BudgetUsage{
			Name: key.budget, ApplicationID: key.application, Count: spent.count, WorstWindow: spent.worst,
			Limit: b.limit, Window: b.window, Throttled: spent.denied,
		})
	}
	slices.SortFunc(list, func(a, b BudgetUsage) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ApplicationID, b.ApplicationID))
	})
	return list
}
