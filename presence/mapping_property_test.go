package presence_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// The words that the generators draw from: all that is documented, some words
// that are quoted in rules, and one that never is.
var (
	quotedWords  = []string{"sleeping", "dozing"}
	unlistedWord = "hibernating"
)

func availabilityWords() []string { return wordsOf(presence.Availabilities()) }
func activityWords() []string     { return wordsOf(presence.Activities()) }
func stateWords() []string        { return wordsOf(presence.LineStates()) }

func wordsOf[T ~string](documented []T) []string {
	var words []string
	for _, w := range documented {
		words = append(words, string(w))
	}
	return append(words, quotedWords...)
}

// rulesText draws one layer. Few words are likelier than many, so that rules
// of several layers meet.
func rulesText(t *rapid.T, label string) string {
	pick := func(words []string, label string) string {
		w := rapid.SampledFrom(words).Draw(t, label)
		if slices.Contains(quotedWords, w) {
			return `"` + w + `"`
		}
		return w
	}
	lines := map[string]string{}
	for range rapid.IntRange(0, 12).Draw(t, label) {
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			when := "phone " + rapid.SampledFrom([]string{"", "dnd+"}).Draw(t, "dnd") + pick(stateWords(), "state")
			if rapid.IntRange(0, 4).Draw(t, "any state") == 0 {
				when = "phone dnd"
			}
			sessions := []string{"leave", "clear"}
			for _, s := range presence.Sessions() {
				sessions = append(sessions, s.String())
			}
			lines[when] = rapid.SampledFrom(sessions).Draw(t, "session")
			continue
		}
		availability := pick(append([]string{"*", "Busy", "Busy", "Available", "PresenceUnknown"}, availabilityWords()...), "availability")
		activities := append([]string{"Busy", "OutOfOffice", "InACall", "PresenceUnknown"}, activityWords()...)
		if availability != "*" {
			activities = append(activities, "*", "*", "*", availability)
			if !slices.Contains(activityWords(), strings.Trim(availability, `"`)) {
				activities[len(activities)-1] = `"` + strings.Trim(availability, `"`) + `"`
			}
		}
		activity := rapid.SampledFrom(activities).Draw(t, "activity")
		if slices.Contains(quotedWords, activity) {
			activity = `"` + activity + `"`
		}
		when := "teams " + availability + "/" + activity + rapid.SampledFrom([]string{"", " +outofoffice"}).Draw(t, "oof")
		lines[when] = rapid.SampledFrom([]string{"leave", `"leave"`, "Busy", "a", "b", `"c # d"`}).Draw(t, "status")
	}
	var text strings.Builder
	for when, then := range lines {
		text.WriteString(when + " -> " + then + "\n")
	}
	return text.String()
}

func parsed(t require.TestingT, text string) presence.Rules {
	rules, err := presence.ParseRules([]byte(text))
	require.NoError(t, err, text)
	return rules
}

func everyPresence(yield func(presence.Presence) bool) {
	for _, availability := range append(availabilityWords(), unlistedWord, "", "*") {
		for _, activity := range append(activityWords(), unlistedWord, "", "*") {
			for _, outOfOffice := range []bool{false, true} {
				p := presence.Presence{
					Availability: presence.Availability(availability), Activity: presence.Activity(activity), OutOfOffice: outOfOffice,
				}
				if !yield(p) {
					return
				}
			}
		}
	}
}

func everyLine(yield func(presence.Line) bool) {
	for _, state := range append(stateWords(), unlistedWord, "", "*") {
		for _, doNotDisturb := range []bool{false, true} {
			if !yield(presence.Line{State: presence.LineState(state), DoNotDisturb: doNotDisturb}) {
				return
			}
		}
	}
}

func requireSameLookUps(t require.TestingT, want, got *presence.Table) {
	for p := range everyPresence {
		wantStatus, wantEffect := want.Status(p)
		status, effect := got.Status(p)
		if status != wantStatus || effect != wantEffect {
			require.Failf(t, "different look-up", "%s: want %s %q, got %s %q", p, wantEffect, wantStatus, effect, status)
		}
	}
	for l := range everyLine {
		wantSession, wantEffect := want.Session(l)
		session, effect := got.Session(l)
		if session != wantSession || effect != wantEffect {
			require.Failf(t, "different look-up", "%s: want %s %s, got %s %s", l, wantEffect, wantSession, effect, session)
		}
	}
}

func drawMapping(t *rapid.T) (*presence.Mapping, presence.User) {
	layers := &presence.Layers{
		Everyone: parsed(t, rulesText(t, "everyone")),
		Groups:   map[string]presence.Rules{"g": parsed(t, rulesText(t, "group")), "h": parsed(t, rulesText(t, "other group"))},
		Users:    map[string]presence.Rules{"u": parsed(t, rulesText(t, "user"))},
	}
	if rapid.Bool().Draw(t, "own base") {
		layers.Base = parsed(t, rulesText(t, "base"))
	}
	mapping, err := presence.NewMapping(layers)
	require.NoError(t, err)
	return mapping, presence.User{TeamsID: "u", Groups: []string{"h", "g"}}
}

func TestTablesAreTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mapping, user := drawMapping(t)
		table := mapping.For(user)
		for p := range everyPresence {
			status, effect := table.Status(p)
			assert.NotEqual(t, presence.Clear, effect, p)
			assert.Equal(t, effect == presence.Set, status != "", p)
			if table.StatusRule(p).IsZero() {
				assert.Equal(t, presence.Leave, effect, p)
			}
		}
		for l := range everyLine {
			session, effect := table.Session(l)
			assert.Equal(t, effect == presence.Set, !session.IsZero(), l)
			if effect == presence.Set {
				assert.NoError(t, session.Validate())
			}
			if table.SessionRule(l).IsZero() {
				assert.Equal(t, presence.Leave, effect, l)
			}
		}
	})
}

func TestDefaultTableIsTotal(t *testing.T) {
	table := presence.DefaultTable()
	for _, availability := range presence.Availabilities() {
		for _, activity := range presence.Activities() {
			for _, outOfOffice := range []bool{false, true} {
				p := presence.Presence{Availability: availability, Activity: activity, OutOfOffice: outOfOffice}
				_, effect := table.Status(p)
				assert.False(t, table.StatusRule(p).IsZero(), p)
				assert.Equal(t, p.Known(), effect == presence.Set, p)
			}
		}
	}
	for _, state := range presence.LineStates() {
		for _, doNotDisturb := range []bool{false, true} {
			assert.False(t, table.SessionRule(presence.Line{State: state, DoNotDisturb: doNotDisturb}).IsZero(), state)
		}
	}
}

func TestUnknownNeverWritesWithoutARule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mapping, user := drawMapping(t)
		table := mapping.For(user)
		availability := rapid.StringMatching(`[A-Za-z*/ ]{0,12}`).Draw(t, "availability")
		p := presence.Presence{
			Availability: presence.ParseAvailability(availability),
			Activity:     presence.Activity(rapid.SampledFrom(activityWords()).Draw(t, "activity")),
		}
		if slices.Contains(availabilityWords(), strings.ToLower(availability)) || p.Known() || p.Availability == presence.AvailabilityUnknown {
			return
		}
		_, effect := table.Status(p)
		assert.Equal(t, presence.Leave, effect, p)
	})
}

func TestLayeredTableEqualsItsFlattening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mapping, user := drawMapping(t)
		table := mapping.For(user)
		flat := table.Rules()
		if flat.Len() == 0 {
			return // an empty base is the default's place
		}
		mapping, err := presence.NewMapping(&presence.Layers{Base: parsed(t, flat.String())})
		require.NoError(t, err)
		requireSameLookUps(t, table, mapping.For(presence.User{}))
	})
}

func TestTextFormRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := parsed(t, rulesText(t, "rules"))
		again := parsed(t, rules.String())
		assert.Equal(t, rules.String(), again.String())
		requireSameLookUps(t, tableOf(t, rules), tableOf(t, again))
	})
}

func TestStatusTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 20, -1).Draw(t, "status")
		rules, err := presence.ParseRules([]byte("teams Busy/Busy -> " + name))
		if err != nil {
			return
		}
		requireSameLookUps(t, tableOf(t, rules), tableOf(t, parsed(t, rules.String())))
	})
}

func TestCaseDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		swap := func(s string) string {
			upper := rapid.SliceOfN(rapid.Bool(), len(s), len(s)).Draw(t, "upper")
			b := []byte(strings.ToLower(s))
			for i := range b {
				if upper[i] && 'a' <= b[i] && b[i] <= 'z' {
					b[i] -= 'a' - 'A'
				}
			}
			return string(b)
		}
		text := "phone dnd+held -> Away/Away\nphone \"parked\" -> CLEAR\nteams Busy/InACall +outofoffice -> In a call\nteams \"Sleeping\"/* -> Away\n"
		want, got := tableOf(t, parsed(t, text)), tableOf(t, parsed(t, swap(text)))
		requireSameLookUps(t, want, got)
		p := presence.Presence{
			Availability: presence.Availability(rapid.SampledFrom(availabilityWords()).Draw(t, "availability")),
			Activity:     presence.Activity(rapid.SampledFrom(activityWords()).Draw(t, "activity")),
		}
		q := presence.Presence{Availability: presence.Availability(swap(string(p.Availability))), Activity: presence.Activity(swap(string(p.Activity)))}
		assert.Equal(t, status(want, p), status(got, q), p)
	})
}

func tableOf(t require.TestingT, rules presence.Rules) *presence.Table {
	mapping, err := presence.NewMapping(&presence.Layers{Everyone: rules})
	require.NoError(t, err)
	return mapping.For(presence.User{})
}
