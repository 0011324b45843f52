package verify

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

const probed = "id-ada"

// teams is Microsoft Teams for one user, and the engine that is notified of it.
type teams struct {
	// base is what the user shows without the application's session, and manual
	// what the user has set by hand, which outranks it.
	base, manual presence.Availability
	// delay is how long a change takes to show, stuck that a session never goes.
	delay time.Duration
	stuck bool
	// setErr, clearErr and readErr are answered in this order, the last for ever;
	// lost: the session is set although setErr is the answer.
	setErr, clearErr, readErr []error
	lost                      bool
	// onSet, if there is one, is called when a session has been set.
	onSet func()
	// notified is after how long the engine hears of a change; zero: never.
	notified time.Duration

	mu          sync.Mutex
	session     presence.Session
	shown       presence.Availability
	lifetime    time.Duration
	sets, ends  int
	explanation *presencebridge.Explanation
	explainErr  error
}

func newTeams() *teams {
	return &teams{base: presence.Available, shown: presence.Available, explanation: &presencebridge.Explanation{Watched: true, Line: presence.Line{State: presence.LineIdle}}}
}

// next takes the next error of a list.
func next(list *[]error) error {
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	return err
}

func (s *teams) Presence(ctx context.Context, userID string) (presence.Presence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return presence.Presence{}, ctx.Err()
	}
	return presence.Presence{UserID: userID, Availability: s.shown, Activity: presence.Activity(s.shown)}, next(&s.readErr)
}

func (s *teams) SetPresence(_ context.Context, _ string, session presence.Session, lifetime time.Duration) error {
	s.mu.Lock()
	s.sets++
	err := next(&s.setErr)
	if err == nil || s.lost {
		s.session, s.lifetime = session, lifetime
		s.changed(session.Availability)
	}
	onSet := s.onSet
	s.mu.Unlock()
	if onSet != nil {
		onSet()
	}
	return err
}

func (s *teams) ClearPresence(ctx context.Context, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.ends++
	if err := next(&s.clearErr); err != nil {
		return err
	}
	s.session = presence.Session{}
	if !s.stuck {
		s.changed(s.base)
	}
	return nil
}

// changed makes the session's part of what shows change, and notifies.
func (s *teams) changed(to presence.Availability) {
	if s.manual != "" {
		to = s.manual
	}
	if s.delay == 0 {
		s.shown = to
	} else {
		time.AfterFunc(s.delay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.shown = to
		})
	}
	if s.notified > 0 {
		time.AfterFunc(s.delay+s.notified, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.explanation.NotifiedAt, s.explanation.PresenceReadAt = time.Now(), time.Now()
		})
	}
}

func (s *teams) Explain(string) (*presencebridge.Explanation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := *s.explanation
	return &e, s.explainErr
}

// open reports whether a session of the application is open.
func (s *teams) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.session.IsZero()
}

// probe makes the probe and, after it, the check of its notification.
func (s *teams) probe(ctx context.Context, t *testing.T, change func(*SystemSources)) (probe, notification Result) {
	t.Helper()
	p := newPlant()
	sources := p.sources()
	sources.Sessions, sources.Explain = s, s
	if change != nil {
		change(&sources)
	}
	c, err := NewSystemCheck(sources, p.settings(), &SystemOptions{ProbeUser: probed})
	require.NoError(t, err)
	var checks []Check
	for _, check := range c.checks {
		switch check.Code {
		case CodeProbe:
			check.DependsOn = nil
		case CodeProbeNotification:
			check.DependsOn = on(CodeProbe)
		default:
			continue
		}
		checks = append(checks, check)
	}
	c.checks = checks
	report, err := c.Run(ctx, nil)
	if ctx.Err() == nil {
		require.NoError(t, err)
	}
	probe, _ = report.Result(CodeProbe, "")
	notification, _ = report.Result(CodeProbeNotification, "")
	return probe, notification
}

func TestProbe(t *testing.T) {
	unavailable, forbidden := errors.Join(presence.ErrUnavailable), errors.Join(presence.ErrForbidden)
	for _, test := range []struct {
		name     string
		change   func(*teams)
		status   Status
		sentence string
		remedy   string
		session  string // that was set; empty: none
	}{
		{"shows and goes", func(*teams) {}, Passed, "", "", "Busy/InACall"},
		{"takes its time", func(s *teams) { s.delay = 80 * time.Second }, Passed, "", "", "Busy/InACall"},
		{"busy already", func(s *teams) { s.base, s.shown = presence.BusyIdle, presence.BusyIdle }, Passed, "", "", "DoNotDisturb/Presenting"},
		{"no other session", func(s *teams) { s.base, s.shown = presence.Offline, presence.Offline }, Passed, "", "", "Busy/InACall"},
		{"trouble in between", func(s *teams) { s.readErr = []error{nil, unavailable, unavailable, nil} }, Passed, "", "", "Busy/InACall"},
		{"is not to be disturbed", func(s *teams) { s.shown = presence.DoNotDisturb }, Warned, "outranks every session: nothing was set", "something else", ""},
		{"a status set by hand", func(s *teams) { s.manual, s.shown = presence.Away, presence.Away }, Failed, "Teams still showed Away/Away after 1m30s", "set by hand outranks every session", "Busy/InACall"},
		{"too slow", func(s *teams) { s.delay = 95 * time.Second }, Failed, "Teams still showed Available/Available", "", "Busy/InACall"},
		{"does not go", func(s *teams) { s.stuck = true }, Failed, "was cleared, and Teams still showed Busy/Busy after 1m30s", "busy meanwhile", "Busy/InACall"},
		{"in a call", func(s *teams) { s.explanation.Line.State = presence.LineConnected }, Warned, "The telephone of the test user is connected", "is idle", ""},
		{"rings", func(s *teams) { s.explanation.Line.State = presence.LineRinging }, Warned, "The telephone of the test user is ringing", "is idle", ""},
		{"the bridge holds a session", func(s *teams) {
			s.explanation.Session = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
		}, Warned, "holds a session of the test user: Busy/InACall", "is idle", ""},
		{"cannot be read", func(s *teams) { s.readErr = []error{forbidden} }, Failed, "presence of the test user id-ada cannot be read: forbidden", "Make sure", ""},
		{"is unknown", func(s *teams) { s.readErr = []error{presence.ErrNotFound} }, Failed, "cannot be read: not found", "Entra object id", ""},
		{"cannot be set", func(s *teams) { s.setErr = []error{forbidden} }, Failed, "could not be set: forbidden", "", "Busy/InACall"},
		{"no answer", func(s *teams) { s.setErr, s.lost = []error{unavailable}, true }, Failed, "could not be set: service unavailable", "when Microsoft Graph answers", "Busy/InACall"},
		{"gone by itself", func(s *teams) {
			s.clearErr = []error{presence.ErrNotFound}
			s.onSet = func() { s.lapse(10 * time.Second) }
		}, Passed, "", "", "Busy/InACall"},
		{"cleared at the second attempt", func(s *teams) { s.clearErr = []error{unavailable, nil} }, Passed, "", "", "Busy/InACall"},
		{"cannot be cleared", func(s *teams) { s.clearErr = []error{forbidden} }, Failed, "could not be cleared: forbidden. It lapses within 5m0s.", "", "Busy/InACall"},
		{"cannot be read any more", func(s *teams) { s.readErr = []error{nil, unavailable} }, Failed, "is not known, because the presence cannot be read: service unavailable", "", "Busy/InACall"},
		{"cannot be read after the end", func(s *teams) { s.readErr = []error{nil, nil, forbidden} }, Failed, "is gone is not known", "", "Busy/InACall"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTeams()
				test.change(s)
				r, _ := s.probe(t.Context(), t, nil)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Contains(t, r.Remedy, test.remedy)
				if test.session == "" {
					assert.Zero(t, s.sets)
					return
				}
				assert.Equal(t, 1, s.sets)
				assert.Equal(t, test.session, evidenceOf(r, "session"))
				assert.Positive(t, s.ends, "a session that may be open is ended in any case")
				assert.Equal(t, test.name == "cannot be cleared", s.open())
			})
		})
	}
}

// lapse makes the session end without anybody clearing it.
func (s *teams) lapse(after time.Duration) {
	time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.session = presence.Session{}
		s.changed(s.base)
	})
}

// Nobody who ends the run, and no process that dies, leaves the test user busy.
func TestProbeLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newTeams()
		s.delay = time.Hour
		s.onSet = func() { time.AfterFunc(10*time.Second, cancel) }
		r, _ := s.probe(ctx, t, nil)
		assert.Equal(t, Skipped, r.Status)
		synctest.Wait()
		assert.Equal(t, 1, s.ends)
		assert.False(t, s.open())
		assert.Equal(t, 5*time.Minute, s.lifetime)
	})
}

// The telephone of the test user rings during the probe: the bridge's session has
// taken the place of the probe's, and must outlive it.
func TestProbeDoesNotEndTheSessionOfTheBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTeams()
		s.onSet = func() {
			time.AfterFunc(time.Second, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.explanation.Session, s.explanation.SessionOpenedAt = s.session, time.Now()
			})
		}
		s.delay = 5 * time.Second
		r, _ := s.probe(t.Context(), t, nil)
		assert.Zero(t, s.ends)
		assert.True(t, s.open())
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, "telephone of the test user rang")
	})
}

func TestProbeIsOff(t *testing.T) {
	for _, r := range newPlant().only(t, nil, CodeProbe, CodeProbeNotification) {
		assert.Equal(t, NotApplicable, r.Status)
		assert.Contains(t, r.Sentence, "No test user is chosen")
	}
}

func TestProbeNotification(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(*teams)
		sources  func(*SystemSources)
		status   Status
		sentence string
	}{
		{"at once", func(s *teams) { s.notified = time.Second }, nil, Passed, ""},
		{"after a minute", func(s *teams) { s.notified = time.Minute }, nil, Passed, ""},
		{"never", func(*teams) {}, nil, Failed, "A monitor watches the test user, and no notification came of what the probe changed within 1m30s."},
		{"too late", func(s *teams) { s.notified = 3 * time.Minute }, nil, Failed, "no notification came"},
		{"read by chance", func(s *teams) { s.explanation.PresenceReadAt = time.Now().Add(10 * time.Second) }, nil, Failed, "by regular reading only"},
		{"told and not read", func(s *teams) { s.explanation.NotifiedAt = time.Now().Add(10 * time.Second) }, nil, Failed, "has not read the presence of the test user since"},
		{"told before", func(s *teams) { s.explanation.NotifiedAt = time.Now() }, nil, Failed, "no notification came"},
		{"another user of the pool", func(s *teams) { s.explanation.PresenceReadAt = time.Now().Add(10 * time.Second) }, func(sources *SystemSources) {
			sources.Monitors.(plantPool).pool.Monitors[0].Subscription.HeardAt = time.Now().Add(10 * time.Second)
		}, Failed, "by regular reading only"},
		{"read before", func(s *teams) { s.explanation.PresenceReadAt = time.Now() }, nil, Failed, "A monitor watches the test user"},
		{"without a pool", func(s *teams) { s.notified = time.Second }, func(s *SystemSources) { s.Monitors = nil }, Passed, ""},
		{"the bridge itself tells", func(s *teams) { s.notified = time.Second }, func(sources *SystemSources) {
			sources.Bridge, sources.Explain = struct {
				Bridge
				Explainer
			}{sources.Bridge, sources.Explain}, nil
		}, Passed, ""},
		{"not watched", func(s *teams) {
			s.explanation.Watched, s.explanation.WatchSentence = false, "There is no room."
		}, nil, NotApplicable, "No monitor watches the test user: There is no room."},
		{"not watched in one direction", func(s *teams) { s.explanation.Watched = false }, nil, NotApplicable, "only those are watched whose presence goes to MiCollab."},
		{"not in the roster", func(s *teams) { s.explainErr = presencebridge.ErrUnknownUser }, nil, NotApplicable, "does not keep the test user in step"},
		{"cannot be told", func(s *teams) { s.explainErr = errors.New("the bridge has gone") }, nil, Warned, "the bridge has gone"},
		{"nobody tells", func(*teams) {}, func(s *SystemSources) { s.Explain = nil }, Warned, "nobody tells"},
		{"nothing was set", func(s *teams) { s.explanation.Line.State = presence.LineHeld }, nil, NotApplicable, "The probe has set nothing"},
		{"the probe failed", func(s *teams) { s.setErr = []error{presence.ErrForbidden} }, nil, Skipped, "probe"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTeams()
				test.change(s)
				_, r := s.probe(t.Context(), t, test.sources)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				if test.name == "after a minute" {
					assert.Equal(t, "1m0s", evidenceOf(r, "notified after"))
					assert.Equal(t, "1m0s", evidenceOf(r, "read after"))
				}
			})
		})
	}
}
