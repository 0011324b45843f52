package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/presence"
)

// The paths below the public URL.
const (
	pathGraph     = "/notifications/graph"
	pathCloudLink = "/notifications/cloudlink"
	pathSignIn    = "/callback"
)

// extras are what a program that embeds the bridge adds to its settings. The
// zero value of each field is its default.
type extras struct {
	// logger takes the logs of all packages. Default: discarded.
	logger *slog.Logger
	// hooks are told of what happens. Default: none.
	hooks presencebridge.Hooks
	// teams, if set, is put around the client that reads and writes presence.
	teams func(*graph.Client) presencebridge.Teams
	// store keeps the presence monitors. Default: memory, which forgets them.
	store monitor.Store
	// monitors is told of what happens to the presence monitors. Default: nobody.
	monitors func(monitor.Event)
}

// integration is one customer's bridge with everything around it. It is
// assembled by [assemble] and lives for one Run.
type integration struct {
	settings *settings
	logger   *slog.Logger
	http     *http.Client
	counts   *counts

	bridge *presencebridge.Bridge
	teams  *graph.Client
	// budgets are shared by everything that asks Microsoft Graph as this application.
	budgets       *graph.Budgets
	notifications *graph.NotificationHandler
	webhook       *cloudlink.WebhookHandler
	watcher       *cloudlink.Watcher // nil without a public URL
	monitors      *monitors          // nil without presence monitors
}

// assemble puts the packages together. It sends nothing, and returns all faults
// at once.
func assemble(s *settings, x *extras) (*integration, error) {
	i := &integration{settings: s, logger: x.logger, counts: newCounts(), budgets: graph.NewBudgets(nil)}
	if i.logger == nil {
		i.logger = slog.New(slog.DiscardHandler)
	}
	i.http = newHTTPClient(s)

	// Each side has a client of its own, with its own credential.
	teams, teamsErr := i.newTeams()
	phones, phonesErr := i.newCloudLink()
	if err := errors.Join(teamsErr, phonesErr); err != nil {
		return nil, err
	}
	i.teams = teams

	// The engine joins them.
	sides := presencebridge.Sides{
		Directory: presencebridge.NewDirectory(teams, phones, s.matching()),
		Teams:     teams,
		Phones:    phones,
	}
	if x.teams != nil {
		sides.Teams = x.teams(teams)
	}
	if s.micollab != nil {
		statuses, err := micollab.NewClient(cloudlink.NewStatusDriver(phones), s.micollab.server, &micollab.Options{Names: s.micollab.names})
		if err != nil {
			return nil, err
		}
		sides.Statuses = statuses
	}
	opts := s.bridge
	opts.Logger, opts.Hooks = i.logger, i.counts.hooks(x.hooks)
	bridge, err := presencebridge.New(sides, &opts)
	if err != nil {
		return nil, err
	}
	i.bridge = bridge

	// Notifications say where to look; the bridge itself is their sink.
	keys, decryption, err := i.newDecryption()
	if err != nil {
		return nil, err
	}
	i.notifications = graph.NewNotificationHandler(&graph.NotificationHandlerOptions{Logger: i.logger, Decryption: decryption})
	i.webhook = cloudlink.NewWebhookHandler(&cloudlink.WebhookHandlerOptions{Logger: i.logger})
	if s.publicURL == "" {
		return i, nil
	}
	i.watcher, err = cloudlink.NewWatcher(phones, i.webhook, s.publicURL+pathCloudLink, i.bridge, &cloudlink.WatcherOptions{
		Logger: i.logger, PhonesOnly: s.micollab == nil,
	})
	if err != nil {
		return nil, err
	}
	if s.teams.monitors == nil {
		return i, nil
	}
	if i.monitors, err = i.newMonitors(x, keys); err != nil {
		return nil, err
	}
	// The bridge tells the pool whom to watch, and the pool whom nobody watches.
	i.bridge.Watch(i.monitors.pool)
	return i, nil
}

func newHTTPClient(s *settings) *http.Client {
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	// The default of 2 would open a connection for nearly every request.
	transport.MaxIdleConnsPerHost = 32
	if s.roots != nil {
		transport.TLSClientConfig.RootCAs = s.roots
	}
	return &http.Client{Transport: transport}
}

func (i *integration) newTeams() (*graph.Client, error) {
	t := &i.settings.teams
	var credential *graph.Credential
	var err error
	opts := &graph.CredentialOptions{Cloud: t.cloud, HTTPClient: i.http}
	if t.certificate != nil {
		credential, err = graph.NewCertificateCredential(t.tenantID, t.clientID, t.certificate, t.key, opts)
	} else {
		credential, err = graph.NewSecretCredential(t.tenantID, t.clientID, t.secret, opts)
	}
	if err != nil {
		return nil, err
	}
	return graph.New(t.tenantID, t.clientID, credential, &graph.Options{
		Cloud: t.cloud, HTTPClient: i.http, Logger: i.logger, Budgets: i.budgets,
	})
}

func (i *integration) newCloudLink() (*cloudlink.Client, error) {
	c := &i.settings.cloudlink
	var credential *cloudlink.Credential
	var err error
	opts := &cloudlink.CredentialOptions{Region: c.region, BaseURL: c.baseURL, HTTPClient: i.http, Logger: i.logger}
	if c.clientID != "" {
		credential, err = cloudlink.NewClientCredential(c.accountID, c.clientID, c.secret, opts)
	} else {
		credential, err = cloudlink.NewPasswordCredential(c.accountID, c.username, c.secret, opts)
	}
	if err != nil {
		return nil, err
	}
	return cloudlink.New(c.accountID, credential, &cloudlink.Options{
		Region: c.region, BaseURL: c.baseURL, HTTPClient: i.http, Logger: i.logger, RequestsPerSecond: c.requestsPerSecond,
	})
}

// newDecryption returns what reads encrypted notifications, and the keys for which
// they are encrypted; nothing where they are not.
func (i *integration) newDecryption() (*graph.KeyRing, *graph.Decryption, error) {
	t := &i.settings.teams
	if t.monitors == nil || !t.monitors.encrypted {
		return nil, nil, nil
	}
	keys, err := graph.NewKeyRing(&graph.KeyRingOptions{Logger: i.logger})
	if err != nil {
		return nil, nil, err
	}
	decryption, err := graph.NewDecryption(keys, []string{t.clientID}, &graph.DecryptionOptions{Cloud: t.cloud, HTTPClient: i.http})
	return keys, decryption, err
}

// newMonitors makes the pool of presence monitors, which share the application of
// the bridge.
func (i *integration) newMonitors(x *extras, keys *graph.KeyRing) (*monitors, error) {
	t, s := &i.settings.teams, i.settings.teams.monitors
	m := &monitors{
		settings: s, store: x.store, logger: i.logger, application: monitor.Application{TenantID: t.tenantID, ClientID: t.clientID},
		wake: make(chan struct{}, 1), entered: make(chan struct{}),
	}
	if m.store == nil {
		m.store = monitor.NewMemoryStore()
	}
	// Secrets and tokens are sealed before they reach the store.
	sealer, sealerErr := s.sealer()
	// The monitors' accounts sign in and subscribe by Entra and Microsoft Graph.
	// They share the budgets of the application with the client of the bridge.
	accounts, accountsErr := entra.New(i.settings.publicURL+pathSignIn, &entra.Options{
		Cloud: t.cloud, HTTPClient: i.http, Logger: i.logger,
		Budgets: func(monitor.Application) *graph.Budgets { return i.budgets },
	})
	if err := errors.Join(sealerErr, accountsErr); err != nil {
		return nil, err
	}
	// Notifications are matched to this tenant where its id is known.
	var routes monitor.Routes = i.notifications
	if guid.MatchString(t.tenantID) {
		routes = i.notifications.Tenant(t.tenantID)
	}
	opts := s.pool
	opts.Logger = i.logger
	opts.OnEvent = func(e monitor.Event) {
		m.happened(e)
		if x.monitors != nil {
			x.monitors(e)
		}
	}
	if keys != nil {
		opts.Monitor.Encryption = keys.Current
	}
	var err error
	m.pool, err = monitor.NewPool(m.application, i.settings.publicURL+pathGraph, monitor.Dependencies{
		Store: m.store, Sealer: sealer, Entra: accounts, Routes: routes, Sink: i.bridge,
	}, &opts)
	return m, err
}

// matching says whom the bridge takes for the same person, and what their
// telephone system can do.
func (s *settings) matching() *presence.MatchOptions {
	return &presence.MatchOptions{
		Capabilities: s.cloudlink.capabilities,
		PBX: func(p presence.Principal) presence.PBX {
			if pbx := s.cloudlink.sites[p.SiteID]; pbx != "" {
				return pbx
			}
			return s.cloudlink.pbx
		},
		Groups: func(_ presence.TeamsUser, p presence.Principal) []string {
			return s.groups[presence.NormalizeEmail(p.Email)]
		},
	}
}

// public serves what Microsoft Graph and CloudLink send.
func (i *integration) public() http.Handler {
	mux := http.NewServeMux()
	prefixes := []string{""}
	// A proxy may leave the path of the public URL in place or take it away.
	if u, err := url.Parse(i.settings.publicURL); err == nil && u.Path != "" {
		prefixes = append(prefixes, u.Path)
	}
	for _, prefix := range prefixes {
		mux.Handle(prefix+pathGraph, i.notifications)
		mux.Handle(prefix+pathCloudLink, i.webhook)
		if i.monitors != nil {
			mux.Handle(prefix+pathSignIn, i.monitors.pool.SignInHandler())
		}
	}
	return mux
}

// stopTimeout bounds how long the servers wait for requests when they stop.
const stopTimeout = 5 * time.Second
