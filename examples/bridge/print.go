package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// The kinds of line, which the JSON form names.
const (
	lineIntro    = "intro"    // what is shown
	lineLimited  = "limited"  // somebody is kept in step in one direction only
	lineExcluded = "excluded" // somebody is left out
	lineChange   = "change"   // somebody changed something, and what became of it
	lineEcho     = "own"      // Teams shows the bridge's own session, which goes no further
	lineRenewed  = "renewed"  // a session lives on
	lineFault    = "fault"    // a notification was lost or came twice
	lineFailed   = "failed"   // a write failed
	lineMonitor  = "monitor"  // what became of a presence monitor, and of whom it watches
	lineVerdict  = "verdict"  // whether both sides agree
	lineDiffers  = "differs"  // who does not, and why
	lineInfo     = "info"     // anything else
)

// line is one line of the output.
type line struct {
	Event string `json:"event"`
	// Time is the company's time of the day.
	Time   string `json:"time,omitempty"`
	Person string `json:"person,omitempty"`
	// Where is the phone, Teams or MiCollab; Became is what it became there.
	Where  string `json:"where,omitempty"`
	Became string `json:"became,omitempty"`
	// There is the other side, and Effect what it became there.
	There  string `json:"there,omitempty"`
	Effect string `json:"effect,omitempty"`
	Note   string `json:"note,omitempty"`
	// Milliseconds is how long it took from the change to the end of the write.
	Milliseconds float64 `json:"ms,omitempty"`
}

// printer writes lines for people, or as JSON.
type printer struct {
	out    io.Writer
	json   bool
	colour bool
	width  int

	mu sync.Mutex
}

// newPrinter returns a printer that colours its output on a terminal, unless
// NO_COLOR asks it not to (no-color.org).
func newPrinter(out io.Writer, asJSON bool) *printer {
	p := &printer{out: out, json: asJSON, width: 80}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			p.width = min(max(width, 60), 120)
		}
	}
	return p
}

func (p *printer) print(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.json:
		fmt.Fprintln(p.out, p.format(l))
	case l != (line{Event: lineInfo}): // not an empty line
		p.encode(l)
	}
}

// object writes v as JSON, or text for people.
func (p *printer) object(v any, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		p.encode(v)
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *printer) encode(v any) {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // nobody is left to tell
}

// The columns of a line.
const (
	timeColumn = 6
	nameColumn = 13
	whatColumn = 21
	tookColumn = 7
)

// format lays a line out: time, person, what happened → what became of it, and
// how long it took at the right. What does not fit goes on below.
func (p *printer) format(l line) string {
	switch l.Event {
	case lineIntro:
		return p.paint(bold, l.Note)
	case lineInfo:
		return l.Note
	case lineVerdict:
		return p.paint(colourOf(l), l.Note)
	case lineLimited, lineExcluded, lineDiffers:
		indent := strings.Repeat(" ", nameColumn+2)
		text := "  " + pad(l.Person, nameColumn) + wrap(l.Note, p.width-len(indent), "\n"+indent)
		return p.paint(colourOf(l), text)
	}
	return p.formatChange(l)
}

// formatChange lays out a line about one person. The arrow has its column; where
// that leaves too little room it moves to the left, and at last to the next line.
func (p *printer) formatChange(l line) string {
	colour := colourOf(l)
	if l.Event == lineMonitor {
		l.Became, l.Note = l.Note, ""
	}
	lead := p.paint(faint, pad(l.Time, timeColumn)) + pad(l.Person, nameColumn)
	what, effect := join(l.Where, brief(l.Became)), join(l.There, brief(l.Effect))
	if l.Note != "" {
		effect = join(effect, "("+l.Note+")")
	}
	room, took := p.width-timeColumn-nameColumn, ""
	if l.Milliseconds > 0 {
		room -= tookColumn
		took = p.paint(faint, padLeft(milliseconds(l.Milliseconds), tookColumn))
	}
	if effect == "" {
		return lead + p.paint(colour, wrap(what, room, "\n"+strings.Repeat(" ", timeColumn+nameColumn)))
	}
	for _, text := range []string{pad(what, whatColumn) + " → " + effect, what + " → " + effect} {
		if gap := room - width(text); gap >= 0 && took != "" {
			return lead + p.paint(colour, text) + strings.Repeat(" ", gap) + took
		} else if gap >= 0 {
			return lead + p.paint(colour, text)
		}
	}
	indent := strings.Repeat(" ", timeColumn+nameColumn+2)
	below := wrap("→ "+effect, room-2, "\n"+indent+"  ")
	last := below[strings.LastIndexByte(below, '\n')+1:]
	gap := p.width - tookColumn - width(last)
	if last == below {
		gap -= len(indent)
	}
	text := lead + p.paint(colour, what+"\n"+indent+below)
	if took != "" {
		text += strings.Repeat(" ", max(0, gap)) + took
	}
	return text
}

func join(words ...string) string {
	return strings.TrimSpace(strings.Join(words, " "))
}

// brief leaves out what a pair of availability and activity says twice.
func brief(text string) string {
	before, pair := "", text
	if at := strings.LastIndexByte(text, ' '); at >= 0 && strings.Contains(text[at:], "/") {
		before, pair = text[:at+1], text[at+1:]
	}
	if strings.Contains(text, "/OutOfOffice") {
		return strings.TrimSuffix(text, ", out of office")
	}
	if availability, activity, ok := strings.Cut(pair, "/"); ok && availability == activity {
		pair = availability
	}
	return before + pair
}

func milliseconds(ms float64) string {
	switch {
	case ms < 1:
		return "<1 ms"
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}

func inMilliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// Escape sequences (ECMA-48, select graphic rendition).
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func colourOf(l line) string {
	switch l.Event {
	case lineEcho, lineRenewed:
		return faint
	case lineFault, lineLimited, lineExcluded, lineMonitor:
		return yellow
	case lineFailed, lineDiffers:
		return red
	case lineVerdict:
		if l.Effect == verdictAgree {
			return green
		}
		return red
	case lineChange:
		switch {
		case l.Milliseconds == 0:
			return ""
		case l.There == placeTeams:
			return cyan
		default:
			return green
		}
	default:
		return ""
	}
}

// paint colours a text, but not the line breaks in it.
func (p *printer) paint(colour, text string) string {
	if !p.colour || colour == "" || strings.TrimSpace(text) == "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = "\x1b[" + colour + "m" + l + "\x1b[0m"
	}
	return strings.Join(lines, "\n")
}

func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, columns int) string { return s + strings.Repeat(" ", max(0, columns-width(s))) }

func padLeft(s string, columns int) string {
	return strings.Repeat(" ", max(0, columns-width(s))) + s
}

// wrap breaks a text between words into lines of at most columns, put together
// by newline.
func wrap(text string, columns int, newline string) string {
	var lines []string
	current := ""
	for _, word := range strings.Fields(text) {
		if current != "" && width(current)+1+width(word) > columns {
			lines = append(lines, current)
			current = ""
		}
		current = strings.TrimSpace(current + " " + word)
	}
	return strings.Join(append(lines, current), newline)
}
