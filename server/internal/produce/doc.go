// Package produce is the produce side of the server: it hands what clients send
// to the broker's producer and answers every message with exactly one result.
//
// # Who does what
//
// A stream has two goroutines. Its reader receives requests and gives their
// messages to the producer; its writer, which is the handler's own goroutine,
// sends results. Between them stands the stream's list of results: the producer's
// callbacks append to it under a short lock, wake the writer, and never block.
// The writer sends whatever has gathered while the last send was under way.
//
// # What bounds it
//
// The reader goes on while fewer than Config.MaxOutstandingMessages of the
// stream's messages are outstanding: read, and their result not yet sent. A request
// with more messages than that is taken piece by piece. Config.MaxOutstandingBytes
// bounds the bytes that the producer holds for the whole server, over all streams,
// in turn; they are free again when the producer calls back, whether or not the
// client reads its results. Besides that a stream holds one request at a time.
//
// # What ends a message
//
// The producer's callback; or, if it doesn't come within Config.Timeout and a
// second of grace, UNKNOWN_OUTCOME; or the drain's end, likewise. Whichever is
// first makes the result. One timer a stream watches over the oldest message that
// has none.
//
// # What ends a stream
//
// Half-close: everything is answered, then OK. Cancellation, or a lost connection:
// what was read is still given to the producer, and the results are dropped. A
// request that can't be decoded, or a drain: what was read is answered, and the
// terminal error follows, as last response and as status. A request above gRPC's
// receive limit is refused by gRPC, which ends the stream with RESOURCE_EXHAUSTED
// at once: what is unanswered then may be stored, as after a lost connection.
package produce
