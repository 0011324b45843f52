package service

import (
	"strconv"
	"strings"
)

// Unjoin returns the errors that errors.Join put together, an error of another kind
// alone, and nothing for nil.
func Unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Plain is an error's text without the package that it comes from, which means
// nothing to whoever writes a configuration file.
func Plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"micollab: ", "presence: ", "presencebridge: ", "graph: ", "cloudlink: ", "monitor: ", "entra: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// Mistake is one thing that is wrong with a configuration file, or doubtful.
type Mistake struct {
	// File is the name of the file as it was given to [Load].
	File string
	// Line is where in it, from 1; 0 where that cannot be said.
	Line int
	// Key is the key with those above it, such as "teams.secret"; empty for the file
	// as a whole.
	Key string
	// Text says what is wrong and what to do. It never has the value of a secret.
	Text string
}

// Error returns "bridge.yaml:12: teams.secret: what is wrong: what to do".
func (m *Mistake) Error() string {
	s := m.File
	if m.Line > 0 {
		s += ":" + strconv.Itoa(m.Line)
	}
	if m.Key != "" {
		s += ": " + m.Key
	}
	return s + ": " + m.Text
}
