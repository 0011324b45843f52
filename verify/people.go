package verify

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// reasonWords say in a few words why somebody is not kept in step, behind a name.
func reasonWords(r presence.Reason) string {
	switch r {
	case presence.ReasonNoID:
		return "no id"
	case presence.ReasonUnreadable:
		return "unreadable"
	case presence.ReasonNoEmail:
		return "no e-mail address"
	case presence.ReasonUnmatched:
		return "no Entra account has this address"
	case presence.ReasonAmbiguous:
		return "shared address"
	case presence.ReasonDisabled:
		return "disabled in Entra"
	case presence.ReasonNoEndpoint:
		return "no telephone"
	case presence.ReasonUnsupportedPBX:
		return "unsupported telephone system"
	default:
		return string(r)
	}
}

// sideWords names an entry of a side.
func sideWords(s presence.Side) string {
	if s == presence.SideTeams {
		return "Entra account"
	}
	return "CloudLink user"
}

// nameOf names an entry as well as it can be.
func nameOf(e presence.Exclusion) string {
	return cmp.Or(e.Email, e.Name, e.ID, sideWords(e.Side)+" without a name")
}

// tellEntries names entries, each with its reason, and the first of them with what is
// wrong and what to do as evidence.
func tellEntries(entries []presence.Exclusion) (list []string, evidence []Evidence) {
	for i, e := range entries {
		list = append(list, nameOf(e)+" ("+reasonWords(e.Reason)+")")
		if i < maxNames {
			evidence = append(evidence, Evidence{nameOf(e), e.Detail})
		}
	}
	return list, evidence
}

// are begins a sentence about n of something: "1 user is", "2 users are".
func are(n int, one, several string) string {
	if n == 1 {
		return "1 " + one + " is"
	}
	return strconv.Itoa(n) + " " + several + " are"
}

// excluded returns those of the roster's exclusions that are of the reasons.
func (f *facts) excluded(reasons ...presence.Reason) []presence.Exclusion {
	var entries []presence.Exclusion
	for _, e := range f.roster.Excluded {
		if slices.Contains(reasons, e.Reason) {
			entries = append(entries, e)
		}
	}
	return entries
}

func checkUsersMatched(_ context.Context, f *facts, _ string) finding {
	// Of a pair that was found and refused both sides are excluded, so each side is
	// counted by itself.
	var cloudLink, entra int
	reasons := make(map[presence.Reason]int)
	for _, e := range f.roster.Excluded {
		if e.Side == presence.SideTeams {
			entra++
			continue
		}
		cloudLink++
		reasons[e.Reason]++
	}
	users := len(f.roster.Users)
	cloudLink, entra = cloudLink+users, entra+users+len(f.roster.TeamsOnly)
	evidence := []Evidence{
		{"users in step", strconv.Itoa(users)}, {"CloudLink users", strconv.Itoa(cloudLink)}, {"Entra accounts", strconv.Itoa(entra)},
		{"Entra accounts without a CloudLink user", strconv.Itoa(len(f.roster.TeamsOnly))},
	}
	var why []string
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		why = append(why, strconv.Itoa(reasons[r])+" "+reasonWords(r))
		evidence = append(evidence, Evidence{"left out: " + reasonWords(r), strconv.Itoa(reasons[r])})
	}
	switch {
	case users > 0:
		return passed(evidence...)
	case cloudLink == 0 && entra == 0:
		return failed("The bridge knows of nobody, on either side.", "Wait until the bridge has read the users of both sides, and run the check again. If it stays so, enter the users in CloudLink.", evidence...)
	case cloudLink == 0:
		return failed("CloudLink lists no users.", "Enter the users in CloudLink, each with the address of the Teams account.", evidence...)
	case entra == 0:
		return failed("Entra lists no accounts.", "Make sure that the tenant is the right one.", evidence...).by(AzureAdministrator)
	case reasons[presence.ReasonUnmatched]+reasons[presence.ReasonNoEmail] > 0:
		return failed(fmt.Sprintf("Of %s and %s nobody is the same person: %s.", count(cloudLink, "CloudLink user"), count(entra, "Entra account"), names(why)), "", evidence...)
	default:
		list, details := tellEntries(slices.DeleteFunc(slices.Clone(f.roster.Excluded), func(e presence.Exclusion) bool { return e.Side == presence.SideTeams }))
		return failed(fmt.Sprintf("Everybody of %s is left out: %s.", count(cloudLink, "CloudLink user"), names(list)), "Do what the reason of each says.", append(evidence, details...)...).naming(list)
	}
}

func checkUsersUnmatched(_ context.Context, f *facts, _ string) finding {
	entries := f.excluded(presence.ReasonUnmatched, presence.ReasonNoEmail)
	number := Evidence{"unmatched", strconv.Itoa(len(entries))}
	if len(entries) == 0 {
		return passed(number)
	}
	list, evidence := tellEntries(entries)
	return warned(fmt.Sprintf("%s cannot be matched: %s.", count(len(entries), "user"), names(list)), "", append([]Evidence{number}, evidence...)...).naming(list)
}

func checkUsersAmbiguous(_ context.Context, f *facts, _ string) finding {
	entries := f.excluded(presence.ReasonAmbiguous)
	evidence := []Evidence{{"ambiguous entries", strconv.Itoa(len(entries))}}
	if len(entries) == 0 {
		return passed(evidence...)
	}
	// Their addresses are the same, so the ids tell them apart; those who share one
	// have the same detail.
	var list, groups []string
	for _, e := range entries {
		list = append(list, sideWords(e.Side)+" "+nameOf(e)+" ("+cmp.Or(e.ID, "no id")+")")
		if !slices.Contains(groups, e.Detail) && len(groups) < maxNames {
			groups = append(groups, e.Detail)
			evidence = append(evidence, Evidence{"who is concerned", e.Detail})
		}
	}
	return warned(fmt.Sprintf("%d entries share an address with another one, so that nobody can tell who is who: %s.", len(entries), names(list)), "", evidence...).naming(list)
}

func checkUsersLeftOut(_ context.Context, f *facts, _ string) finding {
	entries, passedOver := f.leftOut()
	evidence := []Evidence{{"left out", strconv.Itoa(len(entries))}}
	if len(passedOver) > 0 {
		list, _ := tellEntries(passedOver)
		evidence = append(evidence, Evidence{"disabled accounts in whose place an enabled one counts", names(list)})
	}
	if len(entries) == 0 {
		return passed(evidence...)
	}
	list, details := tellEntries(entries)
	return warned(fmt.Sprintf("%s left out: %s.", are(len(entries), "person", "people"), names(list)), "", append(evidence, details...)...).naming(list)
}

// leftOut returns the entries that are neither unmatched nor ambiguous and yet left
// out, each pair once, and the disabled accounts that nobody misses: an enabled one
// has their address, and counts.
func (f *facts) leftOut() (entries, passedOver []presence.Exclusion) {
	// Whatever is not the matter of the other checks: an embedder's directory may
	// have reasons of its own.
	all := slices.DeleteFunc(slices.Clone(f.roster.Excluded), func(e presence.Exclusion) bool {
		return e.Reason == presence.ReasonUnmatched || e.Reason == presence.ReasonNoEmail || e.Reason == presence.ReasonAmbiguous
	})
	// Both sides of a pair have the same detail.
	pairs := make(map[string]bool)
	for _, e := range all {
		if e.Side == presence.SideCloudLink && e.Reason != presence.ReasonNoID && e.Reason != presence.ReasonUnreadable {
			entries, pairs[e.Detail] = append(entries, e), true
		}
	}
	for _, e := range all {
		switch {
		case e.Reason == presence.ReasonNoID, e.Reason == presence.ReasonUnreadable:
			entries = append(entries, e)
		case e.Side != presence.SideTeams, pairs[e.Detail]:
		case e.Reason == presence.ReasonDisabled:
			passedOver = append(passedOver, e)
		default:
			entries = append(entries, e)
		}
	}
	return entries, passedOver
}

func checkUsersLimited(_ context.Context, f *facts, _ string) finding {
	var (
		list      []string
		evidence  []Evidence
		uncounted int
	)
	for _, l := range f.roster.Limited {
		if l.Direction == presence.TeamsToMiCollab && f.direction != presencebridge.Bidirectional {
			uncounted++
			continue
		}
		way := "telephone not shown in Teams"
		if l.Direction == presence.TeamsToMiCollab {
			way = "Teams not shown in MiCollab"
		}
		name := cmp.Or(l.User.Email, l.User.Name, l.User.TeamsID)
		list = append(list, name+" ("+way+": "+reasonWords(l.Reason)+")")
		if len(evidence) < maxNames {
			evidence = append(evidence, Evidence{name, l.Detail})
		}
	}
	numbers := []Evidence{{"limited", strconv.Itoa(len(list))}}
	if uncounted > 0 {
		numbers = append(numbers, Evidence{"limited in the direction that is not used", strconv.Itoa(uncounted)})
	}
	if len(list) == 0 {
		return passed(numbers...)
	}
	return warned(fmt.Sprintf("%s not kept in step in each direction: %s.", are(len(list), "user", "users"), names(list)), "", append(numbers, evidence...)...).naming(list)
}

func checkUsersWatched(_ context.Context, f *facts, _ string) finding {
	list := f.people(f.sources.Bridge.Overflow())
	number := Evidence{"not watched", strconv.Itoa(len(list))}
	switch {
	case len(list) == 0:
		return passed(number)
	case f.pool.Users == 0:
		return notApplicable("Nobody has told the pool whom to watch: the check "+string(CodeMonitorsSufficient)+" says what to do.", number)
	}
	return warned(fmt.Sprintf("No subscription watches the Teams presence of %s: %s.", count(len(list), "user"), names(list)), "", number).naming(list)
}
