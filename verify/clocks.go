package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dateStep is how much the Date header of an answer may be behind the clock that
// made it: it has whole seconds (RFC 9110, 6.6.1).
const dateStep = time.Second

// failClock is how many times the tolerance is an error.
const failClock = 5

// clock is what a service's clock shows.
type clock struct {
	// ahead is how far the service's clock is ahead of ours, give or take.
	ahead, give time.Duration
	err         error
}

// checkClock returns the check of the clocks of some services.
func checkClock(of func(*SystemSources) []Service) func(context.Context, *facts, string) finding {
	return func(ctx context.Context, f *facts, _ string) finding {
		services := of(&f.sources)
		if len(services) == 0 {
			return notApplicable("No service was named whose clock could be compared with ours.")
		}
		clocks := make([]clock, len(services))
		var asking sync.WaitGroup
		for i, service := range services {
			asking.Go(func() { clocks[i] = f.clockOf(ctx, service.URL) })
		}
		asking.Wait()
		var outcomes []finding
		var evidence []Evidence
		for i, c := range clocks {
			name := services[i].Name
			if c.err != nil {
				outcomes = append(outcomes, warned(fmt.Sprintf("The clock of %s could not be read: %v.", name, c.err),
					"Make sure that the service can be reached from here, and run the check again."))
				continue
			}
			evidence = append(evidence, Evidence{name, c.String()})
			off := c.ahead.Abs() - c.give // what is certain
			if sentence := fmt.Sprintf("Our clock differs from that of %s: it is %v.", name, c); off > failClock*f.opts.ClockTolerance {
				outcomes = append(outcomes, failed(sentence, ""))
			} else if off > f.opts.ClockTolerance {
				outcomes = append(outcomes, warned(sentence, ""))
			}
		}
		return worst(outcomes, evidence)
	}
}

// String says where our clock is: "12s behind (give or take 1.1s)".
func (c clock) String() string {
	give := fmt.Sprintf("(give or take %v)", c.give.Round(100*time.Millisecond))
	switch ahead := c.ahead.Round(100 * time.Millisecond); {
	case ahead > 0:
		return fmt.Sprintf("%v behind %s", ahead, give)
	case ahead < 0:
		return fmt.Sprintf("%v ahead %s", ahead.Abs(), give)
	default:
		return "right " + give
	}
}

// clockOf asks a service for the date. One that does not take HEAD, or gives no
// date with it, is asked by GET.
func (c *SystemCheck) clockOf(ctx context.Context, url string) clock {
	read := c.date(ctx, http.MethodHead, url)
	if errors.Is(read.err, errNoDate) {
		read = c.date(ctx, http.MethodGet, url)
	}
	return read
}

// errNoDate is the error of an answer without a usable date.
var errNoDate = errors.New("its answer has no date")

func (c *SystemCheck) date(ctx context.Context, method, url string) clock {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return clock{err: withoutURL(err)}
	}
	request.Header.Set("Cache-Control", "no-cache")
	began := time.Now()
	answer, err := c.stranger().Do(request)
	if err != nil {
		return clock{err: withoutURL(err)}
	}
	took := time.Since(began)
	_ = answer.Body.Close()
	shown, ok := dateOf(answer.Header)
	if !ok {
		return clock{err: errNoDate}
	}
	// The service looked at its clock between our two looks, most likely halfway.
	return clock{ahead: shown.Sub(began.Add(took / 2)), give: took/2 + dateStep}
}

// dateOf returns what the clock showed that dated an answer.
func dateOf(header http.Header) (time.Time, bool) {
	shown, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}, false
	}
	// A cache repeats the date of an earlier answer, and says how long ago that
	// was, in seconds of at most 31 bits (RFC 9111, 1.2.2 and 5.1).
	if age, err := strconv.ParseUint(strings.TrimSpace(header.Get("Age")), 10, 31); err == nil {
		shown = shown.Add(time.Duration(age) * time.Second)
	}
	return shown, true
}
