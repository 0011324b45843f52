package presencebridge

import (
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Explanation answers why a person shows what they show: what was observed and
// how long ago, which rule was applied, what was written and when, and what
// keeps the bridge from writing.
type Explanation struct {
	At   time.Time     `json:"at"`
	User presence.User `json:"user"`
	// AccountDirection and UserDirection narrow one another.
	AccountDirection Direction `json:"accountDirection"`
	UserDirection    Direction `json:"userDirection"`
	// Watched: notifications tell of the user's Teams presence. Otherwise only
	// readings do, and if MiCollab follows it, WatchSentence says so.
	Watched       bool   `json:"watched"`
	WatchSentence string `json:"watchSentence,omitempty"`
	// NotifiedAt is when the last notification of the user's Teams presence came; zero if
	// none has come to this process.
	NotifiedAt time.Time `json:"notifiedAt,omitzero"`

	// Endpoints are the telephones as they were read last.
	Endpoints []EndpointReading `json:"endpoints"`
	// Line is the strongest of them; LineReadAt is zero if none was read.
	Line       presence.Line `json:"line,omitzero"`
	LineReadAt time.Time     `json:"lineReadAt,omitzero"`
	// OwnDoNotDisturb: the telephone's do-not-disturb follows a MiCollab status that the
	// bridge wrote. It is not shown in Teams, and the mapping table is asked without it.
	OwnDoNotDisturb bool `json:"ownDoNotDisturb,omitempty"`
	// SessionRule is the row of the mapping table for the line.
	SessionRule string `json:"sessionRule,omitempty"`
	// WantedEffect is what Teams should show of the telephone: "set" is WantedSession,
	// "clear" is no session of the bridge, and "leave" is whatever it shows.
	WantedEffect  string           `json:"wantedEffect"`
	WantedSession presence.Session `json:"wantedSession,omitzero"`
	// SessionState is what the bridge knows of its own Teams session.
	SessionState SessionState `json:"sessionState"`
	// Session is that session; zero if none is open. SessionOpenedAt is when the first
	// request for it began, zero if that may have been an earlier run of the bridge, and
	// SessionRenewedAt when the last successful one did.
	Session          presence.Session `json:"session,omitzero"`
	SessionOpenedAt  time.Time        `json:"sessionOpenedAt,omitzero"`
	SessionRenewedAt time.Time        `json:"sessionRenewedAt,omitzero"`
	SessionExpiresAt time.Time        `json:"sessionExpiresAt,omitzero"`
	// EarlierSessionUntil is when a session of an earlier run has lapsed at the latest,
	// while SessionState is SessionUnknown.
	EarlierSessionUntil time.Time `json:"earlierSessionUntil,omitzero"`
	// ResetAt is when [Bridge.ResetPhone] was called, while it is not carried out; zero
	// otherwise.
	ResetAt time.Time `json:"resetAt,omitzero"`
	// TeamsBlock says why nothing else is written to Teams.
	TeamsBlock    Block  `json:"teamsBlock,omitempty"`
	TeamsSentence string `json:"teamsSentence,omitempty"`

	// Presence is what Teams showed when it was read last.
	Presence       presence.Presence `json:"presence,omitzero"`
	PresenceReadAt time.Time         `json:"presenceReadAt,omitzero"`
	// Own: that is, as far as can be told, the bridge's own doing.
	Own bool `json:"own"`
	// Outranked is what Teams shows instead of the bridge's open session: another family
	// of states, read when the session had been set for longer than the echo window.
	// OutrankedSince is when both were so, as far as is known: the later of the opening
	// of the session and of the event that brought the presence.
	Outranked      presence.Presence `json:"outranked,omitzero"`
	OutrankedSince time.Time         `json:"outrankedSince,omitzero"`
	// PreferredPresence: what outranks the session can only be a preferred presence, a
	// status that was chosen in Teams or set by setUserPreferredPresence. It goes before
	// every session, and among sessions DoNotDisturb goes before Busy, Available and
	// Away (learn.microsoft.com/graph/cloud-communications-manage-presence-state); so
	// what is weaker than the session and shows all the same is no session. A stronger
	// state may be either, and is not reported here. The conclusion rests on the session
	// being alive: something else with the bridge's application id could have ended it.
	PreferredPresence bool `json:"preferredPresence,omitempty"`
	// OutrankedSentence explains it; empty if the session is not outranked.
	OutrankedSentence string `json:"outrankedSentence,omitempty"`
	// Basis is the newest presence that is the person's own: MiCollab follows it.
	Basis       presence.Presence `json:"basis,omitzero"`
	BasisReadAt time.Time         `json:"basisReadAt,omitzero"`
	// StatusRule is the row of the mapping table for the basis.
	StatusRule string `json:"statusRule,omitempty"`
	// Wanted is the status that MiCollab should show; empty if it is left alone.
	Wanted presence.Status `json:"wanted,omitempty"`
	// Shown is what MiCollab shows as far as is known.
	Shown   presence.Status `json:"shown,omitempty"`
	ShownAt time.Time       `json:"shownAt,omitzero"`
	// StatusBlock says why nothing is written to MiCollab.
	StatusBlock    Block  `json:"statusBlock,omitempty"`
	StatusSentence string `json:"statusSentence,omitempty"`

	// Failures are the kinds of request that failed last, by connection.
	Failures []Failure `json:"failures,omitempty"`
	// Writes are the last writes, the oldest first.
	Writes []Write `json:"writes,omitempty"`
}

// EndpointReading is what one telephone showed when it was read last.
type EndpointReading struct {
	Endpoint string        `json:"endpoint"`
	Line     presence.Line `json:"line"`
	// ReadAt is zero if it was never read.
	ReadAt time.Time `json:"readAt,omitzero"`
}

// Failure is a kind of request that failed for a user and waits.
type Failure struct {
	Connection string `json:"connection"`
	// Failures is how often in a row.
	Failures int       `json:"failures"`
	At       time.Time `json:"at"`
	// NextAt is when it is tried again.
	NextAt time.Time `json:"nextAt"`
	Error  string    `json:"error"`
}

// Explain tells why a user shows what they show. The user is named by Entra
// object id, e-mail address or CloudLink principal id; one who is not kept in
// step gives an error that matches ErrUnknownUser and says why.
func (b *Bridge) Explain(user string) (*Explanation, error) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.findLocked(user)
	if err != nil {
		return nil, err
	}
	v := &p.view
	d := decide(v, &p.rules, &b.settings, now)
	e := &Explanation{
		At: now, User: p.user, AccountDirection: b.direction, UserDirection: p.own,
		Watched: b.watchedLocked(p), WatchSentence: b.watchSentenceLocked(p), NotifiedAt: p.toldAt,
		Line: v.phone.line, LineReadAt: v.phone.at,
		Presence: v.teams.seen, PresenceReadAt: v.teams.seenAt, Own: v.teams.origin == originOwn || v.teams.origin == originOwnLate,
		Basis: v.teams.basis, BasisReadAt: v.teams.basisAt,
		Shown: v.status.shown, ShownAt: v.status.shownAt,
		TeamsBlock: d.blocks[toTeams], StatusBlock: d.blocks[toMiCollab],
		Writes: append([]Write(nil), p.writes...),
	}
	e.explainSession(v, &d, &b.settings)
	if !v.phone.at.IsZero() {
		line, _ := v.phoneLine(&b.settings, now)
		e.OwnDoNotDisturb = line.DoNotDisturb != v.phone.line.DoNotDisturb
		e.SessionRule = p.table.SessionRule(line).String()
	}
	if !v.teams.basisAt.IsZero() {
		e.StatusRule = p.table.StatusRule(v.teams.basis).String()
	}
	if w := d.wants[toMiCollab]; w.effect == presence.Set {
		e.Wanted = presence.Status(w.first)
	}
	e.Endpoints, e.Failures = p.endpoints(), p.failures(b.lanes...)
	for destination, l := range b.writing {
		if d.actions[destination].kind != doNothing && !p.waits(l, now).IsZero() {
			d.blocks[destination] = BlockBackoff
		}
	}
	e.TeamsBlock, e.StatusBlock = d.blocks[toTeams], d.blocks[toMiCollab]
	e.TeamsSentence, e.StatusSentence = e.TeamsBlock.Sentence(), e.StatusBlock.Sentence()
	return e, nil
}

// explainSession fills in what concerns the bridge's Teams session.
func (e *Explanation) explainSession(v *view, d *verdict, s *settings) {
	w := d.wants[toTeams]
	e.WantedEffect = w.effect.String()
	e.WantedSession = presence.Session{Availability: presence.Availability(w.first), Activity: presence.Activity(w.last)}
	e.SessionState, e.ResetAt = v.session.state(), v.resetAt
	switch {
	case v.session.possible():
		e.Session, e.SessionOpenedAt, e.SessionExpiresAt = v.session.session, v.session.openedAt, v.session.expiresAt
		e.SessionRenewedAt = v.session.renewedAt
	case v.session.phase == sessionUnknown:
		e.EarlierSessionUntil = v.session.unknownUntil
	}
	if by, since, ok := v.outranked(s, e.At); ok {
		e.Outranked, e.OutrankedSince = by, since
		e.PreferredPresence = onlyPreferred(by, v.session.session)
		e.OutrankedSentence = outrankedSentence(by, v.session.session)
	}
}

// String returns the explanation as a few lines for a person.
func (e *Explanation) String() string {
	var s strings.Builder
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "never read"
		}
		return e.At.Sub(t).Round(time.Second).String() + " ago"
	}
	fmt.Fprintf(&s, "%s <%s>: account %s, user %s\n", e.User.Name, e.User.Email, e.AccountDirection, e.UserDirection)
	for _, r := range e.Endpoints {
		fmt.Fprintf(&s, "phone %s: %s (%s)\n", r.Endpoint, r.Line, ago(r.ReadAt))
	}
	if e.OwnDoNotDisturb {
		s.WriteString("the do-not-disturb of the phone follows a status that the bridge wrote, and is not shown in teams\n")
	}
	e.writeSession(&s, ago)
	if e.SessionRule != "" {
		fmt.Fprintf(&s, "; rule: %s", e.SessionRule)
	}
	writeSentence(&s, e.TeamsSentence)
	fmt.Fprintf(&s, "teams shows: %s (%s)", e.Presence, ago(e.PresenceReadAt))
	if e.Own {
		s.WriteString(", put there by the bridge")
	}
	writeSentence(&s, e.WatchSentence)
	if !e.OutrankedSince.IsZero() {
		fmt.Fprintf(&s, "outranked: %s since %s. %s\n", e.Outranked, ago(e.OutrankedSince), e.OutrankedSentence)
	}
	fmt.Fprintf(&s, "micollab shows: %q (%s)", e.Shown, ago(e.ShownAt))
	if e.Wanted != "" {
		fmt.Fprintf(&s, ", should show %q because Teams showed %s (%s); rule: %s", e.Wanted, e.Basis, ago(e.BasisReadAt), e.StatusRule)
	}
	writeSentence(&s, e.StatusSentence)
	for _, f := range e.Failures {
		fmt.Fprintf(&s, "%s failed %d times, last %s: %s\n", f.Connection, f.Failures, ago(f.At), f.Error)
	}
	for _, w := range e.Writes {
		value := w.Session.String()
		if w.Destination == DestinationMiCollab {
			value = string(w.Status)
		}
		fmt.Fprintf(&s, "wrote to %s: %s %s (%s), trigger %s", w.Destination, w.Operation, value, ago(w.Time), w.Cause.Trigger)
		if w.Error != "" {
			fmt.Fprintf(&s, ", failed: %s", w.Error)
		}
		s.WriteString("\n")
	}
	return s.String()
}

// writeSession writes what is known and what is wanted of the bridge's session.
func (e *Explanation) writeSession(s *strings.Builder, ago func(time.Time) string) {
	fmt.Fprintf(s, "teams session of the bridge: %s", e.SessionState)
	switch {
	case !e.SessionExpiresAt.IsZero():
		fmt.Fprintf(s, " %s", e.Session)
		if e.SessionOpenedAt.IsZero() {
			s.WriteString(", perhaps opened by an earlier run")
		} else {
			fmt.Fprintf(s, ", opened %s", ago(e.SessionOpenedAt))
		}
		fmt.Fprintf(s, ", lapses in %s", e.SessionExpiresAt.Sub(e.At).Round(time.Second))
	case !e.EarlierSessionUntil.IsZero():
		fmt.Fprintf(s, ", one of an earlier run lapses within %s", e.EarlierSessionUntil.Sub(e.At).Round(time.Second))
	}
	fmt.Fprintf(s, "; wanted: %s", e.WantedEffect)
	if !e.WantedSession.IsZero() {
		fmt.Fprintf(s, " %s", e.WantedSession)
	}
	if !e.ResetAt.IsZero() {
		fmt.Fprintf(s, ", a reset was asked for %s and is not carried out", ago(e.ResetAt))
	}
}

func writeSentence(s *strings.Builder, sentence string) {
	if sentence != "" {
		s.WriteString(". " + sentence)
	}
	s.WriteString("\n")
}
