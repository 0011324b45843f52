package verify

// The codes of the checks of Microsoft Entra.
const (
	CodeEntraReachable                Code = "entra-reachable"
	CodeEntraTenant                   Code = "entra-tenant"
	CodeEntraApplication              Code = "entra-application"
	CodeEntraSecret                   Code = "entra-secret"
	CodeEntraToken                    Code = "entra-token"
	CodeAdminConsent                  Code = "admin-consent"
	CodeApplicationPermissionGranted  Code = "application-permission-granted"
	CodeApplicationPermissionInToken  Code = "application-permission-in-token"
	CodeEntraRegistration             Code = "entra-registration"
	CodeEntraSecretExpiry             Code = "entra-secret-expiry"
	CodeApplicationPermissionDeclared Code = "application-permission-declared"
	CodeDelegatedPermissionDeclared   Code = "delegated-permission-declared"
	CodeRedirectURI                   Code = "redirect-uri"
	CodeRedirectURIPlatform           Code = "redirect-uri-platform"
	CodeRedirectURIRegion             Code = "redirect-uri-region"
)

const (
	basisSignIn       = "a sign-in of the application, made now"
	basisRegistration = "the application's registration in Entra, read now"
	basisSettings     = "the configuration of the bridge"
)

// readRegistration is the application permission without which Entra tells nothing
// of the registration.
const readRegistration = "Application.Read.All"

// entraChecks are those of the application's sign-in, each naming one reason for
// which Entra refuses it.
func entraChecks() []Check {
	return []Check{
		{
			Code: CodeEntraReachable, Area: AreaEntra, Title: "The login service answers", Severity: SeverityError,
			Meaning:       "Whether the login service of Microsoft Entra can be reached and answers. Without it there are no tokens, and nothing reaches Teams.",
			Remedy:        "Let the service reach the login service over HTTPS: look at proxy, firewall and name resolution. If all of them are in order, look at Microsoft's service health and run the check again.",
			Administrator: Operator, Basis: basisSignIn, run: checkEntraReachable,
		},
		{
			Code: CodeEntraTenant, Area: AreaEntra, Title: "The tenant id is accepted", DependsOn: on(CodeEntraReachable), Severity: SeverityError,
			Meaning:       "Whether there is a tenant with the configured id, in the configured cloud. A sign-in that fails before it comes to that does not speak against it, and the evidence says so; the same holds for the next two.",
			Remedy:        "Copy the Directory (tenant) ID from the overview of the application in Entra into the configuration.",
			Administrator: Operator, Basis: basisSignIn, run: checkEntraTenant,
		},
		{
			Code: CodeEntraApplication, Area: AreaEntra, Title: "The client id is accepted", DependsOn: on(CodeEntraTenant), Severity: SeverityError,
			Meaning:       "Whether the tenant has an application with the configured client id, and it is not disabled.",
			Remedy:        "Copy the Application (client) ID from the overview of the application in Entra into the configuration. If it is right, enable the application under Enterprise applications.",
			Administrator: AzureAdministrator, Basis: basisSignIn, run: checkEntraApplication,
		},
		{
			Code: CodeEntraSecret, Area: AreaEntra, Title: "The client secret of the feature is accepted", DependsOn: on(CodeEntraApplication), Severity: SeverityError,
			Meaning:       "Whether Entra accepts the client secret, or the certificate, with which the bridge itself signs in: it has not expired, it was not deleted, and it is the Value and not the Secret ID.",
			Remedy:        "Create a new client secret of the application in Entra, with the name of the integration as its description, and enter its Value in the configuration.",
			Administrator: AzureAdministrator, Basis: basisSignIn, run: checkEntraSecret,
		},
		{
			Code: CodeEntraToken, Area: AreaEntra, Title: "An application token is obtained", DependsOn: on(CodeEntraSecret), Severity: SeverityError,
			Meaning:       "Whether Entra issues a token to the application after it has accepted tenant, application and secret. What else can be in the way are policies and passing troubles.",
			Remedy:        "Look up the code of the refusal in Entra's sign-in log of the application.",
			Administrator: AzureAdministrator, Basis: basisSignIn, run: checkEntraToken,
		},
	}
}

// permissionChecks are those of consent and application permissions.
func permissionChecks() []Check {
	return []Check{
		{
			Code: CodeAdminConsent, Area: AreaEntra, Title: "An administrator has consented for the tenant", DependsOn: on(CodeEntraToken), Severity: SeverityError,
			Meaning:       "Whether tenant-wide admin consent was given: a token that holds none of the application permissions is the sign that it was not.",
			Remedy:        "Open the consent URL as an administrator of the tenant, or choose Grant admin consent under API permissions of the application in Entra.",
			Administrator: AzureAdministrator, Basis: basisSignIn, run: checkAdminConsent,
		},
		{
			Code: CodeApplicationPermissionGranted, Area: AreaEntra, Title: "The application permission is granted", Per: PerApplicationPermission,
			DependsOn: strictly(CodeAdminConsent), Severity: SeverityError,
			Meaning:       "Whether an administrator has consented to the application permission. A missing permission that is not required is a warning.",
			Remedy:        "Add the permission of Microsoft Graph (type Application) to the application in Entra and grant admin consent.",
			Administrator: AzureAdministrator, Basis: "the application's token, and what was consented to, read now", run: checkApplicationPermissionGranted,
		},
		{
			Code: CodeApplicationPermissionInToken, Area: AreaEntra, Title: "The application permission is in the token", Per: PerApplicationPermission,
			DependsOn: strictly(CodeApplicationPermissionGranted), Severity: SeverityError,
			Meaning:       "Whether a token that is issued now holds the permission that was granted. Entra may need some minutes after a consent. Where the token cannot be read, the permission counts as held because it is granted, and the basis says so.",
			Remedy:        "Wait some minutes after the consent and run the check again. If it stays so, grant admin consent anew.",
			Administrator: AzureAdministrator, Basis: basisSignIn, run: checkApplicationPermissionInToken,
		},
	}
}

// registrationChecks are those of what the registration says.
func registrationChecks() []Check {
	return []Check{
		{
			Code: CodeEntraRegistration, Area: AreaEntra, Title: "The registration can be read",
			DependsOn: []Dependency{{Code: CodeApplicationPermissionInToken, Subject: readRegistration, Strict: true}}, Severity: SeverityWarning,
			Meaning:       "Whether the application may read its own registration. The ends of client secrets, the redirect URIs and the declared permissions stand there.",
			Remedy:        "Grant the application permission Application.Read.All. If it is granted, make sure that the application is registered in this tenant and not in another one.",
			Administrator: AzureAdministrator, Basis: basisRegistration, run: checkEntraRegistration,
		},
		{
			Code: CodeEntraSecretExpiry, Area: AreaEntra, Title: "The client secret or the certificate of the feature does not end soon", DependsOn: strictly(CodeEntraRegistration), Severity: SeverityWarning,
			Meaning:       "When the client secret, or the certificate, ends with which the bridge signs in. Client secrets last two years at most, and when it ends, everything stops. The end of a certificate is that of the configured file.",
			Remedy:        "Create a new client secret in Entra, enter its Value in the configuration, and delete the old one; or upload a new certificate there, and configure it with its key.",
			Administrator: AzureAdministrator, Basis: basisRegistration, run: checkEntraSecretExpiry,
		},
		{
			Code: CodeApplicationPermissionDeclared, Area: AreaEntra, Title: "The application permission is declared", Per: PerApplicationPermission,
			DependsOn: strictly(CodeEntraRegistration, CodeApplicationPermissionGranted), Severity: SeverityWarning,
			Meaning:       "Whether the registration lists the application permission. One that is granted and not listed is lost with the next consent.",
			Remedy:        "Add the permission of Microsoft Graph (type Application) under API permissions of the application in Entra.",
			Administrator: AzureAdministrator, Basis: basisRegistration, run: checkPermissionDeclared(false),
		},
		{
			Code: CodeDelegatedPermissionDeclared, Area: AreaEntra, Title: "The delegated permission is declared", Per: PerDelegatedPermission,
			DependsOn: strictly(CodeEntraRegistration), Severity: SeverityWarning,
			Meaning:       "Whether the registration lists the delegated permission that the sign-ins of presence monitors ask for.",
			Remedy:        "Add the permission of Microsoft Graph (type Delegated) under API permissions of the application in Entra.",
			Administrator: AzureAdministrator, Basis: basisRegistration, applies: withMonitors, run: checkPermissionDeclared(true),
		},
		{
			Code: CodeRedirectURI, Area: AreaEntra, Title: "The redirect URI is registered", DependsOn: strictly(CodeEntraRegistration), Severity: SeverityError,
			Meaning:       "Whether the registration has the redirect URI to which the sign-ins of the presence monitors lead back. Without it nobody can authorize a monitor.",
			Remedy:        "Add the redirect URI under Authentication of the application in Entra, platform Web, to the letter.",
			Administrator: AzureAdministrator, Basis: basisRegistration, applies: withMonitors, run: checkRedirectURI,
		},
		{
			Code: CodeRedirectURIPlatform, Area: AreaEntra, Title: "The redirect URI is of the platform Web", DependsOn: strictly(CodeRedirectURI), Severity: SeverityError,
			Meaning:       "Whether the redirect URI is registered for the platform Web. A single-page application's refresh tokens last a day, and a public client has no secret.",
			Remedy:        "Remove the redirect URI from the other platform and add it to the platform Web, under Authentication of the application in Entra.",
			Administrator: AzureAdministrator, Basis: basisRegistration, applies: withMonitors, run: checkRedirectURIPlatform,
		},
		{
			Code: CodeRedirectURIRegion, Area: AreaEntra, Title: "The redirect URI is of the account's region", DependsOn: on(CodeCloudLinkRegion), Severity: SeverityError,
			Meaning:       "Whether a redirect URI of Mitel's belongs to the region of the CloudLink account. One of the embedding service's own has no region.",
			Remedy:        "Use the redirect URI of the account's region, in the configuration and under Authentication of the application in Entra.",
			Administrator: Operator, Basis: basisSettings, applies: withMonitors, run: checkRedirectURIRegion,
		},
	}
}
