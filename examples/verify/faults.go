package main

import (
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// moment is when something is broken.
type moment bool

const (
	atFirst moment = false // before the bridge starts
	atLast  moment = true  // when everybody is in step
)

// fault is one thing that is broken on purpose.
type fault struct {
	name, does string
	when       moment
	// quiet: the bridge must read nothing by itself any more.
	quiet  bool
	breaks func(s *stage) error
}

// do breaks the thing if this is the moment.
func (f fault) do(s *stage, now moment) error {
	if f.breaks == nil || f.when != now {
		return nil
	}
	return f.breaks(s)
}

func faultNames() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

// faultOf returns the fault of a name; the zero fault breaks nothing.
func faultOf(name string) fault {
	for _, f := range faults() {
		if f.name == name {
			return f
		}
	}
	return fault{}
}

// faults are what -break can break.
func faults() []fault {
	return []fault{
		{"secret-expired", "the client secret of the application has expired", atLast, false, func(s *stage) error {
			return s.sim.Graph().ExpireSecret(s.info.Teams.ClientID, presence.NewSecret(s.info.Teams.ClientSecret))
		}},
		{"consent", "the tenant's administrator has withdrawn the consent", atLast, false, func(s *stage) error {
			return s.sim.Graph().SetConsent(s.info.Teams.ClientID, false)
		}},
		{"redirect-uri", "the redirect URI of the sign-ins is not registered any more", atLast, false, func(s *stage) error {
			return s.sim.Graph().UpdateApplication(s.info.Teams.ClientID, func(a *graphtest.Application) {
				a.RedirectURIs = []string{"https://elsewhere.example.test/callback"}
			})
		}},
		{"clock", "the clock of Microsoft's services is twenty minutes ahead of ours", atLast, false, func(s *stage) error {
			s.sim.Graph().SetClockSkew(20 * time.Minute)
			return nil
		}},
		{"monitor-disabled", "the account of the first presence monitor is disabled", atLast, false, func(s *stage) error {
			return s.sim.Graph().UpdateUser(s.info.Teams.Monitor.ID, func(u *graphtest.User) { u.Disabled = true })
		}},
		{"monitor-secret-expired", "the client secret of the first presence monitor has expired", atLast, false, func(s *stage) error {
			return s.sim.Graph().ExpireSecret(s.info.Teams.ClientID, presence.NewSecret(s.info.Teams.Monitor.ClientSecret))
		}},
		{"monitor-signed-out", "the sign-in of the first presence monitor was revoked", atLast, false, func(s *stage) error {
			s.sim.Graph().RevokeRefreshTokens(s.info.Teams.Monitor.ID)
			return nil
		}},
		{"cloudlink-client", "the client with which the bridge signs in to CloudLink was deleted", atLast, false, func(s *stage) error {
			s.sim.CloudLink().RemoveClient(s.info.CloudLink.ClientID)
			s.sim.CloudLink().ExpireTokens()
			s.sim.CloudLink().RevokeRefreshTokens()
			return nil
		}},
		{"gateway", "the gateway integration is not enabled", atFirst, false, func(s *stage) error {
			*s.settings.Checks.GatewayIntegration = false
			return nil
		}},
		{"micollab", "MiCollab takes no connection", atFirst, false, func(s *stage) error {
			s.settings.Checks.MiCollabPort = 1 // of a service that nobody has any more
			return nil
		}},
		{"unmatched", "somebody in CloudLink has an address that no Teams account has", atFirst, false, func(s *stage) error {
			s.sim.CloudLink().AddUser(cloudlinktest.User{Name: "Ida Berg", Email: "ida.berg@elsewhere.example.test", Extension: "2009"})
			return nil
		}},
		{"lost-notifications", "no notification comes, the first person is in a call, and the second one does not want to be disturbed", atLast, true, loseNotifications},
	}
}

// loseNotifications lets two people change without the bridge being told.
func loseNotifications(s *stage) error {
	s.sim.Graph().SetDeliveryFault(func(graphtest.Delivery) graphtest.Fault { return graphtest.Fault{Drop: true} })
	s.sim.CloudLink().SetDeliveryFault(func(cloudlinktest.Delivery) cloudlinktest.Fault { return cloudlinktest.Fault{Drop: true} })
	caller, busy := s.info.People[0], s.info.People[1]
	if !s.sim.CloudLink().SetLine(caller.Extension, presence.LineConnected) {
		return fmt.Errorf("there is no telephone %s", caller.Extension)
	}
	return s.sim.Graph().SetClient(busy.TeamsID, "desktop", presence.DoNotDisturb, "")
}
