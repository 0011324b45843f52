package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// ErrSecretNotFound: none of the application's client secrets is the configured
// one. It was replaced or deleted, or belongs to another application.
var ErrSecretNotFound = errors.New("monitor: client secret not found")

// ErrSecretAmbiguous: several of the application's client secrets may be the
// configured one.
var ErrSecretAmbiguous = errors.New("monitor: client secret ambiguous")

// SecretError is the error of [FindClientSecret]. It matches [ErrSecretNotFound]
// or [ErrSecretAmbiguous].
type SecretError struct {
	// Description is what was looked for; it may be empty.
	Description string
	// Described are the key IDs of the client secrets with that description, and
	// Possible those of the client secrets that may be the configured one, as
	// Entra lists them. Neither is secret.
	Described, Possible []string
	err                 error
}

// Error says what was found instead, and what to do.
func (e *SecretError) Error() string {
	var found string
	switch {
	case len(e.Possible) > 0:
		found = "any of " + strings.Join(e.Possible, ", ") + " may be the configured one"
	case len(e.Described) > 0:
		found = fmt.Sprintf("the configured value is not that of %s, described as %q, nor of any other", strings.Join(e.Described, ", "), e.Description)
	case e.Description != "":
		found = fmt.Sprintf("none is described as %q or has the configured value", e.Description)
	default:
		found = "none has the configured value"
	}
	return e.err.Error() + ": " + found + "; " + e.Remedy()
}

// Unwrap returns the sentinel.
func (e *SecretError) Unwrap() error { return e.err }

// Remedy returns a sentence that tells what to do.
func (e *SecretError) Remedy() string {
	if len(e.Possible) > 0 {
		return "delete those that nobody uses from the application, or create one with a description of its own and configure it"
	}
	return "create a client secret in the application, and configure its value, not its id"
}

// FindClientSecret finds the configured client secret among those of the
// application, to learn when it ends. Both the description and the value may be
// missing.
//
// The beginning of the value, which Entra shows as the hint, counts for more than
// the description: a client secret with another hint is not the configured one,
// whatever it is called, and one that is called by another name may be. The
// description, in which upper and lower case and surrounding spaces do not matter,
// decides between those that have the right hint. Those without a hint, or all of
// them where the value is missing, are judged by the description alone, and
// only if no hint is right.
//
// An error is a [*SecretError]. With [ErrSecretAmbiguous] comes, of those that
// may be the configured one, the one that ends first: better to warn too early
// than too late. With [ErrSecretNotFound], which may mean that the application
// is about to refuse the value, or does so already, comes none.
func FindClientSecret(secrets []ClientSecret, description string, value presence.Secret) (ClientSecret, error) {
	description = strings.TrimSpace(description)
	described := func(s ClientSecret) bool {
		return description != "" && strings.EqualFold(strings.TrimSpace(s.Description), description)
	}
	var hinted, byName []ClientSecret
	for _, s := range secrets {
		switch {
		case s.Hint == "" || value.IsZero():
			if described(s) {
				byName = append(byName, s)
			}
		case strings.HasPrefix(value.Reveal(), s.Hint):
			hinted = append(hinted, s)
		}
	}
	possible := hinted
	if len(hinted) == 0 {
		possible = byName
	} else if both := matching(hinted, described); len(both) > 0 {
		possible = both
	}

	if len(possible) == 1 {
		return possible[0], nil
	}
	fault := &SecretError{
		Description: description,
		Described:   keyIDs(matching(secrets, described)),
		Possible:    keyIDs(possible),
		err:         ErrSecretAmbiguous,
	}
	if len(possible) == 0 {
		fault.err = ErrSecretNotFound
		return ClientSecret{}, fault
	}
	return slices.MinFunc(possible, endsBefore), fault
}

// endsBefore orders client secrets by their ends, unknown ones last.
func endsBefore(a, b ClientSecret) int {
	order := a.ExpiresAt.Compare(b.ExpiresAt)
	if a.ExpiresAt.IsZero() || b.ExpiresAt.IsZero() {
		order = -order
	}
	return cmp.Or(order, strings.Compare(a.KeyID, b.KeyID))
}

// matching returns the client secrets for which a condition holds.
func matching(secrets []ClientSecret, holds func(ClientSecret) bool) (those []ClientSecret) {
	for _, s := range secrets {
		if holds(s) {
			those = append(those, s)
		}
	}
	return those
}

func keyIDs(secrets []ClientSecret) (ids []string) {
	for _, s := range secrets {
		ids = append(ids, s.KeyID)
	}
	return ids
}

// secretWarnings returns how long before the end of a client secret to warn of it,
// where nothing else is configured: early enough to find whoever may create
// another, and once more when it is urgent.
func secretWarnings() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{60 * day, 30 * day, 7 * day, day}
}

// secretWarning is how near a client secret is to its end.
type secretWarning struct {
	// Due: there is something to warn of.
	Due bool
	// Reached is the shortest of the times before the end that has begun; 0 means
	// that the secret has expired.
	Reached time.Duration
	// Next is when the next one begins, or the secret expires; the zero time is
	// never.
	Next time.Time
}

// warningAt returns what there is to warn of at a time. Thresholds are times
// before the end, in any order; nil are those of secretWarnings, and those that
// are not positive are passed over, because the end itself always counts. Of a
// secret whose end is unknown (the zero time) there is nothing to say.
func warningAt(expiresAt, now time.Time, thresholds []time.Duration) secretWarning {
	if expiresAt.IsZero() {
		return secretWarning{}
	}
	if !now.Before(expiresAt) {
		return secretWarning{Due: true}
	}
	if thresholds == nil {
		thresholds = secretWarnings()
	}
	w := secretWarning{Next: expiresAt}
	for _, threshold := range thresholds {
		begins := expiresAt.Add(-threshold)
		switch {
		case threshold <= 0:
		case begins.After(now):
			w.Next = earliest(w.Next, begins)
		case !w.Due || threshold < w.Reached:
			w.Due, w.Reached = true, threshold
		}
	}
	return w
}
