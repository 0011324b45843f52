package verify

import "strings"

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
	report.outdate()
	if !cut {
		c.last = report.clone()
	}
	return cut
}

// notPassed is the sentence of a check that was skipped.
func notPassed(because []string) string {
	return "This has not passed: " + strings.Join(because, ", ") + "."
}

// outdate corrects the results of earlier runs that were skipped for something
// that has passed since: nothing stands in their way, but they were not made.
func (r *Report) outdate() {
	passed := make(map[string]bool)
	for _, result := range r.Results {
		passed[result.Name()] = result.Status == Passed || result.Status == NotApplicable
	}
	for i := range r.Results {
		result := &r.Results[i]
		if result.Status != Skipped || len(result.Because) == 0 {
			continue
		}
		var left []string
		for _, cause := range result.Because {
			if pass, there := passed[cause]; there && !pass {
				left = append(left, cause)
			}
		}
		switch len(left) {
		case len(result.Because):
			continue
		case 0:
			result.Sentence = "What this check was skipped for has passed since: " + strings.Join(result.Because, ", ") + ". Make it again."
			r.Complete = false
		default:
			result.Sentence = notPassed(left)
		}
		result.Because = left
	}
}
