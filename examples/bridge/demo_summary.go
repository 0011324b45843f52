package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// summary is the outcome of a day. Every figure is counted.
type summary struct {
	Event string `json:"event"`
	// Users is how many people are kept in step, in one direction or both.
	Users int `json:"users"`
	// Changes is how many changes people made, as the doubles recorded them.
	Changes int `json:"changes"`
	// TeamsWrites and MiCollabWrites are what the bridge says that it wrote.
	TeamsWrites    int `json:"teams_writes"`
	MiCollabWrites int `json:"micollab_writes"`
	// Echoes is how many writes were caused by a change that the bridge itself
	// had made.
	Echoes int `json:"echoes"`
	// Monitors is how many presence monitors watch users at the end, Moved how
	// often a user came from one to another, and Unwatched how many users nobody
	// watches at the end, by the subscriptions that the double has.
	Monitors  int `json:"monitors"`
	Moved     int `json:"moved"`
	Unwatched int `json:"unwatched"`
	// P50 and P99 are of the time from a change to the end of the write that it
	// led to, in milliseconds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// Agree: both sides show, for everybody, what the mapping table says.
	Agree bool `json:"agree"`

	p50, p99 time.Duration
	// differences say who does not agree, and miscounts where the bridge's
	// account of its writes is not what the doubles received.
	differences []line
	miscounts   []string
}

const verdictAgree = "agree"

// String is the last line of a day.
func (s *summary) String() string {
	return fmt.Sprintf("users=%d changes=%d teams_writes=%d micollab_writes=%d echoes=%d monitors=%d moved=%d unwatched=%d p50=%v p99=%v agree=%t",
		s.Users, s.Changes, s.TeamsWrites, s.MiCollabWrites, s.Echoes, s.Monitors, s.Moved, s.Unwatched, s.p50.Round(time.Millisecond), s.p99.Round(time.Millisecond), s.Agree)
}

// good reports whether the day may end with exit code 0.
func (s *summary) good() bool { return s.Agree && len(s.miscounts) == 0 }

// sum compares both sides for every user and counts.
func (l *ledger) sum(b *presencebridge.Bridge) *summary {
	roster := b.Roster()
	s := &summary{Event: "summary", Users: len(roster.Users), Changes: l.company.changes()}
	l.mu.Lock()
	writes, took := slices.Clone(l.writes), slices.Clone(l.took)
	l.mu.Unlock()
	for _, w := range writes {
		if w.Destination == presencebridge.DestinationTeams {
			s.TeamsWrites++
		} else {
			s.MiCollabWrites++
		}
		if l.echoes(w) {
			s.Echoes++
		}
	}
	s.p50, s.p99 = quantile(took, 0.5), quantile(took, 0.99)
	s.P50, s.P99 = inMilliseconds(s.p50), inMilliseconds(s.p99)
	s.Monitors, s.Moved, s.Unwatched = l.watched(roster)
	s.differences = l.differences(b, roster)
	s.Agree = len(s.differences) == 0
	s.miscounts = l.company.miscounts(s)
	return s
}

// changes counts what people did, by the doubles' own records.
func (co *company) changes() int {
	n := 0
	for _, c := range co.graph.History() {
		if byPerson(c.Cause) {
			n++
		}
	}
	for _, c := range co.cloudlink.History() {
		if c.Cause != cloudlinktest.CauseAPI {
			n++
		}
	}
	return n
}

// echoes reports whether a write was caused by something that the bridge
// itself had written before: the newest record, from before the write, of the state
// that the bridge names as the cause tells whose doing that state was.
func (l *ledger) echoes(w presencebridge.Write) bool {
	if w.Destination == presencebridge.DestinationMiCollab {
		l.mu.Lock()
		sights := slices.Clone(l.shown[w.User.TeamsID])
		l.mu.Unlock()
		for _, sight := range slices.Backward(sights) {
			if !sight.at.After(w.Time) && sight.presence.SameState(w.Cause.Presence) {
				return sight.own
			}
		}
		return false
	}
	for _, c := range slices.Backward(l.company.cloudlink.History()) {
		if slices.Contains(w.User.Endpoints, c.EndpointID) && !c.Time.After(w.Time) && c.Line.SameState(w.Cause.Line) {
			return c.Cause == cloudlinktest.CauseAPI
		}
	}
	return false
}

// differences names everybody for whom the sides do not show what the default
// mapping table says of what the doubles hold.
func (l *ledger) differences(b *presencebridge.Bridge, roster presence.Roster) []line {
	var all []line
	differ := func(m *member, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if e, err := b.Explain(m.email); err == nil {
			// The last writes tell enough.
			e.Writes = e.Writes[max(0, len(e.Writes)-2):]
			text += ". " + strings.ReplaceAll(strings.TrimSpace(e.String()), "\n", "; ")
		} else {
			text += ". " + service.Plain(err)
		}
		all = append(all, line{Event: lineDiffers, Person: m.name, Note: text})
	}
	kept := map[string]bool{}
	for _, u := range roster.Users {
		kept[u.TeamsID] = true
	}
	for _, m := range l.company.everybody {
		if m.teamsID == "" {
			continue
		}
		if !kept[m.teamsID] {
			differ(m, "is not kept in step")
			continue
		}
		if m.extension != "" {
			line, shows := l.company.cloudlink.Line(m.extension), l.company.ownSession(m)
			if want, effect := l.table.Session(line); effect != presence.Leave && want != shows {
				differ(m, "the phone is %s, so the session in Teams should be %s and is %s", line, want, shows)
			}
		}
		shows := l.company.cloudlink.Status(m.principalID)
		if want, effect := l.table.Status(l.beneath(m)); m.site != siteBranch && effect == presence.Set && want != shows {
			differ(m, "Teams is %s, so MiCollab should show %q and shows %q", l.beneath(m), want, shows)
		}
	}
	return all
}

// miscounts compares the bridge's account with the requests that the doubles
// received.
func (co *company) miscounts(s *summary) []string {
	teams, micollab := int(co.received.teams.Load()), int(co.received.micollab.Load())
	var faults []string
	if teams != s.TeamsWrites {
		faults = append(faults, fmt.Sprintf("the bridge reports %d writes to Teams and the double received %d", s.TeamsWrites, teams))
	}
	if micollab != s.MiCollabWrites {
		faults = append(faults, fmt.Sprintf("the bridge reports %d writes to MiCollab and the double received %d", s.MiCollabWrites, micollab))
	}
	return faults
}

// received counts the requests by which the doubles are written to. Their own lists
// of requests are shorter than a day of this company.
type received struct{ teams, micollab atomic.Int64 }

func (r *received) count(co *company) {
	co.graph.Control(0, func(request *http.Request) *graphtest.Reply {
		if path := request.URL.Path; request.Method == http.MethodPost && (strings.HasSuffix(path, "/setPresence") || strings.HasSuffix(path, "/clearPresence")) {
			r.teams.Add(1)
		}
		return nil
	})
	co.cloudlink.Control(0, func(request *http.Request) *cloudlinktest.Reply {
		if request.Method == http.MethodPut && strings.HasPrefix(request.URL.Path, "/presence/") {
			r.micollab.Add(1)
		}
		return nil
	})
}
