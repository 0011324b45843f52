package cloudlink

import (
	"bytes"
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

	"github.com/presencebridge/presencebridge/presence"
)

// maxBody bounds what is read of an answer.
const maxBody = 8 << 20

// call is one request to the platform.
type call struct {
	// operation names the request in errors and metrics.
	operation string
	method    string
	// service and path say where to; at, if set, takes their place.
	service string
	path    string
	query   url.Values
	at      *url.URL
	// body is sent as JSON; nil sends none.
	body any
	// secret is a value in the body that an answer might repeat.
	secret presence.Secret
	// decode reads the answer of a success; nil ignores it.
	decode func(body []byte) error
}

// do sends a request with a token and reads its answer. A refused token is
// invalidated and the request sent once more, writes too: a 401 had no effect.
func (c *Client) do(ctx context.Context, r call) error {
	var payload []byte
	if r.body != nil {
		var err error
		if payload, err = json.Marshal(r.body); err != nil {
			return invalid(r.operation, "the request cannot be written as JSON")
		}
	}
	target := r.at
	if target == nil {
		target = c.bases[r.service].JoinPath(r.path)
		target.RawQuery = r.query.Encode()
	}
	for try := 1; ; try++ {
		token, err := c.tokens.Token(ctx)
		if err != nil {
			return noToken(r.operation, err)
		}
		if token == nil || token.AccessToken == "" {
			return &Error{Operation: r.operation, kind: ErrGrantRefused, cause: "the token source gave no token"}
		}
		err = c.attempt(ctx, r, target, payload, token.AccessToken)
		var e *Error
		if errors.As(err, &e) && e.StatusCode == http.StatusUnauthorized {
			if cache, ok := c.tokens.(Invalidator); ok {
				cache.Invalidate(token.AccessToken)
				if try == 1 {
					continue
				}
			}
		}
		return err
	}
}

func (c *Client) attempt(ctx context.Context, r call, target *url.URL, payload []byte, token string) error {
	var body io.Reader
	if payload != nil {
		body = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return invalid(r.operation, "the request cannot be made")
	}
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	status, err := exchange(c.http, req, c.app, r.operation, []string{token, r.secret.Reveal()}, r.decode)
	c.meters.request(ctx, r.operation, status)
	return err
}

// exchange sends a request and hands the body of a success to decode. It is
// what every request of the package goes through. secrets are the values that
// an answer might repeat.
func exchange(client *http.Client, req *http.Request, app, operation string, secrets []string, decode func([]byte) error) (status int, err error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("x-mitel-app", app)
	resp, err := client.Do(req)
	if err != nil {
		return 0, noAnswer(operation, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// What can be read of the body may tell more; the status alone will do.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		return resp.StatusCode, answerError(operation, resp, body, secrets)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return resp.StatusCode, noAnswer(operation, err)
	case len(body) > maxBody:
		return resp.StatusCode, unreadable(operation, resp, nil, fmt.Sprintf("the answer is longer than %d bytes", maxBody), secrets)
	case decode == nil:
		return resp.StatusCode, nil
	}
	if err := decode(body); err != nil {
		what := "the answer is not the JSON that was expected"
		if start := bytes.TrimSpace(body); len(start) > 0 && start[0] == '<' {
			what = "the answer is a page, not JSON"
		}
		return resp.StatusCode, unreadable(operation, resp, err, what, secrets)
	}
	return resp.StatusCode, nil
}

// noAnswer makes the error of a request that got no answer. Of the cause only
// what cannot quote an answer is told: the HTTP client's own errors do, for
// instance, of a status line that it cannot read.
func noAnswer(operation string, err error) *Error {
	e := &Error{Operation: operation, Err: err}
	var (
		dial        *net.OpError
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, context.Canceled):
		e.cause = "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		e.cause = "timed out"
	case errors.As(err, &dns):
		e.cause = "the host name does not resolve"
	case errors.As(err, &certificate), errors.As(err, &authority):
		e.cause = "the server's certificate is not trusted"
	case errors.As(err, &dial):
		e.cause = "the connection failed (" + dial.Op + ")"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.cause = "the connection ended early"
	}
	return e
}

// noToken makes the error of a request for which there was no token. An error
// of this package tells its story; the text of another may quote the token
// service's answer, as that of golang.org/x/oauth2 does.
func noToken(operation string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return fmt.Errorf("cloudlink: %s: no token: %w", operation, own)
	}
	e := noAnswer(operation, err)
	if e.cause == "" {
		e.cause = "the token source failed"
	}
	return e
}

var errNotObject = errors.New("not a JSON object")

// decodeObject reads a JSON object. Unlike json.Unmarshal it does not take null
// for one.
func decodeObject(body []byte, out any) error {
	if start := bytes.TrimSpace(body); len(start) == 0 || start[0] != '{' {
		return errNotObject
	}
	return json.Unmarshal(body, out)
}

// validWebhookURL reports whether notifications can be posted to s.
func validWebhookURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}

// segment escapes an id for use in a path. An id of another shape would be
// another path: it is refused.
func segment(operation, what, id string) (string, error) {
	if id == "" {
		return "", invalid(operation, "the "+what+" is empty")
	}
	if len(id) > 256 || id == "." || id == ".." || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' || r == 0xfffd }) {
		return "", invalid(operation, "the "+what+" has characters that an id cannot have")
	}
	return url.PathEscape(id), nil
}
