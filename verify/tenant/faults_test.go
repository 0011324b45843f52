package tenant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/verify"
)

// fault is one thing that is wrong in a system that is otherwise in order.
type fault struct {
	name string
	// from is what was entered before all of it was set up, where that must differ.
	from func(*configuration)
	// broken makes it wrong, and waits until it shows; mended sets it right.
	broken, mended func(s *system)
	// found are the checks that do not pass, with what becomes of each. All others
	// have passed, do not apply, or were skipped for one of these.
	found []string
	// sentence is part of what each of them says.
	sentence string
	// aside are the checks that do not apply because of it.
	aside []string
}

// faults is the table: the faults of each area.
func faults() []fault {
	return slices.Concat(
		entraFaults(), permissionFaults(), cloudLinkFaults(), miCollabFaults(), poolFaults(), monitorFaults(), subscriptionFaults(),
		notificationFaults(), peopleFaults(), serviceFaults(), probeFaults(),
	)
}

// Exactly the checks that are named do not pass, and what depends on them is
// skipped for them. When the fault is gone, they pass again.
func TestEachFaultIsFoundByItsOwnCheck(t *testing.T) {
	skipped, made := make(map[verify.Code]bool), 0
	for _, tt := range faults() {
		t.Run(strings.Fields(tt.found[0])[0]+"/"+tt.name, func(t *testing.T) {
			inSystem(t, tt.from, func(s *system) {
				made++
				tt.broken(s)
				report := s.run()
				s.found(report, &tt)
				for _, result := range report.Results {
					skipped[result.Code] = skipped[result.Code] || result.Status == verify.Skipped
				}

				tt.mended(s)
				var codes []verify.Code
				for _, trouble := range report.Troubles() {
					codes = append(codes, trouble.Code)
				}
				again := s.run(codes...)
				assert.Empty(s, troubles(again), "made again for itself: %s", sentences(again))
				s.passes()
			})
		})
	}
	if made < len(faults()) {
		return // only some were asked for
	}
	for _, code := range summaries {
		assert.True(t, skipped[code], "nothing stood in the way of %s", code)
	}
}

// found expects in a report what the fault says.
func (s *system) found(report *verify.Report, f *fault) {
	s.Helper()
	assert.True(s, report.Complete)
	expected := slices.Sorted(slices.Values(f.found))
	if !assert.Equal(s, expected, troubles(report), sentences(report)) {
		return
	}
	names := make(map[string]bool)
	for _, r := range report.Troubles() {
		names[r.Name()] = true
		assert.Contains(s, r.Sentence, f.sentence)
		assert.NotEmpty(s, r.Remedy, r.Name())
		assert.NotEmpty(s, r.Administrator, r.Name())
	}
	for _, r := range report.Results {
		if r.Status != verify.Skipped {
			continue
		}
		assert.NotEmpty(s, r.Because, r.Name())
		for _, cause := range r.Because {
			assert.True(s, names[cause], "%s was skipped for %s", r.Name(), cause)
		}
	}
	assert.Equal(s, f.aside, aside(report))
	s.skips(report)
}

// skips expects that exactly those checks are skipped that depend on one that was
// skipped itself or did not pass.
func (s *system) skips(report *verify.Report) {
	s.Helper()
	checks := make(map[verify.Code]verify.Check)
	for _, c := range verify.Checks() {
		checks[c.Code] = c
	}
	for _, r := range report.Results {
		if r.Status == verify.NotApplicable {
			continue
		}
		var obstacles []string
		for _, d := range checks[r.Code].DependsOn {
			subject := d.Subject
			if per := checks[r.Code].Per; subject == "" && per != "" && per == checks[d.Code].Per {
				subject = r.Subject
			}
			for _, on := range report.Results {
				if on.Code != d.Code || subject != "" && !strings.EqualFold(on.Subject, subject) {
					continue
				}
				if on.Status == verify.Failed || on.Status == verify.Skipped || d.Strict && on.Status == verify.Warned {
					obstacles = append(obstacles, on.Name())
				}
			}
		}
		assert.Equal(s, len(obstacles) > 0, r.Status == verify.Skipped, "%s is %s, and in its way are %v", r.Name(), r.Status, obstacles)
	}
}

// passes expects that everything is as it should be.
func (s *system) passes() {
	s.Helper()
	report := s.run()
	assert.True(s, report.Complete)
	assert.Empty(s, troubles(report), sentences(report))
	assert.Empty(s, aside(report))
	assert.Equal(s, len(report.Results)-1, report.Count(verify.Passed), "all but the upgrade, which has been made")
}

// sentences tells what a report says of troubles.
func sentences(r *verify.Report) string {
	var all []string
	for _, t := range r.Troubles() {
		all = append(all, fmt.Sprintf("%s %s: %s %v", t.Name(), t.Status, t.Sentence, t.Evidence))
	}
	return strings.Join(all, "\n")
}

// summaries are the checks that say that others have passed. They never fail, but
// are skipped.
var summaries = []verify.Code{verify.CodeOneWayReady, verify.CodeBidirectionalReady}

func TestThereIsAFaultForEachCheck(t *testing.T) {
	covered := make(map[verify.Code]bool)
	for _, f := range faults() {
		require.NotEmpty(t, f.found, f.name)
		for _, name := range f.found {
			code, _, _ := strings.Cut(strings.Fields(name)[0], "[")
			covered[verify.Code(code)] = true
		}
	}
	for _, check := range verify.Checks() {
		// That an upgrade lacks something is no fault.
		never := slices.Contains(summaries, check.Code) || check.Code == verify.CodeUpgrade
		assert.NotEqual(t, never, covered[check.Code], "%s", check.Code)
		delete(covered, check.Code)
	}
	assert.Empty(t, covered, "these are no checks")
}
