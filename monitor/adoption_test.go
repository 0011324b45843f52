package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// leave puts a subscription "old" into the world that an earlier run has left,
// and remembers it.
func leave(w *world, users []string, url string) {
	ends := time.Now().Add(30 * time.Minute)
	w.live["old"] = &fakeSubscription{clientState: "remembered", Subscription: presence.Subscription{
		ID: "old", UserIDs: users, NotificationURL: url, ExpiresAt: ends,
	}}
	w.kept = Remembered{
		SubscriptionID: "old", ClientState: presence.NewSecret("remembered"), NotificationURL: url, Users: UsersDigest(users),
		CreatedAt: time.Now().Add(-25 * time.Minute).Round(0), ExpiresAt: ends.Round(0),
	}
}

func TestRememberedSubscriptionIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"BOB", "anna"}, testURL)
		created := w.kept.CreatedAt
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna", "bob"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"recall", "renew old", "remember old"}, w.drain(), "the renewal proves that it lives")
		assert.Equal(t, []string{"adopted: started", "renewed"}, w.happened())
		assert.Equal(t, []string{"started: anna bob"}, w.drainGaps(), "nobody knows what was missed")
		w.notify(t, "old", "anna")
		assert.Equal(t, []string{"anna"}, w.looked)
		assert.Equal(t, "remembered", w.routes[0].clientState)
		assert.Equal(t, 1, w.registered())
		s := m.Snapshot()
		assert.Equal(t, ConditionSubscribed, s.Condition)
		assert.Equal(t, created, s.CreatedAt)
		assert.Equal(t, s.ExpiresAt, w.kept.ExpiresAt, "the renewal is remembered")
		assert.Equal(t, created, w.kept.CreatedAt)

		m.Missed("anna")
		assert.Zero(t, m.Snapshot().Misses, "what was missed before it was adopted says nothing")
	})
}

func TestRememberedSubscriptionThatIsGoneIsCreatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		clear(w.live)
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"recall", "renew old", "remember nothing", "create 1", "remember s1"}, w.drain())
		assert.Equal(t, []string{"adopted: started", "lost: subscription not found", "re-created: subscription not found"}, w.happened())
		assert.Equal(t, "s1", w.kept.SubscriptionID)
	})
}

func TestRememberedSubscriptionThatDoesNotFitIsReplaced(t *testing.T) {
	certificate := &presence.EncryptionCertificate{ID: "c1"}
	tests := map[string]struct {
		left   func(*world)
		opts   Options
		reason string
		create string
	}{
		"other users":           {left: func(w *world) { leave(w, []string{"carl"}, testURL) }, reason: ReasonUsersChanged},
		"more users":            {left: func(w *world) { leave(w, []string{"anna", "bob"}, testURL) }, reason: ReasonUsersChanged},
		"another URL":           {left: func(w *world) { leave(w, []string{"anna"}, "https://elsewhere.example.com/") }, reason: ReasonSettingsChanged},
		"no client state":       {left: func(w *world) { w.kept.ClientState = presence.Secret{} }, reason: ReasonSettingsChanged},
		"encryption is wanted":  {opts: Options{Encryption: func() *presence.EncryptionCertificate { return certificate }}, reason: ReasonSettingsChanged, create: "create 1 with c1"},
		"encryption is not now": {left: func(w *world) { w.kept.EncryptionID = "c1" }, reason: ReasonSettingsChanged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				leave(w, []string{"anna"}, testURL)
				if test.left != nil {
					test.left(w)
				}
				if test.create == "" {
					test.create = "create 1"
				}
				test.opts.Memory = w
				m := w.monitor(t, &test.opts)
				m.SetUsers([]string{"anna"})
				defer start(t, m)()
				sleep(time.Minute)
				assert.Equal(t, []string{"recall", "delete old", "remember nothing", test.create, "remember s1"}, w.drain())
				assert.Equal(t, []string{"deleted: " + test.reason, "re-created: " + test.reason}, w.happened())
				assert.Equal(t, []string{test.reason + ": anna"}, w.drainGaps())
			})
		})
	}
}

// A directory may take long to read. Until it has been, nobody knows whether
// what an earlier run left is wanted.
func TestRememberedSubscriptionWaitsForTheUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		m := w.monitor(t, &Options{Memory: w})
		defer start(t, m)()
		sleep(20 * time.Minute)
		assert.Equal(t, []string{"recall"}, w.drain())
		assert.Equal(t, ConditionNoUsers, m.Snapshot().Condition)
		m.SetUsers(nil)
		sleep(time.Second)
		assert.Empty(t, w.drain(), "the set has not settled")
		sleep(time.Minute)
		assert.Equal(t, []string{"delete old", "remember nothing"}, w.drain(), "nobody is an answer, too")
		assert.Equal(t, []string{"deleted: no users"}, w.happened())
	})
}

// What the memory takes for expired may have been renewed by a process that
// could not write it down.
func TestRememberedSubscriptionThatOutlivedItsMemoryIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		listed := w.kept.ExpiresAt
		w.kept.ExpiresAt = time.Now().Add(-time.Minute).Round(0)
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"recall", "create 1", "list", "renew old", "remember old"}, w.drain())
		assert.Equal(t, listed, w.events[0].ExpiresAt, "the service knows better when it ends")
		assert.Equal(t, []string{"adopted: started", "renewed"}, w.happened())
		assert.Equal(t, 1, w.registered())
		w.notify(t, "old", "anna")
	})
}

// Two keepers in one process share its routes, and the former one may still be
// about to stop.
func TestAdoptionWaitsForTheRouteOfThePredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		_, unregister, err := w.Register(w.kept.ClientState, presence.Receiver{Notify: func(presence.Notification) {}})
		require.NoError(t, err)
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(30 * time.Second)
		assert.Equal(t, []string{"recall"}, w.drain())
		failed := w.events[0]
		assert.Equal(t, EventFailed, failed.Kind)
		assert.Equal(t, "adopt", failed.Action)
		assert.Equal(t, "old", failed.SubscriptionID)
		assert.Equal(t, "adopt", m.Snapshot().NextAction)
		unregister()
		sleep(time.Minute)
		assert.Equal(t, []string{"renew old", "remember old"}, w.drain())
		w.notify(t, "old", "anna")
	})
}

// SetUsers may be called between the decision to adopt and the adoption, which
// must not take the new users for those that are watched.
func TestUsersThatChangeBeforeTheAdoptionPreventIt(t *testing.T) {
	w := newWorld()
	leave(w, []string{"anna"}, testURL)
	m := w.monitor(t, &Options{Memory: w})
	m.SetUsers([]string{"anna"})
	require.NoError(t, m.recall(t.Context()))
	m.SetUsers([]string{"bob"})
	require.NoError(t, m.adopt(t.Context(), time.Time{}))
	assert.Empty(t, m.Snapshot().SubscriptionID)
	assert.Zero(t, w.registered())
	m.SetUsers([]string{"anna"})
	require.NoError(t, m.adopt(t.Context(), time.Time{}))
	assert.Equal(t, "old", m.Snapshot().SubscriptionID)
}

func TestAdoptedSubscriptionThatCannotBeRenewedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		ends := w.kept.ExpiresAt
		w.setFault(failing("renew", presence.ErrUnavailable))
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(29 * time.Minute)
		s := m.Snapshot()
		assert.Equal(t, ConditionFailing, s.Condition)
		assert.Equal(t, ends, s.ExpiresAt, "it lives as long as was remembered")
		assert.Zero(t, s.RenewedAt)
		sleep(2 * time.Minute)
		assert.Contains(t, w.happened(), "lost: subscription expired")
		sleep(5 * time.Minute)
		assert.Equal(t, "s1", m.Snapshot().SubscriptionID)
	})
}

func TestRememberedSubscriptionWithoutAnEndIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		w.kept.ExpiresAt = time.Time{}
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		assert.Equal(t, []string{"recall", "renew old", "remember old"}, w.drain())
	})
}

func TestMemoryThatCannotBeReadIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		leave(w, []string{"anna"}, testURL)
		w.setFault(failing("recall", presence.ErrUnavailable))
		m := w.monitor(t, &Options{Memory: w})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(10 * time.Minute)
		assert.Equal(t, []string{"recall"}, slices.Compact(w.drain()), "creating would put an end to the one that is remembered")
		s := m.Snapshot()
		assert.Equal(t, ConditionFailing, s.Condition)
		assert.Equal(t, "recall", s.NextAction)
		assert.Equal(t, "recall", w.events[0].Action)
		w.setFault(nil)
		w.happened()
		sleep(5 * time.Minute)
		assert.Equal(t, []string{"adopted: started", "renewed"}, w.happened())
	})
}

func TestMemoryThatCannotBeWrittenCostsNoSubscription(t *testing.T) {
	for name, fault := range map[string]func(string) error{
		"error": failing("remember", presence.ErrUnavailable),
		"panic": func(call string) error {
			if strings.HasPrefix(call, "remember") {
				panic("memory")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.setFault(fault)
				m := w.monitor(t, &Options{Memory: w})
				m.SetUsers([]string{"anna"})
				stop := start(t, m)
				sleep(time.Minute)
				s := m.Snapshot()
				assert.Equal(t, ConditionSubscribed, s.Condition)
				assert.Zero(t, s.Failures)
				failed := w.events[len(w.events)-1]
				assert.Equal(t, EventFailed, failed.Kind)
				assert.Equal(t, "remember", failed.Action)
				assert.Equal(t, s.NextAt, failed.NextAt, "the renewal makes it good")
				w.setFault(nil)
				sleep(45 * time.Minute)
				assert.Equal(t, "s1", w.kept.SubscriptionID)
				assert.Equal(t, m.Snapshot().ExpiresAt, w.kept.ExpiresAt)
				stop()
			})
		})
	}
}

func TestKeptSubscriptionIsAdoptedByTheNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for run, want := range [][]string{{"recall", "create 1", "remember s1"}, {"recall", "renew s1", "remember s1"}} {
			m := w.monitor(t, &Options{Memory: w, KeepOnStop: true})
			m.SetUsers([]string{"anna"})
			stop := start(t, m)
			sleep(time.Minute)
			stop()
			assert.Equal(t, want, w.drain(), "run %d", run)
			assert.Zero(t, w.registered())
		}
	})
}

func TestWhatBecomesOfTheSubscriptionIsDecidedAtTheStop(t *testing.T) {
	for _, byOptions := range []bool{false, true} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint(byOptions, keep), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					m := w.monitor(t, &Options{Memory: w, KeepOnStop: byOptions})
					m.SetUsers([]string{"anna"})
					stop := start(t, m)
					sleep(time.Minute)
					w.drain()
					m.SetKeepOnStop(keep)
					stop()
					if keep {
						assert.Empty(t, w.drain())
						assert.Equal(t, "s1", w.kept.SubscriptionID)
					} else {
						assert.Equal(t, []string{"delete s1", "remember nothing"}, w.drain())
						assert.Equal(t, Remembered{}, w.kept)
					}
				})
			})
		}
	}
}

func TestStopDeletesWhatAnEarlierRunLeft(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, prepare := range map[string]func(*world) (calls, events []string){
		"it lives": func(*world) ([]string, []string) {
			return []string{"recall", "delete old", "remember nothing"}, []string{"deleted: stopped"}
		},
		"it has expired": func(w *world) ([]string, []string) {
			w.kept.ExpiresAt = time.Now()
			return []string{"recall"}, nil
		},
		"nothing is left": func(w *world) ([]string, []string) {
			w.kept = Remembered{}
			return []string{"recall"}, nil
		},
		"the memory cannot be read": func(w *world) ([]string, []string) {
			w.setFault(failing("recall", presence.ErrUnavailable))
			return []string{"recall"}, []string{"failed: stopped"}
		},
		"deleting fails": func(w *world) ([]string, []string) {
			w.setFault(failing("delete", presence.ErrUnavailable))
			return []string{"recall", "delete old"}, []string{"failed: stopped"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				leave(w, []string{"anna"}, testURL)
				calls, events := prepare(w)
				require.NoError(t, w.monitor(t, &Options{Memory: w}).Run(ended))
				assert.Equal(t, calls, w.drain())
				assert.Equal(t, events, w.happened())
				require.NoError(t, w.monitor(t, &Options{Memory: w, KeepOnStop: true}).Run(ended))
				assert.Empty(t, w.drain(), "what is to be left is not even looked for")
			})
		})
	}
}

func TestUsersDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfDistinct(rapid.StringMatching("[a-c]{1,2}"), rapid.ID).Draw(t, "ids")
		other := rapid.SliceOfDistinct(rapid.StringMatching("[a-c]{1,2}"), rapid.ID).Draw(t, "other")
		digest := UsersDigest(ids)
		again := rapid.Permutation(slices.Concat(ids, ids)).Draw(t, "again")
		for i := range again {
			again[i] = strings.ToUpper(again[i])
		}
		if UsersDigest(again) != digest {
			t.Fatalf("%v and %v differ", ids, again)
		}
		slices.Sort(ids)
		slices.Sort(other)
		if (UsersDigest(other) == digest) != slices.Equal(ids, other) {
			t.Fatalf("%v and %v", ids, other)
		}
	})
	assert.Len(t, UsersDigest(nil), 64)
}
