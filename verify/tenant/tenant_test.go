package tenant_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

// entraAnswers is what Entra refuses a token with.
func entraAnswers(status int, code string, aadsts int) graphtest.Control {
	body := fmt.Sprintf(`{"error":%q,"error_description":"AADSTS%d: as documented.","error_codes":[%d]}`, code, aadsts, aadsts)
	return graphtest.Match(http.MethodPost, "**/token", graphtest.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)})
}

func TestEachFaultInEntraIsFoundByOneCheck(t *testing.T) {
	const other = "00000000-1111-4222-8333-444444444444"
	reply := func(r graphtest.Reply) func(*world) {
		return func(w *world) { w.Control(0, graphtest.Match(http.MethodPost, "**/token", r)) }
	}
	without := func(list []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == name })
	}
	changed := func(edit func(*graphtest.Application)) func(*world) { return func(w *world) { w.change(edit) } }
	for _, tt := range []struct {
		name     string
		broken   func(w *world)
		check    string // the only one that does not pass; empty: all do
		sentence string
	}{
		{"nothing", func(*world) {}, "", ""},
		{"the connection breaks", reply(graphtest.Reply{Drop: true}), "entra-reachable failed", "closed before the answer was complete"},
		{"the service hangs", reply(graphtest.Reply{Delay: time.Hour}), "entra-reachable failed", "no answer in time"},
		{"a proxy answers", reply(graphtest.Reply{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>Sign in</html>")}), "entra-reachable failed", "not what the service documents"},
		{"the service is out of order", reply(graphtest.Reply{Status: 503}), "entra-reachable failed", "cannot answer now"},
		{"another tenant", func(w *world) { w.tenantID = other }, "entra-tenant failed", "There is no tenant with the id " + other},
		{"a tenant id that is none", func(w *world) { w.Control(0, entraAnswers(400, "invalid_request", 900023)) }, "entra-tenant failed", "There is no tenant"},
		{"the tenant of everybody", func(w *world) { w.tenantID = "common" }, "entra-tenant failed", "common cannot be used"},
		{"another cloud", func(w *world) { w.Control(0, entraAnswers(400, "invalid_request", 900382)) }, "entra-tenant failed", "another cloud"},
		{"another client id", func(w *world) { w.clientID = other }, "entra-application failed", "no application with the client id " + other},
		{"no service principal", func(w *world) { w.Control(0, entraAnswers(401, "invalid_client", 7000229)) }, "entra-application failed", "no application"},
		{"disabled", changed(func(a *graphtest.Application) { a.Disabled = true }), "entra-application failed", "is disabled"},
		{"another secret", func(w *world) { w.secret = presence.NewSecret("abc~another") }, "entra-secret failed", "none of the application's"},
		{"a Secret ID", func(w *world) { w.secret = presence.NewSecret(w.app.Secrets[0].KeyID) }, "entra-secret failed", "Secret ID"},
		{"an expired secret", func(w *world) { require.NoError(w, w.ExpireSecret(w.clientID, w.secret)) }, "entra-secret failed", "has expired"},
		{"no secret", func(w *world) { w.Control(0, entraAnswers(401, "invalid_client", 7000218)) }, "entra-secret failed", "no client secret and no client assertion"},
		{"conditional access", func(w *world) { w.Control(0, entraAnswers(400, "invalid_grant", 53003)) }, "entra-token failed", "conditional access policy"},
		{"a refusal that nobody knows", func(w *world) { w.Control(0, entraAnswers(400, "unauthorized_client", 999999)) }, "entra-token failed", "AADSTS999999"},
		{"throttling", func(w *world) { w.Control(0, entraAnswers(429, "temporarily_unavailable", 90055)) }, "entra-token failed", "fewer requests"},
		{"no consent", changed(func(a *graphtest.Application) { a.ConsentPending = true }), "admin-consent failed", "the token holds none"},
		{
			"a permission that is not granted", changed(func(a *graphtest.Application) {
				a.DeclaredApplicationPermissions = a.ApplicationPermissions
				a.ApplicationPermissions = without(a.ApplicationPermissions, "User.Read.All")
			}), "application-permission-granted[User.Read.All] failed", "match users",
		},
		{
			"nothing can be read", changed(func(a *graphtest.Application) {
				a.ApplicationPermissions = without(a.ApplicationPermissions, "Application.Read.All")
			}),
			"application-permission-granted[Application.Read.All] warning", "is not granted",
		},
		{
			"a token without what is granted", changed(func(a *graphtest.Application) {
				a.TokenRoles = without(a.ApplicationPermissions, "Presence.ReadWrite.All")
			}),
			"application-permission-in-token[Presence.ReadWrite.All] failed", "does not hold it",
		},
		{
			"a registration of another tenant", func(w *world) {
				w.Control(0, graphtest.Match(http.MethodGet, "/graph/v1.0/applications**", graphtest.Reply{Status: 404, Body: []byte(`{"error":{"code":"Request_ResourceNotFound"}}`)}))
			},
			"entra-registration warning", "another tenant has registered it",
		},
		{
			"an application permission that is not declared", changed(func(a *graphtest.Application) {
				a.DeclaredApplicationPermissions = without(a.ApplicationPermissions, "User.Read.All")
			}), "application-permission-declared[User.Read.All] warning", "User.Read.All",
		},
		{
			"a delegated permission that is not declared", changed(func(a *graphtest.Application) {
				a.DeclaredDelegatedPermissions = without(a.DelegatedPermissions, "User.Read.All")
			}), "delegated-permission-declared[User.Read.All] warning", "delegated",
		},
		{
			"a secret that ends soon", changed(func(a *graphtest.Application) { a.Secrets[0].End = time.Now().Add(50 * time.Hour) }),
			"entra-secret-expiry warning", `(description "acme") ends on 2000-01-03, in 2 days.`,
		},
		{"no redirect URI", changed(func(a *graphtest.Application) { a.RedirectURIs = []string{} }), "redirect-uri failed", callbackURL + " is not registered"},
		{
			"a page in a browser", changed(func(a *graphtest.Application) { a.RedirectURIs, a.SPARedirectURIs = []string{}, []string{callbackURL} }),
			"redirect-uri-platform failed", "Single-page application",
		},
		{
			"a client without a secret", changed(func(a *graphtest.Application) {
				a.RedirectURIs, a.PublicClientRedirectURIs = []string{}, []string{callbackURL}
			}), "redirect-uri-platform failed", "Mobile and desktop",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				tt.broken(w)
				w.found(w.check(w.credential()), tt.check, tt.sentence)
			})
		})
	}
}

// found expects that exactly one check has not passed; empty: that all have.
func (w *world) found(r *verify.Report, check, sentence string) {
	w.Helper()
	var found []string
	for _, result := range r.Troubles() {
		found = append(found, result.Name()+" "+string(result.Status))
		assert.Contains(w, result.Sentence, sentence)
	}
	if check == "" {
		assert.Empty(w, found)
		assert.Zero(w, r.Count(verify.Skipped))
		return
	}
	assert.Equal(w, []string{check}, found)
	assert.NotContains(w, fmt.Sprintf("%+v", r), w.secret.Reveal())
}

// The bridge signs in by a certificate.
func TestACertificateThatIsNotRegisteredIsFound(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	inWorld(t, func(w *world) {
		w.secret = presence.Secret{}
		credential, err := graph.NewCertificateCredential(w.tenantID, w.clientID, certificate, key, &graph.CredentialOptions{Cloud: w.cloud, HTTPClient: w.http})
		require.NoError(w, err)
		report := w.check(credential)
		r, _ := report.Result(verify.CodeEntraSecret, "")
		assert.Equal(w, verify.Failed, r.Status)
		assert.Contains(w, r.Sentence, "does not accept the certificate")
		assert.Len(w, report.Troubles(), 1)

		w.change(func(a *graphtest.Application) { a.Certificates = []*x509.Certificate{certificate} })
		report = w.check(credential)
		assert.Empty(w, report.Troubles())
		r, _ = report.Result(verify.CodeEntraSecretExpiry, "")
		assert.Equal(w, verify.NotApplicable, r.Status)
	})
}

func TestATokenThatCannotBeReadIsNoFault(t *testing.T) {
	inWorld(t, func(w *world) {
		w.tokenRoles = func(presence.Secret) []string { return nil }
		w.found(w.check(w.credential()), "", "")
	})
}

func TestSignInAsksEntraEachTime(t *testing.T) {
	inWorld(t, func(w *world) {
		entra, _ := w.tenant(w.credential(), nil)
		first, err := entra.SignIn(w.Context())
		require.NoError(w, err)
		assert.Equal(w, w.app.ApplicationPermissions, first.Roles)
		assert.True(w, first.RolesKnown)
		assert.WithinDuration(w, time.Now().Add(time.Hour), first.ExpiresAt, time.Minute)

		w.change(func(a *graphtest.Application) { a.TokenRoles = []string{"User.Read.All"} })
		second, err := entra.SignIn(w.Context())
		require.NoError(w, err)
		assert.Equal(w, []string{"User.Read.All"}, second.Roles)

		w.change(func(a *graphtest.Application) { a.ConsentPending = true })
		third, err := entra.SignIn(w.Context())
		require.NoError(w, err)
		assert.True(w, third.RolesKnown)
		assert.Empty(w, third.Roles)
	})
}

func TestErrorsOfASignInSayWhatPackageVerifyTellsApart(t *testing.T) {
	for _, tt := range []struct {
		code    int
		oauth   string
		is, not error
	}{
		{900382, "invalid_request", verify.ErrTenantRefused, verify.ErrCredentialRefused},
		{50194, "invalid_request", verify.ErrTenantRefused, verify.ErrCredentialRefused},
		{7000218, "invalid_client", verify.ErrCredentialRefused, verify.ErrTenantRefused},
		{7000218, "unauthorized_client", verify.ErrCredentialRefused, verify.ErrTenantRefused},
		{700027, "invalid_client", verify.ErrCredentialRefused, verify.ErrTenantRefused},
		{7000215, "invalid_client", presence.ErrInvalidSecret, verify.ErrCredentialRefused},
		{700016, "invalid_client", presence.ErrAppNotFound, verify.ErrCredentialRefused},
		{90002, "invalid_request", presence.ErrTenantNotFound, verify.ErrTenantRefused},
		{53003, "invalid_grant", presence.ErrConditionalAccess, verify.ErrCredentialRefused},
	} {
		t.Run(fmt.Sprint(tt.code, " ", tt.oauth), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.Control(0, entraAnswers(400, tt.oauth, tt.code))
				entra, _ := w.tenant(w.credential(), nil)
				_, err := entra.SignIn(w.Context())
				require.ErrorIs(w, err, tt.is)
				require.NotErrorIs(w, err, tt.not)
				require.ErrorIs(w, err, presence.ErrUnauthorized)
				var answer *graph.Error
				require.ErrorAs(w, err, &answer)
				assert.NotEmpty(w, answer.Remedy())
				assert.Equal(w, answer.Error(), err.Error())
			})
		})
	}
}

func TestTheRegistrationHasNames(t *testing.T) {
	inWorld(t, func(w *world) {
		w.change(func(a *graphtest.Application) {
			a.DeclaredApplicationPermissions = append(slices.Clone(a.ApplicationPermissions), "Directory.Read.All")
			a.SPARedirectURIs, a.PublicClientRedirectURIs = []string{"https://spa.example"}, []string{"https://public.example"}
		})
		entra, _ := w.tenant(w.credential(), nil)
		r, err := entra.Registration(w.Context())
		require.NoError(w, err)
		assert.Equal(w, "acme bridge", r.Name)
		assert.Equal(w, "AzureADMyOrg", r.SignInAudience)
		assert.Equal(w, []string{callbackURL}, r.WebRedirectURIs)
		assert.Equal(w, []string{"https://spa.example"}, r.SPARedirectURIs)
		assert.Equal(w, []string{"https://public.example"}, r.PublicClientRedirectURIs)
		assert.ElementsMatch(w, append(slices.Clone(w.app.ApplicationPermissions), "7ab1d382-f21e-4acd-a863-ba3e13f7da61"), r.ApplicationPermissions)
		assert.ElementsMatch(w, w.app.DelegatedPermissions, r.DelegatedPermissions)
		assert.Zero(w, r.UnknownDelegated)
		require.Len(w, r.ClientSecrets, 2)
		assert.Equal(w, "acme", r.ClientSecrets[0].Description)
		assert.Equal(w, secretValue[:3], r.ClientSecrets[0].Hint)
		assert.Equal(w, w.app.Secrets[0].KeyID, r.ClientSecrets[0].KeyID)
		assert.WithinDuration(w, w.app.Secrets[0].End, r.ClientSecrets[0].ExpiresAt, 0)
	})
}

// A permission of another resource may have the id of one of Microsoft Graph's
// only by chance, and is not what the integration asks for.
func TestPermissionsOfOtherResourcesAreLeftOut(t *testing.T) {
	inWorld(t, func(w *world) {
		const id = "df021288-bdef-4463-88db-98f22de89214"
		body := fmt.Sprintf(`{"appId":%q,"requiredResourceAccess":[
			{"resourceAppId":"00000002-0000-0000-c000-000000000000","resourceAccess":[{"id":%q,"type":"Role"}]},
			{"resourceAppId":"00000003-0000-0000-C000-000000000000","resourceAccess":[{"id":"76BC735E-aecd-4a1d-8b4c-2b915deabb79","type":"Scope"},{"id":"5df07973-7d5d-46ed-9847-1271055cbd51","type":"Scope"},{"id":"x","type":"Other"}]}]}`, w.clientID, id)
		w.Control(0, graphtest.Match(http.MethodGet, "/graph/v1.0/applications**", graphtest.Reply{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}))
		entra, _ := w.tenant(w.credential(), nil)
		r, err := entra.Registration(w.Context())
		require.NoError(w, err)
		assert.Empty(w, r.ApplicationPermissions)
		assert.Equal(w, []string{"Presence.Read", "5df07973-7d5d-46ed-9847-1271055cbd51"}, r.DelegatedPermissions)
		assert.Equal(w, 1, r.UnknownDelegated)
	})
}

func TestGrantedPermissionsHaveNamesOrIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		w.change(func(a *graphtest.Application) {
			a.ApplicationPermissions = []string{"Application.Read.All", "Directory.Read.All", "DelegatedPermissionGrant.Read.All"}
		})
		entra, _ := w.tenant(w.credential(), nil)
		granted, err := entra.GrantedPermissions(w.Context())
		require.NoError(w, err)
		assert.ElementsMatch(w, []string{"Application.Read.All", "Directory.Read.All", "81b4724a-58aa-41c1-8a55-84ef97466587"}, granted)

		w.change(func(a *graphtest.Application) { a.ApplicationPermissions = []string{"User.Read.All"} })
		entra, _ = w.tenant(w.credential(), nil)
		_, err = entra.GrantedPermissions(w.Context())
		require.ErrorIs(w, err, presence.ErrForbidden)
		_, err = entra.Registration(w.Context())
		require.ErrorIs(w, err, presence.ErrForbidden)
	})
}

func TestPermissionsAreThoseOfTheIntegration(t *testing.T) {
	inWorld(t, func(w *world) {
		entra, _ := w.tenant(w.credential(), nil)
		all := entra.Permissions()
		assert.Len(w, all, len(graph.ApplicationPermissions())+len(graph.DelegatedScopes()))
		assert.Contains(w, all, verify.Permission{Name: "Presence.Read.All", Purpose: "subscribe to the presence of other users", Delegated: true, Required: true})
		assert.Contains(w, all, verify.Permission{Name: "Application.Read.All", Purpose: "see when client secrets end and which permissions were granted", AdminConsent: true})
		all[0].Name = "changed"
		assert.NotEqual(w, "changed", entra.Permissions()[0].Name)

		entra, _ = w.tenant(w.credential(), &tenant.Options{Scopes: []string{"presence.read.all", " Mail.Read "}})
		var delegated []string
		for _, p := range entra.Permissions() {
			if p.Delegated {
				delegated = append(delegated, fmt.Sprint(p.Name, " ", p.Required))
			}
		}
		assert.Equal(w, []string{"Presence.Read.All true", "Mail.Read false"}, delegated)
	})
}

func TestServicesAnswerWithADate(t *testing.T) {
	inWorld(t, func(w *world) {
		w.SetClockSkew(time.Hour)
		entra, _ := w.tenant(w.credential(), nil)
		services := entra.Services()
		require.Len(w, services, 2)
		for _, s := range services {
			assert.Contains(w, s.Name, "Microsoft")
			req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, s.URL, http.NoBody)
			require.NoError(w, err, s.Name)
			resp, err := w.http.Do(req)
			require.NoError(w, err, s.Name)
			require.NoError(w, resp.Body.Close())
			at, err := http.ParseTime(resp.Header.Get("Date"))
			require.NoError(w, err, s.Name)
			assert.WithinDuration(w, time.Now().Add(time.Hour), at, time.Second, s.Name)
		}
	})
}

func TestFillAddsTheBudgetsOfTheClient(t *testing.T) {
	inWorld(t, func(w *world) {
		entra, client := w.tenant(w.credential(), nil)
		var sources verify.SystemSources
		entra.Fill(&sources)
		assert.Equal(w, verify.Entra(entra), sources.Entra)
		assert.Equal(w, verify.Sessions(client), sources.Sessions)
		assert.Equal(w, entra.Services(), sources.MicrosoftServices)
		_, err := entra.Registration(w.Context())
		require.NoError(w, err)
		assert.Equal(w, client.Usage(), sources.Usage())

		sources.Usage = func() []presence.BudgetUsage { return []presence.BudgetUsage{{Name: "of CloudLink"}} }
		entra.Fill(&sources)
		usage := sources.Usage()
		require.Len(w, usage, len(client.Usage())+1)
		assert.Equal(w, "of CloudLink", usage[len(usage)-1].Name)
	})
}

func TestNewNamesAllFaultsAtOnce(t *testing.T) {
	_, err := tenant.New(nil, nil, &tenant.Options{Scopes: []string{"openid", " "}})
	require.Error(t, err)
	for _, part := range []string{"the client is missing", "the credential is missing", "Options.Scopes has an empty name"} {
		assert.ErrorContains(t, err, part)
	}
}
