package verify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink"
)

func TestEachFaultOfTheRedirectURIFailsOneCheck(t *testing.T) {
	mitel := func(region string) string {
		return "https://workflow." + region + ".api.mitel.io/2017-09-01/integrations/microsoft/sso"
	}
	web := func(uris ...string) func(*plant, *SystemSettings) {
		return func(p *plant, _ *SystemSettings) { p.registration.WebRedirectURIs = uris }
	}
	for _, tt := range []oneFault{
		{"none", web(), "redirect-uri failed", testSignIn + " is not registered with the application.", "Add " + testSignIn + " under Authentication", AzureAdministrator},
		{
			"other regions", web("https://own.example/callback", mitel("us"), mitel("ap")),
			"redirect-uri failed", "it is of the region eu, and those of us, ap are.", "Add " + testSignIn, AzureAdministrator,
		},
		{"another path", web(testSignIn + "2"), "redirect-uri failed", testSignIn + " is not registered with the application.", "Add " + testSignIn, AzureAdministrator},
		{"a slash too many", web(testSignIn + "/"), "redirect-uri failed", testSignIn + "/ is, which is not the same to the letter.", "to the letter", AzureAdministrator},
		{"another case", web(strings.ToUpper(testSignIn)), "redirect-uri failed", "not the same to the letter", "to the letter", AzureAdministrator},
		{"not told", func(_ *plant, s *SystemSettings) { s.RedirectURI = "" }, "redirect-uri warning", "nobody has told", "Enter the redirect URI", Operator},
		{
			"single-page application", func(p *plant, _ *SystemSettings) {
				p.registration.WebRedirectURIs, p.registration.SPARedirectURIs = nil, []string{testSignIn}
			},
			"redirect-uri-platform failed", "for the platform Single-page application", "Remove " + testSignIn + " from the platform Single-page application", AzureAdministrator,
		},
		{
			"public client", func(p *plant, _ *SystemSettings) {
				p.registration.WebRedirectURIs, p.registration.PublicClientRedirectURIs = nil, []string{testSignIn}
			},
			"redirect-uri-platform failed", "Mobile and desktop applications, which has no client secret", "add it to the platform Web", AzureAdministrator,
		},
	} {
		t.Run(tt.name, tt.find)
	}
}

func TestRedirectURIsAreComparedAsEntraDoes(t *testing.T) {
	for _, tt := range []struct {
		registered, uri string
		want            bool
	}{
		{"http://localhost/callback", "http://localhost:8080/callback", true},
		{"http://127.0.0.1:1/callback", "http://127.0.0.1:2/callback", true},
		{"http://localhost/callback", "http://127.0.0.1/callback", false},
		{"http://localhost/callback", "https://localhost/callback", false},
		{"http://localhost/callback", "http://localhost/other", false},
		{"https://own.example/callback", "https://own.example:8080/callback", false},
		{"https://own.example/callback", "https://own.example/callback", true},
		{"https://own.example/callback", "https://own.example/Callback", false},
	} {
		assert.Equal(t, tt.want, registered([]string{tt.registered}, tt.uri), "%s, %s", tt.registered, tt.uri)
	}
}

func TestTheRedirectURIsRegionIsTheAccounts(t *testing.T) {
	for _, tt := range []struct {
		name, uri, domain string
		configured        cloudlink.Region
		want              Status
		sentence, remedy  string
		basis             string
	}{
		{"as CloudLink tells", testSignIn, "acc-1.eu.api.mitel.io", "", Passed, "", "", basisWhoAmI},
		{"as the configuration tells", testSignIn, "", "EU", Passed, "", "", basisSettings},
		{
			"another", testSignIn, "acc-1.us.api.mitel.io", "us", Failed, "of the region eu, and the CloudLink account is of us.",
			"Use https://workflow.us.api.mitel.io/2017-09-01/integrations/microsoft/sso in the configuration", basisWhoAmI,
		},
		{"unknown", testSignIn, "", "", Warned, "is not known: it is of eu", "cloud location", basisSettings},
		{"the service's own", "https://own.example/callback", "acc-1.us.api.mitel.io", "us", NotApplicable, "has no region", "", basisSettings},
		{"one that only looks like Mitel's", "https://workflow.eu.api.mitel.io.example/sso", "acc-1.us.api.mitel.io", "us", NotApplicable, "has no region", "", basisSettings},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlant()
			p.identity.Domain = tt.domain
			s := p.settings()
			s.RedirectURI, s.Region = tt.uri, tt.configured
			c, err := NewSystemCheck(p.sources(), s, nil)
			require.NoError(t, err)
			r := c.alone(t, CodeRedirectURIRegion)[0]
			assert.Equal(t, tt.want, r.Status)
			assert.Contains(t, r.Sentence, tt.sentence)
			assert.Contains(t, r.Remedy, tt.remedy)
			assert.Equal(t, tt.basis, r.Basis)
		})
	}
}

// Redirect URIs come from Entra, where administrators type them.
func FuzzRedirectURIs(f *testing.F) {
	f.Add(testSignIn, "http://localhost:1/callback")
	f.Add("http://127.0.0.1:99999/%zz", "HTTPS://WORKFLOW.us.dev.api.mitel.io")
	f.Add("https://[::1]:1/", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		assert.True(t, registered([]string{a}, a))
		assert.Equal(t, registered([]string{a}, b), registered([]string{b}, a))
		assert.True(t, almost(a, a))
		if registered([]string{a}, b) {
			regionA, ofMitelA := mitelRegion(a)
			regionB, ofMitelB := mitelRegion(b)
			assert.Equal(t, regionA, regionB)
			assert.Equal(t, ofMitelA, ofMitelB)
		}
	})
}
