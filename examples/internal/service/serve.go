package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Run serves both sides and keeps everybody in step until ctx ends, and cleans
// up: the bridge's Teams sessions are cleared and its subscriptions at CloudLink
// deleted. Those at Microsoft Graph are left, and adopted by the next start. It
// returns nil after an orderly stop.
func (s *Service) Run(ctx context.Context) error {
	defer s.HTTP.CloseIdleConnections()
	servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	// The servers outlive the workers, because whoever is unsubscribed may
	// still be delivering.
	serving := newCrew(context.WithoutCancel(ctx))
	for _, l := range servers {
		serving.start(l.serve)
	}
	working := newCrew(ctx)
	// A server that fails ends everything.
	unlink := context.AfterFunc(serving.ctx, working.cancel)
	working.start(s.Bridge.Run)
	if s.Watcher != nil {
		working.start(s.Watcher.Run)
	}
	if s.monitors != nil {
		working.start(s.monitors.Run)
	}
	workErr := working.wait()
	unlink()
	serving.cancel()
	return errors.Join(workErr, serving.wait())
}

// crew is functions that run together: the end of one, in error, ends all.
type crew struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	faults  []error
}

func newCrew(ctx context.Context) *crew {
	c := &crew{}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

func (c *crew) start(f func(context.Context) error) {
	c.running.Go(func() {
		if err := f(c.ctx); err != nil {
			c.mu.Lock()
			c.faults = append(c.faults, err)
			c.mu.Unlock()
			c.cancel()
		}
	})
}

func (c *crew) wait() error {
	c.running.Wait()
	c.cancel()
	return errors.Join(c.faults...)
}

// listener is one HTTP server with its socket.
type listener struct {
	what   string
	socket net.Listener
	server *http.Server

	mu       sync.Mutex
	unused   map[net.Conn]bool // connections on which nothing has come yet
	stopping bool
}

func newListener(what string, socket net.Listener, handler http.Handler) *listener {
	l := &listener{what: what, socket: socket, unused: make(map[net.Conn]bool)}
	l.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: l.note}
	return l
}

// note keeps account of the unused connections. Clients open such in advance, and
// Shutdown would wait for each of them for five seconds.
func (l *listener) note(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(l.unused, c)
	case l.stopping:
		_ = c.Close()
	default:
		l.unused[c] = true
	}
}

func (l *listener) closeUnused() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	for c := range l.unused {
		_ = c.Close()
	}
}

// listen opens every socket before anything else happens: Microsoft Graph calls
// back while a subscription is being made.
func (s *Service) listen(ctx context.Context) ([]*listener, error) {
	var all []*listener
	add := func(what, address string, socket net.Listener, handler http.Handler) error {
		if socket == nil && address == "" {
			return nil
		}
		if socket == nil {
			var err error
			if socket, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
				return fmt.Errorf("cannot listen for %s: %w: is another bridge running? change the address", what, err)
			}
		}
		s.logger.InfoContext(ctx, "listening", "for", what, "address", socket.Addr().String())
		all = append(all, newListener(what, socket, handler))
		return nil
	}
	err := add("notifications", s.Settings.Listen, s.Settings.Listener, s.public())
	if err == nil {
		err = add("the status page", s.Settings.Status, s.Settings.StatusListener, s.status())
	}
	if err != nil {
		for _, l := range all {
			_ = l.socket.Close()
		}
		return nil, err
	}
	return all, nil
}

// serve serves until ctx ends.
func (l *listener) serve(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		l.closeUnused()
		err := l.server.Shutdown(ctx)
		_ = l.server.Close()
		stopped <- err
	})
	if err := l.server.Serve(l.socket); !errors.Is(err, http.ErrServerClosed) {
		stop()
		_ = l.server.Close()
		return fmt.Errorf("the server for %s failed: %w", l.what, err)
	}
	return <-stopped
}
