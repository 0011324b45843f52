package presence

import (
	"cmp"
	"slices"
	"strings"
)

// exclusion returns what identifies the account, without a reason.
func (t TeamsUser) exclusion() Exclusion {
	address := cmp.Or(NormalizeEmail(t.Mail), NormalizeEmail(t.PrincipalName))
	return Exclusion{Side: SideTeams, ID: t.ID, Email: address, Name: t.Name}
}

// exclusion returns what identifies the principal, without a reason.
func (p Principal) exclusion() Exclusion {
	return Exclusion{Side: SideCloudLink, ID: p.ID, Email: NormalizeEmail(p.Email), Name: p.Name}
}

// label names the entry in a sentence.
func (e Exclusion) label() string {
	noun := "CloudLink user "
	if e.Side == SideTeams {
		noun = "Entra account "
	}
	return noun + e.Email + " (" + e.ID + ")"
}

// addresses returns the addresses that a principal may have to match t.
func (t TeamsUser) addresses() []string {
	var result []string
	for _, a := range []string{NormalizeEmail(t.PrincipalName), NormalizeEmail(t.Mail)} {
		if a != "" && !slices.Contains(result, a) {
			result = append(result, a)
		}
	}
	return result
}

// compareAccounts puts entries with the same id beside each other, and leaves
// the order of no two different entries to chance.
func compareAccounts(a, b TeamsUser) int {
	enabled := func(t TeamsUser) int {
		if t.Enabled {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(a.ID, b.ID), cmp.Compare(enabled(a), enabled(b)), cmp.Compare(a.Mail, b.Mail),
		cmp.Compare(a.PrincipalName, b.PrincipalName), cmp.Compare(a.Name, b.Name),
	)
}

// comparePrincipals is compareAccounts for the other side.
func comparePrincipals(a, b Principal) int {
	return cmp.Or(
		cmp.Compare(a.ID, b.ID), -cmp.Compare(a.Email, b.Email), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.SiteID, b.SiteID), slices.Compare(a.Endpoints, b.Endpoints),
	)
}

// addressGroup is entries that belong together because they share an address,
// directly or through others.
type addressGroup struct {
	accounts   []TeamsUser
	principals []Principal
	// passedOver is the address that a disabled account lost to an enabled one.
	// Only a group of this account alone has it.
	passedOver string
}

// entries returns the members of the group without a reason.
func (g addressGroup) entries() []Exclusion {
	entries := make([]Exclusion, 0, len(g.accounts)+len(g.principals))
	for _, t := range g.accounts {
		entries = append(entries, t.exclusion())
	}
	for _, p := range g.principals {
		entries = append(entries, p.exclusion())
	}
	return entries
}

// String names every member.
func (g addressGroup) String() string {
	entries := g.entries()
	labels := make([]string, len(entries))
	for i, e := range entries {
		labels[i] = e.label()
	}
	return strings.Join(labels, ", ")
}

// groupByAddress returns the connected groups of accounts and principals. Two
// accounts that share an address which no principal has are not connected,
// since nobody asks for them.
func groupByAddress(accounts []TeamsUser, principals []Principal) []addressGroup {
	asked := map[string][]int{} // address → principals
	for i, p := range principals {
		address := NormalizeEmail(p.Email)
		asked[address] = append(asked[address], i)
	}
	held := map[string]bool{} // addresses that an enabled account has
	for _, t := range accounts {
		for _, address := range t.addresses() {
			held[address] = held[address] || t.Enabled
		}
	}

	// The nodes of the sets are the principals, and the accounts after them.
	s := newSets(len(principals) + len(accounts))
	for _, same := range asked {
		for _, i := range same[1:] {
			s.join(same[0], i)
		}
	}
	passedOver := map[int]string{}
	for j, t := range accounts {
		node := len(principals) + j
		for _, address := range t.addresses() {
			same, ok := asked[address]
			switch {
			case !ok:
			case !t.Enabled && held[address]:
				passedOver[node] = address
			default:
				s.join(same[0], node)
			}
		}
	}

	groups := map[int]*addressGroup{}
	var order []*addressGroup
	for node := range len(principals) + len(accounts) {
		root := s.root(node)
		g := groups[root]
		if g == nil {
			g = &addressGroup{}
			groups[root] = g
			order = append(order, g)
		}
		if node < len(principals) {
			g.principals = append(g.principals, principals[node])
			continue
		}
		g.accounts = append(g.accounts, accounts[node-len(principals)])
		if len(g.principals) == 0 {
			g.passedOver = passedOver[node]
		}
	}
	result := make([]addressGroup, len(order))
	for i, g := range order {
		result[i] = *g
	}
	return result
}

// sets is disjoint sets of nodes: each node points to another of its set, and
// the root to itself.
type sets []int

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (s sets) root(node int) int {
	for s[node] != node {
		s[node] = s[s[node]] // halve the path for the next time
		node = s[node]
	}
	return node
}

func (s sets) join(a, b int) { s[s.root(b)] = s.root(a) }
