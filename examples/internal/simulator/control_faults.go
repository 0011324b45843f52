package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph/graphtest"
)

// The services, as commands name them. Entra belongs to Graph.
const (
	serviceGraph     = "graph"
	serviceCloudLink = "cloudlink"
)

// maxDelay bounds what a fault may wait.
const maxDelay = time.Hour

func checkService(service string, optional bool) error {
	if service == serviceGraph || service == serviceCloudLink || optional && service == "" {
		return nil
	}
	return refuse("there is no service %q: send as service graph or cloudlink", service)
}

func parseDelay(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDelay {
		return 0, refuse("%q is no delay: send a duration up to %v, such as 500ms or 2s", text, maxDelay)
	}
	return d, nil
}

type faultCommand struct {
	Service string            `json:"service"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Times   int               `json:"times"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	// Body is sent as it is, or if it is a string, the string's text.
	Body  json.RawMessage `json:"body"`
	Delay string          `json:"delay"`
	Drop  bool            `json:"drop"`
	After bool            `json:"after"`
}

func (s *Simulator) addFault(c faultCommand) (any, error) {
	if err := checkService(c.Service, false); err != nil {
		return nil, err
	}
	delay, err := parseDelay(c.Delay)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Path == "" || !validPattern(c.Path):
		return nil, refuse("%q is no pattern of a path: send one such as users/*/presence, or ** for every path", c.Path)
	case c.Times < 0:
		return nil, refuse("times is %d: send how many requests, or leave it out for all until DELETE", c.Times)
	case c.Status != 0 && (c.Status < 200 || c.Status > 599):
		return nil, refuse("%d is no status of an answer: send one from 200 to 599", c.Status)
	case c.Status == 0 && !c.Drop && delay == 0:
		return nil, refuse("the fault would do nothing: send status, drop or delay")
	case c.Status != 0 && c.Drop:
		return nil, refuse("a dropped request has no answer: send either status or drop")
	case c.Status == 0 && (len(c.Headers) > 0 || len(c.Body) > 0):
		return nil, refuse("headers and body need a status: send it as well")
	case c.After && c.Status == 0 && !c.Drop:
		return nil, refuse("after is for an answer that is replaced or lost: send status or drop as well")
	}
	reply := graphtest.Reply{Delay: delay, Drop: c.Drop, Status: c.Status, After: c.After, Body: c.Body}
	if len(c.Headers) > 0 {
		reply.Header = make(http.Header, len(c.Headers))
		for name, value := range c.Headers {
			reply.Header.Set(name, value)
		}
	}
	var text string
	if json.Unmarshal(c.Body, &text) == nil {
		reply.Body = []byte(text)
	}
	control := graphtest.Match(c.Method, c.Path, reply)
	if c.Service == serviceGraph {
		s.graph.Control(c.Times, control)
	} else {
		s.cloud.Control(c.Times, control)
	}
	return done("the fault is in place"), nil
}

func validPattern(pattern string) bool {
	for segment := range strings.SplitSeq(pattern, "/") {
		if _, err := path.Match(segment, ""); err != nil {
			return false
		}
	}
	return true
}

func done(what string) any { return map[string]string{"done": what} }

func (s *Simulator) clearFaults(query url.Values) (any, error) {
	service := query.Get("service")
	if err := checkService(service, true); err != nil {
		return nil, err
	}
	if service != serviceCloudLink {
		s.graph.ClearControls()
	}
	if service != serviceGraph {
		s.cloud.ClearControls()
	}
	return done("the faults are gone"), nil
}

type notificationCommand struct {
	Service   string `json:"service"`
	User      string `json:"user,omitempty"`
	Count     int    `json:"count,omitempty"`
	Drop      bool   `json:"drop,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Delay     string `json:"delay,omitempty"`
	Hold      bool   `json:"hold,omitempty"`
}

// deliveryFaults are what becomes of the next notifications.
type deliveryFaults struct {
	mu   sync.Mutex
	list []*deliveryFault
}

// deliveryFault is one of them, in the words of the double that knows more.
type deliveryFault struct {
	service string
	command notificationCommand // as it was asked for
	// about are ids of whom it is limited to: a user's object id, principal id
	// and endpoint. Empty: everybody.
	about []string
	left  int // at least 1, or endless
	fault graphtest.Fault
}

// endless is what is left of a fault without a count.
const endless = -1

// take returns what becomes of a notification of a service about somebody.
func (f *deliveryFaults) take(service string, isAbout func(id string) bool) graphtest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range f.list {
		if d.service != service || len(d.about) > 0 && !anyOf(d.about, isAbout) {
			continue
		}
		switch d.left {
		case endless:
		case 1:
			f.list = slices.Delete(f.list, i, i+1)
		default:
			d.left--
		}
		return d.fault
	}
	return graphtest.Fault{}
}

func anyOf(ids []string, is func(string) bool) bool {
	for _, id := range ids {
		if is(id) {
			return true
		}
	}
	return false
}

func (f *deliveryFaults) add(d *deliveryFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, d)
}

func (f *deliveryFaults) clear(service string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(d *deliveryFault) bool { return service == "" || d.service == service })
}

// pending returns the commands whose faults are not used up, with what is left
// of each as its count.
func (f *deliveryFaults) pending() []notificationCommand {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]notificationCommand, 0, len(f.list))
	for _, d := range f.list {
		c := d.command
		c.Count = max(d.left, 0)
		list = append(list, c)
	}
	return list
}

// watchDeliveries has the doubles ask s.faults about each first attempt;
// repetitions, and lifecycle notifications, pass. For Graph this also sends
// what was held.
func (s *Simulator) watchDeliveries() {
	s.graph.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault {
		if d.Attempt > 1 || d.Lifecycle != "" {
			return graphtest.Fault{}
		}
		return s.faults.take(serviceGraph, func(id string) bool { return named(id, d.UserIDs...) })
	})
	s.cloud.SetDeliveryFault(func(d cloudlinktest.Delivery) cloudlinktest.Fault {
		if d.Attempt > 1 {
			return cloudlinktest.Fault{}
		}
		f := s.faults.take(serviceCloudLink, func(id string) bool { return named(id, strings.Split(d.Subject, "/")...) })
		return cloudlinktest.Fault{Drop: f.Drop, Duplicate: f.Duplicate, Delay: f.Delay}
	})
}

func (s *Simulator) addNotificationFault(c notificationCommand) (any, error) {
	if err := checkService(c.Service, false); err != nil {
		return nil, err
	}
	delay, err := parseDelay(c.Delay)
	if err != nil {
		return nil, err
	}
	kinds := 0
	for _, on := range []bool{c.Drop, c.Duplicate, delay > 0, c.Hold} {
		if on {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return nil, refuse("send exactly one of drop, duplicate, delay and hold")
	case c.Hold && c.Service != serviceGraph:
		return nil, refuse("only Graph notifications can be held: send delay instead")
	case c.Count < 0:
		return nil, refuse("count is %d: send how many notifications, or leave it out for all until DELETE", c.Count)
	}
	d := &deliveryFault{
		service: c.Service, command: c, left: c.Count,
		fault: graphtest.Fault{Drop: c.Drop, Duplicate: c.Duplicate, Delay: delay, Hold: c.Hold},
	}
	if c.Count == 0 {
		d.left = endless
	}
	if c.User != "" {
		if d.about = s.idsOf(c.User); len(d.about) == 0 {
			return nil, refuse("there is nobody %q: send as user the id, address, extension or name of somebody whom GET %s/state lists", c.User, s.info.Control)
		}
	}
	s.faults.add(d)
	return done("the next notifications are affected"), nil
}

func (s *Simulator) listNotificationFaults(url.Values) (any, error) {
	return map[string]any{"notifications": s.faults.pending()}, nil
}

// idsOf returns the ids by which notifications name a person.
func (s *Simulator) idsOf(user string) []string {
	var ids []string
	if u, ok := s.teamsUser(user); ok {
		ids = append(ids, u.ID)
	}
	if u, ok := s.cloudLinkUser(user); ok {
		ids = append(ids, u.PrincipalID)
		if u.Extension != "" {
			ids = append(ids, u.Extension)
		}
	}
	return ids
}

func (s *Simulator) clearNotificationFaults(query url.Values) (any, error) {
	service := query.Get("service")
	if err := checkService(service, true); err != nil {
		return nil, err
	}
	s.faults.clear(service)
	if service != serviceCloudLink {
		s.watchDeliveries()
	}
	return done("notifications pass"), nil
}

type subscriptionCommand struct {
	ID     string `json:"id"`
	Silent bool   `json:"silent"`
}

func (s *Simulator) killSubscription(c subscriptionCommand) (any, error) {
	if s.graph.KillSubscription(c.ID, c.Silent) != nil && !s.cloud.KillSubscription(c.ID, c.Silent) {
		return nil, refuse("there is no subscription %q: send an id that GET %s/state lists", c.ID, s.info.Control)
	}
	return done("the subscription delivers nothing more"), nil
}

func (s *Simulator) reauthorize(c struct {
	ID string `json:"id"`
}) (any, error) {
	if err := s.graph.RequestReauthorization(c.ID); err != nil {
		return nil, refuse("%s: send the id of a Graph subscription that GET %s/state lists with a lifecycle URL", strings.TrimPrefix(err.Error(), "graphtest: "), s.info.Control)
	}
	return done("the lifecycle notification is on its way"), nil
}

func (s *Simulator) expireSecret(c struct {
	Secret string `json:"secret"`
}) (any, error) {
	secret, known := s.secrets.application, c.Secret == "application"
	for n, one := range s.secrets.monitors {
		// The first has the plain name too.
		if c.Secret == fmt.Sprintf("monitor%d", n+1) || n == 0 && c.Secret == "monitor" {
			secret, known = one, true
		}
	}
	if !known {
		return nil, refuse("there is no secret of this name: send as secret application, or monitor1 to monitor%d, never a value", len(s.secrets.monitors))
	}
	if err := s.graph.ExpireSecret(s.info.Teams.ClientID, secret.Value); err != nil {
		return nil, err
	}
	return done("the secret has expired"), nil
}

func (s *Simulator) revokeTokens(c struct {
	User    string `json:"user"`
	Service string `json:"service"`
}) (any, error) {
	switch {
	case (c.User == "") == (c.Service == ""):
		return nil, refuse("send either user, a Teams account, or service, which can be cloudlink")
	case c.Service == serviceCloudLink:
		s.cloud.ExpireTokens()
		s.cloud.RevokeRefreshTokens()
		return done("all CloudLink tokens are invalid"), nil
	case c.Service != "":
		return nil, refuse("tokens of %q are revoked by user: send as user a Teams account, or as service cloudlink", c.Service)
	}
	user, ok := s.teamsUser(c.User)
	if !ok {
		return nil, refuse("there is no Teams account %q: send the monitor's principal name, or that of another account", c.User)
	}
	s.graph.RevokeRefreshTokens(user.ID)
	return done("the account's refresh tokens are revoked"), nil
}
