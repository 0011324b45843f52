package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// report turns a reading into a report.
func (c *UserCheck) report(r *reading, parting *Parting) *UserReport {
	report := &UserReport{Kind: UserReportKind, Version: UserReportVersion, Name: c.opts.Name, At: r.at, Email: r.asked, Parting: parting}
	report.Hops = append(report.Hops, r.matchHop())
	if e := r.explanation; e != nil {
		report.AccountDirection, report.UserDirection = e.AccountDirection.String(), e.UserDirection.String()
		report.Explanation = e
		report.Hops = append(report.Hops, r.telephoneHop(), r.sessionHop(), r.teamsHop())
		if r.presentity.asked {
			report.Hops = append(report.Hops, r.cloudLinkHop())
		}
		if r.status.asked {
			report.Hops = append(report.Hops, r.miCollabHop())
		}
		report.Notes = r.notes(parting)
	}
	return cleanReport(c.redact, report)
}

// has adds facts to a hop: name and value in turn. A fact without a value is left out.
func (h *Hop) has(facts ...string) {
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] != "" {
			h.Evidence = append(h.Evidence, Evidence{facts[i], facts[i+1]})
		}
	}
}

// matchHop is the person on both sides.
func (r *reading) matchHop() Hop {
	h := Hop{Name: HopMatch, Title: "The person on both sides"}
	if e := r.explanation; e != nil {
		h.Believed = fmt.Sprintf("Entra account %s is CloudLink principal %s by the address %s", e.User.TeamsID, e.User.PrincipalID, e.User.Email)
		h.has("telephone system", string(e.User.PBX), "mapping groups", names(e.User.Groups))
	}
	var now, faults []string
	switch account := r.account.value; {
	case r.account.ok():
		state := "enabled"
		if !account.Enabled {
			state = "disabled"
		}
		now = append(now, fmt.Sprintf("Entra account %s, %s", account.PrincipalName, state))
		h.has("Entra mail", account.Mail, "Entra object id", account.ID)
	case r.account.asked:
		faults = append(faults, "Entra: "+wholeText(r.account.err))
	}
	switch person := r.person.value; {
	case r.person.ok():
		now = append(now, "CloudLink user "+person.Email)
		h.has("CloudLink extension", person.Extension, "CloudLink site", person.SiteID)
	case r.person.asked:
		faults = append(faults, "CloudLink: "+wholeText(r.person.err))
	}
	h.Now, h.Error = strings.Join(now, "; "), strings.Join(faults, "; ")
	h.Unneeded = h.Error != "" && r.account.err == nil && r.principalAlone()
	for i, e := range r.left {
		if i == maxListed {
			h.has("left out too", fmt.Sprintf("%d more entries", len(r.left)-maxListed))
			break
		}
		h.has("left out", fmt.Sprintf("%s %s (%s): %s", e.Side, e.ID, e.Reason, e.Detail))
	}
	return h
}

// principalAlone reports whether CloudLink knows the person as a principal and not as
// a user of the same id. The two ids may differ.
func (r *reading) principalAlone() bool {
	return errors.Is(r.person.err, presence.ErrNotFound) && r.presentity.ok()
}

func (r *reading) telephoneHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopTelephone, Title: "The line states of the telephones"}, "", e.LineReadAt)
	if !e.LineReadAt.IsZero() {
		h.Believed = e.Line.String()
	}
	h.Error = wholeText(r.lines.err)
	h.Unneeded = r.lines.err != nil && (notWanted(e.TeamsBlock) || len(r.missing()) == 0)
	switch {
	case !r.lines.asked:
		h.Now = "there is no telephone"
	case len(r.lines.value) > 0:
		line := r.strongest()
		h.Now = line.String()
		if len(e.User.Endpoints) > 1 {
			h.has("strongest", "endpoint "+line.Endpoint)
		}
	}
	for i, endpoint := range e.User.Endpoints {
		if i == maxListed {
			h.has("more endpoints", fmt.Sprint(len(e.User.Endpoints)-maxListed))
			break
		}
		h.has("endpoint "+endpoint, r.endpointText(endpoint))
	}
	if e.OwnDoNotDisturb {
		h.has("do-not-disturb", "follows a MiCollab status that the bridge wrote")
	}
	return h
}

// endpointText is one telephone: what it shows, and what the bridge holds of it.
func (r *reading) endpointText(endpoint string) string {
	now := "was not read"
	for _, line := range r.lines.value {
		if line.Endpoint == endpoint {
			now = "shows " + line.String()
		}
	}
	for _, held := range r.explanation.Endpoints {
		if held.Endpoint == endpoint && !held.ReadAt.IsZero() {
			return fmt.Sprintf("%s; believed %s, read %s", now, held.Line, before(r.at, held.ReadAt))
		}
	}
	return now + "; never read by the bridge"
}

func (r *reading) sessionHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopSession, Title: "The bridge's own Teams session", Wanted: e.WantedEffect}, sessionText(e), e.SessionOpenedAt)
	switch {
	case !e.WantedSession.IsZero():
		h.Wanted = e.WantedSession.String()
	case e.WantedEffect == presence.Clear.String():
		h.Wanted = "none"
	case e.WantedEffect == presence.Leave.String():
		h.Wanted = ""
	}
	h.has("rule", e.SessionRule, "nothing is written because", e.TeamsSentence,
		"renewed", earlier(r.at, e.SessionRenewedAt), "lapses", moment(e.SessionExpiresAt), "one of an earlier run lapses by", moment(e.EarlierSessionUntil),
		"a reset is under way, asked for", earlier(r.at, e.ResetAt))
	return h
}

func (r *reading) teamsHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopTeams, Title: "What Teams shows"}, "", e.PresenceReadAt)
	if !e.PresenceReadAt.IsZero() {
		h.Believed = e.Presence.String()
	}
	h.Error = wholeText(r.presence.err)
	h.Unneeded = r.presence.err != nil && notWanted(e.TeamsBlock) && notWanted(e.StatusBlock)
	if r.presence.ok() {
		h.Now = r.presence.value.String()
		h.has("sequence number", r.presence.value.SequenceNumber)
	}
	h.has("believed sequence number", e.Presence.SequenceNumber)
	if e.Own {
		h.has("put there by", "the bridge, as far as can be told")
	}
	if !e.OutrankedSince.IsZero() {
		h.has("instead of the bridge's session", fmt.Sprintf("%s, since %s", e.Outranked, before(r.at, e.OutrankedSince)))
	}
	if e.PreferredPresence {
		h.has("preferred presence", "a status that was chosen in Teams goes before the bridge's session")
	}
	watched := e.WatchSentence
	if watched == "" && e.Watched {
		watched = "notifications tell of changes"
	}
	h.has("watched", watched)
	return h
}

func (r *reading) cloudLinkHop() Hop {
	h := Hop{Name: HopCloudLink, Title: "The presence that CloudLink holds", Error: wholeText(r.presentity.err), Unneeded: r.presentity.err != nil}
	if !r.presentity.ok() {
		return h
	}
	p := r.presentity.value
	h.Now = cmp.Or(p.Status, "none")
	h.has("reason", p.Reason, "changed", earlier(r.at, p.ModifiedOn))
	return h
}

func (r *reading) miCollabHop() Hop {
	e := r.explanation
	h := r.believe(Hop{Name: HopMiCollab, Title: "What MiCollab shows", Wanted: string(e.Wanted)}, "", e.ShownAt)
	if !e.ShownAt.IsZero() {
		h.Believed = cmp.Or(string(e.Shown), "none")
	}
	h.Error = wholeText(r.status.err)
	h.Unneeded = r.status.err != nil && (notWanted(e.StatusBlock) || errors.Is(r.status.err, presence.ErrUnsupported))
	if r.status.ok() {
		h.Now = cmp.Or(string(r.status.value), "none")
	}
	if !e.BasisReadAt.IsZero() {
		h.has("follows", fmt.Sprintf("%s in Teams, read %s", e.Basis, before(r.at, e.BasisReadAt)))
	}
	h.has("rule", e.StatusRule, "nothing is written because", e.StatusSentence)
	return h
}

// believe fills in what the bridge holds.
func (r *reading) believe(h Hop, believed string, at time.Time) Hop {
	h.Believed = believed
	if !at.IsZero() {
		h.BelievedAt, h.BelievedAge = at, r.at.Sub(at).Round(time.Second).String()
	}
	return h
}

// wholeText is an error as a text of its own. Nothing is taken from its end, where a
// secret may stand that would not be recognized any more.
func wholeText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Copy returns the report as the JSON document for a support case: the form that
// package json gives it, indented, with the arrows of the mapping table as they are.
func (r *UserReport) Copy() ([]byte, error) {
	var document bytes.Buffer
	e := json.NewEncoder(&document)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return document.Bytes(), nil
}

// before says how long before now a time was.
func before(now, t time.Time) string {
	return cmp.Or(earlier(now, t), "never")
}

// earlier says how long before now a time was; empty for no time.
func earlier(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}
