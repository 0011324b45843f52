package verify

import "context"

// Not made yet.
func checkMonitorAccount(context.Context, *facts, string) Outcome                { panic("not made") }
func checkMonitorApplication(context.Context, *facts, string) Outcome            { panic("not made") }
func checkMonitorAuthorized(context.Context, *facts, string) Outcome             { panic("not made") }
func checkMonitorConsent(context.Context, *facts, string) Outcome                { panic("not made") }
func checkMonitorEnabled(context.Context, *facts, string) Outcome                { panic("not made") }
func checkMonitorHeard(context.Context, *facts, string) Outcome                  { panic("not made") }
func checkMonitorMail(context.Context, *facts, string) Outcome                   { panic("not made") }
func checkMonitorNotAdministrator(context.Context, *facts, string) Outcome       { panic("not made") }
func checkMonitorPermissions(bool) func(context.Context, *facts, string) Outcome { return nil }
func checkMonitorRefreshToken(context.Context, *facts, string) Outcome           { panic("not made") }
func checkMonitorSecret(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkMonitorSecretExpiry(context.Context, *facts, string) Outcome           { panic("not made") }
func checkMonitorSetUp(context.Context, *facts, string) Outcome                  { panic("not made") }
func checkMonitorSignIn(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkMonitorSubscription(context.Context, *facts, string) Outcome           { panic("not made") }
func checkMonitorSubscriptionUsers(context.Context, *facts, string) Outcome      { panic("not made") }
func checkMonitorWorking(context.Context, *facts, string) Outcome                { panic("not made") }
func checkMonitorsApplication(context.Context, *facts, string) Outcome           { panic("not made") }
func checkMonitorsRunning(context.Context, *facts, string) Outcome               { panic("not made") }
func checkMonitorsStore(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkMonitorsSufficient(context.Context, *facts, string) Outcome            { panic("not made") }
