package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxCommand bounds the body of a command, in bytes.
const maxCommand = 1 << 20

// command is one thing that the control endpoint does.
type command struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does"`
	// Query are the names that the query may have.
	Query []string `json:"query,omitempty"`
	// Examples are bodies.
	Examples []json.RawMessage `json:"examples,omitempty"`

	run func(s *Simulator, r request) (any, error)
}

// request is what a command is asked.
type request struct {
	query url.Values
	body  []byte
}

// refusal is why a command is not carried out: a sentence that says what to
// send instead.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// post is a command with a body of type T.
func post[T any](path, does string, run func(*Simulator, T) (any, error), examples ...string) command {
	c := command{Method: http.MethodPost, Path: controlPrefix + path, Does: does}
	for _, example := range examples {
		c.Examples = append(c.Examples, json.RawMessage(example))
	}
	c.run = func(s *Simulator, r request) (any, error) {
		var body T
		if err := decode(r.body, &body); err != nil {
			return nil, refuse("%v: send JSON such as %s; GET %s lists what else there is", err, examples[0], s.info.Control)
		}
		return run(s, body)
	}
	return c
}

// on is a command with a query only.
func on(method, path, does string, run func(*Simulator, url.Values) (any, error), query ...string) command {
	return command{Method: method, Path: controlPrefix + path, Does: does, Query: query, run: func(s *Simulator, r request) (any, error) {
		return run(s, r.query)
	}}
}

// decode reads exactly one JSON object, and nothing that it has no field for:
// a misspelt field would otherwise be a command that does something else.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var wrong *json.UnmarshalTypeError
	switch err := d.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("the body is empty")
	case errors.As(err, &wrong):
		if wrong.Field == "" {
			return fmt.Errorf("the body cannot be a JSON %s", wrong.Value)
		}
		return fmt.Errorf("%q cannot be a JSON %s", wrong.Field, wrong.Value)
	case err != nil:
		return fmt.Errorf("the body cannot be used: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value in the body")
	}
	return nil
}

// commands returns all commands, in the order in which they are explained.
func commands() []command {
	return []command{
		post("/teams", "Changes what a person shows in Teams: a Teams client (device, default desktop), signedOut, the preferred presence, the calendar, out of office; one or several of them at once. With unchecked, words that Microsoft does not document are passed on.",
			(*Simulator).setTeams,
			`{"user": "anna.kraus@example.test", "availability": "DoNotDisturb", "activity": "Presenting"}`,
			`{"user": "2001", "device": "mobile", "signedOut": true}`,
			`{"user": "2001", "preferred": {"availability": "Busy", "activity": "Busy"}}`,
			`{"user": "2001", "clearPreferred": true, "inMeeting": true, "outOfOffice": false}`),
		post("/phone", "Changes what a telephone does, by endpoint or by user: its call state, do-not-disturb, or both. With unchecked, a state that CloudLink does not document is passed on.",
			(*Simulator).setPhone,
			`{"endpoint": "2001", "state": "connected"}`,
			`{"user": "Anna Kraus", "doNotDisturb": true}`),
		post("/micollab", "Changes a person's status as the person does in MiCollab. Any text is a status.",
			(*Simulator).setMiCollab,
			`{"user": "anna.kraus@example.test", "status": "Away"}`),
		post("/faults", "Answers (status, headers, body), delays or drops requests of a service: graph, which includes sign-in, or cloudlink. Empty method: any. The path is compared segment by segment with * and **, and without a slash at its beginning may begin at any segment. times: how many requests, until DELETE if left out. after: the service does its work first, and only its answer is lost.",
			(*Simulator).addFault,
			`{"service": "graph", "method": "POST", "path": "users/*/presence/setPresence", "times": 2, "status": 429, "headers": {"Retry-After": "1.5"}, "body": {"error": {"code": "TooManyRequests"}}}`,
			`{"service": "cloudlink", "path": "endpoints/*", "delay": "2s"}`,
			`{"service": "graph", "path": "**", "times": 1, "drop": true, "after": true}`),
		on(http.MethodDelete, "/faults", "Removes the faults of a service, or all.", (*Simulator).clearFaults, "service"),
		post("/notifications", "Drops, duplicates, delays or holds (until the next one has arrived; graph only) notifications of changes of a service. count: how many, until DELETE if left out. user: only those about this person.",
			(*Simulator).addNotificationFault,
			`{"service": "graph", "drop": true, "count": 1}`,
			`{"service": "cloudlink", "delay": "3s", "count": 2, "user": "2001"}`),
		on(http.MethodGet, "/notifications", "Lists what is still to become of notifications. A fault takes effect when a notification is delivered, a moment after the change, and goes from this list once it is used up.", (*Simulator).listNotificationFaults),
		on(http.MethodDelete, "/notifications", "Lets the notifications of a service pass again, or all. Held ones are sent.", (*Simulator).clearNotificationFaults, "service"),
		post("/subscriptions/kill", "Takes a subscription of either service away: silent, it is still listed and delivers nothing.",
			(*Simulator).killSubscription,
			`{"id": "the subscription's id", "silent": true}`),
		post("/subscriptions/reauthorize", "Has Graph send the lifecycle notification reauthorizationRequired of a subscription.",
			(*Simulator).reauthorize,
			`{"id": "the subscription's id"}`),
		post("/secrets/expire", "Ends a client secret of the Entra application now: application, or monitor1 to monitor3.",
			(*Simulator).expireSecret,
			`{"secret": "application"}`),
		post("/tokens/revoke", "Revokes the refresh tokens of a Teams account, such as the monitor's, or with a service: of cloudlink all tokens.",
			(*Simulator).revokeTokens,
			`{"user": "presence.monitor.1@example.test"}`,
			`{"service": "cloudlink"}`),
		on(http.MethodGet, "/state", "Tells what everybody shows on every side, and the subscriptions.", (*Simulator).state),
		on(http.MethodGet, "/requests", "Lists the last requests that a service received, or both, oldest first, at most limit (100). Secrets are blanked.",
			(*Simulator).requests, "service", "limit"),
		on(http.MethodGet, "/history", "Lists what has changed, oldest first, at most limit (100), of one user or all.", (*Simulator).history, "user", "limit"),
		on(http.MethodGet, "/info", "Tells where everything is, with the credentials.", func(s *Simulator, _ url.Values) (any, error) { return s.Info(), nil }),
	}
}

// serveControl answers a request to the control endpoint.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		writeJSON(w, http.StatusBadRequest, faultBody(refuse("the body could not be read, or is longer than %d bytes", maxCommand)))
		return
	}
	status, answer, allow := s.command(r.Method, strings.TrimSuffix(r.URL.Path, "/"), request{r.URL.Query(), body})
	if len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
	}
	writeJSON(w, status, answer)
}

// command carries out a command, and returns what to answer.
func (s *Simulator) command(method, path string, r request) (status int, answer any, allow []string) {
	all := commands()
	if path == controlPrefix {
		all = append(all, command{Method: http.MethodGet, Path: path, run: func(s *Simulator, _ request) (any, error) {
			return map[string]any{"control": s.info.Control, "commands": commands()}, nil
		}})
	}
	for _, c := range all {
		if c.Path != path {
			continue
		}
		if c.Method != method {
			allow = append(allow, c.Method)
			continue
		}
		for name := range r.query {
			if !slices.Contains(c.Query, name) {
				return http.StatusBadRequest, faultBody(refuse("%s %s takes no query %q: see GET %s", method, path, name, s.info.Control)), nil
			}
		}
		answer, err := c.run(s, r)
		if err != nil {
			return http.StatusBadRequest, faultBody(err), nil
		}
		return http.StatusOK, answer, nil
	}
	if allow != nil {
		return http.StatusMethodNotAllowed, faultBody(refuse("%s takes %s: see GET %s", path, strings.Join(allow, " and "), s.info.Control)), allow
	}
	return http.StatusNotFound, faultBody(refuse("there is no command %s: GET %s lists all commands", path, s.info.Control)), nil
}

func faultBody(err error) any { return map[string]string{"error": err.Error()} }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(body) // the client may have gone
}
