// Package tenant lets a system check look at Microsoft Entra and Microsoft Graph
// through the package graph of this module. Its [Tenant] is the [verify.Entra] of
// a bridge whose application is registered in Entra.
//
// # The life of one check
//
// A bridge has a [graph.Client] and the [graph.Credential] behind it; [New] takes
// both, so the checks look with the eyes of the bridge. [Tenant.Fill] puts what
// the two can tell into the sources of a [verify.SystemCheck]. When it runs,
// [Tenant.SignIn] obtains a token though an earlier one is still good, because a
// client secret may have been deleted since, and reads from it which application
// permissions it holds. [Tenant.Registration] and [Tenant.GrantedPermissions] read
// what the registration declares and what was consented to, and turn Microsoft's
// ids into the names that administrators see. What is missing, and what to do
// about it, is for package verify to say.
//
// # What it guarantees
//
//   - It changes nothing, at Microsoft or in the bridge, but that the bridge has a
//     newer token afterwards.
//   - Its requests spend from the budgets of the client, like those of the bridge.
//   - No error holds a secret or a token. Errors are those of package graph: they
//     match the sentinels of package presence, have a method Remedy that says what
//     to do, and those of a sign-in also match [verify.ErrTenantRefused] and
//     [verify.ErrCredentialRefused] where one of these is the cause.
//
// It is a package of its own because package graph takes minutes to compile
// cold: who brings another Graph client to package verify does not pay for that.
package tenant
