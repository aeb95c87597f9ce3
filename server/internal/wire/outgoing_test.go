package wire

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func drawBytes(t *rapid.T, label string) []byte {
	return rapid.OneOf(
		rapid.Just[[]byte](nil),
		rapid.Just([]byte{}),
		rapid.SliceOfN(rapid.Byte(), 1, 20),
	).Draw(t, label)
}

func drawHeaders(t *rapid.T) []broker.Header {
	var headers []broker.Header
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		key := rapid.OneOf(rapid.String(), rapid.Just("bad\xff")).Draw(t, "header key")
		headers = append(headers, broker.Header{Key: key, Value: drawBytes(t, "header value")})
	}
	return headers
}

func TestMessagesToProduceSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		request := &messageproxyv1.ProduceRequest{Messages: rapid.SliceOfN(rapid.Custom(drawOutgoing), 0, 5).Draw(t, "messages")}
		data, err := proto.Marshal(request)
		require.NoError(t, err)
		got, err := decodeMessages(data)
		require.NoError(t, err)
		clear(data) // it is the transport's
		requireSameOutgoing(t, request.GetMessages(), got)
	})
}

func drawOutgoing(t *rapid.T) *messageproxyv1.OutgoingMessage {
	m := &messageproxyv1.OutgoingMessage{
		Sequence: rapid.Uint64().Draw(t, "sequence"), Topic: rapid.OneOf(rapid.Just("orders"), rapid.String()).Draw(t, "topic"),
		Key: drawBytes(t, "key"), Value: drawBytes(t, "value"),
	}
	if rapid.Bool().Draw(t, "has a large value") {
		m.Value = make([]byte, rapid.IntRange(0, 2*sharedBytes).Draw(t, "bytes"))
	}
	if rapid.Bool().Draw(t, "has a partition") {
		m.Partition = new(rapid.Int32().Draw(t, "partition"))
	}
	if rapid.Bool().Draw(t, "has a timestamp") {
		m.TimestampMs = new(rapid.Int64().Draw(t, "timestamp"))
	}
	for _, h := range drawHeaders(t) {
		m.Headers = append(m.Headers, &messageproxyv1.Header{Key: Text(h.Key), Value: h.Value})
	}
	return m
}

// requireSameOutgoing compares with what protobuf makes of a request.
func requireSameOutgoing(t require.TestingT, want []*messageproxyv1.OutgoingMessage, got []Outgoing) {
	require.Len(t, got, len(want))
	for i, m := range want {
		g := &got[i]
		require.Equal(t, m.GetSequence(), g.Sequence)
		require.Equal(t, m.GetTopic(), g.Topic)
		require.Equal(t, m.Key == nil, g.Key == nil, "absent is not empty")
		require.Equal(t, m.Value == nil, g.Value == nil, "absent is not empty")
		require.True(t, bytes.Equal(m.Key, g.Key))
		require.True(t, bytes.Equal(m.Value, g.Value))
		require.Equal(t, m.Partition != nil, g.HasPartition)
		require.Equal(t, m.GetPartition(), g.Partition)
		require.Equal(t, m.TimestampMs != nil, g.HasTimestamp)
		require.Equal(t, m.GetTimestampMs(), g.TimestampMs)
		require.Len(t, g.Headers, len(m.GetHeaders()))
		for j, h := range m.GetHeaders() {
			require.Equal(t, h.GetKey(), g.Headers[j].Key)
			require.Equal(t, h.GetValue() == nil, g.Headers[j].Value == nil, "absent is not empty")
			require.True(t, bytes.Equal(h.GetValue(), g.Headers[j].Value))
		}
	}
}

// What is added to the contract must be decoded by hand too.
func TestMessagesToProduceHaveEveryFieldOfTheContract(t *testing.T) {
	m := &messageproxyv1.OutgoingMessage{
		Sequence: 1, Topic: "t", Key: []byte("k"), Value: []byte("v"), Partition: new(int32(1)), TimestampMs: new(int64(1)),
		Headers: []*messageproxyv1.Header{{Key: "h", Value: []byte("x")}},
	}
	request := &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{m}}
	requireEveryField(t, request.ProtoReflect())
	got, err := decodeMessages(marshal(t, request))
	require.NoError(t, err)
	requireSameOutgoing(t, request.GetMessages(), got)
}

func TestForBrokerKeepsEverything(t *testing.T) {
	headers := []broker.Header{{Key: "a", Value: []byte("1")}, {Key: "absent"}}
	m := Outgoing{Topic: "orders", Key: []byte{}, Value: []byte("value"), Headers: headers}
	require.Equal(t, broker.OutgoingMessage{
		Topic: "orders", Key: []byte{}, Value: []byte("value"), Headers: headers, Partition: broker.AnyPartition,
	}, m.ForBroker())
	out := m.ForBroker()
	require.Equal(t, out.Size(), m.Size())

	m.Partition, m.HasPartition = 0, true
	m.TimestampMs, m.HasTimestamp = MaxTimestampMs, true
	out = m.ForBroker()
	require.EqualValues(t, 0, out.Partition)
	require.Equal(t, MaxTimestampMs, out.Timestamp.UnixMilli())
	require.Equal(t, MaxTimestampMs, out.Timestamp.UnixNano()/int64(time.Millisecond), "nanoseconds don't overflow")
	m.TimestampMs = 0
	require.False(t, (&Outgoing{HasTimestamp: true}).ForBroker().Timestamp.IsZero(), "the epoch is a timestamp")
}

// A message that the broker keeps for long keeps little else.
func TestMessagesShareOnlyLittle(t *testing.T) {
	sized := func(sizes ...int) []Outgoing {
		messages := make([]Outgoing, len(sizes))
		for i, n := range sizes {
			messages[i].Value = make([]byte, n)
		}
		return messages
	}
	many := make([]int, 100)
	for name, c := range map[string]struct {
		messages []Outgoing
		want     int
	}{
		"one":                     {sized(math.MaxInt16), 1},
		"small ones":              {sized(100, 100, 100), 3},
		"not more than so many":   {sized(many...), sharedMessages},
		"not more than so much":   {sized(1000, 1000, 1000, 1000, 1000), 4},
		"a large one alone":       {sized(sharedBytes/4+1, 10), 1},
		"not with a large one":    {sized(10, sharedBytes/4+1, 10), 1},
		"small ones, then larger": {sized(10, 10, 10, sharedBytes), 3},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, sharing(c.messages)) })
	}
}

func TestMessagesThatShareCannotReachEachOther(t *testing.T) {
	request := &messageproxyv1.ProduceRequest{}
	for range 3 {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Topic: "t", Key: []byte("k"), Value: []byte("v"), Headers: []*messageproxyv1.Header{{Key: "h", Value: []byte("x")}},
		})
	}
	got, err := decodeMessages(marshal(t, request))
	require.NoError(t, err)
	for i := range got {
		_ = append(got[i].Key, '!')
		_ = append(got[i].Value, '!')
		_ = append(got[i].Headers[0].Value, '!')
		_ = append(got[i].Headers, broker.Header{})
	}
	requireSameOutgoing(t, request.GetMessages(), got)
}

func TestMessagesToProduceAllocateByTheDozen(t *testing.T) {
	data := marshal(t, benchRequest(100, 2))
	allocs := testing.AllocsPerRun(20, func() {
		_, err := decodeMessages(data)
		require.NoError(t, err)
	})
	require.Less(t, allocs, float64(benchFrame)/4, "for %d messages", benchFrame)
}
