package verify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// office is both systems in memory, of which a real bridge keeps Ada and Bob in step.
// Nothing tells the bridge of a change: every notification is lost.
type office struct {
	mu       sync.Mutex
	roster   presence.Roster
	clients  map[string]presence.Presence // what people show in Teams by themselves
	sessions map[string]presence.Session
	lapse    map[string]time.Time
	lines    map[string]presence.Line
	statuses map[string]presence.Status
	setErr   error // of every write to Teams
	writeErr error // of every write to MiCollab
	bridge   *presencebridge.Bridge
}

func newOffice() *office {
	o := &office{
		clients: map[string]presence.Presence{}, sessions: map[string]presence.Session{}, lapse: map[string]time.Time{},
		lines: map[string]presence.Line{}, statuses: map[string]presence.Status{},
	}
	for i, name := range []string{"ada", "bob"} {
		u := presence.User{TeamsID: "id-" + name, PrincipalID: "principal-" + name, Email: name + "@example.com", Name: name, Endpoints: []string{fmt.Sprint(2001 + i)}, PBX: presence.MiVoiceBusiness}
		o.roster.Users = append(o.roster.Users, u)
		o.clients[u.TeamsID] = presence.Presence{Availability: presence.Available, Activity: presence.ActivityAvailable}
		o.lines[u.TeamsID] = presence.Line{Endpoint: u.Endpoints[0], State: presence.LineIdle}
		o.statuses[u.TeamsID] = presence.StatusAvailable
	}
	return o
}

// open runs a bridge over the office, and returns the user check once no session of an
// earlier run can be left.
func (o *office) open(t *testing.T) *UserCheck {
	c := o.start(t, presencebridge.Options{})
	time.Sleep(11 * time.Minute)
	return c
}

func (o *office) start(t *testing.T, opts presencebridge.Options) *UserCheck {
	opts.Direction, opts.ReconcileInterval, opts.UnwatchedInterval = presencebridge.Bidirectional, time.Hour, time.Hour
	b, err := presencebridge.New(presencebridge.Sides{Directory: o, Teams: o, Phones: o, Statuses: o}, &opts)
	require.NoError(t, err)
	o.bridge = b
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	c, err := NewUserCheck(UserSources{Bridge: b, Accounts: o, Phones: o, People: officePeople{o}, Statuses: o}, nil)
	require.NoError(t, err)
	return c
}

func (o *office) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *office) shows(id string) presence.Presence {
	p := o.clients[id]
	if s := o.sessions[id]; !s.IsZero() && time.Now().Before(o.lapse[id]) {
		p.Availability, p.Activity = s.Availability, s.Activity
	}
	p.UserID = id
	return p
}

func (o *office) Roster(context.Context) (presence.Roster, error) { return o.roster, nil }
func (o *office) Presences(_ context.Context, ids []string) ([]presence.Presence, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]presence.Presence, len(ids))
	for i, id := range ids {
		all[i] = o.shows(id)
	}
	return all, nil
}
func (o *office) SetPresence(_ context.Context, id string, s presence.Session, lifetime time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.setErr == nil {
		o.sessions[id], o.lapse[id] = s, time.Now().Add(lifetime)
	}
	return o.setErr
}
func (o *office) ClearPresence(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.setErr == nil {
		delete(o.sessions, id)
	}
	return o.setErr
}
func (o *office) Lines(_ context.Context, u presence.User) ([]presence.Line, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return []presence.Line{o.lines[u.TeamsID]}, nil
}
func (o *office) Status(_ context.Context, u presence.User) (presence.Status, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.statuses[u.TeamsID], nil
}
func (o *office) SetStatus(_ context.Context, u presence.User, s presence.Status) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writeErr == nil {
		o.statuses[u.TeamsID] = s
	}
	return o.writeErr
}
func (o *office) User(_ context.Context, id string) (presence.TeamsUser, error) {
	for _, u := range o.roster.Users {
		if u.TeamsID == id {
			return presence.TeamsUser{ID: id, PrincipalName: u.Email, Enabled: true}, nil
		}
	}
	return presence.TeamsUser{}, presence.ErrNotFound
}
func (o *office) UserByMail(context.Context, string) (presence.TeamsUser, error) {
	return presence.TeamsUser{}, presence.ErrNotFound
}
func (o *office) Presence(_ context.Context, id string) (presence.Presence, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shows(id), nil
}

type officePeople struct{ *office }

func (o officePeople) User(_ context.Context, id string) (cloudlink.User, error) {
	for _, u := range o.roster.Users {
		if u.PrincipalID == id {
			return cloudlink.User{ID: id, Email: u.Email}, nil
		}
	}
	return cloudlink.User{}, presence.ErrNotFound
}
func (o officePeople) Presentity(_ context.Context, id string) (cloudlink.Presentity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, u := range o.roster.Users {
		if u.PrincipalID == id {
			return cloudlink.Presentity{PrincipalID: id, Status: string(o.statuses[u.TeamsID])}, nil
		}
	}
	return cloudlink.Presentity{}, presence.ErrNotFound
}

const ada = "id-ada"

func TestTheUserCheckBesideARealBridge(t *testing.T) {
	busyIn := presence.Line{Endpoint: "2001", State: presence.LineConnected}
	inCall := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	for _, test := range []struct {
		name  string
		fault func(*office)
		hop   HopName
		heal  func(*testing.T, *office, *UserCheck)
	}{
		{"nothing", func(*office) {}, "", nil},
		{"a lost notification of the telephone", func(o *office) { o.lines[ada] = busyIn }, HopTelephone, func(t *testing.T, o *office, c *UserCheck) {
			reset, err := c.ResetPhone(t.Context(), "ada@example.com")
			require.NoError(t, err)
			assert.True(t, reset.Reset.SessionSet)
			assert.Equal(t, inCall, o.sessions[ada])
			require.NotNil(t, reset.After)
			assert.Nil(t, reset.After.Parting)
			assert.Equal(t, "Busy/InACall", reset.After.Hop(HopTeams).Now)
			assert.Equal(t, ExitPassed, reset.ExitCode())
		}},
		{"a lost notification of Teams", func(o *office) {
			o.clients[ada] = presence.Presence{Availability: presence.Away, Activity: presence.ActivityAway}
		}, HopTeams, func(t *testing.T, o *office, c *UserCheck) {
			var told []presencebridge.SyncReport
			report, err := c.SyncAll(t.Context(), func(r presencebridge.SyncReport) { told = append(told, r) })
			require.NoError(t, err)
			assert.True(t, report.Complete)
			assert.Equal(t, 2, report.Read)
			assert.Equal(t, 1, report.Changed)
			assert.Equal(t, 1, report.AlreadyRight)
			assert.NotEmpty(t, told)
			assert.Equal(t, presence.StatusAway, o.statuses[ada])
		}},
		{"a status set behind the bridge's back", func(o *office) { o.statuses[ada] = "Lunch" }, HopMiCollab, func(t *testing.T, o *office, c *UserCheck) {
			report, err := c.SyncAll(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, 1, report.Changed)
			assert.Equal(t, presence.StatusAvailable, o.statuses[ada])
		}},
		{"writing to Teams fails", func(o *office) {
			o.setErr = fmt.Errorf("graph: set presence: %w", presence.ErrForbidden)
			o.lines[ada] = busyIn
			o.bridge.PhoneChanged("2001", "")
		}, HopSession, func(t *testing.T, o *office, c *UserCheck) {
			o.change(func() { o.setErr = nil })
			reset, err := c.ResetPhone(t.Context(), "ada@example.com")
			require.NoError(t, err)
			assert.Nil(t, reset.After.Parting)
		}},
		{"writing to MiCollab fails", func(o *office) {
			o.writeErr = fmt.Errorf("micollab: set status: %w", presence.ErrUnavailable)
			o.clients[ada] = presence.Presence{Availability: presence.Away, Activity: presence.ActivityAway}
			o.bridge.TeamsChanged(ada)
		}, HopMiCollab, func(t *testing.T, o *office, c *UserCheck) {
			report, err := c.SyncAll(t.Context(), nil)
			require.NoError(t, err)
			require.Len(t, report.Failed, 1)
			assert.Equal(t, "ada@example.com", report.Failed[0].Email)
			assert.Contains(t, report.Failed[0].Reason, "service unavailable")
			assert.Equal(t, ExitFailed, report.ExitCode())
			o.change(func() { o.writeErr = nil })
			report, err = c.SyncAll(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, ExitPassed, report.ExitCode())
		}},
		{"something else ends the session", func(o *office) {
			o.lines[ada] = busyIn
			o.bridge.PhoneChanged("2001", "")
			time.AfterFunc(30*time.Second, func() {
				o.change(func() { delete(o.sessions, ada) })
				o.bridge.TeamsChanged(ada)
			})
		}, HopTeams, func(t *testing.T, o *office, c *UserCheck) {
			reset, err := c.ResetPhone(t.Context(), "ada@example.com")
			require.NoError(t, err)
			assert.Equal(t, inCall, o.sessions[ada])
			assert.True(t, reset.Reset.SessionSet)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice()
				c := o.open(t)
				o.change(func() { test.fault(o) })
				time.Sleep(time.Minute)
				report, err := c.Check(t.Context(), "ada@example.com")
				require.NoError(t, err)
				if test.hop == "" {
					require.Nil(t, report.Parting)
				} else {
					require.NotNil(t, report.Parting, "%+v", report.Hops)
					require.Equal(t, test.hop, report.Parting.Hop, report.Parting.Sentence)
				}
				bob, err := c.Check(t.Context(), "bob@example.com")
				require.NoError(t, err)
				assert.Nil(t, bob.Parting, "nothing is wrong with Bob")
				if test.heal == nil {
					return
				}
				test.heal(t, o, c)
				time.Sleep(time.Minute)
				report, err = c.Check(t.Context(), "ada@example.com")
				require.NoError(t, err)
				assert.Nil(t, report.Parting)
				assert.Equal(t, "ada@example.com", report.Email)
			})
		})
	}
}

func TestBridgesThatHoldBackOnPurposePartNowhere(t *testing.T) {
	inCall := presence.Line{Endpoint: "2001", State: presence.LineConnected}
	away := presence.Presence{Availability: presence.Away, Activity: presence.ActivityAway}
	for _, test := range []struct {
		name    string
		opts    presencebridge.Options
		prepare func(*office)
		then    func(*office)
		note    string
	}{
		{"dry run", presencebridge.Options{DryRun: true}, func(o *office) { o.lines[ada], o.clients[ada] = inCall, away }, nil, "This is a dry run"},
		{"a person who is one-way", presencebridge.Options{DirectionOf: func(presence.User) presencebridge.Direction { return presencebridge.OneWay }}, func(o *office) { o.lines[ada] = inCall },
			func(o *office) { o.clients[ada] = away }, "The direction of this person is one-way"},
		{"a person who is off", presencebridge.Options{DirectionOf: func(presence.User) presencebridge.Direction { return presencebridge.Off }}, func(*office) {},
			func(o *office) { o.lines[ada], o.clients[ada] = inCall, away }, "The direction of this person is off"},
		{"a start within a call that an earlier run has shown", presencebridge.Options{}, func(o *office) {
			o.lines[ada], o.sessions[ada], o.lapse[ada] = inCall, presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}, time.Now().Add(10*time.Minute)
		}, nil, "MiCollab keeps what the person showed before"},
		{"a start after a call that an earlier run has shown", presencebridge.Options{}, func(o *office) {
			o.sessions[ada], o.lapse[ada] = presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}, time.Now().Add(10*time.Minute)
		}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice()
				test.prepare(o)
				c := o.start(t, test.opts)
				time.Sleep(time.Minute)
				if test.then != nil {
					o.change(func() { test.then(o) })
				}
				report, err := c.Check(t.Context(), "ada@example.com")
				require.NoError(t, err)
				require.Nil(t, report.Parting, "%+v", report.Parting)
				assert.Contains(t, strings.Join(report.Notes, "\n"), test.note)
			})
		})
	}
}
