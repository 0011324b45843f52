package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/examples/internal/simulator"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// simulatedMonitors is how many presence monitors there are: one to watch, and
// another one.
const simulatedMonitors = 2

// stage is a simulated system with a bridge.
type stage struct {
	sim      *simulator.Simulator
	info     simulator.Info
	settings *service.Settings
	bridge   *bridge
}

// close stops what was started.
func (s *stage) close() error {
	var err error
	if s.bridge != nil {
		err = s.bridge.stop()
	} else if s.settings != nil {
		err = s.settings.Listener.Close()
	}
	s.sim.Close()
	return err
}

// openSimulated returns a system that is simulated in this process.
func (p *program) openSimulated(ctx context.Context) (*system, int) {
	s, err := p.newStage(ctx)
	if err != nil {
		p.complain(interrupted(ctx, err).Error())
		return nil, exitFailed
	}
	return &system{s.bridge.SystemCheck, s.bridge.UserCheck, s.close}, 0
}

// newStage starts a system where all is well, and breaks what is to be broken.
func (p *program) newStage(ctx context.Context) (*stage, error) {
	sim, err := simulator.Start(simulator.Options{People: healthy()})
	if err != nil {
		return nil, err
	}
	s := &stage{sim: sim, info: sim.Info()}
	if err := p.setUp(ctx, s); err != nil {
		_ = s.close() // err says why
		return nil, err
	}
	return s, nil
}

// setUp runs a bridge on the stage, until everybody is in step.
func (p *program) setUp(ctx context.Context, s *stage) error {
	fault := faultOf(p.flags.fault)
	if err := s.configure(ctx); err != nil {
		return err
	}
	if err := fault.do(s, atFirst); err != nil {
		return err
	}
	assembled, err := service.Assemble(s.settings, &service.Extras{Logger: p.logger()})
	if err != nil {
		return err
	}
	s.bridge = start(ctx, assembled)
	if err := s.signIn(ctx); err != nil {
		return err
	}
	settled := []func() bool{s.inStep}
	if fault.quiet {
		settled = append(settled, s.quiet)
	}
	if err := p.settle(ctx, s.bridge, settled...); err != nil {
		return err
	}
	if err := fault.do(s, atLast); err != nil {
		return err
	}
	var people []string
	for _, person := range s.info.People {
		people = append(people, person.Email)
	}
	p.complain("the simulated people are " + strings.Join(people, ", "))
	if fault.name != "" {
		p.complain("broken on purpose: " + fault.does)
	}
	return nil
}

// healthy are those of the simulator's company who are in step in both directions.
func healthy() []simulator.Person {
	var people []simulator.Person
	for _, p := range simulator.Company() {
		if p.Extension != "" && p.Site == "" && !p.WithoutTeams && !p.WithoutCloudLink {
			people = append(people, p)
		}
	}
	return people
}

// configure writes the settings of the bridge, as a configuration file would.
func (s *stage) configure(ctx context.Context) error {
	teams, cloud := s.info.Teams, s.info.CloudLink
	// The administrator is in CloudLink for a sign-in that this bridge does not use, and
	// has no Teams account.
	for _, u := range s.sim.CloudLink().Users() {
		if strings.EqualFold(u.Email, cloud.Username) {
			s.sim.CloudLink().RemoveUser(u.ID)
		}
	}
	// The simulator takes the connection that tells whether MiCollab can be reached.
	base, err := url.Parse(s.info.URL)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		return err
	}
	notifications, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	enabled := true
	pool := &service.PoolSettings{StoreKey: monitor.GenerateKey(), Options: monitor.PoolOptions{
		FeatureSecret: presence.NewSecret(teams.ClientSecret), Monitor: monitor.Options{Settle: 20 * time.Millisecond}, StateSettle: -1, DeleteOnStop: true,
	}}
	for _, m := range teams.Monitors[:simulatedMonitors] {
		pool.Monitors = append(pool.Monitors, service.MonitorSettings{PrincipalName: m.PrincipalName, ClientSecret: presence.NewSecret(m.ClientSecret)})
	}
	s.settings = &service.Settings{
		Listener: notifications, PublicURL: "http://" + notifications.Addr().String(),
		Teams: service.TeamsSettings{
			Cloud:    graph.Cloud{Name: "simulator", LoginURL: teams.LoginURL, GraphURL: teams.GraphURL, Notifications: true},
			TenantID: teams.TenantID, ClientID: teams.ClientID, Secret: presence.NewSecret(teams.ClientSecret), Pool: pool,
		},
		CloudLink: service.CloudLinkSettings{
			BaseURL: s.sim.CloudLink().URL, AccountID: cloud.AccountID, ClientID: cloud.ClientID, Secret: presence.NewSecret(cloud.ClientSecret),
			// The simulator has no limit.
			RequestsPerSecond: 10_000, PBX: presence.MiVoiceBusiness, Capabilities: presence.DefaultCapabilities(),
		},
		MiCollab: &service.MiCollabSettings{Server: micollab.Server{
			Address: base.Hostname(), Version: micollab.Minimum(), TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
		}},
		Checks: service.CheckSettings{Source: "the simulation", GatewayIntegration: &enabled, MiCollabPort: port, LocalDoubles: true},
		// For that long after its start the bridge reckons with an earlier one.
		Bridge: presencebridge.Options{Name: "simulation", Direction: presencebridge.Bidirectional, EchoWindow: 300 * time.Millisecond},
	}
	return nil
}

// signIn lets somebody sign in as each presence monitor.
func (s *stage) signIn(ctx context.Context) error {
	select {
	case <-s.bridge.Entered():
	case <-s.bridge.ended:
		return s.bridge.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, m := range s.info.Teams.Monitors[:simulatedMonitors] {
		address, err := s.bridge.Pool.AuthorizationURL(ctx, m.PrincipalName)
		if err != nil {
			return err
		}
		back, err := s.sim.Graph().SignIn(address, m.ID)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, back, nil)
		if err != nil {
			return err
		}
		response, err := browser.Do(request)
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the sign-in of %s was not accepted: %s", m.PrincipalName, response.Status)
		}
	}
	return nil
}

// inStep reports whether MiCollab shows what it should and a monitor watches, for
// everybody.
func (s *stage) inStep() bool {
	for _, u := range s.bridge.Bridge.Roster().Users {
		if e, err := s.bridge.Bridge.Explain(u.TeamsID); err != nil || e.Wanted != e.Shown || !e.Watched {
			return false
		}
	}
	return true
}

// quietTime is after how long without a reading the bridge reads nothing for minutes:
// what a new subscription may have missed is read within milliseconds.
const quietTime = 500 * time.Millisecond

// quiet reports whether the bridge relies on notifications by now.
func (s *stage) quiet() bool {
	for _, u := range s.bridge.Bridge.Roster().Users {
		e, err := s.bridge.Bridge.Explain(u.TeamsID)
		if err != nil || time.Since(e.PresenceReadAt) < quietTime || time.Since(e.LineReadAt) < quietTime {
			return false
		}
	}
	return true
}
