package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func produce() []suite.Scenario {
	return []suite.Scenario{
		{Name: "receipts", Shows: []string{"P1"}, Run: receipts},
		{Name: "errors of single messages", Shows: []string{"P1", "P2", "E1"}, Run: errorsOfMessages},
		{Name: "messages that can't be produced", Shows: []string{"P2", "P3"}, Run: invalidMessages},
		{Name: "a value that is a text", Shows: []string{"P3"}, Run: textAsValue},
		{Name: "messages that are too large", Shows: []string{"P2", "P4"}, Run: tooLarge},
		{Name: "the default limit of a message", Shows: []string{"P4"}, Run: tooLargeByDefault},
		{Name: "messages go out in order", Shows: []string{"P5", "P7"}, Run: messagesInOrder},
		{Name: "what gathers goes into the next frame", Shows: []string{"P6"}, Run: gathering},
		{Name: "a frame holds about 256 KiB", Shows: []string{"P6"}, Run: frameSize},
		{Name: "a message alone goes at once", Shows: []string{"P6"}, Run: aloneAtOnce, Alone: true},
		{Name: "results in any order, and some that nobody awaits", Shows: []string{"P7"}, Run: resultsInAnyOrder},
		{Name: "a response of a newer server", Shows: []string{"P2", "S11"}, Run: newerProduceResponse},
		{Name: "absent and empty are different on the way out", Shows: []string{"P8"}, Run: absentAndEmpty},
		{Name: "a message is copied when it is taken over", Shows: []string{"P9"}, Run: copied},
		{Name: "room for messages, by number", Shows: []string{"P10"}, Run: roomByNumber},
		{Name: "room for messages, by bytes", Shows: []string{"P10"}, Run: roomByBytes},
		{Name: "room for messages, by default", Shows: []string{"P10"}, Run: roomByDefault},
		{Name: "room for bytes, by default", Shows: []string{"P10"}, Run: roomForBytesByDefault},
		{Name: "a stream is cut with messages on it", Shows: []string{"P2", "P7", "P11"}, Run: cutStream},
		{Name: "a server shuts down", Shows: []string{"P5", "P7", "P12"}, Run: serverShutsDown},
		{Name: "a server shuts down, and says so in its status alone", Shows: []string{"P12", "R7"}, Run: serverShutsDownByStatus},
		{Name: "a call ends before its message is on the wire", Shows: []string{"P2", "P14", "E2"}, Run: endedBeforeTheWire},
		{Name: "a call ends while it waits for room", Shows: []string{"P14", "P10"}, Run: endedWaiting},
		{Name: "a call ends with its message on the wire", Shows: []string{"P2", "P15", "E2"}, Run: endedOnTheWire},
		{Name: "flush", Shows: []string{"P16"}, Run: flush},
		{Name: "a proxy that can't be reached", Shows: []string{"P17", "P5"}, Run: unreachable},
	}
}

// produceAll has a client produce messages with these values.
func produceAll(c *driver.Client, all ...string) []*driver.Call {
	calls := make([]*driver.Call, len(all))
	for i, value := range all {
		calls[i] = c.Produce(msg(value))
	}
	return calls
}

func receipts(h *suite.Harness) {
	s := h.Server(script.Options{})
	calls := produceAll(h.Open(s.Addr(), fast()), "a", "b", "c")
	stream := s.AwaitProduce()
	stream.Await(3)
	stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
		{Sequence: 1, Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
			MessageId: "grüße/1", Partition: 7, TimestampMs: 1_700_000_000_123,
		}}},
		{Sequence: 2, Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
			MessageId: "", Partition: 0, TimestampMs: 0,
		}}},
		{Sequence: 3, Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
			MessageId: "3", Partition: 1<<31 - 1, TimestampMs: -1,
		}}},
	}})
	assert.Equal(h, protocol.Receipt{MessageID: "grüße/1", Partition: 7, Timestamp: 1_700_000_000_123}, calls[0].Receipt())
	assert.Equal(h, protocol.Receipt{}, calls[1].Receipt())
	assert.Equal(h, protocol.Receipt{MessageID: "3", Partition: 1<<31 - 1, Timestamp: -1}, calls[2].Receipt())
}

func errorsOfMessages(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	cases := []*messageproxyv1.Error{
		script.Err(topicNotFound, "no such topic", false),
		script.Err(brokerUnavailable, "no broker", true),
		script.Err(messageTooLarge, "too large", false, "id-1", "id-2"),
		script.Err(unknownOutcome, "who knows", true),
		script.Err(newerCode, "newer", true),
		script.Err(newerCode, "newer", false),
		{},
	}
	var calls []*driver.Call
	for i := range cases {
		calls = append(calls, c.Produce(msg(fmt.Sprint(i))))
	}
	after := c.Produce(msg("after"))
	stream := s.AwaitProduce()
	stream.Await(len(cases) + 1)
	for i, e := range cases {
		stream.Fail(uint64(i+1), e)
	}
	stream.Answer(uint64(len(cases) + 1))
	for i, want := range cases {
		got := calls[i].Error()
		assert.Equal(h, protocol.KindError, got.Kind)
		assert.EqualValues(h, want.GetCode(), got.Code, "codes keep their numbers")
		assert.Contains(h, got.Message, want.GetMessage())
		assert.Equal(h, want.GetRetryable(), got.Retryable)
		assert.ElementsMatch(h, want.GetMessageIds(), got.MessageIDs)
	}
	after.Receipt()
	streams, _ := s.Streams()
	require.Equal(h, 1, streams, "an error of a message is none of the stream")
}

func invalidMessages(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	invalid := map[string]protocol.Message{
		"no topic":                    {Value: []byte("v")},
		"a topic that isn't Unicode":  {Topic: protocol.NoUnicode, Value: []byte("v")},
		"a header that isn't Unicode": {Topic: topic, Headers: []protocol.Header{{Key: "fine"}, {Key: protocol.NoUnicode, Value: []byte("v")}}},
	}
	check := func() {
		for what, m := range invalid {
			call := c.Produce(m)
			e := call.Error()
			assert.Equal(h, protocol.KindError, e.Kind, "%s: %s", what, e.Message)
			assert.EqualValues(h, invalidArgument, e.Code, "%s: %s", what, e.Message)
			assert.False(h, e.Retryable, what)
		}
	}
	check() // with no stream
	require.Empty(h, s.Connections())
	before := c.Produce(msg("before"))
	stream := s.AwaitProduce()
	stream.Await(1)
	check() // beside others
	after := c.Produce(msg("after"))
	require.Equal(h, []string{"before", "after"}, values(stream.Await(2)))
	stream.Answer(1, 2)
	before.Receipt()
	after.Receipt()
	streams, _ := s.Streams()
	require.Equal(h, 1, streams)
}

func textAsValue(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	m := msg("a text")
	e := c.ProduceWith(protocol.Command{Message: &m, Text: true}).Failed(protocol.KindError, int32(invalidArgument))
	require.False(h, e.Retryable)
	after := c.Produce(msg("after"))
	stream := s.AwaitProduce()
	require.Equal(h, []string{"after"}, values(stream.Await(1)))
	stream.Answer(1)
	after.Receipt()
}

func tooLarge(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxMessageBytes = ptr[int64](100)
	c := h.Open(s.Addr(), o)
	ofSize := func(value int) protocol.Message {
		return protocol.Message{ // 10 + 2 headers of 16, and of 3 + 4 and of 1
			Topic: topic, Key: make([]byte, 10), Value: make([]byte, value),
			Headers: []protocol.Header{{Key: "abc", Value: make([]byte, 4)}, {Key: "d"}},
		}
	}
	fits := c.Produce(ofSize(50))
	stream := s.AwaitProduce()
	stream.AnswerAll()
	fits.Receipt()
	e := c.Produce(ofSize(51)).Failed(protocol.KindError, int32(messageTooLarge))
	assert.False(h, e.Retryable)
	c.Produce(protocol.Message{Topic: topic, Key: make([]byte, 101)}).Failed(protocol.KindError, int32(messageTooLarge))
	c.Produce(ofSize(50)).Receipt()
	require.Len(h, stream.Messages(), 2)
}

func tooLargeByDefault(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	c.Produce(protocol.Message{Topic: topic, Value: make([]byte, 60<<20+1)}).Failed(protocol.KindError, int32(messageTooLarge))
	fits := c.Produce(protocol.Message{Topic: topic, Value: make([]byte, 60<<20)})
	stream := s.AwaitProduce()
	stream.AnswerAll()
	fits.Receipt()
	require.Len(h, stream.Messages(), 1)
	require.Len(h, stream.Messages()[0].GetValue(), 60<<20)
}

func messagesInOrder(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	const n = 900
	var want []string
	var calls []*driver.Call
	for i := range n {
		want = append(want, fmt.Sprint(i))
		calls = append(calls, c.Produce(protocol.Message{Topic: topic, Key: []byte(fmt.Sprint(i % 7)), Value: []byte(want[i])}))
	}
	stream := s.AwaitProduce()
	all := stream.Await(n)
	require.Equal(h, want, values(all))
	require.Equal(h, onePlus(n), sequences(all))
	stream.AnswerAll()
	for i, call := range calls {
		require.Equal(h, fmt.Sprintf("id-%d", i+1), call.Receipt().MessageID)
	}
}

func gathering(h *suite.Harness) {
	const n = 300
	many := make([]protocol.Message, n)
	for i := range many {
		many[i] = msg(fmt.Sprint(i))
	}
	b := block(h, many...)
	b.stream.Resume()
	all := b.stream.AwaitValue(fmt.Sprint(n - 1))
	require.Len(h, small(all), n)
	// A few may have gone beside the blocking ones.
	frames := b.stream.Frames()
	assert.LessOrEqual(h, len(frames), 10, "%d small messages that had gathered came in %d frames", n, len(frames))
}

func frameSize(h *suite.Harness) {
	const n, size = 60, 50 << 10
	many := make([]protocol.Message, n)
	for i := range many {
		many[i] = protocol.Message{Topic: topic, Value: slices.Concat([]byte(fmt.Sprintf("%03d", i)), make([]byte, size))}
	}
	b := block(h, many...)
	b.stream.Resume()
	b.stream.Await(n + 2)
	frames := b.stream.Frames()
	for _, frame := range frames {
		if frame.Bytes > blockedBytes { // one that blocks, which goes as it is, with what was before it
			assert.Less(h, frame.Bytes, blockedBytes+(256<<10)+size)
			continue
		}
		assert.LessOrEqual(h, frame.Bytes, (256<<10)+2*size, "frames hold about 256 KiB")
	}
	assert.LessOrEqual(h, len(frames), n/2, "%d messages of 50 KiB came in %d frames", n, len(frames))
}

func aloneAtOnce(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	first := c.Produce(msg("first"))
	s.AwaitProduce().AnswerAll()
	first.Receipt()
	shortest := time.Hour
	for range 50 {
		began := time.Now()
		call := c.Produce(msg("alone"))
		call.Receipt()
		shortest = min(shortest, call.AnsweredAt().Sub(began))
	}
	// Whoever waits for others to come waits each time.
	assert.Less(h, shortest, 5*time.Millisecond, "the fastest of 50 messages, each alone")
}

func resultsInAnyOrder(h *suite.Harness) {
	s := h.Server(script.Options{})
	calls := produceAll(h.Open(s.Addr(), fast()), "1", "2", "3", "4")
	stream := s.AwaitProduce()
	stream.Await(4)
	stream.Answer(0, 5, 1_000_000, 1<<63)
	stream.Answer(3)
	require.Equal(h, "id-3", calls[2].Receipt().MessageID)
	stream.Fail(3, script.Err(internalError, "an answer to what was answered", false))
	stream.Answer(4, 1, 3)
	require.Equal(h, "id-4", calls[3].Receipt().MessageID)
	require.Equal(h, "id-1", calls[0].Receipt().MessageID)
	h.Quiet()
	require.False(h, calls[1].Answered())
	stream.Answer(2)
	require.Equal(h, "id-2", calls[1].Receipt().MessageID)
	streams, _ := s.Streams()
	require.Equal(h, 1, streams)
}

func newerProduceResponse(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2", "3", "4")
	stream := s.AwaitProduce()
	stream.Await(4)
	stream.Send(script.WithUnknownField(&messageproxyv1.ProduceResponse{}))
	receipt := script.Stored(1)
	script.WithUnknownField(receipt.GetReceipt())
	failure := &messageproxyv1.ProduceResult{Sequence: 2, Outcome: &messageproxyv1.ProduceResult_Error{
		Error: script.WithUnknownField(script.Err(topicNotFound, "no such topic", false)),
	}}
	stream.Send(script.WithUnknownField(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
		script.WithUnknownField(receipt), script.WithUnknownField(failure),
	}}))
	require.Equal(h, "id-1", calls[0].Receipt().MessageID)
	calls[1].Failed(protocol.KindError, int32(topicNotFound))
	// An outcome that is neither a receipt nor an error says nothing.
	stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
		script.WithUnknownField(&messageproxyv1.ProduceResult{Sequence: 3}),
	}})
	calls[2].Failed(protocol.KindError, int32(unknownOutcome))
	stream.Answer(4)
	calls[3].Receipt()
	streams, _ := s.Streams()
	require.Equal(h, 1, streams)
}

func absentAndEmpty(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	sent := []protocol.Message{
		{Topic: topic},
		{Topic: topic, Key: []byte{}, Value: []byte{}},
		{Topic: "grüße 🌍", Key: []byte{0, 0xff, 0xfe}, Value: []byte("\x00\xff")},
		{Topic: topic, Value: []byte("v"), Partition: ptr[int32](0), Timestamp: ptr[int64](0)},
		{Topic: topic, Value: []byte("v"), Partition: ptr[int32](12), Timestamp: ptr[int64](1_700_000_000_123)},
		{Topic: topic, Value: []byte("v"), Timestamp: ptr[int64](-5)},
		{Topic: topic, Headers: []protocol.Header{
			{Key: "b", Value: nil}, {Key: "a", Value: []byte{}}, {Key: "b", Value: []byte("2")}, {Key: "", Value: []byte{0xff}}, {Key: "b", Value: []byte("1")},
		}},
	}
	for _, m := range sent {
		c.Produce(m)
	}
	want := make([]*messageproxyv1.OutgoingMessage, len(sent))
	for i, m := range sent {
		want[i] = &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i + 1), Topic: string(m.Topic), Key: m.Key, Value: m.Value, Partition: m.Partition, TimestampMs: m.Timestamp,
		}
		for _, header := range m.Headers {
			want[i].Headers = append(want[i].Headers, &messageproxyv1.Header{Key: string(header.Key), Value: header.Value})
		}
	}
	for i, got := range s.AwaitProduce().Await(len(sent)) {
		assert.True(h, equalProto(want[i], got), "wanted %v, got %v", want[i], got)
	}
}

func copied(h *suite.Harness) {
	s := h.Server(script.Options{Refusing: true})
	c := h.Open(s.Addr(), fast())
	m := protocol.Message{Topic: topic, Key: []byte("the key"), Value: []byte("the value")}
	c.ProduceWith(protocol.Command{Message: &m, Change: true})
	h.Ping()
	s.Listen()
	got := s.AwaitProduce().Await(1)[0]
	require.Equal(h, "the key", string(got.GetKey()))
	require.Equal(h, "the value", string(got.GetValue()))
}

func roomByNumber(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxOutstanding = &[2]int64{3, 1 << 20}
	c := h.Open(s.Addr(), o)
	calls := produceAll(c, "1", "2", "3", "4", "5", "6")
	stream := s.AwaitProduce()
	stream.Await(3)
	h.Quiet()
	require.Len(h, stream.Messages(), 3)
	stream.Answer(2)
	calls[1].Receipt()
	require.Equal(h, []string{"1", "2", "3", "4"}, values(stream.Await(4)))
	h.Quiet()
	require.Len(h, stream.Messages(), 4)
	stream.Fail(1, script.Err(topicNotFound, "an error is an answer", false))
	require.Equal(h, []string{"1", "2", "3", "4", "5"}, values(stream.Await(5)))
	stream.AnswerAll()
	require.Equal(h, []string{"1", "2", "3", "4", "5", "6"}, values(stream.Await(6)))
	for _, call := range calls[2:] {
		call.Receipt()
	}
}

func roomByBytes(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxOutstanding = &[2]int64{100, 1000}
	c := h.Open(s.Addr(), o)
	ofSize := func(n int, letter string) protocol.Message { return msg(strings.Repeat(letter, n)) }
	large := c.Produce(ofSize(5000, "L")) // larger than the limit, and alone
	stream := s.AwaitProduce()
	stream.Await(1)
	small := c.Produce(ofSize(1, "s"))
	h.Quiet()
	require.Len(h, stream.Messages(), 1)
	stream.Answer(1)
	large.Receipt()
	stream.Await(2)
	stream.Answer(2)
	small.Receipt()

	a := c.Produce(ofSize(600, "a"))
	c.Produce(ofSize(600, "b")) // has to wait
	want := []string{"b"}
	for _, letter := range []string{"c", "d", "e", "f", "g", "h"} { // would fit, and have to stay behind b
		c.Produce(ofSize(10, letter))
		want = append(want, letter)
	}
	stream.Await(3)
	h.Quiet()
	require.Len(h, stream.Messages(), 3, "callers wait in their order")
	stream.Answer(3)
	a.Receipt()
	var got []string // all get room at the same moment
	for _, value := range values(stream.Await(3 + len(want)))[3:] {
		got = append(got, value[:1])
	}
	require.Equal(h, want, got)
}

func roomByDefault(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	for i := range 1001 {
		c.Produce(msg(fmt.Sprint(i)))
	}
	stream := s.AwaitProduce()
	stream.Await(1000)
	h.Quiet()
	require.Len(h, stream.Messages(), 1000)
	stream.Answer(500)
	stream.Await(1001)
}

func roomForBytesByDefault(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	for range 3 {
		c.Produce(protocol.Message{Topic: topic, Value: make([]byte, 22<<20)}) // two have room
	}
	stream := s.AwaitProduce()
	stream.Await(2)
	h.Quiet()
	require.Len(h, stream.Messages(), 2)
	stream.Answer(1)
	stream.Await(3)
}

func cutStream(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2", "3")
	stream := s.AwaitProduce()
	stream.Await(3)
	stream.Answer(2)
	calls[1].Receipt()
	stream.Cut()
	for _, call := range []*driver.Call{calls[0], calls[2]} {
		call.Failed(protocol.KindError, int32(unknownOutcome))
	}
	after := c.Produce(msg("after"))
	next := s.AwaitProduce()
	all := next.Await(1)
	require.Equal(h, []string{"after"}, values(all), "nothing goes out again")
	require.Equal(h, []uint64{1}, sequences(all))
	next.Answer(1)
	after.Receipt()

	// What wasn't on the wire goes out on the next stream.
	b := block(h, msg("2"), msg("3"), msg("4"))
	b.server.Pause(false)
	b.stream.Cut()
	b.first.Failed(protocol.KindError, int32(unknownOutcome))
	next = b.server.AwaitProduce()
	next.AnswerAll()
	all = next.AwaitValue("4")
	require.Equal(h, []string{"2", "3", "4"}, small(all))
	require.Equal(h, onePlus(len(all)), sequences(all))
	for _, call := range b.others {
		call.Receipt()
	}
}

func serverShutsDown(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2", "3", "4", "5")
	stream := s.AwaitProduce()
	stream.Await(5)
	stream.Answer(2, 4)
	calls[1].Receipt()
	calls[3].Receipt()
	stream.Terminate(script.Err(shuttingDown, "bye", true))
	calls = append(calls, produceAll(c, "6", "7")...)
	next := s.AwaitProduce()
	all := next.Await(5)
	require.Equal(h, []string{"1", "3", "5", "6", "7"}, values(all))
	require.Equal(h, onePlus(5), sequences(all))
	next.Answer(1, 2, 3, 4, 5)
	for _, call := range calls {
		call.Receipt()
	}
}

func serverShutsDownByStatus(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2")
	stream := s.AwaitProduce()
	stream.Await(2)
	stream.EndWithDetails(codes.Unavailable, script.Err(shuttingDown, "bye", false))
	next := s.AwaitProduce()
	require.Equal(h, []string{"1", "2"}, values(next.Await(2)))
	next.Answer(1, 2)
	for _, call := range calls {
		call.Receipt()
	}
}

func endedBeforeTheWire(h *suite.Harness) {
	s := h.Server(script.Options{Refusing: true})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2", "3")
	h.Ping()
	calls[1].Cancel()
	calls[1].Failed(protocol.KindCancelled, 0)
	s.Listen()
	stream := s.AwaitProduce()
	require.Equal(h, []string{"1", "3"}, values(stream.Await(2)))
	stream.Answer(1, 2)
	calls[0].Receipt()
	calls[2].Receipt()
	require.Len(h, stream.Messages(), 2)
}

func endedWaiting(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxOutstanding = &[2]int64{1, 1000}
	c := h.Open(s.Addr(), o)
	calls := produceAll(c, "1", "2", "3", "4")
	stream := s.AwaitProduce()
	stream.Await(1)
	calls[2].Cancel() // not the first that waits
	calls[2].Failed(protocol.KindCancelled, 0)
	calls[1].Cancel()
	calls[1].Failed(protocol.KindCancelled, 0)
	stream.Answer(1)
	calls[0].Receipt()
	require.Equal(h, []string{"1", "4"}, values(stream.Await(2)))
	stream.Answer(2)
	calls[3].Receipt()
	c.Produce(msg("5"))
	require.Equal(h, []string{"1", "4", "5"}, values(stream.Await(3)))
}

func endedOnTheWire(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxOutstanding = &[2]int64{1, 1000}
	c := h.Open(s.Addr(), o)
	first := c.Produce(msg("1"))
	stream := s.AwaitProduce()
	stream.Await(1)
	first.Cancel()
	e := first.Failed(protocol.KindError, int32(unknownOutcome))
	assert.NotEmpty(h, e.Message)
	second := c.Produce(msg("2"))
	h.Quiet()
	require.Len(h, stream.Messages(), 1, "1 keeps its place until it is answered")
	stream.Answer(1)
	stream.Await(2)
	second.Cancel()
	second.Failed(protocol.KindError, int32(unknownOutcome))
	third := c.Produce(msg("3"))
	h.Quiet()
	require.Len(h, stream.Messages(), 2)
	stream.Cut() // the end of the stream frees the place too
	next := s.AwaitProduce()
	require.Equal(h, []string{"3"}, values(next.Await(1)))
	next.Answer(1)
	third.Receipt()
}

func flush(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	c.Flush().OK()
	calls := produceAll(c, "1", "2", "3")
	stream := s.AwaitProduce()
	stream.Await(3)
	flushing := c.Flush()
	h.Ping()
	later := c.Produce(msg("later"))
	stream.Await(4)
	stream.Answer(3, 1)
	calls[0].Receipt()
	h.Quiet()
	require.False(h, flushing.Answered(), "2 isn't answered")
	stream.Fail(2, script.Err(topicNotFound, "an error is an answer", false))
	flushing.OK()
	calls[1].Error()
	require.False(h, later.Answered())
	stream.Answer(4)
	later.Receipt()
	c.Flush().OK()
}

func unreachable(h *suite.Harness) {
	s := h.Server(script.Options{Refusing: true})
	c := h.Open(s.Addr(), fast())
	calls := produceAll(c, "1", "2", "3")
	h.Quiet()
	s.Listen()
	stream := s.AwaitProduce()
	require.Equal(h, []string{"1", "2", "3"}, values(stream.Await(3)))
	stream.Answer(1, 2, 3)
	for _, call := range calls {
		call.Receipt()
	}
	// It goes away, and comes back.
	s.Refuse()
	s.CutConnections()
	call := c.Produce(msg("4"))
	h.Quiet()
	s.Listen()
	for !call.Answered() { // unless the client hadn't noticed yet
		if s.HasProduce() {
			s.AwaitProduce().AnswerAll()
		}
		h.Pause()
	}
}
