package verify

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for a person to read: the hops as a table of what each
// holds now, what the bridge believes and what is wanted; where they part company and
// what to do; and then all that the bridge holds. It returns the error of w.
func (r *UserReport) WriteText(w io.Writer) error {
	var s strings.Builder
	r.writeTo(&s)
	_, err := io.WriteString(w, plain(s.String()))
	return err
}

func (r *UserReport) writeTo(s *strings.Builder) {
	fmt.Fprintf(s, "User check of %s%s at %s\n", r.Email, ofBridge(r.Name), moment(r.At))
	if r.User == nil {
		s.WriteString("The bridge does not keep this person in step.\n")
	} else {
		fmt.Fprintf(s, "%s, account %s, person %s\n", cmp.Or(r.User.Name, r.User.Email), r.AccountDirection, r.UserDirection)
	}
	s.WriteString("\n")
	whole := r.writeHops(s)
	switch p := r.Parting; {
	case p != nil:
		fmt.Fprintf(s, "\nThe hops part company at %s.\n  %s\n  What to do: %s\n  By: %s\n", p.Hop, p.Sentence, p.Remedy, p.Administrator)
	case whole:
		s.WriteString("\nAll hops agree.\n")
	default:
		s.WriteString("\nAll hops that could be read agree.\n")
	}
	if len(r.Notes) > 0 {
		s.WriteString("\nNotes\n")
		for _, note := range r.Notes {
			fmt.Fprintf(s, "  - %s\n", note)
		}
	}
	s.WriteString("\nWhat was found of each hop\n")
	for _, h := range r.Hops {
		fmt.Fprintf(s, "  %s: %s\n", h.Name, h.Title)
		for _, e := range h.Evidence {
			fmt.Fprintf(s, "    %s: %s\n", e.Name, e.Value)
		}
	}
	if r.Explanation != nil {
		s.WriteString("\nWhat the bridge holds\n")
		for line := range strings.Lines(r.Explanation.String()) {
			s.WriteString("  " + line)
		}
	}
}

// writeHops writes the table, and reports whether it has everything. The match is too
// long for it, and stands before it.
func (r *UserReport) writeHops(s *strings.Builder) (whole bool) {
	var unread []Hop
	table := tabwriter.NewWriter(s, 0, 0, 2, ' ', 0)
	rows := 0
	for _, h := range r.Hops {
		now := h.Now
		if h.Error != "" {
			unread = append(unread, h)
			now = strings.TrimSpace(now + " (not all could be read)")
			if h.Now == "" {
				now = "could not be read"
			}
		}
		mark := " "
		if r.Parting != nil && r.Parting.Hop == h.Name {
			mark = ">"
		}
		if h.Name == HopMatch {
			fmt.Fprintf(s, "%s %s: %s\n", mark, h.Name, cmp.Or(now, "nothing was found"))
			if h.Believed != "" {
				fmt.Fprintf(s, "    the bridge believes: %s\n", h.Believed)
			}
			if len(r.Hops) > 1 {
				s.WriteString("\n")
			}
			continue
		}
		if rows == 0 {
			fmt.Fprintln(table, "  HOP\tNOW\tTHE BRIDGE BELIEVES\tWANTED")
		}
		rows++
		believed := cmp.Or(h.Believed, "-")
		if h.BelievedAge != "" {
			believed += " (" + h.BelievedAge + " ago)"
		}
		if h.Name == HopSession {
			now = "known by the bridge alone"
		}
		fmt.Fprintf(table, "%s %s\t%s\t%s\t%s\n", mark, h.Name, cmp.Or(now, "-"), believed, cmp.Or(h.Wanted, "-"))
	}
	_ = table.Flush() // A strings.Builder takes everything.
	if len(unread) > 0 {
		s.WriteString("\nWhat could not be read\n")
	}
	for _, h := range unread {
		fmt.Fprintf(s, "  %s: %s\n", h.Name, h.Error)
	}
	return len(unread) == 0
}

// WriteText writes the report for a person to read: what the bridge did, and the user
// check made after it. It returns the error of w.
func (r *ResetReport) WriteText(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "Phone state reset of %s%s at %s\n", r.Email, ofBridge(r.Name), moment(r.Reset.At))
	for line := range strings.Lines(r.Reset.String()) {
		s.WriteString("  " + line)
	}
	if r.After != nil {
		s.WriteString("\n")
		r.After.writeTo(&s)
	}
	_, err := io.WriteString(w, plain(s.String()))
	return err
}

// maxLines is how many people the text form of a list names; the JSON form names all.
const maxLines = 50

// WriteText writes the report for a person to read: the figures, and those who were
// left as they are or failed, at most 50 of each. It returns the error of w.
func (r *SyncReport) WriteText(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "Synchronization of all people%s at %s, %s long\n", ofBridge(r.Name), moment(r.StartedAt), r.EndedAt.Sub(r.StartedAt).Round(time.Millisecond))
	fmt.Fprintf(&s, "  %d of %d people read: %d changed, %d already right, %d left as they are, %d failed; %d not concerned\n",
		r.Read, r.Total, r.Changed, r.AlreadyRight, len(r.Blocked), len(r.Failed), r.Skipped)
	switch {
	case !r.Complete:
		fmt.Fprintf(&s, "  It ended before everybody was done: %s. What is done stays done, and a bridge that goes on running goes on with the others.\n", cmp.Or(r.Error, "for no reason that is known"))
	case len(r.Failed) > 0:
		s.WriteString("  Everybody was tried. The bridge goes on trying those that failed.\n")
	default:
		s.WriteString("  Everybody was done.\n")
	}
	for _, list := range []struct {
		title  string
		people []SyncException
	}{{"Left as they are", r.Blocked}, {"Failed", r.Failed}} {
		if len(list.people) == 0 {
			continue
		}
		fmt.Fprintf(&s, "\n%s\n", list.title)
		for i, p := range list.people {
			if i == maxLines {
				fmt.Fprintf(&s, "  and %d more\n", len(list.people)-maxLines)
				break
			}
			fmt.Fprintf(&s, "  %s: %s\n", p.Email, p.Reason)
		}
	}
	_, err := io.WriteString(w, plain(s.String()))
	return err
}

func ofBridge(name string) string {
	if name == "" {
		return ""
	}
	return ", bridge " + name
}
