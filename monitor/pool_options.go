package monitor

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/presence"
)

// Dependencies are what a [Pool] works with. All are required.
type Dependencies struct {
	// Store keeps the monitors. Pools on one store share them: each monitor is
	// kept by one pool at a time.
	Store Store
	// Sealer seals secrets and tokens before they reach the store.
	Sealer *Sealer
	// Entra is Microsoft Entra and Microsoft Graph; package entra has one.
	Entra Entra
	// Routes is the notification handler.
	Routes Routes
	// Sink learns whom to look at; the bridge is one. If it is an
	// [UnwatchedSink], it also learns whom nobody watches.
	Sink Sink
}

// UnwatchedSink is a [Sink] that wants to know who is not watched.
type UnwatchedSink interface {
	// TeamsUnwatched: these users, sorted, and no others are wanted but watched
	// by no subscription. It is told the whole list each time it has changed,
	// never two at a time, and must not block.
	TeamsUnwatched(userIDs []string)
}

// PoolOptions configure a [Pool]. The zero value of every field is its default.
type PoolOptions struct {
	// Logger takes one line for each [Event]. Default: discard.
	Logger *slog.Logger
	// OnEvent is told of everything that happens to monitors and their
	// subscriptions. It is called concurrently and must not block. Default:
	// nobody is told.
	OnEvent func(Event)
	// MeterProvider makes the pool's instruments: see the package comment.
	// Default: the global provider of OpenTelemetry, which does nothing until
	// one is installed.
	MeterProvider metric.MeterProvider

	// Monitor are the settings of each monitor's subscription. Its Logger,
	// OnEvent, Memory and KeepOnStop are the pool's own business and are not used.
	Monitor Options

	// AcceptApplication lets Run make the application with which the pool was
	// made the one of the store, though monitors stop because of that: see
	// [Pool.PreviewApplication]. Default: Run refuses, with an
	// [*ApplicationError] that names them.
	AcceptApplication bool

	// Spares is how many authorized monitors are held in reserve, without
	// users, to take over those of a monitor that fails. A reserve is used
	// before anybody is left unwatched. Default: 0.
	Spares int
	// FailoverAfter is for how long a monitor must have been failing, for a
	// reason that may pass, and its subscription be gone, until others take its
	// users over. While most monitors fail, nobody is moved. Default: 5 minutes.
	FailoverAfter time.Duration
	// DeleteOnStop deletes the subscriptions when Run ends, for a pool that
	// will not be started again soon. Default: false, the next start, or
	// another process, adopts them.
	DeleteOnStop bool

	// Holder names this process among those that share the store, for people.
	// Default: a random name.
	Holder string
	// LeaseTime is how long a monitor stays without a keeper when its process
	// dies. Leases are prolonged three times as often. At least 3 seconds.
	// Default: 30 seconds.
	LeaseTime time.Duration
	// PollInterval is how often the store is read as a whole, in case its watch
	// missed something. Default: 5 minutes.
	PollInterval time.Duration

	// SignInLifetime is how long an authorization URL may be used. Default: 1 hour.
	SignInLifetime time.Duration
	// SignInPage writes what the one who signed in gets to see; err is nil
	// where it succeeded. Default: [PlainSignInPage].
	SignInPage func(w http.ResponseWriter, r *http.Request, principalName string, err error)

	// CheckInterval is how often the directory is asked about a monitor's
	// account and client secret. Default: 6 hours.
	CheckInterval time.Duration
	// RefreshInterval is how often a refresh token is used at least, so that it
	// does not end for lack of use after [RefreshTokenLifetime]. Default: 24 hours.
	RefreshInterval time.Duration
	// SecretDescription is what the descriptions of the application's client
	// secrets have in common with the integration: its name. Default: secrets are
	// found by their first characters alone.
	SecretDescription string
	// SecretWarnings are how long before a client secret's end is warned of it.
	// Default: 60, 30, 7 and 1 days.
	SecretWarnings []time.Duration
	// FeatureSecret is the client secret with which the bridge itself signs in.
	// Its end is watched as well. Default: none.
	FeatureSecret presence.Secret

	// StateSettle is how long a state must last to be published, except a
	// monitor's first and those that an administrator has just caused.
	// Negative: at once. Default: 10 seconds.
	StateSettle time.Duration
}

func (o *PoolOptions) withDefaults(notificationURL string) (PoolOptions, error) {
	var c PoolOptions
	if o != nil {
		c = *o
	}
	var faults []error
	positive := func(name string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			faults = append(faults, fmt.Errorf("%s is %s: use a positive duration, or 0 for %s", name, *d, def))
		}
		orDefault(d, def)
	}
	positive("FailoverAfter", &c.FailoverAfter, 5*time.Minute)
	positive("LeaseTime", &c.LeaseTime, 30*time.Second)
	positive("PollInterval", &c.PollInterval, 5*time.Minute)
	positive("SignInLifetime", &c.SignInLifetime, time.Hour)
	positive("CheckInterval", &c.CheckInterval, 6*time.Hour)
	positive("RefreshInterval", &c.RefreshInterval, 24*time.Hour)
	if c.LeaseTime > 0 && c.LeaseTime < 3*time.Second {
		faults = append(faults, fmt.Errorf("LeaseTime is %s: use at least 3s", c.LeaseTime))
	}
	if c.RefreshInterval > RefreshTokenLifetime/2 {
		faults = append(faults, fmt.Errorf("RefreshInterval is %s: an unused refresh token lives %s, so use half of it at most", c.RefreshInterval, RefreshTokenLifetime))
	}
	if c.Spares < 0 {
		faults = append(faults, fmt.Errorf("the number of Spares is %d: it cannot be negative", c.Spares))
	}
	for _, w := range c.SecretWarnings {
		if w <= 0 {
			faults = append(faults, fmt.Errorf("SecretWarnings has %s: use positive durations", w))
		}
	}
	var err error
	if c.Monitor, err = c.Monitor.withDefaults(notificationURL); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return PoolOptions{}, errors.Join(faults...)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Holder, strings.ToLower(rand.Text()))
	orDefault(&c.StateSettle, 10*time.Second)
	c.StateSettle = max(c.StateSettle, 0)
	if len(c.SecretWarnings) == 0 {
		c.SecretWarnings = secretWarnings()
	}
	if c.SignInPage == nil {
		c.SignInPage = PlainSignInPage
	}
	// What outlives a lease could act beside its next keeper.
	c.Monitor.StopTimeout = min(c.Monitor.StopTimeout, c.LeaseTime/3)
	return c, nil
}
