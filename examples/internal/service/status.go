package service

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

// statusPage is the status page in JSON.
type statusPage struct {
	Name      string                   `json:"name,omitempty"`
	Time      time.Time                `json:"time"`
	Direction presencebridge.Direction `json:"direction"`
	DryRun    bool                     `json:"dryRun,omitempty"`
	Health    []presencebridge.Health  `json:"health"`
	Roster    rosterPage               `json:"roster"`
	Monitors  *monitorsPage            `json:"monitors,omitempty"`
	Watcher   *watcherPage             `json:"watcher,omitempty"`
	Teams     teamsTraffic             `json:"teamsNotifications"`
	CloudLink cloudLinkTraffic         `json:"cloudLinkNotifications"`
	Writes    writesPage               `json:"writes"`
}

// rosterPage says who is kept in step, and who is not and why.
type rosterPage struct {
	Users    []presence.User      `json:"users"`
	Limited  []limitedPage        `json:"limited"`
	Excluded []presence.Exclusion `json:"excluded"`
	// NotWatched names those whose changes in Teams are found by reading.
	NotWatched []string `json:"notWatched"`
	TeamsOnly  int      `json:"teamsOnly"`
}

type limitedPage struct {
	User      string             `json:"user"`
	Direction presence.Direction `json:"direction"`
	Reason    presence.Reason    `json:"reason"`
	Detail    string             `json:"detail"`
}

type watcherPage struct {
	State         cloudlink.WatcherState          `json:"state"`
	Subscriptions []cloudlink.WatchedSubscription `json:"subscriptions"`
	LastEvent     time.Time                       `json:"lastEvent,omitzero"`
	Failures      int                             `json:"failures"`
	Error         string                          `json:"error,omitempty"`
	NextAction    time.Time                       `json:"nextAction,omitzero"`
}

type teamsTraffic struct {
	Delivered    uint64                         `json:"delivered"`
	Lifecycle    uint64                         `json:"lifecycle"`
	Validations  uint64                         `json:"validations"`
	Refused      map[graph.RefusalReason]uint64 `json:"refused"`
	LastDelivery time.Time                      `json:"lastDelivery,omitzero"`
}

type cloudLinkTraffic struct {
	Delivered    uint64                             `json:"delivered"`
	Refused      map[cloudlink.RefusalReason]uint64 `json:"refused,omitempty"`
	LastDelivery time.Time                          `json:"lastDelivery,omitzero"`
}

type writesPage struct {
	Teams    int                    `json:"teams"`
	MiCollab int                    `json:"micollab"`
	Failed   int                    `json:"failed"`
	Last     []presencebridge.Write `json:"last"`
}

// status serves the status page, the checks and what the program adds. It answers
// requests to this machine's own names only, so that a web page of somebody else
// cannot read it through the browser of someone who sits here.
func (s *Service) status() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.statusPage()) })
	mux.HandleFunc("GET /explain", s.explain)
	mux.Handle(PathVerify+"/", http.StripPrefix(PathVerify, s.checks))
	if s.more != nil {
		for pattern, handler := range s.more(s) {
			mux.Handle(pattern, handler)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !loopback(host) {
			answer(w, http.StatusForbidden, map[string]string{"error": "the status page is for this machine: open it at 127.0.0.1"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // nobody is left to tell
}

// explain answers why a person shows what they show, as JSON or, with
// format=text, as a few lines to read.
func (s *Service) explain(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	if user == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "say who: /explain?user=ada@example.com, or an Entra object id"})
		return
	}
	e, err := s.Bridge.Explain(user)
	if err != nil {
		answer(w, http.StatusNotFound, map[string]string{"error": Plain(err)})
		return
	}
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(e.String()))
		return
	}
	answer(w, http.StatusOK, e)
}

func (s *Service) statusPage() statusPage {
	b := s.Bridge
	p := statusPage{
		Name: s.Settings.Bridge.Name, Time: time.Now(), Direction: b.Direction(), DryRun: s.Settings.Bridge.DryRun,
		Health: b.Health(), Roster: newRosterPage(b.Roster(), b.Overflow()), Writes: s.counts.page(),
	}
	notifications, webhook := s.Notifications.Stats(), s.Webhook.Stats()
	p.Teams = teamsTraffic{notifications.Delivered, notifications.Lifecycle, notifications.Validations, notifications.Refused, notifications.LastDelivery}
	p.CloudLink = cloudLinkTraffic{webhook.Delivered, webhook.Refused, webhook.LastDelivered}
	if s.Pool != nil {
		p.Monitors = newMonitorsPage(s.Pool.Snapshot(), p.Roster.Users)
	}
	if s.Watcher != nil {
		w := s.Watcher.Snapshot()
		p.Watcher = &watcherPage{w.State, w.Subscriptions, w.LastEvent, w.Failures, errorText(w.LastError), w.NextAction}
	}
	return p
}

func newRosterPage(r presence.Roster, notWatched []string) rosterPage {
	p := rosterPage{Users: r.Users, Limited: make([]limitedPage, 0, len(r.Limited)), Excluded: r.Excluded, NotWatched: addresses(notWatched, r.Users), TeamsOnly: len(r.TeamsOnly)}
	for _, l := range r.Limited {
		p.Limited = append(p.Limited, limitedPage{l.User.Email, l.Direction, l.Reason, l.Detail})
	}
	return p
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// keptWrites is how many writes the status page shows.
const keptWrites = 50

// counts counts writes and keeps the last ones.
type counts struct {
	mu   sync.Mutex
	data writesPage
}

func newCounts() *counts { return &counts{} }

// hooks counts what then is told of as well.
func (c *counts) hooks(then presencebridge.Hooks) presencebridge.Hooks {
	wrote := then.Wrote
	then.Wrote = func(w presencebridge.Write) {
		c.add(w)
		if wrote != nil {
			wrote(w)
		}
	}
	return then
}

func (c *counts) add(w presencebridge.Write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.Err != nil:
		c.data.Failed++
	case w.DryRun:
	case w.Destination == presencebridge.DestinationTeams:
		c.data.Teams++
	default:
		c.data.MiCollab++
	}
	if len(c.data.Last) >= 2*keptWrites {
		c.data.Last = append(c.data.Last[:0:0], c.data.Last[keptWrites:]...)
	}
	c.data.Last = append(c.data.Last, w)
}

// page returns the counts and the last writes, the newest first.
func (c *counts) page() writesPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.data
	p.Last = make([]presencebridge.Write, 0, keptWrites)
	for n := len(c.data.Last); n > 0 && len(p.Last) < keptWrites; n-- {
		p.Last = append(p.Last, c.data.Last[n-1])
	}
	return p
}
