package presencebridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestResetEndsThePauseAfterEarlierFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{SessionLifetime: time.Hour}))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		w.setFault(failing("clear", 1000, presence.ErrForbidden))
		w.line("ada", presence.LineIdle, false)
		time.Sleep(20 * time.Minute)
		r := w.reset("ada")
		require.Len(t, r.Failures, 1)
		assert.Equal(t, 1, r.Failures[0].Failures, "counted anew")
		assert.Equal(t, "teams-write", r.Failures[0].Connection)
		require.Len(t, r.Writes, 1)
		assert.Equal(t, BlockBackoff, r.Block)
		assert.False(t, r.SessionCleared)
		w.setFault(nil)
		r = w.reset("ada")
		assert.Less(t, r.Done.Sub(r.At), time.Second)
		assert.True(t, r.SessionCleared)
		require.NoError(t, stop())
	})
}

// A request that was under way when the reset began neither carries it out nor, when
// it fails, delays it.
func TestRequestFromBeforeAResetNeitherServesNorDelaysIt(t *testing.T) {
	for name, answer := range map[string]error{"carried out": nil, "refused": presence.ErrForbidden, "lost": errors.New("connection reset by peer")} {
		for _, operation := range []string{"lines", "set"} {
			t.Run(operation+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, "ada")
					w.latency = time.Second
					stop := w.start(rarely(Options{}))
					if answer != nil {
						w.setFault(failing(operation, 1, answer))
					}
					w.line("ada", presence.LineConnected, false)
					time.Sleep(500 * time.Millisecond)
					if operation == "set" {
						time.Sleep(time.Second) // the line is read, the session is being set
					}
					r := w.reset("ada")
					assert.Empty(t, r.Failures)
					assert.True(t, r.SessionSet)
					require.Len(t, r.Writes, 1)
					assert.Less(t, r.Done.Sub(r.At), 4*time.Second)
					assert.Equal(t, inACall, w.session("ada"))
					require.NoError(t, stop())
				})
			})
		}
	}
}

// The session that a reset replaces may have been another's, and Teams may still show it.
func TestSessionThatAResetReplacesIsNoEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		var deaf atomic.Bool
		w.notify = func(id, side string) {
			if !deaf.Load() {
				w.deliver(id, side)
			}
		}
		w.staleFor = 4 * time.Second
		stop := w.start(rarely(Options{Direction: Bidirectional}))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Minute)
		deaf.Store(true)
		w.plant("ada", presenting)
		time.Sleep(time.Minute)
		w.reset("ada")
		for range 30 {
			w.deliver("ada", "teams")
			time.Sleep(time.Second)
		}
		assert.Empty(t, w.written(DestinationMiCollab))
		assert.Equal(t, BlockOwnSession, w.explain("ada").StatusBlock)
		require.NoError(t, stop())
	})
}

// Whoever resets oftener than a reading takes must not keep it from ever counting.
func TestResetsOneAfterTheOtherStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{}))
		w.plant("ada", inACall)
		var running sync.WaitGroup
		for range 1000 {
			time.Sleep(3 * time.Millisecond)
			running.Go(func() {
				r, err := w.bridge.ResetPhone(t.Context(), "ada")
				assert.NoError(t, err)
				assert.Less(t, r.Done.Sub(r.At), time.Second)
			})
		}
		running.Wait()
		require.NoError(t, stop())
	})
}

func TestResetThatIsNotWaitedForGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		w.latency = time.Second
		stop := w.start(rarely(Options{}))
		w.plant("ada", inACall)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		r, err := w.bridge.ResetPhone(ctx, "ada")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, r.Done)
		assert.False(t, r.After.LineReadAt.IsZero(), "what is known so far")
		assert.Contains(t, r.Summary, "not known")
		assert.Empty(t, w.bridge.resets)
		time.Sleep(2 * time.Second)
		assert.Zero(t, w.session("ada"))

		_, err = w.bridge.ResetPhone(t.Context(), "nobody@example.com")
		require.ErrorIs(t, err, ErrUnknownUser)

		outcome := make(chan error, 1)
		go func() {
			_, err := w.bridge.ResetPhone(t.Context(), "ada")
			outcome <- err
		}()
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, stop())
		require.ErrorIs(t, <-outcome, ErrStopped)
		_, err = w.bridge.ResetPhone(t.Context(), "ada")
		require.ErrorIs(t, err, ErrStopped)
	})
}

func TestResetOfAUserWhoLeavesTheRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		stop := w.start(rarely(Options{}))
		w.line("ada", presence.LineConnected, false)
		time.Sleep(time.Second)
		outcome := make(chan error, 1)
		w.setFault(func(operation, id string, _ bool) error {
			if operation == "lines" && id == "ada" {
				w.mu.Lock()
				w.roster = presence.Roster{Users: []presence.User{w.people["bob"].user}}
				w.mu.Unlock()
				w.bridge.RefreshRoster()
				<-time.After(time.Second) // slower than the directory
			}
			return nil
		})
		go func() {
			_, err := w.bridge.ResetPhone(t.Context(), "ada")
			outcome <- err
		}()
		err := <-outcome
		require.ErrorIs(t, err, ErrUnknownUser)
		assert.ErrorContains(t, err, "left")
		time.Sleep(2 * time.Second)
		assert.Zero(t, w.session("ada"), "nothing is left behind")
		require.NoError(t, stop())
	})
}

func TestResetsOfOneUserShareTheRequestsAndAllEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada")
		stop := w.start(rarely(Options{Direction: Bidirectional}))
		w.plant("ada", inACall)
		time.Sleep(20 * time.Second)
		var running sync.WaitGroup
		reading := w.count("lines")
		for i := range 50 {
			running.Go(func() {
				<-time.After(time.Duration(i) * 3 * time.Millisecond) // oftener than a reading takes
				r, err := w.bridge.ResetPhone(t.Context(), "ada")
				assert.NoError(t, err)
				assert.Empty(t, r.Failures)
				assert.True(t, r.SessionCleared || r.SessionAbsent)
				assert.False(t, r.After.LineReadAt.IsZero() && r.Writes == nil)
			})
		}
		running.Go(func() {
			_, err := w.bridge.SyncAll(t.Context(), nil)
			assert.NoError(t, err)
		})
		running.Wait()
		assert.Less(t, w.count("lines")-reading, 20, "one at a time, and one for all who wait")
		assert.Less(t, w.count("clear"), 20)
		assert.Zero(t, w.session("ada"))
		time.Sleep(time.Minute)
		assert.Equal(t, presence.StatusAvailable, w.status("ada"))
		assert.Empty(t, w.bridge.resets)
		require.NoError(t, stop())
	})
}

// Somebody who only telephones is reset again and again, while requests fail and
// Teams lags behind: whatever is written to MiCollab is an echo.
func TestResetNeverEchoes(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ada")
				c := &chaos{world: w, random: rand.New(rand.NewPCG(seed, 2))}
				w.notify, w.fault, w.staleFor = c.notify, c.fail, 6*time.Second
				w.reportAs = func(s presence.Session) presence.Presence {
					return presence.Presence{Availability: s.Availability, Activity: presence.Activity(s.Availability)}
				}
				stop := w.start(&Options{Direction: Bidirectional, SessionLifetime: 5 * time.Minute})
				var running sync.WaitGroup
				for range 200 {
					c.mu.Lock()
					pause, reset := time.Duration(c.random.IntN(15_000))*time.Millisecond, c.roll(40)
					c.mu.Unlock()
					<-time.After(pause)
					c.event("ada", true)
					if reset {
						running.Go(func() {
							_, err := w.bridge.ResetPhone(t.Context(), "ada")
							assert.NoError(t, err)
						})
					}
				}
				running.Wait()
				c.mu.Lock()
				c.calm = true
				c.mu.Unlock()
				<-time.After(w.bridge.opts.MaxReconcileInterval + w.bridge.opts.MaxBackoff)
				agree(t, w)
				assert.Empty(t, w.written(DestinationMiCollab))
				assert.Empty(t, w.bridge.resets)
				require.NoError(t, stop())
			})
		})
	}
}
