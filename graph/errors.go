package graph

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

var (
	// ErrMalformed: the answer is not what the service documents, for example
	// the HTML page of a proxy. presence.ErrUnavailable matches it too.
	ErrMalformed = errors.New("malformed answer")
	// ErrEndpointValidation: Microsoft Graph could not validate the notification
	// URL, to which it sends a token that must come back within ten seconds.
	ErrEndpointValidation = errors.New("notification URL not validated")

	// errNoRefreshToken: nothing was sent, because there is no refresh token.
	errNoRefreshToken = errors.New("no refresh token")
)

// Error is a request to Microsoft Graph or Entra that failed. It matches, with
// [errors.Is], the sentinels of package presence by what the status means, and
// those of this package by the AADSTS codes.
//
// It never holds a text that the service sent, because such texts repeat parts
// of the request.
type Error struct {
	// Operation is what was asked for, such as "set presence" or "token".
	Operation string
	// StatusCode is the HTTP status; 0 when no answer came.
	StatusCode int
	// Code is the service's own code: error.code of Microsoft Graph, such as
	// "Forbidden", or error of Entra, such as "invalid_grant".
	Code string
	// AADSTS are Entra's error codes, the most telling first.
	AADSTS []int
	// RequestID identifies the request at Microsoft: Graph's request-id, Entra's
	// trace id.
	RequestID string
	// CorrelationID is Graph's client-request-id or Entra's correlation id.
	CorrelationID string
	// Err is the cause where no answer came or it could not be read; nil
	// otherwise.
	Err error

	retryAfter time.Duration
	oauth      bool  // Code is an OAuth error
	kind       error // what the text of the service meant, beyond its status
}

// Error returns the operation, what is wrong, what to do, and the ids to quote
// in a support case.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph: %s: %s", e.Operation, e.sentence())
	var facts []string
	if e.StatusCode != 0 {
		facts = append(facts, fmt.Sprintf("status %d", e.StatusCode))
	}
	if e.Code != "" {
		facts = append(facts, "code "+e.Code)
	}
	for _, code := range e.AADSTS {
		facts = append(facts, fmt.Sprintf("AADSTS%d", code))
	}
	if e.RequestID != "" {
		facts = append(facts, "request "+e.RequestID)
	}
	if e.CorrelationID != "" {
		facts = append(facts, "correlation "+e.CorrelationID)
	}
	if len(facts) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(facts, ", "))
	}
	if remedy := e.Remedy(); remedy != "" {
		b.WriteString(": ")
		b.WriteString(remedy)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter returns how long the service asked to wait, or 0.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// Is reports whether the error is what target says.
func (e *Error) Is(target error) bool {
	if e.kind != nil && e.kind == target {
		return true
	}
	diagnoses := e.diagnoses()
	for _, d := range diagnoses {
		for _, match := range d.matches {
			if match == target {
				return true
			}
		}
	}
	// A status says less than a code: 400 with "the secret has expired" is not
	// an invalid request.
	if len(diagnoses) > 0 && e.StatusCode != http.StatusTooManyRequests && e.StatusCode < 500 {
		return false
	}
	return target == e.condition()
}

// condition returns the sentinel of package presence that the status stands for.
func (e *Error) condition() error {
	if e.StatusCode < 300 {
		switch {
		case errors.Is(e.kind, ErrMalformed):
			return presence.ErrUnavailable
		case errors.Is(e.Err, throttle.ErrNoTurn):
			return presence.ErrThrottled
		case e.Err == nil, errors.Is(e.Err, context.Canceled):
			return nil
		case errors.Is(e.Err, presence.ErrUnauthorized), errors.Is(e.Err, presence.ErrForbidden):
			// What the embedder's code refuses is not a service that fails.
			return nil
		default:
			return presence.ErrUnavailable
		}
	}
	if errors.Is(e.kind, presence.ErrConflict) {
		return presence.ErrConflict
	}
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return presence.ErrInvalid
	case http.StatusUnauthorized:
		return presence.ErrUnauthorized
	case http.StatusForbidden:
		return presence.ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return presence.ErrNotFound
	case http.StatusConflict:
		return presence.ErrConflict
	case http.StatusTooManyRequests:
		return presence.ErrThrottled
	case http.StatusRequestTimeout:
		return presence.ErrUnavailable
	}
	if e.StatusCode >= 500 || errors.Is(e.kind, ErrMalformed) {
		return presence.ErrUnavailable
	}
	return presence.ErrInvalid
}

// diagnoses returns what the codes of Entra mean; of the OAuth error only where
// no code is known.
func (e *Error) diagnoses() []diagnosis {
	var found []diagnosis
	if errors.Is(e.kind, errNoRefreshToken) {
		found = append(found, diagnosis{
			[]error{presence.ErrSignInRequired, presence.ErrUnauthorized}, "there is no refresh token for the account", remedySignIn,
		})
	}
	for _, code := range e.AADSTS {
		if d, ok := diagnose(code); ok {
			found = append(found, d)
		}
	}
	if len(found) == 0 && e.oauth {
		if d, ok := diagnoseOAuth(e.Code); ok {
			found = append(found, d)
		}
	}
	return found
}

// sentence says what is wrong in this package's own words.
func (e *Error) sentence() string {
	if d := e.diagnoses(); len(d) > 0 {
		return d[0].sentence
	}
	switch {
	case errors.Is(e.kind, ErrMalformed):
		return "the answer is not what the service documents"
	case errors.Is(e.kind, ErrEndpointValidation):
		return "Microsoft Graph could not validate the notification URL"
	case e.Err != nil:
		return describe(e.Err)
	}
	//nolint:errorlint // condition returns the sentinels themselves
	switch e.condition() {
	case presence.ErrInvalid:
		return "the service refuses the request as it is"
	case presence.ErrUnauthorized:
		return "the access token is not accepted"
	case presence.ErrForbidden:
		return "the request is not permitted"
	case presence.ErrNotFound:
		return "there is no such user, application, session or subscription"
	case presence.ErrConflict:
		return "it exists already"
	case presence.ErrThrottled:
		return "the service asks for fewer requests"
	default:
		return "the service cannot answer now"
	}
}

// Remedy returns a sentence on what to do, without a period at its end. It is
// empty where nothing but waiting helps.
func (e *Error) Remedy() string {
	if d := e.diagnoses(); len(d) > 0 {
		return d[0].remedy
	}
	switch {
	case errors.Is(e.kind, ErrMalformed):
		return "check that no proxy answers in place of the service"
	case errors.Is(e.kind, ErrEndpointValidation):
		return "check that the notification URL is reachable from the internet by HTTPS and answers within ten seconds"
	}
	//nolint:errorlint // condition returns the sentinels themselves
	switch e.condition() {
	case presence.ErrUnauthorized:
		return "check that the token belongs to this tenant and, for a delegated token, to this user"
	case presence.ErrForbidden:
		if isSubscriptionWrite(e.Operation) {
			return "use the delegated token of a monitor with consent to Presence.Read.All, and check that the tenant has fewer than 10,000 Teams subscriptions"
		}
		if permission := neededPermission(e.Operation); permission != "" {
			return "add the permission " + permission + " to the application in Entra, and let an administrator consent"
		}
	case presence.ErrInvalid:
		return "quote the request in a support case"
	case presence.ErrConflict:
		if isSubscriptionWrite(e.Operation) {
			return "delete the monitor's other presence subscription first"
		}
	case presence.ErrUnavailable:
		var own *ownError
		if e.StatusCode == 0 && e.Err != nil && !errors.As(e.Err, &own) {
			return "check the network and the URL of the cloud"
		}
	}
	return ""
}

// neededPermission names the application permission that an operation needs.
func neededPermission(operation string) string {
	switch operation {
	case opReadPresence.name, opReadPresences.name, opSetPresence.name, opClearPresence.name, opSetPreferredPresence.name, opClearPreferredPresence.name:
		return "Presence.ReadWrite.All"
	case opListUsers.name, opReadUser.name, opFindUser.name:
		return "User.Read.All"
	case opReadApplication.name, opListAppRoles.name:
		return "Application.Read.All"
	default:
		return ""
	}
}

// ownError is an error of this library or of the embedder's own code: its text
// may be shown.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

func ownFault(operation string, err error) *Error {
	return &Error{Operation: operation, Err: &ownError{err}}
}

// describe returns the text of errors that the standard library made from what
// it knows itself, and a general sentence for others, which may quote what a
// server sent.
func describe(err error) string {
	var (
		own         *ownError
		netErr      net.Error
		opErr       *net.OpError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		header      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &own):
		return own.Error()
	case errors.Is(err, throttle.ErrNoTurn):
		return "the throttle budget leaves no room before the caller's deadline"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &opErr):
		return opErr.Error()
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname):
		return "the server's certificate is not accepted"
	case errors.As(err, &header):
		return "the server does not speak TLS"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	default:
		return "the request could not be completed"
	}
}

// transportError returns the error of a request that got no answer. The URL that
// net/http adds is dropped: its query may hold a mail address.
func transportError(operation string, err error) *Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &Error{Operation: operation, Err: err}
}

// maxErrorBody bounds what is read of an error's body.
const maxErrorBody = 64 << 10

// responseError reads the error that Microsoft Graph answered with.
func responseError(operation string, resp *http.Response, correlationID string) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	e := parseGraphError(body)
	e.Operation, e.StatusCode = operation, resp.StatusCode
	if id := resp.Header.Get("request-id"); id != "" {
		e.RequestID = safeWord(id)
	}
	e.CorrelationID = correlationID
	e.retryAfter, _ = throttle.RetryAfter(resp.Header, time.Now())
	if e.kind != nil && !isSubscriptionWrite(operation) {
		e.kind = nil
	}
	if resp.StatusCode < 400 {
		e.kind = ErrMalformed
	}
	return e
}

// parseGraphError reads the body of an error answer: code and request id, and
// what the message means where the code does not say. The message itself goes no
// further.
func parseGraphError(body []byte) *Error {
	var wire struct {
		Error struct {
			Code       string `json:"code"`
			Message    string `json:"message"`
			InnerError struct {
				RequestID string `json:"request-id"`
			} `json:"innerError"`
		} `json:"error"`
	}
	// What cannot be read stays empty; the status says enough.
	_ = json.Unmarshal(body, &wire)
	return &Error{
		Code:      safeWord(wire.Error.Code),
		RequestID: safeWord(wire.Error.InnerError.RequestID),
		kind:      meaning(wire.Error.Message),
	}
}

// meaning recognizes what Microsoft Graph tells of subscriptions in words only.
// A second presence subscription is refused in two wordings: the documented
// "already exists for the requested combination", and an ExtensionError that
// carries "[Status Code: Conflict; Reason: A subscripton already exists. …]",
// whose misspelling is the service's own.
func meaning(message string) error {
	message = strings.ToLower(message)
	switch {
	case strings.Contains(message, "subscripton already exists"),
		strings.Contains(message, "subscription already exists"),
		strings.Contains(message, "already exists for the requested combination"),
		strings.Contains(message, "status code: conflict"):
		return presence.ErrConflict
	case strings.Contains(message, "validation request"):
		return ErrEndpointValidation
	default:
		return nil
	}
}

// safeWord returns s if it is a code or an id, and nothing if it could be
// anything else.
func safeWord(s string) string {
	if len(s) > 80 || !isIdentifier(s) {
		return ""
	}
	return s
}

// tokenError turns whatever a token source failed with into an *Error that
// quotes nothing of it but codes.
func tokenError(operation string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) {
		e := parseTokenError(retrieve.Body)
		e.Operation = operation
		if e.Code == "" {
			e.Code = safeWord(retrieve.ErrorCode)
		}
		if retrieve.Response != nil {
			e.StatusCode = retrieve.Response.StatusCode
			e.retryAfter, _ = throttle.RetryAfter(retrieve.Response.Header, time.Now())
		}
		return e
	}
	var sent *url.Error
	if errors.As(err, &sent) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return transportError(operation, err)
	}
	return &Error{Operation: operation, AADSTS: aadstsCodes(nil, err.Error()), Err: err}
}

// parseTokenError reads the body of an error answer of the token endpoint. The
// description goes no further than its codes.
func parseTokenError(body []byte) *Error {
	var wire struct {
		Error         string          `json:"error"`
		Description   string          `json:"error_description"`
		Codes         json.RawMessage `json:"error_codes"`
		TraceID       string          `json:"trace_id"`
		CorrelationID string          `json:"correlation_id"`
	}
	_ = json.Unmarshal(body, &wire)
	var listed []int
	_ = json.Unmarshal(wire.Codes, &listed)
	return &Error{
		Code:          safeWord(wire.Error),
		AADSTS:        aadstsCodes(listed, wire.Description),
		RequestID:     safeWord(wire.TraceID),
		CorrelationID: safeWord(wire.CorrelationID),
		oauth:         true,
	}
}

// PartialError is a bulk read of which some users could not be read. What could
// be read is returned beside it.
type PartialError struct {
	// Unread are the users that were asked for and not read.
	Unread []string
	// Err is why: one error, or several joined.
	Err error
}

// Error says how many users were not read, and why.
func (e *PartialError) Error() string {
	return fmt.Sprintf("graph: %d users were not read: %v", len(e.Unread), e.Err)
}

// Unwrap returns the reasons.
func (e *PartialError) Unwrap() error { return e.Err }

// RetryAfter returns the longest wait that the service asked for, or 0.
func (e *PartialError) RetryAfter() time.Duration { return longestWait(e.Err) }

func longestWait(err error) time.Duration {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var longest time.Duration
		for _, err := range joined.Unwrap() {
			longest = max(longest, longestWait(err))
		}
		return longest
	}
	d, _ := presence.RetryAfter(err)
	return d
}
