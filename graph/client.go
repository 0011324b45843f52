package graph

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"
	khttp "github.com/microsoft/kiota-http-go"
	kjson "github.com/microsoft/kiota-serialization-json-go"
	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// Options are the settings of a [Client]. The zero value of each field is its default.
type Options struct {
	// Cloud is where Microsoft Graph is. Default: [Global].
	Cloud Cloud
	// HTTPClient lends its Transport, which sends the requests, and its Timeout,
	// which bounds each attempt; its other fields are not used. Default:
	// [http.DefaultTransport] and 30 seconds.
	HTTPClient *http.Client
	// Logger takes what is worth knowing and is not an error of a call. Default:
	// discarded.
	Logger *slog.Logger
	// MaxInFlight is how many requests one bulk read has under way at a time.
	// Default: 4.
	MaxInFlight int
	// Budgets are shared among the clients of one application and tenant.
	// Default: new ones with the published limits.
	Budgets *Budgets
	// ReadRetries is how often a read that failed for a passing reason is
	// repeated; negative: never. Default: 3.
	ReadRetries int
	// MeterProvider makes the metrics: presencebridge.graph.requests (by operation and
	// status), presencebridge.graph.request.duration in seconds,
	// presencebridge.graph.throttled, presencebridge.graph.throttle.wait in seconds and
	// presencebridge.graph.skipped (items of an answer that could not be used).
	// Default: the global provider of OpenTelemetry, which does nothing until one
	// is installed.
	MeterProvider metric.MeterProvider
}

// Client reads and writes presence, users and subscriptions of one tenant as one
// application. It is safe for concurrent use.
//
// Reads need a token with application permissions, subscriptions a delegated
// token of a monitor: make one Client for each, sharing their [Budgets].
type Client struct {
	tenantID    string
	clientID    string
	cloud       Cloud
	baseURL     string
	base        *url.URL
	tokens      TokenSource
	adapter     abs.RequestAdapter
	path        map[string]string
	http        *http.Client
	budgets     *Budgets
	maxInFlight int
	logger      *slog.Logger
	metrics     *instruments

	mu      sync.Mutex
	refused time.Time // when a token was last given up after a 401
}

// New returns a Client for one tenant, by its id or one of its domain names, and
// one application, by its client id, which is also the id of the presence
// session that [Client.SetPresence] writes. It returns all faults of its
// arguments at once, and sends nothing.
func New(tenantID, clientID string, tokens TokenSource, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var faults []error
	faults = append(faults, checkTenant(tenantID), checkClientID(clientID))
	if tokens == nil {
		faults = append(faults, errors.New("graph: a token source is required: make one with NewSecretCredential, NewCertificateCredential, NewDelegatedCredential, FromOAuth2 or FromAzure"))
	}
	cloud, err := o.Cloud.normalize()
	faults = append(faults, err)
	if o.MaxInFlight < 0 {
		faults = append(faults, fmt.Errorf("graph: Options.MaxInFlight %d is negative: use 0 for the default", o.MaxInFlight))
	}
	metrics, err := newInstruments(o.MeterProvider)
	faults = append(faults, err)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c := &Client{
		tenantID:    tenantID,
		clientID:    clientID,
		cloud:       cloud,
		baseURL:     cloud.GraphURL + "/v1.0",
		tokens:      tokens,
		budgets:     o.Budgets,
		maxInFlight: o.MaxInFlight,
		logger:      o.Logger,
		metrics:     metrics,
	}
	if c.maxInFlight == 0 {
		c.maxInFlight = 4
	}
	if c.budgets == nil {
		c.budgets = NewBudgets(nil)
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.base, err = url.Parse(c.baseURL); err != nil {
		return nil, fmt.Errorf("graph: Cloud.GraphURL: %w", err)
	}
	c.path = map[string]string{"baseurl": c.baseURL}
	c.http = newHTTPClient(o.HTTPClient, throttle.Options{
		Charges:     c.charges,
		ReadRetries: o.ReadRetries,
		Throttled:   c.throttled,
	})
	adapter, err := khttp.NewNetHttpRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		authenticator{c}, kjson.NewJsonParseNodeFactory(), kjson.NewJsonSerializationWriterFactory(), c.http)
	if err != nil {
		return nil, fmt.Errorf("graph: request adapter: %w", err)
	}
	adapter.SetBaseUrl(c.baseURL)
	c.adapter = adapter
	return c, nil
}

// Cloud returns the cloud that the client speaks with.
func (c *Client) Cloud() Cloud { return c.cloud }

// TenantID returns the tenant that the client was made for.
func (c *Client) TenantID() string { return c.tenantID }

// ClientID returns the application that the client was made for.
func (c *Client) ClientID() string { return c.clientID }

// Usage returns how much of each limit the clients that share this one's
// [Budgets] have used: see [Budgets.Usage].
func (c *Client) Usage() []presence.BudgetUsage { return c.budgets.Usage() }
