package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// command is one word of the command line.
type command struct {
	name, synopsis, help string
	// define adds the command's own flags, and returns what to run once they are
	// parsed.
	define func(p *program, flags *flag.FlagSet) func(ctx context.Context, principalName string) error
}

// simple is a command without flags.
func simple(run func(p *program, ctx context.Context, principalName string) error) func(*program, *flag.FlagSet) func(context.Context, string) error {
	return func(p *program, _ *flag.FlagSet) func(context.Context, string) error {
		return func(ctx context.Context, principalName string) error { return run(p, ctx, principalName) }
	}
}

const monitorName = "UPN"

func commands() []command {
	return []command{
		{"list", "[-json]", "what each monitor is in, and what to do about it", defineList},
		{"add", monitorName, "a new monitor, with a client secret of its own", simple((*program).add)},
		{"authorize", monitorName, "print the URL to sign in at, and wait for the sign-in", defineAuthorize},
		{"url", monitorName, "print that URL only, for somebody else to open", simple((*program).url)},
		{"complete", "", "end a sign-in with the address that the browser was sent to", simple((*program).complete)},
		{"renew", monitorName, "give a monitor another client secret", simple((*program).renew)},
		{"retry", monitorName, "ask Entra about a monitor now", simple((*program).retry)},
		{"delete", monitorName, "take a monitor out, with its subscription", simple((*program).delete)},
		{"application", "[-apply]", "what another tenant or client id would change", defineApplication},
		{"keygen", "", "print a new key for a store", simple((*program).keygen)},
		{"demo", "", "with -simulate: play all of it against a double", simple((*program).demo)},
	}
}

// dispatch runs one command. It never repeats an argument that it does not
// expect: it may be a secret.
func (p *program) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError("there is no command")
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return usageError("there is no such command")
	}
	c := all[i]
	flags := flag.NewFlagSet("monitors "+c.name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	run := c.define(p, flags)
	var operands []string
	for rest := args[1:]; ; {
		if err := flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return err
			}
			return usageError("monitors " + c.name + " has no such flag, or not with this value")
		}
		if flags.NArg() == 0 {
			break
		}
		// Flags may stand behind the name too.
		operands, rest = append(operands, flags.Arg(0)), flags.Args()[1:]
	}
	if c.name == "demo" != p.settings.simulate {
		return usageError("-simulate and demo belong together: for the other commands, start examples/simulator and give its addresses by -login and -graph")
	}
	if c.synopsis != monitorName {
		if len(operands) > 0 {
			return usageError(c.name + " takes no argument")
		}
		return run(ctx, "")
	}
	switch {
	case len(operands) == 0:
		return usageError(c.name + " needs the monitor's user principal name, such as monitor1@example.com")
	case len(operands) > 1:
		return usageError(c.name + " takes one argument, the monitor's user principal name; a client secret is no argument: it is asked for")
	case !nameable(operands[0]):
		return usageError("the argument of " + c.name + " is not a user principal name, such as monitor1@example.com")
	}
	return run(ctx, operands[0])
}

// nameable reports whether the text can name a monitor: a user principal name, or
// the key under which the list shows one that cannot be read.
func nameable(text string) bool {
	return strings.Contains(text, "@") || len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

func defineList(p *program, flags *flag.FlagSet) func(context.Context, string) error {
	asJSON := flags.Bool("json", false, "print JSON")
	return func(ctx context.Context, _ string) error {
		return p.withSession(ctx, func(s *session) error {
			snapshot := s.pool.Snapshot()
			if *asJSON {
				return p.printJSON(snapshot)
			}
			p.printTable(snapshot.Monitors)
			p.printFormerKeys(snapshot.FormerKeys)
			return nil
		})
	}
}

func (p *program) add(ctx context.Context, principalName string) error {
	secret, err := p.clientSecret(ctx, principalName)
	if err != nil {
		return err
	}
	return p.withNewStore(ctx, func(s *session) error {
		if err := s.pool.Add(ctx, principalName, secret); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s was added.\n", principalName)
		// Now that Entra has accepted it: a new store learns whose it is.
		if _, err := s.pool.SetApplication(ctx, s.pool.Application()); err != nil {
			return err
		}
		return s.showEntered(principalName)
	})
}

func (p *program) renew(ctx context.Context, principalName string) error {
	return p.withSession(ctx, func(s *session) error {
		// Whoever has mistyped the name shall not look for a secret first.
		if _, err := s.stays("renew", principalName); err != nil {
			return err
		}
		secret, err := p.clientSecret(ctx, principalName)
		if err != nil {
			return err
		}
		if err := s.pool.Renew(ctx, principalName, secret); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s has another client secret.\n", principalName)
		return s.showEntered(principalName)
	})
}

// retry has Entra asked now, and fails if the monitor cannot work. An
// administrator who types it wants to know, and there is no bridge that would
// look later.
func (p *program) retry(ctx context.Context, principalName string) error {
	return p.withSession(ctx, func(s *session) error {
		if _, err := s.stays("retry", principalName); err != nil {
			return err
		}
		m, err := s.pool.Resync(ctx, principalName)
		if err != nil {
			return err
		}
		if !m.State.Usable() {
			return trouble(m)
		}
		p.printState(m)
		return nil
	})
}

func (p *program) delete(ctx context.Context, principalName string) error {
	return p.withSession(ctx, func(s *session) error {
		m, err := s.find("delete", principalName)
		if err != nil {
			return err
		}
		if err := s.pool.Delete(ctx, principalName); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s was deleted.\n", m.PrincipalName)
		select {
		case err := <-s.undeleted:
			fmt.Fprintf(p.stdout, "Its subscription could not be deleted and ends by itself within the hour: %s.\n", plain(err))
		default:
		}
		if m.Users > 0 {
			fmt.Fprintf(p.stdout, "Other monitors get its %s when the bridge starts.\n", count(m.Users, "user"))
		}
		return nil
	})
}

func defineApplication(p *program, flags *flag.FlagSet) func(context.Context, string) error {
	var to monitor.Application
	flags.StringVar(&to.TenantID, "to-tenant", "", "`ID` of the other tenant (default the present one)")
	flags.StringVar(&to.ClientID, "to-client", "", "`ID` of the other application (default the present one)")
	apply := flags.Bool("apply", false, "make the change, instead of only telling of it")
	return func(ctx context.Context, _ string) error {
		if to == (monitor.Application{}) {
			return usageError("application needs -to-tenant or -to-client: the id that the bridge shall be configured with")
		}
		return p.withSession(ctx, func(s *session) error {
			ask := s.pool.PreviewApplication
			if *apply {
				ask = s.pool.SetApplication
			}
			change, err := ask(ctx, filled(to, s.pool.Application()))
			if err != nil {
				return err
			}
			p.printChange(change, *apply)
			return nil
		})
	}
}

func (p *program) keygen(context.Context, string) error {
	fmt.Fprintln(p.stdout, monitor.GenerateKey().Reveal())
	return nil
}

// withSession opens the store that there is.
func (p *program) withSession(ctx context.Context, f func(*session) error) error {
	return p.inSession(ctx, f, func() error {
		return fmt.Errorf("there is no store at %s: correct -store, or add a monitor, which makes it", p.settings.store)
	})
}

// withNewStore opens the store and makes it if there is none.
func (p *program) withNewStore(ctx context.Context, f func(*session) error) error {
	return p.inSession(ctx, f, p.settings.needApplication)
}

// inSession opens the store. Where there is none, absent may refuse to make it.
func (p *program) inSession(ctx context.Context, f func(*session) error, absent func() error) (err error) {
	if err := p.settings.check(); err != nil {
		return err
	}
	if _, err := os.Stat(p.settings.store); errors.Is(err, fs.ErrNotExist) {
		if err := absent(); err != nil {
			return err
		}
	}
	s, err := p.openSession(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return f(s)
}

// status is a monitor as JSON.
type status struct {
	PrincipalName   string        `json:"principalName"`
	State           monitor.State `json:"state"`
	Sentence        string        `json:"sentence"`
	Commands        []string      `json:"commands"`
	Users           int           `json:"users"`
	AddedAt         time.Time     `json:"addedAt,omitzero"`
	AuthorizedAt    time.Time     `json:"authorizedAt,omitzero"`
	GrantExpiresAt  time.Time     `json:"grantExpiresAt,omitzero"`
	SecretExpiresAt time.Time     `json:"secretExpiresAt,omitzero"`
	SecretUnknown   string        `json:"secretUnknown,omitempty"`
	URLExpiresAt    time.Time     `json:"urlExpiresAt,omitzero"`
	SignInFailure   string        `json:"signInFailure,omitempty"`
	CheckedAt       time.Time     `json:"checkedAt,omitzero"`
	Leaving         bool          `json:"leaving,omitempty"`
}

func (p *program) printJSON(snapshot monitor.Snapshot) error {
	all := make([]status, 0, len(snapshot.Monitors))
	for _, m := range snapshot.Monitors {
		all = append(all, status{
			PrincipalName: m.PrincipalName, State: m.State, Sentence: m.Sentence, Commands: commandsFor(m), Users: m.Users,
			AddedAt: m.AddedAt, AuthorizedAt: m.AuthorizedAt, GrantExpiresAt: m.RefreshTokenExpiresAt,
			SecretExpiresAt: m.SecretExpiresAt, SecretUnknown: m.SecretUnknown, URLExpiresAt: m.SignInExpiresAt,
			SignInFailure: m.SignInFailure, CheckedAt: m.CheckedAt, Leaving: m.Leaving,
		})
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Application monitor.Application `json:"application"`
		FormerKeys  int                 `json:"formerKeys"`
		Monitors    []status            `json:"monitors"`
	}{snapshot.Application, snapshot.FormerKeys, all})
}
