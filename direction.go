package presencebridge

import "fmt"

// Direction says which way presence flows.
type Direction int

const (
	// OneWay shows the telephone's line state in Microsoft Teams. It is the default.
	OneWay Direction = iota
	// Bidirectional also shows the Teams presence in MiCollab.
	Bidirectional
	// Off changes nothing on either side. A Teams session that is open when the
	// direction becomes Off is cleared.
	Off
)

// String returns the direction's name: "one-way", "bidirectional" or "off".
func (d Direction) String() string {
	switch d {
	case OneWay:
		return "one-way"
	case Bidirectional:
		return "bidirectional"
	case Off:
		return "off"
	default:
		return fmt.Sprintf("Direction(%d)", int(d))
	}
}

// MarshalText returns the direction's name.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what MarshalText returns.
func (d *Direction) UnmarshalText(text []byte) error {
	for _, known := range []Direction{OneWay, Bidirectional, Off} {
		if known.String() == string(text) {
			*d = known
			return nil
		}
	}
	return fmt.Errorf("presencebridge: unknown direction %q: use one-way, bidirectional or off", text)
}

func (d Direction) valid() bool { return d >= OneWay && d <= Off }

// narrower returns the direction in which less flows.
func (d Direction) narrower(e Direction) Direction {
	switch {
	case d == Off || e == Off:
		return Off
	case d == OneWay || e == OneWay:
		return OneWay
	default:
		return Bidirectional
	}
}
