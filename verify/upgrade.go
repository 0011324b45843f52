package verify

import (
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
)

// LackKind is what kind of thing an upgrade lacks. Kinds are stable, as codes are.
type LackKind string

// The kinds.
const (
	// LackDelegatedPermission: a delegated permission is not declared.
	LackDelegatedPermission LackKind = "delegated-permission"
	// LackRegistration: what the application declares is not known.
	LackRegistration LackKind = "registration"
	// LackRedirectURI: the redirect URI of the monitors' sign-ins is not configured,
	// or not registered for the platform Web.
	LackRedirectURI LackKind = "redirect-uri"
	// LackMonitors: there are too few presence monitors.
	LackMonitors LackKind = "presence-monitors"
	// LackNotificationURL: there is no notification URL.
	LackNotificationURL LackKind = "notification-url"
	// LackMiCollab: MiCollab is not ready for Teams presence, or not known to be.
	LackMiCollab LackKind = "micollab"
	// LackUsers: nobody's telephone system takes Teams presence.
	LackUsers LackKind = "users"
)

// Lack is one thing that an upgrade from one direction to both still lacks.
type Lack struct {
	Kind LackKind `json:"kind"`
	// Name is what is lacking, in a few words: "2 presence monitors".
	Name string `json:"name"`
	// Count is how many of it are lacking.
	Count int `json:"count"`
	// Unknown: whether it is lacking is not known.
	Unknown bool `json:"unknown,omitempty"`
	// Remedy says what to do, and Administrator who does it.
	Remedy        string        `json:"remedy"`
	Administrator Administrator `json:"administrator"`
}

// UpgradeState is what there is already when a one-way bridge is to bring Teams
// presence to MiCollab as well.
type UpgradeState struct {
	// Users is how many users the second direction is for: their telephone system
	// supports it.
	Users int
	// Monitors is how many presence monitors are set up: authorizing them is the
	// matter of their own checks.
	Monitors int
	// Permissions are those that the integration asks for; nil: they are not looked at.
	Permissions []Permission
	// Registration is that of the application; nil: it is not known.
	Registration *Registration
	// RedirectURI is the configured one, and NotificationURL too; empty: there is none.
	RedirectURI, NotificationURL string
	// MiCollab is what is known of the server; nil: nothing.
	MiCollab *micollab.Server
}

// Upgrade returns what a one-way bridge still lacks for both directions: empty if
// nothing. It keeps the application that there is; one that is made anew needs
// all that the checks look at. Permissions that the one-way bridge has and the
// expiry of its client secret are the matter of checks of their own. It asks nothing.
func Upgrade(s UpgradeState) []Lack {
	var lacks []Lack
	lack := func(kind LackKind, name, remedy string, by Administrator) {
		lacks = append(lacks, Lack{Kind: kind, Name: name, Count: 1, Remedy: remedy, Administrator: by})
	}
	unknown := func(kind LackKind, name, remedy string, by Administrator) {
		lack(kind, name, remedy, by)
		lacks[len(lacks)-1].Unknown = true
	}
	if s.Users == 0 {
		lack(LackUsers, "a user whose telephone system takes Teams presence", "Match users on a telephone system that takes Teams presence: MiVoice Business, and what the capabilities of the configuration add.", CloudLinkAdministrator)
	}
	if s.Registration == nil {
		unknown(LackRegistration, "knowledge of the application's registration", "Grant the application permission Application.Read.All, and run the check again: it tells then which permissions and redirect URI are lacking.", AzureAdministrator)
	} else {
		for _, p := range s.Permissions {
			switch {
			case !p.Delegated || has(s.Registration.DelegatedPermissions, p.Name):
			case !s.Registration.tells(p):
				unknown(LackDelegatedPermission, "knowledge whether the delegated permission "+p.Name+" is declared",
					"Look whether it is among the API permissions of the application in Entra (type Delegated), and granted: its id is not known here.", AzureAdministrator)
			default:
				what := "Add the permission (type Delegated) under API permissions of the application in Entra, and grant admin consent."
				if !p.Required {
					what += " It is recommended and not required."
				}
				lack(LackDelegatedPermission, "the delegated permission "+p.Name, what, AzureAdministrator)
			}
		}
	}
	switch {
	case s.RedirectURI == "":
		lack(LackRedirectURI, "a redirect URI", "Enter the redirect URI in the configuration: Mitel's for the account's region, or the service's own.", Operator)
	case s.Registration != nil && !registered(s.Registration.WebRedirectURIs, s.RedirectURI):
		lack(LackRedirectURI, "the redirect URI "+s.RedirectURI+" in Entra", "Add the redirect URI under Authentication of the application in Entra, platform Web, to the letter.", AzureAdministrator)
	}
	if missing := monitor.MonitorsNeeded(s.Users, 0) - s.Monitors; missing > 0 {
		name := "1 presence monitor with a client secret of its own"
		if missing > 1 {
			name = fmt.Sprintf("%d presence monitors with a client secret each", missing)
		}
		lack(LackMonitors, name, "Create an account in Entra and a client secret of the application for each presence monitor, add the monitors, and authorize them.", AzureAdministrator)
		lacks[len(lacks)-1].Count = missing
	}
	if s.NotificationURL == "" {
		lack(LackNotificationURL, "a notification URL", "Enter the public HTTPS URL of the service as the notification URL.", Operator)
	}
	if s.MiCollab == nil {
		unknown(LackMiCollab, "knowledge of MiCollab", "Enter MiCollab's address, release and switches in the configuration of the service: no published interface tells them.", Operator)
		return lacks
	}
	for _, c := range conditions(s.MiCollab.Ready()) {
		w := wordingOf(c)
		lack(LackMiCollab, w.name, w.what, w.by)
		lacks[len(lacks)-1].Unknown = errors.Is(c, micollab.ErrVersionMissing)
	}
	return lacks
}

// conditions returns the conditions in the error of [micollab.Server.Ready].
func conditions(err error) []*micollab.ConditionError {
	var list []*micollab.ConditionError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			list = append(list, conditions(one)...)
		}
		return list
	}
	if c := (*micollab.ConditionError)(nil); errors.As(err, &c) {
		list = append(list, c)
	}
	return list
}

// wording says what a condition of MiCollab lacks as part of a list, what to do
// and who does it.
type wording struct {
	condition  error
	name, what string
	by         Administrator
}

func wordingOf(c *micollab.ConditionError) wording {
	const address = "Enter MiCollab's IP address or FQDN in the configuration of the CloudLink gateway, and in that of the bridge."
	for _, w := range []wording{
		{micollab.ErrAddressMissing, "the MiCollab address", address, CloudLinkAdministrator},
		{micollab.ErrAddressInvalid, "a valid MiCollab address", address, CloudLinkAdministrator},
		{micollab.ErrPasswordMissing, "the MiCollab password", "Enter the MiCollab password in the configuration of the CloudLink gateway, and say so in that of the bridge.", CloudLinkAdministrator},
		{micollab.ErrVersionMissing, "knowledge of MiCollab's release", fmt.Sprintf("Enter MiCollab's release in the configuration of the service: Teams presence needs %s or later.", micollab.Minimum()), Operator},
		{micollab.ErrVersionTooOld, fmt.Sprintf("MiCollab %s or later", micollab.Minimum()), fmt.Sprintf("Upgrade MiCollab: %s.", c.Reason), MiCollabAdministrator},
		{micollab.ErrTeamsIntegrationOff, "MiCollab's Microsoft Teams integration", `Turn on "MS Teams Configuration Settings" in the MiCollab Client Service's administration.`, MiCollabAdministrator},
		{micollab.ErrCloudLinkIntegrationOff, "MiCollab's CloudLink integration", "Turn on the CloudLink integration in MiCollab's administration.", MiCollabAdministrator},
	} {
		if errors.Is(c.Condition, w.condition) {
			return w
		}
	}
	return wording{c.Condition, c.Condition.Error(), fmt.Sprintf("Set it right: %s.", c.Remedy), MiCollabAdministrator}
}
