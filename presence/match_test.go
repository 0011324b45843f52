package presence_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

func account(id, upn, mail string) presence.TeamsUser {
	return presence.TeamsUser{ID: id, PrincipalName: upn, Mail: mail, Name: "Teams " + id, Enabled: true}
}

func disabled(t presence.TeamsUser) presence.TeamsUser {
	t.Enabled = false
	return t
}

func principal(id, email string) presence.Principal {
	return presence.Principal{ID: id, Email: email, Name: "Mitel " + id, Endpoints: []string{"20" + id}}
}

// excluded returns "side id reason" of every exclusion.
func excluded(r presence.Roster) []string {
	var result []string
	for _, e := range r.Excluded {
		result = append(result, fmt.Sprintf("%s %s %s", e.Side, e.ID, e.Reason))
	}
	return result
}

func pairs(r presence.Roster) []string {
	var result []string
	for _, u := range r.Users {
		result = append(result, u.TeamsID+"="+u.PrincipalID)
	}
	return result
}

func TestMatch(t *testing.T) {
	tests := []struct {
		name       string
		teams      []presence.TeamsUser
		principals []presence.Principal
		pairs      []string
		excluded   []string
		teamsOnly  []string
	}{
		{name: "nobody"},
		{
			name:  "by user principal name",
			teams: []presence.TeamsUser{account("t1", "Anna@X", "anna.b@x")}, principals: []presence.Principal{principal("1", " anna@x ")},
			pairs: []string{"t1=1"},
		},
		{
			name:  "by mail",
			teams: []presence.TeamsUser{account("t1", "anna@x", "Anna.B@x")}, principals: []presence.Principal{principal("1", "anna.b@X")},
			pairs: []string{"t1=1"},
		},
		{
			name:  "no telephone system account",
			teams: []presence.TeamsUser{account("t1", "anna@x", "")}, teamsOnly: []string{"t1"},
		},
		{
			name:  "no Entra account",
			teams: []presence.TeamsUser{account("t1", "anna@x", "")}, principals: []presence.Principal{principal("1", "bea@x")},
			excluded: []string{"cloudlink 1 unmatched"}, teamsOnly: []string{"t1"},
		},
		{
			name:       "no address",
			teams:      []presence.TeamsUser{account("t1", " ", "")},
			principals: []presence.Principal{principal("1", " ")},
			excluded:   []string{"teams t1 no-email", "cloudlink 1 no-email"},
		},
		{
			name:       "no id",
			teams:      []presence.TeamsUser{account("", "anna@x", ""), account("", "bea@x", "")},
			principals: []presence.Principal{principal("", "anna@x")},
			excluded:   []string{"teams  no-id", "teams  no-id", "cloudlink  no-id"},
		},
		{
			name:       "two principals with one address",
			teams:      []presence.TeamsUser{account("t1", "anna@x", "")},
			principals: []presence.Principal{principal("1", "anna@x"), principal("2", "ANNA@x")},
			excluded:   []string{"teams t1 ambiguous", "cloudlink 1 ambiguous", "cloudlink 2 ambiguous"},
		},
		{
			name:       "two principals with one address that nobody has in Teams",
			principals: []presence.Principal{principal("1", "anna@x"), principal("2", "anna@x")},
			excluded:   []string{"cloudlink 1 ambiguous", "cloudlink 2 ambiguous"},
		},
		{
			name:       "user principal name of one and mail of another",
			teams:      []presence.TeamsUser{account("t1", "anna@x", ""), account("t2", "a2@x", "anna@x")},
			principals: []presence.Principal{principal("1", "anna@x")},
			excluded:   []string{"teams t1 ambiguous", "teams t2 ambiguous", "cloudlink 1 ambiguous"},
		},
		{
			name:       "one account asked for by two principals",
			teams:      []presence.TeamsUser{account("t1", "anna@x", "a.b@x")},
			principals: []presence.Principal{principal("1", "anna@x"), principal("2", "a.b@x")},
			excluded:   []string{"teams t1 ambiguous", "cloudlink 2 ambiguous", "cloudlink 1 ambiguous"},
		},
		{
			name:       "ambiguity spreads along shared addresses",
			teams:      []presence.TeamsUser{account("t1", "anna@x", ""), account("t2", "a2@x", "anna@x")},
			principals: []presence.Principal{principal("1", "anna@x"), principal("2", "a2@x"), principal("3", "bea@x")},
			excluded: []string{
				"teams t1 ambiguous", "teams t2 ambiguous", "cloudlink 2 ambiguous", "cloudlink 1 ambiguous", "cloudlink 3 unmatched",
			},
		},
		{
			name:      "accounts that share an address nobody asks for",
			teams:     []presence.TeamsUser{account("t1", "anna@x", ""), account("t2", "a2@x", "anna@x")},
			teamsOnly: []string{"t1", "t2"},
		},
		{
			name:       "disabled account",
			teams:      []presence.TeamsUser{disabled(account("t1", "anna@x", "")), disabled(account("t2", "bea@x", ""))},
			principals: []presence.Principal{principal("1", "anna@x")},
			excluded:   []string{"teams t1 disabled", "cloudlink 1 disabled"},
			teamsOnly:  []string{"t2"},
		},
		{
			name:       "disabled account beside an enabled one",
			teams:      []presence.TeamsUser{disabled(account("t1", "old@x", "anna@x")), account("t2", "anna@x", "")},
			principals: []presence.Principal{principal("1", "anna@x")},
			pairs:      []string{"t2=1"},
			excluded:   []string{"teams t1 disabled"},
		},
		{
			name:       "an entry read twice",
			teams:      []presence.TeamsUser{account("t1", "anna@x", ""), account("t1", "anna@x", "")},
			principals: []presence.Principal{principal("1", "anna@x"), principal("1", "anna@x")},
			pairs:      []string{"t1=1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			roster := presence.Match(tt.teams, tt.principals, nil)
			assert.Equal(t, tt.pairs, pairs(roster))
			assert.Equal(t, tt.excluded, excluded(roster))
			var teamsOnly []string
			for _, u := range roster.TeamsOnly {
				teamsOnly = append(teamsOnly, u.ID)
			}
			assert.Equal(t, tt.teamsOnly, teamsOnly)
			assert.Empty(t, roster.Limited)
			for _, e := range roster.Excluded {
				assert.NotEmpty(t, e.Detail)
			}
		})
	}
}

func TestMatchFillsTheUser(t *testing.T) {
	p := principal("1", "Anna@x")
	roster := presence.Match([]presence.TeamsUser{account("t1", "anna@x", "")}, []presence.Principal{p}, &presence.MatchOptions{
		PBX:          func(presence.Principal) presence.PBX { return presence.MXONE },
		Capabilities: presence.ExtendedCapabilities(),
		Groups:       func(presence.TeamsUser, presence.Principal) []string { return []string{"sales"} },
	})
	require.Len(t, roster.Users, 1)
	assert.Equal(t, presence.User{
		TeamsID: "t1", PrincipalID: "1", Email: "anna@x", Name: "Teams t1", Endpoints: []string{"201"}, PBX: presence.MXONE, Groups: []string{"sales"},
	}, roster.Users[0])
	assert.Empty(t, roster.Limited)

	p.Endpoints[0] = "changed"
	assert.Equal(t, []string{"201"}, roster.Users[0].Endpoints, "the input is not kept")
}

func TestMatchNamesEverybodyInAnAmbiguity(t *testing.T) {
	roster := presence.Match(
		[]presence.TeamsUser{account("t1", "anna@x", ""), account("t2", "a2@x", "anna@x")},
		[]presence.Principal{principal("1", "anna@x")}, nil)
	require.Len(t, roster.Excluded, 3)
	for _, e := range roster.Excluded {
		assert.Contains(t, e.Detail, "Entra account anna@x (t1)")
		assert.Contains(t, e.Detail, "Entra account anna@x (t2)")
		assert.Contains(t, e.Detail, "CloudLink user anna@x (1)")
	}
}

func TestMatchLimits(t *testing.T) {
	const onlyIn presence.PBX = "only in"
	capabilities := presence.DefaultCapabilities()
	capabilities[onlyIn] = presence.Capability{TeamsToMiCollab: true}
	tests := []struct {
		name      string
		pbx       presence.PBX
		endpoints []string
		limited   []string
		excluded  []string
	}{
		{"everything", presence.MiVoiceBusiness, []string{"1"}, nil, nil},
		{"line only", presence.MXONE, []string{"1"}, []string{"teams-to-micollab unsupported-pbx"}, nil},
		{"Teams only", onlyIn, []string{"1"}, []string{"line-to-teams unsupported-pbx"}, nil},
		{"no telephone", presence.MiVoiceBusiness, nil, []string{"line-to-teams no-endpoint"}, nil},
		{"no telephone, line only", presence.MXONE, nil, nil, []string{"teams t1 no-endpoint", "cloudlink 1 no-endpoint"}},
		{"unknown system", "Asterisk", []string{"1"}, nil, []string{"teams t1 unsupported-pbx", "cloudlink 1 unsupported-pbx"}},
		{"no system", "", []string{"1"}, nil, []string{"teams t1 unsupported-pbx", "cloudlink 1 unsupported-pbx"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := principal("1", "anna@x")
			p.Endpoints = tt.endpoints
			roster := presence.Match([]presence.TeamsUser{account("t1", "anna@x", "")}, []presence.Principal{p}, &presence.MatchOptions{
				Capabilities: capabilities,
				PBX:          func(presence.Principal) presence.PBX { return tt.pbx },
			})
			var limited []string
			for _, l := range roster.Limited {
				limited = append(limited, fmt.Sprintf("%s %s", l.Direction, l.Reason))
				assert.Equal(t, roster.Users[0], l.User)
				assert.NotEmpty(t, l.Detail)
			}
			assert.Equal(t, tt.limited, limited)
			assert.Equal(t, tt.excluded, excluded(roster))
			assert.Equal(t, tt.excluded == nil, len(roster.Users) == 1)
		})
	}
}

func drawPeople(t *rapid.T) ([]presence.TeamsUser, []presence.Principal) {
	address := rapid.SampledFrom([]string{"", "a@x", "A@x", "b@x", "c@x", "d@x", "e@x"})
	teams := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) presence.TeamsUser {
		return presence.TeamsUser{
			ID: rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "t5", "t6"}).Draw(t, "id"), PrincipalName: address.Draw(t, "upn"),
			Mail: address.Draw(t, "mail"), Enabled: rapid.IntRange(0, 3).Draw(t, "enabled") > 0,
		}
	}), 0, 6).Draw(t, "teams")
	principals := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) presence.Principal {
		return presence.Principal{
			ID: rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"}).Draw(t, "id"), Email: address.Draw(t, "email"),
			Endpoints: rapid.SliceOfN(rapid.SampledFrom([]string{"2001", "2002"}), 0, 1).Draw(t, "endpoints"),
			SiteID:    rapid.SampledFrom([]string{"MiVoice Business", "MX-ONE", "?"}).Draw(t, "site"),
		}
	}), 0, 6).Draw(t, "principals")
	return teams, principals
}

var bySite = &presence.MatchOptions{PBX: func(p presence.Principal) presence.PBX { return presence.PBX(p.SiteID) }}

func TestMatchDropsNobodyAndNamesNobodyTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		teams, principals := drawPeople(t)
		roster := presence.Match(teams, principals, bySite)
		seen := map[string]int{}
		for _, u := range roster.Users {
			seen["teams "+u.TeamsID]++
			seen["cloudlink "+u.PrincipalID]++
		}
		for _, e := range roster.Excluded {
			seen[string(e.Side)+" "+e.ID]++
		}
		for _, u := range roster.TeamsOnly {
			seen["teams "+u.ID]++
		}
		want := map[string]int{}
		for _, u := range teams {
			want["teams "+u.ID] = 1
		}
		for _, p := range principals {
			want["cloudlink "+p.ID] = 1
		}
		assert.Equal(t, want, seen)
		for _, l := range roster.Limited {
			assert.Contains(t, roster.Users, l.User)
		}
	})
}

func TestMatchIsUniqueBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		teams, principals := drawPeople(t)
		if !unique(teams, func(a presence.TeamsUser) string { return a.ID }) ||
			!unique(principals, func(p presence.Principal) string { return p.ID }) {
			return // of entries with the same id one counts: which, this property does not say
		}
		for _, u := range presence.Match(teams, principals, bySite).Users {
			askedBy, enabled := map[string]bool{}, map[string]bool{}
			for _, p := range principals {
				if presence.NormalizeEmail(p.Email) == u.Email {
					askedBy[p.ID] = true
				}
			}
			for _, a := range teams {
				has := presence.NormalizeEmail(a.PrincipalName) == u.Email || presence.NormalizeEmail(a.Mail) == u.Email
				if has && a.Enabled {
					enabled[a.ID] = true
				}
			}
			assert.Equal(t, map[string]bool{u.PrincipalID: true}, askedBy)
			assert.Equal(t, map[string]bool{u.TeamsID: true}, enabled)
		}
	})
}

// unique reports whether no two of the entries have the same id.
func unique[T any](entries []T, id func(T) string) bool {
	ids := map[string]bool{}
	for _, e := range entries {
		ids[id(e)] = true
	}
	return len(ids) == len(entries)
}

func TestMatchDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		teams, principals := drawPeople(t)
		want := presence.Match(teams, principals, bySite)
		shuffledTeams := rapid.Permutation(slices.Clone(teams)).Draw(t, "shuffled teams")
		shuffledPrincipals := rapid.Permutation(slices.Clone(principals)).Draw(t, "shuffled principals")
		assert.Equal(t, want, presence.Match(shuffledTeams, shuffledPrincipals, bySite))
	})
}
