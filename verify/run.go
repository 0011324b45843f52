package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// RunOptions say which checks a run makes. The zero value of every field is its
// default.
type RunOptions struct {
	// Only are the checks to be made again, together with what they depend on. Of
	// the others, the report has what an earlier run found. Default: all.
	Only []Code
	// ProbeUser switches the end-to-end probe on for this run, with this test user:
	// see [SystemOptions].ProbeUser. Default: that of the options.
	ProbeUser string
	// Progress is told of each check when it begins and when it ends, one after the
	// other. It should not block: the checks go on, and Run returns only after it.
	// Default: nobody is told.
	Progress func(Progress)
}

// Progress is one step of a run.
type Progress struct {
	// Result is that of a check that has ended; if its Status is Running, the check
	// has begun.
	Result Result `json:"result"`
	// Done is how many checks have ended, of Total.
	Done  int `json:"done"`
	Total int `json:"total"`
}

// ErrUnknownCode is matched by the error of a run that is asked for a check that
// does not exist.
var ErrUnknownCode = errors.New("there is no such check")

// Run makes the checks and reports. It waits for a run that is under way. Each
// check is bounded; one that does not end within its bound, or panics, has failed.
// Whatever the checks find is in the report and no error.
//
// If ctx ends before all checks have, Run returns within about a second the report
// as far as it came, which is not Complete, together with ctx's cause. Later runs
// know nothing of such checks but what an earlier run found. The report is nil
// if the run had not begun, as for codes that do not exist ([ErrUnknownCode]).
func (c *SystemCheck) Run(ctx context.Context, opts *RunOptions) (*Report, error) {
	var o RunOptions
	if opts != nil {
		o = *opts
	}
	wanted, err := c.wanted(o.Only)
	if o.ProbeUser != "" && c.sources.Sessions == nil {
		err = errors.Join(err, errors.New("verify: there is no probe: SystemSources.Sessions is missing, which is the graph.Client"))
	}
	if err != nil {
		return nil, err
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &run{check: c, facts: newFacts(ctx, c, o.ProbeUser), progress: o.Progress, slots: make(chan struct{}, c.opts.Parallel)}
	return r.make(ctx, wanted)
}

// wanted returns the checks of the codes with all that they depend on; all checks
// for no codes.
func (c *SystemCheck) wanted(only []Code) (map[Code]bool, error) {
	byCode := make(map[Code]*Check, len(c.checks))
	for i := range c.checks {
		byCode[c.checks[i].Code] = &c.checks[i]
	}
	wanted := make(map[Code]bool, len(c.checks))
	var faults []error
	var add func(code Code)
	add = func(code Code) {
		if wanted[code] {
			return
		}
		check := byCode[code]
		if check == nil {
			faults = append(faults, fmt.Errorf("verify: %w: %q: Checks lists them", ErrUnknownCode, code))
			return
		}
		wanted[code] = true
		for _, d := range check.DependsOn {
			add(d.Code)
		}
	}
	for _, code := range only {
		add(code)
	}
	if len(only) == 0 {
		for code := range byCode {
			add(code)
		}
	}
	return wanted, errors.Join(faults...)
}

// run is one run.
type run struct {
	check    *SystemCheck
	facts    *facts
	progress func(Progress)
	// events carries what progress is told, from the checks to Run's goroutine. It
	// has room for all, so that no check waits for whoever is told.
	events chan Progress
	// slots bound how many checks are made at a time.
	slots chan struct{}
}

// instance is a check for one subject.
type instance struct {
	check   *Check
	subject string
	needs   []need
	done    chan struct{} // closed when result is there
	result  Result
	cut     bool // the run ended before the check had an outcome
}

type need struct {
	on     *instance
	strict bool
}

// make makes the checks and puts the report together.
func (r *run) make(ctx context.Context, wanted map[Code]bool) (*Report, error) {
	started := time.Now()
	all := r.instances()
	var todo []*instance
	for _, i := range all {
		if wanted[i.check.Code] {
			todo = append(todo, i)
		}
	}
	r.events = make(chan Progress, 2*len(todo))
	for _, i := range todo {
		go r.one(ctx, i)
	}
	for ended := 0; ended < len(todo); {
		p := <-r.events
		if p.Result.Status != Running {
			ended++
		}
		p.Done, p.Total = ended, len(todo)
		if r.progress != nil {
			r.progress(p)
		}
	}
	report := &Report{
		Kind: ReportKind, Version: ReportVersion, Name: r.check.settings.Name, StartedAt: stamp(started), EndedAt: stamp(time.Now()),
		Direction: r.facts.direction, Complete: true,
	}
	cut := r.check.remember(report, all, wanted)
	if cut {
		return report, context.Cause(ctx)
	}
	return report, nil
}

// stamp is a time as reports have it: to the millisecond, in UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// instances returns all checks, once for each of their subjects.
func (r *run) instances() []*instance {
	var all []*instance
	byCode := make(map[Code][]*instance)
	for i := range r.check.checks {
		check := &r.check.checks[i]
		for _, subject := range r.facts.subjects(check.Per) {
			one := &instance{check: check, subject: subject, done: make(chan struct{})}
			all = append(all, one)
			byCode[check.Code] = append(byCode[check.Code], one)
		}
	}
	for _, i := range all {
		for _, d := range i.check.DependsOn {
			subject := d.Subject
			if on := byCode[d.Code]; subject == "" && len(on) > 0 && on[0].check.Per == i.check.Per {
				subject = i.subject
			}
			for _, on := range byCode[d.Code] {
				if on != i && (subject == "" || strings.EqualFold(on.subject, subject)) {
					i.needs = append(i.needs, need{on, d.Strict})
				}
			}
		}
	}
	return all
}

// one makes one check once what it depends on has ended.
func (r *run) one(ctx context.Context, i *instance) {
	i.result = Result{Code: i.check.Code, Subject: i.subject, Area: i.check.Area, Title: i.check.Title, Severity: i.check.Severity}
	defer func() {
		// In this order: those that wait for it are told to begin after it has ended.
		r.events <- Progress{Result: i.result}
		close(i.done)
	}()
	if o, so := r.inapplicable(i); so {
		r.take(&i.result, i.check, o)
		return
	}
	for _, n := range i.needs {
		<-n.on.done
		if status := n.on.result.Status; status == Failed || status == Skipped || n.strict && status == Warned {
			i.result.Status = Skipped
			i.result.Because = append(i.result.Because, r.causes(n.on)...)
		}
	}
	if i.result.Status == Skipped {
		slices.Sort(i.result.Because)
		i.result.Because = slices.Compact(i.result.Because)
		i.result.Sentence = notPassed(i.result.Because)
		if len(i.result.Because) == 0 {
			i.cutShort()
		}
		return
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		i.cutShort()
		return
	}
	began := time.Now()
	i.result.StartedAt = stamp(began)
	running := i.result
	running.Status = Running
	r.events <- Progress{Result: running}
	outcome := r.bounded(ctx, i)
	i.result.Duration = time.Since(began).Round(time.Millisecond)
	if ctx.Err() != nil && outcome.Status != Passed {
		i.cutShort() // what it found may be the end of the run and nothing else
		return
	}
	r.take(&i.result, i.check, outcome)
}

// cutShort notes that the run ended before the check had an outcome.
func (i *instance) cutShort() {
	i.cut = true
	i.result.Status, i.result.Sentence = Skipped, "The run was ended before this check had an outcome."
	i.result.Because = nil
}

// causes returns what keeps those that depend on i from being made: i itself, or
// if it was skipped, what it was skipped for.
func (r *run) causes(i *instance) []string {
	if i.result.Status == Skipped {
		return i.result.Because
	}
	return []string{i.result.Name()}
}

// inapplicable returns why there is nothing to check, whatever became of what the
// check depends on.
func (r *run) inapplicable(i *instance) (o finding, so bool) {
	defer func() {
		if v := recover(); v != nil {
			o, so = brokeOff(v), true
		}
	}()
	if i.check.applies != nil {
		if why := i.check.applies(r.facts); why != "" {
			return notApplicable(why), true
		}
	}
	if i.check.Per != "" && i.subject == "" {
		return notApplicable("There is no " + string(i.check.Per) + "."), true
	}
	return finding{}, false
}

// brokeOff is the outcome of a check that panicked.
func brokeOff(v any) finding {
	return failed("The check broke off: "+secret.PanicText(v)+".", brokenRemedy).by(Operator)
}

// obeyWithin is how long a check may take to give up when its context has ended.
const obeyWithin = time.Second

// bounded makes a check, and goes on without it when its time is over: some
// implementation of a source may not obey its context.
func (r *run) bounded(ctx context.Context, i *instance) finding {
	bound := r.check.opts.Timeout
	if i.check.bound != nil {
		bound = i.check.bound(&r.check.opts)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	outcome := make(chan finding, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				outcome <- brokeOff(v)
			}
		}()
		outcome <- i.check.run(ctx, r.facts, i.subject)
	}()
	select {
	case o := <-outcome:
		return o
	case <-ctx.Done():
	}
	// It may have obeyed, and said what it was waiting for.
	grace := time.NewTimer(obeyWithin + i.check.cleanUp)
	defer grace.Stop()
	select {
	case o := <-outcome:
		return o
	case <-grace.C:
		return failed(fmt.Sprintf("There was no outcome within %v.", bound), "Run it again. If it stays so, what it asks does not answer: look at the network between here and there.").by(Operator)
	}
}

// brokenRemedy is the remedy of a check that is itself at fault.
const brokenRemedy = "Report it to the developers of the service, with this report."

// take makes an outcome part of a result: complete, redacted and short.
func (r *run) take(to *Result, check *Check, o finding) {
	switch o.Status {
	case Passed, Warned, Failed, NotApplicable:
	default:
		// Otherwise it would count as neither, and look as if it had passed.
		o = failed(fmt.Sprintf("The check told no outcome, but %q.", o.Status), brokenRemedy).by(Operator)
	}
	to.Status = o.Status
	if to.Status == Failed && check.Severity == SeverityWarning {
		to.Status = Warned
	}
	redact := r.check.redact
	to.Sentence = redact.text(o.Sentence)
	to.Basis = cmp.Or(redact.text(o.Basis), check.Basis)
	for _, e := range o.Evidence {
		if e.Value != "" {
			to.Evidence = append(to.Evidence, Evidence{redact.text(e.Name), redact.text(e.Value)})
		}
	}
	for _, name := range o.Names {
		to.Names = append(to.Names, redact.text(name))
	}
	for _, l := range o.Lacks {
		l.Name, l.Remedy = redact.text(l.Name), redact.text(l.Remedy)
		to.Lacks = append(to.Lacks, l)
	}
	if to.Status == Warned && r.check.accepts(to) {
		to.Status = Passed
		to.Evidence = append(to.Evidence, Evidence{"accepted warning", to.Sentence})
		to.Sentence = ""
	}
	if to.Status == Failed || to.Status == Warned {
		to.Remedy = cmp.Or(redact.text(o.Remedy), check.Remedy)
		to.Administrator = cmp.Or(o.Administrator, check.Administrator)
	}
}
