package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// mortal is a world as a process sees it that dies at a certain request or
// write, before it or after it took effect: from then on nothing it does counts.
type mortal struct {
	*world
	lives *int
	after bool
}

var errDead = errors.New("fake: the process is dead")

// live does f unless the process is dead, and lets it die when its time has come.
func (m mortal) live(f func() error) error {
	*m.lives--
	if *m.lives < 0 || *m.lives == 0 && !m.after {
		return errDead
	}
	err := f()
	if *m.lives == 0 {
		return errDead
	}
	return err
}

func (m mortal) CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (sub presence.Subscription, err error) {
	err = m.live(func() (err error) { sub, err = m.world.CreateSubscription(ctx, req); return err })
	return sub, err
}

func (m mortal) RenewSubscription(ctx context.Context, id string, r presence.SubscriptionRenewal) (sub presence.Subscription, err error) {
	err = m.live(func() (err error) { sub, err = m.world.RenewSubscription(ctx, id, r); return err })
	return sub, err
}

func (m mortal) DeleteSubscription(ctx context.Context, id string) error {
	return m.live(func() error { return m.world.DeleteSubscription(ctx, id) })
}

func (m mortal) Subscriptions(ctx context.Context) (all []presence.Subscription, err error) {
	err = m.live(func() (err error) { all, err = m.world.Subscriptions(ctx); return err })
	return all, err
}

func (m mortal) Remember(ctx context.Context, r Remembered) error {
	return m.live(func() error { return m.world.Remember(ctx, r) })
}

func (m mortal) Recall(ctx context.Context) (r Remembered, err error) {
	err = m.live(func() (err error) { r, err = m.world.Recall(ctx); return err })
	return r, err
}

// A process that creates, renews and replaces its subscription dies at each of
// its requests and writes in turn. The next one always ends up with one
// subscription, whose notifications it can tell from forged ones, and knows whom
// to read.
func TestCrashAtEveryPoint(t *testing.T) {
	adopted, replaced := 0, 0
	for _, after := range []bool{false, true} {
		for deathAt := 1; ; deathAt++ {
			lives := deathAt
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				first := mortal{w, &lives, after}
				m := w.monitor(t, &Options{Memory: first})
				m.subs = first
				m.SetUsers([]string{"anna"})
				stop := start(t, m)
				sleep(50 * time.Minute)
				m.SetUsers([]string{"anna", "bob"})
				sleep(5 * time.Minute)
				stop()
				if lives > 0 {
					return
				}
				w.drain()
				w.happened()
				w.drainGaps()

				m = w.monitor(t, &Options{Memory: w})
				m.SetUsers([]string{"anna", "bob"})
				stop = start(t, m)
				sleep(time.Minute)
				name := fmt.Sprintf("death at %d, after: %t: %v", deathAt, after, w.calls)
				require.Len(t, w.live, 1, name)
				s := w.live[m.Snapshot().SubscriptionID]
				require.NotNil(t, s, name)
				assert.ElementsMatch(t, []string{"anna", "bob"}, s.UserIDs, name)
				assert.Equal(t, s.clientState, w.kept.ClientState.Reveal(), name)
				w.notify(t, s.ID, "bob")
				for _, r := range w.routes {
					if !r.gone && slices.Contains(r.ids, s.ID) {
						assert.Equal(t, s.clientState, r.clientState, name)
					}
				}
				gaps := w.drainGaps()
				require.NotEmpty(t, gaps, name)
				assert.True(t, strings.HasSuffix(gaps[len(gaps)-1], ": anna bob"), name)
				switch events := w.happened(); {
				case slices.Contains(events, "adopted: started") && len(gaps) == 1:
					adopted++
				case slices.Contains(events, "replaced: subscription exists already"):
					replaced++
				}
				stop()
				assert.Empty(t, w.live, name)
			})
			if lives > 0 {
				break
			}
			require.Less(t, deathAt, 50)
		}
	}
	assert.Positive(t, adopted, "what was remembered is adopted")
	assert.Positive(t, replaced, "what was created and not remembered is replaced")
}
