package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A request for a token goes on when nobody waits for it any more, within a bound of
// its own, so that a refresh token that it uses up is not lost.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/presencebridge/presencebridge/internal/tokens.(*Source).run"))
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// lastLine is the form of the last line. Whether a change of Teams shows under a
// call, and so is a change, depends on how fast this machine is: 78, one less or a few more.
// Of the 1,510 people who are watched, two monitors have no room for 210: 440 move
// when the first monitor's secret expires, 440 when the second monitor is taken
// away, and the 210 who are left then when there is another one.
var lastLine = regexp.MustCompile(`^users=1511 changes=(7|8)\d teams_writes=[1-9]\d* micollab_writes=[1-9]\d* echoes=0 monitors=3 moved=1090 unwatched=0 p50=\S+s p99=\S+s agree=true$`)

// aDay is how long the day of a test takes, which is played in real time. With the
// race detector one day is enough, and it must be a long one: the services would
// otherwise be slower than the day allows.
func aDay(t *testing.T, first bool) string {
	t.Helper()
	switch {
	case !slowedDown:
		t.Parallel()
		return "16s"
	case !first:
		t.Skip("the race detector has seen a day already")
	}
	return "60s"
}

func TestDayEndsWithBothSidesInAgreement(t *testing.T) {
	day := aDay(t, true)
	var out, errs buffer
	code := run(t.Context(), []string{"-once", "-day", day}, &out, &errs)
	text := out.String()
	require.Zero(t, code, "%s\n%s", text, errs.String())
	assert.Empty(t, errs.String())
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	assert.Regexp(t, lastLine, lines[len(lines)-1], text)
	assert.NotContains(t, text, "\x1b", "no colour where there is no terminal")
	for _, want := range []string{
		"Kurt Goedel  left out: no Entra account has kurt@example.test",
		"Otto Hahn    Teams only: the telephone system MiVoice Office 400",
		"Niels Bohr   MiCollab only: ",
		"Ada Byron    phone connected       → Teams Busy/InACall",
		"Ada Byron    Teams Busy/InACall (own) → MiCollab keeps Available",
		"Alan Turing  phone dnd on          → Teams DoNotDisturb/Presenting",
		"Emmy Noether Teams Busy/InAMeeting → MiCollab In a meeting",
		"Leo Euler    Teams DoNotDisturb/Presenting → MiCollab Presenting",
		"Lise Meitner Teams BeRightBack     → MiCollab Be right back",
		"Carl Gauss   Teams Offline/OutOfOffice → MiCollab Out of office",
		"Otto Hahn    Teams Busy/InACall → MiCollab left alone (MiVoice Office 400)",
		"Kurt Goedel  phone connected       → nowhere (no Entra account)",
		"Hedy Lamarr  Teams notification lost",
		"Hedy Lamarr  Teams Busy/InACall → MiCollab In a call (by reconcile)",
		"Marie Curie  Teams notification sent twice",
		"Marie Curie  Teams DoNotDisturb/Focusing → MiCollab Focusing",
		"Grace Hopper Teams session renewed → Busy/InACall for 45m",
		"Ada Byron    MiCollab Busy → back to Available (Teams decides)",
		"presence.monitor.1@example.test watches 650 people.",
		"Monitor 1    secret expired: The client secret has expired. Create a",
		"Monitors     440 people have another monitor; 210 people are watched by",
		"Monitor 1    subscribed: It watches 210 users.",
		"Monitors     everybody is watched",
		"Monitor 2    removed",
		"Monitor 4    not authorized: Nobody has signed in as the monitor yet.",
		"Monitor 4    subscribed: It watches 210 users.",
		"Monitors     210 people have another monitor; everybody is watched",
	} {
		assert.Contains(t, text, want)
	}
	ofTheDay := regexp.MustCompile(`^(\d\d:\d\d| {4,})`)
	for _, l := range lines {
		if ofTheDay.MatchString(l) {
			assert.LessOrEqual(t, width(l), 80, l)
		}
	}
}

func TestDayAsJSONLines(t *testing.T) {
	day := aDay(t, false)
	var out, errs buffer
	code := run(t.Context(), []string{"-once", "-json", "-day", day}, &out, &errs)
	require.Zero(t, code, "%s\n%s", out.String(), errs.String())
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	events := map[string]int{}
	for _, l := range lines {
		var object struct{ Event string }
		require.NoError(t, json.Unmarshal([]byte(l), &object), l)
		events[object.Event]++
	}
	for _, event := range []string{lineIntro, lineLimited, lineExcluded, lineChange, lineEcho, lineFault, lineMonitor, lineVerdict, "summary"} {
		assert.Positive(t, events[event], event)
	}
	var s map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &s))
	assert.Equal(t, "summary", s["event"])
	assert.Equal(t, true, s["agree"])
	assert.EqualValues(t, 1511, s["users"])
	assert.EqualValues(t, 3, s["monitors"])
	assert.EqualValues(t, 1090, s["moved"])
	assert.EqualValues(t, 0, s["unwatched"])
	assert.InDelta(t, 79, s["changes"], 4)
	assert.Zero(t, s["echoes"])
	assert.Positive(t, s["p50_ms"])
	assert.GreaterOrEqual(t, s["p99_ms"], s["p50_ms"])
}

func TestDemonstrationStaysUpUntilInterrupted(t *testing.T) {
	day := aDay(t, false)
	ctx, interrupt := withCancel(t)
	var out, errs buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"-day", day}, &out, &errs) }()
	page := regexp.MustCompile(`The bridge stays up: interrupt it to stop\. Status page: (http://127\.0\.0\.1:\d+/)\n`)
	if !assert.Eventually(t, func() bool { return page.MatchString(out.String()) || len(code) > 0 }, 2*time.Minute, 20*time.Millisecond) || len(code) > 0 {
		printed := out.String()
		require.Fail(t, "the demonstration has not come to its end", "%s\n%s", printed[max(0, len(printed)-3000):], errs.String())
	}
	url := page.FindStringSubmatch(out.String())[1]

	var status struct {
		Direction string
		Roster    struct{ Users, Limited, Excluded []any }
		Monitors  struct {
			UsersThatCanBeWatched, MonitorsNeeded, Users, UsersSubscribed int
			Unwatched                                                     []string
			Monitors                                                      []struct {
				Name, State, Sentence string
				Actions               []string
				Users, Subscribed     int
			}
		}
		Watcher struct{ State string }
		Writes  struct {
			Teams, MiCollab int
			Last            []any
		}
	}
	getJSON(t, url, 200, &status)
	assert.Equal(t, "bidirectional", status.Direction)
	assert.Len(t, status.Roster.Users, 1511)
	assert.Len(t, status.Roster.Limited, 2)
	assert.Len(t, status.Roster.Excluded, 1)
	assert.Equal(t, 1950, status.Monitors.UsersThatCanBeWatched)
	assert.Equal(t, 3, status.Monitors.MonitorsNeeded)
	assert.Equal(t, 1510, status.Monitors.Users, "the one without the direction needs no watching")
	assert.Equal(t, 1510, status.Monitors.UsersSubscribed)
	assert.Empty(t, status.Monitors.Unwatched)
	require.Len(t, status.Monitors.Monitors, 3)
	first := status.Monitors.Monitors[0]
	assert.Equal(t, "presence.monitor.1@example.test", first.Name)
	assert.Equal(t, "subscribed", first.State)
	assert.Equal(t, "It watches 650 users.", first.Sentence)
	assert.Equal(t, []string{"retry", "renew", "delete"}, first.Actions)
	assert.Equal(t, 650, first.Subscribed)
	assert.Equal(t, "presence.monitor.4@example.test", status.Monitors.Monitors[2].Name)
	assert.Equal(t, "subscribed", status.Watcher.State)
	assert.Positive(t, status.Writes.Teams)
	assert.Positive(t, status.Writes.MiCollab)
	assert.NotEmpty(t, status.Writes.Last)

	var why struct {
		User  struct{ Name string }
		Shown string
	}
	getJSON(t, url+"explain?user=ada@example.test", 200, &why)
	assert.Equal(t, "Ada Byron", why.User.Name)
	assert.Equal(t, "Offline", why.Shown)
	var fault struct{ Error string }
	getJSON(t, url+"explain?user=kurt@example.test", 404, &fault)
	assert.Contains(t, fault.Error, "unmatched")
	getJSON(t, url+"explain", 400, &fault)
	assert.Contains(t, fault.Error, "/explain?user=")

	interrupt()
	require.Zero(t, <-code, errs.String())
}

func TestInterruptedDayIsAFailureOfOnceOnly(t *testing.T) {
	t.Parallel()
	ctx, interrupt := withCancel(t)
	var out, errs buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"-once", "-day", "1h"}, &out, &errs) }()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "Kurt") }, 30*time.Second, 10*time.Millisecond)
	interrupt()
	assert.Equal(t, exitFailed, <-code)
	assert.Equal(t, "bridge: interrupted before the end of the day\n", errs.String())
}

func TestCommandLine(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"help":               {[]string{"-h"}, 0, "-config FILE"},
		"unknown flag":       {[]string{"-x"}, exitUsage, "flag provided but not defined: -x"},
		"argument":           {[]string{"bridge.yaml"}, exitUsage, `"bridge.yaml" is not expected: everything is a flag`},
		"check without file": {[]string{"-check"}, exitUsage, "-check needs -config FILE"},
		"once with file":     {[]string{"-config", "x", "-once"}, exitUsage, "-once and -json belong to the demonstration"},
		"too short a day":    {[]string{"-day", "1s"}, exitUsage, "-day is 1s: use 16s to 1h0m0s"},
		"no such file":       {[]string{"-config", "/nowhere/bridge.yaml"}, exitUsage, "no such file"},
		"not a file":         {[]string{"-config", t.TempDir()}, exitUsage, "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs buffer
			assert.Equal(t, test.code, run(t.Context(), test.args, &out, &errs))
			assert.Contains(t, errs.String(), test.want)
			assert.Empty(t, out.String())
		})
	}
}
