package messageproxy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func batchResponse(partitions ...*messageproxyv1.PartitionMessages) *messageproxyv1.ConsumeResponse {
	return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{
		Batch: &messageproxyv1.MessageBatch{Partitions: partitions},
	}}
}

// partitionMessages is n messages of a partition, with values of so many bytes.
func partitionMessages(topic string, partition int32, n, valueBytes int) *messageproxyv1.PartitionMessages {
	out := &messageproxyv1.PartitionMessages{Topic: topic, Partition: partition}
	for i := range n {
		out.Messages = append(out.Messages, &messageproxyv1.Message{
			Id: fmt.Sprint(topic, "/", partition, "/", i), Key: fmt.Append(nil, "key", i), Value: make([]byte, valueBytes),
			Headers:     []*messageproxyv1.Header{{Key: "trace", Value: fmt.Append(nil, "header", i)}},
			TimestampMs: 1700000000000, DeliveryAttempt: 1,
		})
	}
	return out
}

// FuzzDeliveries: whatever bytes come, a response is what protobuf says that they are, or
// an error as protobuf's.
func FuzzDeliveries(f *testing.F) {
	odd := partitionMessages("é", -1, 0, 0)
	odd.Messages = []*messageproxyv1.Message{
		{},
		{Id: strings.Repeat("i", 200), Key: []byte{}, Value: []byte{}, TimestampMs: -1, DeliveryAttempt: math.MaxUint32},
		{Value: []byte{0xff}, Headers: []*messageproxyv1.Header{{}, {Value: []byte{}}, {Key: "k"}, {Key: "k", Value: []byte("v")}}},
	}
	small := marshal(f, batchResponse(partitionMessages("orders", 3, 2, 5)))
	for _, data := range [][]byte{
		{},
		small, small[:len(small)-1], append(append([]byte{}, small...), small...),
		marshal(f, batchResponse()),
		marshal(f, batchResponse(odd, odd)),
		marshal(f, batchResponse(partitionMessages("orders", 0, 0, 0), partitionMessages("orders", 0, 40, 3), partitionMessages("bills", 1, 1, 5000))),
		marshal(f, &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: &messageproxyv1.Error{Message: "n"}}}),
		append(append([]byte{}, small...), "\x0a\x02\x08\x05"...), // subscribed, after a batch: the last counts
		protowire.AppendVarint(protowire.AppendTag(append([]byte{}, small...), 99, protowire.VarintType), 1),
		[]byte("\x12\x07\x0a\x05\x1a\x03\x0a\x01\xff"),         // an ID that isn't UTF-8
		[]byte("\x12\x05\x0a\x03\x0a\x01\xff"),                 // nor is this topic
		[]byte("\x12\x09\x0a\x07\x1a\x05\x22\x03\x0a\x01\xff"), // nor this header's key
		[]byte("\x12\x0a\x0a\x08\x1a\x06\x0a\x01a\x0a\x01b"),   // two IDs: the last counts
		[]byte("\x12\x08\x0a\x06\x1a\x02\x30\x01\x10\x07"),     // the partition after its message
		[]byte("\x12\x08\x0a\x06\x1a\x04\x30\x81\x80\x00"),     // a number that is longer than it has to be
		[]byte("\x12\x06\x0a\x04\x1a\x02\x18\x01"),             // a value that is a number
		[]byte("\x12\x0f\x0a\x0d\x1a\x0b\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want messageproxyv1.ConsumeResponse
		wantErr := proto.Unmarshal(data, &want)
		got, earlier := newDeliveries(), batchResponse(partitionMessages("orders", 1, 20, 10))
		require.NoError(t, proto.Unmarshal(marshal(t, earlier), got), "what was received before")
		before := &deliveries{deliveries: append([]delivery{}, got.deliveries...)}
		read := append([]byte{}, data...)
		err := proto.Unmarshal(read, got)
		clear(read) // it is gRPC's
		if wantErr != nil {
			require.EqualError(t, err, wantErr.Error())
			return
		}
		require.NoError(t, err)
		requireSameDeliveries(t, &want, got)
		requireSameDeliveries(t, earlier, before)
	})
}

func requireSameDeliveries(t *testing.T, want *messageproxyv1.ConsumeResponse, got *deliveries) {
	t.Helper()
	var wantMessages, gotMessages []Message
	for _, p := range want.GetBatch().GetPartitions() {
		wantMessages = append(wantMessages, messagesFromWire(TopicPartition{p.GetTopic(), p.GetPartition()}, p.GetMessages())...)
	}
	for _, d := range got.deliveries {
		require.NotEmpty(t, d.messages)
		for _, m := range d.messages {
			require.Equal(t, d.partition, TopicPartition{m.Topic, m.Partition})
		}
		gotMessages = append(gotMessages, d.messages...)
	}
	require.Equal(t, wantMessages, gotMessages)
	if want.GetBatch() != nil {
		require.Nil(t, got.other)
		return
	}
	require.True(t, proto.Equal(want, got.other))
}

// TestHandlersOwnTheirMessages: whatever a handler does with its message, no other sees.
func TestHandlersOwnTheirMessages(t *testing.T) {
	in := partitionMessages("orders", 3, 2*chunkMessages, 10)
	want := messagesFromWire(TopicPartition{"orders", 3}, in.GetMessages())
	got := newDeliveries()
	require.NoError(t, proto.Unmarshal(marshal(t, batchResponse(in)), got))
	for _, d := range got.deliveries {
		for i := range d.messages {
			m := &d.messages[i]
			require.Equal(t, want[0], *m)
			want = want[1:]
			for _, piece := range [][]byte{m.Key, m.Value, m.Headers[0].Value} {
				for i := range piece {
					piece[i] = 'x'
				}
				_ = append(piece, "x"...)
			}
			_ = append(m.Headers, Header{Key: "x"})
		}
	}
	require.Empty(t, want)
}

// TestAMessageKeepsFewOthers: a message that an application keeps holds on to little else.
func TestAMessageKeepsFewOthers(t *testing.T) {
	for _, valueBytes := range []int{0, 10, 100, 1000, chunkBytes, 10 * chunkBytes} {
		data := marshal(t, batchResponse(partitionMessages("orders", 3, 50, valueBytes)))
		got := newDeliveries()
		require.NoError(t, proto.Unmarshal(data, got))
		for _, d := range got.deliveries {
			require.LessOrEqual(t, len(d.messages), chunkMessages)
			bytes := 0
			for i := range d.messages {
				bytes += d.messages[i].size() - headerBytes
			}
			require.True(t, len(d.messages) == 1 || bytes <= chunkBytes, "%d messages have %d bytes", len(d.messages), bytes)
		}
	}
}

func TestSixteenMessagesTakeThreeAllocations(t *testing.T) {
	in := partitionMessages("orders", 3, 10*chunkMessages, 100)
	for _, m := range in.GetMessages() {
		m.Headers = nil
	}
	data, got := marshal(t, batchResponse(in)), newDeliveries()
	require.EqualValues(t, 30, testing.AllocsPerRun(100, func() {
		got.Reset()
		require.True(t, got.decodeBatch(data))
	}))
}

func TestDeliveriesHaveEveryFieldOfTheContract(t *testing.T) {
	response := batchResponse(partitionMessages("orders", 3, 1, 1))
	requireEveryField(t, response.ProtoReflect())
	got := newDeliveries()
	require.True(t, got.decodeBatch(marshal(t, response)), "they are decoded by hand")
	requireSameDeliveries(t, response, got)
}

func TestALargeBatchIsForgotten(t *testing.T) {
	got := newDeliveries()
	in := partitionMessages("orders", 3, keptDeliveries*chunkMessages+1, 0)
	require.NoError(t, proto.Unmarshal(marshal(t, batchResponse(in)), got))
	require.Len(t, got.deliveries, keptDeliveries+1)
	got.Reset()
	require.Zero(t, cap(got.deliveries))
}
