package verify

import "context"

// Not made yet.
func checkBidirectionalReady(context.Context, *facts, string) Outcome { panic("not made") }
func checkClock(func(*SystemSources) []Service) func(context.Context, *facts, string) Outcome {
	panic("not made")
}
func checkConnection(...string) func(context.Context, *facts, string) Outcome { panic("not made") }
func checkNotificationAddress(context.Context, *facts, string) Outcome        { panic("not made") }
func checkNotificationCertificate(context.Context, *facts, string) Outcome    { panic("not made") }
func checkNotificationHandshake(context.Context, *facts, string) Outcome      { panic("not made") }
func checkNotificationURL(context.Context, *facts, string) Outcome            { panic("not made") }
func checkOneWayReady(context.Context, *facts, string) Outcome                { panic("not made") }
func checkProbe(context.Context, *facts, string) Outcome                      { panic("not made") }
func checkProbeNotification(context.Context, *facts, string) Outcome          { panic("not made") }
func checkThrottling(context.Context, *facts, string) Outcome                 { panic("not made") }
