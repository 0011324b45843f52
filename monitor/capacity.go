package monitor

import "github.com/presencebridge/presencebridge/presence"

// MonitorsNeeded returns how many monitors of this capacity it takes to watch so
// many users. A capacity that is not between 1 and [presence.MaxSubscriptionUsers]
// counts as the latter. Spare monitors come on top.
func MonitorsNeeded(users, capacity int) int {
	capacity = usersEach(capacity)
	return (max(users, 0) + capacity - 1) / capacity
}

// usersEach returns the capacity that a configured one stands for.
func usersEach(capacity int) int {
	if capacity < 1 || capacity > presence.MaxSubscriptionUsers {
		return presence.MaxSubscriptionUsers
	}
	return capacity
}

// PlanMonitor is what a [Plan] is made from, of one monitor.
type PlanMonitor struct {
	// ID tells monitors apart. A monitor without one is left out, and so is a
	// second one with the same.
	ID string
	// Capacity is how many users the monitor can watch. Default:
	// [presence.MaxSubscriptionUsers], which is also the most, and which a value
	// out of these bounds counts as.
	Capacity int
	// Usable: the monitor can be given users. One that is not, since it has failed,
	// say, keeps those that it has only while no other has room for them. Default:
	// false.
	Usable bool
	// Users are whom it watches now. They need not be sorted, but it is faster.
	Users []string
}

// Plan says which monitor watches whom.
type Plan struct {
	// Assignments are the users of every monitor, by its ID, sorted. Monitors that
	// watch nobody are in it. A list may be that of the [PlanMonitor]: do not
	// change it.
	Assignments map[string][]string
	// Overflow are the users whom no monitor watches, because there is no room,
	// sorted. They have to be read in bulk.
	Overflow []string
	// Stranded are the users of monitors that are not usable, because no other
	// has room, sorted. They are in Assignments too; read them in bulk as well.
	Stranded []string
	// Moves counts the users who were watched by one monitor of the plan and are
	// now by another.
	Moves int
	// Changed are the IDs of the monitors whose users are not the same as before,
	// sorted: those whose subscriptions have to be replaced.
	Changed []string
}

// NewPlan distributes users, by Entra object id, over monitors. Empty and repeated
// ids are dropped. It depends on what it is given and on nothing else, not even
// on the order; users that are sorted make it several times as fast.
//
// What it heeds, the more important first:
//
//   - No monitor watches more users than its capacity, and no user has two.
//   - Who has a usable monitor stays there. Since the users of a subscription
//     cannot be changed, moving one user replaces two subscriptions, and while
//     that lasts nobody hears of the presence of all their users. So nothing is
//     ever evened out for its own sake.
//   - Nobody is left out as long as a usable monitor has room. Whoever lacks a
//     monitor has the same right to the last free places as whoever has one that
//     is not usable; the ids decide.
//   - So many of the usable monitors that watch nobody as spares says, those of
//     the largest capacity, are held in reserve. Each takes over the users of one
//     monitor that is not usable, the one with the most first, so that no third
//     monitor is disturbed. Otherwise a reserve is used only when the others have
//     no room.
//   - The rest goes to the monitors that watch the fewest. Filling them up until
//     all are level would be perfectly balanced and would disturb many, so up to a
//     tenth more than that level is accepted for as few disturbed monitors as
//     possible. Those that watch nobody, and those whose users change anyway, are
//     not disturbed by it.
//
// So users who are planned for the first time are spread evenly; one who joins
// later is given to one monitor; and when a monitor is left out of the plan, only
// its own users are looked after.
func NewPlan(users []string, monitors []PlanMonitor, spares int) Plan {
	p := newPlanner(users, monitors)
	p.keep()
	seeking, reserves := p.seeking(), p.reserves(spares)
	seeking, reserves = p.takeOver(seeking, reserves)
	open, room := p.open(reserves, len(seeking))
	p.distribute(seeking[:min(room, len(seeking))], open)
	return p.plan()
}
