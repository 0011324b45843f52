// Package micollab knows the Mitel MiCollab server: whether it can take
// Microsoft Teams presence at all, and how its users' statuses are read and
// written.
//
// # The life of one status
//
// The bridge maps a person's Teams presence to a [presence.Status] and hands it
// to a [Client]. The client checks it, translates it to the name that the server
// uses where that differs, and passes it to a [Driver] under a time limit.
//
// The driver does the writing. Mitel publishes no interface that sets the status
// of another person: its own integration writes CloudLink presence, and the
// CloudLink gateway, which knows the MiCollab address and password, carries that
// to MiCollab. So the driver that this library brings is the StatusDriver of
// package cloudlink; an embedder with another way to the server implements the
// two methods of Driver and proves them with package micollabtest.
//
// # The conditions
//
// Mitel's administration guide asks for MiCollab 9.8 SP1 or later with its
// Microsoft Teams and CloudLink integrations on, and for the server's address
// and password in the gateway's configuration. No published interface tells
// these facts, so the embedder supplies them as a [Server], and [NewClient]
// refuses a server that does not meet them, naming every condition and its
// remedy at once.
package micollab
