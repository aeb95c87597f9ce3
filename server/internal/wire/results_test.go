package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestResultsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		results := rapid.SliceOfN(rapid.Custom(drawResult), 0, 5).Draw(t, "results")
		var frame Results
		require.Equal(t, len(results), frame.Fill(results))
		got := resultsThroughTheWire(t, &frame)
		require.Len(t, got.GetResults(), len(results))
		for i, want := range results {
			require.Equal(t, want.Sequence, got.GetResults()[i].GetSequence())
			if want.Err != nil {
				require.True(t, proto.Equal(want.Err, got.GetResults()[i].GetError()))
				continue
			}
			receipt := got.GetResults()[i].GetReceipt()
			require.NotNil(t, receipt, "also an empty one")
			require.Equal(t, want.MessageID, receipt.GetMessageId())
			require.Equal(t, want.Partition, receipt.GetPartition())
			require.Equal(t, want.TimestampMs, receipt.GetTimestampMs())
		}
	})
}

func drawResult(t *rapid.T) *Result {
	r := &Result{Sequence: rapid.Uint64().Draw(t, "sequence")}
	if rapid.Bool().Draw(t, "stored") {
		r.MessageID = rapid.StringN(0, 40, 512).Draw(t, "id")
		r.Partition = rapid.Int32().Draw(t, "partition")
		r.TimestampMs = rapid.Int64().Draw(t, "timestamp")
		return r
	}
	r.Err = &messageproxyv1.Error{
		Code: messageproxyv1.ErrorCode(rapid.Int32().Draw(t, "code")), Message: rapid.String().Draw(t, "message"),
		Retryable: rapid.Bool().Draw(t, "retryable"), MessageIds: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "ids"),
	}
	return r
}

// resultsThroughTheWire is throughTheWire for a Produce stream.
func resultsThroughTheWire(t require.TestingT, sent proto.Message) *messageproxyv1.ProduceResponse {
	bytes := encoded(t, sent)
	got := new(messageproxyv1.ProduceResponse)
	require.NoError(t, proto.Unmarshal(bytes, got))
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, string(again), string(bytes))
	return got
}

// What is added to the contract must be added to the encoding by hand too.
func TestResultsHaveEveryFieldOfTheContract(t *testing.T) {
	var frame Results
	frame.Fill([]*Result{{Sequence: 1, MessageID: "id", Partition: 1, TimestampMs: 1}})
	receipt := resultsThroughTheWire(t, &frame).GetResults()[0]
	requireEveryField(t, receipt.ProtoReflect())

	everything := &messageproxyv1.Error{Code: 1, Message: "m", Retryable: true, MessageIds: []string{"id"}}
	frame.Fill([]*Result{{Sequence: 1, Err: everything}})
	failed := resultsThroughTheWire(t, &frame).GetResults()[0]
	requireEveryField(t, failed.ProtoReflect())
	require.Equal(t, 2, receipt.ProtoReflect().Descriptor().Oneofs().ByName("outcome").Fields().Len(), "kinds of outcomes")
}

func TestResultsAllocateNothingForAMessage(t *testing.T) {
	results := make([]*Result, 1000)
	for i := range results {
		results[i] = &Result{Sequence: uint64(i), MessageID: benchID, TimestampMs: 1}
	}
	var frame Results
	buffer := make([]byte, 0, MaxFrameBytes)
	allocs := testing.AllocsPerRun(20, func() {
		frame.Fill(results)
		_, err := proto.MarshalOptions{}.MarshalAppend(buffer, &frame)
		assert.NoError(t, err)
	})
	assert.LessOrEqual(t, allocs, 2.0)
}
