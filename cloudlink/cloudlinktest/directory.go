package cloudlinktest

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// The roles of users and clients (developer forum, "service token").
const (
	RoleUser         = "USER"
	RoleAccountAdmin = "ACCOUNT_ADMIN"
	RolePartnerAdmin = "PARTNER_ADMIN"
)

// User is a person of the account. The zero value of each field is its default.
type User struct {
	// ID is the userId. Default: a new GUID.
	ID string
	// PrincipalID is what presence and calls name the person by. Default: ID.
	PrincipalID string
	// UniqueID is the uniqueUserId. Default: a new GUID.
	UniqueID string
	// Name is the display name.
	Name string
	// Email is the address, which the password grant takes as user name. Empty:
	// the person has none.
	Email string
	// Password lets the person sign in. Empty: nobody can.
	Password string
	// Extension is the person's telephone number; [Server.AddUser] adds an
	// endpoint of this id. Empty: the person has none.
	Extension string
	// Mobile and Phone are further numbers.
	Mobile, Phone string
	// SiteID names the site, and with it the telephone system.
	SiteID string
	// Role is one of the roles. Default: [RoleUser].
	Role string
	// Source says where the account got the person from. Default: "CloudLink".
	Source string
	// SIPPassword is returned by every read of the user, as CloudLink does: a
	// value to look for in places where it must not turn up. Default: a new one.
	SIPPassword string

	created time.Time
}

// client is an application's own identity.
type client struct {
	id, secret, role, name string
	created                time.Time
}

// AddUser adds a person, and an endpoint if there is an Extension, and returns
// the person with what was filled in. A person with the same ID is replaced, and
// keeps presence and endpoints; to change some of it, see [Server.UpdateUser]. It
// panics if another person has the principal id or, but for
// [Assumptions].SharedEmails, the e-mail address: that is a fault of the test.
func (s *Server) AddUser(user User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putUser(user, time.Now())
}

// putUser adds or replaces a person. The caller holds the lock.
func (s *Server) putUser(user User, created time.Time) User {
	orDefault(&user.ID, newGUID())
	orDefault(&user.PrincipalID, user.ID)
	orDefault(&user.UniqueID, newGUID())
	orDefault(&user.Role, RoleUser)
	orDefault(&user.Source, "CloudLink")
	orDefault(&user.SIPPassword, rand.Text())
	user.created = created

	p, email := s.presentities[user.PrincipalID], presence.NormalizeEmail(user.Email)
	holder := s.emails[email]
	if taken := holder != "" && holder != user.ID && !s.assumed.SharedEmails; taken || (p != nil && p.userID != user.ID) {
		panic(fmt.Sprintf("cloudlinktest: another user than %s has the same principal id or e-mail address", user.ID))
	}
	if before := s.users[user.ID]; before == nil {
		s.userIDs = append(s.userIDs, user.ID)
	} else {
		s.releaseEmail(before)
		if before.PrincipalID != user.PrincipalID {
			delete(s.presentities, before.PrincipalID)
		}
	}
	stored := user
	s.users[user.ID] = &stored
	if email != "" && s.emails[email] == "" {
		s.emails[email] = user.ID
	}
	if p == nil {
		s.presentities[user.PrincipalID] = &presentity{userID: user.ID, status: s.assumed.InitialStatus, modified: user.created}
	}
	if user.Extension != "" {
		s.addEndpoint(user.Extension, user.ID)
	}
	return user
}

// RemoveUser removes a person with endpoints, presence, tokens and subscriptions.
func (s *Server) RemoveUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.users[id]
	if user == nil {
		return
	}
	delete(s.users, id)
	s.releaseEmail(user)
	s.userIDs = slices.DeleteFunc(s.userIDs, func(other string) bool { return other == id })
	delete(s.presentities, user.PrincipalID)
	for endpointID, e := range s.endpoints {
		if e.userID == id {
			delete(s.endpoints, endpointID)
		}
	}
	s.removeTokens(func(of session) bool { return of.userID == id })
	for subscriptionID, sub := range s.subscriptions {
		if sub.owner == user.PrincipalID {
			s.removeSubscription(subscriptionID)
		}
	}
}

// Users returns the people, in the order in which they were added.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.userIDs))
	for _, id := range s.userIDs {
		users = append(users, *s.users[id])
	}
	return users
}

// AddClient adds an application's own identity, for the client credentials
// grant, and for the authorization code grant, which needs no secret. An empty
// role is [RoleAccountAdmin]. A client with the same id is replaced: so its secret
// and its role can be changed, the latter for the tokens it gets from then on.
func (s *Server) AddClient(clientID, secret, role string) {
	orDefault(&role, RoleAccountAdmin)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[clientID] = &client{id: clientID, secret: secret, role: role, name: clientID, created: time.Now()}
}

// AddEndpoint adds a telephone, idle, for a person; an empty userID for none. A
// telephone with the same id only changes hands.
func (s *Server) AddEndpoint(endpointID, userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addEndpoint(endpointID, userID)
}

func (s *Server) addEndpoint(endpointID, userID string) {
	if e := s.endpoints[endpointID]; e != nil {
		e.userID = userID
		return
	}
	s.endpoints[endpointID] = &endpoint{id: endpointID, userID: userID, state: presence.LineIdle, availability: "available"}
}
