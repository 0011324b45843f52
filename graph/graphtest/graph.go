package graphtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// graphFault is a refusal by Graph.
type graphFault struct {
	status        int
	code, message string
}

func (f *graphFault) Error() string { return f.code + ": " + f.message }

func badRequest(format string, args ...any) *graphFault {
	return &graphFault{http.StatusBadRequest, "BadRequest", fmt.Sprintf(format, args...)}
}

func notFound(id string) *graphFault {
	return &graphFault{http.StatusNotFound, "Request_ResourceNotFound",
		fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)}
}

var errBody = badRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")

// call is one request to Graph, whose caller is known and allowed to make it.
type call struct {
	caller *caller
	id     string // the {id} of the route's pattern, unescaped
	query  url.Values
	header http.Header
	body   []byte
	r      *http.Request
}

// decode reads the JSON body.
func (c *call) decode(v any) *graphFault {
	mediaType, _, _ := strings.Cut(c.header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") || json.Unmarshal(c.body, v) != nil {
		return errBody
	}
	return nil
}

// route is one operation of Graph.
type route struct {
	method  string
	pattern []string // segments; "{id}" stands for one of any value
	budget  string
	cost    func(*call) int // in units of the budget; nil: 1
	allow   need
	handle  func(*call) (status int, body any, fault *graphFault)
}

// newRoutes returns the operations that the double has.
func (s *Server) newRoutes() []route {
	read := need{application: []string{"Presence.Read.All", "Presence.ReadWrite.All"}, delegated: []string{"Presence.Read.All"}, own: []string{"Presence.Read", "Presence.ReadWrite"}, denial: deniedPresence}
	write := need{application: []string{"Presence.ReadWrite.All"}, own: []string{"Presence.ReadWrite"}, denial: deniedWrite}
	users := need{application: []string{"User.Read.All", "User.ReadBasic.All", "Directory.Read.All"}, delegated: []string{"User.Read.All", "User.ReadBasic.All", "Directory.Read.All"}, own: []string{"User.Read"}, denial: deniedDirectory}
	apps := need{application: []string{"Application.Read.All", "Directory.Read.All"}, delegated: []string{"Application.Read.All", "Directory.Read.All"}, denial: deniedDirectory}
	grants := need{application: []string{"Directory.Read.All", "DelegatedPermissionGrant.Read.All", "DelegatedPermissionGrant.ReadWrite.All"}, delegated: []string{"Directory.Read.All", "DelegatedPermissionGrant.Read.All", "DelegatedPermissionGrant.ReadWrite.All"}, denial: deniedDirectory}
	anyone := need{}
	routes := []route{
		{method: "POST", pattern: split("$batch"), budget: BudgetGlobal, allow: anyone, handle: s.batch},
		{method: "GET", pattern: split("users"), budget: BudgetDirectory, cost: costOfList, allow: users, handle: s.listUsers},
		{method: "GET", pattern: split("users/{id}"), budget: BudgetDirectory, allow: users, handle: s.getUser},
		{method: "GET", pattern: split("applications/{id}"), budget: BudgetDirectory, cost: costOfList, allow: apps, handle: s.getApplication},
		{method: "GET", pattern: split("servicePrincipals/{id}"), budget: BudgetDirectory, cost: costOfList, allow: apps, handle: s.getServicePrincipal},
		{method: "GET", pattern: split("servicePrincipals/{id}/appRoleAssignments"), budget: BudgetDirectory, cost: costOfList, allow: apps, handle: s.listAssignments},
		{method: "GET", pattern: split("servicePrincipals/{id}/oauth2PermissionGrants"), budget: BudgetDirectory, cost: costOfList, allow: grants, handle: s.listGrants},
		{method: "POST", pattern: split("communications/getPresencesByUserId"), budget: BudgetPresence, allow: read, handle: s.bulkPresence},
		{method: "POST", pattern: split("subscriptions"), budget: BudgetSubscriptionWrites, allow: anyone, handle: s.createSubscription},
		{method: "GET", pattern: split("subscriptions"), budget: BudgetSubscriptionLists, allow: anyone, handle: s.listSubscriptions},
		{method: "GET", pattern: split("subscriptions/{id}"), budget: BudgetSubscriptionReads, allow: anyone, handle: s.getSubscription},
		{method: "PATCH", pattern: split("subscriptions/{id}"), budget: BudgetSubscriptionWrites, allow: anyone, handle: s.updateSubscription},
		{method: "DELETE", pattern: split("subscriptions/{id}"), budget: BudgetSubscriptionWrites, allow: anyone, handle: s.deleteSubscription},
		{method: "POST", pattern: split("subscriptions/{id}/reauthorize"), budget: BudgetReauthorizations, allow: anyone, handle: s.reauthorizeSubscription},
	}
	for _, base := range []string{"users/{id}/presence", "communications/presences/{id}"} {
		routes = append(routes,
			route{method: "GET", pattern: split(base), budget: BudgetPresence, allow: read, handle: s.getPresence},
			route{method: "POST", pattern: split(base + "/setPresence"), budget: BudgetPresence, allow: write, handle: s.postPresence},
			route{method: "POST", pattern: split(base + "/clearPresence"), budget: BudgetPresence, allow: write, handle: s.postClearPresence},
			route{method: "POST", pattern: split(base + "/setUserPreferredPresence"), budget: BudgetPresence, allow: write, handle: s.postPreferred},
			route{method: "POST", pattern: split(base + "/clearUserPreferredPresence"), budget: BudgetPresence, allow: write, handle: s.postClearPreferred},
			route{method: "POST", pattern: split(base + "/setStatusMessage"), budget: BudgetPresence, allow: write, handle: s.postStatusMessage},
		)
	}
	return routes
}

// costOfList is what a directory request costs in resource units: 2, and one
// less with $select.
func costOfList(c *call) int {
	if c.query.Get("$select") != "" {
		return 1
	}
	return 2
}

func split(path string) []string { return strings.Split(path, "/") }

// segments takes a path below the version apart: escapes are undone, and the
// keys of OData's parenthesis form become segments, so that users('x') is
// users/x and applications(appId='x') is applications/appId=x.
func segments(escapedPath string) ([]string, error) {
	var out []string
	for _, segment := range strings.Split(strings.Trim(escapedPath, "/"), "/") {
		segment, err := url.PathUnescape(segment)
		if err != nil {
			return nil, err
		}
		name, key, ok := strings.Cut(segment, "(")
		key, closed := strings.CutSuffix(key, ")")
		if !ok || !closed || name == "" {
			out = append(out, segment)
			continue
		}
		property, value, named := strings.Cut(key, "=")
		if !named {
			property, value = "", key
		}
		if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
			value = strings.ReplaceAll(value[1:len(value)-1], "''", "'")
		}
		if named {
			value = property + "=" + value
		}
		out = append(out, name, value)
	}
	return out, nil
}

// findRoute returns the operation for a request; where there is none, known
// tells whether the path has others.
func (s *Server) findRoute(method string, path []string) (found *route, id string, known bool) {
	for i := range s.routes {
		candidate, ok := matchRoute(s.routes[i].pattern, path)
		if !ok {
			continue
		}
		known = true
		if s.routes[i].method == method {
			return &s.routes[i], candidate, true
		}
	}
	return nil, "", known
}

func matchRoute(pattern, path []string) (id string, ok bool) {
	if len(pattern) != len(path) {
		return "", false
	}
	for i, p := range pattern {
		if p == "{id}" && path[i] != "" {
			id = path[i]
		} else if !strings.EqualFold(p, path[i]) {
			return "", false
		}
	}
	return id, true
}

// serveGraph answers requests below {GraphURL}.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request, escapedPath string) {
	requestID := newGUID()
	clientRequestID := r.Header.Get("client-request-id")
	if clientRequestID == "" {
		clientRequestID = requestID
	}
	h := w.Header()
	h.Set("request-id", requestID)
	h.Set("client-request-id", clientRequestID)
	h.Set("Cache-Control", "no-cache")
	status, body, fault := s.handleGraph(h, r, escapedPath)
	if fault != nil {
		status = fault.status
		body = map[string]any{"error": map[string]any{
			"code": fault.code, "message": fault.message,
			"innerError": map[string]string{
				"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": requestID, "client-request-id": clientRequestID,
			},
		}}
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	h.Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Length", strconv.Itoa(buffer.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buffer.Bytes())
}

// handleGraph does what stands between a request and its operation: version,
// token, permission and throttling.
func (s *Server) handleGraph(h http.Header, r *http.Request, escapedPath string) (int, any, *graphFault) {
	rest, ok := cutPrefixFold(escapedPath, "/v1.0/")
	if !ok {
		return 0, nil, badRequest("Invalid version: this double has v1.0 only.")
	}
	path, err := segments(rest)
	if err != nil {
		return 0, nil, badRequest("The path is not escaped correctly.")
	}
	who, err := s.authorize(r)
	if err != nil {
		h.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="", authorization_uri=%q, client_id=%q`, s.login+"/common/oauth2/authorize", graphAppID))
		return 0, nil, &graphFault{http.StatusUnauthorized, "InvalidAuthenticationToken", err.Error()}
	}
	if strings.EqualFold(path[0], "me") {
		if who.userID == "" {
			return 0, nil, badRequest("/me request is only valid with delegated authentication flow.")
		}
		path = append([]string{"users", who.userID}, path[1:]...)
	}
	op, id, known := s.findRoute(r.Method, path)
	if op == nil {
		if known {
			return 0, nil, &graphFault{http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."}
		}
		return 0, nil, badRequest("Resource not found for the segment '%s'.", path[0])
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, errBody
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, nil, badRequest("The query is not escaped correctly.")
	}
	c := &call{caller: who, id: id, query: query, header: r.Header, body: body, r: r}
	if fault := s.throttle(h, op, c); fault != nil {
		return 0, nil, fault
	}
	if fault := op.allow.check(who, c.id); fault != nil {
		return 0, nil, fault
	}
	return op.handle(c)
}

// throttle counts a request and refuses it when its budget is used up.
func (s *Server) throttle(h http.Header, op *route, c *call) *graphFault {
	cost := 1
	if op.cost != nil {
		cost = op.cost(c)
	}
	v := s.meter.charge(c.caller.applicationID, op.budget, cost, time.Now())
	if op.budget == BudgetDirectory {
		h.Set("x-ms-resource-unit", strconv.Itoa(cost))
		if v.fraction > 0.8 {
			h.Set("x-ms-throttle-limit-percentage", strconv.FormatFloat(v.fraction, 'f', 2, 64))
		}
	}
	if v.wait <= 0 {
		return nil
	}
	// Rounded up, so that a client that waits exactly as long is not early.
	h.Set("Retry-After", strconv.FormatFloat(float64((v.wait+time.Millisecond-1)/time.Millisecond)/1000, 'f', 3, 64))
	if op.budget == BudgetDirectory {
		h.Set("x-ms-throttle-scope", "Tenant_Application/Read/"+c.caller.applicationID+"/"+s.tenantID)
		h.Set("x-ms-throttle-information", "ResourceUnitLimitExceeded")
	}
	return &graphFault{http.StatusTooManyRequests, "TooManyRequests", "Too many requests. Please retry after the time given by the Retry-After header."}
}

// caller is who makes a request, as the token says.
type caller struct {
	applicationID string
	userID        string // empty for an app-only token
	permissions   set    // roles or scopes
	tokenExpires  time.Time
}

// What a token is refused for, as the service words it.
var (
	errNoToken      = errors.New("Access token is empty.")                            //nolint:staticcheck // Microsoft's own text
	errTokenExpired = errors.New("Lifetime validation failed, the token is expired.") //nolint:staticcheck // Microsoft's own text
	errTokenInvalid = errors.New("Access token validation failure.")                  //nolint:staticcheck // Microsoft's own text
)

func (s *Server) authorize(r *http.Request) (*caller, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, errNoToken
	}
	c, err := s.verify(token)
	if err != nil {
		if strings.Contains(err.Error(), "expired") {
			return nil, errTokenExpired
		}
		return nil, errTokenInvalid
	}
	who := &caller{applicationID: c.ApplicationID, tokenExpires: c.ExpiresAt.Time}
	if c.IdentityType == "user" {
		who.userID, who.permissions = c.ObjectID, newSet(strings.Fields(c.Scopes)...)
	} else {
		who.permissions = newSet(c.Roles...)
	}
	return who, nil
}

// denial is how a service words a missing permission.
type denial int

const (
	deniedPresence denial = iota
	deniedWrite
	deniedDirectory
)

// need lists the permissions of which a caller must have one. The zero need is
// none: the operation checks for itself.
type need struct {
	application []string
	delegated   []string
	own         []string // for a user's token on the user's own data
	denial      denial
}

func (n need) check(who *caller, id string) *graphFault {
	if len(n.application) == 0 && len(n.own) == 0 {
		return nil
	}
	if who.userID == "" {
		if who.permissions.hasAny(n.application...) {
			return nil
		}
	} else {
		own := strings.EqualFold(id, who.userID)
		if who.permissions.hasAny(n.delegated...) || own && who.permissions.hasAny(n.own...) {
			return nil
		}
		if !own && n.denial == deniedWrite && who.permissions.hasAny(n.own...) {
			return &graphFault{http.StatusUnauthorized, "Unauthorized", "Cannot set the presence of another user."}
		}
	}
	if n.denial == deniedDirectory {
		return &graphFault{http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."}
	}
	return &graphFault{http.StatusForbidden, "Forbidden", "The caller lacks a permission that this operation needs."}
}
