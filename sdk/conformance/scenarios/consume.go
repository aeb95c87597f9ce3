package scenarios

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func consume() []suite.Scenario {
	return []suite.Scenario{
		{Name: "messages are handled and ACKed", Shows: []string{"S1", "S3", "S12"}, Run: handledAndAcked},
		{Name: "the subscribe request", Shows: []string{"S2"}, Run: subscribeRequest},
		{Name: "the options of the subscribe request", Shows: []string{"S2"}, Run: subscribeRequestOptions},
		{Name: "ACKs gather", Shows: []string{"S3"}, Run: acksGather},
		{Name: "an ACK goes at once if there is no other", Shows: []string{"S3"}, Run: ackAlone},
		{Name: "partitions have an order, and are handled at the same time", Shows: []string{"S4"}, Run: orderOfPartitions},
		{Name: "order across streams", Shows: []string{"S4", "S8"}, Run: orderAcrossStreams},
		{Name: "max handlers", Shows: []string{"S5"}, Run: maxHandlers},
		{Name: "a handler for each partition by default", Shows: []string{"S5"}, Run: handlersByDefault},
		{Name: "key workers", Shows: []string{"S6"}, Run: keyWorkers},
		{Name: "messages without a key have no order", Shows: []string{"S6"}, Run: keyless},
		{Name: "the client reads on while handlers run", Shows: []string{"S7"}, Run: readsOn},
		{Name: "a lost stream", Shows: []string{"S3", "S8", "S10", "S13", "H7"}, Run: lostStream},
		{Name: "partitions are withdrawn, with time left", Shows: []string{"S9", "S10"}, Run: withdrawnInTime},
		{Name: "partitions are withdrawn, and the time is over", Shows: []string{"S9"}, Run: withdrawnTooLate},
		{Name: "partitions are gone already", Shows: []string{"S9"}, Run: withdrawnAtOnce},
		{Name: "a withdrawn partition comes back", Shows: []string{"S4", "S9"}, Run: withdrawnAndBack},
		{Name: "the observer hears of everything", Shows: []string{"S10", "E1"}, Run: observer},
		{Name: "responses of a newer server", Shows: []string{"S11", "E1"}, Run: newerResponses},
		{Name: "messages are as the server sent them", Shows: []string{"S12"}, Run: messagesAsSent},
		{Name: "a stream is opened again with the same request", Shows: []string{"S13"}, Run: sameRequest},
		{Name: "a handler that changes its message's id", Shows: []string{"S14"}, Run: changedID},
	}
}

func handledAndAcked(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Assign(topic, 0, 1)
	j.Event("assigned")
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	a := j.HandlingOf("a")
	require.Equal(h, "a", string(a.Message.Value))
	h.Quiet()
	require.Empty(h, j.stream.Acked(), "nothing is ACKed before its handler has succeeded")
	a.OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
	j.HandlingOf("b").OK()
	j.stream.Deliver(topic, 1, script.Message("c"))
	j.HandlingOf("c").OK()
	require.ElementsMatch(h, []string{"a", "b", "c"}, j.stream.AwaitAcks(3))
	j.Cancel()
	j.end()
	j.OK()
}

func subscribeRequest(h *suite.Harness) {
	s := h.Server(script.Options{})
	h.Open(s.Addr(), fast()).Consume("grüße", []protocol.Text{"orders", "payments"}, nil)
	host, err := os.Hostname()
	require.NoError(h, err)
	want := &messageproxyv1.SubscribeRequest{
		Subscription:  "grüße",
		Topics:        []string{"orders", "payments"},
		StartPosition: messageproxyv1.StartPosition_START_POSITION_EARLIEST,
		ClientName:    host,
	}
	got := s.AwaitConsume().AwaitSubscribe()
	require.True(h, equalProto(want, got), "wanted %v, got %v", want, got)
}

func subscribeRequestOptions(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.ClientName = ptr(protocol.Text("worker 1 ✓"))
	c := h.Open(s.Addr(), o)
	c.Consume("billing", topics, protocol.ConsumeOptions{Start: ptr("latest"), MaxUnacked: ptr[int64](7), AckTimeout: ptr[int64](90_500)})
	got := s.AwaitConsume().AwaitSubscribe()
	assert.Equal(h, "worker 1 ✓", got.GetClientName())
	assert.Equal(h, messageproxyv1.StartPosition_START_POSITION_LATEST, got.GetStartPosition())
	require.NotNil(h, got.MaxUnackedMessages)
	assert.EqualValues(h, 7, got.GetMaxUnackedMessages())
	assert.Equal(h, 90_500*time.Millisecond, got.GetAckTimeout().AsDuration())

	c.Consume("shipping", topics, protocol.ConsumeOptions{Start: ptr("earliest"), MaxUnacked: ptr[int64](0), AckTimeout: ptr[int64](0)})
	got = s.AwaitConsume().AwaitSubscribe()
	assert.Equal(h, messageproxyv1.StartPosition_START_POSITION_EARLIEST, got.GetStartPosition())
	assert.Nil(h, got.MaxUnackedMessages, "0 is the default")
	assert.Nil(h, got.GetAckTimeout(), "0 is the default")
}

func acksGather(h *suite.Harness) {
	const n = 1000
	s := h.Server(script.Options{Paused: true})
	call := h.Open(s.Addr(), fast()).ConsumeAuto("billing", topics, nil)
	stream := s.AwaitConsume()
	stream.Subscribed(n, time.Minute)
	call.Event("connected")
	partitions := make([]*messageproxyv1.PartitionMessages, 20)
	want := []string{}
	for i := range partitions {
		partitions[i] = &messageproxyv1.PartitionMessages{Topic: topic, Partition: int32(i)}
		for k := range n / len(partitions) {
			id := fmt.Sprintf("%d/%d/%s", i, k, strings.Repeat("x", 480))
			partitions[i].Messages = append(partitions[i].Messages, script.Message(id))
			want = append(want, id)
		}
	}
	stream.Send(script.Batch(partitions...))
	call.Handlings(n)
	h.Quiet()
	stream.Resume()
	got := stream.AwaitAcks(n)
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(h, want, got, "each once")
	// 64 KiB of them, at about 500 bytes each, can have been on their way one by one.
	require.LessOrEqual(h, stream.AckFrames(), n/3, "ACKs that had gathered come many in a frame")
}

func ackAlone(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	for i := range 5 {
		id := fmt.Sprint(i)
		j.stream.Deliver(topic, 0, script.Message(id))
		j.HandlingOf(id).OK()
		acked := j.stream.AwaitAcks(i + 1)
		require.Equal(h, id, acked[i])
	}
}

func orderOfPartitions(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"), script.Message("a3"))
	j.stream.Deliver(topic, 1, script.Message("b1"), script.Message("b2"))
	j.stream.Deliver("payments", 0, script.Message("c1"))
	running := j.Handlings(3)
	require.Contains(h, running, "a1")
	require.Contains(h, running, "b1")
	require.Contains(h, running, "c1", "a partition of another topic is another one")
	j.settle(h)
	require.Empty(h, j.Waiting())
	running["a1"].OK()
	a2 := j.HandlingOf("a2")
	j.settle(h)
	require.Empty(h, j.Waiting())
	running["b1"].OK()
	j.HandlingOf("b2").OK()
	a2.OK()
	j.HandlingOf("a3").OK()
	require.ElementsMatch(h, []string{"a1", "b1", "b2", "a2", "a3"}, j.stream.AwaitAcks(5))
}

func orderAcrossStreams(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	a1 := j.HandlingOf("a1")
	j.rejoin()
	a1.AwaitCancelled()
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"))
	j.HandlingOf("b1").OK()
	j.settle(h)
	require.Empty(h, j.Waiting(), "a handler still runs for the partition")
	a1.OK()
	again := j.HandlingOf("a1")
	require.Equal(h, []string{"b1"}, j.stream.AwaitAcks(1), "the ACK of a lost stream isn't sent")
	again.OK()
	j.HandlingOf("a2").OK()
	require.Equal(h, []string{"b1", "a1", "a2"}, j.stream.AwaitAcks(3))
}

// deliverPartitions delivers a message for each of n partitions: "0", "1", …
func (j *joined) deliverPartitions(n int) {
	partitions := make([]*messageproxyv1.PartitionMessages, n)
	for i := range partitions {
		partitions[i] = &messageproxyv1.PartitionMessages{
			Topic: topic, Partition: int32(i), Messages: []*messageproxyv1.Message{script.Message(fmt.Sprint(i))},
		}
	}
	j.stream.Send(script.Batch(partitions...))
}

func maxHandlers(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{MaxHandlers: ptr[int64](2)})
	j.deliverPartitions(5)
	running := []*driver.Handling{j.Handling(), j.Handling()}
	for range 3 {
		j.settle(h)
		require.Empty(h, j.Waiting(), "two run")
		running[0].OK()
		running = append(running[1:], j.Handling())
	}
	running[0].OK()
	running[1].OK()
	require.Len(h, j.stream.AwaitAcks(5), 5)
}

func handlersByDefault(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	const n = 60
	j.deliverPartitions(n)
	running := j.Handlings(n)
	for _, handling := range running {
		handling.OK()
	}
	j.stream.AwaitAcks(n)
}

func keyWorkers(h *suite.Harness) {
	const workers = 3
	j := join(h, protocol.ConsumeOptions{KeyWorkers: ptr[int64](workers)})
	j.stream.Deliver(topic, 0, script.Keyed("a1", "a"), script.Keyed("a2", "a"), script.Keyed("a3", "a"))
	for _, id := range []string{"a1", "a2", "a3"} {
		running := j.HandlingOf(id)
		j.settle(h)
		require.Empty(h, j.Waiting(), "equal keys are handled one after another")
		running.OK()
	}
	j.stream.Deliver(topic, 0, script.Keyed("e1", ""), script.Keyed("e2", ""))
	e1 := j.HandlingOf("e1")
	j.settle(h)
	require.Empty(h, j.Waiting(), "the empty key is one")
	e1.OK()
	j.HandlingOf("e2").OK()
	j.stream.AwaitAcks(5)

	const n = 60
	var messages []*messageproxyv1.Message
	for i := range n {
		messages = append(messages, script.Keyed(fmt.Sprintf("k%d/1", i), fmt.Sprint("key ", i)))
	}
	for i := range n {
		messages = append(messages, script.Keyed(fmt.Sprintf("k%d/2", i), fmt.Sprint("key ", i)))
	}
	j.stream.Deliver(topic, 0, messages...)
	var running []*driver.Handling
	for range workers {
		running = append(running, j.Handling())
	}
	j.settle(h)
	require.Empty(h, j.Waiting(), "%d at most at the same time", workers)
	returned := map[string]time.Time{}
	for range 2 * n {
		if len(running) == 0 {
			running = append(running, j.Handling())
		}
		first := running[0]
		if key, isSecond := strings.CutSuffix(first.Message.ID, "/2"); isSecond {
			require.Contains(h, returned, key+"/1")
			require.False(h, first.Began.Before(returned[key+"/1"]), "%s began before %s/1 had ended", first.Message.ID, key)
		}
		returned[first.Message.ID] = time.Now()
		first.OK()
		running = running[1:]
		for len(j.Waiting()) > 0 {
			running = append(running, j.Handling())
		}
	}
	j.stream.AwaitAcks(5 + 2*n)
}

func keyless(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{KeyWorkers: ptr[int64](3)})
	j.stream.Deliver(topic, 0, script.Message("1"), script.Message("2"), script.Message("3"), script.Message("4"), script.Message("5"))
	for _, handling := range j.Handlings(3) {
		handling.OK()
	}
	for _, handling := range j.Handlings(2) {
		handling.OK()
	}
	require.ElementsMatch(h, []string{"1", "2", "3", "4", "5"}, j.stream.AwaitAcks(5))
}

func readsOn(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	const n, batch = 1000, 10
	for i := 0; i < n; i += batch {
		var messages []*messageproxyv1.Message
		for k := range batch {
			m := script.Message(fmt.Sprint(i + k))
			m.Value = make([]byte, 8<<10)
			messages = append(messages, m)
		}
		j.stream.Deliver(topic, 0, messages...)
	}
	first := j.HandlingOf("0")
	j.settle(h) // a notice is read behind all that
	require.Empty(h, j.Waiting())
	first.OK()
	for i := 1; i < 50; i++ {
		j.HandlingOf(fmt.Sprint(i)).OK()
	}
	j.stream.AwaitAcks(50)
}

func lostStream(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"))
	running := j.Handlings(2)
	require.False(h, running["a1"].Cancelled())
	j.stream.Cut()
	e := j.Event("disconnected").Error
	require.NotNil(h, e)
	require.NotEmpty(h, e.Message)
	running["a1"].AwaitCancelled()
	running["b1"].AwaitCancelled()
	running["a1"].OK()
	running["b1"].Fail("it wasn't called again")
	j.accept()
	j.settle(h)
	require.Empty(h, j.Waiting(), "what hadn't begun is dropped, and what failed isn't called again")
	require.Empty(h, j.stream.Acked(), "ACKs of a lost stream aren't sent")
	j.stream.Deliver(topic, 0, script.Message("a1"))
	j.HandlingOf("a1").OK()
	require.Equal(h, []string{"a1"}, j.stream.AwaitAcks(1))
	require.False(h, j.Answered())
}

func withdrawnInTime(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"), script.Message("b2"))
	running := j.Handlings(2)
	j.stream.Withdraw(10*time.Second, topic, 0, 5)
	e := j.Event("withdrawn")
	require.Equal(h, []protocol.Partition{{Topic: topic, Number: 0}, {Topic: topic, Number: 5}}, e.Partitions)
	require.EqualValues(h, 10_000, e.TimeLeft)
	j.settle(h)
	require.False(h, running["a1"].Cancelled(), "there is time left")
	running["a1"].OK()
	require.Equal(h, []string{"a1"}, j.stream.AwaitAcks(1), "the ACK counts")
	running["b1"].OK()
	j.HandlingOf("b2").OK() // and not a2
	require.Equal(h, []string{"a1", "b1", "b2"}, j.stream.AwaitAcks(3))
	j.settle(h)
	require.Empty(h, j.Waiting())
}

func withdrawnTooLate(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"))
	running := j.Handlings(2)
	const left = 400 * time.Millisecond
	j.stream.Withdraw(left, topic, 0)
	j.Event("withdrawn")
	withdrawn := time.Now()
	told := running["a1"].AwaitCancelled()
	assert.Greater(h, told.Sub(withdrawn), left*3/4, "there was time left")
	running["a1"].OK()
	running["b1"].OK()
	require.Equal(h, []string{"b1"}, j.stream.AwaitAcks(1))
	j.settle(h)
	require.Equal(h, []string{"b1"}, j.stream.Acked())
	require.Empty(h, j.Waiting())
	require.False(h, running["b1"].Cancelled())
}

func withdrawnAtOnce(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	a1 := j.HandlingOf("a1")
	j.stream.Withdraw(0, topic, 0)
	require.EqualValues(h, 0, j.Event("withdrawn").TimeLeft)
	a1.AwaitCancelled()
	a1.Fail("it isn't called again")
	j.settle(h)
	require.Empty(h, j.Waiting())
	require.Empty(h, j.stream.Acked())
	require.False(h, j.Answered(), "its failure counts for nothing")
}

func withdrawnAndBack(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	a1 := j.HandlingOf("a1")
	j.stream.Withdraw(0, topic, 0)
	j.Event("withdrawn")
	a1.AwaitCancelled()
	j.stream.Assign(topic, 0)
	j.Event("assigned")
	j.stream.Deliver(topic, 0, script.Message("a2"), script.Message("a3"))
	j.settle(h)
	require.Empty(h, j.Waiting(), "a handler still runs for the partition")
	a1.OK()
	a2 := j.HandlingOf("a2")
	require.False(h, a2.Cancelled())
	a2.OK()
	j.HandlingOf("a3").OK()
	require.Equal(h, []string{"a2", "a3"}, j.stream.AwaitAcks(2))
}

func observer(h *suite.Harness) {
	s := h.Server(script.Options{})
	call := h.Open(s.Addr(), fast()).Consume("billing", topics, nil)
	stream := s.AwaitConsume()
	stream.Subscribed(17, 90*time.Second)
	e := call.Event("connected")
	assert.EqualValues(h, 17, e.MaxUnacked)
	assert.EqualValues(h, 90_000, e.AckTimeout)

	stream.Assign(topic, 2, 0)
	e = call.Event("assigned")
	assert.Equal(h, []protocol.Partition{{Topic: topic, Number: 2}, {Topic: topic, Number: 0}}, e.Partitions)
	stream.Assign(topic)
	assert.Empty(h, call.Event("assigned").Partitions)

	for range 2 { // it comes again while it lasts
		stream.Trouble(script.Err(consumeFailed, "the broker is away", true, "id-1"))
		e = call.Event("trouble")
		require.NotNil(h, e.Error)
		assert.EqualValues(h, consumeFailed, e.Error.Code)
		assert.Contains(h, e.Error.Message, "the broker is away")
		assert.True(h, e.Error.Retryable)
		assert.Equal(h, []string{"id-1"}, e.Error.MessageIDs)
	}
	stream.Trouble(script.Err(ackFailed, "no ACK is durable", true))
	assert.EqualValues(h, ackFailed, call.Event("trouble").Error.Code)
	stream.Recovered(consumeFailed)
	e = call.Event("recovered")
	require.NotNil(h, e.Error)
	assert.EqualValues(h, consumeFailed, e.Error.Code)

	stream.Notice(script.Err(messagesExpired, "some are gone", false, "id-2", "id-3"))
	e = call.Event("notice")
	assert.EqualValues(h, messagesExpired, e.Error.Code)
	assert.Contains(h, e.Error.Message, "some are gone")
	assert.False(h, e.Error.Retryable)
	assert.Equal(h, []string{"id-2", "id-3"}, e.Error.MessageIDs)
	stream.Notice(script.Err(newerCode, "something newer", true))
	assert.EqualValues(h, newerCode, call.Event("notice").Error.Code)

	stream.Withdraw(1500*time.Millisecond, topic, 2)
	e = call.Event("withdrawn")
	assert.Equal(h, []protocol.Partition{{Topic: topic, Number: 2}}, e.Partitions)
	assert.EqualValues(h, 1500, e.TimeLeft)

	stream.Terminate(script.Err(shuttingDown, "bye", true))
	e = call.Event("disconnected")
	assert.EqualValues(h, shuttingDown, e.Error.Code)
	assert.Contains(h, e.Error.Message, "bye")
	require.False(h, call.Answered())
}

func newerResponses(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Send(&messageproxyv1.ConsumeResponse{})
	j.stream.Send(script.WithUnknownField(&messageproxyv1.ConsumeResponse{}))
	newer := script.Message("a")
	newer.Headers = []*messageproxyv1.Header{script.WithUnknownField(&messageproxyv1.Header{Key: "k", Value: []byte("v")})}
	script.WithUnknownField(newer)
	partition := script.WithUnknownField(&messageproxyv1.PartitionMessages{
		Topic: topic, Partition: 0, Messages: []*messageproxyv1.Message{newer, script.Message("b")},
	})
	batch := script.Batch(partition)
	script.WithUnknownField(batch.GetBatch())
	j.stream.Send(script.WithUnknownField(batch))
	a := j.HandlingOf("a")
	require.Equal(h, []protocol.Header{{Key: "k", Value: []byte("v")}}, a.Message.Headers)
	a.OK()
	j.HandlingOf("b").OK()
	require.Equal(h, []string{"a", "b"}, j.stream.AwaitAcks(2))
	j.stream.Send(script.Batch())
	j.stream.Deliver(topic, 0)

	j.stream.Recovered(newerCode)
	require.EqualValues(h, newerCode, j.Event("recovered").Error.Code)
	j.stream.Trouble(script.WithUnknownField(script.Err(newerCode, "newer", true)))
	require.EqualValues(h, newerCode, j.Event("trouble").Error.Code)
	j.settle(h)
	require.False(h, j.Answered())
	_, streams := j.server.Streams()
	require.Equal(h, 1, streams)
}

func messagesAsSent(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	sent := []*messageproxyv1.Message{
		{Id: "none", TimestampMs: 0, DeliveryAttempt: 1},
		{Id: "empty", Key: []byte{}, Value: []byte{}, TimestampMs: -1, DeliveryAttempt: 2},
		{
			Id: "grüße 🌍", Key: []byte{0, 0xff}, Value: []byte("\xff\x00v"), TimestampMs: 1_700_000_000_123, DeliveryAttempt: 1<<32 - 1,
			Headers: []*messageproxyv1.Header{
				{Key: "b"}, {Key: "a", Value: []byte{}}, {Key: "b", Value: []byte("2")}, {Key: "", Value: []byte{0xff}}, {Key: "ü", Value: []byte("1")},
			},
		},
		{Id: strings.Repeat("i", 512), TimestampMs: 253_402_300_799_999, DeliveryAttempt: 1},
	}
	j.stream.Deliver("grüße", 41, sent...)
	for _, m := range sent {
		want := protocol.Message{
			Topic: "grüße", Partition: ptr[int32](41), ID: m.GetId(), Key: m.Key, Value: m.Value,
			Timestamp: ptr(m.GetTimestampMs()), Attempt: m.GetDeliveryAttempt(),
		}
		for _, header := range m.GetHeaders() {
			want.Headers = append(want.Headers, protocol.Header{Key: protocol.Text(header.GetKey()), Value: header.Value})
		}
		handling := j.HandlingOf(m.GetId())
		if len(handling.Message.Headers) == 0 {
			handling.Message.Headers = nil // none are none
		}
		assert.Equal(h, want, handling.Message)
		handling.OK()
	}
	j.stream.AwaitAcks(len(sent))
}

func sameRequest(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := protocol.ConsumeOptions{Start: ptr("latest"), MaxUnacked: ptr[int64](7), AckTimeout: ptr[int64](30_000)}
	call := h.Open(s.Addr(), fast()).Consume("billing", []protocol.Text{"b", "a"}, o)
	stream := s.AwaitConsume()
	want := stream.AwaitSubscribe()
	for range 3 {
		stream.Subscribed(7, 30*time.Second)
		call.Event("connected")
		stream.Cut()
		call.Event("disconnected")
		stream = s.AwaitConsume()
		got := stream.AwaitSubscribe()
		require.True(h, equalProto(want, got), "wanted %v, got %v", want, got)
	}
}

func changedID(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	j.HandlingOf("a").Change()
	j.HandlingOf("b").OK()
	require.Equal(h, []string{"a", "b"}, j.stream.AwaitAcks(2))
}
