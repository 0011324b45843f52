package verify

import (
	"slices"
	"strings"
)

// remember puts the results of a run, and of the others those of earlier runs,
// into the report, and keeps them for later runs. It reports whether some checks
// were cut short.
func (c *SystemCheck) remember(report *Report, all []*instance, wanted map[Code]bool) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Only the subjects of this run count: a monitor may be gone.
	earlier := c.results
	c.results = make(map[string]Result, len(all))
	for _, i := range all {
		old, known := earlier[name(i.check.Code, i.subject)]
		switch made := wanted[i.check.Code]; {
		case made && i.cut:
			cut, report.Complete = true, false
			report.Results = append(report.Results, i.result)
			if known {
				c.results[old.Name()] = old
			}
		case made:
			report.Results = append(report.Results, i.result)
			c.results[i.result.Name()] = i.result
		case known:
			report.Results = append(report.Results, old)
			c.results[old.Name()] = old
		default:
			report.Complete = false
		}
	}
	report.outdate(all, wanted)
	// Whoever gets the report may change it, and what is kept is for later runs.
	*report = *report.clone()
	if !cut {
		c.last = report.clone()
	}
	return cut
}

// notPassed is the sentence of a check that was skipped.
func notPassed(because []string) string {
	return "This has not passed: " + strings.Join(because, ", ") + "."
}

// outdate corrects the results of earlier runs that were skipped: what kept them
// from being made may stand in their way no longer, or something else may.
func (r *Report) outdate(all []*instance, wanted map[Code]bool) {
	results := make(map[string]*Result, len(r.Results))
	for i := range r.Results {
		results[r.Results[i].Name()] = &r.Results[i]
	}
	found := make(map[*instance][]string)
	var inTheWay func(i *instance) []string
	inTheWay = func(i *instance) []string {
		if causes, done := found[i]; done {
			return causes
		}
		var causes []string
		for _, n := range i.needs {
			needed := name(n.on.check.Code, n.on.subject)
			result := results[needed]
			switch {
			case result == nil:
			case result.Status == Failed, result.Status == Warned && n.strict, result.Status == Skipped && n.on.cut:
				causes = append(causes, needed)
			case result.Status == Skipped && wanted[n.on.check.Code]:
				causes = append(causes, result.Because...)
			case result.Status == Skipped:
				causes = append(causes, inTheWay(n.on)...)
			}
		}
		slices.Sort(causes)
		found[i] = slices.Compact(causes)
		return found[i]
	}
	for _, i := range all {
		result := results[name(i.check.Code, i.subject)]
		if result == nil || wanted[i.check.Code] || result.Status != Skipped {
			continue
		}
		switch left := inTheWay(i); {
		case slices.Equal(left, result.Because):
		case len(left) > 0:
			result.Because, result.Sentence = left, notPassed(left)
		default:
			result.Sentence = "What this check was skipped for stands in its way no longer: " + strings.Join(result.Because, ", ") + ". Make it again."
			result.Because = nil
			r.Complete = false
		}
	}
}
