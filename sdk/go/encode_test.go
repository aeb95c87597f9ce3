package messageproxy

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// FuzzProduceFrame: whatever messages there are, a frame of them is encoded as protobuf
// would encode it.
func FuzzProduceFrame(f *testing.F) {
	f.Add("orders", []byte("key"), []byte("value"), "header", []byte("x"), int32(3), int64(1700000000000), uint64(1), uint16(0x1100))
	f.Add("é", []byte{}, []byte{}, "", []byte{}, int32(-1), int64(-1), uint64(math.MaxUint64), uint16(0x3300))
	f.Add("t", []byte{}, []byte{}, "k", []byte{}, int32(0), int64(0), uint64(127), uint16(0x72ff))
	f.Fuzz(func(t *testing.T, topic string, key, value []byte, headerKey string, headerValue []byte, partition int32, ms int64, sequence uint64, shape uint16) {
		m := &Message{Topic: topic, Key: key, Value: value, Timestamp: time.UnixMilli(ms), ToPartition: &partition, ID: "ignored"}
		for i := range int(shape>>8) % 4 {
			m.Headers = append(m.Headers, Header{Key: headerKey, Value: headerValue})
			if shape>>i&1 != 0 {
				m.Headers[i].Value = nil
			}
		}
		if shape&8 != 0 {
			m.Key = nil
		}
		if shape&16 != 0 {
			m.Value = nil
		}
		if shape&32 != 0 {
			m.ToPartition = nil
		}
		if shape&64 != 0 {
			m.Timestamp = time.Time{}
		}
		if m.validate(math.MaxInt) != nil || sequence == 0 {
			return // it isn't sent
		}
		frame, want := newProduceFrame(), &messageproxyv1.ProduceRequest{}
		for i := range uint64(shape>>12) % 4 {
			requireEncodedAs(t, want, frame)
			sent := newPending(t.Context(), m, nil)
			sent.sequence = max(1, sequence+i)
			frame.add(sent)
			want.Messages = append(want.Messages, outgoing(m, sent.sequence))
		}
		requireEncodedAs(t, want, frame)
		frame.reset()
		requireEncodedAs(t, &messageproxyv1.ProduceRequest{}, frame)
	})
}

// outgoing is m as the contract's struct.
func outgoing(m *Message, sequence uint64) *messageproxyv1.OutgoingMessage {
	out := &messageproxyv1.OutgoingMessage{Sequence: sequence, Topic: m.Topic, Key: m.Key, Value: m.Value, Partition: m.ToPartition}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, &messageproxyv1.Header{Key: h.Key, Value: h.Value})
	}
	if !m.Timestamp.IsZero() {
		out.TimestampMs = new(m.Timestamp.UnixMilli())
	}
	return out
}

// requireEncodedAs encodes as grpc-go's codec does.
func requireEncodedAs(t *testing.T, want, got proto.Message) {
	t.Helper()
	wantData, err := proto.Marshal(want)
	require.NoError(t, err)
	require.Equal(t, len(wantData), proto.Size(got))
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, len(wantData)), got)
	require.NoError(t, err)
	require.Equal(t, string(wantData), string(data))
}

func TestMessagesToProduceHaveEveryFieldOfTheContract(t *testing.T) {
	m := &Message{
		Topic: "t", Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(1), ToPartition: new(int32(1)),
		Headers: []Header{{Key: "h", Value: []byte("x")}},
	}
	sent := newPending(t.Context(), m, nil)
	sent.sequence = 1
	frame := newProduceFrame()
	frame.add(sent)
	data, err := proto.Marshal(frame)
	require.NoError(t, err)
	request := &messageproxyv1.ProduceRequest{}
	require.NoError(t, proto.Unmarshal(data, request))
	requireEveryField(t, request.ProtoReflect())
}

// requireEveryField fails if a field isn't set that the descriptor has; of a oneof, one
// is enough.
func requireEveryField(t *testing.T, m protoreflect.Message) {
	t.Helper()
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

func TestTheCopyOfAMessageIsOneAllocation(t *testing.T) {
	m := &Message{
		Topic: "orders", Key: []byte("key"), Value: make([]byte, 100), Timestamp: time.UnixMilli(1), ToPartition: new(int32(1)),
		Headers: []Header{{Key: "a", Value: []byte("x")}, {}},
	}
	callback := func(Receipt, error) {}
	require.EqualValues(t, 2, testing.AllocsPerRun(100, func() { newPending(context.Background(), m, callback) }),
		"with what the client knows of the message")
}
