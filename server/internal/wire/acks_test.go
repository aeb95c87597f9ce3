package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// What doesn't look as encoders make it is decoded as protobuf says: parts of an ACK are
// put together, the last kind of a request counts, fields of later versions are passed
// over.
func TestACKsOfEveryShape(t *testing.T) {
	in := func(number protowire.Number, inside ...byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inside)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	a, b := in(1, 'a'), in(1, 'b')
	for name, data := range map[string][]byte{
		"ids":                       in(2, join(a, in(1), b)...),
		"a long id":                 in(2, in(1, make([]byte, 300)...)...),
		"no ids":                    in(2),
		"nothing":                   nil,
		"in two parts":              join(in(2, a...), in(2, b...)),
		"leave takes its place":     join(in(2, a...), in(3)),
		"it takes the place":        join(in(3), in(2, a...)),
		"a field of later versions": in(2, join(a, in(9, 'x'), b)...),
		"a request of later ones":   join(in(2, a...), in(9, 'x')),
		"a number for an id":        in(2, 1<<3, 5),
		"a tag in two bytes":        join([]byte{0x92, 0x00}, protowire.AppendBytes(nil, a)),
		"not UTF-8":                 in(2, in(1, 0xff)...),
		"half a letter":             in(2, join(in(1, 0xc3), in(1, 0xa9))...),
		"an id without an end":      in(2, 1<<3|2, 5, 'a'),
		"an ACK without an end":     {2<<3 | 2, 5, 'a'},
	} {
		t.Run(name, func(t *testing.T) { requireSameRequest(t, data) })
	}
}

// requireSameRequest compares with protobuf.
func requireSameRequest(t *testing.T, data []byte) {
	var want messageproxyv1.ConsumeRequest
	wantErr := proto.Unmarshal(data, &want)
	ids, other, err := ReceiveAcks(&codecStream{frames: [][]byte{data}})
	if wantErr != nil {
		require.ErrorAs(t, err, new(*DecodeError))
		return
	}
	require.NoError(t, err)
	if _, isAck := want.GetRequest().(*messageproxyv1.ConsumeRequest_Ack); !isAck {
		require.NotNil(t, other)
		require.True(t, proto.Equal(&want, other))
		return
	}
	require.Nil(t, other)
	require.Equal(t, fmt.Sprintf("%q", want.GetAck().GetMessageIds()), fmt.Sprintf("%q", ids))
}

func TestACKsAllocateNothingForAnID(t *testing.T) {
	request := &messageproxyv1.AckRequest{MessageIds: make([]string, 1000)}
	for i := range request.MessageIds {
		request.MessageIds[i] = benchID
	}
	data := marshal(t, &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: request}})
	require.LessOrEqual(t, testing.AllocsPerRun(20, func() { decodeAcks(data) }), 2.0)
}

// The first id says how long the others are likely to be. If it lies, they take no more
// room for that.
func TestACKsOfManyLengthsTakeNoMoreRoom(t *testing.T) {
	request := &messageproxyv1.AckRequest{MessageIds: make([]string, 5000)}
	for i := range request.MessageIds[1:] {
		request.MessageIds[i+1] = strings.Repeat("i", 127)
	}
	data := marshal(t, &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: request}})
	ids, ok := decodeAcks(data)
	require.True(t, ok)
	require.Equal(t, request.GetMessageIds(), ids)
	require.LessOrEqual(t, cap(ids), 2*len(ids))
}
