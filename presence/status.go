package presence

// Status is a MiCollab status by its display name. With the Microsoft Teams
// integration on, MiCollab shows the Teams statuses by their own names; an
// embedder's mapping may use other names that its MiCollab knows.
//
// The zero Status is no status.
type Status string

// The statuses of the default mapping table.
const (
	StatusAvailable            Status = "Available"
	StatusAvailableOutOfOffice Status = "Available, out of office"
	StatusBusy                 Status = "Busy"
	StatusInACall              Status = "In a call"
	StatusInACallOutOfOffice   Status = "In a call, out of office"
	StatusInAMeeting           Status = "In a meeting"
	StatusDoNotDisturb         Status = "Do not disturb"
	StatusPresenting           Status = "Presenting"
	StatusFocusing             Status = "Focusing"
	StatusAway                 Status = "Away"
	StatusBeRightBack          Status = "Be right back"
	StatusAppearOffline        Status = "Appear offline"
	StatusOffline              Status = "Offline"
	StatusOutOfOffice          Status = "Out of office"
)

var statuses = []Status{
	StatusAvailable, StatusAvailableOutOfOffice, StatusBusy, StatusInACall, StatusInACallOutOfOffice, StatusInAMeeting,
	StatusDoNotDisturb, StatusPresenting, StatusFocusing, StatusAway, StatusBeRightBack, StatusAppearOffline, StatusOffline,
	StatusOutOfOffice,
}

// Statuses returns every status of the default mapping table.
func Statuses() []Status { return append([]Status(nil), statuses...) }

// ParseStatus returns the spelling of the default table for s, whatever its
// case; a name that the table does not have is returned as it is.
func ParseStatus(s string) Status { return parseWord(s, statuses) }
