// Package history checks what a proxy did against what it promises. Tests of every
// kind (simulated, against a real Kafka, under load) record what they saw as
// events, in one order, and Check says which guarantees that breaks, each with
// the few events that explain it.
package history
