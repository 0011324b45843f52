package graph

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/presence"
)

// BenchmarkNotificationIngest compares the handler with one that reads the same
// body and answers 202 without looking.
func BenchmarkNotificationIngest(b *testing.B) {
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, defaultMaxNotificationBody))
		w.WriteHeader(http.StatusAccepted)
	})
	h := NewNotificationHandler(nil)
	bind, _, err := h.Register(presence.NewSecret(notifyState), presence.Receiver{Notify: func(presence.Notification) {}})
	if err != nil {
		b.Fatal(err)
	}
	bind(notifySub)
	for _, items := range []int{1, 100} {
		body := batchOf(strings.Split(strings.TrimSuffix(strings.Repeat(goodItem()+"\x00", items), "\x00"), "\x00")...)
		for name, handler := range map[string]http.Handler{"handler": h, "bare": bare} {
			b.Run(fmt.Sprintf("%s/items=%d", name, items), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
					handler.ServeHTTP(w, r)
					if w.Code != http.StatusAccepted {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
	if s := h.Stats(); len(s.Refused) > 0 {
		b.Fatal(s.Refused)
	}
}
