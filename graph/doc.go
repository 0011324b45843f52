// Package graph speaks with Microsoft Graph and Microsoft Entra: tokens, the
// presence of Teams users (read, set, clear, watch) and the directory.
//
// # The life of one presence
//
// A [Credential] obtains an access token from Entra and keeps it until shortly
// before its end. A [Client] puts it on each request, waits until the published
// throttle budgets allow the request, sends it, and turns the answer into the
// words of package presence, or into an [*Error].
//
// What is read arrives by two ways. [Client.Presences] reads any number of
// users, 650 a request, with an application permission. A presence subscription
// ([Client.CreateSubscription]) makes Microsoft Graph call back at each change;
// it needs a delegated token of a signed-in user, who may hold one subscription
// over at most 650 users: a presence monitor. [Authorizer] signs such a user in,
// and [NewDelegatedCredential] acts for the user from then on, by refresh tokens
// that it or the embedder keeps.
//
// A subscription may bring the presence itself with each change, encrypted. A
// [KeyRing] has the certificates for that, and [NewDecryption] what a
// [NotificationHandler] needs to check and to read what arrives.
//
// What is written is a presence session of the application's own, beside those
// of the person's Teams clients: [Client.SetPresence], which lapses by itself,
// and [Client.ClearPresence].
//
// All of this ends with the application's client secrets. [Client.Application]
// tells when they end, and [Client.GrantedRoles] what was consented to.
//
// # What it guarantees
//
//   - Reads are repeated when they fail for a passing reason; writes never are,
//     because by then the caller may want something else written. The one
//     exception is a 401, which has had no effect: see [TokenSource].
//   - Retry-After is obeyed, fractions of seconds included, by everything that
//     spends from the same [Budgets].
//   - No error and no log line holds a token, a secret, a client state or a text
//     that the service sent: only its codes, its ids and this package's own
//     sentences, each of which says what to do next.
//   - A failed part of a bulk read does not spoil the rest: see [PartialError].
//   - An answer that is not what was expected, such as the HTML page of a proxy,
//     is an error that matches [ErrMalformed].
//
// Requests are built with the sub-packages of the Microsoft Graph SDK; answers
// are decoded here, because the SDK's generic decoding costs many times more for
// a bulk read.
//
// # Clouds
//
// [Global], [USGovernment] and [USGovernmentDoD] have presence; only the first
// has presence subscriptions, and elsewhere [Client.CreateSubscription] returns
// an error that matches presence.ErrUnsupported.
package graph
