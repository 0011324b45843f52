package monitor_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/presencebridge/presencebridge/monitor"
)

// BenchmarkPlanMillion plans for 1,000,000 users and the 1,539 monitors that they
// need. The users are sorted, except in the last two cases: the first time they
// come in any order, and over the years the users of every monitor become a
// random choice of all.
func BenchmarkPlanMillion(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	users := make([]string, 1_000_000)
	for i := range users {
		var id uuid.UUID
		for n := range id {
			id[n] = byte(random.Uint32())
		}
		users[i] = id.String()
	}
	unsorted := slices.Clone(users)
	slices.Sort(users)

	monitors := make([]monitor.PlanMonitor, monitor.MonitorsNeeded(len(users), 0))
	for i := range monitors {
		monitors[i] = monitor.PlanMonitor{ID: strconv.Itoa(i), Usable: true}
	}
	settled := watching(monitors, monitor.NewPlan(users, monitors, 0))
	mixed := slices.Clone(monitors)
	for i, user := range random.Perm(len(users)) {
		m := &mixed[i%len(mixed)]
		m.Users = append(m.Users, users[user])
	}
	for i := range mixed {
		slices.Sort(mixed[i].Users)
	}
	joined := slices.Sorted(slices.Values(append(slices.Clone(users), "80000000-0000-4000-8000-000000000000")))

	tests := []struct {
		name     string
		users    []string
		monitors []monitor.PlanMonitor
		changed  int
		overflow int
	}{
		{"initial", users, monitors, 1539, 0},
		{"steady", users, settled, 0, 0},
		{"one added", joined, settled, 1, 0},
		// 350 places are free, for 650 users.
		{"monitor removed", users, settled[1:], 350, 300},
		{"initial, unsorted", unsorted, monitors, 1539, 0},
		{"steady, mixed", users, mixed, 0, 0},
	}
	for _, test := range tests {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan := monitor.NewPlan(test.users, test.monitors, 0)
				if len(plan.Changed) != test.changed || len(plan.Overflow) != test.overflow {
					b.Fatalf("%d monitors changed and %d users are left over", len(plan.Changed), len(plan.Overflow))
				}
			}
		})
	}
}

// watching returns the monitors as they are once a plan is carried out.
func watching(monitors []monitor.PlanMonitor, plan monitor.Plan) []monitor.PlanMonitor {
	monitors = slices.Clone(monitors)
	for i := range monitors {
		monitors[i].Users = plan.Assignments[monitors[i].ID]
	}
	return monitors
}
