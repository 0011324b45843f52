package cloudlinktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// correlationHeader is on every response (developer guides, "Using the API").
const correlationHeader = "X-Mitel-Correlation-Id"

// call is one request that the double answers.
type call struct {
	request *http.Request
	body    []byte
	// session is that of the token; zero for the routes that need none.
	session session
}

func (c *call) value(name string) string { return c.request.PathValue(name) }

// answer is what a request is answered with; a nil body is none.
type answer struct {
	status int
	body   any
}

// refuse returns an error answer in CloudLink's form {name, message}.
func refuse(status int, format string, args ...any) answer {
	name := strings.ReplaceAll(http.StatusText(status), " ", "") + "Error"
	return answer{status, map[string]string{"name": name, "message": fmt.Sprintf(format, args...)}}
}

func ok(body any) answer { return answer{http.StatusOK, body} }

// routes fills the mux. What it does not have is a wrong path.
func (s *Server) routes() {
	s.mux = http.NewServeMux()
	open := func(method, service, path string, f func(*call) answer) {
		s.mux.HandleFunc(method+" /"+service+"/"+version+path, func(w http.ResponseWriter, r *http.Request) {
			s.handle(w, r, session{}, f)
		})
	}
	with := func(method, service, path string, f func(*call) answer) {
		s.mux.HandleFunc(method+" /"+service+"/"+version+path, func(w http.ResponseWriter, r *http.Request) {
			session, refusal := s.authorize(r)
			if refusal != nil {
				write(w, *refusal)
				return
			}
			s.handle(w, r, session, f)
		})
	}
	open("POST", "authentication", "/token", s.postToken)
	open("POST", "authentication", "/authorize", s.postAuthorize)
	with("GET", "authentication", "/token", s.getToken)

	with("GET", "admin", "/accounts", s.getAccounts)
	with("GET", "admin", "/accounts/{accountID}", s.getAccount)
	with("GET", "admin", "/accounts/{accountID}/users", s.getUsers)
	with("GET", "admin", "/accounts/{accountID}/users/{userID}", s.getUser)
	with("GET", "admin", "/accounts/{accountID}/clients", s.getClients)
	with("POST", "admin", "/accounts/{accountID}/clients", s.postClient)
	with("GET", "admin", "/users", s.getUsers)
	with("GET", "admin", "/users/{userID}", s.getUser)

	with("GET", "media", "/endpoints/{endpointID}", s.getEndpoint)
	with("PUT", "media", "/endpoints/{endpointID}", s.putEndpoint)
	with("GET", "media", "/endpoints/{endpointID}/calls", s.getCalls)
	with("GET", "media", "/endpoints/{endpointID}/calls/{callID}", s.getCall)
	with("PUT", "media", "/endpoints/{endpointID}/calls/{callID}", s.putCall)

	with("GET", "presence", "/presentities/{principalID}", s.getPresentity)
	with("PUT", "presence", "/presentities/{principalID}", s.putPresentity)

	with("GET", "notifications", "/subscriptions", s.getSubscriptions)
	with("POST", "notifications", "/subscriptions", s.postSubscription)
	with("DELETE", "notifications", "/subscriptions/{subscriptionID}", s.deleteSubscription)
}

// serve answers every request that no control has answered.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	<-s.ready // on a fixed address a client may be quicker than NewServer
	w.Header().Set(correlationHeader, newGUID())
	if refusal, header := s.throttle(); refusal != nil {
		w.Header().Set("Retry-After", header)
		write(w, *refusal)
		return
	}
	// A path that the mux would redirect to its clean form is a wrong one, and so
	// is a method that it would answer with 405.
	if _, pattern := s.mux.Handler(r); pattern == "" || path.Clean(r.URL.Path) != r.URL.Path {
		write(w, missingRoute(r))
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request, session session, f func(*call) answer) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		write(w, refuse(http.StatusBadRequest, "the body could not be read"))
		return
	}
	result := f(&call{request: r, body: body, session: session})
	s.show()
	write(w, result)
}

func write(w http.ResponseWriter, a answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(a.body)
}

// services are those that exist at CloudLink, whether or not the double has
// anything of them but wrong paths.
var services = []string{
	"authentication", "admin", "media", "chat", "notifications", "workflow", "director", "router", "analytics",
	"system-manager", "billing", "presence",
}

// missingRoute answers a wrong path as the gateway in front of CloudLink does:
// below a service with 403 and the token in the text (developer forum), and 404
// elsewhere.
func missingRoute(r *http.Request) answer {
	for _, service := range services {
		if !strings.HasPrefix(r.URL.Path, "/"+service+"/"+version) {
			continue
		}
		authorization := r.Header.Get("Authorization")
		if authorization == "" {
			return answer{http.StatusForbidden, map[string]string{"message": "Missing Authentication Token"}}
		}
		return answer{http.StatusForbidden, map[string]string{"message": fmt.Sprintf(
			"'%s' not a valid key=value pair (missing equal-sign) in Authorization header: '%s'.", bearer(r), authorization)}}
	}
	return answer{http.StatusNotFound, map[string]string{"message": "Not Found"}}
}

// throttle returns a refusal and its Retry-After where the limit is reached.
func (s *Server) throttle() (*answer, string) {
	if s.limiter == nil {
		return nil, ""
	}
	now := time.Now()
	reservation := s.limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil, ""
	}
	reservation.CancelAt(now)
	refusal := refuse(http.StatusTooManyRequests, "too many requests")
	// A date has whole seconds: one that is rounded down would be too early.
	until := now.Add(wait + time.Second - 1).Truncate(time.Second)
	if s.assumed.RetryAfterSeconds {
		return &refusal, strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	}
	return &refusal, until.UTC().Format(http.TimeFormat)
}

// link is one of a resource's _links.
type link struct {
	Href string `json:"href"`
}

// href returns a link to a path below the service that the request went to.
func (s *Server) href(c *call, pathAndQuery string) link {
	service, _, _ := strings.Cut(strings.TrimPrefix(c.request.URL.Path, "/"), "/")
	target := "/" + service + "/" + version + pathAndQuery
	if s.assumed.RelativeLinks {
		return link{target}
	}
	return link{s.double.URL + target}
}

// collection returns a HAL collection of the resources of items, cut to the page
// that $top and $skip ask for.
func collection[T any](s *Server, c *call, items []T, resource func(T) map[string]any) answer {
	query := c.request.URL.Query()
	number := func(name string, otherwise int) (int, bool) {
		if !query.Has(name) {
			return otherwise, true
		}
		n, err := strconv.Atoi(query.Get(name))
		return n, err == nil && n >= 0
	}
	top, topOK := number("$top", s.assumed.PageSize)
	skip, skipOK := number("$skip", 0)
	if !topOK || !skipOK || top == 0 {
		return refuse(http.StatusBadRequest, "$top and $skip must be numbers, and $top more than 0")
	}
	top = min(top, s.assumed.MaxPageSize)
	skip = min(skip, len(items))
	page := make([]map[string]any, 0, min(top, len(items)-skip))
	for _, item := range items[skip:min(len(items), skip+top)] {
		page = append(page, resource(item))
	}
	own := strings.TrimPrefix(c.request.URL.EscapedPath(), "/"+strings.SplitN(c.request.URL.Path, "/", 3)[1]+"/"+version)
	withQuery := func(q url.Values) link {
		if len(q) == 0 {
			return s.href(c, own)
		}
		return s.href(c, own+"?"+q.Encode())
	}
	links := map[string]link{"self": withQuery(query)}
	if skip+len(page) < len(items) {
		query.Set("$skip", strconv.Itoa(skip+top))
		query.Set("$top", strconv.Itoa(top))
		links["next"] = withQuery(query)
	}
	return ok(map[string]any{"count": len(page), "_links": links, "_embedded": map[string]any{"items": page}})
}

// accepts refuses a request with a query option that the double has not.
func (c *call) accepts(options ...string) *answer {
	for name := range c.request.URL.Query() {
		known := false
		for _, o := range options {
			known = known || o == name
		}
		if !known {
			refusal := refuse(http.StatusBadRequest, "the query option %q is not supported here", name)
			return &refusal
		}
	}
	return nil
}
