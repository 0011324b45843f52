package main

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// The places where something changes.
const (
	placePhone    = "phone"
	placeTeams    = "Teams"
	placeMiCollab = "MiCollab"
)

// ledger sets what the doubles hold, which is the truth, against what the bridge
// says that it did. Every change waits in it for the write that it should lead
// to by the default mapping table, which the ledger looks up for itself.
type ledger struct {
	company *company
	clock   *clock
	table   *presence.Table
	printer *printer

	mu     sync.Mutex
	silent bool
	queue  []*entry // not printed yet, in the order of the changes
	open   []*entry // wait for their write
	wanted map[*member]wanted
	missed map[*member]bool // a notification was lost
	writes []presencebridge.Write
	shown  map[string][]sight // by Entra object id: what Teams showed, in order
	took   []time.Duration
	begun  bool // the day has
	// places are whose subscription watches a user, or did last, by Entra object
	// ids; moved counts when that became another's.
	places map[string]string
	moved  int
}

// wanted is what a person should show on either side.
type wanted struct {
	session presence.Session
	status  presence.Status
}

// sight is what Teams showed from a time on. own: it was the bridge's session.
type sight struct {
	at       time.Time
	presence presence.Presence
	own      bool
}

// entry is a change on its way to the output.
type entry struct {
	line        line
	at          time.Time
	who         *member
	destination presencebridge.Destination // empty: leads to no write
	want        wanted
	done        bool
	// late: it will take long, so that nothing behind it waits.
	late bool
}

func newLedger(co *company, c *clock, p *printer) *ledger {
	l := &ledger{
		company: co, clock: c, table: presence.DefaultTable(), printer: p,
		wanted: map[*member]wanted{}, missed: map[*member]bool{}, shown: map[string][]sight{},
		places: map[string]string{},
	}
	for _, m := range co.everybody {
		l.wanted[m] = wanted{status: co.cloudlink.Status(m.principalID)}
		if m.teamsID != "" {
			l.shown[m.teamsID] = []sight{{presence: co.graph.Presence(m.teamsID)}}
		}
	}
	co.graph.OnChange(l.teamsChanged)
	co.cloudlink.OnChange(l.cloudLinkChanged)
	return l
}

func (l *ledger) hooks() presencebridge.Hooks {
	return presencebridge.Hooks{Wrote: l.wrote, Observed: l.observed}
}

// byPerson reports whether a person did it, rather than an application or time.
func byPerson(c graphtest.Cause) bool {
	switch c {
	case graphtest.CauseClient, graphtest.CauseCalendar, graphtest.CauseOutOfOffice, graphtest.CausePreferred:
		return true
	default:
		return false
	}
}

// ownSession returns the session that the bridge has at the double; zero for none.
func (co *company) ownSession(m *member) presence.Session {
	for _, s := range co.graph.Sessions(m.teamsID) {
		if strings.EqualFold(s.ApplicationID, co.clientID) {
			return s.Session
		}
	}
	return presence.Session{}
}

// teamsChanged takes a change of what Teams shows.
func (l *ledger) teamsChanged(c graphtest.Change) {
	m := l.company.byTeams[c.UserID]
	if m == nil {
		return
	}
	session := l.company.ownSession(m)
	hidden := !session.IsZero() && session.Availability.Family() == c.Presence.Availability.Family()
	l.mu.Lock()
	defer l.mu.Unlock()
	own := hidden && c.Cause == graphtest.CauseApplication
	l.shown[c.UserID] = append(l.shown[c.UserID], sight{c.Time, c.Presence, own})
	if own {
		return
	}
	e := &entry{at: c.Time, who: m, late: l.missed[m], line: line{Event: lineChange, Where: placeTeams, Became: c.Presence.String(), There: placeMiCollab}}
	person := byPerson(c.Cause)
	if !person {
		e.line.Note = "was hidden by the call"
	}
	status, effect := l.table.Status(c.Presence)
	switch {
	case m.site == siteBranch:
		e.line.Effect, e.line.Note = "left alone", string(presence.MiVoiceOffice400)
	case hidden:
		e.line.Effect, e.line.Note = "keeps "+string(l.wanted[m].status), "hidden by the call"
	case effect != presence.Set:
		e.line.Effect = "left as it is"
	case status == l.wanted[m].status:
		e.line.Effect = "still " + string(status)
	default:
		l.want(e, presencebridge.DestinationMiCollab, func(w *wanted) { w.status = status })
		e.line.Effect = string(status)
	}
	if person || e.destination != "" {
		l.addLocked(e)
	}
}

// cloudLinkChanged takes a change of a telephone or of a MiCollab status.
func (l *ledger) cloudLinkChanged(c cloudlinktest.Change) {
	m := l.company.byPhone[c.EndpointID]
	if c.Kind == cloudlinktest.KindStatus {
		m = l.company.byCloud[c.PrincipalID]
	}
	if m == nil || c.Cause == cloudlinktest.CauseAPI {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{at: c.Time, who: m, line: line{Event: lineChange}}
	if c.Kind == cloudlinktest.KindStatus {
		e.line.Where, e.line.Became = placeMiCollab, string(c.Status)
		e.line.Effect, e.line.Note = "back to "+string(l.wanted[m].status), "Teams decides"
		l.want(e, presencebridge.DestinationMiCollab, func(*wanted) {})
		l.addLocked(e)
		return
	}
	e.line.Where, e.line.Became, e.line.There = placePhone, phoneText(c), placeTeams
	session, effect := l.table.Session(c.Line)
	switch {
	case m.teamsID == "":
		e.line.There, e.line.Effect, e.line.Note = "", "nowhere", "no Entra account"
	case effect == presence.Leave:
		e.line.Effect = "left as it is"
	case session == l.wanted[m].session && session.IsZero():
		e.line.Effect = "unchanged"
	case session == l.wanted[m].session:
		e.line.Effect = "still " + session.String()
	default:
		l.want(e, presencebridge.DestinationTeams, func(w *wanted) { w.session = session })
		e.line.Effect = session.String()
	}
	l.addLocked(e)
}

func phoneText(c cloudlinktest.Change) string {
	switch {
	case c.Kind == cloudlinktest.KindLine:
		return string(c.Line.State)
	case c.Line.DoNotDisturb:
		return "dnd on"
	default:
		return "dnd off"
	}
}

// want makes an entry wait for the write that should follow. Whatever of the same
// person still waits for the same destination has been overtaken.
func (l *ledger) want(e *entry, destination presencebridge.Destination, change func(*wanted)) {
	w := l.wanted[e.who]
	change(&w)
	l.wanted[e.who] = w
	e.destination, e.want = destination, w
	l.open = slices.DeleteFunc(l.open, func(o *entry) bool {
		overtaken := o.who == e.who && o.destination == destination
		if overtaken {
			o.line.Note, o.done = "overtaken by the next", true
		}
		return overtaken
	})
	l.open = append(l.open, e)
}

func (l *ledger) addLocked(e *entry) {
	e.line.Time = l.clock.at(e.at)
	if e.who != nil {
		e.line.Person = e.who.name
	}
	e.done = e.done || e.destination == ""
	l.queue = append(l.queue, e)
	l.flushLocked()
}

// note prints a line that waits for nothing.
func (l *ledger) note(m *member, at time.Time, text line) {
	l.addLocked(&entry{at: at, who: m, line: text})
}

// wrote takes a write of the bridge.
func (l *ledger) wrote(w presencebridge.Write) {
	if w.DryRun {
		return // the double receives nothing of it
	}
	m, now := l.company.byTeams[w.User.TeamsID], time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent {
		return
	}
	if w.Err != nil {
		l.note(m, now, line{Event: lineFailed, Where: placeOf(w.Destination), Became: w.Operation + " failed", Note: w.Error})
		return
	}
	l.writes = append(l.writes, w)
	if w.Operation == "renew" {
		l.note(m, now, line{Event: lineRenewed, Where: placeTeams, Became: "session renewed", Effect: w.Session.String() + " for " + minutes(l.clock.virtual(l.company.settings.Bridge.SessionLifetime))})
		return
	}
	at := slices.IndexFunc(l.open, func(e *entry) bool { return e.who == m && e.destination == w.Destination && e.fits(w) })
	if at < 0 {
		return
	}
	e := l.open[at]
	l.open = slices.Delete(l.open, at, at+1)
	took := now.Sub(e.at)
	l.took = append(l.took, took)
	e.line.Milliseconds, e.done = inMilliseconds(took), true
	if w.Operation == "clear" {
		e.line.Effect = strings.TrimSuffix(l.company.graph.Presence(m.teamsID).String(), ", out of office")
	}
	if l.missed[m] && w.Destination == presencebridge.DestinationMiCollab {
		delete(l.missed, m)
		e.line.Note = "by " + string(w.Cause.Trigger)
	}
	l.flushLocked()
}

// fits reports whether a write brings about what the entry wants.
func (e *entry) fits(w presencebridge.Write) bool {
	switch {
	case w.Destination == presencebridge.DestinationMiCollab:
		return w.Status == e.want.status
	case w.Operation == "clear":
		return e.want.session.IsZero()
	default:
		return w.Session == e.want.session
	}
}

func placeOf(d presencebridge.Destination) string {
	if d == presencebridge.DestinationTeams {
		return placeTeams
	}
	return placeMiCollab
}

func minutes(d time.Duration) string {
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// observed shows where the bridge saw its own session and took it no further.
func (l *ledger) observed(o presencebridge.Observation) {
	m := l.company.byTeams[o.User.TeamsID]
	if !o.Own || m == nil || m.site == siteBranch {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	sights := l.shown[m.teamsID]
	if !sights[len(sights)-1].own {
		return // within the echo window the bridge is careful
	}
	l.note(m, o.Time, line{
		Event: lineEcho, Where: placeTeams, Became: o.Presence.String() + " (own)", There: placeMiCollab,
		Effect: "keeps " + string(l.wanted[m].status),
	})
}

func (l *ledger) lost(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed[m] = true
	for _, e := range l.open {
		e.late = e.late || e.who == m
	}
	l.note(m, time.Now(), line{Event: lineFault, Where: placeTeams, Became: "notification lost"})
}

func (l *ledger) duplicated(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(m, time.Now(), line{Event: lineFault, Where: placeTeams, Became: "notification sent twice"})
}

// patience is how long a line waits for its write before those behind it are
// printed.
const patience = 300 * time.Millisecond

// flush prints what is due.
func (l *ledger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
}

func (l *ledger) flushLocked() {
	now, held := time.Now(), false
	l.queue = slices.DeleteFunc(l.queue, func(e *entry) bool {
		held = held || !e.done && !e.late && now.Sub(e.at) < patience
		due := e.done && !held
		if due && !l.silent {
			l.printer.print(e.line)
		}
		return due
	})
}

// conclude prints what is left and nothing from then on.
func (l *ledger) conclude() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.queue {
		if !e.done {
			e.line.Note = "was not written"
		}
		if !l.silent {
			l.printer.print(e.line)
		}
	}
	l.queue, l.silent = nil, true
}

// waiting reports how many changes wait for their write.
func (l *ledger) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// beneath is what Teams shows for a person, or showed before the bridge's own
// session came over it.
func (l *ledger) beneath(m *member) presence.Presence {
	l.mu.Lock()
	defer l.mu.Unlock()
	sights := l.shown[m.teamsID]
	for i := len(sights) - 1; i > 0; i-- {
		if !sights[i].own {
			return sights[i].presence
		}
	}
	return sights[0].presence
}

// quantile returns the smallest duration that at least the share q of all do
// not exceed; 0 where there is none.
func quantile(durations []time.Duration, q float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[cmp.Or(min(max(rank, 1), len(sorted)), 1)-1]
}
