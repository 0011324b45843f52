// Package storetest tests what implements or uses the Store of package monitor.
//
// [TestStore] is the conformance suite: whoever writes a store runs it, and has
// proved what a pool of monitors relies on. [Crashing] makes any store one
// whose process dies at a chosen write: whoever uses stores proves with it that
// a start after a crash finds everything it needs.
package storetest
