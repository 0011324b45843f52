package graphtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// UpdateUser changes an account: disables it, takes its mail, makes it a global
// administrator. edit gets the account as it is, must not use the server, and
// cannot change the id; what it empties gets its default, as with
// [Server.AddUser]. The account keeps its presence, and tokens that were issued
// keep what they say. It fails where there is no such account.
func (s *Server) UpdateUser(id string, edit func(*User)) error {
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.personLocked(id)
	if p == nil {
		return errNoUser
	}
	u := p.user
	edit(&u)
	u.ID = p.user.ID
	s.putUserLocked(u, time.Now())
	return nil
}

// UpdateApplication changes a registered application: its secrets and their
// ends, its permissions, its redirect URIs, whether it is disabled. edit gets the
// application as it is, must not use the server, and cannot change the client
// id; lists that it sets to nil get their default, as with
// [Server.AddApplication], but for the secrets, which may all go. Tokens that were
// issued keep what they say. It fails where there is no such application.
func (s *Server) UpdateApplication(clientID string, edit func(*Application)) error {
	return s.editApplication(clientID, func(a *application) error {
		// Requests under way read the lists without the lock.
		b := a.Application
		for _, list := range []*[]string{
			&b.ApplicationPermissions, &b.DelegatedPermissions, &b.DeclaredApplicationPermissions, &b.DeclaredDelegatedPermissions,
			&b.TokenRoles, &b.RedirectURIs, &b.SPARedirectURIs, &b.PublicClientRedirectURIs,
		} {
			*list = slices.Clone(*list)
		}
		b.Secrets, b.Certificates = slices.Clone(b.Secrets), slices.Clone(b.Certificates)
		edit(&b)
		b.ClientID = a.ClientID
		a.Application = b.withDefaults(time.Now())
		return nil
	})
}

// WithdrawScopes takes delegated permissions from the later tokens that an
// application gets for one user, as where everybody consents for themselves and
// this one has consented to less. They come back with an administrator's
// consent: [Server.ConsentAs], or [Server.SetConsent]. The list of the
// application's grants still shows those for everybody. Names that were withdrawn
// before and are not among names come back; without names, all do.
func (s *Server) WithdrawScopes(clientID, userID string, names ...string) error {
	for _, name := range names {
		if p, ok := findPermission(name); !ok || p.scopeID == "" {
			return fmt.Errorf("graphtest: %q is no delegated permission", name)
		}
	}
	return s.editApplication(clientID, func(a *application) error {
		if s.personLocked(userID) == nil {
			return errNoUser
		}
		// A copy: requests under way read the one before without the lock.
		withdrawn := maps.Clone(a.withdrawn)
		if withdrawn == nil {
			withdrawn = make(map[string]set)
		}
		withdrawn[strings.ToLower(userID)] = newSet(names...)
		a.withdrawn = withdrawn
		return nil
	})
}

// declared returns what the registration asks for.
func (a *Application) declared() (roles, scopes []string) {
	roles, scopes = a.DeclaredApplicationPermissions, a.DeclaredDelegatedPermissions
	if roles == nil {
		roles = a.ApplicationPermissions
	}
	if scopes == nil {
		scopes = a.DelegatedPermissions
	}
	return roles, scopes
}

// consent gives what an administrator's consent gives: everything that is
// declared, beside what was granted before.
func (a *application) consent() {
	a.ConsentPending, a.withdrawn = false, nil
	roles, scopes := a.declared()
	a.ApplicationPermissions = union(a.ApplicationPermissions, roles)
	a.DelegatedPermissions = union(a.DelegatedPermissions, scopes)
}

func union(names, more []string) []string {
	has, all := newSet(names...), slices.Clone(names)
	for _, name := range more {
		if !has.has(name) {
			all = append(all, name)
		}
	}
	return all
}

// roles are those of a token that is issued now.
func (a *application) roles() []string {
	switch {
	case a.ConsentPending:
		return nil
	case a.TokenRoles != nil:
		return a.TokenRoles
	default:
		return slices.Clone(a.ApplicationPermissions)
	}
}

// platform is where a redirect URI is registered.
type platform int

const (
	platformNone platform = iota
	platformWeb
	platformSPA
	platformPublicClient
)

// platform returns where an address is registered that a request names.
func (a *application) platform(address string) platform {
	for _, one := range []struct {
		registered []string
		platform   platform
	}{{a.RedirectURIs, platformWeb}, {a.SPARedirectURIs, platformSPA}, {a.PublicClientRedirectURIs, platformPublicClient}} {
		if slices.ContainsFunc(one.registered, func(registered string) bool { return sameRedirect(registered, address) }) {
			return one.platform
		}
	}
	return platformNone
}
