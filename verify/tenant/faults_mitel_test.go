package tenant_test

import (
	"net/http"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

// mitelAnswers has the double of CloudLink answer something else.
func mitelAnswers(method, pattern string, reply cloudlinktest.Reply) (broken, mended func(*system)) {
	return func(s *system) { s.mitel.Control(0, cloudlinktest.Match(method, pattern, reply)) }, func(s *system) {
		s.mitel.ClearControls()
		s.settle()
	}
}

// role gives the credentials of the bridge a role.
func (s *system) role(role string) {
	s.mitel.AddClient(s.config.cloudClient, s.config.cloudSecret.Reveal(), role)
	s.mitel.ExpireTokens()
}

// subscriptionTo returns the id of the subscription to a topic of CloudLink's.
func (s *system) subscriptionTo(topic string) string {
	s.Helper()
	for _, subscription := range s.mitel.Subscriptions() {
		if subscription.Topic == topic {
			return subscription.ID
		}
	}
	require.Fail(s, "there is no subscription to "+topic)
	return ""
}

// facts enters other facts of the gateway and of MiCollab.
func facts(edit func(*configuration)) (broken, mended func(*system)) {
	return func(s *system) { edit(&s.config) }, func(s *system) { s.config = s.healthy }
}

func cloudLinkFaults() []fault {
	return []fault{
		fault{name: "the connection breaks", found: []string{"cloudlink-reachable failed"}, sentence: "CloudLink does not answer."}.with(
			mitelAnswers("", ".*", cloudlinktest.Reply{Drop: true})),
		fault{name: "it hangs", found: []string{"cloudlink-reachable failed"}, sentence: "CloudLink does not answer."}.with(
			mitelAnswers("", ".*", cloudlinktest.Reply{Delay: time.Hour})),
		fault{name: "a proxy answers", found: []string{"cloudlink-reachable failed"}, sentence: "is not CloudLink's API"}.with(mitelAnswers("", ".*", html)),
		fault{name: "the client is gone", found: []string{"cloudlink-credentials failed"}, sentence: "does not accept the credentials"}.with(
			func(s *system) { s.mitel.RemoveClient(s.config.cloudClient) },
			func(s *system) {
				s.mitel.AddClient(s.config.cloudClient, s.config.cloudSecret.Reveal(), cloudlinktest.RoleAccountAdmin)
				s.settle()
			}),
		fault{name: "another account", found: []string{"cloudlink-account failed"}, sentence: "The credentials belong to account " + otherGUID}.with(
			func(s *system) { s.mitel.SetAccountID(otherGUID) },
			func(s *system) {
				s.mitel.SetAccountID(s.config.accountID)
				s.settle()
			}),
		fault{name: "it cannot be read", found: []string{"cloudlink-account failed"}, sentence: "cannot be read"}.with(
			mitelAnswers(http.MethodGet, "/accounts/[^/]+$", html)),
		fault{name: "a user's", found: []string{"cloudlink-role failed"}, sentence: "have the role USER"}.with(
			func(s *system) { s.role(cloudlinktest.RoleUser) },
			func(s *system) {
				s.role(cloudlinktest.RoleAccountAdmin)
				s.settle()
			}),
		fault{name: "another region", found: []string{"cloudlink-region failed"}, sentence: "keeps the account in the region us, and the configured region is eu"}.with(
			func(s *system) { s.mitel.SetDomain(s.config.accountID + ".us.api.mitel.io") },
			func(s *system) { s.mitel.SetDomain(s.config.accountID + ".eu.api.mitel.io") }),
		fault{name: "none can be made", found: []string{"cloudlink-subscriptions failed"}, sentence: "There is no subscription to the notifications of telephones"}.with(
			func(s *system) {
				s.mitel.Control(0, cloudlinktest.Match(http.MethodPost, "/subscriptions$", cloudlinktest.Reply{Status: http.StatusServiceUnavailable}))
				require.True(s, s.mitel.KillSubscription(s.subscriptionTo(cloudlink.TopicMedia), false))
				time.Sleep(10 * time.Minute)
			},
			func(s *system) {
				s.mitel.ClearControls()
				s.settle()
			}),
		fault{
			name: "one is silent", found: []string{"cloudlink-heard warning"}, sentence: "have brought no notification of telephones since",
			from: func(c *configuration) { c.options.HeardWithin = time.Hour },
		}.with(
			func(s *system) {
				require.True(s, s.mitel.KillSubscription(s.subscriptionTo(cloudlink.TopicMedia), true))
				time.Sleep(time.Hour)
				s.stir()
			},
			func(s *system) {
				require.True(s, s.mitel.KillSubscription(s.subscriptionTo(cloudlink.TopicMedia), false))
				s.settle()
			}),
		fault{name: "off", found: []string{"gateway-integration failed"}, sentence: "is not enabled"}.with(
			facts(func(c *configuration) { c.gateway.Integration = false })),
		fault{name: "another telephone system", found: []string{"gateway-pbx failed"}, sentence: "takes Teams presence: MiVoice Office 400"}.with(
			facts(func(c *configuration) { c.gateway.PBX = []presence.PBX{presence.MiVoiceOffice400} })),
	}
}

func miCollabFaults() []fault {
	return []fault{
		fault{name: "nobody has entered it", found: []string{"micollab-address failed"}}.with(facts(func(c *configuration) { c.miCollab.Address = "" })),
		fault{name: "the WAN interface", found: []string{"micollab-address-private failed"}, sentence: "198.51.100.9 (public)"}.with(
			func(s *system) { s.names.set(miCollabHost, "198.51.100.9") },
			func(s *system) { s.names.set(miCollabHost, miCollabIP) }),
		fault{name: "the name is unknown", found: []string{"micollab-address-private failed"}, sentence: "no such host"}.with(
			func(s *system) { s.names.set(miCollabHost, "") },
			func(s *system) { s.names.set(miCollabHost, miCollabIP) }),
		fault{name: "it is switched off", found: []string{"micollab-reachable failed"}, sentence: miCollabIP}.with(
			func(s *system) { s.miCollab.close() },
			func(s *system) { s.miCollab = newAnswerer(s.T, s.network, miCollabIP) }),
		fault{name: "nobody has entered it", found: []string{"micollab-password failed"}}.with(facts(func(c *configuration) { c.miCollab.PasswordSet = false })),
		fault{name: "too old", found: []string{"micollab-version failed"}, sentence: "9.7"}.with(
			facts(func(c *configuration) { c.miCollab.Version = micollab.Version{Major: 9, Minor: 7} })),
		fault{name: "off", found: []string{"micollab-cloudlink-integration failed"}}.with(facts(func(c *configuration) { c.miCollab.CloudLinkIntegration = false })),
		fault{name: "off", found: []string{"micollab-teams-integration failed"}}.with(facts(func(c *configuration) { c.miCollab.TeamsIntegration = false })),
	}
}

func peopleFaults() []fault {
	// address gives somebody another address at CloudLink.
	address := func(name, email string) func(*system) {
		return func(s *system) {
			require.True(s, s.mitel.UpdateUser(s.people[name].phone.ID, func(u *cloudlinktest.User) { u.Email = email }))
		}
	}
	read := func(s *system) { time.Sleep(directoryInterval + 5*time.Minute) }
	both := func(functions ...func(*system)) func(*system) {
		return func(s *system) {
			for _, f := range functions {
				f(s)
			}
			read(s)
		}
	}
	return []fault{
		fault{
			name: "other addresses", found: []string{"users-matched failed"}, sentence: "nobody is the same person",
			aside: append(slices.Clone(nobodyToHearOf), "probe-notification"),
		}.with(
			both(address("ada", "a@example.net"), address("bob", "b@example.net"), address("cy", "c@example.net"), address("tess", "d@example.net")),
			both(address("ada", "ada@example.com"), address("bob", "bob@example.com"), address("cy", "cy@example.com"), address("tess", "tess@example.com"), (*system).settle)),
		fault{name: "another address", found: []string{"users-unmatched warning"}, sentence: "cy@example.net (no Entra account has this address)"}.with(
			both(address("cy", "cy@example.net")), both(address("cy", "cy@example.com"), (*system).settle)),
		fault{name: "one address for two", found: []string{"users-ambiguous warning"}, sentence: "share an address"}.with(
			both(func(s *system) {
				s.mitel.AddUser(cloudlinktest.User{ID: "another-cy", Name: "another Cy", Email: "cy@example.com", Extension: "2009", SiteID: siteHead})
			}),
			both(func(s *system) { s.mitel.RemoveUser("another-cy") }, (*system).settle)),
		fault{name: "disabled", found: []string{"users-left-out warning"}, sentence: "cy@example.com (disabled in Entra)"}.with(
			both(func(s *system) { s.account("cy", func(u *user) { u.Disabled = true }) }),
			both(func(s *system) { s.account("cy", func(u *user) { u.Disabled = false }) }, (*system).settle)),
		fault{name: "another telephone system", found: []string{"users-limited warning"}, sentence: "cy@example.com (Teams not shown in MiCollab: unsupported telephone system)"}.with(
			both(func(s *system) {
				assert.True(s, s.mitel.UpdateUser(s.people["cy"].phone.ID, func(u *cloudlinktest.User) { u.SiteID = string(presence.MiVoiceOffice400) }))
			}),
			both(func(s *system) {
				assert.True(s, s.mitel.UpdateUser(s.people["cy"].phone.ID, func(u *cloudlinktest.User) { u.SiteID = siteHead }))
			}, (*system).settle)),
		fault{name: "somebody is being moved", found: []string{"users-watched warning"}, sentence: "ada@example.com"}.with(
			func(s *system) { s.service.bridge.TeamsUnwatched([]string{s.people["ada"].teams.ID}) },
			func(s *system) { s.service.bridge.TeamsUnwatched(nil) }),
	}
}
