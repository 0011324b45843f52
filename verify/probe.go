package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	// probeLifetime is the shortest that a presence session may have
	// (learn.microsoft.com/graph/api/presence-setpresence): if this process dies
	// before it clears the session, the session lapses by then.
	probeLifetime = 5 * time.Minute
	// probeInterval is how long to wait between two looks. A session shows within
	// seconds, and a look costs one request of 1,500 in 30 seconds.
	probeInterval = 2 * time.Second
	// clearBound is how long ending the session may take, whatever else has ended.
	clearBound = 15 * time.Second
)

// probeRecord is what the probe has done.
type probeRecord struct {
	mu  sync.Mutex
	set time.Time
}

// begin notes when the session was about to be set, and began tells it: zero if
// none was.
func (p *probeRecord) begin(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = at
}

func (p *probeRecord) began() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set
}

func checkProbe(ctx context.Context, f *facts, _ string) finding {
	sessions := f.sources.Sessions
	user, known := f.testUser()
	if !known {
		return failed(fmt.Sprintf("Nobody whom the bridge has read from the directories has the address %s, which is to be the test user's.", f.probeUser),
			"Choose a test user by the e-mail address of somebody on both sides, or by the Entra object id of an account that has Teams.").by(Operator)
	}
	before, err := sessions.Presence(ctx, user)
	if err != nil {
		return failed(fmt.Sprintf("The presence of the test user %s cannot be read: %v.", user, err), probeRemedy(err))
	}
	if o, busy := f.occupied(user); busy {
		return o
	}
	// The session must show through whatever Teams shows already, by a family of its own.
	session := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	switch before.Availability.Family() {
	case presence.Busy:
		session = presence.Session{Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting}
	case presence.DoNotDisturb:
		return warned(fmt.Sprintf("The test user shows %s, which outranks every session: nothing was set, and nothing can be told now.", before),
			"Run the check again when the test user shows something else.").by(Operator)
	}
	evidence := []Evidence{{"before", before.String()}, {"session", session.String()}}

	began := time.Now()
	f.probe.begin(began)
	setErr := sessions.SetPresence(ctx, user, session, probeLifetime)
	var shown look
	if setErr == nil {
		shown = f.watch(ctx, user, func(p presence.Presence) bool { return p.Availability.Family() == session.Availability })
		if shown.ok {
			evidence = append(evidence, Evidence{"shown after", since(began)})
		}
	}
	if f.overtaken(user, began) {
		return warned("The telephone of the test user rang during the probe, and the bridge's session took the place of the probe's, which says nothing then.",
			"Run the check again when the test user's telephone is idle.", evidence...).by(Operator)
	}
	// A request whose answer was lost may have opened the session all the same.
	clearErr := f.endProbe(ctx, user)
	switch {
	case setErr != nil:
		return failed(fmt.Sprintf("The session of the test user %s could not be set: %v.", user, setErr), probeRemedy(setErr), evidence...)
	case clearErr != nil:
		return failed(fmt.Sprintf("The session of the test user %s could not be cleared: %v. It lapses within %v.", user, clearErr, probeLifetime), probeRemedy(clearErr), evidence...)
	case !shown.ok && shown.err != nil:
		return failed(fmt.Sprintf("Whether the session of the test user %s shows is not known, because the presence cannot be read: %v.", user, shown.err), probeRemedy(shown.err), evidence...)
	case !shown.ok:
		return failed(fmt.Sprintf("The session %s was set for the test user, and Teams still showed %s after %v.", session, shown.last, f.opts.ProbeTimeout),
			"Let the test user reset the status in Teams, because one that was set by hand outranks every session, and make sure that the user has Teams. Then run the check again.", evidence...)
	}
	cleared := time.Now()
	gone := f.watch(ctx, user, func(p presence.Presence) bool { return p.Availability.Family() != session.Availability })
	switch {
	case gone.ok:
		return passed(append(evidence, Evidence{"gone after", since(cleared)}, Evidence{"afterwards", gone.last.String()})...)
	case gone.err != nil:
		return failed(fmt.Sprintf("Whether the session of the test user %s is gone is not known, because the presence cannot be read: %v.", user, gone.err), probeRemedy(gone.err), evidence...)
	default:
		return failed(fmt.Sprintf("The session of the test user was cleared, and Teams still showed %s after %v.", gone.last, f.opts.ProbeTimeout),
			"Find out whether the test user has become busy meanwhile, and run the check again. If it stays so, the session lapses within five minutes, and Microsoft Graph is slow.", evidence...)
	}
}

// testUser returns the Entra object id of the test user; not known if there is an
// address that nobody of the roster has, or several have.
func (f *facts) testUser() (id string, known bool) {
	if !strings.Contains(f.probeUser, "@") {
		return f.probeUser, true
	}
	address := presence.NormalizeEmail(f.probeUser)
	for _, u := range f.roster.Users {
		if u.Email == address {
			return u.TeamsID, true
		}
	}
	for _, t := range f.roster.TeamsOnly {
		if presence.NormalizeEmail(t.PrincipalName) == address || presence.NormalizeEmail(t.Mail) == address {
			return t.ID, true
		}
	}
	return "", false
}

// since returns how long ago something was, as evidence.
func since(t time.Time) string { return time.Since(t).Round(100 * time.Millisecond).String() }

// probeRemedy says what to do about a request of the probe that failed.
func probeRemedy(err error) string {
	if what := instruction(err); what != "" {
		return what
	}
	switch {
	case errors.Is(err, presence.ErrNotFound), errors.Is(err, presence.ErrInvalid):
		return "Choose a test user by the Entra object id of an account that has Teams."
	case passing(err):
		return "Run the check again when Microsoft Graph answers."
	}
	return ""
}

// passing reports whether an error may be gone at the next attempt.
func passing(err error) bool {
	return errors.Is(err, presence.ErrThrottled) || errors.Is(err, presence.ErrUnavailable)
}

// occupied says why the probe must not touch the user's session: it is the
// application's only one, which the bridge shares.
func (f *facts) occupied(user string) (finding, bool) {
	if f.sources.Explain == nil {
		return finding{}, false
	}
	e, err := f.sources.Explain.Explain(user)
	if err != nil {
		return finding{}, false // nobody whom the bridge keeps in step
	}
	why := ""
	switch e.Line.State {
	case presence.LineRinging, presence.LineConnected, presence.LineHeld:
		why = fmt.Sprintf("The telephone of the test user is %s", e.Line.State)
	}
	if !e.Session.IsZero() {
		why = fmt.Sprintf("The bridge holds a session of the test user: %s", e.Session)
	}
	if why == "" {
		return finding{}, false
	}
	return warned(why+". The probe would end the bridge's session, so nothing was set.", "Run the check again when the test user's telephone is idle.").by(Operator), true
}

// overtaken reports whether the bridge has opened a session of its own since then. It
// took the place of the probe's, and is the bridge's to end.
func (f *facts) overtaken(user string, began time.Time) bool {
	if f.sources.Explain == nil {
		return false
	}
	e, err := f.sources.Explain.Explain(user)
	return err == nil && !e.Session.IsZero() && !e.SessionOpenedAt.Before(began)
}

// endProbe clears the session, also when ctx has ended.
func (f *facts) endProbe(ctx context.Context, user string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearBound)
	defer cancel()
	for {
		err := f.sources.Sessions.ClearPresence(ctx, user)
		if err == nil || errors.Is(err, presence.ErrNotFound) {
			return nil
		}
		if !passing(err) || !pause(ctx, probeInterval) {
			return err
		}
	}
}

// look is what came of looking at a user's presence again and again.
type look struct {
	ok   bool
	last presence.Presence
	err  error // of the last look
}

// watch looks at the user's presence until it is as wanted, for ProbeTimeout at
// most. An error that may pass is not the end.
func (f *facts) watch(ctx context.Context, user string, wanted func(presence.Presence) bool) look {
	ctx, cancel := context.WithTimeout(ctx, f.opts.ProbeTimeout)
	defer cancel()
	var l look
	for {
		p, err := f.sources.Sessions.Presence(ctx, user)
		if err == nil {
			l.last, l.err = p, nil
			if wanted(p) {
				l.ok = true
				return l
			}
		} else if ctx.Err() == nil || l.err == nil && l.last == (presence.Presence{}) {
			l.err = err // and not that the time is over, if more is known
		}
		if err != nil && !passing(err) || !pause(ctx, probeInterval) {
			return l
		}
	}
}

// pause waits, and reports whether it was not ctx that ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func checkProbeNotification(ctx context.Context, f *facts, _ string) finding {
	began := f.probe.began()
	if began.IsZero() {
		return notApplicable("The probe has set nothing, so there was nothing to be notified of.")
	}
	if f.sources.Explain == nil {
		return warned("Whether the bridge was notified is not known: nobody tells what it holds of the test user.", "Give SystemSources.Explain the bridge.").by(Operator)
	}
	user, _ := f.testUser()
	ctx, cancel := context.WithTimeout(ctx, f.opts.ProbeTimeout)
	defer cancel()
	var read, told bool
	for {
		e, err := f.sources.Explain.Explain(user)
		switch {
		case errors.Is(err, presencebridge.ErrUnknownUser):
			return notApplicable("The bridge does not keep the test user in step, so no monitor watches that user.")
		case err != nil:
			return warned(fmt.Sprintf("Whether the bridge was notified is not known: %v.", err), "").by(Operator)
		case !e.Watched:
			why := "only those are watched whose presence goes to MiCollab."
			if e.WatchSentence != "" {
				why = e.WatchSentence
			}
			return notApplicable("No monitor watches the test user: " + why)
		}
		// A regular reading can coincide with the probe, and a notification can be about
		// somebody else: it counts when the bridge was told of this user.
		read, told = e.PresenceReadAt.After(began), e.NotifiedAt.After(began)
		if read && told {
			after := func(t time.Time) string { return t.Sub(began).Round(100 * time.Millisecond).String() }
			return passed(Evidence{"notified after", after(e.NotifiedAt)}, Evidence{"read after", after(e.PresenceReadAt)})
		}
		if !pause(ctx, probeInterval) {
			break
		}
	}
	switch {
	case told:
		return failed("The bridge was notified of what the probe changed, and has not read the presence of the test user since.",
			"Look at the log of the service for what keeps the bridge from reading, and run the check again.")
	case read:
		return failed(fmt.Sprintf("The bridge found what the probe changed by regular reading only: no notification came within %v.", f.opts.ProbeTimeout), "")
	default:
		return failed(fmt.Sprintf("A monitor watches the test user, and no notification came of what the probe changed within %v.", f.opts.ProbeTimeout), "")
	}
}
