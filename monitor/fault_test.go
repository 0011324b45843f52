package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestAnHourOfOutage(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		sleep(30 * time.Minute)
		w.setFault(failing("", presence.ErrUnavailable))
		sleep(20 * time.Minute)
		s := m.Snapshot()
		assert.Equal(t, ConditionFailing, s.Condition)
		assert.Equal(t, "s1", s.SubscriptionID, "it has not expired yet")
		assert.Equal(t, "renew", s.NextAction)
		assert.ErrorIs(t, s.Err, presence.ErrUnavailable)
		assert.Positive(t, s.Failures)
		sleep(40 * time.Minute)
		s = m.Snapshot()
		assert.Equal(t, ConditionLost, s.Condition)
		assert.Empty(t, s.SubscriptionID)
		assert.Equal(t, "create", s.NextAction)
		assert.LessOrEqual(t, time.Until(s.NextAt), 5*time.Minute)
		happened := w.happened()
		assert.Contains(t, happened, "lost: subscription expired")
		assert.Less(t, len(happened), 40, "the pauses grow")
		assert.Empty(t, w.drainGaps(), "there is no use in reading before notifications come again")

		w.setFault(nil)
		sleep(5 * time.Minute)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
		assert.Equal(t, []string{"re-created: subscription expired"}, w.happened())
		assert.Equal(t, []string{"subscription expired: anna bob"}, w.drainGaps())
		s = m.Snapshot()
		assert.Zero(t, s.Failures)
		assert.NoError(t, s.Err)
		assert.Equal(t, 1, w.registered()-1, "the present and the previous route are left")
	})
}

type throttled struct{ after time.Duration }

func (throttled) Error() string               { return "throttled" }
func (throttled) Is(target error) bool        { return target == presence.ErrThrottled }
func (e throttled) RetryAfter() time.Duration { return e.after }

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(failing("create", throttled{7 * time.Minute}))
		m := w.monitor(t, &Options{Settle: -1})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		synctest.Wait()
		assert.Equal(t, []string{"create 1"}, w.drain())
		m.Retry()
		sleep(7*time.Minute - time.Millisecond)
		assert.Empty(t, w.drain(), "not even Retry is earlier")
		sleep(time.Millisecond)
		assert.Equal(t, []string{"create 1"}, w.drain())
	})
}

func TestRefusedAccountIsTriedForEverAndLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		w := newWorld()
		w.setFault(failing("create", fmt.Errorf("fake: sign-in needed: %w", presence.ErrUnauthorized)))
		m := w.monitor(t, &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(24 * time.Hour)
		calls := len(w.drain())
		assert.Greater(t, calls, 24*60/5, "at least every five minutes")
		assert.Less(t, calls, 24*60/4+20, "and hardly more often")
		assert.Equal(t, calls, strings.Count(logged.String(), "level=ERROR"))
		assert.Zero(t, w.registered(), "a failed creation leaves no route")
		w.setFault(nil)
		m.Retry()
		synctest.Wait()
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition, "Retry does not wait")
	})
}

func TestPausesGrowUpToTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(failing("create", presence.ErrUnavailable))
		m := w.monitor(t, &Options{MaxBackoff: time.Minute})
		m.SetUsers([]string{"anna"})
		stop := start(t, m)
		sleep(time.Hour)
		stop()
		want, previous := 2*time.Second, time.Time{}
		for i, e := range w.events {
			require.Equal(t, EventFailed, e.Kind)
			pause := e.NextAt.Sub(e.Time)
			assert.LessOrEqual(t, pause, want, "failure %d", i)
			assert.GreaterOrEqual(t, pause, want*8/10-time.Millisecond, "failure %d", i)
			if i > 0 {
				assert.WithinDuration(t, previous, e.Time, time.Millisecond, "it is tried when it was said to be")
			}
			want, previous = min(2*want, time.Minute), e.NextAt
		}
		assert.Greater(t, len(w.events), 60)
	})
}

func TestPausesStartShortAfterASuccess(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		for range 3 {
			w.setFault(failing("renew", presence.ErrUnavailable))
			sleep(45 * time.Minute)
			w.setFault(nil)
			sleep(5 * time.Minute)
			require.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
			w.mu.Lock()
			first := w.events[slices.IndexFunc(w.events, func(e Event) bool { return e.Kind == EventFailed })]
			w.events = nil
			w.mu.Unlock()
			assert.LessOrEqual(t, first.NextAt.Sub(first.Time), 2*time.Second)
			assert.Equal(t, "renew", first.Action)
		}
		require.Equal(t, "s1", m.Snapshot().SubscriptionID)
	})
}

func TestSilentSubscriptionIsCreatedAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world, m *Monitor) {
		for range 10 {
			m.Missed("anna")
		}
		assert.Zero(t, m.Snapshot().Misses, "a young subscription is not suspected")
		sleep(5 * time.Minute)
		m.Missed("stranger")
		m.Missed()
		assert.Zero(t, m.Snapshot().Misses, "it does not watch them")
		m.Missed("anna", "bob")
		m.Missed("bob")
		w.notify(t, "s1", "anna")
		assert.Zero(t, m.Snapshot().Misses, "it has spoken")
		m.Missed("anna", "bob")
		m.Missed("anna", "stranger")
		sleep(5 * time.Minute)
		assert.Equal(t, 2, m.Snapshot().Misses)
		assert.Empty(t, w.drain())

		m.Missed("anna")
		synctest.Wait()
		assert.Equal(t, []string{"delete s1", "create 2"}, w.drain())
		assert.Equal(t, []string{"silent: subscription silent", "deleted: subscription silent", "re-created: subscription silent"}, w.happened())
		assert.Equal(t, []string{"subscription silent: anna bob"}, w.drainGaps())

		sleep(5 * time.Minute)
		heard := m.Snapshot().HeardAt
		m.Missed("anna")
		w.notify(t, "s1", "anna")
		assert.Equal(t, 1, m.Snapshot().Misses, "the former one does not speak for the present one")
		assert.Equal(t, heard, m.Snapshot().HeardAt)
	})
}

func TestWatchdogCanBeOff(t *testing.T) {
	inBubble(t, &Options{SilentAfter: -1}, func(t *testing.T, w *world, m *Monitor) {
		sleep(5 * time.Minute)
		for range 100 {
			m.Missed("anna")
		}
		synctest.Wait()
		assert.Empty(t, w.drain())
	})
}

func TestStopDeletesTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		for range 2 {
			stop := start(t, m)
			sleep(time.Minute)
			assert.ErrorIs(t, m.Run(t.Context()), ErrRunning)
			stop()
			assert.Len(t, w.drain(), 2)
			assert.Equal(t, []string{"created: started", "deleted: stopped"}, w.happened())
			assert.Equal(t, ConditionStopped, m.Snapshot().Condition)
			assert.Empty(t, w.live)
			assert.Zero(t, w.registered())
		}
	})
}

func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, nil)
		m.subs = hangingDelete{w}
		m.SetUsers([]string{"anna"})
		stop := start(t, m)
		sleep(time.Minute)
		w.happened()
		began := time.Now()
		stop()
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.Equal(t, []string{"failed: stopped"}, w.happened())
	})
}

type hangingDelete struct{ *world }

func (h hangingDelete) DeleteSubscription(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// A creation that is cancelled half-way would leave a subscription behind whose
// id nobody knows.
func TestStopWaitsForACreationAndDeletesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(func(call string) error {
			if call == "create 1" {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		stop := start(t, m)
		sleep(4 * time.Second)
		stop()
		assert.Equal(t, []string{"create 1", "delete s1"}, w.drain())
	})
}

func TestCloudWithoutNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.setFault(failing("create", fmt.Errorf("fake: GCC High: %w", presence.ErrUnsupported)))
		m := w.monitor(t, nil)
		m.SetUsers([]string{"anna"})
		stop := start(t, m)
		sleep(24 * time.Hour)
		assert.Equal(t, []string{"create 1"}, w.drain(), "asked once")
		assert.Equal(t, []string{"unsupported"}, w.happened())
		assert.Equal(t, ConditionUnsupported, m.Snapshot().Condition)
		assert.ErrorIs(t, m.Snapshot().Err, presence.ErrUnsupported)
		assert.Zero(t, w.registered())
		stop()
		w.setFault(nil)
		stop = start(t, m)
		sleep(time.Minute)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition, "another run asks again")
		stop()
	})
}

func TestPanicInAStepIsAFailure(t *testing.T) {
	for _, call := range []string{"create 2", "list", "renew s1", "delete s1"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged bytes.Buffer
				w, panicked := newWorld(), false
				if call == "list" {
					leave(w, []string{"anna"}, testURL)
				}
				w.setFault(func(made string) error {
					if made == call && !panicked {
						panicked = true
						panic("a secret value")
					}
					return nil
				})
				m := w.monitor(t, &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
				m.SetUsers([]string{"anna", "bob"})
				defer start(t, m)()
				sleep(50 * time.Minute)
				if call == "delete s1" {
					m.SetUsers([]string{"anna"})
				}
				sleep(time.Hour)
				assert.True(t, panicked)
				assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
				assert.Contains(t, w.happened(), "failed")
				assert.Contains(t, logged.String(), "a step panicked")
				assert.NotContains(t, logged.String(), "a secret value")
				assert.LessOrEqual(t, w.registered(), 2)
			})
		})
	}
}

func TestPanicOfAnObserverIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, &Options{OnEvent: func(Event) { panic("observer") }})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Hour)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
		assert.Zero(t, m.Snapshot().Failures)
		assert.Equal(t, []string{"create 1", "renew s1"}, w.drain())
	})
}

// A clock that is far ahead makes every end look past; the subscription is
// renewed by what was asked for, and not created in a loop.
func TestClocksThatDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, ends := range map[string]func(time.Time) time.Time{
			"past":     func(wished time.Time) time.Time { return wished.Add(-2 * time.Hour) },
			"not told": func(time.Time) time.Time { return time.Time{} },
		} {
			w := newWorld()
			w.ends = ends
			m := w.monitor(t, nil)
			m.SetUsers([]string{"anna"})
			stop := start(t, m)
			sleep(30 * time.Minute)
			stop()
			assert.Equal(t, []string{"create 1", "delete s1"}, w.drain(), name)
		}
	})
}

func TestAnswerWithoutAnIDIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, nil)
		m.subs = nameless{w}
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(2 * time.Second)
		assert.ErrorContains(t, m.Snapshot().Err, "no subscription id")
	})
}

type nameless struct{ *world }

func (nameless) CreateSubscription(context.Context, presence.SubscriptionRequest) (presence.Subscription, error) {
	return presence.Subscription{}, nil
}

func TestRegistrationThatFailsIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.monitor(t, nil)
		m.routes = noRoutes{}
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Empty(t, w.drain(), "no subscription whose notifications nobody takes")
		assert.ErrorContains(t, m.Snapshot().Err, "no room")
		assert.Greater(t, m.Snapshot().Failures, 3)
	})
}

type noRoutes struct{}

func (noRoutes) Register(presence.Secret, presence.Receiver) (func(string), func(), error) {
	return nil, nil, errors.New("no room")
}
