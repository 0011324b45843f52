package tenant_test

import (
	"net/http"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// atGraphPath has the front answer something else at the notification URL; the
// webhook of CloudLink goes on.
func atGraphPath(answer func(w http.ResponseWriter, r *http.Request, service http.Handler)) (broken, mended func(*system)) {
	return func(s *system) {
			service := *s.front.handler.Load()
			s.front.answer(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == graphPath {
					answer(w, r, service)
					return
				}
				service.ServeHTTP(w, r)
			})
		}, func(s *system) {
			s.front.answer(nil)
			s.settle()
		}
}

func notificationFaults() []fault {
	// certified presents another certificate, to those who connect from now on.
	certified := func(issue func(s *system) (*authority, string, time.Duration)) (broken, mended func(*system)) {
		return func(s *system) {
				by, name, lifetime := issue(s)
				s.front.certificate.Store(by.issue(s.T, name, lifetime))
			}, func(s *system) {
				s.front.certificate.Store(s.authority.issue(s.T, bridgeHost, 60*24*time.Hour))
				s.outside.CloseIdleConnections()
			}
	}
	return []fault{
		fault{name: "without TLS", found: []string{"notification-url failed"}, sentence: "begins with http://"}.with(
			configured(func(c *configuration) { c.notificationURL = "http://" + bridgeHost + graphPath })),
		fault{name: "an address inside", found: []string{"notification-address warning"}, sentence: "resolves to 192.168.1.9"}.with(
			func(s *system) { s.names.set(bridgeHost, "192.168.1.9") },
			func(s *system) { s.names.set(bridgeHost, "203.0.113.7") }),
		fault{name: "an address inside, entered as such", found: []string{"notification-address failed"}, sentence: "the internet does not lead to"}.with(
			configured(func(c *configuration) { c.notificationURL = "https://192.168.1.9" + graphPath })),
		fault{name: "of an unknown authority", found: []string{"notification-certificate failed"}, sentence: "not trusted here"}.with(
			certified(func(s *system) (*authority, string, time.Duration) {
				return newAuthority(s.T), bridgeHost, 60 * 24 * time.Hour
			})),
		fault{name: "of another name", found: []string{"notification-certificate failed"}, sentence: "is of another name"}.with(
			certified(func(s *system) (*authority, string, time.Duration) {
				return s.authority, "www.example.com", 60 * 24 * time.Hour
			})),
		fault{name: "expired", found: []string{"notification-certificate failed"}, sentence: "has expired"}.with(
			certified(func(s *system) (*authority, string, time.Duration) { return s.authority, bridgeHost, -time.Hour })),
		fault{name: "it ends soon", found: []string{"notification-certificate warning"}, sentence: "ends on 2000-01-04"}.with(
			certified(func(s *system) (*authority, string, time.Duration) {
				return s.authority, bridgeHost, 3 * 24 * time.Hour
			})),
		fault{name: "another path", found: []string{"notification-handshake failed"}, sentence: "404 Not Found"}.with(
			atGraphPath(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) })),
		fault{name: "a login page", found: []string{"notification-handshake failed"}, sentence: "redirects to login.example.com"}.with(
			atGraphPath(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				http.Redirect(w, r, "https://login.example.com/", http.StatusFound)
			})),
		fault{name: "it hangs", found: []string{"notification-handshake failed"}, sentence: "gave no answer within 10s"}.with(
			atGraphPath(func(http.ResponseWriter, *http.Request, http.Handler) { time.Sleep(time.Minute) })),
		fault{name: "it is slow", found: []string{"notification-handshake warning"}, sentence: "took 4s to answer"}.with(
			atGraphPath(func(w http.ResponseWriter, r *http.Request, service http.Handler) {
				time.Sleep(4 * time.Second)
				service.ServeHTTP(w, r)
			})),
		fault{name: "not from here", found: []string{"notification-handshake warning"}, sentence: "cannot be reached from here", aside: []string{"notification-certificate"}}.with(
			func(s *system) { s.hairpin.Store(true) }, func(s *system) { s.hairpin.Store(false) }),
	}
}

func serviceFaults() []fault {
	unavailable := graphtest.Reply{Status: http.StatusServiceUnavailable}
	return []fault{
		fault{name: "Entra's cannot be read", found: []string{"connection-directory failed"}, sentence: "cannot read the users of both sides"}.with(
			func(s *system) {
				s.graph.Control(0, graphtest.Match(http.MethodGet, "/graph/v1.0/users", unavailable))
				time.Sleep(2 * directoryInterval)
			},
			func(s *system) {
				s.graph.ClearControls()
				time.Sleep(directoryInterval)
				s.settle()
			}),
		fault{name: "presence cannot be read", found: []string{"connection-teams failed"}, sentence: "cannot read Teams presence"}.with(
			func(s *system) {
				s.graph.Control(0, graphtest.Match(http.MethodPost, "**/getPresencesByUserId", unavailable))
				time.Sleep(inStep)
			},
			func(s *system) {
				s.graph.ClearControls()
				s.settle()
			}),
		fault{name: "line states cannot be read", found: []string{"connection-cloudlink failed"}, sentence: "cannot read line states"}.with(
			func(s *system) {
				s.mitel.Control(0, cloudlinktest.Match(http.MethodGet, "/endpoints/", cloudlinktest.Reply{Status: http.StatusServiceUnavailable}))
				time.Sleep(inStep)
			},
			func(s *system) {
				s.mitel.ClearControls()
				s.settle()
			}),
		fault{name: "ten minutes ahead", found: []string{"clock-microsoft failed"}, sentence: "Our clock differs"}.with(
			func(s *system) { s.graph.SetClockSkew(10 * time.Minute) }, func(s *system) { s.graph.SetClockSkew(0) }),
		fault{name: "three minutes behind", found: []string{"clock-mitel warning"}, sentence: "Our clock differs"}.with(
			func(s *system) { s.mitel.SetClockSkew(-3 * time.Minute) }, func(s *system) { s.mitel.SetClockSkew(0) }),
		fault{name: "a budget is nearly used up", found: []string{"throttling warning"}, sentence: `Of the budget "presence", 12`}.with(
			func(s *system) {
				for range 1200 {
					_, err := s.service.teams.Presence(s.Context(), s.people["ada"].teams.ID)
					require.NoError(s, err)
				}
			},
			func(*system) { time.Sleep(time.Minute) }),
	}
}

func probeFaults() []fault {
	return []fault{
		fault{name: "the session does not show", found: []string{"probe failed"}, sentence: "Teams still showed Available"}.with(
			func(s *system) {
				s.graph.Control(0, graphtest.Match(http.MethodPost, "/graph/v1.0/users/"+s.people["tess"].teams.ID+"/presence/setPresence", graphtest.Reply{Status: http.StatusOK}))
			},
			func(s *system) { s.graph.ClearControls() }),
		fault{name: "a status set by hand", found: []string{"probe warning"}, sentence: "outranks every session", aside: []string{"probe-notification"}}.with(
			func(s *system) {
				require.NoError(s, s.graph.SetPreferred(s.people["tess"].teams.ID, presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb}))
				time.Sleep(time.Minute)
			},
			func(s *system) {
				require.NoError(s, s.graph.SetPreferred(s.people["tess"].teams.ID, presence.Session{}))
				time.Sleep(time.Minute)
			}),
		fault{name: "it is lost on the way", found: []string{"probe-notification failed"}, sentence: "no notification came"}.with(
			func(s *system) {
				s.graph.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault {
					return graphtest.Fault{Drop: slices.Contains(d.UserIDs, s.people["tess"].teams.ID)}
				})
			},
			func(s *system) { s.graph.SetDeliveryFault(nil) }),
	}
}
