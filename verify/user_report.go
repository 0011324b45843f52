package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
)

// report turns a reading into a report.
func (c *UserCheck) report(r *reading, parting *Parting) *UserReport {
	report := &UserReport{Kind: UserReportKind, Version: UserReportVersion, Name: c.opts.Name, At: r.at.UTC().Round(0), Email: r.email, Parting: parting}
	report.Hops = append(report.Hops, r.matchHop())
	if e := r.explanation; e != nil {
		user := e.User
		report.User = &user
		report.AccountDirection, report.UserDirection = e.AccountDirection.String(), e.UserDirection.String()
		report.Explanation = e
		report.Hops = append(report.Hops, r.telephoneHop(), r.sessionHop(), r.teamsHop())
		if r.presentity.asked {
			report.Hops = append(report.Hops, r.cloudLinkHop())
		}
		if r.status.asked {
			report.Hops = append(report.Hops, r.miCollabHop())
		}
		report.Notes = r.notes()
	}
	c.clean(report)
	return report
}

// matchHop is the person on both sides.
func (r *reading) matchHop() Hop {
	h := Hop{Name: HopMatch, Title: "The person on both sides"}
	if e := r.explanation; e != nil {
		h.Believed = fmt.Sprintf("Entra account %s is CloudLink principal %s by the address %s", e.User.TeamsID, e.User.PrincipalID, e.User.Email)
		h.Evidence = append(h.Evidence, Evidence{"telephone system", string(e.User.PBX)}, Evidence{"groups", strings.Join(e.User.Groups, ", ")})
	}
	var now, faults []string
	switch account := r.account.value; {
	case r.account.ok():
		state := "enabled"
		if !account.Enabled {
			state = "disabled"
		}
		now = append(now, fmt.Sprintf("Entra account %s, %s", account.PrincipalName, state))
		h.Evidence = append(h.Evidence, Evidence{"Entra mail", account.Mail}, Evidence{"Entra object id", account.ID})
	case r.account.asked:
		faults = append(faults, "Entra: "+errorText(r.account.err))
	}
	switch person := r.person.value; {
	case r.person.ok():
		now = append(now, fmt.Sprintf("CloudLink user %s", person.Email))
		h.Evidence = append(h.Evidence, Evidence{"CloudLink extension", person.Extension}, Evidence{"CloudLink site", person.SiteID})
	case r.person.asked:
		faults = append(faults, "CloudLink: "+errorText(r.person.err))
	}
	h.Now, h.Error = strings.Join(now, "; "), strings.Join(faults, "; ")
	for _, e := range r.left {
		h.Evidence = append(h.Evidence, Evidence{"left out", fmt.Sprintf("%s %s (%s): %s", e.Side, e.ID, e.Reason, e.Detail)})
	}
	return h
}

func (r *reading) telephoneHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopTelephone, Title: "The line states of the telephones"}, "", e.LineReadAt)
	if !e.LineReadAt.IsZero() {
		h.Believed = e.Line.String()
	}
	switch {
	case !r.lines.asked:
		h.Now = "there is no telephone"
	case r.lines.err != nil:
		h.Error = errorText(r.lines.err)
	default:
		h.Now = r.strongest().String()
	}
	for _, line := range r.lines.value {
		h.Evidence = append(h.Evidence, Evidence{"endpoint " + line.Endpoint, "shows " + line.String()})
	}
	for _, held := range e.Endpoints {
		if !held.ReadAt.IsZero() {
			h.Evidence = append(h.Evidence, Evidence{"endpoint " + held.Endpoint, fmt.Sprintf("believed %s, read %s", held.Line, before(r.at, held.ReadAt))})
		}
	}
	return h
}

func (r *reading) sessionHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopSession, Title: "The bridge's own Teams session", Wanted: e.WantedEffect}, sessionText(e), e.SessionOpenedAt)
	if !e.WantedSession.IsZero() {
		h.Wanted += " " + e.WantedSession.String()
	}
	h.Evidence = append(h.Evidence, Evidence{"rule", e.SessionRule}, Evidence{"nothing is written because", e.TeamsSentence})
	if !e.SessionExpiresAt.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{"lapses", e.SessionExpiresAt.UTC().Format(time.RFC3339)})
	}
	return h
}

func (r *reading) teamsHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopTeams, Title: "What Teams shows"}, "", e.PresenceReadAt)
	if !e.PresenceReadAt.IsZero() {
		h.Believed = e.Presence.String()
		h.Evidence = append(h.Evidence, Evidence{"believed sequence number", e.Presence.SequenceNumber})
	}
	if r.presence.ok() {
		h.Now = r.presence.value.String()
		h.Evidence = append(h.Evidence, Evidence{"sequence number", r.presence.value.SequenceNumber}, Evidence{"out of office", fmt.Sprint(r.presence.value.OutOfOffice)})
	} else {
		h.Error = errorText(r.presence.err)
	}
	if e.Own {
		h.Evidence = append(h.Evidence, Evidence{"put there by", "the bridge, as far as can be told"})
	}
	if !e.OutrankedSince.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{"outranks the session", fmt.Sprintf("%s, since %s. %s", e.Outranked, before(r.at, e.OutrankedSince), e.OutrankedSentence)})
	}
	if e.PreferredPresence {
		h.Evidence = append(h.Evidence, Evidence{"preferred presence", "a status that was chosen in Teams blocks the bridge's session"})
	}
	h.Evidence = append(h.Evidence, Evidence{"watched", e.WatchSentence})
	return h
}

func (r *reading) cloudLinkHop() Hop {
	h := Hop{Name: HopCloudLink, Title: "The presence that CloudLink holds"}
	if !r.presentity.ok() {
		h.Error = errorText(r.presentity.err)
		return h
	}
	p := r.presentity.value
	h.Now = p.Status
	if h.Now == "" {
		h.Now = "none"
	}
	h.Evidence = append(h.Evidence, Evidence{"reason", p.Reason})
	if !p.ModifiedOn.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{"changed", before(r.at, p.ModifiedOn)})
	}
	return h
}

func (r *reading) miCollabHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopMiCollab, Title: "What MiCollab shows", Wanted: string(e.Wanted)}, string(e.Shown), e.ShownAt)
	switch {
	case !r.status.ok():
		h.Error = errorText(r.status.err)
	case r.status.value == "":
		h.Now = "none"
	default:
		h.Now = string(r.status.value)
	}
	if !e.BasisReadAt.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{"follows", fmt.Sprintf("%s in Teams, read %s", e.Basis, before(r.at, e.BasisReadAt))})
	}
	h.Evidence = append(h.Evidence, Evidence{"rule", e.StatusRule}, Evidence{"nothing is written because", e.StatusSentence})
	return h
}

// believe fills in what the bridge holds.
func (r *reading) believe(h Hop, believed string, at time.Time) Hop {
	h.Believed = believed
	if !at.IsZero() {
		h.BelievedAt, h.BelievedAge = at.UTC().Round(0), r.at.Sub(at).Round(time.Second).String()
	}
	return h
}

// notes are what is by configuration.
func (r *reading) notes() []string {
	e := r.explanation
	var notes []string
	for _, block := range []presencebridge.Block{e.TeamsBlock, e.StatusBlock} {
		if notWanted(block) {
			notes = append(notes, block.Sentence())
		}
	}
	for _, l := range r.limited {
		notes = append(notes, fmt.Sprintf("The direction %s is left alone: %s.", l.Direction, l.Detail))
	}
	slices.Sort(notes)
	return slices.Compact(notes)
}

// clean takes what must not leave the process out of all texts of a report.
func (c *UserCheck) clean(r *UserReport) {
	for i := range r.Hops {
		h := &r.Hops[i]
		for _, text := range []*string{&h.Now, &h.Error, &h.Believed, &h.Wanted} {
			*text = c.redact.text(*text)
		}
		kept := h.Evidence[:0]
		for _, e := range h.Evidence {
			if e.Value != "" {
				kept = append(kept, Evidence{e.Name, c.redact.text(e.Value)})
			}
		}
		h.Evidence = kept
	}
	if p := r.Parting; p != nil {
		p.Sentence, p.Remedy = c.redact.text(p.Sentence), c.redact.text(p.Remedy)
	}
	for i := range r.Notes {
		r.Notes[i] = c.redact.text(r.Notes[i])
	}
	if r.Explanation != nil {
		e := *r.Explanation
		e.Failures, e.Writes = c.failures(e.Failures), c.writes(e.Writes)
		r.Explanation = &e
	}
}

func (c *UserCheck) failures(all []presencebridge.Failure) []presencebridge.Failure {
	cleaned := slices.Clone(all)
	for i := range cleaned {
		cleaned[i].Error = c.redact.text(cleaned[i].Error)
	}
	return cleaned
}

func (c *UserCheck) writes(all []presencebridge.Write) []presencebridge.Write {
	cleaned := slices.Clone(all)
	for i := range cleaned {
		w := &cleaned[i]
		w.Error = c.redact.text(w.Error)
		if w.Err != nil {
			w.Err = errors.New(w.Error)
		}
	}
	return cleaned
}

// Copy returns the report as the JSON document for a support case.
func (r *UserReport) Copy() ([]byte, error) {
	return json.MarshalIndent(r, "", "  ")
}

// before says how long before now a time was.
func before(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}
