package verify

import "context"

// Not made yet.
func checkCloudLinkAccount(context.Context, *facts, string) Outcome             { panic("not made") }
func checkCloudLinkCredentials(context.Context, *facts, string) Outcome         { panic("not made") }
func checkCloudLinkHeard(context.Context, *facts, string) Outcome               { panic("not made") }
func checkCloudLinkReachable(context.Context, *facts, string) Outcome           { panic("not made") }
func checkCloudLinkRegion(context.Context, *facts, string) Outcome              { panic("not made") }
func checkCloudLinkRole(context.Context, *facts, string) Outcome                { panic("not made") }
func checkCloudLinkSubscriptions(context.Context, *facts, string) Outcome       { panic("not made") }
func checkGatewayIntegration(context.Context, *facts, string) Outcome           { panic("not made") }
func checkGatewayPBX(context.Context, *facts, string) Outcome                   { panic("not made") }
func checkMiCollabAddress(context.Context, *facts, string) Outcome              { panic("not made") }
func checkMiCollabAddressPrivate(context.Context, *facts, string) Outcome       { panic("not made") }
func checkMiCollabCloudLinkIntegration(context.Context, *facts, string) Outcome { panic("not made") }
func checkMiCollabPassword(context.Context, *facts, string) Outcome             { panic("not made") }
func checkMiCollabReachable(context.Context, *facts, string) Outcome            { panic("not made") }
func checkMiCollabTeamsIntegration(context.Context, *facts, string) Outcome     { panic("not made") }
func checkMiCollabVersion(context.Context, *facts, string) Outcome              { panic("not made") }
func checkUsersAmbiguous(context.Context, *facts, string) Outcome               { panic("not made") }
func checkUsersLeftOut(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkUsersLimited(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkUsersMatched(context.Context, *facts, string) Outcome                 { panic("not made") }
func checkUsersUnmatched(context.Context, *facts, string) Outcome               { panic("not made") }
func checkUsersWatched(context.Context, *facts, string) Outcome                 { panic("not made") }
