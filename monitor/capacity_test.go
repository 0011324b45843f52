package monitor_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
)

func ExampleNewPlan() {
	users := []string{"anna", "bob", "carol", "dave"}
	monitors := []monitor.PlanMonitor{{ID: "m1", Usable: true}, {ID: "m2", Usable: true}, {ID: "m3", Usable: true}}
	plan := monitor.NewPlan(users, monitors, 1)
	fmt.Println(plan.Assignments)

	// m1 fails, and its users go to the reserve.
	for i := range monitors {
		monitors[i].Users = plan.Assignments[monitors[i].ID]
	}
	monitors[0].Usable = false
	plan = monitor.NewPlan(users, monitors, 1)
	fmt.Println(plan.Assignments, "changed:", plan.Changed, "moves:", plan.Moves)
	// Output:
	// map[m1:[anna bob] m2:[carol dave] m3:[]]
	// map[m1:[] m2:[carol dave] m3:[anna bob]] changed: [m1 m3] moves: 2
}

func ExampleMonitorsNeeded() {
	fmt.Println(monitor.MonitorsNeeded(1_500, 0), "for 1,500 users,", monitor.MonitorsNeeded(100_000, 0), "for 100,000")
	// Output:
	// 3 for 1,500 users, 154 for 100,000
}

func TestMonitorsNeeded(t *testing.T) {
	tests := []struct{ users, capacity, want int }{
		{0, 0, 0}, {-1, 0, 0}, {1, 0, 1}, {650, 0, 1}, {651, 0, 2}, {1_000_000, 0, 1539},
		{100, 100, 1}, {101, 100, 2}, {3, 1, 3}, {1300, 651, 2}, {1301, -5, 3},
	}
	for _, test := range tests {
		assert.Equal(t, test.want, monitor.MonitorsNeeded(test.users, test.capacity), "%d users, capacity %d", test.users, test.capacity)
	}
}

// numbered returns the ids of users from one number up to, not including, another.
func numbered(from, to int) (ids []string) {
	for n := from; n < to; n++ {
		ids = append(ids, fmt.Sprintf("u%05d", n))
	}
	return ids
}

// full returns usable monitors m0, m1, ... that watch so many users each.
func full(counts ...int) (monitors []monitor.PlanMonitor) {
	from := 0
	for i, count := range counts {
		monitors = append(monitors, monitor.PlanMonitor{ID: "m" + strconv.Itoa(i), Usable: true, Users: numbered(from, from+count)})
		from += count
	}
	return monitors
}

// failed returns the monitors with one of them not usable.
func failed(monitors []monitor.PlanMonitor, indexes ...int) []monitor.PlanMonitor {
	for _, i := range indexes {
		monitors[i].Usable = false
	}
	return monitors
}

func TestPlan(t *testing.T) {
	const most = presence.MaxSubscriptionUsers
	tests := []struct {
		name     string
		users    []string
		monitors []monitor.PlanMonitor
		spares   int

		counts                    []int // by monitor
		overflow, stranded, moves int
		changed                   []string
	}{
		{name: "nothing"},
		{name: "no monitor", users: numbered(0, 3), overflow: 3},
		{name: "no user", monitors: full(0), counts: []int{0}},
		{
			name:  "the first time, balanced",
			users: numbered(0, 1500), monitors: full(0, 0, 0),
			counts: []int{500, 500, 500}, changed: []string{"m0", "m1", "m2"},
		},
		{
			name:  "the first time, hardly divisible",
			users: numbered(0, 10), monitors: full(0, 0, 0),
			counts: []int{4, 3, 3}, changed: []string{"m0", "m1", "m2"},
		},
		{
			name:  "the first time, balanced although a tenth more would spare one",
			users: numbered(0, 1000), monitors: full(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
			counts:  []int{91, 91, 91, 91, 91, 91, 91, 91, 91, 90, 91},
			changed: []string{"m0", "m1", "m10", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"},
		},
		{
			name:  "more users than monitors",
			users: numbered(0, 2000), monitors: full(0, 0, 0),
			counts: []int{most, most, most}, overflow: 50, changed: []string{"m0", "m1", "m2"},
		},
		{name: "nothing changes", users: numbered(0, 1500), monitors: full(500, 500, 500), counts: []int{500, 500, 500}},
		{
			name: "one joins", users: numbered(0, 1501), monitors: full(500, 500, 500),
			counts: []int{501, 500, 500}, changed: []string{"m0"},
		},
		{
			name: "thirty join", users: numbered(0, 1530), monitors: full(500, 500, 500),
			counts: []int{530, 500, 500}, changed: []string{"m0"},
		},
		{
			name: "a hundred join: too many for one", users: numbered(0, 1600), monitors: full(500, 500, 500),
			counts: []int{550, 550, 500}, changed: []string{"m0", "m1"},
		},
		{
			name: "one joins a full account", users: numbered(0, 1951), monitors: full(most, most, most),
			counts: []int{most, most, most}, overflow: 1,
		},
		{
			name: "one joins those who are alike but one", users: numbered(0, 1491), monitors: full(500, 490, 500),
			counts: []int{500, 491, 500}, changed: []string{"m1"},
		},
		{
			name: "one leaves and one joins: one monitor is disturbed", users: append(numbered(1, 1020), "v"), monitors: full(520, 500),
			counts: []int{520, 500}, changed: []string{"m0"},
		},
		{
			name: "nothing is evened out", users: numbered(0, 605), monitors: full(600, 5),
			counts: []int{600, 5},
		},
		{
			name: "newcomers go to the emptiest", users: numbered(0, 700), monitors: full(600, 5),
			counts: []int{600, 100}, changed: []string{"m1"},
		},
		{
			name: "a monitor is new", users: numbered(0, 1400), monitors: append(full(most, most), monitor.PlanMonitor{ID: "new", Usable: true}),
			counts: []int{most, most, 100}, changed: []string{"new"},
		},
		{
			name: "a monitor is gone", users: numbered(0, 1500), monitors: full(500, 500, 500)[1:],
			counts: []int{most, most}, overflow: 200, changed: []string{"m1", "m2"},
		},
		{
			name: "everybody leaves", monitors: full(500, 500),
			counts: []int{0, 0}, changed: []string{"m0", "m1"},
		},
		{
			name: "a capacity has shrunk", users: numbered(0, 20),
			monitors: []monitor.PlanMonitor{
				{ID: "a", Usable: true, Capacity: 8, Users: numbered(0, 10)}, {ID: "b", Usable: true, Capacity: 11, Users: numbered(10, 20)},
			},
			counts: []int{8, 11}, overflow: 1, moves: 1, changed: []string{"a", "b"},
		},
		{
			name: "capacities differ", users: numbered(0, 30),
			monitors: []monitor.PlanMonitor{{ID: "a", Usable: true, Capacity: 4}, {ID: "b", Usable: true}, {ID: "c", Usable: true}},
			counts:   []int{4, 13, 13}, changed: []string{"a", "b", "c"},
		},
		{
			name: "a reserve is held", users: numbered(0, 1300), monitors: full(0, 0, 0), spares: 1,
			counts: []int{most, most, 0}, changed: []string{"m0", "m1"},
		},
		{
			name: "a reserve is used before anybody is left out", users: numbered(0, 1301), monitors: full(most, most, 0), spares: 1,
			counts: []int{most, most, 1}, changed: []string{"m2"},
		},
		{
			name: "the largest is the reserve", users: numbered(0, 100),
			monitors: []monitor.PlanMonitor{{ID: "a", Usable: true}, {ID: "b", Usable: true, Capacity: 500}}, spares: 1,
			counts: []int{0, 100}, changed: []string{"b"},
		},
		{
			name: "only as many reserves as it takes are used", users: numbered(0, 700), monitors: full(0, 0, 0), spares: 9,
			counts: []int{350, 350, 0}, changed: []string{"m0", "m1"},
		},
		{
			name: "no monitor is emptied to be a reserve", users: numbered(0, 20), monitors: full(10, 10), spares: 1,
			counts: []int{10, 10},
		},
		{
			name: "a reserve takes over", users: numbered(0, 1500), monitors: failed(full(500, 500, 500, 0), 1), spares: 1,
			counts: []int{500, 0, 500, 500}, moves: 500, changed: []string{"m1", "m3"},
		},
		{
			name: "a reserve takes over while others join", users: numbered(0, 1530), monitors: failed(full(500, 500, 500, 0), 1), spares: 1,
			counts: []int{500, 0, 500, 530}, moves: 500, changed: []string{"m1", "m3"},
		},
		{
			name: "two fail, and the larger has the reserve", users: numbered(0, 1500), monitors: failed(full(100, 500, 400, 500, 0), 0, 1), spares: 1,
			counts: []int{0, 0, 500, 500, 500}, moves: 600, changed: []string{"m0", "m1", "m2", "m4"},
		},
		{
			name: "a reserve that is too small", users: numbered(0, 50),
			monitors: append(failed(full(20, 30), 0), monitor.PlanMonitor{ID: "small", Usable: true, Capacity: 15}), spares: 1,
			counts: []int{0, 35, 15}, moves: 20, changed: []string{"m0", "m1", "small"},
		},
		{
			name: "a failed monitor is back", users: numbered(0, 1500), monitors: full(500, 0, 500, 500), spares: 1,
			counts: []int{500, 0, 500, 500},
		},
		{
			name: "one fails without a reserve", users: numbered(0, 1200), monitors: failed(full(200, 500, 500), 0),
			counts: []int{0, 600, 600}, moves: 200, changed: []string{"m0", "m1", "m2"},
		},
		{
			name: "one fails without room for all", users: numbered(0, 1500), monitors: failed(full(500, 500, 500), 0),
			counts: []int{200, most, most}, stranded: 200, moves: 300, changed: []string{"m0", "m1", "m2"},
		},
		{
			name: "all fail", users: numbered(0, 1500), monitors: failed(full(500, 500, 500), 0, 1, 2), spares: 1,
			counts: []int{500, 500, 500}, stranded: 1500,
		},
		{
			name: "all fail while one joins", users: numbered(0, 1001), monitors: failed(full(500, 500), 0, 1),
			counts: []int{500, 500}, stranded: 1000, overflow: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := monitor.NewPlan(test.users, test.monitors, test.spares)
			var counts []int
			for _, m := range test.monitors {
				counts = append(counts, len(plan.Assignments[m.ID]))
			}
			assert.Equal(t, test.counts, counts, "users by monitor")
			assert.Len(t, plan.Overflow, test.overflow, "overflow")
			assert.Len(t, plan.Stranded, test.stranded, "stranded")
			assert.Equal(t, test.moves, plan.Moves, "moves")
			assert.Equal(t, test.changed, plan.Changed, "changed")
		})
	}
}

func TestPlanKeepsTheUsersOfAFailedMonitorTogether(t *testing.T) {
	// Each of two failed monitors has 40 users, whom three of the others take over.
	monitors := failed(full(40, 40, 100, 100, 100, 100), 0, 1)
	for i := range 40 { // their ids alternate
		monitors[0].Users[i], monitors[1].Users[i] = fmt.Sprintf("u%05d", 2*i), fmt.Sprintf("u%05d", 2*i+1)
	}
	plan := monitor.NewPlan(numbered(0, 480), monitors, 0)
	heirs := func(m monitor.PlanMonitor) (ids []string) {
		for id, users := range plan.Assignments {
			if slices.ContainsFunc(users, func(user string) bool { return slices.Contains(m.Users, user) }) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	assert.Equal(t, 80, plan.Moves)
	assert.Len(t, plan.Changed, 5)
	assert.Len(t, heirs(monitors[0]), 2)
	assert.Len(t, heirs(monitors[1]), 2)
}

func TestPlanGivesTheReserveTheMostUsers(t *testing.T) {
	monitors := failed(full(100, 500, 400, 500, 0), 0, 1)
	plan := monitor.NewPlan(numbered(0, 1500), monitors, 1)
	assert.Equal(t, monitors[1].Users, plan.Assignments["m4"])
}

func TestPlanNamesUsersAndMonitorsOnce(t *testing.T) {
	plan := monitor.NewPlan([]string{"bob", "", "anna", "bob"}, []monitor.PlanMonitor{
		{ID: "b", Usable: true, Users: []string{"bob", "", "anna", "bob"}},
		{ID: "a", Usable: false, Users: []string{"anna"}},
		{ID: "", Usable: true},
		{ID: "b", Usable: true, Users: []string{"carol"}},
	}, 0)
	assert.Equal(t, monitor.Plan{
		Assignments: map[string][]string{"a": nil, "b": {"anna", "bob"}},
		Changed:     []string{"a"},
	}, plan, "a user whom two monitors watch stays with the usable one")
}
