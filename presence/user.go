package presence

import "strings"

// User is one person that exists on both sides.
type User struct {
	// TeamsID is the person's Entra object id. It is the user's key: no two
	// users of one bridge share it.
	TeamsID string `json:"teamsId"`
	// PrincipalID is the person's CloudLink principal id.
	PrincipalID string `json:"principalId"`
	// Email is the address that both sides were matched by, in lower case.
	Email string `json:"email"`
	// Name is for people to read.
	Name string `json:"name,omitempty"`
	// Endpoints are the ids of the person's telephones: their extensions.
	Endpoints []string `json:"endpoints,omitempty"`
	// PBX is the kind of telephone system the person's telephones belong to.
	PBX PBX `json:"pbx"`
	// Groups are the names of the mapping groups the person belongs to, the
	// one that decides first coming first.
	Groups []string `json:"groups,omitempty"`
}

// TeamsUser is one account of Microsoft Entra, as far as matching needs it.
type TeamsUser struct {
	// ID is the object id.
	ID string `json:"id"`
	// PrincipalName is the userPrincipalName.
	PrincipalName string `json:"principalName"`
	// Mail is the mail attribute; empty where the account has no mailbox.
	Mail string `json:"mail,omitempty"`
	// Name is the display name.
	Name string `json:"name,omitempty"`
	// Enabled is accountEnabled.
	Enabled bool `json:"enabled"`
}

// Principal is one user of a CloudLink account, as far as matching needs it.
type Principal struct {
	// ID is the principal id. CloudLink's user id where it gives no other.
	ID string `json:"id"`
	// Email is the address, which must equal the Entra user principal name or
	// mail of the same person.
	Email string `json:"email"`
	// Name is the display name.
	Name string `json:"name,omitempty"`
	// Endpoints are the ids of the person's telephones.
	Endpoints []string `json:"endpoints,omitempty"`
	// SiteID names the site, and with it the telephone system.
	SiteID string `json:"siteId,omitempty"`
}

// NormalizeEmail returns the form in which addresses are compared: without
// surrounding space and in lower case.
func NormalizeEmail(address string) string { return strings.ToLower(strings.TrimSpace(address)) }
