package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// served returns for whom a direction is: the users whom the roster does not
// leave out of it.
func served(roster *presence.Roster, direction presence.Direction) []presence.User {
	left := make(map[string]bool)
	for _, l := range roster.Limited {
		if l.Direction == direction {
			left[l.User.TeamsID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(roster.Users), func(u presence.User) bool { return left[u.TeamsID] })
}

func checkOneWayReady(_ context.Context, f *facts, _ string) Outcome {
	users := served(&f.roster, presence.LineToTeams)
	telephones, systems := 0, map[presence.PBX]int{}
	for _, u := range users {
		telephones += len(u.Endpoints)
		systems[u.PBX]++
	}
	evidence := []Evidence{{"users", fmt.Sprint(len(users))}, {"telephones", fmt.Sprint(telephones)}, {"telephone systems", counts(systems)}}
	if f.direction == presencebridge.Off {
		return notApplicable("The bridge is switched off: it changes nothing on either side. Nothing else is missing for this direction.", evidence...)
	}
	if len(users) == 0 {
		return notApplicable("There is nobody for whom this direction is: see "+string(CodeUsersLimited)+".", evidence...)
	}
	return passed(evidence...)
}

// counts returns what there is how often, by name.
func counts(of map[presence.PBX]int) string {
	var list []string
	for system, n := range of {
		list = append(list, fmt.Sprintf("%s: %d", system, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func checkBidirectionalReady(_ context.Context, f *facts, _ string) Outcome {
	users := len(served(&f.roster, presence.TeamsToMiCollab))
	if f.direction == presencebridge.Bidirectional && users == 0 {
		return notApplicable("There is nobody for whom this direction is: see " + string(CodeUsersLimited) + ".")
	}
	if f.direction == presencebridge.Bidirectional {
		return passed(Evidence{"users", fmt.Sprint(users)}, Evidence{"presence monitors", fmt.Sprint(len(f.pool.Monitors))},
			Evidence{"users watched", fmt.Sprint(f.pool.Subscribed)}, Evidence{"users beyond the monitors", fmt.Sprint(len(f.sources.Bridge.Overflow()))})
	}
	state := UpgradeState{
		Users: users, RedirectURI: f.settings.RedirectURI, NotificationURL: f.settings.NotificationURL, Permissions: f.sources.Entra.Permissions(),
	}
	for _, m := range f.pool.Monitors {
		if !m.Leaving && m.State != monitor.StateNotSetUp {
			state.Monitors++
		}
	}
	if registration, err := f.registration(); err == nil {
		state.Registration = &registration
	}
	if told, err := f.miCollab(); err == nil {
		state.MiCollab = &told.Server
	}
	lacks := Upgrade(state)
	outcome := notApplicable(fmt.Sprintf("The bridge is %s, and an upgrade to both directions lacks nothing.", f.direction))
	if len(lacks) > 0 {
		var list []string
		for _, l := range lacks {
			list = append(list, l.Name)
		}
		outcome = notApplicable(fmt.Sprintf("The bridge is %s. An upgrade to both directions still lacks: %s.", f.direction, names(list)))
	}
	outcome.Lacks = lacks
	return outcome
}
