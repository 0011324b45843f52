package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// signIn is the outcome of one sign-in.
type signIn struct {
	principalName string
	err           error
}

const (
	// defaultWait is how long to wait for a sign-in, and longestWait for how long
	// every authorization URL can be used at least.
	defaultWait = 15 * time.Minute
	longestWait = 30 * time.Minute
	// stopTimeout bounds how long the browser may take to read its page.
	stopTimeout = 5 * time.Second
)

func defineAuthorize(p *program, flags *flag.FlagSet) func(context.Context, string) error {
	wait := flags.Duration("wait", defaultWait, "how long to wait for the sign-in, up to "+longestWait.String())
	return func(ctx context.Context, principalName string) error {
		if *wait <= 0 || *wait > longestWait {
			return usageError(fmt.Sprintf("-wait is %v: use up to %v, for which the URL is good", *wait, longestWait))
		}
		redirect, err := p.redirectHere()
		if err != nil {
			return err
		}
		return p.withSession(ctx, func(s *session) error {
			m, err := s.signable(principalName)
			if err != nil {
				return err
			}
			return s.authorize(ctx, m.PrincipalName, redirect, *wait)
		})
	}
}

// redirectHere returns the redirect URI, if it leads to this machine.
func (p *program) redirectHere() (*url.URL, error) {
	u, err := url.Parse(p.settings.redirect)
	if err != nil {
		return nil, usageError("-redirect is not a URL: give the redirect URI that is registered with the application")
	}
	address := net.ParseIP(u.Hostname())
	if u.Scheme != "http" || !strings.EqualFold(u.Hostname(), "localhost") && !address.IsLoopback() {
		return nil, usageError("-redirect leads to another machine, where this program cannot wait: print the URL by url, and let the bridge or complete take the outcome; " +
			"or register http://localhost:8085/callback with the application")
	}
	return u, nil
}

// signable returns a monitor as which somebody can sign in now. Without a client
// secret that works the sign-in would fail at its end.
func (s *session) signable(principalName string) (monitor.MonitorStatus, error) {
	m, err := s.stays("authorize", principalName)
	if err == nil && m.State == monitor.StateSecretExpired {
		err = trouble(m)
	}
	return m, err
}

// authorize waits at the redirect URI until somebody has signed in.
func (s *session) authorize(ctx context.Context, principalName string, redirect *url.URL, wait time.Duration) error {
	p := s.program
	host, port := redirect.Hostname(), redirect.Port()
	if port == "" {
		port = "80"
	}
	// Before the URL is shown: who is quick must find somebody there.
	socket, err := p.listen(ctx, host, port)
	if err != nil {
		return fmt.Errorf("nobody can wait at the redirect URI: %w: end what listens there, or register another port of localhost and give it by -redirect", err)
	}
	mux := http.NewServeMux()
	path := redirect.EscapedPath()
	if path == "" {
		path = "/"
	}
	mux.Handle(path, s.pool.SignInHandler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(socket) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_ = server.Shutdown(ctx)
		_ = server.Close()
	}()

	address, err := s.pool.AuthorizationURL(ctx, principalName)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, address)
	fmt.Fprintf(p.stderr, "Open this URL in a private window and sign in as %s. Waiting for %v; interrupt to stop.\n", principalName, wait)
	if p.person != nil {
		acting := make(chan struct{})
		go func() {
			defer close(acting)
			p.person(ctx, address)
		}()
		defer func() { <-acting }()
	}
	return s.awaitSignIn(ctx, principalName, wait, served)
}

// awaitSignIn waits for the outcome of this monitor's sign-in. What else comes to
// the redirect URI, an old page that is loaded again, say, does not end it.
func (s *session) awaitSignIn(ctx context.Context, principalName string, wait time.Duration, served <-chan error) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case outcome := <-s.signIns:
			stale := errors.Is(outcome.err, monitor.ErrStateUsed) || errors.Is(outcome.err, monitor.ErrStateExpired)
			if !strings.EqualFold(outcome.principalName, principalName) || outcome.err != nil && stale {
				s.tellOther(outcome)
				continue
			}
			return s.tell(outcome)
		case err := <-served:
			return fmt.Errorf("the server at the redirect URI failed: %w", err)
		case <-timer.C:
			return fmt.Errorf("nobody has signed in as %s within %v: begin again by authorize, or send the URL to somebody who can by url", principalName, wait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellOther mentions a sign-in that is not the one that is waited for.
func (s *session) tellOther(outcome signIn) {
	if outcome.err == nil {
		fmt.Fprintf(s.program.stderr, "%s has signed in meanwhile.\n", outcome.principalName)
		return
	}
	fmt.Fprintf(s.program.stderr, "monitors: not the sign-in that is waited for: %s\n", plain(outcome.err))
}

// tell says what has come of a sign-in.
func (s *session) tell(outcome signIn) error {
	if outcome.err != nil {
		return outcome.err
	}
	fmt.Fprintf(s.program.stdout, "%s has signed in and is authorized.\n", outcome.principalName)
	return s.show(outcome.principalName)
}

// url prints the authorization URL and nothing else on standard output. Who takes
// the outcome need not be known yet.
func (p *program) url(ctx context.Context, principalName string) error {
	return p.withSession(ctx, func(s *session) error {
		m, err := s.signable(principalName)
		if err != nil {
			return err
		}
		address, err := s.pool.AuthorizationURL(ctx, m.PrincipalName)
		if err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, address)
		if m, err = s.find("authorize", principalName); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "It is good for one sign-in as %s until %s. The outcome goes to %s: start the bridge if that is its address; "+
			"otherwise wait there by authorize, or give the address that the browser ends up at to complete.\n",
			m.PrincipalName, m.SignInExpiresAt.UTC().Format("2006-01-02 15:04 MST"), p.settings.redirect)
		return nil
	})
}

// complete ends a sign-in whose outcome has come to a browser that could not
// deliver it. The address is good for one use and only together with the store;
// even so it is not an argument, and is never repeated.
func (p *program) complete(ctx context.Context, _ string) error {
	return p.withSession(ctx, func(s *session) error {
		pasted, err := p.readSecret(ctx, "Address that the browser ended up at (it is not shown): ")
		if err != nil {
			return err
		}
		u, err := url.Parse(pasted.Reveal())
		if err != nil || u.Query().Get("state") == "" {
			// Not wrapped: such an error repeats the address.
			return fmt.Errorf("what was given is no outcome of a sign-in: copy the whole address from the browser; it begins with %s and has a state", p.settings.redirect)
		}
		principalName, err := s.pool.CompleteSignIn(ctx, u.Query())
		return s.tell(signIn{principalName, err})
	})
}
