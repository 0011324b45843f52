package verify

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// facts are what the checks of one run look at. What is asked of a service is
// asked once for all of them; what is known in this process was taken at the
// beginning, so that the checks agree with one another.
type facts struct {
	*SystemCheck
	startedAt time.Time
	direction presencebridge.Direction
	roster    presence.Roster
	health    []presencebridge.Health
	// pool is the pool at the beginning; the status of one monitor is asked anew by
	// monitorNow.
	pool monitor.Snapshot

	signIn       func() (SignIn, error)
	registration func() (Registration, error)
	granted      func() ([]string, error)
	whoAmI       func() (cloudlink.Identity, error)
	account      func() (cloudlink.Account, error)
	miCollab     func() (MiCollabFacts, error)
	gateway      func() (GatewayFacts, error)
	validation   func() (validation, error)
	monitorNow   map[string]func() (monitor.MonitorStatus, error) // by user principal name

	// probeUser is the test user of the probe; empty: it is off. probe is what the
	// probe has done, for the check that comes after it.
	probeUser string
	probe     probeRecord
	// unanswered is how many monitors were asked about without an answer in time.
	unanswered atomic.Int32
	// emails are the addresses of the users by Entra object id in lower case.
	emails map[string]string
}

// errNotTold is the error of a fact that nobody has told.
var errNotTold = errors.New("nobody has told")

func newFacts(ctx context.Context, c *SystemCheck, probeUser string) *facts {
	s := &c.sources
	f := &facts{
		SystemCheck: c, startedAt: time.Now(), direction: s.Bridge.Direction(), roster: s.Bridge.Roster(), health: s.Bridge.Health(),
		probeUser: cmp.Or(probeUser, c.opts.ProbeUser), monitorNow: make(map[string]func() (monitor.MonitorStatus, error)),
	}
	f.emails = make(map[string]string, len(f.roster.Users))
	for _, u := range f.roster.Users {
		f.emails[strings.ToLower(u.TeamsID)] = u.Email
	}
	bound := c.opts.Timeout
	f.signIn = once(ctx, bound, s.Entra.SignIn)
	f.registration = once(ctx, bound, s.Entra.Registration)
	f.granted = once(ctx, bound, s.Entra.GrantedPermissions)
	f.whoAmI = once(ctx, bound, s.CloudLink.WhoAmI)
	f.account = once(ctx, bound, s.CloudLink.Account)
	f.miCollab = once(ctx, bound, func(ctx context.Context) (MiCollabFacts, error) {
		if s.MiCollab == nil {
			return MiCollabFacts{}, errNotTold
		}
		return s.MiCollab.MiCollab(ctx)
	})
	f.gateway = once(ctx, bound, func(ctx context.Context) (GatewayFacts, error) {
		if s.Gateway == nil {
			return GatewayFacts{}, errNotTold
		}
		return s.Gateway.Gateway(ctx)
	})
	f.validation = once(ctx, bound, c.validateURL)
	if s.Monitors != nil {
		f.pool = s.Monitors.Snapshot()
		for _, m := range f.pool.Monitors {
			f.monitorNow[m.PrincipalName] = f.askAboutMonitor(ctx, bound, m.PrincipalName)
		}
	}
	return f
}

// subjects returns of what a check is made: one empty subject where it is made
// once, or where there is nothing of the kind.
func (f *facts) subjects(kind SubjectKind) []string {
	var names []string
	switch kind {
	case PerMonitor:
		for _, m := range f.pool.Monitors {
			if !m.Leaving {
				names = append(names, m.PrincipalName)
			}
		}
	case PerApplicationPermission, PerDelegatedPermission:
		for _, p := range f.sources.Entra.Permissions() {
			if p.Delegated == (kind == PerDelegatedPermission) {
				names = append(names, p.Name)
			}
		}
	}
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// permission returns the permission of a name.
func (f *facts) permission(name string, delegated bool) Permission {
	for _, p := range f.sources.Entra.Permissions() {
		if p.Delegated == delegated && strings.EqualFold(p.Name, name) {
			return p
		}
	}
	return Permission{Name: name, Delegated: delegated}
}

// Reasons why checks do not apply.

func bidirectional(f *facts) string {
	if f.direction != presencebridge.Bidirectional {
		return "The bridge is not bidirectional: nothing reaches MiCollab."
	}
	return ""
}

func oneWay(f *facts) string {
	if f.direction == presencebridge.Bidirectional {
		return "The bridge is bidirectional already."
	}
	return ""
}

func withMonitors(f *facts) string {
	if f.sources.Monitors == nil {
		return "There are no presence monitors: Teams presence is read in bulk."
	}
	return ""
}

func withNotifications(f *facts) string {
	if f.settings.NotificationURL == "" {
		return "There is no notification URL: changes are found by regular reading."
	}
	return ""
}

func withWatcher(f *facts) string {
	if f.sources.Watcher == nil {
		return "Nobody subscribes to CloudLink's notifications: changes are found by regular reading."
	}
	return ""
}

// remedy returns what an error itself says to do; empty if it does not.
func remedy(err error) string {
	var r interface{ Remedy() string }
	if errors.As(err, &r) {
		return r.Remedy()
	}
	return ""
}
