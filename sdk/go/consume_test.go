package messageproxy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

type handler = func(context.Context, *messageproxy.Message) error

func handleAll(context.Context, *messageproxy.Message) error { return nil }

// consuming is a Consume that runs.
type consuming struct {
	cancel context.CancelFunc
	done   chan error
}

// consume runs Consume on subscription "s" of topic "orders".
func consume(t *testing.T, client *messageproxy.Client, h handler, opts ...messageproxy.ConsumeOption) *consuming {
	ctx, cancel := context.WithCancel(t.Context())
	c := &consuming{cancel: cancel, done: make(chan error, 1)}
	go func() { c.done <- client.Subscription("s", "orders").Consume(ctx, h, opts...) }()
	return c
}

// stop ends the context and returns what Consume returns.
func (c *consuming) stop() error {
	c.cancel()
	return <-c.done
}

// record is what handlers have seen, in order.
type record struct {
	mu   sync.Mutex
	seen []string
}

func (r *record) add(m *messageproxy.Message) { r.note(string(m.Value)) }

func (r *record) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, what)
}

func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.seen...)
}

func add(server *messageproxytest.Server, key string, n int) {
	for i := range n {
		server.Add(message(key, fmt.Sprint(i)))
	}
}

func TestConsumeHandlesAndAcksInOrderAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 100)
		began := time.Now()
		var seen record
		c := consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			seen.add(m)
			return nil
		})
		acked, err := server.WaitAcked(t.Context(), "s", 100)
		require.NoError(t, err)
		assert.Equal(t, seen.all(), values(acked))
		assert.Equal(t, values(server.Messages("orders")), seen.all())
		assert.Zero(t, time.Since(began), "ACKs wait for nothing")
		require.NoError(t, c.stop(), "it was asked to stop")
	})
}

func TestConsumedMessagesAreWhatWasProduced(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		at := time.UnixMilli(1234567)
		sent := []*messageproxy.Message{
			{Topic: "orders", Timestamp: at, ToPartition: new(int32(2))},
			{Topic: "orders", Timestamp: at, ToPartition: new(int32(2)), Key: []byte{}, Value: []byte{}, Headers: []messageproxy.Header{
				{Key: "absent"}, {Key: "empty", Value: []byte{}}, {Key: "v", Value: []byte("v")},
			}},
		}
		server.Add(sent...)
		var got []*messageproxy.Message
		c := consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			got = append(got, m)
			return nil
		})
		_, err := server.WaitAcked(t.Context(), "s", 2)
		require.NoError(t, err)
		require.NoError(t, c.stop())
		for i, m := range got {
			want := *sent[i]
			want.ID, want.Partition, want.DeliveryAttempt, want.ToPartition = fmt.Sprintf("orders/2/%d", i), 2, 1, nil
			assert.Equal(t, &want, m)
		}
	})
}

func TestPartitionsAreHandledAtOnceAndEachInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		for i := range 40 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i % 4)), Value: fmt.Append(nil, i)})
		}
		began := time.Now()
		var watch overlap
		c := consume(t, client, watch.handle(time.Second, func(m *messageproxy.Message) string { return fmt.Sprint(m.Partition) }))
		_, err := server.WaitAcked(t.Context(), "s", 40)
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, time.Since(began), "four at a time")
		assert.Equal(t, 4, watch.most)
		assert.Empty(t, watch.broken)
		require.NoError(t, c.stop())
	})
}

// overlap watches that the messages of a group are handled one after another and
// by ascending value.
type overlap struct {
	mu      sync.Mutex
	running map[string]bool
	last    map[string]int
	most    int
	broken  []string
}

func (o *overlap) handle(d time.Duration, group func(*messageproxy.Message) string) handler {
	o.running, o.last = map[string]bool{}, map[string]int{}
	return func(_ context.Context, m *messageproxy.Message) error {
		o.begin(group(m), string(m.Value))
		time.Sleep(d)
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.running, group(m))
		return nil
	}
}

func (o *overlap) begin(group, value string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var i int
	_, _ = fmt.Sscan(value, &i)
	if last, ok := o.last[group]; o.running[group] || (ok && i <= last) {
		o.broken = append(o.broken, value)
	}
	o.running[group], o.last[group] = true, i
	o.most = max(o.most, len(o.running))
}

func TestMaxHandlersBoundsWhatRunsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		for i := range 40 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i % 4)), Value: fmt.Append(nil, i)})
		}
		began := time.Now()
		var watch overlap
		c := consume(t, client, watch.handle(time.Second, func(m *messageproxy.Message) string { return fmt.Sprint(m.Partition) }),
			messageproxy.WithMaxHandlers(2))
		_, err := server.WaitAcked(t.Context(), "s", 40)
		require.NoError(t, err)
		assert.Equal(t, 20*time.Second, time.Since(began))
		assert.Equal(t, 2, watch.most)
		assert.Empty(t, watch.broken)
		require.NoError(t, c.stop())
	})
}

func TestKeyWorkersKeepTheOrderOfEachKey(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		for i := range 200 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(0)), Key: fmt.Append(nil, i%20), Value: fmt.Append(nil, i)})
		}
		var watch overlap
		c := consume(t, client, watch.handle(time.Second, func(m *messageproxy.Message) string { return string(m.Key) }),
			messageproxy.WithKeyWorkers(8))
		_, err := server.WaitAcked(t.Context(), "s", 200)
		require.NoError(t, err)
		assert.Empty(t, watch.broken)
		assert.Greater(t, watch.most, 1, "one partition, several at once")
		assert.LessOrEqual(t, watch.most, 8)
		require.NoError(t, c.stop())
	})
}

func TestKeyWorkersShareMessagesWithoutAKey(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		for range 40 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(0))})
		}
		began := time.Now()
		c := consume(t, client, func(context.Context, *messageproxy.Message) error {
			time.Sleep(time.Second)
			return nil
		}, messageproxy.WithKeyWorkers(8))
		_, err := server.WaitAcked(t.Context(), "s", 40)
		require.NoError(t, err)
		assert.Equal(t, 5*time.Second, time.Since(began))
		require.NoError(t, c.stop())
	})
}

type contextKey struct{}

func TestHandlersHaveTheValuesOfTheContext(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "a value"))
		err := client.Subscription("s", "orders").Consume(ctx, func(ctx context.Context, _ *messageproxy.Message) error {
			assert.Equal(t, "a value", ctx.Value(contextKey{}))
			cancel()
			return ctx.Err()
		})
		require.NoError(t, err)
		assert.Len(t, server.Acked("s"), 1)
	})
}

func TestConsumeSubscribesAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []*messageproxyv1.SubscribeRequest
		service := &rawService{consume: func(stream consumeServer) error {
			request, err := stream.Recv()
			got = append(got, request.GetSubscribe())
			<-stream.Context().Done()
			return err
		}}
		client := service.start(t, messageproxy.WithClientName("me"))
		c := consume(t, client, handleAll)
		synctest.Wait()
		require.NoError(t, c.stop())
		c = consume(t, client, handleAll, messageproxy.WithStart(messageproxy.StartLatest), messageproxy.WithMaxUnacked(7), messageproxy.WithAckTimeout(time.Minute))
		synctest.Wait()
		require.NoError(t, c.stop())
		require.Len(t, got, 2)
		assert.Equal(t, "s", got[0].GetSubscription())
		assert.Equal(t, []string{"orders"}, got[0].GetTopics())
		assert.Equal(t, "me", got[0].GetClientName())
		assert.Nil(t, got[0].MaxUnackedMessages)
		assert.Nil(t, got[0].AckTimeout)
		assert.Equal(t, messageproxyv1.StartPosition_START_POSITION_EARLIEST, got[0].GetStartPosition())
		assert.EqualValues(t, 7, got[1].GetMaxUnackedMessages())
		assert.Equal(t, durationpb.New(time.Minute).AsDuration(), got[1].GetAckTimeout().AsDuration())
		assert.Equal(t, messageproxyv1.StartPosition_START_POSITION_LATEST, got[1].GetStartPosition())
	})
}

// TestAcksThatGatherGoTogether has the server read nothing until all handlers are
// done.
func TestEachAckGoesOutWhileTheNextHandlerRuns(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 10) // of one partition, in one frame
		began := time.Now()
		c := consume(t, client, func(context.Context, *messageproxy.Message) error {
			time.Sleep(time.Second)
			return nil
		})
		for n := range 10 {
			_, err := server.WaitAcked(t.Context(), "s", n+1)
			require.NoError(t, err)
			assert.Equal(t, time.Duration(n+1)*time.Second, time.Since(began))
		}
		require.NoError(t, c.stop())
	})
}

func TestAcksThatGatherGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 3000
		id := fmt.Sprintf("%0512d-", 0)[:512]
		var frames []int
		read := make(chan struct{})
		service := &rawService{consume: func(stream consumeServer) error {
			if _, err := stream.Recv(); err != nil {
				return err
			}
			batch := &messageproxyv1.PartitionMessages{Topic: "orders"}
			for range messages {
				batch.Messages = append(batch.Messages, &messageproxyv1.Message{Id: id})
			}
			if err := stream.Send(batchOf(batch)); err != nil {
				return err
			}
			<-read
			for {
				request, err := stream.Recv()
				if err != nil {
					return nil
				}
				frames = append(frames, len(request.GetAck().GetMessageIds()))
			}
		}}
		client := service.start(t)
		c := consume(t, client, handleAll)
		synctest.Wait()
		close(read)
		require.NoError(t, c.stop())
		total := 0
		for _, n := range frames {
			total += n
			assert.LessOrEqual(t, n, 256<<10/512, "a frame's size")
		}
		assert.Equal(t, messages, total)
		assert.Less(t, len(frames), messages/10)
	})
}

func batchOf(partitions ...*messageproxyv1.PartitionMessages) *messageproxyv1.ConsumeResponse {
	return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{Batch: &messageproxyv1.MessageBatch{Partitions: partitions}}}
}

func TestWhatThisVersionDoesNotKnowIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &rawService{consume: func(stream consumeServer) error {
			_, err := stream.Recv()
			future := &messageproxyv1.ConsumeResponse{}
			future.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0x00}) // field 1023
			notice := &messageproxyv1.Error{Code: 4711, Message: "news"}
			err = errors.Join(err, stream.Send(future), stream.Send(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: notice}}),
				stream.Send(batchOf(&messageproxyv1.PartitionMessages{Topic: "orders"})),
				stream.Send(batchOf(&messageproxyv1.PartitionMessages{Topic: "orders", Messages: []*messageproxyv1.Message{{Id: "1"}}})))
			for {
				if _, recvErr := stream.Recv(); recvErr != nil {
					return err
				}
			}
		}}
		client := service.start(t)
		var seen record
		var events []messageproxy.Event
		c := consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			seen.add(m)
			return nil
		}, messageproxy.WithObserver(func(e messageproxy.Event) { events = append(events, e) }))
		synctest.Wait()
		assert.Len(t, seen.all(), 1)
		require.NoError(t, c.stop())
		require.Len(t, events, 1)
		assert.Equal(t, "code 4711", events[0].Err.Code.String())
		assert.Equal(t, "notice", events[0].Kind.String())
	})
}

func TestSubscriptionErrorsEndConsume(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		c := consume(t, client, handleAll)
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		err := client.Subscription("s", "other").Consume(t.Context(), handleAll)
		require.ErrorIs(t, err, messageproxy.CodeSubscriptionConflict)
		err = client.Subscription("s").Consume(t.Context(), handleAll)
		require.ErrorIs(t, err, messageproxy.CodeInvalidArgument)
		require.NoError(t, c.stop())
	})
}
