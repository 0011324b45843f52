// Command verify finds out why presence is wrong: in the whole system, or for one
// person.
//
//	verify -config FILE                  the system check
//	verify -config FILE -user EMAIL      the user check: what each hop holds of a person
//	verify -config FILE -user EMAIL -reset
//	                                     reset the person's phone state, then check
//	verify -config FILE -sync-all        sync all Teams presence with MiCollab
//	verify -simulate …                   the same for a bridge of its own between doubles
//	verify -codes                        list every check
//
// "go run ./examples/verify -simulate" needs no account anywhere: it starts doubles of
// Microsoft Graph and CloudLink and a bridge between them in this process, and checks
// it. -break NAME breaks one thing first, so that one sees how it is reported:
//
//	go run ./examples/verify -simulate -break secret-expired
//	go run ./examples/verify -simulate -break lost-notifications -user anna.kraus@example.test -reset
//
// # The system check
//
// Every check is made, as long as what it depends on has passed. The report says of
// each that has not passed what is wrong, what is to be done and by which
// administrator, and sums that up at the end. -only makes some of the checks, with
// what they depend on. -again repeats those that have not passed, until all pass.
// -probe shows a call in the Teams of a test user for some seconds, to see the whole
// way; the configuration can switch that on for good.
//
// # Which bridge is asked
//
// If a bridge answers at the status address of the configuration, it makes the checks:
// it knows what it has read, written and heard. If none does, this process takes its
// place for as long as the checks take, with the store of the presence monitors and
// with subscriptions, which the bridge takes over when it starts. It writes no
// presence meanwhile, except for -reset, -sync-all and the probe; and for the first two
// only if nothing answers at the status address.
//
// # Output
//
// The report is on standard output, as text, or with -json as one JSON document for a
// support case. Progress is on standard error, in one line on a terminal. Reports are
// without secrets; they name people.
//
// It exits with 0 if everything is as it should be, with 1 if something has failed or
// was not done, with 2 when the command line or the configuration file is wrong, and
// with 3 if nothing has failed and the system check warns, or a place that matters to
// the user check could not be read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/verify"
)

// The exit codes beside those of package verify.
const (
	exitFailed = verify.ExitFailed
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{stdout: os.Stdout, stderr: os.Stderr, pause: 15 * time.Second, patience: 30 * time.Second}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is one call of the command, with what is around the process.
type program struct {
	stdout, stderr io.Writer
	// pause is how long -again waits between two runs.
	pause time.Duration
	// patience is how long a bridge of this process may take until it is checked,
	// whatever it has not done by then.
	patience time.Duration

	flags flags
}

// flags are those of the command line.
type flags struct {
	config, fault, only, probe, user string
	simulate, again, reset, syncAll  bool
	asJSON, codes, verbose           bool
	// onlyCodes are the codes of only.
	onlyCodes []verify.Code
}

const usageHead = `verify finds out why presence is wrong, in the whole system or for one person.

  verify -config FILE [-only CODES] [-probe EMAIL] [-again]   the system check
  verify -config FILE -user EMAIL [-reset]                    the user check
  verify -config FILE -sync-all                               sync Teams presence with MiCollab
  verify -simulate [-break NAME] ...                          the same for a simulated system
  verify -codes                                               list every check

`

// run is the program without the process around it.
func (p *program) run(ctx context.Context, args []string) int {
	f := &p.flags
	set := flag.NewFlagSet("verify", flag.ContinueOnError)
	set.SetOutput(p.stderr)
	set.StringVar(&f.config, "config", "", "configuration `FILE` of the bridge; bridge.sample.yaml of examples/bridge explains it")
	set.BoolVar(&f.simulate, "simulate", false, "check a bridge of this process between doubles of the services")
	set.StringVar(&f.fault, "break", "", "with -simulate: break the thing of this `NAME` first: "+strings.Join(faultNames(), ", "))
	set.StringVar(&f.only, "only", "", "make only the checks of these `CODES`, separated by commas, and what they depend on")
	set.StringVar(&f.probe, "probe", "", "show a call in the Teams of the test user with this `EMAIL` for some seconds")
	set.BoolVar(&f.again, "again", false, "repeat the checks that have not passed until all pass")
	set.StringVar(&f.user, "user", "", "check the person with this `EMAIL`")
	set.BoolVar(&f.reset, "reset", false, "with -user: reset the person's phone state first")
	set.BoolVar(&f.syncAll, "sync-all", false, "sync all Teams presence with MiCollab")
	set.BoolVar(&f.asJSON, "json", false, "print the report as one JSON document")
	set.BoolVar(&f.codes, "codes", false, "list every check and end")
	set.BoolVar(&f.verbose, "v", false, "show what was found where all is well, too, and log")
	set.Usage = func() {
		fmt.Fprint(p.stderr, usageHead)
		set.PrintDefaults()
	}
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	given := map[string]bool{}
	set.Visit(func(one *flag.Flag) { given[one.Name] = true })
	if faults := f.check(given, set.Args()); len(faults) > 0 {
		for _, fault := range faults {
			p.complain(fault)
		}
		fmt.Fprintln(p.stderr, "verify -h lists the flags")
		return exitUsage
	}
	if f.codes {
		return p.listCodes()
	}
	return p.check(ctx)
}

// check finds all that is wrong with a command line.
func (f *flags) check(given map[string]bool, operands []string) (faults []string) {
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	fault(len(operands) > 0, "%q is not expected: everything is a flag", strings.Join(operands, " "))
	if f.codes {
		fault(len(given) > 2 || len(given) == 2 && !f.asJSON, "-codes goes with -json only: leave the others out")
		return faults
	}
	fault(f.config == "" && !f.simulate, "there is no bridge to check: give -config FILE, or -simulate")
	fault(f.config != "" && f.simulate, "-config and -simulate exclude each other: give one of them")
	fault(given["break"] && !f.simulate, "-break needs -simulate: a real system is not broken here")
	fault(given["break"] && !slices.Contains(faultNames(), f.fault), "nothing can be broken by the name %q: give -break one of %s", f.fault, strings.Join(faultNames(), ", "))
	fault(given["user"] && strings.TrimSpace(f.user) == "", "-user is empty: give the person's e-mail address")
	fault(f.reset && f.user == "", "-reset needs -user EMAIL: it is for one person")
	fault(f.user != "" && f.syncAll, "-user and -sync-all exclude each other: give one of them")
	if f.user != "" || f.syncAll {
		for _, name := range []string{"only", "probe", "again"} {
			fault(given[name], "-%s belongs to the system check: leave out -user and -sync-all, or it", name)
		}
	}
	fault(given["probe"] && strings.TrimSpace(f.probe) == "", "-probe is empty: give the test user's e-mail address")
	known := map[verify.Code]bool{}
	for _, c := range verify.Checks() {
		known[c.Code] = true
	}
	for name := range strings.SplitSeq(f.only, ",") {
		code := verify.Code(strings.TrimSpace(name))
		if code == "" {
			continue
		}
		fault(!known[code], "there is no check %q: verify -codes lists them", code)
		f.onlyCodes = append(f.onlyCodes, code)
	}
	fault(given["only"] && len(f.onlyCodes) == 0, "-only is empty: give the codes of checks, separated by commas; verify -codes lists them")
	return faults
}

// writes reports whether the command changes what people show.
func (f *flags) writes() bool { return f.reset || f.syncAll }

func (p *program) complain(text string) { fmt.Fprintln(p.stderr, "verify: "+text) }

// system is a system whose checks can be made: a bridge of this process or of
// another one.
type system struct {
	verify.SystemService
	verify.UserService
	close func() error
}

// check makes the checks of the command line.
func (p *program) check(ctx context.Context) int {
	open := p.openConfigured
	if p.flags.simulate {
		open = p.openSimulated
	}
	s, code := open(ctx)
	if s == nil {
		return code
	}
	switch f := &p.flags; {
	case f.syncAll:
		code = p.syncAll(ctx, s)
	case f.reset:
		code = p.resetPhone(ctx, s)
	case f.user != "":
		code = p.checkUser(ctx, s)
	default:
		code = p.checkSystem(ctx, s)
	}
	if err := s.close(); err != nil {
		p.complain(err.Error())
		code = exitFailed
	}
	return code
}
