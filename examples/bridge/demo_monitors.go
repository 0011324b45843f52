package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// Three monitors watch up to 1,950 people, which is enough; two watch up to 1,300,
// which is not.
const monitorsAtFirst = 3

// monitorAccount is the account of a presence monitor, with the client secret that
// the monitor has now.
type monitorAccount struct {
	principalName string
	id            string
	secret        presence.Secret
}

// hireMonitors makes so many more accounts for presence monitors, each with a
// client secret of its own, and returns them as a configuration has them.
func (co *company) hireMonitors(n int) ([]service.MonitorSettings, error) {
	var settings []service.MonitorSettings
	for range n {
		name := fmt.Sprintf("presence.monitor.%d@example.test", len(co.monitors)+1)
		m := &monitorAccount{
			principalName: name,
			id:            co.graph.AddUser(graphtest.User{PrincipalName: name, Mail: name, Name: monitorTitle(name)}).ID,
		}
		if err := co.newSecret(m); err != nil {
			return nil, err
		}
		co.monitors = append(co.monitors, m)
		settings = append(settings, service.MonitorSettings{PrincipalName: m.principalName, ClientSecret: m.secret})
	}
	return settings, nil
}

// newSecret creates the monitor's next client secret in Entra.
func (co *company) newSecret(m *monitorAccount) error {
	s, err := co.graph.AddSecret(co.clientID, graphtest.Secret{Description: m.principalName})
	m.secret = s.Value
	return err
}

// monitorTitle is what a line calls a monitor: "Monitor 1".
func monitorTitle(principalName string) string {
	name, _, _ := strings.Cut(principalName, "@")
	return "Monitor " + strings.TrimPrefix(name, "presence.monitor.")
}

// office is where the presence monitors are administered.
type office struct {
	*ledger
	pool    *monitor.Pool
	browser *http.Client
	// tokensOver ends that the access tokens of the monitor with the expired client
	// secret are refused.
	tokensOver func()
}

func newOffice(l *ledger, pool *monitor.Pool) *office {
	return &office{ledger: l, pool: pool, browser: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, tokensOver: func() {}}
}

// duty is something that is done in the office at a time of the day.
type duty struct {
	at string
	do func(ctx context.Context, o *office) error
}

// duties are what happens to the monitors during the day.
func duties() []duty {
	return []duty{
		// A client secret has expired. The other two monitors take over whom they
		// have room for, and nobody watches the rest.
		{"09:16", func(ctx context.Context, o *office) error { return o.expire(ctx, o.company.monitors[0]) }},
		// One of the rest goes into a meeting, which a reading finds.
		{"10:05", func(_ context.Context, o *office) error {
			return o.surprise(presence.Busy, presence.ActivityInAMeeting)
		}},
		{"12:20", func(ctx context.Context, o *office) error { return o.renew(ctx, o.company.monitors[0]) }},

		// A monitor is taken away; what it leaves is too much for the others, until
		// there is another one.
		{"14:55", func(ctx context.Context, o *office) error { return o.dismiss(ctx, o.company.monitors[1]) }},
		{"15:24", func(_ context.Context, o *office) error { return o.surprise(presence.BeRightBack, "") }},
		{"16:28", func(ctx context.Context, o *office) error { return o.replace(ctx) }},
	}
}

// dutyTimeout bounds how long one of them may take.
const dutyTimeout = 2 * time.Minute

// play does what there is to do in the office.
func (o *office) play(ctx context.Context) error {
	for _, d := range duties() {
		at, err := time.Parse("15:04", d.at)
		if err != nil {
			return fmt.Errorf("the day has a wrong time: %w", err)
		}
		if err := o.clock.wait(ctx, time.Duration(at.Hour())*time.Hour+time.Duration(at.Minute())*time.Minute); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, dutyTimeout)
		err = d.do(bounded, o)
		cancel()
		if err != nil {
			return fmt.Errorf("what was due with the monitors at %s: %w", d.at, err)
		}
	}
	return nil
}

// signInAll signs in as each monitor, one after the other, once the bridge has
// read who there is.
func (o *office) signInAll(ctx context.Context, s *service.Service) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, ready := range []<-chan struct{}{s.Bridge.Loaded(), s.Entered()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return fmt.Errorf("not everybody was read after %v: %v", startTimeout, s.Bridge.Health())
		}
	}
	for _, m := range o.company.monitors {
		if err := o.signIn(ctx, m); err != nil {
			return err
		}
	}
	return o.settled(ctx)
}

// signIn does what somebody does who has the monitor's password: opens the URL,
// signs in, and is led back to the bridge.
func (o *office) signIn(ctx context.Context, m *monitorAccount) error {
	address, err := o.pool.AuthorizationURL(ctx, m.principalName)
	if err != nil {
		return err
	}
	back, err := o.company.graph.SignIn(address, m.id)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, back, nil)
	if err != nil {
		return err
	}
	response, err := o.browser.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the sign-in of %s was answered with %s", m.principalName, response.Status)
	}
	return nil
}

// expire lets the monitor's client secret end. Its access token and its
// subscription would live on for up to an hour, for which this day has no time:
// they end as soon as the monitor uses them, until it is renewed.
func (o *office) expire(ctx context.Context, m *monitorAccount) error {
	co := o.company
	o.tokensOver = co.graph.Control(0, func(r *http.Request) *graphtest.Reply {
		if !strings.Contains(r.URL.Path, "/subscriptions") || bearer(r) != m.id {
			return nil
		}
		if r.Method == http.MethodDelete {
			_ = co.graph.KillSubscription(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], false)
			return nil
		}
		return &graphtest.Reply{Status: http.StatusUnauthorized}
	})
	if err := co.graph.ExpireSecret(co.clientID, m.secret); err != nil {
		return err
	}
	if err := o.until(ctx, func() bool {
		s := o.pool.Snapshot()
		expired, _ := s.Monitor(m.principalName)
		// Its subscription ends a moment after that is known.
		return expired.State == monitor.StateSecretExpired && len(s.Unwatched) > 0
	}); err != nil {
		return err
	}
	return o.tellWatched(ctx)
}

// bearer returns the object id of the account whose access token a request has;
// empty where it has none.
func bearer(r *http.Request) string {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		ObjectID string `json:"oid"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.ObjectID
}

// renew gives the monitor a new client secret. It need not sign in again.
func (o *office) renew(ctx context.Context, m *monitorAccount) error {
	if err := o.company.newSecret(m); err != nil {
		return err
	}
	o.tokensOver()
	if err := o.pool.Renew(ctx, m.principalName, m.secret); err != nil {
		return err
	}
	return o.tellEverybodyWatched(ctx)
}

// dismiss takes the monitor out of the pool.
func (o *office) dismiss(ctx context.Context, m *monitorAccount) error {
	if err := o.pool.Delete(ctx, m.principalName); err != nil {
		return err
	}
	if err := o.until(ctx, func() bool { return len(o.pool.Snapshot().Unwatched) > 0 }); err != nil {
		return err
	}
	return o.tellWatched(ctx)
}

// replace adds a monitor that was not there before.
func (o *office) replace(ctx context.Context) error {
	settings, err := o.company.hireMonitors(1)
	if err != nil {
		return err
	}
	if err := o.pool.Add(ctx, settings[0].PrincipalName, settings[0].ClientSecret); err != nil {
		return err
	}
	if err := o.signIn(ctx, o.company.monitors[len(o.company.monitors)-1]); err != nil {
		return err
	}
	return o.tellEverybodyWatched(ctx)
}

// surprise has a person whom nobody watches do something in Teams.
func (o *office) surprise(a presence.Availability, x presence.Activity) error {
	unwatched := o.pool.Snapshot().Unwatched
	if len(unwatched) == 0 {
		return errors.New("everybody is watched, and somebody should not be")
	}
	m := o.company.byTeams[unwatched[0]]
	o.mu.Lock()
	o.missed[m] = true
	o.mu.Unlock()
	return o.company.graph.SetClient(m.teamsID, "desktop", a, x)
}

// tellEverybodyWatched waits until there is room for everybody again.
func (o *office) tellEverybodyWatched(ctx context.Context) error {
	if err := o.until(ctx, func() bool { return len(o.pool.Snapshot().Unwatched) == 0 }); err != nil {
		return err
	}
	return o.tellWatched(ctx)
}

// tellWatched waits until the monitors watch whom they can, and prints what has
// become of it.
func (o *office) tellWatched(ctx context.Context) error {
	before := o.moves()
	if err := o.settled(ctx); err != nil {
		return err
	}
	moved := o.moves() - before
	unwatched := o.pool.Snapshot().Unwatched
	text := "everybody is watched"
	if n := len(unwatched); n > 0 {
		text = fmt.Sprintf("%d people are watched by nobody and read in bulk instead: %s, %s and %d more", n,
			o.company.byTeams[unwatched[0]].name, o.company.byTeams[unwatched[1]].name, n-2)
	}
	if moved > 0 {
		text = fmt.Sprintf("%d people have another monitor; ", moved) + text
	}
	o.tell("Monitors", text)
	return nil
}

// settled waits until the subscriptions at the double are as the pool wants them,
// and notes who has come from one monitor to another.
func (o *office) settled(ctx context.Context) error {
	if err := o.until(ctx, func() bool {
		// Nobody is left out while there is room: the plan has been made.
		s := o.pool.Snapshot()
		return (len(s.Unwatched) == 0 || s.Subscribed == s.Capacity) && o.inPlace()
	}); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.company.graph.Subscriptions() {
		for _, user := range s.UserIDs {
			if before := o.places[user]; before != "" && before != s.UserID {
				o.moved++
			}
			o.places[user] = s.UserID
		}
	}
	return nil
}

func (o *office) moves() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moved
}

// inPlace reports whether every working monitor watches the users that it has been
// given, and everybody else is named.
func (o *office) inPlace() bool {
	s := o.pool.Snapshot()
	watched := map[string]int{}
	for _, sub := range o.company.graph.Subscriptions() {
		watched[sub.UserID] = len(sub.UserIDs)
	}
	total := 0
	for _, m := range s.Monitors {
		account := slices.IndexFunc(o.company.monitors, func(a *monitorAccount) bool { return a.principalName == m.PrincipalName })
		users := m.Users
		if !m.State.Usable() {
			users = 0
		}
		if watched[o.company.monitors[account].id] != users {
			return false
		}
		total += users
	}
	return total > 0 && total+len(s.Unwatched) == s.Users && s.Subscribed == total
}

func (o *office) until(ctx context.Context, condition func() bool) error {
	for !condition() {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the monitors were not in place in time: %w", err)
		}
	}
	return nil
}

// begin makes it opening time.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock.open()
	l.begun = true
}

// tell prints a line about the monitors.
func (l *ledger) tell(who, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLocked(&entry{at: time.Now(), line: line{Event: lineMonitor, Person: who, Note: text}})
}

// monitorChanged prints what happens to a monitor during the day.
func (l *ledger) monitorChanged(e monitor.Event) {
	l.mu.Lock()
	begun := l.begun && !l.silent
	l.mu.Unlock()
	if !begun {
		return
	}
	who := monitorTitle(e.Monitor)
	switch {
	case e.Kind == monitor.EventStateChanged && e.State != monitor.StateAuthorized: // which it is for a blink
		l.tell(who, fmt.Sprintf("%s: %s", e.State, e.Sentence))
	case e.Kind == monitor.EventRemoved:
		l.tell(who, "removed")
	}
}

// watched counts the monitors that watch somebody, how often a user came from one
// to another, and the users of the roster whom nobody watches though they should be.
func (l *ledger) watched(roster presence.Roster) (monitors, moved, unwatched int) {
	watched := map[string]bool{}
	for _, s := range l.company.graph.Subscriptions() {
		monitors++
		for _, user := range s.UserIDs {
			watched[user] = true
		}
	}
	for _, u := range roster.Users {
		if m := l.company.byTeams[u.TeamsID]; m != nil && m.site != siteBranch && !watched[u.TeamsID] {
			unwatched++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return monitors, l.moved, unwatched
}
