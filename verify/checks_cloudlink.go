package verify

// The codes of the checks of CloudLink and its gateway.
const (
	CodeCloudLinkReachable     Code = "cloudlink-reachable"
	CodeCloudLinkCredentials   Code = "cloudlink-credentials"
	CodeCloudLinkAccount       Code = "cloudlink-account"
	CodeCloudLinkRole          Code = "cloudlink-role"
	CodeCloudLinkRegion        Code = "cloudlink-region"
	CodeCloudLinkSubscriptions Code = "cloudlink-subscriptions"
	CodeCloudLinkHeard         Code = "cloudlink-heard"
	CodeGatewayIntegration     Code = "gateway-integration"
	CodeGatewayPBX             Code = "gateway-pbx"
)

const (
	basisWhoAmI  = "whose the credentials are, asked of CloudLink now"
	basisWatcher = "what the bridge's watcher knows"
	basisGateway = "what was entered of the gateway: no published interface tells it"
)

// cloudLinkChecks are those of the account.
func cloudLinkChecks() []Check {
	return []Check{
		{
			Code: CodeCloudLinkReachable, Area: AreaCloudLink, Title: "CloudLink answers", Severity: SeverityError,
			Meaning:       "Whether Mitel CloudLink can be reached and answers. Without it the bridge knows nothing of telephones and MiCollab.",
			Remedy:        "Let the service reach the hosts of *.mitel.io over HTTPS (TCP 443): look at proxy, firewall and name resolution. If all of them are in order, run the check again later.",
			Administrator: Operator, Basis: basisWhoAmI, run: checkCloudLinkReachable,
		},
		{
			Code: CodeCloudLinkCredentials, Area: AreaCloudLink, Title: "The CloudLink credentials are accepted", DependsOn: on(CodeCloudLinkReachable), Severity: SeverityError,
			Meaning:       "Whether CloudLink accepts the client, or the user, of the configuration.",
			Remedy:        "Enter the client's id and secret, or the user's name and password, anew. A secret that is lost cannot be read again: create another client.",
			Administrator: CloudLinkAdministrator, Basis: basisWhoAmI, run: checkCloudLinkCredentials,
		},
		{
			Code: CodeCloudLinkAccount, Area: AreaCloudLink, Title: "The CloudLink account is the configured one", DependsOn: append(strictly(CodeCloudLinkCredentials), on(CodeCloudLinkRole)...), Severity: SeverityError,
			Meaning:       "Whether the credentials belong to the configured account, and it can be read.",
			Remedy:        "Copy the Account ID from the account page of Mitel Administration into the configuration, or use credentials of that account.",
			Administrator: Operator, Basis: basisWhoAmI, run: checkCloudLinkAccount,
		},
		{
			Code: CodeCloudLinkRole, Area: AreaCloudLink, Title: "The CloudLink role suffices", DependsOn: strictly(CodeCloudLinkCredentials), Severity: SeverityError,
			Meaning:       "Whether the credentials have the role ACCOUNT_ADMIN, or PARTNER_ADMIN, without which the users of the account cannot be listed.",
			Remedy:        "Create a client of the account with the role ACCOUNT_ADMIN, or give the user that role.",
			Administrator: CloudLinkAdministrator, Basis: basisWhoAmI, run: checkCloudLinkRole,
		},
		{
			Code: CodeCloudLinkRegion, Area: AreaCloudLink, Title: "The CloudLink region is the account's", DependsOn: strictly(CodeCloudLinkCredentials), Severity: SeverityError,
			Meaning:       "Whether the configured region is that in which CloudLink keeps the account.",
			Remedy:        "Enter the cloud location that the account page of Mitel Administration shows as the region.",
			Administrator: Operator, Basis: basisWhoAmI, run: checkCloudLinkRegion,
		},
		{
			Code: CodeCloudLinkSubscriptions, Area: AreaCloudLink, Title: "The CloudLink subscriptions are alive", DependsOn: on(CodeCloudLinkRole, CodeCloudLinkAccount), Severity: SeverityError,
			Meaning:       "Whether the bridge is subscribed to the notifications of telephones, and of presence if it is bidirectional. Without them changes are found by regular reading only.",
			Remedy:        "The bridge makes lost subscriptions again by itself. If it stays so, let CloudLink reach the webhook URL and look at the error.",
			Administrator: Operator, Basis: basisWatcher, applies: withWatcher, run: checkCloudLinkSubscriptions,
		},
		{
			Code: CodeCloudLinkHeard, Area: AreaCloudLink, Title: "The CloudLink subscriptions bring notifications", DependsOn: on(CodeCloudLinkSubscriptions), Severity: SeverityWarning,
			Meaning:       "When each subscription brought a notification last. A subscription can be alive and silent: one that has never brought any is suspect after a day, the others after a week of silence.",
			Remedy:        "Make a call on a telephone of the account and run the check again. If nothing is heard, let CloudLink reach the webhook URL.",
			Administrator: Operator, Basis: basisWatcher, applies: withWatcher, run: checkCloudLinkHeard,
		},
	}
}

// gatewayChecks are those of the gateway that connects the telephone system.
func gatewayChecks() []Check {
	return []Check{
		{
			Code: CodeGatewayIntegration, Area: AreaCloudLink, Title: "The gateway integration is enabled", DependsOn: on(CodeCloudLinkAccount), Severity: SeverityError,
			Meaning:       "Whether the CloudLink gateway integration is enabled for the telephone system. Line states come through it.",
			Remedy:        "Enable the CloudLink gateway integration of the account in Mitel Administration.",
			Administrator: CloudLinkAdministrator, Basis: basisGateway, run: checkGatewayIntegration,
		},
		{
			Code: CodeGatewayPBX, Area: AreaCloudLink, Title: "The telephone system is supported", DependsOn: on(CodeGatewayIntegration), Severity: SeverityError,
			Meaning:       "Whether a connected telephone system shows its line states in Teams and, if the bridge is bidirectional, takes Teams presence: MiVoice Business does; newer editions of Mitel's guide add MX-ONE and MiVoice 5000.",
			Remedy:        "Leave the users of other telephone systems out, or, if Mitel has meanwhile declared support, extend the capabilities in the configuration.",
			Administrator: CloudLinkAdministrator, Basis: basisGateway, run: checkGatewayPBX,
		},
	}
}
