package presencebridge

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/presence"
)

// Options are the settings of a [Bridge]. The zero value of every field is its default.
type Options struct {
	// Name tells this bridge from others in logs and metrics: the customer, for
	// example. Default: "".
	Name string
	// Logger takes the bridge's log. Default: nothing is logged.
	Logger *slog.Logger
	// Hooks are called on what happens. Default: none.
	Hooks Hooks
	// MeterProvider makes the bridge's instruments. Default: the global provider
	// of OpenTelemetry, which does nothing until one is installed.
	MeterProvider metric.MeterProvider

	// Mapping is the mapping table. Default: the table of package presence.
	Mapping *presence.Mapping
	// Direction is the account's direction at the start; [Bridge.SetDirection]
	// changes it while the bridge runs. Default: OneWay.
	Direction Direction
	// DirectionOf, if set, narrows the direction for one user: flow happens only
	// where the account and the user both allow it. It is asked whenever the
	// roster is read. [Bridge.SetUserDirection] overrides its answer. An answer
	// that is no direction counts as Off.
	// Default: every user has the account's direction.
	DirectionOf func(presence.User) Direction
	// DryRun makes the bridge read, decide and report every write to Hooks, but
	// write nothing. Default: false.
	DryRun bool

	// SessionLifetime is how long a Teams session of the bridge lives unless it
	// is renewed, which happens at two thirds of it. If the process dies during a
	// call, Teams shows the call for up to this long; each person in a call costs
	// one request per two thirds of it. Microsoft Graph allows 5 minutes to 4
	// hours. Default: 10 minutes.
	SessionLifetime time.Duration
	// KeepSessionsOnStop leaves the open sessions to lapse when Run ends, so
	// that a restart does not flicker. Default: they are cleared.
	KeepSessionsOnStop bool
	// StopTimeout bounds that clean-up. Default: 15 seconds.
	StopTimeout time.Duration
	// EchoWindow is for how long after a write of the bridge the other side may
	// still report what was written. A state of the same family read within it is
	// taken for the bridge's own and read again afterwards. Microsoft documents no
	// figure; users report up to 6 seconds. Default: 15 seconds.
	EchoWindow time.Duration
	// Damping keeps a status that changes back and forth from being written
	// each time. Default: see [Damping].
	Damping Damping

	// ReconcileInterval is how often everything is read anew, so that lost
	// notifications heal. Each kind of read doubles its interval, up to
	// MaxReconcileInterval, while its service throttles. Default: 5 minutes.
	ReconcileInterval time.Duration
	// UnwatchedInterval is how often the Teams presence is read of those whom no
	// subscription watches ([Bridge.Overflow]), so that a change reaches MiCollab
	// although nothing tells of it. It doubles like ReconcileInterval, which it
	// must not exceed. Every 650 users cost one request; Microsoft Graph allows
	// 1,500 in 30 seconds (learn.microsoft.com/graph/api/cloudcommunications-getpresencesbyuserid).
	// At least 1 second. Default: 1 minute, or ReconcileInterval if that is shorter.
	UnwatchedInterval time.Duration
	// MaxReconcileInterval bounds the doubling. Default: 6 times ReconcileInterval.
	MaxReconcileInterval time.Duration
	// MissedAfter is how long a change that a read found may be without its
	// notification before the watcher is told that it missed one. Microsoft
	// documents a latency of at most 1 minute. Default: 2 minutes.
	MissedAfter time.Duration
	// DirectoryInterval is how often the roster is read anew. Default: 15 minutes.
	DirectoryInterval time.Duration
	// Workers is how many requests of one kind (reading lines, writing statuses,
	// …) may be under way at a time. Default: 8.
	Workers int
	// RequestTimeout bounds one call of a side. Default: 30 seconds, 2 minutes
	// for bulk reads and the roster.
	RequestTimeout time.Duration
	// MaxBackoff bounds the wait before a failed action is tried again, which
	// starts at 1 second and grows. Default: 2 minutes.
	MaxBackoff time.Duration
}

// Damping decides when a wanted value that keeps changing is held back until
// it has settled. The zero value of every field is its default.
type Damping struct {
	// Changes within Window make a value count as unsettled. Default: 4.
	Changes int
	// Window is the time in which the changes are counted. Default: 20 seconds.
	Window time.Duration
	// Settle is how long an unsettled value must stay the same before it is
	// written. Default: 5 seconds.
	Settle time.Duration
	// MaxHold is the longest that a write is held back. Default: 30 seconds.
	MaxHold time.Duration
	// Disabled writes every value at once. Default: false.
	Disabled bool
}

const (
	defaultBulkTimeout       = 2 * time.Minute
	defaultUnwatchedInterval = time.Minute
	// minUnwatchedInterval is below anything sensible: what is shorter is a number
	// without its unit.
	minUnwatchedInterval = time.Second
)

// withDefaults fills in the defaults and returns all faults at once.
func (o Options) withDefaults(sides Sides) (Options, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("presencebridge: "+format, args...))
	}
	duration := func(name string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			fault("%s is %v: use a positive duration, or 0 for %v", name, *d, def)
		}
		if *d == 0 {
			*d = def
		}
	}
	count := func(name string, n *int, def int) {
		if *n < 0 {
			fault("%s is %d: use a positive number, or 0 for %d", name, *n, def)
		}
		if *n == 0 {
			*n = def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Mapping == nil {
		mapping, err := presence.NewMapping(nil)
		if err != nil {
			faults = append(faults, err)
		}
		o.Mapping = mapping
	}
	duration("SessionLifetime", &o.SessionLifetime, 10*time.Minute)
	duration("StopTimeout", &o.StopTimeout, 15*time.Second)
	duration("EchoWindow", &o.EchoWindow, 15*time.Second)
	duration("Damping.Window", &o.Damping.Window, 20*time.Second)
	duration("Damping.Settle", &o.Damping.Settle, 5*time.Second)
	duration("Damping.MaxHold", &o.Damping.MaxHold, 30*time.Second)
	duration("ReconcileInterval", &o.ReconcileInterval, 5*time.Minute)
	if o.UnwatchedInterval > 0 && o.UnwatchedInterval < minUnwatchedInterval {
		fault("UnwatchedInterval is %v: use at least %v", o.UnwatchedInterval, minUnwatchedInterval)
	}
	duration("UnwatchedInterval", &o.UnwatchedInterval, min(defaultUnwatchedInterval, o.ReconcileInterval))
	duration("MaxReconcileInterval", &o.MaxReconcileInterval, 6*o.ReconcileInterval)
	duration("MissedAfter", &o.MissedAfter, 2*time.Minute)
	duration("DirectoryInterval", &o.DirectoryInterval, 15*time.Minute)
	duration("RequestTimeout", &o.RequestTimeout, 30*time.Second)
	duration("MaxBackoff", &o.MaxBackoff, 2*time.Minute)
	count("Workers", &o.Workers, 8)
	count("Damping.Changes", &o.Damping.Changes, 4)
	if o.Damping.Changes > maxFlapChanges {
		fault("Damping.Changes is %d: use at most %d", o.Damping.Changes, maxFlapChanges)
	}
	if o.MaxReconcileInterval < o.ReconcileInterval {
		fault("MaxReconcileInterval %v is below ReconcileInterval %v", o.MaxReconcileInterval, o.ReconcileInterval)
	}
	if o.UnwatchedInterval > o.ReconcileInterval {
		fault("UnwatchedInterval %v is above ReconcileInterval %v, at which everybody is read: use a shorter one, or 0", o.UnwatchedInterval, o.ReconcileInterval)
	}
	if !o.Direction.valid() {
		fault("unknown %v: use OneWay, Bidirectional or Off", o.Direction)
	}
	if sides.Directory == nil {
		fault("Sides.Directory is nil: the bridge cannot know whom to keep in step; see NewDirectory")
	}
	if sides.Teams == nil {
		fault("Sides.Teams is nil: give a client of package graph")
	}
	if sides.Phones == nil {
		fault("Sides.Phones is nil: give a client of package cloudlink")
	}
	if sides.Statuses == nil && o.Direction == Bidirectional {
		fault("Direction is bidirectional but Sides.Statuses is nil: give a client of package micollab, or use OneWay")
	}
	if b, ok := sides.Teams.(SessionBounder); ok {
		if shortest, longest := b.SessionBounds(); o.SessionLifetime < shortest || o.SessionLifetime > longest {
			fault("SessionLifetime is %v: Teams allows %v to %v", o.SessionLifetime, shortest, longest)
		}
	}
	return o, errors.Join(faults...)
}
