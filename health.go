package presencebridge

import (
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Connection states.
const (
	// StateUnused: nothing has been asked of the service yet.
	StateUnused = "unused"
	// StateHealthy: the last request was answered.
	StateHealthy = "healthy"
	// StateThrottled: the service asked for fewer requests.
	StateThrottled = "throttled"
	// StateFailing: the service does not answer, or refuses the credentials.
	StateFailing = "failing"
)

// Health is the condition of one connection: one kind of request to one service.
type Health struct {
	// Connection is "directory", "teams-read", "teams-write", "phone-read",
	// "micollab-read" or "micollab-write".
	Connection string `json:"connection"`
	// State is one of the State constants.
	State string `json:"state"`
	// Since is when the state began.
	Since time.Time `json:"since,omitzero"`
	// LastSuccess is when the service last answered.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// PausedUntil is when the next request may be made, if the connection pauses.
	PausedUntil time.Time `json:"pausedUntil,omitzero"`
	// Err is the last error while the state is not healthy, and Error its text.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`
	// Waiting is how many users wait for a request.
	Waiting int `json:"waiting"`
}

// String returns one line for a person.
func (h Health) String() string {
	s := fmt.Sprintf("%s: %s", h.Connection, h.State)
	if h.Error != "" {
		s += ": " + h.Error
	}
	return s
}

// systemic reports whether an error speaks of the service or of the
// credentials, so that asking for the next user would give the same.
func systemic(err error) bool {
	return errors.Is(err, presence.ErrThrottled) || errors.Is(err, presence.ErrUnauthorized) || errors.Is(err, presence.ErrUnavailable)
}

// note takes the outcome of a request, and until when the next one waits if it
// failed. It reports whether the state changed.
func (h *Health) note(err error, now, pausedUntil time.Time) (changed bool) {
	before := h.State
	switch {
	case err == nil:
		h.State, h.LastSuccess, h.PausedUntil, h.Err, h.Error = StateHealthy, now, time.Time{}, nil, ""
	case errors.Is(err, presence.ErrThrottled):
		h.State, h.PausedUntil, h.Err, h.Error = StateThrottled, pausedUntil, err, err.Error()
	default:
		h.State, h.PausedUntil, h.Err, h.Error = StateFailing, pausedUntil, err, err.Error()
	}
	if changed = h.State != before; changed {
		h.Since = now
	}
	return changed
}

// settle takes the outcome of a request. A service that fails is asked less and
// less often, one that throttles is left alone for as long as it asked. An error
// that speaks of one user is an answer like any other.
func (l *lane) settle(err error, now time.Time) {
	l.mu.Lock()
	if err == nil || !systemic(err) {
		l.failures, err = 0, nil
	} else {
		pause, asked := presence.RetryAfter(err)
		if !asked {
			pause = min(time.Second<<min(l.failures, 10), l.maxPause)
		}
		if errors.Is(err, presence.ErrThrottled) {
			l.throttle++
		}
		l.failures++
		l.paused = maxTime(l.paused, now.Add(pause))
	}
	changed := l.health.note(err, now, l.paused)
	event := l.health
	event.Waiting = len(l.state)
	l.mu.Unlock()
	if changed && l.changed != nil {
		l.changed(event)
	}
}

// snapshot returns the lane's health now.
func (l *lane) snapshot() Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.health
	h.Waiting = len(l.state)
	return h
}

// throttled returns how often the service has throttled this lane.
func (l *lane) throttled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.throttle
}
