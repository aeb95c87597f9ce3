package wire

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec of the tests
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// codecStream decodes its frames with the codec that grpc-go uses.
type codecStream struct {
	grpc.ServerStream
	frames [][]byte
}

func (s *codecStream) RecvMsg(m any) error {
	if len(s.frames) == 0 {
		return io.EOF
	}
	next := s.frames[0]
	s.frames = s.frames[1:]
	return encoding.GetCodecV2("proto").Unmarshal(mem.BufferSlice{mem.SliceBuffer(next)}, m)
}

// encoded encodes a message with that codec.
func encoded(t require.TestingT, m any) []byte {
	data, err := encoding.GetCodecV2("proto").Marshal(m)
	require.NoError(t, err)
	defer data.Free()
	return data.Materialize()
}

func TestReceiveTellsBadRequestsFromAnEndedStream(t *testing.T) {
	sent := &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{{Topic: "orders", Value: []byte{}}}}
	good, err := proto.Marshal(sent)
	require.NoError(t, err)
	notUTF8 := append([]byte(nil), good...)
	notUTF8[len(good)-4] = 0xff // within the topic
	stream := &codecStream{frames: [][]byte{good, notUTF8, {0xff, 0xff}, {}, good}}

	receive := func() (*messageproxyv1.ProduceRequest, error) {
		request := new(messageproxyv1.ProduceRequest)
		return request, Receive(stream, request)
	}
	got, err := receive()
	require.NoError(t, err)
	assert.True(t, proto.Equal(sent, got))

	_, err = receive()
	var decodeError *DecodeError
	require.ErrorAs(t, err, &decodeError)
	assert.ErrorContains(t, err, "invalid UTF-8")
	_, err = receive()
	require.ErrorAs(t, err, &decodeError)
	assert.ErrorContains(t, err, "cannot parse")

	got, err = receive()
	require.NoError(t, err)
	assert.Empty(t, got.GetMessages())
	got, err = receive()
	require.NoError(t, err)
	assert.True(t, proto.Equal(sent, got), "the stream goes on")
	_, err = receive()
	assert.ErrorIs(t, err, io.EOF)
}
