package monitor

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// nobody stands for the index of a monitor where there is none.
const nobody = -1

// planner makes one plan. It works with indexes, because a map of a million ids
// would cost more than all the rest.
type planner struct {
	users    []string  // sorted
	monitors []planned // the usable ones first, by ID
	// at is the monitor of each user, was the one before.
	at, was []int32
	moves   int
}

// planned is a monitor in a plan that is being made.
type planned struct {
	PlanMonitor
	// stays counts the users who were and are with it, joins those who are new.
	stays, joins int
}

func (m *planned) count() int { return m.stays + m.joins }
func (m *planned) room() int  { return m.Capacity - m.count() }

// changed reports whether its users are not the same as before.
func (m *planned) changed() bool { return m.joins > 0 || m.stays < len(m.Users) }

// undisturbed reports whether nobody suffers from giving it users.
func (m *planned) undisturbed() bool { return m.count() == 0 || m.changed() }

func newPlanner(users []string, monitors []PlanMonitor) *planner {
	p := &planner{users: sortedIDs(users), monitors: make([]planned, 0, len(monitors))}
	for _, m := range monitors {
		if m.ID != "" {
			m.Capacity, m.Users = usersEach(m.Capacity), sortedIDs(m.Users)
			p.monitors = append(p.monitors, planned{PlanMonitor: m})
		}
	}
	slices.SortStableFunc(p.monitors, func(a, b planned) int { return strings.Compare(a.ID, b.ID) })
	p.monitors = slices.CompactFunc(p.monitors, func(a, b planned) bool { return a.ID == b.ID })
	slices.SortStableFunc(p.monitors, func(a, b planned) int { return usableFirst(a) - usableFirst(b) })
	indexes := make([]int32, 2*len(p.users))
	for i := range indexes {
		indexes[i] = nobody
	}
	p.at, p.was = indexes[:len(p.users)], indexes[len(p.users):]
	return p
}

func usableFirst(m planned) int {
	if m.Usable {
		return 0
	}
	return 1
}

// sortedIDs returns the ids sorted, each once and none empty: the slice itself if
// it is so already.
func sortedIDs(ids []string) []string {
	last := ""
	for _, id := range ids {
		if id <= last {
			ids = slices.Clone(ids)
			slices.Sort(ids)
			ids = slices.Compact(ids)
			if ids[0] == "" {
				ids = ids[1:]
			}
			return ids
		}
		last = id
	}
	return ids
}

// keep leaves the users where they are, as far as they are wanted and the
// capacity allows. Of two monitors with the same user the usable one keeps him.
//
// The lists of all monitors are merged: looking every user up among a million
// would take several times as long once the lists are well mixed.
func (p *planner) keep() {
	heads := make([]head, 0, len(p.monitors))
	for i := range p.monitors {
		if ids := p.monitors[i].Users; len(ids) > 0 {
			heads = append(heads, head{ids[0], int32(i), 1})
		}
	}
	for i := len(heads)/2 - 1; i >= 0; i-- {
		sink(heads, i)
	}
	for user, id := range p.users {
		for len(heads) > 0 && heads[0].id <= id {
			if heads[0].id == id {
				p.found(user, heads[0].monitor)
			}
			heads = p.advance(heads)
		}
	}
}

// found leaves a user with a monitor that watches him.
func (p *planner) found(user int, monitor int32) {
	if p.was[user] == nobody {
		p.was[user] = monitor
	}
	if m := &p.monitors[monitor]; p.at[user] == nobody && m.room() > 0 {
		p.at[user] = monitor
		m.stays++
	}
}

// head is the first user of a monitor who has not been merged yet, and the index
// of the one after him. A slice of them is a heap.
type head struct {
	id            string
	monitor, next int32
}

func (h *head) before(other *head) bool {
	order := strings.Compare(h.id, other.id)
	return order < 0 || order == 0 && h.monitor < other.monitor
}

// advance puts the next user of the first head in its place.
func (p *planner) advance(heads []head) []head {
	first := &heads[0]
	if ids := p.monitors[first.monitor].Users; int(first.next) < len(ids) {
		first.id = ids[first.next]
		first.next++
	} else {
		*first = heads[len(heads)-1]
		heads = heads[:len(heads)-1]
	}
	sink(heads, 0)
	return heads
}

// sink moves a head down to where none below comes before it.
func sink(heads []head, i int) {
	for {
		below := 2*i + 1
		if below >= len(heads) {
			return
		}
		if right := below + 1; right < len(heads) && heads[right].before(&heads[below]) {
			below = right
		}
		if !heads[below].before(&heads[i]) {
			return
		}
		heads[i], heads[below] = heads[below], heads[i]
		i = below
	}
}

// seeking returns the users who need another monitor than they have, in order.
func (p *planner) seeking() []int32 {
	count := len(p.users)
	for i := range p.monitors {
		if p.monitors[i].Usable {
			count -= p.monitors[i].stays
		}
	}
	seeking := make([]int32, 0, count)
	for user, at := range p.at {
		if at == nobody || !p.monitors[at].Usable {
			seeking = append(seeking, int32(user))
		}
	}
	return seeking
}

// reserves returns the indexes of the monitors held in reserve, those to be used
// first in front.
func (p *planner) reserves(spares int) []int32 {
	var empty []int32
	for i := range p.monitors {
		if m := &p.monitors[i]; m.Usable && m.count() == 0 {
			empty = append(empty, int32(i))
		}
	}
	slices.SortFunc(empty, func(a, b int32) int {
		return cmp.Or(-cmp.Compare(p.monitors[a].Capacity, p.monitors[b].Capacity), -cmp.Compare(a, b))
	})
	return empty[:min(max(spares, 0), len(empty))]
}

// takeOver gives the users of each monitor that is not usable to a reserve, and
// returns the users and the reserves that remain.
func (p *planner) takeOver(seeking, reserves []int32) (users, left []int32) {
	var failed []int32
	for i := range p.monitors {
		if m := &p.monitors[i]; !m.Usable && m.count() > 0 {
			failed = append(failed, int32(i))
		}
	}
	slices.SortStableFunc(failed, func(a, b int32) int {
		return cmp.Compare(p.monitors[b].count(), p.monitors[a].count())
	})
	pairs := min(len(failed), len(reserves))
	if pairs == 0 {
		return seeking, reserves
	}
	heirs := make(map[int32]int32, pairs)
	for i, heir := range reserves[:pairs] {
		heirs[failed[i]] = heir
	}
	return slices.DeleteFunc(seeking, func(user int32) bool {
		heir, exists := heirs[p.at[user]]
		if !exists || p.monitors[heir].room() == 0 {
			return false
		}
		p.give(user, heir)
		return true
	}), reserves[pairs:]
}

// give moves a user to a monitor.
func (p *planner) give(user, to int32) {
	if from := p.at[user]; from != nobody {
		p.monitors[from].stays--
	}
	if p.was[user] != nobody {
		p.moves++
	}
	p.at[user] = to
	p.monitors[to].joins++
}

// open returns the monitors that can be given users, and their room: all usable
// ones, and as many reserves as it takes.
func (p *planner) open(reserves []int32, users int) (monitors []int32, room int) {
	for i := range p.monitors {
		if m := &p.monitors[i]; m.Usable && !slices.Contains(reserves, int32(i)) {
			monitors = append(monitors, int32(i))
			room += m.room()
		}
	}
	for len(reserves) > 0 && room < users {
		last := reserves[len(reserves)-1]
		reserves = reserves[:len(reserves)-1]
		monitors = append(monitors, last)
		room += p.monitors[last].room()
	}
	return monitors, room
}

// distribute gives users to monitors, which have room for them all.
func (p *planner) distribute(users, monitors []int32) {
	if len(users) == 0 {
		return
	}
	free := func(i int32) int {
		if p.monitors[i].undisturbed() {
			return 0
		}
		return 1
	}
	slices.SortFunc(monitors, func(a, b int32) int {
		return cmp.Or(cmp.Compare(free(a), free(b)), cmp.Compare(p.monitors[a].count(), p.monitors[b].count()), cmp.Compare(a, b))
	})
	balanced, _ := p.level(monitors, len(users))
	undisturbed := sort.Search(len(monitors), func(n int) bool { return free(monitors[n]) == 1 })
	disturbed := sort.Search(len(monitors)-undisturbed, func(n int) bool {
		level, enough := p.level(monitors[:undisturbed+n], len(users))
		return enough && level <= balanced+balanced/10
	})
	monitors = monitors[:undisturbed+disturbed]

	// The users of one monitor go together, so that few others take them over.
	slices.SortStableFunc(users, func(a, b int32) int { return cmp.Compare(p.at[a], p.at[b]) })
	for i, share := range p.shares(monitors, len(users)) {
		for _, user := range users[:share] {
			p.give(user, monitors[i])
		}
		users = users[share:]
	}
}

// level returns the count up to which these monitors have to be filled, those that
// have less, to take so many users; or that they have not enough room.
func (p *planner) level(monitors []int32, users int) (level int, enough bool) {
	level = sort.Search(presence.MaxSubscriptionUsers+1, func(level int) bool {
		return p.below(monitors, level) >= users
	})
	return level, level <= presence.MaxSubscriptionUsers
}

// below returns how many users it takes to fill monitors up to a level.
func (p *planner) below(monitors []int32, level int) (users int) {
	for _, i := range monitors {
		users += p.upTo(i, level)
	}
	return users
}

// upTo returns how many users it takes to fill one monitor up to a level.
func (p *planner) upTo(monitor int32, level int) int {
	m := &p.monitors[monitor]
	return max(min(level, m.Capacity)-m.count(), 0)
}

// shares returns how many of the users each monitor gets, so that their counts
// are as even as they can be. There are users, and there is room for them.
func (p *planner) shares(monitors []int32, users int) []int {
	level, _ := p.level(monitors, users)
	left := users - p.below(monitors, level-1)
	shares := make([]int, len(monitors))
	for n, i := range monitors {
		shares[n] = p.upTo(i, level-1)
		if left > 0 && p.upTo(i, level) > shares[n] {
			shares[n]++
			left--
		}
	}
	return shares
}

// plan returns what has come out.
func (p *planner) plan() Plan {
	plan := Plan{Assignments: make(map[string][]string, len(p.monitors)), Moves: p.moves}
	lists := make([][]string, len(p.monitors)) // of those that changed, and have users
	for i := range p.monitors {
		m := &p.monitors[i]
		if !m.changed() {
			continue
		}
		plan.Changed = append(plan.Changed, m.ID)
		if m.count() > 0 {
			lists[i] = make([]string, 0, m.count())
		}
	}
	slices.Sort(plan.Changed)
	for user, at := range p.at {
		switch id := p.users[user]; {
		case at == nobody:
			plan.Overflow = append(plan.Overflow, id)
			continue
		case !p.monitors[at].Usable:
			plan.Stranded = append(plan.Stranded, id)
			fallthrough
		default:
			if lists[at] != nil {
				lists[at] = append(lists[at], id)
			}
		}
	}
	for i := range p.monitors {
		m := &p.monitors[i]
		plan.Assignments[m.ID] = lists[i]
		if !m.changed() && len(m.Users) > 0 {
			plan.Assignments[m.ID] = slices.Clip(m.Users)
		}
	}
	return plan
}
