// Package verify finds out why presence is wrong: in the whole system, or for one
// person.
//
// # The system check
//
// Many users are wrong, or nothing works yet. A [SystemCheck] makes the checks of
// [Checks], from the tenant id to the subscription of each presence monitor. Each
// check has a stable [Code], looks at one thing, and when that is not as it should be
// says in one sentence what is wrong, in another what to do, and who does it: the
// Azure, the CloudLink or the MiCollab administrator, or the operator of the service.
//
//	check, err := verify.NewSystemCheck(sources, settings, nil)
//	report, err := check.Run(ctx, &verify.RunOptions{Progress: show})
//	err = report.WriteText(os.Stdout, nil)
//
// A check depends on others. If one of those has not passed, it is skipped, because
// it would only repeat what is known: an expired client secret is one failure and
// not twenty. What does not depend on one another runs at the same time, each check
// within a bound of its own. A run can be repeated, whole or for some checks, until
// all pass; the report has what an earlier run found of the others.
//
// Each result says what it rests on. Most is asked of the services at that moment.
// What no published interface tells (the settings of the CloudLink gateway, the
// release and switches of MiCollab) comes from the embedder through [Gateway] and
// [MiCollab], from a configuration if need be. What nobody has told is never taken
// for granted: the check warns.
//
// # The user check
//
// One user is wrong. A [UserCheck] reads what each hop holds now, from the
// telephone to Teams and from Teams to MiCollab, puts what the bridge believes beside
// it, and names the first hop that does not follow from the one before it. It can
// then reset the phone state of that person, and set right everybody's status in
// MiCollab.
//
// # Reports
//
// Every report has a text form for people and a JSON form with a version for support
// cases and programs. Both are redacted: secrets that are known, and what looks like
// one, do not get into them. They name people and their addresses, because that is
// what they are about.
//
// # Beside a running bridge
//
// What matters most is known in the process that runs the bridge: what it has read,
// written and heard. [NewHandler] offers the checks of that process over HTTP, and
// [Client] makes them from another one.
//
// Package tenant answers for Microsoft Entra over package graph. This package does
// not need it, so whoever brings another Graph client does not compile Microsoft's
// SDK.
package verify
