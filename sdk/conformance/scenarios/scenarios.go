// Package scenarios has the scenarios of the conformance suite, by the chapters of
// SPEC.md.
package scenarios

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

// All are all scenarios.
func All() []suite.Scenario {
	return slices.Concat(client(), reconnecting(), produce(), consume(), handlers(), stopping(), errorsAndLogs(), endToEnd())
}

// NotShown are the sentences that can't be shown from outside, with the reasons.
func NotShown() map[string]string { return map[string]string{} }

// The codes of errors, in short.
const (
	invalidArgument      = messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT
	topicNotFound        = messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND
	partitionNotFound    = messageproxyv1.ErrorCode_ERROR_CODE_PARTITION_NOT_FOUND
	messageTooLarge      = messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE
	brokerUnavailable    = messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE
	unknownOutcome       = messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME
	consumeFailed        = messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED
	ackFailed            = messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED
	notHeld              = messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD
	ackTimeout           = messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT
	subscriptionConflict = messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT
	unauthenticated      = messageproxyv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED
	permissionDenied     = messageproxyv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED
	resourceExhausted    = messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED
	shuttingDown         = messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN
	internalError        = messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL
	messagesExpired      = messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED
	unsupported          = messageproxyv1.ErrorCode_ERROR_CODE_UNSUPPORTED
	// newerCode is one that no SDK knows yet.
	newerCode = messageproxyv1.ErrorCode(99)
)

// fast are options with which a client reconnects at once.
func fast() protocol.ClientOptions {
	return protocol.ClientOptions{ReconnectBackoff: &[2]int64{1, 20}}
}

// topic is the topic of all scenarios that need no other.
const topic = "orders"

var topics = []protocol.Text{topic}

// msg is a message to produce.
func msg(value string) protocol.Message {
	return protocol.Message{Topic: topic, Value: []byte(value)}
}

// values are those of messages that have come to a server.
func values(messages []*messageproxyv1.OutgoingMessage) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = string(m.GetValue())
	}
	return all
}

// sequences are those of messages that have come to a server.
func sequences(messages []*messageproxyv1.OutgoingMessage) []uint64 {
	all := make([]uint64, len(messages))
	for i, m := range messages {
		all[i] = m.GetSequence()
	}
	return all
}

// onePlus are the numbers from 1 to n.
func onePlus(n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

// joined is a consume call whose stream is open and subscribed.
type joined struct {
	*driver.Consume
	server *script.Server
	client *driver.Client
	stream *script.ConsumeStream
}

// join has a new client consume, from a new server.
func join(h *suite.Harness, o protocol.ConsumeOptions) *joined {
	s := h.Server(script.Options{})
	return joinAt(h, s, h.Open(s.Addr(), fast()), o)
}

// joinAt has a client consume from a server.
func joinAt(_ *suite.Harness, s *script.Server, c *driver.Client, o protocol.ConsumeOptions) *joined {
	j := &joined{Consume: c.Consume("billing", topics, o), server: s, client: c}
	j.accept()
	return j
}

// accept takes the next stream of the call, and says that it is subscribed.
func (j *joined) accept() {
	j.stream = j.server.AwaitConsume()
	j.stream.AwaitSubscribe()
	j.stream.Subscribed(1000, time.Minute)
	j.Event("connected")
}

// rejoin cuts the connection, and accepts the next stream.
func (j *joined) rejoin() {
	j.stream.Cut()
	j.Event("disconnected")
	j.accept()
}

// settle waits until everything that was sent on the stream has been dealt with, and a
// moment more.
func (j *joined) settle(h *suite.Harness) {
	j.stream.Notice(script.Err(notHeld, "a mark", true))
	j.Event("notice")
	h.Quiet()
}

// end lets a call end whose client has been told to leave: it has half-closed.
func (j *joined) end() {
	j.stream.AwaitLeave()
	j.stream.AwaitHalfClose()
	j.stream.End(nil)
}

// ptr is a pointer to a copy of v, for options.
func ptr[T any](v T) *T { return &v }

// equalProto reports whether two messages of the contract are the same.
func equalProto(a, b proto.Message) bool { return proto.Equal(a, b) }
