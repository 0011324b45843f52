package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// serviceError is an error as a service gives it: it matches sentinels and says what to
// do.
type serviceError struct {
	text, advice string
	matches      []error
}

func (a serviceError) Error() string {
	if a.advice == "" {
		return a.text
	}
	return a.text + ": " + a.advice
}
func (a serviceError) Remedy() string { return a.advice }
func (a serviceError) Is(target error) bool {
	return slices.Contains(a.matches, target)
}

// entraCodes are the checks that rest on Entra alone.
func entraCodes() []Code {
	return []Code{
		CodeEntraReachable, CodeEntraTenant, CodeEntraApplication, CodeEntraSecret, CodeEntraToken,
		CodeAdminConsent, CodeApplicationPermissionGranted, CodeApplicationPermissionInToken,
		CodeEntraRegistration, CodeEntraSecretExpiry, CodeApplicationPermissionDeclared, CodeDelegatedPermissionDeclared,
		CodeRedirectURI, CodeRedirectURIPlatform,
	}
}

// entraCheck makes the checks of Entra, with what they depend on.
func entraCheck(t *testing.T, p *plant, settings SystemSettings) *Report {
	t.Helper()
	c, err := NewSystemCheck(p.sources(), settings, &SystemOptions{Resolver: p})
	require.NoError(t, err)
	report, err := c.Run(t.Context(), &RunOptions{Only: entraCodes()})
	require.NoError(t, err)
	return report
}

func troubles(r *Report) []string {
	var found []string
	for _, result := range r.Troubles() {
		found = append(found, fmt.Sprintf("%s %s", result.Name(), result.Status))
	}
	return found
}

func TestEntraInOrderPassesEveryCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		report := entraCheck(t, p, p.settings())
		for _, r := range report.Results {
			assert.Equal(t, Passed, r.Status, "%s: %s", r.Name(), r.Sentence)
		}
		assert.Equal(t, 1, p.asked["sign in"])
		assert.Equal(t, 1, p.asked["registration"])
		token, _ := report.Result(CodeEntraToken, "")
		assert.Contains(t, token.Evidence, Evidence{"permissions", "Presence.ReadWrite.All, User.Read.All, Application.Read.All"})
		expiry, _ := report.Result(CodeEntraSecretExpiry, "")
		assert.Contains(t, expiry.Evidence, Evidence{"in", "366 days"})
		assert.Contains(t, expiry.Evidence, Evidence{"Secret ID", "key-1"})
		for _, r := range report.Results {
			for _, e := range r.Evidence {
				assert.NotContains(t, e.Value, testSecret[:4], "%s shows the secret's beginning", r.Name())
			}
		}
	})
}

// oneFault is one thing that is broken in Entra.
type oneFault struct {
	name   string
	broken func(p *plant, s *SystemSettings)
	// What is found: the only check that does not pass, its texts, who acts.
	check    string
	sentence string
	remedy   string
	by       Administrator
}

// find makes the checks and expects exactly the fault.
func (tt oneFault) find(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		s := p.settings()
		tt.broken(p, &s)
		report := entraCheck(t, p, s)
		require.Equal(t, []string{tt.check}, troubles(report))
		r := report.Troubles()[0]
		assert.Contains(t, r.Sentence, tt.sentence)
		assert.Contains(t, r.Remedy, tt.remedy)
		assert.Equal(t, tt.by, r.Administrator)
		assert.True(t, strings.HasSuffix(r.Sentence, ".") && strings.HasSuffix(r.Remedy, "."), "%s / %s", r.Sentence, r.Remedy)
		if !s.Secret.IsZero() {
			assert.NotContains(t, r.Sentence+r.Remedy+fmt.Sprint(r.Evidence), s.Secret.Reveal())
		}
		for _, other := range report.Results {
			assert.NotContains(t, other.Sentence, "broke off", other.Name())
			if other.Status == Skipped {
				assert.Equal(t, []string{r.Name()}, other.Because, other.Name())
			}
		}
	})
}

func TestEachFaultOfTheSignInFailsOneCheck(t *testing.T) {
	refuse := func(a serviceError) func(*plant, *SystemSettings) {
		return func(p *plant, _ *SystemSettings) { p.signInErr = a }
	}
	for _, tt := range []oneFault{
		{
			"no network", refuse(serviceError{"token: no route to host", "check the network", []error{presence.ErrUnavailable}}),
			"entra-reachable failed", "does not answer as it should: token: no route to host.", "look at proxy, firewall", Operator,
		},
		{
			"no answer in time", func(p *plant, _ *SystemSettings) { p.signInErr = fmt.Errorf("token: %w", context.DeadlineExceeded) },
			"entra-reachable failed", "deadline exceeded", "look at proxy", Operator,
		},
		{
			"another tenant", refuse(serviceError{"no", "", []error{presence.ErrTenantNotFound, presence.ErrUnauthorized}}),
			"entra-tenant failed", "There is no tenant with the id " + testTenant + ".", "Directory (tenant) ID", Operator,
		},
		{
			"another cloud", refuse(serviceError{"the tenant belongs to another cloud", "use the cloud that the tenant belongs to", []error{ErrTenantRefused, presence.ErrUnauthorized}}),
			"entra-tenant failed", testTenant + " cannot be used: the tenant belongs to another cloud.", "Use the cloud that the tenant belongs to.", Operator,
		},
		{
			"another client id", refuse(serviceError{"no", "", []error{presence.ErrAppNotFound, presence.ErrUnauthorized}}),
			"entra-application failed", "no application with the client id " + testClient, "Application (client) ID", Operator,
		},
		{
			"a disabled application", refuse(serviceError{"no", "", []error{presence.ErrAppDisabled, presence.ErrUnauthorized}}),
			"entra-application failed", testClient + " is disabled.", "Enable the application", AzureAdministrator,
		},
		{
			"another secret", refuse(serviceError{"no", "", []error{presence.ErrInvalidSecret, presence.ErrUnauthorized}}),
			"entra-secret failed", `(description "acme") is none of the application's`, "Create a new client secret", AzureAdministrator,
		},
		{
			"a Secret ID", func(p *plant, s *SystemSettings) {
				p.signInErr = serviceError{"no", "", []error{presence.ErrInvalidSecret}}
				s.Secret = presence.NewSecret("33333333-3333-4333-8333-333333333333")
			},
			"entra-secret failed", "not a secret's Value but its Secret ID.", "Enter the Value", AzureAdministrator,
		},
		{
			"an expired secret", func(p *plant, _ *SystemSettings) {
				p.signInErr = serviceError{"no", "", []error{presence.ErrSecretExpired}}
				p.pool.FeatureSecretExpiresAt = time.Now().AddDate(0, 0, -3)
			},
			"entra-secret failed", "has expired, on 1999-12-29.", "Create a new client secret", AzureAdministrator,
		},
		{
			"a certificate that is not registered", func(p *plant, s *SystemSettings) {
				p.signInErr = serviceError{"the credential is not accepted", "check it", []error{ErrCredentialRefused, presence.ErrUnauthorized}}
				s.Secret = presence.Secret{}
			},
			"entra-secret failed", "does not accept the certificate with which the bridge signs in: the credential is not accepted.", "Upload the certificate", AzureAdministrator,
		},
		{
			"a secret that was not sent", refuse(serviceError{"the request has no client secret", "configure the client secret", []error{ErrCredentialRefused, presence.ErrUnauthorized}}),
			"entra-secret failed", "how the bridge signs in: the request has no client secret.", "Configure the client secret.", AzureAdministrator,
		},
		{
			"conditional access", refuse(serviceError{"no", "", []error{presence.ErrConditionalAccess, presence.ErrUnauthorized, presence.ErrSignInRequired}}),
			"entra-token failed", "conditional access policy", "sign-in log", AzureAdministrator,
		},
		{
			"throttling", refuse(serviceError{"no", "", []error{presence.ErrThrottled}}),
			"entra-token failed", "asks for fewer requests", "Wait some minutes", Operator,
		},
		{
			"something new", refuse(serviceError{"refused (AADSTS1234)", "read the manual", []error{presence.ErrUnauthorized}}),
			"entra-token failed", "issues no token to the application: refused (AADSTS1234).", "Read the manual.", AzureAdministrator,
		},
		{
			"something new that says nothing", func(p *plant, _ *SystemSettings) { p.signInErr = errors.New("the key is locked") },
			"entra-token failed", "the key is locked", "sign-in log", AzureAdministrator,
		},
	} {
		t.Run(tt.name, tt.find)
	}
}

// What a sign-in did not come to is not called proved.
func TestAPassingCheckSaysIfTheSignInDidNotComeToIt(t *testing.T) {
	for err, proved := range map[error]bool{presence.ErrThrottled: false, presence.ErrConditionalAccess: true, presence.ErrSecretExpired: true} {
		p := newPlant()
		p.signInErr = err
		r := p.only(t, nil, CodeEntraApplication)[0]
		assert.Equal(t, Passed, r.Status)
		doubt := slices.ContainsFunc(r.Evidence, func(e Evidence) bool { return e.Name == "not proved" })
		assert.Equal(t, !proved, doubt, err)
	}
}

func TestEachFaultOfThePermissionsFailsOneCheck(t *testing.T) {
	without := func(list []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == name })
	}
	forbidden := serviceError{"not permitted", "add the permission", []error{presence.ErrForbidden}}
	for _, tt := range []oneFault{
		{
			"no consent, and nothing can be read", func(p *plant, s *SystemSettings) {
				p.signIn.Roles, p.grantedErr, s.AdminConsentURL = nil, forbidden, "https://login.example/adminconsent?client_id=x"
			},
			"admin-consent failed", "the token holds none of the application permissions", "Open the consent URL", AzureAdministrator,
		},
		{
			"no consent, and no URL", func(p *plant, _ *SystemSettings) { p.signIn.Roles, p.granted = []string{"Mail.Read"}, nil },
			"admin-consent failed", "none of the application permissions is granted", "Choose Grant admin consent", AzureAdministrator,
		},
		{
			"a token that cannot be read, and grants neither", func(p *plant, _ *SystemSettings) {
				p.signIn.Roles, p.signIn.RolesKnown, p.grantedErr = nil, false, forbidden
			},
			"admin-consent warning", "is not known: the token cannot be read, and neither can what was consented to: not permitted.", "Application.Read.All", AzureAdministrator,
		},
		{
			"a required permission", func(p *plant, _ *SystemSettings) {
				p.granted = without(p.granted, "User.Read.All")
				p.signIn.Roles = p.granted
			},
			"application-permission-granted[User.Read.All] failed", "User.Read.All, needed to match users, is not granted.", "Grant admin consent anew", AzureAdministrator,
		},
		{
			"a required permission that is not declared either", func(p *plant, _ *SystemSettings) {
				p.granted = without(p.granted, "User.Read.All")
				p.signIn.Roles, p.registration.ApplicationPermissions = p.granted, p.granted
			},
			"application-permission-granted[User.Read.All] failed", "is not granted.", "Add the permission User.Read.All", AzureAdministrator,
		},
		{
			"the permission to read the registration", func(p *plant, _ *SystemSettings) {
				p.signIn.Roles = without(p.granted, "Application.Read.All")
				p.registrationErr, p.grantedErr = forbidden, forbidden
			},
			"application-permission-granted[Application.Read.All] warning", "is not granted.", "Add the permission Application.Read.All", AzureAdministrator,
		},
		{
			"a token that is older than the consent", func(p *plant, _ *SystemSettings) { p.signIn.Roles = without(p.granted, "Presence.ReadWrite.All") },
			"application-permission-in-token[Presence.ReadWrite.All] failed", "is granted, but a token that was issued now does not hold it.", "Wait some minutes", AzureAdministrator,
		},
		{
			"a registration that must not be read", func(p *plant, _ *SystemSettings) { p.registrationErr = forbidden },
			"entra-registration warning", "may not read its own registration", "Application.Read.All", AzureAdministrator,
		},
		{
			"a registration of another tenant", func(p *plant, _ *SystemSettings) {
				p.registrationErr = serviceError{"none", "", []error{presence.ErrNotFound}}
			},
			"entra-registration warning", "another tenant has registered it", "in the tenant that has registered", AzureAdministrator,
		},
		{
			"a registration that cannot be read now", func(p *plant, _ *SystemSettings) { p.registrationErr = errors.New("the service is down") },
			"entra-registration warning", "could not be read: the service is down.", "Run the check again", Operator,
		},
		{
			"an application permission that is not declared", func(p *plant, _ *SystemSettings) {
				p.registration.ApplicationPermissions = without(p.registration.ApplicationPermissions, "User.Read.All")
			},
			"application-permission-declared[User.Read.All] warning", "The application permission User.Read.All, needed to match users, is not among", "(type Application)", AzureAdministrator,
		},
		{
			"a delegated permission that is not declared", func(p *plant, _ *SystemSettings) {
				p.registration.DelegatedPermissions = without(p.registration.DelegatedPermissions, "Presence.Read.All")
			},
			"delegated-permission-declared[Presence.Read.All] warning", "The delegated permission Presence.Read.All", "(type Delegated)", AzureAdministrator,
		},
	} {
		t.Run(tt.name, tt.find)
	}
}

func TestPermissionsOfATokenThatCannotBeReadRestOnWhatWasGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.signIn.Roles, p.signIn.RolesKnown = nil, false
		report := entraCheck(t, p, p.settings())
		assert.Empty(t, troubles(report))
		for code, basis := range map[Code]string{
			CodeApplicationPermissionGranted: "what was consented to",
			CodeApplicationPermissionInToken: "the token cannot be read",
		} {
			r, ok := report.Result(code, "user.read.all")
			require.True(t, ok)
			assert.Equal(t, Passed, r.Status)
			assert.Contains(t, r.Basis, basis)
		}
	})
}

func TestEachFaultOfTheSecretsEndFailsOneCheck(t *testing.T) {
	secret := func(edit func(p *plant, c *monitor.ClientSecret)) func(*plant, *SystemSettings) {
		return func(p *plant, _ *SystemSettings) { edit(p, &p.registration.ClientSecrets[0]) }
	}
	const day = 24 * time.Hour
	for _, tt := range []oneFault{
		{
			"soon", secret(func(_ *plant, c *monitor.ClientSecret) { c.ExpiresAt = time.Now().Add(9*day + time.Hour) }),
			"entra-secret-expiry warning", `(description "acme bridge") ends on 2000-01-10, in 9 days.`, "Create a new client secret", AzureAdministrator,
		},
		{
			"ended", secret(func(_ *plant, c *monitor.ClientSecret) { c.ExpiresAt = time.Now().Add(-day) }),
			"entra-secret-expiry warning", `ended on 1999-12-31`, "Create a new client secret", AzureAdministrator,
		},
		{
			"not told", secret(func(_ *plant, c *monitor.ClientSecret) { c.ExpiresAt = time.Time{} }),
			"entra-secret-expiry warning", "has an end that Entra does not tell", "Certificates & secrets", AzureAdministrator,
		},
		{
			"not found", secret(func(_ *plant, c *monitor.ClientSecret) { c.Hint = "zzz" }),
			"entra-secret-expiry warning", `none of the application's has its beginning, or the description "acme"`, "enter its Value and its description", AzureAdministrator,
		},
		{
			"ambiguous", secret(func(p *plant, c *monitor.ClientSecret) {
				other := *c
				other.KeyID, other.ExpiresAt = "key-2", c.ExpiresAt.Add(-day)
				p.registration.ClientSecrets = append(p.registration.ClientSecrets, other)
			}),
			"entra-secret-expiry warning", "key-1, key-2 may be; the first of them ends on 2000-12-31", "Delete those", AzureAdministrator,
		},
	} {
		t.Run(tt.name, tt.find)
	}
}

// Entra accepts the secret now, so one with the same beginning that has ended is
// another one.
func TestAnEndedClientSecretIsNotTheOneThatEntraAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		old := p.registration.ClientSecrets[0]
		old.KeyID, old.ExpiresAt = "key-0", time.Now().Add(-time.Hour)
		p.registration.ClientSecrets = append(p.registration.ClientSecrets, old)
		r := p.only(t, nil, CodeEntraSecretExpiry)[0]
		assert.Equal(t, Passed, r.Status, r.Sentence)
		assert.Contains(t, r.Evidence, Evidence{"Secret ID", "key-1"})
	})
}

func TestACertificateHasNoClientSecretToEnd(t *testing.T) {
	p := newPlant()
	s := p.settings()
	s.Secret = presence.Secret{}
	r, ok := entraCheck(t, p, s).Result(CodeEntraSecretExpiry, "")
	require.True(t, ok)
	assert.Equal(t, NotApplicable, r.Status)
	assert.Contains(t, r.Sentence, "certificate")
}

func TestALongListOfNamesIsCutShort(t *testing.T) {
	list := strings.Split("a b c d e f g h i j", " ")
	assert.Equal(t, "a, b, c, d, e, f, g, h, i, j", names(list))
	assert.Equal(t, "a, b, c, d, e, f, g, h, i, j and 2 more", names(append(list, "k", "l")))
}

// A registration has ids alone: one that is not known may be that of a permission
// which somebody asks for by a name of their own.
func TestPermissionWhoseIDIsNotKnown(t *testing.T) {
	declared := func(change func(*plant)) Result {
		p := newPlant()
		p.permissions = append(p.permissions, Permission{Name: "Mail.Read", Delegated: true, Unidentified: true})
		change(p)
		r, ok := entraCheck(t, p, p.settings()).Result(CodeDelegatedPermissionDeclared, "Mail.Read")
		require.True(t, ok)
		return r
	}
	r := declared(func(p *plant) { p.registration.UnknownDelegated = 2 })
	assert.Equal(t, NotApplicable, r.Status)
	assert.Contains(t, r.Sentence, "cannot be told")
	assert.Equal(t, "2 permissions", evidenceOf(r, "declared by ids that are not known"))
	assert.Equal(t, Warned, declared(func(*plant) {}).Status, "none that it could be")
	assert.Equal(t, Warned, declared(func(p *plant) {
		p.registration.UnknownDelegated, p.permissions[len(p.permissions)-1].Unidentified = 2, false
	}).Status, "its id is known, and not there")
	assert.Equal(t, Passed, declared(func(p *plant) {
		p.registration.DelegatedPermissions = append(p.registration.DelegatedPermissions, "Mail.Read")
		p.registration.UnknownDelegated = 1
	}).Status)
}

func TestTheEndOfTheCertificate(t *testing.T) {
	for _, test := range []struct {
		left     time.Duration
		status   Status
		sentence string
	}{
		{31 * 24 * time.Hour, Passed, ""},
		{30 * 24 * time.Hour, Warned, "The certificate with which the bridge signs in ends on 2000-01-31, in 30 days."},
		{time.Hour, Warned, "ends on 2000-01-01, in less than a day."},
		{0, Warned, "The certificate with which the bridge signs in ended on 2000-01-01"},
		{-48 * time.Hour, Warned, "ended on 1999-12-30"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlant()
			s := p.settings()
			s.Secret, s.CertificateExpiresAt = presence.Secret{}, time.Now().Add(test.left)
			r, ok := entraCheck(t, p, s).Result(CodeEntraSecretExpiry, "")
			require.True(t, ok)
			assert.Equal(t, test.status, r.Status, r.Sentence)
			assert.Contains(t, r.Sentence, test.sentence)
			assert.Contains(t, r.Basis, "certificate")
			assert.Equal(t, date(s.CertificateExpiresAt), evidenceOf(r, "expires"))
			if test.status != Passed {
				assert.Contains(t, r.Remedy, "Upload a new certificate")
			}
		})
	}
}
