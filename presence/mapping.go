package presence

import "fmt"

// Effect is what a mapping wants done on the other side.
type Effect uint8

const (
	// Leave: write nothing. It is the zero Effect, because what is unknown
	// never writes.
	Leave Effect = iota
	// Set: write the session or the status that comes with it.
	Set
	// Clear: end the bridge's own Teams session, so that the presence of the
	// person's Teams clients shows. It never comes with a [Status].
	Clear
)

// String returns "leave", "set" or "clear".
func (e Effect) String() string {
	switch e {
	case Leave:
		return wordLeave
	case Set:
		return "set"
	case Clear:
		return wordClear
	default:
		return fmt.Sprintf("Effect(%d)", uint8(e))
	}
}

// Rule names the rule that decided a look-up, for people to read. The zero Rule
// means that no rule spoke of the value, which has the effect [Leave].
type Rule struct {
	// Layer is the layer that the rule stands in: "default", "everyone",
	// "group NAME" or "user KEY".
	Layer string
	// Line is the rule's line in the text of its layer, counted from 1.
	Line int
	// Text is the rule as [Rules.String] writes it.
	Text string
}

// IsZero reports whether no rule decided.
func (r Rule) IsZero() bool { return r == Rule{} }

// String returns the rule's text and where it stands, or says that there is none.
func (r Rule) String() string {
	if r.IsZero() {
		return "no rule: what is unknown changes nothing"
	}
	return fmt.Sprintf("%s (%s, line %d)", r.Text, r.Layer, r.Line)
}

// Table is a mapping table as it holds for one person or for many: it turns
// a [Line] into a [Session], and a [Presence] into a [Status].
//
// A Table comes from [DefaultTable] or [Mapping.For]. It is immutable, safe for
// concurrent use, and its look-ups do not allocate. It is total: every value,
// documented or not, has a defined result.
type Table struct {
	layers []*layer // the one that is asked first comes first
	quoted vocabulary

	// The results for all documented words, by [Table.cell] and by line state
	// and do-not-disturb. Nil: no rule.
	teams []*entry
	phone []*entry
}

// layer is one set of rules ready for look-up.
type layer struct {
	name    string
	entries map[condition]*entry
}

// entry is a rule and its description.
type entry struct {
	rule
	display Rule
}

func newLayer(name string, r Rules) *layer {
	l := &layer{name: name, entries: make(map[condition]*entry, len(r.rules))}
	for _, rule := range r.rules {
		l.add(rule)
	}
	return l
}

func (l *layer) add(r rule) {
	l.entries[r.when] = &entry{rule: r, display: Rule{Layer: l.name, Line: r.line, Text: r.String()}}
}

// DefaultTable returns the table of [DefaultRules] alone. It is built on each
// call: keep the result.
func DefaultTable() *Table { return newTable([]*layer{newLayer(layerDefault, DefaultRules())}) }

func newTable(layers []*layer) *Table {
	t := &Table{layers: layers, quoted: quotedWords(layers)}
	t.teams = make([]*entry, len(availabilities)*len(activities)*2)
	for i, availability := range availabilities {
		for j, activity := range activities {
			t.teams[cell(i, j, false)] = resolveTeams(layers, availability, activity, false)
			t.teams[cell(i, j, true)] = resolveTeams(layers, availability, activity, true)
		}
	}
	t.phone = make([]*entry, len(lineStates)*2)
	for i, state := range lineStates {
		t.phone[2*i] = resolvePhone(layers, state, false)
		t.phone[2*i+1] = resolvePhone(layers, state, true)
	}
	return t
}

// cell is the place in Table.teams of what two documented words give.
func cell(availability, activity int, outOfOffice bool) int {
	i := 2 * (availability*len(activities) + activity)
	if outOfOffice {
		i++
	}
	return i
}

// Session returns what the line should show in Teams. The Session is zero
// unless the effect is [Set].
func (t *Table) Session(line Line) (Session, Effect) {
	if e := t.lookUpLine(line); e != nil {
		return e.session, e.effect
	}
	return Session{}, Leave
}

// Status returns what the presence should show in MiCollab. The effect is
// [Leave] or [Set], and the Status is empty unless it is [Set].
func (t *Table) Status(p Presence) (Status, Effect) {
	if e := t.lookUpPresence(p); e != nil {
		return e.status, e.effect
	}
	return "", Leave
}

// SessionRule returns the rule that decides what [Table.Session] returns.
func (t *Table) SessionRule(line Line) Rule {
	if e := t.lookUpLine(line); e != nil {
		return e.display
	}
	return Rule{}
}

// StatusRule returns the rule that decides what [Table.Status] returns.
func (t *Table) StatusRule(p Presence) Rule {
	if e := t.lookUpPresence(p); e != nil {
		return e.display
	}
	return Rule{}
}

func (t *Table) lookUpLine(line Line) *entry {
	if i := indexWord(lineStates, string(line.State)); i >= 0 {
		if line.DoNotDisturb {
			return t.phone[2*i+1]
		}
		return t.phone[2*i]
	}
	return resolvePhone(t.layers, wordAt(t.quoted.states, string(line.State)), line.DoNotDisturb)
}

func (t *Table) lookUpPresence(p Presence) *entry {
	i, j := indexWord(availabilities, string(p.Availability)), indexWord(activities, string(p.Activity))
	if i >= 0 && j >= 0 {
		return t.teams[cell(i, j, p.OutOfOffice)]
	}
	// One of the two is not documented: a layer may list it in quotes.
	var availability Availability
	if i >= 0 {
		availability = availabilities[i]
	} else if availability = wordAt(t.quoted.availabilities, string(p.Availability)); availability == noWord {
		return nil
	}
	var activity Activity
	if j >= 0 {
		activity = activities[j]
	} else {
		activity = wordAt(t.quoted.activities, string(p.Activity))
	}
	return resolveTeams(t.layers, availability, activity, p.OutOfOffice)
}

// resolvePhone asks every layer about do-not-disturb before it asks any layer
// about the state alone: otherwise a person's own rule for "idle" would hide
// the do-not-disturb of the default.
func resolvePhone(layers []*layer, state LineState, doNotDisturb bool) *entry {
	if doNotDisturb {
		for _, l := range layers {
			for _, s := range [...]LineState{state, anyWord} {
				if e := l.entries[condition{phone: true, state: s, flag: true}]; e != nil {
					return e
				}
			}
		}
	}
	for _, l := range layers {
		if e := l.entries[condition{phone: true, state: state}]; e != nil {
			return e
		}
	}
	return nil
}

// resolveTeams asks the layers about the pair, and then, if none speaks of it,
// about the availability's own pair.
func resolveTeams(layers []*layer, availability Availability, activity Activity, outOfOffice bool) *entry {
	if e := resolvePair(layers, availability, activity, outOfOffice); e != nil {
		return e
	}
	return resolvePair(layers, availability, Activity(availability), outOfOffice)
}

// resolvePair returns the most specific rule of the first layer that speaks of
// the pair.
func resolvePair(layers []*layer, availability Availability, activity Activity, outOfOffice bool) *entry {
	candidates := [...]condition{
		{availability: availability, activity: activity},
		{availability: availability, activity: anyWord},
		{availability: anyWord, activity: activity},
	}
	n := len(candidates)
	if !availability.Known() {
		n-- // a rule for any availability must not make something of an unknown one
	}
	for _, l := range layers {
		for _, c := range candidates[:n] {
			if outOfOffice {
				c.flag = true
				if e := l.entries[c]; e != nil {
					return e
				}
				c.flag = false
			}
			if e := l.entries[c]; e != nil {
				return e
			}
		}
	}
	return nil
}
