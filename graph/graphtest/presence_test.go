package graphtest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestPresenceWithoutSessionIsOffline(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.assertShows("Offline/Offline", annID)
		w.teams(annID, presence.Available, presence.ActivityAvailable)
		w.assertShows("Available/Available", annID)
		w.teams(annID, "", "")
		w.assertShows("Offline/Offline", annID)
	})
}

func TestSessionsAggregate(t *testing.T) {
	// From the strongest to the weakest.
	order := []presence.Session{
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting},
		{Availability: presence.Busy, Activity: presence.ActivityBusy},
		{Availability: presence.Available, Activity: presence.ActivityAvailable},
		{Availability: presence.Away, Activity: presence.ActivityAway},
	}
	inBubble(t, nil, func(w *world) {
		for i, strong := range order {
			for _, weak := range order[i+1:] {
				for _, first := range []bool{true, false} {
					require.NoError(w, w.SetClient(annID, "desktop", strong.Availability, strong.Activity))
					require.NoError(w, w.SetClient(annID, "mobile", weak.Availability, weak.Activity))
					if first {
						require.NoError(w, w.SetClient(annID, "desktop", strong.Availability, strong.Activity))
					}
					w.assertShows(strong.String(), annID)
				}
			}
		}
	})
}

func TestOfEqualSessionsTheLatestShows(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.teams(annID, presence.Busy, presence.ActivityBusy)
		w.call(annID)
		w.assertShows("Busy/InACall", annID)
		w.teams(annID, presence.Busy, presence.ActivityInAConferenceCall)
		w.assertShows("Busy/InAConferenceCall", annID)
	})
}

func TestPreferredPresenceNeedsASession(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		require.NoError(w, w.SetPreferred(annID, presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb}))
		w.assertShows("Offline/Offline", annID)
		w.call(annID)
		w.assertShows("DoNotDisturb/DoNotDisturb", annID)
		require.NoError(w, w.SetPreferred(annID, presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}))
		w.assertShows("Available/Available", annID)
		require.NoError(w, w.SetPreferred(annID, presence.Session{}))
		w.assertShows("Busy/InACall", annID)
		assert.Error(w, w.SetPreferred(annID, presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}))
	})
}

func TestPreferredPresenceEnds(t *testing.T) {
	for _, tc := range []struct {
		preferred presence.Session
		after     time.Duration
	}{
		{presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}, 7 * 24 * time.Hour},
		{presence.Session{Availability: presence.Busy, Activity: presence.ActivityBusy}, 24 * time.Hour},
		{presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityDoNotDisturb}, 24 * time.Hour},
		{presence.Session{Availability: presence.BeRightBack, Activity: presence.ActivityBeRightBack}, 7 * 24 * time.Hour},
		{presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}, 7 * 24 * time.Hour},
		{presence.Session{Availability: presence.Offline, Activity: presence.ActivityOffWork}, 7 * 24 * time.Hour},
	} {
		t.Run(tc.preferred.String(), func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				w.teams(annID, presence.Busy, presence.ActivityInACall)
				status, body := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setUserPreferredPresence",
					map[string]any{"availability": tc.preferred.Availability, "activity": tc.preferred.Activity})
				require.Equal(w, http.StatusOK, status, body)
				time.Sleep(tc.after - time.Second)
				w.assertShows(tc.preferred.String(), annID)
				time.Sleep(time.Second)
				w.assertShows("Busy/InACall", annID)
				last := w.PresenceChanges(annID)[len(w.PresenceChanges(annID))-1]
				assert.Equal(w, graphtest.CauseLapse, last.Cause)
			})
		})
	}
}

func TestCalendar(t *testing.T) {
	for _, tc := range []struct {
		session presence.Session
		want    string
	}{
		{presence.Session{Availability: presence.Available, Activity: presence.ActivityAvailable}, "Busy/InAMeeting"},
		{presence.Session{Availability: presence.Busy, Activity: presence.ActivityBusy}, "Busy/InAMeeting"},
		{presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}, "Busy/InACall"},
		{presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting}, "DoNotDisturb/Presenting"},
		{presence.Session{Availability: presence.Away, Activity: presence.ActivityAway}, "Away/Away"},
		{presence.Session{}, "Offline/Offline"},
	} {
		t.Run(tc.session.String(), func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				require.NoError(w, w.SetCalendar(annID, true))
				w.teams(annID, tc.session.Availability, tc.session.Activity)
				w.assertShows(tc.want, annID)
			})
		})
	}
	t.Run("assumed to show without a session", func(t *testing.T) {
		inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{CalendarWithoutSession: true}}, func(w *world) {
			require.NoError(w, w.SetCalendar(annID, true))
			w.assertShows("Busy/InAMeeting", annID)
		})
	})
}

func TestOutOfOffice(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		require.NoError(w, w.SetOutOfOffice(annID, true))
		w.assertShows("Offline/OutOfOffice, out of office", annID)
		w.teams(annID, presence.Available, "")
		w.assertShows("Available/OutOfOffice, out of office", annID)
		w.call(annID)
		w.assertShows("Busy/InACall, out of office", annID)
		_, body := w.do(w.appToken(), "GET", "users/"+annID+"/presence", nil)
		assert.Equal(w, map[string]any{"isOutOfOffice": true, "message": nil}, body["outOfOfficeSettings"])
	})
}

func TestAvailableSessionFades(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		status, _ := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setPresence", w.setBody("Available", "Available", "PT4H"))
		require.Equal(w, http.StatusOK, status)
		start := time.Now()
		time.Sleep(5*time.Minute - time.Second)
		w.assertShows("Available/Available", annID)
		time.Sleep(time.Second)
		w.assertShows("Available/AvailableInactive", annID)
		time.Sleep(5 * time.Minute)
		w.assertShows("Away/Away", annID)
		time.Sleep(4*time.Hour - 10*time.Minute)
		w.assertShows("Offline/Offline", annID)

		var causes []graphtest.Cause
		var after []time.Duration
		for _, c := range w.PresenceChanges(annID) {
			causes, after = append(causes, c.Cause), append(after, c.Time.Sub(start))
		}
		assert.Equal(w, []graphtest.Cause{graphtest.CauseApplication, graphtest.CauseFade, graphtest.CauseFade, graphtest.CauseLapse}, causes)
		assert.Equal(w, []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 4 * time.Hour}, after)
	})
}

func TestKeepAliveStopsTheFade(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		for range 10 {
			status, _ := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setPresence", w.setBody("Available", "Available", "PT1H"))
			require.Equal(w, http.StatusOK, status)
			time.Sleep(4 * time.Minute)
			w.assertShows("Available/Available", annID)
		}
	})
}

func TestSessionLapsesAndOthersRemain(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.teams(annID, presence.Available, "")
		w.call(annID)
		time.Sleep(time.Hour - time.Second)
		w.assertShows("Busy/InACall", annID)
		require.Len(w, w.Sessions(annID), 2)
		assert.Equal(w, time.Now().Add(time.Second), w.Sessions(annID)[1].ExpiresAt)
		time.Sleep(time.Second)
		w.assertShows("Available/Available", annID)
		assert.Len(w, w.Sessions(annID), 1)
	})
}

func TestSessionsOfSeveralApplicationsAreIndependent(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.call(annID)
		other := w.AddApplication(graphtest.Application{Name: "other"})
		first := w.app
		w.app = other
		status, _ := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setPresence", w.setBody("DoNotDisturb", "Presenting", ""))
		require.Equal(w, http.StatusOK, status)
		w.assertShows("DoNotDisturb/Presenting", annID)
		w.app = first
		status, _ = w.do(w.appToken(), "POST", "users/"+annID+"/presence/clearPresence", map[string]any{"sessionId": strings.ToUpper(first.ClientID)})
		require.Equal(w, http.StatusOK, status)
		w.assertShows("DoNotDisturb/Presenting", annID)
		time.Sleep(5 * time.Minute)
		w.assertShows("Offline/Offline", annID)
	})
}

func TestSessionTimeScale(t *testing.T) {
	inBubble(t, &graphtest.Options{SessionTimeScale: 60}, func(w *world) {
		w.call(annID)
		time.Sleep(time.Minute - time.Millisecond)
		w.assertShows("Busy/InACall", annID)
		time.Sleep(time.Millisecond)
		w.assertShows("Offline/Offline", annID)
	})
}

func TestReadBackDelay(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{ReadBackDelay: 2 * time.Second}}, func(w *world) {
		token := w.appToken()
		read := func() any {
			_, body := w.do(token, "GET", "users/"+annID+"/presence", nil)
			return body["availability"]
		}
		w.call(annID)
		w.assertShows("Busy/InACall", annID)
		assert.Equal(w, "Offline", read())
		time.Sleep(time.Second)
		// A change of the user's own comes into sight after the one before it.
		w.teams(annID, presence.DoNotDisturb, "")
		assert.Equal(w, "Offline", read())
		time.Sleep(time.Second)
		assert.Equal(w, "DoNotDisturb", read())
	})
}

func TestReportInACallAs(t *testing.T) {
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{ReportInACallAs: presence.ActivityBusy}}, func(w *world) {
		w.call(annID)
		w.assertShows("Busy/Busy", annID)
		w.teams(annID, presence.Busy, presence.ActivityInACall)
		w.assertShows("Busy/InACall", annID)
	})
}

func TestSequenceNumbersRise(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		before := w.Presence(annID).SequenceNumber
		require.NotEmpty(w, before)
		for range 3 {
			for _, a := range []presence.Availability{presence.Available, presence.Busy} {
				w.teams(annID, a, "")
				after := w.Presence(annID).SequenceNumber
				assert.Positive(w, strings.Compare(after, before), "%s after %s", after, before)
				before = after
				w.teams(annID, a, "")
				assert.Equal(w, before, w.Presence(annID).SequenceNumber, "no change, no version")
			}
		}
	})
}

func TestOnChangeKeepsTheOrder(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		var seen []string
		w.OnChange(func(c graphtest.Change) {
			assert.Equal(w, annID, c.UserID)
			// The function may use the server, also to change presence.
			if c.Presence.Availability == presence.Available {
				assert.NoError(w, w.SetClient(annID, "mobile", presence.DoNotDisturb, ""))
			}
		})
		w.OnChange(func(c graphtest.Change) { seen = append(seen, c.Presence.String()) })
		w.teams(annID, presence.Available, "")
		assert.Equal(w, []string{"Available/Available", "DoNotDisturb/DoNotDisturb"}, seen)
		history := w.History()
		require.Len(w, history, 2)
		assert.Equal(w, "Available/Available", history[1].Previous.String())
		assert.Equal(w, graphtest.CauseClient, history[1].Cause)
	})
}

func TestUnknownUser(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		nobody := "99999999-9999-4999-8999-999999999999"
		assert.Error(w, w.SetClient(nobody, "desktop", presence.Busy, ""))
		assert.Error(w, w.SetCalendar(nobody, true))
		assert.Zero(w, w.Presence(nobody))
		assert.Empty(w, w.Sessions(nobody))
		w.call(annID)
		w.RemoveUser(annID)
		w.RemoveUser(annID)
		time.Sleep(2 * time.Hour)
		assert.Zero(w, w.Presence(annID))
	})
}

// Whatever happens, the history explains what a user shows: each change begins
// where the one before it ended, none is empty, and the last is what shows.
func TestHistoryIsConsistent(t *testing.T) {
	s, err := graphtest.NewServer(nil)
	require.NoError(t, err)
	defer s.Close()
	rapid.Check(t, func(t *rapid.T) {
		u := s.AddUser(graphtest.User{})
		actions := map[string]func(*rapid.T){
			"client": func(t *rapid.T) {
				a := rapid.SampledFrom(append(presence.Availabilities(), "")).Draw(t, "availability")
				_ = s.SetClient(u.ID, rapid.SampledFrom([]string{"desktop", "mobile"}).Draw(t, "device"), a, "")
			},
			"calendar": func(t *rapid.T) { _ = s.SetCalendar(u.ID, rapid.Bool().Draw(t, "meeting")) },
			"office":   func(t *rapid.T) { _ = s.SetOutOfOffice(u.ID, rapid.Bool().Draw(t, "out")) },
			"preferred": func(t *rapid.T) {
				_ = s.SetPreferred(u.ID, rapid.SampledFrom([]presence.Session{{}, {Availability: presence.Away, Activity: presence.ActivityAway}}).Draw(t, "preferred"))
			},
			"": func(t *rapid.T) {
				changes := s.PresenceChanges(u.ID)
				for i, c := range changes {
					if c.Presence.SameState(c.Previous) {
						t.Fatalf("change %d changes nothing: %v", i, c)
					}
					if i > 0 && c.Previous != changes[i-1].Presence {
						t.Fatalf("change %d does not begin where the one before ended", i)
					}
				}
				if n := len(changes); n > 0 && changes[n-1].Presence != s.Presence(u.ID) {
					t.Fatalf("the last change is %v, but %v shows", changes[n-1].Presence, s.Presence(u.ID))
				}
			},
		}
		t.Repeat(actions)
	})
}
