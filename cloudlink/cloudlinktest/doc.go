// Package cloudlinktest is a double of the Mitel CloudLink platform for tests:
// an HTTP server that speaks CloudLink's own protocol in process, in the manner
// of [net/http/httptest].
//
// It serves the parts that a presence integration uses: tokens, the account and
// its users, telephone endpoints and their calls, the presence of principals,
// notification subscriptions and their webhook deliveries. Its behaviour follows
// what Mitel publishes (the developer guides, the media API's description, the
// official samples and the developer forum), oddities included: times and
// booleans as strings in GET /token, a user listing that returns sipPassword, a
// Retry-After that is a date, a wrong path answered with 403 and the caller's
// token in the text. What Mitel does not publish is assumed, and all of it is in
// one place: [Assumptions].
//
// # The life of one event
//
// A test calls [Server.SetLine], as if a telephone rang. The server opens a call
// on the endpoint and publishes it, as the gateway of a telephone system would,
// and the endpoint's new state after it. Every subscription whose topic, subject
// filter, method filter and publication filter match gets a delivery of its own:
// a POST to its webhook, after a latency, repeated a few times until it is
// answered with 2xx.
//
// # Faults on demand
//
// [Server.Control] looks at the requests that come in, and answers, delays or
// drops them in the double's place. [Server.SetDeliveryFault] does so with
// deliveries. [Server.KillSubscription], [Server.ExpireTokens],
// [Server.RevokeRefreshTokens] and [Server.RemoveClient] take away what a client
// believes it has. [Server.UpdateUser], [Server.AddClient], [Server.SetAccountID]
// and [Server.SetDomain] change what it believes to know. [Server.SetClockSkew]
// makes the server's clock wrong.
//
// # Time
//
// The server takes time from package time and waits on channels only. On a
// [Network] in place of a socket it runs inside a testing/synctest bubble: make
// it, use it and close it there.
//
// The double is for tests: it has no defences against those who can reach it.
package cloudlinktest
