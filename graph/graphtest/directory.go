package graphtest

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// User is one account of the tenant.
type User struct {
	// ID is the object id, a GUID. Default: a new one.
	ID string
	// PrincipalName is the userPrincipalName. Default: the id at the tenant's domain.
	PrincipalName string
	// Mail is the mail attribute. Default: none, an account without a mailbox.
	Mail string
	// Name is the displayName. Default: the principal name.
	Name string
	// Disabled clears accountEnabled: nobody signs in as this user.
	Disabled bool
	// SignInRefusal is an AADSTS code with which Entra refuses the account's
	// sign-ins and refresh tokens, such as 50076 (a second factor is required)
	// or 53003 (conditional access). Default: none.
	SignInRefusal int
	// Password is asked for by the sign-in page. Default: any password will do.
	Password presence.Secret
	// GlobalAdministrator gives the user the directory role, with which it may
	// consent for the tenant.
	GlobalAdministrator bool
	// WithoutTeams is an account without a Teams license: its presence is
	// PresenceUnknown in a bulk read and not found otherwise.
	WithoutTeams bool
}

// Secret is one client secret of an application.
type Secret struct {
	// Value is what the client presents. Default: a random value.
	Value presence.Secret
	// Description is the displayName of the password credential.
	Description string
	// Start and End bound the secret's life. Default: two years from now.
	Start, End time.Time
	// KeyID is the credential's id, a GUID. Default: a new one.
	KeyID string
}

// Application is one app registration with its service principal.
type Application struct {
	// ClientID is the application id, a GUID. Default: a new one.
	ClientID string
	// Name is the displayName. Default: "presencebridge".
	Name string
	// Secrets are the client secrets. Default: one with a random value, unless
	// there are Certificates.
	Secrets []Secret
	// Certificates are those whose keys may sign client assertions.
	Certificates []*x509.Certificate
	// ApplicationPermissions are the app roles that are granted, once there is
	// consent. Default, for nil: those of Mitel's administration guide. An empty
	// slice is none.
	ApplicationPermissions []string
	// DelegatedPermissions are the scopes that are granted, once there is consent.
	// Default, for nil: those of Mitel's administration guide. An empty slice is
	// none.
	DelegatedPermissions []string
	// DeclaredApplicationPermissions and DeclaredDelegatedPermissions are those
	// that the registration asks for (requiredResourceAccess), and that an
	// administrator's consent grants; at Entra too they may differ from what is
	// granted, either way. Default, for nil: what is granted.
	DeclaredApplicationPermissions, DeclaredDelegatedPermissions []string
	// TokenRoles are the app roles that later app-only tokens carry, whatever is
	// granted: Entra may take minutes until a token has what was granted last, or
	// loses what was withdrawn. Default, for nil: ApplicationPermissions.
	TokenRoles []string
	// RedirectURIs are the reply addresses of the platform Web, for clients with
	// a secret. As at Entra, the port of a loopback address is not compared.
	// Default, for nil: Mitel's three, and /callback on http://localhost and
	// http://127.0.0.1.
	RedirectURIs []string
	// SPARedirectURIs are those of single-page applications. A sign-in that leads
	// to one succeeds, but to redeem its code then fails with AADSTS9002327.
	// Default: none.
	SPARedirectURIs []string
	// PublicClientRedirectURIs are those of clients without a secret. A sign-in
	// that leads to one succeeds, but to redeem its code with a secret then fails
	// with AADSTS700025. Default: none.
	PublicClientRedirectURIs []string
	// ConsentPending means that no administrator has consented yet: app-only
	// tokens carry no roles, and signing in fails with AADSTS65001.
	ConsentPending bool
	// Disabled makes every token request fail with AADSTS7000112.
	Disabled bool
}

// application is an Application with what the directory adds.
type application struct {
	Application
	objectID           string
	servicePrincipalID string
	assignmentIDs      map[string]string // by app role id
	withdrawn          map[string]set    // scopes by user id in lower case; never changed, but replaced
}

var (
	errNoUser        = errors.New("graphtest: no such user: add it with AddUser first")
	errNoApplication = errors.New("graphtest: no such application: add it with AddApplication first")
)

// AddUser adds an account and returns it with its defaults filled in. An
// account with the same id is replaced and keeps its presence; to change some
// of it, see [Server.UpdateUser].
func (s *Server) AddUser(u User) User {
	if u.ID == "" {
		u.ID = newGUID()
	}
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putUserLocked(u, time.Now())
}

// putUserLocked adds or replaces an account and returns it with its defaults.
func (s *Server) putUserLocked(u User, now time.Time) User {
	if u.PrincipalName == "" {
		u.PrincipalName = u.ID + "@" + s.domain
	}
	if u.Name == "" {
		u.Name = u.PrincipalName
	}
	key := strings.ToLower(u.ID)
	p := s.people[key]
	if p == nil {
		s.ordinal++
		p = newPerson(s.ordinal, now)
		s.people[key] = p
		s.roster = append(s.roster, p)
	} else {
		delete(s.names, strings.ToLower(p.user.PrincipalName))
	}
	p.user = u
	s.names[strings.ToLower(u.PrincipalName)] = p
	if p.versions != nil {
		// Losing or getting Teams changes what shows.
		s.commitLocked(p, now, CauseClient, "")
		return u
	}
	first := s.computeLocked(p, now)
	first.SequenceNumber = s.nextSequenceLocked()
	p.versions = []version{{visible: now, presence: first}}
	return u
}

// RemoveUser removes an account with its sessions and the subscriptions it
// created; its refresh tokens fail with AADSTS50034 from then on. It does
// nothing when there is no such account.
func (s *Server) RemoveUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.personLocked(id)
	if p == nil {
		return
	}
	p.stopTimer()
	delete(s.people, strings.ToLower(p.user.ID))
	delete(s.names, strings.ToLower(p.user.PrincipalName))
	s.roster = slices.DeleteFunc(s.roster, func(q *person) bool { return q == p })
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.userID, id) {
			s.removeSubscriptionLocked(sub)
		}
	}
}

// Users returns the accounts in the order in which they were added.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, len(s.roster))
	for i, p := range s.roster {
		users[i] = p.user
	}
	return users
}

// personLocked finds a user by object id; nil if there is none.
func (s *Server) personLocked(id string) *person {
	if p := s.people[id]; p != nil {
		return p
	}
	return s.people[strings.ToLower(id)]
}

// AddApplication registers an application and returns it with its defaults
// filled in. One with the same client id is replaced; to change some of it, see
// [Server.UpdateApplication].
func (s *Server) AddApplication(a Application) Application {
	if a.ClientID == "" {
		a.ClientID = newGUID()
	}
	if len(a.Secrets) == 0 && len(a.Certificates) == 0 {
		a.Secrets = []Secret{{Description: cmp.Or(a.Name, defaultApplicationName)}}
	}
	a = a.withDefaults(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(a.ClientID)
	registered := s.applications[key]
	if registered == nil {
		registered = &application{objectID: newGUID(), servicePrincipalID: newGUID(), assignmentIDs: make(map[string]string)}
		s.applications[key] = registered
	}
	registered.Application, registered.withdrawn = a, nil
	return a
}

const defaultApplicationName = "presencebridge"

// withDefaults returns a copy of an application with every default but that of
// the secrets.
func (a Application) withDefaults(now time.Time) Application {
	a.Name = cmp.Or(a.Name, defaultApplicationName)
	a.Secrets = slices.Clone(a.Secrets)
	for i := range a.Secrets {
		a.Secrets[i] = a.Secrets[i].withDefaults(now)
	}
	if a.ApplicationPermissions == nil {
		a.ApplicationPermissions = defaultApplicationPermissions()
	}
	if a.DelegatedPermissions == nil {
		a.DelegatedPermissions = defaultDelegatedPermissions()
	}
	if a.RedirectURIs == nil {
		for _, region := range []string{"us", "eu", "ap"} {
			a.RedirectURIs = append(a.RedirectURIs, "https://workflow."+region+".api.mitel.io/2017-09-01/integrations/microsoft/sso")
		}
		a.RedirectURIs = append(a.RedirectURIs, "http://localhost/callback", "http://127.0.0.1/callback")
	}
	return a
}

func (c Secret) withDefaults(now time.Time) Secret {
	if c.Value.IsZero() {
		c.Value = presence.NewSecret(newToken(30))
	}
	if c.Start.IsZero() {
		c.Start = now
	}
	if c.End.IsZero() {
		c.End = c.Start.AddDate(2, 0, 0)
	}
	if c.KeyID == "" {
		c.KeyID = newGUID()
	}
	return c
}

// editApplication changes a registered application under the lock.
func (s *Server) editApplication(clientID string, edit func(*application) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.applications[strings.ToLower(clientID)]
	if a == nil {
		return errNoApplication
	}
	return edit(a)
}

// AddSecret gives an application one more client secret, and returns it with
// its defaults filled in.
func (s *Server) AddSecret(clientID string, c Secret) (Secret, error) {
	c = c.withDefaults(time.Now())
	return c, s.editApplication(clientID, func(a *application) error {
		a.Secrets = append(slices.Clone(a.Secrets), c)
		return nil
	})
}

// ExpireSecret lets a client secret end now. The next token request with it
// fails with AADSTS7000222.
func (s *Server) ExpireSecret(clientID string, value presence.Secret) error {
	return s.editApplication(clientID, func(a *application) error {
		i := slices.IndexFunc(a.Secrets, func(c Secret) bool { return c.Value.Equal(value) })
		if i < 0 {
			return fmt.Errorf("graphtest: application %s has no such secret", clientID)
		}
		a.Secrets = slices.Clone(a.Secrets)
		a.Secrets[i].End = time.Now()
		return nil
	})
}

// SetConsent gives or withdraws the administrator's consent. To give it grants
// whatever the registration declares, beside what was granted before.
func (s *Server) SetConsent(clientID string, given bool) error {
	return s.editApplication(clientID, func(a *application) error {
		if given {
			a.consent()
		} else {
			a.ConsentPending = true
		}
		return nil
	})
}

// Applications returns the registered applications, ordered by client id.
func (s *Server) Applications() []Application {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Application, 0, len(s.applications))
	for _, key := range slices.Sorted(maps.Keys(s.applications)) {
		list = append(list, s.applications[key].Application)
	}
	return list
}
