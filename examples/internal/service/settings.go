package service

import (
	"crypto"
	"crypto/x509"
	"log/slog"
	"net"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// Settings are everything that a bridge is assembled from. They come from a file,
// see [Load], or from a program that fills them in.
type Settings struct {
	// Listen is the host and port where Microsoft Graph and CloudLink are served.
	// Default: nowhere.
	Listen string
	// PublicURL is how they reach it, without a slash at its end. Default: none,
	// and there are no notifications.
	PublicURL string
	// Status is the host and port where the status page is served. It names people,
	// so it must be an address of this machine alone. Default: nowhere.
	Status string
	// Listener and StatusListener are served in place of Listen and Status, and
	// closed when Run ends. Default: those addresses are opened.
	Listener, StatusListener net.Listener

	// LogLevel is from which level on the program should log. Default: Info.
	LogLevel slog.Level
	// Roots are the authorities whose certificates are trusted. Default: the system's.
	Roots *x509.CertPool

	// Teams is the side of Microsoft. Required.
	Teams TeamsSettings
	// CloudLink is the side of Mitel. Required.
	CloudLink CloudLinkSettings
	// MiCollab is what is known of the server. Default: nil, for a bridge that is
	// one-way for good.
	MiCollab *MiCollabSettings
	// Groups are the mapping groups of a person, by normalized e-mail address.
	// Default: nobody is in any.
	Groups map[string][]string
	// Checks are what the system check goes by and no interface tells. Default:
	// nobody has told.
	Checks CheckSettings
	// Bridge are name, direction, mapping and times. [Assemble] sets Logger and
	// Hooks of a copy, from its [Extras].
	Bridge presencebridge.Options
}

// TeamsSettings say how the bridge reaches Microsoft Entra and Microsoft Graph.
type TeamsSettings struct {
	// Cloud is where they are. Default: [graph.Global].
	Cloud graph.Cloud
	// TenantID is the Directory (tenant) ID or a domain of the tenant, and ClientID
	// the Application (client) ID. Required.
	TenantID, ClientID string
	// Secret is the application's client secret. Required, unless there is a
	// certificate.
	Secret presence.Secret
	// Certificate and Key take the place of Secret. Default: none.
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Pool are the presence monitors. Default: nil, and no notifications of Teams.
	Pool *PoolSettings
}

// PoolSettings are the presence monitors and what keeps them.
type PoolSettings struct {
	// Monitors are those of the configuration. The store may know more. Default: none.
	Monitors []MonitorSettings
	// StoreFile is where the pool keeps what it must not forget. The package does not
	// open it: give [Extras] the store. Default: none.
	StoreFile string
	// StoreKey seals the secrets in the store. Required.
	StoreKey presence.Secret
	// FormerKey opens those that were sealed before. Default: none.
	FormerKey presence.Secret
	// Encrypted: notifications bring the presence itself, encrypted. Default: false.
	Encrypted bool
	// Options are the spares and, for a demonstration, the times. [Assemble] sets
	// Logger, OnEvent and the monitors' encryption in a copy.
	Options monitor.PoolOptions
}

// MonitorSettings are one presence monitor.
type MonitorSettings struct {
	// PrincipalName is the user principal name of the account. Required.
	PrincipalName string
	// ClientSecret is a client secret of the application, for this monitor alone.
	// Required.
	ClientSecret presence.Secret
}

// CloudLinkSettings say how the bridge reaches Mitel CloudLink.
type CloudLinkSettings struct {
	// Region is where the account is. Default: the global platform, which finds it.
	Region cloudlink.Region
	// BaseURL returns where a service is. Default: nil, the region's address.
	BaseURL func(service string) string
	// AccountID is the account whose users are kept in step. Required.
	AccountID string
	// ClientID names the client of the account with which the bridge signs in.
	// Required, unless there is a Username.
	ClientID string
	// Username is the e-mail address of a CloudLink user, where there is no ClientID.
	Username string
	// Secret is the client's secret or the user's password. Required.
	Secret presence.Secret
	// RequestsPerSecond is the most requests in any second. Default: that of
	// package cloudlink.
	RequestsPerSecond float64
	// PBX is the telephone system of whoever is at none of Sites. Default: an unknown
	// one, which takes part in neither direction.
	PBX presence.PBX
	// Sites are the telephone systems of sites, by site id. Default: none.
	Sites map[string]presence.PBX
	// Capabilities are what each telephone system can do. Default:
	// [presence.DefaultCapabilities].
	Capabilities presence.Capabilities
}

// MiCollabSettings are what is known of the MiCollab server. No interface tells it,
// so it is what an administrator has confirmed.
type MiCollabSettings struct {
	// Server are its address, version and switches. Required.
	Server micollab.Server
	// Names are the statuses that the server calls by another name. Default: none.
	Names map[presence.Status]string
}

// Load reads the text of a configuration file; bridge.sample.yaml explains its keys.
// The name of the file begins each mistake, and paths in the file start at its folder.
// Environment variables are looked up by lookup, usually os.LookupEnv.
//
// It returns what is doubtful as warnings, with an error or without. The error joins
// everything that is wrong, each a *[Mistake], in the order of the lines; [Unjoin]
// takes it apart.
func Load(file string, text []byte, lookup func(name string) (string, bool)) (*Settings, []*Mistake, error) {
	doc := &document{file: file, lookup: lookup}
	s := readSettings(doc.root(text))
	if err := doc.err(); err != nil {
		return nil, doc.warnings, err
	}
	return s, doc.warnings, nil
}

// StatusAddress returns the address of the status page in the text of a configuration
// file, without looking at anything else in it: no secret has to be there. It is empty
// if there is none on this machine, or the text is no configuration.
func StatusAddress(text []byte) string {
	top := new(document).root(text)
	if !top.present {
		return ""
	}
	address := top.address("status")
	if host, _, err := net.SplitHostPort(address); err != nil || !loopback(host) {
		return ""
	}
	return address
}
