// Package boltstore keeps what a pool of monitors must not forget in one file on
// disk, with bbolt. It is the store for a service that runs as one process.
//
// # The life of an entry
//
// [Store.Put] compares the revision, gives the entry the next one of a count that
// all entries of the file share, and writes both in one transaction. It returns
// when the operating system has confirmed that the bytes are on the disk (bbolt
// writes the pages, calls fsync, writes the page that refers to them, and calls
// fsync again), so that what it has reported survives the death of the process
// and, as far as the disk keeps its word, the loss of power. A process that is
// killed at any other moment leaves the entry as it was. The count is part of
// the file, hence a revision never comes again, not even for an entry that
// was deleted and written anew after a restart.
//
// Every entry carries a checksum. [Open] reads them all, and checks that the
// pages of the file are one tree and a list of free pages, before anything may
// write to it. A file that is not such a store, is damaged, or comes from a
// newer version is refused with [monitor.ErrStoreUnreadable] and left as it is,
// never repaired or replaced.
//
// # What it costs
//
// A write costs two fsyncs, which is a few milliseconds on most disks, and writes
// come one after the other. A pool writes an entry when a monitor's token rotates
// or its subscription changes, which is a few times an hour for each monitor; the
// disk's limit is hundreds a second. Reading needs no disk access once the pages
// are in memory. [Open] takes the time to read the file a few times. The file
// never shrinks by itself: freed pages are used again.
//
// # One process
//
// bbolt locks the file, and a second process is refused with
// [monitor.ErrStoreInUse]. That is why leases are kept in memory: the pools
// that could hold one are in this process and end with it.
//
// Values are stored as they come. Whatever is secret in them was sealed before
// ([monitor.Sealer]); besides, only the file's owner may read it.
package boltstore
