// Command simulator serves the doubles of Microsoft Entra, Microsoft Graph and
// Mitel CloudLink, so that a client in any language can be tried out without an
// account at either vendor.
//
//	go run ./examples/simulator -addr 127.0.0.1:9400
//
// It prints where everything is, with the credentials of a small company, as
// one JSON object on standard output, and serves until it is interrupted. What
// happens to the company is up to the control endpoint, whose commands
// GET http://127.0.0.1:9400/control lists:
//
//	curl -d '{"endpoint": "2001", "state": "connected"}' http://127.0.0.1:9400/control/phone
//	curl -d '{"user": "2001", "availability": "DoNotDisturb"}' http://127.0.0.1:9400/control/teams
//	curl http://127.0.0.1:9400/control/state
//
// With -tls it speaks HTTPS, as sign-in libraries insist on; the JSON names the
// file with the certificate to trust.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitOK    = 0
	exitFault = 1
	exitUsage = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var opts simulator.Options
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.Address, "addr", "127.0.0.1:9400", "`address` to listen on; port 0 is any free one")
	flags.BoolVar(&opts.TLS, "tls", false, "serve HTTPS with a certificate of its own authority")
	flags.StringVar(&opts.CertificateFile, "ca", "", "`file` to write the authority's certificate to, with -tls (default a temporary file)")
	flags.BoolVar(&opts.AllowRemote, "allow-remote", false, "permit an address that other machines reach, and notifications to them")
	flags.StringVar(&opts.URL, "url", "", "base `URL` under which clients reach the simulator, if not the address")
	flags.Float64Var(&opts.SessionTimeScale, "session-time-scale", 1, "how many times faster Teams presence sessions age")
	colleagues := 0
	flags.IntVar(&colleagues, "people", 0, fmt.Sprintf("how many `colleagues` with telephones there are besides, at most %d", simulator.MaxColleagues))
	flags.BoolVar(&opts.Throttle, "throttle", false, "answer 429 once a documented budget of Microsoft Graph is used up")
	flags.Func("redirect", "one more redirect `URI` of the Entra application; may be repeated", func(uri string) error {
		opts.RedirectURIs = append(opts.RedirectURIs, uri)
		return nil
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "simulator: unexpected %q: there are flags only; -help lists them\n", strings.Join(flags.Args(), " "))
		return exitUsage
	}
	if colleagues < 0 || colleagues > simulator.MaxColleagues {
		fmt.Fprintf(stderr, "simulator: -people is %d: use 0 to %d\n", colleagues, simulator.MaxColleagues)
		return exitUsage
	}
	opts.People = append(simulator.Company(), simulator.Colleagues(colleagues)...)
	s, err := simulator.Start(opts)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFault
	}
	defer s.Close()
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s.Info()); err != nil {
		fmt.Fprintln(stderr, "simulator: cannot print where everything is:", err)
		return exitFault
	}
	fmt.Fprintf(stderr, "simulator: serving at %s until interrupted; GET %s lists what it can be told\n", s.Info().URL, s.Info().Control)
	<-ctx.Done()
	return exitOK
}
