package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge"
)

func checkMonitorsStore(_ context.Context, f *facts, _ string) finding {
	evidence := []Evidence{{"monitors", strconv.Itoa(len(f.pool.Monitors))}}
	if n := f.pool.FormerKeys; n > 0 {
		evidence = append(evidence, Evidence{"sealed with a former key", count(n, "monitor")})
	}
	if err := f.pool.Err; err != nil {
		return failed("The store of the monitors could not be read or written when it was last used.", instruction(err), append(evidence, ofError(err))...)
	}
	return passed(evidence...)
}

func checkMonitorsRunning(_ context.Context, f *facts, _ string) finding {
	var elsewhere []string
	for _, m := range f.pool.Monitors {
		if m.Keeper != "" && !m.Here && !slices.Contains(elsewhere, m.Keeper) {
			elsewhere = append(elsewhere, m.Keeper)
		}
	}
	slices.Sort(elsewhere)
	evidence := []Evidence{{"process", f.pool.Holder}, {"decides who watches whom", yesOrNo(f.pool.Planner)}, {"other processes that keep monitors", names(elsewhere)}}
	if !f.pool.Running {
		return failed("The pool of monitors does not run in this process.", "", evidence...)
	}
	return passed(evidence...)
}

func checkMonitorsApplication(_ context.Context, f *facts, _ string) finding {
	has, wants := f.pool.Application, f.settings
	evidence := []Evidence{{"tenant of the monitors", has.TenantID}, {"client id of the monitors", has.ClientID}}
	var differ []string
	if !strings.EqualFold(has.TenantID, wants.TenantID) {
		differ = append(differ, fmt.Sprintf("the tenant %s, and the configuration names %s", orNone(has.TenantID), wants.TenantID))
	}
	if !strings.EqualFold(has.ClientID, wants.ClientID) {
		differ = append(differ, fmt.Sprintf("the client id %s, and the configuration names %s", orNone(has.ClientID), wants.ClientID))
	}
	if len(differ) > 0 {
		return failed("The monitors belong to "+strings.Join(differ, ", and to ")+".", "", evidence...)
	}
	return passed(evidence...)
}

// checkMonitorsSufficient counts the monitors whatever their state: those that do
// not work have checks of their own.
func checkMonitorsSufficient(_ context.Context, f *facts, _ string) finding {
	p, has := &f.pool, 0
	for _, m := range p.Monitors {
		if !m.Leaving {
			has++
		}
	}
	evidence := []Evidence{
		{"users that can be monitored", strconv.Itoa(p.Users)}, {"users subscribed", strconv.Itoa(p.Subscribed)},
		{"monitors needed", strconv.Itoa(p.Needed)}, {"of them spares", strconv.Itoa(p.Spares)}, {"monitors", strconv.Itoa(has)},
	}
	if n := len(p.Unwatched); n > 0 {
		evidence = append(evidence, Evidence{"not watched now", strconv.Itoa(n)}, Evidence{"who they are", names(f.people(p.Unwatched))})
	}
	atLeast, missing := p.Needed-p.Spares, p.Needed-has
	toAdd := fmt.Sprintf("Create %s in Entra, add each to the pool with a client secret of its own, and authorize it.", count(missing, "further presence monitor"))
	switch {
	case has < atLeast && len(p.Overflow) > 0:
		return failed(fmt.Sprintf("%s, and there %s: there is no place for %s: %s.", needed(p.Users, atLeast), thereAre(has), count(len(p.Overflow), "user"), names(f.people(p.Overflow))), toAdd, evidence...).naming(f.people(p.Overflow))
	case has < atLeast:
		return failed(fmt.Sprintf("%s, and there %s.", needed(p.Users, atLeast), thereAre(has)), toAdd, evidence...)
	case missing > 0:
		return warned(fmt.Sprintf("Every user has a place, but of %s in reserve %d %s missing.", count(p.Spares, "monitor"), missing, isOrAre(missing)), toAdd, evidence...)
	case p.Users == 0 && f.direction == presencebridge.Bidirectional && len(f.roster.Users) > len(f.roster.Limited):
		return warned(fmt.Sprintf("Nobody has told the pool whom to watch, though %s matched.", count(len(f.roster.Users), "user")+" "+isOrAre(len(f.roster.Users))),
			"Run the check again in a minute. If it stays so, give the pool to Bridge.Watch.", evidence...).by(Operator)
	default:
		return passed(evidence...)
	}
}

// needed says how many monitors so many users take.
func needed(users, monitors int) string {
	if users == 1 {
		return "1 user needs 1 monitor"
	}
	return fmt.Sprintf("%d users need %s", users, count(monitors, "monitor"))
}

// thereAre says how many there are.
func thereAre(n int) string {
	if n == 0 {
		return "is none"
	}
	return isOrAre(n) + " " + strconv.Itoa(n)
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
