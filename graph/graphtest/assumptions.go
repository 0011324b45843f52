package graphtest

import (
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Assumptions are the behaviours that no public Microsoft page states, with
// what this double makes of them. A client that is right must work whichever
// way they go, so a test may turn each. The zero value of each field is its
// default; a negative duration means none at all.
type Assumptions struct {
	// AccessTokenLifetime is how long an access token is valid. Default: 1 hour.
	AccessTokenLifetime time.Duration

	// NotificationLatency is how long a change waits before it is posted;
	// changes for the same URL that come in the meantime share its POST.
	// Microsoft states an average under 10 seconds and at most 1 minute.
	// Default: 10 milliseconds.
	NotificationLatency time.Duration
	// NotificationsPerRequest is how many notifications one POST holds at
	// most. Default: 100.
	NotificationsPerRequest int
	// RetryInterval is the wait before the first repetition of a POST that was
	// not answered by a 2xx; each further wait is twice the one before.
	// Default: 5 seconds.
	RetryInterval time.Duration
	// MaxRetryInterval bounds the waits. Default: 10 minutes.
	MaxRetryInterval time.Duration

	// ReauthorizationLead is how long before the end of the access token behind
	// a subscription, or of the subscription itself, the first
	// reauthorizationRequired is sent. Default: 15 minutes.
	ReauthorizationLead time.Duration
	// ReauthorizationInterval is how often it is repeated until it is
	// answered. Default: 15 minutes.
	ReauthorizationInterval time.Duration

	// ReadBackDelay is how long reads still give the previous presence after an
	// application's write took effect. Users report up to some seconds.
	// Default: none.
	ReadBackDelay time.Duration
	// ReportInACallAs is the activity that is reported for a session that an
	// application set as Busy/InACall; some tenants are said to show Busy/Busy.
	// Default: InACall.
	ReportInACallAs presence.Activity
	// InactiveAs is what an application's Available session shows after five
	// minutes without a refresh. Microsoft's page on presence sessions writes
	// Available with the activity AvailableInactive, which its list of
	// activities lacks. Default: Available/AvailableInactive.
	InactiveAs presence.Session
	// CalendarWithoutSession shows Busy/InAMeeting for a person in a meeting
	// who has no presence session. Default: false, the person is Offline.
	CalendarWithoutSession bool
	// OmitUnknownUsers leaves a user whom the tenant does not have out of the
	// answer to getPresencesByUserId. Default: false, the user is in it with
	// PresenceUnknown/PresenceUnknown.
	OmitUnknownUsers bool

	// ConflictNamesSubscription answers the second subscription of a user and
	// application with the wording of Microsoft's general page on duplicates,
	// which names the existing subscription. Default: false, the wording that
	// users report for presence.
	ConflictNamesSubscription bool
	// ClientStateInReads includes the client state when a subscription is read
	// or listed. Default: false, only the answer to its creation has it.
	ClientStateInReads bool
	// OmitDirectoryRoles leaves the claim wids out of the tokens of everybody who is
	// no global administrator. Default: false, they hold the role that Entra gives
	// to every ordinary account.
	OmitDirectoryRoles bool
	// ValidationTokensVersion1 issues validation tokens of version 1.0: from
	// https://sts.windows.net, with the caller in appid. Microsoft's page shows a
	// token of version 2.0, and code that expects the issuer of version 1.0.
	// Default: false, version 2.0.
	ValidationTokensVersion1 bool
	// SubscriptionPageSize is how many subscriptions one page of the list
	// holds. Default: 20.
	SubscriptionPageSize int
}

// What is assumed about the wording and the status of refusals. Clients must
// not depend on a message; these are here so that one place holds them.
const (
	// statusUserIDNotGUID answers a presence request that names the user
	// otherwise than by object id, which Microsoft does not support.
	statusUserIDNotGUID = http.StatusBadRequest
	// statusForeignSubscription answers a request for a subscription of
	// another application or user.
	statusForeignSubscription = http.StatusNotFound

	// messagePresencePair answers availability and activity that may not be set.
	messagePresencePair = "The specified availability and activity combination is not supported."
	// messageSessionID answers a sessionId other than the application's id.
	messageSessionID = "The sessionId must be the id of the application."
	// messageSessionDuration answers a lifetime outside PT5M to PT4H.
	messageSessionDuration = "The specified expirationDuration is not valid. It must be an ISO 8601 duration from PT5M to PT4H."
	// messageBulkLimit answers more than 650 ids in one bulk read.
	messageBulkLimit = "The number of ids must be between 1 and 650."
	// messageSubscriptionUsers answers more than 650 users in one subscription.
	messageSubscriptionUsers = "A presence subscription supports at most 650 users."
	// messageSubscriptionExpiry answers an expiration beyond 60 minutes.
	messageSubscriptionExpiry = "Subscription expiration can only be 60 minutes in the future."
	// messageValidationMismatch answers a handshake whose answer is not the token.
	messageValidationMismatch = "Subscription validation request failed. Response must exactly match validationToken query parameter."
)

// or returns d, or fallback where d is zero, or zero where d is negative.
func or(d, fallback time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return fallback
	default:
		return d
	}
}

// withDefaults returns a copy of a, which may be nil, with every default filled in.
func (a *Assumptions) withDefaults() Assumptions {
	var b Assumptions
	if a != nil {
		b = *a
	}
	b.AccessTokenLifetime = or(b.AccessTokenLifetime, time.Hour)
	b.NotificationLatency = or(b.NotificationLatency, 10*time.Millisecond)
	b.RetryInterval = or(b.RetryInterval, 5*time.Second)
	b.MaxRetryInterval = or(b.MaxRetryInterval, 10*time.Minute)
	b.ReauthorizationLead = or(b.ReauthorizationLead, 15*time.Minute)
	b.ReauthorizationInterval = or(b.ReauthorizationInterval, 15*time.Minute)
	b.ReadBackDelay = or(b.ReadBackDelay, 0)
	if b.ReauthorizationInterval == 0 {
		// Without any interval the event would repeat in a tight loop.
		b.ReauthorizationInterval = time.Second
	}
	if b.RetryInterval == 0 {
		b.RetryInterval = time.Millisecond
	}
	if b.NotificationsPerRequest <= 0 {
		b.NotificationsPerRequest = 100
	}
	if b.SubscriptionPageSize <= 0 {
		b.SubscriptionPageSize = 20
	}
	if b.ReportInACallAs == "" {
		b.ReportInACallAs = presence.ActivityInACall
	}
	if b.InactiveAs.IsZero() {
		b.InactiveAs = presence.Session{Availability: presence.Available, Activity: presence.Activity(presence.AvailableInactive)}
	}
	return b
}
