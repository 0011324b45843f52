// Package cloudlink talks to Mitel CloudLink, the platform between a customer's
// telephone system, MiCollab and Microsoft Teams: line states of telephones,
// the presence of people, users, and notifications of changes.
//
// # The life of one call
//
// Somebody picks up telephone 2001. The telephone system tells CloudLink, and
// CloudLink posts a publication to the webhook: a [WebhookHandler] at a URL of
// the embedder's service. The handler finds the subscription's [Receiver], which
// belongs to a [Watcher], and the watcher tells its [Sink] that telephone 2001
// is to be looked at again. The sink, in the end the bridge, asks
// [Client.Lines] for the state of all of the person's telephones. The
// notification itself is never taken for the state: it may come late, twice, out
// of order or never.
//
// The other way round, a status for a person goes through a [StatusDriver] to
// CloudLink's presence, and from there through the gateway to MiCollab.
//
// # Credentials
//
// A service uses [NewClientCredential] with a client of its own, one per
// account. The other credentials are for a person's password, a sign-in, and the
// refresh token of an earlier one. Any [TokenSource] will do.
//
// # What it promises
//
//   - Requests stay within a budget; a service that asks for a pause gets it.
//     CloudLink may lock an account whose application asks too much.
//   - Reads that fail for a passing reason are repeated, writes are not.
//   - Errors match the sentinels of package presence, say what to do, carry the
//     correlation id that Mitel's support asks for, and hold no token, password or
//     text of the service: CloudLink's gateway repeats the caller's token in its
//     error message.
//   - A line state or type that is not known is passed on as not known. One odd
//     item spoils neither a listing nor a notification.
//
// # What is not published
//
// Mitel publishes the media API, the notification envelope and much of the rest,
// but not everything. What this package assumes is the default of an option, is
// said so in the option's comment, and stands in two files: assumed.go and, for
// the JSON of the presence resource, presentity.go; see [PresentityCodec].
package cloudlink
