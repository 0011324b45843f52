package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// partTeams compares Teams with what the bridge holds of it, and with the session.
func (r *reading) partTeams() (*Parting, bool) {
	e, now := r.explanation, r.presence.value
	at := func(sentence, remedy string, by Administrator) (*Parting, bool) {
		return &Parting{HopTeams, sentence, remedy, by}, true
	}
	if notWanted(e.TeamsBlock) && notWanted(e.StatusBlock) {
		return nil, false
	}
	// Where nothing goes to MiCollab, nobody watches Teams for the bridge: what it
	// read last may be minutes old, and nothing rests on it.
	follows := !notWanted(e.StatusBlock)
	switch {
	case errors.Is(r.presence.err, presence.ErrNotFound), r.presence.err == nil && !now.Known():
		sentence := "Microsoft Graph knows no presence of the person."
		if follows {
			sentence = "Microsoft Graph knows no presence of the person, and what is not known changes nothing in MiCollab."
		}
		return at(sentence, "Make sure that the person has a license for Teams and has signed in to it.", AzureAdministrator)
	case r.presence.err != nil:
		return unreadable(HopTeams, "Teams presence", r.presence.err, AzureAdministrator), true
	case follows && e.PresenceReadAt.IsZero():
		return at("The bridge has not read the person's Teams presence yet."+failureOf(e, "teams-read"), "Wait a moment. If it stays so, make the system check.", Operator)
	case follows && !now.SameState(e.Presence) && !r.older() && !r.own():
		sentence := fmt.Sprintf("Teams shows %s, and the bridge holds %s, which it read %s.", now, e.Presence, before(r.at, e.PresenceReadAt)) + failureOf(e, "teams-read")
		if e.WatchSentence != "" {
			return at(sentence+" "+e.WatchSentence, "Wait for the next reading, or sync all.", Operator)
		}
		return at(sentence, "Sync all. If it happens again, Microsoft's notifications are lost: make the system check.", Operator)
	case r.blocked():
		return at(fmt.Sprintf("The bridge's session %s is set, and Teams shows %s. %s", e.Session, now, e.OutrankedSentence),
			"Let the person take back the status in Teams (Reset status). If none is chosen there, reset the phone state.", Operator)
	default:
		return nil, false
	}
}

// olderFor is for how long a lower sequence number makes a presence an older one, as
// the bridge has it: a number that stays lower means that Microsoft counts anew.
const olderFor = 2 * time.Minute

// older reports whether Microsoft Graph has answered with an older presence than the
// bridge holds, as a replica does that lags behind.
func (r *reading) older() bool {
	e := r.explanation
	now, held := r.presence.value.SequenceNumber, e.Presence.SequenceNumber
	return now != "" && now < held && r.at.Sub(e.PresenceReadAt) <= olderFor
}

// own reports whether Teams shows the bridge's own session. That is nobody else's
// doing, so that nothing depends on whether the bridge has read it yet.
func (r *reading) own() bool {
	e := r.explanation
	return !e.Session.IsZero() && r.presence.value.Availability.Family() == e.Session.Availability.Family()
}

// blocked reports whether Teams does not show the bridge's session for a reason that
// somebody can remove: a preferred presence, or a session that is gone. A stronger
// state is shown rightly.
func (r *reading) blocked() bool {
	e := r.explanation
	return !e.OutrankedSince.IsZero() && r.presence.value.SameState(e.Outranked) &&
		(e.PreferredPresence || e.Outranked.Availability.Family() == presence.Offline)
}

// partMiCollab compares MiCollab with what Teams asks for.
func (r *reading) partMiCollab() (*Parting, bool) {
	e := r.explanation
	if notWanted(e.StatusBlock) || !r.status.asked {
		return nil, false
	}
	shown := r.status.value
	switch {
	case errors.Is(r.status.err, presence.ErrUnsupported):
		// It can be written and not be read: what was written last counts.
		shown = e.Shown
	case r.status.err != nil && r.presentityFailed():
		return unreadable(HopCloudLink, "The presence that CloudLink holds", r.presentity.err, CloudLinkAdministrator), true
	case r.status.err != nil:
		return unreadable(HopMiCollab, "MiCollab's status", r.status.err, MiCollabAdministrator), true
	}
	switch {
	case e.StatusBlock == presencebridge.BlockDryRun, e.TeamsBlock == presencebridge.BlockDryRun:
		// A dry run writes to neither.
		return nil, false
	case e.Wanted != "" && !sameStatus(shown, e.Wanted):
		return r.partStatus(shown), true
	case e.Wanted != "":
		return nil, false
	}
	switch e.StatusBlock {
	case presencebridge.BlockNone, presencebridge.BlockMapping, presencebridge.BlockOwnSession, presencebridge.BlockEchoWindow:
		return nil, false
	case presencebridge.BlockEarlierSession:
		return &Parting{HopMiCollab, "Nothing is written to MiCollab. " + e.StatusBlock.Sentence(),
			fmt.Sprintf("Wait until %s, or reset the phone state: that ends such a session at once.", e.EarlierSessionUntil.UTC().Format(time.RFC3339)), Operator}, true
	default:
		return &Parting{HopMiCollab, "Nothing is written to MiCollab. " + e.StatusBlock.Sentence(), "Wait a moment. If it stays so, sync all.", Operator}, true
	}
}

// presentityFailed reports whether CloudLink did not tell what presence it holds. That
// it holds none is told.
func (r *reading) presentityFailed() bool {
	return r.presentity.err != nil && !errors.Is(r.presentity.err, presence.ErrNotFound)
}

// partStatus says why MiCollab does not show what it should.
func (r *reading) partStatus(shown presence.Status) *Parting {
	e := r.explanation
	p := &Parting{
		Hop: HopMiCollab, Sentence: fmt.Sprintf("MiCollab should show %q, because Teams showed %s, and shows %s.", e.Wanted, e.Basis, statusText(shown)),
		Remedy: "Sync all. If it happens again, make the system check.", Administrator: Operator,
	}
	switch failure := failureOf(e, "micollab-write"); {
	case failure != "":
		p.Sentence += failure
		p.Remedy, p.Administrator = againBySelf(lastError(e, presencebridge.DestinationMiCollab), MiCollabAdministrator)
	case e.StatusBlock == presencebridge.BlockContested:
		p.Sentence += " " + e.StatusBlock.Sentence()
		p.Remedy = "Find out who or what sets the status. While Teams presence controls it, the person's own MiCollab statuses are not used."
		p.Administrator = MiCollabAdministrator
	case e.StatusBlock == presencebridge.BlockDamping:
		p.Sentence += " " + e.StatusBlock.Sentence()
		p.Remedy = untilSettled
	case r.presentity.ok() && sameStatus(presence.Status(r.presentity.value.Status), e.Wanted):
		p.Sentence += " CloudLink holds what it should show: MiCollab does not follow CloudLink."
		p.Remedy, p.Administrator = "Make sure that MiCollab's CloudLink integration is on and connected.", MiCollabAdministrator
	case sameStatus(e.Shown, e.Wanted):
		p.Sentence += fmt.Sprintf(" The bridge, which knows that it showed this %s, has not heard of the change.", before(r.at, e.ShownAt))
		p.Remedy = "Sync all. If it happens again, find out who or what sets the status, and make the system check: notifications may be lost."
	case e.StatusBlock == presencebridge.BlockStatusUnread:
		p.Sentence += " " + e.StatusBlock.Sentence() + failureOf(e, "micollab-read")
	}
	return p
}

func sameStatus(a, b presence.Status) bool {
	return strings.EqualFold(strings.TrimSpace(string(a)), strings.TrimSpace(string(b)))
}

// statusText is a status as a part of a sentence.
func statusText(s presence.Status) string {
	if s == "" {
		return "none"
	}
	return fmt.Sprintf("%q", s)
}
