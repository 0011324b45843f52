package presencebridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

func BenchmarkDecide(b *testing.B) {
	s, r := testSettings(), bothWays()
	cases := map[string]func(*view){
		"nothing to do": func(*view) {},
		"call to set":   func(v *view) { v.withLine(presence.LineConnected, false, noon) },
		"status to write": func(v *view) {
			v.withTeams(presence.Busy, presence.ActivityInAMeeting, noon)
		},
	}
	for _, name := range []string{"nothing to do", "call to set", "status to write"} {
		b.Run(name, func(b *testing.B) {
			v := known()
			cases[name](&v)
			b.ReportAllocs()
			for b.Loop() {
				d := decide(&v, r, s, noon)
				if d.wants[toTeams].effect == presence.Leave {
					b.Fatal("nothing was decided")
				}
			}
		})
	}
}

// instant is both systems without any latency of their own.
type instant struct {
	roster presence.Roster

	mu      sync.Mutex
	teams   map[string]presence.Presence
	written map[string]func(time.Time)
}

func (i *instant) Roster(context.Context) (presence.Roster, error) { return i.roster, nil }
func (i *instant) Presences(_ context.Context, ids []string) ([]presence.Presence, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	result := make([]presence.Presence, 0, len(ids))
	for _, id := range ids {
		result = append(result, i.teams[id])
	}
	return result, nil
}
func (i *instant) SetPresence(context.Context, string, presence.Session, time.Duration) error {
	return nil
}
func (i *instant) ClearPresence(context.Context, string) error { return presence.ErrNotFound }
func (i *instant) Lines(_ context.Context, u presence.User) ([]presence.Line, error) {
	return []presence.Line{{Endpoint: u.Endpoints[0], State: presence.LineIdle}}, nil
}
func (i *instant) Status(context.Context, presence.User) (presence.Status, error) {
	return presence.StatusAvailable, nil
}
func (i *instant) SetStatus(_ context.Context, u presence.User, _ presence.Status) error {
	now := time.Now()
	i.mu.Lock()
	f := i.written[u.TeamsID]
	delete(i.written, u.TeamsID)
	i.mu.Unlock()
	if f != nil {
		f(now)
	}
	return nil
}

// set changes what Teams shows for a user; done is called when MiCollab is written.
func (i *instant) set(id string, n int, done func(time.Time)) {
	states := []presence.Activity{presence.ActivityAvailable, presence.ActivityInAMeeting}
	availabilities := []presence.Availability{presence.Available, presence.Busy}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.teams[id] = presence.Presence{UserID: id, Availability: availabilities[n%2], Activity: states[n%2]}
	i.written[id] = done
}

// BenchmarkNotificationToWrite measures the time from a Teams notification to
// the write to MiCollab that it causes, with 10,000 users and sides that answer
// at once: what the engine itself adds.
func BenchmarkNotificationToWrite(b *testing.B) {
	const users = 10_000
	for _, burst := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d at a time", burst), func(b *testing.B) {
			sides := &instant{teams: make(map[string]presence.Presence), written: make(map[string]func(time.Time))}
			for n := range users {
				id := fmt.Sprintf("user-%05d", n)
				sides.roster.Users = append(sides.roster.Users, presence.User{TeamsID: id, PrincipalID: "p" + id, Email: id + "@example.com", Endpoints: []string{id}})
				sides.teams[id] = presence.Presence{UserID: id, Availability: presence.Available, Activity: presence.ActivityAvailable}
			}
			bridge, err := New(Sides{sides, sides, sides, sides}, &Options{Direction: Bidirectional, EchoWindow: time.Nanosecond, ReconcileInterval: time.Hour, UnwatchedInterval: time.Hour, Damping: Damping{Disabled: true}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- bridge.Run(ctx) }()
			<-bridge.Loaded()
			if _, err := bridge.SyncAll(ctx, nil); err != nil {
				b.Fatal(err)
			}
			var latencies []time.Duration
			var mu sync.Mutex
			n := 0
			for b.Loop() {
				var wait sync.WaitGroup
				for k := range burst {
					id := sides.roster.Users[(n*burst+k)%users].TeamsID
					wait.Add(1)
					began := time.Now()
					sides.set(id, (n*burst+k)/users+1, func(at time.Time) {
						mu.Lock()
						latencies = append(latencies, at.Sub(began))
						mu.Unlock()
						wait.Done()
					})
					bridge.TeamsChanged(id)
				}
				wait.Wait()
				n++
			}
			b.StopTimer()
			slices.Sort(latencies)
			b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-µs")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
