package presencebridge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/presencebridge/presencebridge/presence"
)

// pool is a watcher with room for some users that may also say by itself whom it
// does not watch.
type pool struct {
	mu     sync.Mutex
	room   int
	users  []string
	missed []string
	// during, if set, is called within SetUsers.
	during func(userIDs []string)
}

func (p *pool) SetUsers(ids []string) []string {
	p.mu.Lock()
	p.users = ids
	room, during := p.room, p.during
	p.mu.Unlock()
	if during != nil {
		during(ids)
	}
	return ids[min(room, len(ids)):]
}

func (p *pool) Missed(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missed = append(p.missed, ids...)
}

func (p *pool) watches() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users
}

// Three reasons for not being watched, one effect. Dan's presence nobody needs.
func TestChangeOfWhomNobodyWatchesIsFoundWithinTheUnwatchedInterval(t *testing.T) {
	for name, watch := range map[string]func(*Bridge){
		"no watcher": func(*Bridge) {},
		"no room":    func(b *Bridge) { b.Watch(&pool{room: 1}) },
		"no subscription": func(b *Bridge) {
			b.Watch(&pool{room: 650})
			b.TeamsUnwatched([]string{"dan", "bob", "stranger"})
		},
		"no subscription before there was a watcher": func(b *Bridge) {
			b.TeamsUnwatched([]string{"bob"})
			b.Watch(&pool{room: 650})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada", "bob", "dan")
				w.notify = func(string, string) {} // no notification comes
				stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 10 * time.Hour, DirectionOf: func(u presence.User) Direction {
					if u.TeamsID == "dan" {
						return OneWay
					}
					return Bidirectional
				}})
				watch(w.bridge)
				unwatched := []string{"bob"}
				if name == "no watcher" {
					unwatched = []string{"ada", "bob"}
				}
				assert.Equal(t, unwatched, w.bridge.Overflow())
				for range 3 {
					before := w.count("presences")
					w.client("bob", presence.Away, presence.ActivityAway)
					w.client("ada", presence.Away, presence.ActivityAway)
					time.Sleep(time.Minute + time.Second)
					assert.Equal(t, presence.StatusAway, w.status("bob"))
					w.client("bob", presence.Available, presence.ActivityAvailable)
					time.Sleep(time.Minute + time.Second)
					assert.Equal(t, presence.StatusAvailable, w.status("bob"))
					assert.LessOrEqual(t, w.count("presences")-before, 3, "one request a minute")
				}
				if name != "no watcher" {
					assert.Equal(t, presence.StatusAvailable, w.status("ada"), "who is watched is not read any more often")
				}
				require.NoError(t, stop())
			})
		})
	}
}

func TestWhatIsSaidDuringSetUsersHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		stop := w.start(&Options{Direction: Bidirectional})
		b := w.bridge
		watcher := &pool{room: 2}
		watcher.during = func([]string) { b.TeamsUnwatched([]string{"ada"}) }
		b.Watch(watcher)
		assert.Equal(t, []string{"ada"}, b.Overflow(), "not what SetUsers returned")

		watcher.during = nil
		require.NoError(t, b.SetDirection(Bidirectional))
		assert.Equal(t, []string{"ada", "cyd"}, b.Overflow(), "what SetUsers returns later comes on top")
		watcher.room = 3
		require.NoError(t, b.SetDirection(Bidirectional))
		assert.Equal(t, []string{"ada"}, b.Overflow(), "which takes nothing back that was said")
		watcher.room = 0
		require.NoError(t, b.SetDirection(Bidirectional))
		b.TeamsUnwatched([]string{"bob"})
		assert.Equal(t, []string{"bob"}, b.Overflow(), "the newest list is complete")
		b.TeamsUnwatched(nil)
		assert.Empty(t, b.Overflow())

		watcher.room = 2
		b.TeamsUnwatched([]string{"cyd"})
		require.NoError(t, b.SetDirection(Bidirectional))
		assert.Equal(t, []string{"cyd"}, b.Overflow(), "who is named twice is one")
		b.TeamsUnwatched(nil)
		require.NoError(t, b.SetDirection(Bidirectional))
		require.Equal(t, []string{"cyd"}, b.Overflow())
		var meanwhile []string
		watcher.during = func([]string) { meanwhile = b.Overflow() }
		require.NoError(t, b.SetUserDirection("cyd", OneWay))
		assert.Empty(t, meanwhile, "who needs no watching lacks none")
		require.NoError(t, stop())
	})
}

func TestWatcherAndPoolMaySpeakAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		stop := w.start(&Options{Direction: Bidirectional})
		b := w.bridge
		b.Watch(&pool{room: 650, during: func([]string) { b.TeamsGap("a subscription was created") }})
		var running sync.WaitGroup
		running.Go(func() {
			for n := range 200 {
				b.TeamsUnwatched([]string{"ada", "bob", "cyd"}[:n%4])
				time.Sleep(time.Millisecond)
			}
			b.TeamsUnwatched([]string{"bob"})
		})
		for _, id := range []string{"ada", "bob"} {
			running.Go(func() {
				for range 100 {
					assert.NoError(t, b.SetUserDirection(id, OneWay))
					b.ResetUserDirection(id)
					_, err := b.Explain(id)
					assert.NoError(t, err)
					time.Sleep(time.Millisecond)
				}
			})
		}
		running.Wait()
		assert.Equal(t, []string{"bob"}, b.Overflow())
		require.NoError(t, stop())
	})
}

func TestAnotherWatcherBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(&Options{Direction: Bidirectional})
		b, watcher := w.bridge, &pool{room: 2}
		b.Watch(watcher)
		b.TeamsUnwatched([]string{"ada"})
		b.Watch(watcher)
		assert.Equal(t, []string{"ada"}, b.Overflow(), "the same again takes nothing back")
		b.Watch(&pool{room: 1})
		assert.Equal(t, []string{"bob"}, b.Overflow())
		b.Watch(struct{ *pool }{&pool{room: 2}})
		assert.Empty(t, b.Overflow())
		b.Watch(nil)
		assert.Equal(t, []string{"ada", "bob"}, b.Overflow())
		require.NoError(t, stop())
	})
}

func TestChangeOfWhoIsWatchedIsToldOnceItHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		names := make([]string, 30)
		for i := range names {
			names[i] = fmt.Sprintf("user-%02d", i)
		}
		w := newWorld(t, names...)
		stop := w.startNow(&Options{Direction: Bidirectional, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		b := w.bridge
		b.Watch(&pool{room: 650})
		told := func() []UnwatchedChange {
			time.Sleep(unwatchedSettle + time.Second)
			w.mu.Lock()
			defer w.mu.Unlock()
			all := w.unwatched
			w.unwatched = nil
			return all
		}
		assert.Empty(t, told(), "a watcher that comes with the start")
		b.TeamsUnwatched(names)
		time.Sleep(unwatchedSettle / 2)
		b.TeamsUnwatched(nil)
		assert.Empty(t, told(), "a subscription that was replaced")
		assert.NotContains(t, log.String(), "watched by no presence monitor")

		for range 3 {
			b.TeamsUnwatched(names)
		}
		all := told()
		require.Len(t, all, 1)
		assert.Equal(t, names, all[0].Users)
		assert.Equal(t, names, all[0].Added)
		assert.Empty(t, all[0].Removed)
		assert.Contains(t, log.String(), "users=30 added=30")
		assert.Contains(t, log.String(), "user-19")
		assert.NotContains(t, log.String(), "user-20", "a line of the log has an end")
		b.TeamsUnwatched(names)
		assert.Empty(t, told(), "nothing new")

		b.TeamsUnwatched(append([]string{"stranger"}, names[1:]...))
		all = told()
		require.Len(t, all, 1)
		assert.Equal(t, names[1:], all[0].Users)
		assert.Equal(t, names[:1], all[0].Removed)
		require.NoError(t, b.SetDirection(OneWay))
		all = told()
		require.Len(t, all, 1, "their presence is not needed any more")
		assert.Empty(t, all[0].Users)
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		require.NoError(t, stop())
	})
}

// The hook may do what changes who is watched.
func TestHookMayChangeADirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		var b *Bridge
		b, err := New(w.sides(), &Options{Direction: Bidirectional, Hooks: Hooks{UnwatchedChanged: func(c UnwatchedChange) {
			for _, id := range c.Users {
				assert.NoError(t, b.SetUserDirection(id, OneWay))
			}
		}}})
		require.NoError(t, err)
		b.Watch(&pool{room: 1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Minute)
		assert.Empty(t, b.Overflow())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestExplanationMetricsAndRosterTellWhoIsNotWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		w := newWorld(t, "ada", "bob", "cyd", "dan")
		stop := w.start(&Options{
			Direction: Bidirectional, MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader)),
			DirectionOf: func(u presence.User) Direction {
				if u.TeamsID == "dan" {
					return OneWay
				}
				return Bidirectional
			},
		})
		figures := func() [2]int64 {
			points := collect(t, reader)
			return [2]int64{points["presencebridge.users bridge=,condition=watched"], points["presencebridge.users bridge=,condition=unwatched"]}
		}
		explain := func(id string) *Explanation {
			e, err := w.bridge.Explain(id)
			require.NoError(t, err)
			return e
		}
		assert.Equal(t, [2]int64{0, 3}, figures())
		assert.Contains(t, explain("ada").WatchSentence, "no presence monitors")
		w.bridge.Watch(&pool{room: 650})
		w.bridge.TeamsUnwatched([]string{"bob"})
		assert.Equal(t, [2]int64{2, 1}, figures())
		assert.True(t, explain("ada").Watched)
		assert.Empty(t, explain("ada").WatchSentence)
		assert.False(t, explain("bob").Watched)
		assert.Contains(t, explain("bob").String(), "found by reading, every 1m0s")
		assert.False(t, explain("dan").Watched)
		assert.Empty(t, explain("dan").WatchSentence, "nobody needs dan's presence")
		assert.Zero(t, explain("ada").NotifiedAt, "to be watched is no notification")
		w.bridge.TeamsChanged("ada")
		assert.Equal(t, time.Now(), explain("ada").NotifiedAt)
		assert.Zero(t, explain("bob").NotifiedAt)

		w.mu.Lock()
		w.roster.Users = append([]presence.User(nil), w.roster.Users[1:]...)
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(time.Second)
		w.mu.Lock()
		assert.Equal(t, []string{"bob"}, w.changes[len(w.changes)-1].Overflow)
		w.mu.Unlock()
		require.NoError(t, stop())
	})
}

func TestWatcherAnswersForNothingFromBeforeItWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		w.notify = func(string, string) {} // no notification comes
		watcher := &pool{room: 650}
		stop := w.start(&Options{Direction: Bidirectional})
		b := w.bridge
		w.client("bob", presence.Busy, presence.ActivityBusy)
		time.Sleep(time.Minute + time.Second)
		require.Equal(t, presence.StatusBusy, w.status("bob"))
		b.Watch(watcher)
		b.TeamsUnwatched([]string{"ada"})
		time.Sleep(10 * time.Minute)

		w.client("ada", presence.Away, presence.ActivityAway)
		w.client("bob", presence.Away, presence.ActivityAway)
		w.client("cyd", presence.Away, presence.ActivityAway)
		// The reading is under way when ada comes to be watched.
		b.markAll(ofTeams, time.Now())
		time.Sleep(w.latency / 2)
		b.TeamsUnwatched(nil)
		time.Sleep(time.Minute)
		require.Equal(t, presence.StatusAway, w.status("ada"))
		// By the time bob's notification counts as missed nobody watches bob.
		b.TeamsUnwatched([]string{"bob"})
		time.Sleep(10 * time.Minute)
		require.NoError(t, stop())
		assert.Equal(t, []string{"cyd"}, watcher.missed)
	})
}

func TestUnwatchedIntervalHasBounds(t *testing.T) {
	w := newWorld(t, "ada")
	for interval, part := range map[time.Duration]string{
		-1:              "positive",
		30:              "at least 1s",
		6 * time.Minute: "above ReconcileInterval 5m0s",
	} {
		_, err := New(w.sides(), &Options{UnwatchedInterval: interval})
		require.ErrorContains(t, err, part)
		require.ErrorContains(t, err, "UnwatchedInterval")
	}
	for reconcile, want := range map[time.Duration]time.Duration{0: time.Minute, 30 * time.Second: 30 * time.Second, time.Hour: time.Minute} {
		b, err := New(w.sides(), &Options{ReconcileInterval: reconcile})
		require.NoError(t, err)
		assert.Equal(t, want, b.opts.UnwatchedInterval)
	}
}
