// Package heavy attacks a proxy with clients by the thousand: that stall, never
// read, flood, connect and vanish. Its tests show that the memory of the server
// stays under the budget that its settings state, that everything returns to what
// it was before they came, and that nobody else pays for them.
//
// The server whose memory is measured is the program itself, in a process of its
// own; Kafka is the embedded one, in the process of the test.
package heavy
