package verify

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oneOf makes one check of the plant with settings of its own, without what it
// depends on.
func (p *plant) oneOf(t *testing.T, code Code, opts SystemOptions, change func(*SystemSources, *SystemSettings)) Result {
	t.Helper()
	sources, settings := p.sources(), p.settings()
	if change != nil {
		change(&sources, &settings)
	}
	if opts.Resolver == nil {
		opts.Resolver = p
	}
	c, err := NewSystemCheck(sources, settings, &opts)
	require.NoError(t, err)
	results := c.alone(t, code)
	require.Len(t, results, 1)
	return results[0]
}

// unproved forgets every sign that Microsoft Graph reaches the notification URL.
func (p *plant) unproved() *plant {
	for i := range p.pool.Monitors {
		p.pool.Monitors[i].Subscription.CreatedAt, p.pool.Monitors[i].Subscription.HeardAt = time.Time{}, time.Time{}
	}
	return p
}

func evidenceOf(r Result, name string) string {
	for _, e := range r.Evidence {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func TestNotificationURL(t *testing.T) {
	for _, test := range []struct {
		name, url string
		local     bool
		wrong     string
	}{
		{name: "https", url: testURL},
		{name: "port and query", url: "https://bridge.example.com:8443/n?key=very-confidential"},
		{name: "address", url: "https://203.0.113.7/n"},
		{name: "IPv6 address", url: "https://[2001:db8::1]/n"},
		{name: "plain HTTP to a double", url: "http://127.0.0.1:8080/n", local: true},
		{name: "plain HTTP", url: "http://bridge.example.com/n", wrong: "begins with http://"},
		{name: "an event hub", url: "EventHub:https://vault.example.com/secrets/x", local: true, wrong: "begins with eventhub:"},
		{name: "no scheme", url: "bridge.example.com/n", wrong: "does not begin with https://"},
		{name: "no host", url: "https:///n", wrong: "has no host"},
		{name: "a pattern as host", url: "https://*.example.com/n", wrong: "neither a host name nor an IP address"},
		{name: "user", url: "https://user:pass@bridge.example.com/n", wrong: "contains a user name"},
		{name: "fragment", url: "https://bridge.example.com/n#graph", wrong: "fragment"},
		{name: "Graph's own parameter", url: "https://bridge.example.com/n?validationToken=x", wrong: "validationToken"},
		{name: "several at once", url: "http://user@bridge.example.com/n", wrong: "only, and contains a user name"},
		{name: "unreadable", url: "https://bridge.example.com:port/n?key=very-confidential", wrong: "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newPlant().oneOf(t, CodeNotificationURL, SystemOptions{LocalDoubles: test.local}, func(_ *SystemSources, s *SystemSettings) { s.NotificationURL = test.url })
			assert.NotContains(t, r.Sentence+evidenceOf(r, "URL"), "confidential")
			if test.wrong == "" {
				assert.Equal(t, Passed, r.Status, r.Sentence)
				return
			}
			assert.Equal(t, Failed, r.Status)
			assert.Contains(t, r.Sentence, test.wrong)
			assert.Equal(t, Operator, r.Administrator)
			assert.NotEmpty(t, r.Remedy)
		})
	}
	r := newPlant().oneOf(t, CodeNotificationURL, SystemOptions{}, func(_ *SystemSources, s *SystemSettings) { s.NotificationURL = "" })
	assert.Equal(t, NotApplicable, r.Status)
}

func TestNotificationAddress(t *testing.T) {
	addresses := func(list ...string) func(*plant) {
		return func(p *plant) {
			p.addresses["bridge.example.com"] = nil
			for _, a := range list {
				p.addresses["bridge.example.com"] = append(p.addresses["bridge.example.com"], netip.MustParseAddr(a))
			}
		}
	}
	for _, test := range []struct {
		name     string
		plant    func(*plant)
		url      string
		local    bool
		status   Status
		sentence string
		remedy   string
	}{
		{name: "public", plant: addresses("203.0.113.7", "2606:4700::1"), status: Passed},
		{name: "private", plant: addresses("10.0.0.5"), status: Failed, sentence: "bridge.example.com resolves to 10.0.0.5, which the internet does not lead to", remedy: "public address of the service"},
		{name: "unique local", plant: addresses("fd00::5"), status: Failed, sentence: "fd00::5"},
		{name: "carrier-grade", plant: addresses("100.64.3.4"), status: Failed, sentence: "100.64.3.4"},
		{name: "loopback", plant: addresses("127.0.0.1"), status: Failed, sentence: "127.0.0.1"},
		{name: "link-local", plant: addresses("169.254.1.1"), status: Failed, sentence: "169.254.1.1"},
		{name: "mapped", plant: addresses("::ffff:192.168.1.1"), status: Failed, sentence: "192.168.1.1"},
		{name: "loopback for doubles", plant: addresses("127.0.0.1"), local: true, status: Passed},
		{name: "some private", plant: addresses("203.0.113.7", "fd00::5"), status: Warned, sentence: "does not lead to fd00::5", remedy: "public addresses only"},
		{name: "unknown name", plant: addresses(), status: Failed, sentence: "The name bridge.example.com does not resolve", remedy: "public DNS"},
		{name: "private address in the URL", url: "https://192.168.1.9/n", status: Failed, sentence: "192.168.1.9"},
		{name: "public address in the URL", url: "https://203.0.113.9/n", status: Passed},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlant().unproved()
			if test.plant != nil {
				test.plant(p)
			}
			r := p.oneOf(t, CodeNotificationAddress, SystemOptions{LocalDoubles: test.local, Resolver: asDNS{p}}, func(_ *SystemSources, s *SystemSettings) {
				if test.url != "" {
					s.NotificationURL = test.url
				}
			})
			assert.Equal(t, test.status, r.Status, r.Sentence)
			assert.Contains(t, r.Sentence, test.sentence)
			assert.Contains(t, r.Remedy, test.remedy)
		})
	}
}

// What Microsoft Graph does from outside counts more than what is seen from here.
func TestNotificationAddressBehindASplitHorizon(t *testing.T) {
	inside := func(p *plant) *plant {
		p.addresses["bridge.example.com"] = []netip.Addr{netip.MustParseAddr("10.0.0.5")}
		return p
	}
	p := inside(newPlant().unproved())
	p.pool.Monitors[0].Subscription.CreatedAt = time.Now().Add(-23 * time.Hour)
	r := p.oneOf(t, CodeNotificationAddress, SystemOptions{}, nil)
	assert.Equal(t, Warned, r.Status)
	assert.Contains(t, r.Sentence, "but Microsoft Graph validated the URL for the subscription of monitor1@example.com on "+date(p.pool.Monitors[0].Subscription.CreatedAt))
	assert.Contains(t, r.Remedy, "on purpose")

	p.pool.Monitors[0].Subscription.HeardAt = time.Now().Add(-time.Hour)
	assert.Contains(t, p.oneOf(t, CodeNotificationAddress, SystemOptions{}, nil).Sentence, "but Microsoft Graph notified monitor1@example.com")

	for name, change := range map[string]func(*plant){
		"too long ago":       func(p *plant) { p.pool.Monitors[0].Subscription.CreatedAt = time.Now().Add(-25 * time.Hour) },
		"subscription ended": func(p *plant) { p.pool.Monitors[0].Subscription.SubscriptionID = "" },
		"kept elsewhere":     func(p *plant) { p.pool.Monitors[0].Here = false },
	} {
		p := inside(newPlant().unproved())
		p.pool.Monitors[0].Subscription.CreatedAt = time.Now().Add(-time.Hour)
		change(p)
		assert.Equal(t, Failed, p.oneOf(t, CodeNotificationAddress, SystemOptions{}, nil).Status, name)
	}

	p = newPlant()
	p.addresses["bridge.example.com"] = nil
	r = p.oneOf(t, CodeNotificationAddress, SystemOptions{Resolver: asDNS{p}}, nil)
	assert.Equal(t, Warned, r.Status)
	assert.Contains(t, r.Sentence, "does not resolve: Microsoft Graph cannot deliver there; but Microsoft Graph notified")
}

func TestNotificationAddressWithoutANameServer(t *testing.T) {
	p := newPlant().unproved()
	p.addresses["bridge.example.com"] = nil // an error that is none of DNS's
	r := p.oneOf(t, CodeNotificationAddress, SystemOptions{}, nil)
	assert.Equal(t, Failed, r.Status)
	assert.Contains(t, r.Sentence, "The name server here does not tell the address of bridge.example.com")
	assert.Contains(t, r.Remedy, "Make a name server reachable")
}

// asDNS answers as a name server does that knows no other names.
type asDNS struct{ *plant }

func (d asDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	found, err := d.plant.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

func TestPublicAddressesAreNeverOfTheseBlocks(t *testing.T) {
	blocks := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	}
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
		for _, b := range blocks {
			if b.Contains(a) && public(a) {
				t.Fatalf("%v of %v counts as public", a, b)
			}
		}
		if public(a) != public(netip.AddrFrom16(a.As16())) {
			t.Fatalf("%v counts otherwise when it is mapped", a)
		}
	})
	assert.True(t, public(netip.MustParseAddr("8.8.8.8")))
	assert.True(t, public(netip.MustParseAddr("2606:4700::1")))
}

func TestNamesOfAList(t *testing.T) {
	assert.Empty(t, names(nil))
	assert.Equal(t, "a, b", names([]string{"a", "b"}))
	many := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
	assert.Equal(t, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more", names(many))
}
