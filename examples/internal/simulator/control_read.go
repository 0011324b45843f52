package simulator

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// personState is what one person shows everywhere.
type personState struct {
	PersonInfo
	Teams  *teamsState     `json:"teams,omitempty"`
	Phone  *phoneState     `json:"phone,omitempty"`
	Status presence.Status `json:"status,omitempty"`
}

type teamsState struct {
	Availability   presence.Availability `json:"availability"`
	Activity       presence.Activity     `json:"activity"`
	OutOfOffice    bool                  `json:"outOfOffice"`
	SequenceNumber string                `json:"sequenceNumber"`
	Sessions       []sessionState        `json:"sessions"`
}

// sessionState is one of a person's presence sessions: a Teams client's, or an
// application's.
type sessionState struct {
	Device        string                `json:"device,omitempty"`
	ApplicationID string                `json:"applicationId,omitempty"`
	Availability  presence.Availability `json:"availability"`
	Activity      presence.Activity     `json:"activity"`
	SetAt         time.Time             `json:"setAt"`
	ExpiresAt     time.Time             `json:"expiresAt,omitzero"`
}

type phoneState struct {
	Endpoint     string             `json:"endpoint"`
	State        presence.LineState `json:"state"`
	DoNotDisturb bool               `json:"doNotDisturb"`
}

func (s *Simulator) teamsState(userID string) *teamsState {
	shown := s.graph.Presence(userID)
	state := &teamsState{
		Availability: shown.Availability, Activity: shown.Activity, OutOfOffice: shown.OutOfOffice,
		SequenceNumber: shown.SequenceNumber, Sessions: []sessionState{},
	}
	for _, session := range s.graph.Sessions(userID) {
		state.Sessions = append(state.Sessions, sessionState{
			Device: session.Device, ApplicationID: session.ApplicationID, SetAt: session.SetAt, ExpiresAt: session.ExpiresAt,
			Availability: session.Shows.Availability, Activity: session.Shows.Activity,
		})
	}
	return state
}

func (s *Simulator) phoneState(endpoint string) *phoneState {
	line := s.cloud.Line(endpoint)
	return &phoneState{Endpoint: endpoint, State: line.State, DoNotDisturb: line.DoNotDisturb}
}

// subscriptionState is a subscription at either service, without its client state.
type subscriptionState struct {
	ID              string    `json:"id"`
	NotificationURL string    `json:"notificationUrl"`
	LifecycleURL    string    `json:"lifecycleUrl,omitempty"`
	Resource        string    `json:"resource,omitempty"`
	Topic           string    `json:"topic,omitempty"`
	ExpiresAt       time.Time `json:"expiresAt,omitzero"`
	Delivered       *int      `json:"delivered,omitempty"`
	Silent          bool      `json:"silent"`
}

// state is GET /control/state.
func (s *Simulator) state(url.Values) (any, error) {
	people := []personState{}
	byEmail := make(map[string]int)
	for _, u := range s.graph.Users() {
		byEmail[strings.ToLower(cmp.Or(u.Mail, u.PrincipalName))] = len(people)
		people = append(people, personState{
			PersonInfo: PersonInfo{Name: u.Name, Email: cmp.Or(u.Mail, u.PrincipalName), TeamsID: u.ID}, Teams: s.teamsState(u.ID),
		})
	}
	for _, u := range s.cloud.Users() {
		i, both := byEmail[strings.ToLower(u.Email)]
		if !both {
			i = len(people)
			people = append(people, personState{PersonInfo: PersonInfo{Name: u.Name, Email: u.Email}})
		}
		p := &people[i]
		p.CloudLinkID, p.Extension, p.Site, p.Status = u.PrincipalID, u.Extension, u.SiteID, s.cloud.Status(u.PrincipalID)
		if u.Extension != "" {
			p.Phone = s.phoneState(u.Extension)
		}
	}
	subscriptions := map[string][]subscriptionState{serviceGraph: {}, serviceCloudLink: {}}
	for _, sub := range s.graph.Subscriptions() {
		subscriptions[serviceGraph] = append(subscriptions[serviceGraph], subscriptionState{
			ID: sub.ID, NotificationURL: sub.NotificationURL, LifecycleURL: sub.LifecycleURL, Resource: sub.Resource,
			ExpiresAt: sub.ExpiresAt, Delivered: &sub.Delivered, Silent: sub.Silent,
		})
	}
	for _, sub := range s.cloud.Subscriptions() {
		subscriptions[serviceCloudLink] = append(subscriptions[serviceCloudLink], subscriptionState{
			ID: sub.ID, NotificationURL: sub.WebhookURL, Resource: sub.SubjectFilter, Topic: sub.Topic, Silent: sub.Silent,
		})
	}
	return map[string]any{"people": people, "subscriptions": subscriptions}, nil
}

// defaultLimit is how many entries a list has.
const defaultLimit = 100

// last cuts a list to the newest of its entries.
func last[T any](list []T, query url.Values) ([]T, error) {
	limit := defaultLimit
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, refuse("the limit %q is no number of entries: send one such as 100", text)
		}
		limit = n
	}
	if list == nil {
		list = []T{}
	}
	return list[max(0, len(list)-limit):], nil
}

// requestEntry is one request that a service received.
type requestEntry struct {
	Time    time.Time           `json:"time"`
	Service string              `json:"service"`
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers"`
	Body    string              `json:"body,omitempty"`
}

// requests is GET /control/requests.
func (s *Simulator) requests(query url.Values) (any, error) {
	service := query.Get("service")
	if err := checkService(service, true); err != nil {
		return nil, err
	}
	var list []requestEntry
	add := func(service string, received []graphtest.Request) {
		for _, r := range received {
			list = append(list, requestEntry{
				Time: r.Time, Service: service, Method: r.Method, Path: blankQuery(r.Path), Status: r.Status,
				Headers: blankHeader(r.Header), Body: blankBody(r.Header.Get("Content-Type"), r.Body),
			})
		}
	}
	if service != serviceCloudLink {
		add(serviceGraph, s.graph.Requests())
	}
	if service != serviceGraph {
		add(serviceCloudLink, s.cloud.Requests())
	}
	slices.SortStableFunc(list, func(a, b requestEntry) int { return a.Time.Compare(b.Time) })
	list, err := last(list, query)
	return map[string]any{"requests": list}, err
}

// historyEntry is one change of what somebody shows.
type historyEntry struct {
	Time time.Time `json:"time"`
	// What is teams, line, doNotDisturb or status.
	What        string `json:"what"`
	TeamsID     string `json:"teamsId,omitempty"`
	CloudLinkID string `json:"cloudLinkId,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	// Now is what is shown since.
	Now string `json:"now"`
	// Cause is the double's word for it, and Client the id of the application,
	// client or user whose request it was.
	Cause  string `json:"cause"`
	Client string `json:"client,omitempty"`
}

// history is GET /control/history.
func (s *Simulator) history(query url.Values) (any, error) {
	var ids []string
	if user := query.Get("user"); user != "" {
		if ids = s.idsOf(user); len(ids) == 0 {
			return nil, refuse("there is nobody %q: ask for somebody whom GET %s/state lists", user, s.info.Control)
		}
	}
	var list []historyEntry
	add := func(e historyEntry) {
		if ids == nil || anyOf(ids, func(id string) bool { return named(id, e.TeamsID, e.CloudLinkID, e.Endpoint) }) {
			list = append(list, e)
		}
	}
	for _, c := range s.graph.History() {
		add(historyEntry{Time: c.Time, What: "teams", TeamsID: c.UserID, Now: c.Presence.String(), Cause: string(c.Cause), Client: c.ApplicationID})
	}
	for _, c := range s.cloud.History() {
		e := historyEntry{
			Time: c.Time, What: string(c.Kind), CloudLinkID: c.PrincipalID, Endpoint: c.EndpointID, Now: string(c.Status),
			Cause: string(c.Cause), Client: c.ClientID,
		}
		if c.EndpointID != "" {
			e.Now = c.Line.String()
		}
		add(e)
	}
	slices.SortStableFunc(list, func(a, b historyEntry) int { return a.Time.Compare(b.Time) })
	list, err := last(list, query)
	return map[string]any{"history": list}, err
}
