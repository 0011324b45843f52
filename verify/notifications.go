package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// proofAge is how old a sign from outside may be that the notification URL can be
// reached. Subscriptions are created and notifications arrive many times a day;
// what was so two days ago may have changed with the network since.
const proofAge = 24 * time.Hour

// proof returns the newest sign that Microsoft Graph reaches the notification URL,
// as a phrase; empty if there is none within proofAge. Microsoft Graph validates
// the URL before it creates a subscription, and a notification has come through it.
func (f *facts) proof() string {
	var newest time.Time
	var phrase string
	note := func(at time.Time, format string, args ...any) {
		if at.After(newest) && f.startedAt.Sub(at) < proofAge {
			newest, phrase = at, fmt.Sprintf(format, args...)+" on "+minute(at)
		}
	}
	for _, m := range f.pool.Monitors {
		if !m.Here {
			continue
		}
		if s := m.Subscription; s.SubscriptionID != "" {
			note(s.CreatedAt, "Microsoft Graph validated the URL for the subscription of %s", m.PrincipalName)
		}
		note(m.Subscription.HeardAt, "Microsoft Graph notified %s", m.PrincipalName)
	}
	return phrase
}

// hostForm is a host name: letters, digits, hyphens and underscores between dots.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

func checkNotificationURL(_ context.Context, f *facts, _ string) finding {
	u, err := url.Parse(f.settings.NotificationURL)
	if err != nil {
		return failed(fmt.Sprintf("The notification URL cannot be read: %v.", withoutURL(err)), "")
	}
	var faults []string
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, text)
		}
	}
	fault(u.Scheme == "", "does not begin with https://")
	fault(u.Scheme == "http" && !f.opts.LocalDoubles, "begins with http://, and Microsoft Graph delivers to https:// only")
	fault(u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https", fmt.Sprintf("begins with %s: and not with https://", u.Scheme))
	host := u.Hostname()
	_, notIP := netip.ParseAddr(host)
	fault(host == "", "has no host")
	fault(host != "" && notIP != nil && !hostForm.MatchString(host), fmt.Sprintf("has %q as its host, which is neither a host name nor an IP address", host))
	fault(u.User != nil, "contains a user name, which Microsoft Graph does not send")
	fault(u.Fragment != "", "contains a # with a fragment, which is never sent")
	fault(u.Query().Has("validationToken"), "contains the parameter validationToken, which Microsoft Graph adds itself")
	if len(faults) > 0 {
		return failed("The notification URL "+strings.Join(faults, ", and ")+".", "")
	}
	return passed(Evidence{"URL", bare(u)})
}

// bare returns a URL without what may be confidential in it.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// withoutURL returns the error within an error of net/url or net/http, which
// repeats the whole URL.
func withoutURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// notPublic are the blocks of addresses that package netip counts as global unicast
// although they lead nowhere on the internet: shared address space (RFC 6598), and
// of the registry of RFC 6890 "this network", protocol assignments, benchmarking
// and the reserved end.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
}

// public reports whether an address can be reached from the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, block := range notPublic {
		if block.Contains(a) {
			return false
		}
	}
	return true
}

func checkNotificationAddress(ctx context.Context, f *facts, _ string) finding {
	u, err := url.Parse(f.settings.NotificationURL)
	if err != nil {
		return failed(fmt.Sprintf("The notification URL cannot be read: %v.", withoutURL(err)), "")
	}
	host, proof := u.Hostname(), f.proof()
	var addresses []netip.Addr
	if literal, err := netip.ParseAddr(host); err == nil {
		// No resolver has a say in this one, so no other address is seen from outside.
		addresses, proof = []netip.Addr{literal}, ""
	} else if addresses, err = f.opts.Resolver.LookupNetIP(ctx, "ip", host); err != nil || len(addresses) == 0 {
		return unresolved(host, proof, err)
	}
	var inside, all []string
	for _, a := range addresses {
		all = append(all, a.String())
		if !public(a) {
			inside = append(inside, a.String())
		}
	}
	evidence := []Evidence{{"host", host}, {"addresses", names(all)}, {"seen from outside", proof}}
	switch {
	case len(inside) == 0 || f.opts.LocalDoubles:
		return passed(evidence...)
	case proof != "":
		return warned(fmt.Sprintf("Here %s resolves to %s, which the internet does not lead to; but %s.", host, names(inside), proof),
			"Do nothing if an internal name server answers here with an internal address on purpose. Otherwise let the name resolve to the public address of the service.", evidence...)
	case len(inside) < len(all):
		return warned(fmt.Sprintf("Of the addresses of %s, the internet does not lead to %s: Microsoft Graph may try them and give up.", host, names(inside)),
			"Let the name resolve to public addresses only.", evidence...)
	default:
		return failed(fmt.Sprintf("%s resolves to %s, which the internet does not lead to: Microsoft Graph cannot deliver there.", host, names(inside)), "", evidence...)
	}
}

// unresolved is the outcome where a host has no address.
func unresolved(host, proof string, err error) finding {
	sentence, what := fmt.Sprintf("The name server here does not tell the address of %s: %v", host, err), "Make a name server reachable for the service."
	notFound := (*net.DNSError)(nil)
	if err == nil || errors.As(err, &notFound) && notFound.IsNotFound {
		sentence, what = fmt.Sprintf("The name %s does not resolve: Microsoft Graph cannot deliver there", host), "Enter the name in the public DNS, or correct it in the notification URL."
	}
	if proof == "" {
		return failed(sentence+".", what, Evidence{"host", host})
	}
	return warned(fmt.Sprintf("%s; but %s.", sentence, proof), what, Evidence{"host", host}, Evidence{"seen from outside", proof})
}
