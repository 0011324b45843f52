package simulator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// webhookClient returns the client that posts notifications: to loopback
// addresses, where certificates are not checked, and if that is permitted to
// others, where they are.
func webhookClient(remote bool) *http.Client {
	d := webhookDialer{remote: remote}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.dial, DialTLSContext: d.dialTLS, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second},
		// The real services take a redirect for a failure.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type webhookDialer struct{ remote bool }

func (d webhookDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	switch {
	case host == "localhost":
		// Whatever the machine's resolver makes of the name.
		address = net.JoinHostPort("127.0.0.1", port)
	case !isLoopback(host) && !d.remote:
		return nil, fmt.Errorf("simulator: %s is not a loopback address: notifications go there only if remote clients are allowed", host)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}

func (d webhookDialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // dial has parsed it
	secured := tls.Client(connection, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		// Nobody issues certificates for loopback addresses, so webhooks there
		// have made their own; what is sent does not leave the machine.
		InsecureSkipVerify: isLoopback(host),
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = connection.Close()
		return nil, err
	}
	return secured, nil
}
