package presence

import "fmt"

// Session is the availability and activity that the bridge shows in Microsoft
// Teams in a presence session of its own, beside those of the person's Teams
// clients. The zero Session is no session.
type Session struct {
	// Availability is the coarse state.
	Availability Availability `json:"availability"`
	// Activity is the fine state that goes with it.
	Activity Activity `json:"activity"`
}

// Sessions returns the five combinations that an application may set, and no
// others (learn.microsoft.com/graph/api/presence-setpresence).
func Sessions() []Session {
	return []Session{
		{Available, ActivityAvailable},
		{Busy, ActivityInACall},
		{Busy, ActivityInAConferenceCall},
		{Away, ActivityAway},
		{DoNotDisturb, ActivityPresenting},
	}
}

// IsZero reports whether s is no session.
func (s Session) IsZero() bool { return s == Session{} }

// Validate returns nil if an application may set s, otherwise an error that
// names the combinations it may set.
func (s Session) Validate() error {
	if contains(Sessions(), s) {
		return nil
	}
	return fmt.Errorf("presence: %s cannot be set by an application: use one of %v", s, Sessions())
}

// String returns "Availability/Activity", or "none".
func (s Session) String() string {
	if s.IsZero() {
		return "none"
	}
	return string(s.Availability) + "/" + string(s.Activity)
}
