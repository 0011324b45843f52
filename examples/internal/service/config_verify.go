package service

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// readVerify reads what the system check goes by. Whatever is not said counts as
// unknown and not as granted.
func (s *Settings) readVerify(in *section) {
	c := &s.Checks
	c.Source = "the file " + filepath.Base(in.doc.file)
	if in.has("gateway_integration") {
		enabled := in.flag("gateway_integration")
		c.GatewayIntegration = &enabled
	}
	in.asked = append(in.asked, "gateway_integration")
	for _, name := range in.list("pbx") {
		pbx := presence.ParsePBX(name)
		switch {
		case !s.CloudLink.knows(pbx):
			in.fail("pbx", "%s is not a telephone system%s", quote(name), orList(suggest(name, systemNames()), systemNames()))
		case slices.Contains(c.PBX, pbx):
			in.fail("pbx", "%s is in the list twice: remove one of them", quote(name))
		default:
			c.PBX = append(c.PBX, pbx)
		}
	}
	if in.has("micollab_reachable") {
		c.MiCollabElsewhere = !in.flag("micollab_reachable")
	}
	in.asked = append(in.asked, "micollab_reachable")
	if c.MiCollabPort = in.count("micollab_port"); c.MiCollabPort > 65535 {
		in.fail("micollab_port", "%d is not a port: use one from 1 to 65535", c.MiCollabPort)
	}
	if c.MiCollabElsewhere && c.MiCollabPort != 0 {
		in.fail("micollab_port", "MiCollab is not tried, because micollab_reachable is false: remove one of the two")
	}
	c.ProbeUser = in.text("probe_user")
	if c.ProbeUser != "" && !strings.Contains(c.ProbeUser, "@") && !guid.MatchString(c.ProbeUser) {
		in.fail("probe_user", "%s is neither an e-mail address nor an Entra object id: write it like test@example.com", quote(c.ProbeUser))
	}
	for _, name := range in.list("accepted") {
		code, _, _ := strings.Cut(name, "[")
		switch codes := checkCodes(); {
		case !slices.Contains(codes, code):
			in.fail("accepted", "there is no check %s%s", quote(code), suggest(code, codes))
		case slices.Contains(c.Accepted, name):
			in.fail("accepted", "%s is in the list twice: remove one of them", quote(name))
		default:
			c.Accepted = append(c.Accepted, name)
		}
	}
	in.close()
}

// checkCodes are the codes of all checks.
func checkCodes() []string {
	var codes []string
	for _, check := range verify.Checks() {
		codes = append(codes, string(check.Code))
	}
	return codes
}

// systemNames are the telephone systems that a configuration can name.
func systemNames() []string {
	var names []string
	for _, p := range []presence.PBX{presence.MiVoiceBusiness, presence.MXONE, presence.MiVoice5000, presence.MiVoiceOffice400} {
		names = append(names, string(p))
	}
	return names
}

// knows reports whether a telephone system is one of those that have capabilities.
func (c *CloudLinkSettings) knows(pbx presence.PBX) bool {
	capabilities := c.Capabilities
	if capabilities == nil {
		capabilities = presence.DefaultCapabilities()
	}
	_, known := capabilities[pbx]
	return known
}

// systems returns the telephone systems of all sites, each once, in order.
func (c *CloudLinkSettings) systems() []presence.PBX {
	var all []presence.PBX
	for _, pbx := range c.Sites {
		all = append(all, pbx)
	}
	all = slices.DeleteFunc(append(all, c.PBX), func(pbx presence.PBX) bool { return pbx == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

// localURL reports whether a URL leads to this machine.
func localURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback(u.Hostname())
}
