package monitor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

func TestNext(t *testing.T) {
	// A subscription that was created at noon and is well.
	well := func(change func(*state)) state {
		s := state{users: []string{"anna"}}
		s.created(noon, presence.Subscription{ID: "s", UserIDs: []string{"anna"}, ExpiresAt: at(60)}, at(40), Remembered{SubscriptionID: "s"})
		if change != nil {
			change(&s)
		}
		return s
	}
	// Nothing yet, but a subscription until half past that an earlier run left.
	left := func(change func(*state)) state {
		s := state{users: []string{"anna"}, asked: true, settledAt: at(1)}
		s.recalled(Remembered{SubscriptionID: "s", Users: UsersDigest([]string{"ANNA"}), ExpiresAt: at(30)}, "")
		if change != nil {
			change(&s)
		}
		return s
	}
	never := time.Time{}
	tests := []struct {
		name string
		now  float64
		s    state
		want step
	}{
		{"nobody to watch", 0, state{}, step{}},
		{"the memory is not read yet", 0, state{recall: true}, step{do: actionRecall}},
		{"the memory cannot be read", 0, state{recall: true, users: []string{"anna"}, asked: true, retryAt: at(1)}, step{do: actionRecall, at: at(1)}},
		{"left, and nobody has said for whom", 0, left(func(s *state) { s.users, s.asked = nil, false }), step{}},
		{"left", 0, left(nil), step{actionAdopt, at(1), ""}},
		{"left, adopting failed", 0, left(func(s *state) { s.retryAt = at(2) }), step{actionAdopt, at(2), ""}},
		{"left, and nobody to watch", 0, left(func(s *state) { s.users = nil }), step{actionDelete, at(1), ReasonNoUsers}},
		{"left, for others", 0, left(func(s *state) { s.users = []string{"bob"} }), step{actionDelete, at(1), ReasonUsersChanged}},
		{"left, and unfit", 0, left(func(s *state) { s.unfit = ReasonSettingsChanged }), step{actionDelete, at(1), ReasonSettingsChanged}},
		{"left, and its end is not known", 0, left(func(s *state) { s.remembered.ExpiresAt = never }), step{actionAdopt, at(1), ""}},
		{"left, and expired", 30, left(nil), step{actionCreate, at(1), ""}},
		{"left, expired, and nobody to watch", 30, left(func(s *state) { s.users = nil }), step{}},
		{"users appear", 0, state{users: []string{"anna"}, settledAt: at(1)}, step{actionCreate, at(1), ""}},
		{"creating failed", 0, state{users: []string{"anna"}, settledAt: at(1), retryAt: at(2)}, step{actionCreate, at(2), ""}},
		{"lost, to be created again", 0, state{users: []string{"anna"}, cause: ReasonExpired}, step{actionCreate, never, ReasonExpired}},
		{"no notifications here", 0, state{users: []string{"anna"}, unsupported: true}, step{}},
		{"well", 1, well(nil), step{actionRenew, at(40), ""}},
		{"renewal due", 41, well(nil), step{actionRenew, at(40), ""}},
		{"renewal failed", 41, well(func(s *state) { s.retryAt = at(45) }), step{actionRenew, at(45), ""}},
		{"the next attempt is too late", 58, well(func(s *state) { s.retryAt = at(61) }), step{actionLose, at(60), ReasonExpired}},
		{"expired", 60, well(nil), step{actionLose, never, ReasonExpired}},
		{"expired, although failing", 61, well(func(s *state) { s.retryAt = at(65) }), step{actionLose, never, ReasonExpired}},
		{"removed", 1, well(func(s *state) { s.removed, s.retryAt = true, at(9) }), step{actionLose, never, ReasonRemoved}},
		{"re-authorization", 15, well(func(s *state) { s.reauthorize = true }), step{actionRenew, at(10), ""}},
		{"re-authorization right after a renewal", 0.5, well(func(s *state) { s.reauthorize = true }), step{actionRenew, at(10), ""}},
		{"re-authorization right after a renewal, but it ends soon", 0.5, well(func(s *state) {
			s.reauthorize, s.subscription.ExpiresAt, s.renewAt = true, at(9), at(6)
		}), step{actionRenew, at(6), ""}},
		{"adopted", 1, well(func(s *state) { s.adopted(at(1), s.subscription, s.remembered) }), step{actionRenew, at(1), ""}},
		{"re-authorization while failing", 10, well(func(s *state) { s.reauthorize, s.retryAt = true, at(12) }), step{actionRenew, at(12), ""}},
		{"silent", 10, well(func(s *state) { s.silent = true }), step{actionDelete, never, ReasonSilent}},
		{"other users", 10, well(func(s *state) { s.users, s.settledAt = []string{"bob"}, at(11) }), step{actionDelete, at(11), ReasonUsersChanged}},
		{"other users, renewal due first", 40, well(func(s *state) { s.users, s.settledAt = []string{"bob"}, at(41) }), step{actionRenew, at(40), ""}},
		{"other users, both due", 42, well(func(s *state) { s.users, s.settledAt = []string{"bob"}, at(41) }), step{actionRenew, at(40), ""}},
		{"nobody left", 10, well(func(s *state) { s.users, s.settledAt = nil, at(11) }), step{actionDelete, at(11), ReasonNoUsers}},
		{"nobody left, deleting failed", 10, well(func(s *state) { s.users, s.retryAt = nil, at(12) }), step{actionDelete, at(12), ReasonNoUsers}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := fmt.Sprintf("%+v", test.s)
			assert.Equal(t, test.want, next(at(test.now), &test.s))
			assert.Equal(t, before, fmt.Sprintf("%+v", test.s), "next changes nothing")
		})
	}
}

func TestRenewalTime(t *testing.T) {
	assert.Equal(t, at(38), renewalTime(noon, at(60), 0))
	assert.Equal(t, at(40), renewalTime(noon, at(60), 0.5))
	assert.Equal(t, at(42), renewalTime(noon, at(60), 1))
}

func TestCondition(t *testing.T) {
	exists := presence.Subscription{ID: "s"}
	tests := map[Condition]state{
		ConditionNoUsers:     {},
		ConditionCreating:    {users: []string{"anna"}},
		ConditionSubscribed:  {users: []string{"anna"}, subscription: exists},
		ConditionFailing:     {users: []string{"anna"}, subscription: exists, failures: 1},
		ConditionLost:        {users: []string{"anna"}, cause: ReasonNotFound, failures: 1},
		ConditionUnsupported: {users: []string{"anna"}, unsupported: true},
	}
	for want, s := range tests {
		assert.Equal(t, want, s.condition(true))
		assert.Equal(t, ConditionStopped, s.condition(false))
	}
	assert.Equal(t, ConditionFailing, (&state{users: []string{"anna"}, failures: 1}).condition(true))
	assert.Equal(t, ConditionCreating, (&state{users: []string{"anna"}, cause: ReasonUsersChanged}).condition(true))
}

func TestCapacityIsStickyAndOverflowIsNamed(t *testing.T) {
	w := newWorld()
	m := w.monitor(t, &Options{Capacity: 3})
	assert.Equal(t, []string{"d"}, m.SetUsers([]string{"c", "b", "a", "d"}))
	assert.Equal(t, []string{"e", "d"}, m.SetUsers([]string{"e", "d", "a", "b", "c"}), "those watched stay")
	assert.Equal(t, []string{"d"}, m.SetUsers([]string{"e", "d", "a", "b"}), "a free place goes to the first")
	assert.Equal(t, []string{"a", "b", "e"}, m.state.users)
	s := m.Snapshot()
	assert.Equal(t, 3, s.Users)
	assert.Equal(t, []string{"d"}, s.Overflow)
	assert.Equal(t, ConditionStopped, s.Condition)
	assert.Empty(t, m.SetUsers([]string{"b"}))
	assert.Empty(t, m.Snapshot().Overflow)
}

func TestDefaultCapacityIsMicrosofts(t *testing.T) {
	m := newWorld().monitor(t, nil)
	var users []string
	for i := range 660 {
		users = append(users, fmt.Sprint(i))
	}
	assert.Equal(t, users[650:], m.SetUsers(users))
	assert.Equal(t, 650, m.Snapshot().Users)
}

// Whoever is wanted is watched or in the overflow, never both; as many as
// possible are watched, and nobody loses a place who keeps being wanted.
func TestAssignment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g"}))
		capacity := rapid.IntRange(1, 5).Draw(t, "capacity")
		before, _ := assign(nil, ids.Draw(t, "before"), capacity)
		wanted := ids.Draw(t, "wanted")
		users, overflow := assign(before, wanted, capacity)

		distinct := map[string]bool{}
		for _, id := range wanted {
			if id != "" {
				distinct[id] = true
			}
		}
		all := map[string]int{}
		for _, id := range append(slices.Clone(users), overflow...) {
			all[id]++
			if !distinct[id] || all[id] > 1 {
				t.Fatalf("%q is not wanted, or twice", id)
			}
		}
		if len(all) != len(distinct) || len(users) != min(capacity, len(distinct)) || !slices.IsSorted(users) {
			t.Fatalf("wanted %v: %v and %v", wanted, users, overflow)
		}
		for _, id := range before {
			if distinct[id] && !slices.Contains(users, id) {
				t.Fatalf("%q lost its place", id)
			}
		}
	})
}

// Whatever the state, a step that is due is an action, and a subscription never
// outlives its end in the plan.
func TestNextAlwaysHasAPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) time.Time {
			if rapid.Bool().Draw(t, "no "+name) {
				return time.Time{}
			}
			return at(float64(rapid.IntRange(-90, 90).Draw(t, name)))
		}
		s := state{settledAt: moment("settled"), retryAt: moment("retry"), cause: rapid.SampledFrom([]string{"", ReasonExpired}).Draw(t, "cause")}
		if rapid.Bool().Draw(t, "users") {
			s.users = []string{"anna"}
		}
		if rapid.Bool().Draw(t, "exists") {
			s.subscription = presence.Subscription{ID: "s", UserIDs: rapid.SampledFrom([][]string{{"anna"}, {"bob"}}).Draw(t, "watched"), ExpiresAt: moment("expires")}
			s.renewAt, s.renewedAt = moment("renew"), moment("renewed")
			s.reauthorize, s.removed, s.silent = rapid.Bool().Draw(t, "reauthorize"), rapid.Bool().Draw(t, "removed"), rapid.Bool().Draw(t, "silent")
		}
		s.asked = len(s.users) > 0 || rapid.Bool().Draw(t, "asked")
		s.recall = rapid.Bool().Draw(t, "recall") && s.subscription.ID == ""
		if rapid.Bool().Draw(t, "left") && s.subscription.ID == "" {
			s.remembered = Remembered{SubscriptionID: "s", Users: UsersDigest([]string{rapid.SampledFrom([]string{"anna", "bob"}).Draw(t, "left users")}), ExpiresAt: moment("left until")}
		}
		planned := next(noon, &s)
		if s.recall || s.left(noon) && s.subscription.ID == "" {
			if (planned.do == actionRecall) != s.recall || (planned.do == actionWait) != (!s.recall && !s.asked) || planned.do == actionCreate || planned.at.Before(s.retryAt) && planned.do != actionWait {
				t.Fatalf("%+v: %+v", s, planned)
			}
			return
		}
		exists := s.subscription.ID != ""
		if (planned.do == actionWait) != (!exists && len(s.users) == 0) {
			t.Fatalf("%+v: %+v", s, planned)
		}
		if exists == (planned.do == actionCreate) && planned.do != actionWait {
			t.Fatalf("%+v: %+v", s, planned)
		}
		if exists && planned.at.After(s.subscription.ExpiresAt) {
			t.Fatalf("planned after the end: %+v", planned)
		}
		if (planned.do == actionRenew || planned.do == actionDelete || planned.do == actionCreate) && planned.at.Before(s.retryAt) {
			t.Fatalf("too early: %+v", planned)
		}
	})
}
