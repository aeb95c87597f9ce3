package coordinator

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// repeatInterval is how often clients are told of trouble while it lasts (C9 allows
// 10 s).
const repeatInterval = 5 * time.Second

// trouble is one kind of trouble with the broker, which every client is told of
// (C9).
type trouble struct {
	code messageproxyv1.ErrorCode
	err  *messageproxyv1.Error // nil while all is well
	// passing: the broker may get over it by itself.
	passing bool
	toldAt  time.Duration
}

func (t *trouble) active() bool { return t.err != nil }

func (t *trouble) repeatAt() time.Duration {
	if !t.active() {
		return never
	}
	return t.toldAt + repeatInterval
}

// begin tells every client of trouble, or of a change in it.
func (s *State) begin(t *trouble, cause error, passing bool) {
	err := wire.NewError(t.code, true, "%s", explain(t.code, cause))
	news := !t.active() || t.err.Message != err.Message
	t.err, t.passing = err, passing
	if news {
		s.announce(t)
	}
}

// passes reports whether the broker may get over a failure to open a consumer by
// itself. What a person has to mend first (a topic to create, a permission to give)
// is told to whoever subscribes, even if the same call can succeed later.
func passes(err error) bool {
	switch broker.CodeOf(err) {
	case broker.CodeTopicNotFound, broker.CodePartitionNotFound, broker.CodeInvalidArgument,
		broker.CodeUnauthenticated, broker.CodePermissionDenied, broker.CodeUnsupported:
		return false
	}
	return broker.IsRetryable(err)
}

func explain(code messageproxyv1.ErrorCode, cause error) string {
	if code == messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED {
		return "ACKs can't be made durable now, and what was ACKed may come again after a failure of the server; " +
			"it goes on trying: " + cause.Error()
	}
	return "messages can't be received from the broker now; the server goes on trying: " + cause.Error()
}

func (s *State) announce(t *trouble) {
	t.toldAt = s.now
	for _, c := range s.order {
		if c.accepted {
			s.announceTo(c, t)
		}
	}
}

func (s *State) announceTo(c *client, t *trouble) {
	if t.active() {
		s.emit(Trouble{c.id, t.err})
	}
}

func (s *State) repeat(t *trouble) {
	if s.now >= t.repeatAt() {
		s.announce(t)
	}
}

func (s *State) recover(t *trouble) {
	if !t.active() {
		return
	}
	t.err = nil
	for _, c := range s.order {
		if c.accepted {
			s.emit(Recovered{c.id, t.code})
		}
	}
}

func (s *State) pollFailed(e PollFailed) {
	if s.phase != open {
		return
	}
	s.begin(&s.consumeTrouble, e.Err, true)
	if !broker.IsRetryable(e.Err) {
		s.close() // this consumer won't recover: another one is opened
	}
}

func (s *State) pollRecovered() {
	if s.phase == open {
		s.recover(&s.consumeTrouble)
	}
}
