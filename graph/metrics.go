package graph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are the metrics of one client.
type instruments struct {
	requests, throttles, skips metric.Int64Counter
	durations, waits           metric.Float64Histogram
}

func newInstruments(provider metric.MeterProvider) (*instruments, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(instrumentationName)
	var (
		m    instruments
		errs [5]error
	)
	m.requests, errs[0] = meter.Int64Counter("presencebridge.graph.requests", metric.WithUnit("{request}"), metric.WithDescription("Requests to Microsoft Graph by operation and status; status 0 is no answer."))
	m.durations, errs[1] = meter.Float64Histogram("presencebridge.graph.request.duration", metric.WithUnit("s"), metric.WithDescription("Time of a request, waiting and repetitions included."))
	m.throttles, errs[2] = meter.Int64Counter("presencebridge.graph.throttled", metric.WithUnit("{answer}"), metric.WithDescription("Answers that asked for fewer requests."))
	m.waits, errs[3] = meter.Float64Histogram("presencebridge.graph.throttle.wait", metric.WithUnit("s"), metric.WithDescription("Wait that such an answer asked for."))
	m.skips, errs[4] = meter.Int64Counter("presencebridge.graph.skipped", metric.WithUnit("{item}"), metric.WithDescription("Items of an answer that could not be used."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("graph: metrics: %w", err)
	}
	return &m, nil
}

func byOperation(operation string) attribute.KeyValue {
	return attribute.String("operation", operation)
}

func (m *instruments) request(ctx context.Context, operation string, status int, started time.Time) {
	m.requests.Add(ctx, 1, metric.WithAttributes(byOperation(operation), attribute.Int("status", status)))
	m.durations.Record(ctx, time.Since(started).Seconds(), metric.WithAttributes(byOperation(operation)))
}

func (m *instruments) throttled(ctx context.Context, operation string, wait time.Duration) {
	m.throttles.Add(ctx, 1, metric.WithAttributes(byOperation(operation)))
	m.waits.Record(ctx, wait.Seconds(), metric.WithAttributes(byOperation(operation)))
}

func (m *instruments) skipped(ctx context.Context, operation string, n int) {
	m.skips.Add(ctx, int64(n), metric.WithAttributes(byOperation(operation)))
}
