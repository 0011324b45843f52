package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// part finds the first hop that does not follow from the one before it, in the
// order in which presence flows; nil if all do. passing reports whether that may be
// a change on its way, which a later reading does not show. It is pure.
//
// Hops part company if a hop is not as it should be by now. What the bridge holds
// back on purpose and by itself brings to its end, because Teams shows the bridge's
// own session say, is no parting: it is among the notes.
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

// partMatch compares the person of the roster with both directories.
func (r *reading) partMatch() (*Parting, bool) {
	user, account, person := r.explanation.User, r.account.value, r.person.value
	at := func(sentence, remedy string, by Administrator) (*Parting, bool) {
		return &Parting{HopMatch, sentence, remedy, by}, false
	}
	has := func(address string) bool { return presence.NormalizeEmail(address) == user.Email }
	switch {
	case errors.Is(r.account.err, presence.ErrNotFound):
		return at("The Entra account with which the person was matched is gone.", "Create the account again, or remove the CloudLink user.", AzureAdministrator)
	case errors.Is(r.person.err, presence.ErrNotFound) && !r.principalAlone():
		return at(fmt.Sprintf("CloudLink has no user with the id %s, with whom the person was matched.", user.PrincipalID), "Create the CloudLink user again, with the e-mail address of the Teams account.", CloudLinkAdministrator)
	case r.account.ok() && !account.Enabled:
		return at("The Entra account is disabled.", "Enable the account in Entra.", AzureAdministrator)
	case r.person.ok() && person.Email == "":
		return at("CloudLink has no e-mail address for the person now.", enterAddress, CloudLinkAdministrator)
	case r.person.ok() && !has(person.Email):
		return at(fmt.Sprintf("CloudLink has another e-mail address for the person now: %s.", person.Email), "If it belongs to the person's Entra account, wait until the bridge reads the directories again; otherwise correct it."+directoriesSoon, CloudLinkAdministrator)
	case r.account.ok() && !has(account.PrincipalName) && !has(account.Mail):
		return at(fmt.Sprintf("The Entra account has another address than the CloudLink user now: %s.", account.PrincipalName), "Enter that address as the e-mail address of the CloudLink user.", CloudLinkAdministrator)
	default:
		return nil, false
	}
}

// partTelephone compares the telephones with what the bridge holds of them.
func (r *reading) partTelephone() (*Parting, bool) {
	e := r.explanation
	at := func(sentence, remedy string, by Administrator) (*Parting, bool) {
		return &Parting{HopTelephone, sentence + failureOf(e, "phone-read"), remedy, by}, true
	}
	if !r.lines.asked || notWanted(e.TeamsBlock) {
		return nil, false
	}
	const reset = "Reset the phone state."
	line, missing := r.strongest(), r.missing()
	switch {
	case len(missing) > 0:
		what := "The line state"
		if all := len(e.User.Endpoints); len(missing) < all {
			what = fmt.Sprintf("The line state of %d of the person's %d telephones (%s)", len(missing), all, names(missing))
		}
		err := r.lines.err
		if err == nil {
			err = errors.New("CloudLink did not tell it")
		}
		return unreadable(HopTelephone, what, err, CloudLinkAdministrator), true
	case e.LineReadAt.IsZero():
		return at("The bridge has not read the telephone yet.", "Wait a moment. If it stays so, make the system check.", Operator)
	case !line.SameState(e.Line):
		return at(fmt.Sprintf("The telephone shows %s, and the bridge holds %s, which it read %s.", line, e.Line, before(r.at, e.LineReadAt)),
			reset+" If it happens again, CloudLink's notifications are lost: make the system check.", Operator)
	case e.TeamsBlock == presencebridge.BlockLineUnread:
		return at(e.TeamsBlock.Sentence(), reset+" If it stays so, make the system check.", Operator)
	case e.TeamsBlock == presencebridge.BlockLineUnknown && r.lines.err != nil:
		return at("CloudLink does not know the telephone: "+errorText(r.lines.err)+".", "Enter the extension of a telephone that exists for the CloudLink user.", CloudLinkAdministrator)
	case e.TeamsBlock == presencebridge.BlockLineUnknown:
		return at("CloudLink does not know the state of the telephone, and a state that is not known changes nothing in Teams.",
			"Make sure that the telephone is in service and that its telephone system is connected to the CloudLink gateway. Hot desking on telephones that are no SIP telephones is not monitored.", CloudLinkAdministrator)
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
	if e.TeamsBlock == presencebridge.BlockDryRun {
		return nil, false
	}
	var sentence string
	held := e.SessionState == presencebridge.SessionOpen || e.SessionState == presencebridge.SessionUncertain
	switch {
	case e.WantedEffect == presence.Set.String() && (e.SessionState != presencebridge.SessionOpen || e.Session != e.WantedSession):
		sentence = fmt.Sprintf("The telephone asks for %s in Teams, and the bridge's session is %s.", e.WantedSession, sessionText(e))
	case e.WantedEffect == presence.Clear.String() && held && notWanted(e.TeamsBlock):
		// A direction that was switched off ends what is open.
		sentence = fmt.Sprintf("The telephone is not to reach Teams, and the bridge's session is still %s.", sessionText(e))
	case e.WantedEffect == presence.Clear.String() && held:
		sentence = fmt.Sprintf("The telephone asks for no session in Teams, and the bridge's session is %s.", sessionText(e))
	default:
		return nil, false
	}
	remedy, by := "Reset the phone state. If it happens again, make the system check.", Operator
	switch failure := failureOf(e, "teams-write"); {
	case failure != "":
		sentence += failure
		remedy, by = againBySelf(lastError(e, presencebridge.DestinationTeams), AzureAdministrator)
	case e.TeamsBlock == presencebridge.BlockDamping:
		sentence += " " + e.TeamsBlock.Sentence()
		remedy = untilSettled
	}
	return &Parting{HopSession, sentence, remedy, by}, true
}

const untilSettled = "Wait until the state has settled. If it does not, look at what changes it so often."

// unreadable says that a hop could not be read.
func unreadable(hop HopName, what string, err error, by Administrator) *Parting {
	return &Parting{hop, what + " cannot be read: " + errorText(err) + ".", cmp.Or(instruction(err), makeSystemCheck), whose(err, by)}
}

// whose is who looks into an error: the administrator of the service if it answered,
// otherwise whoever can look at the way to it.
func whose(err error, by Administrator) Administrator {
	if errors.Is(err, presence.ErrUnavailable) || errors.Is(err, presence.ErrThrottled) || errors.Is(err, context.DeadlineExceeded) {
		return Operator
	}
	return by
}

// againBySelf is what to do about a request that failed and is made again. by is who
// can grant what is refused.
func againBySelf(err error, by Administrator) (string, Administrator) {
	if !errors.Is(err, presence.ErrUnauthorized) && !errors.Is(err, presence.ErrForbidden) {
		by = Operator
	}
	return cmp.Or(instruction(err), "The bridge makes it again by itself. If it goes on failing, make the system check."), by
}

// failureOf tells of the last error of a kind of request for the person, as a
// sentence to be appended; empty if it did not fail.
func failureOf(e *presencebridge.Explanation, connection string) string {
	for _, f := range e.Failures {
		if f.Connection == connection {
			return " The last request failed: " + strings.TrimSuffix(f.Error, ".") + "."
		}
	}
	return ""
}

// lastError is the error of the last write to a destination; nil if that was carried
// out.
func lastError(e *presencebridge.Explanation, to presencebridge.Destination) error {
	for i := len(e.Writes) - 1; i >= 0; i-- {
		if w := e.Writes[i]; w.Destination == to {
			return w.Err
		}
	}
	return nil
}

func sessionText(e *presencebridge.Explanation) string {
	switch {
	case e.Session.IsZero():
		return string(e.SessionState)
	case e.SessionState == presencebridge.SessionUncertain:
		return fmt.Sprintf("%s (uncertain: a request failed that may have taken effect)", e.Session)
	default:
		return fmt.Sprintf("%s (%s)", e.Session, e.SessionState)
	}
}

// maxListed is how many entries of a list a report has.
const maxListed = 16

// errorText is an error as the end of a sentence, which the caller closes with a full
// stop.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSuffix(err.Error(), ".")
}
