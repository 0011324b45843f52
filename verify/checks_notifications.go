package verify

// The codes of the checks of the notification URL.
const (
	CodeNotificationURL         Code = "notification-url"
	CodeNotificationAddress     Code = "notification-address"
	CodeNotificationCertificate Code = "notification-certificate"
	CodeNotificationHandshake   Code = "notification-handshake"
)

// notificationChecks are those of the address to which Microsoft Graph delivers.
func notificationChecks() []Check {
	return []Check{
		{
			Code: CodeNotificationURL, Area: AreaNotifications, Title: "The notification URL is one for Microsoft Graph", Severity: SeverityError,
			Meaning:       "Whether the notification URL is an HTTPS URL with the name of a host.",
			Remedy:        "Enter the public HTTPS URL of the service as the notification URL.",
			Administrator: Operator, Basis: basisSettings, applies: withNotifications, run: checkNotificationURL,
		},
		{
			Code: CodeNotificationAddress, Area: AreaNotifications, Title: "The notification URL leads to a public address", DependsOn: on(CodeNotificationURL), Severity: SeverityError,
			Meaning:       "Whether the host of the notification URL resolves to a public address. The answer is that of the resolver here: one that knows an internal address for the same name is a warning only if Microsoft Graph has reached the URL within the last day.",
			Remedy:        "Let the name resolve to the public address of the service, or of the proxy in front of it.",
			Administrator: Operator, Basis: "a name resolution made now, from here", applies: withNotifications, run: checkNotificationAddress,
		},
		{
			Code: CodeNotificationCertificate, Area: AreaNotifications, Title: "The certificate of the notification URL is valid", DependsOn: on(CodeNotificationAddress), Severity: SeverityError,
			Meaning:       "Whether the certificate is of an authority that is trusted, for this name, and not about to end. Microsoft Graph delivers to no other. Where no connection comes about, the check of the handshake says why.",
			Remedy:        "Renew the certificate, with its full chain, for the name of the notification URL.",
			Administrator: Operator, Basis: "a connection made now, from here", applies: withNotifications, run: checkNotificationCertificate,
		},
		{
			Code: CodeNotificationHandshake, Area: AreaNotifications, Title: "The notification URL answers the handshake", DependsOn: on(CodeNotificationCertificate), Severity: SeverityError,
			Meaning:       "Whether the notification URL returns a validation token as Microsoft Graph wants it: status 200, plain text, within 10 seconds. From outside it may still be blocked: that Microsoft Graph has created a subscription or sent a notification within the last day is the proof, and is told. With that proof, it is a warning only that the URL cannot be reached from here. The request is made once for this check and that of the certificate.",
			Remedy:        "Lead the path of the notification URL to the bridge's notification handler, without a login page or a redirect in between.",
			Administrator: Operator, Basis: "a request made now, from here", applies: withNotifications, run: checkNotificationHandshake,
		},
	}
}
