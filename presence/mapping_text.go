package presence

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxStatusLength is the longest status that a rule may set, in characters.
// MiCollab's own limit is not published; this one is assumed.
const MaxStatusLength = 64

// The words of the text form that are not a vendor's.
const (
	wordPhone       = "phone"
	wordTeams       = "teams"
	wordDND         = "dnd"
	wordOutOfOffice = "outofoffice"
	wordLeave       = "leave"
	wordClear       = "clear"

	anyWord = "*" // in a condition: every value
	noWord  = ""  // a value that has no word; no condition has it
)

//go:embed mapping.txt
var defaultRules []byte

// Rules is one layer of a mapping table: a list of rules, each for one
// condition. It is immutable. The zero Rules has no rule.
//
// Rules are written as text, one to a line. The text of [DefaultRules], the
// file mapping.txt of this package, explains the form and is a good start for
// an own one.
type Rules struct{ rules []rule }

// rule says what becomes of a condition.
type rule struct {
	when condition
	outcome
	line int
}

// condition is what a rule speaks of. Documented words have the documented
// spelling in it, all others are in lower case.
type condition struct {
	phone        bool
	state        LineState    // phone
	availability Availability // teams
	activity     Activity     // teams
	flag         bool         // do-not-disturb, or out of office
}

// outcome is what a rule gives. The zero outcome is that of no rule at all.
type outcome struct {
	effect  Effect
	session Session
	status  Status
}

func outcomeOf(e *entry) outcome {
	if e == nil {
		return outcome{}
	}
	return e.outcome
}

// SyntaxError is one fault in the text of a mapping. It is found with
// [errors.As]; to get every fault of a text, use the Unwrap() []error method of
// what [ParseRules] returns.
type SyntaxError struct {
	// Line is the line of the fault, counted from 1.
	Line int
	// Text is the line without its remark.
	Text string
	// Problem says what is wrong.
	Problem string
	// Remedy says what to write instead.
	Remedy string
}

// Error returns line, text, problem and remedy in one line.
func (e *SyntaxError) Error() string {
	text := []rune(e.Text)
	if len(text) > 80 {
		text = append(text[:79], '…')
	}
	return fmt.Sprintf("mapping line %d: %q: %s: %s", e.Line, string(text), e.Problem, e.Remedy)
}

// DefaultRules returns the mapping that holds where nothing else is said. It
// rests on what Microsoft and Mitel document; what they do not say is filled in
// by the reading that risks least, as the remarks in mapping.txt tell.
func DefaultRules() Rules {
	r, err := ParseRules(defaultRules)
	if err != nil {
		panic(err) // the text is part of the program, and a test parses it
	}
	return r
}

// ParseRules reads the text of one layer. Upper and lower case do not matter.
// Its error joins a [*SyntaxError] for every fault of the text; there are no
// rules then.
func ParseRules(text []byte) (Rules, error) {
	var r Rules
	var faults []error
	lines := map[condition]int{}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		number++
		line = strings.TrimSpace(withoutRemark(line))
		if line == "" {
			continue
		}
		parsed, fault := parseRule(line)
		if fault == nil {
			if first, ok := lines[parsed.when]; ok {
				fault = &SyntaxError{Problem: fmt.Sprintf("line %d has a rule for %s already", first, parsed.when), Remedy: "remove one of them"}
			}
		}
		if fault != nil {
			fault.Line, fault.Text = number, line
			faults = append(faults, fault)
			continue
		}
		parsed.line = number
		lines[parsed.when] = number
		r.rules = append(r.rules, parsed)
	}
	if len(faults) > 0 {
		return Rules{}, errors.Join(faults...)
	}
	return r, nil
}

// Len returns how many rules there are.
func (r Rules) Len() int { return len(r.rules) }

// String returns the rules in the text form that [ParseRules] reads, in their
// order, without the remarks of the original.
func (r Rules) String() string {
	var b strings.Builder
	for _, rule := range r.rules {
		b.WriteString(rule.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// MarshalText returns the text form.
func (r Rules) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is [ParseRules]; after an error r is unchanged.
func (r *Rules) UnmarshalText(text []byte) error {
	parsed, err := ParseRules(text)
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// String returns the rule in the text form.
func (r rule) String() string { return r.when.String() + " -> " + r.outcome.text(r.when.phone) }

func (o outcome) text(phone bool) string {
	switch {
	case o.effect != Set:
		return o.effect.String()
	case phone:
		return o.session.String()
	case needsQuotes(string(o.status)):
		return strconv.Quote(string(o.status))
	default:
		return string(o.status)
	}
}

// needsQuotes reports whether a status would be read as something else.
func needsQuotes(status string) bool {
	return strings.EqualFold(status, wordLeave) || strings.EqualFold(status, wordClear) || strings.ContainsAny(status, `"#`)
}

// String returns the condition in the text form.
func (c condition) String() string {
	if c.phone {
		switch {
		case c.state == anyWord:
			return wordPhone + " " + wordDND
		case c.flag:
			return wordPhone + " " + wordDND + "+" + quoted(c.state, lineStates)
		default:
			return wordPhone + " " + quoted(c.state, lineStates)
		}
	}
	s := wordTeams + " " + quoted(c.availability, availabilities) + "/" + quoted(c.activity, activities)
	if c.flag {
		s += " +" + wordOutOfOffice
	}
	return s
}

// quoted returns a word as it is written in the text form.
func quoted[T ~string](word T, documented []T) string {
	if word == anyWord || contains(documented, word) {
		return string(word)
	}
	return `"` + string(word) + `"`
}

// withoutRemark cuts what follows a "#" that begins the line or stands after a
// space, outside quotes.
func withoutRemark(line string) string {
	inQuotes, before := false, ' '
	for i, c := range line {
		switch {
		case c == '"' && (!inQuotes || before != '\\'):
			inQuotes = !inQuotes
		case c == '#' && !inQuotes && unicode.IsSpace(before):
			return line[:i]
		}
		if before == '\\' && c == '\\' {
			c = ' ' // an escaped backslash escapes nothing
		}
		before = c
	}
	return line
}

func parseRule(line string) (rule, *SyntaxError) {
	left, right, ok := strings.Cut(line, "->")
	if !ok {
		return rule{}, &SyntaxError{Problem: "there is no arrow", Remedy: `write "what is seen -> what becomes of it"`}
	}
	when, fault := parseCondition(left)
	if fault != nil {
		return rule{}, fault
	}
	parse := parseStatus
	if when.phone {
		parse = parseSession
	}
	o, fault := parse(strings.TrimSpace(right))
	return rule{when: when, outcome: o}, fault
}

func parseSession(s string) (outcome, *SyntaxError) {
	switch {
	case strings.EqualFold(s, wordLeave):
		return outcome{}, nil
	case strings.EqualFold(s, wordClear):
		return outcome{effect: Clear}, nil
	}
	availability, activity, _ := strings.Cut(s, "/")
	session := Session{ParseAvailability(strings.TrimSpace(availability)), ParseActivity(strings.TrimSpace(activity))}
	if session.Validate() != nil {
		return outcome{}, &SyntaxError{
			Problem: strconv.Quote(s) + " is nothing that an application may set in Teams",
			Remedy:  "write " + list(Sessions()) + ", " + wordClear + " or " + wordLeave,
		}
	}
	return outcome{effect: Set, session: session}, nil
}

func parseStatus(s string) (outcome, *SyntaxError) {
	switch {
	case s == "":
		return outcome{}, &SyntaxError{Problem: "nothing follows the arrow", Remedy: "write the name of a MiCollab status, or " + wordLeave}
	case strings.EqualFold(s, wordLeave):
		return outcome{}, nil
	case strings.EqualFold(s, wordClear):
		return outcome{}, &SyntaxError{
			Problem: wordClear + " is for phone rules only",
			Remedy:  "write " + wordLeave + ", or put the word in double quotes if a status is called so",
		}
	}
	if strings.Contains(s, `"`) {
		unquoted, err := strconv.Unquote(s)
		if err != nil || s[0] != '"' {
			return outcome{}, &SyntaxError{
				Problem: "a double quote stands in the status",
				Remedy:  `put the whole status in double quotes and write \" for a quote in it`,
			}
		}
		s = unquoted
	}
	if n := utf8.RuneCountInString(s); n > MaxStatusLength {
		return outcome{}, &SyntaxError{
			Problem: fmt.Sprintf("the status has %d characters", n),
			Remedy:  fmt.Sprintf("write at most %d", MaxStatusLength),
		}
	}
	if s == "" || s != strings.TrimSpace(s) || !utf8.ValidString(s) || strings.ContainsFunc(s, breaksLine) {
		return outcome{}, &SyntaxError{
			Problem: "the status is not one line of text that begins and ends with a letter or sign",
			Remedy:  "write the name as MiCollab shows it",
		}
	}
	return outcome{effect: Set, status: ParseStatus(s)}, nil
}

func breaksLine(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029'
}

// list returns "a, b, c".
func list[T any](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}
