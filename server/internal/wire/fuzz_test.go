package wire

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// fuzzRequests are requests to begin with.
func fuzzRequests(f *testing.F, add func([]byte)) {
	for _, m := range []proto.Message{
		&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
			{Sequence: 1, Topic: "t", Key: []byte{}, Headers: []*messageproxyv1.Header{{Key: "k"}, {Value: []byte{1}}}},
			{Sequence: 2, Topic: "\u00e9", Value: []byte("value"), Partition: new(int32(-1)), TimestampMs: new(int64(5))},
			{},
		}},
		&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
			Ack: &messageproxyv1.AckRequest{MessageIds: []string{"a", "", "b"}},
		}},
		&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
			Subscribe: &messageproxyv1.SubscribeRequest{Subscription: "s", Topics: []string{"t", "u"}},
		}},
	} {
		data, err := proto.Marshal(m)
		require.NoError(f, err)
		add(data)
	}
	group := protowire.AppendTag(nil, 99, protowire.StartGroupType)
	add(protowire.AppendTag(group, 99, protowire.EndGroupType))
}

// FuzzPieces: a request is what protobuf says that it is, whole or cut into pieces, or
// can't be decoded either way.
func FuzzPieces(f *testing.F) {
	fuzzRequests(f, func(data []byte) {
		f.Add(data, uint8(0))
		f.Add(append(data, data...), uint8(5))
	})
	f.Fuzz(func(t *testing.T, data []byte, partsEach uint8) {
		var want messageproxyv1.ProduceRequest
		wantErr := proto.Unmarshal(data, &want)
		whole, wholeErr := decodeMessages(data)
		require.Equal(t, wantErr == nil, wholeErr == nil, "protobuf: %v, by hand: %v", wantErr, wholeErr)
		if wantErr == nil {
			requireSameOutgoing(t, want.GetMessages(), whole)
		}
		pieces, err := split(data, int(partsEach))
		if err != nil {
			require.Error(t, wholeErr, "the decoder takes it, and split doesn't: %v", err)
			return
		}
		require.Equal(t, string(data), string(bytes.Join(pieces, nil)))
		var messages []Outgoing
		for _, piece := range pieces {
			some, pieceErr := decodeMessages(piece)
			if pieceErr != nil {
				require.Error(t, wholeErr, "a piece can't be decoded: %v", pieceErr)
				return
			}
			messages = append(messages, some...)
		}
		require.NoError(t, wholeErr, "every piece can be decoded")
		requireSameOutgoing(t, want.GetMessages(), messages)
	})
}

// FuzzReceive: whatever bytes come, a request is what protobuf says that they are, or
// a DecodeError and the stream goes on.
func FuzzReceive(f *testing.F) {
	fuzzRequests(f, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got messageproxyv1.ConsumeRequest
		wantErr := proto.Unmarshal(data, &want)
		stream := &codecStream{frames: [][]byte{data, data}}
		err := Receive(stream, &got)
		if wantErr != nil {
			require.ErrorAs(t, err, new(*DecodeError))
			require.True(t, utf8.ValidString(err.Error()))
		} else {
			require.NoError(t, err)
			require.True(t, proto.Equal(&want, &got))
			require.NoError(t, countParts(data), "what can be decoded has parts to count")
		}
		requireSameRequest(t, data)
		_, _, err = ReceivePieces(stream)
		if err != nil {
			require.ErrorAs(t, err, new(*DecodeError))
		}
	})
}

// FuzzDeliver: whatever a broker holds goes out and arrives: as it is, but for header
// keys that can't; and is encoded as protobuf would encode it.
func FuzzDeliver(f *testing.F) {
	f.Add("id", "key", "value", "header", []byte("\xff"), int64(1), uint8(0), uint8(1))
	f.Add("", "", "", "\xff\xc3", []byte{}, int64(-1), uint8(7), uint8(9))
	f.Fuzz(func(t *testing.T, id, key, value, headerKey string, headerValue []byte, at int64, absent, headers uint8) {
		if !utf8.ValidString(id) {
			return // against the broker contract
		}
		m := &broker.Message{ID: id, Timestamp: time.UnixMilli(at)}
		if absent&1 == 0 {
			m.Key = []byte(key)
		}
		if absent&2 == 0 {
			m.Value = []byte(value)
		}
		if absent&4 != 0 {
			headerValue = nil
		}
		for range headers % 8 {
			m.Headers = append(m.Headers, broker.Header{Key: headerKey, Value: headerValue})
		}
		checkDelivery(t, m)
	})
}

func checkDelivery(t *testing.T, m *broker.Message) {
	var sent Batch
	_, repaired := sent.Add(broker.TopicPartition{Topic: "orders"}, []Delivery{{Message: m, Attempt: 3}, {Message: m, Attempt: 4}})
	got := throughTheWire(t, &sent).GetBatch().GetPartitions()[0]
	require.Len(t, got.GetMessages(), 2)
	wrong := 0
	for i, d := range got.GetMessages() {
		require.Equal(t, m.ID, d.GetId())
		require.Equal(t, uint32(3+i), d.GetDeliveryAttempt())
		require.Equal(t, m.Timestamp.UnixMilli(), d.GetTimestampMs())
		requireSameBytes(t, m.Key, d.Key)
		requireSameBytes(t, m.Value, d.Value)
		require.Len(t, d.GetHeaders(), len(m.Headers))
		for j, h := range d.GetHeaders() {
			requireSameBytes(t, m.Headers[j].Value, h.Value)
			if !utf8.ValidString(m.Headers[j].Key) {
				wrong++
				continue
			}
			require.Equal(t, m.Headers[j].Key, h.GetKey())
		}
	}
	require.Equal(t, wrong, repaired)
}

func requireSameBytes(t *testing.T, want, got []byte) {
	require.Equal(t, want == nil, got == nil, "absent is not empty")
	require.Equal(t, string(want), string(got))
}

// FuzzStatus: whatever an error says fits into the trailers of a response, twice, and
// arrives as text.
func FuzzStatus(f *testing.F) {
	f.Add(int32(1), "what happened", "an id", uint16(1))
	f.Add(int32(99), "\xff%s\x00\u6f22", "\u6f22", uint16(2000))
	f.Fuzz(func(t *testing.T, code int32, text, id string, repeat uint16) {
		if !utf8.ValidString(id) || len(id) > 512 {
			return // ids come from requests and from brokers, which have valid ones
		}
		long := strings.Repeat(text, 1+int(repeat)%100)
		e := NewError(messageproxyv1.ErrorCode(code), repeat%2 == 0, "%s and %s", long, Quote(text))
		require.True(t, utf8.ValidString(e.GetMessage()))
		require.LessOrEqual(t, len(e.GetMessage()), MaxErrorText)
		for range repeat {
			e.MessageIds = append(e.MessageIds, id)
		}
		_, err := proto.Marshal(e)
		require.NoError(t, err)

		got := status.Convert(Status(e))
		require.Len(t, got.Details(), 1)
		require.Equal(t, e.GetCode(), got.Details()[0].(*messageproxyv1.Error).GetCode())
		details, err := proto.Marshal(got.Proto())
		require.NoError(t, err)
		trailers := len(url.PathEscape(got.Message())) + base64.RawStdEncoding.EncodedLen(len(details))
		require.Less(t, trailers, 8<<10)
	})
}
