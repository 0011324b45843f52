package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// printTable prints the monitors, each with its sentence below.
func (p *program) printTable(monitors []monitor.MonitorStatus) {
	if len(monitors) == 0 {
		fmt.Fprintln(p.stdout, "There are no monitors. Add one.")
		return
	}
	rows := [][4]string{{"MONITOR", "STATE", "AUTHORIZED", "SECRET ENDS"}}
	for _, m := range monitors {
		state := string(m.State)
		if m.Leaving {
			state = "leaving"
		}
		rows = append(rows, [4]string{m.PrincipalName, state, date(m.AuthorizedAt), date(m.SecretExpiresAt)})
	}
	var width [4]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprintf(p.stdout, "%-*s  ", width[j], cell)
		}
		if i == 0 {
			fmt.Fprintln(p.stdout, "COMMANDS")
			continue
		}
		m := monitors[i-1]
		fmt.Fprintln(p.stdout, strings.Join(commandsFor(m), " "))
		fmt.Fprintln(p.stdout, "  "+m.Sentence)
		if m.SecretExpiresAt.IsZero() && m.SecretUnknown != "" {
			fmt.Fprintf(p.stdout, "  The end of its client secret is not known: %s.\n", strings.TrimPrefix(m.SecretUnknown, "monitor: "))
		}
	}
}

// printFormerKeys says whether a former key of the store is still needed.
func (p *program) printFormerKeys(records int) {
	if records == 0 {
		return
	}
	are := "are"
	if records == 1 {
		are = "is"
	}
	fmt.Fprintf(p.stdout, "\n%s %s still sealed with a former key. Keep that key until there are none: the bridge seals them anew when it starts.\n", count(records, "record"), are)
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// commandsFor returns the commands that carry out the actions on offer.
func commandsFor(m monitor.MonitorStatus) []string {
	words := []string{}
	for _, a := range m.Actions {
		if a == monitor.ActionCopyURL {
			words = append(words, "url")
			continue
		}
		words = append(words, string(a))
	}
	if m.Leaving {
		words = append(words, "delete")
	}
	return words
}

func (p *program) printChange(c monitor.ApplicationChange, applied bool) {
	fmt.Fprintf(p.stdout, "from  tenant %s, client %s\nto    tenant %s, client %s\n\n", c.From.TenantID, c.From.ClientID, c.To.TenantID, c.To.ClientID)
	if c.From == c.To {
		fmt.Fprintln(p.stdout, "That is no change.")
		return
	}
	would := " would stop"
	if applied {
		would = " stop"
	}
	fmt.Fprintf(p.stdout, "%s%s until renewed with a client secret of the other application and authorized again: %s\n",
		count(len(c.Monitors), "monitor"), would, names(c.Monitors))
	fmt.Fprintf(p.stdout, "of the other application already, and working again at once: %s\n", names(c.Returning))
	fmt.Fprintf(p.stdout, "%s without notifications until then\n\n", count(c.Users, "user"))
	if !applied {
		fmt.Fprintln(p.stdout, "Nothing was changed: -apply does it.")
		return
	}
	fmt.Fprintln(p.stdout, "Now configure the bridge with the other ids: with the former ones it does not start. "+
		"It deletes the subscriptions of the monitors that have stopped, as far as Entra still lets it.")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func names(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func (p *program) printState(m monitor.MonitorStatus) {
	fmt.Fprintf(p.stdout, "State: %s. %s\n", m.State, m.Sentence)
}

// trouble is the error of a monitor that cannot work as it is.
func trouble(m monitor.MonitorStatus) error {
	return fmt.Errorf("%s is in the state %q: %s", m.PrincipalName, m.State, m.Sentence)
}

// complain prints errors, one a line.
func (p *program) complain(err error) {
	for line := range strings.Lines(plain(err)) {
		fmt.Fprintln(p.stderr, "monitors: "+strings.TrimSuffix(line, "\n"))
	}
	if errors.Is(err, monitor.ErrStoreInUse) {
		fmt.Fprintln(p.stderr, "monitors: it is most likely the bridge: its status page shows the monitors while it runs")
	}
}

// plain is an error's text without the package that it comes from, which means
// nothing to an administrator.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"monitor: ", "boltstore: ", "graph: ", "entra: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
