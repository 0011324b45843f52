package cloudlinktest

import (
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// Assumptions are what Mitel does not publish and the double decides all the
// same. The zero value of each field is its default.
//
// These are assumed without a setting: the status of each error and the names in
// error bodies; a USER's token reaches only the user's own account entry,
// endpoints and presence, and that of a client with the role USER every
// endpoint and presence of the account but not its user listing; an
// ACCOUNT_ADMIN sees every subscription of the account and a USER those it made;
// client credentials get no refresh token; the count of a listing is that of
// the page; the presence resource is GET and PUT /presentities/{principalId} of
// the service "presence", and its JSON {principalId, accountId, status, reason,
// modifiedOn}; its subject begins with the version, as that of a call does; a
// deletion answers 204 and a creation 201; access tokens have a claim jti.
type Assumptions struct {
	// ApplicationIDHeader is the header of a webhook request that repeats the
	// subscription's applicationId. That there is one is documented, its name is
	// not. Default: "x-mitel-application-id".
	ApplicationIDHeader string
	// DeliveryLatency is the time between an event and its delivery. Negative:
	// none. Default: 20 ms; Mitel's sample event took about half a second, which
	// tests need not wait for.
	DeliveryLatency time.Duration
	// DeliveryAttempts is how often a delivery is tried in all until it is
	// answered with 2xx. Default: 3.
	DeliveryAttempts int
	// DeliveryBackoff is the wait before the second attempt; it doubles from
	// attempt to attempt. Default: 1 s.
	DeliveryBackoff time.Duration
	// DeliveryTimeout bounds one attempt. Default: 10 s.
	DeliveryTimeout time.Duration
	// NoEndpointPublications publishes calls only, as in Mitel's sample, and
	// never an endpoint of its own (subject /2017-09-01/endpoints/{endpointId}).
	// Default: both.
	NoEndpointPublications bool
	// RetryAfterSeconds sends Retry-After as seconds. Default: as an HTTP date,
	// which Mitel's sample client expects.
	RetryAfterSeconds bool
	// RelativeLinks makes _links relative to the host. Default: absolute.
	RelativeLinks bool
	// PageSize is how many items a listing returns without $top. Default: 100.
	PageSize int
	// MaxPageSize is the most that $top may ask for; more is cut down to it.
	// Default: 1000.
	MaxPageSize int
	// PrincipalIDInUsers adds principalId to the user resource, which Mitel's
	// own client does not know there. Default: no; a user's principal id equals
	// its user id unless [User] says otherwise.
	PrincipalIDInUsers bool
	// SharedEmails lets several people have one e-mail address; with it signs in
	// whoever had it first. Default: no, [Server.AddUser] panics.
	SharedEmails bool
	// RotateRefreshTokens makes a refresh token valid for one use. Default: it
	// stays valid until its end, beside the new one that each use returns.
	RotateRefreshTokens bool
	// CodeLifetime is how long an authorization code can be exchanged. Default:
	// 10 minutes.
	CodeLifetime time.Duration
	// AcknowledgeAfter makes a write to an endpoint take effect only after this
	// time, and answers it with 202. Default: it takes effect at once and is
	// answered with 200.
	AcknowledgeAfter time.Duration
	// InitialStatus is the status of a user before anybody sets one. Default:
	// [presence.StatusOffline].
	InitialStatus presence.Status
}

func (a Assumptions) withDefaults() Assumptions {
	orDefault(&a.ApplicationIDHeader, "x-mitel-application-id")
	orDefault(&a.DeliveryLatency, 20*time.Millisecond)
	orDefault(&a.DeliveryAttempts, 3)
	orDefault(&a.DeliveryBackoff, time.Second)
	orDefault(&a.DeliveryTimeout, 10*time.Second)
	orDefault(&a.PageSize, 100)
	orDefault(&a.MaxPageSize, 1000)
	orDefault(&a.CodeLifetime, 10*time.Minute)
	orDefault(&a.InitialStatus, presence.StatusOffline)
	return a
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
