package verify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
)

// ResetReport is what resetting the phone state of a person did.
type ResetReport struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// Name is that of the bridge.
	Name string `json:"name,omitempty"`
	// Email is who was asked for.
	Email string `json:"email"`
	// Reset is what the bridge did. Its lists of telephones are cut after 16.
	Reset presencebridge.PhoneReset `json:"reset"`
	// After is the user check made when it was done; nil if it was not made.
	After *UserReport `json:"after,omitempty"`
}

// ExitCode returns [ExitFailed] if the reset is not complete, and otherwise the exit
// code of the user check made after it.
func (r *ResetReport) ExitCode() int {
	if r.After == nil || len(r.Reset.Failures) > 0 {
		return ExitFailed
	}
	return r.After.ExitCode()
}

// ResetPhone resets the phone state of a person: the bridge forgets what it holds of
// the telephones, reads them again, and ends a session that is stuck. Then it makes
// the user check. The person is named as for [UserCheck.Check]; for somebody whom the
// bridge does not keep in step the error matches [presencebridge.ErrUnknownUser], and
// there is no report. Any other error is that of [presencebridge.Bridge.ResetPhone] or
// of the check, together with a report as far as it came.
func (c *UserCheck) ResetPhone(ctx context.Context, email string) (*ResetReport, error) {
	email = strings.TrimSpace(email)
	if email == "" {
		return nil, ErrNoEmail
	}
	reset, err := c.sources.Bridge.ResetPhone(ctx, email)
	if errors.Is(err, presencebridge.ErrUnknownUser) {
		// By the other address of the Entra account, perhaps.
		r := &reading{asked: email}
		c.find(ctx, r)
		if r.explanation == nil {
			return nil, err
		}
		if reset, err = c.sources.Bridge.ResetPhone(ctx, r.explanation.User.TeamsID); errors.Is(err, presencebridge.ErrUnknownUser) {
			return nil, err
		}
	}
	report := clean(c.redact, &ResetReport{Kind: ResetReportKind, Version: UserReportVersion, Name: c.opts.Name, Email: email})
	report.Reset = cleanReset(c.redact, reset)
	if err != nil {
		return report, err
	}
	report.After, err = c.Check(ctx, email)
	return report, err
}

// SyncReport is what a synchronization of all people did.
type SyncReport struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// Name is that of the bridge.
	Name      string    `json:"name,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	// Complete: everybody was done. Otherwise Error says why it ended.
	Complete bool   `json:"complete"`
	Error    string `json:"error,omitempty"`
	// Total is how many people are concerned, Skipped how many of the roster are not.
	// Read, Changed and AlreadyRight are how many had their Teams presence read, were
	// set right and were right.
	Total        int `json:"total"`
	Skipped      int `json:"skipped"`
	Read         int `json:"read"`
	Changed      int `json:"changed"`
	AlreadyRight int `json:"alreadyRight"`
	// Blocked were left as they are, and Failed could not be read or written, by
	// address, each with the reason. The bridge goes on trying those that failed.
	Blocked []SyncException `json:"blocked,omitempty"`
	Failed  []SyncException `json:"failed,omitempty"`
}

// SyncException is somebody whom a synchronization did not set right.
type SyncException struct {
	// Email is the address, or the Entra object id of somebody who has left the
	// roster meanwhile.
	Email  string `json:"email"`
	Reason string `json:"reason"`
}

// ExitCode returns [ExitPassed] if everybody was done and nobody failed, and
// [ExitFailed] otherwise.
func (r *SyncReport) ExitCode() int {
	if r.Complete && len(r.Failed) == 0 {
		return ExitPassed
	}
	return ExitFailed
}

// SyncAll reads the Teams presence of everybody whom it concerns, and sets MiCollab
// right. progress, if not nil, is told whenever some more are done. When ctx ends, it
// returns the report as far as it came, which is not Complete, with ctx's cause; the
// bridge goes on with the others, of whom nothing is reported.
func (c *UserCheck) SyncAll(ctx context.Context, progress func(presencebridge.SyncReport)) (*SyncReport, error) {
	started := time.Now()
	told := progress
	if progress != nil {
		told = func(r presencebridge.SyncReport) { progress(clean(c.redact, r)) }
	}
	done, err := c.sources.Bridge.SyncAll(ctx, told)
	emails := make(map[string]string)
	for _, user := range c.sources.Bridge.Roster().Users {
		emails[user.TeamsID] = user.Email
	}
	report := &SyncReport{
		Kind: SyncReportKind, Version: UserReportVersion, Name: c.opts.Name, StartedAt: started, EndedAt: time.Now(),
		Complete: err == nil, Error: wholeText(err),
		Total: done.Total, Skipped: done.Skipped, Read: done.Read, Changed: done.Changed, AlreadyRight: done.AlreadyRight,
	}
	for id, block := range done.Blocked {
		report.Blocked = append(report.Blocked, SyncException{cmp.Or(emails[id], id), block.Sentence()})
	}
	for id, text := range done.Failed {
		report.Failed = append(report.Failed, SyncException{cmp.Or(emails[id], id), text})
	}
	for _, list := range [][]SyncException{report.Blocked, report.Failed} {
		slices.SortFunc(list, func(a, b SyncException) int { return strings.Compare(a.Email, b.Email) })
	}
	return clean(c.redact, report), err
}
