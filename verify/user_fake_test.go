package verify

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// desk is everything that a user check looks at, in memory and in agreement: Ada,
// who is in no call and available. A test changes something in it. Its functions are
// told how often the bridge has been asked, so that a later reading can differ.
type desk struct {
	explanation *presencebridge.Explanation
	explainErr  error
	roster      presence.Roster
	accounts    map[string]presence.TeamsUser // by id and user principal name
	mails       map[string]presence.TeamsUser
	accountErr  error
	lines       []presence.Line
	linesErr    error
	presence    presence.Presence
	presenceErr error
	person      cloudlink.User
	personErr   error
	presentity  cloudlink.Presentity
	presentErr  error
	status      presence.Status
	statusErr   error
	reset       presencebridge.PhoneReset
	resetErr    error
	sync        []presencebridge.SyncReport
	syncErr     error

	// asked counts how often the bridge was asked; then, if set, is called each time.
	asked atomic.Int32
	then  func(d *desk, asked int)
	// hang keeps every source but the bridge from answering, whatever its context says.
	hang chan struct{}
	// panics, if set, is what every source but the bridge panics with.
	panics any
}

var errNoAccount = fmt.Errorf("graph: read user: %w", presence.ErrNotFound)

// newDesk returns a desk at which all is well.
func newDesk() *desk {
	now := time.Now()
	ada := presence.User{TeamsID: "id-ada", PrincipalID: "principal-ada", Email: "ada@example.com", Name: "Ada Lovelace", Endpoints: []string{"2001"}, PBX: presence.MiVoiceBusiness}
	idle := presence.Line{Endpoint: "2001", State: presence.LineIdle}
	shows := presence.Presence{UserID: "id-ada", Availability: presence.Available, Activity: presence.ActivityAvailable, SequenceNumber: "A0000000007"}
	account := presence.TeamsUser{ID: "id-ada", PrincipalName: "ada@example.com", Mail: "ada.lovelace@example.com", Name: "Ada Lovelace", Enabled: true}
	table := presence.DefaultTable()
	return &desk{
		roster:   presence.Roster{Users: []presence.User{ada}},
		accounts: map[string]presence.TeamsUser{"id-ada": account, "ada@example.com": account},
		mails:    map[string]presence.TeamsUser{"ada.lovelace@example.com": account},
		lines:    []presence.Line{idle}, presence: shows, status: presence.StatusAvailable,
		person:     cloudlink.User{ID: "principal-ada", Email: "Ada@example.com", Extension: "2001", SiteID: "site-1"},
		presentity: cloudlink.Presentity{PrincipalID: "principal-ada", Status: "Available", ModifiedOn: now.Add(-time.Hour)},
		explanation: &presencebridge.Explanation{
			At: now, User: ada, AccountDirection: presencebridge.Bidirectional, UserDirection: presencebridge.Bidirectional, Watched: true,
			Endpoints: []presencebridge.EndpointReading{{Endpoint: "2001", Line: idle, ReadAt: now.Add(-time.Minute)}}, Line: idle, LineReadAt: now.Add(-time.Minute),
			SessionRule: table.SessionRule(idle).String(), WantedEffect: "clear", SessionState: presencebridge.SessionNone,
			Presence: shows, PresenceReadAt: now.Add(-2 * time.Minute), Basis: shows, BasisReadAt: now.Add(-2 * time.Minute),
			StatusRule: table.StatusRule(shows).String(), Wanted: presence.StatusAvailable, Shown: presence.StatusAvailable, ShownAt: now.Add(-3 * time.Minute),
		},
	}
}

// call puts Ada into a call that everybody knows of.
func (d *desk) call() {
	e := d.explanation
	d.lines[0].State = presence.LineConnected
	e.Line, e.Endpoints[0].Line = d.lines[0], d.lines[0]
	e.SessionRule = presence.DefaultTable().SessionRule(e.Line).String()
	e.WantedEffect, e.WantedSession = "set", presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	e.SessionState, e.Session = presencebridge.SessionOpen, e.WantedSession
	e.SessionOpenedAt, e.SessionRenewedAt, e.SessionExpiresAt = e.At.Add(-time.Minute), e.At.Add(-time.Minute), e.At.Add(9*time.Minute)
	d.presence.Availability, d.presence.Activity = presence.Busy, presence.ActivityInACall
	e.Presence, e.Own, e.StatusBlock = d.presence, true, presencebridge.BlockOwnSession
	e.StatusSentence = e.StatusBlock.Sentence()
}

// block puts a reason why nothing is written into the explanation.
func (d *desk) block(teams, status presencebridge.Block) {
	e := d.explanation
	e.TeamsBlock, e.StatusBlock = teams, status
	e.TeamsSentence, e.StatusSentence = teams.Sentence(), status.Sentence()
}

// outside takes Ada out of the roster.
func (d *desk) outside() {
	d.explanation, d.roster = nil, presence.Roster{Users: []presence.User{{TeamsID: "id-bob"}}}
}

func (d *desk) answer(ctx context.Context) error {
	if d.panics != nil {
		panic(d.panics)
	}
	if d.hang != nil {
		<-d.hang
	}
	return ctx.Err()
}

func (d *desk) Explain(user string) (*presencebridge.Explanation, error) {
	n := int(d.asked.Add(1))
	if d.then != nil {
		d.then(d, n)
	}
	if d.explainErr != nil {
		return nil, d.explainErr
	}
	if e := d.explanation; e != nil && (user == e.User.TeamsID || user == e.User.PrincipalID || presence.NormalizeEmail(user) == e.User.Email) {
		copied := *e
		return &copied, nil
	}
	return nil, fmt.Errorf("%w: %s", presencebridge.ErrUnknownUser, user)
}
func (d *desk) Roster() presence.Roster { return d.roster }
func (d *desk) ResetPhone(_ context.Context, user string) (presencebridge.PhoneReset, error) {
	if _, err := d.Explain(user); err != nil {
		return presencebridge.PhoneReset{}, err
	}
	return d.reset, d.resetErr
}
func (d *desk) SyncAll(_ context.Context, progress func(presencebridge.SyncReport)) (presencebridge.SyncReport, error) {
	for _, r := range d.sync {
		if progress != nil {
			progress(r)
		}
	}
	return d.sync[len(d.sync)-1], d.syncErr
}
func (d *desk) User(ctx context.Context, id string) (presence.TeamsUser, error) {
	if err := errors.Join(d.answer(ctx), d.accountErr); err != nil {
		return presence.TeamsUser{}, err
	}
	if account, ok := d.accounts[id]; ok {
		return account, nil
	}
	return presence.TeamsUser{}, errNoAccount
}
func (d *desk) UserByMail(_ context.Context, mail string) (presence.TeamsUser, error) {
	if account, ok := d.mails[mail]; ok {
		return account, nil
	}
	return presence.TeamsUser{}, errNoAccount
}
func (d *desk) Presence(ctx context.Context, _ string) (presence.Presence, error) {
	return d.presence, errors.Join(d.answer(ctx), d.presenceErr)
}
func (d *desk) Lines(ctx context.Context, _ presence.User) ([]presence.Line, error) {
	return d.lines, errors.Join(d.answer(ctx), d.linesErr)
}
func (d *desk) Status(ctx context.Context, _ presence.User) (presence.Status, error) {
	return d.status, errors.Join(d.answer(ctx), d.statusErr)
}

// deskPeople is the desk's CloudLink, whose User has the name of the desk's Entra.
type deskPeople struct{ *desk }

func (d deskPeople) User(ctx context.Context, _ string) (cloudlink.User, error) {
	return d.person, errors.Join(d.answer(ctx), d.personErr)
}
func (d deskPeople) Presentity(ctx context.Context, _ string) (cloudlink.Presentity, error) {
	return d.presentity, errors.Join(d.answer(ctx), d.presentErr)
}

func (d *desk) check(t require.TestingT, opts *UserOptions) *UserCheck {
	c, err := NewUserCheck(UserSources{Bridge: d, Accounts: d, Phones: d, People: deskPeople{d}, Statuses: d}, opts)
	require.NoError(t, err)
	return c
}

// once reads once and reports.
func (d *desk) once(t *testing.T, email string) *UserReport {
	t.Helper()
	report, err := d.check(t, &UserOptions{Settle: -1}).Check(t.Context(), email)
	require.NoError(t, err)
	return report
}
