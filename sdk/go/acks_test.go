package messageproxy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func ackRequest(ids []string) *messageproxyv1.ConsumeRequest {
	return &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: &messageproxyv1.AckRequest{MessageIds: ids}}}
}

// FuzzAckFrame: whatever messages are ACKed, frames of their IDs are encoded as protobuf
// would encode them, and none is left out.
func FuzzAckFrame(f *testing.F) {
	f.Add("orders/3/17,orders/3/18")
	f.Add("")
	f.Add(",é,")
	f.Add(strings.Repeat("i", 300))
	f.Fuzz(func(t *testing.T, text string) {
		frame, ids := newAckFrame(), strings.Split(strings.ToValidUTF8(text, "?"), ",")
		for rest := ids; len(rest) > 0; {
			before := rest
			rest = frame.fill(rest)
			require.Equal(t, before, append(append([]string{}, frame.ids...), rest...))
			requireEncodedAs(t, ackRequest(frame.ids), frame)
		}
	})
}

func TestManyAcksTakeSeveralFrames(t *testing.T) {
	ids := make([]string, 3*maxAckFrameBytes/100)
	for i := range ids {
		ids[i] = strings.Repeat("i", 100)
	}
	frame, frames, sent := newAckFrame(), 0, 0
	for rest := ids; len(rest) > 0; {
		rest = frame.fill(rest)
		require.NotEmpty(t, frame.ids)
		require.LessOrEqual(t, proto.Size(frame), maxAckFrameBytes)
		frames++
		requireEncodedAs(t, ackRequest(frame.ids), frame)
		sent += len(frame.ids)
	}
	require.Equal(t, len(ids), sent)
	require.Equal(t, 4, frames, "with the IDs' tags and lengths")
}

func TestAcksHaveEveryFieldOfTheContract(t *testing.T) {
	frame := newAckFrame()
	require.Empty(t, frame.fill([]string{"orders/3/17"}))
	data := marshal(t, frame)
	request := &messageproxyv1.ConsumeRequest{}
	require.NoError(t, proto.Unmarshal(data, request))
	requireEveryField(t, request.ProtoReflect())
}
