package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/micollab"
)

func TestMiCollabConditions(t *testing.T) {
	server := func(change func(*micollab.Server)) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) { change(&p.miCollab.Server) }
	}
	troubles := []trouble{
		{name: "missing", code: CodeMiCollabAddress, cause: server(func(s *micollab.Server) { s.Address = " " }), status: Failed, sentence: "MiCollab address missing."},
		{name: "URL", code: CodeMiCollabAddress, cause: server(func(s *micollab.Server) { s.Address = "https://micollab.example.com/" }),
			status: Failed, sentence: `MiCollab address invalid: "https://micollab.example.com/" is neither an IP address nor an FQDN.`, remedy: "Give the bare address"},
		{name: "missing", code: CodeMiCollabPassword, cause: server(func(s *micollab.Server) { s.PasswordSet = false }), status: Failed, sentence: "MiCollab password missing."},
		{name: "too old", code: CodeMiCollabVersion, cause: server(func(s *micollab.Server) { s.Version = micollab.Version{Major: 9, Minor: 7} }),
			status: Failed, sentence: "this server is 9.7", remedy: "Upgrade MiCollab to 9.8 SP1 or later."},
		{name: "missing", code: CodeMiCollabVersion, cause: server(func(s *micollab.Server) { s.Version = micollab.Version{} }),
			status: Failed, sentence: "MiCollab version missing.", remedy: "Enter the release of MiCollab", administrator: Operator},
		{name: "off", code: CodeMiCollabCloudLinkIntegration, cause: server(func(s *micollab.Server) { s.CloudLinkIntegration = false }),
			status: Failed, sentence: "MiCollab's CloudLink integration is off."},
		{name: "off", code: CodeMiCollabTeamsIntegration, cause: server(func(s *micollab.Server) { s.TeamsIntegration = false }),
			status: Failed, sentence: "MiCollab's Microsoft Teams integration is off."},
		// What another check is for.
		{name: "and a missing address", code: CodeMiCollabVersion, cause: server(func(s *micollab.Server) { s.Address = "" }), status: Passed},
		{name: "and an old release", code: CodeMiCollabAddress, cause: server(func(s *micollab.Server) { s.Version = micollab.Version{Major: 1} }), status: Passed},
	}
	for code, what := range map[Code]string{
		CodeMiCollabAddress: "which address MiCollab has", CodeMiCollabPassword: "whether the gateway has the MiCollab password", CodeMiCollabVersion: "which release MiCollab is",
		CodeMiCollabCloudLinkIntegration: "whether MiCollab's CloudLink integration is on", CodeMiCollabTeamsIntegration: "whether MiCollab's Microsoft Teams integration is on",
		CodeMiCollabAddressPrivate: "which address MiCollab has", CodeMiCollabReachable: "which address MiCollab has",
	} {
		troubles = append(troubles,
			trouble{name: "not told", code: code, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.miCollabErr = errNotTold },
				status: Warned, sentence: "Nobody has told " + what, remedy: "fill SystemSources.MiCollab", administrator: Operator},
			trouble{name: "error", code: code, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.miCollabErr = errors.New("boom") },
				status: Warned, sentence: "It is not known " + what, remedy: "Look at the error", administrator: Operator},
			trouble{name: "one-way", code: code, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) {
				p.direction, p.miCollabErr = presencebridge.OneWay, errNotTold
			}, status: NotApplicable, sentence: "not bidirectional"})
	}
	checkTroubles(t, troubles)
}

// fixedLookup is a resolver that always answers the same.
type fixedLookup struct {
	addresses []netip.Addr
	err       error
}

func (l fixedLookup) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return l.addresses, l.err
}

func resolving(addresses ...string) func(*plant, *SystemOptions, *SystemSettings) {
	return func(_ *plant, o *SystemOptions, _ *SystemSettings) {
		var l fixedLookup
		for _, a := range addresses {
			l.addresses = append(l.addresses, netip.MustParseAddr(a))
		}
		o.Resolver = l
	}
}

func TestMiCollabAddressIsPrivate(t *testing.T) {
	address := func(address string) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, o *SystemOptions, _ *SystemSettings) {
			p.miCollab.Address, o.Resolver = address, fixedLookup{err: errors.New("an address was looked up")}
		}
	}
	unresolved := func(err error) func(*plant, *SystemOptions, *SystemSettings) {
		return func(_ *plant, o *SystemOptions, _ *SystemSettings) { o.Resolver = fixedLookup{err: err} }
	}
	also := func(first func(*plant, *SystemOptions, *SystemSettings), change func(*SystemOptions)) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, o *SystemOptions, s *SystemSettings) {
			first(p, o, s)
			change(o)
		}
	}
	elsewhere := func(o *SystemOptions) { o.MiCollabElsewhere = true }
	doubles := func(o *SystemOptions) { o.LocalDoubles = true }
	notFound := &net.DNSError{Err: "no such host", Name: "micollab.example.com", IsNotFound: true}
	const code = CodeMiCollabAddressPrivate
	checkTroubles(t, []trouble{
		{name: "private IPv4", code: code, cause: address("192.168.4.5"), status: Passed},
		{name: "private IPv6", code: code, cause: address("fd12:3456::1"), status: Passed},
		{name: "private within IPv6", code: code, cause: address("::ffff:10.0.0.1"), status: Passed},
		{name: "public", code: code, cause: address("203.0.113.9"), status: Failed, sentence: "MiCollab's address is not private: 203.0.113.9 (public)."},
		{name: "public, elsewhere", code: code, cause: also(address("203.0.113.9"), elsewhere), status: Failed, sentence: "203.0.113.9 (public)"},
		{name: "shared", code: code, cause: address("100.100.1.1"), status: Warned, sentence: "100.100.1.1 (of the address space that providers share)", remedy: "Make sure"},
		{name: "shared within IPv6", code: code, cause: address("::ffff:100.100.1.1"), status: Warned, sentence: "100.100.1.1 (of the address", remedy: "Make sure"},
		{name: "link-local IPv4", code: code, cause: address("169.254.3.4"), status: Failed, sentence: "169.254.3.4 (link-local)"},
		{name: "link-local IPv6", code: code, cause: address("fe80::1"), status: Failed, sentence: "fe80::1 (link-local)"},
		{name: "multicast", code: code, cause: address("224.0.0.1"), status: Failed, sentence: "(of no single host)"},
		{name: "loopback", code: code, cause: address("127.0.0.1"), status: Failed, sentence: "127.0.0.1 (of this machine itself)"},
		{name: "loopback of doubles", code: code, cause: also(address("127.0.0.1"), doubles), status: Passed},
		{name: "public, with doubles", code: code, cause: also(address("203.0.113.9"), doubles), status: Failed, sentence: "public"},
		{name: "name", code: code, cause: resolving("10.0.0.1", "fd00::1"), status: Passed},
		{name: "name with a shared address within IPv6", code: code, cause: resolving("::ffff:100.64.0.1"), status: Warned, sentence: "100.64.0.1 (of the address", remedy: "Make sure"},
		{name: "name with a public address", code: code, cause: resolving("10.0.0.1", "203.0.113.9", "100.64.0.1"),
			status: Failed, sentence: "micollab.example.com resolves to what is not private: 203.0.113.9 (public)."},
		{name: "name with a public address, elsewhere", code: code, cause: also(resolving("203.0.113.9"), elsewhere),
			status: Warned, sentence: "The gateway's resolver may answer otherwise.", remedy: "Make sure that micollab.example.com resolves"},
		{name: "no such host", code: code, cause: unresolved(notFound), status: Failed, sentence: "does not resolve: there is no such host", remedy: "Correct the name"},
		{name: "no such host, elsewhere", code: code, cause: also(unresolved(notFound), elsewhere), status: NotApplicable, sentence: "does not resolve here"},
		{name: "no address", code: code, cause: unresolved(nil), status: Failed, sentence: "there is no such host", remedy: "Correct the name"},
		{name: "no answer", code: code, cause: unresolved(&net.DNSError{Err: "i/o timeout", IsTimeout: true}),
			status: Failed, sentence: "the name service does not answer", remedy: "Make the name service", administrator: Operator},
		{name: "no answer in time", code: code, cause: unresolved(context.DeadlineExceeded),
			status: Failed, sentence: "the name service does not answer", remedy: "Make the name service", administrator: Operator},
		{name: "another error", code: code, cause: unresolved(errors.New("boom")), status: Failed, sentence: "micollab.example.com does not resolve.", remedy: "Look at the error", administrator: Operator},
	})
}

func TestMiCollabIsReached(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dial := func(answer func(ctx context.Context) (net.Conn, error), addresses ...string) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, o *SystemOptions, s *SystemSettings) {
			resolving(addresses...)(p, o, s)
			o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return answer(ctx) }
		}
	}
	fails := func(err error) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) { return nil, err }
	}
	hangs := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	const code = CodeMiCollabReachable
	checkTroubles(t, []trouble{
		{name: "refused", code: code, cause: dial(fails(refused), "10.0.0.1"), status: Failed, sentence: "MiCollab's host refuses the connection at 10.0.0.1:443."},
		{name: "hanging", code: code, cause: dial(hangs, "10.0.0.1", "fd00::1"), status: Failed, sentence: "MiCollab does not answer at 10.0.0.1:443, [fd00::1]:443."},
		{name: "no route", code: code, cause: dial(fails(errors.New("no route to host")), "10.0.0.1"), status: Failed, sentence: "There is no connection to MiCollab at 10.0.0.1:443."},
		{name: "another port", code: code, cause: func(p *plant, o *SystemOptions, s *SystemSettings) {
			dial(fails(refused), "10.0.0.1")(p, o, s)
			o.MiCollabPort = 8443
		}, status: Failed, sentence: "10.0.0.1:8443"},
		{name: "many addresses", code: code, cause: dial(fails(refused), "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"), status: Failed, sentence: "10.0.0.1:443, 10.0.0.2:443, 10.0.0.3:443."},
		{name: "no such host", code: code, cause: dial(fails(refused)), status: Failed, sentence: "does not resolve", remedy: "Correct the name"},
		{name: "elsewhere", code: code, cause: func(p *plant, o *SystemOptions, s *SystemSettings) {
			dial(fails(refused), "10.0.0.1")(p, o, s)
			o.MiCollabElsewhere = true
		}, status: NotApplicable, sentence: "cannot be reached from here"},
	})
}

// closable notes that it was closed.
type closable struct {
	net.Conn
	closed *int
}

func (c closable) Close() error {
	*c.closed++
	return errors.New("closed already")
}

func TestMiCollabIsReachedAtAnyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, closed := newPlant(), 0
		opts := &SystemOptions{Timeout: 30 * time.Second}
		resolving("fd00::1", "10.0.0.1")(p, opts, nil)
		opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			assert.Equal(t, "tcp", network)
			if address == "[fd00::1]:443" {
				<-ctx.Done() // it takes half of the time and no more
				return nil, ctx.Err()
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return closable{closed: &closed}, nil
		}
		r := p.only(t, opts, CodeMiCollabReachable)[0]
		assert.Equal(t, Passed, r.Status, r.Sentence)
		assert.Equal(t, "10.0.0.1:443", r.value("connected to"))
		assert.Equal(t, 1, closed)
	})
}

func TestMiCollabPortIsOne(t *testing.T) {
	p := newPlant()
	for port, ok := range map[int]bool{-1: false, 0: true, 1: true, 65535: true, 65536: false} {
		_, err := NewSystemCheck(p.sources(), p.settings(), &SystemOptions{MiCollabPort: port})
		if ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, fmt.Sprintf("MiCollabPort is %d: use a port from 1 to 65535", port))
	}
}
