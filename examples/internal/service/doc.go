// Package service is the bridge as a service: one customer's bridge between
// Microsoft Teams and Mitel MiCollab with everything that this module leaves to the
// program around it, assembled from a configuration file. The programs beside it
// share the package, so that whatever one of them keeps in step another can check
// with the same credentials.
//
// # From a file to a running bridge
//
// [ReadFile] reads the file within bounds, and [Load] turns its text into [Settings]
// or says everything that is wrong with it at once, each [Mistake] with its line and
// what to do about it. The file bridge.sample.yaml of examples/bridge explains each
// key. A program may as well fill in the settings itself, as the demonstration of
// examples/bridge does.
//
// [Assemble] puts the packages of this module together and sends nothing. Its source,
// wire.go, is the place to look for how they fit. What it has made are the fields of
// a [Service], for whoever wants to ask one of them directly.
//
// [Service.Run] opens the two HTTP servers, one for notifications and sign-ins and
// one for the status page, and keeps everybody in step until its context ends.
//
// # What is wrong
//
// A [Service] has a system check and a user check of package verify, which look at all
// that it is made of. They are served beside the status page, below [PathVerify]: a
// program that asks there learns what the running bridge has read, written and heard.
//
// # What it keeps to itself
//
// Secrets stay [presence.Secret] from the file to the request that needs them. No
// mistake repeats one. The status page names people, so it answers on addresses of
// this machine only, and so does whatever a program adds to it by [Extras].
package service
