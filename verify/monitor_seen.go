package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// monitorSeen is a monitor as the checks of one run see it.
type monitorSeen struct {
	monitor.MonitorStatus
	// unasked is why Entra could not be asked now; nil if it was, or if there is
	// nothing to ask. What is shown is then of knownAt, zero if nobody can tell.
	unasked error
	knownAt time.Time
}

// errNotAsked is why the other monitors are not asked about once some have had no
// answer: each would take its whole time, one after the other.
var errNotAsked = errors.New("it was not asked: about other monitors there was no answer in time")

// askAboutMonitor returns a function that asks Entra about a monitor once, however
// many checks want to know.
func (f *facts) askAboutMonitor(ctx context.Context, bound time.Duration, name string) func() (monitor.MonitorStatus, error) {
	return once(ctx, bound, func(ctx context.Context) (monitor.MonitorStatus, error) {
		if int(f.unanswered.Load()) >= f.opts.Parallel {
			return monitor.MonitorStatus{}, errNotAsked
		}
		status, err := f.sources.Monitors.Resync(ctx, name)
		if ctx.Err() != nil && err != nil {
			f.unanswered.Add(1)
			err = fmt.Errorf("there was no answer within %v: %w", bound, err)
		}
		return status, err
	})
}

// monitorBefore returns what was known of a monitor when the run began.
func (f *facts) monitorBefore(name string) *monitorSeen {
	status, _ := f.pool.Monitor(name)
	return &monitorSeen{MonitorStatus: status}
}

// monitor returns what is known of a monitor after Entra was asked; nil if it was
// deleted meanwhile.
func (f *facts) monitor(name string) *monitorSeen {
	before := f.monitorBefore(name)
	ask := f.monitorNow[before.PrincipalName]
	if ask == nil {
		return nil
	}
	status, err := ask()
	m := &monitorSeen{MonitorStatus: status}
	if status.PrincipalName == "" {
		m.MonitorStatus = before.MonitorStatus
	}
	switch {
	case errors.Is(err, monitor.ErrUnknownMonitor):
		return nil
	case err == nil, errors.Is(err, monitor.ErrUnreadableRecord), errors.Is(err, monitor.ErrUpdateNeeded):
		return m
	}
	m.unasked, m.knownAt = err, before.CheckedAt
	if before.CheckFailure != "" {
		// The time is that of a question which was not answered.
		m.knownAt = before.SecretAcceptedAt
	}
	return m
}

// ofMonitor makes a check of what is known of a monitor after Entra was asked.
// Where it could not be, the outcome says on what it rests.
func ofMonitor(check func(*facts, *monitorSeen) finding) func(context.Context, *facts, string) finding {
	return func(_ context.Context, f *facts, name string) finding {
		m := f.monitor(name)
		if m == nil {
			return notApplicable("The monitor was deleted while the checks were made.")
		}
		o := check(f, m)
		if m.unasked == nil {
			return o
		}
		o.Evidence = append(slices.Clone(o.Evidence), Evidence{"not asked now", m.unasked.Error()}, Evidence{"last asked", moment(m.knownAt)})
		if o.Basis == "" {
			o = o.on("what was known before, as Entra could not be asked now")
		}
		return o
	}
}

// ofMonitorBefore makes a check of what the store has of a monitor. Nobody else
// has to be asked for that, except what is the matter.
func ofMonitorBefore(check func(*facts, *monitorSeen) finding) func(context.Context, *facts, string) finding {
	now := ofMonitor(check)
	return func(ctx context.Context, f *facts, name string) finding {
		if o := check(f, f.monitorBefore(name)); o.Status == Passed {
			return o
		}
		return now(ctx, f, name)
	}
}

// endOf tells when something ends and in how long, counted in whole days.
func endOf(f *facts, t time.Time) string {
	left := t.Sub(f.startedAt)
	if left < 24*time.Hour {
		return "on " + date(t) + ", in less than a day"
	}
	return "on " + date(t) + ", in " + count(int(left/(24*time.Hour)), "day")
}

// people returns what users are called, by Entra object id: their addresses, or
// the ids of those whom nobody knows.
func (f *facts) people(ids []string) []string {
	called := make([]string, len(ids))
	for i, id := range ids {
		called[i] = cmp.Or(f.emails[strings.ToLower(id)], id)
	}
	slices.Sort(called)
	return called
}
