package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// textReport is a report with a text form.
type textReport interface{ WriteText(w io.Writer) error }

// textOf is the text form of a report.
func textOf(t *testing.T, r textReport) []byte {
	var b bytes.Buffer
	require.NoError(t, r.WriteText(&b))
	return b.Bytes()
}

// again checks that the JSON form of a report gives the same report back, and returns
// it.
func again[T any](t *testing.T, report *T) []byte {
	document, err := json.MarshalIndent(report, "", "  ")
	require.NoError(t, err)
	var back T
	require.NoError(t, json.Unmarshal(document, &back))
	assert.Equal(t, *report, back)
	return append(document, '\n')
}

// turnedDown is Ada in a call whose session Microsoft Graph refuses, with two telephones.
func turnedDown() *desk {
	d := newDesk()
	d.call()
	e := d.explanation
	second := presence.Line{Endpoint: "2002", State: presence.LineIdle}
	d.lines = append(d.lines, second)
	e.User.Endpoints, e.User.Groups = []string{"2001", "2002"}, []string{"sales"}
	e.Endpoints = append(e.Endpoints, presencebridge.EndpointReading{Endpoint: "2002", Line: second, ReadAt: e.At.Add(-time.Minute)})
	d.presence = e.Basis
	e.Presence, e.Own = e.Basis, false
	e.SessionState, e.Session = presencebridge.SessionNone, presence.Session{}
	e.SessionOpenedAt, e.SessionRenewedAt, e.SessionExpiresAt = time.Time{}, time.Time{}, time.Time{}
	err := advised{fmt.Errorf("graph: set presence: %w: Authorization_RequestDenied", presence.ErrForbidden)}
	e.Failures = []presencebridge.Failure{{Connection: "teams-write", Failures: 4, At: e.At.Add(-20 * time.Second), NextAt: e.At.Add(10 * time.Second), Error: err.Error()}}
	e.Writes = []presencebridge.Write{{
		Time: e.At.Add(-20 * time.Second), User: e.User, Destination: presencebridge.DestinationTeams, Operation: "set", Session: e.WantedSession,
		Rule: e.SessionRule, Cause: presencebridge.Cause{Trigger: presencebridge.TriggerNotification, Line: d.lines[0]}, Duration: 80 * time.Millisecond, Err: err, Error: err.Error(),
	}}
	d.block(presencebridge.BlockBackoff, "")
	return d
}

func TestUserReportsAsTextAndJSON(t *testing.T) {
	for name, prepare := range map[string]func() *desk{
		"user_call":    func() *desk { d := newDesk(); d.call(); return d },
		"user_refused": turnedDown,
		"user_unread": func() *desk {
			d := newDesk()
			d.lines, d.linesErr = nil, fmt.Errorf("cloudlink: read line: the answer is <html>: %w", presence.ErrUnavailable)
			d.accountErr = context.DeadlineExceeded
			d.explanation.Watched, d.explanation.WatchSentence = false, "No presence monitor watches the user."
			return d
		},
		"user_ambiguous": func() *desk {
			d := newDesk()
			d.outside()
			for i, side := range []presence.Side{presence.SideTeams, presence.SideCloudLink, presence.SideCloudLink} {
				d.roster.Excluded = append(d.roster.Excluded, presence.Exclusion{
					Side: side, ID: fmt.Sprint("x-", i), Email: "ada@example.com", Reason: presence.ReasonAmbiguous,
					Detail: "Ada (ada@example.com) in Entra and Ada, Reception in CloudLink share an address: give each person an address of their own",
				})
			}
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				report, err := prepare().check(t, &UserOptions{Name: "acme"}).Check(t.Context(), "ada@example.com")
				require.NoError(t, err)
				golden(t, "testdata/"+name+".txt", string(textOf(t, report)))
				document := again(t, report)
				copied, err := report.Copy()
				require.NoError(t, err)
				assert.JSONEq(t, string(document), string(copied))
				golden(t, "testdata/"+name+".json", string(copied))
			})
		})
	}
}

func TestResetReportsAsTextAndJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		e := d.explanation
		d.reset = presencebridge.PhoneReset{
			User: e.User, At: e.At, Done: e.At.Add(time.Second), SessionCleared: true, Summary: "The telephones were read again (idle), and the session that Teams held was ended.",
			Before: presencebridge.PhoneState{Endpoints: e.Endpoints, Line: presence.Line{Endpoint: "2001", State: presence.LineConnected}, LineReadAt: e.LineReadAt, SessionState: presencebridge.SessionOpen, Session: presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}},
			After:  presencebridge.PhoneState{Endpoints: e.Endpoints, Line: e.Line, LineReadAt: e.At, SessionState: presencebridge.SessionNone},
			Writes: []presencebridge.Write{{Time: e.At, User: e.User, Destination: presencebridge.DestinationTeams, Operation: "clear"}},
		}
		// By the other address of the Entra account.
		report, err := d.check(t, &UserOptions{Name: "acme"}).ResetPhone(t.Context(), "ada.lovelace@example.com")
		require.NoError(t, err)
		assert.Equal(t, ExitPassed, report.ExitCode())
		golden(t, "testdata/user_reset.txt", string(textOf(t, report)))
		golden(t, "testdata/user_reset.json", string(again(t, report)))

		d.reset.Failures = []presencebridge.Failure{{Connection: "teams-write", Error: "graph: 503"}}
		report, err = d.check(t, nil).ResetPhone(t.Context(), "ada@example.com")
		require.NoError(t, err)
		assert.Equal(t, ExitFailed, report.ExitCode(), "the reset is not complete, though all hops agree")

		d.resetErr = presencebridge.ErrStopped
		report, err = d.check(t, nil).ResetPhone(t.Context(), "ada@example.com")
		require.ErrorIs(t, err, presencebridge.ErrStopped)
		require.NotNil(t, report)
		assert.Nil(t, report.After)
		assert.Equal(t, ExitFailed, report.ExitCode())
		again(t, report)
	})
}

func TestAResetOfNobody(t *testing.T) {
	d := newDesk()
	report, err := d.check(t, nil).ResetPhone(t.Context(), "nobody@example.com")
	require.ErrorIs(t, err, presencebridge.ErrUnknownUser)
	assert.Nil(t, report)
	d.outside()
	report, err = d.check(t, nil).ResetPhone(t.Context(), "ada@example.com")
	require.ErrorIs(t, err, presencebridge.ErrUnknownUser, "there is an account, and the bridge does not know it")
	assert.Nil(t, report)
	_, err = d.check(t, nil).ResetPhone(t.Context(), " ")
	require.ErrorIs(t, err, ErrNoEmail)
}

func TestSyncReportsAsTextAndJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		half := presencebridge.SyncReport{Total: 5, Skipped: 1, Read: 2, Done: 2, Changed: 1, AlreadyRight: 1}
		whole := presencebridge.SyncReport{
			Total: 5, Skipped: 1, Read: 4, Done: 5, Changed: 2, AlreadyRight: 1,
			Blocked: map[string]presencebridge.Block{"id-ada": presencebridge.BlockOwnSession},
			Failed:  map[string]string{"id-gone": "micollab: client_secret=hunter2hunter2 refused"},
		}
		d.sync = []presencebridge.SyncReport{half, whole}
		var told []presencebridge.SyncReport
		report, err := d.check(t, &UserOptions{Name: "acme"}).SyncAll(t.Context(), func(r presencebridge.SyncReport) { told = append(told, r) })
		require.NoError(t, err)
		assert.Equal(t, ExitFailed, report.ExitCode())
		require.Len(t, told, 2)
		assert.Equal(t, half, told[0])
		assert.NotContains(t, fmt.Sprint(told), "hunter2", "progress leaves the process too")
		golden(t, "testdata/user_sync.txt", string(textOf(t, report)))
		golden(t, "testdata/user_sync.json", string(again(t, report)))

		d.syncErr = context.Canceled
		report, err = d.check(t, nil).SyncAll(t.Context(), nil)
		require.ErrorIs(t, err, context.Canceled)
		assert.False(t, report.Complete)
		assert.Contains(t, string(textOf(t, report)), "It ended before everybody was done: context canceled.")
		assert.Equal(t, ExitFailed, report.ExitCode())
		again(t, report)

		d.syncErr, d.sync = nil, []presencebridge.SyncReport{half}
		report, err = d.check(t, nil).SyncAll(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, ExitPassed, report.ExitCode())
		assert.Contains(t, string(textOf(t, report)), "Everybody was done.")

		half.Failed = map[string]string{}
		for i := range 60 {
			half.Failed[fmt.Sprintf("id-%02d", i)] = "no"
		}
		d.sync = []presencebridge.SyncReport{half}
		report, err = d.check(t, nil).SyncAll(t.Context(), nil)
		require.NoError(t, err)
		assert.Len(t, report.Failed, 60, "the JSON form names all")
		assert.Contains(t, string(textOf(t, report)), "id-49: no\n  and 10 more\n")
	})
}

// flood makes everything of the desk long and many.
func (d *desk) flood(text string, many int) {
	err := errors.New(text)
	d.accountErr, d.linesErr, d.presenceErr, d.personErr, d.presentErr, d.statusErr = err, err, err, err, err, err
	e := d.explanation
	for i := range many {
		endpoint := fmt.Sprint("30", i)
		e.User.Endpoints = append(e.User.Endpoints, endpoint)
		e.User.Groups = append(e.User.Groups, "group "+endpoint)
		e.Endpoints = append(e.Endpoints, presencebridge.EndpointReading{Endpoint: endpoint, Line: d.lines[0], ReadAt: e.At})
	}
	e.SessionRule, e.StatusRule, e.WatchSentence, e.OutrankedSentence = text, text, text, text
	for _, connection := range []string{"teams-read", "teams-write", "phone-read", "micollab-read", "micollab-write"} {
		e.Failures = append(e.Failures, presencebridge.Failure{Connection: connection, Error: text})
	}
	for range 8 {
		e.Writes = append(e.Writes, presencebridge.Write{User: e.User, Destination: presencebridge.DestinationTeams, Rule: text, Err: err, Error: text})
	}
	e.OutrankedSince = e.At
	d.reset = presencebridge.PhoneReset{User: e.User, Before: presencebridge.PhoneState{Endpoints: e.Endpoints}, After: presencebridge.PhoneState{Endpoints: e.Endpoints}, Writes: e.Writes, Failures: e.Failures, Summary: text}
	d.sync = []presencebridge.SyncReport{{Total: 1, Failed: map[string]string{"id-ada": text, text: "no"}}}
}

func TestAUserReportIsSmallEnoughToAttach(t *testing.T) {
	const most = 64 << 10
	long := strings.Repeat("<html>something went very wrong</html> ", 100)
	d := newDesk()
	d.flood(long, 500)
	report := d.once(t, "ada@example.com")
	document, err := report.Copy()
	require.NoError(t, err)
	assert.Less(t, len(document), most)
	assert.Contains(t, string(document), `"more endpoints"`)
	assert.Len(t, report.Explanation.Endpoints, maxListed)
	assert.Len(t, d.explanation.Endpoints, 501, "what the bridge holds is left alone")

	reset, err := d.check(t, &UserOptions{Settle: -1}).ResetPhone(t.Context(), "ada@example.com")
	require.NoError(t, err)
	reset.After = nil
	document, err = json.MarshalIndent(reset, "", "  ")
	require.NoError(t, err)
	assert.Less(t, len(document), most)

	d = newDesk()
	d.outside()
	for i := range 1000 {
		d.roster.Excluded = append(d.roster.Excluded, presence.Exclusion{Side: presence.SideCloudLink, ID: fmt.Sprint(i), Email: "ada@example.com", Reason: presence.ReasonAmbiguous, Detail: long})
	}
	document, err = d.once(t, "ada@example.com").Copy()
	require.NoError(t, err)
	assert.Less(t, len(document), most)
	assert.Contains(t, string(document), "984 more entries")
}

func TestAUserReportIsAboutOnePerson(t *testing.T) {
	d := newDesk()
	bob := presence.User{TeamsID: "id-bob", Email: "bob@example.com"}
	d.roster.Users = append(d.roster.Users, bob)
	d.roster.Limited = []presence.Limitation{{User: bob, Detail: "bob has no telephone"}}
	d.roster.Excluded = []presence.Exclusion{{ID: "id-cy", Email: "cy@example.com", Detail: "cy is disabled"}}
	d.roster.TeamsOnly = []presence.TeamsUser{{ID: "id-dan", PrincipalName: "dan@example.com"}}
	for _, outside := range []bool{false, true} {
		if outside {
			d.explanation = nil
		}
		document, err := d.once(t, "ada@example.com").Copy()
		require.NoError(t, err)
		for _, other := range []string{"bob", "cy", "dan"} {
			assert.NotContains(t, string(document), other)
		}
	}
}

func TestNothingThatATerminalObeysIsInAReport(t *testing.T) {
	d := newDesk()
	d.lines, d.linesErr = nil, errors.New("\x1b[31mhunter2\x00hunter2\u202e and\nmore")
	report, err := d.check(t, &UserOptions{Settle: -1, Secrets: []presence.Secret{presence.NewSecret("hunter2hunter2")}}).Check(t.Context(), "ada@example.com")
	require.NoError(t, err)
	assert.Equal(t, "[31m[removed] and more", report.Hop(HopTelephone).Error, "a secret is recognized without what was put between its letters")
	report.Name = "\x1b]0;acme\a"
	assert.Contains(t, string(textOf(t, report)), "bridge ]0;acme at", "a report that came from elsewhere is no better")
}

// FuzzNoReportHoldsASecret puts a secret into whatever a source says.
func FuzzNoReportHoldsASecret(f *testing.F) {
	const secret = "hunter2~correct-horse."
	f.Add("graph: refused: ", ".")
	f.Add("Authorization: Bearer ", "\n")
	f.Add("{\"client_secret\":\"", "\"}")
	f.Add(strings.Repeat("é", 590), "")
	f.Add("\x1b[31m\u202e", "\x00")
	f.Fuzz(func(t *testing.T, prefix, suffix string) {
		if strings.Contains(prefix+suffix, secret[:12]) {
			t.Skip("it says the secret by itself")
		}
		text := prefix + secret + suffix
		d := newDesk()
		d.flood(text, 2)
		d.explanation.Shown, d.status, d.person.Extension, d.presentity.Reason = presence.Status(text), presence.Status(text), text, text
		check := d.check(t, &UserOptions{Settle: -1, Secrets: []presence.Secret{presence.NewSecret(secret)}})
		var all bytes.Buffer
		keep := func(report textReport) {
			require.NoError(t, report.WriteText(&all))
			require.NoError(t, json.NewEncoder(&all).Encode(report))
		}
		// Each source fails alone, so that its error comes as far as the parting.
		faults := []*error{&d.accountErr, &d.linesErr, &d.presenceErr, &d.personErr, &d.presentErr, &d.statusErr}
		err := d.accountErr
		for only := range faults {
			for i, fault := range faults {
				*fault = nil
				if i == only {
					*fault = err
				}
			}
			d.explanation.User.Endpoints = []string{"2001"}
			report, err := check.Check(t.Context(), "ada@example.com")
			require.NoError(t, err)
			keep(report)
		}
		sync, syncErr := check.SyncAll(t.Context(), func(r presencebridge.SyncReport) { fmt.Fprint(&all, r) })
		require.NoError(t, syncErr)
		keep(sync)
		reset, resetErr := check.ResetPhone(t.Context(), "ada@example.com")
		require.NoError(t, resetErr)
		keep(reset)
		d.outside()
		d.roster.Excluded = []presence.Exclusion{{Email: "ada@example.com", Detail: text}}
		report, checkErr := check.Check(t.Context(), "ada@example.com")
		require.NoError(t, checkErr)
		keep(report)
		require.NotContains(t, all.String(), secret[:12])
	})
}
