package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// plant is everything that a system check looks at, in memory, and in order. A
// test breaks one thing in it. Its fields are set before a run.
type plant struct {
	// What Entra answers.
	signIn                                 SignIn
	signInErr, registrationErr, grantedErr error
	registration                           Registration
	granted                                []string
	permissions                            []Permission
	// What CloudLink answers.
	identity    cloudlink.Identity
	identityErr error
	account     cloudlink.Account
	accountErr  error
	// What the bridge knows.
	roster    presence.Roster
	overflow  []string
	health    []presencebridge.Health
	direction presencebridge.Direction
	pool      monitor.Snapshot
	resyncErr error
	watcher   cloudlink.WatcherSnapshot
	// What somebody has entered.
	miCollab MiCollabFacts
	gateway  GatewayFacts
	usage    []presence.BudgetUsage
	// What names resolve to.
	addresses map[string][]netip.Addr
	// Why nobody can tell of the gateway and of MiCollab.
	gatewayErr, miCollabErr error
	// resync, if set, answers in place of the pool.
	resync func(ctx context.Context, name string) (monitor.MonitorStatus, error)

	mu    sync.Mutex
	asked map[string]int // how often each question was asked
}

const (
	testTenant = "11111111-1111-4111-8111-111111111111"
	testClient = "22222222-2222-4222-8222-222222222222"
	testSecret = "abc~feature-secret-value"
	testURL    = "https://bridge.example.com/notifications/graph"
	testSignIn = "https://workflow.eu.api.mitel.io/2017-09-01/integrations/microsoft/sso"
)

// newPlant returns a plant in which every check passes: bidirectional, two
// monitors, three users.
func newPlant() *plant {
	now := time.Now()
	p := &plant{
		asked:     map[string]int{},
		direction: presencebridge.Bidirectional,
		permissions: []Permission{
			{Name: "Presence.ReadWrite.All", Purpose: "write presence", Required: true, AdminConsent: true},
			{Name: "User.Read.All", Purpose: "match users", Required: true, AdminConsent: true},
			{Name: "Application.Read.All", Purpose: "see when client secrets end", AdminConsent: true},
			{Name: "offline_access", Purpose: "stay signed in", Delegated: true, Required: true},
			{Name: "Presence.Read.All", Purpose: "subscribe to presence", Delegated: true, Required: true},
			{Name: "Subscription.Read.All", Purpose: "see subscriptions", Delegated: true, AdminConsent: true},
		},
		identity:  cloudlink.Identity{AccountID: "acc-1", Name: "bridge client", Role: "ACCOUNT_ADMIN", Domain: "acc-1.eu.api.mitel.io"},
		account:   cloudlink.Account{ID: "acc-1", Name: "Example Company"},
		miCollab:  MiCollabFacts{Server: micollab.Server{Address: "micollab.example.com", Version: micollab.Minimum(), TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true}, Source: "a test"},
		gateway:   GatewayFacts{Integration: true, PBX: []presence.PBX{presence.MiVoiceBusiness}, Source: "a test"},
		addresses: map[string][]netip.Addr{"micollab.example.com": {netip.MustParseAddr("10.1.2.3")}, "bridge.example.com": {netip.MustParseAddr("203.0.113.7")}},
		usage:     []presence.BudgetUsage{{Name: "presence", Used: 12, Units: 1500, Window: 30 * time.Second}},
	}
	for _, permission := range p.permissions {
		if permission.Delegated {
			p.registration.DelegatedPermissions = append(p.registration.DelegatedPermissions, permission.Name)
		} else {
			p.granted = append(p.granted, permission.Name)
			p.registration.ApplicationPermissions = append(p.registration.ApplicationPermissions, permission.Name)
		}
	}
	p.signIn = SignIn{Roles: p.granted, RolesKnown: true, ExpiresAt: now.Add(time.Hour)}
	p.registration.Name, p.registration.SignInAudience = "presencebridge", "AzureADMyOrg"
	p.registration.WebRedirectURIs = []string{testSignIn}
	p.registration.ClientSecrets = []monitor.ClientSecret{{KeyID: "key-1", Description: "acme bridge", Hint: testSecret[:3], StartsAt: now.AddDate(0, -1, 0), ExpiresAt: now.AddDate(1, 0, 0)}}
	for i, name := range []string{"ada", "bob", "cy"} {
		p.roster.Users = append(p.roster.Users, presence.User{
			TeamsID: "id-" + name, PrincipalID: "principal-" + name, Email: name + "@example.com", Name: name,
			Endpoints: []string{fmt.Sprint(2000 + i)}, PBX: presence.MiVoiceBusiness,
		})
	}
	for _, connection := range []string{"directory", "teams-read", "teams-write", "phone-read", "micollab-read", "micollab-write"} {
		p.health = append(p.health, presencebridge.Health{Connection: connection, State: presencebridge.StateHealthy, LastSuccess: now})
	}
	p.pool = monitor.Snapshot{
		Application: monitor.Application{TenantID: testTenant, ClientID: testClient}, Holder: "test", Running: true, Planner: true,
		Users: 3, Capacity: 1300, Subscribed: 3, Needed: 1,
	}
	yes, no := true, false
	scopes := []string{"openid", "profile", "Presence.Read.All", "Subscription.Read.All"}
	for i := range 2 {
		users := 3 - 3*i
		p.pool.Monitors = append(p.pool.Monitors, monitor.MonitorStatus{
			PrincipalName: fmt.Sprintf("monitor%d@example.com", i+1), State: monitor.StateSubscribed, Here: true, Keeper: "test", Users: users, Subscribed: users,
			AddedAt: now.AddDate(0, -1, 0), AuthorizedAt: now.AddDate(0, -1, 0), RefreshTokenExpiresAt: now.AddDate(0, 0, 89), SecretExpiresAt: now.AddDate(1, 0, 0),
			Scopes: scopes, CheckedAt: now, RefreshedAt: now.AddDate(0, 0, -1), SecretAcceptedAt: now,
			Application: p.pool.Application, AccountID: fmt.Sprint("account-", i+1), AccountEnabled: &yes, AccountMail: &yes, GlobalAdministrator: &no,
		})
	}
	s := &p.pool.Monitors[0].Subscription
	s.Condition, s.SubscriptionID, s.Users, s.Subscribed = monitor.ConditionSubscribed, "subscription-1", 3, 3
	s.CreatedAt, s.RenewedAt, s.ExpiresAt, s.HeardAt = now.Add(-time.Hour), now.Add(-10*time.Minute), now.Add(45*time.Minute), now.Add(-time.Minute)
	s.ListeningSince, s.SeenAt = s.CreatedAt, s.RenewedAt
	m := &p.pool.Monitors[0]
	m.SubscriptionID, m.SubscriptionCreatedAt, m.SubscriptionExpiresAt = s.SubscriptionID, s.CreatedAt, s.ExpiresAt
	m.NotificationURL = testURL
	p.pool.Monitors[1].State = monitor.StateAuthorized
	p.watcher = cloudlink.WatcherSnapshot{
		State: cloudlink.WatcherSubscribed, LastCheck: now, LastEvent: now,
		Subscriptions: []cloudlink.WatchedSubscription{
			{Topic: "platform-api-media", ID: "s1", CreatedAt: now.Add(-time.Hour), Confirmed: true, LastEvent: now},
			{Topic: "platform-api-presence", ID: "s2", CreatedAt: now.Add(-time.Hour), Confirmed: true, LastEvent: now},
		},
	}
	return p
}

func (p *plant) ask(question string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[question]++
}

func (p *plant) SignIn(context.Context) (SignIn, error) {
	p.ask("sign in")
	return p.signIn, p.signInErr
}
func (p *plant) Registration(context.Context) (Registration, error) {
	p.ask("registration")
	return p.registration, p.registrationErr
}
func (p *plant) GrantedPermissions(context.Context) ([]string, error) {
	p.ask("granted")
	return p.granted, p.grantedErr
}
func (p *plant) Permissions() []Permission { return p.permissions }
func (p *plant) WhoAmI(context.Context) (cloudlink.Identity, error) {
	p.ask("whoami")
	return p.identity, p.identityErr
}
func (p *plant) Account(context.Context) (cloudlink.Account, error) {
	p.ask("account")
	return p.account, p.accountErr
}
func (p *plant) Roster() presence.Roster                         { return p.roster }
func (p *plant) Overflow() []string                              { return p.overflow }
func (p *plant) Health() []presencebridge.Health                 { return p.health }
func (p *plant) Direction() presencebridge.Direction             { return p.direction }
func (p *plant) MiCollab(context.Context) (MiCollabFacts, error) { return p.miCollab, p.miCollabErr }
func (p *plant) Gateway(context.Context) (GatewayFacts, error)   { return p.gateway, p.gatewayErr }
func (p *plant) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if found := p.addresses[host]; len(found) > 0 {
		return found, nil
	}
	return nil, fmt.Errorf("lookup %s: no such host", host)
}

// answer is a host that takes every connection.
func (p *plant) answer(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	return client, server.Close()
}

// plantPool and plantWatcher are the plant's pool and watcher, whose Snapshots
// have the same name.
type (
	plantPool    struct{ *plant }
	plantWatcher struct{ *plant }
)

func (p plantPool) Snapshot() monitor.Snapshot { return p.pool }
func (p plantPool) Resync(ctx context.Context, name string) (monitor.MonitorStatus, error) {
	p.ask("resync " + name)
	if p.resync != nil {
		return p.resync(ctx, name)
	}
	if status, ok := p.pool.Monitor(name); ok {
		return status, p.resyncErr
	}
	return monitor.MonitorStatus{}, errors.New("there is no such monitor")
}
func (p plantWatcher) Snapshot() cloudlink.WatcherSnapshot { return p.watcher }

// sources and settings are what a system check gets of the plant.
func (p *plant) sources() SystemSources {
	return SystemSources{
		Entra: p, CloudLink: p, Bridge: p, Monitors: plantPool{p}, Watcher: plantWatcher{p}, MiCollab: p, Gateway: p,
		Usage: func() []presence.BudgetUsage { return p.usage },
	}
}

func (p *plant) settings() SystemSettings {
	return SystemSettings{
		Name: "acme", TenantID: testTenant, ClientID: testClient, Secret: presence.NewSecret(testSecret), SecretDescription: "acme",
		RedirectURI: testSignIn, NotificationURL: testURL, AccountID: "acc-1", Region: "eu",
	}
}

// only makes the checks of the codes against the plant, without what they depend
// on, and returns the results.
func (p *plant) only(t *testing.T, opts *SystemOptions, codes ...Code) []Result {
	t.Helper()
	o := SystemOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Resolver == nil {
		o.Resolver = p
	}
	c, err := NewSystemCheck(p.sources(), p.settings(), &o)
	require.NoError(t, err)
	return c.alone(t, codes...)
}

// alone makes the checks of the codes without what they depend on.
func (c *SystemCheck) alone(t *testing.T, codes ...Code) []Result {
	t.Helper()
	var checks []Check
	for _, check := range c.checks {
		for _, code := range codes {
			if check.Code == code {
				check.DependsOn = nil
				checks = append(checks, check)
			}
		}
	}
	require.NotEmpty(t, checks, "there are no such checks")
	c.checks = checks
	report, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	return report.Results
}
