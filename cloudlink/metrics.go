package cloudlink

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const meterName = "github.com/presencebridge/presencebridge/cloudlink"

type meters struct {
	requests  metric.Int64Counter
	throttled metric.Int64Counter
}

func newMeters(provider metric.MeterProvider) (meters, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(meterName)
	requests, err1 := meter.Int64Counter("presencebridge.cloudlink.requests",
		metric.WithDescription("Requests to CloudLink by operation and HTTP status; status 0 is no answer."))
	throttled, err2 := meter.Int64Counter("presencebridge.cloudlink.throttled",
		metric.WithDescription("Answers in which CloudLink asked for fewer requests."))
	return meters{requests, throttled}, errors.Join(err1, err2)
}

func (m meters) request(ctx context.Context, operation string, status int) {
	m.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("operation", operation), attribute.Int("status", status)))
}

func (m meters) throttle(ctx context.Context, status int) {
	m.throttled.Add(ctx, 1, metric.WithAttributes(attribute.Int("status", status)))
}

func newWebhookMeters(provider metric.MeterProvider) (received, refused metric.Int64Counter, err error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(meterName)
	received, err1 := meter.Int64Counter("presencebridge.cloudlink.webhooks",
		metric.WithDescription("Requests to the CloudLink webhook."))
	refused, err2 := meter.Int64Counter("presencebridge.cloudlink.webhooks.refused",
		metric.WithDescription("Requests to the CloudLink webhook that were refused, by reason."))
	return received, refused, errors.Join(err1, err2)
}
