// Package script is a message proxy that does what a script says: it takes down what
// clients send, answers what it is told to, and misbehaves in every way that a server or a
// network can. It listens on loopback, on the generated stubs, and has no mind of its own.
package script
