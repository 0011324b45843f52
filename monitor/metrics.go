package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are the pool's instruments. Monitors are named by their user principal
// names, which are those of service accounts.
type metrics struct {
	meter    metric.Meter
	events   metric.Int64Counter
	monitors metric.Int64ObservableGauge
	users    metric.Int64ObservableGauge
	secrets  metric.Float64ObservableGauge
}

func newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := &metrics{meter: provider.Meter("github.com/presencebridge/presencebridge/monitor")}
	var faults []error
	var err error
	keep := func(e error) { faults = append(faults, e) }
	m.events, err = m.meter.Int64Counter("presencebridge.monitor.events", metric.WithDescription("Events of monitors and their subscriptions, by kind and reason."))
	keep(err)
	m.monitors, err = m.meter.Int64ObservableGauge("presencebridge.monitor.monitors", metric.WithDescription("Monitors by state."))
	keep(err)
	m.users, err = m.meter.Int64ObservableGauge("presencebridge.monitor.users", metric.WithDescription("Users: wanted, subscribed, unwatched, and the capacity of the monitors that work."))
	keep(err)
	m.secrets, err = m.meter.Float64ObservableGauge("presencebridge.monitor.secret.remaining", metric.WithUnit("s"), metric.WithDescription("Time until a monitor's client secret ends; negative afterwards."))
	keep(err)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("monitor: instruments: %w", err)
	}
	return m, nil
}

// instrument lets the gauges tell of the pool until stop is called.
func (p *Pool) instrument() (stop func(), err error) {
	m := p.metrics
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := p.Snapshot()
		states := make(map[State]int64)
		for _, one := range s.Monitors {
			states[one.State]++
			if !one.SecretExpiresAt.IsZero() {
				o.ObserveFloat64(m.secrets, time.Until(one.SecretExpiresAt).Seconds(), metric.WithAttributes(attribute.String("monitor", one.PrincipalName)))
			}
		}
		if !s.FeatureSecretExpiresAt.IsZero() {
			o.ObserveFloat64(m.secrets, time.Until(s.FeatureSecretExpiresAt).Seconds(), metric.WithAttributes(attribute.String("monitor", "")))
		}
		for _, state := range States() {
			o.ObserveInt64(m.monitors, states[state], metric.WithAttributes(attribute.String("state", string(state))))
		}
		for condition, n := range map[string]int{"wanted": s.Users, "subscribed": s.Subscribed, "unwatched": len(s.Unwatched), "capacity": s.Capacity} {
			o.ObserveInt64(m.users, int64(n), metric.WithAttributes(attribute.String("condition", condition)))
		}
		return nil
	}, m.monitors, m.users, m.secrets)
	if err != nil {
		return nil, fmt.Errorf("monitor: the gauges cannot be observed: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil
}

func (p *Pool) counted(ctx context.Context, e Event) {
	p.metrics.events.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", string(e.Kind)), attribute.String("reason", e.Reason)))
}
