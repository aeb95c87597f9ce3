package tap

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/integration/history"
)

// consumeStream records one end of a Consume stream.
type consumeStream struct {
	tap    *Tap
	side   history.Side
	server string

	mu     sync.Mutex
	stream string // its name, once it has one
	// subscription is what it asked for, client the name that it gave.
	subscription string
	client       string
	// names are what history calls the partitions that it got messages of.
	names map[broker.TopicPartition]string
	ended bool
}

// open names the stream.
func (s *consumeStream) open(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = name
}

// learnServer asks who is at the other end, if that isn't known.
func (s *consumeStream) learnServer(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, ok := peer.FromContext(ctx); ok && s.server == "" {
		s.server = s.tap.serverAt(other.Addr.String())
	}
}

// recordLocked records an event of a stream that has a name and hasn't ended.
func (s *consumeStream) recordLocked(e history.Event) {
	if s.stream != "" && !s.ended {
		s.tap.recorder.Record(e)
	}
}

// request records what goes from the client to the server.
func (s *consumeStream) request(request *messageproxyv1.ConsumeRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := request.GetRequest().(type) {
	case *messageproxyv1.ConsumeRequest_Subscribe:
		s.subscription, s.client = r.Subscribe.GetSubscription(), r.Subscribe.GetClientName()
		if s.side == history.Server && s.stream == "" {
			s.stream = s.tap.servers.next(r.Subscribe.GetClientName())
		}
	case *messageproxyv1.ConsumeRequest_Ack:
		ids := append([]string(nil), r.Ack.GetMessageIds()...)
		acked := history.Acked{Side: s.side, Stream: s.stream, IDs: ids}
		if s.side == history.Server && s.stream != "" {
			// A server whose last send has failed still takes the ACKs that have come.
			s.tap.recorder.Record(acked)
			return
		}
		s.recordLocked(acked)
	case *messageproxyv1.ConsumeRequest_Leave:
		s.recordLocked(history.Left{Side: s.side, Stream: s.stream})
	}
}

// response records what goes from the server to the client.
func (s *consumeStream) response(response *messageproxyv1.ConsumeResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := response.GetResponse().(type) {
	case *messageproxyv1.ConsumeResponse_Subscribed:
		s.recordLocked(history.Subscribed{
			Side: s.side, Stream: s.stream, Server: s.server, Subscription: s.subscription,
			Window: int(r.Subscribed.GetMaxUnackedMessages()), AckTimeout: r.Subscribed.GetAckTimeout().AsDuration(),
			Client: s.client,
		})
	case *messageproxyv1.ConsumeResponse_Batch:
		for _, p := range r.Batch.GetPartitions() {
			s.deliverLocked(p)
		}
	case *messageproxyv1.ConsumeResponse_Withdrawn:
		s.recordLocked(history.Withdrawn{
			Side: s.side, Stream: s.stream, Partitions: s.partitionsLocked(r.Withdrawn.GetPartitions()),
			TimeLeft: r.Withdrawn.GetTimeLeft().AsDuration(),
		})
	case *messageproxyv1.ConsumeResponse_Notice:
		s.noticeLocked(r.Notice)
	case *messageproxyv1.ConsumeResponse_TerminalError:
		s.endLocked(codeName(r.TerminalError))
	}
}

func (s *consumeStream) noticeLocked(notice *messageproxyv1.Error) {
	switch notice.GetCode() {
	case messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD:
		ids := append([]string(nil), notice.GetMessageIds()...)
		s.recordLocked(history.NotHeld{Side: s.side, Stream: s.stream, IDs: ids})
	case messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED:
		s.recordLocked(history.ExpiryTold{Side: s.side, Stream: s.stream})
	case messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN:
		s.recordLocked(history.DrainTold{Side: s.side, Stream: s.stream})
	}
}

// sent records that a send has returned, if it took time.
func (s *consumeStream) sent(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if took >= slowSend {
		s.recordLocked(history.Sent{Stream: s.stream})
	}
}

// slowSend is what a send takes that has to wait for the client. In virtual time,
// every other send takes no time at all.
const slowSend = time.Millisecond

// deliverLocked records messages of a partition: more than one event if they are
// of several incarnations of its topic.
func (s *consumeStream) deliverLocked(in *messageproxyv1.PartitionMessages) {
	if s.stream == "" || s.ended {
		return
	}
	key := broker.TopicPartition{Topic: in.GetTopic(), Partition: in.GetPartition()}
	var messages []history.Message
	var name string
	deliver := func() {
		if len(messages) > 0 {
			p := history.Partition{Topic: name, Number: key.Partition}
			s.recordLocked(history.Delivered{Side: s.side, Stream: s.stream, Partition: p, Messages: messages})
		}
	}
	var last topicID
	for i, m := range in.GetMessages() {
		message, topic, ok := messageOf(m.GetId(), m.GetValue())
		message.Size = sizeOf(m)
		if i == 0 || ok && topic != last {
			deliver()
			messages, last, name = make([]history.Message, 0, len(in.GetMessages())-i), topic, key.Topic
			if ok {
				name = s.tap.topics.name(key.Topic, topic)
			}
		}
		messages = append(messages, message)
	}
	deliver()
	if s.names == nil {
		s.names = make(map[broker.TopicPartition]string)
	}
	s.names[key] = name
}

// sizeOf is the size that limits are about.
func sizeOf(m *messageproxyv1.Message) int {
	n := len(m.GetKey()) + len(m.GetValue())
	for _, h := range m.GetHeaders() {
		n += len(h.GetKey()) + len(h.GetValue())
	}
	return n
}

// messageOf returns a message as history has it, and its topic's UUID if the id
// says that.
func messageOf(id string, value []byte) (m history.Message, topic topicID, ok bool) {
	at, ok := parseID(id)
	if !ok {
		at.position = unknownPosition
	}
	return history.Message{ID: id, Position: at.position, Token: Token(value)}, at.topic, ok
}

// unknownPosition is that of a message whose id doesn't say it.
const unknownPosition = -1

func (s *consumeStream) partitionsLocked(in []*messageproxyv1.TopicPartition) []history.Partition {
	partitions := make([]history.Partition, len(in))
	for i, p := range in {
		name, ok := s.names[broker.TopicPartition{Topic: p.GetTopic(), Partition: p.GetPartition()}]
		if !ok {
			name = s.tap.topics.latest(p.GetTopic())
		}
		partitions[i] = history.Partition{Topic: name, Number: p.GetPartition()}
	}
	return partitions
}

// end records the stream's end; what is seen of it later doesn't count.
func (s *consumeStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(codeName(errorOf(err)))
}

func (s *consumeStream) endLocked(code string) {
	s.recordLocked(history.ConsumeEnded{Side: s.side, Stream: s.stream, Code: code})
	s.ended = true
}

// errorOf returns the Error that a status carries, or nil.
func errorOf(err error) *messageproxyv1.Error {
	if err == nil {
		return nil
	}
	for _, detail := range status.Convert(err).Details() {
		if e, ok := detail.(*messageproxyv1.Error); ok {
			return e
		}
	}
	return nil
}

// codeName is the code's name as people write it: "ACK_TIMEOUT".
func codeName(e *messageproxyv1.Error) string {
	if e == nil {
		return ""
	}
	return strings.TrimPrefix(e.GetCode().String(), "ERROR_CODE_")
}
