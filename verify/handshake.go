package verify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// validationBound is how long Microsoft Graph waits for the answer, and
	// slowAnswer from when it counts an endpoint as slow and delays notifications
	// (learn.microsoft.com/graph/change-notifications-delivery-webhooks).
	validationBound = 10 * time.Second
	slowAnswer      = 3 * time.Second
	// maxValidationAnswer bounds what is read of the answer: the token is shorter.
	maxValidationAnswer = 4 << 10
)

// validation is what the notification URL answered to a validation token.
type validation struct {
	token       string
	tls         *tls.ConnectionState // nil where there was none
	status      int
	contentType string
	location    string
	body        string
	took        time.Duration
	// connected: something took the connection, whether or not it answered.
	connected bool
}

// validateURL sends a validation token to the notification URL as Microsoft Graph
// does when a subscription is created. What was learned before an error is
// returned with it.
func (c *SystemCheck) validateURL(ctx context.Context) (validation, error) {
	// A blank, a plus and a percent sign come back wrong from a handler that
	// decodes the token not at all, or twice.
	v := validation{token: "System check of presencebridge: +/=%41 " + rand.Text()}
	u, err := url.Parse(c.settings.NotificationURL)
	if err != nil {
		return v, withoutURL(err)
	}
	u.Fragment, u.User = "", nil
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "validationToken=" + url.QueryEscape(v.token)
	ctx, cancel := context.WithTimeoutCause(ctx, validationBound, errNoAnswer)
	defer cancel()
	var connection atomic.Pointer[net.Conn] // the trace may outlive the request
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { connection.Store(&got.Conn) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return v, withoutURL(err)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	began := time.Now()
	answer, err := c.stranger().Do(request)
	if c := connection.Load(); c != nil {
		v.connected = true
		if secured, ok := (*c).(*tls.Conn); ok {
			state := secured.ConnectionState()
			v.tls = &state
		}
	}
	if err != nil {
		v.took = time.Since(began)
		return v, causeOf(ctx, err)
	}
	defer answer.Body.Close()
	if answer.TLS != nil {
		v.tls = answer.TLS
	}
	v.status, v.contentType, v.location = answer.StatusCode, answer.Header.Get("Content-Type"), answer.Header.Get("Location")
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxValidationAnswer))
	v.body, v.took = string(body), time.Since(began)
	if err != nil {
		return v, causeOf(ctx, err)
	}
	return v, nil
}

// errNoAnswer is the error of a request that was not answered in time.
var errNoAnswer = errors.New("there was no answer in time")

// causeOf returns why a request failed: the end of its time, or the error.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return withoutURL(err)
}

// stranger returns the HTTP client as somebody without a session would have it: it
// follows no redirect, and has no cookies.
func (c *SystemCheck) stranger() *http.Client {
	client := *c.opts.HTTPClient
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

func checkNotificationHandshake(_ context.Context, f *facts, _ string) finding {
	v, err := f.validation()
	proof := f.proof()
	evidence := []Evidence{{"answered in", v.took.Round(time.Millisecond).String()}}
	if v.status != 0 {
		evidence = append(evidence, Evidence{"status", fmt.Sprint(v.status)}, Evidence{"content type", v.contentType})
	}
	if proof == "" {
		evidence = append(evidence, Evidence{"seen from outside", "not within the last day"})
	} else {
		evidence = append(evidence, Evidence{"seen from outside", proof})
	}
	if err != nil {
		if v.connected {
			// This network does lead there, so that it is no better for Microsoft Graph.
			proof = ""
		}
		return noHandshake(err, v.connected, proof, evidence)
	}
	if sentence, what := v.wrong(); sentence != "" {
		if v.status == http.StatusForbidden && proof != "" {
			return warned(fmt.Sprintf("%s; but %s.", strings.TrimSuffix(sentence, "."), proof),
				"Do nothing if only the addresses of Microsoft are let in on purpose. Otherwise lead the path to the bridge's notification handler.", evidence...)
		}
		return failed(sentence, what, evidence...)
	}
	if v.took > slowAnswer {
		return warned(fmt.Sprintf("The notification URL took %v to answer; Microsoft Graph delays the notifications of one that takes more than %v.", v.took.Round(100*time.Millisecond), slowAnswer),
			"Find out what is slow: the machine of the service, or a proxy in front of it.", evidence...)
	}
	return passed(evidence...)
}

// noHandshake is the outcome where nothing answered.
func noHandshake(err error, connected bool, proof string, evidence []Evidence) finding {
	sentence, what := fmt.Sprintf("The notification URL cannot be reached from here: %v", err), "Make sure that the service, or the proxy in front of it, listens there, and that the firewall lets connections in."
	switch {
	case connected && !errors.Is(err, errNoAnswer):
		sentence, what = fmt.Sprintf("The notification URL takes the connection and does not answer: %v", err), "Look at the log of the service, and of the proxy in front of it."
	case errors.Is(err, errNoAnswer):
		sentence, what = fmt.Sprintf("The notification URL gave no answer within %v", validationBound), "Make sure that the service, or the proxy in front of it, answers there: Microsoft Graph waits no longer."
	}
	if proof == "" {
		return failed(sentence+".", what, evidence...)
	}
	return warned(fmt.Sprintf("%s; but %s.", sentence, proof),
		"Do nothing if this network does not lead to its own public address on purpose. Otherwise make sure that the service, or the proxy in front of it, still listens there.", evidence...)
}

// wrong says what is wrong with the answer, and what to do if more can be said than
// the check's remedy does; empty if nothing is.
func (v *validation) wrong() (sentence, what string) {
	status := fmt.Sprintf("%d %s", v.status, http.StatusText(v.status))
	switch {
	case v.status >= 300 && v.status < 400:
		to := "nowhere"
		if u, err := url.Parse(v.location); err == nil && v.location != "" {
			to = u.Host
			if u.Host == "" {
				to = "another path"
			}
		}
		return fmt.Sprintf("The notification URL redirects to %s (%s), and Microsoft Graph does not follow.", to, status), ""
	case v.status == http.StatusUnauthorized || v.status == http.StatusForbidden || v.status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("The notification URL lets nobody in without a sign-in (%s).", status),
			"Exempt the path of the notification URL from the sign-in: Microsoft Graph cannot sign in, and the bridge checks each notification itself."
	case v.status == http.StatusNotFound || v.status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("The path of the notification URL does not lead to the bridge's notification handler (%s).", status), ""
	case v.status >= 500:
		return fmt.Sprintf("The notification URL answers with an error (%s).", status),
			"Look at the log of the service, and of the proxy in front of it, which may not reach the service."
	case v.status != http.StatusOK:
		return fmt.Sprintf("The notification URL answers %s, and Microsoft Graph wants 200.", status), ""
	}
	if media, _, err := mime.ParseMediaType(v.contentType); err != nil || media != "text/plain" {
		return fmt.Sprintf("The notification URL answers with the content type %q, and Microsoft Graph wants text/plain.", v.contentType), ""
	}
	if v.body == v.token {
		return "", ""
	}
	how := "something else"
	switch unescaped, err := url.QueryUnescape(v.body); {
	case v.body == "":
		how = "nothing"
	case err == nil && unescaped == v.token:
		how = "it URL-encoded"
	case strings.TrimSpace(v.body) == v.token:
		how = "it with white space around it"
	case strings.Trim(v.body, `"`) == v.token:
		how = "it in quotation marks"
	}
	return fmt.Sprintf("The notification URL does not return the validation token to the letter: it returns %s.", how), ""
}
