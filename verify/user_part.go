package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// part finds the first hop that does not follow from the one before it, in the
// order in which presence flows; nil if all do. passing reports whether that may be
// a change on its way, which a later reading does not show. It is pure.
func (r *reading) part() (p *Parting, passing bool) {
	if r.explanation == nil {
		return r.partOutside(), false
	}
	for _, find := range []func() (*Parting, bool){r.partMatch, r.partTelephone, r.partSession, r.partTeams, r.partMiCollab} {
		if p, passing := find(); p != nil {
			return p, passing
		}
	}
	return nil, false
}

// partOutside is about somebody whom the bridge does not keep in step.
func (r *reading) partOutside() *Parting {
	at := func(sentence, remedy string, by Administrator) *Parting {
		return &Parting{HopMatch, sentence, remedy, by}
	}
	address := "Enter the address of the Teams account as the e-mail address of the CloudLink user; the bridge reads both directories regularly."
	switch {
	case len(r.left) > 0:
		e := r.left[0]
		return at(fmt.Sprintf("The bridge leaves the person out (%s): %s.", e.Reason, e.Detail), "Set right what is named; the bridge reads both directories regularly.", administratorFor(e))
	case r.teamsOnly != nil:
		return at("There is an Entra account, and no CloudLink user has its address.", address, CloudLinkAdministrator)
	case r.account.ok() && !r.account.value.Enabled:
		return at("There is a disabled Entra account with this address, and no CloudLink user that the bridge knows.", "Enable the account in Entra, and enter its address as the e-mail address of the CloudLink user.", AzureAdministrator)
	case r.account.ok():
		return at("There is an Entra account with this address, and the bridge did not know it when it last read the directories.", address, CloudLinkAdministrator)
	case errors.Is(r.account.err, presence.ErrNotFound):
		return at("Neither Entra nor the bridge knows anybody by this address.", "Check the address. It must be the user principal name or the mail address of the Entra account, and the e-mail address of the CloudLink user.", Operator)
	default:
		return at("The bridge knows nobody by this address, and Entra could not be asked: "+errorText(r.account.err)+".", "Make the system check.", Operator)
	}
}

// administratorFor is who can change an entry that was left out.
func administratorFor(e presence.Exclusion) Administrator {
	if e.Side == presence.SideTeams {
		return AzureAdministrator
	}
	return CloudLinkAdministrator
}

// partMatch compares the person of the roster with both directories.
func (r *reading) partMatch() (*Parting, bool) {
	user, account, person := r.explanation.User, r.account.value, r.person.value
	at := func(sentence, remedy string, by Administrator) (*Parting, bool) {
		return &Parting{HopMatch, sentence, remedy, by}, false
	}
	switch {
	case errors.Is(r.account.err, presence.ErrNotFound):
		return at("The Entra account with which the person was matched is gone.", "Create the account again, or remove the CloudLink user.", AzureAdministrator)
	case errors.Is(r.person.err, presence.ErrNotFound):
		return at("The CloudLink user with whom the person was matched is gone.", "Create the CloudLink user again, with the e-mail address of the Teams account.", CloudLinkAdministrator)
	case r.account.ok() && !account.Enabled:
		return at("The Entra account is disabled.", "Enable the account in Entra.", AzureAdministrator)
	case r.person.ok() && person.Email != "" && presence.NormalizeEmail(person.Email) != user.Email:
		return at(fmt.Sprintf("CloudLink has another e-mail address for the person now: %s.", person.Email), "Enter the address of the Teams account again, or wait until the bridge reads the directories anew.", CloudLinkAdministrator)
	case r.account.ok() && !strings.EqualFold(account.PrincipalName, user.Email) && !strings.EqualFold(account.Mail, user.Email):
		return at(fmt.Sprintf("The Entra account has another address than the CloudLink user now: %s.", account.PrincipalName), "Enter that address as the e-mail address of the CloudLink user.", CloudLinkAdministrator)
	default:
		return nil, false
	}
}

// partTelephone compares the telephones with what the bridge holds of them.
func (r *reading) partTelephone() (*Parting, bool) {
	e := r.explanation
	const reset = "Reset the phone state."
	at := func(sentence, remedy string, by Administrator, passing bool) (*Parting, bool) {
		return &Parting{HopTelephone, sentence, remedy, by}, passing
	}
	if !r.lines.asked || notWanted(e.TeamsBlock) {
		return nil, false
	}
	line := r.strongest()
	switch {
	case r.lines.err != nil:
		return at("The line state cannot be read: "+errorText(r.lines.err)+".", orElse(remedy(r.lines.err), "Make the system check."), CloudLinkAdministrator, true)
	case !line.Known():
		return at("CloudLink does not know the state of the telephone, and a state that is not known changes nothing in Teams.", "Make sure that the telephone is in service and that its telephone system is connected to the CloudLink gateway. Hot desking on telephones that are no SIP telephones is not monitored.", CloudLinkAdministrator, false)
	case e.LineReadAt.IsZero():
		return at("The bridge has not read the telephone yet.", "Wait a moment. If it stays so, make the system check.", Operator, true)
	case !line.SameState(e.Line):
		return at(fmt.Sprintf("The telephone shows %s, and the bridge holds %s, which it read %s.", line, e.Line, before(r.at, e.LineReadAt)), reset+" If it happens again, CloudLink's notifications are lost: make the system check.", Operator, true)
	default:
		return nil, false
	}
}

// notWanted reports whether a direction does not flow by configuration, so that its
// hops need not agree.
func notWanted(b presencebridge.Block) bool {
	switch b {
	case presencebridge.BlockOff, presencebridge.BlockOneWay, presencebridge.BlockUnsupportedPBX, presencebridge.BlockNoEndpoint:
		return true
	default:
		return false
	}
}

// partSession compares the bridge's own session with what the telephone asks for.
func (r *reading) partSession() (*Parting, bool) {
	e := r.explanation
	at := func(sentence, remedy string) (*Parting, bool) {
		if f := failureOf(e, "teams-write"); f != "" {
			sentence += " The last request failed: " + f + "."
		} else if e.TeamsSentence != "" {
			sentence += " " + e.TeamsSentence
		}
		return &Parting{HopSession, sentence, remedy, Operator}, true
	}
	const reset = "Reset the phone state. If it happens again, make the system check."
	held := e.SessionState == presencebridge.SessionOpen || e.SessionState == presencebridge.SessionUncertain
	switch {
	case notWanted(e.TeamsBlock):
		return nil, false
	case e.WantedEffect == presence.Set.String() && (e.SessionState != presencebridge.SessionOpen || e.Session != e.WantedSession):
		return at(fmt.Sprintf("The telephone asks for %s in Teams, and the bridge's session is %s.", e.WantedSession, sessionText(e)), reset)
	case e.WantedEffect == presence.Clear.String() && held:
		return at(fmt.Sprintf("The telephone asks for no session in Teams, and the bridge's session is %s.", sessionText(e)), reset)
	default:
		return nil, false
	}
}

// partTeams compares Teams with the session, and with what the bridge holds.
func (r *reading) partTeams() (*Parting, bool) {
	e, now := r.explanation, r.presence.value
	at := func(sentence, remedy string, by Administrator, passing bool) (*Parting, bool) {
		return &Parting{HopTeams, sentence, remedy, by}, passing
	}
	if notWanted(e.TeamsBlock) && notWanted(e.StatusBlock) {
		return nil, false
	}
	switch {
	case r.presence.err != nil:
		return at("Teams presence cannot be read: "+errorText(r.presence.err)+".", orElse(remedy(r.presence.err), "Make the system check."), AzureAdministrator, true)
	case !now.Known():
		return at("Microsoft Graph does not know the person's presence, and a state that is not known changes nothing in MiCollab.", "Make sure that the person has a license for Teams and has signed in to it.", AzureAdministrator, false)
	case e.PresenceReadAt.IsZero():
		return at("The bridge has not read the person's Teams presence yet.", "Wait a moment. If it stays so, make the system check.", Operator, true)
	case !now.SameState(e.Presence):
		sentence := fmt.Sprintf("Teams shows %s, and the bridge holds %s, which it read %s.", now, e.Presence, before(r.at, e.PresenceReadAt))
		if e.WatchSentence != "" {
			sentence += " " + e.WatchSentence
		}
		return at(sentence, "Sync all. If it happens again, Microsoft's notifications are lost: make the system check.", Operator, true)
	case !e.OutrankedSince.IsZero() && !notWanted(e.TeamsBlock):
		return at(fmt.Sprintf("The bridge's session %s is set, and Teams shows %s. %s", e.Session, e.Outranked, e.OutrankedSentence), "The person can reset the status in Teams. If the person has chosen none, reset the phone state.", Operator, false)
	default:
		return nil, false
	}
}

// partMiCollab compares MiCollab with what Teams asks for.
func (r *reading) partMiCollab() (*Parting, bool) {
	e := r.explanation
	if notWanted(e.StatusBlock) || !r.status.asked {
		return nil, false
	}
	hop := HopMiCollab
	at := func(sentence, remedy string, by Administrator) (*Parting, bool) {
		if f := failureOf(e, "micollab-write"); f != "" {
			sentence += " The last request failed: " + f + "."
		} else if e.StatusSentence != "" {
			sentence += " " + e.StatusSentence
		}
		return &Parting{hop, sentence, remedy, by}, true
	}
	shown := r.status.value
	switch {
	case r.presentity.asked && r.presentity.err != nil && !errors.Is(r.presentity.err, presence.ErrNotFound):
		hop = HopCloudLink
		return at("The presence that CloudLink holds cannot be read: "+errorText(r.presentity.err)+".", orElse(remedy(r.presentity.err), "Make the system check."), CloudLinkAdministrator)
	case r.status.err != nil:
		return at("MiCollab's status cannot be read: "+errorText(r.status.err)+".", orElse(remedy(r.status.err), "Make the system check."), MiCollabAdministrator)
	case e.Wanted == "" && e.StatusBlock != presencebridge.BlockNone && e.StatusBlock != presencebridge.BlockMapping:
		return at("Nothing is written to MiCollab.", "Wait until it has passed. If it stays so, sync all.", Operator)
	case e.Wanted != "" && !sameStatus(shown, e.Wanted):
		return at(fmt.Sprintf("MiCollab should show %q and shows %q.", e.Wanted, shown), "Sync all. If it happens again, somebody or something else sets the status: look at who does.", Operator)
	default:
		return nil, false
	}
}

func sameStatus(a, b presence.Status) bool {
	return strings.EqualFold(strings.TrimSpace(string(a)), strings.TrimSpace(string(b)))
}

// failureOf returns the last error of a kind of request for the person.
func failureOf(e *presencebridge.Explanation, connection string) string {
	for _, f := range e.Failures {
		if f.Connection == connection {
			return f.Error
		}
	}
	return ""
}

func sessionText(e *presencebridge.Explanation) string {
	if e.Session.IsZero() {
		return string(e.SessionState)
	}
	return fmt.Sprintf("%s (%s)", e.Session, e.SessionState)
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSuffix(err.Error(), ".")
}
