package cloudlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// The conditions that only CloudLink has, beside the sentinels of package
// presence. Match them with [errors.Is].
var (
	// ErrNoSuchRoute: the platform has no such path. CloudLink's gateway then
	// answers 403 and complains of the Authorization header, so this is neither
	// a missing permission nor a bad token: the region or a base URL is wrong.
	ErrNoSuchRoute = errors.New("no such route")
	// ErrGrantRefused: the token service does not accept the password, client
	// secret, code or refresh token. Somebody has to give a new one.
	ErrGrantRefused = errors.New("grant refused")
	// ErrUnexpectedAnswer: the answer is not what the API describes, such as the
	// HTML page of a proxy.
	ErrUnexpectedAnswer = errors.New("unexpected answer")
)

// The kinds of error that are the embedder's own: neither an answer nor the lack
// of one.
var (
	errNotSaved = errors.New("refresh token not saved")
	errEncode   = errors.New("presence cannot be written")
)

// Error is a request to CloudLink that failed.
//
// It never holds a token, a password or the service's message, because
// CloudLink's gateway repeats the caller's token in its message; the name and
// the correlation id are kept only if they look like one.
type Error struct {
	// Operation is what was asked, such as "read line".
	Operation string
	// StatusCode is the HTTP status; 0 where no answer came.
	StatusCode int
	// Name is the name in the error body, if it is a plain word.
	Name string
	// CorrelationID is the x-mitel-correlation-id of the answer. Mitel's
	// support asks for it.
	CorrelationID string
	// Err is the cause where no answer came or the answer could not be read. Its
	// text is not part of Error's, because it may quote what was received.
	Err error

	kind  error // one of this package's sentinels, or nil
	wait  time.Duration
	cause string // what may be told of Err
}

// Error tells what failed and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("cloudlink: " + e.Operation + ": ")
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, "%d", e.StatusCode)
		if text := http.StatusText(e.StatusCode); text != "" {
			b.WriteString(" " + text)
		}
		if e.Name != "" {
			b.WriteString(", " + e.Name)
		}
		if e.CorrelationID != "" {
			b.WriteString(" (correlation id " + e.CorrelationID + ")")
		}
		b.WriteString(": ")
	} else if e.unanswered() {
		b.WriteString("no answer: ")
	}
	if e.cause != "" {
		b.WriteString(e.cause + ": ")
	}
	b.WriteString(e.Remedy())
	return strings.TrimSuffix(b.String(), ": ")
}

// unanswered reports whether the request was sent, or tried to be, and nothing
// came back.
func (e *Error) unanswered() bool {
	return e.StatusCode == 0 && e.kind == nil && !errors.Is(e.Err, presence.ErrInvalid)
}

// Remedy returns a sentence that tells what to do, or "" where the rest of the
// error says it.
func (e *Error) Remedy() string {
	switch {
	case errors.Is(e.kind, ErrNoSuchRoute):
		return "there is no such path: check the region and the base URLs"
	case errors.Is(e.kind, ErrGrantRefused):
		return "the credentials are not accepted: check the account id and give a new password, client secret or sign-in"
	case errors.Is(e.kind, ErrUnexpectedAnswer):
		return "this is not CloudLink's API: check the base URL and any proxy in between"
	}
	switch e.StatusCode {
	case 0:
		if !e.unanswered() || errors.Is(e.Err, context.Canceled) {
			return ""
		}
		return "check the network and that TCP 443 to mitel.io is open"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return "CloudLink does not accept the request: check the ids in it"
	case http.StatusUnauthorized:
		return "the token is not accepted: check that it is of this account and region"
	case http.StatusForbidden:
		return "the role of this user or client is too weak: ask for ACCOUNT_ADMIN, or read only its own data"
	case http.StatusNotFound, http.StatusGone:
		return "it does not exist in this account"
	case http.StatusConflict:
		return "it exists already"
	case http.StatusTooManyRequests:
		return "too many requests: wait and ask for less"
	case http.StatusGatewayTimeout:
		return "the telephone system behind the CloudLink gateway did not answer in time: read the state before trying again"
	}
	if e.StatusCode >= 500 {
		return "CloudLink has a fault: try again later"
	}
	return ""
}

// Is matches the sentinels of package presence by what the status means, and
// those of this package. A route that does not exist matches ErrNotFound and
// ErrInvalid, and not ErrForbidden; a refused grant matches ErrUnauthorized.
func (e *Error) Is(target error) bool {
	if e.kind != nil && target == e.kind {
		return true
	}
	switch e.kind {
	case ErrNoSuchRoute:
		return target == presence.ErrNotFound || target == presence.ErrInvalid
	case ErrGrantRefused:
		return target == presence.ErrUnauthorized
	case ErrUnexpectedAnswer:
		return target == presence.ErrUnavailable
	}
	switch e.StatusCode {
	case 0:
		// An invalid argument says so itself, through Unwrap, and a caller that
		// gave up says nothing about the service.
		return target == presence.ErrUnavailable && e.unanswered() && !errors.Is(e.Err, context.Canceled)
	case http.StatusUnauthorized:
		return target == presence.ErrUnauthorized
	case http.StatusForbidden:
		return target == presence.ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return target == presence.ErrNotFound
	case http.StatusConflict:
		return target == presence.ErrConflict
	case http.StatusTooManyRequests:
		return target == presence.ErrThrottled
	case http.StatusRequestTimeout:
		return target == presence.ErrUnavailable
	}
	if e.StatusCode >= 500 {
		return target == presence.ErrUnavailable
	}
	return target == presence.ErrInvalid && e.StatusCode >= 400
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter returns how long CloudLink asked to wait, 0 if it did not.
func (e *Error) RetryAfter() time.Duration { return e.wait }

// invalid returns the error of an argument that is refused before it is sent.
func invalid(operation, reason string) *Error {
	return &Error{Operation: operation, Err: presence.ErrInvalid, cause: reason}
}

// maxErrorBody bounds what is read of an error body.
const maxErrorBody = 64 << 10

var (
	namePattern        = regexp.MustCompile(`^[A-Za-z][A-Za-z_-]{0,47}$`)
	correlationPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

// keepPlain returns value if it has the shape of an identifier and none of the
// request's secrets is in it.
func keepPlain(value string, shape *regexp.Regexp, secrets []string) string {
	if !shape.MatchString(value) {
		return ""
	}
	for _, s := range secrets {
		if s != "" && (strings.Contains(value, s) || (len(value) >= 8 && strings.Contains(s, value))) {
			return ""
		}
	}
	return value
}

// errorBody is the body of an error answer: {name, message} (the media API's
// definition of an error).
type errorBody struct {
	Name    string
	Message string
	// IsObject: the body is a JSON object at all.
	IsObject bool
}

func parseErrorBody(body []byte) errorBody {
	var raw struct {
		Name    text `json:"name"`
		Message text `json:"message"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return errorBody{}
	}
	return errorBody{Name: string(raw.Name), Message: string(raw.Message), IsObject: true}
}

// gatewayComplaint is what CloudLink's gateway says of a path that it does not
// have, after the token itself.
const gatewayComplaint = "not a valid key=value pair"

// answerError makes the error of an answer that is not a success.
func answerError(operation string, resp *http.Response, body []byte, secrets []string) *Error {
	parsed := parseErrorBody(body)
	e := &Error{
		Operation:     operation,
		StatusCode:    resp.StatusCode,
		Name:          keepPlain(parsed.Name, namePattern, secrets),
		CorrelationID: correlationID(resp, secrets),
	}
	e.wait, _ = throttle.RetryAfter(resp.Header, time.Now())
	switch {
	case resp.StatusCode == http.StatusForbidden && strings.Contains(parsed.Message, gatewayComplaint):
		e.kind = ErrNoSuchRoute
	case resp.StatusCode < 400:
		e.kind = ErrUnexpectedAnswer
	}
	return e
}

func correlationID(resp *http.Response, secrets []string) string {
	return keepPlain(resp.Header.Get("x-mitel-correlation-id"), correlationPattern, secrets)
}

// unreadable makes the error of a success whose body is not what it should be.
// The decoder's own text may quote the body, so it is not told.
func unreadable(operation string, resp *http.Response, cause error, what string, secrets []string) *Error {
	return &Error{
		Operation: operation, StatusCode: resp.StatusCode, CorrelationID: correlationID(resp, secrets),
		Err: cause, kind: ErrUnexpectedAnswer, cause: what,
	}
}
