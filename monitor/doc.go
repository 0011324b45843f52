// Package monitor keeps presence subscriptions alive.
//
// Microsoft Graph tells of changes in presence only to a signed-in user, who may
// hold one presence subscription for each application, over at most 650 users,
// and for at most an hour. A presence monitor is an ordinary account that does
// nothing but hold that subscription; a [Monitor] is its upkeep.
//
// # The life of one subscription
//
// [Monitor.SetUsers] says whom to watch. [Monitor.Run] registers a receiver
// under a new random client state, creates the subscription and tells the
// [Sink] to read all of its users in bulk, since what changed before nobody was
// told. From there on every notification becomes a [Sink.TeamsChanged]. At two
// thirds of its life the subscription is renewed, and at once when Microsoft
// Graph asks for re-authorization: a renewal does both.
//
// A subscription's users cannot be changed, so another set of users means
// deleting it and creating another. So does silence: a subscription can be alive
// and deliver nothing, which only bulk reads find out ([Monitor.Missed]).
//
// With an [Options.Memory] a subscription outlives its process: the next one
// receives under the client state that is remembered, reads all users, and renews
// at once, which proves that the subscription still exists. One that watches
// others, or reports to another place, is deleted and another created.
//
// # What it guarantees
//
//   - There is always a next step. A failure is repeated with growing pauses,
//     for ever, and is reported each time with the time of the next attempt; it
//     never ends the upkeep. A panic in a step counts as its failure.
//   - A gap is never silent. Whenever notifications may have been lost, the sink
//     is told which users to read once a subscription is in place again.
//   - Nobody is dropped silently. Users beyond the capacity are returned by
//     SetUsers and named in the [SubscriptionSnapshot].
//   - Nothing is left behind. When Run's context ends, the subscription is
//     deleted, unless [Options.KeepOnStop] or [Monitor.SetKeepOnStop] says
//     otherwise. A process that dies at any point leaves what the next one adopts
//     or replaces.
//
// The package depends on no Graph client: [Subscriptions] and [Routes] are what
// it needs of one, and the package graph of this module has both.
package monitor
