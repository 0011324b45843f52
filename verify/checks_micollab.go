package verify

// The codes of the checks of MiCollab.
const (
	CodeMiCollabAddress              Code = "micollab-address"
	CodeMiCollabAddressPrivate       Code = "micollab-address-private"
	CodeMiCollabReachable            Code = "micollab-reachable"
	CodeMiCollabPassword             Code = "micollab-password"
	CodeMiCollabVersion              Code = "micollab-version"
	CodeMiCollabCloudLinkIntegration Code = "micollab-cloudlink-integration"
	CodeMiCollabTeamsIntegration     Code = "micollab-teams-integration"
)

const basisMiCollab = "what was entered of MiCollab: no published interface tells it"

// miCollabChecks are those of the second direction's target.
func miCollabChecks() []Check {
	return []Check{
		{
			Code: CodeMiCollabAddress, Area: AreaMiCollab, Title: "The MiCollab address is present", Severity: SeverityError,
			Meaning:       "Whether the gateway's configuration has MiCollab's IP address or FQDN.",
			Remedy:        "Enter MiCollab's IP address or FQDN in the configuration of the CloudLink gateway, and in that of the bridge.",
			Administrator: CloudLinkAdministrator, Basis: basisMiCollab, applies: bidirectional, run: checkMiCollabAddress,
		},
		{
			Code: CodeMiCollabAddressPrivate, Area: AreaMiCollab, Title: "The MiCollab address is that of its LAN", DependsOn: strictly(CodeMiCollabAddress), Severity: SeverityError,
			Meaning:       "Whether the address resolves to a private one (RFC 1918, RFC 4193), each if there are several. The gateway must reach MiCollab's LAN interface; a public address leads to its WAN interface. One of the address space that providers share (RFC 6598) is a warning, since some networks use it inside. The answer is that of the resolver here, which may differ from the gateway's.",
			Remedy:        "Enter the IP address of MiCollab's LAN interface, or let the FQDN resolve to it inside the network.",
			Administrator: CloudLinkAdministrator, Basis: "a name resolution made now, from here", applies: bidirectional, run: checkMiCollabAddressPrivate,
		},
		{
			Code: CodeMiCollabReachable, Area: AreaMiCollab, Title: "MiCollab can be reached", DependsOn: on(CodeMiCollabAddressPrivate), Severity: SeverityError,
			Meaning:       "Whether MiCollab takes a connection. It is made from here, and the gateway's may fare differently.",
			Remedy:        "Make sure that MiCollab runs and that no firewall is in between. If the bridge runs outside of that network, say so in its configuration.",
			Administrator: MiCollabAdministrator, Basis: "a connection made now, from here", applies: bidirectional, run: checkMiCollabReachable,
		},
		{
			Code: CodeMiCollabPassword, Area: AreaMiCollab, Title: "The MiCollab password is present", Severity: SeverityError,
			Meaning:       "Whether the gateway's configuration has the MiCollab password. Whether it is right cannot be told from here.",
			Remedy:        "Enter the MiCollab password in the configuration of the CloudLink gateway, and say so in that of the bridge.",
			Administrator: CloudLinkAdministrator, Basis: basisMiCollab, applies: bidirectional, run: checkMiCollabPassword,
		},
		{
			Code: CodeMiCollabVersion, Area: AreaMiCollab, Title: "The MiCollab release takes Teams presence", Severity: SeverityError,
			Meaning:       "Whether MiCollab is 9.8 SP1 or later.",
			Remedy:        "Upgrade MiCollab to 9.8 SP1 or later, and enter its release in the configuration.",
			Administrator: MiCollabAdministrator, Basis: basisMiCollab, applies: bidirectional, run: checkMiCollabVersion,
		},
		{
			Code: CodeMiCollabCloudLinkIntegration, Area: AreaMiCollab, Title: "MiCollab's CloudLink integration is on", Severity: SeverityError,
			Meaning:       "Whether MiCollab's CloudLink integration is on. Turning it off turns its Microsoft Teams integration off as well.",
			Remedy:        "Turn on the CloudLink integration in MiCollab's administration.",
			Administrator: MiCollabAdministrator, Basis: basisMiCollab, applies: bidirectional, run: checkMiCollabCloudLinkIntegration,
		},
		{
			Code: CodeMiCollabTeamsIntegration, Area: AreaMiCollab, Title: "MiCollab's Microsoft Teams integration is on", DependsOn: on(CodeMiCollabCloudLinkIntegration), Severity: SeverityError,
			Meaning:       `Whether "MS Teams Configuration Settings" of the MiCollab Client Service are on.`,
			Remedy:        `Turn on "MS Teams Configuration Settings" in the MiCollab Client Service's administration, and give users a profile with the status integration.`,
			Administrator: MiCollabAdministrator, Basis: basisMiCollab, applies: bidirectional, run: checkMiCollabTeamsIntegration,
		},
	}
}
