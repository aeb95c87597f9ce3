// Package brokertest checks a backend against the contract of package broker.
//
// Run runs every check as a subtest. Its Harness says how the backend is opened
// and how the broker behind it is administered and disturbed, which the contract
// leaves out. A harness that can't do something says why, in Harness.Cannot: the
// reason is printed as a subtest of its own. A feature that the backend denies is
// checked to answer broker.CodeUnsupported.
//
// Each Check quotes the sentences of the contract that it is about (Check.Quotes,
// in the files checks_*.go), and a test of this package reads the contract and
// fails if a sentence of it is in no check, or if a quotation is in no sentence.
// So the way from a sentence to its subtests is a search for its words here, or
// the table that this prints:
//
//	go test -v -run TestEverySentence ./brokertest
//
// Most of a check's time is waiting, so on a broker that a check has for itself
// "go test -parallel 16" ends sooner.
//
// The checks wait for signals and take as much time as the backend does, up to
// Harness.Patience. What they assert not to happen they watch for Harness.Quiet.
// They need nothing but package time, so against a backend in memory they also
// run in a bubble of testing/synctest.
//
// Package membroker is the reference implementation.
package brokertest
