// Package memnet is a network in memory: hosts by name, streams through pipes.
// Everything a connection waits for is a channel, so that clients and servers
// on it can live in one testing/synctest bubble.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Network is a set of named hosts. The zero value has none; use New.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// New returns a network without hosts.
func New() *Network { return &Network{listeners: make(map[string]*listener)} }

// Listen makes host reachable, on every port. The name must not be in use.
func (n *Network) Listen(host string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[host] != nil {
		return nil, fmt.Errorf("memnet: host %q is in use", host)
	}
	l := &listener{network: n, host: host, incoming: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[host] = l
	return l, nil
}

// DialContext connects to the host of address, whatever its port. It fits
// [http.Transport].
func (n *Network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	n.mu.Lock()
	l := n.listeners[host]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: fmt.Errorf("no host %q", host)}
	}
	client, server := net.Pipe()
	select {
	case l.incoming <- server:
		return client, nil
	case <-l.closed:
		err = errors.New("connection refused")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = client.Close()
	_ = server.Close()
	return nil, &net.OpError{Op: "dial", Net: "memory", Err: err}
}

// Client returns an HTTP client that reaches the hosts of this network and no
// others. Call CloseIdleConnections on it when it is no longer used.
func (n *Network) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DialTLSContext: n.DialContext, MaxIdleConnsPerHost: 64}}
}

type listener struct {
	network  *Network
	host     string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		delete(l.network.listeners, l.host)
		l.network.mu.Unlock()
	})
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.host) }

type addr string

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }
