package graphtest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultPageSize = 100
	maxPageSize     = 999
)

// userProperties are the properties of a user that the double has. Those marked
// are returned without $select; of the rest a client has to ask.
func userProperties() map[string]bool {
	return map[string]bool{
		"id": true, "displayName": true, "mail": true, "userPrincipalName": true, "givenName": true, "surname": true, "jobTitle": true,
		"businessPhones": true, "mobilePhone": true, "officeLocation": true, "preferredLanguage": true,
		"accountEnabled": false, "userType": false,
	}
}

// property returns a property of a user; one that the account leaves empty is nil.
func (u User) property(name string) any {
	switch name {
	case "id":
		return u.ID
	case "displayName":
		return u.Name
	case "userPrincipalName":
		return u.PrincipalName
	case "mail":
		if u.Mail != "" {
			return u.Mail
		}
	case "accountEnabled":
		return !u.Disabled
	case "userType":
		return "Member"
	case "businessPhones":
		return []string{}
	}
	return nil
}

// selection reads $select; it returns the names in Graph's spelling.
func selection(value string) ([]string, *graphFault) {
	properties := userProperties()
	var names []string
	if value == "" {
		for name, standard := range properties {
			if standard {
				names = append(names, name)
			}
		}
		return names, nil
	}
	for _, asked := range strings.Split(value, ",") {
		asked = strings.TrimSpace(asked)
		name, ok := canonical(properties, asked)
		if !ok {
			return nil, badRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.user'.", asked)
		}
		names = append(names, name)
	}
	return names, nil
}

func canonical(properties map[string]bool, name string) (string, bool) {
	for p := range properties {
		if strings.EqualFold(p, name) {
			return p, true
		}
	}
	return "", false
}

func (u User) body(names []string) map[string]any {
	b := make(map[string]any, len(names)+1)
	for _, name := range names {
		b[name] = u.property(name)
	}
	return b
}

// checkQuery refuses query options that the double does not have, where
// ignoring them would give a wrong answer.
func checkQuery(q url.Values, allowed ...string) *graphFault {
	has := newSet(allowed...)
	for name := range q {
		if strings.HasPrefix(name, "$") && !has.has(name) {
			return badRequest("The query option '%s' is not supported.", name)
		}
	}
	return nil
}

func (s *Server) listUsers(c *call) (int, any, *graphFault) {
	if f := checkQuery(c.query, "$select", "$top", "$skiptoken", "$filter", "$count"); f != nil {
		return 0, nil, f
	}
	names, f := selection(c.query.Get("$select"))
	if f != nil {
		return 0, nil, f
	}
	size := defaultPageSize
	if top := c.query.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 || n > maxPageSize {
			return 0, nil, &graphFault{http.StatusBadRequest, "Request_UnsupportedQuery", "Invalid page size specified: '" + top + "'. Must be between 1 and 999 inclusive."}
		}
		size = n
	}
	after, f := skipToken(c.query.Get("$skiptoken"))
	if f != nil {
		return 0, nil, f
	}
	matches := func(User) bool { return true }
	if expression := c.query.Get("$filter"); expression != "" {
		var err error
		if matches, err = parseFilter(expression); err != nil {
			return 0, nil, badRequest("Invalid filter clause: %s.", err)
		}
	}
	value := []map[string]any{}
	var next uint64
	s.mu.Lock()
	for _, p := range s.roster {
		if p.ordinal <= after || !matches(p.user) {
			continue
		}
		if len(value) == size {
			next = 1
			break
		}
		value = append(value, p.user.body(names))
		if len(value) == size {
			after = p.ordinal
		}
	}
	s.mu.Unlock()
	body := map[string]any{"@odata.context": s.graph + "/v1.0/$metadata#users", "value": value}
	if next != 0 {
		body["@odata.nextLink"] = s.nextLink("users", c.query, after)
	}
	return http.StatusOK, body, nil
}

// The next page begins after the account that the token names by its place in
// the directory, which no removal changes.
func skipToken(value string) (uint64, *graphFault) {
	if value == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(string(raw), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, &graphFault{http.StatusBadRequest, "Directory_ExpiredPageToken", "The specified page token value has expired and can no longer be included in your request."}
}

func (s *Server) nextLink(path string, q url.Values, after uint64) string {
	next := url.Values{}
	for name, values := range q {
		next[name] = values
	}
	next.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(after, 10))))
	return s.graph + "/v1.0/" + path + "?" + next.Encode()
}

func (s *Server) getUser(c *call) (int, any, *graphFault) {
	if f := checkQuery(c.query, "$select"); f != nil {
		return 0, nil, f
	}
	names, f := selection(c.query.Get("$select"))
	if f != nil {
		return 0, nil, f
	}
	s.mu.Lock()
	p := s.personLocked(c.id)
	if p == nil {
		p = s.names[strings.ToLower(c.id)]
	}
	var u User
	if p != nil {
		u = p.user
	}
	s.mu.Unlock()
	if p == nil {
		return 0, nil, notFound(c.id)
	}
	body := u.body(names)
	body["@odata.context"] = s.graph + "/v1.0/$metadata#users/$entity"
	return http.StatusOK, body, nil
}
