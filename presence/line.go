package presence

// LineState is the state of one telephone endpoint, in the words of the
// CloudLink media API.
type LineState string

// The line states that the CloudLink media API documents for an endpoint.
const (
	LineUnknown      LineState = "unknown"
	LineIdle         LineState = "idle"
	LineRinging      LineState = "ringing"
	LineConnected    LineState = "connected"
	LineHeld         LineState = "held"
	LineOutOfService LineState = "outOfService"
)

var lineStates = []LineState{LineUnknown, LineOutOfService, LineIdle, LineRinging, LineHeld, LineConnected}

// LineStates returns every documented line state, LineUnknown included, the
// weakest first.
func LineStates() []LineState { return append([]LineState(nil), lineStates...) }

// ParseLineState returns the documented spelling of s, whatever its case. A
// value that is not documented is returned as it is, and Known is false for it.
func ParseLineState(s string) LineState { return parseWord(s, lineStates) }

// Known reports whether s is documented and says something about the endpoint:
// false for LineUnknown and for anything not documented.
func (s LineState) Known() bool { return s != LineUnknown && contains(lineStates, s) }

// strength orders states by what a person should be seen to do; a state that
// is not documented is as weak as LineUnknown.
func (s LineState) strength() int {
	switch s {
	case LineConnected, LineHeld:
		return 4
	case LineRinging:
		return 3
	case LineIdle:
		return 2
	case LineOutOfService:
		return 1
	default:
		return 0
	}
}

// Line is what one endpoint shows, or, as a result of [Strongest], what all of
// a person's endpoints show together.
type Line struct {
	// Endpoint is the endpoint's id: its extension, such as "2001".
	Endpoint string `json:"endpoint"`
	// State is the call state.
	State LineState `json:"state"`
	// DoNotDisturb is the endpoint's do-not-disturb flag, which is independent
	// of the call state.
	DoNotDisturb bool `json:"doNotDisturb"`
}

// Known reports whether the line says something that may be acted on.
func (l Line) Known() bool { return l.DoNotDisturb || l.State.Known() }

// SameState reports whether two lines show the same; their endpoints are not compared.
func (l Line) SameState(m Line) bool { return l.State == m.State && l.DoNotDisturb == m.DoNotDisturb }

// String returns the state, with "+dnd" where do-not-disturb is on.
func (l Line) String() string {
	if l.DoNotDisturb {
		return string(l.State) + "+dnd"
	}
	return string(l.State)
}

// Strongest returns what several endpoints of one person show together: the
// strongest state, where connected and held are equal and come before ringing,
// idle, outOfService and unknown in this order, and do-not-disturb, which comes
// before all of them, if any endpoint has it. Of two equal states the first
// wins, and with it its Endpoint; connected wins over held, so that a person
// with one call on hold and one to talk on is in a call.
//
// Without any line the result is unknown.
func Strongest(lines ...Line) Line {
	result := Line{State: LineUnknown}
	for i, l := range lines {
		stronger := l.State.strength() > result.State.strength() || (l.State == LineConnected && result.State == LineHeld)
		if i == 0 || stronger {
			result.Endpoint, result.State = l.Endpoint, l.State
		}
		result.DoNotDisturb = result.DoNotDisturb || l.DoNotDisturb
	}
	return result
}
