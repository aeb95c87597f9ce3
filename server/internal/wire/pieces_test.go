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

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	return data
}

// A request may have any number of messages; they come all and in order, and never
// many more than pieceParts of them take memory at once.
func TestLargeRequestsComeInPieces(t *testing.T) {
	for name, test := range map[string]struct{ messages, bytes, headers int }{
		"none":            {0, 0, 0},
		"small":           {100, 10, 0},
		"tiny messages":   {200_000, 8, 0},
		"large message":   {1, 15 << 20, 0},
		"large and small": {300, 20_000, 5},
		"many headers":    {50, 100, 9_000},
	} {
		t.Run(name, func(t *testing.T) {
			sent := &messageproxyv1.ProduceRequest{}
			for i := range test.messages {
				sent.Messages = append(sent.Messages, &messageproxyv1.OutgoingMessage{
					Sequence: uint64(i + 1), Topic: "orders", Value: make([]byte, test.bytes),
					Headers: make([]*messageproxyv1.Header, test.headers),
				})
			}
			received, _, err := ReceivePieces(&codecStream{frames: [][]byte{marshal(t, sent)}})
			require.NoError(t, err)
			var got []Outgoing
			for messages := range received {
				require.LessOrEqual(t, len(messages), pieceParts)
				got = append(got, messages...)
			}
			requireSameOutgoing(t, sent.GetMessages(), got)
		})
	}
}

// Nothing is returned of a large request that can't be decoded to its end.
func TestLargeRequestsAreDecodedWholeOrNotAtAll(t *testing.T) {
	good := marshal(t, &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Topic: "orders", Value: make([]byte, smallRequest)},
	}})
	notUTF8 := marshal(t, &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{{Topic: "x"}}})
	notUTF8[len(notUTF8)-1] = 0xff
	for name, tail := range map[string][]byte{
		"cut off":     good[:len(good)-1],
		"no tag":      {0xff},
		"not UTF-8":   notUTF8,
		"wrong field": protowire.AppendVarint(protowire.AppendTag(nil, 0, protowire.VarintType), 1),
	} {
		t.Run(name, func(t *testing.T) {
			stream := &codecStream{frames: [][]byte{append(good[:len(good):len(good)], tail...), good}}
			_, _, err := ReceivePieces(stream)
			require.ErrorAs(t, err, new(*DecodeError))
			_, _, err = ReceivePieces(stream)
			require.NoError(t, err, "the stream goes on")
		})
	}
}

// A field that this version doesn't know is passed over, of whatever kind it is.
func TestLargeRequestsMayHaveFieldsOfLaterVersions(t *testing.T) {
	large := marshal(t, &messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Topic: "orders", Value: make([]byte, smallRequest)},
	}})
	for name, field := range map[string][]byte{
		"number": protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7),
		"bytes":  protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("x")),
		"group": protowire.AppendTag(protowire.AppendTag(nil, 99, protowire.StartGroupType),
			99, protowire.EndGroupType),
	} {
		t.Run(name, func(t *testing.T) {
			received, _, err := ReceivePieces(&codecStream{frames: [][]byte{append(field, large...)}})
			require.NoError(t, err)
			n := 0
			for messages := range received {
				n += len(messages)
			}
			require.Equal(t, 1, n)
		})
	}
}

// Some megabytes of nothing must not become gigabytes: what would is refused before
// it is decoded.
func TestRequestsOfTooManyPartsAreRefused(t *testing.T) {
	empty := func(number protowire.Number, n int) []byte {
		tag := protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), nil)
		return []byte(strings.Repeat(string(tag), n))
	}
	in := func(number protowire.Number, inside []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inside)
	}
	half := in(2, empty(1, maxParts/2))
	for name, data := range map[string][]byte{
		"ids":                 in(2, empty(1, maxParts+1)),
		"ids in several ACKs": append(append(half[:len(half):len(half)], half...), half...),
		"topics":              in(1, empty(2, maxParts+1)),
		"kinds of requests":   empty(99, maxParts+1),
	} {
		t.Run(name, func(t *testing.T) {
			var request messageproxyv1.ConsumeRequest
			err := Receive(&codecStream{frames: [][]byte{data}}, &request)
			require.ErrorAs(t, err, new(*DecodeError))
			require.ErrorContains(t, err, fmt.Sprintf("more than %d parts", maxParts))
		})
	}
	t.Run("headers", func(t *testing.T) {
		_, _, err := ReceivePieces(&codecStream{frames: [][]byte{in(1, empty(5, maxParts+1))}})
		require.ErrorAs(t, err, new(*DecodeError))
	})
	t.Run("not too many", func(t *testing.T) {
		var request messageproxyv1.ConsumeRequest
		require.NoError(t, Receive(&codecStream{frames: [][]byte{in(2, empty(1, maxParts-1))}}, &request))
		require.Len(t, request.GetAck().GetMessageIds(), maxParts-1)
	})
}
