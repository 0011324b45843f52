// Package monitor watches the Teams presence of any number of users through as
// few presence monitors as needed, for months, with nobody at the console.
//
// Microsoft Graph tells of changes in presence only to a signed-in user, who may
// hold one presence subscription for each application, over at most 650 users,
// and for at most an hour. A presence monitor is an ordinary account that does
// nothing but hold that subscription. A [Pool] makes all of this invisible.
//
// # A pool's day
//
// An administrator adds a monitor, by its user principal name and a client secret
// of its own ([Pool.Add]), and somebody who knows the account's password opens its
// [Pool.AuthorizationURL] once. From there on the pool is alone. The bridge says
// whom to watch ([Pool.SetUsers]); the pool shares them out among its monitors,
// creates their subscriptions, renews them at two thirds of their life, takes up
// the refresh tokens that rotate with each use, and tells the [Sink] whom to look
// at. When a secret is about to end it says so 60, 30, 7 and 1 days before; when
// one monitor fails, others take its users over; when the process is restarted it
// adopts the subscriptions that still live. [Pool.Snapshot] shows each monitor's
// [State], a sentence about it, and what can be done; where several things are the
// matter, [MonitorStatus.Troubles] has each.
//
// # Who watches whom
//
// [NewPlan] shares the users out. Whoever is watched stays with the same monitor,
// because another set of users means deleting a subscription and creating
// another. For whom there is no room is named: by SetUsers, in the Snapshot, and to
// a sink that is an [UnwatchedSink], which reads them in bulk instead. A monitor
// whose grant, secret or account Entra refuses loses its users to others that have
// room; one that fails for a reason that may pass keeps them while its
// subscription lives; and while most monitors fail, nobody is moved.
//
// # Several processes
//
// The pools of one [Store] share its monitors. Each has one keeper at a time, the
// pool that holds its lease: only the keeper uses the account and its refresh
// token. When a keeper stops, another takes over within a third of
// [PoolOptions.LeaseTime]; when its process dies, within the whole of it. One pool, the planner, decides who watches whom.
// Everything else works at any of them: a sign-in may begin at one and end at
// another.
//
// The notification URL must lead to the process that keeps the monitor. Where all
// processes have one URL, only one of them should receive.
//
// # What is stored
//
// One entry for each monitor holds facts with their times; client secret, refresh
// token and client state in it are sealed by the [Sealer] before they reach the
// store. States are derived from the facts each time, and never stored. There is
// a store in memory ([NewMemoryStore]); package boltstore keeps one on disk.
//
// # One subscription
//
// A [Monitor] is the upkeep of a single account's subscription, on which the pool
// is built. Use it by itself where one account is enough and its tokens are kept
// elsewhere. It guarantees:
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
// With an [Options.Memory] a subscription outlives its process: the next one
// receives under the client state that is remembered, reads all users, and renews
// at once, which proves that the subscription still exists. One that watches
// others, or reports to another place, is deleted and another created.
//
// # Metrics
//
// A pool has these instruments: presencebridge.monitor.events (by kind and
// reason), presencebridge.monitor.monitors (by state),
// presencebridge.monitor.users (wanted, subscribed, unwatched, capacity) and
// presencebridge.monitor.secret.remaining, in seconds, by monitor; the bridge's own
// secret has an empty name.
//
// The package depends on no Graph client: [Entra], [Subscriptions] and [Routes] are
// what it needs of one. Package entra makes them of package graph of this module.
package monitor
