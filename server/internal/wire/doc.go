// Package wire turns what the broker contract speaks into what the wire
// contract speaks, and back: errors, statuses, messages and headers.
//
// Everything here is a pure function of its arguments, and safe for concurrent
// use as far as its arguments are. Strings that come from outside (a broker's
// text, a header key, an error that quotes a client) leave this package as valid
// UTF-8: a protobuf string that isn't would end the whole stream that carries it.
package wire
