package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// readOutside finds out what is known of somebody whom the bridge does not keep in
// step.
func (c *UserCheck) readOutside(ctx context.Context, reads *sync.WaitGroup, r *reading) {
	roster := c.sources.Bridge.Roster()
	r.empty = len(roster.Users)+len(roster.Excluded)+len(roster.TeamsOnly) == 0
	ids, addresses := []string{r.asked}, []string{r.asked}
	if account := r.account.value; r.account.ok() {
		ids, addresses = append(ids, account.ID), append(addresses, account.PrincipalName, account.Mail)
	}
	among := func(list []string, value string) bool {
		return value != "" && slices.ContainsFunc(list, func(s string) bool {
			return presence.NormalizeEmail(s) == presence.NormalizeEmail(value)
		})
	}
	for _, e := range roster.Excluded {
		if among(addresses, e.Email) || among(ids, e.ID) {
			r.left = append(r.left, e)
		}
	}
	i := slices.IndexFunc(roster.TeamsOnly, func(t presence.TeamsUser) bool {
		return among(ids, t.ID) || among(addresses, t.PrincipalName) || among(addresses, t.Mail)
	})
	if i >= 0 {
		r.teamsOnly = &roster.TeamsOnly[i]
	}
	for _, e := range r.left {
		if e.Side == presence.SideCloudLink && e.ID != "" {
			ask(ctx, c, reads, &r.person, func(ctx context.Context) (cloudlink.User, error) { return c.sources.People.User(ctx, e.ID) })
			break
		}
	}
}

const (
	makeSystemCheck = "Make the system check."
	enterAddress    = "Enter the user principal name or the mail address of the Entra account as the e-mail address of the CloudLink user."
	directoriesSoon = " The bridge reads both directories regularly, by default every 15 minutes."
)

// partOutside is about somebody whom the bridge does not keep in step.
func (r *reading) partOutside() *Parting {
	at := func(sentence, remedy string, by Administrator) *Parting {
		return &Parting{HopMatch, sentence, remedy, by}
	}
	switch account := r.account; {
	case r.bridgeErr != nil:
		return at("The bridge could not be asked about the person: "+errorText(r.bridgeErr)+".", makeSystemCheck, Operator)
	case len(r.left) > 0:
		e := r.left[0]
		remedy, by := r.takeIn(e)
		return at(fmt.Sprintf("The bridge leaves the person out (%s): %s.", e.Reason, strings.TrimSuffix(e.Detail, ".")), remedy, by)
	case r.empty:
		return at("The bridge keeps nobody in step: it has not read the two directories yet, or has found nobody in them.", "Wait a minute. If it stays so, make the system check.", Operator)
	case r.teamsOnly != nil && !r.teamsOnly.Enabled:
		return at("There is a disabled Entra account with this address, and no CloudLink user that has it.", "Enable the account in Entra. "+enterAddress+directoriesSoon, AzureAdministrator)
	case r.teamsOnly != nil:
		return at("There is an Entra account with this address, and no CloudLink user that has it.", enterAddress+directoriesSoon, CloudLinkAdministrator)
	case account.ok() && !account.value.Enabled:
		return at("There is a disabled Entra account with this address, which the bridge did not know when it last read the directories.", "Enable the account in Entra. "+enterAddress+directoriesSoon, AzureAdministrator)
	case account.ok():
		return at("There is an Entra account with this address, which the bridge did not know when it last read the directories.", "Wait until it reads them again. If it stays so, make the system check."+directoriesSoon, Operator)
	case errors.Is(account.err, presence.ErrConflict):
		return at("More than one Entra account has this address, and the bridge keeps none of them in step.", "Give each account an address of its own."+directoriesSoon, AzureAdministrator)
	case errors.Is(account.err, presence.ErrNotFound), errors.Is(account.err, presence.ErrInvalid):
		return at("Neither Entra nor the bridge knows anybody by this address.", "Check the address. It must be the user principal name or the mail address of the Entra account, and the e-mail address of the CloudLink user.", Operator)
	default:
		return at("The bridge knows nobody by this address, and Entra could not be asked: "+errorText(account.err)+".", cmp.Or(instruction(account.err), makeSystemCheck), whose(account.err, AzureAdministrator))
	}
}

// takeIn says what to do so that an entry is not left out any longer, and by whom.
func (r *reading) takeIn(e presence.Exclusion) (string, Administrator) {
	by := CloudLinkAdministrator
	if e.Side == presence.SideTeams {
		by = AzureAdministrator
	}
	switch e.Reason {
	case presence.ReasonDisabled:
		return "Enable the account in Entra, or remove the CloudLink user." + directoriesSoon, AzureAdministrator
	case presence.ReasonUnmatched:
		if r.account.ok() && r.account.value.Enabled {
			return "By now there is an Entra account with this address: wait until the bridge knows it." + directoriesSoon, Operator
		}
		return enterAddress + directoriesSoon, CloudLinkAdministrator
	case presence.ReasonAmbiguous:
		principals := 0
		for _, other := range r.left {
			if other.Side == presence.SideCloudLink {
				principals++
			}
		}
		if principals > 1 {
			return "Give each of the CloudLink users the address of their own Entra account." + directoriesSoon, CloudLinkAdministrator
		}
		return "Give each of the Entra accounts an address of its own." + directoriesSoon, AzureAdministrator
	case presence.ReasonNoEndpoint:
		return "Give the CloudLink user an extension." + directoriesSoon, CloudLinkAdministrator
	case presence.ReasonUnsupportedPBX:
		return "Leave the person out. If Mitel has meanwhile declared support for the telephone system, extend the capabilities in the configuration.", Operator
	case presence.ReasonNoEmail:
		if by == CloudLinkAdministrator {
			return enterAddress + directoriesSoon, by
		}
		return "Give the Entra account a user principal name or a mail address." + directoriesSoon, by
	default:
		return "Look at the entry in its directory and save it anew. If it stays so, make the system check." + directoriesSoon, by
	}
}
