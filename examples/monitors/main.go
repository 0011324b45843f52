// Command monitors looks after the presence monitors of a bridge from the
// terminal: the accounts that watch Teams, their client secrets and their sign-ins.
//
//	monitors -store FILE [-tenant ID -client ID] COMMAND
//
//	list [-json]           what each monitor is in, and what to do about it
//	add UPN                a new monitor, with a client secret of its own
//	authorize UPN          print the URL to sign in at, and wait for the sign-in
//	url UPN                print that URL only, for somebody else to open
//	complete               end a sign-in with the address that the browser was sent to
//	renew UPN              give a monitor another client secret
//	retry UPN              ask Entra about a monitor now
//	delete UPN             take a monitor out, with its subscription
//	application            what another tenant or client id would change; -apply does it
//	keygen                 print a new key for a store
//	demo                   with -simulate: play all of it against a double of Microsoft
//
// "go run ./examples/monitors -simulate demo" needs no account anywhere. To try
// the commands one by one, start examples/simulator and give its addresses by
// -login and -graph.
//
// # The store
//
// The program opens the same file as the bridge, which one process can have at a
// time: stop the bridge first, and start it when the work is done. It finds
// what has changed. Do not be long about it: until then nobody takes
// notifications, and a subscription that is not renewed ends within the hour.
//
// Only add makes a file where there is none, for the tenant and the application
// that -tenant and -client name. From then on the store knows them and the flags
// can be left out; given, they must be the store's. Only application changes
// them.
//
// The program manages the monitors and watches nobody: it creates and renews no
// subscription, and those of the bridge live on while it works. Only delete
// ends one: that of the monitor that leaves, whose users the bridge gives to the
// others. A bridge in whose configuration the monitor still stands may add it
// again.
//
// # Signing in
//
// A sign-in belongs to the store, not to the process that began it, and its URL is
// good for an hour and for one use. Where the redirect URI is an address of
// this machine, authorize takes the outcome. A URL that somebody opens elsewhere
// leads their browser to a page that it cannot load, whose address has the
// outcome: have it sent back and give it to complete. Where the redirect URI is
// the bridge's own, print the URL and start the bridge, which takes the outcome
// for as long as it runs.
//
// # Secrets
//
// No secret is an argument, where other users of the machine would see it, and
// none is printed but by keygen. A client secret is read from the environment
// variable MONITORS_CLIENT_SECRET, else from the terminal without an echo, or
// from standard input. The key of the store is read from -key-file, whose further
// lines are former keys, else from BRIDGE_STORE_KEY, as in the sample
// configuration of examples/bridge.
//
// It exits with 1 when something failed, also where retry finds that a monitor
// cannot work, and with 2 when the command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// The environment variables.
const (
	envStoreKey     = "BRIDGE_STORE_KEY"
	envClientSecret = "MONITORS_CLIENT_SECRET"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, listen: listenLocally}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is one call of the command, with what is around the process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(name string) string
	// listen opens the address of the redirect URI.
	listen func(ctx context.Context, host, port string) (net.Listener, error)
	// client reaches Microsoft; nil is the default one.
	client *http.Client
	// person, if set, stands for the one who opens an authorization URL.
	person func(ctx context.Context, authorizationURL string)

	settings settings
}

// settings are the flags before the command.
type settings struct {
	store, keyFile     string
	application        monitor.Application
	redirect           string
	integration        string
	loginURL, graphURL string
	simulate           bool
}

// listenLocally listens on one address. Of localhost that is 127.0.0.1, which
// browsers try where ::1 is closed.
func listenLocally(ctx context.Context, host, port string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
}

// usageError is a command line that says what nobody can do.
type usageError string

func (e usageError) Error() string { return string(e) }

const usageHead = `monitors looks after the presence monitors of a bridge.

  monitors -store FILE [-tenant ID -client ID] COMMAND

`

// run is the program without the process around it.
func (p *program) run(ctx context.Context, args []string) int {
	s := &p.settings
	flags := flag.NewFlagSet("monitors", flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.StringVar(&s.store, "store", "", "`FILE` of the bridge's store")
	flags.StringVar(&s.keyFile, "key-file", "", "`FILE` with the store's key; further lines are former keys (default the variable "+envStoreKey+")")
	flags.StringVar(&s.application.TenantID, "tenant", "", "`ID` of the Entra tenant that the monitors of a new store belong to (default that of the store)")
	flags.StringVar(&s.application.ClientID, "client", "", "`ID` of the Entra application that they belong to (default that of the store)")
	flags.StringVar(&s.redirect, "redirect", "http://localhost:8085/callback", "redirect `URI` that is registered with the application")
	flags.StringVar(&s.integration, "integration", "", "`NAME` of the integration, which the descriptions of its client secrets contain")
	flags.StringVar(&s.loginURL, "login", "", "`URL` of a double in place of Microsoft Entra; with -graph")
	flags.StringVar(&s.graphURL, "graph", "", "`URL` of a double in place of Microsoft Graph; with -login")
	flags.BoolVar(&s.simulate, "simulate", false, "with demo: against a double in this process")
	flags.Usage = func() {
		fmt.Fprint(p.stderr, usageHead)
		for _, c := range commands() {
			fmt.Fprintf(p.stderr, "  %-22s %s\n", strings.TrimSpace(c.name+" "+c.synopsis), c.help)
		}
		fmt.Fprint(p.stderr, "\nThe bridge must be stopped meanwhile. Flags:\n\n")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	err := p.dispatch(ctx, flags.Args())
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(p.stderr, "monitors: "+strings.TrimSuffix(line, "\n"))
		}
		fmt.Fprintln(p.stderr, "monitors -h lists the commands and flags")
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(p.stderr, "monitors: interrupted")
		return exitFailed
	default:
		p.complain(err)
		return exitFailed
	}
}

// cloud is where Microsoft is.
func (s *settings) cloud() graph.Cloud {
	if s.loginURL == "" {
		return graph.Global()
	}
	return graph.Cloud{Name: "double", LoginURL: s.loginURL, GraphURL: s.graphURL, Notifications: true}
}

// check finds all that a command which opens the store misses.
func (s *settings) check() error {
	var faults []error
	if s.store == "" {
		faults = append(faults, usageError("-store is missing: give the file of the bridge's store"))
	}
	if (s.loginURL == "") != (s.graphURL == "") {
		faults = append(faults, usageError("-login and -graph belong together: give both, or neither for Microsoft itself"))
	}
	return errors.Join(faults...)
}

// needApplication finds what is missing where the store does not tell to which
// application its monitors belong.
func (s *settings) needApplication() error {
	var faults []error
	if s.application.TenantID == "" {
		faults = append(faults, usageError("-tenant is missing, which the store does not tell yet: give the directory (tenant) ID that the bridge is configured with"))
	}
	if s.application.ClientID == "" {
		faults = append(faults, usageError("-client is missing, which the store does not tell yet: give the application (client) ID that the bridge is configured with"))
	}
	return errors.Join(faults...)
}
