package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// notes are what is as it should be and may surprise, or is not and does not keep the
// hops apart. What the parting says is not said again.
func (r *reading) notes(parting *Parting) []string {
	e := r.explanation
	var notes []string
	note := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if parting == nil || !strings.Contains(parting.Sentence, text) {
			notes = append(notes, text)
		}
	}
	for _, text := range slices.Concat(r.directionNotes(), r.readingNotes()) {
		note("%s", text)
	}
	for _, b := range []struct {
		to    string
		block presencebridge.Block
	}{{"Teams", e.TeamsBlock}, {"MiCollab", e.StatusBlock}} {
		// Of a failure there is a note of its own.
		told := b.block == presencebridge.BlockNone || b.block == presencebridge.BlockBackoff || notWanted(b.block)
		if !told && (parting == nil || !strings.Contains(parting.Sentence, b.block.Sentence())) {
			note("Nothing is written to %s: %s", b.to, b.block.Sentence())
		}
	}
	if e.OwnDoNotDisturb {
		note("The telephone's do-not-disturb follows a MiCollab status that the bridge wrote, and is not shown in Teams.")
	}
	if !e.OutrankedSince.IsZero() {
		note("%s", e.OutrankedSentence)
	} else if r.unseen() {
		note("Teams shows %s and not the bridge's session %s. Where nothing goes to MiCollab the bridge reads Teams every few minutes, and has not seen this yet.", r.presence.value, e.Session)
	}
	if e.WatchSentence != "" {
		note("%s", e.WatchSentence)
	}
	for _, f := range e.Failures {
		if parting == nil || !strings.Contains(parting.Sentence, strings.TrimSuffix(f.Error, ".")) {
			note("A kind of request for the person fails (%s, %d times in a row, last %s): %s", f.Connection, f.Failures, before(r.at, f.At), f.Error)
		}
	}
	return notes
}

// directionNotes say which way presence does not flow for the person, and why.
func (r *reading) directionNotes() []string {
	e := r.explanation
	var notes []string
	for _, l := range r.limited {
		notes = append(notes, fmt.Sprintf("The direction %s is left alone: %s.", l.Direction, strings.TrimSuffix(l.Detail, ".")))
	}
	whose := func(d presencebridge.Direction) string {
		switch {
		case e.AccountDirection == d:
			return "the account"
		case e.UserDirection == d:
			return "this person"
		default:
			return ""
		}
	}
	for _, block := range []presencebridge.Block{e.TeamsBlock, e.StatusBlock} {
		off, oneWay := whose(presencebridge.Off), whose(presencebridge.OneWay)
		switch {
		case block == presencebridge.BlockOff && off != "":
			notes = append(notes, "The direction of "+off+" is off: nothing is changed on either side.")
		case block == presencebridge.BlockOneWay && oneWay != "":
			notes = append(notes, "The direction of "+oneWay+" is one-way: Teams presence is not brought to MiCollab.")
		case notWanted(block) && len(r.limited) == 0:
			notes = append(notes, block.Sentence())
		}
	}
	return slices.Compact(notes)
}

// readingNotes are about what could not be read and does not matter for the hops.
func (r *reading) readingNotes() []string {
	var notes []string
	if r.account.err != nil || r.person.err != nil {
		notes = append(notes, "The match could not be compared with both directories: it rests on what the bridge read of them before.")
	}
	if r.lines.err != nil && len(r.missing()) == 0 {
		notes = append(notes, "CloudLink does not know every telephone of the person: "+errorText(r.lines.err)+".")
	}
	if r.presence.ok() && r.older() && !r.presence.value.SameState(r.explanation.Presence) {
		notes = append(notes, "Microsoft Graph answered with an older presence than the bridge holds, by its sequence number.")
	}
	if r.presentityFailed() {
		notes = append(notes, "The presence that CloudLink holds could not be read. No other hop rests on it.")
	}
	if errors.Is(r.status.err, presence.ErrUnsupported) && !notWanted(r.explanation.StatusBlock) {
		notes = append(notes, "MiCollab cannot be asked what it shows: what the bridge wrote last counts.")
	}
	return notes
}

// unseen reports whether Teams does not show the bridge's session, which the bridge,
// because it reads Teams seldom, does not know.
func (r *reading) unseen() bool {
	e := r.explanation
	return notWanted(e.StatusBlock) && e.SessionState == presencebridge.SessionOpen && r.presence.ok() && r.presence.value.Known() &&
		r.presence.value.Availability.Family() != e.Session.Availability.Family()
}
