package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/examples/internal/service"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/verify"
)

// answerWithin is how long a running bridge may take to answer whether it is there.
const answerWithin = 5 * time.Second

// openConfigured returns the system of the configuration file: the bridge that runs,
// else one of this process. Without a system it returns an exit code.
func (p *program) openConfigured(ctx context.Context) (*system, int) {
	file := p.flags.config
	text, err := service.ReadFile(file)
	if err != nil {
		p.complain(fmt.Sprintf("the configuration cannot be read: %v: give the path of the file with which the bridge runs", err))
		return nil, exitUsage
	}
	// A bridge that runs has its secrets already: whoever asks it needs none.
	running, why, perhaps := p.findRunning(ctx, service.StatusAddress(text))
	switch {
	case ctx.Err() != nil:
		p.complain("interrupted")
		return nil, exitFailed
	case running != nil:
		return running, 0
	case perhaps && p.flags.writes():
		// Two bridges that write end the Teams sessions of one another.
		p.complain(why + ": it may be one that is busy, or of an earlier release. Nothing is written beside it: try again, or stop it, or correct the status address")
		return nil, exitFailed
	}
	s, warnings, err := service.Load(file, text, os.LookupEnv)
	for _, w := range warnings {
		fmt.Fprintln(p.stderr, w.Error()+" (warning)")
	}
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return nil, exitUsage
	}
	p.complain(why + ": if none runs, nobody keeps presence in step. This process takes its place for the checks, and knows nothing of what another one has heard. It reads first what everybody shows")
	if (p.flags.reset || p.flags.syncAll) && !s.Bridge.KeepSessionsOnStop {
		p.complain("a Teams session that is set meanwhile ends with this process, because nobody would take it back after the call: start the bridge")
	}
	return p.standIn(ctx, file, s)
}

// findRunning asks for the bridge at the status address. Where it finds none, it
// returns why, and whether there may be one all the same.
func (p *program) findRunning(ctx context.Context, status string) (running *system, why string, perhaps bool) {
	if status == "" {
		return nil, "the configuration has no status address at which a bridge would answer", false
	}
	transport := &http.Transport{Proxy: nil} // the bridge is on this machine
	client, err := verify.NewClient("http://"+status+service.PathVerify, &http.Client{Transport: transport})
	if err != nil {
		return nil, fmt.Sprintf("the status address cannot be asked (%v)", err), false
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	switch _, err := client.Checks(ctx); {
	case err == nil:
		return &system{client, client, func() error { transport.CloseIdleConnections(); return nil }}, "", false
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, "no bridge answers at " + status, false
	default:
		transport.CloseIdleConnections()
		return nil, fmt.Sprintf("what answers at %s is not a bridge that makes checks (%s)", status, plain(err.Error())), true
	}
}

// standIn returns the system of a bridge that is in this process.
func (p *program) standIn(ctx context.Context, file string, s *service.Settings) (*system, int) {
	s.Status = ""
	s.Bridge.DryRun = s.Bridge.DryRun || !p.flags.writes()
	x := &service.Extras{Logger: p.logger()}
	stop := func() error { return nil }
	if s.Teams.Pool != nil {
		store, err := p.openStore(s.Teams.Pool.StoreFile)
		if err != nil {
			fmt.Fprintf(p.stderr, "%s: teams.store: %v\n", file, err)
			return nil, exitFailed
		}
		if store != nil {
			x.Store, stop = store, store.Close
		}
	}
	assembled, err := service.Assemble(s, x)
	if err != nil {
		for _, err := range service.Unjoin(err) {
			fmt.Fprintf(p.stderr, "%s: %s\n", file, service.Plain(err))
		}
		_ = stop() // nothing was written
		return nil, exitUsage
	}
	b := start(ctx, assembled)
	var first []func() bool
	if p.flags.syncAll {
		first = append(first, b.sure)
	}
	if err := p.settle(ctx, b, first...); err != nil {
		_, _ = b.stop(), stop() // what it was is told, and nothing was lost
		p.complain(interrupted(ctx, err).Error())
		return nil, exitFailed
	}
	return &system{assembled.SystemCheck, assembled.UserCheck, func() error { return errors.Join(b.stop(), stop()) }}, 0
}

// openStore opens the store of the presence monitors. Where there is none, none is
// made: it returns nil, for one in memory.
func (p *program) openStore(path string) (*boltstore.Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		p.complain(fmt.Sprintf("there is no store at %s yet: nobody has signed in as a presence monitor. The log of the bridge says, when it runs, where each has to sign in", path))
		return nil, nil
	}
	store, err := boltstore.Open(path, nil)
	if errors.Is(err, monitor.ErrStoreInUse) {
		return nil, fmt.Errorf("%w: a bridge that has it open is asked if the configuration has its status address", err)
	}
	return store, err
}
