package verify

import "context"

// Not made yet.
func checkAdminConsent(context.Context, *facts, string) Outcome                  { panic("not made") }
func checkApplicationPermissionGranted(context.Context, *facts, string) Outcome  { panic("not made") }
func checkApplicationPermissionInToken(context.Context, *facts, string) Outcome  { panic("not made") }
func checkEntraApplication(context.Context, *facts, string) Outcome              { panic("not made") }
func checkEntraReachable(context.Context, *facts, string) Outcome                { panic("not made") }
func checkEntraRegistration(context.Context, *facts, string) Outcome             { panic("not made") }
func checkEntraSecret(context.Context, *facts, string) Outcome                   { panic("not made") }
func checkEntraSecretExpiry(context.Context, *facts, string) Outcome             { panic("not made") }
func checkEntraTenant(context.Context, *facts, string) Outcome                   { panic("not made") }
func checkEntraToken(context.Context, *facts, string) Outcome                    { panic("not made") }
func checkPermissionDeclared(bool) func(context.Context, *facts, string) Outcome { panic("not made") }
func checkRedirectURI(context.Context, *facts, string) Outcome                   { panic("not made") }
func checkRedirectURIPlatform(context.Context, *facts, string) Outcome           { panic("not made") }
func checkRedirectURIRegion(context.Context, *facts, string) Outcome             { panic("not made") }
