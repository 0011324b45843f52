package verify

import "time"

// The codes of the checks of the bridge itself.
const (
	CodeConnectionDirectory Code = "connection-directory"
	CodeConnectionTeams     Code = "connection-teams"
	CodeConnectionCloudLink Code = "connection-cloudlink"
	CodeClockMicrosoft      Code = "clock-microsoft"
	CodeClockMitel          Code = "clock-mitel"
	CodeThrottling          Code = "throttling"

	CodeOneWayReady        Code = "one-way-ready"
	CodeBidirectionalReady Code = "bidirectional-ready"
	CodeUpgrade            Code = "bidirectional-upgrade"

	CodeProbe             Code = "probe"
	CodeProbeNotification Code = "probe-notification"
)

const (
	basisHealth = "the outcome of the bridge's last requests"
	basisClock  = "the dates of answers, asked for now"
)

// serviceChecks are those of the bridge at work.
func serviceChecks() []Check {
	return []Check{
		{
			Code: CodeConnectionDirectory, Area: AreaService, Title: "The bridge reads both directories",
			DependsOn: append(on(CodeCloudLinkRole, CodeCloudLinkAccount), Dependency{Code: CodeApplicationPermissionInToken, Subject: "User.Read.All", Strict: true}), Severity: SeverityError,
			Meaning:       "Whether the bridge has read the users of both sides. It goes on with the roster that it has when it cannot.",
			Remedy:        "Look at the error. The bridge tries again by itself.",
			Administrator: Operator, Basis: basisHealth, run: checkConnection("directory"),
		},
		{
			Code: CodeConnectionTeams, Area: AreaService, Title: "The bridge reads and writes Teams presence",
			DependsOn: []Dependency{{Code: CodeApplicationPermissionInToken, Subject: "Presence.ReadWrite.All", Strict: true}}, Severity: SeverityError,
			Meaning:       "Whether Microsoft Graph answers the bridge's requests. While it throttles, changes come late, which is a warning.",
			Remedy:        "Look at the error. The bridge tries again by itself.",
			Administrator: Operator, Basis: basisHealth, run: checkConnection("teams-read", "teams-write"),
		},
		{
			Code: CodeConnectionCloudLink, Area: AreaService, Title: "The bridge reads telephones and MiCollab", DependsOn: on(CodeCloudLinkRole, CodeCloudLinkAccount), Severity: SeverityError,
			Meaning:       "Whether CloudLink answers the bridge's requests for line states and statuses. While it throttles, changes come late, which is a warning.",
			Remedy:        "Look at the error. The bridge tries again by itself.",
			Administrator: Operator, Basis: basisHealth, run: checkConnection("phone-read", "micollab-read", "micollab-write"),
		},
		{
			Code: CodeClockMicrosoft, Area: AreaService, Title: "Our clock agrees with Microsoft's", DependsOn: on(CodeEntraReachable), Severity: SeverityError,
			Meaning:       "How far the clock of this machine is from that of Microsoft's services. Tokens and subscriptions have ends, and Entra refuses a clock that is off by minutes.",
			Remedy:        "Set the clock of this machine by NTP.",
			Administrator: Operator, Basis: basisClock, run: checkClock(func(s *SystemSources) []Service { return s.MicrosoftServices }),
		},
		{
			Code: CodeClockMitel, Area: AreaService, Title: "Our clock agrees with Mitel's", DependsOn: on(CodeCloudLinkReachable), Severity: SeverityError,
			Meaning:       "How far the clock of this machine is from that of CloudLink.",
			Remedy:        "Set the clock of this machine by NTP.",
			Administrator: Operator, Basis: basisClock, run: checkClock(func(s *SystemSources) []Service { return s.MitelServices }),
		},
		{
			Code: CodeThrottling, Area: AreaService, Title: "There is headroom below the throttle limits", DependsOn: strictly(CodeConnectionDirectory, CodeConnectionTeams, CodeConnectionCloudLink), Severity: SeverityWarning,
			Meaning:       "How much of each published budget the bridge has used lately, and whether a service asks for a pause. The bridge stays below the limits and gets slower when it must.",
			Remedy:        "Let nothing else use the same application. If the number of users needs it, raise the reconcile interval.",
			Administrator: Operator, Basis: "what the clients have counted", run: checkThrottling,
		},
	}
}

// readinessChecks sum up.
func readinessChecks() []Check {
	return []Check{
		{
			Code: CodeOneWayReady, Area: AreaReadiness, Title: "The telephone's state appears in Teams",
			DependsOn: append(on(CodeConnectionDirectory, CodeConnectionTeams, CodeConnectionCloudLink, CodeGatewayPBX, CodeUsersMatched), strictly(CodeGatewayIntegration)...), Severity: SeverityError,
			Meaning:       "Whether all is there for the first direction. What nobody has told of the gateway counts as not there.",
			Remedy:        "Set right what is named.",
			Administrator: Operator, Basis: "the other checks", run: checkOneWayReady,
		},
		{
			Code: CodeBidirectionalReady, Area: AreaReadiness, Title: "Teams presence appears in MiCollab",
			DependsOn: append(on(CodeOneWayReady, CodeMiCollabReachable), strictly(CodeMiCollabPassword, CodeMiCollabVersion, CodeMiCollabTeamsIntegration, CodeUsersWatched)...), Severity: SeverityError,
			Meaning:       "Whether all is there for the second direction, monitors that watch everybody included. What nobody has told of MiCollab counts as not there.",
			Remedy:        "Set right what is named.",
			Administrator: Operator, Basis: "the other checks", applies: bidirectional, run: checkBidirectionalReady,
		},
		{
			Code: CodeUpgrade, Area: AreaReadiness, Title: "An upgrade to both directions lacks nothing", Severity: SeverityWarning,
			Meaning:       "What a bridge that is not bidirectional still lacks to become so, and who can provide it. That something is lacking is no fault: the check does not apply then, and lists it.",
			Remedy:        "Provide what is named, and switch the second direction on.",
			Administrator: Operator, Basis: "the registration, the pool of monitors and the configuration", applies: oneWay, run: checkUpgrade,
		},
	}
}

// probeChecks set something and see it come back.
func probeChecks() []Check {
	return []Check{
		{
			Code: CodeProbe, Area: AreaReadiness, Title: "A session of the test user appears in Teams and goes away",
			DependsOn: append(on(CodeConnectionTeams), Dependency{Code: CodeApplicationPermissionInToken, Subject: "Presence.ReadWrite.All", Strict: true}), Severity: SeverityError,
			Meaning:       "Whether a Teams session that is set for the test user shows in Teams within the time of the probe, and is gone after it was cleared. It is off unless a test user is chosen, because everybody sees it. Nothing is set while the test user telephones, because the bridge uses the same session.",
			Remedy:        "Make sure that the test user has Teams and no status set by hand, which would outrank the session, and run the check again.",
			Administrator: Operator, Basis: "a session that was set and read just now", applies: withProbe,
			bound: func(o *SystemOptions) time.Duration { return o.Timeout + 2*o.ProbeTimeout }, cleanUp: clearBound, run: checkProbe,
		},
		{
			Code: CodeProbeNotification, Area: AreaReadiness, Title: "The probe was notified", DependsOn: on(CodeProbe, CodeMonitorSubscriptionUsers), Severity: SeverityError,
			Meaning:       "Whether Microsoft Graph notified the bridge of what the probe changed, if a monitor watches the test user. This is the only test of the whole way.",
			Remedy:        "Let Microsoft Graph reach the notification URL: look at firewall and proxy. Then retry the monitor that watches the test user.",
			Administrator: Operator, Basis: "what the bridge was told of the test user, and read, after the probe", applies: withProbe,
			bound: func(o *SystemOptions) time.Duration { return o.Timeout + o.ProbeTimeout }, run: checkProbeNotification,
		},
	}
}

func withProbe(f *facts) string {
	if f.probeUser == "" {
		return "No test user is chosen: the end-to-end probe is off."
	}
	return ""
}
