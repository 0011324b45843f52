package presencebridge

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// failing returns a fault of the first n requests of an operation.
func failing(operation string, n int, err error) func(string, string, bool) error {
	var count atomic.Int64
	return func(o, _ string, after bool) error {
		if o == operation && !after && int(count.Add(1)) <= n {
			return err
		}
		return nil
	}
}

func TestFailedReadingIsTriedAgainAfterAPause(t *testing.T) {
	for operation, change := range map[string]func(*world){
		"lines":     func(w *world) { w.line("ada", presence.LineConnected, false) },
		"presences": func(w *world) { w.client("ada", presence.Away, presence.ActivityAway) },
		"status":    func(w *world) { w.setStatus("ada", "Gone fishing") },
	} {
		for name, fault := range map[string]error{"of the user": presence.ErrForbidden, "of the service": presence.ErrUnavailable} {
			t.Run(operation+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, "ada")
					stop := w.start(&Options{Direction: Bidirectional, ReconcileInterval: 10 * time.Hour})
					w.setFault(failing(operation, 2, fault))
					change(w)
					time.Sleep(20 * time.Second)
					n := len(w.written(DestinationTeams)) + len(w.written(DestinationMiCollab))
					assert.Equal(t, 1, n, "long before the next regular reading")
					require.NoError(t, stop())
				})
			})
		}
	}
}

func TestPanicWhileReadingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{ReconcileInterval: 10 * time.Hour})
		var panicked atomic.Bool
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "lines" && panicked.CompareAndSwap(false, true) {
				panic("a bug in somebody's client")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(10 * time.Second)
		assert.Equal(t, inACall, w.session("ada"))
		require.NoError(t, stop())
	})
}

func TestClearWhoseAnswerWasLostDoesNotHideTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "clear" && after {
				return errors.New("connection reset by peer")
			}
			return nil
		})
		w.line("ada", presence.LineIdle, false)
		time.Sleep(100 * time.Millisecond)
		require.Zero(t, w.session("ada"))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(5 * time.Second)
		assert.Equal(t, inACall, w.session("ada"))
		w.setFault(nil)
		require.NoError(t, stop())
	})
}

// The telephone may follow the status before the bridge knows that the status
// was written, and the bridge may never hear of it.
func TestDoNotDisturbThatOvertakesTheAnswerIsNoReasonForASession(t *testing.T) {
	for name, answer := range map[string]error{"slow": nil, "lost": errors.New("connection reset by peer")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada")
				stop := w.start(&Options{Direction: Bidirectional})
				w.setFault(func(operation, id string, after bool) error {
					if operation == "set-status" && after {
						w.line(id, presence.LineIdle, w.status(id) == presence.StatusDoNotDisturb)
						time.Sleep(2 * time.Second)
						return answer
					}
					return nil
				})
				w.client("ada", presence.DoNotDisturb, presence.ActivityDoNotDisturb)
				time.Sleep(5 * time.Minute)
				w.client("ada", presence.Available, presence.ActivityAvailable)
				time.Sleep(5 * time.Minute)
				assert.Empty(t, w.written(DestinationTeams))
				assert.Equal(t, presence.StatusAvailable, w.status("ada"))
				require.NoError(t, stop())
			})
		})
	}
}

func TestPanicOfAHookIsNobodysLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		b, err := New(w.sides(), &Options{
			Direction:   Bidirectional,
			DirectionOf: func(presence.User) Direction { panic("a bug") },
			Hooks: Hooks{
				Wrote:         func(Write) { panic("a bug") },
				Observed:      func(Observation) { panic("a bug") },
				RosterChanged: func(RosterChange) { panic("a bug") },
				HealthChanged: func(Health) { panic("a bug") },
			},
		})
		require.NoError(t, err)
		w.bridge = b
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Minute)
		assert.NotEmpty(t, b.Health())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestSyncAllEndsWithTheBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.fault = func(string, string, bool) error { return presence.ErrUnauthorized }
		stop := w.startNow(nil)
		ended := make(chan error, 1)
		go func() {
			_, err := w.bridge.SyncAll(t.Context(), nil)
			ended <- err
		}()
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		select {
		case err := <-ended:
			require.ErrorIs(t, err, ErrStopped)
		case <-time.After(time.Hour):
			t.Fatal("SyncAll waits for a roster that will never be read")
		}
	})
}

// A MiCollab that cannot be read can be written.
func TestStatusThatCannotBeReadIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.fault = func(operation, _ string, _ bool) error {
			if operation == "status" {
				return presence.ErrUnsupported
			}
			return nil
		}
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(time.Hour)
		assert.Equal(t, []string{"set Available", "set Away"}, w.written(DestinationMiCollab), "once is enough")
		report, err := w.bridge.SyncAll(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, report.Failed)
		require.NoError(t, stop())
	})
}

func TestUserWhoIsForgottenWhileARequestIsUnderWayMayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set-status" && after {
				time.Sleep(20 * time.Second)
			}
			return nil
		})
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(time.Second)
		all := w.roster
		for _, r := range []presence.Roster{{Users: all.Users[1:]}, all} {
			w.mu.Lock()
			w.roster = r
			w.mu.Unlock()
			w.bridge.RefreshRoster()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		_, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		require.NoError(t, stop())
	})
}

func TestHealthSpeaksOfRequestsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(nil)
		w.setFault(failing("set", 1, presence.ErrUnavailable))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, StateFailing, w.bridge.teamsWrite.snapshot().State)
		w.line("ada", presence.LineOutOfService, false)
		w.bridge.teamsWrite.add(true, "bob") // who needs nothing
		time.Sleep(10 * time.Second)
		assert.Equal(t, StateFailing, w.bridge.teamsWrite.snapshot().State, "no request was made since")
		require.NoError(t, stop())
	})
}

// An open call that cannot be read any more is unknown after a while.
func TestCallIsNotRenewedWhileTheTelephoneCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Minute)
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "lines" {
				return presence.ErrUnavailable
			}
			return nil
		})
		time.Sleep(2*w.bridge.opts.SessionLifetime + time.Minute)
		assert.Zero(t, w.session("ada"), "the session is left to lapse")
		time.Sleep(2 * time.Hour)
		assert.Equal(t, []string{"set Busy/InACall", "renew Busy/InACall"}, w.written(DestinationTeams))
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockLineUnread, e.TeamsBlock)
		w.setFault(nil)
		time.Sleep(3 * time.Minute)
		assert.Equal(t, inACall, w.session("ada"))
		require.NoError(t, stop())
	})
}

func TestStopObeysRetryAfterAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		stop := w.start(&Options{Workers: 1})
		for _, id := range []string{"ada", "bob", "cyd"} {
			w.line(id, presence.LineConnected, false)
		}
		time.Sleep(time.Second)
		w.setFault(failing("clear", 1, throttled{5 * time.Second}))
		began := time.Now()
		require.NoError(t, stop())
		assert.GreaterOrEqual(t, time.Since(began), 5*time.Second)
		assert.Equal(t, 4, w.count("clear"))
		for _, id := range []string{"ada", "bob", "cyd"} {
			assert.Zero(t, w.session(id))
		}
	})
}

func TestStopGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		w.line("bob", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "clear" {
				return throttled{time.Hour}
			}
			return nil
		})
		began := time.Now()
		err := stop()
		require.ErrorIs(t, err, presence.ErrThrottled)
		assert.ErrorContains(t, err, "2 of 2")
		assert.LessOrEqual(t, time.Since(began), w.bridge.opts.StopTimeout)
	})
}

func TestDryRunReportsWhatARealRunWouldWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional, DryRun: true})
		for range 2 {
			w.line("ada", presence.LineConnected, false)
			w.client("ada", presence.Away, presence.ActivityAway)
			time.Sleep(time.Minute)
			w.line("ada", presence.LineIdle, false)
			w.client("ada", presence.Available, presence.ActivityAvailable)
			time.Sleep(time.Minute)
		}
		assert.Equal(t, []string{"set Busy/InACall", "clear Busy/InACall", "set Busy/InACall", "clear Busy/InACall"}, w.written(DestinationTeams))
		assert.Equal(t, []string{"set Away", "set Available", "set Away", "set Available"}, w.written(DestinationMiCollab))
		require.NoError(t, stop())
	})
}

func TestNotificationThatCameBeforeTheReadingIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		watcher := &recordingWatcher{room: 1}
		stop := w.start(&Options{Direction: Bidirectional})
		w.bridge.Watch(watcher)
		w.setFault(failing("presences", 1, throttled{time.Minute}))
		w.bridge.TeamsGap("test", "ada")
		time.Sleep(time.Second)
		w.setFault(nil)
		w.bridge.markAll(ofTeams, time.Now()) // waits for the end of the pause
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.Empty(t, watcher.missed)
		require.NoError(t, stop())
	})
}

func TestCauseIsWhatLedToTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(nil)
		w.line("ada", presence.LineConnected, false)
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(50 * time.Minute) // no multiple of the renewals
		last := func() Write {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.writes[len(w.writes)-1]
		}
		check := func(why string, trigger Trigger) {
			t.Helper()
			time.Sleep(time.Second)
			assert.Equal(t, trigger, last().Cause.Trigger, why)
			assert.Less(t, last().Time.Sub(last().Cause.ReceivedAt), time.Second, why)
			time.Sleep(50 * time.Minute) // no multiple of the renewals
		}
		assert.Equal(t, TriggerRenewal, last().Cause.Trigger)
		require.NoError(t, w.bridge.SetDirection(Bidirectional))
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, DestinationMiCollab, last().Destination)
		check("the direction", TriggerRequest)
		require.NoError(t, w.bridge.SetDirection(Off))
		check("the direction", TriggerRequest)
		require.NoError(t, w.bridge.SetDirection(OneWay))
		check("the direction", TriggerRequest)
		roster := w.roster
		w.setFault(failing("clear", 1, presence.ErrForbidden))
		w.mu.Lock()
		w.roster = presence.Roster{Users: roster.Users[1:]}
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, TriggerRemoved, last().Cause.Trigger)
		w.mu.Lock()
		w.roster = roster
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(time.Minute)
		assert.Equal(t, inACall, w.session("ada"))
		require.NoError(t, stop())
	})
}

func TestWatcherHearsOfALimitThatMovesToSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		watcher := &recordingWatcher{room: 2}
		limit := func(i int) []presence.Limitation {
			return []presence.Limitation{{User: w.roster.Users[i], Direction: presence.TeamsToMiCollab, Reason: presence.ReasonUnsupportedPBX}}
		}
		w.roster.Limited = limit(0)
		stop := w.start(&Options{Direction: Bidirectional})
		w.bridge.Watch(watcher)
		w.mu.Lock()
		w.roster.Limited = limit(1)
		w.mu.Unlock()
		w.bridge.RefreshRoster()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"ada"}, watcher.users[len(watcher.users)-1])
		require.NoError(t, stop())
	})
}

// A write whose answer was lost and that came to nothing must not excuse what the
// person does later.
func TestAttemptThatCameToNothingIsForgotten(t *testing.T) {
	v := known()
	v.status.beginStatus(presence.StatusDoNotDisturb, presence.DoNotDisturb, noon)
	v.withLine(presence.LineIdle, true, noon.Add(time.Second))
	line, _ := v.phoneLine(testSettings(), noon.Add(time.Second))
	assert.False(t, line.DoNotDisturb, "the telephone may follow a write that is under way")
	v.status.statusUncertain(noon.Add(2 * time.Second))
	v.status.observeStatus(presence.StatusAvailable, noon.Add(3*time.Second))
	line, _ = v.phoneLine(testSettings(), noon.Add(3*time.Second))
	assert.True(t, line.DoNotDisturb)

	v.status.beginStatus(presence.StatusDoNotDisturb, presence.DoNotDisturb, noon.Add(time.Minute))
	v.status.statusUncertain(noon.Add(2 * time.Minute))
	v.status.observeStatus(presence.StatusDoNotDisturb, noon.Add(3*time.Minute))
	assert.Equal(t, presence.StatusDoNotDisturb, v.status.written.status, "a reading can tell that it was carried out")
}
