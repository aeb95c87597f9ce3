// Package conformance has the tests of the conformance suite: those that run it against
// the Go SDK, and those that show that it notices an SDK that breaks SPEC.md. The suite
// itself is the command in cmd/conformance; see README.md.
package conformance
