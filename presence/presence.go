package presence

import "strings"

// Availability is the coarse part of a Microsoft Teams presence, such as Busy.
//
// Microsoft Graph declares it as a plain string, not an enumeration, and its
// own pages disagree on upper and lower case, so compare values that came from
// outside only after [ParseAvailability].
type Availability string

// The availabilities that Microsoft Graph documents for the presence resource
// (learn.microsoft.com/graph/api/resources/presence), and AvailableInactive,
// which its page on presence sessions adds.
const (
	Available           Availability = "Available"
	AvailableIdle       Availability = "AvailableIdle"
	AvailableInactive   Availability = "AvailableInactive"
	Away                Availability = "Away"
	BeRightBack         Availability = "BeRightBack"
	Busy                Availability = "Busy"
	BusyIdle            Availability = "BusyIdle"
	DoNotDisturb        Availability = "DoNotDisturb"
	Offline             Availability = "Offline"
	AvailabilityUnknown Availability = "PresenceUnknown"
)

// Activity is the fine part of a Microsoft Teams presence, such as InACall.
// What is said of [Availability] about case and unknown values holds here too.
type Activity string

// The activities that Microsoft Graph documents, and Focusing, which its page on
// presence states adds.
const (
	ActivityAvailable               Activity = "Available"
	ActivityAway                    Activity = "Away"
	ActivityBeRightBack             Activity = "BeRightBack"
	ActivityBusy                    Activity = "Busy"
	ActivityDoNotDisturb            Activity = "DoNotDisturb"
	ActivityFocusing                Activity = "Focusing"
	ActivityInACall                 Activity = "InACall"
	ActivityInAConferenceCall       Activity = "InAConferenceCall"
	ActivityInactive                Activity = "Inactive"
	ActivityInAMeeting              Activity = "InAMeeting"
	ActivityOffline                 Activity = "Offline"
	ActivityOffWork                 Activity = "OffWork"
	ActivityOutOfOffice             Activity = "OutOfOffice"
	ActivityUnknown                 Activity = "PresenceUnknown"
	ActivityPresenting              Activity = "Presenting"
	ActivityUrgentInterruptionsOnly Activity = "UrgentInterruptionsOnly"
)

var availabilities = []Availability{
	Available, AvailableIdle, AvailableInactive, Away, BeRightBack, Busy, BusyIdle, DoNotDisturb, Offline, AvailabilityUnknown,
}

var activities = []Activity{
	ActivityAvailable, ActivityAway, ActivityBeRightBack, ActivityBusy, ActivityDoNotDisturb, ActivityFocusing, ActivityInACall,
	ActivityInAConferenceCall, ActivityInactive, ActivityInAMeeting, ActivityOffline, ActivityOffWork, ActivityOutOfOffice,
	ActivityUnknown, ActivityPresenting, ActivityUrgentInterruptionsOnly,
}

// Availabilities returns every documented availability, AvailabilityUnknown included.
func Availabilities() []Availability { return append([]Availability(nil), availabilities...) }

// Activities returns every documented activity, ActivityUnknown included.
func Activities() []Activity { return append([]Activity(nil), activities...) }

// ParseAvailability returns the documented spelling of s, whatever its case.
// A value that is not documented is returned as it is, and Known is false for it.
func ParseAvailability(s string) Availability { return parseWord(s, availabilities) }

// ParseActivity returns the documented spelling of s, whatever its case.
// A value that is not documented is returned as it is, and Known is false for it.
func ParseActivity(s string) Activity { return parseWord(s, activities) }

// parseWord returns the word that s means, or s itself.
func parseWord[T ~string](s string, words []T) T {
	if i := indexWord(words, s); i >= 0 {
		return words[i]
	}
	return T(s)
}

// indexWord returns the place of s among words, whatever its case, or -1. It
// looks for the exact spelling first, because real payloads use it and because
// string comparison is much cheaper than folding.
func indexWord[T ~string](words []T, s string) int {
	for i, w := range words {
		if string(w) == s {
			return i
		}
	}
	for i, w := range words {
		if len(w) == len(s) && strings.EqualFold(string(w), s) {
			return i
		}
	}
	return -1
}

// wordAt returns the word that s means, or the empty word.
func wordAt[T ~string](words []T, s string) T {
	if i := indexWord(words, s); i >= 0 {
		return words[i]
	}
	return ""
}

// Known reports whether a is documented and says something about a person:
// false for AvailabilityUnknown, for the empty value and for anything else.
func (a Availability) Known() bool {
	return a != AvailabilityUnknown && contains(availabilities, a)
}

// Known reports whether a is documented and says something about a person:
// false for ActivityUnknown, for the empty value and for anything else.
func (a Activity) Known() bool {
	return a != ActivityUnknown && contains(activities, a)
}

func contains[T comparable](words []T, word T) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// Family groups the availabilities that a person would call the same state.
//
// Microsoft Graph may report a session that was set as Busy/InACall as
// Busy/Busy, as BusyIdle, or with the activity of another session of the same
// weight; the family is what survives. Availabilities that are not documented
// are a family of their own each, so they never match one that is.
func (a Availability) Family() Availability {
	switch a {
	case AvailableIdle, AvailableInactive:
		return Available
	case BusyIdle:
		return Busy
	default:
		return a
	}
}

// Presence is what Microsoft Teams shows for one person at one moment.
type Presence struct {
	// UserID is the Entra object id of the person.
	UserID string `json:"userId"`
	// Availability is the coarse state.
	Availability Availability `json:"availability"`
	// Activity is the fine state.
	Activity Activity `json:"activity"`
	// OutOfOffice is outOfOfficeSettings.isOutOfOffice: an automatic reply is
	// on. National clouds do not report it; it is false there.
	OutOfOffice bool `json:"outOfOffice"`
	// SequenceNumber orders the versions of one person's presence: a string to
	// be compared lexicographically. Empty where the service does not send it
	// (notifications, national clouds).
	SequenceNumber string `json:"sequenceNumber,omitempty"`
}

// Known reports whether the presence says something that may be acted on: its
// availability is documented and is not PresenceUnknown.
func (p Presence) Known() bool { return p.Availability.Known() }

// SameState reports whether two presences show the same to a person: identity
// and sequence number are not compared.
func (p Presence) SameState(q Presence) bool {
	return p.Availability == q.Availability && p.Activity == q.Activity && p.OutOfOffice == q.OutOfOffice
}

// String returns "Availability/Activity", and ", out of office" where it is set.
func (p Presence) String() string {
	s := string(p.Availability) + "/" + string(p.Activity)
	if p.OutOfOffice {
		s += ", out of office"
	}
	return s
}
