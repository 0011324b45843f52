package cloudlinktest

import "github.com/presencebridge/presencebridge/presence"

// AccountID returns the id of the account: that of [Options], or the last of
// [Server.SetAccountID].
func (s *Server) AccountID() string { return *s.accountID.Load() }

// SetAccountID gives the account another id, as if a client's credentials turned
// out to be those of another account: whoami, tokens and resources name this id,
// and requests for the resources of the one before are refused. Tokens are still
// given to those who ask with the id of [Options], and what was issued stays valid.
func (s *Server) SetAccountID(id string) { s.accountID.Store(&id) }

// SetDomain changes the account's host name, which whoami and later tokens tell
// and which names the region, such as "<accountId>.eu.api.mitel.io". Empty: the
// one at first, of the region us.dev. It has no part in where the double listens.
func (s *Server) SetDomain(domain string) { s.domain.Store(&domain) }

func (s *Server) accountDomain() string {
	if domain := s.domain.Load(); domain != nil && *domain != "" {
		return *domain
	}
	return s.AccountID() + ".us.dev.api.mitel.io"
}

// isAccount accepts the account's ids and its short number.
func (s *Server) isAccount(id string) bool {
	return id == s.AccountID() || id == s.opts.AccountID || id == s.opts.AccountNumber
}

// RemoveClient takes an application's own identity away, and its tokens with it,
// as an administrator does who revokes the credentials.
func (s *Server) RemoveClient(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, clientID)
	s.removeTokens(func(of session) bool { return of.clientID == clientID })
}

// UpdateUser changes a person: the e-mail address, the site, the role. edit gets
// the person as they are, must not use the server, and cannot change the id; the
// rest is as with [Server.AddUser], which also says when this panics. Tokens that
// were issued keep their role. It reports whether there is such a person.
func (s *Server) UpdateUser(id string, edit func(*User)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.users[id]
	if before == nil {
		return false
	}
	user := *before
	edit(&user)
	user.ID = id
	s.putUser(user, before.created)
	return true
}

// removeTokens ends the tokens of some sessions. The caller holds the lock.
func (s *Server) removeTokens(gone func(session) bool) {
	for _, tokens := range []map[string]session{s.accessTokens, s.refreshTokens} {
		for token, of := range tokens {
			if gone(of) {
				delete(tokens, token)
			}
		}
	}
}

// releaseEmail takes an address from a person, for whoever else has it. The
// caller holds the lock.
func (s *Server) releaseEmail(user *User) {
	email := presence.NormalizeEmail(user.Email)
	if s.emails[email] != user.ID {
		return
	}
	delete(s.emails, email)
	if !s.assumed.SharedEmails {
		return
	}
	for _, id := range s.userIDs {
		if other := s.users[id]; id != user.ID && presence.NormalizeEmail(other.Email) == email {
			s.emails[email] = id
			return
		}
	}
}
