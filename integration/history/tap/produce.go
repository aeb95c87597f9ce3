package tap

import (
	"maps"
	"slices"
	"sync"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
)

// produceStream records the client's end of a Produce stream.
type produceStream struct {
	tap    *Tap
	server string

	mu     sync.Mutex
	stream string // its name, once it has one
	// topics are those of the messages without a result, by sequence.
	topics map[uint64]producedTo
	ended  bool
}

// producedTo is where a message goes.
type producedTo struct {
	topic  string
	newest string // the newest incarnation of the topic at that time
}

func (s *produceStream) open(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = name
	s.topics = make(map[uint64]producedTo)
	s.recordLocked(history.ProduceOpened{Stream: name, Server: s.server})
}

// recordLocked records events of a stream that has a name and hasn't ended.
func (s *produceStream) recordLocked(events ...history.Event) {
	if s.stream != "" && !s.ended {
		s.tap.recorder.Record(events...)
	}
}

func (s *produceStream) request(request *messageproxyv1.ProduceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == "" || s.ended {
		return
	}
	events := make([]history.Event, len(request.GetMessages()))
	for i, m := range request.GetMessages() {
		s.topics[m.GetSequence()] = producedTo{m.GetTopic(), s.tap.topics.latest(m.GetTopic())}
		events[i] = history.Produced{
			Stream: s.stream, Sequence: m.GetSequence(), Topic: m.GetTopic(), Token: Token(m.GetValue()),
		}
	}
	s.recordLocked(events...)
}

func (s *produceStream) response(response *messageproxyv1.ProduceResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == "" || s.ended {
		return
	}
	events := make([]history.Event, len(response.GetResults()))
	for i, r := range response.GetResults() {
		events[i] = s.answerLocked(r)
	}
	s.recordLocked(events...)
	if e := response.GetTerminalError(); e != nil {
		s.terminalLocked(e)
	}
}

func (s *produceStream) answerLocked(r *messageproxyv1.ProduceResult) history.Answered {
	answer := history.Answered{Stream: s.stream, Sequence: r.GetSequence()}
	to := s.topics[r.GetSequence()]
	delete(s.topics, r.GetSequence())
	if e := r.GetError(); e != nil {
		answer.Outcome, answer.Why = history.Failed, codeName(e)+": "+e.GetMessage()
		if e.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME {
			answer.Outcome = history.Unknown
		}
		return answer
	}
	receipt := r.GetReceipt()
	answer.Outcome = history.Stored
	answer.Partition.Number, answer.Position = receipt.GetPartition(), unknownPosition
	if at, ok := parseID(receipt.GetMessageId()); ok {
		answer.Partition = history.Partition{Topic: s.tap.topics.name(to.topic, at.topic), Number: at.partition}
		answer.Position = at.position
	} else if to.newest == s.tap.topics.latest(to.topic) { // otherwise, either has stored it
		answer.Partition.Topic = to.newest
	}
	return answer
}

// terminalLocked ends the stream. What a server that shuts down leaves unanswered
// it promises not to have stored: that is an answer too.
func (s *produceStream) terminalLocked(e *messageproxyv1.Error) {
	why := codeName(e) + ": " + e.GetMessage()
	if e.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN {
		for _, sequence := range slices.Sorted(maps.Keys(s.topics)) {
			s.recordLocked(history.Answered{Stream: s.stream, Sequence: sequence, Outcome: history.Failed, Why: why})
		}
	}
	s.endLocked(true, why)
}

// end records the stream's end; what is seen of it later doesn't count.
func (s *produceStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := errorOf(err); {
	case err == nil:
		s.endLocked(false, "")
	case e != nil:
		s.terminalLocked(e)
	default:
		s.endLocked(true, err.Error())
	}
}

func (s *produceStream) endLocked(broken bool, why string) {
	s.recordLocked(history.ProduceEnded{Stream: s.stream, Broken: broken, Why: why})
	s.ended = true
}
