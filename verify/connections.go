package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// doing says what a connection is for.
func doing(connection string) string {
	switch connection {
	case "directory":
		return "read the users of both sides"
	case "teams-read":
		return "read Teams presence"
	case "teams-write":
		return "write Teams presence"
	case "phone-read":
		return "read line states"
	case "micollab-read":
		return "read MiCollab statuses"
	case "micollab-write":
		return "write MiCollab statuses"
	default:
		return "use the connection " + connection
	}
}

// checkConnection returns the check of some of the bridge's connections.
func checkConnection(connections ...string) func(context.Context, *facts, string) finding {
	return func(_ context.Context, f *facts, _ string) finding {
		var outcomes []finding
		var evidence []Evidence
		unused := 0
		for _, connection := range connections {
			i := slices.IndexFunc(f.health, func(h presencebridge.Health) bool { return h.Connection == connection })
			if i < 0 {
				outcomes = append(outcomes, warned(fmt.Sprintf("Whether the bridge can %s is not known: it does not tell of its connection %s.", doing(connection), connection),
					"Give SystemSources.Bridge a bridge that tells of all its connections."))
				continue
			}
			h := f.health[i]
			outcomes = append(outcomes, connected(f, h))
			if h.State == presencebridge.StateUnused {
				unused++
			}
			evidence = append(evidence, Evidence{connection, condition(h)})
		}
		if slices.Contains(connections, "directory") {
			evidence = append(evidence, Evidence{"users", fmt.Sprint(len(f.roster.Users))})
		}
		o := worst(outcomes, evidence)
		if o.Status == Passed && unused == len(connections) {
			return notApplicable("The bridge has not asked for anything there yet, so whether it gets an answer is not known.", evidence...)
		}
		return o
	}
}

// condition is a connection as evidence.
func condition(h presencebridge.Health) string {
	s := h.State
	if h.State == presencebridge.StateUnused {
		s += ", nothing has been asked yet"
	}
	if !h.LastSuccess.IsZero() {
		s += ", last answer " + minute(h.LastSuccess)
	}
	if h.Waiting > 0 {
		s += fmt.Sprintf(", %d waiting", h.Waiting)
	}
	return s
}

// connected judges one connection.
func connected(f *facts, h presencebridge.Health) finding {
	since := ""
	if !h.Since.IsZero() {
		since = " since " + minute(h.Since)
	}
	switch h.State {
	case presencebridge.StateFailing:
		if errors.Is(h.Err, presencebridge.ErrEmptyRoster) {
			return failed(fmt.Sprintf("A directory lists nobody%s, and the bridge goes on with the %d users that it knows: %v.", since, len(f.roster.Users), h.Err),
				"If people are gone on purpose, wait: the bridge believes it when the directory keeps saying so. Otherwise look at the role of the CloudLink credentials and at the permission User.Read.All.")
		}
		why := cmp.Or(h.Error, "it does not say why")
		if h.Err != nil {
			why = reason(h.Err)
		}
		return failed(fmt.Sprintf("The bridge cannot %s%s: %s.", doing(h.Connection), since, why), instruction(h.Err))
	case presencebridge.StateThrottled:
		until := ""
		if h.PausedUntil.After(f.startedAt) {
			until = ", and asks for a pause until " + minute(h.PausedUntil)
		}
		return warned(fmt.Sprintf("The service throttles the bridge%s when it wants to %s%s: changes come late.", since, doing(h.Connection), until),
			"Wait: the bridge gets slower by itself. If it stays so, let nothing else use the same application or credentials, and raise the reconcile interval.")
	}
	if h.Connection == "directory" && h.LastSuccess.IsZero() {
		return failed("The bridge has not read the users yet: it knows nobody, and keeps nobody in step.",
			"If it was started just now, run the check again in a minute. If it stays so, start the bridge: its Run reads the users.")
	}
	return passed()
}

// worst joins outcomes into one: that of the first one that is worst, with the
// sentences of the others of the same status.
func worst(outcomes []finding, evidence []Evidence) finding {
	result := passed(evidence...)
	for _, status := range []Status{Failed, Warned} {
		var sentences []string
		for _, o := range outcomes {
			if o.Status != status {
				continue
			}
			if len(sentences) == 0 {
				result = o
			}
			sentences = append(sentences, o.Sentence)
		}
		if len(sentences) > 0 {
			result.Sentence, result.Evidence = strings.Join(sentences, " "), evidence
			return result
		}
	}
	return result
}

// briefWindow is how long the window of a budget is at least for which it means
// something that most of it is used up. The budget of a second is used up whenever
// the bridge reads everybody, which then takes some seconds and no more.
const briefWindow = 5 * time.Second

// checkThrottling looks ahead. A service that throttles the bridge now is the business
// of the checks of the connections, without which this one is skipped.
func checkThrottling(_ context.Context, f *facts, _ string) finding {
	var usage []presence.BudgetUsage
	basis := "the roster alone: nobody has given the clients' counts"
	if f.sources.Usage != nil {
		usage, basis = f.sources.Usage(), ""
	}
	now := time.Now()
	var sentences []string
	var evidence []Evidence
	for _, u := range usage {
		evidence = append(evidence, Evidence{u.Name, fmt.Sprintf("%d of %d in %v", u.Used, u.Units, u.Window)})
		switch {
		case u.PausedUntil.After(now):
			sentences = append(sentences, fmt.Sprintf("The budget %q rests until %s, as its service asked.", u.Name, minute(u.PausedUntil)))
		case u.Window >= briefWindow && u.Units > 0 && float64(u.Used) >= f.opts.UsageWarning*float64(u.Units):
			sentences = append(sentences, fmt.Sprintf("Of the budget %q, %d of %d units were used within %v.", u.Name, u.Used, u.Units, u.Window))
		}
	}
	users, requests := len(f.roster.Users), "1 request"
	if users > bulkUsers {
		requests = fmt.Sprintf("%d requests", (users+bulkUsers-1)/bulkUsers)
	}
	evidence = append(evidence, Evidence{"reading everybody once", fmt.Sprintf("%d users in %s", users, requests)})
	if len(sentences) > 0 {
		return warned(strings.Join(sentences, " "), "", evidence...).on(basis)
	}
	return passed(evidence...).on(basis)
}

// bulkUsers is how many presences one request reads
// (learn.microsoft.com/graph/api/cloudcommunications-getpresencesbyuserid).
const bulkUsers = 650
