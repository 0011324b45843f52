package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// SystemSources are what a system check looks at.
type SystemSources struct {
	// Entra, CloudLink and Bridge are required.
	Entra     Entra
	CloudLink CloudLink
	Bridge    Bridge
	// Monitors is the pool. Default: none, and its checks do not apply.
	Monitors Monitors
	// Watcher keeps CloudLink's subscriptions. Default: none, and its checks do not
	// apply.
	Watcher Watcher
	// MiCollab and Gateway tell what no published interface tells. Default: nobody
	// has told, and the checks that need them warn.
	MiCollab MiCollab
	Gateway  Gateway
	// Sessions is for the end-to-end probe. Required if there is a ProbeUser, here or
	// in a run.
	Sessions Sessions
	// Explain returns what the bridge holds of a user, as [presencebridge.Bridge]
	// does. The probe tells by it whether the user is on the telephone, and whether a
	// notification came. Default: Bridge, if it explains too; otherwise it does not tell.
	Explain Explainer
	// Usage returns how much of their budgets the clients have used. Default: only
	// what the services ask for is known.
	Usage func() []presence.BudgetUsage
	// Services are those whose clocks are compared with ours: of Microsoft and of
	// Mitel. Default: none, and those checks do not apply.
	MicrosoftServices, MitelServices []Service
}

// SystemSettings are what the bridge was configured with.
type SystemSettings struct {
	// Name is that of the bridge.
	Name string
	// TenantID and ClientID name the application.
	TenantID, ClientID string
	// Secret is the client secret with which the bridge signs in, and
	// SecretDescription its description in Entra, which tells it from others that
	// begin alike: the name of the integration, as a rule. A zero Secret: the bridge
	// signs in by a certificate.
	Secret            presence.Secret
	SecretDescription string
	// CertificateExpiresAt is the end of the certificate with which the bridge signs in
	// (its NotAfter). Default: zero, for a bridge that signs in by a secret, or where
	// the end is not known.
	CertificateExpiresAt time.Time
	// RedirectURI is where the sign-ins of the monitors lead back to.
	RedirectURI string
	// AdminConsentURL is where an administrator consents for the tenant; empty: it
	// is not shown.
	AdminConsentURL string
	// NotificationURL is where Microsoft Graph delivers; empty: nowhere, and the
	// checks of notifications do not apply.
	NotificationURL string
	// AccountID is the CloudLink account, and Region the region that the bridge
	// uses; [cloudlink.RegionGlobal] finds the account's.
	AccountID string
	Region    cloudlink.Region
	// Capabilities are those by which people are matched. Default:
	// [presence.DefaultCapabilities].
	Capabilities presence.Capabilities
}

// SystemOptions are the settings of a [SystemCheck]. The zero value of every
// field is its default.
type SystemOptions struct {
	// Parallel is how many checks are made at a time. Default: 4.
	Parallel int
	// Timeout bounds each check that has no bound of its own. Default: 20 seconds.
	Timeout time.Duration
	// SecretWarning is how long before the end of a client secret, or of the
	// certificate with which the bridge signs in, a check warns. Of the certificate
	// of the notification URL it warns two weeks before the end, or, if that is less,
	// with a third of its lifetime left. Default: 30 days.
	SecretWarning time.Duration
	// HeardWithin is how long a subscription may bring nothing until a check warns.
	// A week covers a long weekend. Default: 7 days.
	HeardWithin time.Duration
	// ClockTolerance is how far a service's clock may be from ours; five times as
	// far is an error, because Entra refuses tokens by then. Default: 1 minute.
	ClockTolerance time.Duration
	// UsageWarning is the part of a budget from which a check warns, from 0 to 1.
	// Default: 0.8.
	UsageWarning float64
	// ProbeUser, if set, switches the end-to-end probe on: it is the e-mail address,
	// as the roster has it, or the Entra object id of a test user, for whom a Teams
	// session is set and cleared, also where the bridge makes a dry run. Default: off.
	ProbeUser string
	// ProbeTimeout is how long the probe waits for what it has set. Graph delivers
	// within a minute. Default: 90 seconds.
	ProbeTimeout time.Duration
	// HTTPClient sends the requests to the notification URL, and to the services
	// for their clocks. Default: [http.DefaultTransport].
	HTTPClient *http.Client
	// Resolver finds addresses. Default: [net.DefaultResolver].
	Resolver Resolver
	// Dial connects to MiCollab, to find whether it can be reached from here.
	// Default: a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// MiCollabPort is the port of that connection. Default: 443.
	MiCollabPort int
	// MiCollabElsewhere: MiCollab's LAN cannot be reached from here, as when the
	// bridge runs in a cloud: whether MiCollab answers is not checked. Default: it is.
	MiCollabElsewhere bool
	// LocalDoubles: the services are doubles on this machine, so that addresses of
	// this machine and plain HTTP will do. Default: they are real.
	LocalDoubles bool
	// Accepted are warnings that are as they should be, such as "users-unmatched" where
	// some are left out on purpose: the name of a check, which is its code or
	// code[subject]. A check that would warn has passed then, and its evidence says
	// so; one that fails has failed all the same. Default: none.
	Accepted []string
	// Secrets are values that must not appear in a report; those of the settings
	// and what looks like a token are left out anyhow. Default: none.
	Secrets []presence.Secret
}

// Resolver finds the addresses of a host. A [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// SystemCheck makes the checks of [Checks]. Its functions may be called
// concurrently; runs happen one after the other.
type SystemCheck struct {
	sources  SystemSources
	settings SystemSettings
	opts     SystemOptions
	redact   *redactor
	checks   []Check

	// running holds one: a run is under way.
	running chan struct{}
	mu      sync.Mutex
	results map[string]Result // what was found last, by name
	last    *Report           // that of the last run that was not cut short
}

// NewSystemCheck returns a system check. It returns all faults of its arguments
// at once, and asks nothing.
func NewSystemCheck(sources SystemSources, settings SystemSettings, opts *SystemOptions) (*SystemCheck, error) {
	c := &SystemCheck{sources: sources, settings: settings, checks: Checks(), running: make(chan struct{}, 1), results: make(map[string]Result)}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("verify: "+format, args...))
		}
	}
	need(sources.Entra != nil, "SystemSources.Entra is missing: package tenant makes one of a graph.Client")
	need(sources.CloudLink != nil, "SystemSources.CloudLink is missing: give the cloudlink.Client")
	need(sources.Bridge != nil, "SystemSources.Bridge is missing: give the presencebridge.Bridge")
	need(settings.TenantID != "" && settings.ClientID != "", "TenantID or ClientID is missing: give those of the application in Entra")
	need(o.ProbeUser == "" || sources.Sessions != nil, "SystemSources.Sessions is missing: the probe of ProbeUser needs the graph.Client")
	for _, accepted := range o.Accepted {
		code, _, _ := strings.Cut(accepted, "[")
		need(slices.ContainsFunc(c.checks, func(x Check) bool { return string(x.Code) == code }), "Accepted has %q: %w: Checks lists them", accepted, ErrUnknownCode)
	}
	need(o.Parallel >= 0, "Parallel is %d: it cannot be negative", o.Parallel)
	need(o.MiCollabPort >= 0 && o.MiCollabPort <= 65535, "MiCollabPort is %d: use a port from 1 to 65535, or 0 for 443", o.MiCollabPort)
	need(o.UsageWarning >= 0 && o.UsageWarning <= 1, "UsageWarning is %v: use a part of 1, such as 0.8", o.UsageWarning)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Timeout", o.Timeout}, {"SecretWarning", o.SecretWarning}, {"HeardWithin", o.HeardWithin}, {"ClockTolerance", o.ClockTolerance}, {"ProbeTimeout", o.ProbeTimeout},
	} {
		need(d.d >= 0, "%s is %v: it cannot be negative", d.name, d.d)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if c.sources.Explain == nil {
		c.sources.Explain, _ = sources.Bridge.(Explainer)
	}
	orDefault(&o.Parallel, 4)
	orDefault(&o.Timeout, 20*time.Second)
	orDefault(&o.SecretWarning, 30*24*time.Hour)
	orDefault(&o.HeardWithin, 7*24*time.Hour)
	orDefault(&o.ClockTolerance, time.Minute)
	orDefault(&o.UsageWarning, 0.8)
	orDefault(&o.ProbeTimeout, 90*time.Second)
	orDefault(&o.HTTPClient, &http.Client{})
	orDefault(&o.MiCollabPort, 443)
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if c.settings.Capabilities == nil {
		c.settings.Capabilities = presence.DefaultCapabilities()
	}
	c.redact = newRedactor(append([]presence.Secret{settings.Secret}, o.Secrets...))
	return c, nil
}

// Last returns the report of the last run that was not cut short; nil if there was
// none.
func (c *SystemCheck) Last() *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.clone()
}

// accepts reports whether a warning is accepted.
func (c *SystemCheck) accepts(r *Result) bool {
	return slices.ContainsFunc(c.opts.Accepted, func(accepted string) bool {
		return accepted == string(r.Code) || strings.EqualFold(accepted, r.Name())
	})
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
