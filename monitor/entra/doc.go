// Package entra lets presence monitors sign in and act through the package graph
// of this module. It is the [monitor.Entra] of a pool whose monitors are accounts
// of Microsoft Entra.
//
// # The life of one account
//
// A monitor is given a user principal name and a client secret that is its own.
// [Entra.Inspect] reads, as the application, whether the account exists, is
// enabled and has a mail address, and when the application's client secrets end;
// a secret that is not valid is found here, before anybody signs in.
// [Entra.BeginSignIn] makes the URL where somebody who knows the account's
// password signs in and consents. What comes to the redirect URI goes to
// [Entra.Redeem], which returns the grant: a refresh token, who has signed in,
// what was granted and what is missing. Whether that is the monitor's account is
// the pool's to judge.
//
// [Entra.Open] makes the account act. It obtains an access token when a request
// needs one; each time it asks [monitor.RefreshTokens] for the newest refresh
// token, and hands the next one over before the access token is used. An account
// with nothing to do is kept alive by Refresh.
//
// # What it guarantees
//
//   - Requests for tokens of one account never overlap, so a refresh never races
//     with itself. That it does not race with another process is for
//     [monitor.RefreshTokens] to see to, which may refuse.
//   - All accounts and inspections of one application in one tenant spend from the
//     same [graph.Budgets].
//   - It keeps no state of any sign-in, so one may begin in one process and end in
//     another.
//   - No error and no log line holds a secret, a token or a code. Errors are those
//     of package graph: they match the sentinels of package presence, and have a
//     method Remedy that says what to do.
//
// It is a package of its own because package graph takes minutes to compile
// cold: who brings another Graph client to package monitor does not pay for that.
package entra
