package verify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// advised is an error that says what to do.
type advised struct{ error }

func (advised) Remedy() string { return "Grant it." }

func (a advised) Unwrap() error { return a.error }

func TestOneFaultIsNamedAtItsHop(t *testing.T) {
	busy := presence.Presence{UserID: "id-ada", Availability: presence.Busy, Activity: presence.ActivityBusy}
	unavailable := fmt.Errorf("cloudlink: the answer is HTML and no JSON: %w", presence.ErrUnavailable)
	for _, test := range []struct {
		name     string
		fault    func(*desk)
		hop      HopName
		sentence string
		remedy   string
		by       Administrator
	}{
		{"account gone", func(d *desk) { d.accounts = nil }, HopMatch, "account with which the person was matched is gone", "Create the account again", AzureAdministrator},
		{"account disabled", func(d *desk) {
			d.accounts["id-ada"] = presence.TeamsUser{ID: "id-ada", PrincipalName: "ada@example.com"}
		}, HopMatch, "is disabled", "Enable the account", AzureAdministrator},
		{"account renamed", func(d *desk) {
			d.accounts["id-ada"] = presence.TeamsUser{ID: "id-ada", PrincipalName: "king@example.com", Enabled: true}
		}, HopMatch, "another address than the CloudLink user now: king@example.com", "Enter that address", CloudLinkAdministrator},
		{"user gone", func(d *desk) { d.personErr, d.presentErr = presence.ErrNotFound, presence.ErrNotFound }, HopMatch, "CloudLink has no user with the id principal-ada", "Create the CloudLink user again", CloudLinkAdministrator},
		{"user renamed", func(d *desk) { d.person.Email = "king@example.com" }, HopMatch, "another e-mail address for the person now: king@example.com", "wait until the bridge reads", CloudLinkAdministrator},
		{"user without address", func(d *desk) { d.person.Email = "" }, HopMatch, "no e-mail address for the person", "Enter the user principal name", CloudLinkAdministrator},

		{"telephone not read now", func(d *desk) { d.lines, d.linesErr = nil, unavailable }, HopTelephone, "The line state cannot be read: cloudlink: the answer is HTML", "Make the system check.", Operator},
		{"telephone forbidden", func(d *desk) { d.lines, d.linesErr = nil, advised{presence.ErrForbidden} }, HopTelephone, "cannot be read: forbidden", "Grant it.", CloudLinkAdministrator},
		{"telephone not told", func(d *desk) { d.lines = nil }, HopTelephone, "CloudLink did not tell it", "Make the system check.", CloudLinkAdministrator},
		{"one of two telephones not read", func(d *desk) {
			d.explanation.User.Endpoints = []string{"2001", "2002"}
			d.linesErr = unavailable
		}, HopTelephone, "The line state of 1 of the person's 2 telephones (2002) cannot be read", "Make the system check.", Operator},
		{"telephone never read", func(d *desk) {
			d.explanation.LineReadAt, d.explanation.Line = time.Time{}, presence.Line{}
			d.block(presencebridge.BlockLineUnread, "")
		}, HopTelephone, "has not read the telephone yet", "Wait a moment", Operator},
		{"telephone read half", func(d *desk) { d.block(presencebridge.BlockLineUnread, "") }, HopTelephone, "has not been read lately", "Reset the phone state", Operator},
		{"lost notification of the telephone", func(d *desk) { d.lines[0].State = presence.LineConnected }, HopTelephone, "The telephone shows connected, and the bridge holds idle, which it read 1m0s ago.", "Reset the phone state.", Operator},
		{"lost do-not-disturb", func(d *desk) { d.lines[0].DoNotDisturb = true }, HopTelephone, "shows idle+dnd, and the bridge holds idle", "Reset the phone state.", Operator},
		{"reading telephones fails", func(d *desk) {
			d.lines[0].State = presence.LineRinging
			d.explanation.Failures = []presencebridge.Failure{{Connection: "phone-read", Error: "cloudlink: throttled."}}
		}, HopTelephone, "The last request failed: cloudlink: throttled.", "Reset", Operator},
		{"unknown line", func(d *desk) {
			d.lines[0].State, d.explanation.Line.State = presence.LineUnknown, presence.LineUnknown
			d.explanation.WantedEffect = "leave"
			d.block(presencebridge.BlockLineUnknown, "")
		}, HopTelephone, "CloudLink does not know the state of the telephone", "in service", CloudLinkAdministrator},
		{"no such telephone", func(d *desk) {
			d.lines[0].State, d.explanation.Line.State = presence.LineUnknown, presence.LineUnknown
			d.linesErr = fmt.Errorf("endpoint \"2001\": %w", presence.ErrNotFound)
			d.block(presencebridge.BlockLineUnknown, "")
		}, HopTelephone, "CloudLink does not know the telephone: endpoint \"2001\": not found.", "Enter the extension", CloudLinkAdministrator},

		{"session not set", func(d *desk) {
			d.call()
			d.explanation.SessionState, d.explanation.Session = presencebridge.SessionNone, presence.Session{}
		}, HopSession, "The telephone asks for Busy/InACall in Teams, and the bridge's session is none.", "Reset the phone state.", Operator},
		{"session uncertain", func(d *desk) {
			d.call()
			d.explanation.SessionState = presencebridge.SessionUncertain
		}, HopSession, "Busy/InACall (uncertain: a request failed", "Reset the phone state.", Operator},
		{"another session", func(d *desk) {
			d.call()
			d.explanation.Session.Availability, d.explanation.Session.Activity = presence.DoNotDisturb, presence.ActivityPresenting
		}, HopSession, "the bridge's session is DoNotDisturb/Presenting (open)", "Reset the phone state.", Operator},
		{"session refused", func(d *desk) {
			d.call()
			d.explanation.SessionState, d.explanation.Session = presencebridge.SessionNone, presence.Session{}
			err := advised{presence.ErrForbidden}
			d.explanation.Writes = []presencebridge.Write{{Destination: presencebridge.DestinationTeams, Err: err, Error: err.Error()}, {Destination: presencebridge.DestinationMiCollab}}
			d.explanation.Failures = []presencebridge.Failure{{Connection: "teams-write", Error: err.Error()}}
			d.block(presencebridge.BlockBackoff, "")
		}, HopSession, "session is none. The last request failed: forbidden.", "Grant it.", AzureAdministrator},
		{"session fails", func(d *desk) {
			d.call()
			d.explanation.SessionState, d.explanation.Session = presencebridge.SessionNone, presence.Session{}
			d.explanation.Failures = []presencebridge.Failure{{Connection: "teams-write", Error: "graph: 503"}}
			d.block(presencebridge.BlockBackoff, "")
		}, HopSession, "The last request failed: graph: 503.", "again by itself", Operator},
		{"session damped", func(d *desk) {
			d.call()
			d.explanation.SessionState, d.explanation.Session = presencebridge.SessionNone, presence.Session{}
			d.block(presencebridge.BlockDamping, "")
		}, HopSession, "The state keeps changing", "Wait until the state has settled.", Operator},
		{"session stuck", func(d *desk) {
			d.call()
			d.lines[0].State, d.explanation.Line.State = presence.LineIdle, presence.LineIdle
			d.explanation.WantedEffect, d.explanation.WantedSession = "clear", presence.Session{}
		}, HopSession, "asks for no session in Teams, and the bridge's session is Busy/InACall (open)", "Reset the phone state.", Operator},
		{"session of a direction that is off", func(d *desk) {
			d.call()
			d.explanation.WantedEffect, d.explanation.WantedSession = "clear", presence.Session{}
			d.block(presencebridge.BlockOff, presencebridge.BlockOff)
		}, HopSession, "The telephone is not to reach Teams, and the bridge's session is still Busy/InACall (open).", "Reset the phone state.", Operator},

		{"Teams not read now", func(d *desk) { d.presenceErr = errors.New("graph: no.") }, HopTeams, "Teams presence cannot be read: graph: no.", "Make the system check.", AzureAdministrator},
		{"no license", func(d *desk) { d.presenceErr = presence.ErrNotFound }, HopTeams, "knows no presence of the person, and what is not known changes nothing in MiCollab", "license", AzureAdministrator},
		{"unknown presence", func(d *desk) {
			d.presence.Availability = presence.AvailabilityUnknown
			d.block("", presencebridge.BlockOneWay)
		}, HopTeams, "knows no presence of the person.", "license", AzureAdministrator},
		{"Teams never read", func(d *desk) {
			d.explanation.PresenceReadAt, d.explanation.Presence = time.Time{}, presence.Presence{}
		}, HopTeams, "has not read the person's Teams presence yet", "Wait a moment", Operator},
		{"lost notification of Teams", func(d *desk) { d.presence = busy }, HopTeams, "Teams shows Busy/Busy, and the bridge holds Available/Available, which it read 2m0s ago.", "Sync all.", Operator},
		{"out of office not heard of", func(d *desk) { d.presence.OutOfOffice = true }, HopTeams, "Teams shows Available/Available, out of office, and the bridge holds", "Sync all.", Operator},
		{"nobody watches", func(d *desk) {
			d.presence, d.explanation.Watched = busy, false
			d.explanation.WatchSentence = "No presence monitor watches the user."
		}, HopTeams, "No presence monitor watches the user.", "Wait for the next reading", Operator},
		{"a lower number that lasts", func(d *desk) {
			d.presence.Availability, d.presence.SequenceNumber = presence.Away, "A0000000001"
			d.explanation.PresenceReadAt = d.explanation.At.Add(-3 * time.Minute)
		}, HopTeams, "Teams shows Away/Available", "Sync all.", Operator},
		{"preferred presence", func(d *desk) {
			d.call()
			d.presence.Availability, d.presence.Activity = presence.Available, presence.ActivityAvailable
			e := d.explanation
			e.Presence, e.Own, e.Outranked, e.OutrankedSince, e.PreferredPresence = d.presence, false, d.presence, e.At.Add(-time.Minute), true
			e.OutrankedSentence = "A status was chosen."
			d.block("", "")
		}, HopTeams, "The bridge's session Busy/InACall is set, and Teams shows Available/Available. A status was chosen.", "Reset status", Operator},
		{"session gone", func(d *desk) {
			d.call()
			d.presence.Availability, d.presence.Activity = presence.Offline, presence.ActivityOffline
			e := d.explanation
			e.Presence, e.Outranked, e.OutrankedSince = d.presence, d.presence, e.At.Add(-time.Minute)
		}, HopTeams, "is set, and Teams shows Offline/Offline", "reset the phone state", Operator},

		{"CloudLink not read now", func(d *desk) { d.statusErr, d.presentErr = unavailable, unavailable }, HopCloudLink, "The presence that CloudLink holds cannot be read", "Make the system check.", Operator},
		{"MiCollab not read now", func(d *desk) { d.statusErr = errors.New("micollab: no") }, HopMiCollab, "MiCollab's status cannot be read: micollab: no.", "Make the system check.", MiCollabAdministrator},
		{"MiCollab cannot be read, and was never written", func(d *desk) {
			d.statusErr, d.explanation.Shown, d.presentity.Status = presence.ErrUnsupported, "", ""
		}, HopMiCollab, `should show "Available", because Teams showed Available/Available, and shows none.`, "Sync all.", Operator},
		{"MiCollab set by hand", func(d *desk) { d.status, d.presentity.Status = "Lunch", "Lunch" }, HopMiCollab, `and shows "Lunch". The bridge, which knows that it showed this 3m0s ago, has not heard of the change.`, "Sync all. If it happens again, find out who", Operator},
		{"MiCollab does not follow CloudLink", func(d *desk) { d.status = "Lunch" }, HopMiCollab, "CloudLink holds what it should show", "CloudLink integration is on", MiCollabAdministrator},
		{"MiCollab contested", func(d *desk) {
			d.status, d.explanation.Shown = "Lunch", "Lunch"
			d.block("", presencebridge.BlockContested)
		}, HopMiCollab, "Somebody else keeps changing the status back", "Find out who", MiCollabAdministrator},
		{"MiCollab damped", func(d *desk) {
			d.status, d.explanation.Shown = "Lunch", "Lunch"
			d.block("", presencebridge.BlockDamping)
		}, HopMiCollab, "The state keeps changing", "Wait until", Operator},
		{"MiCollab refuses", func(d *desk) {
			d.status, d.explanation.Shown = "Lunch", "Lunch"
			d.explanation.Writes = []presencebridge.Write{{Destination: presencebridge.DestinationMiCollab, Err: presence.ErrForbidden, Error: "forbidden"}}
			d.explanation.Failures = []presencebridge.Failure{{Connection: "micollab-write", Error: "forbidden"}}
			d.block("", presencebridge.BlockBackoff)
		}, HopMiCollab, "The last request failed: forbidden.", "again by itself", MiCollabAdministrator},
		{"MiCollab never read", func(d *desk) {
			d.status, d.presentity.Status, d.explanation.Shown, d.explanation.ShownAt = "Lunch", "", "", time.Time{}
			d.block("", presencebridge.BlockStatusUnread)
		}, HopMiCollab, "MiCollab status has not been read yet", "Sync all.", Operator},
		{"session of an earlier run", func(d *desk) {
			d.explanation.SessionState, d.explanation.EarlierSessionUntil = presencebridge.SessionUnknown, time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
			d.presence.Availability, d.explanation.Presence.Availability, d.explanation.Wanted = presence.Busy, presence.Busy, ""
			d.block("", presencebridge.BlockEarlierSession)
		}, HopMiCollab, "an earlier run of the bridge left behind", "Wait until 2026-03-04T05:06:07Z, or reset", Operator},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk()
			test.fault(d)
			report := d.once(t, "ada@example.com")
			require.NotNil(t, report.Parting, "%+v", report.Hops)
			assert.Equal(t, test.hop, report.Parting.Hop, report.Parting.Sentence)
			assert.Contains(t, report.Parting.Sentence, test.sentence)
			assert.Contains(t, report.Parting.Remedy, test.remedy)
			assert.Equal(t, test.by, report.Parting.Administrator)
			assert.NotContains(t, report.Parting.Sentence, "..")
			assert.Equal(t, ExitFailed, report.ExitCode())
		})
	}
}

func TestWhatIsAsItShouldBePartsNowhereAndIsNoted(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*desk)
		note string
	}{
		{"all is well", func(*desk) {}, ""},
		{"in a call", (*desk).call, "MiCollab keeps what the person showed before"},
		{"one-way account", func(d *desk) {
			d.explanation.AccountDirection = presencebridge.OneWay
			d.explanation.Wanted, d.status, d.statusErr = "", "Lunch", errors.New("no")
			d.block("", presencebridge.BlockOneWay)
		}, "The direction of the account is one-way"},
		{"one-way person, read long ago", func(d *desk) {
			d.explanation.UserDirection = presencebridge.OneWay
			d.presence.Availability, d.explanation.Wanted = presence.Away, ""
			d.block("", presencebridge.BlockOneWay)
		}, "The direction of this person is one-way"},
		{"off", func(d *desk) {
			d.explanation.UserDirection = presencebridge.Off
			d.lines[0].State, d.status, d.explanation.Wanted = presence.LineConnected, "Lunch", ""
			d.block(presencebridge.BlockOff, presencebridge.BlockOff)
		}, "The direction of this person is off"},
		{"no telephone", func(d *desk) {
			d.explanation.User.Endpoints, d.explanation.Endpoints, d.lines = nil, nil, nil
			d.explanation.Line, d.explanation.LineReadAt = presence.Line{}, time.Time{}
			d.roster.Limited = []presence.Limitation{{User: d.explanation.User, Direction: presence.LineToTeams, Detail: "there is no telephone"}}
			d.block(presencebridge.BlockNoEndpoint, "")
		}, "The direction line-to-teams is left alone: there is no telephone."},
		{"telephone system without Teams", func(d *desk) {
			d.explanation.Wanted = ""
			d.block("", presencebridge.BlockUnsupportedPBX)
		}, "does not support this direction"},
		{"dry run", func(d *desk) {
			d.call()
			d.explanation.SessionState, d.explanation.Session, d.explanation.Own = presencebridge.SessionNone, presence.Session{}, false
			d.status = "Lunch"
			d.block(presencebridge.BlockDryRun, presencebridge.BlockDryRun)
		}, "This is a dry run"},
		{"own do-not-disturb", func(d *desk) {
			d.lines[0].DoNotDisturb, d.explanation.Line.DoNotDisturb, d.explanation.OwnDoNotDisturb = true, true, true
		}, "follows a MiCollab status that the bridge wrote"},
		{"out of service", func(d *desk) {
			d.lines[0].State, d.explanation.Line.State, d.explanation.WantedEffect = presence.LineOutOfService, presence.LineOutOfService, "leave"
			d.block(presencebridge.BlockMapping, "")
		}, "Nothing is written to Teams: The mapping table leaves"},
		{"a status that the table leaves", func(d *desk) {
			d.explanation.Wanted, d.status = "", "Lunch"
			d.block("", presencebridge.BlockMapping)
		}, "Nothing is written to MiCollab: The mapping table leaves"},
		{"one telephone of two does not exist", func(d *desk) {
			d.explanation.User.Endpoints = []string{"2001", "2002"}
			d.lines = append(d.lines, presence.Line{Endpoint: "2002", State: presence.LineUnknown})
			d.linesErr = presence.ErrNotFound
		}, "CloudLink does not know every telephone"},
		{"Teams shows a stronger state", func(d *desk) {
			d.call()
			d.presence.Availability, d.presence.Activity = presence.DoNotDisturb, presence.ActivityDoNotDisturb
			e := d.explanation
			e.Presence, e.Outranked, e.OutrankedSince, e.OutrankedSentence = d.presence, d.presence, e.At, "Teams shows a stronger state."
		}, "Teams shows a stronger state."},
		{"the session was not read again", func(d *desk) {
			d.call()
			d.explanation.Presence, d.explanation.Own = d.explanation.Basis, false
			d.block("", "")
		}, ""},
		{"Teams showed another state", func(d *desk) {
			d.call()
			e := d.explanation
			e.Outranked, e.OutrankedSince, e.PreferredPresence = presence.Presence{Availability: presence.Away}, e.At, true
			e.OutrankedSentence = "A status was chosen."
		}, "A status was chosen."},
		{"one-way, and Teams does not show the session", func(d *desk) {
			d.call()
			d.presence.Availability, d.explanation.Wanted = presence.Available, ""
			d.block("", presencebridge.BlockOneWay)
		}, "has not seen this yet"},
		{"an older presence", func(d *desk) {
			d.presence.Availability, d.presence.SequenceNumber = presence.Away, "A0000000001"
			d.explanation.PresenceReadAt = d.explanation.At.Add(-time.Minute)
		}, "answered with an older presence"},
		{"after a start in a call", func(d *desk) {
			d.call()
			d.explanation.Wanted, d.explanation.BasisReadAt, d.explanation.Basis = "", time.Time{}, presence.Presence{}
		}, "MiCollab keeps what the person showed before"},
		{"echo window", func(d *desk) {
			d.explanation.Wanted = ""
			d.block("", presencebridge.BlockEchoWindow)
		}, "it is read again shortly"},
		{"directories cannot be asked", func(d *desk) { d.accountErr, d.personErr = presence.ErrForbidden, presence.ErrUnavailable }, "rests on what the bridge read of them before"},
		{"principal id is no user id", func(d *desk) { d.personErr = presence.ErrNotFound }, "rests on what the bridge read of them before"},
		{"CloudLink presence cannot be read", func(d *desk) { d.presentErr = presence.ErrForbidden }, "No other hop rests on it"},
		{"MiCollab cannot be read", func(d *desk) { d.statusErr, d.status = presence.ErrUnsupported, "" }, "what the bridge wrote last counts"},
		{"nobody watches", func(d *desk) {
			d.explanation.Watched, d.explanation.WatchSentence = false, "No presence monitor watches the user."
		}, "No presence monitor watches the user."},
		{"a renewal fails", func(d *desk) {
			d.explanation.Failures = []presencebridge.Failure{{Connection: "teams-write", Failures: 3, At: d.explanation.At, Error: "graph: 503"}}
		}, "(teams-write, 3 times in a row, last 0s ago): graph: 503"},
		{"status written by hand in capitals", func(d *desk) { d.status = "AVAILABLE" }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk()
			test.make(d)
			report := d.once(t, "ada@example.com")
			require.Nil(t, report.Parting, "%+v", report.Parting)
			code := ExitPassed
			if test.name == "directories cannot be asked" {
				code = ExitWarned
			}
			assert.Equal(t, code, report.ExitCode())
			if test.note == "" {
				assert.Empty(t, report.Notes)
				return
			}
			found := false
			for _, note := range report.Notes {
				found = found || strings.Contains(note, test.note)
			}
			assert.True(t, found, "%q is not among %q", test.note, report.Notes)
		})
	}
}

// TestWhatCouldNotBeReadIsNotPassed: only where nothing rests on it.
func TestWhatCouldNotBeReadIsNotPassed(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*desk)
		hop  HopName
		code int
	}{
		{"the Entra account", func(d *desk) { d.accountErr = presence.ErrUnavailable }, HopMatch, ExitWarned},
		{"the CloudLink user", func(d *desk) { d.personErr = presence.ErrForbidden }, HopMatch, ExitWarned},
		{"the Entra account, of a principal that is no user", func(d *desk) {
			d.accountErr, d.personErr = presence.ErrUnavailable, presence.ErrNotFound
		}, HopMatch, ExitWarned},
		{"the telephone, which is not to reach Teams", func(d *desk) {
			d.linesErr = presence.ErrForbidden
			d.block(presencebridge.BlockUnsupportedPBX, "")
		}, HopTelephone, ExitPassed},
		{"Teams, where all is off", func(d *desk) {
			d.presenceErr = presence.ErrForbidden
			d.block(presencebridge.BlockOff, presencebridge.BlockOff)
		}, HopTeams, ExitPassed},
		{"MiCollab, to which nothing goes", func(d *desk) {
			d.statusErr = presence.ErrForbidden
			d.block("", presencebridge.BlockOneWay)
		}, HopMiCollab, ExitPassed},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk()
			test.make(d)
			report := d.once(t, "ada@example.com")
			require.Nil(t, report.Parting, "%+v", report.Parting)
			assert.NotEmpty(t, report.Hop(test.hop).Error)
			assert.Equal(t, test.code, report.ExitCode())
			reset, err := d.check(t, &UserOptions{Settle: -1}).ResetPhone(t.Context(), "ada@example.com")
			require.NoError(t, err)
			assert.Equal(t, test.code, reset.ExitCode())
		})
	}
}

func TestSomebodyOutsideTheRoster(t *testing.T) {
	ada := presence.TeamsUser{ID: "id-ada", PrincipalName: "ada@example.com", Mail: "ada.lovelace@example.com", Enabled: true}
	disabled := ada
	disabled.Enabled = false
	left := func(reason presence.Reason, sides ...presence.Side) func(*desk) {
		return func(d *desk) {
			for i, side := range sides {
				d.roster.Excluded = append(d.roster.Excluded, presence.Exclusion{Side: side, ID: fmt.Sprint("x-", i), Email: "ada@example.com", Reason: reason, Detail: "it is so"})
			}
		}
	}
	for _, test := range []struct {
		name     string
		make     func(*desk)
		sentence string
		remedy   string
		by       Administrator
	}{
		{"nobody", func(d *desk) { d.accounts, d.mails = nil, nil }, "Neither Entra nor the bridge knows anybody", "Check the address", Operator},
		{"roster not read", func(d *desk) { d.roster = presence.Roster{} }, "has not read the two directories yet", "Wait a minute", Operator},
		{"Teams only", func(d *desk) { d.roster.TeamsOnly = []presence.TeamsUser{ada} }, "no CloudLink user that has it", "Enter the user principal name", CloudLinkAdministrator},
		{"Teams only, disabled", func(d *desk) { d.roster.TeamsOnly = []presence.TeamsUser{disabled} }, "a disabled Entra account", "Enable the account", AzureAdministrator},
		{"new account", func(*desk) {}, "did not know when it last read the directories", "Wait until it reads them again", Operator},
		{"new disabled account", func(d *desk) { d.accounts["ada@example.com"] = disabled }, "a disabled Entra account", "Enable the account", AzureAdministrator},
		{"Entra hangs", func(d *desk) { d.accountErr = presence.ErrUnavailable }, "Entra could not be asked: service unavailable.", "system check", Operator},
		{"two accounts of one address", func(d *desk) { d.accountErr = presence.ErrConflict }, "More than one Entra account", "address of its own", AzureAdministrator},
		{"bridge broken", func(d *desk) { d.explainErr = errors.New("no") }, "The bridge could not be asked about the person: no.", "system check", Operator},
		{"unmatched", func(d *desk) {
			d.accounts = nil
			left(presence.ReasonUnmatched, presence.SideCloudLink)(d)
		}, "leaves the person out (unmatched): it is so.", "Enter the user principal name", CloudLinkAdministrator},
		{"unmatched, and matched by now", left(presence.ReasonUnmatched, presence.SideCloudLink), "unmatched", "By now there is an Entra account", Operator},
		{"disabled", left(presence.ReasonDisabled, presence.SideTeams, presence.SideCloudLink), "(disabled)", "Enable the account", AzureAdministrator},
		{"ambiguous accounts", left(presence.ReasonAmbiguous, presence.SideTeams, presence.SideTeams, presence.SideCloudLink), "(ambiguous)", "each of the Entra accounts", AzureAdministrator},
		{"ambiguous users", left(presence.ReasonAmbiguous, presence.SideTeams, presence.SideCloudLink, presence.SideCloudLink), "(ambiguous)", "each of the CloudLink users", CloudLinkAdministrator},
		{"telephone system", left(presence.ReasonUnsupportedPBX, presence.SideTeams, presence.SideCloudLink), "(unsupported-pbx)", "extend the capabilities", Operator},
		{"no telephone", left(presence.ReasonNoEndpoint, presence.SideTeams, presence.SideCloudLink), "(no-endpoint)", "extension", CloudLinkAdministrator},
		{"unreadable entry", left(presence.ReasonUnreadable, presence.SideTeams), "(unreadable)", "Look at the entry", AzureAdministrator},
		{"left out by the other address", func(d *desk) {
			d.roster.Excluded = []presence.Exclusion{{Side: presence.SideCloudLink, ID: "p", Email: "ada.lovelace@example.com", Reason: presence.ReasonNoEndpoint, Detail: "none"}}
		}, "(no-endpoint)", "extension", CloudLinkAdministrator},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk()
			d.outside()
			test.make(d)
			report := d.once(t, "ada@example.com")
			require.NotNil(t, report.Parting)
			assert.Equal(t, HopMatch, report.Parting.Hop)
			assert.Contains(t, report.Parting.Sentence, test.sentence)
			assert.Contains(t, report.Parting.Remedy, test.remedy)
			assert.Equal(t, test.by, report.Parting.Administrator)
			assert.Nil(t, report.User)
			assert.Nil(t, report.Explanation)
			assert.Len(t, report.Hops, 1)
		})
	}
}

func TestAPersonIsFoundByEveryName(t *testing.T) {
	for _, name := range []string{"ada@example.com", " ADA@Example.com ", "id-ada", "principal-ada", "ada.lovelace@example.com"} {
		report := newDesk().once(t, name)
		require.NotNil(t, report.User, name)
		assert.Equal(t, "id-ada", report.User.TeamsID)
		assert.Nil(t, report.Parting)
	}
}

func TestAOneWayBridgeForGoodHasNoStatus(t *testing.T) {
	d := newDesk()
	d.block("", presencebridge.BlockOneWay)
	c, err := NewUserCheck(UserSources{Bridge: d, Accounts: d, Phones: d, People: deskPeople{d}}, &UserOptions{Settle: -1})
	require.NoError(t, err)
	report, err := c.Check(t.Context(), "ada@example.com")
	require.NoError(t, err)
	assert.Zero(t, report.Hop(HopMiCollab))
	assert.Nil(t, report.Parting)
}

func TestNewUserCheckNamesAllFaults(t *testing.T) {
	_, err := NewUserCheck(UserSources{}, &UserOptions{Timeout: -1})
	for _, fault := range []string{"Bridge", "Accounts", "Phones", "People", "Timeout"} {
		require.ErrorContains(t, err, fault)
	}
}

var _ People = (*cloudlink.Client)(nil)
