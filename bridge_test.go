package presencebridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestCallShowsInTeamsAndIsClearedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineHeld, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("ada"), "a held call is still a call")
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		assert.Equal(t, "Available/Available", w.teams("ada"))
		assert.Equal(t, []string{"set Busy/InACall", "clear Busy/InACall"}, w.written(DestinationTeams))
		assert.Empty(t, w.written(DestinationMiCollab), "the bridge's own session is not brought to MiCollab")
		require.NoError(t, stop())
	})
}

func TestTeamsPresenceShowsInMiCollab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.DoNotDisturb, presence.ActivityPresenting)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusPresenting, w.status("ada"))
		w.client("ada", presence.Busy, presence.ActivityInAMeeting)
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusInAMeeting, w.status("ada"))
		assert.Empty(t, w.written(DestinationTeams))
		require.Len(t, w.writes, 2)
		assert.Equal(t, TriggerNotification, w.writes[0].Cause.Trigger)
		assert.Equal(t, presence.ActivityPresenting, w.writes[0].Cause.Presence.Activity)
		assert.Contains(t, w.writes[0].Rule, "DoNotDisturb/Presenting")
		require.NoError(t, stop())
	})
}

func TestLongCallOutlivesManySessionLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{SessionLifetime: 5 * time.Minute})
		w.line("ada", presence.LineConnected, false)
		for range 3 * 60 * 4 {
			time.Sleep(15 * time.Second)
			require.Equal(t, inACall, w.session("ada"), "the session must not lapse during the call")
		}
		// Three hours at one request per two thirds of five minutes.
		assert.InDelta(t, 54, w.count("set"), 2)
		require.NoError(t, stop())
		assert.Equal(t, "Available/Available", w.teams("ada"), "an orderly stop clears the session")
	})
}

func TestKeptSessionLapsesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{KeepSessionsOnStop: true})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		assert.Equal(t, inACall, w.session("ada"))
		time.Sleep(10 * time.Minute)
		assert.Zero(t, w.session("ada"))
	})
}

func TestUnknownNeverWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for _, a := range []presence.Availability{presence.AvailabilityUnknown, "InOrbit", ""} {
			w.client("ada", a, "Floating")
			time.Sleep(time.Minute)
		}
		w.line("ada", "teleporting", false)
		time.Sleep(time.Minute)
		w.line("ada", presence.LineUnknown, false)
		time.Sleep(time.Minute)
		assert.Empty(t, w.writes)
		e, err := w.bridge.Explain("ada@example.com")
		require.NoError(t, err)
		assert.Equal(t, BlockTeamsUnknown, e.StatusBlock)
		assert.Equal(t, BlockLineUnknown, e.TeamsBlock)
		require.NoError(t, stop())
	})
}

func TestOutOfServiceLeavesTheSessionToLapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{SessionLifetime: 6 * time.Minute})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.line("ada", presence.LineOutOfService, false)
		time.Sleep(5 * time.Minute)
		assert.Equal(t, inACall, w.session("ada"), "left as it is")
		time.Sleep(2 * time.Minute)
		assert.Zero(t, w.session("ada"), "and not renewed")
		assert.Equal(t, []string{"set Busy/InACall"}, w.written(DestinationTeams))
		require.NoError(t, stop())
	})
}

func TestFailedWriteIsTriedAgainWithTheNewestWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set-status" && !after {
				return presence.ErrInvalid
			}
			return nil
		})
		w.client("ada", presence.Busy, presence.ActivityBusy)
		time.Sleep(500 * time.Millisecond)
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(10 * time.Second)
		e, err := w.bridge.Explain("ada")
		require.NoError(t, err)
		assert.Equal(t, BlockBackoff, e.StatusBlock)
		require.Len(t, e.Failures, 1)
		w.setFault(nil)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		written := w.written(DestinationMiCollab)
		assert.Equal(t, "set Away", written[len(written)-1])
		require.NoError(t, stop())
	})
}

func TestWriteWhoseAnswerWasLostIsStillCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, _ string, after bool) error {
			if operation == "set" && after {
				return errors.New("connection reset by peer")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Minute)
		assert.Zero(t, w.session("ada"))
		assert.Empty(t, w.written(DestinationMiCollab), "and is no echo either")
		require.NoError(t, stop())
	})
}

type throttled struct{ wait time.Duration }

func (throttled) Error() string               { return "throttled" }
func (throttled) Is(target error) bool        { return target == presence.ErrThrottled }
func (e throttled) RetryAfter() time.Duration { return e.wait }

func TestRetryAfterPausesTheWholeConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob", "cyd")
		stop := w.start(&Options{Workers: 1})
		w.setFault(func(operation, id string, _ bool) error {
			if operation == "set" && id == "ada" {
				return throttled{2128 * time.Millisecond}
			}
			return nil
		})
		began := time.Now()
		w.line("ada", presence.LineConnected, false)
		time.Sleep(100 * time.Millisecond)
		w.setFault(nil)
		w.line("bob", presence.LineConnected, false)
		w.line("cyd", presence.LineConnected, false)
		time.Sleep(1900 * time.Millisecond)
		assert.Equal(t, 1, w.count("set"), "nothing may be sent before the time the service asked for")
		time.Sleep(time.Until(began.Add(3 * time.Second)))
		for _, id := range []string{"ada", "bob", "cyd"} {
			assert.Equal(t, inACall, w.session(id))
		}
		assert.Equal(t, 4, w.count("set"))
		require.NoError(t, stop())
	})
}

func TestFlappingIsWrittenOnceItHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for range 10 {
			w.client("ada", presence.Busy, presence.ActivityBusy)
			time.Sleep(500 * time.Millisecond)
			w.client("ada", presence.Available, presence.ActivityAvailable)
			time.Sleep(500 * time.Millisecond)
		}
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(10 * time.Second)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		assert.LessOrEqual(t, len(w.written(DestinationMiCollab)), 6, "%v", w.written(DestinationMiCollab))
		require.NoError(t, stop())
	})
}

func TestEndlessFlappingIsWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		for range 120 {
			w.client("ada", presence.Busy, presence.ActivityBusy)
			time.Sleep(time.Second)
			w.client("ada", presence.Available, presence.ActivityAvailable)
			time.Sleep(time.Second)
		}
		n := len(w.written(DestinationMiCollab))
		assert.Greater(t, n, 8, "a status must not be held back for ever")
		assert.Less(t, n, 60)
		require.NoError(t, stop())
	})
}

func TestStatusChangedBySomebodyElseIsSetRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{Direction: Bidirectional})
		w.client("ada", presence.Away, presence.ActivityAway)
		time.Sleep(time.Second)
		w.setStatus("ada", "Gone fishing")
		time.Sleep(time.Second)
		assert.Equal(t, presence.StatusAway, w.status("ada"))
		before := w.count("set-status")
		for range 300 {
			w.setStatus("ada", "Gone fishing")
			time.Sleep(time.Second)
		}
		assert.Less(t, w.count("set-status")-before, 20, "two machines must not fight without end")
		time.Sleep(6 * time.Minute)
		assert.Equal(t, presence.StatusAway, w.status("ada"), "but the bridge does not give up")
		require.NoError(t, stop())
	})
}

func TestPanicOfASideCostsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(&Options{Direction: Bidirectional})
		w.setFault(func(operation, id string, after bool) error {
			if operation == "set" && id == "ada" && !after {
				panic("a bug in somebody's client")
			}
			return nil
		})
		w.line("ada", presence.LineConnected, false)
		w.line("bob", presence.LineConnected, false)
		time.Sleep(time.Second)
		assert.Equal(t, inACall, w.session("bob"))
		w.setFault(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, inACall, w.session("ada"), "tried again")
		require.NoError(t, stop())
	})
}

func TestRegularReadingBacksOffWhileThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(&Options{ReconcileInterval: time.Minute, MaxReconcileInterval: 8 * time.Minute})
		before := w.count("presences")
		time.Sleep(time.Hour)
		assert.InDelta(t, 63, w.count("presences")-before, 6, "once a minute")
		w.setFault(func(operation, _ string, _ bool) error {
			if operation == "presences" {
				return throttled{time.Second}
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		w.setFault(nil)
		sweeps := func(d time.Duration) int {
			before := w.count("presences")
			time.Sleep(d)
			return w.count("presences") - before
		}
		assert.LessOrEqual(t, sweeps(7*time.Minute), 3, "backed off")
		time.Sleep(time.Hour)
		assert.InDelta(t, 63, sweeps(time.Hour), 6, "and back to once a minute")
		require.NoError(t, stop())
	})
}

// withMissing is a Phones of which one endpoint does not exist.
type withMissing struct{ *world }

func (w withMissing) Lines(ctx context.Context, user presence.User) ([]presence.Line, error) {
	known := user
	known.Endpoints = user.Endpoints[:1]
	lines, err := w.world.Lines(ctx, known)
	return append(lines, presence.Line{Endpoint: user.Endpoints[1], State: presence.LineUnknown}), errors.Join(err, presence.ErrNotFound)
}

func TestEndpointThatDoesNotExistKeepsNobodyInACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.roster.Users[0].Endpoints = append(w.roster.Users[0].Endpoints, "9999")
		sides := w.sides()
		sides.Phones = withMissing{w}
		b, err := New(sides, nil)
		require.NoError(t, err)
		w.bridge = b
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Minute)
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		require.Equal(t, inACall, w.session("ada"))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(time.Second)
		assert.Zero(t, w.session("ada"))
		e, err := b.Explain("ada")
		require.NoError(t, err)
		require.NotEmpty(t, e.Failures, "and Explain names the endpoint's fault")
		cancel()
		require.NoError(t, <-done)
	})
}
