package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	abs "github.com/microsoft/kiota-abstractions-go"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// kind is which budget a request spends from.
type kind int

const (
	kindPresence kind = iota
	kindDirectory
	kindSubscriptionWrite
	kindSubscriptionRead
	kindSubscriptionList
	kindReauthorization
)

// operation is what a request does, for errors and metrics, and what it spends.
type operation struct {
	name string
	kind kind
	// read: the request changes nothing, though it may be a POST.
	read bool
	// lasting: the service goes on using the request's token afterwards.
	lasting bool
}

var (
	opReadPresence           = operation{name: "read presence", kind: kindPresence, read: true}
	opReadPresences          = operation{name: "read presences", kind: kindPresence, read: true}
	opSetPresence            = operation{name: "set presence", kind: kindPresence}
	opClearPresence          = operation{name: "clear presence", kind: kindPresence}
	opSetPreferredPresence   = operation{name: "set preferred presence", kind: kindPresence}
	opClearPreferredPresence = operation{name: "clear preferred presence", kind: kindPresence}
	opListUsers              = operation{name: "list users", kind: kindDirectory, read: true}
	opReadUser               = operation{name: "read user", kind: kindDirectory, read: true}
	opFindUser               = operation{name: "find user", kind: kindDirectory, read: true}
	opReadApplication        = operation{name: "read application", kind: kindDirectory, read: true}
	opListAppRoles           = operation{name: "list granted permissions", kind: kindDirectory, read: true}
	opCreateSubscription     = operation{name: "create subscription", kind: kindSubscriptionWrite, lasting: true}
	opRenewSubscription      = operation{name: "renew subscription", kind: kindSubscriptionWrite, lasting: true}
	opDeleteSubscription     = operation{name: "delete subscription", kind: kindSubscriptionWrite}
	opReadSubscription       = operation{name: "read subscription", kind: kindSubscriptionRead, read: true}
	opListSubscriptions      = operation{name: "list subscriptions", kind: kindSubscriptionList, read: true}
	opReauthorize            = operation{name: "re-authorize subscription", kind: kindReauthorization, lasting: true}
)

func isSubscriptionWrite(name string) bool {
	return name == opCreateSubscription.name || name == opRenewSubscription.name
}

// attemptTimeout bounds one attempt where the embedder's client has no timeout.
// Creating a subscription takes longest: Microsoft Graph calls the notification
// URL meanwhile, for up to ten seconds.
const attemptTimeout = 30 * time.Second

// newHTTPClient returns a client on the transport of base, whose timeout, if it
// has one, bounds each attempt.
func newHTTPClient(base *http.Client, opts throttle.Options) *http.Client {
	timeout := attemptTimeout
	if base != nil {
		opts.Base = base.Transport
		if base.Timeout > 0 {
			timeout = base.Timeout
		}
	}
	return throttle.NewClient(timeout, opts)
}

type operationKey struct{}

func (c *Client) charges(req *http.Request) []throttle.Charge {
	op, _ := req.Context().Value(operationKey{}).(operation)
	return c.budgets.charges(op.kind)
}

func (c *Client) throttled(req *http.Request, status int, wait time.Duration) {
	op, _ := req.Context().Value(operationKey{}).(operation)
	c.metrics.throttled(req.Context(), op.name, wait)
	// Debug, because what is not repeated reaches the caller as an error.
	c.logger.DebugContext(req.Context(), "Microsoft Graph asks for fewer requests", "operation", op.name, "status", status, "wait", wait)
}

// authenticator is kiota's way to the token source.
type authenticator struct{ client *Client }

// AuthenticateRequest puts a token on the request, unless the request goes
// elsewhere than to this client's Graph.
func (a authenticator) AuthenticateRequest(ctx context.Context, request *abs.RequestInformation, _ map[string]any) error {
	uri, err := request.GetUri()
	if err != nil {
		return fmt.Errorf("graph: request URL: %w", err)
	}
	if !a.client.isOwn(uri) {
		return fmt.Errorf("graph: a request to the host %q must not carry a token for %q", uri.Host, a.client.base.Host)
	}
	token, err := a.client.token(ctx)
	if err != nil {
		return err
	}
	request.Headers.Remove("Authorization")
	request.Headers.Add("Authorization", "Bearer "+token.AccessToken)
	return nil
}

// isOwn reports whether u is on this client's Graph: pages are followed there only.
func (c *Client) isOwn(u *url.URL) bool {
	return u.User == nil && u.Scheme == c.base.Scheme && strings.EqualFold(u.Host, c.base.Host) && strings.HasPrefix(u.Path, c.base.Path+"/")
}

// minLasting is how much of its life a token must have left to stand behind a
// subscription. Microsoft Graph holds notifications back from when that token
// ends, though the subscription itself lives on
// (learn.microsoft.com/graph/change-notifications-delivery-webhooks). A
// subscription is renewed well within this time.
const minLasting = presence.MinSubscriptionLifetime

func (c *Client) token(ctx context.Context) (*oauth2.Token, error) {
	token, err := c.tokens.Token(ctx)
	if op, _ := ctx.Value(operationKey{}).(operation); op.lasting && err == nil && endsWithin(token, minLasting) {
		if source, ok := c.tokens.(invalidator); ok {
			source.Invalidate(token.AccessToken)
			token, err = c.tokens.Token(ctx)
		}
	}
	switch {
	case err != nil:
		return nil, tokenError("token", err)
	case token == nil || token.AccessToken == "":
		return nil, &Error{Operation: "token", kind: ErrMalformed}
	}
	return token, nil
}

func endsWithin(token *oauth2.Token, d time.Duration) bool {
	return token != nil && !token.Expiry.IsZero() && time.Until(token.Expiry) < d
}

// do sends one request and gives the body of a 2xx answer, bounded to limit
// bytes, to decode; a nil decode discards it.
func (c *Client) do(ctx context.Context, op operation, info *abs.RequestInformation, limit int64, decode func(io.Reader) error) error {
	ctx = context.WithValue(ctx, operationKey{}, op)
	if op.read {
		ctx = throttle.MarkRead(ctx)
	}
	correlationID := uuid.NewString()
	info.Headers.TryAdd("client-request-id", correlationID)
	info.Headers.TryAdd("User-Agent", "presencebridge")
	started := time.Now()
	resp, err := c.send(ctx, info)
	if err != nil {
		c.metrics.request(ctx, op.name, 0, started)
		var own *Error
		if errors.As(err, &own) {
			return err
		}
		return transportError(op.name, err)
	}
	defer resp.Body.Close()
	defer c.metrics.request(ctx, op.name, resp.StatusCode, started)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return responseError(op.name, resp, correlationID)
	}
	body := &boundedReader{reader: resp.Body, left: limit}
	if decode != nil {
		if err := decode(body); err != nil {
			return decodingError(op.name, resp, correlationID, body.err)
		}
	}
	// What is left is read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	return nil
}

// decodingError returns the error of a 2xx answer that could not be decoded:
// because the connection broke, if readErr says so, otherwise because it is not
// what it should be. The decoder's own error is dropped: it may quote the body.
func decodingError(operation string, resp *http.Response, correlationID string, readErr error) *Error {
	e := &Error{
		Operation:     operation,
		StatusCode:    resp.StatusCode,
		RequestID:     safeWord(resp.Header.Get("request-id")),
		CorrelationID: correlationID,
	}
	if readErr != nil && !errors.Is(readErr, errTooLarge) {
		e.Err = readErr
	} else {
		e.kind = ErrMalformed
	}
	return e
}

// send sends one request; after a 401 once more with a new token, if there is one.
func (c *Client) send(ctx context.Context, info *abs.RequestInformation) (*http.Response, error) {
	resp, sent, err := c.attempt(ctx, info)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !c.renewToken(ctx, sent) {
		return resp, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	resp, _, err = c.attempt(ctx, info)
	return resp, err
}

// attempt builds the native request and sends it. It returns the access token it
// was sent with.
func (c *Client) attempt(ctx context.Context, info *abs.RequestInformation) (*http.Response, string, error) {
	native, err := c.adapter.ConvertToNativeRequest(ctx, info)
	if err != nil {
		return nil, "", err
	}
	req, ok := native.(*http.Request)
	if !ok {
		return nil, "", fmt.Errorf("graph: the request adapter made a %T", native)
	}
	// The adapter gives the body neither a length nor a way to be read again,
	// and a repetition needs both.
	if body := info.Content; len(body) > 0 {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	resp, err := c.http.Do(req)
	return resp, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), err
}

// renewInterval is how often tokens are given up at most. A 401 may have
// another reason than the token, such as presence set for another user with a
// delegated one; without the bound each such request would cost a token, which
// Entra takes for a loop.
const renewInterval = time.Minute

// renewToken gives up the token that was refused and reports whether there is
// now another one.
func (c *Client) renewToken(ctx context.Context, refused string) bool {
	source, ok := c.tokens.(invalidator)
	if !ok {
		return false
	}
	c.mu.Lock()
	now := time.Now()
	due := c.refused.IsZero() || now.Sub(c.refused) >= renewInterval
	if due {
		c.refused = now
	}
	c.mu.Unlock()
	if due {
		source.Invalidate(refused)
	}
	token, err := c.token(ctx)
	return err == nil && token.AccessToken != refused
}

var errTooLarge = errors.New("graph: the answer is larger than any documented one")

// boundedReader fails, and remembers why, where [io.LimitReader] would end as if
// the body had: a cut-off body must not be taken for a whole one.
type boundedReader struct {
	reader io.Reader
	left   int64
	err    error // of reading, other than io.EOF
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.err = errTooLarge
		return 0, errTooLarge
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
