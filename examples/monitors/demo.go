package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	demoMonitor  = "monitor1@example.test"
	demoStranger = "ada@example.test"
)

// stage is a double of Microsoft with a tenant, an application, the account of a
// monitor and a person, all in memory, and a store in a file.
type stage struct {
	server            *graphtest.Server
	network           *graphtest.Network
	client            *http.Client
	application       graphtest.Application
	monitor, stranger graphtest.User
	settings          settings
	key               presence.Secret
}

// newStage sets the stage with a store in this folder.
func newStage(folder string) (*stage, error) {
	network := graphtest.NewNetwork()
	server, err := graphtest.NewServer(&graphtest.Options{Network: network})
	if err != nil {
		return nil, err
	}
	s := &stage{server: server, network: network, client: network.Client(), key: monitor.GenerateKey()}
	s.application = server.AddApplication(graphtest.Application{Secrets: []graphtest.Secret{{Description: "presencebridge monitor 1"}}})
	s.monitor = server.AddUser(graphtest.User{PrincipalName: demoMonitor, Mail: demoMonitor, Name: "Presence Monitor 1"})
	s.stranger = server.AddUser(graphtest.User{PrincipalName: demoStranger, Mail: demoStranger, Name: "Ada Byron"})
	s.settings = settings{
		store:       filepath.Join(folder, "monitors.db"),
		application: monitor.Application{TenantID: server.TenantID(), ClientID: s.application.ClientID},
		loginURL:    server.LoginURL(), graphURL: server.GraphURL(),
	}
	return s, nil
}

func (s *stage) close() {
	s.client.CloseIdleConnections()
	s.server.Close()
}

// arguments are those of a command on this stage.
func (s *stage) arguments(command ...string) []string {
	all := []string{"-store", s.settings.store, "-login", s.settings.loginURL, "-graph", s.settings.graphURL}
	if a := s.settings.application; a != (monitor.Application{}) {
		all = append(all, "-tenant", a.TenantID, "-client", a.ClientID)
	}
	return append(all, command...)
}

// opened lets somebody open an authorization URL, sign in, and be sent back.
func (s *stage) opened(ctx context.Context, authorizationURL, userID string) error {
	redirect, err := s.server.SignIn(authorizationURL, userID)
	if err != nil {
		return err
	}
	return s.visit(ctx, redirect)
}

// visit loads a page as a browser does.
func (s *stage) visit(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// addSecret gives the application one more client secret.
func (s *stage) addSecret() (graphtest.Secret, error) {
	return s.server.AddSecret(s.application.ClientID, graphtest.Secret{Description: "presencebridge monitor 1"})
}

// player plays the demonstration: each step is a program of its own, as somebody
// would start them one after the other.
type player struct {
	*program
	*stage
	faults []error
}

// step runs a command. as is who signs in if it is one that asks for it.
func (d *player) step(ctx context.Context, want int, secret presence.Secret, as string, command ...string) {
	if ctx.Err() != nil {
		return
	}
	fmt.Fprintf(d.program.stdout, "$ monitors %s\n", strings.Join(command, " "))
	p := &program{
		stdin:  strings.NewReader(secret.Reveal() + "\n"), // One stream, so that the story reads in its order.
		stdout: d.program.stdout, stderr: d.program.stdout, client: d.stage.client,
		getenv: func(name string) string {
			if name == envStoreKey {
				return d.key.Reveal()
			}
			return ""
		},
		listen: func(_ context.Context, host, _ string) (net.Listener, error) { return d.network.Listen(host) },
		person: func(ctx context.Context, authorizationURL string) {
			if err := d.opened(ctx, authorizationURL, as); err != nil {
				d.faults = append(d.faults, err)
			}
		},
	}
	if code := p.run(ctx, d.arguments(command...)); code != want {
		d.faults = append(d.faults, fmt.Errorf("%q ended with %d in place of %d", strings.Join(command, " "), code, want))
	}
	fmt.Fprintln(d.program.stdout)
}

// say prints what happens between the commands, and leaves the time to read it.
func (d *player) say(ctx context.Context, text string) {
	fmt.Fprintf(d.program.stdout, "# %s\n", text)
	timer := time.NewTimer(time.Second / 2)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// demo plays the life of a monitor in memory, with the mistakes that are made most.
func (p *program) demo(ctx context.Context, _ string) (err error) {
	folder, err := os.MkdirTemp("", "presencebridge-monitors-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s, err := newStage(folder)
	if err != nil {
		return err
	}
	defer s.close()
	d := &player{program: p, stage: s}
	own := s.application.Secrets[0]

	d.say(ctx, "Somebody copies the Secret ID from Entra in place of the value.")
	d.step(ctx, exitFailed, presence.NewSecret(own.KeyID), "", "add", demoMonitor)
	d.step(ctx, 0, own.Value, "", "add", demoMonitor)
	d.say(ctx, "The administrator signs in with an account of her own.")
	d.step(ctx, exitFailed, presence.Secret{}, s.stranger.ID, "authorize", demoMonitor)
	d.step(ctx, 0, presence.Secret{}, s.monitor.ID, "authorize", demoMonitor)
	d.step(ctx, 0, presence.Secret{}, "", "list")
	d.say(ctx, "The client secret ends.")
	if err := s.server.ExpireSecret(s.application.ClientID, own.Value); err != nil {
		return err
	}
	d.step(ctx, exitFailed, presence.Secret{}, "", "retry", demoMonitor)
	fresh, err := s.addSecret()
	if err != nil {
		return err
	}
	d.step(ctx, 0, fresh.Value, "", "renew", demoMonitor)
	d.step(ctx, 0, presence.Secret{}, "", "retry", demoMonitor)
	d.step(ctx, 0, presence.Secret{}, "", "delete", demoMonitor)
	d.step(ctx, 0, presence.Secret{}, "", "list")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(d.faults...)
}
