// Package presencebridge keeps a person's presence in step on two systems, both
// ways: Microsoft Teams, through Microsoft Graph, and Mitel MiCollab, through
// Mitel CloudLink. A call on the desk phone shows as "In a call" in Teams;
// "Presenting" in Teams shows in the MiCollab client.
//
// The package is the engine. It has no server of its own: a [Bridge] has a
// blocking Run, and the notification handlers of the packages graph and cloudlink
// are mounted where the embedding service listens. What it joins comes in through
// four small interfaces, [Directory], [Teams], [Phones] and [Statuses], which the
// clients of graph, cloudlink and micollab implement, and which anything else may.
//
// # The life of one change
//
// Somebody picks up a telephone. CloudLink posts a notification; its handler
// checks it and calls [Bridge.PhoneChanged]. The bridge does not believe it: it
// only notes that this user is to be looked at, and reads the line. The strongest
// line of the user's telephones goes through the mapping table, which says
// Busy/InACall, so the bridge opens a presence session of its own in Teams, renews
// it for as long as the call lasts, and clears it when it ends.
//
// Graph now notifies that the user is busy. The bridge reads that too, and
// recognises its own session: nothing is written to MiCollab. When the user starts
// to present in Teams, the reading shows a state that the session cannot explain,
// and MiCollab shows "Presenting".
//
// Had any of the notifications been lost, the regular reading of everybody would
// have found the change: an event is a hint that saves time, never the truth.
//
// # What it promises
//
//   - What is unknown never writes. A state that the library does not know, or
//     could not read, changes nothing on the other side.
//   - No echo. The bridge never acts on a change that it caused itself. Graph does
//     not say who caused a change and may report Busy/InACall as Busy/Busy, so
//     changes are attributed by what was written, when, and by family of state.
//   - Convergence. Once faults stop, both sides agree with the mapping table
//     within one reconcile interval plus the time that the services' limits need.
//   - Nothing is left behind. The session is cleared when the call ends; if the
//     process dies, it lapses within [Options.SessionLifetime]. An "Available" is
//     never made up.
//   - Nobody is dropped silently. Whoever is left out, in one direction or both,
//     is named with a reason: see [Bridge.Roster], [Bridge.Overflow] and
//     [Bridge.Explain].
//   - Within the limits. Requests stay below the published budgets, and a service
//     that asks for a pause gets it.
//   - No secret escapes into a log, an error, a metric or a report.
//   - Newer wins. An older observation never overrides a newer one.
//
// # How it decides
//
// The engine is level-triggered. Per user it keeps what each side was last observed
// to be, what was last written and when. A pure function makes of that, of the
// mapping table and of the time what is to be written now and when to look again.
// Each kind of request has a queue that holds every user once, so that whoever
// waits there gets what is right when the turn comes, not what was right before.
//
// [Bridge.Explain] shows all of it for one user: the inputs with their age, the
// rule that was applied, the last writes with their causes, and what keeps the
// bridge from writing; [Bridge.ResetPhone] and [Bridge.SyncAll] set right what does not
// heal by itself. [Hooks] and the instruments show it for all.
//
// # Where to go from here
//
// Package presence holds the vocabulary and the mapping table, graph, cloudlink and
// micollab the clients, monitor the pool of accounts that watch Teams, which is a
// [Watcher], verify what finds out why presence is wrong, in the whole system or for
// one person. Each wire package has a test double that an embedder can test with:
// graph/graphtest, cloudlink/cloudlinktest and micollab/micollabtest. The program in
// examples/bridge is a complete bridge.
package presencebridge
