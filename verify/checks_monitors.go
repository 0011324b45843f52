package verify

// The codes of the checks of the presence monitors.
const (
	CodeMonitorsStore       Code = "monitors-store"
	CodeMonitorsRunning     Code = "monitors-running"
	CodeMonitorsApplication Code = "monitors-application"
	CodeMonitorsSufficient  Code = "monitors-sufficient"

	CodeMonitorSetUp             Code = "monitor-set-up"
	CodeMonitorApplication       Code = "monitor-application"
	CodeMonitorSecret            Code = "monitor-secret"
	CodeMonitorSecretExpiry      Code = "monitor-secret-expiry"
	CodeMonitorAccount           Code = "monitor-account"
	CodeMonitorEnabled           Code = "monitor-enabled"
	CodeMonitorMail              Code = "monitor-mail"
	CodeMonitorNotAdministrator  Code = "monitor-not-administrator"
	CodeMonitorSignIn            Code = "monitor-sign-in"
	CodeMonitorConsent           Code = "monitor-consent"
	CodeMonitorAuthorized        Code = "monitor-authorized"
	CodeMonitorRefreshToken      Code = "monitor-refresh-token"
	CodeMonitorPermissions       Code = "monitor-permissions"
	CodeMonitorRecommended       Code = "monitor-permissions-recommended"
	CodeMonitorWorking           Code = "monitor-working"
	CodeMonitorSubscription      Code = "monitor-subscription"
	CodeMonitorSubscriptionUsers Code = "monitor-subscription-users"
	CodeMonitorHeard             Code = "monitor-heard"
)

const (
	basisPool        = "what the pool of presence monitors knows"
	basisMonitor     = "the account and its grant, asked of Entra now"
	basisMonitorRead = "what the pool knows of the monitor's subscription"
)

// poolChecks are those of the pool as a whole.
func poolChecks() []Check {
	return []Check{
		{
			Code: CodeMonitorsStore, Area: AreaMonitors, Title: "The store of the monitors can be read and written", Severity: SeverityError,
			Meaning:       "Whether the pool reaches its store. What monitors must not forget is kept there: sign-ins, client secrets, subscriptions.",
			Remedy:        "Make the store reachable and writable for the service: disk, rights, network. It goes on by itself then.",
			Administrator: Operator, Basis: basisPool, applies: withMonitors, run: checkMonitorsStore,
		},
		{
			Code: CodeMonitorsRunning, Area: AreaMonitors, Title: "The pool of monitors runs", DependsOn: on(CodeMonitorsStore, CodeMonitorsApplication), Severity: SeverityError,
			Meaning:       "Whether this process keeps the presence monitors. A pool that does not run renews no subscription. It does not run for another application than that of its store.",
			Remedy:        "Start the bridge. If it has ended with an error, that error says why.",
			Administrator: Operator, Basis: basisPool, applies: withMonitors, run: checkMonitorsRunning,
		},
		{
			Code: CodeMonitorsApplication, Area: AreaMonitors, Title: "The monitors belong to the configured application", DependsOn: on(CodeMonitorsStore, CodeEntraApplication), Severity: SeverityError,
			Meaning:       "Whether the tenant and client id of the store are those of the configuration. With others, the monitors stop until each is renewed and authorized again.",
			Remedy:        "Correct the tenant or client id in the configuration, or accept the change and renew each monitor with a client secret of the other application.",
			Administrator: Operator, Basis: basisPool, applies: withMonitors, run: checkMonitorsApplication,
		},
		{
			Code: CodeMonitorsSufficient, Area: AreaMonitors, Title: "There are enough monitors", DependsOn: on(CodeMonitorsStore), Severity: SeverityError,
			Meaning:       "Whether there are as many presence monitors as the users need. Each watches 650 at most; users beyond that are kept in step by reading only, and are named.",
			Remedy:        "Create further presence monitors in Entra, add them with a client secret each, and authorize them.",
			Administrator: AzureAdministrator, Basis: basisPool, applies: withMonitors, run: checkMonitorsSufficient,
		},
	}
}

// monitorChecks are those of each monitor's account, secret and grant.
func monitorChecks() []Check {
	check := func(c Check) Check {
		c.Area, c.Per, c.applies = AreaMonitors, PerMonitor, withMonitors
		if c.Basis == "" {
			c.Basis = basisMonitor
		}
		if c.Severity == "" {
			c.Severity = SeverityError
		}
		if c.Administrator == "" {
			c.Administrator = AzureAdministrator
		}
		return c
	}
	return []Check{
		check(Check{
			Code: CodeMonitorSetUp, Title: "The monitor is set up", DependsOn: on(CodeMonitorsStore), Administrator: Operator,
			Meaning: "Whether user principal name and client secret of the monitor are there and can be read. Until both are, it cannot be authorized.",
			Remedy:  "Renew the monitor with a client secret of its own, and authorize it.",
			run:     checkMonitorSetUp,
		}),
		check(Check{
			Code: CodeMonitorApplication, Title: "The monitor needs no update", DependsOn: on(CodeMonitorSetUp, CodeMonitorsApplication), Administrator: Operator,
			Meaning: "Whether the monitor belongs to the present tenant and client id. After a change of either, it stops until it is renewed.",
			Remedy:  "Create a client secret of the new application, renew the monitor with its Value, and authorize it again.",
			run:     checkMonitorApplication,
		}),
		check(Check{
			Code: CodeMonitorSecret, Title: "The monitor's client secret is accepted", DependsOn: on(CodeMonitorApplication, CodeEntraApplication),
			Meaning: "Whether Entra accepts the client secret of the monitor: it has not expired, was not deleted, and is the Value and not the Secret ID.",
			Remedy:  "Create a new client secret of the application in Entra and renew the monitor with its Value.",
			run:     checkMonitorSecret,
		}),
		check(Check{
			Code: CodeMonitorSecretExpiry, Title: "The monitor's client secret does not end soon", DependsOn: append(on(CodeMonitorSecret), strictly(CodeEntraRegistration)...), Severity: SeverityWarning,
			Meaning: "When the client secret of the monitor ends. Client secrets last two years at most.",
			Remedy:  "Create a new client secret in Entra, renew the monitor with its Value, and delete the old one.",
			run:     checkMonitorSecretExpiry,
		}),
		check(Check{
			Code: CodeMonitorAccount, Title: "The monitor's account exists", DependsOn: append(on(CodeMonitorSecret), Dependency{Code: CodeApplicationPermissionInToken, Subject: "User.Read.All", Strict: true}),
			Meaning: "Whether the tenant has an account with the user principal name of the monitor.",
			Remedy:  "Create the account in Entra, or delete the monitor.",
			run:     checkMonitorAccount,
		}),
		check(Check{
			Code: CodeMonitorEnabled, Title: "The monitor's account is enabled", DependsOn: on(CodeMonitorAccount),
			Meaning: "Whether the account may sign in.",
			Remedy:  "Enable the account in Entra.",
			run:     checkMonitorEnabled,
		}),
		check(Check{
			Code: CodeMonitorMail, Title: "The monitor's account has a mail address", DependsOn: on(CodeMonitorAccount),
			Meaning: "Whether the account has a mail address, as Mitel's guide wants it.",
			Remedy:  "Give the account a mail address in Entra.",
			run:     checkMonitorMail,
		}),
		check(Check{
			Code: CodeMonitorNotAdministrator, Title: "The monitor is not a global administrator", DependsOn: on(CodeMonitorEnabled),
			Meaning: "Whether the account is a global administrator's, which a monitor must not be: it would receive data that it does not need. An access token tells it, and not every one does.",
			Remedy:  "Take the role from the account, or use another account as the monitor.",
			run:     checkMonitorNotAdministrator,
		}),
		check(Check{
			Code: CodeMonitorSignIn, Title: "The monitor's account may sign in", DependsOn: on(CodeMonitorEnabled),
			Meaning: "Whether nothing but a sign-in is missing: the account is not locked, its password has not expired, and no second factor and no conditional access policy forbids what the bridge does with it.",
			Remedy:  "Exempt the account from what forbids the sign-in, or unlock it, and authorize the monitor again.",
			run:     checkMonitorSignIn,
		}),
		check(Check{
			Code: CodeMonitorConsent, Title: "The monitor's permissions were consented to", DependsOn: on(CodeMonitorSignIn, CodeAdminConsent),
			Meaning: "Whether Entra refuses the monitor because a delegated permission was not consented to.",
			Remedy:  "Grant admin consent for the tenant and authorize the monitor again.",
			run:     checkMonitorConsent,
		}),
		check(Check{
			Code: CodeMonitorAuthorized, Title: "The monitor is authorized", DependsOn: on(CodeMonitorConsent),
			Meaning: "Whether somebody has signed in as the monitor, and the grant still holds. A password reset by an administrator and a revocation of sessions end it.",
			Remedy:  "Authorize the monitor: ask the operator of the service for its authorization URL, open that and sign in as the monitor, or send it to somebody who knows the account's password.",
			run:     checkMonitorAuthorized,
		}),
		check(Check{
			Code: CodeMonitorRefreshToken, Title: "The monitor's refresh token is used", DependsOn: on(CodeMonitorAuthorized), Severity: SeverityWarning, Administrator: Operator,
			Meaning: "Whether the refresh token was used lately: it ends after 90 days in which it is not.",
			Remedy:  "Keep the bridge running: it uses the token every day. If it does run, look at the monitor's error.",
			run:     checkMonitorRefreshToken,
		}),
		check(Check{
			Code: CodeMonitorPermissions, Title: "The monitor's token has the required permissions", DependsOn: on(CodeMonitorAuthorized),
			Meaning: "Whether the token of the monitor holds every delegated permission without which it cannot watch anybody.",
			Remedy:  "Add the permissions (type Delegated) to the application in Entra, grant admin consent, and authorize the monitor again.",
			run:     checkMonitorPermissions(true),
		}),
		check(Check{
			Code: CodeMonitorRecommended, Title: "The monitor's token has the recommended permissions", DependsOn: on(CodeMonitorPermissions), Severity: SeverityWarning,
			Meaning: "Whether the token of the monitor holds the delegated permissions that Mitel's guide lists and this library can do without.",
			Remedy:  "Add the permissions (type Delegated) to the application in Entra, grant admin consent, and authorize the monitor again; or leave it as it is.",
			run:     checkMonitorPermissions(false),
		}),
	}
}

// subscriptionChecks are those of what each monitor does.
func subscriptionChecks() []Check {
	check := func(c Check) Check {
		c.Area, c.Per, c.applies, c.Administrator = AreaMonitors, PerMonitor, withMonitors, Operator
		if c.Basis == "" {
			c.Basis = basisMonitorRead
		}
		if c.Severity == "" {
			c.Severity = SeverityError
		}
		return c
	}
	return []Check{
		check(Check{
			Code: CodeMonitorWorking, Title: "The monitor works",
			DependsOn: on(CodeMonitorMail, CodeMonitorNotAdministrator, CodeMonitorPermissions, CodeMonitorsRunning, CodeNotificationHandshake),
			Meaning:   "Whether nothing else fails for the monitor. What passes by itself is tried again all the time.",
			Remedy:    "Look at the error. Retry the monitor once its cause is gone.",
			run:       checkMonitorWorking,
		}),
		check(Check{
			Code: CodeMonitorSubscription, Title: "The monitor's subscription is alive", DependsOn: on(CodeMonitorWorking),
			Meaning: "Whether the monitor has a subscription if users are assigned to it, and it is renewed before it ends. Microsoft Graph lets one live an hour.",
			Remedy:  "The bridge creates it again by itself. If it stays so, look at the error, and retry the monitor.",
			run:     checkMonitorSubscription,
		}),
		check(Check{
			Code: CodeMonitorSubscriptionUsers, Title: "The monitor's subscription covers its users", DependsOn: strictly(CodeMonitorSubscription),
			Meaning: "Whether the subscription watches all users that are assigned to the monitor. After a change it takes seconds.",
			Remedy:  "Run the check again in a minute. If it stays so, retry the monitor.",
			run:     checkMonitorSubscriptionUsers,
		}),
		check(Check{
			Code: CodeMonitorHeard, Title: "The monitor's subscription brings notifications", DependsOn: strictly(CodeMonitorSubscription), Severity: SeverityWarning,
			Meaning: "When a notification came last, and whether regular reading found changes that none has brought. A subscription can be alive and silent; the bridge replaces it then.",
			Remedy:  "Change the presence of one of its users in Teams and run the check again. If nothing is heard, let Microsoft Graph reach the notification URL, and retry the monitor.",
			run:     checkMonitorHeard,
		}),
	}
}
