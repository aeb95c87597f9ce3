package consume_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/consume"
)

func subscribeRequest(change func(*messageproxyv1.SubscribeRequest)) *messageproxyv1.ConsumeRequest {
	r := &messageproxyv1.SubscribeRequest{Subscription: "s", Topics: []string{"t"}}
	change(r)
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: r}}
}

func ackRequest(ids ...string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
		Ack: &messageproxyv1.AckRequest{MessageIds: ids},
	}}
}

// unknownRequest is a request of a kind that a newer client may know.
func unknownRequest() *messageproxyv1.ConsumeRequest {
	r := &messageproxyv1.ConsumeRequest{}
	r.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	return r
}

// Each of these ends its stream with a clear error and costs a neighbour on the
// same subscription nothing.
func TestBadInput(t *testing.T) {
	good := subscribeRequest(func(*messageproxyv1.SubscribeRequest) {})
	leave := &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Leave{Leave: &messageproxyv1.LeaveRequest{}}}
	type subscribe = *messageproxyv1.SubscribeRequest
	invalid := messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT
	tests := map[string]struct {
		requests []*messageproxyv1.ConsumeRequest
		code     messageproxyv1.ErrorCode
		says     string
	}{
		"no request":    {nil, invalid, "subscribe first"},
		"ACK first":     {[]*messageproxyv1.ConsumeRequest{ackRequest("x")}, invalid, "first request must be subscribe"},
		"leave first":   {[]*messageproxyv1.ConsumeRequest{leave}, invalid, "first request must be subscribe"},
		"unknown first": {[]*messageproxyv1.ConsumeRequest{unknownRequest()}, invalid, "first request must be subscribe"},
		"second":        {[]*messageproxyv1.ConsumeRequest{good, good}, invalid, "second subscribe"},
		"second leave":  {[]*messageproxyv1.ConsumeRequest{good, leave, leave}, invalid, "second leave"},
		"unknown kind":  {[]*messageproxyv1.ConsumeRequest{good, unknownRequest()}, invalid, "kind"},
		"no name":       {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Subscription = "" })}, invalid, "subscription is empty"},
		"long name":     {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Subscription = strings.Repeat("x", 300) })}, invalid, "too long"},
		"control":       {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Subscription = "a\nb" })}, invalid, "control characters"},
		"client name":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.ClientName = strings.Repeat("x", 513) })}, invalid, "client_name has 513 bytes"},
		"no topics":     {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Topics = nil })}, invalid, "topics is empty"},
		"empty topic":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Topics = []string{"t", ""} })}, invalid, "topics[1]"},
		"many topics":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Topics = make([]string, 2000) })}, invalid, "at most"},
		"start":         {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.StartPosition = 77 })}, invalid, "start_position"},
		"window of 0":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.MaxUnackedMessages = proto.Uint32(0) })}, invalid, "max_unacked_messages"},
		"timeout":       {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.AckTimeout = durationpb.New(-time.Second) })}, invalid, "ack_timeout"},
		"no timeout":    {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.AckTimeout = &durationpb.Duration{} })}, invalid, "ack_timeout"},
		"odd timeout":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.AckTimeout = &durationpb.Duration{Seconds: 5, Nanos: -7} })}, invalid, "ack_timeout"},
		"other topics":  {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Topics = []string{"t", "u"} })}, messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT, "in use with the topics t"},
		"other start":   {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.StartPosition = messageproxyv1.StartPosition_START_POSITION_LATEST })}, messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT, "start position"},
		"unknown topic": {[]*messageproxyv1.ConsumeRequest{subscribeRequest(func(r subscribe) { r.Subscription, r.Topics = "other", []string{"nowhere"} })}, messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND, "nowhere"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
				neighbour := h.subscribe("neighbour")
				c := h.open("bad")
				go c.read()
				for _, r := range test.requests {
					c.send(r)
				}
				c.halfCloseIf(len(test.requests) == 0)
				terminal := c.ending()
				require.Equal(t, test.code, terminal.GetCode())
				require.Contains(t, terminal.GetMessage(), test.says)
				h.produce(0, "a")
				require.Equal(t, []string{"a"}, neighbour.values())
			})
		})
	}
}

func (c *testClient) halfCloseIf(condition bool) {
	if condition {
		require.NoError(c.t, c.stream.CloseSend())
	}
	synctest.Wait()
}

// Repetitions count once, and the order doesn't matter.
func TestTopicsAreASet(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		require.NoError(t, h.broker.CreateTopic("u", 1))
		c := h.subscribe("c", func(r *messageproxyv1.SubscribeRequest) { r.Topics = []string{"u", "t", "u"} })
		d := h.subscribe("d", func(r *messageproxyv1.SubscribeRequest) { r.Topics = []string{"t", "u"} })
		require.Len(t, append(c.owned(), d.owned()...), 2)
	})
}

func TestLargeMessage(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		large := strings.Repeat("x", 15<<20)
		h.produce(0, "before", large, "after")
		c := h.subscribe("c")
		require.Equal(t, []string{"before", large, "after"}, c.values())
	})
}

// The requests of a stream that has ended wrongly are not read on.
func TestStatusOfAnUnknownRequest(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		c.send(unknownRequest())
		c.ending()
		require.Equal(t, codes.InvalidArgument, status.Code(c.err))
		time.Sleep(time.Second)
		require.Zero(t, h.broker.Consumers("s"), "the stream is gone")
	})
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// What isn't protobuf, or not of this contract, gets a terminal error like any other
// bad request, at the beginning of a stream and later.
func TestBadInputThatCannotBeDecoded(t *testing.T) {
	subscribe, err := proto.Marshal(subscribeRequest(func(*messageproxyv1.SubscribeRequest) {}))
	require.NoError(t, err)
	ack, err := proto.Marshal(ackRequest("id?"))
	require.NoError(t, err)
	ack[len(ack)-1] = 0xff // not UTF-8
	for name, requests := range map[string][][]byte{
		"first":        {{0xff, 0xff, 0xff}},
		"not protobuf": {subscribe, {0xff, 0xff, 0xff}},
		"not UTF-8":    {subscribe, ack},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
				neighbour := h.subscribe("neighbour")
				c := h.open("bad", grpc.ForceCodecV2(rawCodec{}))
				go c.read()
				for _, r := range requests {
					require.NoError(t, c.stream.SendMsg(r))
				}
				terminal := c.ending()
				require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT, terminal.GetCode())
				require.Contains(t, terminal.GetMessage(), "could not be decoded")
				h.produce(0, "a")
				require.Equal(t, []string{"a"}, neighbour.values())
			})
		})
	}
}
