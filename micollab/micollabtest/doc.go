// Package micollabtest tests what implements or uses the Driver of package
// micollab.
//
// [TestDriver] is the conformance suite: whoever writes a driver runs it, and
// has proved the contract that the bridge relies on. [Driver] is a driver in
// memory, with faults on demand: whoever uses drivers tests against it.
package micollabtest
