package messageproxy

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// receipts is a response with n receipts.
func receipts(n int) *messageproxyv1.ProduceResponse {
	response := &messageproxyv1.ProduceResponse{}
	for i := range n {
		response.Results = append(response.Results, &messageproxyv1.ProduceResult{
			Sequence: uint64(i + 1),
			Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
				MessageId: fmt.Sprint("orders/3/", i), Partition: 3, TimestampMs: 1700000000000,
			}},
		})
	}
	return response
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	return data
}

// FuzzProduceResults: whatever bytes come, a response is what protobuf says that they are,
// or an error as protobuf's.
func FuzzProduceResults(f *testing.F) {
	failed := &messageproxyv1.ProduceResult{Sequence: 5, Outcome: &messageproxyv1.ProduceResult_Error{Error: &messageproxyv1.Error{
		Code: messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND, Message: "none", Retryable: true, MessageIds: []string{"a", ""},
	}}}
	odd := &messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
		{},
		{Sequence: math.MaxUint64, Outcome: &messageproxyv1.ProduceResult_Receipt{}},
		{Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{Partition: -1, TimestampMs: -1}}},
	}}
	end := &messageproxyv1.ProduceResponse{TerminalError: &messageproxyv1.Error{Message: "the end"}}
	small := marshal(f, receipts(2))
	for _, data := range [][]byte{
		{},
		small, marshal(f, receipts(40)), marshal(f, odd), marshal(f, end), small[:len(small)-1],
		append(marshal(f, receipts(17)), marshal(f, &messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{failed}})...),
		protowire.AppendVarint(protowire.AppendTag(small, 99, protowire.VarintType), 1),
		[]byte("\x0a\x05\x12\x03\x0a\x01\xff"),             // an ID that isn't UTF-8
		[]byte("\x0a\x08\x12\x06\x0a\x01a\x0a\x01b"),       // two IDs: the last counts
		[]byte("\x0a\x08\x12\x02\x10\x05\x12\x02\x18\x07"), // two receipts: they are merged
		[]byte("\x0a\x06\x08\x81\x00\x12\x01\x0a"),         // a number that is longer than it has to be, and no ID
		[]byte("\x0a\x0d\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want messageproxyv1.ProduceResponse
		wantErr := proto.Unmarshal(data, &want)
		got := newProduceResults()
		require.NoError(t, proto.Unmarshal(marshal(t, receipts(20)), got), "what was received before")
		before := append([]produceResult{}, got.results...)
		read := append([]byte{}, data...)
		err := proto.Unmarshal(read, got)
		clear(read) // it is gRPC's
		if wantErr != nil {
			require.EqualError(t, err, wantErr.Error())
			return
		}
		require.NoError(t, err)
		requireSameResults(t, &want, got)
		requireSameResults(t, receipts(20), &produceResults{results: before})
	})
}

func requireSameResults(t *testing.T, want *messageproxyv1.ProduceResponse, got *produceResults) {
	t.Helper()
	require.Len(t, got.results, len(want.GetResults()))
	for i, result := range want.GetResults() {
		require.Equal(t, resultFromWire(result), got.results[i])
	}
	require.Equal(t, want.GetTerminalError() == nil, got.terminal == nil)
	if e := want.GetTerminalError(); e != nil {
		require.Equal(t, errorFromWire(e), got.terminal)
	}
}

func TestReceiptsHaveEveryFieldOfTheContract(t *testing.T) {
	response := receipts(1)
	requireEveryField(t, response.GetResults()[0].ProtoReflect())
	got := newProduceResults()
	require.True(t, got.decodeReceipts(marshal(t, response)), "they are decoded by hand")
	requireSameResults(t, response, got)
}

func TestReceiptsTakeAnAllocationForSixteen(t *testing.T) {
	data, got := marshal(t, receipts(160)), newProduceResults()
	require.EqualValues(t, 10, testing.AllocsPerRun(100, func() {
		got.Reset()
		require.True(t, got.decodeReceipts(data))
	}))
}

func TestALargeResponseIsForgotten(t *testing.T) {
	got := newProduceResults()
	require.NoError(t, proto.Unmarshal(marshal(t, receipts(keptResults+100)), got))
	require.Len(t, got.results, keptResults+100)
	require.NoError(t, proto.Unmarshal(nil, got))
	require.Zero(t, cap(got.results))
}
