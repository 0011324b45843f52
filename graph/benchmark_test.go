package graph

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/microsoftgraph/msgraph-sdk-go/communications"
	"github.com/stretchr/testify/require"

	kjson "github.com/microsoft/kiota-serialization-json-go"
)

// bulkBody is an answer for 650 users as the service writes it.
func bulkBody(ids []string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#Collection(microsoft.graph.presence)","value":[`)
	states := [][2]string{{"Available", "Available"}, {"Busy", "InACall"}, {"Away", "Away"}, {"DoNotDisturb", "Presenting"}, {"Offline", "Offline"}}
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		s := states[i%len(states)]
		fmt.Fprintf(&b, `{"id":"%s","availability":"%s","activity":"%s","statusMessage":null,"outOfOfficeSettings":{"message":null,"isOutOfOffice":false},"workLocation":null,"sequenceNumber":"A%010d"}`, id, s[0], s[1], i)
	}
	b.WriteString("]}")
	return b.Bytes()
}

// BenchmarkBulkRead650 reads 650 presences from the same bytes: with this
// package's decoder, with the SDK's, and as a whole call of Presences.
func BenchmarkBulkRead650(b *testing.B) {
	ids := manyIDs(MaxBulkUsers)
	body := bulkBody(ids)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			got, _, err := decodePresences(bytes.NewReader(body), ids)
			if err != nil || len(got) != len(ids) {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("sdk-decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		factory := kjson.NewJsonParseNodeFactory()
		for b.Loop() {
			node, err := factory.GetRootParseNode("application/json", body)
			if err != nil {
				b.Fatal(err)
			}
			parsed, err := node.GetObjectValue(communications.CreateGetPresencesByUserIdPostResponseFromDiscriminatorValue)
			if err != nil {
				b.Fatal(err)
			}
			read := 0
			for _, p := range parsed.(communications.GetPresencesByUserIdPostResponseable).GetValue() {
				if p.GetId() != nil && p.GetAvailability() != nil && p.GetActivity() != nil {
					read++
				}
			}
			if read != len(ids) {
				b.Fatal(read)
			}
		}
	})
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		c, err := New(tenant, application, &counted{}, &Options{
			Cloud:   testCloud(),
			Budgets: NewBudgets(&Limits{Presence: Limit{Requests: 1 << 30}, Total: Limit{Requests: 1 << 30}}),
			HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
			})},
		})
		require.NoError(b, err)
		for b.Loop() {
			got, err := c.Presences(context.Background(), ids)
			if err != nil || len(got) != len(ids) {
				b.Fatal(len(got), err)
			}
		}
	})
}
