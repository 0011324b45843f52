package tenant_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

func tlsTrusting(a *authority) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.pool()}
}

// service is one run of the service that the bridge is part of.
type service struct {
	bridge     *presencebridge.Bridge
	credential *graph.Credential
	watcher    *cloudlink.Watcher
	pool       *monitor.Pool
	teams      *graph.Client
	cancel     context.CancelFunc
	done       []chan error
	// poolCancel ends the pool alone, and poolDone tells that it has ended.
	poolCancel context.CancelFunc
	poolDone   chan error
}

// start runs the service as it is configured.
func (s *system) start() {
	s.Helper()
	c := &s.config
	web := &http.Client{Transport: s.recorder}
	cloud := graph.Cloud{Name: "double", LoginURL: s.graph.LoginURL(), GraphURL: s.graph.GraphURL(), Notifications: true}
	service := &service{}

	// Microsoft.
	budgets := graph.NewBudgets(nil)
	var err error
	service.credential, err = graph.NewSecretCredential(c.tenantID, c.clientID, c.secret, &graph.CredentialOptions{Cloud: cloud, HTTPClient: web})
	require.NoError(s, err)
	teams, err := graph.New(c.tenantID, c.clientID, service.credential, &graph.Options{Cloud: cloud, HTTPClient: web, Budgets: budgets})
	require.NoError(s, err)

	// Mitel.
	identity, err := cloudlink.NewClientCredential(c.accountID, c.cloudClient, c.cloudSecret, &cloudlink.CredentialOptions{Region: c.region, BaseURL: s.mitel.URL, HTTPClient: web})
	require.NoError(s, err)
	mitel, err := cloudlink.New(c.accountID, identity, &cloudlink.Options{Region: c.region, BaseURL: s.mitel.URL, HTTPClient: web})
	require.NoError(s, err)
	var statuses presencebridge.Statuses
	if s.healthy.miCollab.Ready() == nil {
		statuses, err = micollab.NewClient(cloudlink.NewStatusDriver(mitel), s.healthy.miCollab.Server, nil)
		require.NoError(s, err)
	}

	// The engine.
	opts := c.bridge
	opts.Direction = c.direction
	service.bridge, err = presencebridge.New(presencebridge.Sides{
		Directory: presencebridge.NewDirectory(teams, mitel, &presence.MatchOptions{PBX: func(p presence.Principal) presence.PBX {
			if p.SiteID == siteHead {
				return c.pbx
			}
			return presence.PBX(p.SiteID)
		}}),
		Teams: teams, Phones: mitel, Statuses: statuses,
	}, &opts)
	require.NoError(s, err)

	// What is heard.
	mux := http.NewServeMux()
	webhook := cloudlink.NewWebhookHandler(nil)
	mux.Handle(cloudLinkPath, webhook)
	watching := c.watcher
	service.watcher, err = cloudlink.NewWatcher(mitel, webhook, "https://"+bridgeHost+cloudLinkPath, service.bridge, &watching)
	require.NoError(s, err)
	notifications := graph.NewNotificationHandler(nil)
	mux.Handle(graphPath, notifications)
	if !c.withoutMonitors {
		accounts, err := entra.New(c.redirectURI, &entra.Options{Cloud: cloud, HTTPClient: web, Budgets: func(monitor.Application) *graph.Budgets { return budgets }})
		require.NoError(s, err)
		pool := c.pool
		pool.FeatureSecret = c.secret
		// What Microsoft Graph is told stays right, so that a wrong address in the
		// configuration of the check breaks nothing else.
		service.pool, err = monitor.NewPool(monitor.Application{TenantID: c.tenantID, ClientID: c.clientID}, s.healthy.notificationURL, monitor.Dependencies{
			Store: s.store, Sealer: s.sealer, Entra: accounts, Routes: notifications.Tenant(c.tenantID), Sink: service.bridge,
		}, &pool)
		require.NoError(s, err)
		if !c.withoutWatch {
			service.bridge.Watch(service.pool)
		}
	}
	var handler http.Handler = mux
	s.front.handler.Store(&handler)

	// The checks.
	sources := verify.SystemSources{
		CloudLink: mitel, Bridge: service.bridge, Watcher: service.watcher, Explain: service.bridge,
		Usage:         func() []presence.BudgetUsage { return []presence.BudgetUsage{mitel.Usage()} },
		MitelServices: []verify.Service{{Name: "Mitel CloudLink", URL: s.mitel.URL("authentication")}},
	}
	if service.pool != nil {
		sources.Monitors = service.pool
	}
	if !c.withoutFacts {
		sources.MiCollab, sources.Gateway = told{s}, told{s}
	}
	entraNow, err := tenant.New(teams, service.credential, nil)
	require.NoError(s, err)
	entraNow.Fill(&sources)
	consent, err := graph.AdminConsentURL(cloud, c.tenantID, c.clientID, c.redirectURI, "state")
	require.NoError(s, err)
	s.check, err = verify.NewSystemCheck(sources, verify.SystemSettings{
		Name: "acme", TenantID: c.tenantID, ClientID: c.clientID, Secret: c.secret, SecretDescription: c.secretDescription, RedirectURI: c.redirectURI,
		AdminConsentURL: consent, NotificationURL: c.notificationURL, AccountID: c.accountID, Region: c.region,
	}, &c.options)
	require.NoError(s, err)

	var ctx context.Context
	ctx, service.cancel = context.WithCancel(context.Background())
	run := func(f func(context.Context) error) {
		done := make(chan error, 1)
		service.done = append(service.done, done)
		go func() { done <- f(ctx) }()
	}
	run(service.bridge.Run)
	run(service.watcher.Run)
	s.service = service
	service.teams = teams
	if service.pool != nil {
		s.runPool()
	}
	time.Sleep(10 * time.Second)
}

// runPool runs the pool of the monitors. It may refuse to run.
func (s *system) runPool() {
	var ctx context.Context
	ctx, s.service.poolCancel = context.WithCancel(context.Background())
	done := make(chan error, 1)
	s.service.poolDone = done
	pool := s.service.pool
	go func() { done <- pool.Run(ctx) }()
}

// stopPool ends the pool, and nothing else.
func (s *system) stopPool() {
	if s.service.poolDone == nil {
		return
	}
	s.service.poolCancel()
	<-s.service.poolDone
	s.service.poolDone = nil
}

// stop ends the service.
func (s *system) stop() {
	s.Helper()
	if s.service == nil {
		return
	}
	s.stopPool()
	s.service.cancel()
	for _, done := range s.service.done {
		<-done
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = s.service.credential.Wait(ctx)
	s.front.handler.Store(nil)
	s.service = nil
}

// reconfigure starts the service anew with what somebody has entered.
func (s *system) reconfigure(change func(*configuration)) {
	s.Helper()
	s.stop()
	s.config = s.healthy
	if change != nil {
		change(&s.config)
	}
	s.start()
}

// told is what somebody has entered of the gateway and of MiCollab.
type told struct{ s *system }

func (t told) MiCollab(context.Context) (verify.MiCollabFacts, error) {
	return t.s.config.miCollab, nil
}
func (t told) Gateway(context.Context) (verify.GatewayFacts, error) { return t.s.config.gateway, nil }
