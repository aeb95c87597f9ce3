// Package mutants shows that the simulation would notice if the proxy broke its
// promises. A mutant is the proxy with one safety rule switched off, by an edit of
// its source that only the compiler sees (go build -overlay): the tree stays as it
// is, and the product has no switches.
//
// The lists are data: list_*.go, by the part of the proxy that keeps the rule. An
// ordinary test checks that each edit still finds its place. To run the simulation
// against all of them takes many minutes:
//
//	make sim-mutants
package mutants
