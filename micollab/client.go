package micollab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// DefaultTimeout bounds one call of a driver unless [Options] say otherwise.
const DefaultTimeout = 10 * time.Second

// Options are the settings of a [Client]; the zero value of each field is its default.
type Options struct {
	// Timeout bounds one call of the driver. Default: [DefaultTimeout].
	Timeout time.Duration
	// Statuses are those that the server has; setting any other is refused with
	// [presence.ErrInvalid] before the driver is asked. Upper and lower case are
	// not told apart. Default: every status that is not empty is passed on.
	Statuses []presence.Status
	// Names gives the server's own names of statuses, where an administrator has
	// named them differently, such as in another language. What is read is
	// translated back, whatever its case. No two statuses may have the same name
	// on the server, or what was written could not be recognized. Default: the
	// statuses' own names.
	Names map[presence.Status]string
}

// Client reads and writes MiCollab statuses through a [Driver], and does for
// every driver what they have in common. It is safe for concurrent use.
type Client struct {
	driver  Driver
	server  Server
	timeout time.Duration
	allowed map[string]bool            // folded status → true; nil allows all
	names   map[string]presence.Status // folded status → the server's name
	back    map[string]presence.Status // folded server's name → status
}

// NewClient returns a client for the server that driver reaches. It refuses a
// server that is not ready, see [Server.Ready], and faulty options, and names
// all faults at once.
func NewClient(driver Driver, server Server, opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := &Client{
		driver: driver, server: server, timeout: opts.Timeout,
		names: make(map[string]presence.Status), back: make(map[string]presence.Status),
	}
	faults := []error{server.Ready()}
	if driver == nil {
		faults = append(faults, errors.New("micollab: the driver is nil: give one, such as the StatusDriver of package cloudlink"))
	}
	if opts.Timeout < 0 {
		faults = append(faults, fmt.Errorf("micollab: Timeout is %v: give a positive duration, or 0 for %v", opts.Timeout, DefaultTimeout))
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	for _, s := range opts.Statuses {
		if strings.TrimSpace(string(s)) == "" {
			faults = append(faults, errors.New("micollab: Statuses contains an empty status: remove it"))
			continue
		}
		if c.allowed == nil {
			c.allowed = make(map[string]bool)
		}
		c.allowed[fold(string(s))] = true
	}
	faults = append(faults, c.setNames(opts)...)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, nil
}

// setNames fills the two directions of the translation and returns what keeps
// them from being each other's inverse.
func (c *Client) setNames(opts *Options) (faults []error) {
	for status, name := range opts.Names {
		key, nameKey := fold(string(status)), fold(name)
		switch {
		case key == "" || nameKey == "":
			faults = append(faults, fmt.Errorf("micollab: Names maps %q to %q: neither may be empty", status, name))
		case c.names[key] != "":
			faults = append(faults, fmt.Errorf("micollab: Names has %q twice, in different case: remove one", status))
		case c.back[nameKey] != "":
			faults = append(faults, fmt.Errorf("micollab: Names gives %q and %q the same name %q: the server must tell them apart", c.back[nameKey], status, name))
		default:
			c.names[key] = presence.Status(strings.TrimSpace(name))
			c.back[nameKey] = presence.ParseStatus(strings.TrimSpace(string(status)))
		}
	}
	for _, status := range append(presence.Statuses(), opts.Statuses...) {
		if other := c.usurper(status); other != "" {
			faults = append(faults, fmt.Errorf("micollab: Names gives %q the name of the status %q: give the latter another name too", other, status))
		}
	}
	return faults
}

// usurper returns the status that bears the name of status on the server, where
// status keeps its own name; empty where there is none.
func (c *Client) usurper(status presence.Status) presence.Status {
	key := fold(string(status))
	if c.names[key] != "" {
		return ""
	}
	if other := c.back[key]; fold(string(other)) != key {
		return other
	}
	return ""
}

// fold returns the form in which status names are compared.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// Server returns the facts that the client was made with.
func (c *Client) Server() Server { return c.server }

// Status returns the user's status, in the words of the mapping table; the zero
// Status where the server holds none. Its errors are [*Error].
func (c *Client) Status(ctx context.Context, user presence.User) (presence.Status, error) {
	var status presence.Status
	err := c.call(ctx, "read status", user.TeamsID, func(ctx context.Context) (err error) {
		status, err = c.driver.Status(ctx, user)
		return err
	})
	if err != nil {
		return "", err
	}
	return c.fromServer(status), nil
}

// SetStatus sets the user's status. An empty status, and one that Options do not
// allow, are refused with [presence.ErrInvalid] and never reach the driver. Its
// errors are [*Error].
func (c *Client) SetStatus(ctx context.Context, user presence.User, status presence.Status) error {
	const operation = "set status"
	name, err := c.toServer(status)
	if err != nil {
		return &Error{Operation: operation, UserID: user.TeamsID, Err: err}
	}
	return c.call(ctx, operation, user.TeamsID, func(ctx context.Context) error {
		return c.driver.SetStatus(ctx, user, name)
	})
}

// StatusesOf returns the statuses of those users that could be read, by
// [presence.User.TeamsID]; users that the server does not have are absent. It is
// one call of a driver that is a [BulkReader], and one call for each user, one
// after the other, of any other. Errors of single users are joined and returned
// together with what could be read.
func (c *Client) StatusesOf(ctx context.Context, users []presence.User) (map[string]presence.Status, error) {
	result := make(map[string]presence.Status, len(users))
	if len(users) == 0 {
		return result, nil
	}
	if bulk, ok := c.driver.(BulkReader); ok {
		err := c.call(ctx, "read statuses", "", func(ctx context.Context) error {
			statuses, err := bulk.StatusesOf(ctx, users)
			for id, status := range statuses {
				result[id] = c.fromServer(status)
			}
			return err
		})
		return result, err
	}
	var faults []error
	for _, user := range users {
		status, err := c.Status(ctx, user)
		switch {
		case err == nil:
			result[user.TeamsID] = status
		case ctx.Err() != nil:
			return result, errors.Join(append(faults, err)...)
		case !errors.Is(err, presence.ErrNotFound):
			faults = append(faults, err)
		}
	}
	return result, errors.Join(faults...)
}

func (c *Client) toServer(status presence.Status) (presence.Status, error) {
	key := fold(string(status))
	switch other := c.usurper(status); {
	case key == "":
		return "", fmt.Errorf("%w: the status is empty: leave the user alone instead", presence.ErrInvalid)
	case c.allowed != nil && !c.allowed[key]:
		return "", fmt.Errorf("%w: the server has no status %q: add it to Options.Statuses, or change the mapping table", presence.ErrInvalid, shorten(string(status)))
	case other != "":
		return "", fmt.Errorf("%w: %q is the server's name of the status %q: use the latter in the mapping table", presence.ErrInvalid, shorten(string(status)), other)
	}
	if name := c.names[key]; name != "" {
		return name, nil
	}
	return status, nil
}

func (c *Client) fromServer(name presence.Status) presence.Status {
	if status := c.back[fold(string(name))]; status != "" {
		return status
	}
	return presence.ParseStatus(string(name))
}

// call runs one call of the driver under the time limit and makes its error, or
// its panic, an *Error.
func (c *Client) call(ctx context.Context, operation, userID string, f func(context.Context) error) (err error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Operation: operation, UserID: userID, Err: newPanicError(r)}
		}
	}()
	if err := f(callCtx); err != nil {
		// Only where the limit of this client ended the call, and not the
		// caller, is the server to blame.
		if ctx.Err() == nil && callCtx.Err() != nil {
			err = fmt.Errorf("%w: no answer within %v: %w", presence.ErrUnavailable, c.timeout, err)
		}
		return &Error{Operation: operation, UserID: userID, Err: err}
	}
	return nil
}

// Error is a call of a driver that failed, or that was refused before the driver
// was asked. It matches what Err matches.
type Error struct {
	// Operation says what was tried, such as "set status".
	Operation string
	// UserID is the [presence.User.TeamsID] of the person; empty where the call was for many.
	UserID string
	// Err is the cause.
	Err error
}

// Error returns the operation, the person and the cause.
func (e *Error) Error() string {
	s := "micollab: " + e.Operation
	if e.UserID != "" {
		s += " of user " + e.UserID
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter returns how long the server asked to wait; 0 where it did not.
func (e *Error) RetryAfter() time.Duration {
	d, _ := presence.RetryAfter(e.Err)
	return d
}

// PanicError is a panic of a driver, contained.
type PanicError struct {
	// Stack is the stack at the panic, for the driver's author.
	Stack []byte
	text  string
}

// newPanicError keeps the text of the runtime's own panics only: what a driver
// panics with may contain anything, also a secret.
func newPanicError(value any) *PanicError {
	text := fmt.Sprintf("panic with a value of type %T", value)
	var fault runtime.Error
	if err, ok := value.(error); ok && errors.As(err, &fault) {
		text = fault.Error()
	}
	return &PanicError{Stack: debug.Stack(), text: text}
}

// Error says that the driver panicked, and how.
func (e *PanicError) Error() string {
	return "the driver panicked: " + e.text + ": this is a fault of the driver; see the Stack of the *micollab.PanicError"
}
