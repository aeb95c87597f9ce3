// Package memory sets a process up for the server: what gRPC's buffers are like, and how
// Go's garbage collector goes about its work. It changes the whole process, so a program
// calls it at its start, before anything of gRPC's, and nobody else does.
package memory
