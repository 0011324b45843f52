package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
)

// UserBridge is what the user check asks the engine. A [presencebridge.Bridge] is
// one.
type UserBridge interface {
	Explainer
	// Roster is who is kept in step, and who is not and why. It does not block.
	Roster() presence.Roster
	// ResetPhone resets the phone state of one user, and SyncAll sets right every
	// status in MiCollab. Both block until they are done or ctx ends.
	ResetPhone(ctx context.Context, user string) (presencebridge.PhoneReset, error)
	SyncAll(ctx context.Context, progress func(presencebridge.SyncReport)) (presencebridge.SyncReport, error)
}

// Accounts is what the user check asks Microsoft Graph. A client of package graph is
// one.
type Accounts interface {
	// User reads an account by object id or user principal name, UserByMail by its
	// mail address. The error for one that does not exist matches
	// presence.ErrNotFound.
	User(ctx context.Context, idOrPrincipalName string) (presence.TeamsUser, error)
	UserByMail(ctx context.Context, mail string) (presence.TeamsUser, error)
	// Presence reads what Teams shows for an object id.
	Presence(ctx context.Context, userID string) (presence.Presence, error)
}

// Phones reads the line states of a user's endpoints. A client of package cloudlink
// is one.
type Phones interface {
	Lines(ctx context.Context, user presence.User) ([]presence.Line, error)
}

// People is what the user check asks CloudLink about a person. A client of package
// cloudlink is one.
type People interface {
	// User reads a CloudLink user by id, Presentity the presence that CloudLink
	// holds for a principal.
	User(ctx context.Context, id string) (cloudlink.User, error)
	Presentity(ctx context.Context, principalID string) (cloudlink.Presentity, error)
}

// Statuses reads what MiCollab shows. A client of package micollab is one.
type Statuses interface {
	Status(ctx context.Context, user presence.User) (presence.Status, error)
}

// UserSources are what a user check looks at.
type UserSources struct {
	// Bridge, Accounts, Phones and People are required.
	Bridge   UserBridge
	Accounts Accounts
	Phones   Phones
	People   People
	// Statuses is MiCollab. Default: none, for a bridge that is one-way for good.
	Statuses Statuses
}

// UserOptions are the settings of a [UserCheck]. The zero value of every field is
// its default.
type UserOptions struct {
	// Name is that of the bridge, for reports. Default: "".
	Name string
	// Timeout bounds each reading. Default: 20 seconds.
	Timeout time.Duration
	// Settle is how long hops that part company are given before they are read once
	// more: a change may be on its way. Negative: they are read only once.
	// Default: 3 seconds.
	Settle time.Duration
	// Secrets are values that must not appear in a report; what looks like a token
	// is left out anyhow. Default: none.
	Secrets []presence.Secret
}

// UserCheck tells what each hop holds of one person, and sets it right. Its
// functions may be called concurrently.
type UserCheck struct {
	sources UserSources
	opts    UserOptions
	redact  *redactor
}

// NewUserCheck returns a user check. It returns all faults of its arguments at
// once, and asks nothing.
func NewUserCheck(sources UserSources, opts *UserOptions) (*UserCheck, error) {
	c := &UserCheck{sources: sources}
	if opts != nil {
		c.opts = *opts
	}
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("verify: "+format, args...))
		}
	}
	need(sources.Bridge != nil, "UserSources.Bridge is missing: give the presencebridge.Bridge")
	need(sources.Accounts != nil, "UserSources.Accounts is missing: give the graph.Client")
	need(sources.Phones != nil, "UserSources.Phones is missing: give the cloudlink.Client")
	need(sources.People != nil, "UserSources.People is missing: give the cloudlink.Client")
	need(c.opts.Timeout >= 0, "Timeout is %v: it cannot be negative", c.opts.Timeout)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	orDefault(&c.opts.Timeout, 20*time.Second)
	orDefault(&c.opts.Settle, 3*time.Second)
	c.redact = newRedactor(c.opts.Secrets)
	return c, nil
}

// The kinds of documents that a user check makes, and the version of their JSON
// forms. It grows when a field changes its meaning or goes away.
const (
	UserReportKind  = "presencebridge user check"
	ResetReportKind = "presencebridge phone state reset"
	SyncReportKind  = "presencebridge sync all"

	UserReportVersion = 1
)

// HopName names one of the places where a person's presence is held.
type HopName string

// The hops, in the order in which presence flows: from the telephone to Teams, and
// from Teams to MiCollab.
const (
	// HopMatch is the person on both sides: Entra account and CloudLink user.
	HopMatch HopName = "match"
	// HopTelephone is each endpoint's line state.
	HopTelephone HopName = "telephone"
	// HopSession is the bridge's own Teams session. Microsoft Graph lists sessions
	// to nobody, so it is known by the bridge alone.
	HopSession HopName = "teams-session"
	// HopTeams is what Teams shows.
	HopTeams HopName = "teams-presence"
	// HopCloudLink is the presence that CloudLink holds.
	HopCloudLink HopName = "cloudlink-presence"
	// HopMiCollab is what MiCollab shows.
	HopMiCollab HopName = "micollab-status"
)

// Hop is one place where a person's presence is held: what it holds now, next to
// what the bridge believes.
type Hop struct {
	Name  HopName `json:"name"`
	Title string  `json:"title"`
	// Now is what it holds, read just now; empty where it could not be read.
	Now string `json:"now,omitempty"`
	// Error is why it could not be read, or a part of it.
	Error string `json:"error,omitempty"`
	// Unneeded: what Error keeps from being read matters to no other hop of this
	// person, so that the hops can be compared without it.
	Unneeded bool `json:"unneeded,omitempty"`
	// Believed is what the bridge held of it, and BelievedAt when it had read that;
	// BelievedAge is how old that was at the time of the report.
	Believed    string    `json:"believed,omitempty"`
	BelievedAt  time.Time `json:"believedAt,omitzero"`
	BelievedAge string    `json:"believedAge,omitempty"`
	// Wanted is what it should hold by the mapping table; empty where it is left
	// alone.
	Wanted string `json:"wanted,omitempty"`
	// Evidence are further facts of it.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Parting is where the hops part company.
type Parting struct {
	// Hop is the first that does not follow from the one before it.
	Hop HopName `json:"hop"`
	// Sentence says what is wrong there, Remedy what to do and Administrator by whom.
	Sentence      string        `json:"sentence"`
	Remedy        string        `json:"remedy"`
	Administrator Administrator `json:"administrator"`
}

// UserReport is what a user check has found. Its JSON form is one document for a
// support case: redacted, and below 64 KiB. It is about this person alone, with one
// exception: somebody who is left out because others have the same address cannot be
// helped without their names, and so the reason names them.
type UserReport struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// Name is that of the bridge.
	Name string    `json:"name,omitempty"`
	At   time.Time `json:"at"`
	// Email is who was asked for, as it was asked.
	Email string `json:"email"`
	// User is the person as the bridge keeps them in step; nil for one who is not.
	User *presence.User `json:"user,omitempty"`
	// AccountDirection and UserDirection are those of the bridge and of this person;
	// empty for one who is not kept in step.
	AccountDirection string `json:"accountDirection,omitempty"`
	UserDirection    string `json:"userDirection,omitempty"`
	// Hops are in the order in which presence flows.
	Hops []Hop `json:"hops"`
	// Parting is where they part company; nil if all that could be compared agree.
	Parting *Parting `json:"parting,omitempty"`
	// Notes are what is as it should be and may surprise: that a direction is
	// switched off, say.
	Notes []string `json:"notes,omitempty"`
	// Explanation is what the bridge held of the person before the hops were read. Its
	// lists of telephones are cut after 16. Its writes do not repeat them, and have
	// their error as text only.
	Explanation *presencebridge.Explanation `json:"explanation,omitempty"`
}

// Hop returns one hop; the zero Hop where the report has none of the name.
func (r *UserReport) Hop(name HopName) Hop {
	for _, h := range r.Hops {
		if h.Name == name {
			return h
		}
	}
	return Hop{}
}

// ExitCode returns [ExitFailed] if hops part company, [ExitWarned] if those agree that
// could be read while one that matters could not, and [ExitPassed] if all that matter
// were read and agree.
func (r *UserReport) ExitCode() int {
	unread := func(h Hop) bool { return h.Error != "" && !h.Unneeded }
	switch {
	case r.Parting != nil:
		return ExitFailed
	case slices.ContainsFunc(r.Hops, unread):
		return ExitWarned
	default:
		return ExitPassed
	}
}

// ErrNoEmail is the error of a user check without an e-mail address.
var ErrNoEmail = errors.New("verify: no e-mail address: give the address of the person, such as ada@example.com")

// Check reads what each hop holds of a person, and finds where the hops part company.
// The person is named by an address of the Entra account or of the CloudLink user,
// by Entra object id or by CloudLink principal id. Where hops part and a change may be
// on its way, they are read once more after [UserOptions].Settle, and again if they
// part elsewhere by then. That somebody is unknown, or something cannot be read, is in
// the report and no error; an error is ErrNoEmail or ctx's cause.
func (c *UserCheck) Check(ctx context.Context, email string) (*UserReport, error) {
	email = strings.TrimSpace(email)
	if email == "" {
		return nil, ErrNoEmail
	}
	r := c.read(ctx, email)
	parting, passing := r.part()
	// A change that is under way moves from hop to hop; two readings that agree on one
	// are believed.
	for range 2 {
		if !passing || c.opts.Settle <= 0 || !pause(ctx, c.opts.Settle) {
			break
		}
		before := parting.Hop
		r = c.read(ctx, email)
		if parting, passing = r.part(); parting == nil || parting.Hop == before {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c.report(r, parting), nil
}
