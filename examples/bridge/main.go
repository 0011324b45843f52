// Command bridge keeps the presence of people in step between Microsoft Teams
// and Mitel MiCollab.
//
// Without arguments it needs no account anywhere: it starts doubles of Microsoft
// Graph and CloudLink on this machine, a bridge between them, and plays a
// working day of a company of fifteen hundred in half a minute. Every change is
// one line: when it happened, to whom, where, what became of it on the other side,
// and how long that took. Three presence monitors watch the company; one loses its
// client secret during the day, and one is taken away. Then it stays up, with a
// status page, until it is interrupted.
//
//	bridge                  play a day, then stay up
//	bridge -once            end after the day: exit 0 if both sides agree
//	bridge -json            the same as JSON, one object a line
//	bridge -config FILE     keep real people in step; see bridge.sample.yaml
//	bridge -config FILE -check
//
// Beside the status page, the bridge makes the system check and the user check for
// whoever asks at this machine, as examples/verify does: what is wrong, what to do,
// and who does it.
//
// The demonstration and the real thing are assembled by the same code, in wire.go of
// examples/internal/service, which is the place to look for how the packages of this
// module fit together.
//
// It exits with 1 when it failed, or both sides did not agree, and with 2 when
// the command line or the configuration file is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bridge", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "bridge keeps presence in step between Microsoft Teams and Mitel MiCollab.\n\n"+
			"  bridge [-once] [-json] [-day 24s]   play a day of a company on this machine\n"+
			"  bridge -config FILE [-check]        keep real people in step, or only check FILE\n\n")
		flags.PrintDefaults()
	}
	config := flags.String("config", "", "configuration `FILE`; bridge.sample.yaml explains it")
	check := flags.Bool("check", false, "with -config: check the file and end")
	once := flags.Bool("once", false, "end after the day: exit 0 only if both sides agree for every user")
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	day := flags.Duration("day", 24*time.Second, "how long the day from 08:00 to 18:00 takes")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	fault := ""
	switch {
	case flags.NArg() > 0:
		fault = fmt.Sprintf("%q is not expected: everything is a flag", flags.Arg(0))
	case *config != "" && (*once || *asJSON):
		fault = "-once and -json belong to the demonstration: leave -config out, or them"
	case *check && *config == "":
		fault = "-check needs -config FILE"
	case *day < minDay || *day > maxDay:
		fault = fmt.Sprintf("-day is %v: use %v to %v", *day, minDay, maxDay)
	}
	if fault != "" {
		fmt.Fprintln(stderr, "bridge: "+fault)
		return exitUsage
	}
	if *config != "" {
		return runConfigured(ctx, *config, *check, stdout, stderr)
	}
	return runDemonstration(ctx, demoOptions{day: *day, once: *once, json: *asJSON}, stdout, stderr)
}

// runConfigured keeps the people of a configuration file in step until ctx ends.
func runConfigured(ctx context.Context, file string, check bool, stdout, stderr io.Writer) int {
	text, err := service.ReadFile(file)
	if err != nil {
		fmt.Fprintf(stderr, "bridge: the configuration cannot be read: %v: give the path of a file; bridge.sample.yaml is one to start from\n", err)
		return exitUsage
	}
	s, warnings, err := service.Load(file, text, os.LookupEnv)
	for _, w := range warnings {
		fmt.Fprintln(stderr, w.Error()+" (warning)")
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	x := &service.Extras{Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.LogLevel}))}
	if s.Teams.Pool != nil && !check {
		store, err := boltstore.Open(s.Teams.Pool.StoreFile, nil)
		if err != nil {
			fmt.Fprintf(stderr, "%s: teams.store: %v\n", file, err)
			return exitFailed
		}
		defer func() { _ = store.Close() }() // every write has reached the disk
		x.Store = store
	}
	assembled, err := service.Assemble(s, x)
	if err != nil {
		for _, err := range service.Unjoin(err) {
			fmt.Fprintf(stderr, "%s: %s\n", file, service.Plain(err))
		}
		return exitUsage
	}
	if check {
		fmt.Fprintf(stdout, "%s is in order: %s, %s\n", file, s.Bridge.Direction, describe(s))
		return 0
	}
	if err := assembled.Run(ctx); err != nil {
		fmt.Fprintln(stderr, "bridge: "+err.Error())
		return exitFailed
	}
	return 0
}

// describe says how changes reach the bridge.
func describe(s *service.Settings) string {
	switch {
	case s.PublicURL == "":
		return "without notifications"
	case s.Teams.Pool == nil:
		return "notifications of CloudLink, Teams read in bulk"
	default:
		return "notifications of both sides"
	}
}
