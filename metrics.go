package presencebridge

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/presencebridge/presencebridge/presence"
)

// metrics are the bridge's instruments. None carries anything of a person.
type metrics struct {
	writes  metric.Int64Counter
	reads   metric.Int64Counter
	latency metric.Float64Histogram
	users   metric.Int64ObservableGauge
	waiting metric.Int64ObservableGauge
	meter   metric.Meter
	name    attribute.KeyValue
}

func newMetrics(b *Bridge, provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter("github.com/presencebridge/presencebridge")
	m := &metrics{meter: meter, name: attribute.String("bridge", b.opts.Name)}
	var faults []error
	var err error
	keep := func(e error) { faults = append(faults, e) }
	m.writes, err = meter.Int64Counter("presencebridge.writes", metric.WithDescription("Requests that change something, by destination, operation, trigger and outcome."))
	keep(err)
	m.reads, err = meter.Int64Counter("presencebridge.reads", metric.WithDescription("Readings by connection and outcome."))
	keep(err)
	m.latency, err = meter.Float64Histogram("presencebridge.latency", metric.WithUnit("s"), metric.WithDescription("Time from the notification to the end of the write that it caused."))
	keep(err)
	m.users, err = meter.Int64ObservableGauge("presencebridge.users", metric.WithDescription("Users by condition: in the roster, left out of it, watched in Teams by a subscription or not although MiCollab follows, with an open Teams session, and so on."))
	keep(err)
	m.waiting, err = meter.Int64ObservableGauge("presencebridge.waiting", metric.WithDescription("Users that wait for a request, by connection."))
	keep(err)
	return m, errors.Join(faults...)
}

// observe lets the gauges tell of the bridge until stop is called.
func (m *metrics) observe(b *Bridge) (stop func(), err error) {
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for condition, n := range b.conditions() {
			o.ObserveInt64(m.users, int64(n), metric.WithAttributes(m.name, attribute.String("condition", condition)))
		}
		for _, l := range b.lanes {
			o.ObserveInt64(m.waiting, int64(l.depth()), metric.WithAttributes(m.name, attribute.String("connection", l.name)))
		}
		return nil
	}, m.users, m.waiting)
	if err != nil {
		return nil, fmt.Errorf("presencebridge: the gauges cannot be observed: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil
}

// conditions counts the users by condition.
func (b *Bridge) conditions() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{"roster": len(b.roster.Users), "excluded": len(b.roster.Excluded), "watched": 0, "unwatched": 0, "session": 0, "own": 0, "pending": 0}
	for _, p := range b.people {
		switch {
		case b.watchedLocked(p):
			n["watched"]++
		case p.rules.teamsToMiCollab:
			n["unwatched"]++
		}
		if p.view.session.possible() {
			n["session"]++
		}
		if p.view.teams.origin == originOwn || p.view.teams.origin == originOwnLate {
			n["own"]++
		}
		if p.verdict.actions[toTeams].kind != doNothing || p.verdict.actions[toMiCollab].kind != doNothing {
			n["pending"]++
		}
	}
	return n
}

func outcome(err error) attribute.KeyValue {
	result := "error"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, presence.ErrThrottled):
		result = "throttled"
	case errors.Is(err, presence.ErrUnauthorized), errors.Is(err, presence.ErrForbidden):
		result = "refused"
	}
	return attribute.String("outcome", result)
}

func (m *metrics) read(connection string, n int, err error) {
	m.reads.Add(context.Background(), int64(max(n, 1)), metric.WithAttributes(m.name, attribute.String("connection", connection), outcome(err)))
}

func (m *metrics) wrote(w Write) {
	ctx := context.Background()
	result := outcome(w.Err)
	if w.DryRun {
		result = attribute.String("outcome", "dry-run")
	}
	m.writes.Add(ctx, 1, metric.WithAttributes(m.name, attribute.String("destination", string(w.Destination)),
		attribute.String("operation", w.Operation), attribute.String("trigger", string(w.Cause.Trigger)), result))
	if w.Err == nil && !w.DryRun && w.Cause.Trigger == TriggerNotification {
		m.latency.Record(ctx, w.Time.Add(w.Duration).Sub(w.Cause.ReceivedAt).Seconds(),
			metric.WithAttributes(m.name, attribute.String("destination", string(w.Destination))))
	}
}
