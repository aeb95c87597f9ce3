// Package server is the message proxy as a gRPC server: the service of
// messageproxy.v1 over a broker, with health, reflection and a drain that loses
// nothing that was accepted.
package server
