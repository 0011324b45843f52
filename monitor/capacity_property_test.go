package monitor_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// planInput is what a plan is made from.
type planInput struct {
	users    []string
	monitors []monitor.PlanMonitor
	spares   int
}

func (in planInput) plan() monitor.Plan { return monitor.NewPlan(in.users, in.monitors, in.spares) }

// drawInput draws anything: users in any order, twice and empty, users with two
// monitors, monitors with more users than their capacity.
func drawInput(t *rapid.T) planInput {
	ids := rapid.SliceOfN(rapid.SampledFrom(append(numbered(0, 20), "")), 0, 25)
	in := planInput{users: ids.Draw(t, "users"), spares: rapid.IntRange(-1, 3).Draw(t, "spares")}
	for _, id := range rapid.Permutation([]string{"a", "b", "c", "d", "e"}).Draw(t, "monitors")[:rapid.IntRange(0, 5).Draw(t, "count")] {
		in.monitors = append(in.monitors, monitor.PlanMonitor{
			ID: id, Capacity: rapid.IntRange(1, 7).Draw(t, "capacity"), Usable: rapid.Bool().Draw(t, "usable"), Users: ids.Draw(t, "watched"),
		})
	}
	return in
}

// drawSettled draws monitors that have gone through some plans, as a pool's have:
// nobody has two of them, and nobody is in excess of a capacity.
func drawSettled(t *rapid.T) planInput {
	in := planInput{spares: rapid.IntRange(0, 2).Draw(t, "spares")}
	for _, id := range []string{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(1, 6).Draw(t, "count")] {
		in.monitors = append(in.monitors, monitor.PlanMonitor{ID: id, Capacity: rapid.IntRange(1, 40).Draw(t, "capacity")})
	}
	for range rapid.IntRange(1, 4).Draw(t, "plans") {
		in.users = slices.DeleteFunc(numbered(0, rapid.IntRange(0, 120).Draw(t, "users")), func(string) bool {
			return rapid.IntRange(0, 3).Draw(t, "leaves") == 0
		})
		for i := range in.monitors {
			in.monitors[i].Usable = rapid.IntRange(0, 3).Draw(t, "fails") > 0
		}
		in.monitors = watching(in.monitors, in.plan())
	}
	return in
}

// watchers returns the monitor of each user in a plan.
func watchers(t assert.TestingT, plan monitor.Plan) map[string]string {
	by := make(map[string]string)
	for id, users := range plan.Assignments {
		for _, user := range users {
			assert.NotContains(t, by, user, "a user has two monitors")
			by[user] = id
		}
	}
	return by
}

// wanted returns the ids that count, sorted.
func wanted(users []string) (ids []string) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(users))) {
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestPlanPlacesEverybodyOnceWithinTheCapacities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		plan := in.plan()
		by := watchers(t, plan)
		assert.Equal(t, wanted(in.users), wanted(append(slices.Collect(maps.Keys(by)), plan.Overflow...)))
		assert.Len(t, wanted(in.users), len(by)+len(plan.Overflow), "nobody is both watched and in excess")
		assert.Len(t, plan.Assignments, len(in.monitors))
		assert.True(t, slices.IsSorted(plan.Overflow))
		assert.True(t, slices.IsSorted(plan.Changed))

		var stranded, changed []string
		for _, m := range in.monitors {
			users := plan.Assignments[m.ID]
			assert.True(t, slices.IsSorted(users))
			assert.LessOrEqual(t, len(users), m.Capacity)
			if !slices.Equal(wanted(m.Users), users) {
				changed = append(changed, m.ID)
			}
			if !m.Usable {
				stranded = append(stranded, users...)
				assert.Subset(t, m.Users, users, "a monitor that is not usable is given nobody")
			} else if len(plan.Overflow)+len(plan.Stranded) > 0 {
				assert.Len(t, users, m.Capacity, "somebody is left although %s has room", m.ID)
			}
		}
		assert.ElementsMatch(t, stranded, plan.Stranded)
		assert.ElementsMatch(t, changed, plan.Changed)
	})
}

func TestPlanDependsOnNoOrderAndChangesNoInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		other := planInput{
			users:    rapid.Permutation(in.users).Draw(t, "order of users"),
			monitors: rapid.Permutation(in.monitors).Draw(t, "order of monitors"),
			spares:   in.spares,
		}
		for i := range other.monitors {
			other.monitors[i].Users = rapid.Permutation(other.monitors[i].Users).Draw(t, "order of watched users")
		}
		users, lists := slices.Clone(in.users), make([][]string, len(in.monitors))
		for i, m := range in.monitors {
			lists[i] = slices.Clone(m.Users)
		}
		assert.Equal(t, in.plan(), other.plan())
		assert.Equal(t, users, in.users)
		for i, m := range in.monitors {
			assert.Equal(t, lists[i], m.Users)
		}
	})
}

func TestPlanThatIsCarriedOutChangesNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		first := in.plan()
		in.monitors = watching(in.monitors, first)
		again := in.plan()
		assert.Empty(t, again.Changed)
		assert.Zero(t, again.Moves)
		assert.Equal(t, first.Overflow, again.Overflow)
		assert.Equal(t, first.Stranded, again.Stranded)
	})
}

func TestPlanMovesNobodyWhoHasAUsableMonitor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawSettled(t)
		in.users = wanted(append(in.users, rapid.SliceOfN(rapid.SampledFrom(numbered(0, 150)), 0, 30).Draw(t, "joining")...))
		for i := range in.monitors {
			in.monitors[i].Usable = rapid.IntRange(0, 3).Draw(t, "fails") > 0
		}
		plan := in.plan()
		by := watchers(t, plan)
		moves := 0
		for _, m := range in.monitors {
			for _, user := range m.Users {
				if !slices.Contains(in.users, user) {
					continue
				}
				if m.Usable {
					assert.Equal(t, m.ID, by[user])
				} else {
					assert.NotContains(t, plan.Overflow, user, "a user is given up although nobody else has room")
				}
				if by[user] != m.ID {
					moves++
				}
			}
		}
		assert.Equal(t, moves, plan.Moves)
	})
}

func TestPlanLeavesAUserOfSeveralMonitorsWithTheFirstUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for i := range in.monitors {
			in.monitors[i].Capacity = 0
		}
		by := watchers(t, in.plan())
		slices.SortFunc(in.monitors, func(a, b monitor.PlanMonitor) int { return cmp.Compare(a.ID, b.ID) })
		for _, user := range wanted(in.users) {
			first := slices.IndexFunc(in.monitors, func(m monitor.PlanMonitor) bool { return m.Usable && slices.Contains(m.Users, user) })
			if first >= 0 {
				assert.Equal(t, in.monitors[first].ID, by[user])
			}
		}
	})
}

func TestPlanWithoutOneMonitorMovesOnlyItsUsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawSettled(t)
		for i := range in.monitors {
			in.monitors[i].Usable = true
		}
		in.monitors = watching(in.monitors, in.plan())
		before := watchers(t, in.plan())
		gone := rapid.IntRange(0, len(in.monitors)-1).Draw(t, "gone")
		id := in.monitors[gone].ID
		in.monitors = slices.Delete(in.monitors, gone, gone+1)
		after := watchers(t, in.plan())
		for user, m := range before {
			if m != id {
				assert.Equal(t, m, after[user])
			}
		}
	})
}

func TestPlanWithOneMoreUserDisturbsOneMonitor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawSettled(t)
		in.monitors = watching(in.monitors, in.plan())
		before := in.plan()
		in.users = append(in.users, "one more")
		after := in.plan()
		assert.Zero(t, after.Moves)
		assert.Len(t, slices.Concat(after.Changed, after.Overflow), len(before.Overflow)+1)
	})
}

// TestPlanIsBalancedWithFewDisturbed judges a plan by one that pours the users,
// one at a time, into whichever monitor has the fewest.
func TestPlanIsBalancedWithFewDisturbed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawSettled(t)
		in.spares = 0
		for i := range in.monitors {
			in.monitors[i].Usable = true
		}
		in.users = rapid.SliceOfDistinct(rapid.SampledFrom(numbered(0, 150)), rapid.ID).Draw(t, "users")

		// The monitors with those users who stay, undisturbed ones first.
		type vessel struct{ count, capacity, disturbed int }
		var vessels []vessel
		for _, m := range in.monitors {
			v := vessel{capacity: m.Capacity}
			for _, user := range m.Users {
				if slices.Contains(in.users, user) {
					v.count++
				}
			}
			if v.count > 0 && v.count == len(m.Users) {
				v.disturbed = 1
			}
			vessels = append(vessels, v)
		}
		slices.SortFunc(vessels, func(a, b vessel) int { return cmp.Or(a.disturbed-b.disturbed, a.count-b.count) })
		joining := len(in.users)
		for _, v := range vessels {
			joining -= v.count
		}
		// pour returns the highest count among those that get users, how many of
		// these are disturbed by it, and the users for whom there is no room.
		pour := func(vessels []vessel) (highest, disturbed, left int) {
			vessels = slices.Clone(vessels)
			for left = joining; left > 0; left-- {
				lowest := -1
				for i, v := range vessels {
					if v.count < v.capacity && (lowest < 0 || v.count < vessels[lowest].count) {
						lowest = i
					}
				}
				if lowest < 0 {
					break
				}
				v := &vessels[lowest]
				v.count++
				highest = max(highest, v.count)
				disturbed += v.disturbed
				v.disturbed = 0
			}
			return highest, disturbed, left
		}
		level, _, left := pour(vessels)
		accepted := level + level/10
		undisturbed := slices.IndexFunc(append(vessels, vessel{disturbed: 1}), func(v vessel) bool { return v.disturbed > 0 })
		fewest := 0
		for n := undisturbed; n <= len(vessels); n++ {
			if highest, disturbed, without := pour(vessels[:n]); without == left && highest <= accepted {
				fewest = disturbed
				break
			}
		}

		plan := in.plan()
		assert.Len(t, plan.Overflow, left)
		disturbed := 0
		for _, m := range in.monitors {
			users := plan.Assignments[m.ID]
			added := slices.ContainsFunc(users, func(user string) bool { return !slices.Contains(m.Users, user) })
			if added {
				assert.LessOrEqual(t, len(users), accepted, "%s", m.ID)
			}
			if added && len(m.Users) > 0 && !slices.ContainsFunc(m.Users, func(user string) bool { return !slices.Contains(users, user) }) {
				disturbed++
			}
		}
		if left == 0 {
			assert.Equal(t, fewest, disturbed)
		}
	})
}

func TestPlanIsExactlyBalancedTheFirstTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := make([]int, rapid.IntRange(1, 12).Draw(t, "monitors"))
		users := rapid.IntRange(0, len(counts)*presence.MaxSubscriptionUsers).Draw(t, "users")
		spares := rapid.IntRange(0, len(counts)).Draw(t, "spares")
		plan := monitor.NewPlan(numbered(0, users), full(counts...), spares)
		assert.Empty(t, plan.Overflow)
		used := min(max(len(counts)-spares, monitor.MonitorsNeeded(users, 0)), users)
		assert.Len(t, plan.Changed, used)
		for _, id := range plan.Changed {
			assert.Contains(t, []int{users / used, (users + used - 1) / used}, len(plan.Assignments[id]))
		}
	})
}

func TestPlanLeavesReservesEmptyWhileOthersHaveRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawSettled(t)
		in.users = append(in.users, rapid.SliceOfN(rapid.SampledFrom(numbered(200, 250)), 0, 50).Draw(t, "joining")...)
		takeovers, room, lacking := 0, 0, len(wanted(in.users))
		var empty []int // capacities
		for _, m := range in.monitors {
			stay := 0
			for _, user := range m.Users {
				if slices.Contains(in.users, user) {
					stay++
				}
			}
			switch {
			case !m.Usable && stay > 0:
				takeovers++
			case m.Usable && stay == 0:
				empty = append(empty, m.Capacity)
			case m.Usable:
				room += m.Capacity - stay
				lacking -= stay
			}
		}
		slices.Sort(empty)
		reserves := min(in.spares, len(empty))
		for _, capacity := range empty[:len(empty)-reserves] {
			room += capacity
		}

		plan := in.plan()
		left := 0
		for _, m := range in.monitors {
			if m.Usable && len(plan.Assignments[m.ID]) == 0 {
				left++
			}
		}
		if lacking <= room {
			assert.GreaterOrEqual(t, left, reserves-takeovers, "a reserve was used without need")
		}
	})
}
