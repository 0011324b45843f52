package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/verify"
)

// checkSystem makes the system check, with -again until all checks pass.
func (p *program) checkSystem(ctx context.Context, s *system) int {
	opts := verify.RunOptions{Only: p.flags.onlyCodes, ProbeUser: strings.TrimSpace(p.flags.probe)}
	asked := map[verify.Code]bool{}
	var last *verify.Report
	if opts.ProbeUser != "" {
		p.complain("the probe shows a call in the Teams of " + plain(opts.ProbeUser) + " for some seconds; if something is lost on the way, it takes minutes")
	}
	for {
		progress := newProgress(p.stderr)
		opts.Progress = func(step verify.Progress) {
			asked[step.Result.Code] = true
			progress.check(step)
		}
		report, err := s.Run(ctx, &opts)
		progress.end()
		if report != nil && len(p.flags.onlyCodes) > 0 {
			// What a running bridge found earlier of the others was not asked for.
			report.Results = slices.DeleteFunc(report.Results, func(r verify.Result) bool { return !asked[r.Code] })
			report.Complete = false
		}
		switch {
		case report == nil && last == nil:
			p.complain(interrupted(ctx, err).Error())
			return exitFailed
		case report == nil, err != nil && last != nil:
			// The report before is whole.
			p.complain(interrupted(ctx, err).Error())
			return p.printReport(last)
		case err != nil:
			p.complain(interrupted(ctx, err).Error())
			p.printReport(report)
			return exitFailed
		}
		// Of checks that nobody asked for, the report has what the bridge found earlier.
		open := slices.DeleteFunc(notPassed(report), func(code verify.Code) bool { return !asked[code] })
		if !p.flags.again || len(open) == 0 {
			return p.printReport(report)
		}
		p.tellOpen(report, open)
		last, opts.Only = report, open
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return p.printReport(last)
		}
	}
}

// notPassed returns the codes of the checks of a report that have not passed, in its
// order.
func notPassed(report *verify.Report) []verify.Code {
	var codes []verify.Code
	for _, r := range report.Results {
		if r.Status != verify.Passed && r.Status != verify.NotApplicable && !slices.Contains(codes, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// tellOpen says between two runs what is to be done.
func (p *program) tellOpen(report *verify.Report, open []verify.Code) {
	fmt.Fprintf(p.stderr, "%s: %d of the checks have not passed; they are made again in %v. Ctrl-C ends that.\n", report.EndedAt.Local().Format(time.TimeOnly), len(open), p.pause)
	for _, r := range report.Troubles() {
		fmt.Fprintf(p.stderr, "  %s: %s\n    → %s (%s)\n", plain(r.Name()), plain(r.Sentence), plain(r.Remedy), plain(string(r.Administrator)))
	}
}

// interrupted returns a plain error for one that only says that ctx has ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

func (p *program) printReport(report *verify.Report) int {
	code := report.ExitCode()
	if len(p.flags.onlyCodes) > 0 {
		// It cannot be complete, which is what was asked for.
		whole := *report
		whole.Complete = true
		code = whole.ExitCode()
	}
	return p.print(report, func(w io.Writer) error {
		return report.WriteText(w, &verify.TextOptions{Verbose: p.flags.verbose, Width: widthOf(p.stdout)})
	}, code)
}

// print prints a report, as JSON or by text, and returns code unless it cannot be
// printed.
func (p *program) print(report any, text func(io.Writer) error, code int) int {
	var err error
	if p.flags.asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = text(p.stdout)
	}
	if err != nil {
		p.complain(fmt.Sprintf("the report cannot be written: %v: is there room on the disk, and does anybody read it?", err))
		return exitFailed
	}
	return code
}

// checkUser makes the user check.
func (p *program) checkUser(ctx context.Context, s *system) int {
	progress := newProgress(p.stderr)
	progress.show("reading what each hop holds of " + plain(p.flags.user))
	report, err := s.Check(ctx, p.flags.user)
	progress.end()
	if err != nil {
		p.complain(interrupted(ctx, err).Error())
		return exitFailed
	}
	return p.print(report, report.WriteText, report.ExitCode())
}

// resetPhone resets the phone state of a person.
func (p *program) resetPhone(ctx context.Context, s *system) int {
	progress := newProgress(p.stderr)
	progress.show("resetting the phone state of " + plain(p.flags.user))
	report, err := s.ResetPhone(ctx, p.flags.user)
	progress.end()
	code := exitFailed
	if report != nil {
		if err == nil {
			code = report.ExitCode()
		}
		code = p.print(report, report.WriteText, code)
	}
	switch {
	case errors.Is(err, presencebridge.ErrUnknownUser):
		p.complain(fmt.Sprintf("%s; check that person without -reset to see why nobody is kept in step by that address", strings.TrimPrefix(err.Error(), "verify: ")))
	case err != nil:
		p.complain(interrupted(ctx, err).Error())
	}
	return code
}

// syncAll syncs all Teams presence with MiCollab. An interrupt ends the wait, and what
// was done until then is reported.
func (p *program) syncAll(ctx context.Context, s *system) int {
	progress := newProgress(p.stderr)
	report, err := s.SyncAll(ctx, progress.sync)
	progress.end()
	code := exitFailed
	if report != nil {
		code = p.print(report, report.WriteText, report.ExitCode())
	}
	if err != nil {
		p.complain(interrupted(ctx, err).Error())
		return exitFailed
	}
	return code
}

// listCodes lists every check.
func (p *program) listCodes() int {
	checks := verify.Checks()
	return p.print(checks, func(w io.Writer) error {
		var text strings.Builder
		area := verify.Area("")
		for _, c := range checks {
			if c.Area != area {
				area = c.Area
				fmt.Fprintf(&text, "%s\n", area)
			}
			title := c.Title
			if c.Per != "" {
				title += ", for each " + string(c.Per)
			}
			fmt.Fprintf(&text, "  %-34s %s\n", c.Code, title)
		}
		_, err := io.WriteString(w, text.String())
		return err
	}, verify.ExitPassed)
}
