package memnet_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/internal/memnet"
)

// serve answers on host with its name and the request's body.
func serve(t *testing.T, n *memnet.Network, host string) {
	t.Helper()
	l, err := n.Listen(host)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		time.Sleep(time.Minute)
		_, _ = io.WriteString(w, host+": "+string(body))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
}

func TestNetworkCarriesHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		serve(t, n, "one.example")
		serve(t, n, "two.example")
		client := n.Client()
		defer client.CloseIdleConnections()
		start := time.Now()
		for _, url := range []string{"http://one.example/", "http://two.example:8080/", "https://one.example/", "http://two.example/again"} {
			body := strings.Repeat("x", 1<<20)
			resp, err := client.Post(url, "text/plain", strings.NewReader(body))
			require.NoError(t, err, url)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err, url)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, resp.Request.URL.Hostname()+": "+body, string(got), url)
		}
		assert.Equal(t, 4*time.Minute, time.Since(start), "the time is the bubble's")
		_, err := client.Get("http://three.example/")
		assert.ErrorContains(t, err, `no host "three.example"`)
	})
}

func TestNetworkEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Listen("host")
		require.NoError(t, err)
		assert.Equal(t, "host", l.Addr().String())
		assert.Equal(t, "memory", l.Addr().Network())
		_, err = n.Listen("host")
		require.ErrorContains(t, err, "in use")

		// Nobody accepts: a dial waits for its context, or for the listener's end.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.DialContext(ctx, "tcp", "host:1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		refused := make(chan error)
		go func() {
			_, err := n.DialContext(t.Context(), "tcp", "host:1")
			refused <- err
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		var opErr *net.OpError
		require.ErrorAs(t, <-refused, &opErr)
		assert.Equal(t, "dial", opErr.Op)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = n.DialContext(t.Context(), "tcp", "host")
		require.ErrorContains(t, err, "no host")

		again, err := n.Listen("host")
		require.NoError(t, err, "the name is free again")
		require.NoError(t, l.Close(), "a listener can be closed twice")
		accepted := make(chan error)
		go func() {
			_, err := again.Accept()
			accepted <- err
		}()
		_, err = n.DialContext(t.Context(), "tcp", "host:1")
		require.NoError(t, err, "the second close of the old listener leaves the new one alone")
		require.NoError(t, <-accepted)
		require.NoError(t, again.Close())
	})
}
