package presence

import (
	"cmp"
	"fmt"
	"slices"
)

// Side is one of the two systems whose people are matched.
type Side string

// The two sides.
const (
	SideTeams     Side = "teams"
	SideCloudLink Side = "cloudlink"
)

// Direction is one of the two ways that presence flows.
type Direction string

// The two directions.
const (
	// LineToTeams: the telephone's state appears in Microsoft Teams.
	LineToTeams Direction = "line-to-teams"
	// TeamsToMiCollab: the Teams presence appears in MiCollab.
	TeamsToMiCollab Direction = "teams-to-micollab"
)

// Reason says why a person is not kept in step, or in one direction only. It is
// a code for programs; the detail that comes with it is for people.
type Reason string

// The reasons.
const (
	// ReasonNoID: the entry has no id, so nothing can be read or written for it.
	ReasonNoID Reason = "no-id"
	// ReasonUnreadable: the entry is not what the service's API describes. It
	// comes from the listing and not from [Match].
	ReasonUnreadable Reason = "unreadable"
	// ReasonNoEmail: there is no address to match by.
	ReasonNoEmail Reason = "no-email"
	// ReasonUnmatched: no Entra account has the address as its user principal
	// name or mail.
	ReasonUnmatched Reason = "unmatched"
	// ReasonAmbiguous: an address leads to more than one person on a side.
	ReasonAmbiguous Reason = "ambiguous"
	// ReasonDisabled: the Entra account is disabled.
	ReasonDisabled Reason = "disabled"
	// ReasonNoEndpoint: the person has no telephone.
	ReasonNoEndpoint Reason = "no-endpoint"
	// ReasonUnsupportedPBX: the telephone system does not support it.
	ReasonUnsupportedPBX Reason = "unsupported-pbx"
)

// Exclusion is an account or a principal that belongs to nobody in
// [Roster.Users], and why.
type Exclusion struct {
	// Side is where the entry comes from.
	Side Side `json:"side"`
	// ID is the Entra object id or the CloudLink principal id.
	ID string `json:"id"`
	// Email is the entry's address in lower case: of an Entra account its mail,
	// or its user principal name where it has no mail.
	Email string `json:"email"`
	// Name is the display name.
	Name string `json:"name,omitempty"`
	// Reason is the code.
	Reason Reason `json:"reason"`
	// Detail says what is wrong, naming everybody concerned, and what to do.
	Detail string `json:"detail,omitempty"`
}

// Limitation is a direction in which a user of [Roster.Users] is left alone,
// and why.
type Limitation struct {
	// User is the person.
	User User `json:"user"`
	// Direction is the one that does not work.
	Direction Direction `json:"direction"`
	// Reason is the code.
	Reason Reason `json:"reason"`
	// Detail says what is wrong.
	Detail string `json:"detail,omitempty"`
}

// Roster is who is kept in step and who is not. Nobody is dropped silently:
// every entry of the input is in exactly one of Users, Excluded and TeamsOnly.
type Roster struct {
	// Users are the persons found on both sides, in the order of their address.
	Users []User `json:"users"`
	// Limited are the directions in which some of Users are left alone.
	Limited []Limitation `json:"limited"`
	// Excluded are the entries that should have led to a user and did not,
	// those of Teams first. A pair that was found and then refused
	// appears once for each side.
	Excluded []Exclusion `json:"excluded"`
	// TeamsOnly are the Entra accounts that no CloudLink principal asks for: the
	// people without a Mitel telephone.
	TeamsOnly []TeamsUser `json:"teamsOnly"`
}

// MatchOptions are the settings of [Match]; the zero value of each field is its
// default.
type MatchOptions struct {
	// Capabilities says which directions each telephone system supports.
	// Default: [DefaultCapabilities].
	Capabilities Capabilities
	// PBX tells the telephone system of a principal, by its site for instance.
	// Default: [MiVoiceBusiness] for all.
	PBX func(Principal) PBX
	// Groups tells the mapping groups of a person, the one that decides first
	// coming first. Default: none.
	Groups func(TeamsUser, Principal) []string
}

// Match finds the persons that exist on both sides: those whose CloudLink
// address equals the user principal name or the mail of an Entra account,
// upper and lower case aside.
//
// A match counts only if it is unique both ways, because presence shown for the
// wrong person is worse than none. A disabled account is passed over
// where an enabled one has the address too. Of several entries of one side with
// the same id one counts. The result does not depend on the order of the input.
func Match(teams []TeamsUser, principals []Principal, opts *MatchOptions) Roster {
	m := newMatcher(opts)
	for _, g := range groupByAddress(m.accounts(teams), m.principals(principals)) {
		m.judge(g)
	}
	m.sort()
	return m.roster
}

type matcher struct {
	opts   MatchOptions
	roster Roster
}

func newMatcher(opts *MatchOptions) *matcher {
	m := &matcher{}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.Capabilities == nil {
		m.opts.Capabilities = DefaultCapabilities()
	}
	if m.opts.PBX == nil {
		m.opts.PBX = func(Principal) PBX { return MiVoiceBusiness }
	}
	if m.opts.Groups == nil {
		m.opts.Groups = func(TeamsUser, Principal) []string { return nil }
	}
	return m
}

// accounts returns the accounts that can be matched, each once.
func (m *matcher) accounts(teams []TeamsUser) []TeamsUser {
	sorted := slices.SortedFunc(slices.Values(teams), compareAccounts)
	var result []TeamsUser
	for i, t := range sorted {
		switch {
		case t.ID == "":
			m.exclude(t.exclusion(), ReasonNoID, "the directory gives no object id for this account: read the directory again")
		case i > 0 && sorted[i-1].ID == t.ID:
		case len(t.addresses()) == 0:
			m.exclude(t.exclusion(), ReasonNoEmail, "the account has neither user principal name nor mail: give it one")
		default:
			result = append(result, t)
		}
	}
	return result
}

// principals returns the principals that can be matched, each once.
func (m *matcher) principals(principals []Principal) []Principal {
	sorted := slices.SortedFunc(slices.Values(principals), comparePrincipals)
	var result []Principal
	for i, p := range sorted {
		switch {
		case p.ID == "":
			m.exclude(p.exclusion(), ReasonNoID, "CloudLink gives no id for this user: read its users again")
		case i > 0 && sorted[i-1].ID == p.ID:
		case NormalizeEmail(p.Email) == "":
			m.exclude(p.exclusion(), ReasonNoEmail, "the CloudLink user has no e-mail address: enter that of the Teams account")
		default:
			result = append(result, p)
		}
	}
	return result
}

// judge decides about those who share an address, directly or through others.
func (m *matcher) judge(g addressGroup) {
	switch {
	case g.passedOver != "":
		m.excludeAll(g, ReasonDisabled, "the account is disabled, and an enabled one has "+g.passedOver+" too: that one counts")
	case len(g.principals) == 0:
		m.roster.TeamsOnly = append(m.roster.TeamsOnly, g.accounts...)
	case len(g.principals) == 1 && len(g.accounts) == 0:
		p := g.principals[0]
		m.exclude(p.exclusion(), ReasonUnmatched,
			fmt.Sprintf("no Entra account has %s as user principal name or mail: correct the address on one side", NormalizeEmail(p.Email)))
	case len(g.principals) == 1 && len(g.accounts) == 1:
		m.pair(g.accounts[0], g.principals[0])
	default:
		m.excludeAll(g, ReasonAmbiguous, g.String()+" share an address: give each person an address of their own")
	}
}

// pair decides about two entries that belong to each other.
func (m *matcher) pair(t TeamsUser, p Principal) {
	both := addressGroup{accounts: []TeamsUser{t}, principals: []Principal{p}}
	if !t.Enabled {
		m.excludeAll(both, ReasonDisabled, t.exclusion().label()+" is disabled: enable it, or remove the CloudLink user")
		return
	}
	user := User{
		TeamsID: t.ID, PrincipalID: p.ID, Email: NormalizeEmail(p.Email), Name: cmp.Or(t.Name, p.Name),
		Endpoints: slices.Clone(p.Endpoints), PBX: m.opts.PBX(p), Groups: slices.Clone(m.opts.Groups(t, p)),
	}
	limits := m.limits(user)
	if len(limits) == 2 {
		m.excludeAll(both, limits[0].Reason, limits[0].Detail+"; "+limits[1].Detail)
		return
	}
	m.roster.Users = append(m.roster.Users, user)
	m.roster.Limited = append(m.roster.Limited, limits...)
}

// limits returns at most one limitation for each direction.
func (m *matcher) limits(user User) []Limitation {
	var limits []Limitation
	limit := func(d Direction, reason Reason, detail string) {
		limits = append(limits, Limitation{User: user, Direction: d, Reason: reason, Detail: detail})
	}
	can := m.opts.Capabilities[user.PBX]
	system := "telephone system " + string(user.PBX)
	if user.PBX == "" {
		system = "unknown telephone system"
	}
	if !can.LineToTeams {
		limit(LineToTeams, ReasonUnsupportedPBX, "the "+system+" does not show its line state in Teams")
	} else if len(user.Endpoints) == 0 {
		limit(LineToTeams, ReasonNoEndpoint, "the CloudLink user has no telephone whose state could be shown in Teams")
	}
	if !can.TeamsToMiCollab {
		limit(TeamsToMiCollab, ReasonUnsupportedPBX, "the "+system+" does not take Teams presence")
	}
	return limits
}

func (m *matcher) exclude(e Exclusion, reason Reason, detail string) {
	e.Reason, e.Detail = reason, detail
	m.roster.Excluded = append(m.roster.Excluded, e)
}

func (m *matcher) excludeAll(g addressGroup, reason Reason, detail string) {
	for _, e := range g.entries() {
		m.exclude(e, reason, detail)
	}
}

// sort brings the roster into an order that does not depend on the input's.
func (m *matcher) sort() {
	compareUsers := func(a, b User) int { return cmp.Or(cmp.Compare(a.Email, b.Email), cmp.Compare(a.TeamsID, b.TeamsID)) }
	slices.SortFunc(m.roster.Users, compareUsers)
	slices.SortFunc(m.roster.Limited, func(a, b Limitation) int { return compareUsers(a.User, b.User) })
	slices.SortFunc(m.roster.Excluded, func(a, b Exclusion) int {
		return cmp.Or(-cmp.Compare(a.Side, b.Side), cmp.Compare(a.Email, b.Email), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(m.roster.TeamsOnly, func(a, b TeamsUser) int {
		return cmp.Or(cmp.Compare(a.exclusion().Email, b.exclusion().Email), cmp.Compare(a.ID, b.ID))
	})
}
