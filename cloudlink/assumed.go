package cloudlink

import "time"

// What Mitel does not publish, and what this package assumes in its place. Each
// is the default of an option, so that an embedder who knows better can say so.
// The JSON of the presence resource is the one assumption that is not here: see
// presentity.go. That the presence service's host is called like the others is
// in the comment of [ServicePresence]; Options.BaseURL changes it.
const (
	// assumedRequestsPerSecond: Mitel announces limits for production without
	// numbers, and warns that an account of an application which asks too much
	// may be locked without notice. See Options.RequestsPerSecond.
	assumedRequestsPerSecond = 10
	// assumedRefreshField is the form field of a refresh token: Mitel's forum
	// says refresh_token, an older client of Mitel's sends "token". See
	// CredentialOptions.RefreshTokenField.
	assumedRefreshField = "refresh_token"
	// assumedApplicationIDHeader is the header of a webhook request that repeats
	// the application id of the subscription: Mitel says that there is one and
	// not its name. See WebhookHandlerOptions.ApplicationIDHeader.
	assumedApplicationIDHeader = "x-mitel-application-id"
	// assumedUserAvailability is sent with a do-not-disturb request, where the
	// API demands the availability of the calling application's user and says
	// that it does nothing if that is "dnd". See Options.UserAvailability.
	assumedUserAvailability = "available"
	// assumedPageSize is how many items a listing asks for at a time. See
	// Options.PageSize.
	assumedPageSize = 100
	// assumedCheckInterval is how often the list of subscriptions is read: when,
	// or whether, CloudLink ends one is not documented. See
	// WatcherOptions.CheckInterval.
	assumedCheckInterval = 5 * time.Minute
)
