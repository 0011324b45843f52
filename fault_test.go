package presencebridge

import (
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
