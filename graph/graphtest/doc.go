// Package graphtest is a double of Microsoft Entra and Microsoft Graph, as far
// as presence needs them: a server in process that speaks their wire protocols,
// in the manner of [net/http/httptest].
//
// # The life of one presence
//
// A test adds users and an application to the directory with [Server.AddUser]
// and [Server.AddApplication], and points a client at [Server.LoginURL] and
// [Server.GraphURL]. The client gets a token from Entra's token endpoint, and
// with it sets a presence session in Graph. The session joins those of the
// user's Teams clients, which the test sets with [Server.SetClient], the
// calendar and what the user prefers; what the user shows follows from all of
// them by Microsoft's own rules, fades and lapses with time, and is posted to
// the subscriptions that watch the user. [Server.History] tells what every user
// really showed, when and why, so that a test can compare.
//
// # What it is faithful to
//
// It has what Microsoft documents: paths, bodies, limits, permissions, error
// bodies, and oddities such as a notification's time without a zone, a
// fractional Retry-After, or the misspelling in the refusal of a second
// subscription. Where no source says how the real service behaves, the double
// does what [Assumptions] says, and each of these can be changed.
//
// It differs from the real services in this: it takes notification URLs over
// plain HTTP, because receivers in tests have no certificates; its own posts
// reach loopback addresses only, unless [Options.DeliveryClient] is set; and a
// user without a password signs in with any.
//
// # Faults
//
// [Server.Control] intercepts requests: [Match] answers, delays or drops those
// of one path. [Server.SetDeliveryFault] drops, doubles, delays and reorders
// notifications. [Server.KillSubscription], [Server.ExpireSecret],
// [Server.RevokeRefreshTokens] and [Server.RequestReauthorization] do what
// happens to a tenant in years. [Server.UpdateUser], [Server.UpdateApplication]
// and [Server.WithdrawScopes] do what an administrator does by mistake: what the
// registration declares, what is granted and what tokens hold can differ.
// [Server.SetClockSkew] makes the server's clock wrong. [Server.Usage] proves
// that a client kept within the throttling budgets.
//
// # Time
//
// All time is package time's. On a [Network] in memory the server lives in a
// testing/synctest bubble, where days pass in milliseconds; on a socket
// [Options.SessionTimeScale] lets sessions age faster.
package graphtest
