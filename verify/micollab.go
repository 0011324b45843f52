package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/micollab"
)

// miCollabCondition judges one condition of [micollab.Server.Ready], of which it
// names one or more sentinels. what tells the fact in a sentence, and show in a
// report.
func miCollabCondition(f *facts, what string, show func(micollab.Server) string, sentinels ...error) finding {
	m, err := f.miCollab()
	if err != nil {
		return untold(err, what, "MiCollab")
	}
	evidence := []Evidence{{"value", show(m.Server)}, {"source", m.Source}}
	for _, condition := range conditions(m.Ready()) {
		for _, sentinel := range sentinels {
			if !errors.Is(condition, sentinel) {
				continue
			}
			sentence, remedy := condition.Condition.Error(), ""
			if condition.Reason != "" {
				// What was found calls for more than the check's remedy.
				sentence, remedy = sentence+": "+condition.Reason, asSentence(condition.Remedy)
			}
			return failed(asSentence(sentence), remedy, evidence...).on(toldBy(m.Source))
		}
	}
	return passed(evidence...).on(toldBy(m.Source))
}

func setOrNot(set bool, yes, no string) string {
	if set {
		return yes
	}
	return no
}

func checkMiCollabAddress(_ context.Context, f *facts, _ string) finding {
	return miCollabCondition(f, "which address MiCollab has", func(s micollab.Server) string { return s.Address }, micollab.ErrAddressMissing, micollab.ErrAddressInvalid)
}

func checkMiCollabPassword(_ context.Context, f *facts, _ string) finding {
	return miCollabCondition(f, "whether the gateway has the MiCollab password",
		func(s micollab.Server) string { return setOrNot(s.PasswordSet, "present", "missing") }, micollab.ErrPasswordMissing)
}

func checkMiCollabVersion(_ context.Context, f *facts, _ string) finding {
	o := miCollabCondition(f, "which release MiCollab is", func(s micollab.Server) string { return s.Version.String() }, micollab.ErrVersionMissing, micollab.ErrVersionTooOld)
	if m, err := f.miCollab(); err == nil && m.Version.IsZero() {
		o.Remedy = fmt.Sprintf("Enter the release of MiCollab in the configuration of the service: Teams presence needs %s or later.", micollab.Minimum())
		o = o.by(Operator)
	}
	return o
}

func checkMiCollabCloudLinkIntegration(_ context.Context, f *facts, _ string) finding {
	return miCollabCondition(f, "whether MiCollab's CloudLink integration is on",
		func(s micollab.Server) string { return setOrNot(s.CloudLinkIntegration, "on", "off") }, micollab.ErrCloudLinkIntegrationOff)
}

func checkMiCollabTeamsIntegration(_ context.Context, f *facts, _ string) finding {
	return miCollabCondition(f, "whether MiCollab's Microsoft Teams integration is on",
		func(s micollab.Server) string { return setOrNot(s.TeamsIntegration, "on", "off") }, micollab.ErrTeamsIntegrationOff)
}

// addressKind says what an address is good for.
type addressKind int

const (
	// ofLAN: it can be that of a LAN interface.
	ofLAN addressKind = iota
	// perhapsOfLAN: some networks use it inside, though it is not meant for that.
	perhapsOfLAN
	// notOfLAN: it cannot be what the gateway is to use.
	notOfLAN
)

// sharedAddresses are those between a provider and its customers (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// judgeAddress tells what kind an address is, in words too. Private are the
// addresses of RFC 1918 and RFC 4193. A link-local one (RFC 3927, RFC 4291) is
// what a host gives itself when nobody has given it another, and no router passes
// it on; one of this machine is right for doubles only.
func judgeAddress(a netip.Addr, localDoubles bool) (addressKind, string) {
	switch {
	case a.IsPrivate():
		return ofLAN, "private"
	case a.IsLoopback() && localDoubles:
		return ofLAN, "of this machine"
	case a.IsLoopback():
		return notOfLAN, "of this machine itself"
	case a.IsLinkLocalUnicast():
		return notOfLAN, "link-local"
	case sharedAddresses.Contains(a):
		return perhapsOfLAN, "of the address space that providers share"
	case a.IsGlobalUnicast():
		return notOfLAN, "public"
	default:
		return notOfLAN, "of no single host"
	}
}

// miCollabHost returns the host of MiCollab's address, and its IP address if it is
// one.
func miCollabHost(m MiCollabFacts) (host string, literal netip.Addr) {
	host = strings.TrimSpace(m.Address)
	literal, _ = netip.ParseAddr(host)
	return host, literal.Unmap()
}

// miCollabAddresses returns the addresses that MiCollab's host has as seen from
// here. It fails, too, where there is none.
func (f *facts) miCollabAddresses(ctx context.Context, m MiCollabFacts) ([]netip.Addr, error) {
	host, literal := miCollabHost(m)
	if literal.IsValid() {
		return []netip.Addr{literal}, nil
	}
	found, err := f.opts.Resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	addresses := make([]netip.Addr, len(found))
	for i, a := range found {
		addresses[i] = a.Unmap()
	}
	return addresses, err
}

// miCollabUnresolved is the outcome for a name of MiCollab without an address.
func (f *facts) miCollabUnresolved(host string, err error) finding {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound && f.opts.MiCollabElsewhere:
		return notApplicable(fmt.Sprintf("%s does not resolve here. MiCollab's network is elsewhere, and only the gateway's answer counts.", host), ofError(err))
	case errors.As(err, &dns) && dns.IsNotFound:
		return failed(fmt.Sprintf("%s does not resolve: there is no such host.", host),
			fmt.Sprintf("Correct the name, or enter %s in the name service of the network with the address of MiCollab's LAN interface.", host), ofError(err))
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return failed(fmt.Sprintf("%s does not resolve: the name service does not answer.", host), "Make the name service of this machine reachable, and run the check again.", ofError(err)).by(Operator)
	default:
		return failed(fmt.Sprintf("%s does not resolve.", host), "Look at the error, and at the name service of this machine.", ofError(err)).by(Operator)
	}
}

func checkMiCollabAddressPrivate(ctx context.Context, f *facts, _ string) finding {
	m, err := f.miCollab()
	if err != nil {
		return untold(err, "which address MiCollab has", "MiCollab")
	}
	host, literal := miCollabHost(m)
	addresses, err := f.miCollabAddresses(ctx, m)
	if err != nil {
		return f.miCollabUnresolved(host, err)
	}
	var all, wrong, perhaps []string
	for _, a := range addresses {
		kind, words := judgeAddress(a, f.opts.LocalDoubles)
		words = a.String() + " (" + words + ")"
		all = append(all, words)
		switch kind {
		case notOfLAN:
			wrong = append(wrong, words)
		case perhapsOfLAN:
			perhaps = append(perhaps, words)
		}
	}
	evidence := Evidence{"addresses", names(all)}
	sentence := func(list []string) string {
		if literal.IsValid() {
			return "MiCollab's address is not private: " + names(list) + "."
		}
		return fmt.Sprintf("%s resolves to what is not private: %s.", host, names(list))
	}
	var o finding
	switch {
	case len(wrong) > 0 && !literal.IsValid() && f.opts.MiCollabElsewhere:
		o = warned(sentence(wrong)+" The gateway's resolver may answer otherwise.", fmt.Sprintf("Make sure that %s resolves to MiCollab's LAN interface where the gateway is.", host), evidence)
	case len(wrong) > 0:
		o = failed(sentence(wrong), "", evidence)
	case len(perhaps) > 0:
		o = warned(sentence(perhaps), "Make sure that this is the address of MiCollab's LAN interface.", evidence)
	default:
		o = passed(evidence)
	}
	if literal.IsValid() {
		o = o.on("the address that was entered")
	}
	return o
}

// maxDials is how many of MiCollab's addresses are tried.
const maxDials = 3

func checkMiCollabReachable(ctx context.Context, f *facts, _ string) finding {
	m, err := f.miCollab()
	switch {
	case err != nil:
		return untold(err, "which address MiCollab has", "MiCollab")
	case f.opts.MiCollabElsewhere:
		return notApplicable("MiCollab's network cannot be reached from here, as the configuration says: whether MiCollab answers is not checked.")
	}
	host, _ := miCollabHost(m)
	addresses, err := f.miCollabAddresses(ctx, m)
	if err != nil {
		return f.miCollabUnresolved(host, err)
	}
	addresses = addresses[:min(len(addresses), maxDials)]
	port := strconv.Itoa(f.opts.MiCollabPort)
	var (
		faults []error
		tried  []string
	)
	for i, a := range addresses {
		target := net.JoinHostPort(a.String(), port)
		tried = append(tried, target)
		if err := f.knock(ctx, target, len(addresses)-i); err != nil {
			faults = append(faults, err)
			continue
		}
		return passed(Evidence{"connected to", target})
	}
	err = errors.Join(faults...)
	what := "There is no connection to MiCollab at "
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "MiCollab's host refuses the connection at "
	case errors.Is(err, context.DeadlineExceeded):
		what = "MiCollab does not answer at "
	}
	return failed(what+names(tried)+".", "", ofError(err))
}

// knock connects and hangs up. It leaves as much of the time as it takes itself to
// each address that is left.
func (f *facts) knock(ctx context.Context, target string, left int) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	connection, err := f.opts.Dial(ctx, "tcp", target)
	if err != nil {
		return err
	}
	// What became of closing it says nothing about MiCollab.
	_ = connection.Close()
	return nil
}
