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

func checkOneWayReady(_ context.Context, f *facts, _ string) finding {
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

func checkBidirectionalReady(_ context.Context, f *facts, _ string) finding {
	users := len(served(&f.roster, presence.TeamsToMiCollab))
	if users == 0 {
		return notApplicable("There is nobody for whom this direction is: see " + string(CodeUsersLimited) + ".")
	}
	return passed(Evidence{"users", fmt.Sprint(users)}, Evidence{"presence monitors", fmt.Sprint(len(f.pool.Monitors))}, Evidence{"users watched", fmt.Sprint(f.pool.Subscribed)})
}

func checkUpgrade(_ context.Context, f *facts, _ string) finding {
	state := UpgradeState{
		Users:       len(served(&f.roster, presence.TeamsToMiCollab)),
		RedirectURI: f.settings.RedirectURI, NotificationURL: f.settings.NotificationURL, Permissions: f.sources.Entra.Permissions(),
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
	if len(lacks) == 0 {
		return passed(Evidence{"users", fmt.Sprint(state.Users)}, Evidence{"presence monitors", fmt.Sprint(state.Monitors)})
	}
	var list []string
	for _, l := range lacks {
		list = append(list, l.Name)
	}
	outcome := notApplicable(fmt.Sprintf("An upgrade to both directions still lacks: %s.", names(list)))
	outcome.Lacks = lacks
	return outcome
}
