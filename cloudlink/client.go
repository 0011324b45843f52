package cloudlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// TokenSource gives the access token of each request. A [Credential] is one.
type TokenSource interface {
	// Token returns a token that is valid now. It is called concurrently, for
	// every request, and may block while a token is obtained.
	Token(ctx context.Context) (*oauth2.Token, error)
}

// Invalidator is implemented by a [TokenSource] that caches. A client calls it
// with a token that CloudLink refused before its end, and then asks for another.
type Invalidator interface {
	Invalidate(accessToken string)
}

// Options are the settings of a [Client]; the zero value of each field is its default.
type Options struct {
	// Region is the account's region. Default: [RegionGlobal].
	Region Region
	// BaseURL, if set, returns the base URL of a service, version included, in
	// place of the region's; see [Platform]. Default: the region's.
	BaseURL func(service string) string
	// HTTPClient sends the requests. Redirects are never followed. Its Timeout,
	// if set, bounds one call with all its waits and repetitions. Default: a
	// client on [http.DefaultTransport].
	HTTPClient *http.Client
	// AttemptTimeout bounds one request from sending it to the end of its answer.
	// CloudLink itself waits up to 30 seconds for a telephone system.
	// Default: 40 seconds.
	AttemptTimeout time.Duration
	// Logger takes what is not returned as an error. Default: discards.
	Logger *slog.Logger
	// Application and ApplicationVersion name the calling application in the
	// x-mitel-app header, as Mitel asks of every application; letters, digits,
	// '.', '_' and '-'. Default: "presencebridge" and "1".
	Application, ApplicationVersion string
	// RequestsPerSecond is the most requests that the client sends in any second.
	// The default is assumed: Mitel publishes no limit. Default: 10.
	RequestsPerSecond float64
	// ReadRetries is how often a read that failed for a passing reason (no
	// answer, 429, 502, 503, 504) is repeated; negative means never. Where
	// CloudLink asks for a wait of more than 15 seconds the caller gets the error
	// at once, and later requests wait. Writes are never repeated, except once
	// after a 401, which had no effect. Default: 3, as in Mitel's own sample.
	ReadRetries int
	// PageSize is how many items a listing asks for at a time. Default: 100.
	PageSize int
	// UserAvailability is sent with do-not-disturb requests as the availability
	// of the calling application's user: available, busy or away. CloudLink
	// ignores the request if it is dnd. Default: "available".
	UserAvailability string
	// Presentities reads and writes the JSON of the presence resource, which
	// Mitel does not publish. Default: [DefaultPresentityCodec].
	Presentities PresentityCodec
	// MeterProvider takes the metrics presencebridge.cloudlink.requests and
	// presencebridge.cloudlink.throttled. Default: the global provider of
	// OpenTelemetry, which does nothing until one is installed.
	MeterProvider metric.MeterProvider
}

// Client talks to the CloudLink platform for one account. It is safe for
// concurrent use.
type Client struct {
	accountID    string
	tokens       TokenSource
	bases        map[string]*url.URL
	http         *http.Client
	budget       *throttle.Budget
	log          *slog.Logger
	app          string
	pageSize     int
	availability string
	codec        PresentityCodec
	meters       meters
}

// New returns a client for an account.
//
// accountID is the account's id, best in its long form (a GUID), which Mitel
// Administration shows on the account page. New sends nothing.
func New(accountID string, tokens TokenSource, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	bases, err := Platform{Region: o.Region, BaseURL: o.BaseURL}.bases(ServiceAuthentication, ServiceAdmin, ServiceMedia, ServiceNotifications, ServicePresence)
	faults := []error{err}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("cloudlink: "+format, args...)) }
	if !idPattern.MatchString(accountID) {
		fault("account id %q: give the account id that Mitel Administration shows", accountID)
	}
	if tokens == nil {
		fault("no token source: make one with NewClientCredential")
	}
	app, err := appHeader(o.Application, o.ApplicationVersion)
	faults = append(faults, err)
	if o.RequestsPerSecond == 0 {
		o.RequestsPerSecond = assumedRequestsPerSecond
	}
	if !(o.RequestsPerSecond > 0) || math.IsInf(o.RequestsPerSecond, 0) {
		fault("RequestsPerSecond %v: must be more than zero", o.RequestsPerSecond)
		o.RequestsPerSecond = assumedRequestsPerSecond
	}
	if o.AttemptTimeout < 0 {
		fault("AttemptTimeout %v: must not be negative", o.AttemptTimeout)
	}
	if o.PageSize == 0 {
		o.PageSize = assumedPageSize
	}
	if o.PageSize < 1 {
		fault("PageSize %d: must be at least 1", o.PageSize)
	}
	switch o.UserAvailability {
	case "":
		o.UserAvailability = assumedUserAvailability
	case "available", "busy", "away":
	default:
		fault("UserAvailability %q: use available, busy or away", o.UserAvailability)
	}
	if o.Presentities == nil {
		o.Presentities = DefaultPresentityCodec()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMeters(o.MeterProvider)
	faults = append(faults, err)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c := &Client{
		accountID: accountID, tokens: tokens, bases: bases, log: o.Logger, pageSize: o.PageSize,
		availability: o.UserAvailability, codec: o.Presentities, meters: m, app: app, budget: requestBudget(o.RequestsPerSecond),
	}
	charges := []throttle.Charge{{Budget: c.budget, Cost: 1}}
	c.http = newHTTPClient(o.HTTPClient, o.AttemptTimeout, throttle.Options{
		Charges:     func(*http.Request) []throttle.Charge { return charges },
		ReadRetries: o.ReadRetries,
		Throttled: func(req *http.Request, status int, wait time.Duration) {
			m.throttle(req.Context(), status)
			o.Logger.WarnContext(req.Context(), "CloudLink asks for fewer requests", "status", status, "wait", wait)
		},
	})
	return c, nil
}

// AccountID returns the account id that the client was made with.
func (c *Client) AccountID() string { return c.accountID }

// Usage returns how many requests the client has sent within the last second, of
// those that [Options.RequestsPerSecond] allows (with less than one a second: in
// the time that one takes). Repetitions are counted, requests for tokens are not:
// those are the credential's. It waits for nothing.
func (c *Client) Usage() presence.BudgetUsage { return c.budget.Usage() }

var (
	// idPattern is what an id must look like before it becomes part of a path.
	idPattern          = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@:+*#-]{0,127}$`)
	applicationPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// appHeader returns the x-mitel-app header (Mitel's guide "Using the API").
func appHeader(name, version string) (string, error) {
	name, version = cmp.Or(name, "presencebridge"), cmp.Or(version, "1")
	for _, s := range []string{name, version} {
		if !applicationPattern.MatchString(s) {
			return "", fmt.Errorf("cloudlink: application name or version %q: use letters, digits, '.', '_' and '-'", s)
		}
	}
	return fmt.Sprintf("app=%s/%s;platform=%s/%s;session=%s;", name, version, runtime.GOOS, runtime.GOARCH, uuid.NewString()), nil
}

// requestBudget returns the budget of a client that may send perSecond requests
// in any second.
func requestBudget(perSecond float64) *throttle.Budget {
	units, window := int(perSecond), time.Second
	if perSecond < 1 {
		units, window = 1, time.Duration(float64(time.Second)/perSecond)
	}
	return throttle.NewBudget("cloudlink", units, window)
}
