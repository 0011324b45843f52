package presence_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestParseRulesCanonicalForm(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"case", "PHONE OUTOFSERVICE -> LEAVE", "phone outOfService -> leave"},
		{"session", "phone Held->away / AWAY", "phone held -> Away/Away"},
		{"clear", "phone idle -> Clear", "phone idle -> clear"},
		{"do-not-disturb", "phone DND -> doNotDisturb/presenting", "phone dnd -> DoNotDisturb/Presenting"},
		{"do-not-disturb first", "phone dnd+connected -> clear", "phone dnd+connected -> clear"},
		{"do-not-disturb last", "phone connected + dnd -> clear", "phone dnd+connected -> clear"},
		{"wildcard", "teams busyidle / * -> busy", "teams BusyIdle/* -> Busy"},
		{"out of office", "teams */offwork + OutOfOffice -> x", "teams */OffWork +outofoffice -> x"},
		{"status of its own", "teams Busy/Busy ->  on the Phone  ", "teams Busy/Busy -> on the Phone"},
		{"remark", "teams Busy/Busy -> Busy # why", "teams Busy/Busy -> Busy"},
		{"number sign inside a word", "teams Busy/Busy -> desk#4", `teams Busy/Busy -> "desk#4"`},
		{"quoted status", `teams Busy/Busy -> "desk # \"4\" \\" # why`, `teams Busy/Busy -> "desk # \"4\" \\"`},
		{"needless quotes", `teams Busy/"busy" -> "Busy"`, "teams Busy/Busy -> Busy"},
		{"status called leave", `teams Busy/Busy -> "Leave"`, `teams Busy/Busy -> "Leave"`},
		{"status called clear", `teams Busy/Busy -> "clear"`, `teams Busy/Busy -> "clear"`},
		{"status with an arrow", "teams Busy/Busy -> a -> b", "teams Busy/Busy -> a -> b"},
		{"undocumented words", `teams "Sleeping"/"In.A-Dream_1" -> leave`, `teams "sleeping"/"in.a-dream_1" -> leave`},
		{"undocumented state", `phone dnd+"Parked" -> leave`, `phone dnd+"parked" -> leave`},
		{"byte order mark and CRLF", "\ufeff# hi\r\nphone idle -> clear\r\n", "phone idle -> clear"},
		{"nothing", "\n  \n# only a remark", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules := parsed(t, tt.text)
			assert.Equal(t, tt.want, strings.TrimSuffix(rules.String(), "\n"))
			assert.Equal(t, rules.String(), parsed(t, rules.String()).String())
		})
	}
}

func TestParseRulesFaults(t *testing.T) {
	tests := []struct{ name, text, problem, remedy string }{
		{"no arrow", "phone idle clear", "no arrow", "->"},
		{"no kind", "-> clear", "begins with phone or teams", ""},
		{"wrong kind", "mobile idle -> clear", "begins with phone or teams", ""},
		{"no state", "phone -> clear", "line state is missing", "outOfService"},
		{"wildcard state", "phone * -> clear", "line state is missing", ""},
		{"unknown state", "phone connectd -> clear", `"connectd" is no documented line state`, "connected"},
		{"two states", "phone idle+ringing -> clear", "one line state", "two rules"},
		{"do-not-disturb twice", "phone dnd+dnd -> clear", `"dnd" is no documented line state`, ""},
		{"trailing word", "phone idle ringing -> clear", `"ringing" does not belong`, ""},
		{"session not allowed", "phone idle -> Busy/Busy", "application may set", "Busy/InAConferenceCall"},
		{"session undocumented", "phone idle -> x", "application may set", "leave"},
		{"no session", "phone idle ->", "application may set", "clear"},
		{"no activity", "teams Busy -> x", "activity is missing", "AVAILABILITY/*"},
		{"unknown availability", "teams Avail/* -> x", `"Avail" is no documented availability`, "BeRightBack"},
		{"unknown activity", "teams */InCall -> x", `"InCall" is no documented activity`, "double quotes"},
		{"everything", "teams */* -> x", "*/* speaks of everything", ""},
		{"empty activity", "teams Busy/ -> x", "activity is missing", ""},
		{"empty availability", "teams /Busy -> x", "availability is missing", ""},
		{"other plus", "teams Busy/Busy +dnd -> x", "only outofoffice", "+outofoffice"},
		{"empty quotes", `teams ""/Busy -> x`, "empty", ""},
		{"open quotes", `teams "Busy/Busy -> x`, "not closed", ""},
		{"quoted kind", `"teams" Busy/Busy -> x`, "begins with", ""},
		{"sign", "teams Busy:Busy -> x", "no meaning", ""},
		{"sign in quotes", `teams "Bu sy"/Busy -> x`, "signs in it", ""},
		{"clear in teams", "teams Busy/Busy -> clear", "phone rules only", "leave"},
		{"no status", "teams Busy/Busy ->", "nothing follows", "leave"},
		{"quote in status", `teams Busy/Busy -> a "b" c`, "double quote", `\"`},
		{"backquoted status", "teams Busy/Busy -> `a\"b`", "double quote", ""},
		{"status with a line break", `teams Busy/Busy -> "a\nb"`, "one line of text", ""},
		{"status of spaces", `teams Busy/Busy -> " "`, "one line of text", ""},
		{"status not UTF-8", "teams Busy/Busy -> a\xff", "one line of text", ""},
		{"long status", "teams Busy/Busy -> " + strings.Repeat("ä", 65), "65 characters", "at most 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := presence.ParseRules([]byte("\n" + tt.text))
			assert.Zero(t, rules.Len())
			var fault *presence.SyntaxError
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, 2, fault.Line)
			assert.Equal(t, tt.text, fault.Text)
			assert.Contains(t, fault.Problem, tt.problem)
			assert.Contains(t, fault.Remedy, tt.remedy)
			assert.NotEmpty(t, fault.Remedy)
			assert.NotContains(t, err.Error(), "\n", "one fault, one line")
		})
	}
	parsed(t, "teams Busy/Busy -> "+strings.Repeat("ä", 64))
}

func TestParseRulesReportsEveryFault(t *testing.T) {
	_, err := presence.ParseRules([]byte(`phone idle -> clear
phone connectd -> clear
PHONE Idle -> leave
teams Busy/Busy -> Busy
teams Busy/InCall -> x
teams busy/busy -> Busy`))
	var lines []int
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	for _, e := range joined.Unwrap() {
		var fault *presence.SyntaxError
		require.ErrorAs(t, e, &fault)
		lines = append(lines, fault.Line)
	}
	assert.Equal(t, []int{2, 3, 5, 6}, lines)
	assert.ErrorContains(t, err, `mapping line 3: "PHONE Idle -> leave": line 1 has a rule for phone idle already: remove one of them`)
	assert.ErrorContains(t, err, "line 4 has a rule for teams Busy/Busy already")
}

func TestSyntaxErrorShortensLongText(t *testing.T) {
	_, err := presence.ParseRules([]byte(strings.Repeat("x", 10_000)))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 300)
}

func TestRulesAsText(t *testing.T) {
	type config struct {
		Mapping presence.Rules `json:"mapping"`
	}
	var c config
	require.NoError(t, json.Unmarshal([]byte(`{"mapping":"phone idle -> clear\nphone held -> leave"}`), &c))
	assert.Equal(t, 2, c.Mapping.Len())

	require.Error(t, json.Unmarshal([]byte(`{"mapping":"phone"}`), &c))
	assert.Equal(t, 2, c.Mapping.Len(), "unchanged by a fault")

	text, err := json.Marshal(c)
	require.NoError(t, err)
	assert.JSONEq(t, `{"mapping":"phone idle -> clear\nphone held -> leave\n"}`, string(text))
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(presence.DefaultRules().String()))
	f.Add([]byte(`teams "Sleeping"/* +outofoffice -> "a # \" b" # c`))
	f.Add([]byte("phone dnd+\"x\" -> clear\r\nteams */\"y\"->leave\n"))
	f.Add([]byte("\ufeffphone idle -> x\xff\nteams Busy/Busy -> \\\"#"))
	f.Add([]byte("teams \"a\"/\"a\" -> b\nteams Busy/* -> leave\nteams Busy/Busy +outofoffice -> c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := presence.ParseRules(text)
		if err != nil {
			var fault *presence.SyntaxError
			require.ErrorAs(t, err, &fault)
			require.Zero(t, rules.Len())
			return
		}
		again, err := presence.ParseRules([]byte(rules.String()))
		require.NoError(t, err, "%q", rules.String())
		require.Equal(t, rules.String(), again.String())
		mapping, err := presence.NewMapping(&presence.Layers{Everyone: rules})
		require.NoError(t, err)
		flat := mapping.For(presence.User{}).Rules()
		_, err = presence.ParseRules([]byte(flat.String()))
		require.NoError(t, err)
	})
}
