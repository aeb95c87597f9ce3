package tap_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// scenarios run over loopback (real_test.go) and in virtual time (bubble_test.go).
var scenarios = map[string]func(s *scene){
	"an SDK's producer":               producerOfTheSDK,
	"an SDK's consumer":               consumerOfTheSDK,
	"results of every kind":           resultsOfEveryKind,
	"a consumer without the SDK":      consumerWithoutTheSDK,
	"a client that goes":              clientThatGoes,
	"a request that can't be decoded": undecodableRequest,
	"a topic created again":           topicCreatedAgain,
	"messages that expire":            expiry,
	"a client that doesn't read":      clientThatDoesNotRead,
	"logs and positions":              logsAndPositions,
	"a drain":                         drain,
	"a drain that waits for an ACK":   drainThatWaits,
}

func producerOfTheSDK(s *scene) {
	c := s.sdk("app")
	s.produce(c, 1, numbered("m", 3)...)
	require.NoError(s, c.Close())
	s.stop()

	assert.Equal(s, []history.ProduceOpened{{Stream: "app/1", Server: "proxy"}}, of[history.ProduceOpened](s))
	produced, answered := of[history.Produced](s), of[history.Answered](s)
	require.Len(s, answered, 3)
	for i, token := range numbered("m", 3) {
		sequence := uint64(i + 1)
		assert.Equal(s, history.Produced{Stream: "app/1", Sequence: sequence, Topic: topic, Token: token}, produced[i])
		assert.Equal(s, history.Answered{
			Stream: "app/1", Sequence: sequence, Outcome: history.Stored, Partition: on(1), Position: int64(i),
		}, answered[i])
	}
	ended := of[history.ProduceEnded](s)
	require.Len(s, ended, 1)
	assert.Equal(s, "app/1", ended[0].Stream)
}

func on(partition int32) history.Partition { return history.Partition{Topic: topic, Number: partition} }

func consumerOfTheSDK(s *scene) {
	c := s.sdk("app")
	s.produce(c, 0, "a", "b")
	ctx, cancel := context.WithCancel(s.Context())
	failing, calls := errors.New("not yet"), 0
	handler := s.tap.Handler("work", func(context.Context, *messageproxy.Message) error {
		switch calls++; calls {
		case 1:
			return failing
		case 2:
			panic("not yet either")
		case 4:
			cancel()
		}
		return nil
	})
	require.NoError(s, c.Subscription(subscription, topic).Consume(ctx, handler))
	require.NoError(s, c.Close())
	s.stop()

	oks := func(handled []history.Handled) (ok []bool) {
		for _, h := range handled {
			ok = append(ok, h.OK)
		}
		return ok
	}
	assert.Equal(s, []bool{false, false, true, true}, oks(of[history.Handled](s)))
	handling := of[history.Handling](s)
	assert.Equal(s, []string{"a", "a", "a", "b"}, []string{
		handling[0].Message.Token, handling[1].Message.Token, handling[2].Message.Token, handling[3].Message.Token,
	})
	assert.Equal(s, history.Handling{Client: "work", Partition: on(0), Message: handling[3].Message}, handling[3])
	for _, side := range []history.Side{history.Client, history.Server} {
		s.requireConsumed(side, []string{"a", "b"}, handling)
	}
}

// requireConsumed checks the events of the stream of an SDK that got and ACKed
// messages of partition 0, on one side.
func (s *scene) requireConsumed(side history.Side, tokens []string, handling []history.Handling) {
	s.Helper()
	var acked, delivered, left, ended int
	stream := map[history.Side]string{history.Client: "app/2", history.Server: "app/1"}[side]
	for _, e := range s.recorder.Entries() {
		switch e := e.Event.(type) {
		case history.Subscribed:
			if e.Side == side {
				assert.Equal(s, history.Subscribed{
					Side: side, Stream: stream, Server: "proxy", Subscription: subscription, Window: 1000, AckTimeout: e.AckTimeout, Client: "app",
				}, e)
				assert.NotZero(s, e.AckTimeout)
			}
		case history.Delivered:
			if e.Side != side {
				continue
			}
			assert.Equal(s, stream, e.Stream)
			assert.Equal(s, on(0), e.Partition)
			for _, m := range e.Messages {
				assert.Equal(s, history.Message{ID: m.ID, Position: int64(delivered), Token: tokens[delivered], Size: m.Size}, m)
				assert.Positive(s, m.Size)
				assert.True(s, slices.ContainsFunc(handling, func(h history.Handling) bool { return h.Message == m }))
				delivered++
			}
		case history.Acked:
			if e.Side == side {
				assert.Equal(s, stream, e.Stream)
				acked += len(e.IDs)
			}
		case history.Left:
			if e.Side == side {
				left++
			}
		case history.ConsumeEnded:
			if e.Side == side {
				assert.Equal(s, history.ConsumeEnded{Side: side, Stream: stream}, e)
				ended++
			}
		}
	}
	assert.Equal(s, []int{2, 2, 1, 1}, []int{delivered, acked, left, ended}, "delivered, ACKed, left, ended")
}

func resultsOfEveryKind(s *scene) {
	stub, closeConn := s.stub("raw")
	stream, err := stub.Produce(s.Context())
	require.NoError(s, err)
	require.NoError(s, stream.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Sequence: 7, Topic: topic, Value: []byte("not a token")},
		{Sequence: 8, Topic: ""},
	}}))
	require.NoError(s, stream.CloseSend())
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	require.ErrorIs(s, err, io.EOF)
	closeConn()
	s.stop()

	assert.Empty(s, of[history.Produced](s)[0].Token)
	answers := map[uint64]history.Answered{}
	for _, a := range of[history.Answered](s) {
		answers[a.Sequence] = a
	}
	require.Len(s, answers, 2)
	assert.Equal(s, history.Stored, answers[7].Outcome)
	assert.Equal(s, history.Failed, answers[8].Outcome)
	assert.Contains(s, answers[8].Why, "INVALID_ARGUMENT: ")
	assert.Equal(s, []history.ProduceEnded{{Stream: "raw/1"}}, of[history.ProduceEnded](s))
}

func consumerWithoutTheSDK(s *scene) {
	c := s.sdk("app")
	s.produce(c, 0, "a", "b")
	require.NoError(s, c.Close())
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "named by itself")
	ids := s.receive(stream, 2)
	require.NoError(s, stream.Send(ack("nonsense", ids[1])))
	response, err := stream.Recv()
	require.NoError(s, err)
	require.Equal(s, messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, response.GetNotice().GetCode())
	require.NoError(s, stream.CloseSend())
	_ = awaitEnd(stream)
	closeConn()
	s.stop()

	names := map[history.Side]string{history.Client: "raw/1", history.Server: "named by itself/1"}
	for _, e := range of[history.Subscribed](s) {
		assert.Equal(s, names[e.Side], e.Stream)
		assert.Equal(s, 7, e.Window)
		assert.Equal(s, "named by itself", e.Client)
	}
	assert.ElementsMatch(s, []history.Acked{
		{Side: history.Client, Stream: names[history.Client], IDs: []string{"nonsense", ids[1]}},
		{Side: history.Server, Stream: names[history.Server], IDs: []string{"nonsense", ids[1]}},
	}, of[history.Acked](s))
	assert.ElementsMatch(s, []history.NotHeld{
		{Side: history.Client, Stream: names[history.Client], IDs: []string{"nonsense"}},
		{Side: history.Server, Stream: names[history.Server], IDs: []string{"nonsense"}},
	}, of[history.NotHeld](s))
	assert.Len(s, of[history.ConsumeEnded](s), 2)
	gained, fetched, lost := of[history.Gained](s), of[history.Fetched](s), of[history.Lost](s)
	both := []history.Partition{on(0), on(1)}
	assert.Equal(s, []history.Gained{{Server: "proxy", Subscription: subscription, Partitions: both}}, gained)
	assert.Equal(s, []history.Lost{{Server: "proxy", Subscription: subscription, Partitions: both}}, lost)
	n := 0
	for _, f := range fetched {
		assert.Equal(s, on(0), f.Partition)
		for _, m := range f.Messages {
			assert.Equal(s, history.Message{ID: ids[n], Position: int64(n), Token: []string{"a", "b"}[n], Size: m.Size}, m)
			assert.Positive(s, m.Size)
			n++
		}
	}
	assert.Equal(s, 2, n)
}

// Both ends learn that a client has gone, though it never receives.
func clientThatGoes(s *scene) {
	stub, closeConn := s.stub("raw")
	ctx, cancel := context.WithCancel(s.Context())
	consume := s.consume(ctx, stub, "raw")
	s.receiveSubscribed(consume)
	finished := make(chan struct{})
	_, err := stub.Produce(ctx, grpc.OnFinish(func(error) { close(finished) }))
	require.NoError(s, err)
	cancel()
	<-finished
	require.Equal(s, codes.Canceled, status.Code(awaitEnd(consume)))
	closeConn()
	s.stop()
	ends := of[history.ConsumeEnded](s)
	require.Len(s, ends, 2)
	assert.Contains(s, ends, history.ConsumeEnded{Side: history.Client, Stream: "raw/1"})
	// The server's drain may come before the news that the client has gone.
	assert.True(s, slices.ContainsFunc(ends, func(e history.ConsumeEnded) bool {
		return e.Side == history.Server && e.Stream == "raw/1" && (e.Code == "" || e.Code == "SHUTTING_DOWN")
	}))
	ended := of[history.ProduceEnded](s)
	require.Len(s, ended, 1)
	assert.True(s, ended[0].Broken)
	assert.Equal(s, "raw/2", ended[0].Stream)
}

func (s *scene) receiveSubscribed(stream consumeStream) {
	s.Helper()
	response, err := stream.Recv()
	require.NoError(s, err)
	require.NotNil(s, response.GetSubscribed())
}

// The server sees such a request as it would without a tap, and so does the client.
func undecodableRequest(s *scene) {
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	s.receiveSubscribed(stream)
	broken := &messageproxyv1.ConsumeRequest{}
	broken.ProtoReflect().SetUnknown([]byte{0x12, 2, 0x0a, 9}) // an ACK that is cut off
	require.NoError(s, stream.SendMsg(broken))
	err := awaitEnd(stream)
	assert.Equal(s, codes.InvalidArgument, status.Code(err))
	assert.Contains(s, err.Error(), "could not be decoded")
	closeConn()
	s.stop()
	assert.Empty(s, of[history.Acked](s))
	assert.ElementsMatch(s, []history.ConsumeEnded{
		{Side: history.Client, Stream: "raw/1", Code: "INVALID_ARGUMENT"},
		{Side: history.Server, Stream: "raw/1", Code: "INVALID_ARGUMENT"},
	}, of[history.ConsumeEnded](s))
}

func topicCreatedAgain(s *scene) {
	c := s.sdk("before")
	s.produce(c, 0, "a")
	require.NoError(s, c.Close())
	require.NoError(s, s.tap.ReadLogs(s.Context(), s.kafka, topic))
	_, err := s.admin.DeleteTopic(s.Context(), topic)
	require.NoError(s, err)
	_, err = s.admin.CreateTopic(s.Context(), 2, -1, nil, topic)
	require.NoError(s, err)
	require.NoError(s, s.tap.ReadTopics(s.Context(), s.kafka, topic))
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	c = s.sdk("after")
	s.produceUntilStored(c, "b")
	s.receive(stream, 1)
	require.NoError(s, c.Close())
	require.NoError(s, stream.CloseSend())
	closeConn()
	require.NoError(s, s.tap.ReadLogs(s.Context(), s.kafka, topic))
	s.stop()

	second := history.Partition{Topic: topic + "#2"}
	var stored []history.Partition
	for _, a := range of[history.Answered](s) {
		if a.Outcome == history.Stored {
			stored = append(stored, a.Partition)
		}
	}
	assert.Equal(s, []history.Partition{on(0), second}, stored)
	assert.Equal(s, second, of[history.Delivered](s)[0].Partition)
	assert.Equal(s, second, of[history.Fetched](s)[0].Partition)
	assert.Contains(s, of[history.Gained](s)[0].Partitions, second)
	logs := of[history.Log](s)
	require.Len(s, logs, 4)
	assert.Equal(s, "a", logs[0].Messages[0].Token)
	assert.Equal(s, second, logs[2].Partition)
	assert.Equal(s, "b", logs[2].Messages[0].Token)
	assert.Equal(s, logs[2].Messages[0], of[history.Delivered](s)[0].Messages[0])
}

func expiry(s *scene) {
	c := s.sdk("app")
	s.produce(c, 0, "a", "b", "c")
	require.NoError(s, c.Close())
	_, err := s.admin.CommitOffsets(s.Context(), subscription, offsets(topic, 0, 1))
	require.NoError(s, err)
	_, err = s.admin.DeleteRecords(s.Context(), offsets(topic, 0, 2))
	require.NoError(s, err)
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	s.receive(stream, 1)
	require.NoError(s, stream.CloseSend())
	closeConn()
	s.stop()
	told := of[history.ExpiryTold](s)
	assert.Contains(s, told, history.ExpiryTold{Side: history.Client, Stream: "raw/1"})
	assert.Contains(s, told, history.ExpiryTold{Side: history.Server, Stream: "raw/1"})
}

// A send that waits until the client reads is noted when it has returned.
func clientThatDoesNotRead(s *scene) {
	const count, size = 7, 900_000 // more than the windows of HTTP/2 at their beginning
	for i := range count {
		record := &kgo.Record{Topic: topic, Partition: 0, Value: tap.Value(numbered("m", count)[i], size)}
		require.NoError(s, s.kafka.ProduceSync(s.Context(), record).FirstErr())
	}
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	s.receiveSubscribed(stream)
	time.Sleep(time.Second) // it doesn't read
	s.receive(stream, count)
	require.NoError(s, stream.CloseSend())
	closeConn()
	s.stop()
	sent := of[history.Sent](s)
	require.NotEmpty(s, sent)
	assert.Equal(s, history.Sent{Stream: "raw/1"}, sent[0])
}

// produceUntilStored produces to partition 0 of a topic of which the proxy has still
// to notice that it is another one.
func (s *scene) produceUntilStored(c *messageproxy.Client, token string) {
	s.Helper()
	for {
		m := &messageproxy.Message{Topic: topic, ToPartition: new(int32(0)), Value: tap.Value(token, 50)}
		_, err := c.Produce(s.Context(), m)
		if err == nil {
			return
		}
		require.ErrorIs(s, err, messageproxy.CodeTopicNotFound)
	}
}

func drain(s *scene) {
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	s.receiveSubscribed(stream)
	produce, err := stub.Produce(s.Context())
	require.NoError(s, err)
	require.NoError(s, produce.Send(&messageproxyv1.ProduceRequest{Messages: []*messageproxyv1.OutgoingMessage{
		{Sequence: 1, Topic: ""}, // stored, it would be delivered, and waited for
	}}))
	_, err = produce.Recv()
	require.NoError(s, err)
	s.stop()
	_ = awaitEnd(stream)
	for err == nil {
		_, err = produce.Recv()
	}
	closeConn()
	assert.ElementsMatch(s, []history.ConsumeEnded{
		{Side: history.Client, Stream: "raw/1", Code: "SHUTTING_DOWN"},
		{Side: history.Server, Stream: "raw/1", Code: "SHUTTING_DOWN"},
	}, of[history.ConsumeEnded](s))
	ended := of[history.ProduceEnded](s)
	require.Len(s, ended, 1)
	assert.True(s, ended[0].Broken)
	assert.Contains(s, ended[0].Why, "SHUTTING_DOWN: ")
}

func drainThatWaits(s *scene) {
	c := s.sdk("app")
	s.produce(c, 0, "a")
	require.NoError(s, c.Close())
	stub, closeConn := s.stub("raw")
	stream := s.consume(s.Context(), stub, "raw")
	ids := s.receive(stream, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	var err error
	for err == nil {
		var response *messageproxyv1.ConsumeResponse
		if response, err = stream.Recv(); response.GetNotice() != nil {
			require.NoError(s, stream.Send(ack(ids...)))
		}
	}
	<-stopped
	closeConn()
	assert.ElementsMatch(s, []history.DrainTold{
		{Side: history.Client, Stream: "raw/1"}, {Side: history.Server, Stream: "raw/1"},
	}, of[history.DrainTold](s))
}

func run(t *testing.T, l func() links, in func(t *testing.T, f func(t *testing.T))) {
	for name, play := range scenarios {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) { play(newScene(t, l())) })
		})
	}
}
