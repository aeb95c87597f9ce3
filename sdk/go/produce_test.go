package messageproxy_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestProduceSaysWhereTheMessageIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		began := time.Now()
		at := time.UnixMilli(1234567)
		receipt, err := client.Produce(t.Context(), &messageproxy.Message{
			Topic: "orders", Value: []byte("v"), ToPartition: new(int32(3)), Timestamp: at,
		})
		require.NoError(t, err)
		assert.Equal(t, messageproxy.Receipt{MessageID: "orders/3/0", Partition: 3, Timestamp: at}, receipt)
		assert.Equal(t, began, time.Now(), "a message alone goes at once")
	})
}

func TestProduceKeepsAbsentAndEmptyApart(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		sent := []*messageproxy.Message{
			{Topic: "t"},
			{Topic: "t", Key: []byte{}, Value: []byte{}},
			{Topic: "t", Key: []byte("k"), Value: []byte("v"), Headers: []messageproxy.Header{
				{Key: "absent"}, {Key: "empty", Value: []byte{}}, {Key: "same", Value: []byte("1")}, {Key: "same", Value: []byte("2")}, {},
			}},
		}
		for _, m := range sent {
			_, err := client.Produce(t.Context(), m)
			require.NoError(t, err)
		}
		for i, stored := range server.Messages("t") {
			assert.Equal(t, sent[i].Key, stored.Key)
			assert.Equal(t, sent[i].Value, stored.Value)
			assert.Equal(t, sent[i].Headers, stored.Headers)
		}
	})
}

func TestAConsumedMessageCanBeProducedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("small", 1)
		consumed := &messageproxy.Message{Topic: "small", Key: []byte("k"), ID: "orders/3/7", Partition: 3, DeliveryAttempt: 2}
		receipt, err := client.Produce(t.Context(), consumed)
		require.NoError(t, err, "the partition it came from is not where it goes")
		assert.Equal(t, "small/0/0", receipt.MessageID)
	})
}

func TestProduceRejectsWhatCantBeSent(t *testing.T) {
	for name, m := range map[string]*messageproxy.Message{
		"nil":                  nil,
		"no topic":             {Value: []byte("v")},
		"topic not UTF-8":      {Topic: "\xff"},
		"header key not UTF-8": {Topic: "t", Headers: []messageproxy.Header{{Key: "\xff"}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
				_, err := client.Produce(t.Context(), m)
				require.ErrorIs(t, err, messageproxy.CodeInvalidArgument)
				require.NotErrorIs(t, err, messageproxy.ErrUnknownOutcome)
				_, err = client.Produce(t.Context(), message("k", "v"))
				require.NoError(t, err, "others go on")
			})
		})
	}
}

func TestAMessageAboveTheClientsLimitIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), &messageproxy.Message{Topic: "orders", Value: make([]byte, 1000)})
		require.NoError(t, err)
		_, err = client.Produce(t.Context(), &messageproxy.Message{Topic: "orders", Value: make([]byte, 1001)})
		require.ErrorIs(t, err, messageproxy.CodeMessageTooLarge)
		assert.Len(t, server.Messages("orders"), 1)
	}, messageproxy.WithMaxMessageBytes(1000))
}

func TestALargeMessageGoesBothWays(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), &messageproxy.Message{Topic: "orders", Value: make([]byte, 15<<20)})
		require.NoError(t, err)
		got := make(chan int, 1)
		c := consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			got <- len(m.Value)
			return nil
		})
		assert.Equal(t, 15<<20, <-got)
		require.NoError(t, c.stop())
	})
}

func TestProduceReturnsTheServersError(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		want := &messageproxy.Error{Code: messageproxy.CodeTopicNotFound, Message: `no topic "orders"`, Retryable: true, MessageIDs: []string{"a"}}
		server.OnProduce(func(m *messageproxy.Message) error {
			if string(m.Value) == "bad" {
				return want
			}
			return nil
		})
		_, err := client.Produce(t.Context(), message("k", "bad"))
		got, ok := errors.AsType[*messageproxy.Error](err)
		require.True(t, ok)
		assert.Equal(t, want, got)
		_, err = client.Produce(t.Context(), message("k", "good"))
		require.NoError(t, err)
	})
}

func TestTheCallerMayReuseTheMessage(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		m := message("k", "")
		for i := range 100 {
			m.Value = fmt.Append(m.Value[:0], i)
			client.ProduceAsync(t.Context(), m, nil)
		}
		require.NoError(t, client.Flush(t.Context()))
		for i, value := range values(server.Messages("orders")) {
			assert.Equal(t, fmt.Sprint(i), value)
		}
	})
}

func TestAContextThatEndsBeforeTheWireWithdrawsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		network := &gate{}
		client, err := server.NewClient(network.through(server))
		require.NoError(t, err)
		defer client.Close()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var async outcomes
		client.ProduceAsync(ctx, message("k", "async"), async.callback)
		_, err = client.Produce(ctx, message("k", "sync"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, messageproxy.ErrUnknownOutcome)
		require.ErrorContains(t, err, "the network is down", "it says why")
		synctest.Wait()
		require.Len(t, async.all(), 1)
		require.ErrorIs(t, async.all()[0], context.DeadlineExceeded)
		require.NotErrorIs(t, async.all()[0], messageproxy.ErrUnknownOutcome)

		network.set(true)
		_, err = client.Produce(t.Context(), message("k", "later"))
		require.NoError(t, err)
		assert.Equal(t, []string{"later"}, values(server.Messages("orders")))
	})
}

func TestAContextThatEndsAfterTheWireLeavesTheOutcomeOpen(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var async outcomes
		client.ProduceAsync(ctx, message("k", "async"), async.callback)
		_, err := client.Produce(ctx, message("k", "sync"))
		synctest.Wait()
		require.Len(t, async.all(), 1)
		for _, err := range append(async.all(), err) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, messageproxy.ErrUnknownOutcome)
		}
		server.ReleaseProduce()
		synctest.Wait()
		assert.Len(t, server.Messages("orders"), 2, "they were stored after all")
		assert.Len(t, async.all(), 1, "the callback isn't called again")
	})
}

func TestACallWithAContextThatHasEndedSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the user went home"))
		_, err := client.Produce(ctx, message("k", "v"))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "the user went home")
		assert.Empty(t, server.Messages("orders"))
	})
}

func TestProduceAsyncWaitsForRoomUntilItsContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		var results outcomes
		client.ProduceAsync(t.Context(), message("k", "1"), results.callback)
		client.ProduceAsync(t.Context(), message("k", "2"), results.callback)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		var refused outcomes
		client.ProduceAsync(ctx, message("k", "3"), refused.callback)
		assert.Equal(t, time.Minute, time.Since(began), "it blocked")
		require.Len(t, refused.all(), 1, "called before ProduceAsync returned")
		require.ErrorIs(t, refused.all()[0], context.DeadlineExceeded)

		time.AfterFunc(time.Second, server.ReleaseProduce)
		client.ProduceAsync(t.Context(), message("k", "4"), results.callback)
		require.NoError(t, client.Flush(t.Context()))
		assert.Equal(t, []error{nil, nil, nil}, results.all())
		assert.Equal(t, []string{"1", "2", "4"}, values(server.Messages("orders")))
	}, messageproxy.WithMaxOutstanding(2, 1000))
}

func TestBytesAreBoundedAndALargeMessageGoesAlone(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		large := &messageproxy.Message{Topic: "orders", Value: make([]byte, 1000)}
		_, err := client.Produce(t.Context(), large)
		require.NoError(t, err, "above the limit, but alone")

		server.HoldProduce()
		client.ProduceAsync(t.Context(), message("", "ninety bytes or so"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = client.Produce(ctx, large)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, messageproxy.ErrUnknownOutcome)
		server.ReleaseProduce()
	}, messageproxy.WithMaxOutstanding(10, 100))
}

func TestWhoWaitsForRoomIsSentInTheOrderOfTheCalls(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		// It leaves room for all others at once.
		client.ProduceAsync(t.Context(), &messageproxy.Message{Topic: "orders", Key: []byte("k"), Value: make([]byte, 1000)}, nil)
		var want []string
		var callers sync.WaitGroup
		for i := range 20 {
			value := strconv.Itoa(i)
			want = append(want, value)
			callers.Go(func() {
				_, err := client.Produce(t.Context(), message("k", value))
				assert.NoError(t, err)
			})
			synctest.Wait() // it waits for room
		}
		server.ReleaseProduce()
		callers.Wait()
		assert.Equal(t, want, values(server.Messages("orders"))[1:])
	}, messageproxy.WithMaxOutstanding(100, 1000))
}

func TestNoMoreThanTheWindowIsEverOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 10
		var mu sync.Mutex // of what follows, and of sending
		most, outstanding := 0, 0
		service := &rawService{produce: func(stream produceServer) error {
			for {
				request, err := stream.Recv()
				if err != nil {
					return nil
				}
				mu.Lock()
				outstanding += len(request.GetMessages())
				most = max(most, outstanding)
				mu.Unlock()
				// The broker's time, which is virtual: meanwhile all comes that may.
				time.AfterFunc(time.Millisecond, func() {
					mu.Lock()
					defer mu.Unlock()
					for _, m := range request.GetMessages() {
						outstanding--
						result := &messageproxyv1.ProduceResult{Sequence: m.GetSequence(), Outcome: &messageproxyv1.ProduceResult_Receipt{}}
						assert.NoError(t, stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{result}}))
					}
				})
			}
		}}
		client := service.start(t, messageproxy.WithMaxOutstanding(window, 1<<20))
		var producers sync.WaitGroup
		for range 50 {
			producers.Go(func() {
				_, err := client.Produce(t.Context(), message("k", "v"))
				assert.NoError(t, err)
			})
		}
		producers.Wait()
		assert.Equal(t, window, most)
	})
}

func TestWhatHasGatheredGoesInOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frames []int
		release := make(chan struct{})
		service := &rawService{produce: func(stream produceServer) error {
			for {
				request, err := stream.Recv()
				if err != nil {
					return nil
				}
				frames = append(frames, len(request.GetMessages()))
				results := make([]*messageproxyv1.ProduceResult, 0, len(request.GetMessages()))
				for _, m := range request.GetMessages() {
					results = append(results, &messageproxyv1.ProduceResult{Sequence: m.GetSequence(), Outcome: &messageproxyv1.ProduceResult_Receipt{}})
				}
				if err := stream.Send(&messageproxyv1.ProduceResponse{Results: results}); err != nil {
					return err
				}
			}
		}}
		network := messageproxy.WithDialOptions(delayDialing(release))
		client := service.start(t, network)
		for range 500 {
			client.ProduceAsync(t.Context(), message("k", "v"), nil)
		}
		for range 4 { // of 128 KiB: two fit
			client.ProduceAsync(t.Context(), &messageproxy.Message{Topic: "orders", Value: make([]byte, 128<<10)}, nil)
		}
		close(release)
		require.NoError(t, client.Flush(t.Context()))
		assert.Equal(t, []int{502, 2}, frames)
	})
}

func TestAnAnswerOfAnUnknownKindLeavesTheOutcomeOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &rawService{produce: func(stream produceServer) error {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			err = stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
				{Sequence: 999, Outcome: &messageproxyv1.ProduceResult_Receipt{}}, // nobody's
				{Sequence: request.GetMessages()[0].GetSequence()},
			}})
			<-stream.Context().Done()
			return err
		}}
		client := service.start(t)
		_, err := client.Produce(t.Context(), message("k", "v"))
		require.ErrorIs(t, err, messageproxy.ErrUnknownOutcome)
	})
}
