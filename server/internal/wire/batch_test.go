package wire

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// A message is on the client's side what it was in the broker: also whether key,
// value and header values are absent or empty.
func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var batch Batch
		var parts [][]Delivery
		repaired := 0
		for partition := range rapid.IntRange(0, 3).Draw(t, "partitions") {
			deliveries := drawDeliveries(t)
			added, n := batch.Add(broker.TopicPartition{Topic: "orders", Partition: int32(partition)}, deliveries)
			require.Equal(t, len(deliveries), added)
			parts = append(parts, deliveries)
			repaired += n
		}
		got := throughTheWire(t, &batch).GetBatch()

		require.Len(t, got.GetPartitions(), len(parts))
		broken := 0
		for i, part := range got.GetPartitions() {
			require.Equal(t, "orders", part.GetTopic())
			require.EqualValues(t, i, part.GetPartition())
			require.Len(t, part.GetMessages(), len(parts[i]))
			for j, m := range part.GetMessages() {
				broken += requireSame(t, *parts[i][j].Message, parts[i][j].Attempt, m)
			}
		}
		require.Equal(t, broken, repaired)
		batch.Reset()
		require.True(t, batch.IsEmpty())
		require.Empty(t, throughTheWire(t, &batch).GetBatch().GetPartitions())
	})
}

func drawDeliveries(t *rapid.T) (deliveries []Delivery) {
	for i := range rapid.IntRange(0, 5).Draw(t, "messages") {
		deliveries = append(deliveries, Delivery{&broker.Message{
			ID: rapid.StringN(0, 40, 512).Draw(t, "id"), Position: uint64(i),
			Key: drawBytes(t, "key"), Value: drawBytes(t, "value"), Headers: drawHeaders(t),
			Timestamp: time.UnixMilli(rapid.Int64Range(0, MaxTimestampMs).Draw(t, "timestamp")),
		}, rapid.Uint32Range(1, 9).Draw(t, "attempt")})
	}
	return deliveries
}

// throughTheWire encodes with the codec that grpc-go uses, and checks that protobuf
// would encode it alike.
func throughTheWire(t require.TestingT, sent proto.Message) *messageproxyv1.ConsumeResponse {
	bytes := encoded(t, sent)
	got := new(messageproxyv1.ConsumeResponse)
	require.NoError(t, proto.Unmarshal(bytes, got))
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, again, bytes)
	return got
}

// requireSame returns how many of m's header keys had to be repaired.
func requireSame(t *rapid.T, m broker.Message, attempt uint32, got *messageproxyv1.Message) (repaired int) {
	require.Equal(t, m.ID, got.GetId())
	require.Equal(t, m.Key, got.Key)
	require.Equal(t, m.Value, got.Value)
	require.Equal(t, m.Timestamp.UnixMilli(), got.GetTimestampMs())
	require.Equal(t, attempt, got.GetDeliveryAttempt())
	require.Len(t, got.GetHeaders(), len(m.Headers))
	for i, h := range m.Headers {
		require.Equal(t, Text(h.Key), got.GetHeaders()[i].GetKey())
		require.Equal(t, h.Value, got.GetHeaders()[i].Value)
		if !utf8.ValidString(h.Key) {
			repaired++
		}
	}
	return repaired
}

// What is added to the contract must be added to the encoding by hand too.
func TestBatchesHaveEveryFieldOfTheContract(t *testing.T) {
	var batch Batch
	batch.Add(broker.TopicPartition{Topic: "orders", Partition: 1}, []Delivery{{Attempt: 1, Message: &broker.Message{
		ID: "id", Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(1),
		Headers: []broker.Header{{Key: "h", Value: []byte("x")}},
	}}})
	requireEveryField(t, throughTheWire(t, &batch).GetBatch().ProtoReflect())
}

// requireEveryField fails if a field isn't set that the descriptor has; of a oneof, one
// is enough.
func requireEveryField(t *testing.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() && m.WhichOneof(oneof) != field {
			continue
		}
		require.True(t, m.Has(field), "%s is missing", field.FullName())
		switch {
		case field.Message() == nil:
		case field.IsList():
			requireEveryField(t, m.Get(field).List().Get(0).Message())
		default:
			requireEveryField(t, m.Get(field).Message())
		}
	}
}

func TestBatchesAreFullAtTheLimit(t *testing.T) {
	partition := broker.TopicPartition{Topic: "orders"}
	small := Delivery{&broker.Message{ID: "1", Value: make([]byte, MaxFrameBytes/4)}, 1}
	large := Delivery{&broker.Message{ID: "2", Value: make([]byte, 2*MaxFrameBytes)}, 1}
	for name, c := range map[string]struct {
		deliveries []Delivery
		want       int
		full       bool
	}{
		"as many as there is room for": {[]Delivery{small, small, small, small, small}, 4, true},
		"a large one is the last":      {[]Delivery{small, large, small}, 2, true},
		"a large one goes alone":       {[]Delivery{large, small}, 1, true},
		"fewer":                        {[]Delivery{small, small}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			var batch Batch
			added, _ := batch.Add(partition, c.deliveries)
			require.Equal(t, c.want, added)
			require.Equal(t, c.full, batch.IsFull())
			got := throughTheWire(t, &batch)
			require.Equal(t, proto.Size(got.GetBatch()), batch.Bytes())
		})
	}
}

func TestBatchesAllocateNothingForAMessage(t *testing.T) {
	deliveries := benchDeliveries(100, 2)
	var batch Batch
	buffer := make([]byte, 0, MaxFrameBytes)
	allocs := testing.AllocsPerRun(20, func() {
		batch.Add(broker.TopicPartition{Topic: "orders"}, deliveries)
		_, err := proto.MarshalOptions{}.MarshalAppend(buffer, &batch)
		assert.NoError(t, err)
		batch.Reset()
	})
	assert.LessOrEqual(t, allocs, 2.0, "for %d messages", len(deliveries))
}
