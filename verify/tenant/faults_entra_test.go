package tenant_test

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// otherGUID is the id of nothing.
const otherGUID = "00000000-1111-4222-8333-444444444444"

var html = graphtest.Reply{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><title>Sign in to the proxy</title></html>")}

// change changes the application in Entra.
func (s *system) change(edit func(*graphtest.Application)) {
	s.Helper()
	require.NoError(s, s.graph.UpdateApplication(s.app.ClientID, edit))
}

// restored is the application as it was at first, with the client secrets that it
// has got since.
func (s *system) restored() {
	s.Helper()
	s.change(func(a *graphtest.Application) {
		secrets := a.Secrets
		*a = s.app
		a.Secrets = secrets
	})
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == name })
}

// registered breaks the registration by an edit.
func registered(edit func(*graphtest.Application)) (broken, mended func(*system)) {
	return func(s *system) { s.change(edit) }, (*system).restored
}

// answers has the doubles of Microsoft answer something else.
func answers(method, pattern string, reply graphtest.Reply) (broken, mended func(*system)) {
	return func(s *system) { s.graph.Control(0, graphtest.Match(method, pattern, reply)) }, func(s *system) { s.graph.ClearControls() }
}

// configured enters something else in the configuration, and starts the service with
// it.
func configured(edit func(*configuration)) (broken, mended func(*system)) {
	return func(s *system) {
			s.reconfigure(edit)
			time.Sleep(inStep) // what has to be adopted or created anew is
		}, func(s *system) {
			s.reconfigure(nil)
			s.settle()
		}
}

// refusesApplication has Entra refuse tokens of the application itself.
func refusesApplication(status int, code string, aadsts int) graphtest.Control {
	refuse := entraAnswers(status, code, aadsts)
	return func(r *http.Request) *graphtest.Reply {
		if !strings.HasSuffix(r.URL.Path, "/token") || r.ParseForm() != nil || r.PostForm.Get("grant_type") != "client_credentials" {
			return nil
		}
		return refuse(r)
	}
}

// with fills in how a fault is made and mended.
func (f fault) with(broken, mended func(*system)) fault {
	f.broken, f.mended = broken, mended
	return f
}

func entraFaults() []fault {
	token := func(r graphtest.Reply) (broken, mended func(*system)) {
		broken, answersAgain := answers(http.MethodPost, "**/token", r)
		return broken, func(s *system) {
			answersAgain(s)
			time.Sleep(time.Minute) // a request that is under way serves whoever asks next
		}
	}
	return []fault{
		fault{name: "the connection breaks", found: []string{"entra-reachable failed"}, sentence: "does not answer as it should"}.with(token(graphtest.Reply{Drop: true})),
		fault{name: "it hangs", found: []string{"entra-reachable failed"}, sentence: "no answer in time"}.with(token(graphtest.Reply{Delay: time.Hour})),
		fault{name: "a proxy answers", found: []string{"entra-reachable failed"}, sentence: "not what the service documents"}.with(token(html)),
		fault{name: "another tenant id", found: []string{"entra-tenant failed"}, aside: []string{"connection-cloudlink"}, sentence: "There is no tenant with the id " + otherGUID}.with(
			configured(func(c *configuration) { c.tenantID = otherGUID })),
		fault{name: "another client id", found: []string{"entra-application failed"}, aside: []string{"connection-cloudlink"}, sentence: "no application with the client id " + otherGUID}.with(
			configured(func(c *configuration) { c.clientID = otherGUID })),
		fault{name: "disabled", found: []string{"entra-application failed"}, sentence: "is disabled"}.with(
			registered(func(a *graphtest.Application) { a.Disabled = true })),
		fault{name: "expired", found: []string{"entra-secret failed"}, sentence: "has expired"}.with(
			func(s *system) { require.NoError(s, s.graph.ExpireSecret(s.app.ClientID, s.config.secret)) },
			func(s *system) {
				secret := s.newSecret("acme")
				s.healthy.secret = secret
				s.reconfigure(nil)
				s.settle()
			}),
		fault{name: "the Secret ID in its place", found: []string{"entra-secret failed"}, aside: []string{"connection-cloudlink"}, sentence: "Secret ID"}.with(
			func(s *system) {
				id := presence.NewSecret(s.app.Secrets[0].KeyID)
				s.reconfigure(func(c *configuration) { c.secret = id })
			},
			func(s *system) {
				s.reconfigure(nil)
				s.settle()
			}),
		fault{name: "a policy", found: []string{"entra-token failed"}, sentence: "conditional access policy"}.with(
			func(s *system) { s.graph.Control(0, refusesApplication(400, "invalid_grant", 53003)) },
			func(s *system) { s.graph.ClearControls() }),
		fault{name: "registered elsewhere", found: []string{"entra-registration warning"}, sentence: "another tenant has registered it"}.with(
			answers(http.MethodGet, "/graph/v1.0/applications**", graphtest.Reply{Status: 404, Body: []byte(`{"error":{"code":"Request_ResourceNotFound"}}`)})),
		// The pool asks for the registration too when it asks Entra about a monitor, and
		// then has no answer: what is said of the monitors is what was known before.
		fault{name: "it hangs", found: []string{
			"entra-registration warning", "monitor-working[monitor1@example.com] warning", "monitor-working[monitor2@example.com] warning",
		}}.with(
			answers(http.MethodGet, "/graph/v1.0/applications**", graphtest.Reply{Delay: time.Hour})),
		fault{name: "a proxy answers", found: []string{"entra-registration warning"}, sentence: "could not be read"}.with(
			answers(http.MethodGet, "/graph/v1.0/applications**", html)),
		fault{name: "the client secret ends soon", found: []string{"entra-secret-expiry warning"}, sentence: `(description "acme") ends on 2000-01-11`}.with(
			func(s *system) {
				s.change(func(a *graphtest.Application) { a.Secrets[0].End = time.Now().Add(10 * 24 * time.Hour) })
			},
			func(s *system) {
				s.change(func(a *graphtest.Application) { a.Secrets[0].End = time.Now().AddDate(2, 0, 0) })
			}),
		fault{name: "not registered", found: []string{"redirect-uri failed"}, sentence: "is of the region eu, and those of us are"}.with(
			registered(func(a *graphtest.Application) {
				a.RedirectURIs = []string{strings.Replace(signInURL, ".eu.", ".us.", 1)}
			})),
		fault{name: "of a single-page application", found: []string{"redirect-uri-platform failed"}, sentence: "Single-page application"}.with(
			registered(func(a *graphtest.Application) { a.RedirectURIs, a.SPARedirectURIs = []string{}, []string{signInURL} })),
		fault{name: "of another region", found: []string{"redirect-uri-region failed"}, sentence: "is of the region us, and the CloudLink account is of eu"}.with(
			configured(func(c *configuration) { c.redirectURI = strings.Replace(signInURL, ".eu.", ".us.", 1) })),
	}
}

func permissionFaults() []fault {
	return []fault{
		fault{name: "nobody has consented", found: []string{"admin-consent failed"}, sentence: "No administrator has consented"}.with(
			registered(func(a *graphtest.Application) { a.ConsentPending = true })),
		fault{name: "User.Read.All", found: []string{"application-permission-granted[User.Read.All] failed"}, sentence: "is not granted"}.with(
			registered(func(a *graphtest.Application) {
				a.DeclaredApplicationPermissions = a.ApplicationPermissions
				a.ApplicationPermissions = without(a.ApplicationPermissions, "User.Read.All")
			})),
		fault{name: "Application.Read.All", found: []string{"application-permission-granted[Application.Read.All] warning"}, sentence: "is not granted"}.with(
			registered(func(a *graphtest.Application) {
				a.ApplicationPermissions = without(a.ApplicationPermissions, "Application.Read.All")
			})),
		fault{name: "Presence.ReadWrite.All", found: []string{"application-permission-in-token[Presence.ReadWrite.All] failed"}, sentence: "does not hold it"}.with(
			registered(func(a *graphtest.Application) {
				a.TokenRoles = without(a.ApplicationPermissions, "Presence.ReadWrite.All")
			})),
		fault{name: "an application permission", found: []string{"application-permission-declared[User.Read.All] warning"}, sentence: "User.Read.All"}.with(
			registered(func(a *graphtest.Application) {
				a.DeclaredApplicationPermissions = without(a.ApplicationPermissions, "User.Read.All")
			})),
		fault{name: "a delegated permission", found: []string{"delegated-permission-declared[Presence.Read.All] warning"}, sentence: "delegated"}.with(
			registered(func(a *graphtest.Application) {
				a.DeclaredDelegatedPermissions = without(a.DelegatedPermissions, "Presence.Read.All")
			})),
	}
}
