package simulator

import (
	"maps"
	"slices"
)

// Info is all that a client of the simulator needs, ready for JSON. Its
// credentials are good for this simulator and for nothing else, so they are
// plain strings.
type Info struct {
	// URL is the base URL of everything.
	URL string `json:"url"`
	// Control is the base URL of the control endpoint.
	Control string `json:"control"`
	// CertificateFile holds the certificate of the simulator's authority, as
	// PEM; empty without TLS.
	CertificateFile string        `json:"certificateFile,omitempty"`
	Teams           TeamsInfo     `json:"teams"`
	CloudLink       CloudLinkInfo `json:"cloudLink"`
	People          []PersonInfo  `json:"people"`
}

// TeamsInfo is how to reach Microsoft Entra and Microsoft Graph.
type TeamsInfo struct {
	// LoginURL takes the place of https://login.microsoftonline.com.
	LoginURL string `json:"loginUrl"`
	// GraphURL takes the place of https://graph.microsoft.com.
	GraphURL     string `json:"graphUrl"`
	TenantID     string `json:"tenantId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// RedirectURIs are the reply addresses of the application. The port of a
	// loopback address does not matter.
	RedirectURIs []string `json:"redirectUris"`
	// Monitors are the accounts for presence monitors, and Monitor the first of
	// them, for a client that needs no more.
	Monitor  MonitorInfo   `json:"monitor"`
	Monitors []MonitorInfo `json:"monitors"`
}

// MonitorInfo is an account that holds a presence subscription.
type MonitorInfo struct {
	ID            string `json:"id"`
	PrincipalName string `json:"principalName"`
	Password      string `json:"password"`
	// ClientSecret is the monitor's own secret of the same application.
	ClientSecret string `json:"clientSecret"`
	// RefreshToken saves the sign-in.
	RefreshToken string `json:"refreshToken"`
}

// CloudLinkInfo is how to reach CloudLink.
type CloudLinkInfo struct {
	// BaseURL takes the place of https://{service}.{region}.api.mitel.io when
	// the service's name and version follow it, as in Services.
	BaseURL string `json:"baseUrl"`
	// Services are the base URLs of the services with their version.
	Services  map[string]string `json:"services"`
	AccountID string            `json:"accountId"`
	PartnerID string            `json:"partnerId"`
	// ClientID and ClientSecret are for the client credentials grant.
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// Username and Password are an administrator's, for the password grant.
	Username string `json:"username"`
	Password string `json:"password"`
}

// PersonInfo is one person of the company, or the administrator or the monitor.
type PersonInfo struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	// TeamsID is the Entra object id; empty for a person without an account.
	TeamsID string `json:"teamsId,omitempty"`
	// CloudLinkID is the CloudLink principal id; empty for a person without one.
	CloudLinkID string `json:"cloudLinkId,omitempty"`
	// Extension is the person's telephone; empty for none.
	Extension string `json:"extension,omitempty"`
	// Site is the CloudLink site, which stands for a telephone system.
	Site string `json:"site,omitempty"`
}

// Info returns where everything is and who is there at the start.
func (s *Simulator) Info() Info {
	info := s.info
	info.CloudLink.Services = maps.Clone(info.CloudLink.Services)
	info.Teams.RedirectURIs = slices.Clone(info.Teams.RedirectURIs)
	info.Teams.Monitors = slices.Clone(info.Teams.Monitors)
	info.People = slices.Clone(info.People)
	return info
}
