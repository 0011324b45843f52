package verify

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
)

// Status is what became of a check.
type Status string

// What becomes of a check.
const (
	// Passed: it is as it should be.
	Passed Status = "passed"
	// Warned: it works, but will not for ever, or not as well as it could.
	Warned Status = "warning"
	// Failed: presence is missing or wrong for somebody.
	Failed Status = "failed"
	// Skipped: something that the check depends on has not passed.
	Skipped Status = "skipped"
	// NotApplicable: there is nothing to check, because it is not used.
	NotApplicable Status = "not applicable"
	// Running is the status of a check that has begun, in [Progress] only.
	Running Status = "running"
)

// Evidence is one fact that a check found. Its value is redacted and short.
type Evidence struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Result is what became of one check, for one subject.
type Result struct {
	Code Code `json:"code"`
	// Subject is the monitor or the permission; empty for a check that is made once.
	Subject  string   `json:"subject,omitempty"`
	Area     Area     `json:"area"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Status   Status   `json:"status"`
	// Sentence says what is wrong; for Skipped and NotApplicable, why.
	Sentence string `json:"sentence,omitempty"`
	// Remedy says what to do and Administrator who does it; empty unless the
	// status is Failed or Warned.
	Remedy        string        `json:"remedy,omitempty"`
	Administrator Administrator `json:"administrator,omitempty"`
	// Because are the checks that did not pass and for which this one was skipped:
	// code, or code[subject].
	Because []string `json:"because,omitempty"`
	// Basis is what the result rests on.
	Basis    string     `json:"basis,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
	// Names are all whom or what the sentence is about, where it names only the first:
	// the people who are left out, for example.
	Names []string `json:"names,omitempty"`
	// Lacks is what a one-way bridge still lacks for both directions: of
	// [CodeUpgrade] alone.
	Lacks []Lack `json:"lacks,omitempty"`
	// StartedAt is when it began; zero if it was skipped or does not apply.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Duration is how long it took, to the millisecond. In JSON it is the number
	// durationMilliseconds.
	Duration time.Duration `json:"-"`
}

// plainResult is a Result without its methods.
type plainResult Result

type resultJSON struct {
	plainResult
	DurationMilliseconds int64 `json:"durationMilliseconds"`
}

// MarshalJSON returns the result with its duration in milliseconds.
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(resultJSON{plainResult(r), r.Duration.Milliseconds()})
}

// UnmarshalJSON accepts what MarshalJSON returns.
func (r *Result) UnmarshalJSON(data []byte) error {
	var in resultJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if ms := in.DurationMilliseconds; ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return fmt.Errorf("verify: durationMilliseconds is %d: no check takes that long", ms)
	}
	*r = Result(in.plainResult)
	r.Duration = time.Duration(in.DurationMilliseconds) * time.Millisecond
	return nil
}

// Name returns the code, and the subject in brackets where there is one.
func (r Result) Name() string { return name(r.Code, r.Subject) }

func name(code Code, subject string) string {
	if subject == "" {
		return string(code)
	}
	return fmt.Sprintf("%s[%s]", code, subject)
}

// ReportVersion is the version of the JSON form of a [Report]. It grows when a
// field changes its meaning or goes away; new fields do not count.
const ReportVersion = 1

// ReportKind is the kind of document that a [Report] is.
const ReportKind = "presencebridge system check"

// Report is what a system check has found. Its JSON form is meant for support
// cases and for programs: see [ReportVersion].
type Report struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// Name is that of the bridge.
	Name      string                   `json:"name,omitempty"`
	StartedAt time.Time                `json:"startedAt"`
	EndedAt   time.Time                `json:"endedAt"`
	Direction presencebridge.Direction `json:"direction"`
	// Complete: every check was made in this run or an earlier one, none was cut
	// short, and none is still to be made again after what it was skipped for has passed.
	Complete bool `json:"complete"`
	// Results are in the order of [Checks], and of subjects.
	Results []Result `json:"results"`
}

// clone returns a copy that shares nothing; nil of nil.
func (r *Report) clone() *Report {
	if r == nil {
		return nil
	}
	c := *r
	c.Results = slices.Clone(r.Results)
	for i := range c.Results {
		c.Results[i].Because = slices.Clone(c.Results[i].Because)
		c.Results[i].Evidence = slices.Clone(c.Results[i].Evidence)
		c.Results[i].Lacks = slices.Clone(c.Results[i].Lacks)
		c.Results[i].Names = slices.Clone(c.Results[i].Names)
	}
	return &c
}

// Count returns how many results have the status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, result := range r.Results {
		if result.Status == s {
			n++
		}
	}
	return n
}

// Result returns the result of a check for a subject, which is empty for a check
// that is made once.
func (r *Report) Result(code Code, subject string) (Result, bool) {
	i := slices.IndexFunc(r.Results, func(x Result) bool { return x.Code == code && strings.EqualFold(x.Subject, subject) })
	if i < 0 {
		return Result{}, false
	}
	return r.Results[i], true
}

// Troubles returns the results that Failed, then those that Warned.
func (r *Report) Troubles() []Result {
	var troubles []Result
	for _, s := range []Status{Failed, Warned} {
		for _, result := range r.Results {
			if result.Status == s {
				troubles = append(troubles, result)
			}
		}
	}
	return troubles
}

// The exit codes of a program that makes a system check. 2 is left to errors of
// the command line.
const (
	// ExitPassed: every check passed, or does not apply.
	ExitPassed = 0
	// ExitFailed: a check failed, or the report is not complete.
	ExitFailed = 1
	// ExitWarned: no check failed, but at least one warned.
	ExitWarned = 3
)

// ExitCode returns the exit code for the report.
func (r *Report) ExitCode() int {
	switch {
	case r.Count(Failed) > 0 || !r.Complete:
		return ExitFailed
	case r.Count(Warned) > 0:
		return ExitWarned
	default:
		return ExitPassed
	}
}
