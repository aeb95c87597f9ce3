package coordinator

import (
	"slices"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// ShuttingDown is what a server that shuts down ends streams with.
func ShuttingDown() *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, true,
		"this server is shutting down: connect again, to another one")
}

// drain stops deliveries. Clients that hold messages are told so, and end when
// they hold nothing more.
func (s *State) drain() {
	if s.draining {
		return
	}
	s.draining = true
	for _, c := range s.order {
		if c.unacked > 0 {
			s.emit(Notice{c.id, wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, true,
				"this server is shutting down: no more messages come; ACK what is done, then connect again")})
		}
	}
}

// endDrained ends the clients that a draining server need not wait for.
func (s *State) endDrained() {
	if !s.draining {
		return
	}
	for _, c := range slices.Clone(s.order) {
		if c.unacked == 0 || s.drainOver {
			s.end(c.id, ShuttingDown())
		}
	}
}
