package verify

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// TextOptions say how a report is written for people. The zero value of every
// field is its default.
type TextOptions struct {
	// Verbose writes also the evidence of the checks that passed, what every result
	// rests on, and how long each check took, each subject by itself. Default: of what
	// did not pass only, and one line for all subjects of which a check says the same.
	Verbose bool
	// Width is the number of columns at which lines are wrapped; a word that is
	// longer is not broken. Negative: lines are not wrapped. Default: 100.
	Width int
}

// marks are how the statuses stand before the titles.
var marks = map[Status]string{Passed: "passed", Warned: "WARNING", Failed: "FAILED", Skipped: "skipped", NotApplicable: "n/a", Running: "running"}

// administrators are in the order in which a report lists them.
var administrators = []Administrator{AzureAdministrator, CloudLinkAdministrator, MiCollabAdministrator, Operator}

// WriteText writes the report for a terminal or a file: a line that sums it up, a
// line for each check by area, below those that did not pass what is wrong, what to
// do and what was found, and at the end what is to be done by each administrator.
// The error is that of w.
func (r *Report) WriteText(w io.Writer, opts *TextOptions) error {
	t := &textWriter{}
	if opts != nil {
		t.TextOptions = *opts
	}
	if t.Width == 0 {
		t.Width = 100
	}
	t.summary(r)
	area := Area("")
	for i, group := range t.groups(r.Results) {
		if group.Area != area || i == 0 {
			area = group.Area
			t.line(0, "")
			t.line(0, string(area))
		}
		t.result(group)
	}
	t.todo(r)
	_, err := io.WriteString(w, t.out.String())
	return err
}

// group is a result, or several of one check that say the same of their subjects.
type group struct {
	*Result
	subjects []string
	of       int // how many subjects the check has
}

// groups puts together what a reader need not see once for each subject.
func (t *textWriter) groups(results []Result) []*group {
	var groups []*group
	subjects := make(map[Code]int)
	for i := range results {
		subjects[results[i].Code]++
	}
	for i := range results {
		r := &results[i]
		same := slices.IndexFunc(groups, func(g *group) bool {
			return g.Code == r.Code && g.Status == r.Status && g.Sentence == r.Sentence
		})
		if same >= 0 && !t.Verbose && !actionable(r.Status) {
			groups[same].subjects = append(groups[same].subjects, r.Subject)
			continue
		}
		g := &group{Result: r, of: subjects[r.Code]}
		if r.Subject != "" {
			g.subjects = []string{r.Subject}
		}
		groups = append(groups, g)
	}
	return groups
}

// actionable reports whether somebody has to do something.
func actionable(s Status) bool { return s == Failed || s == Warned }

// textWriter collects the text of a report.
type textWriter struct {
	TextOptions
	out strings.Builder
}

func (t *textWriter) summary(r *Report) {
	name := ""
	if r.Name != "" {
		name = " of " + r.Name
	}
	t.line(0, fmt.Sprintf("System check%s, %s, %s, in %v", name, r.Direction, r.StartedAt.UTC().Format("2006-01-02 15:04:05 UTC"), r.EndedAt.Sub(r.StartedAt)))
	var counts []string
	for _, s := range []Status{Failed, Warned, Skipped, Passed, NotApplicable} {
		if n := r.Count(s); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(counts) == 0 {
		counts = append(counts, "no check was made")
	}
	t.line(0, strings.Join(counts, ", ")+".")
	if earlier, since := r.earlier(); earlier > 0 {
		t.line(0, fmt.Sprintf("Of these, %d were not made now: they are from earlier runs, since %s.", earlier, since.UTC().Format("2006-01-02 15:04:05 UTC")))
	}
	if !r.Complete {
		t.line(0, "The report is not complete: not every check was made. Run all of them.")
	}
}

// earlier returns how many results are from earlier runs, and since when.
func (r *Report) earlier() (n int, since time.Time) {
	for _, result := range r.Results {
		if at := result.StartedAt; !at.IsZero() && at.Before(r.StartedAt) {
			n++
			if since.IsZero() || at.Before(since) {
				since = at
			}
		}
	}
	return n, since
}

// indent is where titles begin.
const indent = 10

func (t *textWriter) result(r *group) {
	title := r.Title
	switch {
	case len(r.subjects) > 1:
		title += fmt.Sprintf(": %d of %d", len(r.subjects), r.of)
	case len(r.subjects) == 1:
		title += ": " + r.subjects[0]
	}
	mark := cmp.Or(marks[r.Status], string(r.Status))
	t.wrapped(fmt.Sprintf("  %-*s", indent-2, mark), indent+2, fmt.Sprintf("%s (%s)", title, r.Code))
	trouble := actionable(r.Status)
	if r.Sentence != "" && (trouble || t.Verbose || r.Status == Skipped) {
		t.line(indent, r.Sentence)
	}
	if r.Remedy != "" {
		t.wrapped(strings.Repeat(" ", indent)+"→ ", indent+2, fmt.Sprintf("%s (%s)", r.Remedy, r.Administrator))
	}
	if !trouble && !t.Verbose {
		return
	}
	if t.Verbose && len(r.Names) > maxNames {
		t.wrapped(strings.Repeat(" ", indent)+"- ", indent+4, "all of them: "+strings.Join(r.Names, ", "))
	}
	for _, e := range r.Evidence {
		t.wrapped(strings.Repeat(" ", indent)+"- ", indent+4, e.Name+": "+e.Value)
	}
	if r.Basis != "" && r.Status != Skipped {
		t.wrapped(strings.Repeat(" ", indent)+"- ", indent+4, "rests on: "+r.Basis)
	}
	if t.Verbose && !r.StartedAt.IsZero() {
		t.line(indent, fmt.Sprintf("- made: %s, in %v", r.StartedAt.UTC().Format("2006-01-02 15:04:05 UTC"), r.Duration))
	}
}

// todo lists what is to be done, once, however many checks ask for it.
func (t *textWriter) todo(r *Report) {
	type task struct {
		by     Administrator
		remedy string
		names  []string
	}
	var tasks []*task
	var by []Administrator
	for _, result := range r.Troubles() {
		i := slices.IndexFunc(tasks, func(x *task) bool { return x.by == result.Administrator && x.remedy == result.Remedy })
		if i < 0 {
			i = len(tasks)
			tasks = append(tasks, &task{by: result.Administrator, remedy: result.Remedy})
			if !slices.Contains(by, result.Administrator) {
				by = append(by, result.Administrator)
			}
		}
		tasks[i].names = append(tasks[i].names, result.Name())
	}
	if len(tasks) == 0 {
		return
	}
	rank := func(a Administrator) int {
		if i := slices.Index(administrators, a); i >= 0 {
			return i
		}
		return len(administrators)
	}
	slices.SortStableFunc(by, func(a, b Administrator) int { return cmp.Compare(rank(a), rank(b)) })
	t.line(0, "")
	t.line(0, "What is to be done, failures first")
	for _, a := range by {
		t.line(0, "")
		t.line(2, "By the "+string(a)+":")
		n := 0
		for _, task := range tasks {
			if task.by == a {
				n++
				t.wrapped(fmt.Sprintf("  %2d. ", n), 6, fmt.Sprintf("%s (%s)", task.remedy, names(task.names)))
			}
		}
	}
	t.line(0, "")
	again := "Then run the check again"
	if r.Count(Skipped) > 0 {
		again += ": what was skipped may have more to say"
	}
	t.line(0, again+".")
}

// line writes a line that begins after some blanks, which it keeps when wrapped.
func (t *textWriter) line(blanks int, text string) {
	t.wrapped(strings.Repeat(" ", blanks), blanks, text)
}

// wrapped writes text after a head, and further lines after some blanks. A report
// may come from elsewhere: oneLine keeps it from commanding the terminal.
func (t *textWriter) wrapped(head string, blanks int, text string) {
	column := utf8.RuneCountInString(head)
	t.out.WriteString(strings.TrimRight(head, " "))
	owed := head[len(strings.TrimRight(head, " ")):] // written before the first word, if there is one
	first := true
	for word := range strings.FieldsSeq(oneLine(text)) {
		length := utf8.RuneCountInString(word)
		switch {
		case first:
			t.out.WriteString(owed)
		case t.Width > 0 && column+1+length > t.Width:
			t.out.WriteString("\n" + strings.Repeat(" ", blanks))
			column = blanks
		default:
			t.out.WriteByte(' ')
			column++
		}
		first = false
		t.out.WriteString(word)
		column += length
	}
	t.out.WriteByte('\n')
}
