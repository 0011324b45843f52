package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/verify"
)

// progress shows how far something is: in one line that is written over and over on a
// terminal, in a line for each step elsewhere.
type progress struct {
	out   io.Writer
	live  bool
	width int
	// running are the names of the checks that have begun and not ended, the oldest
	// first.
	running []string
	told    string // the line before
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, width: widthOf(out)}
	if file, ok := out.(*os.File); ok {
		p.live = term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
	}
	return p
}

// defaultWidth is that of what is no terminal.
const defaultWidth = 100

// widthOf returns how many columns a writer has.
func widthOf(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return min(max(width, 60), 120)
		}
	}
	return defaultWidth
}

// check is told of a step of the system check.
func (p *progress) check(step verify.Progress) {
	name := plain(step.Result.Name())
	if step.Result.Status == verify.Running {
		p.running = append(p.running, name)
		p.show(fmt.Sprintf("[%*d/%d] %s", len(fmt.Sprint(step.Total)), step.Done, step.Total, name))
		return
	}
	for i, running := range p.running {
		if running == name {
			p.running = append(p.running[:i], p.running[i+1:]...)
			break
		}
	}
	line := fmt.Sprintf("[%*d/%d] ", len(fmt.Sprint(step.Total)), step.Done, step.Total)
	if !p.live {
		fmt.Fprintf(p.out, "%s%s: %s\n", line, name, plain(string(step.Result.Status)))
		return
	}
	if len(p.running) > 0 {
		p.show(line + p.running[0])
	}
}

// sync is told how far the synchronization of all people is.
func (p *progress) sync(step presencebridge.SyncReport) {
	// Who was left alone and who failed is in the report; a running bridge tells no more
	// than figures until then.
	line := fmt.Sprintf("%d of %d done: %d changed, %d already right, %d left alone or failed",
		step.Done, step.Total, step.Changed, step.AlreadyRight, step.Done-step.Changed-step.AlreadyRight)
	switch {
	case p.live:
		p.show(line)
	case line != p.told:
		p.told = line
		fmt.Fprintln(p.out, line)
	}
}

// show writes the line of a terminal anew.
func (p *progress) show(line string) {
	if !p.live {
		return
	}
	if runes := []rune(line); len(runes) >= p.width {
		line = string(runes[:p.width-2]) + "…"
	}
	fmt.Fprint(p.out, "\r\x1b[K"+line)
}

// end leaves the line empty.
func (p *progress) end() {
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// plain takes out what would command a terminal: another process has sent it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}
