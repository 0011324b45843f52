package entra

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// Options are the settings of an [Entra]. The zero value of each field is its
// default.
type Options struct {
	// Cloud is where Entra and Microsoft Graph are. Only that of [graph.Global]
	// has presence subscriptions. Default: [graph.Global].
	Cloud graph.Cloud
	// HTTPClient lends its Transport and its Timeout, which bounds each attempt.
	// Default: [http.DefaultTransport] and 30 seconds.
	HTTPClient *http.Client
	// Logger takes what is worth knowing and is not an error of a call. Default:
	// discarded.
	Logger *slog.Logger
	// Scopes are the delegated permissions that a sign-in asks for. A monitor
	// needs those of [graph.DelegatedScopes] that are Required. Default: the names
	// of all of them.
	Scopes []string
	// DomainHint is the tenant's domain, which skips the choice of an account
	// type at the sign-in. Default: none.
	DomainHint string
	// Prompt is login, consent or select_account, and makes the sign-in page ask
	// though somebody is signed in already: login keeps an administrator from
	// signing in by mistake. Default: Entra decides, by the account's name.
	Prompt string
	// ResponseMode is how the outcome comes to the redirect URI. Default:
	// [graph.ResponseQuery].
	ResponseMode graph.ResponseMode
	// Budgets returns the budgets of one application in one tenant, which all
	// clients of the two must share; nil where it has none. It is called
	// concurrently and must not block. Default: new ones for each application,
	// with the published limits.
	Budgets func(monitor.Application) *graph.Budgets
	// GlobalAdministrator says of an access token whether its account is a global
	// administrator; nil where it does not tell. Default:
	// [graph.GlobalAdministrator].
	GlobalAdministrator func(accessToken presence.Secret) *bool
	// MeterProvider makes the metrics of package graph. Default: the global
	// provider of OpenTelemetry, which does nothing until one is installed.
	MeterProvider metric.MeterProvider
}

// Entra is Microsoft Entra and Microsoft Graph as a pool of monitors needs them.
// It is safe for concurrent use.
type Entra struct {
	redirectURL string
	options     Options

	mu      sync.Mutex
	budgets map[monitor.Application]*graph.Budgets
}

var _ monitor.Entra = (*Entra)(nil)

// New returns an Entra whose sign-ins lead back to redirectURL, which must be
// registered with each application, to the letter, as a redirect URI of the
// platform Web. It returns all faults of its arguments at once, and sends nothing.
func New(redirectURL string, opts *Options) (*Entra, error) {
	e := &Entra{redirectURL: redirectURL, budgets: make(map[monitor.Application]*graph.Budgets)}
	if opts != nil {
		e.options = *opts
	}
	// Most settings are used later, with the credentials of a monitor. A sign-in
	// that nobody will see finds their faults now.
	_, err := e.BeginSignIn(monitor.Credentials{
		Application:   monitor.Application{TenantID: "tenant", ClientID: "client"},
		PrincipalName: "nobody",
		ClientSecret:  presence.NewSecret("none"),
	}, "state")
	if e.options.Prompt == "none" {
		err = errors.Join(err, errors.New("entra: the prompt none never shows a sign-in page: use login, consent or select_account, or leave it empty"))
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// authorizer returns what signs an account in.
func (e *Entra) authorizer(c monitor.Credentials) (*graph.Authorizer, error) {
	a, err := graph.NewAuthorizer(c.Application.TenantID, c.Application.ClientID, c.ClientSecret, e.redirectURL, &graph.AuthorizerOptions{
		Cloud: e.options.Cloud, HTTPClient: e.options.HTTPClient, Scopes: e.options.Scopes, GlobalAdministrator: e.options.GlobalAdministrator,
	})
	if err := errors.Join(checkPrincipalName(c), err); err != nil {
		return nil, err
	}
	return a, nil
}

func checkPrincipalName(c monitor.Credentials) error {
	if strings.TrimSpace(c.PrincipalName) == "" {
		return errors.New("entra: the user principal name is empty: copy it from the account's overview in Entra")
	}
	return nil
}

// client returns a client of the application that takes its tokens from source.
func (e *Entra) client(app monitor.Application, source graph.TokenSource) (*graph.Client, error) {
	return graph.New(app.TenantID, app.ClientID, source, &graph.Options{
		Cloud: e.options.Cloud, HTTPClient: e.options.HTTPClient, Logger: e.options.Logger,
		Budgets: e.budgetsOf(app), MeterProvider: e.options.MeterProvider,
	})
}

// budgetsOf returns the budgets that all clients of the application share. They
// outlive its monitors: a service counts on.
func (e *Entra) budgetsOf(app monitor.Application) *graph.Budgets {
	if e.options.Budgets != nil {
		if b := e.options.Budgets(app); b != nil {
			return b
		}
	}
	// Both ids are written in any case.
	app = monitor.Application{TenantID: strings.ToLower(app.TenantID), ClientID: strings.ToLower(app.ClientID)}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.budgets[app]
	if b == nil {
		b = graph.NewBudgets(nil)
		e.budgets[app] = b
	}
	return b
}
