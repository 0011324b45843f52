package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// The sites of [Company]: which telephone system serves a site is known to who
// runs it, and not to CloudLink.
const (
	// SiteHeadquarters is to be taken for a MiVoice Business.
	SiteHeadquarters = "headquarters"
	// SitePlant is to be taken for a system that does not support the direction
	// from Teams to MiCollab.
	SitePlant = "plant"
)

// Person is one person of the simulated company.
type Person struct {
	// Name is the display name. Required.
	Name string
	// Email is the address on both sides. Default: the name in lower case with
	// dots, at example.test.
	Email string
	// Extension is the person's telephone. Default: none.
	Extension string
	// Site is the CloudLink site. Default: [SiteHeadquarters].
	Site string
	// WithoutTeams is a person without an Entra account.
	WithoutTeams bool
	// WithoutCloudLink is a person without a CloudLink user.
	WithoutCloudLink bool
}

// Company returns the people that a simulator has by default: four who are on
// both sides, one at a telephone system that takes part in one direction only,
// one without a telephone, one on the Teams side only and one on the CloudLink
// side only.
func Company() []Person {
	return []Person{
		{Name: "Anna Kraus", Extension: "2001"},
		{Name: "Ben Okafor", Extension: "2002"},
		{Name: "Chiara Rossi", Extension: "2003"},
		{Name: "David Lind", Extension: "2004"},
		{Name: "Emil Novak", Extension: "3001", Site: SitePlant},
		{Name: "Farah Aziz"},
		{Name: "Greta Holm", WithoutCloudLink: true},
		{Name: "Hugo Petit", Extension: "2008", WithoutTeams: true},
	}
}

const domain = "example.test"

func (p Person) email() string {
	return cmp.Or(p.Email, strings.ReplaceAll(strings.ToLower(p.Name), " ", ".")+"@"+domain)
}

// monitors is how many accounts there are to be presence monitors.
const monitors = 3

// monitorName and monitorEmail name those accounts, which are counted from 1.
func monitorName(n int) string  { return fmt.Sprintf("Presence Monitor %d", n) }
func monitorEmail(n int) string { return fmt.Sprintf("presence.monitor.%d@%s", n, domain) }

// The administrator is there for the integration's own sake.
const (
	administratorName  = "Integration Administrator"
	administratorEmail = "integration@" + domain
)

func checkPeople(people []Person) error {
	var faults []error
	emails := map[string]string{administratorEmail: administratorName}
	for n := range monitors {
		emails[monitorEmail(n+1)] = monitorName(n + 1)
	}
	extensions := map[string]string{}
	for _, p := range people {
		if strings.TrimSpace(p.Name) == "" {
			faults = append(faults, errors.New("simulator: a person has no name"))
			continue
		}
		key := strings.ToLower(p.email())
		if other, taken := emails[key]; taken {
			faults = append(faults, fmt.Errorf("simulator: %s and %s have the same address %s: give one of them another Email", other, p.Name, key))
		}
		emails[key] = p.Name
		if p.Extension != "" {
			if other, taken := extensions[p.Extension]; taken {
				faults = append(faults, fmt.Errorf("simulator: %s and %s have the same extension %s", other, p.Name, p.Extension))
			}
			extensions[p.Extension] = p.Name
		}
	}
	return errors.Join(faults...)
}

// stableID makes an id of an address that is the same at every start, so that a
// client may keep it.
func stableID(kind, email string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(kind+":"+strings.ToLower(email))).String()
}

// seed registers the application, the accounts for the integration and the
// people, and fills in the info. Everybody on the Teams side is signed in at a
// desktop, and Available.
func (s *Simulator) seed(people []Person, redirectURIs []string) error {
	s.secrets = secrets{
		application: graphtest.Secret{Description: "presencebridge", Value: presence.NewSecret(newSecret())},
	}
	for n := range monitors {
		s.secrets.monitors = append(s.secrets.monitors, graphtest.Secret{
			Description: "presencebridge " + monitorName(n+1), Value: presence.NewSecret(newSecret()),
		})
	}
	application := s.graph.AddApplication(graphtest.Application{
		ClientID: stableID("application", domain), Secrets: append([]graphtest.Secret{s.secrets.application}, s.secrets.monitors...),
	})
	if len(redirectURIs) > 0 {
		application.RedirectURIs = append(application.RedirectURIs, redirectURIs...)
		application = s.graph.AddApplication(application)
	}

	var accounts []MonitorInfo
	for n, secret := range s.secrets.monitors {
		account := graphtest.User{
			ID: stableID("teams", monitorEmail(n+1)), PrincipalName: monitorEmail(n + 1), Mail: monitorEmail(n + 1), Name: monitorName(n + 1),
			Password: presence.NewSecret(newSecret()),
		}
		s.graph.AddUser(account)
		refreshToken, err := s.graph.GrantRefreshToken(application.ClientID, account.ID)
		if err != nil {
			return err
		}
		accounts = append(accounts, MonitorInfo{
			ID: account.ID, PrincipalName: account.PrincipalName, Password: account.Password.Reveal(),
			ClientSecret: secret.Value.Reveal(), RefreshToken: refreshToken.Reveal(),
		})
	}
	s.info.Teams = TeamsInfo{
		LoginURL: s.graph.LoginURL(), GraphURL: s.graph.GraphURL(), TenantID: s.graph.TenantID(),
		ClientID: application.ClientID, ClientSecret: s.secrets.application.Value.Reveal(),
		RedirectURIs: slices.Clone(application.RedirectURIs),
		Monitor:      accounts[0], Monitors: accounts,
	}

	cloud := CloudLinkInfo{
		BaseURL: s.info.URL + cloudLinkPrefix, Services: map[string]string{},
		AccountID: s.cloud.AccountID(), PartnerID: s.cloud.PartnerID(),
		ClientID: "presencebridge", ClientSecret: newSecret(), Username: administratorEmail, Password: newSecret(),
	}
	for _, service := range []string{"authentication", "admin", "media", "notifications", "presence"} {
		cloud.Services[service] = s.cloud.URL(service)
	}
	s.cloud.AddClient(cloud.ClientID, cloud.ClientSecret, cloudlinktest.RoleAccountAdmin)
	s.cloud.AddUser(cloudlinktest.User{
		ID: stableID("cloudlink", administratorEmail), Name: administratorName, Email: administratorEmail,
		Password: cloud.Password, Role: cloudlinktest.RoleAccountAdmin,
	})
	s.info.CloudLink = cloud

	for _, p := range people {
		info, err := s.addPerson(p)
		if err != nil {
			return err
		}
		s.info.People = append(s.info.People, info)
	}
	return nil
}

func (s *Simulator) addPerson(p Person) (PersonInfo, error) {
	info := PersonInfo{Name: p.Name, Email: p.email()}
	if !p.WithoutTeams {
		info.TeamsID = stableID("teams", info.Email)
		s.graph.AddUser(graphtest.User{ID: info.TeamsID, PrincipalName: info.Email, Mail: info.Email, Name: p.Name})
		if err := s.graph.SetClient(info.TeamsID, defaultDevice, presence.Available, ""); err != nil {
			return info, err
		}
	}
	if !p.WithoutCloudLink {
		info.CloudLinkID, info.Extension = stableID("cloudlink", info.Email), p.Extension
		info.Site = cmp.Or(p.Site, SiteHeadquarters)
		s.cloud.AddUser(cloudlinktest.User{
			ID: info.CloudLinkID, Name: p.Name, Email: info.Email, Extension: p.Extension, SiteID: info.Site,
		})
	}
	return info, nil
}

// teamsUser finds an account by whatever names the person on either side.
func (s *Simulator) teamsUser(key string) (graphtest.User, bool) {
	users := s.graph.Users()
	find := func(key string) (graphtest.User, bool) {
		for _, u := range users {
			if named(key, u.ID, u.PrincipalName, u.Mail, u.Name) {
				return u, true
			}
		}
		return graphtest.User{}, false
	}
	if u, ok := find(key); ok {
		return u, true
	}
	for _, u := range s.cloud.Users() {
		if named(key, u.ID, u.PrincipalID, u.Extension) {
			return find(u.Email)
		}
	}
	return graphtest.User{}, false
}

// cloudLinkUser finds a CloudLink user by whatever names the person on either side.
func (s *Simulator) cloudLinkUser(key string) (cloudlinktest.User, bool) {
	users := s.cloud.Users()
	find := func(key string) (cloudlinktest.User, bool) {
		for _, u := range users {
			if named(key, u.ID, u.PrincipalID, u.Email, u.Extension, u.Name) {
				return u, true
			}
		}
		return cloudlinktest.User{}, false
	}
	if u, ok := find(key); ok {
		return u, true
	}
	for _, u := range s.graph.Users() {
		if named(key, u.ID, u.PrincipalName) {
			if found, ok := find(u.Mail); ok {
				return found, true
			}
			return find(u.PrincipalName)
		}
	}
	return cloudlinktest.User{}, false
}

func named(key string, names ...string) bool {
	for _, name := range names {
		if key != "" && strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}
