package cloudlinktest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// forbidden is the refusal of a role that does not suffice.
func forbidden() *answer {
	refusal := refuse(http.StatusForbidden, "the role of this token does not allow this")
	return &refusal
}

// inAccount refuses a request for an account that is not the token's. A partner
// sees that there is no such account; others are told nothing.
func (s *Server) inAccount(c *call) *answer {
	id := c.value("accountID")
	if id == "" || id == s.AccountID() {
		return nil
	}
	if c.session.role != RolePartnerAdmin {
		return forbidden()
	}
	refusal := refuse(http.StatusNotFound, "there is no such account")
	return &refusal
}

// wholeHours rounds up: the account's settings have no finer unit.
func wholeHours(d time.Duration) int { return int((d + time.Hour - 1) / time.Hour) }

func (s *Server) account(c *call) map[string]any {
	return map[string]any{
		"accountId": s.AccountID(), "accountNumber": s.opts.AccountNumber, "name": s.opts.AccountName,
		"partnerId":               s.opts.PartnerID,
		"accessTokenExpiryHours":  wholeHours(s.opts.TokenLifetime),
		"refreshTokenExpiryHours": wholeHours(s.opts.RefreshLifetime),
		"_links":                  map[string]link{"self": s.href(c, "/accounts/"+s.AccountID())},
	}
}

// getAccounts is GET /accounts.
func (s *Server) getAccounts(c *call) answer {
	if refusal := c.accepts("$top", "$skip"); refusal != nil {
		return *refusal
	}
	return collection(s, c, []string{s.AccountID()}, func(string) map[string]any { return s.account(c) })
}

// getAccount is GET /accounts/{accountId}.
func (s *Server) getAccount(c *call) answer {
	if refusal := s.inAccount(c); refusal != nil {
		return *refusal
	}
	return ok(s.account(c))
}

// resource is the user as the Admin API shows it, sipPassword included.
func (s *Server) resource(c *call, u *User) map[string]any {
	created := stamp(u.created)
	r := map[string]any{
		"userId": u.ID, "uniqueUserId": u.UniqueID, "accountId": s.AccountID(),
		"name": u.Name, "displayName": u.Name,
		"email": u.Email, "emailValid": u.Email != "", "emailVerified": u.Email != "",
		"role": u.Role, "extension": u.Extension, "extensionVerified": u.Extension != "",
		"mobile": u.Mobile, "mobileVerified": false, "phone": u.Phone, "phoneVerified": false,
		"sipAddress": s.sipAddress(u), "sipPassword": u.SIPPassword,
		"siteId": u.SiteID, "source": u.Source, "userVerified": true, "photoUrl": "",
		"createdBy": "admin", "createdOn": created, "modifiedBy": "admin", "modifiedOn": created,
		"_links": map[string]link{"self": s.href(c, "/accounts/"+s.AccountID()+"/users/"+url.PathEscape(u.ID))},
	}
	if s.assumed.PrincipalIDInUsers {
		r["principalId"] = u.PrincipalID
	}
	return r
}

// getUsers is GET /accounts/{accountId}/users and GET /users.
func (s *Server) getUsers(c *call) answer {
	if refusal := s.inAccount(c); refusal != nil {
		return *refusal
	}
	if !c.session.admin() {
		return *forbidden()
	}
	if refusal := c.accepts("$top", "$skip", "$filter"); refusal != nil {
		return *refusal
	}
	matches, err := parseFilter(c.request.URL.Query().Get("$filter"))
	if err != nil {
		return refuse(http.StatusBadRequest, "$filter: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.userIDs
	if matches != nil {
		found = nil
		for _, id := range s.userIDs {
			match, err := matches(s.resource(c, s.users[id]))
			if err != nil {
				return refuse(http.StatusBadRequest, "$filter: %v", err)
			}
			if match {
				found = append(found, id)
			}
		}
	}
	return collection(s, c, found, func(id string) map[string]any { return s.resource(c, s.users[id]) })
}

// getUser is GET /accounts/{accountId}/users/{userId} and GET /users/{userId}.
func (s *Server) getUser(c *call) answer {
	if refusal := s.inAccount(c); refusal != nil {
		return *refusal
	}
	id := c.value("userID")
	if !c.session.admin() && id != c.session.userID {
		return *forbidden()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.users[id]
	if user == nil {
		return refuse(http.StatusNotFound, "there is no such user")
	}
	return ok(s.resource(c, user))
}

func (s *Server) clientResource(found *client) map[string]any {
	return map[string]any{
		"clientId": found.id, "accountId": s.AccountID(), "name": found.name, "role": found.role, "type": "APP",
		"createdOn": stamp(found.created),
	}
}

// getClients is GET /accounts/{accountId}/clients. It never tells a secret.
func (s *Server) getClients(c *call) answer {
	if refusal := s.inAccount(c); refusal != nil {
		return *refusal
	}
	if !c.session.admin() {
		return *forbidden()
	}
	if refusal := c.accepts("$top", "$skip"); refusal != nil {
		return *refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.clients))
	for id := range s.clients {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return collection(s, c, ids, func(id string) map[string]any { return s.clientResource(s.clients[id]) })
}

// postClient is POST /accounts/{accountId}/clients. Its answer is the only place
// that tells the secret.
func (s *Server) postClient(c *call) answer {
	if refusal := s.inAccount(c); refusal != nil {
		return *refusal
	}
	if !c.session.admin() {
		return *forbidden()
	}
	var body struct{ ClientID, Name, Role, Type string }
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	switch {
	case body.Type != "APP":
		return refuse(http.StatusBadRequest, "type must be APP")
	case body.Role == RolePartnerAdmin && c.session.role != RolePartnerAdmin:
		return *forbidden()
	case body.Role != RoleUser && body.Role != RoleAccountAdmin && body.Role != RolePartnerAdmin:
		return refuse(http.StatusBadRequest, "role must be USER, ACCOUNT_ADMIN or PARTNER_ADMIN")
	}
	orDefault(&body.ClientID, newGUID())
	orDefault(&body.Name, body.ClientID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[body.ClientID] != nil {
		return refuse(http.StatusConflict, "there is a client with this clientId")
	}
	made := &client{id: body.ClientID, secret: rand.Text(), role: body.Role, name: body.Name, created: time.Now()}
	s.clients[made.id] = made
	r := s.clientResource(made)
	r["clientSecret"] = made.secret
	return answer{http.StatusCreated, r}
}
