package service

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
	"github.com/presencebridge/presencebridge/verify"
)

// The paths below the public URL, at which Microsoft Graph and CloudLink deliver what
// has changed, and to which Entra leads back whoever has signed in as a presence
// monitor.
const (
	PathGraph     = "/notifications/graph"
	PathCloudLink = "/notifications/cloudlink"
	PathSignIn    = "/callback"
)

// PathVerify is the path at the address of the status page below which the checks
// are served, as by [verify.NewHandler].
const PathVerify = "/verify"

// Extras are what a program adds to the settings of its bridge. The zero value of
// each field is its default.
type Extras struct {
	// Logger takes the logs of all packages. Default: discarded.
	Logger *slog.Logger
	// Hooks are told of what happens. Default: none.
	Hooks presencebridge.Hooks
	// Teams, if set, is put around the client with which the bridge reads and writes
	// presence. Default: the client itself.
	Teams func(*graph.Client) presencebridge.Teams
	// Store keeps the presence monitors. Default: memory, which forgets them.
	Store monitor.Store
	// Monitors is told of what happens to the presence monitors. Default: nobody.
	Monitors func(monitor.Event)
	// Status returns what else the server of the status page answers, by the patterns
	// of [http.ServeMux]; "GET /{$}", "GET /explain" and what is below [PathVerify] are
	// taken. It answers on this machine's own names only, like the status page. It is
	// called when Run begins. Default: nothing else.
	Status func(*Service) map[string]http.Handler
}

// Service is one customer's bridge with everything around it. It is assembled by
// [Assemble] and lives for one [Service.Run]. Its fields are what it is made of, for
// whoever wants to ask one of them directly; they must not be changed.
type Service struct {
	// Settings are those from which it was assembled.
	Settings *Settings
	// HTTP sends every request of the service, and trusts the authorities of the
	// settings.
	HTTP *http.Client
	// Bridge is the engine.
	Bridge *presencebridge.Bridge

	// Teams is the client of Microsoft Graph, as the application.
	Teams *graph.Client
	// Credential is the application's own, which Teams uses.
	Credential *graph.Credential
	// Budgets are shared by everything that asks Microsoft Graph as this application.
	Budgets *graph.Budgets
	// CloudLink is the client of CloudLink, and MiCollab that of the MiCollab server
	// through it; nil for a bridge that is one-way for good.
	CloudLink *cloudlink.Client
	MiCollab  *micollab.Client

	// Notifications takes what Microsoft Graph sends, and Webhook what CloudLink sends.
	Notifications *graph.NotificationHandler
	Webhook       *cloudlink.WebhookHandler
	// Watcher holds the subscriptions at CloudLink; nil without a public URL.
	Watcher *cloudlink.Watcher
	// Pool holds the presence monitors; nil without any, or without a public URL.
	Pool *monitor.Pool

	// SystemCheck finds out what keeps the bridge from working, and UserCheck what
	// is wrong with one person. While Run runs they are served below [PathVerify], at
	// the address of the status page.
	SystemCheck *verify.SystemCheck
	UserCheck   *verify.UserCheck

	logger   *slog.Logger
	counts   *counts
	checks   http.Handler
	monitors *monitors // nil where Pool is
	more     func(*Service) map[string]http.Handler
}

// Assemble puts the packages together; nil extras are none. It sends nothing. The
// error joins all that is wrong with the credentials, or else the first other fault.
// Where it fails, the listeners of the settings are still the caller's to close.
func Assemble(settings *Settings, extras *Extras) (*Service, error) {
	var x Extras
	if extras != nil {
		x = *extras
	}
	if x.Logger == nil {
		x.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		Settings: settings, HTTP: newHTTPClient(settings), Budgets: graph.NewBudgets(nil),
		logger: x.Logger, counts: newCounts(), more: x.Status,
	}

	// Each side has a client of its own, with its own credential.
	if err := errors.Join(s.newTeams(), s.newCloudLink()); err != nil {
		return nil, err
	}

	// The engine joins them.
	sides := presencebridge.Sides{
		Directory: presencebridge.NewDirectory(s.Teams, s.CloudLink, settings.matching()),
		Teams:     s.Teams,
		Phones:    s.CloudLink,
	}
	if x.Teams != nil {
		sides.Teams = x.Teams(s.Teams)
	}
	var err error
	if m := settings.MiCollab; m != nil {
		s.MiCollab, err = micollab.NewClient(cloudlink.NewStatusDriver(s.CloudLink), m.Server, &micollab.Options{Names: m.Names})
		if err != nil {
			return nil, err
		}
		sides.Statuses = s.MiCollab
	}
	opts := settings.Bridge
	opts.Logger, opts.Hooks = s.logger, s.counts.hooks(x.Hooks)
	if s.Bridge, err = presencebridge.New(sides, &opts); err != nil {
		return nil, err
	}

	// Notifications say where to look; the bridge itself is their sink.
	keys, decryption, err := s.newDecryption()
	if err != nil {
		return nil, err
	}
	s.Notifications = graph.NewNotificationHandler(&graph.NotificationHandlerOptions{Logger: s.logger, Decryption: decryption})
	s.Webhook = cloudlink.NewWebhookHandler(&cloudlink.WebhookHandlerOptions{Logger: s.logger})
	if settings.PublicURL != "" {
		if err := s.subscribe(&x, keys); err != nil {
			return nil, err
		}
	}

	// The checks look at all of it.
	if err := s.newChecks(); err != nil {
		return nil, err
	}
	return s, nil
}

// subscribe makes what sees to it that both sides notify the bridge.
func (s *Service) subscribe(x *Extras, keys *graph.KeyRing) (err error) {
	s.Watcher, err = cloudlink.NewWatcher(s.CloudLink, s.Webhook, s.Settings.PublicURL+PathCloudLink, s.Bridge, &cloudlink.WatcherOptions{
		Logger: s.logger, PhonesOnly: s.Settings.MiCollab == nil,
	})
	if err != nil || s.Settings.Teams.Pool == nil {
		return err
	}
	if s.monitors, err = s.newMonitors(x, keys); err != nil {
		return err
	}
	s.Pool = s.monitors.pool
	// The bridge tells the pool whom to watch, and the pool whom nobody watches.
	s.Bridge.Watch(s.Pool)
	return nil
}

// Entered is closed once Run has entered the presence monitors of the configuration
// into the pool, as far as Entra accepts them; at once where there is no pool.
func (s *Service) Entered() <-chan struct{} {
	if s.monitors == nil {
		nobody := make(chan struct{})
		close(nobody)
		return nobody
	}
	return s.monitors.entered
}

func newHTTPClient(settings *Settings) *http.Client {
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	// The default of 2 would open a connection for nearly every request.
	transport.MaxIdleConnsPerHost = 32
	if settings.Roots != nil {
		transport.TLSClientConfig.RootCAs = settings.Roots
	}
	return &http.Client{Transport: transport}
}

func (s *Service) newTeams() (err error) {
	t := &s.Settings.Teams
	opts := &graph.CredentialOptions{Cloud: t.Cloud, HTTPClient: s.HTTP}
	if t.Certificate != nil {
		s.Credential, err = graph.NewCertificateCredential(t.TenantID, t.ClientID, t.Certificate, t.Key, opts)
	} else {
		s.Credential, err = graph.NewSecretCredential(t.TenantID, t.ClientID, t.Secret, opts)
	}
	if err != nil {
		return err
	}
	s.Teams, err = graph.New(t.TenantID, t.ClientID, s.Credential, &graph.Options{
		Cloud: t.Cloud, HTTPClient: s.HTTP, Logger: s.logger, Budgets: s.Budgets,
	})
	return err
}

func (s *Service) newCloudLink() (err error) {
	c := &s.Settings.CloudLink
	var credential *cloudlink.Credential
	opts := &cloudlink.CredentialOptions{Region: c.Region, BaseURL: c.BaseURL, HTTPClient: s.HTTP, Logger: s.logger}
	if c.ClientID != "" {
		credential, err = cloudlink.NewClientCredential(c.AccountID, c.ClientID, c.Secret, opts)
	} else {
		credential, err = cloudlink.NewPasswordCredential(c.AccountID, c.Username, c.Secret, opts)
	}
	if err != nil {
		return err
	}
	s.CloudLink, err = cloudlink.New(c.AccountID, credential, &cloudlink.Options{
		Region: c.Region, BaseURL: c.BaseURL, HTTPClient: s.HTTP, Logger: s.logger, RequestsPerSecond: c.RequestsPerSecond,
	})
	return err
}

// newDecryption returns what reads encrypted notifications, and the keys for which
// they are encrypted; nothing where they are not.
func (s *Service) newDecryption() (*graph.KeyRing, *graph.Decryption, error) {
	t := &s.Settings.Teams
	if t.Pool == nil || !t.Pool.Encrypted {
		return nil, nil, nil
	}
	keys, err := graph.NewKeyRing(&graph.KeyRingOptions{Logger: s.logger})
	if err != nil {
		return nil, nil, err
	}
	decryption, err := graph.NewDecryption(keys, []string{t.ClientID}, &graph.DecryptionOptions{Cloud: t.Cloud, HTTPClient: s.HTTP})
	return keys, decryption, err
}

// newMonitors makes the pool of presence monitors, which share the application of
// the bridge.
func (s *Service) newMonitors(x *Extras, keys *graph.KeyRing) (*monitors, error) {
	t := &s.Settings.Teams
	m := &monitors{
		settings: t.Pool, store: x.Store, logger: s.logger, application: monitor.Application{TenantID: t.TenantID, ClientID: t.ClientID},
		wake: make(chan struct{}, 1), entered: make(chan struct{}),
	}
	if m.store == nil {
		m.store = monitor.NewMemoryStore()
	}
	// Secrets and tokens are sealed before they reach the store.
	sealer, sealerErr := t.Pool.sealer()
	// The monitors' accounts sign in and subscribe by Entra and Microsoft Graph.
	// They share the budgets of the application with the client of the bridge.
	accounts, accountsErr := entra.New(s.Settings.PublicURL+PathSignIn, &entra.Options{
		Cloud: t.Cloud, HTTPClient: s.HTTP, Logger: s.logger,
		Budgets: func(monitor.Application) *graph.Budgets { return s.Budgets },
	})
	if err := errors.Join(sealerErr, accountsErr); err != nil {
		return nil, err
	}
	// Notifications are matched to this tenant where its id is known.
	var routes monitor.Routes = s.Notifications
	if guid.MatchString(t.TenantID) {
		routes = s.Notifications.Tenant(t.TenantID)
	}
	opts := t.Pool.Options
	opts.Logger = s.logger
	opts.OnEvent = func(e monitor.Event) {
		m.happened(e)
		if x.Monitors != nil {
			x.Monitors(e)
		}
	}
	if keys != nil {
		opts.Monitor.Encryption = keys.Current
	}
	var err error
	m.pool, err = monitor.NewPool(m.application, s.Settings.PublicURL+PathGraph, monitor.Dependencies{
		Store: m.store, Sealer: sealer, Entra: accounts, Routes: routes, Sink: s.Bridge,
	}, &opts)
	return m, err
}

// matching says whom the bridge takes for the same person, and what their
// telephone system can do.
func (s *Settings) matching() *presence.MatchOptions {
	return &presence.MatchOptions{
		Capabilities: s.CloudLink.Capabilities,
		PBX: func(p presence.Principal) presence.PBX {
			if pbx := s.CloudLink.Sites[p.SiteID]; pbx != "" {
				return pbx
			}
			return s.CloudLink.PBX
		},
		Groups: func(_ presence.TeamsUser, p presence.Principal) []string {
			return s.Groups[presence.NormalizeEmail(p.Email)]
		},
	}
}

// public serves what Microsoft Graph and CloudLink send.
func (s *Service) public() http.Handler {
	mux := http.NewServeMux()
	prefixes := []string{""}
	// A proxy may leave the path of the public URL in place or take it away.
	if u, err := url.Parse(s.Settings.PublicURL); err == nil && u.Path != "" {
		prefixes = append(prefixes, u.Path)
	}
	for _, prefix := range prefixes {
		mux.Handle(prefix+PathGraph, s.Notifications)
		mux.Handle(prefix+PathCloudLink, s.Webhook)
		if s.Pool != nil {
			mux.Handle(prefix+PathSignIn, s.Pool.SignInHandler())
		}
	}
	return mux
}

// stopTimeout bounds how long the servers wait for requests when they stop.
const stopTimeout = 5 * time.Second
