package presence

import "slices"

// vocabulary is the words that layers list in quotes because the vendors do not
// document them.
type vocabulary struct {
	availabilities []Availability
	activities     []Activity
	states         []LineState
}

func quotedWords(layers []*layer) vocabulary {
	var v vocabulary
	for _, l := range layers {
		for when := range l.entries {
			if when.phone {
				v.states = addQuoted(v.states, when.state, lineStates)
				continue
			}
			v.availabilities = addQuoted(v.availabilities, when.availability, availabilities)
			v.activities = addQuoted(v.activities, when.activity, activities)
		}
	}
	slices.Sort(v.availabilities)
	slices.Sort(v.activities)
	slices.Sort(v.states)
	return v
}

func addQuoted[T ~string](words []T, word T, documented []T) []T {
	if word == anyWord || contains(documented, word) || contains(words, word) {
		return words
	}
	return append(words, word)
}

// Rules returns the table as one layer: parsed again and used alone, it gives
// the same results for every value. A rule for any availability appears as a
// rule for each availability that it decides, and what another rule gives
// anyway is left out.
func (t *Table) Rules() Rules {
	f := flattening{flat: newLayer("", Rules{})}
	f.phone(t)
	activities := slices.Concat(activities, t.quoted.activities)
	for _, availability := range slices.Concat(availabilities, t.quoted.availabilities) {
		f.teams(t, availability, activities)
	}
	return f.rules
}

// flattening grows one layer until it gives what several give.
type flattening struct {
	flat  *layer
	rules Rules
}

func (f *flattening) add(when condition, wanted *entry) {
	r := rule{when: when, outcome: outcomeOf(wanted), line: len(f.rules.rules) + 1}
	f.rules.rules = append(f.rules.rules, r)
	f.flat.add(r)
}

func (f *flattening) phone(t *Table) {
	one := []*layer{f.flat}
	if e := resolvePhone(t.layers, noWord, true); e != nil {
		f.add(condition{phone: true, state: anyWord, flag: true}, e)
	}
	for _, state := range slices.Concat(lineStates, t.quoted.states) {
		for _, doNotDisturb := range []bool{false, true} {
			wanted := resolvePhone(t.layers, state, doNotDisturb)
			if outcomeOf(resolvePhone(one, state, doNotDisturb)) != outcomeOf(wanted) {
				f.add(condition{phone: true, state: state, flag: doNotDisturb}, wanted)
			}
		}
	}
}

// teams adds the rules of one availability. The order matters: a rule for any
// activity and the availability's own pair change what the others give without
// a rule of their own, so these come first.
func (f *flattening) teams(t *Table, availability Availability, activities []Activity) {
	one := []*layer{f.flat}
	for _, outOfOffice := range []bool{false, true} {
		wanted := resolvePair(t.layers, availability, noWord, outOfOffice)
		given := resolvePair(one, availability, noWord, outOfOffice)
		// A rule that leaves is needed too: it keeps the own pair from deciding.
		if wanted != nil && (given == nil || given.outcome != wanted.outcome) {
			f.add(condition{availability: availability, activity: anyWord, flag: outOfOffice}, wanted)
		}
	}
	own := Activity(availability)
	for _, activity := range append([]Activity{own}, activities...) {
		for _, outOfOffice := range []bool{false, true} {
			wanted := resolveTeams(t.layers, availability, activity, outOfOffice)
			if outcomeOf(resolveTeams(one, availability, activity, outOfOffice)) != outcomeOf(wanted) {
				f.add(condition{availability: availability, activity: activity, flag: outOfOffice}, wanted)
			}
		}
	}
}
