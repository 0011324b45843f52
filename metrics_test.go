package presencebridge

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/presencebridge/presencebridge/presence"
)

// collect returns every point as "instrument{attributes}" and its value, or its
// count for a histogram.
func collect(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	points := make(map[string]int64)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					points[fmt.Sprintf("%s %v", m.Name, p.Attributes.Encoded(encoder{}))] = p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					points[fmt.Sprintf("%s %v", m.Name, p.Attributes.Encoded(encoder{}))] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					points[fmt.Sprintf("%s %v", m.Name, p.Attributes.Encoded(encoder{}))] = int64(p.Count)
				}
			}
		}
	}
	return points
}

func TestMetricsCountWritesReadsAndUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		provider := sdk.NewMeterProvider(sdk.WithReader(reader))
		w := newWorld(t, "ada", "bob")
		w.roster.Excluded = []presence.Exclusion{{Side: presence.SideCloudLink, ID: "p-cyd", Reason: presence.ReasonUnmatched}}
		stop := w.start(&Options{Name: "acme", Direction: Bidirectional, MeterProvider: provider})
		w.line("ada", presence.LineConnected, false)
		w.client("bob", presence.Away, presence.ActivityAway)
		time.Sleep(time.Second)
		points := collect(t, reader)
		assert.EqualValues(t, 1, points["presencebridge.writes bridge=acme,destination=teams,operation=set,outcome=ok,trigger=notification"], "%v", points)
		assert.EqualValues(t, 1, points["presencebridge.writes bridge=acme,destination=micollab,operation=set,outcome=ok,trigger=notification"])
		assert.EqualValues(t, 1, points["presencebridge.latency bridge=acme,destination=teams"])
		assert.EqualValues(t, 2, points["presencebridge.users bridge=acme,condition=roster"])
		assert.EqualValues(t, 1, points["presencebridge.users bridge=acme,condition=excluded"])
		assert.EqualValues(t, 1, points["presencebridge.users bridge=acme,condition=session"])
		assert.EqualValues(t, 1, points["presencebridge.users bridge=acme,condition=own"])
		assert.Positive(t, points["presencebridge.reads bridge=acme,connection=teams-read,outcome=ok"])
		assert.Contains(t, points, "presencebridge.waiting bridge=acme,connection=micollab-write")
		require.NoError(t, stop())
		assert.NotContains(t, collect(t, reader), "presencebridge.users bridge=acme,condition=roster", "a bridge that has stopped is observed no longer")
	})
}

func TestLogNamesEveryWriteAndEverybodyLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, "ada")
		w.roster.Excluded = []presence.Exclusion{{Side: presence.SideCloudLink, ID: "p-cyd", Reason: presence.ReasonUnmatched, Detail: "no account has the address"}}
		stop := w.start(&Options{Name: "acme", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set" && !after {
				panic("hunter2")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(500 * time.Millisecond)
		w.setFault(nil)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		assert.Contains(t, log.String(), "p-cyd")
		assert.Contains(t, log.String(), "unmatched")
		assert.Contains(t, log.String(), "Busy/InACall")
		assert.Contains(t, log.String(), "panicked")
		assert.NotContains(t, log.String(), "hunter2", "the value of a panic may be a secret")
	})
}

// encoder writes attributes as k=v in the order of their keys.
type encoder struct{}

func (encoder) ID() attribute.EncoderID { return attribute.EncoderID{} }

func (encoder) Encode(i attribute.Iterator) string {
	var s strings.Builder
	for i.Next() {
		kv := i.Attribute()
		if s.Len() > 0 {
			s.WriteByte(',')
		}
		s.WriteString(string(kv.Key) + "=" + kv.Value.String())
	}
	return s.String()
}
