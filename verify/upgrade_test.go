package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// complete is a state in which nothing is lacking.
func complete() UpgradeState {
	p := newPlant()
	return UpgradeState{
		Users: 651, Monitors: 2, Permissions: p.permissions, Registration: &p.registration, RedirectURI: testSignIn, NotificationURL: testURL, MiCollab: &p.miCollab.Server,
	}
}

func TestUpgrade(t *testing.T) {
	assert.Empty(t, Upgrade(complete()))
	for _, test := range []struct {
		name   string
		change func(*UpgradeState)
		want   []Lack // without remedies
		remedy string
	}{
		{"permission", func(s *UpgradeState) { s.Registration.DelegatedPermissions = s.Registration.DelegatedPermissions[:2] },
			[]Lack{{Kind: LackDelegatedPermission, Name: "the delegated permission Subscription.Read.All", Count: 1, Administrator: AzureAdministrator}}, "recommended and not required"},
		{"permission whose id is not known", func(s *UpgradeState) {
			s.Permissions = append(s.Permissions, Permission{Name: "Mail.Read", Delegated: true, Unidentified: true})
			s.Registration.UnknownDelegated = 1
		}, []Lack{{Kind: LackDelegatedPermission, Name: "knowledge whether the delegated permission Mail.Read is declared", Count: 1, Unknown: true, Administrator: AzureAdministrator}}, "its id is not known"},
		{"redirect URI not configured", func(s *UpgradeState) { s.RedirectURI = "" }, []Lack{{Kind: LackRedirectURI, Name: "a redirect URI", Count: 1, Administrator: Operator}}, "configuration"},
		{"redirect URI not registered", func(s *UpgradeState) { s.Registration.WebRedirectURIs = nil },
			[]Lack{{Kind: LackRedirectURI, Name: "the redirect URI " + testSignIn + " in Entra", Count: 1, Administrator: AzureAdministrator}}, "platform Web"},
		{"redirect URI of another platform", func(s *UpgradeState) {
			s.Registration.SPARedirectURIs, s.Registration.WebRedirectURIs = s.Registration.WebRedirectURIs, nil
		},
			[]Lack{{Kind: LackRedirectURI, Name: "the redirect URI " + testSignIn + " in Entra", Count: 1, Administrator: AzureAdministrator}}, "platform Web"},
		{"one monitor", func(s *UpgradeState) { s.Monitors = 1 }, []Lack{{Kind: LackMonitors, Name: "1 presence monitor with a client secret of its own", Count: 1, Administrator: AzureAdministrator}}, "authorize them"},
		{"all monitors", func(s *UpgradeState) { s.Monitors, s.Users = 0, 1301 }, []Lack{{Kind: LackMonitors, Name: "3 presence monitors with a client secret each", Count: 3, Administrator: AzureAdministrator}}, "authorize them"},
		{"notification URL", func(s *UpgradeState) { s.NotificationURL = "" }, []Lack{{Kind: LackNotificationURL, Name: "a notification URL", Count: 1, Administrator: Operator}}, "public HTTPS URL"},
		{"users", func(s *UpgradeState) { s.Users = 0 }, []Lack{{Kind: LackUsers, Name: "a user whose telephone system takes Teams presence", Count: 1, Administrator: CloudLinkAdministrator}}, "MiVoice Business"},
		{"registration unknown", func(s *UpgradeState) { s.Registration = nil }, []Lack{{Kind: LackRegistration, Name: "knowledge of the application's registration", Count: 1, Unknown: true, Administrator: AzureAdministrator}}, "Application.Read.All"},
		{"MiCollab unknown", func(s *UpgradeState) { s.MiCollab = nil }, []Lack{{Kind: LackMiCollab, Name: "knowledge of MiCollab", Count: 1, Unknown: true, Administrator: Operator}}, "no published interface"},
		{"MiCollab too old", func(s *UpgradeState) { s.MiCollab.Version = micollab.Version{Major: 9, Minor: 7} },
			[]Lack{{Kind: LackMiCollab, Name: "MiCollab " + micollab.Minimum().String() + " or later", Count: 1, Administrator: MiCollabAdministrator}}, "Upgrade MiCollab: this server is 9.7"},
		{"MiCollab not set up", func(s *UpgradeState) { s.MiCollab = &micollab.Server{} }, []Lack{
			{Kind: LackMiCollab, Name: "the MiCollab address", Count: 1, Administrator: CloudLinkAdministrator},
			{Kind: LackMiCollab, Name: "knowledge of MiCollab's release", Count: 1, Unknown: true, Administrator: Operator},
			{Kind: LackMiCollab, Name: "MiCollab's CloudLink integration", Count: 1, Administrator: MiCollabAdministrator},
			{Kind: LackMiCollab, Name: "MiCollab's Microsoft Teams integration", Count: 1, Administrator: MiCollabAdministrator},
			{Kind: LackMiCollab, Name: "the MiCollab password", Count: 1, Administrator: CloudLinkAdministrator},
		}, "Enter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := complete()
			test.change(&s)
			got := Upgrade(s)
			require.NotEmpty(t, got)
			assert.Contains(t, got[0].Remedy, test.remedy)
			for i := range got {
				assert.Regexp(t, `\.$`, got[i].Remedy)
				got[i].Remedy = ""
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// What the checks of the registration accept, an upgrade does not lack.
func TestUpgradeComparesAsTheChecksDo(t *testing.T) {
	s := complete()
	s.Registration.DelegatedPermissions[1] = "presence.read.ALL"
	s.RedirectURI, s.Registration.WebRedirectURIs = "http://localhost:5000/sign-in", []string{"http://localhost/sign-in"}
	assert.Empty(t, Upgrade(s))
}

// Whoever follows what an upgrade lacks gets there: the monitors that it asks for
// are enough, and one fewer is not.
func TestUpgradeAsksForEnoughMonitors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := complete()
		s.Users, s.Monitors = rapid.IntRange(1, 20000).Draw(t, "users"), rapid.IntRange(0, 40).Draw(t, "monitors")
		missing := 0
		for _, l := range Upgrade(s) {
			missing = l.Count
		}
		if (s.Monitors+missing)*presence.MaxSubscriptionUsers < s.Users {
			t.Fatalf("%d monitors and %d more do not watch %d users", s.Monitors, missing, s.Users)
		}
		if missing > 0 && (s.Monitors+missing-1)*presence.MaxSubscriptionUsers >= s.Users {
			t.Fatalf("%d of %d more monitors would do for %d users", missing-1, missing, s.Users)
		}
	})
}

func TestOneWayReady(t *testing.T) {
	p := newPlant()
	p.roster.Users[2].Endpoints, p.roster.Users[2].PBX = nil, presence.MXONE
	p.roster.Limited = []presence.Limitation{{User: p.roster.Users[2], Direction: presence.LineToTeams}, {User: p.roster.Users[1], Direction: presence.TeamsToMiCollab}}
	r := p.oneOf(t, CodeOneWayReady, SystemOptions{}, nil)
	assert.Equal(t, Passed, r.Status)
	assert.Equal(t, []Evidence{{"users", "2"}, {"telephones", "2"}, {"telephone systems", "MiVoice Business: 2"}}, r.Evidence)
	p.roster.Users = p.roster.Users[2:]
	r = p.oneOf(t, CodeOneWayReady, SystemOptions{}, nil)
	assert.Equal(t, NotApplicable, r.Status)
	assert.Contains(t, r.Sentence, "users-limited", "which warns")
	p.direction = presencebridge.Off
	r = p.oneOf(t, CodeOneWayReady, SystemOptions{}, nil)
	assert.Equal(t, NotApplicable, r.Status)
	assert.Contains(t, r.Sentence, "switched off")
}

func TestBidirectionalReady(t *testing.T) {
	p := newPlant()
	r := p.oneOf(t, CodeBidirectionalReady, SystemOptions{}, nil)
	assert.Equal(t, Passed, r.Status)
	assert.Equal(t, []Evidence{{"users", "3"}, {"presence monitors", "2"}, {"users watched", "3"}}, r.Evidence)
	assert.Equal(t, NotApplicable, p.oneOf(t, CodeUpgrade, SystemOptions{}, nil).Status, "there is nothing to upgrade")
	p.roster.Limited = nil
	for _, u := range p.roster.Users {
		p.roster.Limited = append(p.roster.Limited, presence.Limitation{User: u, Direction: presence.TeamsToMiCollab})
	}
	r = p.oneOf(t, CodeBidirectionalReady, SystemOptions{}, nil)
	assert.Equal(t, NotApplicable, r.Status)
	assert.Contains(t, r.Sentence, "users-limited", "which warns")
	p.direction = presencebridge.OneWay
	assert.Equal(t, NotApplicable, p.oneOf(t, CodeBidirectionalReady, SystemOptions{}, nil).Status)
}

// What nobody has told is no reason to call a direction ready.
func TestReadinessNeedsWhatIsTold(t *testing.T) {
	of := func(change func(*SystemSources), code Code) Result {
		p := newPlant()
		sources := p.sources()
		change(&sources)
		c, err := NewSystemCheck(sources, p.settings(), &SystemOptions{Resolver: p, Dial: p.answer, LocalDoubles: true})
		require.NoError(t, err)
		for i := range c.checks {
			if c.checks[i].Area == AreaNotifications {
				c.checks[i].run = func(context.Context, *facts, string) finding { return passed() }
			}
		}
		report, err := c.Run(t.Context(), nil)
		require.NoError(t, err)
		result, _ := report.Result(code, "")
		return result
	}
	untouched := func(*SystemSources) {}
	assert.Equal(t, Passed, of(untouched, CodeOneWayReady).Status)
	assert.Equal(t, Passed, of(untouched, CodeBidirectionalReady).Status)
	gateway := of(func(s *SystemSources) { s.Gateway = nil }, CodeOneWayReady)
	assert.Equal(t, Skipped, gateway.Status)
	assert.Equal(t, []string{"gateway-integration"}, gateway.Because)
	miCollab := of(func(s *SystemSources) { s.MiCollab = nil }, CodeBidirectionalReady)
	assert.Equal(t, Skipped, miCollab.Status)
	assert.Contains(t, miCollab.Because, "micollab-password")
}

func TestUpgradeOfAOneWayBridge(t *testing.T) {
	p := newPlant()
	p.direction = presencebridge.OneWay
	r := p.oneOf(t, CodeUpgrade, SystemOptions{}, nil)
	assert.Equal(t, Passed, r.Status)
	assert.Empty(t, r.Lacks)

	// The one-way customer of Mitel's guide: nothing of the second direction is there.
	p.registration.DelegatedPermissions, p.registration.WebRedirectURIs = []string{"offline_access"}, nil
	p.miCollab.TeamsIntegration = false
	p.pool.Monitors[0].Leaving, p.pool.Monitors[1].State = true, monitor.StateNotSetUp
	r = p.oneOf(t, CodeUpgrade, SystemOptions{}, func(_ *SystemSources, s *SystemSettings) { s.NotificationURL = "" })
	assert.Equal(t, "An upgrade to both directions still lacks: the delegated permission Presence.Read.All, the delegated permission Subscription.Read.All, the redirect URI "+
		testSignIn+" in Entra, 1 presence monitor with a client secret of its own, a notification URL, MiCollab's Microsoft Teams integration.", r.Sentence)
	kinds := []LackKind{}
	for _, l := range r.Lacks {
		kinds = append(kinds, l.Kind)
	}
	assert.Equal(t, []LackKind{LackDelegatedPermission, LackDelegatedPermission, LackRedirectURI, LackMonitors, LackNotificationURL, LackMiCollab}, kinds)
	form, err := json.Marshal(r)
	require.NoError(t, err)
	assert.Contains(t, string(form), `{"kind":"presence-monitors","name":"1 presence monitor with a client secret of its own","count":1,"remedy":"Create an account`)

	// What is not known is lacking as knowledge.
	p.registrationErr = errors.New("forbidden")
	r = p.oneOf(t, CodeUpgrade, SystemOptions{}, func(s *SystemSources, _ *SystemSettings) { s.MiCollab = nil })
	assert.True(t, slices.ContainsFunc(r.Lacks, func(l Lack) bool { return l.Kind == LackRegistration && l.Unknown }))
	assert.True(t, slices.ContainsFunc(r.Lacks, func(l Lack) bool { return l.Kind == LackMiCollab && l.Unknown }))
}

func ExampleUpgrade() {
	lacks := Upgrade(UpgradeState{
		Users: 1000, Monitors: 1,
		Permissions:  []Permission{{Name: "Presence.Read.All", Delegated: true, Required: true}},
		Registration: &Registration{WebRedirectURIs: []string{"https://bridge.example.com/sign-in"}},
		RedirectURI:  "https://bridge.example.com/sign-in", NotificationURL: "https://bridge.example.com/graph",
		MiCollab: &micollab.Server{Address: "10.1.2.3", Version: micollab.Minimum(), CloudLinkIntegration: true, TeamsIntegration: true, PasswordSet: true},
	})
	for _, lack := range lacks {
		fmt.Printf("%s: %s\n", lack.Administrator, lack.Name)
	}
	// Output:
	// Azure administrator: the delegated permission Presence.Read.All
	// Azure administrator: 1 presence monitor with a client secret of its own
}
