package presence

import "strings"

// PBX is a kind of Mitel telephone system.
type PBX string

// The telephone systems that CloudLink's Teams integration knows.
const (
	MiVoiceBusiness  PBX = "MiVoice Business"
	MXONE            PBX = "MX-ONE"
	MiVoice5000      PBX = "MiVoice 5000"
	MiVoiceOffice400 PBX = "MiVoice Office 400"
)

var pbxs = []PBX{MiVoiceBusiness, MXONE, MiVoice5000, MiVoiceOffice400}

// ParsePBX returns the documented spelling of s, whatever its case; a name that
// is not documented is returned as it is.
func ParsePBX(s string) PBX { return parseWord(strings.TrimSpace(s), pbxs) }

// Capability says which directions a telephone system supports.
type Capability struct {
	// LineToTeams: the line state can be shown in Microsoft Teams.
	LineToTeams bool `json:"lineToTeams"`
	// TeamsToMiCollab: the Teams presence can be shown in MiCollab.
	TeamsToMiCollab bool `json:"teamsToMiCollab"`
}

// Capabilities tells for each telephone system what it supports. A system that
// it does not list supports nothing.
type Capabilities map[PBX]Capability

// DefaultCapabilities returns the table of Mitel's administration guide: every
// system shows its line state in Teams, and only MiVoice Business takes Teams
// presence. Newer editions of the guide add MX-ONE and MiVoice 5000 to the
// latter: see [ExtendedCapabilities].
func DefaultCapabilities() Capabilities {
	return Capabilities{
		MiVoiceBusiness:  {LineToTeams: true, TeamsToMiCollab: true},
		MXONE:            {LineToTeams: true},
		MiVoice5000:      {LineToTeams: true},
		MiVoiceOffice400: {LineToTeams: true},
	}
}

// ExtendedCapabilities returns the table of the newest edition of Mitel's
// Microsoft Teams solution guide, where MX-ONE and MiVoice 5000 take Teams
// presence too.
func ExtendedCapabilities() Capabilities {
	c := DefaultCapabilities()
	c[MXONE] = Capability{LineToTeams: true, TeamsToMiCollab: true}
	c[MiVoice5000] = Capability{LineToTeams: true, TeamsToMiCollab: true}
	return c
}
