package server

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// consuming is a client that consumes. What it has received and not ACKed it holds,
// as far as it knows.
type consuming struct {
	*fuzzStream
	world      *fuzzWorld
	subscribed *messageproxyv1.Subscribed
	held       []heldMessage
	known      []string // ids, of whatever it was sent
	guessed    []string // ids that it ACKed without having received them; they may be its own by now
	terminal   *messageproxyv1.Error
	problems   []string
}

type heldMessage struct {
	topic     string
	partition int32
	id        string
}

func (w *fuzzWorld) openConsuming(conn *fuzzConn) {
	c := &consuming{fuzzStream: newFuzzStream(w, conn), world: w}
	c.start(w.t, "Consume", func() proto.Message { return &messageproxyv1.ConsumeResponse{} }, c.take)
	w.consuming = append(w.consuming, c)
}

func (c *consuming) problem(what string) { c.problems = append(c.problems, what) }

func (c *consuming) take(response proto.Message) {
	r := response.(*messageproxyv1.ConsumeResponse)
	if c.terminal != nil {
		c.problem("a response after the terminal error")
	}
	if c.subscribed == nil && r.GetSubscribed() == nil && r.GetTerminalError() == nil {
		c.problem("something before subscribed")
	}
	switch r := r.GetResponse().(type) {
	case *messageproxyv1.ConsumeResponse_Subscribed:
		if c.subscribed != nil {
			c.problem("subscribed twice")
		}
		c.subscribed = r.Subscribed
	case *messageproxyv1.ConsumeResponse_Batch:
		for _, messages := range r.Batch.GetPartitions() {
			c.takeMessages(messages)
		}
	case *messageproxyv1.ConsumeResponse_Withdrawn:
		c.withdraw(r.Withdrawn)
	case *messageproxyv1.ConsumeResponse_TerminalError:
		c.terminal = r.TerminalError
	case nil:
		c.problem("an empty response")
	}
}

func (c *consuming) takeMessages(in *messageproxyv1.PartitionMessages) {
	if len(in.GetMessages()) == 0 {
		c.problem("a batch of nothing")
	}
	for _, m := range in.GetMessages() {
		if slices.ContainsFunc(c.held, func(h heldMessage) bool { return h.id == m.GetId() }) {
			c.problem("a message that it holds: " + m.GetId())
		}
		if m.GetDeliveryAttempt() < 1 {
			c.problem("delivery attempt 0")
		}
		if !c.world.moved.Load() && slices.Contains(c.known, m.GetId()) {
			c.problem("a message that it ACKed, although no partition has moved: " + m.GetId())
		}
		if !slices.Contains(c.guessed, m.GetId()) {
			c.held = append(c.held, heldMessage{in.GetTopic(), in.GetPartition(), m.GetId()})
		}
		c.known = append(c.known, m.GetId())
	}
	if len(c.held) > int(c.subscribed.GetMaxUnackedMessages()) {
		c.problem("more than its window")
	}
}

func (c *consuming) withdraw(in *messageproxyv1.Withdrawn) {
	if in.GetTimeLeft().AsDuration() > 0 {
		return // what it ACKs still counts
	}
	for _, p := range in.GetPartitions() {
		c.held = slices.DeleteFunc(c.held, func(h heldMessage) bool {
			return h.topic == p.GetTopic() && h.partition == p.GetPartition()
		})
	}
}

func (c *consuming) request(request *messageproxyv1.ConsumeRequest) []byte {
	data, err := proto.Marshal(request)
	require.NoError(c.world.t, err)
	return data
}

// subscribe makes a request to subscribe, mostly a good one.
func (c *consuming) subscribe(x, y int) []byte {
	s := &messageproxyv1.SubscribeRequest{Subscription: fuzzSubscriptions[x%2], Topics: []string{keptTopic}}
	switch y % 16 {
	case 1:
		s.Topics = []string{fickleTopic, keptTopic, keptTopic}
	case 2:
		s.Topics = []string{fickleTopic}
	case 3:
		s.Topics = []string{"nowhere"}
	case 4:
		s.Topics = nil
	case 5:
		s.Subscription = "\x00"
	case 6:
		s.StartPosition = messageproxyv1.StartPosition(y / 16 % 4)
	case 7:
		s.MaxUnackedMessages = new(uint32(y / 16))
	case 8:
		s.AckTimeout = durationpb.New(time.Duration(y/16-1) * 2 * time.Second)
	case 9:
		s.AckTimeout = &durationpb.Duration{Seconds: 1 << 60, Nanos: -1}
	}
	return c.request(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: s}})
}

// ack ACKs some of what the client holds, in some order.
func (c *consuming) ack(how int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	acked := slices.Clone(c.held)
	switch how % 4 {
	case 1:
		acked = acked[:(len(acked)+1)/2]
	case 2:
		acked = acked[len(acked)/2:]
	case 3:
		slices.Reverse(acked)
	}
	c.held = slices.DeleteFunc(c.held, func(h heldMessage) bool { return slices.Contains(acked, h) })
	ids := make([]string, len(acked))
	for i, h := range acked {
		ids[i] = h.id
	}
	return c.ackRequest(ids)
}

func (c *consuming) ackRequest(ids []string) []byte {
	return c.request(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}})
}

// wrongAck ACKs what isn't the client's to ACK.
func (w *fuzzWorld) wrongAck(c *consuming, x int) []byte {
	ids := []string{"", "no id", "kept/0/0", string(make([]byte, 600))}[:x%5]
	if other := w.consuming[x%len(w.consuming)]; other != c {
		other.mu.Lock()
		for _, h := range other.held {
			ids = append(ids, h.id)
		}
		other.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guessed = append(c.guessed, ids...)
	c.held = slices.DeleteFunc(c.held, func(h heldMessage) bool { return slices.Contains(ids, h.id) })
	return c.ackRequest(ids)
}

func (c *consuming) leave() []byte {
	return c.request(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Leave{}})
}

// check checks what the stream was told, and how it ended.
func (c *consuming) check() {
	t := c.world.t
	require.Empty(t, c.problems)
	if s := c.subscribed; s != nil {
		require.Positive(t, s.GetMaxUnackedMessages())
		require.Positive(t, s.GetAckTimeout().AsDuration())
	}
	code, whole := c.checkEnd(t, c.terminal)
	if !whole {
		return
	}
	allowed := []messageproxyv1.ErrorCode{
		messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED,
		messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT,
		messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND,
		messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT,
		messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT,
	}
	if c.world.drained {
		allowed = append(allowed, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN)
	}
	require.Contains(t, allowed, code, "%v", c.terminal)
}
