package micollab

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// The conditions of [Server.Ready]; each comes as a [*ConditionError].
var (
	// ErrVersionTooOld: the server's release does not take Teams presence. It
	// matches [presence.ErrUnsupported] too.
	ErrVersionTooOld = errors.New("MiCollab version too old")
	// ErrVersionMissing: the server's release is not known.
	ErrVersionMissing = errors.New("MiCollab version missing")
	// ErrAddressMissing: the gateway's configuration lacks the MiCollab address.
	ErrAddressMissing = errors.New("MiCollab address missing")
	// ErrAddressInvalid: the address is neither an IP address nor an FQDN.
	ErrAddressInvalid = errors.New("MiCollab address invalid")
	// ErrPasswordMissing: the gateway's configuration lacks the MiCollab password.
	ErrPasswordMissing = errors.New("MiCollab password missing")
	// ErrTeamsIntegrationOff: MiCollab's Microsoft Teams integration is off.
	ErrTeamsIntegrationOff = errors.New("MiCollab's Microsoft Teams integration is off")
	// ErrCloudLinkIntegrationOff: MiCollab's CloudLink integration is off, which
	// turns its Microsoft Teams integration off as well.
	ErrCloudLinkIntegrationOff = errors.New("MiCollab's CloudLink integration is off")
)

// ConditionError is one condition that a server does not meet.
type ConditionError struct {
	// Condition is one of this package's sentinels, such as [ErrVersionTooOld].
	Condition error
	// Reason says what was found.
	Reason string
	// Remedy says what to do.
	Remedy string
}

// Error returns the condition, the reason and the remedy in one line.
func (e *ConditionError) Error() string {
	s := "micollab: " + e.Condition.Error()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s + ": " + e.Remedy
}

// Unwrap returns the condition.
func (e *ConditionError) Unwrap() error { return e.Condition }

// Is adds that a version that is too old is not supported.
func (e *ConditionError) Is(target error) bool {
	return target == presence.ErrUnsupported && e.Condition == ErrVersionTooOld
}

// Server is what is known of a MiCollab server. No published interface tells
// it, so whoever configures the bridge does.
type Server struct {
	// Address is the IP address or FQDN of MiCollab in the gateway's
	// configuration. It must resolve to MiCollab's LAN interface, as seen from
	// the gateway; whether it does cannot be seen from here.
	Address string
	// Version is the server's release.
	Version Version
	// TeamsIntegration: "MS Teams Configuration Settings" of the MiCollab Client
	// Service are on.
	TeamsIntegration bool
	// CloudLinkIntegration: MiCollab's CloudLink integration is on. Turning it
	// off also disables the Teams integration (MiCollab 9.8 help, "CloudLink
	// integration").
	CloudLinkIntegration bool
	// PasswordSet: the gateway's configuration has the MiCollab password. The
	// password itself is of no use here.
	PasswordSet bool
}

// Ready returns nil if the server meets every condition for taking Microsoft
// Teams presence, and otherwise one [*ConditionError] for each that it does not
// meet, joined.
func (s Server) Ready() error {
	var faults []error
	add := func(condition error, reason, remedy string) {
		faults = append(faults, &ConditionError{Condition: condition, Reason: reason, Remedy: remedy})
	}
	switch address := strings.TrimSpace(s.Address); {
	case address == "":
		add(ErrAddressMissing, "", "enter MiCollab's IP address or FQDN in the CloudLink gateway's configuration, and as Server.Address")
	case !validAddress(address):
		add(ErrAddressInvalid, fmt.Sprintf("%q is neither an IP address nor an FQDN", shorten(address)),
			"give the bare address that resolves to MiCollab's LAN interface, without scheme, port or path")
	}
	switch {
	case s.Version.IsZero():
		add(ErrVersionMissing, "", fmt.Sprintf("give the release as Server.Version; Teams presence needs %s or later", Minimum()))
	case s.Version.Compare(Minimum()) < 0:
		add(ErrVersionTooOld, fmt.Sprintf("this server is %s, and Teams presence came with %s", s.Version, Minimum()),
			fmt.Sprintf("upgrade MiCollab to %s or later", Minimum()))
	}
	if !s.CloudLinkIntegration {
		add(ErrCloudLinkIntegrationOff, "", "turn on the CloudLink integration in MiCollab's administration")
	}
	if !s.TeamsIntegration {
		add(ErrTeamsIntegrationOff, "", `turn on "MS Teams Configuration Settings" in the MiCollab Client Service's administration`)
	}
	if !s.PasswordSet {
		add(ErrPasswordMissing, "", "enter the MiCollab password in the CloudLink gateway's configuration, and set Server.PasswordSet")
	}
	return errors.Join(faults...)
}

var labelForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// validAddress takes an IP address or a name of at least two labels.
func validAddress(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return !ip.IsUnspecified()
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(labels) < 2 || len(s) > 253 {
		return false
	}
	for _, label := range labels {
		if !labelForm.MatchString(label) {
			return false
		}
	}
	// A last label of digits only is a mistyped IPv4 address (RFC 1123, 2.1).
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
