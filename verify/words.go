package verify

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNames is how many names one sentence lists.
const maxNames = 10

// names lists at most maxNames of the list, and how many more there are.
func names(list []string) string {
	if more := len(list) - maxNames; more > 0 {
		return strings.Join(list[:maxNames], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return strings.Join(list, ", ")
}

// count returns "1 user" or "3 users".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// ago tells how long before the run t was: "3 minutes ago".
func ago(f *facts, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	switch d := f.startedAt.Sub(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour") + " ago"
	default:
		return count(int(d/(24*time.Hour)), "day") + " ago"
	}
}

// date returns the day of t in UTC, such as 2026-03-31.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// asSentence makes a sentence of the words of an error: "check the region" becomes
// "Check the region."
func asSentence(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), ".")
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

// ofError is the evidence of an error.
func ofError(err error) Evidence {
	if err == nil {
		return Evidence{}
	}
	return Evidence{"error", err.Error()}
}

// waiting returns a wait in words, rounded up: "45 seconds", "3 minutes".
func waiting(d time.Duration) string {
	if d <= 90*time.Second {
		return count(int((d+time.Second-1)/time.Second), "second")
	}
	return count(int((d+time.Minute-1)/time.Minute), "minute")
}

// minute returns t in UTC to the minute, for a sentence; empty for the zero time.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// moment returns a time as evidence has it; empty for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// reason returns what an error says is wrong, without what it says to do and
// without a period.
func reason(err error) string {
	text := err.Error()
	if r := remedy(err); r != "" {
		text = strings.TrimSuffix(text, ": "+r)
	}
	return strings.TrimSuffix(text, ".")
}

// instruction returns what an error says to do as a sentence; empty if it does
// not.
func instruction(err error) string { return asSentence(remedy(err)) }
