package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// entraAccount and mitelUser make entries of the two sides, matched by [presence.Match]
// as the bridge does.
func entraAccount(id, address string) presence.TeamsUser {
	return presence.TeamsUser{ID: id, PrincipalName: address, Enabled: true}
}

func disabledAccount(id, address string) presence.TeamsUser {
	return presence.TeamsUser{ID: id, PrincipalName: address}
}

func mitelUser(id, address string, endpoints ...string) presence.Principal {
	return presence.Principal{ID: id, Email: address, Endpoints: endpoints, SiteID: "MiVoice Business"}
}

func userOn400(id, address string, endpoints ...string) presence.Principal {
	return presence.Principal{ID: id, Email: address, Endpoints: endpoints, SiteID: string(presence.MiVoiceOffice400)}
}

func rosterOf(teams []presence.TeamsUser, principals []presence.Principal) func(*plant, *SystemOptions, *SystemSettings) {
	return func(p *plant, _ *SystemOptions, _ *SystemSettings) {
		p.roster = presence.Match(teams, principals, &presence.MatchOptions{PBX: func(p presence.Principal) presence.PBX { return presence.PBX(p.SiteID) }})
	}
}

func oneWayAfter(first func(*plant, *SystemOptions, *SystemSettings)) func(*plant, *SystemOptions, *SystemSettings) {
	return func(p *plant, o *SystemOptions, s *SystemSettings) {
		first(p, o, s)
		p.direction = presencebridge.OneWay
	}
}

func TestPeopleChecks(t *testing.T) {
	type teams = []presence.TeamsUser
	type mitel = []presence.Principal
	ada, adas := entraAccount("t1", "ada@example.com"), mitelUser("1", "Ada@example.com", "2001")
	hal := presence.Principal{ID: "2", Name: "Hal"}
	two := rosterOf(teams{ada, entraAccount("t2", "ada@example.com")}, mitel{adas})
	gone := rosterOf(teams{ada, disabledAccount("t2", "bob@example.com")}, mitel{adas, mitelUser("2", "bob@example.com", "2002")})
	// Ada's old account is disabled, and has the address of her new one.
	replaced := rosterOf(teams{ada, disabledAccount("t0", "ada@example.com")}, mitel{adas})
	odd := func(p *plant, _ *SystemOptions, _ *SystemSettings) {
		p.roster.Excluded = append(p.roster.Excluded,
			presence.Exclusion{Side: presence.SideTeams, Reason: presence.ReasonUnreadable, Detail: "an account without an id"},
			presence.Exclusion{Side: presence.SideCloudLink, Email: "eve@example.com", Reason: presence.ReasonNoID, Detail: "read its users again"},
			presence.Exclusion{Side: presence.SideCloudLink, ID: "9", Name: "Zoe", Reason: "a new reason", Detail: "unknown to these checks"})
	}
	limited := rosterOf(teams{ada, entraAccount("t2", "bob@example.com")}, mitel{mitelUser("1", "ada@example.com"), userOn400("2", "bob@example.com", "2002")})
	checkTroubles(t, []trouble{
		{name: "nobody at all", code: CodeUsersMatched, cause: rosterOf(nil, nil), status: Failed, sentence: "The bridge knows of nobody", remedy: "Wait until the bridge has read"},
		{name: "no users in CloudLink", code: CodeUsersMatched, cause: rosterOf(teams{ada}, nil), status: Failed, sentence: "CloudLink lists no users.", remedy: "Enter the users in CloudLink"},
		{name: "no accounts", code: CodeUsersMatched, cause: rosterOf(nil, mitel{adas}), status: Failed, sentence: "Entra lists no accounts.", remedy: "Make sure that the tenant", administrator: AzureAdministrator},
		{name: "other addresses", code: CodeUsersMatched, cause: rosterOf(teams{entraAccount("t1", "ada@other.example")}, mitel{adas, hal}),
			status: Failed, sentence: "Of 2 CloudLink users and 1 Entra account nobody is the same person: 1 no e-mail address, 1 no Entra account has this address."},
		{name: "everybody refused", code: CodeUsersMatched, cause: rosterOf(teams{disabledAccount("t1", "ada@example.com")}, mitel{adas}),
			status: Failed, sentence: "ada@example.com (disabled in Entra)", remedy: "Do what the reason of each says."},

		{name: "two", code: CodeUsersUnmatched, cause: rosterOf(teams{ada}, mitel{adas, hal, mitelUser("3", "zoe@example.com")}),
			status: Warned, sentence: "2 users cannot be matched: Hal (no e-mail address), zoe@example.com (no Entra account has this address)."},
		{name: "shared address", code: CodeUsersUnmatched, cause: two, status: Passed},

		{name: "two accounts", code: CodeUsersAmbiguous, cause: two, status: Warned,
			sentence: "3 entries share an address with another one, so that nobody can tell who is who: Entra account ada@example.com (t1), Entra account ada@example.com (t2), CloudLink user ada@example.com (1)."},
		{name: "disabled", code: CodeUsersAmbiguous, cause: replaced, status: Passed},

		{name: "disabled", code: CodeUsersLeftOut, cause: gone, status: Warned, sentence: "1 person is left out: bob@example.com (disabled in Entra)."},
		{name: "replaced", code: CodeUsersLeftOut, cause: replaced, status: Passed},
		{name: "no direction", code: CodeUsersLeftOut, cause: rosterOf(teams{ada}, mitel{userOn400("1", "ada@example.com")}), status: Warned, sentence: "1 person is left out: ada@example.com (no telephone)."},
		{name: "odd entries", code: CodeUsersLeftOut, cause: odd, status: Warned,
			sentence: "3 people are left out: Zoe (a new reason), Entra account without a name (unreadable), eve@example.com (no id)."},
		{name: "unmatched", code: CodeUsersLeftOut, cause: rosterOf(teams{ada}, mitel{adas, hal}), status: Passed},

		{name: "bidirectional", code: CodeUsersLimited, cause: limited, status: Warned,
			sentence: "2 users are not kept in step in each direction: ada@example.com (telephone not shown in Teams: no telephone), bob@example.com (Teams not shown in MiCollab: unsupported telephone system)."},
		{name: "one-way", code: CodeUsersLimited, cause: oneWayAfter(limited), status: Warned,
			sentence: "1 user is not kept in step in each direction: ada@example.com (telephone not shown in Teams: no telephone)."},
		{name: "of the other direction", code: CodeUsersLimited, cause: oneWayAfter(rosterOf(teams{ada}, mitel{userOn400("1", "ada@example.com", "2001")})), status: Passed},

		{name: "some", code: CodeUsersWatched, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) {
			p.overflow = []string{"id-cy", "id-ada", "id-gone"}
		},
			status: Warned, sentence: "No subscription watches the Teams presence of 3 users: ada@example.com, cy@example.com, id-gone."},
		{name: "nobody has told the pool", code: CodeUsersWatched, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) {
			p.overflow, p.pool.Users = []string{"id-ada", "id-bob", "id-cy"}, 0
		}, status: NotApplicable, sentence: "the check monitors-sufficient says what to do"},
		{name: "one-way", code: CodeUsersWatched, cause: oneWayAfter(func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.overflow = []string{"id-cy"} }),
			status: NotApplicable, sentence: "not bidirectional"},
	})
}

func TestMatchedUsersAreCountedOnBothSides(t *testing.T) {
	p := newPlant()
	rosterOf([]presence.TeamsUser{entraAccount("t1", "ada@example.com"), entraAccount("t2", "tim@example.com"), disabledAccount("t3", "bob@example.com")},
		[]presence.Principal{mitelUser("1", "ada@example.com", "2001"), mitelUser("2", "bob@example.com", "2002"), mitelUser("3", "zoe@example.com", "2003")})(p, nil, nil)
	r := p.only(t, nil, CodeUsersMatched)[0]
	assert.Equal(t, Passed, r.Status)
	assert.Equal(t, "1", r.value("users in step"))
	assert.Equal(t, "3", r.value("CloudLink users"))
	assert.Equal(t, "3", r.value("Entra accounts"))
	assert.Equal(t, "1", r.value("Entra accounts without a CloudLink user"))
	assert.Equal(t, "1", r.value("left out: disabled in Entra"))
	assert.Equal(t, "1", r.value("left out: no Entra account has this address"))
}

func TestALongListIsCutAndCounted(t *testing.T) {
	p := newPlant()
	var principals []presence.Principal
	for i := range 25 {
		principals = append(principals, mitelUser(fmt.Sprint(i), fmt.Sprintf("user%02d@example.com", i)))
	}
	rosterOf(nil, principals)(p, nil, nil)
	r := p.only(t, nil, CodeUsersUnmatched)[0]
	assert.Equal(t, 10, strings.Count(r.Sentence, "@example.com"))
	assert.Contains(t, r.Sentence, "25 users cannot be matched")
	assert.Contains(t, r.Sentence, " and 15 more.")
	assert.Len(t, r.Evidence, 11)
	assert.Equal(t, "25", r.value("unmatched"))
	assert.Contains(t, r.value("user00@example.com"), "correct the address on one side")
}
