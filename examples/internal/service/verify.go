package service

import (
	"errors"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

// CheckSettings are what the system check goes by and no interface tells. The zero
// value of each field is its default.
type CheckSettings struct {
	// Source says where these facts, and those of MiCollab, come from, for people.
	// Default: "the configuration".
	Source string
	// GatewayIntegration: the CloudLink gateway integration is enabled for the
	// telephone systems. Default: nil, nobody has said so, and the check warns.
	GatewayIntegration *bool
	// PBX are the telephone systems that are connected to the gateway. Default: those
	// of the CloudLink settings, PBX and Sites.
	PBX []presence.PBX
	// MiCollabElsewhere: MiCollab's LAN cannot be reached from this machine. Default:
	// it can.
	MiCollabElsewhere bool
	// Accepted are warnings that are as they should be, by the names of checks.
	// Default: none.
	Accepted []string
	// MiCollabPort is the port at which MiCollab is tried. Default: 443.
	MiCollabPort int
	// ProbeUser is the e-mail address or the Entra object id of a test user, and
	// switches the end-to-end probe on. Default: off.
	ProbeUser string
	// LocalDoubles: doubles on this machine stand for the services. Default: they are
	// real, unless the login URL of the cloud is an address of this machine.
	LocalDoubles bool
}

// newChecks makes the checks of everything that the service has.
func (s *Service) newChecks() error {
	system, systemErr := s.newSystemCheck()
	sources := verify.UserSources{Bridge: s.Bridge, Accounts: s.Teams, Phones: s.CloudLink, People: s.CloudLink}
	if s.MiCollab != nil {
		sources.Statuses = s.MiCollab
	}
	users, usersErr := verify.NewUserCheck(sources, &verify.UserOptions{Name: s.Settings.Bridge.Name, Secrets: s.Settings.secrets()})
	if err := errors.Join(systemErr, usersErr); err != nil {
		return err
	}
	s.SystemCheck, s.UserCheck = system, users
	var err error
	s.checks, err = verify.NewHandler(system, users, &verify.HandlerOptions{Logger: s.logger})
	return err
}

func (s *Service) newSystemCheck() (*verify.SystemCheck, error) {
	set := s.Settings
	entra, err := tenant.New(s.Teams, s.Credential, nil)
	if err != nil {
		return nil, err
	}
	sources := verify.SystemSources{
		CloudLink: s.CloudLink, Bridge: s.Bridge, Explain: s.Bridge, MitelServices: set.CloudLink.clocks(),
		Usage: func() []presence.BudgetUsage { return []presence.BudgetUsage{s.CloudLink.Usage()} },
	}
	entra.Fill(&sources)
	// A nil pointer in an interface would pass for a pool.
	if s.Pool != nil {
		sources.Monitors = s.Pool
	}
	if s.Watcher != nil {
		sources.Watcher = s.Watcher
	}
	if m := set.MiCollab; m != nil {
		sources.MiCollab = verify.MiCollabFacts{Server: m.Server, Source: set.Checks.source()}
	}
	if integration := set.Checks.GatewayIntegration; integration != nil {
		sources.Gateway = verify.GatewayFacts{Integration: *integration, PBX: set.connected(), Source: set.Checks.source()}
	}
	settings := verify.SystemSettings{
		Name: set.Bridge.Name, TenantID: set.Teams.TenantID, ClientID: set.Teams.ClientID, Secret: set.Teams.Secret,
		AccountID: set.CloudLink.AccountID, Region: set.CloudLink.Region, Capabilities: set.CloudLink.Capabilities,
	}
	if c := set.Teams.Certificate; c != nil {
		settings.CertificateExpiresAt = c.NotAfter
	}
	if pool := set.Teams.Pool; pool != nil {
		settings.SecretDescription = pool.Options.SecretDescription
	}
	if set.PublicURL != "" {
		settings.NotificationURL, settings.RedirectURI = set.PublicURL+PathGraph, set.PublicURL+PathSignIn
		settings.AdminConsentURL, err = graph.AdminConsentURL(set.Teams.Cloud, set.Teams.TenantID, set.Teams.ClientID, settings.RedirectURI, "")
		if err != nil {
			return nil, err
		}
	}
	return verify.NewSystemCheck(sources, settings, &verify.SystemOptions{
		ProbeUser: set.Checks.ProbeUser, HTTPClient: s.HTTP, MiCollabPort: set.Checks.MiCollabPort, MiCollabElsewhere: set.Checks.MiCollabElsewhere,
		LocalDoubles: set.Checks.LocalDoubles || localURL(set.Teams.Cloud.LoginURL), Secrets: set.secrets(), Accepted: set.Checks.Accepted,
	})
}

func (c *CheckSettings) source() string {
	if c.Source == "" {
		return "the configuration"
	}
	return c.Source
}

// connected returns the telephone systems behind the gateway, each once.
func (s *Settings) connected() []presence.PBX {
	if len(s.Checks.PBX) > 0 {
		return s.Checks.PBX
	}
	return s.CloudLink.systems()
}

// secrets returns every secret of the settings, so that the checks can keep them
// out of their reports.
func (s *Settings) secrets() []presence.Secret {
	all := []presence.Secret{s.Teams.Secret, s.CloudLink.Secret}
	if pool := s.Teams.Pool; pool != nil {
		all = append(all, pool.StoreKey, pool.FormerKey)
		for _, m := range pool.Monitors {
			all = append(all, m.ClientSecret)
		}
	}
	return all
}

// clocks are services of CloudLink that answer whoever asks, each with its time.
func (c *CloudLinkSettings) clocks() []verify.Service {
	platform := cloudlink.Platform{Region: c.Region, BaseURL: c.BaseURL}
	return []verify.Service{
		{Name: "CloudLink authentication", URL: platform.URL(cloudlink.ServiceAuthentication)},
		{Name: "CloudLink administration", URL: platform.URL(cloudlink.ServiceAdmin)},
	}
}
