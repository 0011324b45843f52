// Package presence is the vocabulary that every other package of
// presencebridge speaks, and the mapping table between its words.
//
// It holds values only: no I/O, no goroutine, no clock.
//
// # The life of one value
//
// A telephone reports a [LineState] for each of a person's endpoints. The
// strongest of them, by [Strongest], becomes the person's [Line]. A [Table]
// turns the line into a [Session]: the availability and activity that an
// application may set in Microsoft Teams, or the wish to clear it, or the wish
// to leave everything as it is.
//
// In the other direction Microsoft Graph reports a [Presence]; the same table
// turns it into a MiCollab [Status], or into the wish to leave the status as it
// is.
//
// # Tables for different people
//
// [DefaultRules] are the mapping that holds where nothing else is said, as text
// that a person can read and edit. A [Mapping] puts layers of such [Rules] on top
// of them: for everyone, for groups, for single users. [Mapping.For] gives a
// user's table, which can tell of every result which rule decided it.
//
// # Who is who
//
// [Match] finds the persons that exist on both sides by their addresses, and
// names everybody who is left out, with the reason.
//
// # What is unknown never writes
//
// A value this package has no word for is kept as it was read, is reported by
// Known as not known, and maps to [Leave]. Microsoft documents the values as
// plain strings and adds to them; a new one must never turn a correct status
// into a wrong one.
package presence
