package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// The sites of the company. The branch office has a telephone system that shows
// its lines in Teams and does not take Teams presence.
const (
	siteHead   = "head-office"
	siteBranch = "branch-office"
)

// member is one person of the company, on both sides.
type member struct {
	name        string
	email       string
	extension   string // empty: no telephone
	site        string
	teamsID     string // empty: no Entra account
	principalID string
}

// first is the name by which the day calls a person.
type first string

const (
	ada   first = "Ada"
	alan  first = "Alan"
	carl  first = "Carl"
	emmy  first = "Emmy"
	grace first = "Grace"
	hedy  first = "Hedy"
	kurt  first = "Kurt"
	leo   first = "Leo"
	lise  first = "Lise"
	marie first = "Marie"
	otto  first = "Otto"
	niels first = "Niels"
)

// colleagues is how many people there are beside those whom the day calls by name.
const colleagues = 1500

// company is people at doubles of Microsoft Graph and CloudLink.
type company struct {
	graph     *graphtest.Server
	cloudlink *cloudlinktest.Server
	clientID  string
	// everybody begins with those whom the day calls by name, who are in people
	// too.
	everybody []*member
	people    map[first]*member
	monitors  []*monitorAccount
	received  received
	byTeams   map[string]*member
	byPhone   map[string]*member
	byCloud   map[string]*member // by principal id
	settings  *service.Settings
}

func (co *company) close() {
	if co.graph != nil {
		co.graph.Close()
	}
	if co.cloudlink != nil {
		co.cloudlink.Close()
	}
}

// found starts the doubles, moves the people in, and returns the settings of
// a bridge for them, as a configuration file would give them.
func found(c *clock) (*company, error) {
	co := &company{people: map[first]*member{}, byTeams: map[string]*member{}, byPhone: map[string]*member{}, byCloud: map[string]*member{}}
	var err error
	co.graph, err = graphtest.NewServer(&graphtest.Options{SessionTimeScale: c.scale})
	if err == nil {
		co.cloudlink, err = cloudlinktest.NewServer(nil)
	}
	if err == nil {
		co.moveIn()
		err = co.configure(c)
	}
	if err != nil {
		co.close()
		return nil, err
	}
	return co, nil
}

func (co *company) moveIn() {
	for i, p := range []struct {
		first   first
		name    string
		site    string
		noPhone bool
		noTeams bool
	}{
		{first: ada, name: "Ada Byron"},
		{first: alan, name: "Alan Turing"},
		{first: carl, name: "Carl Gauss"},
		{first: emmy, name: "Emmy Noether"},
		{first: grace, name: "Grace Hopper"},
		{first: hedy, name: "Hedy Lamarr"},
		{first: kurt, name: "Kurt Goedel", noTeams: true},
		{first: leo, name: "Leo Euler"},
		{first: lise, name: "Lise Meitner"},
		{first: marie, name: "Marie Curie"},
		{first: otto, name: "Otto Hahn", site: siteBranch},
		{first: niels, name: "Niels Bohr", noPhone: true},
	} {
		m := &member{name: p.name, email: lowerFirst(p.first) + "@example.test", site: siteHead}
		if p.site != "" {
			m.site = p.site
		}
		if !p.noPhone {
			m.extension = fmt.Sprint(2001 + i)
		}
		if !p.noTeams {
			// The lowest ids of all: where there is too little room for everybody,
			// the day goes on for those whom it is about.
			m.teamsID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)
		}
		co.people[p.first] = m
		co.add(m)
	}
	for _, p := range simulator.Colleagues(colleagues) {
		email := strings.ToLower(strings.ReplaceAll(p.Name, " ", ".")) + "@example.test"
		co.add(&member{
			name: p.Name, email: email, extension: p.Extension, site: siteHead,
			teamsID: uuid.NewSHA1(uuid.NameSpaceURL, []byte(email)).String(),
		})
	}
}

// add gives a person what they have on either side.
func (co *company) add(m *member) {
	if m.extension != "" {
		co.byPhone[m.extension] = m
	}
	if m.teamsID != "" {
		co.graph.AddUser(graphtest.User{ID: m.teamsID, PrincipalName: m.email, Mail: m.email, Name: m.name})
		co.byTeams[m.teamsID] = m
	}
	m.principalID = co.cloudlink.AddUser(cloudlinktest.User{Name: m.name, Email: m.email, Extension: m.extension, SiteID: m.site}).PrincipalID
	co.byCloud[m.principalID] = m
	co.everybody = append(co.everybody, m)
}

func lowerFirst(f first) string { return string(f[0]|0x20) + string(f[1:]) }

// configure registers the application and the accounts of the presence monitors,
// and writes the settings.
func (co *company) configure(c *clock) error {
	application := co.graph.AddApplication(graphtest.Application{Name: "presencebridge demonstration"})
	co.clientID = application.ClientID
	monitors, err := co.hireMonitors(monitorsAtFirst)
	if err != nil {
		return err
	}
	co.received.count(co)
	co.cloudlink.AddClient("bridge", "demonstration", cloudlinktest.RoleAccountAdmin)

	notifications, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	status, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, notifications.Close())
	}
	secret := application.Secrets[0].Value
	co.settings = &service.Settings{
		Listener: notifications, StatusListener: status, PublicURL: "http://" + notifications.Addr().String(),
		Teams: service.TeamsSettings{
			Cloud:    graph.Cloud{Name: "demonstration", LoginURL: co.graph.LoginURL(), GraphURL: co.graph.GraphURL(), Notifications: true},
			TenantID: co.graph.TenantID(), ClientID: application.ClientID, Secret: secret,
			Pool: &service.PoolSettings{Monitors: monitors, StoreKey: monitor.GenerateKey(), Options: monitor.PoolOptions{
				FeatureSecret: secret,
				Monitor:       monitor.Options{Settle: 20 * time.Millisecond},
				CheckInterval: c.real(checkInterval),
				StateSettle:   -1, // at once: a pause of seconds would be hours of this day
				DeleteOnStop:  true,
			}},
		},
		CloudLink: service.CloudLinkSettings{
			BaseURL: co.cloudlink.URL, AccountID: co.cloudlink.AccountID(), ClientID: "bridge", Secret: presence.NewSecret("demonstration"),
			// The double has no limit, and the day is a thousand times too fast.
			RequestsPerSecond: 100_000,
			PBX:               presence.MiVoiceBusiness, Sites: map[string]presence.PBX{siteBranch: presence.MiVoiceOffice400},
			Capabilities: presence.DefaultCapabilities(),
		},
		MiCollab: &service.MiCollabSettings{Server: micollab.Server{
			Address: "micollab.example.test", Version: micollab.Version{Major: 9, Minor: 8, ServicePack: 1},
			TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
		}},
		Bridge: presencebridge.Options{
			Name: "demonstration", Direction: presencebridge.Bidirectional,
			SessionLifetime:   c.real(sessionLifetime),
			ReconcileInterval: max(minReconcile, c.real(reconcileInterval)),
			UnwatchedInterval: max(time.Second, c.real(unwatchedInterval)),
			// What takes real time stays in real time, but as short as this
			// machine allows: in this day a minute is a blink.
			EchoWindow: 300 * time.Millisecond,
			MaxBackoff: time.Second,
			Damping:    presencebridge.Damping{Window: 300 * time.Millisecond, Settle: 80 * time.Millisecond, MaxHold: 240 * time.Millisecond},
		},
	}
	return nil
}
