// Command custom-mapping shows how the mapping table is changed for everyone, for
// a group and for one person, and what becomes of a few states then.
//
//	go run ./examples/custom-mapping
//
// A layer holds only the rules in which it differs from the layers below it:
// a person's own rules come first, then those of the person's groups, then those
// for everyone, then the default. The program reads no network and no clock; it
// prints, and exits.
package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/presencebridge/presencebridge/presence"
)

// The rules, in the text form in which a service would keep them in files.
var (
	//go:embed everyone.txt
	everyoneText []byte
	//go:embed reception.txt
	receptionText []byte
	//go:embed anna.txt
	annaText []byte
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "custom-mapping:", err)
		os.Exit(1)
	}
}

// newMapping reads the layers. The errors of ParseRules name every faulty line
// with what to write instead.
func newMapping() (*presence.Mapping, error) {
	everyone, err := presence.ParseRules(everyoneText)
	if err != nil {
		return nil, fmt.Errorf("everyone.txt: %w", err)
	}
	reception, err := presence.ParseRules(receptionText)
	if err != nil {
		return nil, fmt.Errorf("reception.txt: %w", err)
	}
	anna, err := presence.ParseRules(annaText)
	if err != nil {
		return nil, fmt.Errorf("anna.txt: %w", err)
	}
	return presence.NewMapping(&presence.Layers{
		Everyone: everyone,
		Groups:   map[string]presence.Rules{"reception": reception},
		Users:    map[string]presence.Rules{"anna@example.com": anna},
	})
}

// person is whom a table is printed for.
type person struct {
	who  string
	user presence.User
}

func people() []person {
	return []person{
		{"Ben, who has no rules of his own", presence.User{Email: "ben@example.com"}},
		{"Chiara, of the group reception", presence.User{Email: "chiara@example.com", Groups: []string{"reception"}}},
		{"Anna, of the group reception, with rules of her own", presence.User{Email: "anna@example.com", Groups: []string{"reception"}}},
	}
}

// The states that are looked up for each of them.
func lines() []presence.Line {
	return []presence.Line{
		{State: presence.LineRinging},
		{State: presence.LineConnected},
		{State: presence.LineIdle, DoNotDisturb: true},
		{State: presence.LineOutOfService},
	}
}

func presences() []presence.Presence {
	return []presence.Presence{
		{Availability: presence.Busy, Activity: presence.ActivityInAMeeting},
		{Availability: presence.Busy, Activity: presence.ActivityInACall},
		{Availability: presence.DoNotDisturb, Activity: presence.ActivityFocusing},
		{Availability: presence.Away, Activity: presence.ActivityAway},
		{Availability: "Hibernating", Activity: presence.ActivityAway},
	}
}

func run(out io.Writer) error {
	mapping, err := newMapping()
	if err != nil {
		return err
	}
	// In a service, the mapping goes into presencebridge.Options.Mapping.
	for _, p := range people() {
		if err := show(out, p.who, mapping.For(p.user)); err != nil {
			return err
		}
	}
	return nil
}

// show prints the table as one layer, from which what never applies has gone,
// and the look-ups with the place of the rule that decided each.
func show(out io.Writer, who string, table *presence.Table) error {
	fmt.Fprintf(out, "%s\n\n  the rows that hold\n", who)
	for row := range strings.Lines(table.Rules().String()) {
		fmt.Fprint(out, "    ", row)
	}
	fmt.Fprint(out, "\n  what becomes of what\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range lines() {
		session, effect := table.Session(line)
		fmt.Fprintf(w, "    phone %s\t%s\t%s\n", line, result(session.String(), effect), place(table.SessionRule(line)))
	}
	for _, p := range presences() {
		status, effect := table.Status(p)
		fmt.Fprintf(w, "    teams %s\t%s\t%s\n", p, result(string(status), effect), place(table.StatusRule(p)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// result says what is written, or what is done instead.
func result(value string, effect presence.Effect) string {
	if effect == presence.Set {
		return value
	}
	return "(" + effect.String() + ")"
}

// place says where the rule stands that decided.
func place(rule presence.Rule) string {
	if rule.IsZero() {
		return rule.String()
	}
	return fmt.Sprintf("%s, line %d", rule.Layer, rule.Line)
}
