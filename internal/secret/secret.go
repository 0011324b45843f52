// Package secret holds the type of every secret in the library: a value that
// can be passed on and revealed on purpose, but not printed by accident.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is what every way of printing shows.
const redacted = "[redacted]"

// Secret is a password, a client secret, a token or a client state.
//
// The value is behind a pointer in an unexported field because fmt, when it
// prints the unexported fields of an enclosing struct, calls no methods: it
// then shows an address and not the value.
type Secret struct{ value *string }

// New returns a Secret that holds value. New("") is the zero Secret.
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares two secrets in a time that depends on their lengths only.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// String returns a fixed text.
func (s Secret) String() string { return redacted }

// Format prints a fixed text for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns a fixed text, which covers JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}

// LogValue returns a fixed text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
