package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// maxInput bounds what is read of a file or of standard input.
const maxInput = 64 << 10

// clientSecret returns the client secret that is meant for a monitor. An empty
// one is left to the pool, which says what is missing.
func (p *program) clientSecret(ctx context.Context, principalName string) (presence.Secret, error) {
	if value := p.getenv(envClientSecret); value != "" {
		return presence.NewSecret(strings.TrimSpace(value)), nil
	}
	return p.readSecret(ctx, "Client secret of "+principalName+" (its Value, not its Secret ID; it is not shown): ")
}

// readSecret reads one line: from a terminal after a prompt, without an echo.
func (p *program) readSecret(ctx context.Context, prompt string) (presence.Secret, error) {
	file, isFile := p.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return waitFor(ctx, func() (presence.Secret, error) { return readLine(p.stdin) })
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return presence.Secret{}, fmt.Errorf("the terminal cannot be used: %w: give the client secret by the variable %s or by standard input", err, envClientSecret)
	}
	fmt.Fprint(p.stderr, prompt)
	secret, err := waitFor(ctx, func() (presence.Secret, error) {
		line, err := term.ReadPassword(fd)
		return presence.NewSecret(strings.TrimSpace(string(line))), err
	})
	fmt.Fprintln(p.stderr)
	if ctx.Err() != nil {
		// Nobody else switches the echo on again.
		_ = term.Restore(fd, before)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return secret, err
}

// waitFor returns what f does, or ctx's error. A read cannot be broken off; it
// ends with the process.
func waitFor(ctx context.Context, f func() (presence.Secret, error)) (presence.Secret, error) {
	type result struct {
		secret presence.Secret
		err    error
	}
	done := make(chan result, 1)
	go func() {
		secret, err := f()
		done <- result{secret, err}
	}()
	select {
	case r := <-done:
		return r.secret, r.err
	case <-ctx.Done():
		return presence.Secret{}, ctx.Err()
	}
}

// readLine returns the first line, without white space around it.
func readLine(r io.Reader) (presence.Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxInput)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return presence.Secret{}, fmt.Errorf("standard input cannot be read: %w", err)
	}
	return presence.NewSecret(strings.TrimSpace(line)), nil
}

// sealer makes what opens and seals the store's secrets.
func (p *program) sealer() (*monitor.Sealer, error) {
	keys := []string{p.getenv(envStoreKey)}
	source := "the variable " + envStoreKey
	if p.settings.keyFile != "" {
		file, err := os.Open(p.settings.keyFile)
		if err != nil {
			return nil, fmt.Errorf("the key cannot be read: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(file, maxInput))
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("the key cannot be read: %w", err)
		}
		keys, source = strings.Fields(string(text)), p.settings.keyFile
	}
	if len(keys) == 0 || keys[0] == "" {
		return nil, usageError("the key of the store is missing: give -key-file FILE, or the variable " + envStoreKey + "; keygen prints a key for a new store")
	}
	var former []presence.Secret
	for _, key := range keys[1:] {
		former = append(former, presence.NewSecret(key))
	}
	sealer, err := monitor.NewSealer(presence.NewSecret(keys[0]), &monitor.SealerOptions{Former: former})
	if err != nil {
		return nil, fmt.Errorf("the key in %s cannot be used: %w", source, err)
	}
	return sealer, nil
}
